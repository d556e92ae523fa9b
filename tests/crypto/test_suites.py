"""Cipher suites: their sizes, and AEADs with the published test vectors."""

import hashlib

import pytest

from sanstls.crypto.suites import SUITES13, InvalidTag, Suite
from sanstls.wire.registries import CipherSuite as C

each_suite = pytest.mark.parametrize("suite", SUITES13.values(), ids=lambda suite: str(suite.suite))

# RFC 9846 B.4, RFC 5116, RFC 6655, RFC 8439: hash, hash size, key size, tag size.
TABLE = {
    C.TLS_AES_128_GCM_SHA256: ("sha256", 32, 16, 16),
    C.TLS_AES_256_GCM_SHA384: ("sha384", 48, 32, 16),
    C.TLS_CHACHA20_POLY1305_SHA256: ("sha256", 32, 32, 16),
    C.TLS_AES_128_CCM_SHA256: ("sha256", 32, 16, 16),
    C.TLS_AES_128_CCM_8_SHA256: ("sha256", 32, 16, 8),
}


def test_the_table() -> None:
    found = {code: (s.hash_name, s.hash_size, s.key_size, s.tag_size) for code, s in SUITES13.items()}
    assert found == TABLE
    assert all(code == suite.suite for code, suite in SUITES13.items())


@each_suite
def test_the_hash(suite: Suite) -> None:
    running = suite.hash(b"ab")
    running.update(b"c")
    assert running.digest() == hashlib.new(suite.hash_name, b"abc").digest()
    assert len(suite.hash().digest()) == suite.hash_size


@each_suite
def test_the_aead(suite: Suite) -> None:
    aead = suite.aead(bytes(range(suite.key_size)))
    nonce, data, header = bytes(12), b"content", b"header"
    sealed = aead.encrypt(nonce, data, header)
    assert len(sealed) == len(data) + suite.tag_size
    assert aead.decrypt(nonce, sealed, header) == data
    assert aead.decrypt(nonce, memoryview(sealed), memoryview(header)) == data
    for changed in (
        (b"\x01" + nonce[1:], sealed, header),
        (nonce, sealed, b"Header"),
        (nonce, bytes([sealed[0] ^ 1]) + sealed[1:], header),
        (nonce, sealed[:-1] + bytes([sealed[-1] ^ 1]), header),
        (nonce, sealed[:-1], header),
        (nonce, b"", header),
        (nonce, bytes(suite.tag_size - 1), header),
    ):
        with pytest.raises(InvalidTag):
            aead.decrypt(*changed)
    with pytest.raises(InvalidTag):
        suite.aead(bytes(suite.key_size)).decrypt(nonce, sealed, header)


@each_suite
def test_keys_of_another_size_are_refused(suite: Suite) -> None:
    with pytest.raises(ValueError, match=r"[Kk]ey"):
        suite.aead(bytes(suite.key_size - 1))


def test_gcm_limit() -> None:
    # RFC 9846 5.5: 2^24.5 full-size records
    for code in (C.TLS_AES_128_GCM_SHA256, C.TLS_AES_256_GCM_SHA384):
        assert SUITES13[code].record_limit <= 2**24.5
        assert SUITES13[code].record_limit > 2**24
    assert all(suite.record_limit < 2**64 - 1 for suite in SUITES13.values())


def test_chacha20_poly1305_of_rfc8439() -> None:
    # RFC 8439 2.8.2
    aead = SUITES13[C.TLS_CHACHA20_POLY1305_SHA256].aead(bytes(range(0x80, 0xA0)))
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would "
        b"be it."
    )
    nonce, header = bytes.fromhex("070000004041424344454647"), bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    sealed = aead.encrypt(nonce, plaintext, header)
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_aes_gcm_of_its_specification() -> None:
    # McGrew and Viega, The Galois/Counter Mode of Operation, test cases 2 and 14
    small = SUITES13[C.TLS_AES_128_GCM_SHA256].aead(bytes(16)).encrypt(bytes(12), bytes(16), b"")
    assert small.hex() == "0388dace60b6a392f328c2b971b2fe78" + "ab6e47d42cec13bdf53a67b21257bddf"
    large = SUITES13[C.TLS_AES_256_GCM_SHA384].aead(bytes(32)).encrypt(bytes(12), bytes(16), b"")
    assert large.hex() == "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"
