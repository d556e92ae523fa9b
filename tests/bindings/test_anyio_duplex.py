"""Two tasks on one ``TLSStream``: one receives while the other one sends; and what a cancellation does to either."""

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest

from bindings.anyio_sides import (
    Gated,
    Sides,
    Task,
    Wrapped,
    both,
    connected,
    handshaken,
    memory,
    on_both,
    receive_all,
    receive_exactly,
)
from bindings.sides import client_config, pattern
from sanstls import DataReceived, Event, KeysUpdated, PeerError, ProtocolVersion, UnexpectedEOF
from sanstls_io.anyio import TLSStream

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
MEGABYTE = 1 << 20
BROKEN = anyio.BrokenResourceError


async def gated(of_server: list[Event] | None = None) -> tuple[TLSStream, TLSStream, Gated]:
    """Two connections on a transport in memory, and the gate through which the client sends."""
    ours, theirs = memory(1000)
    gate = Gated(ours)
    options = {} if of_server is None else {"on_event": of_server.append}
    return *(await handshaken(gate, theirs, of_server=options)), gate


# Both directions at once --------------------------------------------------------------------------------------------


@on_both
@each_version
@pytest.mark.parametrize("tcp", [True, False], ids=["tcp", "socketpair"])
async def test_much_both_ways_at_once(version: ProtocolVersion, tcp: bool) -> None:
    there, back = pattern(3 * MEGABYTE), pattern(3 * MEGABYTE, seed=1 << 40)

    async def send_and_finish(stream: TLSStream, data: bytes, piece: int) -> None:
        for start in range(0, len(data), piece):
            await stream.send(data[start : start + piece])
        await stream.send_eof()

    async with connected(client_config(versions=(version,)), tcp=tcp) as (client, server):
        async with anyio.create_task_group() as group:
            received = [Task(group, receive_all, stream) for stream in (server, client)]
            group.start_soon(send_and_finish, client, there, 70_000)
            group.start_soon(send_and_finish, server, back, 2 * MEGABYTE)
        assert await received[0].result() == there
        assert await received[1].result() == back


@on_both
async def test_key_updates_in_between() -> None:
    """Each asks for the other's, so that what is owed is sent by who sends anyhow, or by who receives."""
    there, back = pattern(MEGABYTE), pattern(MEGABYTE, seed=1 << 40)
    seen: list[Event] = []

    async def send(stream: TLSStream, data: bytes, seed: int) -> None:
        choice = random.Random(seed)
        start = 0
        while start < len(data):
            end = start + choice.randrange(1, 60_000)
            await stream.send(data[start:end])
            start = end
            stream.connection.update_keys(request_peer=True)
        await stream.send_eof()

    async with connected(of_client={"on_event": seen.append}, buffer=50_000) as (client, server):
        async with anyio.create_task_group() as group:
            received = [Task(group, receive_all, stream) for stream in (server, client)]
            group.start_soon(send, client, there, 1)
            group.start_soon(send, server, back, 2)
        assert await received[0].result() == there
        assert await received[1].result() == back
    updated = [event.direction for event in seen if isinstance(event, KeysUpdated)]
    assert updated.count("sending") > 20
    assert updated.count("receiving") > 20


@on_both
async def test_an_answer_to_a_key_update_is_sent_by_who_receives() -> None:
    seen: list[Event] = []
    async with connected(of_server={"on_event": seen.append}) as (client, server), anyio.create_task_group() as group:
        reader, waiting = Task(group, receive_exactly, client, 2), Task(group, server.receive)
        server.connection.update_keys(request_peer=True)
        await server.send(b"x")
        while KeysUpdated("receiving") not in seen:
            await anyio.sleep(0.001)
        await client.send(b"y")
        assert await waiting.result() == b"y"
        await server.send(b"z")
        assert await reader.result() == b"xz"


@on_both
async def test_a_dialogue_in_which_both_sides_begin() -> None:
    async def talk(stream: TLSStream) -> bytes:
        received = b""
        for number in range(200):
            await stream.send(b"%4d" % number)
            received += await receive_exactly(stream, 4)
        return received

    async with connected() as (client, server):
        expected = b"".join(b"%4d" % number for number in range(200))
        assert await both(lambda: talk(client), lambda: talk(server)) == (expected, expected)


# One that waits does not hold up the other ----------------------------------------------------------------------------


@on_both
async def test_a_writer_that_is_stuck_does_not_stop_the_reader() -> None:
    data = pattern(2 * MEGABYTE)
    async with connected(buffer=20_000) as (client, server), anyio.create_task_group() as group:
        writer = Task(group, client.send, data)
        await anyio.wait_all_tasks_blocked()
        for number in range(50):
            text = b"message %d" % number
            await server.send(text)
            assert await receive_exactly(client, len(text)) == text
        # An answer that is owed waits for its turn, and does not stop the reader either.
        server.connection.update_keys(request_peer=True)
        await server.send(b"under new keys")
        assert await receive_exactly(client, 14) == b"under new keys"
        assert not writer.is_done
        reader = Task(group, client.receive)
        assert await receive_exactly(server, len(data)) == data
        await writer.result()
        await client.send(b"and so are these")
        assert await receive_exactly(server, 16) == b"and so are these"
        await server.send(b"!")
        assert await reader.result() == b"!"


@on_both
async def test_what_is_left_to_a_writer_goes_out_with_nothing_else() -> None:
    seen: list[Event] = []
    client, server, gate = await gated(seen)
    async with client, server, anyio.create_task_group() as group:
        gate.shut()
        writer = Task(group, client.send, b"all that is sent")
        await anyio.wait_all_tasks_blocked()
        server.connection.update_keys(request_peer=True)
        await server.send(b"x")
        reader = Task(group, receive_exactly, client, 2)
        await anyio.wait_all_tasks_blocked()
        gate.open()
        await writer.result()
        assert await server.receive() == b"all that is sent"
        waiting = Task(group, server.receive)
        while KeysUpdated("receiving") not in seen:
            await anyio.sleep(0.001)
        await server.send(b"y")
        assert await reader.result() == b"xy"
        await client.send(b"z")
        assert await waiting.result() == b"z"


@on_both
async def test_two_sides_that_both_wait_to_be_read_from() -> None:
    """The reader owes an answer that the transport does not take before its peer has sent all it has."""
    client, server, gate = await gated()
    data = pattern(500_000)

    async def send_all() -> None:
        for start in range(0, len(data), 10_000):
            await server.send(data[start : start + 10_000])
        gate.open()  # now it reads

    async with client, server, anyio.create_task_group() as group:
        reader = Task(group, receive_exactly, client, len(data))
        gate.shut()
        server.connection.update_keys(request_peer=True)
        await server.send(b"")
        Task(group, server.receive)
        await send_all()
        assert await reader.result() == data
        await client.send(b"still in order")
        group.cancel_scope.cancel()


@on_both
async def test_what_is_kept_for_a_peer_that_takes_nothing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanstls_io._async_stream._READ_AHEAD", 100_000)
    ours, theirs = memory(1)
    gate = Gated(ours)
    client, server = await handshaken(gate, theirs)
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        for _ in range(100):
            await server.send(bytes(10_000))
            sent += 10_000

    async with client, server, anyio.create_task_group() as group:
        gate.shut()
        server.connection.update_keys(request_peer=True)
        await server.send(b"")
        reader = Task(group, receive_exactly, client, 1_000_000)
        writer = Task(group, send_all)
        await anyio.wait_all_tasks_blocked()
        assert 80_000 < sent < 200_000
        gate.open()
        await writer.result()
        assert await reader.result() == bytes(1_000_000)


@on_both
async def test_a_transport_that_fails_while_an_answer_is_sent() -> None:
    class Failing(Wrapped):
        async def receive(self, max_bytes: int = 65536) -> bytes:
            if fails:
                await anyio.sleep(0.005)
                raise BROKEN
            return await super().receive(max_bytes)

        async def send(self, item: bytes) -> None:
            if fails:
                raise BROKEN
            await super().send(item)

    fails: list[bool] = []
    ours, theirs = memory(100)
    client, server = await handshaken(Failing(ours), theirs)
    server.connection.update_keys(request_peer=True)
    await server.send(b"x")
    assert await client.receive() == b"x"
    fails.append(True)
    with pytest.raises(BROKEN):
        await client.receive()
    with pytest.raises(BROKEN):
        await client.send(b"x")
    for stream in (client, server):
        await stream.aclose()


@on_both
async def test_an_observer_that_fails_while_an_answer_is_sent() -> None:
    def fail(event: Event) -> None:
        if isinstance(event, DataReceived) and event.data == b"y":
            raise ZeroDivisionError

    ours, theirs = memory(1000)
    gate = Gated(ours)
    client, server = await handshaken(gate, theirs, of_client={"on_event": fail})
    async with client, server, anyio.create_task_group() as group:
        gate.shut()
        server.connection.update_keys(request_peer=True)
        await server.send(b"x")
        assert await client.receive() == b"x"
        reader = Task(group, client.receive)
        await anyio.wait_all_tasks_blocked()
        await server.send(b"y")
        await anyio.wait_all_tasks_blocked()
        gate.open()
        assert isinstance(await reader.error(), ZeroDivisionError)
        assert await client.receive() == b"y"
        await client.send(b"z")
        assert await server.receive() == b"z"


@on_both
async def test_an_alert_while_an_answer_is_on_its_way() -> None:
    seen: list[Event] = []
    client, server, gate = await gated(seen)
    async with anyio.create_task_group() as group:
        gate.shut()
        server.connection.update_keys(request_peer=True)
        await server.send(b"x")
        assert await client.receive() == b"x"
        reader = Task(group, client.receive)
        await anyio.wait_all_tasks_blocked()
        await server.transport_stream.send(b"garbage")
        await anyio.wait_all_tasks_blocked()
        gate.open()
        assert isinstance(await reader.error(), PeerError)
        with pytest.raises(Exception, match="unexpected_message"):
            await server.receive()
        assert KeysUpdated("receiving") in seen
    for stream in (client, server):
        await stream.aclose()


# Two of the same kind -------------------------------------------------------------------------------------------------


@on_both
async def test_two_that_do_the_same() -> None:
    client, server, gate = await gated()
    async with client, server, anyio.create_task_group() as group:
        reader = Task(group, client.receive)
        gate.shut()
        writer = Task(group, client.send, b"first")
        await anyio.wait_all_tasks_blocked()
        seconds: list[Callable[[], Awaitable[object]]] = [
            client.receive,
            lambda: client.send(b"second"),
            client.send_eof,
            client.unwrap,
        ]
        for call in seconds:
            with pytest.raises(anyio.BusyResourceError):
                await call()
        gate.open()
        await writer.result()
        assert await server.receive() == b"first"
        await server.send(b"answer")
        assert await reader.result() == b"answer"


# Cancellation -------------------------------------------------------------------------------------------------------


@on_both
@each_version
async def test_a_receive_that_is_cancelled_loses_nothing(version: ProtocolVersion) -> None:
    """Wherever it is cancelled: the data comes in pieces that end at no record."""
    data = pattern(200_000)
    choice = random.Random(1)

    async def receive_by_and_by(sides: Sides) -> bytes:
        received = bytearray()
        while len(received) < len(data):
            with anyio.CancelScope() as scope:
                if choice.random() < 0.3:
                    scope.cancel()
                else:
                    scope.deadline = anyio.current_time() + choice.choice([0, 0.0001, 0.001, 1])
                received += await sides.client.receive(choice.randrange(1, 5000))
        return bytes(received)

    async def send(sides: Sides) -> None:
        sides.server.connection.send_data(data)
        rest = sides.server.connection.data_to_send()
        while rest:
            size = choice.randrange(1, 5000)
            await sides.server.transport_stream.send(rest[:size])
            rest = rest[size:]
            if choice.random() < 0.1:
                await anyio.sleep(0.0005)

    async with connected(client_config(versions=(version,))) as sides, anyio.create_task_group() as group:
        group.start_soon(send, sides)
        assert await receive_by_and_by(sides) == data
        await sides.client.send(b"and still")
        assert await sides.server.receive() == b"and still"


@on_both
async def test_calls_in_a_scope_that_is_cancelled_do_nothing() -> None:
    async with connected() as (client, server):
        await server.send(b"for later")
        assert await client.receive(1) == b"f"
        for call in (client.receive, lambda: client.send(b"not sent"), client.send_eof, client.unwrap):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await call()
            assert scope.cancelled_caught
        assert await client.receive() == b"or later"
        await client.send(b"only this")
        await client.send_eof()
        assert await receive_all(server) == b"only this"


@on_both
async def test_a_send_that_is_cancelled_on_its_way_breaks_sending_and_nothing_else() -> None:
    async with connected(buffer=20_000) as (client, server):
        with anyio.move_on_after(0.02) as scope:
            await client.send(pattern(8 * MEGABYTE))
        assert scope.cancelled_caught
        for call in (lambda: client.send(b"x"), client.send_eof, client.unwrap):
            with pytest.raises(BROKEN):
                await call()
        await server.send(b"still heard")
        assert await client.receive() == b"still heard"
        await client.aclose()
        with pytest.raises((UnexpectedEOF, BROKEN)):
            await receive_all(server)


@on_both
async def test_a_send_that_is_cancelled_while_it_waits_for_its_turn_has_sent_nothing() -> None:
    client, server, gate = await gated()
    async with client, server, anyio.create_task_group() as group:
        gate.shut()
        server.connection.update_keys(request_peer=True)
        await server.send(b"x")
        assert await client.receive() == b"x"
        Task(group, client.receive)  # sends the answer
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.005) as scope:
            await client.send(b"not sent")
        assert scope.cancelled_caught
        gate.open()
        await client.send(b"sent")
        assert await server.receive() == b"sent"
        group.cancel_scope.cancel()


@on_both
async def test_a_receive_cancelled_while_its_answer_is_stuck() -> None:
    client, server, gate = await gated()
    async with server, anyio.create_task_group() as group:
        gate.shut()
        server.connection.update_keys(request_peer=True)
        await server.send(b"x")
        assert await client.receive() == b"x"
        reader = Task(group, client.receive)
        await anyio.wait_all_tasks_blocked()
        writer = Task(group, client.send, b"x")
        await anyio.wait_all_tasks_blocked()
        reader.scope.cancel()
        assert isinstance(await writer.error(), BROKEN)
        gate.open()
        assert reader.is_done
        with pytest.raises(BROKEN):
            await client.send(b"x")
        await server.send(b"y")
        assert await client.receive() == b"y"
        await client.aclose()
