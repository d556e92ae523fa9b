"""TLS for asyncio: streams, and transports for those who write protocols.

::

    reader, writer = await open_connection("example.com", 443)
    writer.write(b"...")
    answer = await reader.read(65536)

==============================  ==================================================================
with streams                    with protocols
==============================  ==================================================================
:func:`open_connection`         :func:`create_connection`
:func:`start_server`            :func:`create_server`
:func:`start_tls` (STARTTLS)    :func:`start_tls_transport`
==============================  ==================================================================

They are like those of asyncio with the same names, but for what is better here: half-close works, errors keep their
type, ``close`` waits for no peer, and whatever a handshake has to ask may be awaited (``answers``). No rule of TLS is
here; those are all in :mod:`sanstls`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from sanstls import ClientConfig, ClientConnection, LocalError, ServerConfig, ServerConnection, Session
from sanstls_io._asyncio_protocol import Answers, OnEvent, Opened, Options, TLSProtocol
from sanstls_io._asyncio_server import ClientConnected, OnError, Server, create_server, start_server
from sanstls_io._asyncio_streams import Streams, TLSReader, take_buffered
from sanstls_io._asyncio_transport import TLSTransport
from sanstls_io._client_config import client_config
from sanstls_io._pump import Connection

__all__ = [
    "Answers",
    "ClientConnected",
    "OnError",
    "OnEvent",
    "Server",
    "TLSTransport",
    "create_connection",
    "create_server",
    "open_connection",
    "start_server",
    "start_tls",
    "start_tls_transport",
]

_LIMIT = 1 << 16


# Clients ------------------------------------------------------------------------------------------------------------


async def create_connection(
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: str | None,
    port: int | None,
    config: ClientConfig | None = None,
    *,
    server_name: str | None = None,
    alpn: tuple[str, ...] = (),
    session: Session | None = None,
    handshake_timeout: float | None = 60.0,
    shutdown_timeout: float | None = 30.0,
    standard_compatible: bool = True,
    answers: Answers | None = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> Opened:
    """Connect to ``host`` and do the handshake: a transport and a protocol, whose other side is who it should be.

    Without a ``config`` the server is verified by the public web's rules against the
    system's trust store, and secrets are written if ``SSLKEYLOGFILE`` is set; ``alpn`` goes into it
    either way. The certificate is checked against ``server_name``, which is ``host`` by default.
    ``session`` is one that can be resumed.

    ``protocol_factory`` is called when the handshake is complete, and then the protocol's
    ``connection_made``. With ``standard_compatible=False`` a transport that ends without
    close_notify is a proper end: only for protocols that tell themselves whether
    something is missing. Timeouts are in seconds: for the handshake, and for a peer that takes
    nothing while the connection is being closed.

    ``answers`` is awaited with every request that the configuration defers: it returns
    the answer, or raises a ``TLSError`` to reject the request. ``on_event`` is told every event
    (a trace, sessions, ...), and must not use the connection. Other ``options`` (``sock``,
    ``local_addr``, ``happy_eyeballs_delay``, ...) are those of ``loop.create_connection``.

    Raises ``OSError`` if there is no connection, ``TimeoutError`` if the handshake takes too
    long, and the handshake's error if that fails, ``CertificateError`` for example; what ``answers``
    has raised, too. The socket is closed then, as it is if this is cancelled.
    """
    name = host if server_name is None else server_name
    connection = ClientConnection(client_config(config, alpn), name, session=session)
    settings = Options(
        answers=answers,
        on_event=on_event,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        standard_compatible=standard_compatible,
    )
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[Opened] = loop.create_future()
    side = TLSProtocol(connection, protocol_factory, _to_future(opened), settings)
    address: Any = (host, port)
    await loop.create_connection(lambda: side, *address, **options)
    return await _opened(side, opened)


async def open_connection(
    host: str | None,
    port: int | None,
    config: ClientConfig | None = None,
    *,
    limit: int = _LIMIT,
    server_name: str | None = None,
    alpn: tuple[str, ...] = (),
    session: Session | None = None,
    handshake_timeout: float | None = 60.0,
    shutdown_timeout: float | None = 30.0,
    standard_compatible: bool = True,
    answers: Answers | None = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> Streams:
    """:func:`create_connection` with streams: a reader and a writer, as from ``asyncio.open_connection``.

    The reader gives all data before it raises an error (``UnexpectedEOF`` if the
    connection was cut, ...). ``writer.write_eof()`` sends close_notify, and the reader goes on.
    ``limit`` is the reader's: it holds twice as many bytes at most before it pauses reading.
    """
    reader = TLSReader(limit)
    opened = await create_connection(
        lambda: asyncio.StreamReaderProtocol(reader),
        host,
        port,
        config,
        server_name=server_name,
        alpn=alpn,
        session=session,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        standard_compatible=standard_compatible,
        answers=answers,
        on_event=on_event,
        **options,
    )
    return _streams(reader, opened)


# STARTTLS -----------------------------------------------------------------------------------------------------------


async def start_tls(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    config: ClientConfig | ServerConfig | None = None,
    *,
    limit: int = _LIMIT,
    server_name: str | None = None,
    alpn: tuple[str, ...] = (),
    session: Session | None = None,
    handshake_timeout: float | None = 60.0,
    shutdown_timeout: float | None = 30.0,
    standard_compatible: bool = True,
    answers: Answers | None = None,
    on_event: OnEvent | None = None,
) -> Streams:
    """Go on with TLS on plain streams, as with STARTTLS: the streams to use from now on.

    A ``ServerConfig`` makes this side the server, anything else the client, which needs a
    ``server_name`` to verify. Bytes that the plain ``reader`` has got already are the first of TLS (so what an
    attacker has put behind the last plain message is no more than a broken handshake). The
    other parameters and the errors are those of :func:`open_connection`. However it ends,
    the plain streams can't be used any more.
    """
    connection = _connection(config, server_name, alpn, session)
    settings = Options(
        answers=answers,
        on_event=on_event,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        standard_compatible=standard_compatible,
    )
    await writer.drain()
    transport = cast(asyncio.Transport, writer.transport)
    plain = transport.get_protocol()

    def on_lost(exc: Exception | None, _kept: object = writer) -> None:
        # The plain writer is kept until now: when it goes, it closes its transport.
        plain.connection_lost(exc)

    received, is_at_end = take_buffered(reader)
    tls_reader = TLSReader(limit)
    opened = await _upgrade(
        transport,
        lambda: asyncio.StreamReaderProtocol(tls_reader),
        connection,
        settings,
        received=received,
        is_at_end=is_at_end,
        on_lost=on_lost,
    )
    return _streams(tls_reader, opened)


async def start_tls_transport(
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    config: ClientConfig | ServerConfig | None = None,
    *,
    received: bytes = b"",
    server_name: str | None = None,
    alpn: tuple[str, ...] = (),
    session: Session | None = None,
    handshake_timeout: float | None = 60.0,
    shutdown_timeout: float | None = 30.0,
    standard_compatible: bool = True,
    answers: Answers | None = None,
    on_event: OnEvent | None = None,
) -> TLSTransport:
    """Go on with TLS on a plain transport: the one to use from now on.

    It is like ``loop.start_tls``, but here too ``protocol.connection_made`` is called with the new
    transport when the handshake is complete. The protocol of the plain transport is told nothing any
    more; what it has ``received`` of TLS already has to be given. The transport may be TLS itself.
    The other parameters are those of :func:`start_tls`.
    """
    connection = _connection(config, server_name, alpn, session)
    settings = Options(
        answers=answers,
        on_event=on_event,
        handshake_timeout=handshake_timeout,
        shutdown_timeout=shutdown_timeout,
        standard_compatible=standard_compatible,
    )
    return (await _upgrade(transport, lambda: protocol, connection, settings, received=received))[0]


# What they share ----------------------------------------------------------------------------------------------------


def _connection(
    config: ClientConfig | ServerConfig | None, server_name: str | None, alpn: tuple[str, ...], session: Session | None
) -> Connection:
    if isinstance(config, ServerConfig):
        if server_name is not None or alpn or session is not None:
            raise LocalError("server_name, alpn and session are a client's: a server has them in its configuration")
        return ServerConnection(config)
    return ClientConnection(client_config(config, alpn), server_name, session=session)


async def _upgrade(
    transport: asyncio.Transport,
    make_protocol: Callable[[], asyncio.BaseProtocol],
    connection: Connection,
    settings: Options,
    *,
    received: bytes,
    is_at_end: bool = False,
    on_lost: Callable[[Exception | None], object] | None = None,
) -> Opened:
    if transport.is_closing():
        raise ConnectionAbortedError("the transport is closed")
    opened: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
    side = TLSProtocol(connection, make_protocol, _to_future(opened), settings, on_lost=on_lost)
    transport.set_protocol(side)
    side.connection_made(transport)
    if received:
        side.data_received(received)
    if is_at_end:
        side.eof_received()
    return await _opened(side, opened)


def _to_future(opened: "asyncio.Future[Opened]") -> Callable[[Opened | Exception], None]:
    def report(outcome: Opened | Exception) -> None:
        if opened.done():  # cancelled
            return
        if isinstance(outcome, Exception):
            opened.set_exception(outcome)
            opened.exception()  # where nobody waits any more, nobody has missed it
        else:
            opened.set_result(outcome)

    return report


async def _opened(side: TLSProtocol, opened: "asyncio.Future[Opened]") -> Opened:
    try:
        return await opened
    except BaseException:
        side.give_up(ConnectionAbortedError("the handshake was given up"))
        raise


def _streams(reader: TLSReader, opened: Opened) -> Streams:
    transport, protocol = opened
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
