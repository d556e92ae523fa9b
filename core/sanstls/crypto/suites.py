"""What cipher suites stand for (RFC 9846 B.4; for TLS 1.2 RFC 5288, 5289 and 7905)."""

import hashlib
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from sanstls.wire.registries import CipherSuite

__all__ = ["AEAD", "SUITES12", "SUITES13", "InvalidTag", "Suite", "Suite12"]

Buffer = bytes | bytearray | memoryview


class AEAD(Protocol):
    """RFC 5116, as ``cryptography`` spells it."""

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes:
        """Ciphertext and tag."""
        ...

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes:
        """The plaintext; raises ``InvalidTag``."""
        ...


class Suite(NamedTuple):
    """The algorithms of a TLS 1.3 cipher suite; sizes in bytes."""

    suite: CipherSuite
    hash_name: str
    hash_size: int
    key_size: int
    tag_size: int
    aead: Callable[[bytes], AEAD]
    record_limit: int
    """How many records one key may protect before it must be updated (RFC 9846 5.5)."""

    def hash(self, data: bytes = b"") -> "hashlib._Hash":
        """A new running hash."""
        return hashlib.new(self.hash_name, data)


class Suite12(NamedTuple):
    """The algorithms of a TLS 1.2 cipher suite; sizes in bytes."""

    suite: CipherSuite
    hash_name: str
    """The hash of the PRF and of the transcript."""
    key_size: int
    fixed_iv_size: int
    """What of the nonce comes from the key block."""
    explicit_nonce_size: int
    """What of the nonce stands in each record."""
    tag_size: int
    aead: Callable[[bytes], AEAD]
    key_exchange: Literal["ECDHE", "RSA"]
    authentication: Literal["ECDSA", "RSA"]
    """The kind of the server's key; Ed25519 and Ed448 keys count as ECDSA (RFC 8422 2.1)."""
    record_limit: int
    """How many records one key may protect. TLS 1.2 can't update it: then the connection has to be closed."""

    def hash(self, data: bytes = b"") -> "hashlib._Hash":
        """A new running hash."""
        return hashlib.new(self.hash_name, data)


def _ccm_8(key: bytes) -> AEAD:
    return AESCCM(key, tag_length=8)


# RFC 9846 5.5: 2^24.5 full-size records for AES-GCM, in TLS 1.2 as well; 2^23 for AES-CCM follows from the same
# analysis with CCM's bound; ChaCha20-Poly1305 would only be limited by the sequence number.
_GCM_RECORDS = 23_726_566
_CCM_RECORDS = 2**23
_CHACHA_RECORDS = 2**62

SUITES13: dict[CipherSuite, Suite] = {
    suite.suite: suite
    for suite in (
        Suite(CipherSuite.TLS_AES_128_GCM_SHA256, "sha256", 32, 16, 16, AESGCM, _GCM_RECORDS),
        Suite(CipherSuite.TLS_AES_256_GCM_SHA384, "sha384", 48, 32, 16, AESGCM, _GCM_RECORDS),
        Suite(CipherSuite.TLS_CHACHA20_POLY1305_SHA256, "sha256", 32, 32, 16, ChaCha20Poly1305, _CHACHA_RECORDS),
        Suite(CipherSuite.TLS_AES_128_CCM_SHA256, "sha256", 32, 16, 16, AESCCM, _CCM_RECORDS),
        Suite(CipherSuite.TLS_AES_128_CCM_8_SHA256, "sha256", 32, 16, 8, _ccm_8, _CCM_RECORDS),
    )
}

# Hash, key, fixed IV, explicit nonce, tag, AEAD (RFC 5288 3, RFC 5289 3.2, RFC 7905 2).
_AES_128 = ("sha256", 16, 4, 8, 16, AESGCM)
_AES_256 = ("sha384", 32, 4, 8, 16, AESGCM)
_CHACHA20 = ("sha256", 32, 12, 0, 16, ChaCha20Poly1305)

_C = CipherSuite
SUITES12: dict[CipherSuite, Suite12] = {
    suite.suite: suite
    for suite in (
        Suite12(_C.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, *_AES_128, "ECDHE", "ECDSA", _GCM_RECORDS),
        Suite12(_C.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, *_AES_128, "ECDHE", "RSA", _GCM_RECORDS),
        Suite12(_C.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, *_AES_256, "ECDHE", "ECDSA", _GCM_RECORDS),
        Suite12(_C.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, *_AES_256, "ECDHE", "RSA", _GCM_RECORDS),
        Suite12(_C.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, *_CHACHA20, "ECDHE", "ECDSA", _CHACHA_RECORDS),
        Suite12(_C.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, *_CHACHA20, "ECDHE", "RSA", _CHACHA_RECORDS),
        # No forward secrecy: only for those who ask for it by name.
        Suite12(_C.TLS_RSA_WITH_AES_128_GCM_SHA256, *_AES_128, "RSA", "RSA", _GCM_RECORDS),
        Suite12(_C.TLS_RSA_WITH_AES_256_GCM_SHA384, *_AES_256, "RSA", "RSA", _GCM_RECORDS),
    )
}
