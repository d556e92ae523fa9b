"""Signature schemes (RFC 9846 4.3.3, RFC 8422 5.1.3, ML-DSA): which keys they fit, how to sign, how to verify."""

from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa

from sanstls.wire.registries import SignatureScheme

__all__ = [
    "SCHEMES",
    "SCHEMES12",
    "SCHEMES13",
    "PrivateKey",
    "PublicKey",
    "fits",
    "fits12",
    "scheme_of_key",
    "sign",
    "verify",
]

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
PublicKey = (
    rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)

RSASSA_PSS_OID = "1.2.840.113549.1.1.10"


class _Pss(NamedTuple):
    hash: hashes.HashAlgorithm
    is_pss_key: bool


class _Ecdsa(NamedTuple):
    hash: hashes.HashAlgorithm
    curve: str


_PSS = {
    SignatureScheme.rsa_pss_rsae_sha256: _Pss(hashes.SHA256(), False),
    SignatureScheme.rsa_pss_rsae_sha384: _Pss(hashes.SHA384(), False),
    SignatureScheme.rsa_pss_rsae_sha512: _Pss(hashes.SHA512(), False),
    SignatureScheme.rsa_pss_pss_sha256: _Pss(hashes.SHA256(), True),
    SignatureScheme.rsa_pss_pss_sha384: _Pss(hashes.SHA384(), True),
    SignatureScheme.rsa_pss_pss_sha512: _Pss(hashes.SHA512(), True),
}
_PKCS1: dict[SignatureScheme, hashes.HashAlgorithm] = {
    SignatureScheme.rsa_pkcs1_sha256: hashes.SHA256(),
    SignatureScheme.rsa_pkcs1_sha384: hashes.SHA384(),
    SignatureScheme.rsa_pkcs1_sha512: hashes.SHA512(),
}
_ECDSA = {
    SignatureScheme.ecdsa_secp256r1_sha256: _Ecdsa(hashes.SHA256(), "secp256r1"),
    SignatureScheme.ecdsa_secp384r1_sha384: _Ecdsa(hashes.SHA384(), "secp384r1"),
    SignatureScheme.ecdsa_secp521r1_sha512: _Ecdsa(hashes.SHA512(), "secp521r1"),
}
_MLDSA: dict[SignatureScheme, tuple[type, type]] = {
    SignatureScheme.mldsa44: (mldsa.MLDSA44PublicKey, mldsa.MLDSA44PrivateKey),
    SignatureScheme.mldsa65: (mldsa.MLDSA65PublicKey, mldsa.MLDSA65PrivateKey),
    SignatureScheme.mldsa87: (mldsa.MLDSA87PublicKey, mldsa.MLDSA87PrivateKey),
}
# Those of which a key has one scheme and no choice of a hash.
_BY_KEY: dict[SignatureScheme, tuple[type, type]] = {
    SignatureScheme.ed25519: (ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey),
    SignatureScheme.ed448: (ed448.Ed448PublicKey, ed448.Ed448PrivateKey),
    **_MLDSA,
}

SCHEMES13: frozenset[SignatureScheme] = frozenset([*_PSS, *_ECDSA, *_BY_KEY])
"""The schemes that may sign a TLS 1.3 CertificateVerify; PKCS #1 v1.5 and SHA-1 may not (RFC 9846 4.5.2)."""

SCHEMES: frozenset[SignatureScheme] = SCHEMES13 | frozenset(_PKCS1)
"""All that can be used."""

SCHEMES12: frozenset[SignatureScheme] = SCHEMES - frozenset(_MLDSA)
"""The schemes that may sign in TLS 1.2; SHA-1 (RFC 9155) and ML-DSA (draft-ietf-tls-mldsa 3) may not."""


def scheme_of_key(key: object) -> SignatureScheme | None:
    """The one scheme of a key that has only one: EdDSA and ML-DSA."""
    return next((scheme for scheme, (public, _) in _BY_KEY.items() if isinstance(key, public)), None)


def _pss(hash_algorithm: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(hash_algorithm), hash_algorithm.digest_size)


_ECDSA_ALGORITHM = {scheme: ec.ECDSA(entry.hash) for scheme, entry in _ECDSA.items()}
_RSA: dict[SignatureScheme, tuple[padding.PSS | padding.PKCS1v15, hashes.HashAlgorithm]] = {
    **{scheme: (_pss(entry.hash), entry.hash) for scheme, entry in _PSS.items()},
    **{scheme: (padding.PKCS1v15(), hash_algorithm) for scheme, hash_algorithm in _PKCS1.items()},
}


def fits(scheme: SignatureScheme, key: PublicKey, key_oid: str) -> bool:
    """Whether a TLS 1.3 signature by ``scheme`` can be of this key.

    ``key_oid`` is the dotted OID of the key's algorithm in its certificate, which
    alone tells an RSASSA-PSS key from a plain RSA key.
    """
    if scheme in _ECDSA:
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == _ECDSA[scheme].curve
    if scheme in _PSS:
        return isinstance(key, rsa.RSAPublicKey) and _PSS[scheme].is_pss_key == (key_oid == RSASSA_PSS_OID)
    if scheme in _BY_KEY:
        return isinstance(key, _BY_KEY[scheme][0])
    return False


def fits12(scheme: SignatureScheme, key: PublicKey, key_oid: str) -> bool:
    """Whether a TLS 1.2 signature by ``scheme`` can be of this key; ``key_oid`` as for :func:`fits`.

    There ECDSA schemes name the hash alone, and keys of any curve can sign by
    them (RFC 9846 4.3.3); whether the curve was offered is not looked at here.
    """
    if scheme in _ECDSA:
        return isinstance(key, ec.EllipticCurvePublicKey)
    if scheme in _PKCS1:
        return isinstance(key, rsa.RSAPublicKey) and key_oid != RSASSA_PSS_OID
    return scheme not in _MLDSA and fits(scheme, key, key_oid)


def sign(scheme: SignatureScheme, key: PrivateKey, message: bytes, *, is_deterministic: bool = False) -> bytes:
    """Sign ``message`` (not a digest).

    ``is_deterministic`` makes ECDSA take its nonce from key and message (RFC 6979).
    Raises ``ValueError`` if the key is too small for the scheme's hash.
    """
    if scheme in _ECDSA and isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = _ECDSA_ALGORITHM[scheme]
        if is_deterministic:
            try:
                return key.sign(message, ec.ECDSA(_ECDSA[scheme].hash, deterministic_signing=True))
            except UnsupportedAlgorithm:  # an OpenSSL before 3.2: a signature that can't be replayed is still right
                pass
        return key.sign(message, algorithm)
    if scheme in _RSA and isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, *_RSA[scheme])
    if scheme in _BY_KEY and isinstance(key, _BY_KEY[scheme][1]):
        signature: bytes = key.sign(message)  # type: ignore[call-arg]  # only ECDSA and RSA want more
        return signature
    raise ValueError(f"a key of type {type(key).__name__} can't sign with {scheme}")


def verify(scheme: SignatureScheme, key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` is right. ``scheme`` must fit the key (:func:`fits`, :func:`fits12`)."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, _ECDSA_ALGORITHM[scheme])
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, *_RSA[scheme])
        else:
            key.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
