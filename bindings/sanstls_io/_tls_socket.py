"""TLS on a plain socket, with blocking calls. It waits and locks; the protocol is the connection's affair.

No call waits in the socket but for something to read; all other waits are a ``poll`` with the time that is left of the
call. So a thread that reads can send what the connection wants sent (the answer to a KeyUpdate, an alert) without
being held up by a peer that doesn't read, and a timeout leaves everything in a state from which it can go on.

Three locks: ``_reading`` and ``_writing`` are each held for a whole call and make calls of the same direction wait for
each other; ``_state`` guards the connection, and is never held while something is waited for.
"""

import contextlib
import errno
import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import IO, Any, Self

from sanstls import AlertDescription, ConnectionInfo, Event, LocalError, Request, TLSError
from sanstls_io import keylog
from sanstls_io._files import open_file
from sanstls_io._pump import Buffer, Connection, Pump
from sanstls_io._waiting import wait_for

__all__ = ["Answers", "TLSSocket"]

Answers = Callable[[Request[Any]], object]
"""Finds the answer to a request; raises a ``TLSError`` to reject it."""

_AT_ONCE = -math.inf
"""The deadline of a call that does not wait."""
_READ_SIZE = 1 << 17
"""How many bytes are read at once."""
_SEND_SIZE = 1 << 17
"""How many bytes of data are sealed at once: so much memory a large ``sendall`` takes."""
_DISCARDED_AT_CLOSE = 1 << 20
_USUAL_DATA = 1 << 14
"""After a read of more bytes than this, more is likely to be there: it is tried before waiting."""
_NO_WAIT = getattr(socket, "MSG_DONTWAIT", 0)
"""Windows has no such flag: the whole socket is made non-blocking there."""
_HAS_SENDMSG = hasattr(socket.socket, "sendmsg")
_MAX_BUFFERS = min(os.sysconf("SC_IOV_MAX"), 1024) if _HAS_SENDMSG and "SC_IOV_MAX" in os.sysconf_names else 16


def _read_at_once(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(_READ_SIZE, _NO_WAIT)
    except BlockingIOError:
        return None


class TLSSocket:
    """A connection on a plain socket, which it takes over. Like a ``socket.socket`` where both have a method.

    One thread may receive while another one sends. A timeout bounds a whole call: when
    it raises ``TimeoutError``, the connection can still be used, and what was taken to be
    sent goes out before anything else. The handshake is done by the first call that needs it.

    What goes wrong on the wire is raised as the connection tells it (``CertificateError``,
    ``AlertReceivedError``, ``PeerError``, ``UnexpectedEOF``), after its alert has been sent
    and all data before it has been received; ``OSError`` is the transport's.

    ``answers`` is called with every request that the configuration defers, in the
    thread whose call came to it, and without a lock: it may take its time. ``on_event`` is
    told every event (a trace, sessions, ...), while the connection is locked: it
    must not use the socket. ``already_read`` is what of the peer's TLS was read from the socket
    before. ``SSLKEYLOGFILE`` is honoured if the configuration has ``key_log=True``.
    """

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        *,
        already_read: bytes = b"",
        answers: Answers | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        # The file is not touched before there is something to write: most connections log nothing.
        write_key_log = keylog.append if keylog.is_wanted() else None
        self._pump = Pump(connection, on_event=on_event, write_key_log=write_key_log)
        self._answers = answers
        self._timeout = sock.gettimeout()
        sock.setblocking(bool(_NO_WAIT))
        self._sock: socket.socket | None = sock
        self._handshaking = threading.Lock()
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._state = threading.RLock()
        self._unsent: deque[bytes | memoryview] = deque()  # under _writing
        self._is_left_to_writer = False  # who holds _writing has more to send when it lets go
        self._already_read = already_read
        self._is_more_expected = False
        self._broken: OSError | None = None  # why nothing can be sent any more
        self._is_shut_for_reading = False
        self._is_closed = False
        self._files = 0
        self._is_to_close = False

    def __repr__(self) -> str:
        return f"<TLSSocket {self.fileno()}: {self.connection.state.value}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an exception a close_notify would tell the peer that it has got everything.
        if kind is not None:
            self.abort()
        self.close()

    # What is known --------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection itself. Its calls are not locked against those of other threads."""
        return self._pump.connection

    @property
    def info(self) -> ConnectionInfo:
        """What was negotiated. ``LocalError`` before the handshake is complete."""
        return self.connection.info

    def export_keying_material(self, label: str | bytes, length: int, context: bytes | None = None) -> bytes:
        """Keying material for the application, see ``ClientConnection.export_keying_material``."""
        with self._state:
            return self.connection.export_keying_material(label, length, context)

    def pending(self) -> int:
        """How many bytes ``recv`` would give without reading from the socket (``select`` knows nothing of them)."""
        return self._pump.available

    def fileno(self) -> int:
        """The plain socket's descriptor, ``-1`` when it is closed or was unwrapped."""
        return -1 if self._sock is None else self._sock.fileno()

    def getpeername(self) -> Any:
        """The address of the other side."""
        return self._socket.getpeername()

    def getsockname(self) -> Any:
        """The address of this side."""
        return self._socket.getsockname()

    def gettimeout(self) -> float | None:
        """The seconds that a call may take, ``None`` for no limit."""
        return self._timeout

    def settimeout(self, seconds: float | None) -> None:
        """Bound each call from now on. With 0 calls don't wait, and raise ``BlockingIOError`` where they would."""
        if seconds is not None and seconds < 0:
            raise ValueError("a timeout can't be negative")
        self._timeout = seconds

    # The handshake --------------------------------------------------------------------------------------------------

    def do_handshake(self, *, seconds: float | None = None) -> None:
        """Complete the handshake, if it is not complete. ``seconds`` bounds this one call, instead of the timeout."""
        self._handshake(self._deadline() if seconds is None else time.monotonic() + seconds)

    def _handshake(self, deadline: float | None) -> None:
        if self._pump.is_complete:
            return
        self._acquire(self._handshaking, deadline)
        try:
            while not self._is_handshake_over():
                self._go_on(deadline)
            with self._held_for_writing(deadline):
                self._drain(deadline)
        finally:
            self._handshaking.release()

    def _is_handshake_over(self) -> bool:
        with self._state:
            return self._pump.handshake_is_over()

    # Receiving ------------------------------------------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """At least one byte and at most ``size``, or ``b""`` when the peer has closed its side properly.

        Raises ``UnexpectedEOF`` if the peer's bytes just end: something may be missing.
        """
        if size < 0:
            raise ValueError("the size can't be negative")
        deadline = self._deadline()
        if not self._pump.is_complete:
            self._handshake(deadline)
        self._acquire(self._reading, deadline)
        try:
            while size:
                if self._is_shut_for_reading:
                    break
                with self._state:
                    data = self._pump.receive(size)
                if data is not None:
                    return data
                self._go_on(deadline)
            return b""
        finally:
            self._reading.release()

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0) -> int:
        """:meth:`recv` into a buffer, ``nbytes`` at most if that is given: how many bytes it were, 0 at the end."""
        view = memoryview(buffer).cast("B")
        if nbytes < 0 or nbytes > len(view):
            raise ValueError("nbytes must be between 0 and the size of the buffer")
        view = view[:nbytes] if nbytes else view
        deadline = self._deadline()
        if not self._pump.is_complete:
            self._handshake(deadline)
        self._acquire(self._reading, deadline)
        try:
            while view:
                if self._is_shut_for_reading:
                    break
                with self._state:
                    count = self._pump.receive_into(view)
                if count is not None:
                    return count
                self._go_on(deadline)
            return 0
        finally:
            self._reading.release()

    def _go_on(self, deadline: float | None) -> None:
        """Answer what is asked, or read once."""
        request = self._pump.request
        if request is not None:
            self._answer(request)
            return
        data = self._read(deadline)
        if self._is_closed:
            # What was read may have a gap, and an end that comes from this side tells nothing about the peer.
            raise OSError(errno.EBADF, "the socket was closed meanwhile")
        if data or not self._is_shut_for_reading:
            self._feed(data)
        elif not self._pump.is_complete:
            raise LocalError("the socket was shut for reading: the handshake can't go on")

    def _read(self, deadline: float | None) -> bytes:
        sock = self._socket
        if self._already_read:
            kept, self._already_read = self._already_read, b""
            return kept
        data = _read_at_once(sock) if self._is_more_expected else None
        while data is None:
            self._flush()
            if deadline is None and not self._unsent and _NO_WAIT:
                data = sock.recv(_READ_SIZE)
            else:
                is_ours = bool(self._unsent) and not self._writing.locked()
                self._wait(sock, deadline, read=True, write=is_ours)
                data = _read_at_once(sock)
        self._is_more_expected = len(data) > _USUAL_DATA
        return data

    def _feed(self, data: bytes) -> None:
        """Give the connection what was read, and send what it has to say to that."""
        has_output = True
        try:
            with self._state:
                if data:
                    self._pump.feed(data)
                else:
                    self._pump.feed_eof()
                has_output = self._pump.has_output
        finally:
            if has_output:
                self._flush()

    def _answer(self, request: Request[Any]) -> None:
        kind = type(request).__name__
        try:
            if self._answers is None:
                raise LocalError(f"the configuration defers {kind}, but nobody answers it: give answers=...")
            try:
                value = self._answers(request)
            except LocalError:
                raise
            except TLSError as error:
                with self._state:
                    self._pump.reject(request, error)
                return
            with self._state:
                self._pump.answer(request, value)
        except BaseException:
            # The caller's own mistake. The peer can't be left waiting.
            with self._state:
                self._pump.abort()
            raise
        finally:
            self._flush()

    # Sending --------------------------------------------------------------------------------------------------------

    def send(self, data: Buffer) -> int:
        """Send a first part of ``data``: how many bytes it were. If ``TimeoutError`` is raised, it was none of them."""
        view = memoryview(data).cast("B")[:_SEND_SIZE]
        deadline = self._deadline()
        self._handshake(deadline)
        self._acquire(self._writing, deadline)
        try:
            self._seal(view, deadline)
            with contextlib.suppress(TimeoutError, BlockingIOError):  # it is taken, and goes out before anything else
                self._drain(deadline)
        finally:
            self._release_writing()
        return len(view)

    def sendall(self, data: Buffer) -> None:
        """Send all of ``data``. When ``TimeoutError`` is raised, it is unknown how much of it the peer got."""
        deadline = self._deadline()
        if not self._pump.is_complete:
            self._handshake(deadline)
        self._acquire(self._writing, deadline)
        try:
            if type(data) is bytes and len(data) <= _SEND_SIZE:
                self._seal(data, deadline)
                self._drain(deadline)
                return
            view = memoryview(data).cast("B")
            for start in range(0, max(len(view), 1), _SEND_SIZE):
                self._seal(view[start : start + _SEND_SIZE], deadline)
                self._drain(deadline)
        finally:
            self._release_writing()

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send what is in ``file`` (opened for bytes) from ``offset`` on, ``count`` bytes at most: how many it were."""
        file.seek(offset)
        sent = 0
        while count is None or sent < count:
            data = file.read(_SEND_SIZE if count is None else min(_SEND_SIZE, count - sent))
            if not data:
                break
            self.sendall(data)
            sent += len(data)
        return sent

    def _seal(self, data: Buffer, deadline: float | None) -> None:
        """Queue data, when all that was queued before is sent. Needs ``_writing``."""
        if self._unsent or self._broken is not None:
            self._drain(deadline)
        with self._state:
            self._pump.send(data)
            self._unsent.extend(self._pump.buffers_to_send())

    def _drain(self, deadline: float | None) -> None:
        """Send everything that is queued. Needs ``_writing``."""
        while not self._push():
            self._wait(self._socket, deadline, write=True)
        if self._broken is not None:
            self._explain(self._broken)

    def _push(self) -> bool:
        """Give the socket what it takes without waiting: whether that was everything. Needs ``_writing``."""
        unsent = self._unsent
        if not unsent:
            with self._state:
                unsent.extend(self._pump.buffers_to_send())
        if self._broken is not None:
            unsent.clear()
        while unsent:
            try:
                sent = self._send_once(self._socket)
            except BlockingIOError:
                return False
            except OSError as error:
                self._broken = error
                unsent.clear()
                break
            while sent:
                size = len(unsent[0])
                if sent < size:
                    unsent[0] = memoryview(unsent[0])[sent:]
                    break
                unsent.popleft()
                sent -= size
        return True

    def _send_once(self, sock: socket.socket) -> int:
        unsent = self._unsent
        if len(unsent) == 1 or not _HAS_SENDMSG:
            return sock.send(unsent[0], _NO_WAIT)
        return sock.sendmsg(islice(unsent, _MAX_BUFFERS), (), _NO_WAIT)

    def _flush(self) -> None:
        """Send what can be sent without waiting, for the lock neither. Never fails because of the transport."""
        while self._sock is not None and self._has_output():
            if not self._writing.acquire(blocking=False):
                # Its holder looks at this after it has let go, which may have been just now.
                self._is_left_to_writer = True
                if not self._writing.acquire(blocking=False):
                    return
            try:
                if not self._push():
                    return
            finally:
                self._writing.release()

    def _release_writing(self) -> None:
        self._writing.release()
        if self._is_left_to_writer:
            self._is_left_to_writer = False
            self._flush()

    def _has_output(self) -> bool:
        if self._unsent:
            return True
        with self._state:
            return self._pump.has_output

    def _explain(self, error: OSError) -> None:
        """The peer takes nothing more: raise why, if it has said so by an alert, or else the transport's error."""
        sock = self._socket
        if self._reading.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError):
                    while self._pump.available < _READ_SIZE and self._pump.connection.wants_data:
                        data = sock.recv(_READ_SIZE, _NO_WAIT)
                        with self._state:
                            self._pump.feed(data)
                        if not data:
                            break
            finally:
                self._reading.release()
        with self._state:
            if self._pump.error is not None:
                raise self._pump.error.with_traceback(None) from error
        raise error.with_traceback(None)

    # The end --------------------------------------------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """``SHUT_WR``: send close_notify, and receive on (half-close). ``SHUT_RD``: ``recv`` gives ``b""`` from now on.

        ``SHUT_RDWR`` is both, and ends the transport too.
        """
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise ValueError("how must be SHUT_RD, SHUT_WR or SHUT_RDWR")
        if how != socket.SHUT_RD:
            deadline = self._deadline()
            if how == socket.SHUT_WR:
                self._handshake(deadline)
            self._close_sending(deadline)
        if how != socket.SHUT_WR:
            self._is_shut_for_reading = True
            self._socket.shutdown(how)

    def _close_sending(self, deadline: float | None) -> None:
        with self._held_for_writing(deadline):
            self._drain(deadline)
            with self._state:
                self.connection.close()
            self._drain(deadline)

    def unwrap(self) -> tuple[socket.socket, bytes]:
        """End TLS in both directions: the plain socket, and the first of the bytes that the peer sent after TLS.

        Sends close_notify and waits for the peer's. Raises ``LocalError`` if data comes
        before it: receive until ``b""``, then unwrap again.
        """
        deadline = self._deadline()
        self._handshake(deadline)
        self._close_sending(deadline)
        self._acquire(self._reading, deadline)
        try:
            while not self._is_ended():
                self._go_on(deadline)
            sock, self._sock = self._socket, None
        finally:
            self._reading.release()
        sock.settimeout(self._timeout)
        return sock, self.connection.trailing_data

    def _is_ended(self) -> bool:
        if self._is_shut_for_reading:
            raise LocalError("the socket was shut for reading: the peer's close_notify can't be waited for")
        with self._state:
            if self._pump.available:
                raise LocalError('there is data to receive: unwrap when recv() has given b""')
            return self._pump.receive(1) is not None

    def detach(self) -> int:
        """Let the plain socket's descriptor go, without closing anything: it is returned, and the caller's then."""
        sock, self._sock = self._socket, None
        return sock.detach()

    def abort(self, alert: AlertDescription = AlertDescription.internal_error) -> None:
        """End the connection at once with this alert. The socket stays open, for :meth:`close`."""
        with self._state:
            self._pump.abort(alert)
        self._flush()

    def close(self) -> None:
        """Send close_notify, if that can be done without waiting, and close the socket. The peer's is not waited for.

        With files of :meth:`makefile` open, it is closed with the last of them.
        """
        if self._files:
            self._is_to_close = True
            return
        sock = self._sock
        if sock is None or sock.fileno() < 0:
            return
        self._is_closed = True
        with self._state:
            self.connection.close()
        self._flush()
        with contextlib.suppress(OSError):
            # A socket that is closed with something unread in it resets the connection, and what was sent may be lost.
            left = _DISCARDED_AT_CLOSE
            while left > 0 and (data := sock.recv(_READ_SIZE, _NO_WAIT)):
                left -= len(data)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)  # wakes the threads that wait in it
        sock.close()

    # Files ----------------------------------------------------------------------------------------------------------

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """A file object on the connection, as ``socket.makefile`` makes it (``http.client`` and others need it)."""
        return open_file(self, mode, buffering, encoding, errors, newline)

    def file_opened(self) -> None:
        """For the files of :meth:`makefile`: there is one more."""
        self._files += 1

    def file_closed(self) -> None:
        """For the files of :meth:`makefile`: one of them was closed."""
        self._files -= 1
        if not self._files and self._is_to_close:
            self.close()

    # Waiting --------------------------------------------------------------------------------------------------------

    @property
    def _socket(self) -> socket.socket:
        if self._sock is None:
            raise OSError(errno.EBADF, "the socket was unwrapped")
        return self._sock

    def _deadline(self) -> float | None:
        if self._timeout is None:
            return None
        return time.monotonic() + self._timeout if self._timeout else _AT_ONCE

    def _wait(self, sock: socket.socket, deadline: float | None, *, read: bool = False, write: bool = False) -> None:
        seconds = None if deadline is None else max(deadline - time.monotonic(), 0)
        if not wait_for(sock, read=read, write=write, seconds=seconds):
            self._give_up(deadline)

    def _acquire(self, lock: threading.Lock, deadline: float | None) -> None:
        seconds = -1 if deadline is None else min(max(deadline - time.monotonic(), 0), threading.TIMEOUT_MAX)
        if not lock.acquire(timeout=seconds):
            self._give_up(deadline)

    @contextlib.contextmanager
    def _held_for_writing(self, deadline: float | None) -> Iterator[None]:
        self._acquire(self._writing, deadline)
        try:
            yield
        finally:
            self._release_writing()

    def _give_up(self, deadline: float | None) -> None:
        if deadline == _AT_ONCE:
            raise BlockingIOError(errno.EAGAIN, "the call would have to wait")
        raise TimeoutError("timed out" if self._pump.is_complete else "timed out during the handshake")
