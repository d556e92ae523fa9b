"""The examples for anyio and httpx, run as programs: with each other, openssl and Python's ssl."""

import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from bindings.http_servers import PAGE, http_server, server_context
from bindings.sides import web_pki
from interop.driver import TIMEOUT, Process
from sanstls_io._demo_pki import make_pki

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"

pytestmark = pytest.mark.interop
needs_openssl = pytest.mark.skipif(which("openssl") is None, reason="needs openssl (apt-get install openssl)")
each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


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


@needs_openssl
@each_backend
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_client_with_openssl(folder: Path, version: str, backend: str) -> None:
    option = {"1.2": "-tls1_2", "1.3": "-tls1_3"}[version]
    files = ["-cert", folder / "chain.pem", "-key", folder / "key.pem"]
    with Process(["openssl", "s_server", "-accept", "127.0.0.1:0", *files, "-www", option]) as server:
        server.until(lambda: b"ACCEPT" in server.output and server.output.endswith(b"\n"), "openssl")
        done = run("anyio_client.py", "localhost", int(server.output.split(b":")[-1]), folder / "root.pem", backend)
    assert done.returncode == 0, done.stderr
    assert b"HTTP/1.0 200 ok" in done.stdout
    assert done.stderr.startswith(b"# TLS %b, TLS_" % version.encode())


@needs_openssl
@each_backend
def test_the_server_with_openssl(folder: Path, backend: str) -> None:
    command: list[Any] = [sys.executable, EXAMPLES / "anyio_server.py", "0", folder / "chain.pem", folder / "key.pem"]
    with Process([*command, backend]) as server:
        server.until(lambda: server.said(b"listening on") and b"\n" in server.output, "the server")
        port = int(server.output.split(b":")[1].split()[0])
        for name, is_trusted in (("root.pem", True), ("other.pem", False), ("root.pem", True)):
            trust = ["-CAfile", folder / name, "-verify_return_error", "-quiet"]
            with Process(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *trust]) as client:
                if is_trusted:
                    client.say(b"there and back\n")
                    client.until(lambda: client.said(b"there and back"), "the echo")
                else:
                    client.until(lambda: client.has_ended, "the end")
        assert not server.has_ended, server.report


def test_httpx_with_both_kinds_of_http(folder: Path) -> None:
    for alpn, expected in ((("h2",), b"# HTTP/2 200"), (("http/1.1",), b"# HTTP/1.1 200")):
        with http_server(server_context(folder, alpn=alpn)) as server:
            done = run("httpx_client.py", server.url, folder / "root.pem")
        assert (done.returncode, done.stdout) == (0, PAGE), done.stderr
        assert done.stderr.strip() == expected


@pytest.mark.parametrize("example", ["anyio_client.py", "httpx_client.py"])
def test_a_server_that_is_not_trusted(folder: Path, example: str) -> None:
    with http_server(server_context(folder)) as server:
        where: list[Any] = ["localhost", server.server_port] if "anyio" in example else [server.url]
        done = run(example, *where, folder / "other.pem")
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"certificate" in done.stderr


@pytest.mark.parametrize("example", ["anyio_client.py", "anyio_server.py", "httpx_client.py"])
def test_they_tell_how_they_are_used(example: str) -> None:
    done = run(example)
    assert done.returncode == 1
    assert f"python examples/{example} ".encode() in done.stderr
