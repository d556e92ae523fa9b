"""Streams of the asyncio binding: data of all sizes, half-close, and errors after the data that came before them."""

import asyncio
import hashlib

import pytest

from bindings.asyncio_sides import (
    Ends,
    closed,
    connected,
    cut,
    each_role,
    each_version,
    echo,
    open_to,
    port_of,
    run,
    send,
    serving,
    transport_of,
)
from bindings.sides import HOST, NAME, client_config, pattern, server_config, web_server
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    ConnectionState,
    LocalError,
    ProtocolVersion,
    UnexpectedEOF,
)
from sanstls_io import asyncio as tls

MEGABYTE = 1 << 20


def in_order(ends: Ends, role: str) -> tuple[tls.Streams, tls.Streams]:
    """The side with this role, and the other one."""
    return (ends.client, ends.server) if role == "client" else (ends.server, ends.client)


# Data ---------------------------------------------------------------------------------------------------------------


@each_version
@pytest.mark.parametrize("size", [0, 1, 100, 16_384, 16_385, MEGABYTE, 5_000_000])
def test_data_both_ways_at_once(size: int, version: ProtocolVersion) -> None:
    to_server, to_client = pattern(size), pattern(size, seed=1 << 40)

    async def receive(reader: asyncio.StreamReader) -> str:
        received = hashlib.sha256()
        while data := await reader.read(100_000):
            received.update(data)
        return received.hexdigest()

    async def send_all(writer: asyncio.StreamWriter, data: bytes) -> None:
        await send(writer, data)
        writer.write_eof()

    async def main() -> None:
        async with connected(client_config(versions=(version,))) as ((reader, writer), (their_reader, their_writer)):
            assert transport_of(writer).info.version is version
            *_, at_client, at_server = await asyncio.gather(
                send_all(writer, to_server),
                send_all(their_writer, to_client),
                receive(reader),
                receive(their_reader),
            )
            assert at_client == hashlib.sha256(to_client).hexdigest()
            assert at_server == hashlib.sha256(to_server).hexdigest()

    run(main)


@each_version
def test_pieces_of_all_kinds(version: ProtocolVersion) -> None:
    async def main() -> None:
        async with connected(client_config(versions=(version,))) as ((_, writer), (reader, _)):
            writer.write(b"bytes ")
            writer.write(bytearray(b"bytearray "))
            writer.write(memoryview(b"-memoryview ")[1:])
            writer.write(memoryview(b"wide").cast("H"))
            writer.write(b"")
            writer.writelines([b" of", bytearray(b" many"), memoryview(b" kinds")])
            assert await reader.readexactly(45) == b"bytes bytearray memoryview wide of many kinds"
            for wrong in ("text", None, 1):
                with pytest.raises(TypeError):
                    writer.write(wrong)  # type: ignore[arg-type]

    run(main)


def test_what_is_written_can_be_changed_afterwards() -> None:
    async def main() -> None:
        async with connected() as ((_, writer), (reader, _)):
            data = bytearray(pattern(MEGABYTE))
            writer.write(data)
            data[:] = bytes(len(data))
            assert await reader.readexactly(MEGABYTE) == pattern(MEGABYTE)

    run(main)


def test_lines() -> None:
    async def main() -> None:
        async with connected() as ((reader, _), (_, writer)):
            writer.write(b"one\ntwo\nand no more")
            writer.write_eof()
            assert [line async for line in reader] == [b"one\n", b"two\n", b"and no more"]
            assert reader.at_eof()
            assert await reader.read() == b""
            with pytest.raises(asyncio.IncompleteReadError):
                await reader.readexactly(1)
            with pytest.raises(asyncio.IncompleteReadError):
                await reader.readuntil(b"x")

    run(main)


def test_a_line_that_is_too_long() -> None:
    async def main() -> None:
        async with connected(of_client={"limit": 100}) as ((reader, _), (_, writer)):
            writer.write(b"x" * 1000 + b"\n")
            with pytest.raises(ValueError, match="limit"):
                await reader.readline()

    run(main)


# Half-close ---------------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_half_close(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with connected(client_config(versions=(version,))) as ends:
            (reader, writer), (their_reader, their_writer) = in_order(ends, role)
            assert writer.can_write_eof()
            writer.write(b"a question")
            for _ in range(2):
                writer.write_eof()
            assert await their_reader.read() == b"a question"
            with pytest.raises(RuntimeError, match="write_eof"):
                writer.write(b"x")
            data = pattern(MEGABYTE)
            answering = asyncio.create_task(send(their_writer, data))
            assert await reader.readexactly(MEGABYTE) == data
            await answering
            their_writer.write_eof()
            assert await reader.read() == b""
            for end in (writer, their_writer):
                assert transport_of(end).connection.state is ConnectionState.CLOSED
                assert not end.is_closing()
            assert await closed(their_writer) is None
            assert await closed(writer) is None

    run(main)


# Errors -------------------------------------------------------------------------------------------------------------


@each_version
@each_role
@pytest.mark.parametrize("size", [0, 100, 3 * MEGABYTE])
def test_truncation_comes_after_the_data(size: int, role: str, version: ProtocolVersion) -> None:
    data = pattern(size)

    async def main() -> None:
        async with connected(client_config(versions=(version,))) as ends:
            (reader, writer), (_, their_writer) = in_order(ends, role)

            async def send_and_cut() -> None:
                await send(their_writer, data)
                await cut(their_writer)

            cutting = asyncio.create_task(send_and_cut())
            await asyncio.sleep(0.01)
            assert await reader.readexactly(size) == data
            assert not reader.at_eof()
            for _ in range(2):
                with pytest.raises(UnexpectedEOF, match="without close_notify"):
                    await reader.read(100)
            with pytest.raises(UnexpectedEOF):
                await reader.read()
            with pytest.raises(UnexpectedEOF):
                await reader.readline()
            with pytest.raises(UnexpectedEOF):
                await reader.readexactly(1)
            assert await reader.read(0) == b""
            assert not reader.at_eof()
            assert isinstance(reader.exception(), UnexpectedEOF)
            with pytest.raises(UnexpectedEOF):
                await writer.drain()
            writer.write(b"nobody gets it")
            assert isinstance(await closed(writer), UnexpectedEOF)
            await cutting

    run(main)


@each_role
def test_a_cut_in_the_middle_of_a_line(role: str) -> None:
    async def main() -> None:
        async with connected() as ends:
            (reader, writer), (_, their_writer) = in_order(ends, role)
            their_writer.write(b"whole\nhalf of ")
            await cut(their_writer)
            assert await reader.readline() == b"whole\n"
            with pytest.raises(UnexpectedEOF):
                await reader.readline()
            await closed(writer)

    run(main)


@each_version
@each_role
def test_a_cut_that_is_all_the_same(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        options = {f"of_{role}": {"standard_compatible": False}}
        async with connected(client_config(versions=(version,)), **options) as ends:
            (reader, writer), (their_reader, their_writer) = in_order(ends, role)
            their_writer.write(b"all of it")
            await cut(their_writer)
            assert await reader.read() == b"all of it"
            assert reader.at_eof()
            writer.write(b"and the answer")
            assert await their_reader.readexactly(14) == b"and the answer"
            assert await closed(writer) is None
            assert await their_reader.read() == b""

    run(main)


@each_version
@each_role
def test_an_alert_comes_after_the_data(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with connected(client_config(versions=(version,))) as ends:
            (reader, writer), (_, their_writer) = in_order(ends, role)
            their_writer.write(b"as far as it went")
            transport_of(their_writer).connection.abort(AlertDescription.insufficient_security)
            their_writer.transport.abort()
            await asyncio.sleep(0.01)
            assert await reader.readexactly(17) == b"as far as it went"
            with pytest.raises(AlertReceivedError) as raised:
                await reader.read(1)
            assert raised.value.description is AlertDescription.insufficient_security
            assert isinstance(await closed(writer), AlertReceivedError)
            assert await closed(their_writer) is None

    run(main)


def test_an_error_wakes_who_waits() -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), (_, their_writer)):
            waiting = asyncio.create_task(reader.read(1))
            await asyncio.sleep(0.01)
            their_writer.transport.abort()
            with pytest.raises(AlertReceivedError, match="internal_error"):
                await waiting
            await closed(writer)

    run(main)


# What the streams are made with -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("web_root")
def test_the_default_configuration() -> None:
    async def main() -> None:
        async with serving(echo, web_server()) as server:
            reader, writer = await tls.open_connection("localhost", port_of(server), alpn=("http/1.1",))
            assert writer.get_extra_info("alpn") == "http/1.1"
            assert writer.get_extra_info("server_name") == "localhost"
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert await closed(writer) is None

    run(main)


def test_alpn_beside_a_configuration() -> None:
    async def main() -> None:
        async with serving(echo, server_config(alpn=("h2", "x"))) as server:
            for alpn, chosen in ((("x", "h2"), "h2"), (("x",), "x"), ((), None)):
                _, writer = await open_to(server, alpn=alpn)
                assert writer.get_extra_info("alpn") == chosen
                await closed(writer)

    run(main)


@each_version
def test_a_session_is_resumed(version: ProtocolVersion) -> None:
    async def main() -> None:
        async with serving(echo) as server:
            config = client_config(versions=(version,))
            sessions = []

            def on_event(event: object) -> None:
                if type(event).__name__ == "SessionReceived":
                    sessions.append(event.session)  # type: ignore[attr-defined]

            reader, writer = await open_to(server, config, on_event=on_event)
            writer.write(b"x")
            await reader.readexactly(1)
            await closed(writer)
            _, writer = await open_to(server, config, session=sessions[0])
            assert transport_of(writer).info.resumed
            await closed(writer)

    run(main)


def test_a_socket_of_ones_own() -> None:
    async def main() -> None:
        import socket

        async with serving(echo) as server:
            sock = socket.create_connection((HOST, port_of(server)))
            reader, writer = await tls.open_connection(None, None, client_config(), sock=sock, server_name=NAME)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await closed(writer)

    run(main)


def test_what_can_not_be_asked_for() -> None:
    async def main() -> None:
        for wrong in ({"handshake_timeout": 0}, {"shutdown_timeout": -1}):
            with pytest.raises(LocalError, match="positive"):
                await tls.open_connection(HOST, 1, client_config(), **wrong)  # type: ignore[arg-type]
        with pytest.raises(LocalError):
            await tls.open_connection(HOST, 1, server_config())  # type: ignore[arg-type]
        with pytest.raises(LocalError):
            await tls.start_server(echo, HOST, 0, client_config())  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await tls.open_connection(HOST, 1, client_config(), no_such_option=True)
        with pytest.raises(OSError, match=r"refused|Connect"):
            await tls.open_connection(HOST, 1, client_config())

    run(main)
