"""What a TLS stream is in every asynchronous style; only the words for waiting and failing differ, which are given.

What such a stream holds to:

- One task may receive while another one sends; two that do the same are told that it is busy.
- A task that receives never waits for one that sends. What the connection itself wants sent (the answer to a KeyUpdate,
  an alert) is left to the task that sends, if there is one. If there is none, it goes out while more is read, so that
  two sides which both wait to be read from go on.
- To be cancelled while receiving loses nothing. A sending that is cancelled before the transport was given something
  has sent nothing, and all can go on; later nobody can tell how much of a record is on its way, so nothing can be sent
  any more (the stream is broken), while receiving goes on.
- Data that came before an error is received before the error is raised, and errors keep their type.
- Closing waits for nobody: a peer that takes nothing is given a second for close_notify, and its own is not waited for.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, NamedTuple

from sanstls import ConnectionInfo, ConnectionState, Event, LocalError, Request, TLSError
from sanstls_io import keylog
from sanstls_io._pump import Buffer, Connection, Pump

__all__ = ["READ_SIZE", "Answers", "AsyncTLS", "Framework", "OnEvent"]

Answers = Callable[[Request[Any]], Awaitable[object]]
"""Finds the answer to a request; raises a ``TLSError`` to reject it."""
OnEvent = Callable[[Event], None]

_PATIENCE = 1.0
"""Seconds that a last word (close_notify, an alert) waits for a peer that takes nothing."""
_TURNS = 10
"""Turns of the event loop in which a transport gives something that it has already got."""
READ_SIZE = 1 << 17
"""How many bytes are read at once."""
_SEND_SIZE = 1 << 17
"""How many bytes of data are sealed at once: so much memory a large sending takes."""
_READ_AHEAD = 1 << 20
"""How many bytes are read, at most, for nobody who receives: while a peer takes nothing, or at the end."""


class Framework(NamedTuple):
    """What a style calls the things that all of them have."""

    broken: type[Exception]
    closed: type[Exception]
    busy: type[Exception]
    cancelled: Callable[[], type[BaseException]]
    checkpoint: Callable[[], Awaitable[None]]
    checkpoint_if_cancelled: Callable[[], Awaitable[None]]
    move_on_after: Callable[..., Any]
    open_group: Callable[[], Any]
    new_lock: Callable[[], Any]
    new_guard: Callable[[str], Any]


class AsyncTLS(ABC):
    """A TLS connection on a stream of any style. The styles' own classes give it its methods' names."""

    framework: ClassVar[Framework]
    _how_to_receive: ClassVar[str]

    def __init__(
        self,
        transport_stream: Any,
        connection: Connection,
        *,
        answers: Answers | None = None,
        standard_compatible: bool = True,
        on_event: OnEvent | None = None,
    ) -> None:
        self.transport_stream = transport_stream
        self.standard_compatible = standard_compatible
        # The file is not touched before there is something to write: most connections log nothing.
        write_key_log = keylog.append if keylog.is_wanted() else None
        self._pump = Pump(connection, on_event=on_event, write_key_log=write_key_log)
        self._answers = answers
        style = self.framework
        self._gone = (style.broken, style.closed)
        self._receiving = style.new_guard("reading from")
        self._sending = style.new_guard("writing to")
        self._handshaking = style.new_lock()
        self._transport_in_use = style.new_lock()  # held to send; never to receive
        self._is_broken = False  # nobody knows how much of a record the peer has got
        self._is_unreadable = False
        self._is_eof_sent = False
        self._is_closed = False

    @abstractmethod
    async def _receive_from_transport(self) -> bytes | bytearray | None:
        """What comes next, ``None`` at the end."""

    @abstractmethod
    async def _send_to_transport(self, data: bytes) -> None:
        """Send all of it."""

    def __repr__(self) -> str:
        return f"<TLSStream on {self.transport_stream!r}: {self.connection.state.value}>"

    @property
    def connection(self) -> Connection:
        """The connection itself."""
        return self._pump.connection

    @property
    def info(self) -> ConnectionInfo:
        """What was negotiated. ``LocalError`` before the handshake is complete."""
        return self.connection.info

    def pending(self) -> int:
        """How many bytes can be received without reading from the transport."""
        return self._pump.available

    # The handshake --------------------------------------------------------------------------------------------------

    async def _handshake(self) -> None:
        if self._pump.is_complete:
            return
        async with self._handshaking:
            while not self._pump.handshake_is_over():
                if self._pump.request is not None:
                    await self._answer(self._pump.request)
                else:
                    await self._push()
                    await self._feed(await self._read())
                self._check_open()
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
        except self.framework.cancelled():
            raise  # the request still waits
        except BaseException:
            # The caller's own mistake. The peer can't be left waiting.
            self._pump.abort()
            raise
        finally:
            await self._send_last_words()

    # Receiving ------------------------------------------------------------------------------------------------------

    async def _receive(self, size: int) -> bytes:
        """At least one byte and at most ``size``, ``b""`` at the proper end."""
        pump = self._pump
        with self._receiving:
            self._check_open()
            await self._handshake()
            if pump.available or pump.is_ended or pump.error is not None:
                await self.framework.checkpoint()  # before data is taken, or it would be lost when this is cancelled
            while (data := pump.receive(size)) is None:
                await self._go_on()
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

    async def _read(self) -> bytes | bytearray | None:
        """What the transport gives next, ``None`` at its end."""
        if self._is_unreadable:
            raise self.framework.broken  # some transports that have told it once give an end from then on
        try:
            return await self._receive_from_transport()
        except (self.framework.broken, OSError, TLSError) as error:  # a transport may be TLS itself, of some kind
            self._is_unreadable = True
            raise error if isinstance(error, self.framework.broken) else self.framework.broken() from error

    async def _feed(self, data: bytes | bytearray | None) -> None:
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
            await self.framework.checkpoint_if_cancelled()
            data = b"".join(self._pump.buffers_to_send())
            async with self.framework.open_group() as group:

                async def push() -> None:
                    with contextlib.suppress(*self._gone):
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

    async def _send(self, data: Buffer) -> None:
        """Send all of ``data``."""
        with self._sending:
            self._check_sendable()
            await self._handshake()
            async with self._transport_in_use:
                await self.framework.checkpoint_if_cancelled()  # from here on, nothing may come between
                self._check_sendable()
                view = memoryview(data).cast("B")
                for start in range(0, max(len(view), 1), _SEND_SIZE):
                    self._pump.send(view[start : start + _SEND_SIZE])
                    await self._push()

    async def _send_eof(self) -> None:
        """Send close_notify: this side sends no more, the peer still may. Again, it does nothing."""
        with self._sending:
            self._check_open()
            if self._is_eof_sent:
                await self.framework.checkpoint()
                return
            self._check_sendable()
            await self._handshake()
            async with self._transport_in_use:
                await self.framework.checkpoint_if_cancelled()
                self._pump.check()
                self._is_eof_sent = True
                self.connection.close()
                await self._push()

    def _check_open(self) -> None:
        if self._is_closed:
            raise self.framework.closed("this stream is closed, or this side of it")

    def _check_not_failed(self) -> None:
        """Raise what is raised by sending on a connection that has failed."""
        self._pump.check()

    def _check_sendable(self) -> None:
        self._check_open()
        self._check_not_failed()
        if self._is_eof_sent:
            raise self.framework.closed("this stream is closed, or this side of it")
        if self._is_broken:
            raise self.framework.broken("nobody knows how much of an earlier sending has gone out")

    async def _push(self) -> None:
        """Send all that is queued. Needs ``_transport_in_use``, but in the handshake, when nobody else is there."""
        while self._pump.has_output:
            buffers = self._pump.buffers_to_send()
            try:
                await self._give(buffers[0] if len(buffers) == 1 else b"".join(buffers))
            except self.framework.broken as error:
                await self._explain(error)
                raise

    async def _give(self, data: bytes) -> None:
        if self._is_broken:
            raise self.framework.broken("nobody knows how much of an earlier sending has gone out")
        try:
            await self._send_to_transport(data)
        except BaseException as error:
            self._is_broken = True
            if isinstance(error, OSError | TLSError):
                raise self.framework.broken from error
            raise

    async def _explain(self, error: Exception) -> None:
        """The peer takes nothing more: raise why, if it has said so by an alert."""
        received: list[bytes | bytearray] = []
        try:
            await self._read_at_once(received)
        finally:
            for data in received:
                self._pump.feed(data)
        if self._pump.error is not None:
            raise self._pump.error.with_traceback(None) from error

    async def _read_at_once(self, received: list[bytes | bytearray]) -> None:
        """Take what the transport has already got, if nobody else reads."""
        turns = _TURNS

        async def stop() -> None:
            nonlocal turns
            while turns > 0:
                turns -= 1
                await self.framework.checkpoint()
            group.cancel_scope.cancel()

        async with self.framework.open_group() as group:
            group.start_soon(stop)
            with contextlib.suppress(self.framework.busy, *self._gone), self._receiving:
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
        with self.framework.move_on_after(_PATIENCE, shield=shield), contextlib.suppress(*self._gone):
            async with self._transport_in_use:
                while self._pump.has_output:
                    await self._give(b"".join(self._pump.buffers_to_send()))

    # The end --------------------------------------------------------------------------------------------------------

    async def unwrap(self) -> tuple[Any, bytes]:
        """End TLS in both directions: the transport, and the first of the bytes that the peer sent after TLS.

        Sends close_notify and waits for the peer's. Raises ``LocalError`` if data comes
        before it: receive until its end, then unwrap again.
        """
        await self._send_eof()
        with self._receiving:
            self._check_open()
            while not self._is_ended():
                await self._go_on()
            self._is_closed = True
        return self.transport_stream, self.connection.trailing_data

    def _is_ended(self) -> bool:
        if self._pump.available:
            raise LocalError(f"there is data to receive: unwrap when {self._how_to_receive}")
        return self._pump.receive(1) is not None

    async def _aclose(self) -> None:
        """Send close_notify and close the transport. The peer's close_notify is not waited for."""
        if self._is_closed:
            await self.framework.checkpoint()
            return
        self._is_closed = True
        try:
            # In the middle of somebody's data an end would not be a proper one.
            if not self._is_broken and not self._transport_in_use.locked():
                await self.framework.checkpoint_if_cancelled()
                self.connection.close()
                await self._push_soon(shield=False)
                if not self._pump.is_ended:
                    # A socket that is closed with something unread in it resets, and what was sent may be lost.
                    await self._read_at_once([])
        finally:
            await self.transport_stream.aclose()

    async def _leave(self, kind: type[BaseException] | None) -> None:
        """The end of a ``with``: after an exception a close_notify would tell the peer that it has got everything."""
        if kind is not None:
            self._pump.abort()
        await self._aclose()
