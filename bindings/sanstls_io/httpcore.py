"""httpx and httpcore with TLS of ours: transports for the one, network backends for the other.

::

    with httpx.Client(transport=transport(http2=True)) as client:
        answer = client.get("https://example.com/")

    async with httpx.AsyncClient(transport=async_transport()) as client:
        answer = await client.get("https://example.com/")

HTTP is httpcore's affair: here is only how it gets its connections. What is wrong with a connection is an
``httpx.ConnectError`` while it is made, an ``httpx.ReadError`` or ``httpx.WriteError`` later, and timeouts are those of
httpx as well; in httpcore they have the same names. :func:`tls_error` finds what it was, a ``CertificateError`` say.

``response.extensions["network_stream"].get_extra_info("ssl_object")`` tells by its ``info`` what was negotiated.
"""

from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

from sanstls import ClientConfig, Event, TLSError
from sanstls_io import _anyio_stream, _tls_socket
from sanstls_io._httpcore_async import AsyncBackend
from sanstls_io._httpcore_shared import ALPNContext
from sanstls_io._httpcore_sync import SyncBackend

__all__ = ["AsyncBackend", "SyncBackend", "async_transport", "tls_error", "transport"]

_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)  # those of httpx
_ProxyKind = str | httpx.URL | httpx.Proxy


def transport(
    config: ClientConfig | None = None,
    *,
    http2: bool = False,
    proxy: _ProxyKind | None = None,
    limits: httpx.Limits = _LIMITS,
    retries: int = 0,
    local_address: str | None = None,
    uds: str | None = None,
    socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    answers: _tls_socket.Answers | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> httpx.BaseTransport:
    """For ``httpx.Client(transport=...)``, with blocking calls.

    Without a ``config`` servers are verified by the public web's rules against the
    system's trust store, and secrets are written if ``SSLKEYLOGFILE`` is set; ALPN is set
    by ``http2`` either way (threads that share a client should do without: httpcore's
    HTTP/2 is not made for that). A ``proxy`` of the scheme ``https`` is verified in the same way.
    ``answers`` and ``on_event`` are as in :class:`sanstls_io.blocking.TLSSocket`, all
    others as in ``httpx.HTTPTransport``.
    """
    backend = SyncBackend(config, http2=http2, answers=answers, on_event=on_event)
    kinds = (httpcore.ConnectionPool, httpcore.HTTPProxy, httpcore.SOCKSProxy)
    return _Transport(_pool(kinds, backend, http2, proxy, limits, retries, local_address, uds, socket_options))


def async_transport(
    config: ClientConfig | None = None,
    *,
    http2: bool = False,
    proxy: _ProxyKind | None = None,
    limits: httpx.Limits = _LIMITS,
    retries: int = 0,
    local_address: str | None = None,
    uds: str | None = None,
    socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    answers: _anyio_stream.Answers | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> httpx.AsyncBaseTransport:
    """For ``httpx.AsyncClient(transport=...)``, on asyncio and on trio.

    The same as :func:`transport`, but ``answers`` is an async function.
    """
    backend = AsyncBackend(config, http2=http2, answers=answers, on_event=on_event)
    kinds = (httpcore.AsyncConnectionPool, httpcore.AsyncHTTPProxy, httpcore.AsyncSOCKSProxy)
    return _AsyncTransport(_pool(kinds, backend, http2, proxy, limits, retries, local_address, uds, socket_options))


def tls_error(error: BaseException) -> TLSError | None:
    """What an error of httpx or httpcore comes from, if that is an error of TLS.

    It is the ``__cause__`` of what a network backend raises; but httpcore's pools drop that, and it is found elsewhere.
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, TLSError):
        found = found.__cause__ or found.__context__
    return found


class _Transport(httpx.HTTPTransport):
    """httpx' own, but for the pool: it can't be told which backend to use."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool


class _AsyncTransport(httpx.AsyncHTTPTransport):
    """The same without threads."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool


def _pool(
    kinds: tuple[Any, Any, Any],
    backend: object,
    http2: bool,
    proxy: _ProxyKind | None,
    limits: httpx.Limits,
    retries: int,
    local_address: str | None,
    uds: str | None,
    socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
) -> Any:
    """One of these kinds: without a proxy, with one that speaks HTTP, with one that speaks SOCKS."""
    direct, over_http, over_socks = kinds
    settings: dict[str, Any] = {
        "ssl_context": ALPNContext(),
        "max_connections": limits.max_connections,
        "max_keepalive_connections": limits.max_keepalive_connections,
        "keepalive_expiry": limits.keepalive_expiry,
        "http2": http2,
        "retries": retries,
        "network_backend": backend,
    }
    if proxy is None:
        return direct(**settings, local_address=local_address, uds=uds, socket_options=socket_options)
    proxy = proxy if isinstance(proxy, httpx.Proxy) else httpx.Proxy(proxy)
    if proxy.ssl_context is not None:
        raise ValueError("TLS with the proxy is configured by config=..., not by an ssl_context")
    url = proxy.url
    settings["proxy_url"] = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    settings["proxy_auth"] = proxy.raw_auth
    if url.scheme in ("socks5", "socks5h"):
        return over_socks(**settings)
    return over_http(
        **settings,
        proxy_headers=proxy.headers.raw,
        proxy_ssl_context=ALPNContext() if url.scheme == "https" else None,
        local_address=local_address,
        socket_options=socket_options,
    )
