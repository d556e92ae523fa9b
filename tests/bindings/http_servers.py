"""HTTP servers in threads for the tests of clients: HTTP/1.1 and HTTP/2 over Python's ``ssl``, and proxies."""

import contextlib
import select
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events

from bindings.sides import HOST, TIMEOUT, pattern, web_pki

MEGABYTE = 1 << 20
BIG = pattern(3 * MEGABYTE)
PAGE = b"a page"


def server_context(folder: Path, *, alpn: tuple[str, ...] = (), version: str | None = None) -> ssl.SSLContext:
    """With the certificate of ``web_pki`` for localhost."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(web_pki().chain)
    key.write_bytes(web_pki().key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if version is not None:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


class Handler(BaseHTTPRequestHandler):
    """One connection: HTTP/2 if ALPN has chosen that, otherwise HTTP/1.1."""

    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT
    server: "Server"

    def setup(self) -> None:
        self.request.settimeout(TIMEOUT)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.connections += 1
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        if isinstance(self.request, ssl.SSLSocket) and self.request.selected_alpn_protocol() == "h2":
            _speak_http2(self.request)
        else:
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
            if isinstance(self.request, ssl.SSLSocket) and not self.is_cut:
                self.request.unwrap()
        self.request.close()  # what is closed otherwise is what it has wrapped

    is_cut = False

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, body: bytes, *, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        match self.path:
            case "/big":
                self._answer(BIG)
            case "/never":
                self.server.may_end.wait(TIMEOUT)
            case "/cut":  # in the middle, and without a close_notify
                self._answer(PAGE, length=100)
                self.is_cut = self.close_connection = True
            case "/until-the-end":
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(BIG)
            case "/until-it-is-cut":
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(PAGE)
                self.is_cut = self.close_connection = True
            case _:
                self._answer(PAGE)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_CONNECT(self) -> None:
        """As a proxy: carry bytes to the port that is wanted."""
        self.server.tunnels.append(self.path)
        host, _, port = self.path.rpartition(":")
        if host == "forbidden.example":
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        with socket.create_connection((HOST, int(port)), TIMEOUT) as there:
            there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _carry(self.request, there)
        self.close_connection = True


def _carry(here: Any, there: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    while True:
        is_pending = isinstance(here, ssl.SSLSocket) and here.pending()
        readable = [here] if is_pending else select.select([here, there], [], [], TIMEOUT)[0]
        if not readable:
            return
        for source, sink in ((here, there), (there, here)):
            if source in readable:
                try:
                    data = source.recv(65536)
                    sink.sendall(data)
                except OSError:
                    return
                if not data:
                    return


def _speak_http2(sock: ssl.SSLSocket) -> None:
    """Answer each request when it has come whole: with what was sent, or with what the path says."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    paths: dict[int, str] = {}
    received: dict[int, bytearray] = {}
    unsent: dict[int, memoryview] = {}
    sock.sendall(connection.data_to_send())
    while data := _receive(sock):
        for event in connection.receive_data(data):
            match event:
                case h2.events.RequestReceived(stream_id=int(number), headers=headers):
                    paths[number] = str(dict(headers or ())[":path"])
                    received[number] = bytearray()
                case h2.events.DataReceived(stream_id=int(number)):
                    received[number] += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, number)
                case h2.events.StreamEnded(stream_id=int(number)):
                    body = bytes(received.pop(number)) or (BIG if paths[number] == "/big" else PAGE)
                    if paths[number] != "/never":
                        connection.send_headers(number, [(":status", "200"), ("content-length", str(len(body)))])
                        unsent[number] = memoryview(body)
                case h2.events.StreamReset(stream_id=int(number)):
                    unsent.pop(number, None)
        for number, rest in list(unsent.items()):
            while rest and (
                room := min(connection.local_flow_control_window(number), connection.max_outbound_frame_size)
            ):
                connection.send_data(number, bytes(rest[:room]))
                rest = rest[room:]
            unsent[number] = rest
            if not rest:
                connection.end_stream(number)
                del unsent[number]
        with contextlib.suppress(OSError):
            sock.sendall(connection.data_to_send())


def _receive(sock: ssl.SSLSocket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


class Server(ThreadingHTTPServer):
    """A server of Python's, with TLS if it has a context."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.connections = 0
        self.tunnels: list[str] = []
        self.errors: list[BaseException] = []
        self.may_end = threading.Event()
        super().__init__((HOST, 0), Handler)

    @property
    def url(self) -> str:
        return f"{'http' if self.context is None else 'https'}://localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        assert error is not None
        self.errors.append(error)


@contextlib.contextmanager
def http_server(context: ssl.SSLContext | None) -> Iterator[Server]:
    """A server that runs. At the end all connections have to be closed."""
    with Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.may_end.set()
            server.shutdown()
            thread.join(TIMEOUT)
