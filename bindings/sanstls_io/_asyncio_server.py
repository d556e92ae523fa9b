"""Servers: a listening server of asyncio's, with a TLS connection for each one that it accepts.

No client holds up another: a handshake takes place in the loop like everything else.
"""

import asyncio
import inspect
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sanstls import ServerConfig, ServerConnection
from sanstls_io._asyncio_protocol import Answers, OnEvent, Opened, Options, TLSProtocol, is_everyday
from sanstls_io._asyncio_streams import TLSReader

__all__ = ["ClientConnected", "OnError", "Server", "create_server", "start_server"]

ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
OnError = Callable[[Exception, Any], object]


class Server(asyncio.AbstractServer):
    """A server that listens, made by :func:`create_server` or :func:`start_server`. It is like ``asyncio.Server``.

    ``config`` may be replaced at any time; connections that come later use the new one.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        config: ServerConfig,
        options: Options,
        on_error: OnError | None,
    ) -> None:
        ServerConnection(config)  # a wrong type shows here, and not when the first client comes
        self.config = config
        self._make_protocol = make_protocol
        self._options = options
        self._on_error = on_error
        self._open: weakref.WeakSet[TLSProtocol] = weakref.WeakSet()
        self._server: asyncio.Server

    async def listen(self, host: Any, port: int | None, options: dict[str, Any]) -> None:
        """Begin. Called once, by those who make it."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(self._accept, host, port, **options)

    def __repr__(self) -> str:
        return f"<Server {[sock.getsockname() for sock in self.sockets]}: {len(self._open)} connections>"

    # One connection -------------------------------------------------------------------------------------------------

    def _accept(self) -> TLSProtocol:
        def on_handshake(outcome: Opened | Exception) -> None:
            if isinstance(outcome, Exception):
                self.report(outcome, connection.peername)

        def on_lost(exc: Exception | None) -> None:
            self._open.discard(connection)

        connection = TLSProtocol(
            ServerConnection(self.config), self._make_protocol, on_handshake, self._options, on_lost=on_lost
        )
        self._open.add(connection)
        return connection

    def report(self, error: Exception, address: Any) -> None:
        """Tell of an error to whom it concerns."""
        if self._on_error is not None:
            self._on_error(error, address)
        elif not is_everyday(error):
            context = {"message": f"the TLS connection with {address} has failed on this side", "exception": error}
            self._loop.call_exception_handler(context)

    # What asyncio.Server has ----------------------------------------------------------------------------------------

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets; none when it is closed."""
        return tuple(self._server.sockets)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs in."""
        return self._server.get_loop()

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._server.is_serving()

    async def start_serving(self) -> None:
        """Accept connections, if it was made with ``start_serving=False``."""
        await self._server.start_serving()

    async def serve_forever(self) -> None:
        """Accept connections until this is cancelled, which closes the server."""
        await self._server.serve_forever()

    def close(self) -> None:
        """Accept nothing more. Connections stay as they are."""
        self._server.close()

    async def wait_closed(self) -> None:
        """Wait as ``asyncio.Server`` does: since Python 3.12 until all connections have ended, too."""
        await self._server.wait_closed()

    def close_clients(self) -> None:
        """Close all connections, each as its transport's ``close`` does it; those in the handshake, too."""
        for connection in list(self._open):
            connection.close()

    def abort_clients(self) -> None:
        """End all connections at once."""
        for connection in list(self._open):
            connection.abort()


async def create_server(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: str | Sequence[str] | None,
    port: int | None,
    config: ServerConfig,
    *,
    handshake_timeout: float | None = 60.0,
    shutdown_timeout: float | None = 30.0,
    standard_compatible: bool = True,
    answers: Answers | None = None,
    on_event: OnEvent | None = None,
    on_error: OnError | None = None,
    **options: Any,
) -> Server:
    """Listen at ``host`` and ``port`` (0: any that is free), with a protocol for each connection.

    ``protocol_factory`` is called when a handshake is complete, and the protocol is given a
    :class:`TLSTransport`. The parameters are as in :func:`create_connection`; other ``options``
    (``sock``, ``backlog``, ``start_serving``, ...) are those of ``loop.create_server``.

    A handshake that fails is told to ``on_error(error, address)`` and harms nobody else.
    Without it errors of peers and transports are dropped, as everyday things, and others
    (mistakes of this side) go to the loop's exception handler.
    """
    settings = Options(
        answers=answers,
        on_event=on_event,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        standard_compatible=standard_compatible,
    )
    server = Server(protocol_factory, config, settings, on_error)
    await server.listen(host, port, options)
    return server


async def start_server(
    client_connected_cb: ClientConnected,
    host: str | Sequence[str] | None,
    port: int | None,
    config: ServerConfig,
    *,
    limit: int = 1 << 16,
    handshake_timeout: float | None = 60.0,
    shutdown_timeout: float | None = 30.0,
    standard_compatible: bool = True,
    answers: Answers | None = None,
    on_event: OnEvent | None = None,
    on_error: OnError | None = None,
    **options: Any,
) -> Server:
    """Listen, and call ``client_connected_cb(reader, writer)`` for each connection when its handshake is complete.

    It is like ``asyncio.start_server``: the callback may be a function or a coroutine function,
    which then runs as a task, and has to close its ``writer``. If the coroutine raises, the
    connection is aborted (the peer must not believe that it has got everything), and the error
    is told to ``on_error``, or handled without it, as in :func:`create_server`; there are the other
    parameters, too. ``limit`` is the reader's: it holds twice as many bytes at most before it
    pauses reading.
    """

    async def watched(handler: Awaitable[object], writer: asyncio.StreamWriter) -> None:
        try:
            await handler
        except BaseException as error:
            writer.transport.abort()
            if not isinstance(error, Exception):
                raise
            server.report(error, writer.get_extra_info("peername"))

    # Not asyncio's own way to run it: that complains of a task which was cancelled.
    handlers: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        result = client_connected_cb(reader, writer)
        if inspect.isawaitable(result):
            address = writer.get_extra_info("peername")
            task = server.get_loop().create_task(watched(result, writer), name=f"TLS with {address}")
            handlers.add(task)
            task.add_done_callback(handlers.discard)

    def make_protocol() -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(TLSReader(limit), connected)

    server = await create_server(
        make_protocol,
        host,
        port,
        config,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        standard_compatible=standard_compatible,
        answers=answers,
        on_event=on_event,
        on_error=on_error,
        **options,
    )
    return server
