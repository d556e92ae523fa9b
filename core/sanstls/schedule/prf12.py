"""The secrets of TLS 1.2 (RFC 5246 5, 6.3, 8.1; RFC 7627; RFC 5705), with the RFCs' names.

All of them come from one function, the PRF; ``hash_name`` is the hash of the
cipher suite (RFC 5246 5, RFC 5289 3). Lengths are in bytes.
"""

import hmac
from typing import Final, NamedTuple

__all__ = [
    "CLIENT_FINISHED",
    "MASTER_SECRET_SIZE",
    "SERVER_FINISHED",
    "VERIFY_DATA_SIZE",
    "KeyBlock",
    "exporter",
    "extended_master_secret",
    "key_block",
    "master_secret",
    "prf",
    "verify_data",
]

MASTER_SECRET_SIZE: Final = 48
"""RFC 5246 8.1: the length of every master secret."""

VERIFY_DATA_SIZE: Final = 12
"""RFC 5246 7.4.9: the length of verify_data in all cipher suites spoken here."""

CLIENT_FINISHED: Final = b"client finished"
"""The label of the client's Finished."""

SERVER_FINISHED: Final = b"server finished"
"""The label of the server's Finished."""

_RESERVED_LABELS = frozenset(
    {CLIENT_FINISHED, SERVER_FINISHED, b"master secret", b"extended master secret", b"key expansion"}
)


def prf(hash_name: str, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """The PRF of RFC 5246 5: ``length`` bytes of P_hash(secret, label + seed)."""
    seed = label + seed
    a = hmac.digest(secret, seed, hash_name)  # A(1)
    output = hmac.digest(secret, a + seed, hash_name)
    while len(output) < length:
        a = hmac.digest(secret, a, hash_name)
        output += hmac.digest(secret, a + seed, hash_name)
    return output[:length]


def master_secret(hash_name: str, pre_master_secret: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """The master secret (48) from the two randoms (RFC 5246 8.1)."""
    return prf(hash_name, pre_master_secret, b"master secret", client_random + server_random, MASTER_SECRET_SIZE)


def extended_master_secret(hash_name: str, pre_master_secret: bytes, session_hash: bytes) -> bytes:
    """The master secret (48) from the hash of all messages up to ClientKeyExchange, itself included (RFC 7627 4)."""
    return prf(hash_name, pre_master_secret, b"extended master secret", session_hash, MASTER_SECRET_SIZE)


class KeyBlock(NamedTuple):
    """The keys and fixed IVs of both directions; AEADs have no MAC keys (RFC 5246 6.3)."""

    client_write_key: bytes
    server_write_key: bytes
    client_write_IV: bytes
    server_write_IV: bytes

    def __repr__(self) -> str:
        return "KeyBlock(…)"  # a traceback must not tell keys


def key_block(
    hash_name: str, master_secret: bytes, client_random: bytes, server_random: bytes, key_size: int, fixed_iv_size: int
) -> KeyBlock:
    """The key block (RFC 5246 6.3), cut into keys of ``key_size`` and IVs of ``fixed_iv_size``."""
    ivs = 2 * key_size
    length = ivs + 2 * fixed_iv_size
    # Here the server's random comes first.
    block = prf(hash_name, master_secret, b"key expansion", server_random + client_random, length)
    middle = ivs + fixed_iv_size
    return KeyBlock(block[:key_size], block[key_size:ivs], block[ivs:middle], block[middle:])


def verify_data(hash_name: str, master_secret: bytes, finished_label: bytes, handshake_hash: bytes) -> bytes:
    """The content (12) of a Finished (RFC 5246 7.4.9); the label is CLIENT_FINISHED or SERVER_FINISHED.

    ``handshake_hash`` is over all handshake messages before this Finished, HelloRequests not among them.
    """
    return prf(hash_name, master_secret, finished_label, handshake_hash, VERIFY_DATA_SIZE)


def exporter(
    hash_name: str,
    master_secret: bytes,
    label: bytes,
    client_random: bytes,
    server_random: bytes,
    context: bytes | None,
    length: int,
) -> bytes:
    """Exported keying material (RFC 5705 4); unlike in TLS 1.3, no context is not the same as an empty one.

    It is bound to this very handshake only if the master secret is an extended one (RFC 7627 5.4).
    Raises ``ValueError`` for a label that TLS uses itself, and for a context longer than 2^16-1.
    """
    if label in _RESERVED_LABELS:
        raise ValueError(f"TLS 1.2 uses the label {label.decode()!r} itself")
    seed = client_random + server_random
    if context is not None:
        if len(context) >= 1 << 16:
            raise ValueError(f"a context of {len(context)} bytes; at most {2**16 - 1} are possible in TLS 1.2")
        seed += len(context).to_bytes(2, "big") + context
    return prf(hash_name, master_secret, label, seed, length)
