"""How blocking connections begin: the fastest address, a plain protocol before TLS, a listener of one's own."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bindings.sides import HOST, NAME, TIMEOUT, client_config, server_config
from sanstls import AlertReceivedError, CertificateError, LocalError, ProtocolVersion
from sanstls_io import _connecting, blocking
from sanstls_io.blocking import TLSSocket

SERVER, CLIENT = server_config(), client_config()  # made here: two threads would each make certificates of their own
each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=lambda v: v.text)


@contextmanager
def task(work: Any, *args: Any) -> Iterator[list[Any]]:
    """In a thread meanwhile; what it gave, or its error, which is raised at the end."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work(*args))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield results
    finally:
        thread.join(TIMEOUT)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


# The fastest address ----------------------------------------------------------------------------------------------


def answers_of(*addresses: tuple[str, int]) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]


@contextmanager
def full_listener() -> Iterator[tuple[str, int]]:
    """An address that answers nothing: its queue is full."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(3):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
                waiting.append(sock)
            yield listener.getsockname()
        finally:
            for sock in waiting:
                sock.close()


def test_an_address_that_answers_nothing_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8305 5."""
    with full_listener() as silent, socket.create_server((HOST, 0)) as listener:
        found = answers_of(silent, listener.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with closing(_connecting.connect_first(NAME, 1, time.monotonic() + TIMEOUT)) as sock:
            assert sock.getpeername() == listener.getsockname()
            assert sock.gettimeout() is None
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connecting, "ATTEMPT_DELAY", 3600)
    with socket.create_server((HOST, 0)) as gone:
        refused = gone.getsockname()
    with socket.create_server((HOST, 0)) as listener:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers_of(refused, listener.getsockname()))
        with closing(_connecting.connect_first(NAME, 1, None)) as sock:
            assert sock.getpeername() == listener.getsockname()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers_of(refused, refused))
    with pytest.raises(ConnectionRefusedError) as caught:
        _connecting.connect_first(NAME, 1, None)
    assert len(caught.value.__notes__) == 2


def test_no_address_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with full_listener() as silent:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers_of(silent))
        with pytest.raises(TimeoutError, match="connecting"):
            _connecting.connect_first(NAME, 1, time.monotonic() + 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pytest.raises(OSError, match="no address"):
        _connecting.connect_first(NAME, 1, None)


def test_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    addresses = [(family, socket.SOCK_STREAM, 0, index) for index, family in enumerate([six, six, six, four, four])]
    assert [address[3] for address in _connecting._in_turns(addresses)] == [0, 3, 1, 4, 2]


# A plain protocol before TLS --------------------------------------------------------------------------------------


@each_version
def test_starttls(version: ProtocolVersion) -> None:
    """With the first bytes of TLS in the same read as the last plain line."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(TIMEOUT)

    def serve() -> bytes:
        received = b""
        while b"\n" not in received:
            received += theirs.recv(65536)
        line, _, rest = received.partition(b"\n")
        assert line == b"STARTTLS"
        with blocking.start_tls(theirs, server_config(versions=(version,)), already_read=rest) as tls:
            data = tls.recv(100)
            tls.sendall(b"250 " + data)
            return data

    with task(serve) as results:
        ours.sendall(b"STARTTLS\n")
        with blocking.start_tls(ours, CLIENT, server_name=NAME) as tls:
            assert tls.info.version is version
            tls.sendall(b"EHLO")
            assert tls.recv(100) == b"250 EHLO"
    assert results == [b"EHLO"]


def test_what_was_read_already_is_not_lost() -> None:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(TIMEOUT)
    with task(lambda: blocking.start_tls(ours, CLIENT, server_name=NAME).close()):
        first = theirs.recv(100)  # the beginning of the ClientHello
        with blocking.start_tls(theirs, SERVER, already_read=first) as tls:
            assert tls.recv(1) == b""


def test_a_failed_upgrade_closes_the_socket() -> None:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(TIMEOUT)

    def refuse() -> None:
        with pytest.raises(AlertReceivedError):
            blocking.start_tls(theirs, SERVER)

    with task(refuse), pytest.raises(CertificateError):
        blocking.start_tls(ours, CLIENT, server_name="other.example")
    assert ours.fileno() == theirs.fileno() == -1


# A listener of one's own ------------------------------------------------------------------------------------------


def test_create_server() -> None:
    with blocking.create_server((HOST, 0), server_config(alpn=("one",))) as listener:
        assert listener.fileno() >= 0
        listener.settimeout(TIMEOUT)
        for name in ("one", "two"):
            listener.config = server_config(alpn=(name,))

            def talk(name: str = name) -> None:
                with blocking.connect(
                    *listener.getsockname(), client_config(alpn=("two", "one")), server_name=NAME, timeout=TIMEOUT
                ) as tls:
                    assert tls.info.alpn == name
                    assert tls.recv(10) == b"welcome"

            with task(talk):
                tls, peer = listener.accept()
                with tls:
                    tls.settimeout(TIMEOUT)
                    assert peer[0] == HOST
                    tls.sendall(b"welcome")
        listener.settimeout(0.01)
        with pytest.raises(TimeoutError):
            listener.accept()
    with pytest.raises(OSError, match=r"closed|descriptor"):
        listener.accept()


def opened() -> tuple[TLSSocket, TLSSocket]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(TIMEOUT)
    with task(blocking.start_tls, theirs, SERVER) as results:
        client = blocking.start_tls(ours, CLIENT, server_name=NAME)
    return client, results[0]


@pytest.mark.parametrize(
    ("offset", "count", "size"), [(0, None, 300_000), (1000, None, 299_000), (10, 200_000, 200_000)]
)
def test_sendfile(tmp_path: Path, offset: int, count: int | None, size: int) -> None:
    data = os.urandom(300_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    client, server = opened()

    def receive() -> bytes:
        received = b""
        while part := server.recv(65536):
            received += part
        return received

    with client, server, task(receive) as results:
        with path.open("rb") as file:
            assert client.sendfile(file, offset, count) == size
        client.shutdown(socket.SHUT_WR)
    assert results == [data[offset : offset + size]]


def test_detach() -> None:
    client, server = opened()
    descriptor = client.detach()
    assert client.fileno() == -1
    with socket.socket(fileno=descriptor) as plain, server:
        plain.settimeout(TIMEOUT)
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")  # nobody has closed it, and TLS is not in the way
        with pytest.raises(Exception, match=r"record|protect|HTTP|TLS"):
            server.recv(10)
    with pytest.raises(OSError, match="unwrapped"):
        client.sendall(b"x")
    client.close()
    with pytest.raises(LocalError):
        blocking.connect(HOST, 1, client_config(), timeout=0)
