"""What both of httpcore's network backends share: errors told in its kinds, ALPN, and what stands for an ssl object."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import httpcore

from sanstls import ConnectionInfo, TLSError
from sanstls_io._negotiated import cipher_of, version_of
from sanstls_io._waiting import wait_for

__all__ = ["ALPNContext", "SSLObject", "alpn_for", "alpn_of", "is_readable", "told_as"]

_TIMEOUTS = (TimeoutError, BlockingIOError, httpcore.TimeoutException)
_ERRORS = (
    TLSError,
    OSError,
    httpcore.NetworkError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)


@contextlib.contextmanager
def told_as(timeout: type[Exception], error: type[Exception]) -> Iterator[None]:
    """What goes wrong, as these two kinds of httpcore's errors; what it was is their ``__cause__``."""
    try:
        yield
    except (*_TIMEOUTS, *_ERRORS) as cause:
        kind = timeout if isinstance(cause, _TIMEOUTS) else error
        if isinstance(cause, kind):
            raise
        is_told = isinstance(cause, httpcore.TimeoutException | httpcore.NetworkError)
        raise kind(str(cause) or type(cause).__name__) from (cause.__cause__ if is_told else cause)


def alpn_of(*, http2: bool) -> tuple[str, ...]:
    """The protocols of HTTP to offer, the better one first."""
    return ("h2", "http/1.1") if http2 else ("http/1.1",)


class ALPNContext:
    """Stands where httpcore has an ``ssl.SSLContext``, of which it only sets the protocols.

    Those of a real one can't be read. So this one tells a connection to a proxy from
    one through it, which may be offered other protocols.
    """

    def __init__(self) -> None:
        self.alpn: tuple[str, ...] = ()

    def set_alpn_protocols(self, protocols: Sequence[str]) -> None:
        """What httpcore can speak on connections that are made with this."""
        self.alpn = alpn_of(http2="h2" in protocols)


def alpn_for(context: object, default: tuple[str, ...]) -> tuple[str, ...]:
    """What to offer on a connection for which httpcore has given this context."""
    return context.alpn if isinstance(context, ALPNContext) else default


class SSLObject:
    """What is asked of the ``ssl_object`` of a network stream, as an ``ssl.SSLObject`` would answer it.

    ``info`` is all that was negotiated.
    """

    __slots__ = ("info",)

    def __init__(self, info: ConnectionInfo) -> None:
        self.info = info

    def selected_alpn_protocol(self) -> str | None:
        """The protocol that ALPN has chosen."""
        return self.info.alpn

    def version(self) -> str:
        """``TLSv1.3`` or ``TLSv1.2``."""
        return version_of(self.info)

    def cipher(self) -> tuple[str, str, int]:
        """Name (IANA's, in TLS 1.2 too), version, and length of the key in bits."""
        return cipher_of(self.info)

    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        """The server's certificate as DER; in no other form."""
        if not binary_form:
            raise NotImplementedError("the certificate is given as DER: getpeercert(binary_form=True)")
        return self.info.peer_chain[0] if self.info.peer_chain else None


def is_readable(sock: Any) -> bool:
    """Whether reading would give something at once. On a connection that is idle that is its end."""
    try:
        return wait_for(sock, read=True, seconds=0)
    except OSError:
        return True
