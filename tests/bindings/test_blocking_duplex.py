"""Two threads on one connection: one reads while the other writes, and neither holds up the other."""

import random
import socket
import threading
from collections.abc import Callable

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
from sanstls import Event, KeysUpdated, ProtocolVersion
from sanstls_io.blocking import TLSSocket

MEGABYTE = 1 << 20
each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
each_timeout = pytest.mark.parametrize("timeout", [TIMEOUT, None])


def send_and_finish(tls: TLSSocket, data: bytes, piece: int) -> None:
    for start in range(0, len(data), piece):
        tls.sendall(data[start : start + piece])
    tls.shutdown(socket.SHUT_WR)


def is_stuck(tls: TLSSocket) -> bool:
    """Whether a thread sends, and the plain socket takes no more."""
    return tls._writing.locked() and bool(tls._unsent)


@each_version
@each_timeout
@pytest.mark.parametrize("tcp", [True, False], ids=["tcp", "socketpair"])
def test_much_both_ways_at_once(version: ProtocolVersion, timeout: float | None, tcp: bool) -> None:
    there, back = pattern(5 * MEGABYTE), pattern(5 * MEGABYTE, seed=1 << 40)
    with connected(client_config(versions=(version,)), tcp=tcp) as (client, server):
        for tls in (client, server):
            tls.settimeout(timeout)
        tasks = [
            Task(lambda: send_and_finish(client, there, 70_000)),
            Task(lambda: send_and_finish(server, back, 3 * MEGABYTE)),
        ]
        received = Task(lambda: receive_all(server)), Task(lambda: receive_all(client, 10_000))
        for task in tasks:
            task.result()
        assert received[0].result() == there
        assert received[1].result() == back


@each_timeout
def test_key_updates_in_between(timeout: float | None) -> None:
    """Each asks for the other's, so that a thread that reads has to send while another one sends."""
    there, back = pattern(MEGABYTE), pattern(MEGABYTE, seed=1 << 40)
    seen: list[Event] = []

    def send(tls: TLSSocket, data: bytes, seed: int) -> None:
        choice = random.Random(seed)
        start = 0
        while start < len(data):
            end = start + choice.randrange(1, 60_000)
            tls.sendall(data[start:end])
            start = end
            with tls._state:  # the connection's own calls are not locked
                tls.connection.update_keys(request_peer=True)
        tls.shutdown(socket.SHUT_WR)

    with connected(of_client={"on_event": seen.append}, buffer=50_000) as (client, server):
        for tls in (client, server):
            tls.settimeout(timeout)
        tasks = [Task(lambda: send(client, there, 1)), Task(lambda: send(server, back, 2))]
        received = Task(lambda: receive_all(server)), Task(lambda: receive_all(client))
        assert received[0].result() == there
        assert received[1].result() == back
        for task in tasks:
            task.result()
    updated = [event.direction for event in seen if isinstance(event, KeysUpdated)]
    assert updated.count("sending") > 20
    assert updated.count("receiving") > 20


@each_timeout
def test_an_answer_to_a_key_update_is_sent_by_who_reads(timeout: float | None) -> None:
    seen: list[Event] = []
    with connected(of_server={"on_event": seen.append}) as (client, server):
        client.settimeout(timeout)
        with Task(lambda: client.recv(1)) as reader:
            eventually(lambda: is_waiting(client))
            server.connection.update_keys(request_peer=True)
            server.sendall(b"x")
            assert reader.result() == b"x"
        # The answer is on its way, though the client has sent nothing of its own.
        server.settimeout(TIMEOUT)
        task = Task(lambda: server.recv(1))
        eventually(lambda: KeysUpdated("receiving") in seen)
        client.sendall(b"y")
        assert task.result() == b"y"


@each_timeout
def test_a_writer_that_is_stuck_does_not_stop_the_reader(timeout: float | None) -> None:
    data = pattern(8 * MEGABYTE)
    with connected(buffer=20_000) as (client, server):
        client.settimeout(timeout)
        writer = Task(lambda: client.sendall(data))
        eventually(lambda: is_stuck(client))
        for number in range(100):
            text = b"message %d" % number
            server.sendall(text)
            assert receive_exactly(client, len(text)) == text
        # An answer that is owed waits for its turn, and does not stop the reader either.
        server.connection.update_keys(request_peer=True)
        server.sendall(b"under new keys")
        assert receive_exactly(client, 14) == b"under new keys"
        assert not writer.is_done
        assert receive_exactly(server, len(data)) == data
        writer.result()
        client.sendall(b"and so are these")
        assert receive_exactly(server, 16) == b"and so are these"


def test_an_answer_that_was_left_to_a_writer_goes_out_with_nothing_else() -> None:
    """It comes from a thread that only reads, while the writer has sealed all that it will ever send."""
    data = pattern(131_072)
    seen: list[Event] = []
    with connected(buffer=4000, of_server={"on_event": seen.append}) as (client, server):
        writer = Task(lambda: client.sendall(data))
        eventually(lambda: is_stuck(client))
        server.connection.update_keys(request_peer=True)
        server.sendall(b"x")
        assert client.recv(1) == b"x"
        receive_exactly(server, len(data))
        writer.result()
        reader = Task(lambda: server.recv(1))
        eventually(lambda: KeysUpdated("receiving") in seen)
        client.sendall(b"y")
        assert reader.result() == b"y"


@each_timeout
def test_a_reader_that_waits_does_not_stop_the_writer(timeout: float | None) -> None:
    with connected() as (client, server):
        client.settimeout(timeout)
        with Task(lambda: client.recv(100)) as reader:
            eventually(lambda: is_waiting(client))
            client.sendall(pattern(MEGABYTE))
            assert receive_exactly(server, MEGABYTE) == pattern(MEGABYTE)
            server.sendall(b"done")
            assert reader.result() == b"done"


def test_a_second_reader_waits_no_longer_than_its_timeout() -> None:
    with connected() as (client, server), Task(lambda: client.recv(100)) as first:
        eventually(lambda: is_waiting(client))
        client.settimeout(0.02)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(0)
        with pytest.raises(BlockingIOError):
            client.recv_into(bytearray(1))
        server.sendall(b"x")
        assert first.result() == b"x"


def test_a_second_writer_waits_no_longer_than_its_timeout() -> None:
    data = pattern(8 * MEGABYTE)
    with connected(buffer=20_000) as (client, server):
        first = Task(lambda: client.sendall(data))
        eventually(lambda: is_stuck(client))
        client.settimeout(0.02)
        for call in (client.send, client.sendall):
            with pytest.raises(TimeoutError):
                call(b"x")
        with pytest.raises(TimeoutError):
            client.shutdown(socket.SHUT_WR)
        assert receive_exactly(server, len(data)) == data
        first.result()


def test_many_writers_do_not_mix_their_messages() -> None:
    size, count = 200_000, 10  # of which a send takes a part

    def write(sides: Sides, number: int) -> None:
        for _ in range(count):
            sides.client.sendall(bytes([number]) * size)

    with connected() as sides:
        writers = [Task(lambda number=number: write(sides, number)) for number in range(4)]  # type: ignore[misc]
        for _ in range(4 * count):
            message = receive_exactly(sides.server, size)
            assert message == message[:1] * size
        for writer in writers:
            writer.result()


def test_many_readers_lose_nothing() -> None:
    data = pattern(2 * MEGABYTE)
    with connected() as (client, server):

        def read() -> list[bytes]:
            pieces = []
            while piece := server.recv(8):
                pieces.append(piece)
            return pieces

        readers = [Task(read) for _ in range(4)]
        for start in range(0, 80_000, 80):
            client.sendall(data[start : start + 80])
        client.shutdown(socket.SHUT_WR)
        pieces = [piece for reader in readers for piece in reader.result()]
        assert sum(map(len, pieces)) == 80_000
        assert sorted(pieces) == sorted(data[start : start + 8] for start in range(0, 80_000, 8))


def test_a_dialogue_in_which_both_sides_begin() -> None:
    everybody_is_here = threading.Barrier(2)

    def talk(tls: TLSSocket) -> bytes:
        everybody_is_here.wait(TIMEOUT)
        received = b""
        for number in range(200):
            tls.sendall(b"%4d" % number)
            received += receive_exactly(tls, 4)
        return received

    with connected() as sides:
        first, second = [Task(lambda tls=tls: talk(tls)) for tls in sides]  # type: ignore[misc]
        expected = b"".join(b"%4d" % number for number in range(200))
        assert first.result() == second.result() == expected


# The end, while threads wait ----------------------------------------------------------------------------------------


READS: list[Callable[[TLSSocket], object]] = [lambda tls: tls.recv(1), lambda tls: tls.recv_into(bytearray(1))]


@each_timeout
@pytest.mark.parametrize("tcp", [True, False], ids=["tcp", "socketpair"])
@pytest.mark.parametrize("read", READS, ids=["recv", "recv_into"])
def test_close_wakes_a_reader(read: Callable[[TLSSocket], object], tcp: bool, timeout: float | None) -> None:
    with connected(tcp=tcp) as (client, server):
        client.settimeout(timeout)
        reader = Task(lambda: read(client))
        eventually(lambda: is_waiting(client))
        client.close()
        assert type(reader.error) is OSError  # nothing that the peer is to blame for
        assert server.recv(1) == b""


@each_timeout
def test_close_wakes_a_writer(timeout: float | None) -> None:
    with connected(buffer=20_000) as (client, server):
        client.settimeout(timeout)
        writer = Task(lambda: client.sendall(pattern(8 * MEGABYTE)))
        eventually(lambda: is_stuck(client))
        client.close()
        assert isinstance(writer.error, OSError)
        assert not isinstance(writer.error, TimeoutError)
        with pytest.raises(Exception, match=r"without close_notify|reset"):
            receive_all(server)


@each_timeout
def test_close_wakes_who_waits_for_a_lock(timeout: float | None) -> None:
    with connected() as (client, _):
        client.settimeout(timeout)
        readers = [Task(lambda: client.recv(1)) for _ in range(3)]
        eventually(lambda: is_waiting(client))
        client.close()
        assert [type(reader.error) for reader in readers] == [OSError] * 3


def test_close_takes_no_data_away_from_a_reader() -> None:
    """What a reader has got until then is a beginning of what was sent, whenever the end comes."""
    data = pattern(2 * MEGABYTE)
    with connected() as (client, server):
        received = bytearray()

        def read() -> None:
            while True:
                received.extend(client.recv(1000))

        reader = Task(read)
        writer = Task(lambda: server.sendall(data))
        eventually(lambda: len(received) > 100_000)
        client.close()
        assert isinstance(reader.error, OSError)
        assert type(reader.error) in (OSError, ConnectionResetError)
        assert data.startswith(received)
        assert writer.error is None or isinstance(writer.error, OSError)


def test_shutdown_wakes_a_reader() -> None:
    for how in (socket.SHUT_RD, socket.SHUT_RDWR):
        for read, nothing in zip(READS, (b"", 0), strict=True):
            with connected() as (client, _):
                client.settimeout(None)
                reader = Task(lambda: read(client))  # noqa: B023
                eventually(lambda: is_waiting(client))
                client.shutdown(how)
                assert reader.result() == nothing


def test_close_in_the_handshake_wakes_who_does_it() -> None:
    for timeout in (TIMEOUT, None):
        with unconnected() as (client, _):
            client.settimeout(timeout)
            task = Task(client.do_handshake)
            eventually(lambda: client._handshaking.locked())
            client.close()
            assert isinstance(task.error, Exception)
