"""TLS with blocking calls on plain sockets: :func:`connect`, :class:`TLSSocket` and a small threaded :func:`serve`.

::

    with blocking.connect("example.com", 443, timeout=10) as tls:
        tls.sendall(b"...")
        answer = tls.recv(65536)

No rule of TLS is here; those are all in :mod:`sanstls`.
"""

import dataclasses
import socket
import time
from collections.abc import Callable

from sanstls import ClientConfig, ClientConnection, Event, LocalError, WebPKI
from sanstls_io import keylog, trust
from sanstls_io._tls_server import Server, serve
from sanstls_io._tls_socket import Answers, TLSSocket

__all__ = ["Answers", "Server", "TLSSocket", "connect", "serve"]


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
    addresses of ``host`` are tried. ``timeout`` (seconds) bounds it all but the look-up
    of the name, and then each call of the socket. ``answers`` and ``on_event`` are as in
    :class:`TLSSocket`.

    Raises ``OSError`` if there is no connection, ``TimeoutError`` among them, and the
    handshake's error if that fails, ``CertificateError`` for example; the socket is closed then.
    """
    if config is None:
        is_logged = keylog.from_environment() is not None
        config = ClientConfig(verify=WebPKI(trust.system()), alpn=alpn, key_log=is_logged)
    elif alpn:
        config = dataclasses.replace(config, alpn=alpn)
    if timeout is not None and timeout <= 0:
        raise LocalError("connect() needs time: timeout must be positive, or None for no limit")
    connection = ClientConnection(config, host if server_name is None else server_name)
    deadline = None if timeout is None else time.monotonic() + timeout
    sock = _connect(host, port, deadline)
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


def _connect(host: str, port: int, deadline: float | None) -> socket.socket:
    """A connection to the first address that takes it. Each gets its share of the time that is left."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    errors: list[OSError] = []
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, protocol)
            if deadline is not None:
                share = (deadline - time.monotonic()) / (len(addresses) - index)
                if share <= 0:
                    raise TimeoutError("timed out while connecting")
                sock.settimeout(share)
            sock.connect(address)
            sock.settimeout(None)
            # What is sent is whole messages: they need not wait for more.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            error.add_note(f"connecting to {host}: {address[0]} port {port}")
            errors.append(error)
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        else:
            return sock
    for earlier in errors[:-1]:
        errors[-1].add_note(f"before that: {earlier} ({', '.join(earlier.__notes__)})")
    raise errors[-1]
