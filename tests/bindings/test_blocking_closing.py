"""How a connection ends: half-close, back to the plain socket, truncation, alerts, ``with``, ``close``."""

import socket
import struct
from typing import Any

import pytest

from bindings.sides import (
    TIMEOUT,
    Sides,
    Task,
    client_config,
    connected,
    eventually,
    is_waiting,
    pattern,
    receive_all,
    receive_exactly,
    unconnected,
)
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    ConnectionState,
    LocalError,
    PeerError,
    ProtocolVersion,
    TLSError,
    UnexpectedEOF,
)
from sanstls_io._waiting import wait_for
from sanstls_io.blocking import TLSSocket

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
each_order = pytest.mark.parametrize("order", [1, -1], ids=["client first", "server first"])
MEGABYTE = 1 << 20


def in_order(sides: Sides, order: int) -> tuple[TLSSocket, TLSSocket]:
    first, second = sides[::order]
    return first, second


def plain_of(tls: TLSSocket) -> socket.socket:
    """The plain socket below, to do something behind TLS' back."""
    assert tls._sock is not None
    return tls._sock


# Half-close ---------------------------------------------------------------------------------------------------------


@each_version
@each_order
def test_half_close(order: int, version: ProtocolVersion) -> None:
    with connected(client_config(versions=(version,))) as sides:
        first, second = in_order(sides, order)
        first.sendall(b"a question")
        first.shutdown(socket.SHUT_WR)
        assert receive_all(second) == b"a question"
        assert second.recv(1) == b""
        assert second.recv_into(bytearray(1)) == 0
        data = pattern(MEGABYTE)
        with Task(lambda: receive_all(first)) as received:
            second.sendall(data)
            second.shutdown(socket.SHUT_WR)
            assert received.result() == data
        for tls in sides:
            assert tls.connection.state is ConnectionState.CLOSED
            tls.shutdown(socket.SHUT_WR)  # again, and nothing happens
            with pytest.raises(LocalError, match="closed"):
                tls.sendall(b"x")


def test_shut_for_reading() -> None:
    with connected() as (client, server):
        server.sendall(b"not wanted")
        assert client.recv(3) == b"not"
        client.shutdown(socket.SHUT_RD)
        assert client.recv(100) == b""
        assert client.recv_into(bytearray(100)) == 0
        client.sendall(b"but there is more to say")
        assert server.recv(100) == b"but there is more to say"
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        with pytest.raises(LocalError, match="shut for reading"):
            client.unwrap()


def test_shut_in_both_directions() -> None:
    with connected() as (client, server):
        client.sendall(b"the end")
        client.shutdown(socket.SHUT_RDWR)
        assert receive_all(server) == b"the end"
        assert plain_of(server).recv(1) == b""
        assert client.recv(1) == b""
        with pytest.raises(LocalError):
            client.sendall(b"x")
        assert client.fileno() > 0


def test_what_can_not_be_shut() -> None:
    with connected() as (client, _), pytest.raises(ValueError, match="SHUT_RD"):
        client.shutdown(3)


def test_shut_for_reading_in_the_handshake() -> None:
    with unconnected() as (client, server), Task(server.do_handshake) as peer:
        client.shutdown(socket.SHUT_RD)
        plain_of(server).shutdown(socket.SHUT_WR)
        with pytest.raises(LocalError, match="shut for reading"):
            client.do_handshake()
        client.close()
        assert isinstance(peer.error, TLSError)


# Back to the plain socket -------------------------------------------------------------------------------------------


@each_version
@each_order
def test_unwrap(order: int, version: ProtocolVersion) -> None:
    with connected(client_config(versions=(version,))) as sides:
        first, second = in_order(sides, order)
        first.sendall(b"the last of it")
        task = Task(first.unwrap)
        assert receive_all(second) == b"the last of it"
        second.settimeout(TIMEOUT / 2)
        plain, trailing = second.unwrap()
        other, also_trailing = task.result()
        assert (trailing, also_trailing) == (b"", b"")
        assert plain.gettimeout() == TIMEOUT / 2
        other.sendall(b"in the clear")
        assert plain.recv(100) == b"in the clear"
        plain.sendall(b"this too")
        assert other.recv(100) == b"this too"
        assert first.fileno() == -1
        assert first.recv(1) == b""
        for call in (first.unwrap, lambda: first.sendall(b"x"), first.getpeername):
            with pytest.raises((OSError, LocalError)):
                call()
        first.close()
        assert other.fileno() > 0  # it has another owner now


@each_order
def test_bytes_that_came_with_the_close_notify(order: int) -> None:
    with connected() as sides:
        ours, theirs = in_order(sides, order)
        theirs.connection.send_data(b"of TLS")
        theirs.connection.close()
        plain_of(theirs).sendall(theirs.connection.data_to_send() + b"not of TLS")
        assert receive_all(ours) == b"of TLS"
        plain, trailing = ours.unwrap()
        assert trailing == b"not of TLS"
        plain_of(theirs).sendall(b" and the rest")
        assert plain.recv(100) == b" and the rest"


@each_order
def test_bytes_that_come_later(order: int) -> None:
    with connected() as sides:
        ours, theirs = in_order(sides, order)
        theirs.shutdown(socket.SHUT_WR)
        assert ours.recv(1) == b""
        plain_of(theirs).sendall(b"not of TLS")
        plain, trailing = ours.unwrap()
        assert trailing == b""
        assert plain.recv(100) == b"not of TLS"


def test_unwrap_reads_no_more_than_it_must() -> None:
    """However the bytes are cut, trailing bytes and those in the plain socket are all that came."""
    with connected() as (client, server):
        server.connection.close()
        end = server.connection.data_to_send()
        for cut in (1, len(end) // 2):
            plain_of(server).sendall(end[:cut])
            client.settimeout(0.02)
            with pytest.raises(TimeoutError):
                client.unwrap()
            end = end[cut:]
        plain_of(server).sendall(end + pattern(500_000))
        client.settimeout(TIMEOUT)
        plain, received = client.unwrap()
        while len(received) < 500_000:
            received += plain.recv(100_000)
        assert received == pattern(500_000)


def test_unwrap_with_data_unread() -> None:
    with connected() as (client, server):
        server.sendall(b"for you")
        server.shutdown(socket.SHUT_WR)
        assert client.recv(3) == b"for"
        for _ in range(2):
            with pytest.raises(LocalError, match="there is data to receive"):
                client.unwrap()
        assert receive_all(client) == b" you"
        assert client.unwrap()[1] == b""
        assert server.recv(1) == b""  # the close_notify was sent by the first


def test_unwrap_after_an_error() -> None:
    with connected() as (client, server):
        server.abort()
        for _ in range(2):
            with pytest.raises(AlertReceivedError):
                client.unwrap()
        assert client.fileno() > 0


def test_unwrap_of_what_is_shut_meanwhile() -> None:
    with connected() as (client, _):
        task = Task(client.unwrap)
        eventually(lambda: is_waiting(client))
        client.shutdown(socket.SHUT_RD)
        assert isinstance(task.error, LocalError)
        assert client.fileno() > 0


def test_unwrap_before_the_handshake() -> None:
    with unconnected() as (client, server):
        with Task(server.unwrap) as other:
            client.unwrap()
        assert other.result()[1] == b""


# Ends that are none -------------------------------------------------------------------------------------------------


@each_version
@pytest.mark.parametrize("size", [0, 100, 3 * MEGABYTE])
def test_truncation_comes_after_the_data(size: int, version: ProtocolVersion) -> None:
    data = pattern(size)

    def cut(tls: TLSSocket) -> None:
        tls.sendall(data)
        plain_of(tls).shutdown(socket.SHUT_WR)

    with connected(client_config(versions=(version,))) as (client, server), Task(lambda: cut(server)):
        assert receive_exactly(client, size) == data
        for _ in range(2):
            with pytest.raises(UnexpectedEOF, match="without close_notify"):
                client.recv(1)
        with pytest.raises(UnexpectedEOF):
            client.recv_into(bytearray(1))
        with pytest.raises(UnexpectedEOF):
            client.sendall(b"x")


def test_an_end_in_the_middle_of_a_record() -> None:
    with connected() as (client, server):
        server.connection.send_data(b"whole")
        whole = server.connection.data_to_send()
        plain_of(server).sendall(whole + whole[:-1])
        plain_of(server).shutdown(socket.SHUT_WR)
        assert receive_exactly(client, 5) == b"whole"
        with pytest.raises(TLSError):
            client.recv(1)


@each_version
@each_order
def test_an_alert_comes_after_the_data(order: int, version: ProtocolVersion) -> None:
    with connected(client_config(versions=(version,))) as sides:
        ours, theirs = in_order(sides, order)
        theirs.sendall(b"as far as it went")
        theirs.abort(AlertDescription.insufficient_security)
        assert theirs.fileno() > 0
        assert receive_exactly(ours, 17) == b"as far as it went"
        for call in (lambda: ours.recv(1), lambda: ours.sendall(b"x")):
            with pytest.raises(AlertReceivedError) as raised:
                call()
            assert raised.value.description is AlertDescription.insufficient_security
        for late in (lambda: theirs.recv(1), lambda: theirs.sendall(b"x")):
            with pytest.raises(LocalError):
                late()


def test_close_is_no_alert_to_abort_with() -> None:
    with connected() as (client, server):
        with pytest.raises(LocalError, match="close"):
            client.abort(AlertDescription.close_notify)
        client.sendall(b"no harm is done")
        assert server.recv(100) == b"no harm is done"


def test_garbage_from_the_peer() -> None:
    with connected() as (client, server):
        server.sendall(b"good")
        plain_of(server).sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert receive_exactly(client, 4) == b"good"
        with pytest.raises(PeerError) as raised:
            client.recv(1)
        assert raised.value.alert is AlertDescription.bad_record_mac
        with pytest.raises(AlertReceivedError, match="bad_record_mac"):
            server.recv(1)


def reset(sock: socket.socket) -> None:
    """Close it so that the peer's side breaks."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_transport_that_breaks_while_we_read() -> None:
    with connected() as (client, server):
        reset(plain_of(server))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(UnexpectedEOF):
            client.recv(1)


def test_a_transport_that_breaks_while_we_write() -> None:
    with connected() as (client, server):
        reset(plain_of(server))
        for _ in range(2):
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                client.sendall(pattern(8 * MEGABYTE))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.shutdown(socket.SHUT_WR)


def test_a_writer_is_told_why_the_peer_takes_no_more() -> None:
    """The alert came before the transport broke, and says more than the transport does."""
    with connected(tcp=False) as (client, server):
        server.sendall(b"before it")
        server.abort(AlertDescription.decode_error)
        server.close()
        with pytest.raises(AlertReceivedError, match="decode_error") as raised:
            client.sendall(pattern(8 * MEGABYTE))
        assert isinstance(raised.value.__cause__, OSError)
        assert client.recv(100) == b"before it"
        with pytest.raises(AlertReceivedError, match="decode_error"):
            client.recv(1)


# With and close -----------------------------------------------------------------------------------------------------


def test_leaving_a_with_closes() -> None:
    with connected() as (client, server):
        with client as same:
            assert same is client
            client.sendall(b"all of it")
        assert client.fileno() == -1
        assert receive_all(server) == b"all of it"
        assert plain_of(server).recv(1) == b""


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_is_no_proper_end(error: type[BaseException]) -> None:
    def fail(tls: TLSSocket) -> None:
        with tls:
            tls.sendall(b"half of")
            raise error

    with connected() as (client, server):
        with pytest.raises(error):
            fail(client)
        assert client.fileno() == -1
        assert receive_exactly(server, 7) == b"half of"
        with pytest.raises(AlertReceivedError, match="internal_error"):
            server.recv(1)


def test_an_exception_after_the_proper_end_changes_nothing() -> None:
    def fail(tls: TLSSocket) -> Any:
        with tls:
            tls.sendall(b"all of it")
            plain, _ = tls.unwrap()
            raise RuntimeError(plain)

    with connected() as (client, server):
        task = Task(lambda: fail(client))
        assert receive_all(server) == b"all of it"
        server.shutdown(socket.SHUT_WR)
        assert isinstance(task.error, RuntimeError)


def test_close_again_and_again() -> None:
    with connected() as (client, server):
        for _ in range(3):
            client.close()
        client.abort()
        assert server.recv(1) == b""
        for call in (lambda: client.recv(1), lambda: client.sendall(b"x"), client.unwrap, client.getsockname):
            with pytest.raises((OSError, LocalError)):
                call()


def test_close_before_the_handshake_sends_nothing() -> None:
    with unconnected() as (client, server):
        client.close()
        assert plain_of(server).recv(100) == b""


def test_close_with_something_unread_does_not_take_away_what_was_sent() -> None:
    data = pattern(300_000)  # of which a part is still on its way
    with connected() as (client, server):
        client.sendall(b"never read")
        assert wait_for(plain_of(server), read=True, seconds=TIMEOUT)
        server.sendall(data)
        server.close()
        assert receive_all(client) == data


def test_close_does_not_wait_for_a_peer_that_does_not_read() -> None:
    with connected(buffer=20_000) as (client, server):
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.sendall(pattern(8 * MEGABYTE))
        client.settimeout(None)
        client.close()
        with pytest.raises((UnexpectedEOF, PeerError, ConnectionError)):
            receive_all(server)
