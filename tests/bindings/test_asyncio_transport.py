"""What a protocol is told, and the transport that it is given: order, flow control in both directions, bounds."""

import asyncio
from typing import Any

import pytest

from bindings.asyncio_sides import (
    Recorder,
    a_while,
    by_hand,
    connected,
    each_role,
    each_version,
    eventually,
    port_of,
    raw_of,
    run,
    small_buffers,
)
from bindings.sides import HOST, NAME, client_config, pattern, server_config
from memory import credential
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    ClientConnection,
    ProtocolVersion,
    ServerConnection,
    UnexpectedEOF,
)
from sanstls_io import asyncio as tls
from sanstls_io.asyncio import TLSTransport

MEGABYTE = 1 << 20
BOUND = 600_000
"""More than all buffers of one side together, but far less than what is sent."""


# The order of calls -------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_the_order_of_calls(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with by_hand(role, {"versions": (version,)}) as (protocol, peer):
            assert protocol.calls == ["made"]
            protocol.transport.write(b"hello")
            await peer.until_received(b"hello")
            peer.send(b"and hello to you")
            await eventually(lambda: protocol.received == b"and hello to you")
            peer.close()
            await peer.until_closed()
            assert await protocol.lost() is None
            assert protocol.calls == ["made", "data", "eof", "lost"]

    run(main)


@each_role
def test_nothing_is_told_before_the_handshake_is_complete(role: str) -> None:
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async def main() -> None:
        if role == "client":
            silent = await asyncio.start_server(lambda _, writer: writers.append(writer), HOST, 0)
            writers: list[asyncio.StreamWriter] = []
            with pytest.raises(TimeoutError, match="handshake"):
                await tls.create_connection(
                    make, HOST, port_of(silent), client_config(), server_name=NAME, handshake_timeout=0.05
                )
            for writer in writers:
                writer.close()
            silent.close()
        else:
            async with await tls.create_server(make, HOST, 0, server_config()) as server:
                _, writer = await asyncio.open_connection(HOST, port_of(server))
                writer.write(ClientConnection(client_config(), NAME).data_to_send())
                await a_while()
                writer.close()
                await eventually(lambda: not server._open)
        assert made == []

    run(main)


@each_version
def test_what_came_with_the_last_of_the_handshake(version: ProtocolVersion) -> None:
    """A client's Finished, its data and its close_notify in one piece."""

    async def main() -> None:
        made: list[Recorder] = []

        def make() -> Recorder:
            made.append(Recorder())
            return made[-1]

        async with await tls.create_server(make, HOST, 0, server_config(versions=(version,))) as server:
            connection = ClientConnection(client_config(), NAME)
            reader, writer = await asyncio.open_connection(HOST, port_of(server))
            events: list[Any] = []
            while not any(type(event).__name__ == "HandshakeComplete" for event in events):
                writer.write(connection.data_to_send())
                events += connection.receive_data(await reader.read(65536))
            connection.send_data(b"all at once")
            connection.close()
            writer.write(connection.data_to_send())
            await eventually(lambda: made)
            assert await made[0].lost() is None
            assert made[0].calls == ["made", "data", "eof", "lost"]
            assert made[0].received == b"all at once"
            writer.close()

    run(main)


def test_a_protocol_with_a_buffer_of_its_own() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(1000)
            self.received = bytearray()
            self.is_at_end = False
            self.transport: Any = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.received += self.buffer[:nbytes]

        def eof_received(self) -> None:
            self.is_at_end = True

    async def main() -> None:
        async with by_hand("client", make_protocol=Buffered) as (protocol, peer):
            peer.send(pattern(MEGABYTE))
            peer.close()
            await eventually(lambda: protocol.is_at_end)
            assert protocol.received == pattern(MEGABYTE)
            assert protocol.transport.is_closing()

    run(main)


def test_an_empty_buffer_is_a_mistake() -> None:
    class Empty(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint: int) -> bytearray:
            return bytearray()

        def buffer_updated(self, nbytes: int) -> None:
            raise AssertionError

    async def main() -> None:
        async with by_hand("client", make_protocol=Empty) as (protocol, peer):
            peer.send(b"x")
            assert isinstance(await protocol.lost(), RuntimeError)

    assert "empty buffer" in str(run(main, unhandled=1)[0])


def test_another_protocol() -> None:
    async def main() -> None:
        async with by_hand("client") as (protocol, peer):
            transport = protocol.transport
            assert transport.get_protocol() is protocol
            other = Recorder()
            other.connection_made(transport)
            transport.set_protocol(other)
            peer.send(b"for the other one")
            await eventually(lambda: other.received)
            transport.close()
            assert await other.lost() is None
            assert protocol.calls == ["made"]

    run(main)


def test_what_is_known() -> None:
    async def main() -> None:
        async with connected(client_config(alpn=("x",)), server_config(alpn=("x",))) as (ours, theirs):
            for _, writer in (ours, theirs):
                transport = writer.transport
                assert isinstance(transport, TLSTransport)
                know = transport.get_extra_info
                assert know("sanstls_info") is transport.info is transport.connection.info
                assert know("sanstls_connection") is transport.connection
                assert know("alpn") == "x"
                assert know("server_name") == NAME
                assert know("cipher")[1] == "TLSv1.3"
                assert know("sslcontext") is None
                assert know("ssl_object", 1) == 1
                assert know("nothing of that kind", "so") == "so"
                assert know("socket").fileno() >= 0
                assert "data flows" in repr(transport)
            _, writer = ours
            assert writer.get_extra_info("peer_chain") == credential().chain
            assert writer.get_extra_info("peername") == theirs[1].get_extra_info("sockname")
            assert isinstance(writer.get_extra_info("sanstls_connection"), ClientConnection)
            assert isinstance(theirs[1].get_extra_info("sanstls_connection"), ServerConnection)
            writer.close()
            await writer.wait_closed()
            assert writer.get_extra_info("peername")[0] == HOST
            assert "closing" in repr(writer.transport)

    run(main)


# Writing ------------------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_a_peer_that_never_reads_pauses_writers(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        settings = {"shutdown_timeout": 0.05}
        async with by_hand(role, {"versions": (version,)}, **settings) as (protocol, peer):
            transport = protocol.transport
            small_buffers(transport)
            written = 0
            while "pause" not in protocol.calls:
                transport.write(bytes(10_000))
                written += 10_000
                assert written < 20 * MEGABYTE
            assert written - BOUND < transport.get_write_buffer_size() <= written
            assert transport.get_write_buffer_size() < BOUND
            await peer.until(lambda: len(peer.received) == written)
            await eventually(lambda: "resume" in protocol.calls)
            assert protocol.calls == ["made", "pause", "resume"]
            assert transport.get_write_buffer_size() == 0

    run(main)


def test_drain_waits_for_a_peer_that_never_reads() -> None:
    async def main() -> None:
        async with connected(of_client={"shutdown_timeout": 0.05}) as ((_, writer), (reader, _)):
            small_buffers(writer)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            most = 0

            async def send() -> None:
                nonlocal most
                while True:
                    writer.write(bytes(10_000))
                    most = max(most, writer.transport.get_write_buffer_size())
                    await writer.drain()

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(send(), 0.2)
            assert 0 < most < BOUND
            writer.transport.abort()

    run(main)


def test_limits_are_those_of_the_transport_below() -> None:
    async def main() -> None:
        async with by_hand("client", shutdown_timeout=0.05) as (protocol, _):
            transport = protocol.transport
            small_buffers(transport)
            transport.set_write_buffer_limits(high=3_000_000, low=1000)
            assert transport.get_write_buffer_limits() == (1000, 3_000_000)
            transport.write(bytes(2_500_000))
            assert "pause" not in protocol.calls
            assert transport.get_write_buffer_size() > 1000
            transport.set_write_buffer_limits(high=0)
            assert protocol.calls == ["made", "pause"]
            with pytest.raises(ValueError, match="high"):
                transport.set_write_buffer_limits(high=1, low=2)

    run(main)


@each_role
def test_a_peer_that_wants_answers_and_takes_none(role: str) -> None:
    """KeyUpdates that are to be answered cost no memory, if nobody reads the answers."""

    async def main() -> None:
        async with by_hand(role, shutdown_timeout=0.05) as (protocol, peer):
            transport = protocol.transport
            small_buffers(transport)
            peer.writer.transport.pause_reading()
            while "pause" not in protocol.calls:
                transport.write(bytes(10_000))
            await a_while()
            before = raw_of(transport).get_write_buffer_size()
            for _ in range(500):
                peer.connection.update_keys(request_peer=True)
                peer.send(b"x")
                await peer.writer.drain()
            await eventually(lambda: len(protocol.received) == 500)
            assert raw_of(transport).get_write_buffer_size() == before
            peer.writer.transport.resume_reading()
            await peer.until(lambda: not transport.get_write_buffer_size())
            transport.write(b"the end")
            await peer.until(lambda: peer.received.endswith(b"the end"))

    run(main)


def test_what_is_written_in_a_callback_goes_out_together() -> None:
    class Answering(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for _ in range(5):
                self.transport.write(b"piece by piece")
            assert self.transport.get_write_buffer_size() > 5 * 14

    async def main() -> None:
        async with by_hand("client", make_protocol=Answering) as (protocol, peer):
            raw = raw_of(protocol.transport)
            writes: list[int] = []
            write = raw.write

            def count(data: Any) -> None:
                writes.append(len(data))
                write(data)

            raw.write = count  # type: ignore[method-assign]
            peer.send(b"x")
            await peer.until_received(b"piece by piece" * 5)
            assert len(writes) == 1
            del raw.write

    run(main)


# Reading ------------------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_a_paused_reader_stops_the_peer(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with by_hand(role, {"versions": (version,)}) as (protocol, peer):
            transport = protocol.transport
            small_buffers(transport)
            small_buffers(peer.writer)
            assert transport.is_reading()
            transport.pause_reading()
            transport.pause_reading()
            assert not transport.is_reading()
            data = pattern(3 * MEGABYTE)
            peer.send(data)
            await a_while()
            assert protocol.received == b""
            assert transport._side._pump.available < BOUND
            assert peer.writer.transport.get_write_buffer_size() > 2 * MEGABYTE
            transport.resume_reading()
            transport.resume_reading()
            assert protocol.received == b""  # not within the call
            await eventually(lambda: len(protocol.received) == len(data))
            assert protocol.received == data

    run(main)


def test_a_reader_that_pauses_at_each_piece() -> None:
    class Hesitating(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def main() -> None:
        async with by_hand("server", make_protocol=Hesitating) as (protocol, peer):
            data = pattern(MEGABYTE)
            peer.send(data)
            peer.close()
            assert await protocol.lost() is None
            assert protocol.received == data

    run(main)


@each_role
@pytest.mark.parametrize("end", ["close_notify", "alert", "cut", "reset"])
def test_an_end_waits_while_reading_is_paused(role: str, end: str) -> None:
    class Pausing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async def main() -> None:
        async with by_hand(role, make_protocol=Pausing) as (protocol, peer):
            protocol.transport.pause_reading()
            peer.send(pattern(50_000))
            if end == "close_notify":
                peer.close()
            elif end == "alert":
                peer.connection.abort(AlertDescription.decode_error)
                peer.push()
            elif end == "cut":
                peer.cut()
            await a_while()
            assert protocol.calls == ["made"]
            protocol.transport.resume_reading()
            await eventually(lambda: protocol.received)
            if end == "reset":
                peer.reset()
            await a_while()
            if end == "close_notify":
                assert protocol.calls == ["made", "data"]
            protocol.transport.resume_reading()
            error = await protocol.lost()
            expected = {"close_notify": type(None), "alert": AlertReceivedError, "reset": ConnectionResetError}
            assert type(error) is expected.get(end, UnexpectedEOF)
            assert protocol.received == pattern(50_000)

    run(main)
