"""The key schedule of TLS 1.3 (RFC 9846 7), with the RFC's names.

HKDF is written with ``hmac.digest``: every output of TLS 1.3 but an exporter's
fits into one block of the hash, so that Expand is one HMAC.
"""

import hashlib
import hmac
from functools import lru_cache

__all__ = [
    "KeySchedule",
    "exporter",
    "hkdf_expand_label",
    "hkdf_extract",
    "next_traffic_secret",
    "traffic_key_and_iv",
    "verify_data",
]

IV_SIZE = 12  # bytes, for all AEADs of TLS 1.3 (RFC 9846 5.3)


def hkdf_extract(hash_name: str, salt: bytes, ikm: bytes) -> bytes:
    """HKDF-Extract (RFC 5869 2.2)."""
    return hmac.digest(salt, ikm, hash_name)


def _hkdf_expand(hash_name: str, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand (RFC 5869 2.3); ``length`` in bytes, at most 255 times the hash's size."""
    block = hmac.digest(secret, info + b"\x01", hash_name)
    if length <= len(block):
        return block[:length]
    if length > 255 * len(block):
        raise ValueError(f"HKDF can't give {length} bytes")
    output, counter = block, 1
    while len(output) < length:
        counter += 1
        block = hmac.digest(secret, block + info + counter.to_bytes(1, "big"), hash_name)
        output += block
    return output[:length]


def _label_prefix(label: bytes, length: int, context_length: int) -> bytes:
    """HkdfLabel up to its context (RFC 9846 7.1)."""
    full = b"tls13 " + label
    return length.to_bytes(2, "big") + len(full).to_bytes(1, "big") + full + context_length.to_bytes(1, "big")


_known_prefix = lru_cache(maxsize=64)(_label_prefix)  # only the RFC's own labels come here, not an application's


def hkdf_expand_label(hash_name: str, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 9846 7.1) with one of the RFC's labels; ``length`` in bytes."""
    info = _known_prefix(label, length, len(context)) + context
    block = hmac.digest(secret, info + b"\x01", hash_name)
    return block[:length] if length <= len(block) else _hkdf_expand(hash_name, secret, info, length)


@lru_cache(maxsize=8)
def _empty_hash(hash_name: str) -> bytes:
    return hashlib.new(hash_name).digest()


@lru_cache(maxsize=8)
def _early_secret_without_psk(hash_name: str) -> bytes:
    size = len(_empty_hash(hash_name))
    return hkdf_extract(hash_name, bytes(size), bytes(size))


class KeySchedule:
    """The ladder of RFC 9846 7.1: Early Secret, Handshake Secret, Main Secret.

    It starts at the Early Secret; each :meth:`extract` goes one rung down, and
    :meth:`derive_secret` gives the secrets that hang on the present rung.
    """

    __slots__ = ("_secret", "hash_name", "hash_size")

    def __init__(self, hash_name: str, psk: bytes | None = None) -> None:
        self.hash_name = hash_name
        self.hash_size = len(_empty_hash(hash_name))
        if psk is None:
            self._secret = _early_secret_without_psk(hash_name)
        else:
            self._secret = hkdf_extract(hash_name, bytes(self.hash_size), psk)

    def derive_secret(self, label: bytes, transcript_hash: bytes) -> bytes:
        """Derive-Secret, given the hash of the messages."""
        return hkdf_expand_label(self.hash_name, self._secret, label, transcript_hash, self.hash_size)

    def extract(self, input_secret: bytes | None = None) -> None:
        """Go to the next secret with ``input_secret``: the shared secret of the key exchange, or nothing."""
        salt = self.derive_secret(b"derived", _empty_hash(self.hash_name))
        self._secret = hkdf_extract(self.hash_name, salt, input_secret or bytes(self.hash_size))


def traffic_key_and_iv(hash_name: str, traffic_secret: bytes, key_size: int) -> tuple[bytes, bytes]:
    """RFC 9846 7.3: the write key of ``key_size`` bytes and the write IV."""
    return (
        hkdf_expand_label(hash_name, traffic_secret, b"key", b"", key_size),
        hkdf_expand_label(hash_name, traffic_secret, b"iv", b"", IV_SIZE),
    )


def next_traffic_secret(hash_name: str, traffic_secret: bytes) -> bytes:
    """RFC 9846 7.2: application_traffic_secret_N+1."""
    return hkdf_expand_label(hash_name, traffic_secret, b"traffic upd", b"", len(traffic_secret))


def verify_data(hash_name: str, base_key: bytes, transcript_hash: bytes) -> bytes:
    """RFC 9846 4.5.3: the content of a Finished message."""
    finished_key = hkdf_expand_label(hash_name, base_key, b"finished", b"", len(base_key))
    return hmac.digest(finished_key, transcript_hash, hash_name)


def exporter(hash_name: str, exporter_secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """TLS-Exporter (RFC 9846 7.5); ``length`` in bytes."""
    size = len(exporter_secret)
    empty = _empty_hash(hash_name)
    info = _label_prefix(label, size, size) + empty
    secret = _hkdf_expand(hash_name, exporter_secret, info, size)
    info = _label_prefix(b"exporter", length, size) + hashlib.new(hash_name, context).digest()
    return _hkdf_expand(hash_name, secret, info, length)
