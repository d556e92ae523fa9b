"""Signature schemes: which keys they fit, what they sign, and that nothing a peer signs with raises."""

from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from sanstls.crypto.signatures import RSASSA_PSS_OID, SCHEMES, SCHEMES12, SCHEMES13, fits, fits12, sign, verify
from sanstls.wire.registries import SignatureScheme as S

RSA_OID, EC_OID, ED25519_OID, ED448_OID = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112", "1.3.101.113"
MESSAGE = b"what is signed"

# Each kind of key with the OID of its certificate, and what it can sign with in TLS 1.3 (RFC 9846 4.3.3).
MLDSA: dict[str, Any] = {
    "mldsa44": mldsa.MLDSA44PrivateKey,
    "mldsa65": mldsa.MLDSA65PrivateKey,
    "mldsa87": mldsa.MLDSA87PrivateKey,
}
FITS = {
    "rsa": (RSA_OID, {S.rsa_pss_rsae_sha256, S.rsa_pss_rsae_sha384, S.rsa_pss_rsae_sha512}),
    "rsa-pss": (RSASSA_PSS_OID, {S.rsa_pss_pss_sha256, S.rsa_pss_pss_sha384, S.rsa_pss_pss_sha512}),
    "p256": (EC_OID, {S.ecdsa_secp256r1_sha256}),
    "p384": (EC_OID, {S.ecdsa_secp384r1_sha384}),
    "p521": (EC_OID, {S.ecdsa_secp521r1_sha512}),
    "secp256k1": (EC_OID, set()),
    "ed25519": (ED25519_OID, {S.ed25519}),
    "ed448": (ED448_OID, {S.ed448}),
    **{name: (f"2.16.840.1.101.3.4.3.{number}", {S[name]}) for number, name in enumerate(MLDSA, 17)},
}
PKCS1 = {S.rsa_pkcs1_sha256, S.rsa_pkcs1_sha384, S.rsa_pkcs1_sha512}
KEY_OF = {scheme: name for name, (_, schemes) in FITS.items() for scheme in schemes} | dict.fromkeys(PKCS1, "rsa")
CURVES = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1(), "secp256k1": ec.SECP256K1()}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}

each_scheme = pytest.mark.parametrize("scheme", sorted(SCHEMES), ids=str)


@cache
def key(name: str, another: int = 0) -> Any:
    if name in CURVES:
        return ec.generate_private_key(CURVES[name])
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if name == "ed448":
        return ed448.Ed448PrivateKey.generate()
    if name in MLDSA:
        return MLDSA[name].generate()
    return rsa.generate_private_key(65537, 2048) if name == "rsa" else key("rsa", another)


def test_the_schemes() -> None:
    assert set(KEY_OF) == SCHEMES
    assert SCHEMES - SCHEMES13 == PKCS1
    assert {S[name] for name in MLDSA} == SCHEMES - SCHEMES12


@pytest.mark.parametrize("name", FITS)
def test_what_fits(name: str) -> None:
    oid, schemes = FITS[name]
    assert {scheme for scheme in S if fits(scheme, key(name).public_key(), oid)} == schemes
    assert not fits(S(0xFE01), key(name).public_key(), oid)


@pytest.mark.parametrize("name", FITS)
def test_what_fits_in_tls12(name: str) -> None:
    oid, schemes = FITS[name]
    # RFC 9846 4.3.3: there an ECDSA scheme says nothing of the curve.
    expected = {scheme for scheme in S if scheme.name.startswith("ecdsa_secp")} if oid == EC_OID else set(schemes)
    expected |= PKCS1 if name == "rsa" else set()
    expected -= {S[name] for name in MLDSA}  # TLS 1.3 alone
    assert {scheme for scheme in S if fits12(scheme, key(name).public_key(), oid)} == expected
    assert not fits12(S(0xFE01), key(name).public_key(), oid)


@pytest.mark.parametrize("scheme", [S.rsa_pkcs1_sha1, S.ecdsa_sha1], ids=str)
def test_sha1_signs_no_handshake(scheme: S) -> None:
    assert scheme not in SCHEMES12
    for name in ("rsa", "p256"):
        with pytest.raises(ValueError, match=str(scheme)):
            sign(scheme, key(name), MESSAGE)


@pytest.mark.parametrize("name", ["p256", "p384", "p521", "secp256k1"])
@pytest.mark.parametrize("scheme", sorted(scheme for scheme in KEY_OF if scheme.name.startswith("ecdsa_")), ids=str)
def test_any_curve_signs_with_any_hash_in_tls12(scheme: S, name: str) -> None:
    private = key(name)
    for is_deterministic in (False, True):
        signature = sign(scheme, private, MESSAGE, is_deterministic=is_deterministic)
        private.public_key().verify(signature, MESSAGE, ec.ECDSA(HASHES[str(scheme)[-3:]]))
        assert verify(scheme, private.public_key(), signature, MESSAGE)
    for other in FITS["p256"][1] | FITS["p384"][1] | FITS["p521"][1]:
        assert verify(other, private.public_key(), signature, MESSAGE) == (other == scheme)


@each_scheme
def test_sign_and_verify(scheme: S) -> None:
    private, other = key(KEY_OF[scheme]), key(KEY_OF[scheme], 1)
    public = private.public_key()
    signature = sign(scheme, private, MESSAGE)
    assert verify(scheme, public, signature, MESSAGE)
    assert not verify(scheme, public, signature, MESSAGE + b"x")
    assert not verify(scheme, public, signature, b"")
    assert not verify(scheme, other.public_key(), signature, MESSAGE)
    for position in (0, len(signature) // 2, len(signature) - 1):
        changed = signature[:position] + bytes([signature[position] ^ 1]) + signature[position + 1 :]
        assert not verify(scheme, public, changed, MESSAGE)
    for malformed in (b"", b"\0", signature[:-1], signature + b"\0", b"\0" + signature, bytes(len(signature)), b"\x30"):
        assert not verify(scheme, public, malformed, MESSAGE)


@each_scheme
def test_signatures_of_another_implementation(scheme: S) -> None:
    private = key(KEY_OF[scheme])
    algorithm = HASHES.get(str(scheme)[-3:], hashes.SHA256())
    if scheme in PKCS1:
        theirs = private.sign(MESSAGE, padding.PKCS1v15(), algorithm)
        assert sign(scheme, private, MESSAGE) == theirs, "there is nothing random in it"
        pss = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
        assert not verify(scheme, private.public_key(), private.sign(MESSAGE, pss, algorithm), MESSAGE)
    elif isinstance(private, rsa.RSAPrivateKey):
        # RFC 9846 4.3.3: MGF1 with the same hash, and a salt as long as the digest.
        pss = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
        theirs = private.sign(MESSAGE, pss, algorithm)
        private.public_key().verify(sign(scheme, private, MESSAGE), MESSAGE, pss, algorithm)
        wrong_salt = private.sign(MESSAGE, padding.PSS(padding.MGF1(algorithm), 0), algorithm)
        assert not verify(scheme, private.public_key(), wrong_salt, MESSAGE)
        assert not verify(scheme, private.public_key(), private.sign(MESSAGE, padding.PKCS1v15(), algorithm), MESSAGE)
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        theirs = private.sign(MESSAGE, ec.ECDSA(algorithm))
        private.public_key().verify(sign(scheme, private, MESSAGE), MESSAGE, ec.ECDSA(algorithm))
    else:
        theirs = private.sign(MESSAGE)
        private.public_key().verify(sign(scheme, private, MESSAGE), MESSAGE)
    assert verify(scheme, private.public_key(), theirs, MESSAGE)


@each_scheme
@given(signature=st.binary(max_size=300))
@settings(max_examples=max(settings.default.max_examples // 5, 20))
def test_any_bytes_are_no_signature(scheme: S, signature: bytes) -> None:
    assert not verify(scheme, key(KEY_OF[scheme]).public_key(), signature, MESSAGE)


@pytest.mark.parametrize("name", ["p256", "p384", "p521"])
def test_numbers_out_of_range(name: str) -> None:
    (scheme,) = FITS[name][1]
    public = key(name).public_key()
    r, s = decode_dss_signature(sign(scheme, key(name), MESSAGE))
    for numbers in ((0, s), (r, 0), (0, 0), (r, 1 << 600), (1 << 5000, s)):
        assert not verify(scheme, public, encode_dss_signature(*numbers), MESSAGE)


@pytest.mark.parametrize("name", ["p256", "p384", "p521"])
def test_deterministic_ecdsa(name: str) -> None:
    (scheme,) = FITS[name][1]
    first, second = (sign(scheme, key(name), MESSAGE, is_deterministic=True) for _ in range(2))
    assert first == second
    assert verify(scheme, key(name).public_key(), first, MESSAGE)
    assert sign(scheme, key(name), MESSAGE + b"x", is_deterministic=True) != first
    assert sign(scheme, key(name), MESSAGE) != sign(scheme, key(name), MESSAGE)


def test_deterministic_ecdsa_of_rfc6979() -> None:
    # RFC 6979 A.2.5, with SHA-256 and the message "sample"
    private = ec.derive_private_key(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, ec.SECP256R1())
    signature = sign(S.ecdsa_secp256r1_sha256, private, b"sample", is_deterministic=True)
    assert decode_dss_signature(signature) == (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    )


@each_scheme
@pytest.mark.parametrize("name", ["rsa", "p256", "ed25519"])
def test_a_key_of_another_kind_does_not_sign(scheme: S, name: str) -> None:
    kind = {"rsa-pss": "rsa", "p384": "p256", "p521": "p256", "ed448": "ed25519"}.get(KEY_OF[scheme], KEY_OF[scheme])
    if kind != name:
        with pytest.raises(ValueError, match="can't sign"):
            sign(scheme, key(name), MESSAGE)


def test_a_key_that_is_too_small() -> None:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is what has to be refused
    sign(S.rsa_pss_rsae_sha256, small, MESSAGE)
    with pytest.raises(ValueError, match=r"."):
        sign(S.rsa_pss_rsae_sha512, small, MESSAGE)
