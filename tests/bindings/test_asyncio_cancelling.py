"""Calls of the asyncio binding that are cancelled, at whatever point: nothing is left behind, and nothing is lost."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bindings.asyncio_sides import (
    closed,
    connected,
    each_version,
    echo,
    eventually,
    open_to,
    port_of,
    run,
    serving,
    small_buffers,
    transport_of,
)
from bindings.sides import HOST, NAME, client_config, pattern, server_config
from sanstls import ProtocolVersion, Request, VerificationRequest
from sanstls_io import asyncio as tls

MEGABYTE = 1 << 20


async def after_steps(count: int, call: Callable[[], Awaitable[Any]]) -> Any:
    """Cancel a call when the loop has gone round so many times; its result if it was faster."""
    task = asyncio.ensure_future(call())
    for _ in range(count):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return None


@each_version
@pytest.mark.parametrize("defer", [False, True])
def test_open_connection_is_cancelled_at_every_step(version: ProtocolVersion, defer: bool) -> None:
    async def answers(request: Request[Any]) -> object:
        for _ in range(3):
            await asyncio.sleep(0)
        return None

    async def main() -> None:
        config = client_config(versions=(version,), defer=frozenset({VerificationRequest} if defer else ()))
        async with serving(echo, on_error=lambda *_: None) as server:
            for count in range(200):
                streams = await after_steps(count, lambda: open_to(server, config, answers=answers))
                if streams is not None:
                    assert await closed(streams[1]) is None
                    break
            else:
                raise AssertionError("it was never done")
            assert count > 3
            await eventually(lambda: not server._open, "the server to see the end of all")

    run(main)


@each_version
def test_start_tls_is_cancelled_at_every_step(version: ProtocolVersion) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(writer)
        with contextlib.suppress(Exception):
            reader, writer = await tls.start_tls(reader, writer, server_config(versions=(version,)))
            await echo(reader, writer)
        writer.close()

    served: list[asyncio.StreamWriter] = []

    async def main() -> None:
        server = await asyncio.start_server(serve, HOST, 0)
        for count in range(200):
            plain = await asyncio.open_connection(HOST, port_of(server))
            streams = await after_steps(
                count, lambda plain=plain: tls.start_tls(*plain, client_config(), server_name=NAME)
            )
            if streams is not None:
                assert await closed(streams[1]) is None
                break
            assert plain[1].is_closing() or count == 0  # a task that has not begun does nothing
            plain[1].close()
        else:
            raise AssertionError("it was never done")
        await eventually(lambda: all(writer.is_closing() for writer in served))
        server.close()
        await server.wait_closed()

    run(main)


@pytest.mark.parametrize("seed", range(3))
def test_reads_and_drains_that_are_cancelled_lose_nothing(seed: int) -> None:
    choose = random.Random(seed)
    data = pattern(MEGABYTE)

    async def main() -> None:
        async with connected() as ((_, writer), (reader, _)):
            small_buffers(writer)

            async def send() -> None:
                for start in range(0, len(data), 10_000):
                    writer.write(data[start : start + 10_000])
                    await after_steps(choose.randrange(5), writer.drain)
                    if choose.random() < 0.9:
                        await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            received = bytearray()
            while not reader.at_eof():
                size = choose.choice((1, 1000, 100_000))
                received += await after_steps(choose.randrange(5), lambda size=size: reader.read(size)) or b""
            assert received == data
            await sending

    run(main)


def test_wait_closed_tells_what_was_lost() -> None:
    async def main() -> None:
        async with connected(of_client={"shutdown_timeout": 0.1}) as ((_, writer), (_, their_writer)):
            transport_of(their_writer).pause_reading()
            writer.write(bytes(8 * MEGABYTE))
            writer.close()
            with pytest.raises(TimeoutError, match="did not take"):
                await writer.wait_closed()

    run(main)


def test_a_loop_that_ends_in_the_middle_of_everything() -> None:
    """What ``asyncio.run`` does at its end with tasks that are still there."""

    async def main() -> None:
        async with serving(echo, on_error=lambda *_: None) as server:
            silent = await asyncio.start_server(lambda *streams: kept.append(streams), HOST, 0)
            kept: list[Any] = []
            tasks = [asyncio.create_task(open_to(silent)) for _ in range(3)]
            tasks += [asyncio.create_task(open_to(server)) for _ in range(3)]

            async def read() -> None:
                reader, writer = await open_to(server)
                try:
                    await reader.read()
                finally:
                    writer.close()

            tasks += [asyncio.create_task(read()) for _ in range(3)]
            await eventually(lambda: len(kept) == 3 and len(server._open) >= 4)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for streams in done:
                if isinstance(streams, tuple):
                    streams[1].close()
            for _, writer in kept:
                writer.close()
            silent.close()
            await eventually(lambda: not server._open)

    run(main)
