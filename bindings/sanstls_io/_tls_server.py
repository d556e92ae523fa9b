"""A server with a thread for each connection: small, for tests, tools and services of moderate size."""

import contextlib
import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sanstls import Event, ServerConfig, ServerConnection, TLSError
from sanstls_io._tls_socket import Answers, TLSSocket

__all__ = ["Handler", "OnError", "Server", "serve"]

Handler = Callable[[TLSSocket], object]
OnError = Callable[[Exception, Any], object]

_PAUSE_WITHOUT_DESCRIPTORS = 0.1  # seconds


class Server:
    """A server that runs, made by :func:`serve`. Leaving it as a context manager shuts it down.

    ``config`` may be replaced at any time; connections that come later use the new one.
    """

    def __init__(
        self,
        listener: socket.socket,
        config: ServerConfig,
        handler: Handler,
        *,
        handshake_timeout: float,
        timeout: float | None,
        max_connections: int,
        answers: Answers | None,
        on_event: Callable[[Event], None] | None,
        on_error: OnError | None,
    ) -> None:
        self.config = config
        self._listener = listener
        self._address = listener.getsockname()
        self._handler = handler
        self._handshake_timeout = handshake_timeout
        self._timeout = timeout
        self._max_connections = max_connections
        self._answers = answers
        self._on_event = on_event
        self._on_error = on_error
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._is_stopping = False
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        listener.setblocking(False)
        self._thread = threading.Thread(target=self._accept_all, name=f"TLS server at {self._address}", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._waker.close()
            self._woken.close()
            raise

    def __repr__(self) -> str:
        return f"<Server at {self._address}: {len(self._open)} connections>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which it listens."""
        return self._address[0], self._address[1]

    def wait(self) -> None:
        """Wait until somebody shuts it down: what the main thread of a program can do."""
        self._thread.join()

    def shutdown(self, grace: float = 5.0) -> bool:
        """Accept nothing more, and give the handlers ``grace`` seconds to finish; then their connections are cut.

        Whether all of them have ended: a handler that does something else than to use its
        connection can't be stopped.
        """
        self._is_stopping = True
        self._wake()
        self._thread.join()
        deadline = time.monotonic() + grace
        if not self._join_all(deadline):
            with self._lock:
                for sock in self._open.values():
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)
            self._join_all(time.monotonic() + 1)
        return not self._open

    def _join_all(self, deadline: float) -> bool:
        with self._lock:
            threads = list(self._open)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0))
        return not self._open

    # Accepting ------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: it has ended
            self._waker.send(b"\0")

    def _accept_all(self) -> None:
        with self._listener, self._waker, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            is_listening = False
            while not self._is_stopping:
                may_accept = len(self._open) < self._max_connections
                if may_accept and not is_listening:
                    selector.register(self._listener, selectors.EVENT_READ)
                elif is_listening and not may_accept:
                    selector.unregister(self._listener)
                is_listening = may_accept
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        with contextlib.suppress(BlockingIOError):
                            self._woken.recv(4096)
                    elif not self._accept():
                        # Out of descriptors or the like: to try again at once would only heat the machine.
                        selector.unregister(self._listener)
                        is_listening = False
                        selector.select(_PAUSE_WITHOUT_DESCRIPTORS)

    def _accept(self) -> bool:
        try:
            sock, peer = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return True  # the peer was gone before it was accepted
        except OSError as error:
            self._report(error, None)
            return False
        thread = threading.Thread(target=self._serve, args=(sock, peer), name=f"TLS with {peer}", daemon=True)
        with self._lock:
            self._open[thread] = sock
        try:
            thread.start()
        except RuntimeError as error:
            self._forget(thread, sock)
            self._report(OSError(errno.EAGAIN, f"{error} for a connection"), peer)
            return False
        return True

    # One connection -------------------------------------------------------------------------------------------------

    def _serve(self, sock: socket.socket, peer: Any) -> None:
        try:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self._timeout)
            connection = ServerConnection(self.config)
            with TLSSocket(sock, connection, answers=self._answers, on_event=self._on_event) as tls:
                tls.do_handshake(seconds=self._handshake_timeout)
                self._handler(tls)
        except Exception as error:
            self._report(error, peer)
        finally:
            self._forget(threading.current_thread(), sock)

    def _forget(self, thread: threading.Thread, sock: socket.socket) -> None:
        with self._lock:
            sock.close()
            del self._open[thread]
        self._wake()

    def _report(self, error: Exception, peer: Any) -> None:
        if self._on_error is not None:
            self._on_error(error, peer)
        elif not isinstance(error, TLSError | OSError):
            raise error


def serve(
    host: str,
    port: int,
    config: ServerConfig,
    handler: Handler,
    *,
    handshake_timeout: float = 10.0,
    timeout: float | None = None,
    max_connections: int = 500,
    answers: Answers | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_error: OnError | None = None,
) -> Server:
    """Listen at ``host`` and ``port`` (0: any that is free), and serve each connection in a thread of its own.

    ``handler(tls)`` is called when the handshake is complete, and may take
    ``handshake_timeout`` seconds; the connection is closed when it returns, and aborted
    when it raises. ``timeout`` bounds each call of the handler's socket, in seconds. Beyond
    ``max_connections`` peers wait until one has ended. ``answers`` and ``on_event`` are as
    in :class:`TLSSocket`, and called in the threads of the connections.

    What goes wrong with one connection is told to ``on_error(error, address)`` and harms
    no other. Without it errors of peers and transports are dropped, as everyday things, and
    others (a handler's mistake) go to ``threading.excepthook``.

    Returns at once::

        with blocking.serve("127.0.0.1", 8443, config, handler) as server:
            server.wait()
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    try:
        return Server(
            listener,
            config,
            handler,
            handshake_timeout=handshake_timeout,
            timeout=timeout,
            max_connections=max_connections,
            answers=answers,
            on_event=on_event,
            on_error=on_error,
        )
    except BaseException:
        listener.close()
        raise
