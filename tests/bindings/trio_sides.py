"""Two ends over trio's streams in memory, and running them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
import trio.testing

from bindings.sides import NAME, TIMEOUT, client_config, server_config
from sanstls import ClientConnection, ProtocolVersion, ServerConnection
from sanstls_io.trio import TLSStream

VERSIONS = (ProtocolVersion.TLS13, ProtocolVersion.TLS12)
Pair = tuple[TLSStream, TLSStream]


def run(work: Callable[..., Awaitable[Any]], *args: Any, **settings: Any) -> Any:
    """Run it, but not for ever."""

    async def bounded() -> Any:
        with trio.fail_after(TIMEOUT):
            return await work(*args)

    return trio.run(bounded, **settings)


def on(
    transports: tuple[Any, Any],
    version: ProtocolVersion = ProtocolVersion.TLS13,
    *,
    of_client: dict[str, Any] | None = None,
    of_server: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
) -> Pair:
    """A client and a server on these; ``of_...`` goes to the streams, the rest to the configurations."""
    both = {"versions": (version,)}
    return (
        TLSStream(transports[0], ClientConnection(client_config(**(both | (client or {}))), NAME), **(of_client or {})),
        TLSStream(transports[1], ServerConnection(server_config(**(both | (server or {})))), **(of_server or {})),
    )


def pair(version: ProtocolVersion = ProtocolVersion.TLS13, **settings: Any) -> Pair:
    return on(trio.testing.memory_stream_pair(), version, **settings)


async def open_pair(version: ProtocolVersion = ProtocolVersion.TLS13, **settings: Any) -> Pair:
    """The same with the handshake done."""
    client, server = pair(version, **settings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    return client, server


async def receive_all(stream: TLSStream) -> bytes:
    received = b""
    while data := await stream.receive_some():
        received += data
    return received


async def receive_exactly(stream: TLSStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        data = await stream.receive_some(size - len(received))
        assert data
        received += data
    return received


async def together(*works: Callable[[], Awaitable[Any]]) -> list[Any]:
    """All at once; what each gave."""
    results: list[Any] = [None] * len(works)

    async def keep(index: int, work: Callable[[], Awaitable[Any]]) -> None:
        results[index] = await work()

    async with trio.open_nursery() as nursery:
        for index, work in enumerate(works):
            nursery.start_soon(keep, index, work)
    return results


__all__ = [
    "VERSIONS",
    "Pair",
    "on",
    "open_pair",
    "pair",
    "partial",
    "receive_all",
    "receive_exactly",
    "run",
    "together",
]
