"""Sending and receiving of one side at a time: sizes, buffers, and what a timeout leaves behind."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from bindings.sides import (
    TIMEOUT,
    Sides,
    Task,
    connected,
    eventually,
    is_waiting,
    pattern,
    receive_all,
    receive_exactly,
    unconnected,
)
from sanstls import ConnectionState, LocalError
from sanstls_io.blocking import TLSSocket

MEGABYTE = 1 << 20
SIZES = (1, 2, 16383, 16384, 16385, 131072, 131073, 5_000_000)
SHORT = 0.05  # seconds, for what is to time out


def is_full(tls: TLSSocket) -> bool:
    """Whether something is left that the plain socket did not take."""
    return bool(tls._unsent)


# Sizes --------------------------------------------------------------------------------------------------------------


def send_by_send(tls: TLSSocket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        count = tls.send(view)
        assert 0 < count <= len(view)
        view = view[count:]


def recv_by_recv(tls: TLSSocket, size: int) -> bytes:
    received = bytearray()
    while data := tls.recv(size):
        assert len(data) <= size
        received += data
    return bytes(received)


def recv_into_a_buffer(tls: TLSSocket, size: int) -> bytes:
    received, buffer = bytearray(), bytearray(size)
    while count := tls.recv_into(buffer):
        received += buffer[:count]
    return bytes(received)


@pytest.mark.parametrize("tcp", [True, False], ids=["tcp", "socketpair"])
@pytest.mark.parametrize(("send", "receive"), [(TLSSocket.sendall, recv_by_recv), (send_by_send, recv_into_a_buffer)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("timeout", [TIMEOUT, None])
def test_all_sizes_both_ways(
    size: int, send: Callable[..., None], receive: Callable[..., bytes], tcp: bool, timeout: float | None
) -> None:
    data = pattern(size)
    with connected(tcp=tcp) as sides:
        for tls in sides:
            tls.settimeout(timeout)
        for source, target in (sides, reversed(sides)):
            task = Task(lambda target=target: receive(target, max(size // 20, 1)))  # type: ignore[misc]
            send(source, data)
            source.shutdown(socket.SHUT_WR)
            assert task.result() == data


@pytest.mark.parametrize("size", [1, 100, 16384, MEGABYTE])
def test_a_recv_takes_what_it_asks_for_at_most(size: int) -> None:
    data = pattern(100_000)
    with connected() as (client, server):
        client.sendall(data)
        received = bytearray()
        while len(received) < len(data):
            data_ = server.recv(size)
            assert 0 < len(data_) <= size
            received += data_
            if size == 1 and len(received) == 2000:
                size = 7
        assert received == data


def test_pending_tells_what_can_be_had_at_once() -> None:
    with connected() as (client, server):
        assert server.pending() == 0
        client.sendall(b"0123456789")
        assert server.recv(3) == b"012"
        assert server.pending() == 7
        buffer = bytearray(5)
        assert server.recv_into(buffer) == 5
        assert server.pending() == 2
        assert server.recv(100) == b"89"
        assert server.pending() == 0


def test_nothing_can_be_received() -> None:
    with connected() as (client, server):
        assert server.recv(0) == b""
        assert server.recv_into(bytearray()) == 0
        client.sendall(b"x")
        assert server.recv(0) == b""
        assert server.recv(1) == b"x"


def test_sizes_that_can_not_be() -> None:
    with connected() as (client, server):
        client.sendall(b"data")
        with pytest.raises(ValueError, match="negative"):
            server.recv(-1)
        for nbytes in (-1, 5):
            with pytest.raises(ValueError, match="nbytes"):
                server.recv_into(bytearray(4), nbytes)
        assert server.recv(4) == b"data"


@pytest.mark.parametrize(("nbytes", "expected"), [(0, 6), (1, 1), (4, 4), (8, 6)])
def test_recv_into_a_part(nbytes: int, expected: int) -> None:
    with connected() as (client, server):
        client.sendall(b"012345")
        buffer = bytearray(b"." * 8)
        assert server.recv_into(buffer, nbytes) == expected
        assert buffer == b"012345"[:expected].ljust(8, b".")
        assert receive_exactly(server, 6 - expected) == b"012345"[expected:]


def test_recv_into_any_buffer() -> None:
    from array import array

    with connected() as (client, server):
        client.sendall(bytes(range(24)))
        view = memoryview(bytearray(8))
        assert server.recv_into(view[2:6]) == 4
        assert view == b"\0\0\0\1\2\3\0\0"
        words: Any = array("I", [0, 0])
        assert server.recv_into(words) == 8
        assert words.tobytes() == bytes(range(4, 12))
        square = memoryview(bytearray(4)).cast("B", (2, 2))
        assert server.recv_into(square) == 4
        assert square.tolist() == [[12, 13], [14, 15]]
        with pytest.raises((TypeError, ValueError, BufferError)):
            server.recv_into(memoryview(b"read only"))
        assert server.recv(100) == bytes(range(16, 24))


@pytest.mark.parametrize("method", ["send", "sendall"])
def test_any_buffer_can_be_sent(method: str) -> None:
    from array import array

    buffers: list[Any] = [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview")[3:],
        memoryview(bytearray(b"abcd")).cast("B", (2, 2)),
        array("H", [1, 2, 3]),
    ]
    with connected() as (client, server):
        for buffer in buffers:
            expected = memoryview(buffer).tobytes()
            count = getattr(client, method)(buffer)
            assert count == (len(expected) if method == "send" else None)
            assert receive_exactly(server, len(expected)) == expected
        for wrong in ("text", 5, None):
            with pytest.raises(TypeError):
                getattr(client, method)(wrong)
        client.sendall(b"still works")
        assert server.recv(100) == b"still works"


@pytest.mark.parametrize("size", [100, 300_000])
def test_what_was_sent_may_change_afterwards(size: int) -> None:
    data = bytearray(pattern(size))
    with connected() as (client, server), Task(lambda: receive_exactly(server, size)) as received:
        client.sendall(data)
        data[:] = bytes(size)
        data.clear()  # nobody holds it any more
        assert received.result() == pattern(size)


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b"")])
def test_empty_data(empty: Any) -> None:
    with connected() as (client, server):
        client.sendall(empty)
        assert client.send(empty) == 0
        client.sendall(b"x")
        assert server.recv(10) == b"x"


def test_empty_data_is_refused_where_data_is() -> None:
    with connected() as (client, _):
        client.shutdown(socket.SHUT_WR)
        for call in (lambda: client.send(b""), lambda: client.sendall(b""), lambda: client.sendall(b"x")):
            with pytest.raises(LocalError, match="closed"):
                call()


# Timeouts -----------------------------------------------------------------------------------------------------------


def test_the_timeout_is_the_plain_sockets_at_first() -> None:
    with connected() as (client, _):
        assert client.gettimeout() == TIMEOUT
        client.settimeout(1.5)
        assert client.gettimeout() == 1.5
        client.settimeout(None)
        assert client.gettimeout() is None
        with pytest.raises(ValueError, match="negative"):
            client.settimeout(-1)
        assert client.gettimeout() is None


def test_a_recv_that_timed_out_has_lost_nothing() -> None:
    with connected() as (client, server):
        server.settimeout(SHORT)
        for call in (lambda: server.recv(1), lambda: server.recv_into(bytearray(1))):
            with pytest.raises(TimeoutError, match=r"^timed out$"):
                call()
        client.sendall(b"at last")
        server.settimeout(TIMEOUT)
        assert server.recv(100) == b"at last"
        assert server.connection.state is ConnectionState.OPEN


def test_a_part_of_a_record_is_kept_over_a_timeout() -> None:
    with connected() as (client, server):
        client.connection.send_data(b"in two parts")
        sealed = client.connection.data_to_send()
        plain = socket.socket(fileno=client.fileno())
        try:
            plain.sendall(sealed[:10])
            server.settimeout(SHORT)
            with pytest.raises(TimeoutError):
                server.recv(100)
            plain.sendall(sealed[10:])
        finally:
            plain.detach()
        server.settimeout(TIMEOUT)
        assert server.recv(100) == b"in two parts"


def test_without_waiting() -> None:
    with connected() as (client, server):
        server.settimeout(0)
        for call in (lambda: server.recv(1), lambda: server.recv_into(bytearray(1))):
            with pytest.raises(BlockingIOError):
                call()
        client.settimeout(0)
        client.sendall(b"x")
        received = bytearray()

        def has_come() -> bool:
            try:
                received.extend(server.recv(10))
            except BlockingIOError:
                return False
            return True

        eventually(has_come)
        assert received == b"x"


def fill(tls: TLSSocket, data: bytes) -> int:
    """Send until the peer's buffers and ours are full; how many bytes were taken."""
    sent = 0
    while True:
        try:
            sent += tls.send(data[sent : sent + 50_000])
        except (TimeoutError, BlockingIOError):
            return sent


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_a_send_that_timed_out_has_taken_nothing(timeout: float) -> None:
    data = pattern(8 * MEGABYTE)
    with connected(buffer=20_000) as (client, server):
        client.settimeout(timeout)
        sent = fill(client, data)
        assert is_full(client)
        with pytest.raises(BlockingIOError if timeout == 0 else TimeoutError):
            client.send(b"not a byte of this")
        received = Task(lambda: receive_all(server))
        client.settimeout(TIMEOUT)
        assert client.send(b"the next") == 8
        client.shutdown(socket.SHUT_WR)
        assert received.result() == data[:sent] + b"the next"


@pytest.mark.parametrize("timeout", [0, SHORT])
def test_a_sendall_that_timed_out_leaves_a_connection_that_works(timeout: float) -> None:
    data = pattern(8 * MEGABYTE)
    with connected(buffer=20_000) as (client, server):
        client.settimeout(timeout)
        with pytest.raises(BlockingIOError if timeout == 0 else TimeoutError):
            client.sendall(data)
        received = Task(lambda: receive_all(server))
        client.settimeout(TIMEOUT)
        client.sendall(b"the next")
        client.shutdown(socket.SHUT_WR)
        got = received.result()
        assert got.endswith(b"the next")
        assert data.startswith(got[:-8])


def test_what_was_taken_goes_out_while_we_receive() -> None:
    data = pattern(8 * MEGABYTE)
    with connected(buffer=20_000) as (client, server):
        client.settimeout(0)
        sent = fill(client, data)
        assert is_full(client)
        client.settimeout(TIMEOUT)
        reader = Task(lambda: client.recv(100))
        eventually(lambda: is_waiting(client))
        assert receive_exactly(server, sent) == data[:sent]
        server.sendall(b"got it")
        assert reader.result() == b"got it"


def test_what_was_taken_goes_out_before_a_close_notify() -> None:
    data = pattern(8 * MEGABYTE)
    with connected(buffer=20_000) as (client, server):
        client.settimeout(SHORT)
        sent = fill(client, data)
        with pytest.raises(TimeoutError):
            client.shutdown(socket.SHUT_WR)
        received = Task(lambda: receive_all(server))
        client.settimeout(TIMEOUT)
        client.shutdown(socket.SHUT_WR)
        assert received.result() == data[:sent]


def test_a_timeout_bounds_the_whole_call() -> None:
    """A peer that sends a byte now and then, and never a whole record, does not prolong it."""
    with connected() as (client, server):
        client.connection.send_data(bytes(16000))
        sealed = client.connection.data_to_send()
        plain = socket.socket(fileno=client.fileno())
        server.settimeout(SHORT)
        task = Task(lambda: server.recv(1))
        try:
            for start in range(15000):
                if task.is_done:
                    break
                plain.sendall(sealed[start : start + 1])
            assert isinstance(task.error, TimeoutError)
        finally:
            plain.detach()


def test_a_long_timeout() -> None:
    with unconnected() as (client, server):
        for tls in (client, server):
            tls.settimeout(1e12)  # more than poll() and locks can take
        with Task(server.do_handshake):
            client.sendall(b"x")
        assert server.recv(1) == b"x"


def test_small_messages_and_their_answers() -> None:
    def answer(sides: Sides) -> None:
        for _ in range(200):
            sides.server.sendall(sides.server.recv(100))

    with connected() as sides, Task(lambda: answer(sides)):
        for number in range(200):
            text = b"message %d" % number
            sides.client.sendall(text)
            assert sides.client.recv(100) == text
