"""``python -m sanstls_io.demo``: the classic handshake and the modern one, step by step, as ladders.

Everything happens on this machine: certificates are made when it starts, sockets are those of the loopback.
"""

import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import sanstls
from sanstls.inspect import ladder
from sanstls_io._demo_pki import Pki, make_pki
from sanstls_io._pump import Connection
from sanstls_io._tls_socket import TLSSocket

NAME = "demo.example"
HOST = "127.0.0.1"
TIMEOUT = 15.0  # seconds, for each step that waits
PROTOCOL = "demo/1"
EARLY = b"Before anything else: hello!\n"
QUESTION, ANSWER = b"Who is there?\n", b"Somebody whom you can believe.\n"

CLASSIC = sanstls.CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256
CLASSIC_IN_OPENSSL = "AES128-GCM-SHA256"
HYBRID, X25519 = sanstls.NamedGroup.X25519MLKEM768, sanstls.NamedGroup.x25519


class DemoError(Exception):
    """A part of the demo did not go as it should."""


class Shown(NamedTuple):
    """What a part has to show: the events of one side, and a word on it."""

    events: list[sanstls.Event]
    role: Literal["client", "server"] = "client"
    remark: str = ""


class World(NamedTuple):
    """The certificates of the demo, by the kind of their key, and what its servers share."""

    elliptic: Pki
    rsa: Pki
    ticket_keys: sanstls.TicketKeyRing
    replay_protection: sanstls.ReplayWindow

    def client(self, *, is_classic: bool = False, session: sanstls.Session | None = None) -> sanstls.ClientConnection:
        """A client that believes the root."""
        verify = sanstls.PrivatePKI(sanstls.TrustStore.from_pem(self.rsa.root if is_classic else self.elliptic.root))
        if is_classic:
            suites = (CLASSIC,)
            config = sanstls.ClientConfig(
                verify=verify, alpn=(PROTOCOL,), trace=True, legacy_rsa_key_transport=True, cipher_suites=suites
            )
        else:
            config = sanstls.ClientConfig(verify=verify, alpn=(PROTOCOL,), trace=True)
        return sanstls.ClientConnection(config, NAME, session=session, early_data=session is not None)

    def server(
        self, groups: tuple[sanstls.NamedGroup, ...] = (HYBRID, X25519), *, is_classic: bool = False
    ) -> sanstls.ServerConnection:
        """A server with a certificate."""
        pki = self.rsa if is_classic else self.elliptic
        credential = sanstls.Credential.from_pem(pki.chain, pki.key)
        return sanstls.ServerConnection(
            sanstls.ServerConfig(
                credentials=(credential,),
                alpn=(PROTOCOL,),
                groups=groups,
                trace=True,
                legacy_rsa_key_transport=is_classic,
                ticket_keys=self.ticket_keys,
                max_early_data=1024,
                replay_protection=self.replay_protection,
            )
        )


def check(is_right: bool, what: str) -> None:
    """Stop this part unless all is as it should be."""
    if not is_right:
        raise DemoError(what)


# In memory -------------------------------------------------------------------------------------------------------


def data_in(events: list[sanstls.Event]) -> bytes:
    """All application data among the events."""
    return b"".join(event.data for event in events if isinstance(event, sanstls.DataReceived))


def in_memory(
    client: sanstls.ClientConnection, server: sanstls.ServerConnection, *, already: bytes = b""
) -> tuple[list[sanstls.Event], list[sanstls.Event]]:
    """A whole connection, both sides in this process and without a socket. Gives the events of both.

    ``already`` is what the client has sent before.
    """
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
    check(
        (data_in(of_server), data_in(of_client)) == (already + QUESTION, ANSWER),
        "the data did not arrive as it was sent",
    )
    check(client.state is sanstls.ConnectionState.CLOSED, "the connection was not closed properly")
    return of_client, of_server


def same_keys(of_client: list[sanstls.Event], of_server: list[sanstls.Event]) -> str:
    """That both sides have derived the same, told by fingerprints."""
    lines = ["Both sides derived each secret by themselves. Their fingerprints, client's and server's:"]
    others = {event.name: event.fingerprint for event in of_server if isinstance(event, sanstls.KeysDerived)}
    for event in of_client:
        if isinstance(event, sanstls.KeysDerived):
            check(others.get(event.name) == event.fingerprint, f"the sides have different secrets: {event.name}")
            lines.append(f"  {event.name:36} {event.fingerprint} = {others[event.name]}")
    return "\n".join(lines)


def classic_in_memory(world: World) -> Shown:
    """RSA key transport, both sides ours."""
    client = world.client(is_classic=True)
    of_client, of_server = in_memory(client, world.server(is_classic=True))
    check(client.info.cipher_suite == CLASSIC, "another cipher suite was chosen")
    return Shown(of_client, remark=same_keys(of_client, of_server))


def modern_in_memory(world: World) -> Shown:
    """TLS 1.3, both sides ours."""
    of_client, of_server = in_memory(world.client(), world.server())
    return Shown(of_client, remark=same_keys(of_client, of_server))


def retry_in_memory(world: World) -> Shown:
    """The same with a server that wants a group for which the client sends no share at once."""
    client = world.client()
    events, _ = in_memory(client, world.server(groups=(sanstls.NamedGroup.secp384r1,)))
    check(client.info.hello_retried, "there was no HelloRetryRequest")
    start = next(i for i, event in enumerate(events) if isinstance(event, sanstls.ServerHelloReceived))
    return Shown(events[:start])


def resumed_in_memory(world: World) -> Shown:
    """The session of a first connection, resumed with early data."""
    first = world.server()
    of_client, _ = in_memory(world.client(), first)
    session = next(event.session for event in of_client if isinstance(event, sanstls.SessionReceived))
    client = world.client(session=session)
    check(client.send_early_data(EARLY) == len(EARLY), "no early data was taken")
    server = world.server()
    events, of_server = in_memory(client, server, already=EARLY)
    check(client.info.resumed and client.info.early_data, "the session was not resumed with early data")
    return Shown(events, remark=same_keys(events, of_server))


# Over a socket ---------------------------------------------------------------------------------------------------


def tls_socket(sock: socket.socket, connection: Connection, events: list[sanstls.Event]) -> TLSSocket:
    """Our connection on this socket; what it tells goes into ``events``."""
    sock.settimeout(TIMEOUT)
    return TLSSocket(sock, connection, on_event=events.append)


def receive(tls: TLSSocket, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    received = b""
    while len(received) < size and (data := tls.recv(size - len(received))):
        received += data
    return received


@contextmanager
def openssl_server(pki: Pki, *options: str) -> Iterator[int]:
    """The openssl command as server, which turns each line around (``-rev``): its port."""
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_bytes(pki.chain)
        key.write_bytes(pki.key)
        command = ["openssl", "s_server", "-accept", f"{HOST}:0", "-cert", str(chain), "-key", str(key)]
        command += ["-rev", "-alpn", PROTOCOL, *options]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            yield listening_port(server)
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


def with_openssl(client: sanstls.ClientConnection, pki: Pki, *options: str) -> Shown:
    """Our client, and the openssl command as server."""
    events: list[sanstls.Event] = []
    with (
        openssl_server(pki, *options) as port,
        tls_socket(socket.create_connection((HOST, port), TIMEOUT), client, events) as tls,
    ):
        tls.sendall(QUESTION)
        check(receive(tls, len(QUESTION)) == QUESTION.rstrip()[::-1] + b"\n", "the answer of openssl is another")
        tls.sendall(b"CLOSE\n")  # s_server -rev ends the connection at this word
        check(receive(tls, 1) == b"", "openssl did not end the connection")
    return Shown(events)


def classic_with_openssl(world: World) -> Shown:
    """RSA key transport with OpenSSL."""
    client = world.client(is_classic=True)
    # Systems that are careful have this suite switched off: at the lowest level of security it is there.
    shown = with_openssl(client, world.rsa, "-tls1_2", "-cipher", f"{CLASSIC_IN_OPENSSL}:@SECLEVEL=0")
    check(client.info.cipher_suite == CLASSIC, "another cipher suite was chosen")
    return shown


def modern_with_openssl(world: World) -> Shown:
    """TLS 1.3 with OpenSSL."""
    return with_openssl(world.client(), world.elliptic, "-tls1_3")


def modern_with_ssl(world: World) -> Shown:
    """A client of Python's ssl module, in a thread, and our server."""
    received: list[bytes] = []
    errors: list[Exception] = []

    def client(port: int) -> None:
        try:
            context = ssl.create_default_context(cadata=world.elliptic.root.decode())
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

    events: list[sanstls.Event] = []
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(TIMEOUT)
        thread = threading.Thread(target=client, args=(listener.getsockname()[1],), daemon=True)
        thread.start()
        try:
            with tls_socket(listener.accept()[0], world.server(), events) as tls:
                check(receive(tls, len(QUESTION)) == QUESTION, "the question of Python's ssl is another")
                tls.sendall(ANSWER)
                check(receive(tls, 1) == b"", "Python's ssl did not end the connection")
        finally:
            thread.join(TIMEOUT)
    check(not errors, f"Python's ssl: {errors}")
    check(b"".join(received) == ANSWER, "the answer did not arrive as it was sent")
    return Shown(events, "server")


# All of it -------------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """One of the things that are shown."""

    title: str
    introduction: str
    run: Callable[[World], Shown]
    needs_openssl: bool = False


PARTS = (
    Part(
        "The classic handshake, in memory: our client and our server",
        "RSA key transport of TLS 1.2: the client encrypts the premaster secret to the server's public key.\n"
        "Two objects hand each other bytes; there is no socket at all. Both sides had to ask for this handshake,\n"
        "which is not spoken by default: legacy_rsa_key_transport=True.",
        classic_in_memory,
    ),
    Part(
        "The classic handshake with openssl s_server",
        f"The same steps with the openssl command as server, in a process of its own (cipher {CLASSIC_IN_OPENSSL}).\n"
        "It answers each line turned around.",
        classic_with_openssl,
        needs_openssl=True,
    ),
    Part(
        "The modern handshake, in memory: our client and our server",
        "TLS 1.3, the default. Nothing is encrypted to the certificate's key: it only signs, and the secret is\n"
        "agreed on with keys that are made for this connection and forgotten (X25519 together with ML-KEM, so that\n"
        "no quantum computer can find it later either). So who gets the server's private key\n"
        "later can't read this recording, but could read the classic one: that is forward secrecy. And the\n"
        "certificate itself is already protected.",
        modern_in_memory,
    ),
    Part(
        "The modern handshake with openssl s_server",
        "Our client, and the openssl command as server.",
        modern_with_openssl,
        needs_openssl=True,
    ),
    Part(
        "The modern handshake with Python's ssl as client, and our server",
        "The client is the standard library's, in a thread.",
        modern_with_ssl,
    ),
    Part(
        "The modern handshake with a HelloRetryRequest, in memory",
        "The server wants secp384r1, for which the client sent no share, so it asks for one. Up to the ServerHello.",
        retry_in_memory,
    ),
    Part(
        "The modern handshake resumed, with early data (0-RTT), in memory",
        "The client remembers a session: no certificate is shown, and data goes out with the ClientHello. Such\n"
        "data has no forward secrecy and could be replayed; the server takes it once.",
        resumed_in_memory,
    ),
)


def main() -> int:
    """Run all parts; the exit code is 0 if all went well."""
    world = World(
        make_pki(NAME), make_pki(NAME, key_type="rsa"), sanstls.TicketKeyRing.generate(), sanstls.ReplayWindow()
    )
    has_openssl = shutil.which("openssl") is not None
    failed = 0
    for number, part in enumerate(PARTS, 1):
        title = f"{number}. {part.title}"
        if part.needs_openssl and not has_openssl:
            print(f"{title}: left out, because there is no openssl command here.\n")
            continue
        try:
            shown = part.run(world)
        except (DemoError, OSError, sanstls.TLSError) as error:
            print(f"{title}: FAILED: {error}\n")
            failed += 1
            continue
        print(f"{title}\n\n{part.introduction}\n")
        print(ladder(shown.events, role=shown.role, title=f"What our {shown.role} did and saw") + "\n")
        if shown.remark:
            print(shown.remark + "\n")
    if failed:
        print(f"{failed} of {len(PARTS)} parts failed.")
        return 1
    if not has_openssl:
        print("The handshakes with openssl were left out. Install the openssl command: apt-get install openssl,")
        print("dnf install openssl, or brew install openssl. All other handshakes completed.")
        return 1
    print(f"All {len(PARTS)} handshakes completed: data went both ways, and every connection was closed properly.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
