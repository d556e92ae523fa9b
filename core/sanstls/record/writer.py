"""From messages and data to records (RFC 9846 5.1): fragments, coalesces, protects, queues."""

from sanstls.record.limits import MAX_PLAINTEXT
from sanstls.record.protection import LEFT_FOR_KEY_UPDATE, Sealer
from sanstls.record.protection12 import Sealer12

__all__ = ["RecordWriter"]

_HANDSHAKE, _APPLICATION_DATA = b"\x16", b"\x17"


class RecordWriter:
    """Turns what is to be sent into records, and keeps them until they are taken.

    Handshake messages of one flight share records; they are put into records when
    keys change, when something else is sent, or when the bytes are taken.
    """

    __slots__ = ("_messages", "first_record_version", "max_plaintext", "pad_to", "queue", "sealer")

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self._messages: list[bytes] = []
        self.sealer: Sealer | Sealer12 | None = None
        self.max_plaintext = MAX_PLAINTEXT
        self.pad_to = 0
        """Data is padded to multiples of so many bytes; TLS 1.2 can't (RFC 9846 5.4)."""
        # RFC 9846 5.1: 0x0301 in the first ClientHello's record for the sake of old servers, 0x0303 afterwards.
        self.first_record_version = b"\x03\x03"

    def write_message(self, message: bytes) -> None:
        """Queue a handshake message."""
        self._messages.append(message)

    def write_data(self, data: memoryview) -> int:
        """Queue application data, as much as the present keys may protect: how many bytes that was. Needs keys."""
        self.flush_messages()
        sealer = self.sealer
        assert sealer is not None, "RFC 9846 5.1: application data is never sent unprotected"
        step = self.max_plaintext
        size = min(len(data), max(sealer.records_left - LEFT_FOR_KEY_UPDATE, 0) * step)
        for start in range(0, size, step):
            content = data[start : min(start + step, size)]
            if self.pad_to and isinstance(sealer, Sealer):
                padding = min(-len(content) % self.pad_to, step - len(content))
                sealer.seal(self.queue, _APPLICATION_DATA, content, padding)
            else:
                sealer.seal(self.queue, _APPLICATION_DATA, content)
        return size

    def write_record(self, content_type: bytes, content: bytes) -> None:
        """Queue one record of another type (an alert), protected if there are keys."""
        self.flush_messages()
        self._write(content_type, content)

    def write_change_cipher_spec(self) -> None:
        """Queue a change_cipher_spec; TLS 1.2 sends it once, before there are keys (RFC 5246 7.1, RFC 9846 E.4)."""
        self.flush_messages()
        self.queue.append(b"\x14\x03\x03\x00\x01\x01")

    def set_sealer(self, sealer: Sealer | Sealer12) -> None:
        """Change the keys; what was queued before goes out under the old ones."""
        self.flush_messages()
        self.sealer = sealer

    def flush_messages(self) -> None:
        """Put the waiting handshake messages into records."""
        if not self._messages:
            return
        data = self._messages[0] if len(self._messages) == 1 else b"".join(self._messages)
        self._messages.clear()
        for start in range(0, len(data), self.max_plaintext):
            self._write(_HANDSHAKE, data[start : start + self.max_plaintext])

    def _write(self, content_type: bytes, content: bytes) -> None:
        if self.sealer is not None:
            self.sealer.seal(self.queue, content_type, content)
            return
        version, self.first_record_version = self.first_record_version, b"\x03\x03"
        self.queue.append(content_type + version + len(content).to_bytes(2, "big") + content)

    def take(self) -> list[bytes]:
        """All queued buffers, in order."""
        if self._messages:
            self.flush_messages()
        queue, self.queue = self.queue, []
        return queue

    def discard(self) -> None:
        """Forget the messages that are not in records yet."""
        self._messages.clear()
