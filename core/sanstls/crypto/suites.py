"""What a TLS 1.3 cipher suite stands for: an AEAD and a hash (RFC 9846 B.4)."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from sanstls.wire.registries import CipherSuite

__all__ = ["AEAD", "SUITES13", "InvalidTag", "Suite"]

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
    """The algorithms of a cipher suite; sizes in bytes."""

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


def _ccm_8(key: bytes) -> AEAD:
    return AESCCM(key, tag_length=8)


# RFC 9846 5.5: 2^24.5 full-size records for AES-GCM; 2^23 for AES-CCM follows from the same analysis with CCM's
# bound; ChaCha20-Poly1305 would only be limited by the sequence number.
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
