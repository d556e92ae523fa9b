"""TLS on any stream of anyio's. The protocol is the connection's affair: here are its bytes, waiting, and manners.

What a stream holds to:

- One task may receive while another one sends; two that do the same get ``anyio.BusyResourceError``.
- A task that receives never waits for one that sends. What the connection itself wants sent (the answer to a KeyUpdate,
  an alert) is left to the task that sends, if there is one. If there is none, it goes out while more is read, so that
  two sides which both wait to be read from go on.
- A ``receive`` that is cancelled has lost nothing. A ``send`` that is cancelled before the transport was given
  something has sent nothing, and all can go on; later nobody can tell how much of a record is on its way, so nothing
  can be sent any more (``anyio.BrokenResourceError``), while receiving goes on.
- Data that came before an error is received before the error is raised.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

import anyio
from anyio import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
    get_cancelled_exc_class,
)
from anyio.abc import AnyByteStream, ByteReceiveStream, ByteStream
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from sanstls import (
    ConnectionInfo,
    ConnectionState,
    Event,
    LocalError,
    Request,
    TLSError,
    UnexpectedEOF,
)
from sanstls_io import keylog
from sanstls_io._anyio_attributes import attributes_of
from sanstls_io._pump import Connection, Pump

__all__ = ["Answers", "OnEvent", "TLSStream", "wrap_or_close"]

Answers = Callable[[Request[Any]], Awaitable[object]]
"""Finds the answer to a request; raises a ``TLSError`` to reject it."""
OnEvent = Callable[[Event], None]

_PATIENCE = 1.0
"""Seconds that a last word (close_notify, an alert) waits for a peer that takes nothing."""
_TURNS = 10
"""Turns of the event loop in which a transport gives something that it has already got."""
_READ_SIZE = 1 << 17
"""How many bytes are read at once."""
_SEND_SIZE = 1 << 17
"""How many bytes of data are sealed at once: so much memory a large ``send`` takes."""
_READ_AHEAD = 1 << 20
"""How many bytes are read, at most, for nobody who receives: while a peer takes nothing, or at the end."""
_GONE = (BrokenResourceError, ClosedResourceError)


class TLSStream(ByteStream):
    """A TLS connection on any stream of bytes, TLS included. Made by :meth:`wrap`, not directly.

    What goes wrong on the wire is raised as the connection tells it (``CertificateError``,
    ``AlertReceivedError``, ``PeerError``, ``UnexpectedEOF``), after its alert has been sent; what
    goes wrong with the transport is ``anyio.BrokenResourceError``. With
    ``standard_compatible=False`` a transport that ends without close_notify is a proper
    end: only for protocols that tell themselves whether something is missing.

    Leaving it as a context manager closes it; by an exception with an alert, as the peer must not
    believe that it has got everything.
    """

    def __init__(
        self,
        transport_stream: AnyByteStream,
        connection: Connection,
        *,
        answers: Answers | None = None,
        standard_compatible: bool = True,
        on_event: OnEvent | None = None,
    ) -> None:
        self.transport_stream = transport_stream
        self._transport_receive: Callable[[], Awaitable[bytes]] = transport_stream.receive
        if isinstance(transport_stream, ByteReceiveStream):  # one of objects that are bytes knows no sizes
            self._transport_receive = partial(transport_stream.receive, _READ_SIZE)
        self.standard_compatible = standard_compatible
        # The file is not touched before there is something to write: most connections log nothing.
        write_key_log = keylog.append if keylog.is_wanted() else None
        self._pump = Pump(connection, on_event=on_event, write_key_log=write_key_log)
        self._answers = answers
        self._receiving = anyio.ResourceGuard("reading from")
        self._sending = anyio.ResourceGuard("writing to")
        self._transport_in_use = anyio.Lock(fast_acquire=True)  # held to send; never to receive
        self._is_broken = False  # nobody knows how much of a record the peer has got
        self._is_unreadable = False
        self._is_eof_sent = False
        self._is_closed = False

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

    def __repr__(self) -> str:
        return f"<TLSStream on {self.transport_stream!r}: {self.connection.state.value}>"

    @property
    def connection(self) -> Connection:
        """The connection itself."""
        return self._pump.connection

    @property
    def info(self) -> ConnectionInfo:
        """What was negotiated."""
        return self.connection.info

    def pending(self) -> int:
        """How many bytes ``receive`` would give without reading from the transport."""
        return self._pump.available

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the transport, ``TLSAttribute``'s as far as they are known here, and ``ConnectionAttribute``'s.

        ``cipher`` has the name that IANA gave it, also in TLS 1.2;
        ``channel_binding_tls_unique`` is there in TLS 1.2 alone.
        """
        return attributes_of(self.connection, self.transport_stream, is_standard=self.standard_compatible)

    # The handshake --------------------------------------------------------------------------------------------------

    async def _handshake(self) -> None:
        while not self._pump.handshake_is_over():
            if self._pump.request is not None:
                await self._answer(self._pump.request)
            else:
                await self._push()
                await self._feed(await self._read())
        await self._push()

    async def _answer(self, request: Request[Any]) -> None:
        kind = type(request).__name__
        try:
            if self._answers is None:
                raise LocalError(f"the configuration defers {kind}, but nobody answers it: give answers=...")
            try:
                value = await self._answers(request)
            except LocalError:
                raise
            except TLSError as error:
                self._pump.reject(request, error)
            else:
                self._pump.answer(request, value)
        except get_cancelled_exc_class():
            raise  # the request still waits
        except BaseException:
            # The caller's own mistake. The peer can't be left waiting.
            self._pump.abort()
            raise
        finally:
            await self._send_last_words()

    # Receiving ------------------------------------------------------------------------------------------------------

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At least one byte and at most ``max_bytes``; ``anyio.EndOfStream`` when the peer has closed properly.

        Raises ``UnexpectedEOF`` if the peer's bytes just end (something may be missing),
        unless ``standard_compatible=False`` makes that a proper end.
        """
        if max_bytes < 1:
            raise ValueError("max_bytes must be a positive integer")
        pump = self._pump
        with self._receiving:
            self._check_open()
            if pump.available or pump.is_ended or pump.error is not None:
                await checkpoint()  # before data is taken, or it would be lost when this is cancelled
            try:
                while (data := pump.receive(max_bytes)) is None:
                    await self._go_on()
            except UnexpectedEOF:
                if self.standard_compatible:
                    raise
                raise EndOfStream from None
        if not data:
            raise EndOfStream
        return data

    async def _go_on(self) -> None:
        """Answer what is asked, or read once."""
        if self._pump.request is not None:
            await self._answer(self._pump.request)
        elif self._pump.has_output and not self._is_broken and not self._transport_in_use.locked():
            await self._read_and_push()
        else:
            await self._feed(await self._read())
        self._check_open()

    async def _read(self) -> bytes | None:
        """What the transport gives next, ``None`` at its end."""
        if self._is_unreadable:
            raise BrokenResourceError  # some transports that have told it once give an end from then on
        try:
            return await self._transport_receive()
        except EndOfStream:
            return None
        except (BrokenResourceError, OSError, TLSError) as error:  # a transport may be TLS itself, of some kind
            self._is_unreadable = True
            raise error if isinstance(error, BrokenResourceError) else BrokenResourceError from error

    async def _feed(self, data: bytes | None) -> None:
        """Give the connection what was read, and send the alert if that was its end."""
        if self._is_closed:
            return  # an end that comes from this side tells nothing about the peer
        try:
            if data is None:
                self._pump.feed_eof()
            else:
                self._pump.feed(data)
        finally:
            await self._send_last_words()

    async def _read_and_push(self) -> None:
        """Send what the connection wants sent, and read until that is sent."""
        self._transport_in_use.acquire_nowait()
        failure: Exception | None = None
        try:
            await checkpoint_if_cancelled()
            data = b"".join(self._pump.buffers_to_send())
            async with anyio.create_task_group() as group:

                async def push() -> None:
                    with contextlib.suppress(*_GONE):
                        await self._give(data)
                    group.cancel_scope.cancel()

                group.start_soon(push)
                try:
                    while self._pump.available < _READ_AHEAD and self.connection.wants_data:
                        await self._feed(await self._read())
                except Exception as error:  # raised below: out of here it would become a group
                    failure = error
        finally:
            self._transport_in_use.release()
        await self._send_last_words()
        if failure is not None:
            raise failure

    # Sending --------------------------------------------------------------------------------------------------------

    async def send(self, item: bytes) -> None:
        """Send all of ``item``."""
        with self._sending:
            self._check_sendable()
            async with self._transport_in_use:
                await checkpoint_if_cancelled()  # from here on, nothing may come between
                if len(item) <= _SEND_SIZE:
                    self._pump.send(item)
                    await self._push()
                    return
                view = memoryview(item)
                for start in range(0, len(view), _SEND_SIZE):
                    self._pump.send(view[start : start + _SEND_SIZE])
                    await self._push()

    async def send_eof(self) -> None:
        """Send close_notify: this side sends no more, the peer still may. Again, it does nothing."""
        with self._sending:
            if self._is_eof_sent:
                await checkpoint()
                return
            self._check_sendable()
            async with self._transport_in_use:
                await checkpoint_if_cancelled()
                self._pump.check()
                self._is_eof_sent = True
                self.connection.close()
                await self._push()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedResourceError

    def _check_sendable(self) -> None:
        self._check_open()
        self._pump.check()
        if self._is_eof_sent:
            raise ClosedResourceError
        if self._is_broken:
            raise BrokenResourceError

    async def _push(self) -> None:
        """Send all that is queued. Needs ``_transport_in_use``, but in the handshake, when nobody else is there."""
        while self._pump.has_output:
            buffers = self._pump.buffers_to_send()
            try:
                await self._give(buffers[0] if len(buffers) == 1 else b"".join(buffers))
            except BrokenResourceError as error:
                await self._explain(error)
                raise

    async def _give(self, data: bytes) -> None:
        if self._is_broken:
            raise BrokenResourceError
        try:
            await self.transport_stream.send(data)
        except BaseException as error:
            self._is_broken = True
            if isinstance(error, OSError | TLSError):
                raise BrokenResourceError from error
            raise

    async def _explain(self, error: BrokenResourceError) -> None:
        """The peer takes nothing more: raise why, if it has said so by an alert."""
        received: list[bytes] = []
        try:
            await self._read_at_once(received)
        finally:
            for data in received:
                self._pump.feed(data)
        if self._pump.error is not None:
            raise self._pump.error.with_traceback(None) from error

    async def _read_at_once(self, received: list[bytes]) -> None:
        """Take what the transport has already got, if nobody else reads."""
        turns = _TURNS

        async def stop() -> None:
            nonlocal turns
            while turns > 0:
                turns -= 1
                await checkpoint()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            with contextlib.suppress(BusyResourceError, *_GONE), self._receiving:
                left = _READ_AHEAD
                while left > 0 and (data := await self._read()) is not None:
                    received.append(data)
                    left -= len(data)
                    turns = _TURNS
            group.cancel_scope.cancel()

    async def _send_last_words(self) -> None:
        """Send the alert of a connection that has failed, if the transport takes it soon."""
        # Who sends just now will send that, too.
        if self.connection.state is ConnectionState.FAILED and not self._transport_in_use.locked():
            await self._push_soon(shield=True)

    async def _push_soon(self, *, shield: bool) -> None:
        """Send all that is queued, if the transport takes it soon. Its errors don't matter any more."""
        with anyio.move_on_after(_PATIENCE, shield=shield), contextlib.suppress(*_GONE):
            async with self._transport_in_use:
                while self._pump.has_output:
                    await self._give(b"".join(self._pump.buffers_to_send()))

    # The end --------------------------------------------------------------------------------------------------------

    async def unwrap(self) -> tuple[AnyByteStream, bytes]:
        """End TLS in both directions: the transport, and the first of the bytes that the peer sent after TLS.

        Sends close_notify and waits for the peer's. Raises ``LocalError`` if data comes
        before it: receive until ``anyio.EndOfStream``, then unwrap again.
        """
        await self.send_eof()
        with self._receiving:
            self._check_open()
            while not self._is_ended():
                await self._go_on()
            self._is_closed = True
        return self.transport_stream, self.connection.trailing_data

    def _is_ended(self) -> bool:
        if self._pump.available:
            raise LocalError("there is data to receive: unwrap when receive() has raised EndOfStream")
        return self._pump.receive(1) is not None

    async def aclose(self) -> None:
        """Send close_notify and close the transport. The peer's close_notify is not waited for.

        A peer that takes nothing is given a second; if this is cancelled, none.
        """
        if self._is_closed:
            await checkpoint()
            return
        self._is_closed = True
        try:
            # In the middle of somebody's data an end would not be a proper one.
            if not self._is_broken and not self._transport_in_use.locked():
                await checkpoint_if_cancelled()
                self.connection.close()
                await self._push_soon(shield=False)
                if not self._pump.is_ended:
                    # A socket that is closed with something unread in it resets, and what was sent may be lost.
                    await self._read_at_once([])
        finally:
            await self.transport_stream.aclose()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self._pump.abort()
        await self.aclose()


async def wrap_or_close(transport_stream: AnyByteStream, connection: Connection, **options: Any) -> TLSStream:
    """As :meth:`TLSStream.wrap`, but the transport is closed if the handshake fails."""
    stream = TLSStream(transport_stream, connection, **options)
    try:
        await stream._handshake()
    except BaseException:
        await stream.aclose()
        raise
    return stream
