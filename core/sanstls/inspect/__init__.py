"""Looking at a connection from outside: hellos, their fingerprints, and the ladder of a handshake.

``peek_client_hello`` and ``parse_client_hello`` read a ClientHello from bytes; ``ja3`` and ``ja4`` tell which client it
resembles, also that of a ``ClientHelloReceived``; ``ladder`` draws what a connection with ``trace=True`` tells.

Nothing here takes part in a handshake, and no handshake needs it.
"""

from sanstls.inspect.fingerprints import ja3, ja3_hash, ja4, ja4_raw
from sanstls.inspect.hello import (
    MAX_PEEKED,
    NotAClientHello,
    alpn,
    parse_client_hello,
    peek_client_hello,
    server_name,
    versions,
)
from sanstls.inspect.ladder import ladder

__all__ = [
    "MAX_PEEKED",
    "NotAClientHello",
    "alpn",
    "ja3",
    "ja3_hash",
    "ja4",
    "ja4_raw",
    "ladder",
    "parse_client_hello",
    "peek_client_hello",
    "server_name",
    "versions",
]
