"""File objects on a TLS socket, as ``socket.makefile`` makes them."""

import io
from typing import Any, Protocol

__all__ = ["open_file"]


class Stream(Protocol):
    """What a file needs of a socket."""

    def fileno(self) -> int: ...

    def recv_into(self, buffer: memoryview) -> int: ...

    def send(self, data: bytes | memoryview) -> int: ...

    def file_opened(self) -> None: ...

    def file_closed(self) -> None: ...


def open_file(
    stream: Stream, mode: str, buffering: int | None, encoding: str | None, errors: str | None, newline: str | None
) -> Any:
    """A file object on ``stream``. ``ValueError`` for a mode that a socket can't have."""
    if not set(mode) <= {"r", "w", "b"} or not set(mode) & {"r", "w"}:
        raise ValueError(f"invalid mode {mode!r}: only r, w and b are allowed")
    is_binary = "b" in mode
    if buffering == 0 and not is_binary:
        raise ValueError("unbuffered streams must be binary")
    raw = _RawFile(stream, can_read="r" in mode, can_write="w" in mode)
    if buffering == 0:
        return raw
    size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
    buffered: Any
    if raw.readable() and raw.writable():
        buffered = io.BufferedRWPair(raw, raw, size)
    else:
        buffered = io.BufferedReader(raw, size) if raw.readable() else io.BufferedWriter(raw, size)
    return buffered if is_binary else io.TextIOWrapper(buffered, encoding, errors, newline)


class _RawFile(io.RawIOBase):
    """What buffers and text layers stand on."""

    def __init__(self, sock: Stream, *, can_read: bool, can_write: bool) -> None:
        self._tls = sock
        self._can_read = can_read
        self._can_write = can_write
        self._is_timed_out = False
        sock.file_opened()

    def readable(self) -> bool:
        return self._can_read

    def writable(self) -> bool:
        return self._can_write

    def fileno(self) -> int:
        return self._tls.fileno()

    def readinto(self, buffer: Any) -> int:
        self._checkClosed()
        if not self._can_read:
            raise io.UnsupportedOperation("the file is not open for reading")
        if self._is_timed_out:
            raise OSError("a read timed out, and what the buffer had by then is lost")
        try:
            return self._tls.recv_into(memoryview(buffer))
        except TimeoutError:
            self._is_timed_out = True
            raise

    def write(self, data: Any) -> int:
        self._checkClosed()
        if not self._can_write:
            raise io.UnsupportedOperation("the file is not open for writing")
        return self._tls.send(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._tls.file_closed()
