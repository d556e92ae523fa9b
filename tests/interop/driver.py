"""Moves the bytes between a connection of ours and a peer, with a deadline for everything that is waited for."""

import contextlib
import os
import re
import selectors
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from sanstls import (
    ClientConnection,
    ConnectionFailed,
    ConnectionInfo,
    DataReceived,
    Event,
    HandshakeComplete,
    SecretLogged,
    ServerConnection,
)

HOST = "127.0.0.1"
TIMEOUT = 20.0
"""Seconds for one wait. It is there for what hangs; what works takes milliseconds."""

Connection = ClientConnection | ServerConnection
_MUCH = 1 << 18


class _Ours:
    """What our side was told, in the words that tests ask in."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.received = bytearray()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, DataReceived):
                self.received += event.data
            else:
                self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        """All events of this kind (but for data, which is in ``received``)."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def error(self) -> Any:
        """Why the connection failed, or ``None``."""
        return next((event.error for event in self.events if isinstance(event, ConnectionFailed)), None)

    @property
    def is_open(self) -> bool:
        return bool(self.of(HandshakeComplete))

    @property
    def info(self) -> ConnectionInfo:
        return self.connection.info

    @property
    def logged(self) -> set[str]:
        """The lines of our key log."""
        return {event.line for event in self.of(SecretLogged)}


# In memory: Python's ssl --------------------------------------------------------------------------------------------


class SslEnd:
    """One end of Python's ssl, without a socket."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        is_server: bool,
        server_name: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=is_server,
            server_hostname=None if is_server else server_name,
            session=session,
        )
        self.received = bytearray()
        self.is_open = False
        self.is_ended = False
        """Whether a close_notify came."""
        self.error: ssl.SSLError | None = None

    def step(self) -> None:
        """Go on with the handshake, or read what has come."""
        if self.error is not None or self.is_ended:
            return
        try:
            if not self.is_open:
                self.ssl.do_handshake()
                self.is_open = True
            while data := self.ssl.read(_MUCH):
                self.received += data
            self.is_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_ended = True
        except ssl.SSLError as error:
            self.error = error

    @property
    def alert(self) -> str | None:
        """The alert by which we ended the connection, spelled as in the RFCs."""
        # The module has no reason for the newer ones, but the words are always there.
        found = re.search(r" alert ([a-z ]+[a-z])", str(self.error))
        return found[1].replace(" ", "_") if found else None

    def close(self) -> None:
        """Send close_notify, without waiting for the other's."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.ssl.unwrap()

    def take(self) -> bytes:
        return self._outgoing.read()

    def feed(self, data: bytes) -> None:
        self._incoming.write(data)
        self.step()

    def feed_eof(self) -> None:
        self._incoming.write_eof()
        self.step()


class InMemory(_Ours):
    """A connection of ours and an end of Python's ssl. ``carry`` moves bytes until both are silent."""

    def __init__(self, connection: Connection, peer: SslEnd) -> None:
        super().__init__(connection)
        self.peer = peer

    def carry(self) -> Self:
        self.peer.step()
        while True:
            to_peer = self.connection.data_to_send()
            if to_peer:
                self.peer.feed(to_peer)
            to_us = self.peer.take()
            self._take(self.connection.receive_data(to_us))
            if not to_peer and not to_us:
                return self

    def feed(self, data: bytes) -> None:
        """Only these bytes come to us."""
        self._take(self.connection.receive_data(data))

    def eof(self) -> None:
        """The transport ends for us."""
        self._take(self.connection.receive_eof())


# Over sockets: processes --------------------------------------------------------------------------------------------


class Process:
    """A peer in a process of its own, killed at the end whatever happens."""

    def __init__(self, command: Sequence[object]) -> None:
        self.command = [str(word) for word in command]
        self.output = bytearray()
        self.errors = bytearray()
        self.unwritten = bytearray()
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._pipes: dict[Any, bytearray] = {self._process.stdout: self.output, self._process.stderr: self.errors}
        self._open = set(self._pipes)
        for pipe in (self._stdin, *self._pipes):
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for pipe in (self._stdin, *self._pipes):
            pipe.close()

    def kill(self) -> None:
        """End it at once; its transport ends with it, without a word."""
        self._process.kill()
        self._process.wait(TIMEOUT)

    def say(self, text: bytes) -> None:
        """Write to its standard input, when there is room."""
        self.unwritten += text

    def end_input(self) -> None:
        """Nothing more comes on its standard input."""
        assert not self.unwritten
        self._stdin.close()

    def said(self, *words: bytes) -> bool:
        return all(word in self.output or word in self.errors for word in words)

    @property
    def has_ended(self) -> bool:
        return not self._open

    @property
    def report(self) -> str:
        """What it was and said, for the person who reads of a failure."""
        text = bytes(self.output[-3000:] + b"\n" + self.errors[-3000:]).decode(errors="replace")
        return f"{' '.join(self.command)}\n{text}"

    def register(self, selector: selectors.BaseSelector) -> None:
        for pipe in self._open:
            selector.register(pipe, selectors.EVENT_READ, self)
        if self.unwritten and not self._stdin.closed:
            selector.register(self._stdin, selectors.EVENT_WRITE, self)

    def handle(self, file: Any) -> None:
        """Read or write without waiting."""
        if file is self._stdin:
            try:
                del self.unwritten[: os.write(file.fileno(), self.unwritten)]
            except BrokenPipeError:
                self.unwritten.clear()
            except BlockingIOError:
                pass
            return
        data = file.read(_MUCH)
        if data:
            self._pipes[file] += data
        elif data == b"":
            self._open.discard(file)

    def until(self, is_done: Callable[[], object], what: str) -> None:
        """Wait for this process alone."""
        _wait(is_done, what, [self])


class Talk(_Ours):
    """A connection of ours on a socket, and the process (if it is one) at the other end."""

    def __init__(self, connection: Connection, sock: socket.socket, process: Process | None = None) -> None:
        super().__init__(connection)
        self.process = process
        self._sock = sock
        self._unsent = bytearray()
        self.is_eof = False
        sock.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def until(self, is_done: Callable[[], object], what: str) -> Self:
        """Send and receive until ``is_done``, and everything of ours is sent."""

        def is_all_done() -> bool:
            self._send()
            return not self._unsent and bool(is_done())

        _wait(is_all_done, what, [self] if self.process is None else [self, self.process])
        return self

    def until_open(self) -> Self:
        """Until the handshake is complete."""
        self.until(lambda: self.is_open or self.error is not None, "the handshake")
        assert self.error is None, f"{self.error}\n{self.process.report if self.process else ''}"
        return self

    def until_received(self, data: bytes) -> Self:
        return self.until(lambda: bytes(self.received) == data, "the peer's data")

    def until_error(self) -> Self:
        return self.until(lambda: self.error is not None, "the end by an error")

    def until_eof(self) -> Self:
        return self.until(lambda: self.is_eof, "the end of the transport")

    def until_said(self, *words: bytes) -> Self:
        """Until the process has said this."""
        assert self.process is not None
        process = self.process
        return self.until(lambda: process.said(*words), f"the peer to say {words}")

    def hang_up(self) -> None:
        """End the transport, without a word."""
        self._sock.close()
        self.is_eof = True

    def _send(self) -> None:
        self._unsent += self.connection.data_to_send()
        self._take(self.connection.receive_data(b""))
        if not self._unsent or self._sock.fileno() == -1:
            return
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()  # the peer is gone; what it sent before can still be read

    @property
    def has_ended(self) -> bool:
        return self.is_eof

    @property
    def report(self) -> str:
        return f"{self.connection!r}: {self.events[-5:]}, {len(self.received)} bytes of data"

    def register(self, selector: selectors.BaseSelector) -> None:
        if self._sock.fileno() == -1:
            return
        wanted = 0 if self.is_eof else selectors.EVENT_READ
        wanted |= selectors.EVENT_WRITE if self._unsent else 0
        if wanted:
            selector.register(self._sock, wanted, self)

    def handle(self, file: Any) -> None:
        self._send()
        if self.is_eof:
            return
        try:
            data = self._sock.recv(_MUCH)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if data:
            self._take(self.connection.receive_data(data))
        else:
            self.is_eof = True
            self._take(self.connection.receive_eof())


def _wait(is_done: Callable[[], object], what: str, ends: Sequence[Process | Talk]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not is_done():
        left = deadline - time.monotonic()
        with selectors.DefaultSelector() as selector:
            for end in ends:
                end.register(selector)
            is_hopeless = all(end.has_ended for end in ends)
            ready = [] if is_hopeless else selector.select(max(left, 0))
        if not ready:
            why = "all have ended" if is_hopeless else f"nothing for {TIMEOUT:.0f} s"
            raise AssertionError("\n".join([f"waiting for {what}: {why}", *(end.report for end in ends)]))
        for key, _ in ready:
            key.data.handle(key.fileobj)


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), TIMEOUT)


class Listener:
    """A socket of ours that one peer connects to."""

    def __init__(self) -> None:
        self._sock = socket.create_server((HOST, 0))
        self._sock.settimeout(TIMEOUT)
        self.port: int = self._sock.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    def accept(self, process: Process | None = None) -> socket.socket:
        """The peer's connection. What the process says meanwhile fits into its pipe."""
        try:
            return self._sock.accept()[0]
        except TimeoutError as error:
            raise AssertionError(f"nobody connected\n{process.report if process else ''}") from error
