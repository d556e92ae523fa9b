"""TLS on anyio, so on asyncio and on trio: :func:`connect_tcp`, :class:`TLSStream` and :class:`TLSListener`.

::

    async with await connect_tcp("example.com", 443) as tls:
        await tls.send(b"...")
        answer = await tls.receive()

A :class:`TLSStream` is an ``anyio.abc.ByteStream`` on any other one, with the manners of those; which ones exactly is
written above it. No rule of TLS is here; those are all in :mod:`sanstls`.
"""

import anyio

from sanstls import ClientConfig, ClientConnection, Session
from sanstls_io._anyio_attributes import ConnectionAttribute
from sanstls_io._anyio_listener import OnError, TLSListener
from sanstls_io._anyio_stream import Answers, OnEvent, TLSStream, wrap_or_close
from sanstls_io._client_config import client_config

__all__ = ["Answers", "ConnectionAttribute", "OnError", "OnEvent", "TLSListener", "TLSStream", "connect_tcp"]


async def connect_tcp(
    host: str,
    port: int,
    config: ClientConfig | None = None,
    *,
    server_name: str | None = None,
    alpn: tuple[str, ...] = (),
    answers: Answers | None = None,
    standard_compatible: bool = True,
    on_event: OnEvent | None = None,
    session: Session | None = None,
    local_host: str | None = None,
) -> TLSStream:
    """Connect to ``host`` and do the handshake: a connection whose other side is who it should be.

    Without a ``config`` the server is verified by the public web's rules against the
    system's trust store, and secrets are written if ``SSLKEYLOGFILE`` is set; ``alpn`` goes into it
    either way. The certificate is checked against ``server_name``, which is ``host`` by default.
    All addresses of ``host`` are tried, from ``local_host`` if that is given. ``session`` is one
    that can be resumed (``on_event`` is told them). The other parameters are as in
    :meth:`TLSStream.wrap`. For a limit of time there is ``anyio.fail_after``.

    Raises ``OSError`` if there is no connection, and the handshake's error if that fails,
    ``CertificateError`` for example; the transport is closed then.
    """
    name = host if server_name is None else server_name
    connection = ClientConnection(client_config(config, alpn), name, session=session)
    transport = await anyio.connect_tcp(host, port, local_host=local_host)
    return await wrap_or_close(
        transport,
        connection,
        answers=answers,
        standard_compatible=standard_compatible,
        on_event=on_event,
    )
