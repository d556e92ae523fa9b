"""Pre-shared keys that come from elsewhere, and not from an earlier connection (RFC 9846 2.2, RFC 9257)."""

from typing import Final, NamedTuple, NoReturn

from sanstls.errors import LocalError

__all__ = ["MIN_PSK", "PreSharedKey"]

MIN_PSK: Final = 16
"""The shortest external key in bytes: keys that people can remember are no keys (RFC 9257 6)."""

_HASHES = ("sha256", "sha384")


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes)


class _PreSharedKey(NamedTuple):
    identity: bytes
    secret: bytes
    hash_name: str


class PreSharedKey(_PreSharedKey):
    """A key that both sides have: ``identity`` (1 to 65535 bytes) names it in the clear, ``secret`` is the key.

    It must be random, at least 16 bytes; a password is none. ``hash_name`` is the hash
    that it is used with, ``"sha256"`` or ``"sha384"``: only cipher suites of that hash can.
    Each side is the other's peer by it, so two sides that may be clients and servers
    need two keys, or one can be made to talk to itself (Selfie).
    """

    __slots__ = ()

    def __new__(cls, identity: bytes, secret: bytes, hash_name: str = "sha256") -> "PreSharedKey":
        if not _is_bytes(identity) or not 0 < len(identity) < 2**16:
            raise LocalError("the identity of a PreSharedKey has 1 to 65535 bytes")
        if not _is_bytes(secret) or len(secret) < MIN_PSK:
            raise LocalError(f"the secret of a PreSharedKey must have {MIN_PSK} random bytes at least")
        if hash_name not in _HASHES:
            raise LocalError(f"the hash of a PreSharedKey is one of {', '.join(_HASHES)}")
        return super().__new__(cls, identity, secret, hash_name)

    def __repr__(self) -> str:
        return f"<PreSharedKey {self.identity!r}, {self.hash_name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PreSharedKey holds a secret and is not pickled by accident")
