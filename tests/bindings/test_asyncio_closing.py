"""How a connection of the asyncio binding ends: close, abort, alerts, transports that break, callbacks that raise."""

import asyncio
from typing import Any

import pytest

from bindings.asyncio_sides import (
    Recorder,
    a_while,
    by_hand,
    closed,
    connected,
    each_role,
    each_version,
    eventually,
    raw_of,
    run,
    small_buffers,
)
from bindings.sides import pattern
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CloseNotifyReceived,
    ConnectionState,
    PeerError,
    ProtocolVersion,
    UnexpectedEOF,
)

MEGABYTE = 1 << 20


# close and abort ----------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_close_sends_all_and_waits_for_nobody(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with by_hand(role, {"versions": (version,)}) as (protocol, peer):
            transport = protocol.transport
            transport.write(pattern(MEGABYTE))
            for _ in range(3):
                transport.close()
                assert transport.is_closing()
            transport.write(b"dropped")
            transport.write_eof()
            assert not transport.is_reading()
            peer.send(b"too late")
            await peer.until_received(pattern(MEGABYTE))
            await peer.until_closed()
            assert peer.error is None
            assert await protocol.lost() is None
            assert protocol.received == b""
            transport.write(b"dropped")
            transport.writelines([b"this", b"too"])
            transport.close()
            transport.abort()
            transport.pause_reading()
            transport.resume_reading()
            assert transport.get_write_buffer_size() == 0
            assert protocol.calls == ["made", *["pause", "resume"][: len(protocol.calls) - 2], "lost"]

    run(main)


@each_role
def test_close_while_the_peer_takes_nothing(role: str) -> None:
    async def main() -> None:
        async with by_hand(role, shutdown_timeout=0.05) as (protocol, peer):
            small_buffers(protocol.transport)
            peer.writer.transport.pause_reading()
            protocol.transport.write(bytes(8 * MEGABYTE))
            protocol.transport.close()
            error = await protocol.lost()
            assert isinstance(error, TimeoutError)
            assert "the peer did not take the last" in str(error)
            peer.writer.transport.resume_reading()
            with pytest.raises(AssertionError, match="has ended"):
                await peer.until_closed()
            assert type(peer.error) in (UnexpectedEOF, type(None))

    run(main)


def test_close_while_the_peer_takes_it_slowly() -> None:
    """The time is that without progress, and not for all of it."""

    async def main() -> None:
        async with by_hand("client", shutdown_timeout=0.1) as (protocol, peer):
            small_buffers(protocol.transport)
            small_buffers(peer.writer)
            protocol.transport.write(pattern(3 * MEGABYTE))
            protocol.transport.close()
            begin = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < begin + 0.3:
                await peer.step()
                await asyncio.sleep(0.02)
            assert not protocol.is_lost.is_set()
            await peer.until_closed()
            assert peer.received == pattern(3 * MEGABYTE)
            assert await protocol.lost() is None

    run(main)


@each_role
def test_close_for_a_peer_that_is_gone(role: str) -> None:
    async def main() -> None:
        for ending in ("close", "reset"):
            async with by_hand(role) as (protocol, peer):
                protocol.transport.pause_reading()  # so that it is not noticed earlier
                if ending == "close":
                    peer.close()
                    peer.writer.close()
                else:
                    peer.reset()
                await a_while()
                assert protocol.calls == ["made"]
                protocol.transport.close()
                assert await protocol.lost() is None  # nothing but the close_notify was lost

    run(main)


def test_data_for_a_peer_that_is_gone() -> None:
    async def main() -> None:
        async with by_hand("client") as (protocol, peer):
            protocol.transport.pause_reading()
            peer.reset()
            await a_while()
            while not protocol.is_lost.is_set():
                protocol.transport.write(b"x" * 1000)
                await asyncio.sleep(0)
            assert isinstance(protocol.error, ConnectionError)

    run(main)


def test_close_with_something_unread_does_not_take_away_what_was_sent() -> None:
    async def main() -> None:
        async with by_hand("server") as (protocol, peer):
            protocol.transport.pause_reading()
            peer.send(bytes(20_000))
            await a_while()
            data = pattern(300_000)  # of which a part is still on its way
            protocol.transport.write(data)
            protocol.transport.close()
            assert await protocol.lost() is None
            await a_while()
            await peer.until_received(data)
            await peer.until_closed()

    run(main)


@each_version
@each_role
def test_abort(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with by_hand(role, {"versions": (version,)}) as (protocol, peer):
            protocol.transport.abort()
            protocol.transport.abort()
            assert protocol.transport.is_closing()
            assert await protocol.lost() is None
            await peer.until_eof()
            assert peer.alert is AlertDescription.internal_error

    run(main)


def test_abort_drops_what_is_not_sent() -> None:
    async def main() -> None:
        async with by_hand("client") as (protocol, peer):
            small_buffers(protocol.transport)
            peer.writer.transport.pause_reading()
            protocol.transport.write(bytes(8 * MEGABYTE))
            protocol.transport.close()
            await a_while()
            assert not protocol.is_lost.is_set()
            protocol.transport.abort()
            assert await protocol.lost() is None

    run(main)


@each_role
def test_half_close_with_a_protocol(role: str) -> None:
    async def main() -> None:
        async with by_hand(role, make_protocol=lambda: Recorder(stays_open=True)) as (protocol, peer):
            peer.send(b"that was all")
            peer.close()
            await eventually(lambda: "eof" in protocol.calls)
            protocol.transport.write(pattern(MEGABYTE))
            protocol.transport.write_eof()
            await peer.until_received(pattern(MEGABYTE))
            await a_while()
            assert protocol.transport.connection.state is ConnectionState.CLOSED
            assert protocol.calls[-1] != "lost"
            protocol.transport.close()
            assert await protocol.lost() is None
            assert protocol.calls.count("eof") == 1

    run(main)


def test_bytes_after_the_close_notify_are_not_of_tls() -> None:
    async def main() -> None:
        async with by_hand("client", make_protocol=lambda: Recorder(stays_open=True)) as (protocol, peer):
            peer.connection.close()
            peer.writer.write(peer.connection.data_to_send() + b"not of TLS")
            await eventually(lambda: "eof" in protocol.calls)
            peer.writer.write(b" nor this")
            await a_while()
            assert protocol.calls == ["made", "eof"]
            assert protocol.transport.connection.trailing_data == b"not of TLS"
            protocol.transport.close()
            assert await protocol.lost() is None

    run(main)


# What goes wrong ----------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_garbage(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with by_hand(role, {"versions": (version,)}) as (protocol, peer):
            peer.connection.send_data(b"good")
            peer.writer.write(peer.connection.data_to_send() + b"\x17\x03\x03\x00\x20" + bytes(32))
            error = await protocol.lost()
            assert isinstance(error, PeerError)
            assert error.alert is AlertDescription.bad_record_mac
            assert protocol.received == b"good"
            assert protocol.calls == ["made", "data", "lost"]
            await peer.until_eof()
            assert peer.alert is AlertDescription.bad_record_mac

    run(main)


@each_role
def test_an_error_does_not_wait_for_what_the_peer_does_not_take(role: str) -> None:
    async def main() -> None:
        async with by_hand(role) as (protocol, peer):
            small_buffers(protocol.transport)
            peer.writer.transport.pause_reading()
            protocol.transport.write(bytes(8 * MEGABYTE))
            peer.writer.write(b"\x17\x03\x03\x00\x20" + bytes(32))
            assert isinstance(await protocol.lost(), PeerError)

    run(main)


@each_version
@each_role
@pytest.mark.parametrize("partial", [False, True])
def test_truncation(role: str, version: ProtocolVersion, partial: bool) -> None:
    async def main() -> None:
        async with by_hand(role, {"versions": (version,)}) as (protocol, peer):
            peer.connection.send_data(b"whole")
            whole = peer.connection.data_to_send()
            peer.connection.send_data(b"half")
            peer.writer.write(whole + (peer.connection.data_to_send()[:-1] if partial else b""))
            peer.cut()
            assert isinstance(await protocol.lost(), UnexpectedEOF)
            assert protocol.calls == ["made", "data", "lost"]
            assert protocol.received == b"whole"

    run(main)


@each_role
def test_a_cut_that_is_all_the_same(role: str) -> None:
    async def main() -> None:
        settings: dict[str, Any] = {"standard_compatible": False}
        async with by_hand(role, **settings) as (protocol, peer):
            peer.send(b"all of it")
            peer.cut()
            assert await protocol.lost() is None
            assert protocol.calls == ["made", "data", "eof", "lost"]
            await peer.until_closed()

    run(main)


@each_role
def test_a_transport_that_breaks(role: str) -> None:
    async def main() -> None:
        async with by_hand(role) as (protocol, peer):
            peer.reset()
            assert isinstance(await protocol.lost(), ConnectionResetError)
            assert protocol.calls == ["made", "lost"]

    run(main)


def test_a_transport_that_somebody_else_closes() -> None:
    async def main() -> None:
        async with by_hand("client") as (protocol, _):
            raw_of(protocol.transport).close()
            assert await protocol.lost() is None
            assert protocol.calls == ["made", "lost"]

    run(main)


@each_role
def test_a_writer_is_told_why_the_peer_takes_no_more(role: str) -> None:
    """The alert came before the transport broke, and says more than the transport does."""

    async def main() -> None:
        async with by_hand(role) as (protocol, peer):
            protocol.transport.pause_reading()
            peer.send(b"before it")
            peer.connection.abort(AlertDescription.decode_error)
            peer.push()
            peer.writer.close()
            await a_while()
            while not protocol.is_lost.is_set():
                protocol.transport.write(b"x" * 1000)
                await asyncio.sleep(0.001)
                if protocol.transport.get_write_buffer_size() == 0 and not protocol.transport._side._is_connected:
                    protocol.transport.resume_reading()
            assert isinstance(protocol.error, AlertReceivedError)
            assert protocol.error.description is AlertDescription.decode_error
            assert protocol.received == b"before it"

    run(main)


class Sipping(Recorder, asyncio.BufferedProtocol):
    """Takes ten bytes, and pauses."""

    def get_buffer(self, sizehint: int) -> bytearray:
        self.buffer = bytearray(10)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self.buffer[:nbytes])
        self.transport.pause_reading()


@pytest.mark.parametrize("call", ["close", "abort", "resume_reading"])
def test_data_is_held_when_the_transport_is_gone(call: str) -> None:
    async def main() -> None:
        async with by_hand("client", make_protocol=Sipping) as (protocol, peer):
            peer.send(pattern(20))
            await eventually(lambda: protocol.received)
            raw_of(protocol.transport).abort()
            await a_while()
            assert protocol.calls == ["made", "data"]
            protocol.transport.write(b"dropped")
            protocol.transport.write_eof()
            getattr(protocol.transport, call)()
            assert await protocol.lost() is None
            assert protocol.received == pattern(20 if call == "resume_reading" else 10)

    run(main)


# Callbacks that raise -----------------------------------------------------------------------------------------------


class Failing(Recorder):
    """Raises in one of its callbacks."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def _maybe(self, where: str) -> None:
        if where == self.where:
            raise ZeroDivisionError(where)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._maybe("data")

    def eof_received(self) -> bool:
        super().eof_received()
        self._maybe("eof")
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._maybe("pause")


@each_role
@pytest.mark.parametrize("where", ["data", "eof"])
def test_a_callback_that_raises(where: str, role: str) -> None:
    async def main() -> None:
        async with by_hand(role, make_protocol=lambda: Failing(where)) as (protocol, peer):
            peer.send(b"x")
            peer.close()
            error = await protocol.lost()
            assert isinstance(error, ZeroDivisionError)
            assert protocol.calls == ["made", "data", *(["eof"] if where == "eof" else []), "lost"]
            await peer.until_eof()
            assert peer.alert is AlertDescription.internal_error

    (error,) = run(main, unhandled=1)
    assert isinstance(error, ZeroDivisionError)


def test_pause_writing_that_raises() -> None:
    async def main() -> None:
        async with by_hand("client", make_protocol=lambda: Failing("pause")) as (protocol, peer):
            peer.writer.transport.pause_reading()
            small_buffers(protocol.transport)
            protocol.transport.write(bytes(MEGABYTE))
            assert not protocol.transport.is_closing()
            peer.writer.transport.resume_reading()
            await peer.until(lambda: len(peer.received) == MEGABYTE)

    (error,) = run(main, unhandled=1)
    assert isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize("call", ["close", "abort", "pause_reading", "write_eof"])
def test_calls_from_within_a_callback(call: str) -> None:
    class Calling(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if len(self.calls) == 2 and not self.transport.is_closing():
                self.transport.write(b"seen")
                getattr(self.transport, call)()
                self.calls.append("called")

    async def main() -> None:
        async with by_hand("server", make_protocol=Calling) as (protocol, peer):
            peer.send(b"first")
            await eventually(lambda: "called" in protocol.calls)
            peer.send(b"second")
            await peer.until_received(b"seen")
            await a_while()
            assert (protocol.received == b"firstsecond") is (call == "write_eof")
            if call in ("close", "abort"):
                assert await protocol.lost() is None
                assert protocol.calls == ["made", "data", "called", "lost"]
            if call == "abort":
                await peer.until_eof()
                assert peer.alert is AlertDescription.internal_error
            elif call != "pause_reading":
                await peer.until(lambda: peer.of(CloseNotifyReceived))

    run(main)


# Streams ------------------------------------------------------------------------------------------------------------


def test_a_writer_that_is_closed_twice() -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), (their_reader, _)):
            assert await closed(writer) is None
            assert await closed(writer) is None
            assert await their_reader.read() == b""
            assert await reader.read() == b""
            writer.write(b"dropped")
            with pytest.raises(ConnectionResetError):
                await writer.drain()

    run(main)
