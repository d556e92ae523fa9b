"""Cipher suites: their sizes, and AEADs with the published test vectors."""

import hashlib

import pytest

from sanstls.crypto.suites import SUITES12, SUITES13, InvalidTag, Suite, Suite12
from sanstls.wire.registries import CipherSuite as C

each_suite13 = pytest.mark.parametrize("suite", SUITES13.values(), ids=lambda suite: str(suite.suite))
each_suite = pytest.mark.parametrize(
    "suite", [*SUITES13.values(), *SUITES12.values()], ids=lambda suite: str(suite.suite)
)

# RFC 9846 B.4, RFC 5116, RFC 6655, RFC 8439: hash, hash size, key size, tag size.
TABLE = {
    C.TLS_AES_128_GCM_SHA256: ("sha256", 32, 16, 16),
    C.TLS_AES_256_GCM_SHA384: ("sha384", 48, 32, 16),
    C.TLS_CHACHA20_POLY1305_SHA256: ("sha256", 32, 32, 16),
    C.TLS_AES_128_CCM_SHA256: ("sha256", 32, 16, 16),
    C.TLS_AES_128_CCM_8_SHA256: ("sha256", 32, 16, 8),
}

# RFC 5288 3, RFC 5289 3.2, RFC 7905 2: hash; sizes of key, fixed IV, explicit nonce and tag; key exchange; signature.
GCM128, GCM256, CHACHA20 = ("sha256", 16, 4, 8, 16), ("sha384", 32, 4, 8, 16), ("sha256", 32, 12, 0, 16)
TABLE12 = {
    C.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: (*GCM128, "ECDHE", "ECDSA"),
    C.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: (*GCM256, "ECDHE", "ECDSA"),
    C.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: (*CHACHA20, "ECDHE", "ECDSA"),
    C.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: (*GCM128, "ECDHE", "RSA"),
    C.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: (*GCM256, "ECDHE", "RSA"),
    C.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: (*CHACHA20, "ECDHE", "RSA"),
    C.TLS_RSA_WITH_AES_128_GCM_SHA256: (*GCM128, "RSA", "RSA"),
    C.TLS_RSA_WITH_AES_256_GCM_SHA384: (*GCM256, "RSA", "RSA"),
}


def test_the_table() -> None:
    found = {code: (s.hash_name, s.hash_size, s.key_size, s.tag_size) for code, s in SUITES13.items()}
    assert found == TABLE
    assert all(code == suite.suite for code, suite in SUITES13.items())


def test_the_table_of_tls12() -> None:
    found = {
        code: (
            *(s.hash_name, s.key_size, s.fixed_iv_size, s.explicit_nonce_size, s.tag_size),
            *(s.key_exchange, s.authentication),
        )
        for code, s in SUITES12.items()
    }
    assert found == TABLE12
    assert all(code == suite.suite for code, suite in SUITES12.items())
    assert all(suite.fixed_iv_size + suite.explicit_nonce_size == 12 for suite in SUITES12.values())


@pytest.mark.parametrize("suite", SUITES12.values(), ids=lambda suite: str(suite.suite))
def test_the_names_of_tls12_tell_the_same(suite: Suite12) -> None:
    parts = str(suite.suite).removeprefix("TLS_").split("_WITH_")
    assert parts[0] == ("RSA" if suite.key_exchange == "RSA" else f"ECDHE_{suite.authentication}")
    assert suite.hash_name == parts[1].rpartition("_")[2].lower()
    assert ("CHACHA20" in parts[1]) == (suite.aead is SUITES13[C.TLS_CHACHA20_POLY1305_SHA256].aead)
    assert "CHACHA20" in parts[1] or f"AES_{8 * suite.key_size}_GCM" in parts[1]


@each_suite
def test_the_hash(suite: Suite | Suite12) -> None:
    running = suite.hash(b"ab")
    running.update(b"c")
    assert running.digest() == hashlib.new(suite.hash_name, b"abc").digest()


@each_suite13
def test_the_size_of_the_hash(suite: Suite) -> None:
    assert len(suite.hash().digest()) == suite.hash_size


@each_suite
def test_the_aead(suite: Suite | Suite12) -> None:
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
def test_keys_of_another_size_are_refused(suite: Suite | Suite12) -> None:
    with pytest.raises(ValueError, match=r"[Kk]ey"):
        suite.aead(bytes(suite.key_size - 1))


@each_suite
def test_record_limits(suite: Suite | Suite12) -> None:
    # RFC 9846 5.5: 2^24.5 full-size records
    if "GCM" in str(suite.suite):
        assert 2**24 < suite.record_limit <= 2**24.5
    assert suite.record_limit < 2**64 - 1


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
