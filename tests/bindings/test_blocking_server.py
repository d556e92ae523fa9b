"""``serve``: a thread for each connection, of which none harms another or the server."""

import errno
import gc
import socket
import threading
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
    eventually,
    pattern,
    receive_all,
    receive_exactly,
    server_config,
    serving,
    stranger,
)
from memory import credential
from sanstls import (
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    Event,
    HandshakeComplete,
    LocalError,
    PeerError,
    PrivatePKI,
    SignatureRequest,
    TLSError,
    UnexpectedEOF,
)
from sanstls.crypto.signatures import sign
from sanstls_io import blocking
from sanstls_io.blocking import Server, TLSSocket


class Errors:
    """An ``on_error`` that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Exception, Any]] = []

    def __call__(self, error: Exception, address: Any) -> None:
        self.told.append((error, address))

    def wait(self, count: int = 1) -> list[Exception]:
        eventually(lambda: len(self.told) >= count, "an error")
        return [error for error, _ in self.told]


def plainly(server: Server) -> socket.socket:
    """A plain socket that is connected to it."""
    return socket.create_connection(server.address, TIMEOUT)


def is_served(server: Server, config: Any = None) -> bool:
    with connect_to(server, config) as tls:
        tls.sendall(b"are you there?")
        return receive_exactly(tls, 14) == b"are you there?"


# Serving ------------------------------------------------------------------------------------------------------------


def test_several_clients_at_once() -> None:
    """None is done before all of them have been half-way."""
    half_way = threading.Barrier(6)

    def talk(server: Server, number: int) -> None:
        data = pattern(300_000, seed=number << 40)
        with connect_to(server) as tls:
            tls.sendall(data[:100])
            assert receive_exactly(tls, 100) == data[:100]
            half_way.wait(TIMEOUT)
            with Task(lambda: receive_exactly(tls, len(data))) as received:
                tls.sendall(data)
                assert received.result() == data

    with serving(echo) as server:
        clients = [Task(lambda number=number: talk(server, number)) for number in range(6)]  # type: ignore[misc]
        for client in clients:
            client.result()


def test_a_handler_that_returns_closes_properly() -> None:
    def greet(tls: TLSSocket) -> None:
        assert tls.gettimeout() == TIMEOUT
        tls.sendall(b"hello and good-bye")

    with serving(greet) as server, connect_to(server) as tls:
        assert receive_all(tls) == b"hello and good-bye"


def test_a_handler_may_leave_tls() -> None:
    def leave(tls: TLSSocket) -> None:
        plain, trailing = tls.unwrap()
        plain.sendall(b"in the clear" + trailing)

    with serving(leave) as server, connect_to(server) as tls:
        plain, trailing = tls.unwrap()
        with plain:
            while data := plain.recv(100):
                trailing += data
        assert trailing == b"in the clear"


def test_a_handler_that_forgets_a_file() -> None:
    kept: list[Any] = []
    with serving(lambda tls: kept.append(tls.makefile("rb"))) as server, connect_to(server) as tls:
        with pytest.raises(UnexpectedEOF):
            tls.recv(1)
        kept.pop().close()


def test_what_it_says_of_itself() -> None:
    with serving(echo) as server:
        host, port = server.address
        assert host == HOST
        assert repr(server) == f"<Server at ('{HOST}', {port}): 0 connections>"
        with connect_to(server) as tls:
            assert repr(server).endswith(": 1 connections>")
            assert tls.getpeername() == server.address
        eventually(lambda: repr(server).endswith(": 0 connections>"))


def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this system has no IPv6")
    config = server_config(credentials=(credential("::1"),))
    with blocking.serve("::1", 0, config, echo) as server:
        assert server.address[0] == "::1"
        with blocking.connect(*server.address, client_config(), timeout=TIMEOUT) as tls:
            tls.sendall(b"x")
            assert tls.recv(1) == b"x"


def test_an_address_that_is_taken() -> None:
    with serving(echo) as server, pytest.raises(OSError, match="in use"):
        blocking.serve(*server.address, server_config(), echo)


def test_who_answers_and_who_watches() -> None:
    seen: list[Event] = []

    def answers(request: Any) -> bytes:
        return sign(request.scheme, request.credential.key, request.message)

    config = server_config(defer=frozenset({SignatureRequest}))
    with serving(echo, config, answers=answers, on_event=seen.append) as server:
        assert is_served(server)
        assert is_served(server)
    assert len([event for event in seen if isinstance(event, HandshakeComplete)]) == 2


def test_the_configuration_is_replaced_while_it_runs() -> None:
    first, second = server_config(alpn=("first",)), server_config(alpn=("second",))
    with serving(echo, first) as server, connect_to(server, alpn=("second", "first")) as old:
        server.config = second
        with connect_to(server, alpn=("second", "first")) as new:
            assert (old.info.alpn, new.info.alpn) == ("first", "second")
        old.sendall(b"still here")
        assert receive_exactly(old, 10) == b"still here"


# What goes wrong with one -------------------------------------------------------------------------------------------


def test_a_handler_that_raises() -> None:
    errors = Errors()

    def fail(tls: TLSSocket) -> None:
        if tls.recv(100) == b"fail":
            raise ZeroDivisionError("a defect")
        tls.sendall(b"fine")

    with serving(fail, on_error=errors) as server, connect_to(server) as other:
        with connect_to(server) as tls:
            tls.sendall(b"fail")
            with pytest.raises(AlertReceivedError, match="internal_error"):
                tls.recv(1)
            address = tls.getsockname()
        other.sendall(b"don't")
        assert receive_all(other) == b"fine"
    ((error, peer),) = errors.told
    assert isinstance(error, ZeroDivisionError)
    assert peer == address


def test_without_on_error_a_defect_is_seen_and_a_peers_end_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    hooked: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: hooked.append(arguments.exc_type))

    def fail(tls: TLSSocket) -> None:
        raise ZeroDivisionError("a defect")

    with serving(fail, on_error=None) as server:
        plainly(server).close()  # UnexpectedEOF
        connect_to(server).close()
        eventually(lambda: hooked)
    assert hooked == [ZeroDivisionError]


def test_a_client_that_trusts_somebody_else() -> None:
    errors = Errors()
    with serving(echo, on_error=errors) as server:
        with pytest.raises(CertificateError):
            connect_to(server, client_config(verify=PrivatePKI(stranger())))
        (error,) = errors.wait()
        assert isinstance(error, AlertReceivedError)
        assert is_served(server)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", PeerError),
        (b"SSH-2.0-OpenSSH_9.9\r\n", PeerError),
        (b"\x16\x03\x01\x00", UnexpectedEOF),
        (b"", UnexpectedEOF),
        (bytes(range(256)) * 1000, PeerError),
    ],
    ids=["HTTP", "SSH", "half", "nothing", "garbage"],
)
def test_what_is_no_tls_harms_nobody(sent: bytes, expected: type[TLSError]) -> None:
    errors = Errors()
    with serving(echo, on_error=errors) as server, connect_to(server) as other:
        with plainly(server) as plain:
            try:
                plain.sendall(sent)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(1000):
                    pass
            except ConnectionError:
                pass  # it did not want to hear all of that
        (error,) = errors.wait()
        assert type(error) is expected
        assert (b"HTTP" in sent) is ("HTTP" in str(error))
        other.sendall(b"unharmed")
        assert receive_exactly(other, 8) == b"unharmed"
        assert is_served(server)


def test_a_client_that_breaks_its_transport() -> None:
    errors = Errors()
    with serving(echo, on_error=errors) as server:
        tls = connect_to(server)
        assert tls._sock is not None
        tls._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        tls._sock.close()
        (error,) = errors.wait()
        assert isinstance(error, ConnectionResetError | UnexpectedEOF)
        assert is_served(server)


def test_a_silent_client_holds_up_nobody() -> None:
    errors = Errors()
    with serving(echo, on_error=errors, handshake_timeout=1) as server:
        with plainly(server) as silent, plainly(server) as half:
            half.sendall(b"\x16\x03\x01")
            for _ in range(3):
                assert is_served(server)
            assert [type(error) for error in errors.wait(2)] == [TimeoutError] * 2
            for plain in (silent, half):
                while plain.recv(1000):  # an alert, and the end
                    pass
        with connect_to(server) as tls:  # the time of the handshake is no limit to what comes after it
            tls.settimeout(1.1)
            with pytest.raises(TimeoutError):
                tls.recv(1)
            tls.sendall(b"x")
            assert tls.recv(1) == b"x"


def test_a_slow_client_is_held_to_the_whole_time() -> None:
    """A byte now and then does not prolong the handshake."""
    errors = Errors()
    hello = ClientConnection(client_config(), NAME).data_to_send()
    with serving(echo, on_error=errors, handshake_timeout=0.1) as server, plainly(server) as slow:
        for position in range(len(hello) - 1):
            if errors.told:
                break
            slow.sendall(hello[position : position + 1])
        (error,) = errors.wait()
        assert isinstance(error, TimeoutError)


def test_a_wrong_configuration_fails_connections_and_not_the_server() -> None:
    errors = Errors()
    config = server_config()
    with serving(echo, config, on_error=errors) as server:
        server.config = client_config()  # type: ignore[assignment]
        with pytest.raises((TLSError, OSError)):
            connect_to(server)
        server.config = config
        assert is_served(server)
    assert [type(error) for error, _ in errors.told] == [LocalError]


# Limits -------------------------------------------------------------------------------------------------------------


def test_no_more_connections_than_allowed() -> None:
    with serving(echo, max_connections=2) as server:
        with connect_to(server) as first, connect_to(server) as second:
            third = Task(lambda: connect_to(server))
            for tls in (first, second):
                tls.sendall(b"x")
                assert tls.recv(1) == b"x"
            assert not third.is_done
            assert len(server._open) == 2
        with third.result() as tls:
            tls.sendall(b"x")
            assert tls.recv(1) == b"x"


def test_out_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and tried again when there may be some."""
    errors = Errors()
    left = [ConnectionAbortedError(), *(OSError(errno.EMFILE, "Too many open files") for _ in range(2))]
    accept = socket.socket.accept
    monkeypatch.setattr(socket.socket, "accept", lambda sock: accept(sock) if not left else refuse(left.pop()))
    with serving(echo, on_error=errors) as server:
        assert is_served(server)
    assert [str(error) for error, _ in errors.told] == [f"[Errno {errno.EMFILE}] Too many open files"] * 2
    assert [address for _, address in errors.told] == [None, None]


def refuse(error: Exception) -> Any:
    raise error


def test_out_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = Errors()
    with serving(echo, on_error=errors) as server:
        real_start = threading.Thread.start
        refusals = [1]

        def start(thread: threading.Thread) -> None:
            if thread.name.startswith("TLS with") and refusals:
                refusals.pop()
                raise RuntimeError("can't start new thread")
            real_start(thread)

        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises((TLSError, OSError)):
            connect_to(server)
        assert is_served(server)
    ((error, _),) = errors.told
    assert "can't start new thread" in str(error)


def test_out_of_threads_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda thread: refuse(RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError, match="new thread"):
            blocking.serve(HOST, 0, server_config(), echo)
    gc.collect()  # would tell of a socket that was left open


# The end ------------------------------------------------------------------------------------------------------------


def test_shutdown_lets_handlers_finish() -> None:
    with serving(echo) as server:
        tls = connect_to(server)
        tls.sendall(b"x")
        assert tls.recv(1) == b"x"
        shutdown = Task(server.shutdown)
        eventually(lambda: not server._thread.is_alive())
        with pytest.raises(ConnectionRefusedError):
            plainly(server)
        tls.sendall(b"still served")
        assert receive_exactly(tls, 12) == b"still served"
        assert not shutdown.is_done
        tls.close()
        assert shutdown.result() is True
        assert server.shutdown() is True


def test_shutdown_cuts_who_does_not_finish() -> None:
    errors = Errors()
    with serving(echo, on_error=errors) as server, connect_to(server) as tls, plainly(server):
        eventually(lambda: len(server._open) == 2)
        assert server.shutdown(0) is True
        with pytest.raises((UnexpectedEOF, AlertReceivedError)):
            tls.recv(1)
    assert len(errors.told) == 2


def test_shutdown_tells_who_could_not_be_stopped() -> None:
    may_end, runs = threading.Event(), threading.Event()

    def ignore(tls: TLSSocket) -> None:
        runs.set()
        assert may_end.wait(TIMEOUT)

    with serving(ignore) as server, connect_to(server):
        assert runs.wait(TIMEOUT)
        assert server.shutdown(0) is False
        may_end.set()


def test_a_handler_may_shut_it_down() -> None:
    def stop(tls: TLSSocket) -> None:
        tls.sendall(b"stopping")
        stopped.append(server.shutdown(0.1))

    stopped: list[bool] = []
    with blocking.serve(HOST, 0, server_config(), stop) as server:
        waiting = Task(server.wait)
        tls = connect_to(server)
        assert receive_exactly(tls, 8) == b"stopping"
        waiting.result()
        tls.close()
    assert stopped == [False]  # itself it can't wait for


def test_leaving_the_with_shuts_it_down() -> None:
    with blocking.serve(HOST, 0, server_config(), echo) as server:
        assert is_served(server)
    with pytest.raises(ConnectionRefusedError):
        plainly(server)


def test_a_line_protocol() -> None:
    def shout(tls: TLSSocket) -> None:
        with tls.makefile("rw", encoding="utf-8") as file:
            for line in file:
                file.write(line.upper())
                file.flush()

    with serving(shout) as server, connect_to(server) as tls, tls.makefile("rw", encoding="utf-8") as file:
        for word in ("one", "two"):
            file.write(word + "\n")
            file.flush()
            assert file.readline() == word.upper() + "\n"
        tls.shutdown(socket.SHUT_WR)
        assert file.read() == ""
