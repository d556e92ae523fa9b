"""Streams: a reader that gives all data before the error, and what is left in a plain reader.

The rest of asyncio's streams is used as it is.
"""

import asyncio
from typing import Any

from sanstls import LocalError

__all__ = ["Streams", "TLSReader", "take_buffered"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_MUCH = 1 << 20


class TLSReader(asyncio.StreamReader):
    """A ``StreamReader`` that gives all data that came before an error, and then raises it.

    (asyncio's own raises at once, and what was not read yet is lost.) A truncated connection is at
    no end for ``at_eof``, and every call that comes to where it was cut raises ``UnexpectedEOF``.
    """

    _error: Exception | None = None

    def set_exception(self, exc: Exception) -> None:
        """The data that has come is followed by this error."""
        if self._error is None:
            self._error = exc
            self.feed_eof()

    def exception(self) -> Exception | None:
        """The error, if there is one, whether or not there is data before it. (Writers raise it at once.)"""
        return self._error or super().exception()

    def at_eof(self) -> bool:
        """Whether everything was read, and there was a proper end."""
        return self._error is None and super().at_eof()

    async def read(self, n: int = -1) -> bytes:
        """See ``asyncio.StreamReader``; ``b""`` only where the peer has closed properly."""
        data = await super().read(n)
        if not data and n:
            self._check()
        return data

    async def readexactly(self, n: int) -> bytes:
        """See ``asyncio.StreamReader``."""
        try:
            return await super().readexactly(n)
        except asyncio.IncompleteReadError:
            self._check()
            raise

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        """See ``asyncio.StreamReader``; ``readline`` is made of this."""
        try:
            return await super().readuntil(separator)
        except asyncio.IncompleteReadError:
            self._check()
            raise

    def _check(self) -> None:
        if self._error is not None:
            # Each time anew, or the traceback would grow with each call.
            raise self._error.with_traceback(None)


def take_buffered(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """What a plain reader has got and not given yet, and whether that is its end.

    Whoever reads from it later gets ``LocalError``. Raises ``RuntimeError`` if somebody
    waits in it, and its error if it has one.
    """
    taken = bytearray()
    while not (is_at_end := reader.at_eof()):
        call = reader.read(_MUCH)
        try:
            call.send(None)
        except StopIteration as done:
            taken += done.value
        else:  # it would wait: there is nothing more
            call.close()
            break
    reader.set_exception(LocalError("this stream was upgraded to TLS: read from the one that start_tls() has given"))
    return bytes(taken), is_at_end
