"""TLS on any stream of trio's. The protocol is the connection's affair: here are its bytes, waiting, and manners.

What is hard about it, and how each is met:

- **Both directions are one connection.** To receive may mean to send (the answer to a KeyUpdate, an alert). A task that
  receives never waits for one that sends: what the connection wants sent is left to the task that sends, if there is
  one; if there is none, it goes out while more is read, so that two sides which both wait to be read from go on.
- **Two tasks that do the same** get ``trio.BusyResourceError``; one may receive while another sends.
- **Cancellation.** A ``receive_some`` that is cancelled has lost nothing. A ``send_all`` that is cancelled before the
  transport was given something has sent nothing, and all can go on; later nobody can tell how much of a record is on
  its way, so nothing can be sent any more (``trio.BrokenResourceError``), while receiving goes on.
- **Ends.** ``send_eof`` is close_notify: this side sends no more, the peer still may. A transport that ends without the
  peer's close_notify is an ``UnexpectedEOF`` that is a ``trio.BrokenResourceError`` as well, after all data before it,
  unless ``standard_compatible=False``.
- **Errors keep their type.** What goes wrong on the wire is raised as the connection tells it (``CertificateError``,
  ``AlertReceivedError``, ``PeerError``, ``UnexpectedEOF``); what goes wrong with the transport is trio's own error.
- **Closing waits for nobody.** ``aclose`` gives a peer that takes nothing one second for close_notify, and does not
  wait for the peer's.
"""

import contextlib
import operator
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import trio
from trio import BrokenResourceError, BusyResourceError, ClosedResourceError

from sanstls import ConnectionInfo, ConnectionState, Event, LocalError, Request, TLSError, UnexpectedEOF
from sanstls_io import keylog
from sanstls_io._pump import Buffer, Connection, Pump

__all__ = ["Answers", "OnEvent", "TLSStream", "TruncationError"]

Answers = Callable[[Request[Any]], Awaitable[object]]
"""Finds the answer to a request; raises a ``TLSError`` to reject it."""
OnEvent = Callable[[Event], None]

_PATIENCE = 1.0
"""Seconds that a last word (close_notify, an alert) waits for a peer that takes nothing."""
_MOMENT = 0.001
"""Seconds in which a transport gives what it has already got."""
_READ_SIZE = 1 << 17
"""How many bytes are read at once."""
_SEND_SIZE = 1 << 17
"""How many bytes of data are sealed at once: so much memory a large ``send_all`` takes."""
_READ_AHEAD = 1 << 20
"""How many bytes of data are kept, at most, while a peer takes nothing."""
_DISCARDED_AT_CLOSE = 1 << 20
_GONE = (BrokenResourceError, ClosedResourceError)


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


class TLSStream(trio.abc.HalfCloseableStream):
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

    def __init__(
        self,
        transport_stream: trio.abc.Stream,
        connection: Connection,
        *,
        answers: Answers | None = None,
        standard_compatible: bool = True,
        on_event: OnEvent | None = None,
    ) -> None:
        self.transport_stream = transport_stream
        self.standard_compatible = standard_compatible
        write_key_log = keylog.append if keylog.is_wanted() else None
        self._pump = Pump(connection, on_event=on_event, write_key_log=write_key_log)
        self._answers = answers
        self._receiving = _Guard("receiving from")
        self._sending = _Guard("sending to")
        self._handshaking = trio.Lock()
        self._transport_in_use = trio.Lock()  # held to send; never to receive
        self._is_broken = False  # nobody knows how much of a record the peer has got
        self._is_eof_sent = False
        self._is_closed = False

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

    def export_keying_material(self, label: str | bytes, length: int, context: bytes | None = None) -> bytes:
        """Keying material for the application, see ``ClientConnection.export_keying_material``."""
        return self.connection.export_keying_material(label, length, context)

    # The handshake --------------------------------------------------------------------------------------------------

    async def do_handshake(self) -> None:
        """Complete the handshake, if it is not complete. Raises its error."""
        self._check_open()
        if self._pump.is_complete:
            await trio.lowlevel.checkpoint()
            return
        await self._handshake()

    async def _handshake(self) -> None:
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
        except trio.Cancelled:
            raise  # the request still waits
        except BaseException:
            # The caller's own mistake. The peer can't be left waiting.
            self._pump.abort()
            raise
        finally:
            await self._send_last_words()

    # Receiving ------------------------------------------------------------------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """At least one byte and at most ``max_bytes``, or ``b""`` when the peer has closed its side properly."""
        size = 65536 if max_bytes is None else operator.index(max_bytes)
        if size < 1:
            raise ValueError("max_bytes must be at least 1")
        pump = self._pump
        with self._receiving:
            self._check_open()
            if not pump.is_complete:
                await self._handshake()
            if pump.available or pump.is_ended or pump.error is not None:
                await trio.lowlevel.checkpoint()  # before data is taken, or it would be lost when this is cancelled
            try:
                while (data := pump.receive(size)) is None:
                    await self._go_on()
            except UnexpectedEOF as error:
                if self.standard_compatible:
                    raise TruncationError(str(error)) from error
                return b""
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

    async def _read(self) -> bytes | bytearray:
        """What the transport gives next, nothing at its end."""
        try:
            return await self.transport_stream.receive_some(_READ_SIZE)
        except BrokenResourceError:
            raise
        except (OSError, TLSError) as error:  # a transport may be TLS itself
            raise BrokenResourceError from error

    async def _feed(self, data: bytes | bytearray) -> None:
        """Give the connection what was read, and send the alert if that was its end."""
        if self._is_closed:
            return  # an end that comes from this side tells nothing about the peer
        try:
            if data:
                self._pump.feed(data)
            else:
                self._pump.feed_eof()
        finally:
            await self._send_last_words()

    async def _read_and_push(self) -> None:
        """Send what the connection wants sent, and read until that is sent."""
        self._transport_in_use.acquire_nowait()
        failure: Exception | None = None
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            data = b"".join(self._pump.buffers_to_send())
            async with trio.open_nursery() as nursery:

                async def push() -> None:
                    with contextlib.suppress(*_GONE):
                        await self._give(data)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(push)
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

    async def send_all(self, data: Buffer) -> None:
        """Send all of ``data``."""
        with self._sending:
            self._check_sendable()
            if not self._pump.is_complete:
                await self._handshake()
            async with self._transport_in_use:
                await trio.lowlevel.checkpoint_if_cancelled()  # from here on, nothing may come between
                self._check_sendable()
                view = memoryview(data).cast("B")
                if not view:
                    await self._push()
                    return
                for start in range(0, len(view), _SEND_SIZE):
                    self._pump.send(view[start : start + _SEND_SIZE])
                    await self._push()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until ``send_all`` may make progress."""
        with self._sending:
            self._check_sendable()
            if not self._pump.is_complete:
                await self._handshake()
            async with self._transport_in_use:
                await self.transport_stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send close_notify: this side sends no more, the peer still may. Again, it does nothing."""
        with self._sending:
            self._check_open()
            if self._is_eof_sent:
                await trio.lowlevel.checkpoint()
                return
            self._check_sendable()
            if not self._pump.is_complete:
                await self._handshake()
            async with self._transport_in_use:
                await trio.lowlevel.checkpoint_if_cancelled()
                self._pump.check()
                self._is_eof_sent = True
                self.connection.close()
                await self._push()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedResourceError("this stream is closed")

    def _check_sendable(self) -> None:
        self._check_open()
        if self._pump.error is not None:
            raise BrokenResourceError("the connection has failed") from self._pump.error
        if self._is_eof_sent:
            raise ClosedResourceError("nothing can be sent after send_eof")
        if self._is_broken:
            raise BrokenResourceError("nobody knows how much of an earlier send_all has gone out")

    async def _push(self) -> None:
        """Send all that is queued. Needs ``_transport_in_use``, but in the handshake, when nobody else sends."""
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
            await self.transport_stream.send_all(data)
        except BaseException as error:
            self._is_broken = True
            if isinstance(error, OSError | TLSError):
                raise BrokenResourceError from error
            raise

    async def _explain(self, error: BrokenResourceError) -> None:
        """The peer takes nothing more: raise why, if it has said so by an alert."""
        with trio.move_on_after(_MOMENT), contextlib.suppress(BusyResourceError, *_GONE), self._receiving:
            while self._pump.available < _READ_AHEAD and self.connection.wants_data:
                data = await self._read()
                if not data:
                    break
                self._pump.feed(data)
        if self._pump.error is not None:
            raise self._pump.error.with_traceback(None) from error

    async def _send_last_words(self) -> None:
        """Send the alert of a connection that has failed, if the transport takes it soon."""
        # Who sends just now will send that, too.
        if self.connection.state is ConnectionState.FAILED and not self._transport_in_use.locked():
            await self._push_soon(shield=True)

    async def _push_soon(self, *, shield: bool) -> None:
        """Send all that is queued, if the transport takes it soon. Its errors don't matter any more."""
        with trio.move_on_after(_PATIENCE, shield=shield), contextlib.suppress(*_GONE):
            async with self._transport_in_use:
                while self._pump.has_output:
                    await self._give(b"".join(self._pump.buffers_to_send()))

    # The end --------------------------------------------------------------------------------------------------------

    async def unwrap(self) -> tuple[trio.abc.Stream, bytes]:
        """End TLS in both directions: the transport, and the first of the bytes that the peer sent after TLS.

        Sends close_notify and waits for the peer's. Raises ``LocalError`` if data comes
        before it: receive until ``b""``, then unwrap again.
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
            raise LocalError('there is data to receive: unwrap when receive_some() has given b""')
        return self._pump.receive(1) is not None

    async def aclose(self) -> None:
        """Send close_notify and close the transport. The peer's close_notify is not waited for.

        A peer that takes nothing is given a second; if this is cancelled, none.
        """
        if self._is_closed:
            await trio.lowlevel.checkpoint()
            return
        self._is_closed = True
        try:
            # In the middle of somebody's data an end would not be a proper one.
            if not self._is_broken and not self._transport_in_use.locked():
                await trio.lowlevel.checkpoint_if_cancelled()
                self.connection.close()
                await self._push_soon(shield=False)
                await self._discard()
        finally:
            await self.transport_stream.aclose()

    async def _discard(self) -> None:
        """Take what is unread: a socket closed with something in it resets, and what was sent may be lost."""
        left = _DISCARDED_AT_CLOSE
        with trio.move_on_after(_MOMENT), contextlib.suppress(*_GONE, BusyResourceError):
            while left > 0 and not self._pump.is_ended and (data := await self._read()):
                left -= len(data)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._pump.abort()
        await self.aclose()
