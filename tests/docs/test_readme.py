"""The Python in README.md runs as it stands there, but for host, port and roots; and links lead somewhere."""

import re
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import sanstls
from sanstls_io._demo_pki import make_pki

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
ADDRESS = '"example.com", 443'
BINDING = '"www.example.com", 443'
TIMEOUT = 20.0
RESPONSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nIt works."


class Server(threading.Thread):
    """One HTTP response over TLS, by our own server."""

    def __init__(self, config: sanstls.ServerConfig) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT)
        self.port = self.listener.getsockname()[1]
        self.connection = sanstls.ServerConnection(config)
        self.request = b""

    def run(self) -> None:
        connection = self.connection
        with self.listener, self.listener.accept()[0] as sock:
            sock.settimeout(TIMEOUT)
            while connection.wants_data and (data := sock.recv(65536)):
                for event in connection.receive_data(data):
                    if isinstance(event, sanstls.DataReceived):
                        self.request += event.data
                if self.request.endswith(b"\r\n\r\n") and connection.state is sanstls.ConnectionState.OPEN:
                    connection.send_data(RESPONSE)
                    connection.close()
                sock.sendall(connection.data_to_send())


def test_there_are_two_clients() -> None:
    """One in a loop of one's own, on the first screen, and one with the blocking binding."""
    assert [ADDRESS in block for block in BLOCKS] == [True, False]
    assert [BINDING in block for block in BLOCKS] == [False, True]
    assert len(BLOCKS[0].splitlines()) <= 20


def test_the_client_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pki = make_pki("localhost")
    credential = sanstls.Credential.from_pem(pki.chain, pki.key)
    server = Server(sanstls.ServerConfig(credentials=(credential,), alpn=("http/1.1",)))
    monkeypatch.setitem(sys.modules, "certifi", SimpleNamespace(contents=pki.root.decode))
    monkeypatch.setattr(socket, "create_connection", partial(socket.create_connection, timeout=TIMEOUT))
    server.start()
    namespace: dict[str, object] = {}
    exec(BLOCKS[0].replace(ADDRESS, f'"localhost", {server.port}'), namespace)  # noqa: S102 - our own README
    server.join(TIMEOUT)
    assert not server.is_alive()
    assert capsys.readouterr().out == RESPONSE.decode() + "\n"
    assert server.request.startswith(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    assert server.connection.state is sanstls.ConnectionState.CLOSED
    client = namespace["conn"]
    assert isinstance(client, sanstls.ClientConnection)
    assert client.state is sanstls.ConnectionState.CLOSED


def test_the_client_with_the_binding_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pki = make_pki("localhost")
    root = tmp_path / "root.pem"
    root.write_bytes(pki.root)
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    server = Server(sanstls.ServerConfig(credentials=(sanstls.Credential.from_pem(pki.chain, pki.key),)))
    server.start()
    exec(BLOCKS[1].replace(BINDING, f'"localhost", {server.port}'), {})  # noqa: S102 - our own README
    server.join(TIMEOUT)
    assert not server.is_alive()
    assert capsys.readouterr().out == RESPONSE.decode() + "\n"
    assert server.request == b"GET / HTTP/1.0\r\nHost: www.example.com\r\n\r\n"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/design.md"])
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    targets = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_the_makefile_has_the_commands() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert commands
    assert [command for command in commands if not re.search(rf"^{command}:", makefile, re.MULTILINE)] == []
