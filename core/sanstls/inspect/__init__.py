"""Looking at a connection from outside: the ladder, drawn from the events that a connection with ``trace=True`` tells.

Nothing here takes part in a handshake, and no handshake needs it.
"""

from sanstls.inspect.ladder import ladder

__all__ = ["ladder"]
