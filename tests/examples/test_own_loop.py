"""The example of a loop of one's own, run as a program: against openssl, curl, Python's ssl, and itself."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import NamedTuple

import pytest

from interop.driver import TIMEOUT, Process
from sanstls_io._demo_pki import make_pki

PROGRAM = Path(__file__).resolve().parent.parent.parent / "examples" / "own_loop.py"
GREETING = b"Hello from my loop\n"

pytestmark = pytest.mark.interop
needs_curl = pytest.mark.skipif(which("curl") is None, reason="needs curl (apt-get install curl)")
needs_openssl = pytest.mark.skipif(which("openssl") is None, reason="needs openssl (apt-get install openssl)")
each_version = pytest.mark.parametrize("version", ["1.2", "1.3"])


class Files(NamedTuple):
    root: Path
    chain: Path
    key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("pki")
    pki = make_pki("localhost")
    found = Files(folder / "root.pem", folder / "chain.pem", folder / "key.pem")
    for path, content in zip(found, (pki.root, pki.chain, pki.key), strict=True):
        path.write_bytes(content)
    return found


@contextmanager
def our_server(files: Files) -> Iterator[int]:
    with Process([sys.executable, PROGRAM, "server", "0", files.chain, files.key]) as server:
        server.until(lambda: server.said(b"listening on") and b"\n" in server.output, "the server")
        yield int(server.output.split(b":")[1].split()[0])
        assert not server.has_ended, server.report


def run_client(port: int, roots: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, PROGRAM, "client", "localhost", str(port), roots]
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)


def curl(port: int, files: Files, *options: str) -> "subprocess.Popen[bytes]":
    address = ["--resolve", f"localhost:{port}:127.0.0.1", f"https://localhost:{port}/"]
    command = ["curl", "--silent", "--show-error", "--include", "--cacert", str(files.root), *options, *address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answer(process: "subprocess.Popen[bytes]") -> bytes:
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    return output


@needs_openssl
@each_version
def test_the_client_with_openssl(files: Files, version: str) -> None:
    option = {"1.2": "-tls1_2", "1.3": "-tls1_3"}[version]
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", files.chain, "-key", files.key, "-www", option]
    with Process(command) as server:
        server.until(lambda: b"ACCEPT" in server.output and server.output.endswith(b"\n"), "openssl")
        run = run_client(int(server.output.split(b":")[-1]), files.root)
    assert run.returncode == 0, run.stderr
    assert b"HTTP/1.0 200 ok" in run.stdout
    assert f"TLSv{version}".encode() in run.stdout


@needs_curl
@each_version
def test_the_server_with_curl(files: Files, version: str) -> None:
    with our_server(files) as port:
        output = answer(curl(port, files, "--tls-max", version, f"--tlsv{version}"))
    assert output.startswith(b"HTTP/1.1 200 OK\r\n")
    assert output.endswith(b"\r\n\r\n" + GREETING)


@needs_curl
def test_many_clients_at_once(files: Files) -> None:
    with our_server(files) as port, socket.create_connection(("127.0.0.1", port)):  # and one that says nothing
        clients = [curl(port, files) for _ in range(8)]
        assert all(answer(client).endswith(GREETING) for client in clients)


def test_the_client_with_the_server(files: Files) -> None:
    with our_server(files) as port:
        for _ in range(2):
            run = run_client(port, files.root)
            assert run.returncode == 0, run.stderr
            assert run.stdout.endswith(GREETING)


def test_a_server_that_is_not_trusted(files: Files, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(make_pki("localhost").root)
    with our_server(files) as port:
        run = run_client(port, other)
        assert run.returncode == 1
        assert run.stdout == b""
        assert b"certificate" in run.stderr
        assert run_client(port, files.root).returncode == 0


def test_plain_http_harms_nobody_else(files: Files) -> None:
    with our_server(files) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert plain.recv(100)[:3] == b"\x15\3\3"  # an alert
        assert run_client(port, files.root).stdout.endswith(GREETING)


def test_a_megabyte_comes_whole(files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    body = bytes(range(256)) * 4096

    def serve(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with context.wrap_socket(sock, server_side=True) as tls:
            tls.settimeout(TIMEOUT)
            tls.recv(1000)
            tls.sendall(body)
            tls.unwrap().close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        run = run_client(listener.getsockname()[1], files.root)
        thread.join(TIMEOUT)
    assert run.returncode == 0, run.stderr
    assert run.stdout == body


def test_it_tells_how_it_is_used() -> None:
    run = subprocess.run([sys.executable, PROGRAM], capture_output=True, timeout=TIMEOUT, check=False)
    assert run.returncode == 2
    assert b"own_loop.py client HOST" in run.stderr
