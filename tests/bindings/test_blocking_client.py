"""``connect``, and the handshake of a ``TLSSocket``: who is on the other side, how long it may take, who is asked."""

import gc
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bindings.sides import (
    HOST,
    NAME,
    TIMEOUT,
    Task,
    client_config,
    connect_to,
    echo,
    receive_exactly,
    server_config,
    serving,
    sockets,
    stranger,
    unconnected,
    web_server,
)
from memory import credential, store
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    ConnectionState,
    LocalError,
    PrivatePKI,
    ProtocolVersion,
    ServerConnection,
    UnexpectedEOF,
    WebPKI,
)
from sanstls_io import blocking, trust
from sanstls_io.blocking import TLSSocket

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
SHORT = 0.05  # seconds, for what is to time out


# Connecting ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("web_root")
def test_with_nothing_but_host_and_port() -> None:
    with (
        serving(echo, web_server()) as server,
        blocking.connect("localhost", server.address[1]) as tls,
    ):
        assert tls.gettimeout() is None
        tls.sendall(b"hello")
        assert receive_exactly(tls, 5) == b"hello"
        assert (tls.info.server_name, tls.info.alpn) == ("localhost", None)
        assert tls.info.verified is not None


@pytest.mark.usefixtures("web_root")
@pytest.mark.parametrize("config", [None, "own"])
def test_alpn(config: Any) -> None:
    if config is not None:
        config = client_config(verify=WebPKI(trust.system()), alpn=("replaced",))
    with (
        serving(echo, web_server()) as server,
        blocking.connect("localhost", server.address[1], config, alpn=("http/1.1",), timeout=TIMEOUT) as tls,
    ):
        assert tls.info.alpn == "http/1.1"
        assert tls.gettimeout() == TIMEOUT


@each_version
def test_a_configuration_of_our_own(version: ProtocolVersion) -> None:
    config = client_config(versions=(version,), alpn=("b", "a"))
    with serving(echo, server_config(alpn=("a", "b"))) as server, connect_to(server, config) as tls:
        assert (tls.info.version, tls.info.server_name) == (version, NAME)
        assert tls.info.alpn in ("a", "b")
        assert tls.connection.state is ConnectionState.OPEN
        assert tls.getpeername() == server.address
        assert tls.getsockname()[0] == HOST
        assert tls.fileno() > 0
        assert repr(tls) == f"<TLSSocket {tls.fileno()}: data flows both ways>"
        assert len(tls.export_keying_material("EXPORTER-test", 32)) == 32


def test_a_server_whose_name_is_its_address() -> None:
    config = server_config(credentials=(credential(HOST),))
    with serving(echo, config) as server, connect_to(server, server_name=None) as tls:
        tls.sendall(b"x")
        assert tls.recv(10) == b"x"


@pytest.mark.parametrize(
    ("config", "name", "alert"),
    [
        ({"verify": PrivatePKI(stranger())}, NAME, AlertDescription.unknown_ca),
        ({"verify": WebPKI(stranger())}, NAME, AlertDescription.unknown_ca),
        ({}, "other.example", AlertDescription.bad_certificate),
    ],
    ids=["stranger's root", "web", "name"],
)
@each_version
def test_a_server_that_is_not_who_it_should_be(
    config: Any, name: str, alert: AlertDescription, version: ProtocolVersion
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(TIMEOUT)

        def connect() -> TLSSocket:
            port = listener.getsockname()[1]
            config_ = client_config(versions=(version,), **config)
            return blocking.connect(HOST, port, config_, server_name=name, timeout=TIMEOUT)

        client = Task(connect)
        plain, _ = listener.accept()
        with plain:
            plain.settimeout(TIMEOUT)
            server = TLSSocket(plain, ServerConnection(server_config()))
            with pytest.raises(AlertReceivedError) as raised:
                server.do_handshake()
            assert raised.value.description is alert
            assert plain.recv(1) == b""  # the client's socket is closed
        with pytest.raises(CertificateError) as refused:
            client.result()
        assert refused.value.alert is alert


def refused_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def test_nobody_listens() -> None:
    port = refused_port()
    with pytest.raises(ConnectionRefusedError) as raised:
        blocking.connect(HOST, port, client_config(), timeout=TIMEOUT)
    assert raised.value.__notes__ == [f"connecting to {HOST}: {HOST} port {port}"]


def test_an_unknown_host() -> None:
    with pytest.raises(socket.gaierror):
        blocking.connect("nobody.invalid", 443, client_config(), timeout=TIMEOUT)


def addresses(monkeypatch: pytest.MonkeyPatch, *ports: int, family: int = socket.AF_INET) -> None:
    """What the look-up of any name gives; the first is of this family."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (HOST, port)) for port in ports]
    found[0] = (family, *found[0][1:])  # type: ignore[assignment]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.mark.parametrize("timeout", [None, TIMEOUT])
def test_all_addresses_are_tried(timeout: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(echo) as server:
        addresses(monkeypatch, refused_port(), refused_port(), server.address[1])
        with blocking.connect(NAME, 1, client_config(), timeout=timeout) as tls:
            assert tls.getpeername() == server.address


def test_a_family_that_this_system_can_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(echo) as server:
        addresses(monkeypatch, 1, server.address[1], family=12345)
        with blocking.connect(NAME, 1, client_config(), timeout=TIMEOUT) as tls:
            assert tls.getpeername() == server.address


def test_no_address_takes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses(monkeypatch, refused_port(), refused_port())
    with pytest.raises(ConnectionRefusedError) as raised:
        blocking.connect(NAME, 443, client_config(), timeout=TIMEOUT)
    last, before = raised.value.__notes__
    assert last == f"connecting to {NAME}: {HOST} port 443"
    assert before.startswith("before that: ")
    assert before.endswith(f"({last})")


# Time ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5])
def test_connecting_needs_time(timeout: float) -> None:
    with pytest.raises(LocalError, match="timeout must be positive"):
        blocking.connect(HOST, refused_port(), client_config(), timeout=timeout)


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x03\x00"])
def test_a_listener_that_never_answers(says: bytes) -> None:
    with socket.create_server((HOST, 0)) as listener:
        client = Task(lambda: blocking.connect(HOST, listener.getsockname()[1], client_config(), timeout=SHORT))
        plain, _ = listener.accept()
        with plain:
            plain.sendall(says)
            assert isinstance(client.error, TimeoutError)
            assert "during the handshake" in str(client.error)
            plain.settimeout(TIMEOUT)
            while plain.recv(65536):  # the ClientHello, that it was given up, and the end
                pass


def test_a_handshake_that_timed_out_can_go_on() -> None:
    with unconnected() as (client, server):
        with pytest.raises(TimeoutError, match="handshake"):
            client.do_handshake(seconds=SHORT)
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(TIMEOUT)
        with Task(server.do_handshake):
            client.do_handshake()
        assert client.info.version is ProtocolVersion.TLS13


def test_seconds_of_one_handshake_say_timeout_whatever_the_timeout_is() -> None:
    with unconnected() as (client, _):
        client.settimeout(0)
        with pytest.raises(TimeoutError):
            client.do_handshake(seconds=SHORT)


def test_a_look_up_that_takes_all_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        threading.Event().wait(SHORT)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (HOST, 1))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(TimeoutError, match="connecting"):
        blocking.connect(NAME, 1, client_config(), timeout=SHORT / 10)


@pytest.mark.parametrize("method", ["connect_ex", "setsockopt", "recv"])
def test_an_interruption_leaves_no_socket_open(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as listener, monkeypatch.context() as patched:
        original = getattr(socket.socket, method)

        def interrupt(*arguments: Any) -> None:
            patched.setattr(socket.socket, method, original)
            raise KeyboardInterrupt

        patched.setattr(socket.socket, method, interrupt)
        with pytest.raises(KeyboardInterrupt):
            blocking.connect(*listener.getsockname(), client_config())
    gc.collect()  # would tell of it


# The handshake is done by who needs it ------------------------------------------------------------------------------


@each_version
@pytest.mark.parametrize(
    "call",
    [
        TLSSocket.do_handshake,
        lambda tls: tls.send(b"x"),
        lambda tls: tls.sendall(b"x"),
        lambda tls: tls.recv(0),
        lambda tls: tls.recv_into(bytearray()),
        lambda tls: tls.shutdown(socket.SHUT_WR),
    ],
    ids=["do_handshake", "send", "sendall", "recv", "recv_into", "shutdown"],
)
def test_the_first_call_does_the_handshake(call: Callable[[TLSSocket], object], version: ProtocolVersion) -> None:
    for first in (0, 1):
        with unconnected(client_config(versions=(version,))) as sides, Task(sides[1 - first].do_handshake):
            call(sides[first])
            assert sides[first].info.version is version


def test_many_threads_do_one_handshake() -> None:
    with unconnected() as (client, server):
        calls: list[Callable[[], object]] = [
            lambda: client.recv(4),
            lambda: client.sendall(b"ping"),
            client.do_handshake,
            lambda: server.recv(4),
            lambda: server.sendall(b"pong"),
            server.do_handshake,
        ]
        tasks = [Task(call) for call in calls]
        assert [task.result() for task in tasks] == [b"pong", None, None, b"ping", None, None]


def test_nothing_is_known_before_the_handshake() -> None:
    with unconnected() as (client, _):
        for ask in (lambda: client.info, lambda: client.export_keying_material("EXPORTER-test", 32)):
            with pytest.raises(LocalError):
                ask()
        assert client.pending() == 0


def test_a_failed_handshake_fails_each_call() -> None:
    with unconnected(client_config(verify=PrivatePKI(stranger()))) as (client, server):
        with Task(server.do_handshake) as peer:
            for call in (client.do_handshake, lambda: client.recv(1), lambda: client.sendall(b"x"), client.unwrap):
                with pytest.raises(CertificateError):
                    call()
        assert isinstance(peer.error, AlertReceivedError)
        assert client.fileno() > 0  # it was not made by connect(), so it is the caller's


def test_the_peer_hangs_up_in_the_handshake() -> None:
    with sockets() as (ours, theirs):
        theirs.shutdown(socket.SHUT_WR)
        client = TLSSocket(ours, ClientConnection(client_config(), NAME))
        with pytest.raises(UnexpectedEOF, match="ServerHello"):
            client.do_handshake()


@each_version
def test_a_client_without_the_certificate_that_is_wanted(version: ProtocolVersion) -> None:
    server_side = server_config(verify=PrivatePKI(store()), versions=(version,))
    with unconnected(client_config(), server_side) as (client, server):
        with Task(server.do_handshake) as peer, pytest.raises(AlertReceivedError) as raised:
            client.recv(1)  # in TLS 1.3 the client's own handshake is complete by then
        assert isinstance(peer.error, CertificateError)
        assert raised.value.description is peer.error.alert
