"""Two sides of a connection in one loop of asyncio, a peer moved by hand, and a run that leaves nothing behind."""

import asyncio
import contextlib
import gc
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import pytest

from bindings.sides import HOST, NAME, TIMEOUT, client_config, server_config
from sanstls import (
    AlertReceived,
    ClientConfig,
    ClientConnection,
    CloseNotifyReceived,
    ConnectionFailed,
    DataReceived,
    Event,
    HandshakeComplete,
    ProtocolVersion,
    ServerConfig,
    ServerConnection,
)
from sanstls_io import asyncio as tls
from sanstls_io.asyncio import Server, TLSTransport

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
each_role = pytest.mark.parametrize("role", ["client", "server"])

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Context = dict[str, Any]


def descriptors() -> set[str]:
    """What is open in this process, where it can be seen."""
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()


def run(main: Callable[[], Coroutine[Any, Any, None]], *, seconds: float = TIMEOUT, unhandled: int = 0) -> list[Any]:
    """Run it in a loop of its own, and see that no task, no timer of ours, no descriptor and no warning is left.

    What went to the loop's exception handler is returned; as many as are expected.
    """
    handled: list[Any] = []

    async def guarded() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: handled.append(context.get("exception", context)))
        before = descriptors()
        async with asyncio.timeout(seconds):
            await main()

        def is_clean() -> bool:
            return asyncio.all_tasks() == {asyncio.current_task()} and len(descriptors()) <= len(before)

        with contextlib.suppress(AssertionError):
            await eventually(is_clean, seconds=1)
        gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert len(descriptors()) <= len(before)

    asyncio.run(guarded())
    assert len(handled) == unhandled, handled
    return handled


async def eventually(is_so: Callable[[], object], what: str = "that", *, seconds: float = TIMEOUT) -> None:
    """Wait for what no event tells."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not is_so():
        assert loop.time() < deadline, f"waiting for {what}: not after {seconds} s"
        await asyncio.sleep(0.001)


async def a_while() -> None:
    """Long enough for whatever is on its way to come."""
    for _ in range(20):
        await asyncio.sleep(0.001)


# Both sides of our own ----------------------------------------------------------------------------------------------


def port_of(server: Server | asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    config: ServerConfig | None = None,
    **settings: Any,
) -> AsyncIterator[Server]:
    """A server of ours on a free port, whose handlers' writers are closed. Its errors are seen at the end."""
    errors: list[Exception] = []
    settings.setdefault("on_error", lambda error, _: errors.append(error))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await tls.start_server(handle, HOST, 0, config or server_config(), **settings)
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()
    assert errors == []


async def open_to(server: Server | asyncio.Server, config: ClientConfig | None = None, **settings: Any) -> Streams:
    """Our client, connected to a server."""
    settings = {"server_name": NAME, "handshake_timeout": TIMEOUT} | settings
    return await tls.open_connection(HOST, port_of(server), config or client_config(), **settings)


class Ends(NamedTuple):
    """The streams of both sides."""

    client: Streams
    server: Streams


@contextlib.asynccontextmanager
async def connected(
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
    *,
    of_client: Context | None = None,
    of_server: Context | None = None,
) -> AsyncIterator[Ends]:
    """Two connections of ours that are open; they are closed at the end."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    listener = await tls.start_server(
        lambda *streams: accepted.set_result(streams), HOST, 0, server or server_config(), **(of_server or {})
    )
    try:
        ours = await open_to(listener, client, **(of_client or {}))
        theirs = await accepted
    finally:
        listener.close()
    try:
        yield Ends(ours, theirs)
    finally:
        for _, writer in (ours, theirs):
            await closed(writer)
        await listener.wait_closed()


async def closed(writer: asyncio.StreamWriter) -> BaseException | None:
    """Close it: with what error it ended."""
    writer.close()
    try:
        await writer.wait_closed()
    except Exception as error:
        return error
    return None


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A handler that sends back what comes, until the client closes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def send(writer: asyncio.StreamWriter, data: bytes, piece: int = 50_000) -> None:
    """With a regard for the flow control."""
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
        await writer.drain()


def transport_of(writer: asyncio.StreamWriter) -> TLSTransport:
    transport = writer.transport
    assert isinstance(transport, TLSTransport)
    return transport


def raw_of(writer: asyncio.StreamWriter | TLSTransport) -> asyncio.Transport:
    """The transport below."""
    transport = writer if isinstance(writer, TLSTransport) else transport_of(writer)
    return transport._side.raw


async def cut(writer: asyncio.StreamWriter) -> None:
    """End the transport for sending when all is sent, with no close_notify."""
    await eventually(lambda: not writer.transport.get_write_buffer_size())
    writer.get_extra_info("socket").shutdown(socket.SHUT_WR)


def small_buffers(writer: asyncio.StreamWriter | TLSTransport, size: int = 20_000) -> None:
    """The kernel holds no more than about so much."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a plain connection so that the peer's side breaks."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# A protocol that writes down what it is told ----------------------------------------------------------------------


class Recorder(asyncio.Protocol):
    """What a protocol was told, in order."""

    def __init__(self, *, stays_open: bool = False) -> None:
        self.calls: list[str] = []
        self.received = bytearray()
        self.transport: Any = None
        self.error: Exception | None = None
        self.is_lost = asyncio.Event()
        self.stays_open = stays_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.calls[-1] != "data":
            self.calls.append("data")
        self.received += data

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.stays_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.error = exc
        self.is_lost.set()

    async def lost(self) -> Exception | None:
        """With what it was told that the connection is over."""
        await self.is_lost.wait()
        return self.error


# A peer by hand -----------------------------------------------------------------------------------------------------


class ByHand:
    """A connection whose bytes go by hand over plain streams: it can do what no well-behaved peer does."""

    def __init__(
        self,
        connection: ClientConnection | ServerConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.connection = connection
        self.reader, self.writer = reader, writer
        self.events: list[Event] = []
        self.received = bytearray()

    def push(self) -> None:
        """Send what is queued."""
        self.writer.write(self.connection.data_to_send())

    def send(self, data: bytes) -> None:
        self.connection.send_data(data)
        self.push()

    def close(self) -> None:
        """Send close_notify; the transport stays."""
        self.connection.close()
        self.push()

    async def step(self) -> bool:
        """Read once: whether the transport has not ended."""
        data = await self.reader.read(65536)
        events = self.connection.receive_data(data) if data else self.connection.receive_eof()
        for event in events:
            if isinstance(event, DataReceived):
                self.received += event.data
            else:
                self.events.append(event)
        self.push()
        return bool(data)

    async def until(self, is_so: Callable[[], object]) -> None:
        while not is_so():
            assert await self.step() or is_so(), f"the transport has ended: {self.events[-3:]}"

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def handshake(self) -> None:
        self.push()
        await self.until(lambda: self.of(HandshakeComplete))

    async def until_received(self, data: bytes) -> None:
        await self.until(lambda: len(self.received) >= len(data))
        assert self.received == data

    async def until_closed(self) -> None:
        """Until a close_notify has come, and the transport's end."""
        await self.until(lambda: self.of(CloseNotifyReceived))
        await self.until_eof()

    async def until_eof(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await self.step():
                pass

    @property
    def error(self) -> Any:
        failures = self.of(ConnectionFailed)
        return failures[0].error if failures else None

    @property
    def alert(self) -> Any:
        """The alert that came."""
        return self.of(AlertReceived)[-1].description

    def cut(self) -> None:
        """End the transport for sending, with no close_notify."""
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        reset(self.writer)


@contextlib.asynccontextmanager
async def by_hand(
    role: str,
    ours: Context | None = None,
    theirs: Context | None = None,
    *,
    make_protocol: Callable[[], asyncio.BaseProtocol] = Recorder,
    **settings: Any,
) -> AsyncIterator[tuple[Any, ByHand]]:
    """Our ``role`` as a protocol, and the other one by hand; both have done their handshake."""
    loop = asyncio.get_running_loop()
    plain: asyncio.Future[Streams] = loop.create_future()
    made: asyncio.Future[Any] = loop.create_future()

    def make() -> asyncio.BaseProtocol:
        protocol = make_protocol()
        made.set_result(protocol)
        return protocol

    listener: Any
    if role == "client":
        listener = await asyncio.start_server(lambda *streams: plain.set_result(streams), HOST, 0)
        config = client_config(**(ours or {}))
        connecting = loop.create_task(
            tls.create_connection(make, HOST, port_of(listener), config, server_name=NAME, **settings)
        )
        peer = ByHand(ServerConnection(server_config(**(theirs or {}))), *await plain)
        await peer.handshake()
        await connecting
    else:
        listener = await tls.create_server(make, HOST, 0, server_config(**(ours or {})), **settings)
        streams = await asyncio.open_connection(HOST, port_of(listener))
        peer = ByHand(ClientConnection(client_config(**(theirs or {})), NAME), *streams)
        await peer.handshake()
    protocol = await made
    try:
        yield protocol, peer
    finally:
        protocol.transport.close()
        peer.writer.transport.abort()
        listener.close()
        await listener.wait_closed()
