"""How a ``TLSStream`` on anyio ends: half-close, back to the transport, truncation, alerts, ``aclose``."""

import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute

from bindings.anyio_sides import (
    Gated,
    Sides,
    Task,
    Wrapped,
    both,
    connected,
    handshaken,
    on_both,
    receive_all,
    receive_exactly,
    transports,
)
from bindings.sides import NAME, client_config, pattern, server_config
from memory import store
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    ConnectionState,
    LocalError,
    PeerError,
    PrivatePKI,
    ProtocolVersion,
    ServerConnection,
    UnexpectedEOF,
)
from sanstls_io.anyio import TLSStream

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
each_order = pytest.mark.parametrize("order", [1, -1], ids=["client first", "server first"])
MEGABYTE = 1 << 20
CLOSED, BROKEN = anyio.ClosedResourceError, anyio.BrokenResourceError


def in_order(sides: Sides, order: int) -> tuple[TLSStream, TLSStream]:
    first, second = sides[::order]
    return first, second


# Half-close ---------------------------------------------------------------------------------------------------------


@on_both
@each_version
@each_order
async def test_half_close(order: int, version: ProtocolVersion) -> None:
    data = pattern(MEGABYTE)

    async def answer(stream: TLSStream) -> None:
        await stream.send(data)
        await stream.send_eof()

    async with connected(client_config(versions=(version,))) as sides, anyio.create_task_group() as group:
        first, second = in_order(sides, order)
        await first.send(b"a question")
        await first.send_eof()
        assert await receive_all(second) == b"a question"
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await second.receive()
        group.start_soon(answer, second)
        assert await receive_all(first) == data
        for stream in sides:
            assert stream.connection.state is ConnectionState.CLOSED
            await stream.send_eof()  # again, and nothing happens
            with pytest.raises(CLOSED):
                await stream.send(b"x")


# Back to the transport ----------------------------------------------------------------------------------------------


@on_both
@each_version
@each_order
async def test_unwrap(order: int, version: ProtocolVersion) -> None:
    async with connected(client_config(versions=(version,))) as sides, anyio.create_task_group() as group:
        first, second = in_order(sides, order)
        await first.send(b"the last of it")
        task = Task(group, first.unwrap)
        assert await receive_all(second) == b"the last of it"
        transport, trailing = await second.unwrap()
        other, also_trailing = await task.result()
        assert (trailing, also_trailing) == (b"", b"")
        assert transport is second.transport_stream
        await other.send(b"in the clear")
        assert await transport.receive() == b"in the clear"
        for call in (first.unwrap, lambda: first.send(b"x"), first.receive):
            with pytest.raises(CLOSED):
                await call()
        await first.aclose()
        await other.send(b"it has another owner now")
        assert await transport.receive() == b"it has another owner now"


@on_both
@each_order
async def test_bytes_that_came_with_the_close_notify(order: int) -> None:
    async with connected() as sides:
        ours, theirs = in_order(sides, order)
        theirs.connection.send_data(b"of TLS")
        theirs.connection.close()
        await theirs.transport_stream.send(theirs.connection.data_to_send() + b"not of TLS")
        assert await receive_all(ours) == b"of TLS"
        transport, trailing = await ours.unwrap()
        assert trailing == b"not of TLS"
        await theirs.transport_stream.send(b" and the rest")
        assert await transport.receive() == b" and the rest"


@on_both
async def test_unwrap_with_data_unread() -> None:
    async with connected() as (client, server):
        await server.send(b"for you")
        await server.send_eof()
        assert await client.receive(3) == b"for"
        for _ in range(2):
            with pytest.raises(LocalError, match="there is data to receive"):
                await client.unwrap()
        assert await receive_all(client) == b" you"
        assert (await client.unwrap())[1] == b""
        assert await receive_all(server) == b""


@on_both
async def test_unwrap_that_was_cancelled_can_be_tried_again() -> None:
    async with connected() as (client, server):
        with anyio.move_on_after(0.01) as scope:
            await client.unwrap()
        assert scope.cancelled_caught
        await server.unwrap()
        assert await client.unwrap() == (client.transport_stream, b"")


@on_both
async def test_unwrap_after_an_error() -> None:
    async with connected() as (client, server):
        server.connection.abort()
        await server.aclose()
        for _ in range(2):
            with pytest.raises(AlertReceivedError):
                await client.unwrap()


# Ends that are none -------------------------------------------------------------------------------------------------


@on_both
@each_version
@pytest.mark.parametrize("size", [0, 100, MEGABYTE])
async def test_truncation_comes_after_the_data(size: int, version: ProtocolVersion) -> None:
    data = pattern(size)

    async def cut(stream: TLSStream) -> None:
        await stream.send(data)
        await stream.transport_stream.send_eof()

    async with connected(client_config(versions=(version,))) as (client, server), anyio.create_task_group() as group:
        group.start_soon(cut, server)
        assert await receive_exactly(client, size) == data
        for _ in range(2):
            with pytest.raises(UnexpectedEOF, match="without close_notify"):
                await client.receive()
        for call in (lambda: client.send(b"x"), client.send_eof):
            with pytest.raises(UnexpectedEOF):
                await call()


@on_both
@each_version
async def test_truncation_is_an_end_for_who_says_so(version: ProtocolVersion) -> None:
    options: Any = {"of_client": {"standard_compatible": False}}
    async with connected(client_config(versions=(version,)), **options) as (client, server):
        await server.send(b"as far as it went")
        await server.transport_stream.send_eof()
        assert await receive_all(client) == b"as far as it went"
        with pytest.raises(anyio.EndOfStream):
            await client.receive()
        await client.aclose()


@on_both
async def test_an_end_in_the_middle_of_a_record() -> None:
    async with connected() as (client, server):
        server.connection.send_data(b"whole")
        whole = server.connection.data_to_send()
        await server.transport_stream.send(whole + whole[:3])
        await server.transport_stream.send_eof()
        assert await client.receive() == b"whole"
        with pytest.raises(UnexpectedEOF):
            await client.receive()


@on_both
@each_version
@each_order
async def test_an_alert_comes_after_the_data(order: int, version: ProtocolVersion) -> None:
    async with connected(client_config(versions=(version,))) as sides:
        ours, theirs = in_order(sides, order)
        await theirs.send(b"as far as it went")
        theirs.connection.abort(AlertDescription.insufficient_security)
        await theirs.aclose()
        assert await receive_exactly(ours, 17) == b"as far as it went"
        for call in (ours.receive, lambda: ours.send(b"x"), ours.send_eof):
            with pytest.raises(AlertReceivedError) as raised:
                await call()
            assert raised.value.description is AlertDescription.insufficient_security


@on_both
async def test_garbage_from_the_peer() -> None:
    async with connected() as (client, server):
        await server.send(b"good")
        await server.transport_stream.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert await receive_exactly(client, 4) == b"good"
        with pytest.raises(PeerError) as raised:
            await client.receive()
        assert raised.value.alert is AlertDescription.bad_record_mac
        with pytest.raises(AlertReceivedError, match="bad_record_mac"):
            await server.receive()


async def reset(stream: TLSStream) -> None:
    """Close the socket below so that the peer's side breaks."""
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.transport_stream.aclose()


@on_both
async def test_a_transport_that_breaks() -> None:
    async with connected() as (client, server):
        await reset(server)
        for _ in range(2):
            with pytest.raises(BROKEN):
                await client.receive()
        for call in (lambda: client.send(pattern(8 * MEGABYTE)), client.send_eof):
            with pytest.raises(BROKEN):
                await call()


class Telling(Wrapped):
    """A transport that fails as some do: by an ``OSError``."""

    async def send(self, item: bytes) -> None:
        raise ConnectionResetError("nobody is there")


@on_both
async def test_a_writer_is_told_why_the_peer_takes_no_more() -> None:
    """The alert came before the transport broke, and says more than the transport does."""
    async with transports() as (ours, theirs):
        client, server = await handshaken(ours, theirs)
        await server.send(b"before it")
        server.connection.abort(AlertDescription.decode_error)
        await server.aclose()
        client.transport_stream = Telling(client.transport_stream)
        with pytest.raises(AlertReceivedError, match="decode_error") as raised:
            await client.send(b"x")
        assert isinstance(raised.value.__cause__, BROKEN)
        assert await client.receive() == b"before it"
        with pytest.raises(AlertReceivedError, match="decode_error"):
            await client.receive()


@on_both
async def test_a_transport_that_fails_by_an_os_error() -> None:
    async with connected() as (client, _):
        client.transport_stream = Telling(client.transport_stream)
        for _ in range(2):
            with pytest.raises(BROKEN) as raised:
                await client.send(b"x")
        assert raised.value.__cause__ is None
        with pytest.raises(BROKEN):
            await client.send_eof()


@on_both
async def test_a_refused_client_certificate_is_told_to_who_writes() -> None:
    """In TLS 1.3 the client's handshake is complete by then."""
    server_side = server_config(verify=PrivatePKI(store()))

    async def serve(transport: Any) -> None:
        with pytest.raises(CertificateError):
            await TLSStream.wrap(transport, ServerConnection(server_side))
        await transport.aclose()

    async with transports(tcp=False) as (ours, theirs), anyio.create_task_group() as group:
        group.start_soon(serve, theirs)
        client = await TLSStream.wrap(ours, ClientConnection(client_config(), NAME))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises((AlertReceivedError, BROKEN)):
            await client.send(pattern(MEGABYTE))


# With and aclose ----------------------------------------------------------------------------------------------------


@on_both
async def test_leaving_a_with_closes() -> None:
    async with connected() as (client, server):
        async with client as same:
            assert same is client
            await client.send(b"all of it")
        assert await receive_all(server) == b"all of it"
        with pytest.raises(anyio.EndOfStream):
            await server.transport_stream.receive()


@on_both
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
async def test_an_exception_is_no_proper_end(error: type[BaseException]) -> None:
    async def fail(stream: TLSStream) -> None:
        async with stream:
            await stream.send(b"half of")
            raise error

    async with connected() as (client, server):
        with pytest.raises(error):
            await fail(client)
        assert await receive_exactly(server, 7) == b"half of"
        with pytest.raises(AlertReceivedError, match="internal_error"):
            await server.receive()


@on_both
async def test_a_cancelled_with_is_no_proper_end() -> None:
    async with connected() as (client, server):
        with anyio.CancelScope() as scope:
            async with client:
                await client.send(b"half of")
                scope.cancel()
                await anyio.sleep_forever()
        assert await receive_exactly(server, 7) == b"half of"
        with pytest.raises((UnexpectedEOF, AlertReceivedError)):
            await server.receive()


CALLS: list[Callable[[TLSStream], Awaitable[object]]] = [
    TLSStream.receive,
    lambda stream: stream.send(b"x"),
    TLSStream.send_eof,
    TLSStream.unwrap,
]


@on_both
async def test_use_after_aclose() -> None:
    async with connected() as (client, server):
        for _ in range(3):
            await client.aclose()
        for call in CALLS:
            with pytest.raises(CLOSED):
                await call(client)
        assert await receive_all(server) == b""


@on_both
async def test_aclose_says_that_it_does_so_even_with_data_unread() -> None:
    async with connected() as (client, server):
        await server.send(b"never read")
        await client.send(pattern(100_000))
        await client.aclose()
        assert await receive_all(server) == pattern(100_000)


@on_both
async def test_aclose_does_not_wait_for_a_peer_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanstls_io._async_stream._PATIENCE", 0.02)
    async with transports() as (ours, theirs):
        client, server = await handshaken(Gated(ours), theirs)
        gate: Any = client.transport_stream
        gate.shut()
        await client.aclose()
        with pytest.raises(UnexpectedEOF):
            await server.receive()


@on_both
async def test_aclose_forcefully() -> None:
    async with transports() as (ours, theirs):
        client, server = await handshaken(Gated(ours), theirs)
        gate: Any = client.transport_stream
        gate.shut()
        await anyio.aclose_forcefully(client)
        with pytest.raises(UnexpectedEOF):
            await server.receive()
        with pytest.raises(CLOSED):
            await ours.receive()


@on_both
@pytest.mark.parametrize("call", [TLSStream.receive, TLSStream.unwrap])
async def test_aclose_wakes_a_reader(call: Callable[[TLSStream], Awaitable[object]]) -> None:
    async with connected() as (client, server), anyio.create_task_group() as group:
        reader = Task(group, call, client)
        await anyio.wait_all_tasks_blocked()
        await client.aclose()
        assert isinstance(await reader.error(), CLOSED)
        assert await receive_all(server) == b""


@on_both
async def test_aclose_wakes_a_reader_whose_transport_then_tells_of_an_end() -> None:
    class Ending(Wrapped):
        async def receive(self, max_bytes: int = 65536) -> bytes:
            try:
                return await super().receive(max_bytes)
            except CLOSED:
                raise anyio.EndOfStream from None

    async with transports() as (ours, theirs), anyio.create_task_group() as group:
        client, _ = await handshaken(Ending(ours), theirs)
        reader = Task(group, client.receive)
        await anyio.wait_all_tasks_blocked()
        await client.aclose()
        assert isinstance(await reader.error(), CLOSED)


@on_both
async def test_aclose_wakes_a_writer_and_is_no_proper_end() -> None:
    async with connected(buffer=20_000) as (client, server), anyio.create_task_group() as group:
        writer = Task(group, client.send, pattern(8 * MEGABYTE))
        await anyio.wait_all_tasks_blocked()
        await client.aclose()
        assert isinstance(await writer.error(), CLOSED)
        with pytest.raises((UnexpectedEOF, BROKEN)):
            await receive_all(server)


@on_both
async def test_both_close_at_once() -> None:
    for _ in range(20):
        async with connected() as (client, server):
            await both(client.aclose, server.aclose)
