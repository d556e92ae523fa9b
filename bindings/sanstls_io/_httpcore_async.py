"""httpcore's network backend on anyio, so on asyncio and on trio: connections, and TLS on them in any depth."""

import ssl
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import httpcore
from anyio.abc import ByteStream, SocketAttribute
from httpcore import ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout

from sanstls import ClientConfig, ClientConnection, Event
from sanstls_io._anyio_attributes import ConnectionAttribute
from sanstls_io._anyio_stream import Answers, TLSStream, wrap_or_close
from sanstls_io._client_config import client_config
from sanstls_io._httpcore_shared import SSLObject, alpn_for, alpn_of, is_readable, told_as

__all__ = ["AsyncBackend"]


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """For ``httpcore.AsyncConnectionPool(network_backend=...)``. Its TLS is configured here, not by an ``ssl_context``.

    Without a ``config`` servers are verified by the public web's rules against the
    system's trust store, and secrets are written if ``SSLKEYLOGFILE`` is set. ``http2`` is what the pool
    is made with, too. ``answers`` and ``on_event`` are as in :meth:`sanstls_io.anyio.TLSStream.wrap`.
    """

    def __init__(
        self,
        config: ClientConfig | None = None,
        *,
        http2: bool = False,
        answers: Answers | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._alpn = alpn_of(http2=http2)
        self._config = client_config(config, self._alpn)
        self.answers = answers
        self.on_event = on_event

    def new_connection(self, ssl_context: object, server_name: str | None) -> ClientConnection:
        """A connection of TLS that is to be made where httpcore gives this context."""
        return ClientConnection(client_config(self._config, alpn_for(ssl_context, self._alpn)), server_name)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A plain connection; ``timeout`` is in seconds."""
        with told_as(ConnectTimeout, ConnectError):
            with anyio.fail_after(timeout):
                stream = await anyio.connect_tcp(host, port, local_host=local_address)
            return await self._prepared(stream, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A plain connection to a socket of the file system."""
        with told_as(ConnectTimeout, ConnectError):
            with anyio.fail_after(timeout):
                stream = await anyio.connect_unix(path)
            return await self._prepared(stream, socket_options)

    async def _prepared(
        self, stream: ByteStream, options: Iterable[httpcore.SOCKET_OPTION] | None
    ) -> httpcore.AsyncNetworkStream:
        try:
            for option in options or ():
                stream.extra(SocketAttribute.raw_socket).setsockopt(*option)
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise
        return _Stream(stream, self)

    async def sleep(self, seconds: float) -> None:
        """Between attempts to connect."""
        await anyio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A stream of anyio's, plain or TLS."""

    def __init__(self, stream: ByteStream, backend: AsyncBackend) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with told_as(ReadTimeout, ReadError), anyio.fail_after(timeout):
            try:
                return await self._stream.receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            with told_as(WriteTimeout, WriteError), anyio.fail_after(timeout):
                await self._stream.send(buffer)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        backend = self._backend
        with told_as(ConnectTimeout, ConnectError):
            try:
                connection = backend.new_connection(ssl_context, server_hostname)
            except BaseException:
                await self.aclose()
                raise
            with anyio.fail_after(timeout):
                stream = await wrap_or_close(
                    self._stream, connection, answers=backend.answers, on_event=backend.on_event
                )
        return _Stream(stream, backend)

    def get_extra_info(self, info: str) -> Any:
        stream = self._stream
        match info:
            case "ssl_object":
                negotiated = stream.extra(ConnectionAttribute.info, None)
                return None if negotiated is None else SSLObject(negotiated)
            case "client_addr":
                return stream.extra(SocketAttribute.local_address, None)
            case "server_addr":
                return stream.extra(SocketAttribute.remote_address, None)
            case "socket":
                return stream.extra(SocketAttribute.raw_socket, None)
            case "is_readable":
                if isinstance(stream, TLSStream) and (stream.pending() or not stream.connection.wants_data):
                    return True
                return is_readable(stream.extra(SocketAttribute.raw_socket))
        return None
