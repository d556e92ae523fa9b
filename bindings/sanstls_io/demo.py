"""``python -m sanstls_io.demo``: handshakes in memory, with the openssl command and with Python's ssl, as ladders.

Everything happens on this machine: certificates are made when it starts, sockets are those of the loopback.
"""

import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import sanstls
from sanstls.inspect import ladder
from sanstls_io._demo_pki import Pki, make_pki

NAME = "demo.example"
HOST = "127.0.0.1"
TIMEOUT = 15.0  # seconds, for each step that waits
PROTOCOL = "demo/1"
QUESTION, ANSWER = b"Who is there?\n", b"Somebody whom you can believe.\n"

Connection = sanstls.ClientConnection | sanstls.ServerConnection
Seen = tuple[list[sanstls.Event], Literal["client", "server"]]


class DemoError(Exception):
    """A part of the demo did not go as it should."""


def client_config(pki: Pki) -> sanstls.ClientConfig:
    """A client that believes the demo's root."""
    verify = sanstls.PrivatePKI(sanstls.TrustStore.from_pem(pki.root))
    return sanstls.ClientConfig(verify=verify, alpn=(PROTOCOL,), trace=True)


def server_config(
    pki: Pki, groups: tuple[sanstls.NamedGroup, ...] = (sanstls.NamedGroup.X25519MLKEM768, sanstls.NamedGroup.x25519)
) -> sanstls.ServerConfig:
    """A server with the demo's certificate."""
    credential = sanstls.Credential.from_pem(pki.chain, pki.key)
    return sanstls.ServerConfig(credentials=(credential,), alpn=(PROTOCOL,), groups=groups, trace=True)


def data_in(events: list[sanstls.Event]) -> bytes:
    """All application data among the events."""
    return b"".join(event.data for event in events if isinstance(event, sanstls.DataReceived))


def check(is_right: bool, what: str) -> None:
    """Stop this part unless all is as it should be."""
    if not is_right:
        raise DemoError(what)


# In memory -------------------------------------------------------------------------------------------------------


def in_memory(client: sanstls.ClientConnection, server: sanstls.ServerConnection) -> list[sanstls.Event]:
    """A whole connection, both sides in this process and without a socket. Gives the client's events."""
    of_client: list[sanstls.Event] = []
    of_server: list[sanstls.Event] = []

    def exchange() -> None:
        while client.pending or server.pending:
            of_server.extend(server.receive_data(client.data_to_send()))
            of_client.extend(client.receive_data(server.data_to_send()))

    exchange()
    check(client.state is sanstls.ConnectionState.OPEN, f"the handshake did not complete: {of_client[-1:]}")
    client.send_data(QUESTION)
    exchange()
    server.send_data(ANSWER)
    exchange()
    client.close()
    exchange()
    server.close()
    exchange()
    check((data_in(of_server), data_in(of_client)) == (QUESTION, ANSWER), "the data did not arrive as it was sent")
    check(client.state is sanstls.ConnectionState.CLOSED, "the connection was not closed properly")
    return of_client


def part_in_memory(pki: Pki) -> Seen:
    """Our client and our server."""
    client = sanstls.ClientConnection(client_config(pki), NAME)
    return in_memory(client, sanstls.ServerConnection(server_config(pki))), "client"


def part_retry(pki: Pki) -> Seen:
    """The same with a server that wants a group for which the client sends no share at once."""
    client = sanstls.ClientConnection(client_config(pki), NAME)
    server = sanstls.ServerConnection(server_config(pki, groups=(sanstls.NamedGroup.secp384r1,)))
    events = in_memory(client, server)
    check(client.info.hello_retried, "there was no HelloRetryRequest")
    start = next(i for i, event in enumerate(events) if isinstance(event, sanstls.ServerHelloReceived))
    return events[:start], "client"


# Over a socket ---------------------------------------------------------------------------------------------------


class Talk:
    """One of our connections on a plain socket: the whole of a blocking loop."""

    def __init__(self, connection: Connection, sock: socket.socket) -> None:
        self.connection = connection
        self.sock = sock
        self.events: list[sanstls.Event] = []

    def until(self, is_done: Callable[[], bool], what: str) -> None:
        """Send and receive until ``is_done``."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            self.sock.sendall(self.connection.data_to_send())
            if is_done():
                return
            failed = next((event for event in self.events if isinstance(event, sanstls.ConnectionFailed)), None)
            check(failed is None, f"{what}: {failed.error if failed else ''}")
            check(time.monotonic() < deadline, f"{what}: nothing after {TIMEOUT:.0f} s")
            data = self.sock.recv(65536)
            self.events += self.connection.receive_data(data) if data else self.connection.receive_eof()

    def finish(self) -> list[sanstls.Event]:
        """All events, those of what was sent last included."""
        return self.events + self.connection.receive_data(b"")


def part_openssl(pki: Pki) -> Seen:
    """Our client and the openssl command as server, which turns each line around (``-rev``)."""
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_bytes(pki.chain)
        key.write_bytes(pki.key)
        command = ["openssl", "s_server", "-accept", f"{HOST}:0", "-cert", str(chain), "-key", str(key)]
        command += ["-tls1_3", "-rev", "-alpn", PROTOCOL]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            with socket.create_connection((HOST, listening_port(server)), TIMEOUT) as sock:
                talk = Talk(sanstls.ClientConnection(client_config(pki), NAME), sock)
                connection = talk.connection
                talk.until(lambda: connection.state is sanstls.ConnectionState.OPEN, "the handshake with openssl")
                connection.send_data(QUESTION)
                expected = QUESTION.rstrip()[::-1]
                talk.until(lambda: expected in data_in(talk.events), "the answer of openssl")
                connection.send_data(b"CLOSE\n")  # s_server -rev ends the connection at this word
                talk.until(lambda: connection.state is sanstls.ConnectionState.READ_CLOSED, "the end of openssl")
                connection.close()
                sock.sendall(connection.data_to_send())
                return talk.finish(), "client"
        finally:
            server.terminate()
            try:
                server.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(TIMEOUT)
            if server.stdout is not None:
                server.stdout.close()


def listening_port(server: subprocess.Popen[bytes]) -> int:
    """The port on which the process says that it listens (``ACCEPT 127.0.0.1:…``)."""
    assert server.stdout is not None
    timer = threading.Timer(TIMEOUT, server.kill)
    timer.start()
    try:
        for line in server.stdout:
            if line.startswith(b"ACCEPT"):
                return int(line.rsplit(b":", 1)[1])
    finally:
        timer.cancel()
    raise DemoError("openssl s_server ended at once, or does not listen")


def part_ssl(pki: Pki) -> Seen:
    """A client of Python's ssl module, in a thread, and our server."""
    received: list[bytes] = []
    errors: list[Exception] = []

    def client(port: int) -> None:
        try:
            context = ssl.create_default_context(cadata=pki.root.decode())
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.set_alpn_protocols([PROTOCOL])
            with (
                socket.create_connection((HOST, port), TIMEOUT) as plain,
                context.wrap_socket(plain, server_hostname=NAME) as sock,
            ):
                sock.sendall(QUESTION)
                while sum(map(len, received)) < len(ANSWER) and (data := sock.recv(4096)):
                    received.append(data)
                sock.unwrap()  # close_notify, both ways
        except Exception as error:
            errors.append(error)

    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(TIMEOUT)
        thread = threading.Thread(target=client, args=(listener.getsockname()[1],), daemon=True)
        thread.start()
        try:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(TIMEOUT)
                connection = sanstls.ServerConnection(server_config(pki))
                talk = Talk(connection, sock)
                talk.until(lambda: data_in(talk.events) == QUESTION, "the question of Python's ssl")
                connection.send_data(ANSWER)
                talk.until(lambda: connection.state is sanstls.ConnectionState.READ_CLOSED, "the end of Python's ssl")
                connection.close()
                sock.sendall(connection.data_to_send())
                events = talk.finish()
        finally:
            thread.join(TIMEOUT)
    check(not errors, f"Python's ssl: {errors}")
    check(b"".join(received) == ANSWER, "the answer did not arrive as it was sent")
    return events, "server"


# All of it -------------------------------------------------------------------------------------------------------

Part = Callable[[Pki], Seen]

PARTS: tuple[tuple[str, str, Part], ...] = (
    (
        "1. In memory: our client and our server",
        "Two objects hand each other bytes; there is no socket at all.",
        part_in_memory,
    ),
    (
        "2. Our client and openssl s_server",
        "The server is the openssl command, in a process of its own. It answers each line turned around.",
        part_openssl,
    ),
    (
        "3. Python's ssl as client, and our server",
        "The client is the standard library's, in a thread.",
        part_ssl,
    ),
    (
        "4. In memory, with a HelloRetryRequest",
        "The server wants secp384r1, for which the client sent no share, so it asks for one. Up to the ServerHello.",
        part_retry,
    ),
)


def main() -> int:
    """Run all parts; the exit code is 0 if all went well."""
    pki = make_pki(NAME)
    has_openssl = shutil.which("openssl") is not None
    failed = 0
    for title, introduction, part in PARTS:
        if part is part_openssl and not has_openssl:
            print(f"{title}: left out, because there is no openssl command here.\n")
            continue
        try:
            events, role = part(pki)
        except (DemoError, OSError, sanstls.TLSError) as error:
            print(f"{title}: FAILED: {error}\n")
            failed += 1
            continue
        print(f"{title}\n\n{introduction}\n")
        print(ladder(events, role=role, title=f"What our {role} did and saw") + "\n")
    if failed:
        print(f"{failed} of {len(PARTS)} parts failed.")
        return 1
    if not has_openssl:
        print("The handshake with openssl was left out. Install the openssl command: apt-get install openssl,")
        print("dnf install openssl, or brew install openssl. All other handshakes completed.")
        return 1
    print(f"All {len(PARTS)} handshakes completed: data went both ways, and every connection was closed properly.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
