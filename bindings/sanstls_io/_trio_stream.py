"""TLS on any stream of trio's, in trio's words; what it holds to stands in :mod:`sanstls_io._async_stream`.

Two things are trio's own: a transport that ends without the peer's close_notify is an ``UnexpectedEOF`` that is a
``trio.BrokenResourceError`` as well, and sending on a connection that has failed is one, with the failure as its cause.
"""

import operator
from types import TracebackType
from typing import Self

import trio
from trio import BrokenResourceError, BusyResourceError, ClosedResourceError

from sanstls import UnexpectedEOF
from sanstls_io._async_stream import READ_SIZE, Answers, AsyncTLS, Framework, OnEvent
from sanstls_io._pump import Buffer, Connection

__all__ = ["Answers", "OnEvent", "TLSStream", "TruncationError"]


class TruncationError(UnexpectedEOF, BrokenResourceError):
    """The transport ended without close_notify: something may be missing. It is trio's error for that, too."""


class _Guard:
    """Only one task at a time."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_held = False

    def __enter__(self) -> None:
        if self._is_held:
            raise BusyResourceError(f"another task is {self._what} this stream")
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False


class TLSStream(AsyncTLS, trio.abc.HalfCloseableStream):
    """A TLS connection on any stream, TLS included, which belongs to it.

    The handshake is done by the first call that needs it, or by :meth:`do_handshake`.
    ``answers`` is awaited with every request that the configuration defers. ``on_event`` is
    told every event (a trace, sessions, ...), and must not use the stream. With
    ``standard_compatible=False`` a transport that ends without close_notify is a proper end:
    only for protocols that tell themselves whether something is missing. ``SSLKEYLOGFILE`` is
    honoured if the configuration has ``key_log=True``.

    Leaving it as a context manager closes it; by an exception with an alert, as the peer must
    not believe that it has got everything.
    """

    framework = Framework(
        broken=BrokenResourceError,
        closed=ClosedResourceError,
        busy=BusyResourceError,
        cancelled=lambda: trio.Cancelled,
        checkpoint=trio.lowlevel.checkpoint,
        checkpoint_if_cancelled=trio.lowlevel.checkpoint_if_cancelled,
        move_on_after=trio.move_on_after,
        open_group=trio.open_nursery,
        new_lock=trio.Lock,
        new_guard=_Guard,
    )
    _how_to_receive = 'receive_some() has given b""'

    def __init__(
        self,
        transport_stream: trio.abc.Stream,
        connection: Connection,
        *,
        answers: Answers | None = None,
        standard_compatible: bool = True,
        on_event: OnEvent | None = None,
    ) -> None:
        super().__init__(
            transport_stream,
            connection,
            answers=answers,
            standard_compatible=standard_compatible,
            on_event=on_event,
        )

    def export_keying_material(self, label: str | bytes, length: int, context: bytes | None = None) -> bytes:
        """Keying material for the application, see ``ClientConnection.export_keying_material``."""
        return self.connection.export_keying_material(label, length, context)

    async def _receive_from_transport(self) -> bytes | bytearray | None:
        return await self.transport_stream.receive_some(READ_SIZE) or None

    async def _send_to_transport(self, data: bytes) -> None:
        await self.transport_stream.send_all(data)

    def _check_not_failed(self) -> None:
        if self._pump.error is not None:
            raise BrokenResourceError("the connection has failed") from self._pump.error

    async def do_handshake(self) -> None:
        """Complete the handshake, if it is not complete. Raises its error."""
        self._check_open()
        if self._pump.is_complete:
            await trio.lowlevel.checkpoint()
        await self._handshake()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """At least one byte and at most ``max_bytes``, or ``b""`` when the peer has closed its side properly."""
        size = 65536 if max_bytes is None else operator.index(max_bytes)
        if size < 1:
            raise ValueError("max_bytes must be at least 1")
        try:
            return await self._receive(size)
        except UnexpectedEOF as error:
            if self.standard_compatible:
                raise TruncationError(str(error)) from error
            return b""

    async def send_all(self, data: Buffer) -> None:
        """Send all of ``data``."""
        await self._send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until ``send_all`` may make progress."""
        with self._sending:
            self._check_sendable()
            await self._handshake()
            async with self._transport_in_use:
                await self.transport_stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send close_notify: this side sends no more, the peer still may. Again, it does nothing."""
        await self._send_eof()

    async def aclose(self) -> None:
        """Send close_notify and close the transport. The peer's close_notify is not waited for.

        A peer that takes nothing is given a second; if this is cancelled, none.
        """
        await self._aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave(kind)
