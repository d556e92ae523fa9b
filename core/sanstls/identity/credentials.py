"""One's own certificates, with the key that proves them."""

import ipaddress
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from sanstls.crypto.signatures import RSASSA_PSS_OID, SCHEMES12, PrivateKey, PublicKey, scheme_of_key
from sanstls.errors import LocalError
from sanstls.identity.names import matches, parse_server_name
from sanstls.wire.registries import SignatureScheme

__all__ = ["Credential"]

_MAX_CHAIN = 10
_CURVES = {
    "secp256r1": SignatureScheme.ecdsa_secp256r1_sha256,
    "secp384r1": SignatureScheme.ecdsa_secp384r1_sha384,
    "secp521r1": SignatureScheme.ecdsa_secp521r1_sha512,
}
_RSAE = (
    SignatureScheme.rsa_pss_rsae_sha256,
    SignatureScheme.rsa_pss_rsae_sha384,
    SignatureScheme.rsa_pss_rsae_sha512,
)
_PSS = (
    SignatureScheme.rsa_pss_pss_sha256,
    SignatureScheme.rsa_pss_pss_sha384,
    SignatureScheme.rsa_pss_pss_sha512,
)
_RSA_PKCS1 = (
    SignatureScheme.rsa_pkcs1_sha256,
    SignatureScheme.rsa_pkcs1_sha384,
    SignatureScheme.rsa_pkcs1_sha512,
)
_HASH_SIZES = (32, 48, 64)


def _schemes_of(key: object, oid: str) -> tuple[SignatureScheme, ...]:
    """The TLS 1.3 schemes that a key can sign with, best first."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return (_CURVES[key.curve.name],)
    only = scheme_of_key(key)
    if only is not None:
        return (only,)
    if isinstance(key, rsa.RSAPublicKey):
        room = (key.key_size + 6) // 8  # RFC 8017 9.1.1: hash, salt of the same size, and two bytes must fit
        family = _PSS if oid == RSASSA_PSS_OID else _RSAE
        return tuple([scheme for scheme, size in zip(family, _HASH_SIZES, strict=True) if room >= 2 * size + 2])
    return ()


class Credential:
    """A certificate chain and its private key, checked against each other. Immutable.

    ``chain`` is DER, leaf first. Without a ``key`` every signature is asked for by a
    ``SignatureRequest``. ``ocsp_response`` (DER) is stapled for peers that ask for it.
    Raises ``LocalError`` for what does not belong together.
    """

    __slots__ = (
        "can_decrypt",
        "can_sign",
        "certificates",
        "chain",
        "key",
        "names",
        "ocsp_response",
        "public_key",
        "signature_schemes",
    )

    def __init__(self, chain: Sequence[bytes], key: PrivateKey | None, *, ocsp_response: bytes = b"") -> None:
        self.ocsp_response = bytes(ocsp_response)
        self.chain = tuple(bytes(der) for der in chain)
        if not 0 < len(self.chain) <= _MAX_CHAIN:
            raise LocalError(f"a chain has 1 to {_MAX_CHAIN} certificates, not {len(self.chain)}")
        try:
            self.certificates = tuple(x509.load_der_x509_certificate(der) for der in self.chain)
            public_key = self.leaf.public_key()
            oid = self.leaf.public_key_algorithm_oid.dotted_string
            self.names = _names_of(self.leaf)
            usage = _key_usage_of(self.leaf)
            names = [(certificate.subject, certificate.issuer) for certificate in self.certificates]
        except Exception as error:  # the parser has errors of many types
            raise LocalError(f"a certificate of the chain can't be read: {error}") from error
        for index, ((_, issuer), (subject, _)) in enumerate(pairwise(names)):
            if issuer != subject:
                raise LocalError(
                    f"the chain is out of order: certificate {index} was issued by "
                    f"{issuer.rfc4514_string()!r}, but certificate {index + 1} is {subject.rfc4514_string()!r}"
                )
        self.signature_schemes = _schemes_of(public_key, oid)
        if not self.signature_schemes:
            raise LocalError(f"a key of type {type(public_key).__name__} can't sign TLS 1.3 handshakes")
        self.public_key: PublicKey = public_key  # type: ignore[assignment]  # other types have no schemes
        is_plain_rsa = self.signature_schemes[0] in _RSAE
        self.can_sign = usage is None or usage.digital_signature
        """Whether the certificate allows signatures, as all handshakes but those of RSA key transport need them."""
        self.can_decrypt = is_plain_rsa and (usage is None or usage.key_encipherment)
        """Whether the key can be that of RSA key transport: plain RSA, and not only for signatures."""
        self.key = key
        if key is not None:
            if not isinstance(key, PrivateKey):
                raise LocalError(f"a private key is needed, not a {type(key).__name__}")
            if _spki(key.public_key()) != _spki(self.public_key):
                raise LocalError(f"the private key does not belong to the certificate of {self._subject}")

    @classmethod
    def from_pem(
        cls, chain_pem: bytes | str, key_pem: bytes | str | None, password: bytes | str | None = None
    ) -> "Credential":
        """From PEM: the chain, leaf first, and the key (PKCS #8, PKCS #1 or SEC 1; ``None``: it is kept elsewhere)."""
        try:
            certificates = x509.load_pem_x509_certificates(_as_bytes(chain_pem))
        except Exception as error:  # the parser has errors of many types
            raise LocalError(f"the PEM text holds no readable certificates: {error}") from error
        chain = [certificate.public_bytes(Encoding.DER) for certificate in certificates]
        return cls(chain, None if key_pem is None else _load_key(_as_bytes(key_pem), password, is_pem=True))

    @classmethod
    def from_der(
        cls, chain: Sequence[bytes], key_der: bytes | None, password: bytes | str | None = None
    ) -> "Credential":
        """From DER certificates, leaf first, and a DER key (PKCS #8, PKCS #1 or SEC 1)."""
        return cls(chain, None if key_der is None else _load_key(key_der, password, is_pem=False))

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that the key belongs to."""
        return self.certificates[0]

    def stapled(self, ocsp_response: bytes) -> "Credential":
        """The same with another OCSP response (DER, as of RFC 6960): they are renewed more often than certificates."""
        return Credential(self.chain, self.key, ocsp_response=ocsp_response)

    @property
    def signature_schemes_tls12(self) -> tuple[SignatureScheme, ...]:
        """The schemes for TLS 1.2, best first: PKCS #1 v1.5, which TLS 1.3 does not sign with, comes last."""
        if self.signature_schemes[0] not in SCHEMES12:
            return ()
        is_plain_rsa = self.signature_schemes[0] in _RSAE
        return self.signature_schemes + _RSA_PKCS1 if is_plain_rsa else self.signature_schemes

    def matches(self, server_name: str) -> bool:
        """Whether the leaf is for this DNS name or IP address."""
        try:
            asked = parse_server_name(server_name)
        except LocalError:  # whatever a peer asks for
            return False
        if isinstance(asked, str):
            return any(matches(name, asked) for name in self.names)
        return str(asked) in self.names

    @property
    def _subject(self) -> str:
        return self.leaf.subject.rfc4514_string() or ", ".join(self.names) or "(no name)"

    def __repr__(self) -> str:
        return f"<Credential of {self._subject}: {', '.join(map(str, self.signature_schemes))}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Credential holds a private key and can't be pickled")


def _as_bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def _spki(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names: list[str] = list(san.get_values_for_type(x509.DNSName))
    for address in san.get_values_for_type(x509.IPAddress):
        if isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
            names.append(str(address))
    return tuple(names)


def _key_usage_of(leaf: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _load_key(data: bytes, password: bytes | str | None, *, is_pem: bool) -> PrivateKey:
    load = load_pem_private_key if is_pem else load_der_private_key
    try:
        key = load(data, password=None if password is None else _as_bytes(password))
    except TypeError as error:  # how cryptography tells a missing or a needless password
        hint = "it is encrypted: give password=" if password is None else "it is not encrypted: give no password"
        raise LocalError(f"the private key can't be read: {hint}") from error
    except (ValueError, UnsupportedAlgorithm):
        what = "wrong password, or damaged" if password is not None else "no private key, damaged, or of unknown form"
        raise LocalError(f"the private key can't be read: {what}") from None
    if not isinstance(key, PrivateKey):
        raise LocalError(f"a key of type {type(key).__name__} can't sign TLS 1.3 handshakes")
    return key
