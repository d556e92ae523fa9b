"""Python's ssl over real sockets: what an application would do, in a thread of its own."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from interop.certificates import NAME, Certificates
from interop.driver import TIMEOUT, Listener, Talk, connect
from interop.ours import ROLES, VERSIONS, Role, our_client, our_server
from interop.python_ssl import ssl_context
from sanstls import CloseNotifyReceived, ConnectionState, ProtocolVersion

pytestmark = pytest.mark.interop

DATA = bytes(range(256)) * 4096
Application = Callable[[ssl.SSLSocket], None]


def echo(sock: ssl.SSLSocket) -> None:
    """Send back as much as was agreed on, then close together with the other side."""
    left = len(DATA)
    while left:
        data = sock.recv(65536)
        assert data
        sock.sendall(data)
        left -= len(data)
    sock.unwrap().close()


@contextmanager
def meet(certificates: Certificates, role: Role, version: ProtocolVersion, application: Application) -> Iterator[Talk]:
    """Our ``role`` here, and the other one in a thread that is over at the end, with whatever error it had."""
    context = ssl_context(certificates, "server" if role == "client" else "client", versions=(version,))
    errors: list[BaseException] = []

    def run(plain: socket.socket) -> None:
        try:
            plain.settimeout(TIMEOUT)
            name = NAME if role == "server" else None
            with plain, context.wrap_socket(plain, server_side=name is None, server_hostname=name) as sock:
                application(sock)
        except BaseException as error:
            errors.append(error)

    with Listener() as listener:
        ours = connect(listener.port)
        theirs = listener.accept()
    thread = threading.Thread(target=run, args=(theirs,), daemon=True)
    connection = our_client(certificates) if role == "client" else our_server(certificates)
    thread.start()
    try:
        with Talk(connection, ours) as talk:
            yield talk
    finally:
        thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert errors == []


each_role = pytest.mark.parametrize("role", ROLES)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)


@each_role
@each_version
def test_an_echo(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    with meet(certificates, role, version, echo) as talk:
        talk.until_open()
        talk.connection.send_data(DATA)
        talk.until(lambda: len(talk.received) >= len(DATA), "the echo")
        assert hashlib.sha256(talk.received).digest() == hashlib.sha256(DATA).digest()
        talk.until(lambda: talk.of(CloseNotifyReceived), "the other's end")
        talk.connection.close()
        talk.until_eof()
        assert talk.connection.state is ConnectionState.CLOSED
        assert talk.error is None


@each_role
@each_version
def test_we_close_first(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    def read_to_the_end(sock: ssl.SSLSocket) -> None:
        assert sock.recv(100) == b"that was all"
        assert sock.recv(100) == b""
        sock.sendall(b"not for me")
        sock.unwrap().close()

    with meet(certificates, role, version, read_to_the_end) as talk:
        talk.until_open()
        talk.connection.send_data(b"that was all")
        talk.connection.close()
        talk.until_received(b"not for me")
        talk.until_eof()
        assert talk.connection.state is ConnectionState.CLOSED
