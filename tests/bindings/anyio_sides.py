"""Two sides of a connection on anyio's streams, tests on asyncio and on trio, and tasks that say how they ended."""

import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import anyio
import pytest
from anyio.abc import AnyByteStream, ByteStream, SocketStream, TaskGroup
from anyio.streams.stapled import StapledObjectStream

from bindings.sides import NAME, TIMEOUT, client_config, server_config, sockets
from sanstls import ClientConfig, ClientConnection, ServerConfig, ServerConnection
from sanstls_io.anyio import TLSStream

T = TypeVar("T")
BACKENDS = ("asyncio", "trio")


def on_both(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on each of anyio's backends, with a limit of time."""

    @pytest.mark.parametrize("backend", BACKENDS)
    @functools.wraps(test)
    def run(*, backend: str, **arguments: Any) -> None:
        async def within_time() -> None:
            with anyio.fail_after(TIMEOUT):
                await test(**arguments)

        anyio.run(within_time, backend=backend)

    signature = inspect.signature(test)
    backend = inspect.Parameter("backend", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), backend])  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


# Tasks --------------------------------------------------------------------------------------------------------------


class Task(Generic[T]):
    """A call in a task of its own. How it ended is asked, and harms nobody else."""

    def __init__(self, group: TaskGroup, call: Callable[..., Awaitable[T]], *arguments: Any) -> None:
        self._call = functools.partial(call, *arguments)
        self._result: list[T] = []
        self._error: Exception | None = None
        self._is_done = anyio.Event()
        self.scope = anyio.CancelScope()
        group.start_soon(self._run)

    async def _run(self) -> None:
        try:
            with self.scope:
                self._result.append(await self._call())
        except Exception as error:
            self._error = error
        finally:
            self._is_done.set()

    @property
    def is_done(self) -> bool:
        return self._is_done.is_set()

    async def result(self) -> T:
        """What the call returned; its error is raised here."""
        if (error := await self.error()) is not None:
            raise error
        return self._result[0]

    async def error(self) -> Exception | None:
        """With what the call ended."""
        await self._is_done.wait()
        return self._error


async def both(first: Callable[[], Awaitable[Any]], second: Callable[[], Awaitable[Any]]) -> tuple[Any, Any]:
    """Two calls at once, and what they returned."""
    async with anyio.create_task_group() as group:
        task = Task(group, second)
        of_first = await first()
    return of_first, await task.result()


# Connections --------------------------------------------------------------------------------------------------------


class Sides(NamedTuple):
    """Two connections that have done their handshake."""

    client: TLSStream
    server: TLSStream


class Wrapped(ByteStream):
    """A stream on another one, for tests to change what it does."""

    def __init__(self, below: AnyByteStream) -> None:
        self.below: Any = below

    async def receive(self, max_bytes: int = 65536) -> bytes:
        has_sizes = isinstance(self.below, ByteStream)
        data: bytes = await (self.below.receive(max_bytes) if has_sizes else self.below.receive())
        return data

    async def send(self, item: bytes) -> None:
        await self.below.send(item)

    async def send_eof(self) -> None:
        await self.below.send_eof()

    async def aclose(self) -> None:
        await self.below.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        attributes: Mapping[Any, Callable[[], Any]] = self.below.extra_attributes
        return attributes


class Gated(Wrapped):
    """A transport that takes nothing while its gate is shut, as one whose buffers are full."""

    def __init__(self, below: AnyByteStream) -> None:
        super().__init__(below)
        self._gate = anyio.Event()
        self._gate.set()

    def shut(self) -> None:
        self._gate = anyio.Event()

    def open(self) -> None:
        self._gate.set()

    async def send(self, item: bytes) -> None:
        await self._gate.wait()
        await super().send(item)


@contextlib.asynccontextmanager
async def transports(
    *, tcp: bool = True, buffer: int | None = None
) -> AsyncIterator[tuple[SocketStream, SocketStream]]:
    """Two sockets that are connected, of which each has a ``buffer`` of about so many bytes."""
    with sockets(tcp=tcp, buffer=buffer) as (ours, theirs):
        async with (
            await SocketStream.from_socket(ours.detach()) as first,
            await SocketStream.from_socket(theirs.detach()) as second,
        ):
            yield first, second


def memory(size: float = 0) -> tuple[StapledObjectStream[bytes], StapledObjectStream[bytes]]:
    """Two ends of a transport in memory. With the size 0 a ``send`` waits for its receiver."""
    there, at_server = anyio.create_memory_object_stream[bytes](size)
    back, at_client = anyio.create_memory_object_stream[bytes](size)
    return StapledObjectStream(there, at_client), StapledObjectStream(back, at_server)


async def handshaken(
    ours: AnyByteStream,
    theirs: AnyByteStream,
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
    *,
    of_client: dict[str, Any] | None = None,
    of_server: dict[str, Any] | None = None,
) -> Sides:
    """Two connections on these transports. ``of_client`` and ``of_server`` are given to their ``wrap``."""
    client_side = ClientConnection(client or client_config(), NAME)
    server_side = ServerConnection(server or server_config())
    return Sides(
        *await both(
            lambda: TLSStream.wrap(ours, client_side, **(of_client or {})),
            lambda: TLSStream.wrap(theirs, server_side, **(of_server or {})),
        )
    )


@contextlib.asynccontextmanager
async def connected(
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
    *,
    tcp: bool = True,
    buffer: int | None = None,
    **options: Any,
) -> AsyncIterator[Sides]:
    """Two connections that are open; options are those of :func:`transports` and :func:`handshaken`."""
    async with transports(tcp=tcp, buffer=buffer) as (ours, theirs):
        yield await handshaken(ours, theirs, client, server, **options)


# Data ---------------------------------------------------------------------------------------------------------------


async def receive_all(stream: AnyByteStream) -> bytes:
    """Everything until the peer closes."""
    received = bytearray()
    async for data in stream:
        received += data
    return bytes(received)


async def receive_exactly(stream: ByteStream, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        received += await stream.receive(count - len(received))
    return bytes(received)


async def echo(stream: TLSStream) -> None:
    """A handler that sends back what comes, until the client closes."""
    async with stream:
        async for data in stream:
            await stream.send(data)
