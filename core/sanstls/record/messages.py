"""From handshake records to handshake messages (RFC 9846 5.1): reassembly, bounded."""

from collections import deque

from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MAX_CERTIFICATE_MESSAGE, MAX_HANDSHAKE_MESSAGE
from sanstls.wire.registries import HandshakeType

__all__ = ["MessageReader"]

_CERTIFICATE = int(HandshakeType.certificate)
_COMPRESSED_CERTIFICATE = int(HandshakeType.compressed_certificate)

# After one of these the keys may change, so nothing behind it may be read before it is understood (RFC 9846 5.1).
_BEFORE_KEY_CHANGE = frozenset(
    map(
        int,
        (
            HandshakeType.client_hello,
            HandshakeType.server_hello,
            HandshakeType.end_of_early_data,
            HandshakeType.finished,
            HandshakeType.key_update,
        ),
    )
)


class MessageReader:
    """Takes the content of handshake records, gives whole messages, header included."""

    __slots__ = ("_needed", "_partial_size", "_parts", "_queue", "last_type")

    def __init__(self) -> None:
        # The beginning of a message, as it came: joined once, however many records it came in.
        self._parts: list[bytes] = []
        self._partial_size = 0
        self._needed = 0  # so many bytes it takes before there is anything to look at
        self._queue: deque[bytes] = deque()
        self.last_type = 0

    def feed(self, content: bytes) -> None:
        """Take the content of one handshake record."""
        if not content:
            raise PeerMisbehaviour.EMPTY_RECORD("a handshake message")
        data = content
        if self._parts:
            self._parts.append(content)
            self._partial_size += len(content)
            if self._partial_size < self._needed:
                return
            data = b"".join(self._parts)
            self._parts.clear()
            self._partial_size = 0
        position, size = 0, len(data)
        needed = 4  # the header
        while size - position >= 4:
            length = int.from_bytes(data[position + 1 : position + 4], "big")
            is_certificate = data[position] in (_CERTIFICATE, _COMPRESSED_CERTIFICATE)
            if length > (MAX_CERTIFICATE_MESSAGE if is_certificate else MAX_HANDSHAKE_MESSAGE):
                raise PeerMisbehaviour.MESSAGE_TOO_LONG(f"{HandshakeType(data[position])} of {length} bytes")
            end = position + 4 + length
            if end > size:
                needed = 4 + length
                break
            self._queue.append(data[position:end] if position or end < size else data)
            self.last_type = data[position]
            position = end
        if position < size:
            self._parts.append(data[position:])
            self._partial_size = size - position
            self._needed = needed

    def next_message(self) -> bytes | None:
        """The next whole message."""
        return self._queue.popleft() if self._queue else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits: no message and no part of one."""
        return not self._queue and not self._parts

    @property
    def kept(self) -> int:
        """How many bytes wait, in whole messages and in a part of one."""
        return self._partial_size + sum(map(len, self._queue))

    @property
    def has_partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._parts)

    @property
    def may_change_keys(self) -> bool:
        """Whether the last message that came may be followed by a change of keys."""
        return self.last_type in _BEFORE_KEY_CHANGE

    def discard(self) -> None:
        """Forget everything."""
        self._parts.clear()
        self._partial_size = 0
        self._queue.clear()
