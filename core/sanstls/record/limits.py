"""The bounds that a connection holds its peer to. Sizes are in bytes."""

from typing import Final

MAX_PLAINTEXT: Final = 2**14
"""The most plaintext in one record (RFC 9846 5.1)."""

MAX_RECORD_SIZE_LIMIT: Final = 2**14 + 1
"""The largest record_size_limit: no limit (RFC 8449 4). In TLS 1.3 it counts the content type and padding."""

MIN_RECORD_SIZE_LIMIT: Final = 64
"""The smallest record_size_limit (RFC 8449 4)."""

MAX_CIPHERTEXT: Final = 2**14 + 256
"""The longest protected record of TLS 1.3, without its header (RFC 9846 5.2)."""

MAX_CIPHERTEXT12: Final = 2**14 + 2048
"""The longest protected record of TLS 1.2, without its header (RFC 5246 6.2.3)."""

MAX_HANDSHAKE_MESSAGE: Final = 64 * 1024
"""The longest handshake message, but for Certificate."""

MAX_CERTIFICATE_MESSAGE: Final = 128 * 1024
"""The longest Certificate message."""

MAX_CHAIN: Final = 10
"""The most certificates in a chain."""

MAX_SKIPPED_BEYOND_EARLY_DATA: Final = 14 * 1024
"""So much more than its bound of early data a server skips of what it does not take: headers, tags, and padding."""

MAX_KEPT_WHILE_WAITING: Final = 256 * 1024
"""The most bytes kept while a request waits for its answer."""

MAX_EMPTY_RECORDS: Final = 32
"""The most records in a row that carry nothing."""

MAX_KEY_UPDATES: Final = 32
"""The most KeyUpdates of the peer without application data between them."""

MAX_WARNING_ALERTS: Final = 4
"""The most warning alerts in one connection."""
