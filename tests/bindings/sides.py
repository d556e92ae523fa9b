"""Two sides of a connection on real sockets, threads that say how they ended, and waiting for what will be so."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from memory import credential, store
from sanstls import (
    ClientConfig,
    ClientConnection,
    Credential,
    NamedGroup,
    PrivatePKI,
    ServerConfig,
    ServerConnection,
    TrustStore,
)
from sanstls_io import blocking
from sanstls_io._demo_pki import Pki, make_pki
from sanstls_io.blocking import Server, TLSSocket

HOST, NAME = "127.0.0.1", "example.com"
TIMEOUT = 10.0
"""Seconds for one wait. It is there for what hangs; what works takes milliseconds."""

T = TypeVar("T")
_GROUPS = (NamedGroup.x25519, NamedGroup.secp256r1)


@cache
def web_pki() -> Pki:
    """For ``localhost``, and good enough for the public web's rules."""
    return make_pki("localhost")


@cache
def stranger() -> TrustStore:
    """Roots that have signed nothing here."""
    return TrustStore.from_pem(make_pki("stranger.example").root)


def client_config(**settings: Any) -> ClientConfig:
    return ClientConfig(**({"verify": PrivatePKI(store()), "groups": _GROUPS} | settings))


def server_config(**settings: Any) -> ServerConfig:
    return ServerConfig(**({"credentials": (credential(),), "groups": _GROUPS} | settings))


def web_server() -> ServerConfig:
    """With the certificate of :func:`web_pki`."""
    return server_config(credentials=(Credential.from_pem(web_pki().chain, web_pki().key),), alpn=("h2", "http/1.1"))


# Threads ----------------------------------------------------------------------------------------------------------


class Task(Generic[T]):
    """A call in a thread of its own, which is over at the end of the ``with``."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.wait()

    def _run(self) -> None:
        try:
            self._result.append(self._call())
        except BaseException as error:
            self._error = error

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def wait(self) -> Self:
        self._thread.join(TIMEOUT)
        assert self.is_done, f"it still runs after {TIMEOUT} s"
        return self

    def result(self) -> T:
        """What the call returned; its error is raised here."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._result[0]

    @property
    def error(self) -> BaseException | None:
        """With what the call ended."""
        return self.wait()._error


def eventually(is_so: Callable[[], object], what: str = "that") -> None:
    """Wait for what no event tells."""
    deadline = time.monotonic() + TIMEOUT
    while not is_so():
        assert time.monotonic() < deadline, f"waiting for {what}: not after {TIMEOUT} s"
        time.sleep(0.001)


def is_waiting(tls: TLSSocket) -> bool:
    """Whether a thread is in a call that receives."""
    return tls._reading.locked()


# Connections --------------------------------------------------------------------------------------------------------


class Sides(NamedTuple):
    """Two connections that have done their handshake, or two ends that have not."""

    client: TLSSocket
    server: TLSSocket


@contextlib.contextmanager
def sockets(*, tcp: bool = True, buffer: int | None = None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two plain sockets that are connected, of which each has a ``buffer`` of about so many bytes."""
    if tcp:
        with socket.create_server((HOST, 0)) as listener:
            if buffer is not None:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            listener.settimeout(TIMEOUT)
            ours = socket.create_connection(listener.getsockname(), TIMEOUT)
            theirs, _ = listener.accept()
    else:
        ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(TIMEOUT)
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        if tcp:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with ours, theirs:
        yield ours, theirs


@contextlib.contextmanager
def unconnected(
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
    *,
    tcp: bool = True,
    buffer: int | None = None,
    of_client: dict[str, Any] | None = None,
    of_server: dict[str, Any] | None = None,
) -> Iterator[Sides]:
    """Two ends whose handshake has not begun. ``of_client`` and ``of_server`` are given to their ``TLSSocket``."""
    with sockets(tcp=tcp, buffer=buffer) as (ours, theirs):
        yield Sides(
            TLSSocket(ours, ClientConnection(client or client_config(), NAME), **(of_client or {})),
            TLSSocket(theirs, ServerConnection(server or server_config()), **(of_server or {})),
        )


@contextlib.contextmanager
def connected(
    client: ClientConfig | None = None, server: ServerConfig | None = None, **options: Any
) -> Iterator[Sides]:
    """Two connections that are open; options are those of :func:`unconnected`."""
    with unconnected(client, server, **options) as sides:
        with Task(sides.server.do_handshake):
            sides.client.do_handshake()
        yield sides


@contextlib.contextmanager
def serving(
    handler: Callable[[TLSSocket], object], config: ServerConfig | None = None, **settings: Any
) -> Iterator[Any]:
    """A server of ours on a free port. What goes wrong in it is in its ``errors``, and is seen at the end."""
    errors: list[Exception] = []
    settings.setdefault("on_error", lambda error, address: errors.append(error))
    server = blocking.serve(HOST, 0, config or server_config(), handler, timeout=TIMEOUT, **settings)
    try:
        yield server
    finally:
        has_ended = server.shutdown(TIMEOUT)
    assert has_ended
    assert errors == []


def connect_to(server: Server, config: ClientConfig | None = None, **settings: Any) -> TLSSocket:
    """Our client, connected to our server."""
    settings = {"server_name": NAME, "timeout": TIMEOUT} | settings
    return blocking.connect(HOST, server.address[1], config or client_config(), **settings)


# Data ---------------------------------------------------------------------------------------------------------------


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two places look alike."""
    return b"".join((seed + i).to_bytes(8, "big") for i in range(0, size, 8))[:size]


def receive_all(tls: TLSSocket, size: int = 65536) -> bytes:
    """Everything until the peer closes."""
    received = bytearray()
    while data := tls.recv(size):
        received += data
    return bytes(received)


def receive_exactly(tls: TLSSocket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        data = tls.recv(count - len(received))
        assert data, f"the end after {len(received)} of {count} bytes"
        received += data
    return bytes(received)


def echo(tls: TLSSocket) -> None:
    """A handler that sends back what comes, until the client closes."""
    while data := tls.recv(65536):
        tls.sendall(data)
