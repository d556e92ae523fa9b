"""From bytes to records (RFC 9846 5.1): finds them, opens them, and bounds them."""

from sanstls.misbehaviour import PeerError, PeerMisbehaviour
from sanstls.record.limits import MAX_PLAINTEXT
from sanstls.record.protection import Opener
from sanstls.record.protection12 import Opener12

__all__ = ["SKIPPED", "RecordReader"]

SKIPPED = (-1, b"")
"""In place of a record: one that was passed over."""

_HEADER = 5
_ALERT, _CCS, _APPLICATION_DATA = 21, 20, 23

_HTTP_STARTS = (b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"CONN", b"TRAC", b"PATC", b"HTTP", b"PRI ")


class RecordReader:
    """Takes bytes in any chunks, gives ``(content type, content)``, one record a call.

    A complete record is read where it lies in the caller's buffer; only what is
    left over between calls is copied.
    """

    __slots__ = ("_left", "_position", "_size", "_view", "allows_plain_alert", "opener", "seen_first", "skippable")

    def __init__(self) -> None:
        self._left = b""
        self._view: memoryview | None = None
        self._position = 0
        self._size = 0
        self.opener: Opener | Opener12 | None = None
        self.seen_first = False
        # A client that can't go on after the ServerHello has no keys for its alert (RFC 9846 6): until the
        # first protected record has come, a plain alert is believed.
        self.allows_plain_alert = False
        # Early data that is not taken can't be read, and is skipped up to so many bytes (RFC 9846 4.3.10).
        self.skippable = 0

    @property
    def kept(self) -> int:
        """How many bytes wait to be read."""
        return self._size - self._position if self._view is not None else len(self._left)

    @property
    def unread(self) -> bytes:
        """The bytes that wait to be read, as they came."""
        return self._left if self._view is None else bytes(self._view[self._position :])

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes in. They are read by :meth:`next_record` until :meth:`keep` is called."""
        if self._left:
            data = b"".join((self._left, data))
            self._left = b""
        self._view = memoryview(data).cast("B") if isinstance(data, memoryview) else memoryview(data)
        self._size = len(self._view)
        self._position = 0

    def keep(self) -> None:
        """The caller's buffer goes away: copy what was not read."""
        if self._view is not None:
            position = self._position
            self._left = bytes(self._view[position:]) if position < self._size else b""
            self._view = None

    def discard(self) -> None:
        """Forget everything that was not read."""
        self._left = b""
        self._view = None

    def peek_type(self) -> int | None:
        """The outer content type of the next record, if it has begun."""
        if self._view is None or self._position >= self._size:
            return None
        return self._view[self._position]

    def next_record(self) -> tuple[int, bytes] | None:
        """The next record, or ``None`` if it is not complete, or ``SKIPPED``. Raises :class:`PeerError`."""
        start = self._position
        body = start + _HEADER
        view = self._view
        if view is None or body > self._size:
            if view is not None and not self.seen_first and start < self._size:
                self._check_first(bytes(view[start : self._size]))
            return None
        content_type = view[start]
        end = body + (view[start + 3] << 8 | view[start + 4])
        opener = self.opener
        if opener is not None and (
            content_type == _APPLICATION_DATA
            or (opener.protects_every_type and _CCS <= content_type < _APPLICATION_DATA)
        ):
            if end - body > opener.max_ciphertext:
                raise PeerMisbehaviour.RECORD_OVERFLOW(f"{end - body} bytes of ciphertext")
            if end > self._size:
                return None
            self._position = end
            try:
                record = opener.open(view[start:body], view[body:end])
            except PeerError as error:
                if error.kind is not PeerMisbehaviour.BAD_RECORD_MAC or not self._skip(end - start):
                    raise
                return SKIPPED
            self.allows_plain_alert = False
            self.skippable = 0
            return record
        if not self.seen_first:
            self._check_first(bytes(view[start : start + 16]))
        if not _CCS <= content_type <= _APPLICATION_DATA:
            raise PeerMisbehaviour.UNKNOWN_RECORD_TYPE(f"type {content_type}")
        if opener is not None and content_type != _CCS and not (content_type == _ALERT and self.allows_plain_alert):
            raise PeerMisbehaviour.UNPROTECTED_RECORD(f"type {content_type}")
        is_skippable = content_type == _APPLICATION_DATA and end - start <= self.skippable
        if end - body > MAX_PLAINTEXT and not is_skippable:
            raise PeerMisbehaviour.RECORD_OVERFLOW(f"{end - body} bytes of plaintext")
        if end > self._size:
            return None
        self._position = end
        if content_type == _APPLICATION_DATA and self._skip(end - start):
            return SKIPPED
        self.seen_first = True
        return content_type, bytes(view[body:end])

    def _skip(self, size: int) -> bool:
        """Whether a record of this size may be passed over."""
        if size > self.skippable:
            return False
        self.skippable -= size
        return True

    def _check_first(self, start: bytes) -> None:
        """Say what came instead of TLS: plain HTTP, an SSL 2.0 hello, or something else (RFC 9846 E.2)."""
        if start[0] in (20, 21, 22):
            return
        error: PeerError | None = None
        if any(start[:4] == method[: len(start)] for method in _HTTP_STARTS):
            if len(start) >= 4:
                error = PeerMisbehaviour.PLAIN_HTTP("the peer does not speak TLS on this port")
        elif start[0] & 0x80 and (len(start) < 3 or start[2] == 1):
            # SSLv2 CLIENT-HELLO: two bytes of length with the high bit set, then message type 1.
            if len(start) >= 5:
                error = PeerMisbehaviour.OBSOLETE_VERSION("a hello in the format of SSL 2.0")
        else:
            error = PeerMisbehaviour.NOT_TLS(f"first byte 0x{start[0]:02x}")
        if error is not None:
            raise error
