"""A small certificate factory: authorities and leaves of any key type, with any defect by keyword."""

import datetime
import ipaddress
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sanstls.crypto.signatures import PrivateKey

KeyType = Literal["rsa", "rsa-b", "p256", "p384", "p521", "ed25519", "ed448", "mldsa44", "mldsa65", "mldsa87"]
EDDSA: tuple[KeyType, ...] = ("ed25519", "ed448")
KEY_TYPES: tuple[KeyType, ...] = ("rsa", "p256", "p384", "p521", "mldsa65", *EDDSA)

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
AT = NOW.timestamp()
BEGIN, END = NOW - datetime.timedelta(days=30), NOW + datetime.timedelta(days=30)
DAY = 86400.0

SERVER_AUTH, CLIENT_AUTH = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY_USE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")

_CURVES: dict[str, type[ec.EllipticCurve]] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}


_MLDSA: dict[str, Any] = {
    "mldsa44": mldsa.MLDSA44PrivateKey,
    "mldsa65": mldsa.MLDSA65PrivateKey,
    "mldsa87": mldsa.MLDSA87PrivateKey,
}


def new_key(key_type: KeyType) -> PrivateKey:
    """A fresh key; RSA keys, which are slow to make, are always the same ones (``rsa`` and ``rsa-b``)."""
    if key_type in ("rsa", "rsa-b"):
        return rsa_key(key_type)
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if key_type == "ed448":
        return ed448.Ed448PrivateKey.generate()
    if key_type in _MLDSA:
        return _MLDSA[key_type].generate()
    return ec.generate_private_key(_CURVES[key_type]())


@cache
def rsa_key(_: str = "rsa", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


class Issued(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: bytes | None = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
        return self._key(Encoding.PEM, password, form)

    def key_der(self, password: bytes | None = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
        return self._key(Encoding.DER, password, form)

    def _key(self, encoding: Encoding, password: bytes | None, form: PrivateFormat) -> bytes:
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        return self.key.private_bytes(encoding, form, encryption)


def name_of(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def key_usage(*bits: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{bit: bit in bits for bit in every})


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    subject: str,
    key: PrivateKey,
    issuer: Issued | None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    *,
    begin: datetime.datetime = BEGIN,
    end: datetime.datetime = END,
    signed_by: PrivateKey | None = None,
    issuer_name: str | None = None,
    key_identifiers: bool = True,
) -> Issued:
    signer = signed_by or (issuer.key if issuer else key)
    given = issuer.certificate.subject if issuer else name_of(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(given if issuer_name is None else name_of(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    if key_identifiers:
        authority = issuer.key.public_key() if issuer else key.public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    is_eddsa = not isinstance(signer, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return Issued(builder.sign(signer, None if is_eddsa else hashes.SHA256()), key)


def authority(
    name: str = "Root",
    issuer: Issued | None = None,
    *,
    key_type: KeyType = "p256",
    key: PrivateKey | None = None,
    constraints: x509.BasicConstraints | Literal["CA"] | None = "CA",
    path_length: int | None = None,
    usage: x509.KeyUsage | None = key_usage("key_cert_sign", "crl_sign"),  # noqa: B008 - immutable
    purposes: Sequence[x509.ObjectIdentifier] = (),
    permitted: Sequence[x509.GeneralName] = (),
    excluded: Sequence[x509.GeneralName] = (),
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    **rest: Any,
) -> Issued:
    """A certificate authority; without ``issuer`` a self-signed one. Good unless told otherwise."""
    extensions: list[tuple[x509.ExtensionType, bool]] = list(extra)
    if constraints == "CA":
        constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    if constraints is not None:
        extensions.append((constraints, True))
    if usage is not None:
        extensions.append((usage, True))
    if purposes:
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    if permitted or excluded:
        extensions.append((x509.NameConstraints(list(permitted) or None, list(excluded) or None), True))
    return _certificate(name, key or new_key(key_type), issuer, extensions, **rest)


def leaf(
    issuer: Issued | None,
    *names: str,
    key_type: KeyType = "p256",
    key: PrivateKey | None = None,
    subject: str = "",
    constraints: x509.BasicConstraints | None = None,
    usage: x509.KeyUsage | None = key_usage("digital_signature"),  # noqa: B008 - immutable
    purposes: Sequence[x509.ObjectIdentifier] = (SERVER_AUTH, CLIENT_AUTH),
    san: bool = True,
    san_critical: bool | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    **rest: Any,
) -> Issued:
    """An end entity's certificate, good for both roles and for ``a.example`` unless told otherwise."""
    extensions: list[tuple[x509.ExtensionType, bool]] = list(extra)
    if san:
        alternatives = x509.SubjectAlternativeName([general_name(name) for name in names or ("a.example",)])
        extensions.append((alternatives, not subject if san_critical is None else san_critical))
    if constraints is not None:
        extensions.append((constraints, True))
    if usage is not None:
        extensions.append((usage, True))
    if purposes:
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    return _certificate(subject, key or new_key(key_type), issuer, extensions, **rest)


def certificates(*issued: Issued) -> list[x509.Certificate]:
    return [each.certificate for each in issued]


# ------------------------------------------------------------------------ what the builder of `cryptography` won't make


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def with_tbs(
    issued: Issued,
    old: bytes,
    new: bytes,
    signer: PrivateKey,
    *,
    signature_algorithm: bytes | None = None,
    hash_algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    """The certificate with ``old`` replaced in its signed part and signed anew (ECDSA or EdDSA)."""
    certificate = issued.certificate
    tbs = certificate.tbs_certificate_bytes
    assert old in tbs
    content = tbs[4:] if tbs[1] == 0x82 else tbs[3:]
    changed = _tlv(0x30, content.replace(old, new))
    if isinstance(signer, ec.EllipticCurvePrivateKey):
        signature = signer.sign(changed, ec.ECDSA(hash_algorithm or hashes.SHA256()))
    else:
        assert not isinstance(signer, rsa.RSAPrivateKey)
        signature = signer.sign(changed)
    whole = certificate.public_bytes(Encoding.DER)
    start = whole.index(tbs) + len(tbs)
    algorithm = signature_algorithm or whole[start : start + 2 + whole[start + 1]]
    return x509.load_der_x509_certificate(_tlv(0x30, changed + algorithm + _tlv(0x03, b"\x00" + signature)))


_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")


def sha1_signed(issued: Issued, signer: PrivateKey) -> Issued:
    """The same, signed with ECDSA and SHA-1."""
    certificate = with_tbs(
        issued,
        _ECDSA_SHA256,
        _ECDSA_SHA1,
        signer,
        signature_algorithm=_ECDSA_SHA1,
        hash_algorithm=hashes.SHA1(),  # noqa: S303 - that is the point
    )
    return Issued(certificate, issued.key)


_RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
_RSASSA_PSS = bytes.fromhex("300b06092a864886f70d01010a")


def pss_leaf(issuer: Issued, *names: str, bits: int = 2048, **options: Any) -> Issued:
    """A leaf whose key is of the type RSASSA-PSS (RFC 4055), which may only sign with PSS."""
    plain = leaf(issuer, *names, key=rsa_key("pss", bits), **options)
    spki = plain.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bit_string = spki[spki.index(_RSA_ENCRYPTION) + len(_RSA_ENCRYPTION) :]
    return Issued(with_tbs(plain, spki, _tlv(0x30, _RSASSA_PSS + bit_string), issuer.key), plain.key)
