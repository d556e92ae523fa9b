"""Between a raw transport of asyncio and an application's protocol: the bytes, the flow control, the order of calls.

What it holds to:

- The application hears nothing before the handshake is complete: ``connection_made`` is the first it is told. A
  handshake that fails is told to whoever began it.
- Data that came before an error or an end is delivered first, also where reading is paused meanwhile:
  ``connection_lost`` waits then, until reading is resumed or the application closes.
- Memory is bounded by the flow control of both sides. An application that pauses reading stops the raw transport; a
  peer that takes nothing pauses the application's writing, by the raw transport's own limits, and gets no answers to
  its KeyUpdates either.
- Nothing that a peer does is an exception for the loop. What the application's own callbacks raise is: the loop's
  exception handler hears of it, the connection is aborted, and ``connection_lost`` has it.

All of it happens in the loop's thread. The application may call back from within any of its callbacks.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from sanstls import Event, LocalError, Request, TLSError
from sanstls_io import keylog
from sanstls_io._asyncio_transport import TLSTransport
from sanstls_io._pump import Buffer, Connection, Pump

__all__ = ["Answers", "OnEvent", "Opened", "Options", "TLSProtocol", "is_everyday"]

Answers = Callable[[Request[Any]], Awaitable[object]]
"""Finds the answer to a request; raises a ``TLSError`` to reject it."""
OnEvent = Callable[[Event], None]
Opened = tuple[TLSTransport, asyncio.BaseProtocol]

_SEND_SIZE = 1 << 18
"""How many bytes of data are sealed at once."""
_READ_SIZE = 1 << 17
_PIECE = 1 << 16
_LEFT_AT_END = 1 << 20
"""How much of what a raw transport has not read is taken, at most, when it is closed."""
_NOBODY: Final = asyncio.Protocol()
"""Who is told while there is no application: it does nothing."""
_NO_WAIT = getattr(socket, "MSG_DONTWAIT", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is the same for all connections of a server. A timeout is in seconds; ``None`` is no limit."""

    answers: Answers | None = None
    on_event: OnEvent | None = None
    handshake_timeout: float | None = 60.0
    shutdown_timeout: float | None = 30.0
    standard_compatible: bool = True

    def __post_init__(self) -> None:
        for name in ("handshake_timeout", "shutdown_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and seconds <= 0:
                raise LocalError(f"{name} must be a positive number of seconds, or None for no limit")


def is_everyday(error: BaseException) -> bool:
    """Whether it is the doing of a peer or of the network, and no mistake on this side."""
    return isinstance(error, TLSError | OSError) and not isinstance(error, LocalError)


def _leftover(raw: asyncio.Transport) -> Iterator[bytes]:
    """What has come in, but was not read by the raw transport, which is just being closed."""
    left = _LEFT_AT_END if _NO_WAIT else 0
    # The sockets of other loops can do less.
    with contextlib.suppress(OSError, AttributeError, TypeError), raw.get_extra_info("socket").dup() as sock:
        while left > 0 and (data := sock.recv(_READ_SIZE, _NO_WAIT)):
            left -= len(data)
            yield data


class TLSProtocol(asyncio.Protocol):
    """The raw transport's protocol. It is the connection; :class:`TLSTransport` is its face for the application.

    ``on_handshake`` is called once: with the transport and the application's protocol,
    which knows by ``connection_made`` already, or with the error. ``on_lost`` is called
    when the raw transport is gone.
    """

    def __init__(
        self,
        connection: Connection,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        on_handshake: Callable[[Opened | Exception], object],
        options: Options,
        *,
        on_lost: Callable[[Exception | None], object] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # The file is not touched before there is something to write: most connections log nothing.
        write_key_log = keylog.append if keylog.is_wanted() else None
        self._pump = Pump(connection, on_event=options.on_event, write_key_log=write_key_log)
        self._make_protocol = make_protocol
        self._on_handshake: Callable[[Opened | Exception], object] | None = on_handshake
        self._on_lost = on_lost
        self._options = options
        self.raw: asyncio.Transport
        """The transport below."""
        self.protocol: asyncio.BaseProtocol = _NOBODY
        """The application's."""
        self._buffered: asyncio.BufferedProtocol | None = None  # the same, if it is one
        self.is_closing = False
        """Whether the application will be told nothing more but ``connection_lost``."""
        self.is_paused = False
        """Whether the application has paused reading."""
        self._is_open = False
        self._is_telling = False  # the application's callbacks run just now
        self._is_eof_sent = False
        self._is_end_told = False
        self._is_writing_paused = False  # what the application was told
        self._is_connected = False
        self._is_on_asyncios_tls = False
        self._is_on_socket = False
        self._is_raw_read = True
        self._is_raw_at_end = False
        self._is_raw_full = False
        self._is_all_sent = False  # when it was closed, all before the close_notify was on its way
        self._is_over = False
        self._error: Exception | None = None  # for connection_lost
        self._broken_by: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answering: asyncio.Task[None] | None = None

    @property
    def connection(self) -> Connection:
        """The connection itself."""
        return self._pump.connection

    @property
    def peername(self) -> Any:
        """The address of the other side, if there is one."""
        return self.raw.get_extra_info("peername") if hasattr(self, "raw") else None

    # Told by the raw transport --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.raw = cast(asyncio.Transport, transport)
        if self.is_closing:
            self.raw.abort()
            return
        self._is_connected = True
        self._is_raw_read = self.raw.is_reading()
        self._is_on_asyncios_tls = self.raw.get_extra_info("sslcontext") is not None
        self._is_on_socket = not (self._is_on_asyncios_tls or isinstance(transport, TLSTransport))
        if self._options.handshake_timeout is not None:
            late = TimeoutError("timed out during the handshake")
            self._timer = self._loop.call_later(self._options.handshake_timeout, self.give_up, late)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer."""
        if self.is_closing:
            return
        try:
            self._pump.feed(data)
        except Exception as error:
            self._break(error)
        self._go_on()

    def eof_received(self) -> bool:
        """No more bytes will come."""
        self._is_raw_at_end = True
        is_proper = self._pump.is_ended or (self._is_open and not self._options.standard_compatible)
        if not is_proper and not self.is_closing:
            self._pump.feed_eof()
        self._go_on()
        # It is closed when the application has got all. (With asyncio's own TLS that can't be put off.)
        return not self._is_on_asyncios_tls

    def pause_writing(self) -> None:
        """The raw transport has enough."""
        self._is_raw_full = True
        self._tell_writers()

    def resume_writing(self) -> None:
        """The raw transport takes more: first what was held back here."""
        self._is_raw_full = False
        self._flush()
        self._tell_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The raw transport is gone."""
        self._is_connected = False
        self._broken_by = exc
        self._stop_waiting()
        if self._is_on_socket:
            self._take_leftover(exc)
        if self._on_lost is not None:
            self._on_lost(exc)
        self._go_on()

    def _take_leftover(self, exc: Exception | None) -> None:
        if self.is_closing:
            if exc is None:
                # A socket that is closed with something unread in it resets, and what was sent may be lost.
                for _ in _leftover(self.raw):
                    pass
        elif exc is not None:
            # An alert that came before the transport broke says more than the transport does.
            try:
                for data in _leftover(self.raw):
                    self._pump.feed(data)
            except Exception as error:
                self._break(error)

    # Told to the application ----------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Tell the application what is new, and give the raw transport what there is to send."""
        if self._is_telling:
            return  # the outer call goes on
        self._is_telling = True
        try:
            if not self.is_closing:
                self._tell()
        except Exception as error:
            self._break(error)
        finally:
            self._is_telling = False
        if not self._is_connected:
            if self.is_closing or not (self.is_paused and self._pump.available):
                self._finish()
        elif not self.is_closing:
            if not self._is_raw_full:
                self._flush()
            self._choose_reading()

    def _tell(self) -> None:
        pump = self._pump
        if pump.request is not None and self._answering is None:
            self._answering = self._loop.create_task(self._answer(pump.request), name="answer to a TLS request")
        if pump.is_complete and not self._is_open:
            self._open()
        while pump.available and not self.is_paused and not self.is_closing:
            self._deliver()
        if self.is_closing or pump.available:
            return
        if pump.error is not None:
            self._end_by(pump.error)
        elif (pump.is_ended or self._is_raw_at_end) and not self.is_paused and not self._is_end_told:
            self._is_end_told = True
            if not cast(asyncio.Protocol, self.protocol).eof_received():
                self.close()

    def _open(self) -> None:
        protocol = self._make_protocol()
        self._is_open = True
        self._stop_waiting()
        self.set_protocol(protocol)
        transport = TLSTransport(self)
        protocol.connection_made(transport)
        self._tell_writers()
        self._report((transport, protocol))

    def _deliver(self) -> None:
        pump = self._pump
        if self._buffered is not None:
            count = pump.receive_into(memoryview(self._buffered.get_buffer(pump.available)).cast("B"))
            if not count:
                raise RuntimeError("get_buffer() returned an empty buffer")
            self._buffered.buffer_updated(count)
            return
        parts: list[bytes] = []
        size = 0
        while pump.available and size < _PIECE:
            parts.append(cast(bytes, pump.receive(pump.available)))
            size += len(parts[-1])
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        cast(asyncio.Protocol, self.protocol).data_received(data)

    def _tell_writers(self) -> None:
        """Whether to pause, if that is not what they were told last."""
        if self._is_open and self._is_writing_paused is not self._is_raw_full:
            self._is_writing_paused = self._is_raw_full
            if self._is_raw_full:
                self.protocol.pause_writing()
            else:
                self.protocol.resume_writing()

    def _report(self, outcome: Opened | Exception) -> None:
        on_handshake, self._on_handshake = self._on_handshake, None
        if on_handshake is not None:
            on_handshake(outcome)

    # Asked by the connection ----------------------------------------------------------------------------------------

    async def _answer(self, request: Request[Any]) -> None:
        kind, answers = type(request).__name__, self._options.answers
        rejected: TLSError | None = None
        value = None
        try:
            if answers is None:
                raise LocalError(f"the configuration defers {kind}, but nobody answers it: give answers=...")
            try:
                value = await answers(request)
            except TLSError as error:
                if isinstance(error, LocalError):
                    raise
                rejected = error
            self._answering = None
            if rejected is None:
                self._pump.answer(request, value)
            else:
                self._pump.reject(request, rejected)
        except asyncio.CancelledError:
            if self._answering is not None:  # cancelled by somebody else: the peer can't be left waiting
                self._answering = None
                self._break(ConnectionAbortedError(f"the task that answers a {kind} was cancelled"))
            raise
        except Exception as error:
            self._answering = None
            self._break(error)
        finally:
            self._go_on()

    # Called by the application --------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See :class:`TLSTransport` for this and what follows."""
        self.protocol = protocol
        self._buffered = protocol if isinstance(protocol, asyncio.BufferedProtocol) else None

    def pause_reading(self) -> None:
        """Hold data and end back from now on."""
        self.is_paused = True
        self._choose_reading()

    def resume_reading(self) -> None:
        """Go on, but not within this call."""
        if self.is_paused:
            self.is_paused = False
            self._loop.call_soon(self._go_on)

    def _choose_reading(self) -> None:
        """Read from the raw transport as long as somebody wants what comes from there."""
        is_wanted = not (self.is_paused or self._is_raw_at_end) and self.connection.wants_data
        if is_wanted is not self._is_raw_read and self._is_connected and not self.is_closing:
            self._is_raw_read = is_wanted
            if is_wanted:
                self.raw.resume_reading()
            else:
                self.raw.pause_reading()

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return self.raw.get_write_buffer_size() + self.connection.pending if self._is_connected else 0

    def write(self, data: Buffer) -> None:
        """Seal data and send it, or at the end of the callback which this is called from."""
        if self._is_eof_sent:
            raise RuntimeError("write() after write_eof(): close_notify was sent")
        if self.is_closing or not self._is_connected or self._pump.error is not None:
            return
        try:
            if type(data) is bytes and len(data) <= _SEND_SIZE:
                self._pump.send(data)
            else:
                view = memoryview(data).cast("B")
                for start in range(0, len(view), _SEND_SIZE):
                    self._pump.send(view[start : start + _SEND_SIZE])
                    self._flush()
        except TLSError as error:  # the keys are used up, and TLS 1.2 has no others
            self._end_by(error)
        else:
            if not self._is_telling:
                self._flush()

    def write_eof(self) -> None:
        """Send close_notify, and receive on."""
        if not self._is_eof_sent and not self.is_closing and self._is_connected:
            self._is_eof_sent = True
            self.connection.close()
            self._flush()

    def _flush(self) -> None:
        """Give the raw transport all there is."""
        try:
            buffers = self._pump.buffers_to_send()
        except Exception as error:
            self._break(error)
            return
        if not self._is_connected:
            return
        # Not writelines(): some versions of asyncio forget their flow control there.
        if len(buffers) == 1:
            self.raw.write(buffers[0])
            return
        parts: list[bytes] = []
        size = 0
        for buffer in buffers:
            parts.append(buffer)
            size += len(buffer)
            if size >= _PIECE:
                self.raw.write(b"".join(parts))
                parts.clear()
                size = 0
        if parts:
            self.raw.write(b"".join(parts))

    # The end --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send close_notify, and close the raw transport when all is sent."""
        if self.is_closing:
            return
        self.is_closing = True
        self._stop_waiting()
        if not self._is_connected:
            self._loop.call_soon(self._finish)
            return
        self._is_all_sent = not self.unsent
        self.connection.close()
        self._flush()
        if not self.raw.is_closing():  # asyncio's own TLS does not like to be closed twice
            self.raw.close()
        self._watch(self.raw.get_write_buffer_size())

    def _watch(self, size: int) -> None:
        if size and self._options.shutdown_timeout is not None:
            self._timer = self._loop.call_later(self._options.shutdown_timeout, self._check_progress, size)

    def _check_progress(self, before: int) -> None:
        size = self.raw.get_write_buffer_size()
        if size < before:
            self._watch(size)
            return
        self._error = self._error or TimeoutError(f"the peer did not take the last {size} bytes")
        self.raw.abort()

    def abort(self) -> None:
        """End it at once, with an alert."""
        self._pump.abort()
        self._end()

    def give_up(self, error: Exception) -> None:
        """End the handshake, or whatever it is that goes on, because of this side's ``error``."""
        if self._is_open:
            self._pump.abort()
        else:
            self.connection.close()
        self._end_by(error)

    def _break(self, error: Exception) -> None:
        """What should not happen has happened on this side."""
        if self._on_handshake is None:  # nobody else would be told
            context = {"message": "a TLS connection was aborted by an exception on this side", "exception": error}
            self._loop.call_exception_handler(context | {"protocol": self.protocol})
        self._pump.abort()
        self._end_by(error)

    def _end_by(self, error: Exception) -> None:
        self._error = self._error or error
        self._end()

    def _end(self) -> None:
        """Close the raw transport at once, with the alert sent if it takes that."""
        self.is_closing = True
        self._stop_waiting()
        if not self._is_connected:
            self._loop.call_soon(self._finish)
            return
        self._flush()
        if self.raw.get_write_buffer_size():
            self.raw.abort()
        elif not self.raw.is_closing():
            self.raw.close()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()

    def _finish(self) -> None:
        """Tell that it is over. From then on nobody is held by this object."""
        if self._is_over:
            return
        self._is_over = self.is_closing = True
        error = self._error
        # If it was but the close_notify that a peer did not want any more, that is a proper end.
        if error is None and not (self._is_all_sent and isinstance(self._broken_by, ConnectionError)):
            error = self._broken_by
        protocol, self.protocol, self._buffered = self.protocol, _NOBODY, None
        self._on_lost = None
        self._report(error or ConnectionAbortedError("the connection was closed during the handshake"))
        if self._is_open:
            protocol.connection_lost(error)
