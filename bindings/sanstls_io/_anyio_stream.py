"""TLS on any stream of anyio's, in anyio's words; what it holds to stands in :mod:`sanstls_io._async_stream`."""

from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

import anyio
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream, get_cancelled_exc_class
from anyio.abc import AnyByteStream, ByteReceiveStream, ByteStream
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from sanstls import UnexpectedEOF
from sanstls_io._anyio_attributes import attributes_of
from sanstls_io._async_stream import READ_SIZE, Answers, AsyncTLS, Framework, OnEvent
from sanstls_io._pump import Connection

__all__ = ["Answers", "OnEvent", "TLSStream", "wrap_or_close"]


class TLSStream(AsyncTLS, ByteStream):
    """A TLS connection on any stream of bytes, TLS included. Made by :meth:`wrap`, not directly.

    What goes wrong on the wire is raised as the connection tells it (``CertificateError``,
    ``AlertReceivedError``, ``PeerError``, ``UnexpectedEOF``), after its alert has been sent; what
    goes wrong with the transport is ``anyio.BrokenResourceError``. With
    ``standard_compatible=False`` a transport that ends without close_notify is a proper
    end: only for protocols that tell themselves whether something is missing.

    Leaving it as a context manager closes it; by an exception with an alert, as the peer must not
    believe that it has got everything.
    """

    framework = Framework(
        broken=BrokenResourceError,
        closed=ClosedResourceError,
        busy=BusyResourceError,
        cancelled=get_cancelled_exc_class,
        checkpoint=checkpoint,
        checkpoint_if_cancelled=checkpoint_if_cancelled,
        move_on_after=anyio.move_on_after,
        open_group=anyio.create_task_group,
        new_lock=partial(anyio.Lock, fast_acquire=True),
        new_guard=anyio.ResourceGuard,
    )
    _how_to_receive = "receive() has raised EndOfStream"

    def __init__(
        self,
        transport_stream: AnyByteStream,
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
        self._transport_receive = transport_stream.receive
        if isinstance(transport_stream, ByteReceiveStream):  # one of objects that are bytes knows no sizes
            self._transport_receive = partial(transport_stream.receive, READ_SIZE)

    @classmethod
    async def wrap(
        cls,
        transport_stream: AnyByteStream,
        connection: Connection,
        *,
        answers: Answers | None = None,
        standard_compatible: bool = True,
        on_event: OnEvent | None = None,
    ) -> "TLSStream":
        """Do the handshake of ``connection`` on a stream, which belongs to the result then.

        ``answers`` is awaited with every request that the configuration defers. ``on_event``
        is told every event (a trace, sessions, ...), and must not use the stream.
        ``SSLKEYLOGFILE`` is honoured if the configuration has ``key_log=True``. Raises the
        handshake's error; the transport is the caller's to close then.
        """
        stream = cls(
            transport_stream,
            connection,
            answers=answers,
            standard_compatible=standard_compatible,
            on_event=on_event,
        )
        await stream._handshake()
        return stream

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the transport, ``TLSAttribute``'s as far as they are known here, and ``ConnectionAttribute``'s.

        ``cipher`` has the name that IANA gave it, also in TLS 1.2;
        ``channel_binding_tls_unique`` is there in TLS 1.2 alone.
        """
        return attributes_of(self.connection, self.transport_stream, is_standard=self.standard_compatible)

    async def _receive_from_transport(self) -> bytes | None:
        try:
            return await self._transport_receive()
        except EndOfStream:
            return None

    async def _send_to_transport(self, data: bytes) -> None:
        await self.transport_stream.send(data)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At least one byte and at most ``max_bytes``; ``anyio.EndOfStream`` when the peer has closed properly.

        Raises ``UnexpectedEOF`` if the peer's bytes just end (something may be missing),
        unless ``standard_compatible=False`` makes that a proper end.
        """
        if max_bytes < 1:
            raise ValueError("max_bytes must be a positive integer")
        try:
            data = await self._receive(max_bytes)
        except UnexpectedEOF:
            if self.standard_compatible:
                raise
            raise EndOfStream from None
        if not data:
            raise EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """Send all of ``item``."""
        await self._send(item)

    async def send_eof(self) -> None:
        """Send close_notify: this side sends no more, the peer still may. Again, it does nothing."""
        await self._send_eof()

    async def aclose(self) -> None:
        """Send close_notify and close the transport. The peer's close_notify is not waited for.

        A peer that takes nothing is given a second; if this is cancelled, none.
        """
        await self._aclose()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self._leave(exc_type)


async def wrap_or_close(transport_stream: AnyByteStream, connection: Connection, **options: Any) -> TLSStream:
    """As :meth:`TLSStream.wrap`, but the transport is closed if the handshake fails."""
    stream = TLSStream(transport_stream, connection, **options)
    try:
        await stream._handshake()
    except BaseException:
        await stream.aclose()
        raise
    return stream
