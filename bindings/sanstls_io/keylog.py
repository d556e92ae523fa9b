"""The file that ``SSLKEYLOGFILE`` names: with it, a tool like Wireshark can read what was recorded of a connection.

The secrets come from connections whose configuration has ``key_log=True``, as
:class:`sanstls.SecretLogged` events.
"""

import os
import sys

__all__ = ["KeyLogFile", "append", "from_environment", "is_wanted"]

VARIABLE = "SSLKEYLOGFILE"

# O_BINARY is Windows' own; without it a line would end otherwise there.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class KeyLogFile:
    """A file to append secrets to. Connections, threads and processes may share it.

    It is made if it is missing, for its owner's eyes only; one that is there keeps its
    permissions. Whoever can read it can read the connections. Raises ``OSError`` if it
    can't be written, when it is made as well as later.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        os.close(self._open())

    def __repr__(self) -> str:
        return f"KeyLogFile({self.path!r})"

    def _open(self) -> int:
        return os.open(self.path, _FLAGS, 0o600)

    def write(self, line: str) -> None:
        """Append one line, which is given without its line end.

        Each is a single write to a file opened for appending, so that lines of others
        can't come into its middle; and the file may be moved away at any time.
        """
        descriptor = self._open()
        try:
            os.write(descriptor, line.encode("ascii") + b"\n")
        finally:
            os.close(descriptor)


def from_environment() -> KeyLogFile | None:
    """The file that ``SSLKEYLOGFILE`` names. ``None`` without it, and where Python ignores its environment (``-E``)."""
    path = _named_by_environment()
    return KeyLogFile(path) if path else None


def is_wanted() -> bool:
    """Whether :func:`from_environment` would give a file. Nothing is made or opened."""
    return bool(_named_by_environment())


def append(line: str) -> None:
    """Append a line to the file that ``SSLKEYLOGFILE`` names, if it names one."""
    log = from_environment()
    if log is not None:
        log.write(line)


def _named_by_environment() -> str | None:
    return None if sys.flags.ignore_environment else os.environ.get(VARIABLE)
