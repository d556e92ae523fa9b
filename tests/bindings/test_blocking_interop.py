"""The blocking binding with Python's ``ssl``, the ``openssl`` command and ``curl`` at the other end."""

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bindings.sides import (
    TIMEOUT,
    Task,
    pattern,
    receive_all,
    receive_exactly,
    serving,
)
from bindings.test_blocking_files import answer_http
from interop.certificates import NAME, Certificates
from interop.driver import HOST, Process
from interop.ours import VERSIONS
from interop.peers import OPENSSL
from interop.python_ssl import ssl_context
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConfig,
    PrivatePKI,
    ProtocolVersion,
    ServerConfig,
    UnexpectedEOF,
)
from sanstls_io import blocking
from sanstls_io.blocking import Server, TLSSocket

pytestmark = pytest.mark.interop

MEGABYTE = 1 << 20
DATA, BACK = pattern(3 * MEGABYTE), pattern(3 * MEGABYTE, seed=1 << 40)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def our_config(certificates: Certificates, **settings: Any) -> ClientConfig:
    return ClientConfig(**({"verify": PrivatePKI(certificates.store)} | settings))


def our_server(
    certificates: Certificates, handler: Callable[[TLSSocket], object], *, on_error: Any = None, **settings: Any
) -> Any:
    config = ServerConfig(**({"credentials": (certificates["p256"].credential,)} | settings))
    return serving(handler, config, **({} if on_error is None else {"on_error": on_error}))


@contextlib.contextmanager
def their_server(
    certificates: Certificates, application: Callable[[ssl.SSLSocket], object], **settings: Any
) -> Iterator[tuple[int, "Task[Any]"]]:
    """A server of Python's ssl for one connection: its port, and the task that serves."""
    context = ssl_context(certificates, "server", **settings)
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(TIMEOUT)

        def serve() -> object:
            plain, _ = listener.accept()
            plain.settimeout(TIMEOUT)
            with plain, context.wrap_socket(plain, server_side=True) as sock:
                return application(sock)

        with Task(serve) as task:
            yield listener.getsockname()[1], task


@contextlib.contextmanager
def their_client(certificates: Certificates, server: Server, **settings: Any) -> Iterator[ssl.SSLSocket]:
    """A client of Python's ssl."""
    context = ssl_context(certificates, "client", **settings)
    with (
        socket.create_connection(server.address, TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as sock,
    ):
        yield sock


def our_client(port: int, config: ClientConfig, **settings: Any) -> TLSSocket:
    return blocking.connect(HOST, port, config, server_name=NAME, timeout=TIMEOUT, **settings)


def read_all(sock: ssl.SSLSocket) -> bytes:
    received = bytearray()
    while data := sock.recv(65536):
        received += data
    return bytes(received)


# Python's ssl -------------------------------------------------------------------------------------------------------


@each_version
def test_much_both_ways_at_once(certificates: Certificates, version: ProtocolVersion) -> None:
    def in_turns(sock: ssl.SSLSocket) -> None:
        # An SSLSocket is not made for two threads: it reads and writes by turns.
        received = bytearray()
        for start in range(0, len(BACK), 10_000):
            sock.sendall(BACK[start : start + 10_000])
            received += sock.recv(10_000)
        while len(received) < len(DATA):
            received += sock.recv(100_000)
        assert received == DATA
        sock.unwrap().close()

    with (
        their_server(certificates, in_turns, versions=(version,)) as (port, theirs),
        our_client(port, our_config(certificates)) as tls,
    ):
        assert tls.info.version is version
        with Task(lambda: receive_all(tls)) as received:
            tls.sendall(DATA)
            assert received.result() == BACK
        tls.close()
        theirs.result()


@each_version
def test_their_client_and_our_server(certificates: Certificates, version: ProtocolVersion) -> None:
    def echo_all(tls: TLSSocket) -> None:
        data = receive_exactly(tls, len(DATA))
        tls.sendall(data)

    with (
        our_server(certificates, echo_all) as server,
        their_client(certificates, server, versions=(version,)) as sock,
    ):
        sock.sendall(DATA)
        assert read_all(sock) == DATA  # with a close_notify, or it would raise
        sock.unwrap().close()


@each_version
@pytest.mark.parametrize("who", ["we first", "they first"])
def test_back_to_the_plain_socket(certificates: Certificates, version: ProtocolVersion, who: str) -> None:
    def application(sock: ssl.SSLSocket) -> bytes:
        if who == "we first":
            assert sock.recv(1) == b""
        with sock.unwrap() as plain:
            plain.sendall(b"in the clear, from ssl")
            return plain.recv(100)

    with their_server(certificates, application, versions=(version,)) as (port, theirs):
        tls = our_client(port, our_config(certificates))
        if who == "they first":
            assert tls.recv(1) == b""
        plain, received = tls.unwrap()
        with plain:
            while len(received) < 22:
                received += plain.recv(100)
            assert received == b"in the clear, from ssl"
            plain.sendall(b"and from us")
            assert theirs.result() == b"and from us"


@each_version
def test_a_half_close(certificates: Certificates, version: ProtocolVersion) -> None:
    def answer(sock: ssl.SSLSocket) -> None:
        assert read_all(sock) == b"that was all"
        sock.sendall(BACK)  # OpenSSL sends on after the other's close_notify
        sock.unwrap().close()

    with (
        their_server(certificates, answer, versions=(version,)) as (port, theirs),
        our_client(port, our_config(certificates)) as tls,
    ):
        tls.sendall(b"that was all")
        tls.shutdown(socket.SHUT_WR)
        assert receive_all(tls) == BACK
        theirs.result()


@each_version
def test_ssl_hangs_up_without_a_close_notify(certificates: Certificates, version: ProtocolVersion) -> None:
    with (
        their_server(certificates, lambda sock: sock.sendall(b"half of"), versions=(version,)) as (port, _),
        our_client(port, our_config(certificates)) as tls,
    ):
        assert receive_exactly(tls, 7) == b"half of"
        with pytest.raises(UnexpectedEOF):
            tls.recv(1)


@each_version
def test_an_exception_is_an_alert_for_ssl(certificates: Certificates, version: ProtocolVersion) -> None:
    def fail(tls: TLSSocket) -> None:
        tls.sendall(b"half of")
        raise ZeroDivisionError

    errors: list[Exception] = []
    with (
        our_server(certificates, fail, on_error=lambda error, _: errors.append(error)) as server,
        their_client(certificates, server, versions=(version,)) as sock,
    ):
        assert sock.recv(7) == b"half of"
        with pytest.raises(ssl.SSLError, match=r"internal.error"):
            sock.recv(1)
    assert [type(error) for error in errors] == [ZeroDivisionError]


@each_version
def test_ssl_sees_that_it_is_not_trusted(certificates: Certificates, version: ProtocolVersion) -> None:
    config = our_config(certificates, verify=PrivatePKI(certificates.strange_store))
    with their_server(certificates, lambda sock: sock.recv(1), versions=(version,)) as (port, theirs):
        with pytest.raises(CertificateError):
            our_client(port, config)
        assert isinstance(theirs.error, ssl.SSLError)
        assert "unknown ca" in str(theirs.error)


@each_version
def test_ssl_does_not_trust_us(certificates: Certificates, version: ProtocolVersion) -> None:
    errors: list[Any] = []
    with (
        our_server(certificates, receive_all, on_error=lambda error, _: errors.append(error)) as server,
        pytest.raises(ssl.SSLCertVerificationError),
        their_client(certificates, server, versions=(version,), trusts=certificates.stranger_file),
    ):
        pass
    (error,) = errors
    assert isinstance(error, AlertReceivedError)
    assert error.description is AlertDescription.unknown_ca


@each_version
@pytest.mark.parametrize("role", ["client", "server"])
def test_both_log_the_same_secrets(
    certificates: Certificates,
    version: ProtocolVersion,
    role: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = tmp_path / "ours.log", tmp_path / "theirs.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(ours))
    if role == "client":
        config = our_config(certificates, key_log=True)
        settings: dict[str, Any] = {"versions": (version,), "key_log": theirs}
        with their_server(certificates, lambda sock: sock.sendall(b"x"), **settings) as (port, _):
            tls = our_client(port, config)
            assert tls.recv(1) == b"x"
            tls.close()
    else:
        with (
            our_server(certificates, lambda tls: tls.sendall(b"x"), key_log=True) as server,
            their_client(certificates, server, versions=(version,), key_log=theirs) as sock,
        ):
            assert sock.recv(1) == b"x"
    of_openssl = {line for line in theirs.read_text().splitlines() if not line.startswith("#")}
    lines = ours.read_text().splitlines()
    assert len(lines) == len(set(lines)) == (1 if version is ProtocolVersion.TLS12 else 5)
    assert set(lines) == of_openssl


# The openssl command ------------------------------------------------------------------------------------------------


@each_version
def test_our_client_and_s_server(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()
    process, port = OPENSSL.serve(certificates, "p256", "-rev")
    config = our_config(certificates, versions=(version,), alpn=())
    with process, our_client(port, config) as tls, tls.makefile("rw", encoding="ascii", newline="\n") as file:
        for word in ("madam", "stressed"):
            file.write(word + "\n")
            file.flush()
            assert file.readline() == word[::-1] + "\n"


def test_our_client_gets_a_page_of_s_server(certificates: Certificates) -> None:
    OPENSSL.require()
    process, port = OPENSSL.serve(certificates, "p256", "-www", "-alpn", "http/1.0")
    with process:
        connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
        connection.sock = tls = our_client(port, our_config(certificates), alpn=("http/1.0",))
        assert tls.info.alpn == "http/1.0"
        connection.request("GET", "/")
        with connection.getresponse() as response:
            assert b"TLSv1.3" in response.read()
        assert tls.fileno() == -1


@each_version
def test_s_client_and_our_server(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()

    def shout(tls: TLSSocket) -> None:
        with tls.makefile("rwb") as file:
            for line in file:
                file.write(line.upper())
                file.flush()

    with (
        our_server(certificates, shout, versions=(version,)) as server,
        OPENSSL.connect(certificates, server.address[1]) as process,
    ):
        say(process, b"hello\n", b"HELLO\n")
        if version is ProtocolVersion.TLS13:
            process.say(b"K\n")  # a KeyUpdate that wants an answer
            process.until(lambda: process.said(b"KEYUPDATE"), "a KeyUpdate")
        say(process, b"and again\n", b"AND AGAIN\n")
        say(process, b"Q\n", b"")
        process.until(lambda: process.has_ended, "the end")


def say(process: Process, text: bytes, expected: bytes) -> None:
    process.say(text)
    process.until(lambda: not process.unwritten and process.said(expected), f"{expected!r}")


# curl -----------------------------------------------------------------------------------------------------------------


@each_version
def test_curl(certificates: Certificates, version: ProtocolVersion, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here: apt-get install curl")
    (tmp_path / "body").write_bytes(DATA)
    with our_server(certificates, answer_http, versions=(version,), alpn=("http/1.1",)) as server:
        port = server.address[1]
        command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", "--http1.1", "--noproxy", "*"]
        command += ["--cacert", str(certificates.root_file), "--resolve", f"{NAME}:{port}:{HOST}"]
        url = f"https://{NAME}:{port}/a/page"
        got = subprocess.run([*command, url, url], capture_output=True, timeout=25, check=True)
        assert got.stdout == b"GET /a/page" * 2
        body = ["--data-binary", f"@{tmp_path / 'body'}", "--header", "Expect:"]
        sent = subprocess.run([*command, *body, url], capture_output=True, timeout=25, check=True)
        assert sent.stdout == DATA
