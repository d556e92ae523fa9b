"""A path builder for the chains that ``cryptography``'s verifier does not take: those with Ed25519 or Ed448 keys.

It enforces what RFC 5280 6.1 asks for, or refuses: what it does not evaluate (name
constraints, unknown critical extensions) is never passed over.
"""

import datetime
from collections.abc import Sequence
from typing import Literal

from cryptography import x509

from sanstls.errors import CertificateError
from sanstls.identity.diagnosis import (
    check_authority,
    check_key,
    check_leaf_name,
    check_usage,
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
) -> tuple[x509.Certificate, ...]:
    """A path from the leaf to an anchor on which everything holds. Raises :class:`CertificateError`.

    The leaf may itself be the anchor.
    """
    leaf = chain[0]
    if role == "server" and server_name is not None:
        check_leaf_name(leaf, server_name)
    _check_common(0, leaf, when)
    check_usage(0, leaf, role, is_authority=False)
    if leaf in store:
        return (leaf,)
    budget = [_MAX_SIGNATURES]
    refusals: list[CertificateError] = []
    path = _extend((leaf,), chain, store, when, role, budget, refusals)
    if path is not None:
        return path
    if refusals:
        raise refusals[0]
    explain_path(chain, store, when, role)
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
    below = len([certificate for certificate in path[1:] if certificate.subject != certificate.issuer])
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
            _check_common(place, issuer, when, is_anchor=is_anchor)
            check_authority(place, issuer, below=below)
            check_usage(place, issuer, role, is_authority=True)
        except CertificateError as error:
            refusals.append(error)
            continue
        except Exception as error:  # a hostile certificate can fail anywhere in the parser
            refusals.append(CertificateError("it is malformed", certificate=f"certificate {place}", advice=str(error)))
            continue
        if is_anchor:
            return (*path, issuer)
        found = _extend((*path, issuer), chain, store, when, role, budget, refusals)
        if found is not None:
            return found
    return None


def _check_common(
    index: int, certificate: x509.Certificate, when: datetime.datetime, *, is_anchor: bool = False
) -> None:
    check_validity(index, certificate, when)
    name = describe(index, certificate)
    if certificate.version is not x509.Version.v3:
        raise CertificateError("it is no X.509 version 3 certificate", certificate=name)
    if not is_anchor and (weak := weak_signature(certificate)) is not None:  # nobody relies on an anchor's signature
        raise CertificateError(f"it is signed with {weak}, which is broken", certificate=name)
    check_key(index, certificate)
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.NameConstraints):
            raise CertificateError(
                "it constrains names, which is not evaluated for chains with Ed25519 or Ed448",
                alert=Alert.unsupported_certificate,
                certificate=name,
            )
        if extension.critical and not isinstance(extension.value, _EVALUATED):
            raise CertificateError(
                f"it has the critical extension {extension.oid.dotted_string}, which is not understood",
                alert=Alert.unsupported_certificate,
                certificate=name,
            )
