"""To wait until a plain socket can be read or written."""

import errno
import select
import socket

__all__ = ["wait_for"]

_MOST_MILLISECONDS = 2**31 - 1
"""The most that ``poll`` can take: more than 24 days."""


def wait_for(sock: socket.socket, *, read: bool = False, write: bool = False, seconds: float | None = None) -> bool:
    """Wait until the socket can be read or written: whether it can be, after at most ``seconds``."""
    descriptor = sock.fileno()
    if descriptor < 0:
        raise OSError(errno.EBADF, "the socket is closed")
    if not hasattr(select, "poll"):  # Windows
        readable, writable, failed = select.select([sock] * read, [sock] * write, [sock], seconds)
        return bool(readable or writable or failed)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN * read | select.POLLOUT * write)
    return bool(poller.poll(None if seconds is None else min(seconds * 1000, _MOST_MILLISECONDS)))
