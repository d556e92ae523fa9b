"""examples/own_loop.py as a program of its own: with openssl, curl and Python's ssl, in both roles, and with itself."""

import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from selectors import DefaultSelector
from shutil import which
from typing import Any

import pytest

from interop.certificates import NAME, OTHER_NAME, Certificates
from interop.driver import HOST, TIMEOUT, Process, connect
from interop.ours import TLS12, VERSIONS, our_client
from interop.peers import OPENSSL
from interop.python_ssl import ssl_context
from sanstls import ClientConnection, ConnectionFailed, ConnectionState, DataReceived, ProtocolVersion

PROGRAM = Path(__file__).resolve().parent.parent.parent / "examples" / "own_loop.py"
GREETING = b"Hello from a loop of my own\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n"
MEGABYTE = bytes(range(256)) * 4096

pytestmark = pytest.mark.interop
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def run_client(
    certificates: Certificates, port: int, *options: object, name: str = NAME, ca: Path | None = None
) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, PROGRAM, "client", HOST, port, "--ca", ca or certificates.root_file, "--name", name]
    return subprocess.run([str(word) for word in (*command, *options)], capture_output=True, timeout=TIMEOUT)


def downloaded(run: "subprocess.CompletedProcess[bytes]") -> bytes:
    """What a client that has no complaint has printed."""
    assert (run.returncode, run.stderr) == (0, b"")
    return run.stdout


@contextmanager
def our_server(certificates: Certificates, complaint: bytes = b"") -> Iterator[int]:
    """The example's server; its port. In the end it has had this to complain of, if anything, and still serves."""
    identity = certificates["p256"]
    files = ["--chain", identity.certificate_file, "--key", identity.key_file]
    with Process([sys.executable, PROGRAM, "server", 0, *files]) as server:
        server.until(lambda: server.output.endswith(b"\n"), "the server to listen")
        words, _, port = server.output.decode().rpartition(":")
        assert words == "listening on 127.0.0.1"
        yield int(port)
        if complaint:
            server.until(lambda: server.said(complaint), "a complaint")
        assert downloaded(run_client(certificates, int(port))).endswith(GREETING), server.report
        server.kill()
        server.until(lambda: server.has_ended, "the end of what it said")
        assert complaint or not server.errors, server.report
        assert b"Traceback" not in server.errors, server.report


@contextmanager
def python_server(
    certificates: Certificates, talk: Callable[[ssl.SSLSocket], object], version: ProtocolVersion = VERSIONS[0]
) -> Iterator[int]:
    """A server of Python's ssl, which talks to one client in a thread; its port."""
    context = ssl_context(certificates, "server", versions=(version,))
    failures: list[Exception] = []

    def serve() -> None:
        try:
            with listener.accept()[0] as sock:
                sock.settimeout(TIMEOUT)
                with context.wrap_socket(sock, server_side=True) as tls:
                    talk(tls)
        except Exception as error:
            failures.append(error)

    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(TIMEOUT)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()
    assert failures == []


def openssl_option(version: ProtocolVersion) -> str:
    return "-tls1_2" if version is TLS12 else "-tls1_3"


@contextmanager
def curl(certificates: Certificates, port: int, *options: str) -> Iterator[Callable[[], bytes]]:
    """A curl that runs; what is given waits for what it prints."""
    if which("curl") is None:
        pytest.skip("curl is not here: apt-get install curl")
    address = ["--noproxy", "*", "--resolve", f"{NAME}:{port}:{HOST}", f"https://{NAME}:{port}/"]
    trust = ["--cacert", str(certificates.root_file)]
    command = ["curl", "--disable", "--silent", "--show-error", "--include", *trust, *options, *address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:

        def output() -> bytes:
            printed, complaints = process.communicate(timeout=TIMEOUT)
            assert (process.returncode, complaints) == (0, b"")
            return printed

        try:
            yield output
        finally:
            process.kill()


# The client -----------------------------------------------------------------------------------------------------------


@each_version
def test_the_client_gets_a_page_of_openssl(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()
    server, port = OPENSSL.serve(certificates, "p256", "-www", openssl_option(version))
    with server:
        page = downloaded(run_client(certificates, port))
    assert page.startswith(b"HTTP/1.0 200 ok\r\n")
    assert version.text.replace(" ", "v").encode() in page


@each_version
def test_the_client_sends_a_text_of_ones_own(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()
    server, port = OPENSSL.serve(certificates, "p256", "-rev", openssl_option(version))
    with server:
        assert downloaded(run_client(certificates, port, "--request", "Hello\nCLOSE\n")) == b"olleH\n"


@each_version
def test_a_megabyte_comes_whole(certificates: Certificates, version: ProtocolVersion) -> None:
    def talk(tls: ssl.SSLSocket) -> None:
        assert tls.recv(1000).startswith(b"GET / HTTP/1.0\r\n")
        tls.sendall(MEGABYTE)
        tls.unwrap()  # waits for the client's close_notify

    with python_server(certificates, talk, version) as port:
        assert downloaded(run_client(certificates, port)) == MEGABYTE


def test_a_peer_that_takes_nothing_holds_up_nobody_else(certificates: Certificates) -> None:
    """What a socket does not take at once is kept, and goes out whole. (A command line can't be that long.)"""
    received = bytearray()
    other_is_done = threading.Event()

    def talk(tls: ssl.SSLSocket) -> None:
        assert other_is_done.wait(TIMEOUT)
        while len(received) < len(MEGABYTE):
            received.extend(tls.recv(65536))
        tls.unwrap()

    def talk_to_other(tls: ssl.SSLSocket) -> None:
        assert tls.recv(1000) == b"Hello"
        tls.unwrap()
        other_is_done.set()

    own_loop = load()
    conn, other = our_client(certificates), our_client(certificates)
    with (
        python_server(certificates, talk) as port,
        python_server(certificates, talk_to_other) as other_port,
        DefaultSelector() as selector,
        connect(port) as sock,
        connect(other_port) as other_sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.settimeout(None)  # blocking, as sockets are at first
        own_loop.Peer(selector, sock, conn, MEGABYTE)
        own_loop.Peer(selector, other_sock, other, b"Hello")
        own_loop.run(selector)
    assert received == MEGABYTE
    assert conn.state is other.state is ConnectionState.CLOSED


def load() -> Any:
    spec = spec_from_file_location("own_loop", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_download_that_may_be_cut_is_an_error(certificates: Certificates) -> None:
    def talk(tls: ssl.SSLSocket) -> None:
        tls.recv(1000)
        tls.sendall(b"Half of")  # and no close_notify

    with python_server(certificates, talk) as port:
        run = run_client(certificates, port)
    assert (run.returncode, run.stdout) == (1, b"Half of")
    assert run.stderr.startswith(b"UnexpectedEOF: ")


@pytest.mark.parametrize("wrong", ["root", "name"])
def test_a_server_that_is_not_who_it_should_be(certificates: Certificates, wrong: str) -> None:
    with our_server(certificates, b"the peer ended the connection with the alert ") as port:
        if wrong == "root":
            run = run_client(certificates, port, ca=certificates.stranger_file)
        else:
            run = run_client(certificates, port, name=OTHER_NAME)
        assert (run.returncode, run.stdout) == (1, b"")
        assert run.stderr.startswith(b"CertificateError: ")
        assert (b"issuer" if wrong == "root" else OTHER_NAME.encode()) in run.stderr


def test_nobody_listens(certificates: Certificates) -> None:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        run = run_client(certificates, sock.getsockname()[1])
    assert run.returncode == 1
    assert b"refused" in run.stderr
    assert b"Traceback" not in run.stderr


# The server -----------------------------------------------------------------------------------------------------------


@each_version
def test_the_server_with_curl(certificates: Certificates, version: ProtocolVersion) -> None:
    number = version.text.split()[1]
    with (
        our_server(certificates) as port,
        curl(certificates, port, f"--tlsv{number}", "--tls-max", number) as output,
    ):
        page = output()
    header, _, body = page.partition(b"\r\n\r\n")
    assert header.split(b"\r\n") == [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(GREETING), b"Connection: close"]
    assert body == GREETING


@each_version
def test_the_server_with_openssl(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()
    with (
        our_server(certificates) as port,
        OPENSSL.connect(certificates, port, "-quiet", openssl_option(version)) as client,
    ):
        client.say(REQUEST)
        client.until(lambda: client.said(GREETING), "the answer")
        client.until(lambda: client.has_ended, "openssl to end")


def test_many_clients_at_once(certificates: Certificates) -> None:
    with our_server(certificates, b"UnexpectedEOF: ") as port, ExitStack() as stack:
        stack.enter_context(connect(port))  # says nothing at all
        begun = stack.enter_context(connect(port))
        begun.sendall(our_client(certificates).data_to_send()[:100])
        outputs = [stack.enter_context(curl(certificates, port)) for _ in range(8)]
        assert all(output().endswith(b"\r\n\r\n" + GREETING) for output in outputs)


def test_a_long_body_is_read_and_forgotten(certificates: Certificates, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(MEGABYTE)
    options = ("--header", "Expect:", "--data-binary", f"@{upload}")
    with our_server(certificates) as port, curl(certificates, port, *options) as output:
        assert output().endswith(GREETING)


def test_plain_http_harms_nobody_else(certificates: Certificates) -> None:
    with our_server(certificates, b"HTTP") as port, connect(port) as plain:
        plain.sendall(REQUEST)
        assert received_by(plain)[:3] == b"\x15\3\3"  # an alert, and then the end


def received_by(sock: socket.socket) -> bytes:
    """All that comes until the end."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def open_client(certificates: Certificates, sock: socket.socket) -> ClientConnection:
    """A client on this socket, its handshake complete but for the last flight, which is still to be sent."""
    conn = our_client(certificates)
    while conn.state is ConnectionState.HANDSHAKE:
        sock.sendall(conn.data_to_send())
        conn.receive_data(sock.recv(65536))
    return conn


def answer_to(conn: ClientConnection, sock: socket.socket) -> bytes:
    """The data that comes until the server's close_notify."""
    data = b""
    while conn.wants_data:
        events = conn.receive_data(sock.recv(65536))
        data += b"".join(event.data for event in events if isinstance(event, DataReceived))
    return data


def test_who_sends_no_more_is_still_answered(certificates: Certificates) -> None:
    """The last flight, the request and close_notify come in one piece."""
    with our_server(certificates) as port, connect(port) as sock:
        conn = open_client(certificates, sock)
        conn.send_data(REQUEST)
        conn.close()
        sock.sendall(conn.data_to_send())
        assert answer_to(conn, sock).endswith(b"\r\n\r\n" + GREETING)
        assert received_by(sock) == b""


def test_a_request_that_comes_byte_by_byte(certificates: Certificates) -> None:
    with our_server(certificates) as port, connect(port) as sock:
        conn = open_client(certificates, sock)
        for byte in REQUEST:
            conn.send_data(bytes([byte]))  # each in a record of its own
        sock.sendall(conn.data_to_send())
        assert answer_to(conn, sock).endswith(b"\r\n\r\n" + GREETING)
        conn.close()
        sock.sendall(conn.data_to_send())


@pytest.mark.parametrize("said", [REQUEST, b""], ids=["request", "nothing"])
def test_garbage_harms_nobody_else(certificates: Certificates, said: bytes) -> None:
    """It comes in one piece with the request, which is not answered any more; the alert comes before the end."""
    with our_server(certificates, b"PeerError: ") as port, connect(port) as sock:
        conn = open_client(certificates, sock)
        conn.send_data(said)
        sock.sendall(conn.data_to_send() + b"\x17\3\3\0\x20" + bytes(32))
        events = conn.receive_data(received_by(sock))
        failure = next(event for event in events if isinstance(event, ConnectionFailed))
        assert "bad_record_mac" in str(failure.error)


def test_who_hangs_up_harms_nobody_else(certificates: Certificates) -> None:
    with our_server(certificates, b"UnexpectedEOF: ") as port, connect(port) as sock:
        sock.sendall(our_client(certificates).data_to_send())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # to reset, not to close
