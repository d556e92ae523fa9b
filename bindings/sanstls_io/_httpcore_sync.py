"""httpcore's network backend with blocking calls: connections, TLS on them, and TLS in TLS for proxies that want it.

One thread may read while another one writes, as it happens with HTTP/2.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
from httpcore import ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout

from sanstls import ClientConfig, ClientConnection, Event, LocalError, Request, TLSError
from sanstls_io import keylog
from sanstls_io._client_config import client_config
from sanstls_io._httpcore_shared import SSLObject, alpn_for, alpn_of, is_readable, told_as
from sanstls_io._pump import Pump
from sanstls_io._tls_socket import Answers, TLSSocket

__all__ = ["SyncBackend"]

_READ_SIZE = 1 << 16
_SEND_SIZE = 1 << 17


class SyncBackend(httpcore.NetworkBackend):
    """For ``httpcore.ConnectionPool(network_backend=...)``. Its TLS is configured here and not by an ``ssl_context``.

    Without a ``config`` servers are verified by the public web's rules against the
    system's trust store, and secrets are written if ``SSLKEYLOGFILE`` is set. ``http2`` is what the pool
    is made with, too. ``answers`` and ``on_event`` are as in :class:`sanstls_io.blocking.TLSSocket`.
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

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A plain connection; ``timeout`` is in seconds."""
        source = None if local_address is None else (local_address, 0)
        with told_as(ConnectTimeout, ConnectError):
            sock = socket.create_connection((host, port), timeout, source_address=source)
            return _prepared(sock, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *(socket_options or ())], self)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A plain connection to a socket of the file system."""
        with told_as(ConnectTimeout, ConnectError):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(timeout)
                sock.connect(path)
            except BaseException:
                sock.close()
                raise
            return _prepared(sock, socket_options or (), self)


def _prepared(sock: socket.socket, options: Iterable[httpcore.SOCKET_OPTION], backend: SyncBackend) -> "_PlainStream":
    try:
        for option in options:
            sock.setsockopt(*option)
    except BaseException:
        sock.close()
        raise
    return _PlainStream(sock, backend)


class _SocketStream(httpcore.NetworkStream):
    """What a plain stream and one with TLS share."""

    def __init__(self, sock: socket.socket | TLSSocket, backend: SyncBackend) -> None:
        self._sock = sock
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with told_as(ReadTimeout, ReadError):
            self._sock.settimeout(timeout)
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with told_as(WriteTimeout, WriteError):
            self._sock.settimeout(timeout)
            self._sock.sendall(buffer)

    def close(self) -> None:
        self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        sock = self._sock
        match info:
            case "client_addr":
                return sock.getsockname()
            case "server_addr":
                return sock.getpeername()
            case "socket":
                return sock
            case "is_readable":
                return is_readable(sock)
        return None


class _PlainStream(_SocketStream):
    """A plain connection."""

    _sock: socket.socket

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        backend = self._backend
        with told_as(ConnectTimeout, ConnectError):
            try:
                connection = backend.new_connection(ssl_context, server_hostname)
                self._sock.settimeout(None)
                tls = TLSSocket(self._sock, connection, answers=backend.answers, on_event=backend.on_event)
            except BaseException:
                self.close()
                raise
            try:
                tls.do_handshake(seconds=timeout)
            except BaseException:
                tls.close()
                raise
        return _TLSStream(tls, backend)


class _TLSStream(_SocketStream):
    """TLS on a plain socket."""

    _sock: TLSSocket

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _start_tunnel(self, self._backend, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return SSLObject(self._sock.info)
        if info == "is_readable" and (self._sock.pending() or not self._sock.connection.wants_data):
            return True
        return super().get_extra_info(info)


# TLS in TLS -----------------------------------------------------------------------------------------------------------


def _start_tunnel(
    below: httpcore.NetworkStream,
    backend: SyncBackend,
    ssl_context: ssl.SSLContext,
    server_hostname: str | None,
    timeout: float | None,
) -> httpcore.NetworkStream:
    with told_as(ConnectTimeout, ConnectError):
        try:
            stream = _TunnelStream(below, backend, backend.new_connection(ssl_context, server_hostname))
            stream.do_handshake(timeout)
        except BaseException:
            below.close()
            raise
    return stream


class _TunnelStream(httpcore.NetworkStream):
    """TLS on another stream of httpcore's, which is TLS to a proxy.

    As in a ``TLSSocket``, ``_state`` is never held while something is waited for. A thread
    that reads leaves what the connection wants sent to one that writes, if there is one.
    """

    def __init__(self, below: httpcore.NetworkStream, backend: SyncBackend, connection: ClientConnection) -> None:
        self._below = below
        self._backend = backend
        write_key_log = keylog.append if keylog.is_wanted() else None
        self._pump = Pump(connection, on_event=backend.on_event, write_key_log=write_key_log)
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._state = threading.RLock()

    def do_handshake(self, timeout: float | None) -> None:
        deadline = _deadline(timeout)
        try:
            while not self._pump.handshake_is_over():
                if self._pump.request is not None:
                    self._answer(self._pump.request)
                else:
                    self._go_on(deadline)
        except BaseException:
            self._say_why()
            raise
        self._flush(_left(deadline))

    def _answer(self, request: Request[Any]) -> None:
        answers, kind = self._backend.answers, type(request).__name__
        try:
            if answers is None:
                raise LocalError(f"the configuration defers {kind}, but nobody answers it: give answers=...")
            try:
                value = answers(request)
            except LocalError:
                raise
            except TLSError as error:
                self._pump.reject(request, error)
            else:
                self._pump.answer(request, value)
        except BaseException:
            self._pump.abort()
            raise

    def _go_on(self, deadline: float | None) -> None:
        self._flush(_left(deadline))
        data = self._below.read(_READ_SIZE, _left(deadline))
        with self._state:
            if data:
                self._pump.feed(data)
            else:
                self._pump.feed_eof()

    def _say_why(self) -> None:
        """Send the alert, or close_notify, if that can be done without waiting."""
        with contextlib.suppress(httpcore.NetworkError, httpcore.TimeoutException):
            self._flush(0)

    def _flush(self, timeout: float | None) -> None:
        """Send what is queued, if nobody else does."""
        while self._pump.has_output and self._writing.acquire(blocking=False):
            try:
                self._push(timeout)
            finally:
                self._writing.release()

    def _push(self, timeout: float | None) -> None:
        """Send all that is queued. Needs ``_writing``."""
        while True:
            with self._state:
                data = b"".join(self._pump.buffers_to_send())
            if not data:
                return
            self._below.write(data, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        deadline = _deadline(timeout)
        with told_as(ReadTimeout, ReadError), self._reading:
            try:
                while (data := self._receive(max_bytes)) is None:
                    self._go_on(deadline)
            except TLSError:
                self._say_why()
                raise
        return data

    def _receive(self, size: int) -> bytes | None:
        with self._state:
            return self._pump.receive(size)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with told_as(WriteTimeout, WriteError), self._writing:
            view = memoryview(buffer)
            for start in range(0, len(view), _SEND_SIZE):
                with self._state:
                    self._pump.send(view[start : start + _SEND_SIZE])
                self._push(timeout)

    def close(self) -> None:
        with self._state:
            self._pump.connection.close()
        self._say_why()
        self._below.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _start_tunnel(self, self._backend, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return SSLObject(self._pump.connection.info)
        if info == "is_readable" and (self._pump.available or not self._pump.connection.wants_data):
            return True
        return self._below.get_extra_info(info)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0)
