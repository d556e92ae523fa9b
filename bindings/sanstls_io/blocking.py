"""TLS with blocking calls on plain sockets: :func:`connect`, :class:`TLSSocket` and a small threaded :func:`serve`.

::

    with blocking.connect("example.com", 443, timeout=10) as tls:
        tls.sendall(b"...")
        answer = tls.recv(65536)

No rule of TLS is here; those are all in :mod:`sanstls`.
"""

import socket
import time
from collections.abc import Callable
from typing import Any, Self

from sanstls import ClientConfig, ClientConnection, Event, LocalError, ServerConfig, ServerConnection
from sanstls_io._client_config import client_config
from sanstls_io._connecting import connect_first
from sanstls_io._tls_server import Server, serve
from sanstls_io._tls_socket import Answers, TLSSocket

__all__ = ["Answers", "Server", "TLSListener", "TLSSocket", "connect", "create_server", "serve", "start_tls"]


def connect(
    host: str,
    port: int,
    config: ClientConfig | None = None,
    *,
    server_name: str | None = None,
    timeout: float | None = None,
    alpn: tuple[str, ...] = (),
    answers: Answers | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> TLSSocket:
    """Connect to ``host`` and do the handshake: a connection whose other side is who it should be.

    Without a ``config`` the server is verified by the public web's rules against the
    system's trust store, and secrets are written if ``SSLKEYLOGFILE`` is set; ``alpn`` goes into it
    either way. The certificate is checked against ``server_name``, which is ``host`` by default. All
    addresses of ``host`` are tried, with a short delay between them, and the first that
    answers is taken (RFC 8305). ``timeout`` (seconds) bounds it all but the look-up
    of the name, and then each call of the socket. ``answers`` and ``on_event`` are as in
    :class:`TLSSocket`.

    Raises ``OSError`` if there is no connection, ``TimeoutError`` among them, and the
    handshake's error if that fails, ``CertificateError`` for example; the socket is closed then.
    """
    config = client_config(config, alpn)
    if timeout is not None and timeout <= 0:
        raise LocalError("connect() needs time: timeout must be positive, or None for no limit")
    connection = ClientConnection(config, host if server_name is None else server_name)
    deadline = None if timeout is None else time.monotonic() + timeout
    sock = connect_first(host, port, deadline)
    try:
        tls = TLSSocket(sock, connection, answers=answers, on_event=on_event)
    except BaseException:
        sock.close()
        raise
    try:
        tls.do_handshake(seconds=None if deadline is None else max(deadline - time.monotonic(), 0))
    except BaseException:
        tls.close()
        raise
    tls.settimeout(timeout)
    return tls


def start_tls(
    sock: socket.socket,
    config: ClientConfig | ServerConfig,
    *,
    server_name: str | None = None,
    already_read: bytes = b"",
    answers: Answers | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> TLSSocket:
    """Go on with TLS on a plain socket (STARTTLS), as a client or a server by the kind of ``config``.

    ``already_read`` is what of the peer's TLS has been read from the socket together with
    the last plain bytes. A plain protocol that reads more than its last line before TLS
    begins may take bytes for the peer's that somebody else has put there: whatever
    follows the last line must go in here, and nowhere else. The socket's timeout bounds
    the handshake. The rest is as in :func:`connect`.
    """
    connection: ClientConnection | ServerConnection
    match config:
        case ServerConfig():
            connection = ServerConnection(config)
        case _:
            connection = ClientConnection(config, server_name)
    tls = TLSSocket(sock, connection, already_read=already_read, answers=answers, on_event=on_event)
    try:
        tls.do_handshake()
    except BaseException:
        tls.close()
        raise
    return tls


class TLSListener:
    """A listening socket that accepts TLS connections, made by :func:`create_server`.

    ``config`` may be replaced at any time; connections that come later use the new one.
    """

    def __init__(
        self,
        listener: socket.socket,
        config: ServerConfig,
        *,
        answers: Answers | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.config = config
        self.listener = listener
        self._answers = answers
        self._on_event = on_event

    def accept(self) -> tuple[TLSSocket, Any]:
        """The next connection and its peer's address. Its handshake is done by the first call that needs it."""
        sock, peer = self.listener.accept()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return TLSSocket(sock, ServerConnection(self.config), answers=self._answers, on_event=self._on_event), peer
        except BaseException:
            sock.close()
            raise

    def getsockname(self) -> Any:
        """The address on which it listens."""
        return self.listener.getsockname()

    def fileno(self) -> int:
        """The descriptor, for ``select``: it can be read when there is a connection to accept."""
        return self.listener.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Bound each ``accept`` from now on."""
        self.listener.settimeout(seconds)

    def close(self) -> None:
        """Accept no more."""
        self.listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create_server(
    address: tuple[str, int],
    config: ServerConfig,
    *,
    backlog: int | None = None,
    reuse_port: bool = False,
    answers: Answers | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> TLSListener:
    """Listen at ``address``, as ``socket.create_server`` does, for a loop of one's own; :func:`serve` has its own."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.create_server(address, family=family, backlog=backlog, reuse_port=reuse_port)
    return TLSListener(listener, config, answers=answers, on_event=on_event)
