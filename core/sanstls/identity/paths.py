"""A path builder for the chains that ``cryptography``'s verifier does not take: those with Ed25519 or Ed448 keys.

It enforces what RFC 5280 6.1 asks for, or refuses: what it does not evaluate (name
constraints, unknown critical extensions) is never passed over.
"""

import datetime
from collections.abc import Sequence
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from sanstls.errors import CertificateError
from sanstls.identity.diagnosis import (
    check_leaf_name,
    check_validity,
    describe,
    explain_path,
    weak_signature,
)
from sanstls.identity.trust import TrustStore
from sanstls.wire.registries import AlertDescription as Alert

__all__ = ["find_path", "needs_own_builder"]

Role = Literal["server", "client"]

_MAX_DEPTH = 10
_MAX_SIGNATURES = 64
_MIN_RSA_BITS = 2048
_EVALUATED = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
)


_EDDSA_OIDS = frozenset({x509.SignatureAlgorithmOID.ED25519, x509.SignatureAlgorithmOID.ED448})


def needs_own_builder(chain: Sequence[x509.Certificate]) -> bool:
    """Whether an Ed25519 or Ed448 key or signature is in the way of ``cryptography``'s verifier.

    An anchor with such a key shows in the signature below it.
    """
    for certificate in chain:
        # Keys and signatures of these schemes have the same OID (RFC 8410 3).
        if certificate.signature_algorithm_oid in _EDDSA_OIDS or certificate.public_key_algorithm_oid in _EDDSA_OIDS:
            return True
    return False


def find_path(
    chain: Sequence[x509.Certificate],
    store: TrustStore,
    *,
    server_name: str | None,
    when: datetime.datetime,
    role: Role,
    strict: bool,
) -> tuple[x509.Certificate, ...]:
    """A path from the leaf to an anchor on which everything holds. Raises :class:`CertificateError`."""
    leaf = chain[0]
    if role == "server" and server_name is not None:
        check_leaf_name(leaf, server_name)
    _check_common(0, leaf, when)
    _check_usage(0, leaf, role, is_authority=False)
    if not strict and leaf in store:
        return (leaf,)
    budget = [_MAX_SIGNATURES]
    refusals: list[CertificateError] = []
    path = _extend((leaf,), chain, store, when, role, budget, refusals)
    if path is not None:
        return path
    if refusals:
        raise refusals[0]
    explain_path(chain, store, when)
    raise CertificateError("no valid path leads from it to a trusted certificate", certificate=describe(0, leaf))


def _extend(
    path: tuple[x509.Certificate, ...],
    chain: Sequence[x509.Certificate],
    store: TrustStore,
    when: datetime.datetime,
    role: Role,
    budget: list[int],
    refusals: list[CertificateError],
) -> tuple[x509.Certificate, ...] | None:
    """Depth first: anchors before intermediates."""
    current = path[-1]
    candidates = [(anchor, True) for anchor in store.issuers_of(current)]
    if len(path) < _MAX_DEPTH:
        candidates += [(c, False) for c in chain[1:] if c.subject == current.issuer and c not in path]
    for issuer, is_anchor in candidates:
        budget[0] -= 1
        if budget[0] < 0:
            raise CertificateError("its chain has too many possible paths", certificate=describe(0, path[0]))
        try:
            current.verify_directly_issued_by(issuer)
        except Exception:  # noqa: S112 - whatever the reason, this candidate is not the issuer
            continue
        place = chain.index(issuer) if issuer in chain else len(chain)
        try:
            _check_common(place, issuer, when)
            _check_authority(place, issuer, below=len([c for c in path[1:] if c.subject != c.issuer]))
            _check_usage(place, issuer, role, is_authority=True)
        except CertificateError as error:
            refusals.append(error)
            continue
        if is_anchor:
            return (*path, issuer)
        found = _extend((*path, issuer), chain, store, when, role, budget, refusals)
        if found is not None:
            return found
    return None


def _check_common(index: int, certificate: x509.Certificate, when: datetime.datetime) -> None:
    check_validity(index, certificate, when)
    name = describe(index, certificate)
    if certificate.version is not x509.Version.v3:
        raise CertificateError("it is no X.509 version 3 certificate", certificate=name)
    if (weak := weak_signature(certificate)) is not None:
        raise CertificateError(f"it is signed with {weak}, which is broken", certificate=name)
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        is_strong = key.key_size >= _MIN_RSA_BITS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        is_strong = key.curve.name in ("secp256r1", "secp384r1", "secp521r1")
    else:
        is_strong = isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    if not is_strong:
        raise CertificateError("its key is too weak or of an unsupported kind", certificate=name)
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.NameConstraints):
            raise CertificateError(
                "it constrains names, which is not evaluated for Ed25519 and Ed448 chains",
                alert=Alert.unsupported_certificate,
                certificate=name,
            )
        if extension.critical and not isinstance(extension.value, _EVALUATED):
            raise CertificateError(
                f"it has the critical extension {extension.oid.dotted_string}, which is not understood",
                alert=Alert.unsupported_certificate,
                certificate=name,
            )


def _check_authority(index: int, certificate: x509.Certificate, *, below: int) -> None:
    """RFC 5280 4.2.1.9; ``below`` counts the intermediates between this one and the leaf."""
    name = describe(index, certificate)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise CertificateError("it is no authority (no basicConstraints)", certificate=name) from None
    if not constraints.ca:
        raise CertificateError("it is no authority (CA:FALSE), but issued another certificate", certificate=name)
    if constraints.path_length is not None and below > constraints.path_length:
        raise CertificateError(
            f"at most {constraints.path_length} authorities may stand below it, there are {below}", certificate=name
        )


def _check_usage(index: int, certificate: x509.Certificate, role: Role, *, is_authority: bool) -> None:
    """RFC 5280 4.2.1.3 and 4.2.1.12, where the extensions are present."""
    name = describe(index, certificate)
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.KeyUsage) and not (value.key_cert_sign if is_authority else value.digital_signature):
            need = "keyCertSign" if is_authority else "digitalSignature"
            raise CertificateError(f"its key usage lacks {need}", alert=Alert.unsupported_certificate, certificate=name)
        if isinstance(value, x509.ExtendedKeyUsage):
            usages = x509.oid.ExtendedKeyUsageOID
            wanted = usages.SERVER_AUTH if role == "server" else usages.CLIENT_AUTH
            if wanted not in value and usages.ANY_EXTENDED_KEY_USAGE not in value:
                raise CertificateError(
                    f"its extended key usage does not allow a TLS {role}",
                    alert=Alert.unsupported_certificate,
                    certificate=name,
                )
