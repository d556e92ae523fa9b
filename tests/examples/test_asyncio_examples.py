"""The examples for asyncio, run as programs: with openssl and Python's ssl."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest

from bindings.sides import web_pki
from interop.driver import TIMEOUT, Process
from sanstls_io._demo_pki import make_pki

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"

pytestmark = pytest.mark.interop
needs_openssl = pytest.mark.skipif(which("openssl") is None, reason="needs openssl (apt-get install openssl)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With root.pem, chain.pem and key.pem for localhost, and other.pem which has signed nothing of them."""
    files = {"root": web_pki().root, "chain": web_pki().chain, "key": web_pki().key, "other": make_pki("x").root}
    for name, content in files.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
    return tmp_path


def run(example: str, *arguments: object) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, EXAMPLES / example, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)


@contextmanager
def openssl_server(folder: Path, *options: str) -> Iterator[int]:
    files = ["-cert", folder / "chain.pem", "-key", folder / "key.pem"]
    with Process(["openssl", "s_server", "-accept", "127.0.0.1:0", *files, "-www", *options]) as server:
        server.until(lambda: b"ACCEPT" in server.output and server.output.endswith(b"\n"), "openssl")
        yield int(server.output.split(b":")[-1])


@needs_openssl
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_client_with_openssl(folder: Path, version: str) -> None:
    with openssl_server(folder, {"1.2": "-tls1_2", "1.3": "-tls1_3"}[version]) as port:
        done = run("asyncio_client.py", "localhost", port, folder / "root.pem")
    assert done.returncode == 0, done.stderr
    assert b"HTTP/1.0 200 ok" in done.stdout
    assert done.stderr.startswith(b"# TLS %b, TLS_" % version.encode())


@needs_openssl
def test_a_server_that_is_not_trusted(folder: Path) -> None:
    with openssl_server(folder) as port:
        done = run("asyncio_client.py", "localhost", port, folder / "other.pem")
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"CertificateError" in done.stderr


def test_the_server(folder: Path) -> None:
    command = [sys.executable, EXAMPLES / "asyncio_server.py", "0", folder / "chain.pem", folder / "key.pem"]
    with Process(command) as server:
        server.until(lambda: server.said(b"listening on") and b"\n" in server.output, "the server")
        port = int(server.output.split(b":")[1].split()[0])
        for name, is_trusted in (("root.pem", True), ("other.pem", False), ("root.pem", True)):
            context = ssl.create_default_context(cafile=str(folder / name))
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as plain:
                if not is_trusted:
                    with pytest.raises(ssl.SSLCertVerificationError):
                        context.wrap_socket(plain, server_hostname="localhost")
                    continue
                with context.wrap_socket(plain, server_hostname="localhost") as tls:
                    tls.sendall(b"there and back")
                    assert tls.recv(100) == b"there and back"
                    tls.unwrap().close()
        server.until(lambda: server.said(b"unknown_ca"), "the error")
        assert not server.has_ended, server.report


@pytest.mark.parametrize("example", ["asyncio_client.py", "asyncio_server.py"])
def test_they_tell_how_they_are_used(example: str) -> None:
    done = run(example)
    assert done.returncode == 1
    assert f"python examples/{example} ".encode() in done.stderr
