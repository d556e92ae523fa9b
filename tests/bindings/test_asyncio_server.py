"""Servers of the asyncio binding: many clients at once, slow and broken ones, replaced configurations, their ends."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

from bindings.asyncio_sides import (
    Recorder,
    a_while,
    closed,
    each_version,
    echo,
    eventually,
    open_to,
    port_of,
    reset,
    run,
    serving,
    transport_of,
)
from bindings.sides import HOST, NAME, client_config, pattern, server_config
from memory import credential
from sanstls import AlertReceivedError, ProtocolVersion, TLSError, UnexpectedEOF
from sanstls_io import asyncio as tls

MEGABYTE = 1 << 20


# Many ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_many_clients_of_all_kinds(seed: int) -> None:
    """Some ask, some hang up at any moment, some are cancelled, some say nothing, some talk nonsense."""
    choose = random.Random(seed)
    counts: dict[str, int] = {}

    async def main() -> None:
        async with serving(echo, on_error=lambda *_: None, handshake_timeout=5) as server:

            async def ask() -> None:
                version = choose.choice((ProtocolVersion.TLS13, ProtocolVersion.TLS12))
                reader, writer = await open_to(server, client_config(versions=(version,)))
                try:
                    for _ in range(choose.randrange(3)):
                        data = pattern(choose.choice((1, 1000, 20_000, 200_000)))
                        writer.write(data)
                        assert await reader.readexactly(len(data)) == data
                finally:
                    assert await closed(writer) is None

            async def hang_up() -> None:
                reader, writer = await open_to(server)
                writer.write(pattern(choose.choice((1, 100_000))))
                if choose.random() < 0.5:
                    await reader.read(10)
                writer.transport.abort()

            async def break_off() -> None:
                _, writer = await open_to(server)
                writer.write(pattern(choose.choice((1, 100_000))))
                reset(writer)

            async def be_cancelled() -> None:
                task = asyncio.create_task(ask())
                await asyncio.sleep(choose.random() * 0.05)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

            async def talk_nonsense() -> None:
                _, writer = await asyncio.open_connection(HOST, port_of(server))
                writer.write(choose.randbytes(choose.randrange(200)))
                await asyncio.sleep(choose.random() * 0.05)
                if choose.random() < 0.5:
                    reset(writer)
                writer.close()

            kinds = (ask, ask, ask, hang_up, break_off, be_cancelled, talk_nonsense)

            async def one() -> None:
                await asyncio.sleep(choose.random() * 0.3)
                kind = choose.choice(kinds)
                counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
                await kind()

            async with asyncio.TaskGroup() as group:
                for _ in range(200):
                    group.create_task(one())
            await eventually(lambda: not server._open, "the last of them")

    run(main, seconds=25)
    assert sum(counts.values()) == 200


def test_the_silent_and_the_slow_hold_up_nobody() -> None:
    async def main() -> None:
        errors: list[Any] = []
        settings: dict[str, Any] = {"handshake_timeout": 0.3, "on_error": lambda *what: errors.append(what)}
        async with serving(echo, **settings) as server:
            silent = [await asyncio.open_connection(HOST, port_of(server)) for _ in range(20)]
            deaf = [await open_to(server) for _ in range(5)]
            for _, writer in deaf:  # they get megabytes back, and read nothing
                transport_of(writer).pause_reading()
                writer.write(bytes(3 * MEGABYTE))
            for _ in range(5):
                reader, writer = await open_to(server)
                writer.write(b"quick")
                assert await reader.readexactly(5) == b"quick"
                await closed(writer)
            assert not errors
            for reader, writer in silent:
                await reader.read()  # what says why may have come before the end
                assert reader.at_eof()
                writer.close()
            assert all(type(error) is TimeoutError for error, _ in errors)
            assert len(errors) == len(silent)
            for _, writer in deaf:
                writer.transport.abort()

    run(main)


# What it is told, and tells -----------------------------------------------------------------------------------------


@each_version
def test_a_configuration_that_is_replaced(version: ProtocolVersion) -> None:
    async def main() -> None:
        async with serving(echo, server_config(versions=(version,))) as server:
            earlier = await open_to(server)
            other = credential(NAME, "other.example")
            server.config = server_config(versions=(version,), credentials=(other,))
            later = await open_to(server, client_config())
            assert transport_of(later[1]).info.peer_chain[0] == other.chain[0]
            assert transport_of(earlier[1]).info.peer_chain[0] != other.chain[0]
            for reader, writer in (earlier, later):
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                await closed(writer)

    run(main)


async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"half of")
    raise ZeroDivisionError


@pytest.mark.parametrize("is_told", [False, True])
def test_a_handler_that_fails_is_no_proper_end(is_told: bool) -> None:
    errors: list[Any] = []

    async def main() -> None:
        settings: dict[str, Any] = {"on_error": lambda *what: errors.append(what)} if is_told else {}
        async with await tls.start_server(fail, HOST, 0, server_config(), **settings) as server:
            reader, writer = await open_to(server)
            with pytest.raises(AlertReceivedError, match="internal_error"):
                await reader.read()
            if is_told:
                assert errors[0][1] == writer.get_extra_info("sockname")
            await closed(writer)

    handled = run(main, unhandled=0 if is_told else 1)
    (error,) = handled or [error for error, _ in errors]
    assert isinstance(error, ZeroDivisionError)


@pytest.mark.parametrize("is_told", [False, True])
def test_what_clients_do_to_a_handler_is_everyday(is_told: bool) -> None:
    errors: list[Any] = []

    async def main() -> None:
        settings: dict[str, Any] = {"on_error": lambda error, _: errors.append(error)} if is_told else {}
        async with await tls.start_server(echo, HOST, 0, server_config(), **settings) as server:
            for end in (lambda writer: writer.transport.abort(), reset):
                _, writer = await open_to(server)
                writer.write(b"x")
                end(writer)
            await eventually(lambda: not server._open)
            await a_while()

    run(main)
    assert len(errors) == 2 * is_told
    assert all(isinstance(error, TLSError | OSError) for error in errors)


def test_a_callback_that_is_no_coroutine() -> None:
    async def main() -> None:
        streams: list[Any] = []
        async with await tls.start_server(lambda *both: streams.append(both), HOST, 0, server_config()) as server:
            _, writer = await open_to(server)
            writer.write(b"x")
            await eventually(lambda: streams)
            assert await streams[0][0].readexactly(1) == b"x"
            for end in (writer, streams[0][1]):
                assert await closed(end) is None

    run(main)


def test_a_callback_that_fails_at_once() -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with await tls.start_server(fail, HOST, 0, server_config()) as server:
            reader, writer = await open_to(server)
            with pytest.raises(AlertReceivedError):
                await reader.read()
            await closed(writer)

    (error,) = run(main, unhandled=1)
    assert isinstance(error, ZeroDivisionError)


def test_a_factory_that_fails() -> None:
    def fail() -> Recorder:
        raise ZeroDivisionError

    async def main() -> None:
        errors: list[Exception] = []
        async with await tls.create_server(
            fail, HOST, 0, server_config(), on_error=lambda error, _: errors.append(error)
        ) as server:
            reader, writer = await open_to(server)
            with pytest.raises(AlertReceivedError):
                await reader.read()
            await closed(writer)
            assert isinstance(errors[0], ZeroDivisionError)
            with pytest.raises(ZeroDivisionError):
                await tls.create_connection(fail, HOST, port_of(server), client_config(), server_name=NAME)
            await eventually(lambda: not server._open)

    run(main)


def test_a_protocol_that_fails_at_once() -> None:
    class Failing(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            raise ZeroDivisionError

    async def main() -> None:
        made: list[Failing] = []

        def make() -> Failing:
            made.append(Failing())
            return made[-1]

        async with serving(echo, on_error=lambda *_: None) as server:
            with pytest.raises(ZeroDivisionError):
                await tls.create_connection(make, HOST, port_of(server), client_config(), server_name=NAME)
            assert made[0].calls == ["made", "lost"]
            assert isinstance(made[0].error, ZeroDivisionError)

    run(main)


def test_a_handler_that_is_cancelled() -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        await reader.read()

    async def main() -> None:
        async with await tls.start_server(wait, HOST, 0, server_config()) as server:
            reader, writer = await open_to(server)
            await eventually(lambda: tasks and tasks[0])
            assert tasks[0] is not None
            tasks[0].cancel()
            with pytest.raises(AlertReceivedError):
                await reader.read()
            await closed(writer)

    run(main)


# Its end ------------------------------------------------------------------------------------------------------------


def test_what_it_has_of_asyncios_server() -> None:
    async def main() -> None:
        server = await tls.create_server(Recorder, HOST, 0, server_config(), start_serving=False, backlog=7)
        assert not server.is_serving()
        await server.start_serving()
        assert server.is_serving()
        assert server.get_loop() is asyncio.get_running_loop()
        assert str(port_of(server)) in repr(server)
        _, writer = await open_to(server)
        await eventually(lambda: len(server._open) == 1)
        await closed(writer)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        assert server.sockets == ()
        await server.wait_closed()

    run(main)


def test_connections_outlive_the_server_until_they_are_closed() -> None:
    async def main() -> None:
        async with await tls.create_server(Recorder, HOST, 0, server_config()) as server:
            reader, writer = await open_to(server)
            _, in_handshake = await asyncio.open_connection(HOST, port_of(server))
            await eventually(lambda: len(server._open) == 2)
            port = port_of(server)
            server.close()
            with pytest.raises(OSError, match="Connect call failed"):
                await tls.open_connection(HOST, port, client_config())
            assert not reader.at_eof()
            server.close_clients()
            assert await reader.read() == b""
            in_handshake.close()
            await eventually(lambda: not server._open)
            await closed(writer)

    run(main)


def test_connections_are_aborted() -> None:
    async def main() -> None:
        async with await tls.create_server(Recorder, HOST, 0, server_config()) as server:
            reader, writer = await open_to(server)
            silent = await asyncio.open_connection(HOST, port_of(server))
            await eventually(lambda: len(server._open) == 2)
            server.abort_clients()
            with pytest.raises((AlertReceivedError, UnexpectedEOF)):
                await reader.read()
            await silent[0].read()
            silent[1].close()
            await closed(writer)
            await eventually(lambda: not server._open)

    run(main)


def test_a_connection_that_is_just_being_accepted() -> None:
    """The transport below is made, but has told nothing yet."""

    async def main() -> None:
        for end in ("close_clients", "abort_clients"):
            errors: list[Any] = []
            async with serving(echo, on_error=lambda *what, errors=errors: errors.append(what)) as server:
                reader, writer = await asyncio.open_connection(HOST, port_of(server))
                connection = server._accept()
                getattr(server, end)()
                await a_while()
                connection.connection_made(writer.transport)
                await a_while()
                assert writer.is_closing()
                del connection, reader, writer

    run(main)
