"""The examples of a client and a server in each style, run as programs, with other implementations as their peers."""

import socket
import ssl
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from interop.driver import TIMEOUT, Process
from sanstls_io._demo_pki import make_pki

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
pytestmark = pytest.mark.interop
each_style = pytest.mark.parametrize("style", ["blocking", "trio"])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    pki = make_pki("localhost")
    for name, content in zip(("root", "chain", "key"), pki, strict=True):
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in ("root", "chain", "key")}


@each_style
def test_the_server(style: str, files: dict[str, Path]) -> None:
    with Process([sys.executable, EXAMPLES / f"{style}_server.py", "0", files["chain"], files["key"]]) as server:
        server.until(lambda: server.said(b"listening on port") and server.output.endswith(b"\n"), "the server")
        port = int(server.output.split()[-1])
        context = ssl.create_default_context(cafile=str(files["root"]))
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"hello")
            assert tls.recv(100) == b"hello"


@each_style
@pytest.mark.skipif(which("openssl") is None, reason="needs openssl (apt-get install openssl)")
def test_the_client(style: str, files: dict[str, Path]) -> None:
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", files["chain"], "-key", files["key"], "-www"]
    with Process(command) as server:
        server.until(lambda: b"ACCEPT" in server.output and server.output.endswith(b"\n"), "openssl")
        port = server.output.split(b":")[-1].strip().decode()
        run = subprocess.run(
            [sys.executable, EXAMPLES / f"{style}_client.py", "localhost", port, files["root"]],
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    assert b"HTTP/1.0 200 ok" in run.stdout
