"""The defaults of the injected clock and random source.

A configuration takes its time and its randomness from its ``clock`` and ``random``; these are what it takes when
nobody gives others. This is the only module of the core that asks the operating system for anything (a test holds
that), so whoever replaces both has a connection that can be replayed byte by byte.
"""

import os
import time

__all__ = ["system_clock", "system_random"]


def system_clock() -> float:
    """The time now, in seconds since the Unix epoch (UTC), with a fraction."""
    return time.time()


def system_random(length: int) -> bytes:
    """``length`` bytes from the operating system's cryptographic random source."""
    return os.urandom(length)
