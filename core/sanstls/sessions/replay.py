"""Protection against replayed early data: each ClientHello once, and only while it is fresh (RFC 9846 8)."""

from typing import Final

from sanstls.errors import LocalError

__all__ = ["ReplayWindow"]

MAX_ENTRIES: Final = 100_000
"""So many hellos are remembered for one window's length; when there are more, early data is refused."""


class ReplayWindow:
    """Remembers the hellos with early data that came lately, and refuses those that come again (RFC 9846 8.2, 8.3).

    ``window`` (seconds) is how far a hello may be off from when it should arrive by its
    own account. One may be shared by any number of configurations, connections and
    threads; servers that share ticket keys must share what it remembers too, by
    ``EarlyDataRequest``, or a hello can be replayed once to each of them.
    """

    __slots__ = ("_seen", "capacity", "window")

    def __init__(self, window: float = 10.0, *, capacity: int = MAX_ENTRIES) -> None:
        if not window > 0 or capacity < 1:
            raise LocalError("a ReplayWindow has a positive window and capacity")
        self.window = window
        self.capacity = capacity
        # By the time at which a hello should arrive, in windows. That time is the hello's own, so that the same one
        # always meets the same dictionary, whose setdefault is atomic: no lock is needed.
        self._seen: dict[int, dict[bytes, object]] = {}

    def admit(self, key: bytes, expected_at: float, at: float) -> bool:
        """Whether this is the first time. ``key`` is the hello's own, ``expected_at`` and ``at`` are Unix seconds."""
        if abs(at - expected_at) > self.window:
            return False
        oldest = (at - 2 * self.window) // self.window
        for bucket in [bucket for bucket in list(self._seen) if bucket < oldest]:
            self._seen.pop(bucket, None)
        seen = self._seen.setdefault(int(expected_at // self.window), {})
        token = object()
        if len(seen) >= self.capacity and key not in seen:
            return False
        return seen.setdefault(key, token) is token

    def __repr__(self) -> str:
        return f"<ReplayWindow: {self.window} s, {sum(map(len, list(self._seen.values())))} hellos>"
