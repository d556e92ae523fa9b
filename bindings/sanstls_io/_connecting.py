"""To connect to whichever address of a host answers first (RFC 8305, Happy Eyeballs)."""

import errno
import os
import selectors
import socket
import time
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any, NoReturn

__all__ = ["ATTEMPT_DELAY", "connect_first"]

ATTEMPT_DELAY = 0.25
"""Seconds that one address has for itself before the next one is tried as well (RFC 8305 5)."""

Address = tuple[socket.AddressFamily, socket.SocketKind, int, Any]
_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)


def connect_first(host: str, port: int, deadline: float | None) -> socket.socket:
    """A connection to the first address that takes it, blocking, without a timeout.

    ``deadline`` is of ``time.monotonic``. Raises the error of the last address that was tried, with those before it
    in its notes, or ``TimeoutError``.
    """
    attempts = _Attempts(host, port)
    try:
        return attempts.run(deadline)
    finally:
        attempts.close()


def _in_turns(addresses: Iterable[Address]) -> list[Address]:
    """RFC 8305 4: the families take turns, that of the first address first."""
    by_family: dict[int, list[Address]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*by_family.values())) if address is not None]


class _Attempts:
    """The addresses that are still to be tried, and the sockets that are under way."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._left = _in_turns((family, kind, protocol, address) for family, kind, protocol, _, address in found)
        self._selector = selectors.DefaultSelector()
        self._errors: list[OSError] = []

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def run(self, deadline: float | None) -> socket.socket:
        next_at = time.monotonic()
        while True:
            now = time.monotonic()
            is_idle = not self._selector.get_map()
            if self._left and (is_idle or now >= next_at):
                self._begin(self._left.pop(0))
                next_at = now + ATTEMPT_DELAY
                continue
            if is_idle:
                self._fail()
            if deadline is not None and now >= deadline:
                raise TimeoutError("timed out while connecting")
            ends = [end for end in (deadline, next_at if self._left else None) if end is not None]
            for key, _ in self._selector.select(min(ends) - now if ends else None):
                assert isinstance(key.fileobj, socket.socket)
                sock = self._end(key.fileobj, key.data)
                if sock is not None:
                    return sock

    def _begin(self, address: Address) -> None:
        family, kind, protocol, name = address
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            code = sock.connect_ex(name)
            if code not in _IN_PROGRESS:
                raise OSError(code, os.strerror(code))
            self._selector.register(sock, selectors.EVENT_WRITE, name)
        except OSError as error:
            self._note(error, name)
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise

    def _end(self, sock: socket.socket, name: Any) -> socket.socket | None:
        """What became of an attempt: the socket if it is connected."""
        self._selector.unregister(sock)
        try:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            sock.setblocking(True)
            # What is sent is whole messages: they need not wait for more.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._note(error, name)
            sock.close()
            return None
        except BaseException:
            sock.close()
            raise
        return sock

    def _note(self, error: OSError, name: Any) -> None:
        error.add_note(f"connecting to {self._host}: {name[0]} port {self._port}")
        self._errors.append(error)

    def _fail(self) -> NoReturn:
        if not self._errors:
            raise OSError(f"{self._host} has no address")
        last = self._errors[-1]
        for earlier in self._errors[:-1]:
            last.add_note(f"before that: {earlier} ({', '.join(earlier.__notes__)})")
        raise last
