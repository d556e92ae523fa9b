"""From events to a stream: what every binding needs on top of a connection, without any I/O or locks of its own.

A binding moves bytes between a :class:`Pump` and its transport, and does the waiting. To receive is always this::

    while (data := pump.receive(size)) is None:
        if pump.request is not None:
            ...  # find the answer, then pump.answer() or pump.reject()
        else:
            ...  # send pump.buffers_to_send(), read from the transport, then pump.feed() or pump.feed_eof()

and the handshake is the same with :meth:`Pump.handshake_is_over`. Data that came before an error is given first.
Whatever was called, there may be something to send afterwards, even when it raised: the alert.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sanstls import (
    AlertDescription,
    ClientConnection,
    CloseNotifyReceived,
    ConnectionFailed,
    DataReceived,
    Event,
    HandshakeComplete,
    LocalError,
    Request,
    SecretLogged,
    ServerConnection,
    TLSError,
)

__all__ = ["Buffer", "Connection", "Pump"]

Connection = ClientConnection | ServerConnection
Buffer = bytes | bytearray | memoryview

# Small pieces are joined until they have this many bytes: a call costs more than a copy of so little.
_WORTH_A_CALL = 8192


class Pump:
    """A connection, and what its events have left to be done.

    ``on_event`` is told every event, in order, data included; ``write_key_log`` every line of
    the key log. They are called when all else is done with these events.
    """

    __slots__ = (
        "_chunks",
        "_is_observed",
        "_offset",
        "_on_event",
        "_write_key_log",
        "available",
        "connection",
        "error",
        "is_complete",
        "is_ended",
        "request",
    )

    def __init__(
        self,
        connection: Connection,
        *,
        on_event: Callable[[Event], None] | None = None,
        write_key_log: Callable[[str], None] | None = None,
    ) -> None:
        self.connection = connection
        self._on_event = on_event
        self._write_key_log = write_key_log
        self._is_observed = on_event is not None or write_key_log is not None
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # how much of the first chunk was delivered
        self.available = 0
        """How many bytes of data can be received without reading from the transport."""
        self.is_complete = False
        """Whether the handshake is complete."""
        self.is_ended = False
        """Whether the peer has sent its close_notify."""
        self.error: TLSError | None = None
        """Why the connection has failed."""
        self.request: Request[Any] | None = None
        """What waits for :meth:`answer` or :meth:`reject`."""

    # What comes in --------------------------------------------------------------------------------------------------

    def feed(self, data: Buffer) -> None:
        """Take bytes from the transport; with ``b""`` only the events that calls have left.

        Raises what a defective verifier or clock has raised, or ``on_event``; never because of the bytes.
        """
        try:
            events = self.connection.receive_data(data)
        except BaseException:
            self._take(self.connection.receive_data(b""))
            raise
        self._take(events)

    def feed_eof(self) -> None:
        """The transport has ended."""
        self._take(self.connection.receive_eof())

    def answer(self, request: Request[Any], value: object) -> None:
        """Answer ``request``. ``LocalError`` if ``value`` is no answer to it; it still waits then."""
        self._go_on_from(request, lambda: self.connection.answer(request, value))

    def reject(self, request: Request[Any], error: TLSError) -> None:
        """Refuse ``request``: the connection fails with ``error``."""
        self._go_on_from(request, lambda: self.connection.reject(request, error))

    def _go_on_from(self, request: Request[Any], step: Callable[[], list[Event]]) -> None:
        try:
            events = step()
        except BaseException:
            self._take(self.connection.receive_data(b""))
            raise
        if self.request is request:
            self.request = None
        self._take(events)

    def abort(self, alert: AlertDescription = AlertDescription.internal_error) -> None:
        """End the connection with this alert."""
        self.request = None
        self.connection.abort(alert)

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if type(event) is DataReceived:
                self._chunks.append(event.data)
                self.available += len(event.data)
            elif isinstance(event, Request):
                self.request = event
            elif isinstance(event, HandshakeComplete):
                self.is_complete = True
            elif isinstance(event, CloseNotifyReceived):
                self.is_ended = True
            elif isinstance(event, ConnectionFailed):
                self.error = event.error
                self.request = None
        if self._write_key_log is not None:
            for event in events:
                if isinstance(event, SecretLogged):
                    self._write_key_log(event.line)
        if self._on_event is not None:
            for event in events:
                self._on_event(event)

    # What is delivered ----------------------------------------------------------------------------------------------

    def handshake_is_over(self) -> bool:
        """Whether the handshake is complete. Raises its error if it has failed."""
        if not self.is_complete and self.request is None:
            self._check_open()
        return self.is_complete

    def check(self) -> None:
        """Raise the error with which the connection has failed, if it has."""
        if self.error is not None:
            # Each time anew, or the traceback would grow with each call.
            raise self.error.with_traceback(None)

    def _check_open(self) -> None:
        self.check()
        if not self.connection.wants_data:
            raise LocalError("this side has ended the connection")

    def receive(self, size: int) -> bytes | None:
        """At most ``size`` bytes of data, ``b""`` at its end, ``None`` if there is nothing yet.

        Raises the error of a connection that has failed, when all data before it was
        delivered; ``LocalError`` if this side itself has ended it.
        """
        chunks = self._chunks
        if not chunks:
            return self._nothing()
        chunk, offset = chunks[0], self._offset
        left = len(chunk) - offset
        if left > size:
            self._offset = offset + size
            self.available -= size
            return chunk[offset : offset + size]
        if offset:
            chunk = chunk[offset:]
            self._offset = 0
        chunks.popleft()
        if left < _WORTH_A_CALL and chunks:
            parts = [chunk]
            while chunks and left < _WORTH_A_CALL and left + len(chunks[0]) <= size:
                parts.append(chunks.popleft())
                left += len(parts[-1])
            chunk = b"".join(parts)
        self.available -= left
        return chunk

    def receive_into(self, buffer: memoryview) -> int | None:
        """The same into a buffer of bytes, as much as fits: how many it were."""
        chunks = self._chunks
        if not chunks:
            return None if self._nothing() is None else 0
        size, filled = len(buffer), 0
        while chunks and filled < size:
            chunk, offset = chunks[0], self._offset
            count = min(len(chunk) - offset, size - filled)
            buffer[filled : filled + count] = memoryview(chunk)[offset : offset + count]
            filled += count
            self._offset = offset + count
            if self._offset == len(chunk):
                chunks.popleft()
                self._offset = 0
        self.available -= filled
        return filled

    def _nothing(self) -> bytes | None:
        if self.is_ended:
            return b""
        if self.request is None:
            self._check_open()
        return None

    # What goes out --------------------------------------------------------------------------------------------------

    def send(self, data: Buffer) -> None:
        """Queue data. Raises the error of a connection that has failed, ``LocalError`` if nothing can be sent now."""
        self.check()
        self.connection.send_data(data)

    @property
    def has_output(self) -> bool:
        """Whether there is something for the transport."""
        return self.connection.pending > 0

    def buffers_to_send(self) -> list[bytes]:
        """Take what is to be sent. The events that sending has led to are told, too."""
        connection = self.connection
        if self._is_observed and connection.pending:
            self.feed(b"")
        return connection.buffers_to_send()
