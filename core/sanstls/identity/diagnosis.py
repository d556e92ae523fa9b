"""Why a chain was refused, in words that tell a person what to do, and the alert that fits."""

import datetime
from collections.abc import Sequence
from typing import Literal

from cryptography import x509

from sanstls.errors import CertificateError
from sanstls.identity.names import matches, parse_server_name
from sanstls.identity.trust import TrustStore
from sanstls.wire.registries import AlertDescription as Alert

__all__ = ["check_leaf_name", "check_validity", "describe", "explain_refusal", "weak_signature"]

_WEAK_HASHES = ("md5", "sha1")


def describe(index: int, certificate: x509.Certificate) -> str:
    """A certificate by its place in the chain and its subject."""
    subject = certificate.subject.rfc4514_string() or "no subject"
    return f"certificate {index} ({subject})"


def check_validity(index: int, certificate: x509.Certificate, when: datetime.datetime) -> None:
    """RFC 5280 4.1.2.5."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if when > end:
        raise CertificateError(
            f"it expired at {end:%Y-%m-%d %H:%M} UTC",
            alert=Alert.certificate_expired,
            certificate=describe(index, certificate),
            advice=f"It must be renewed; the clock here says {when:%Y-%m-%d %H:%M} UTC",
        )
    if when < begin:
        raise CertificateError(
            f"it is not valid before {begin:%Y-%m-%d %H:%M} UTC",
            alert=Alert.certificate_expired,
            certificate=describe(index, certificate),
            advice=f"Check the clock: it says {when:%Y-%m-%d %H:%M} UTC here",
        )


def check_leaf_name(leaf: x509.Certificate, server_name: str) -> None:
    """RFC 9525 6: the name asked for is among the subjectAltNames."""
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise CertificateError(
            "it has no subjectAltName, where names must stand",
            certificate=describe(0, leaf),
            advice="It must be made anew with the name in subjectAltName; the common name does not count",
        ) from None
    dns_names = san.get_values_for_type(x509.DNSName)
    addresses = san.get_values_for_type(x509.IPAddress)
    name = parse_server_name(server_name)
    if any(matches(pattern, name) for pattern in dns_names) if isinstance(name, str) else name in addresses:
        return
    has = ", ".join([*dns_names, *map(str, addresses)][:8]) or "none"
    raise CertificateError(
        f"it is not for {server_name}: its names are {has}",
        certificate=describe(0, leaf),
        advice="Connect by one of its names, or have it made for this one",
    )


def weak_signature(certificate: x509.Certificate) -> str | None:
    """The hash's name if the certificate is signed with a broken one (RFC 9846 4.5.1.3)."""
    algorithm = certificate.signature_hash_algorithm
    return algorithm.name if algorithm is not None and algorithm.name in _WEAK_HASHES else None


def explain_refusal(
    chain: Sequence[x509.Certificate],
    store: TrustStore,
    server_name: str | None,
    when: datetime.datetime,
    role: Literal["server", "client"],
    reason: str,
) -> CertificateError:
    """The error for a chain that the library refused for ``reason``, as exact as can be found out."""
    try:
        if role == "server" and server_name is not None:
            check_leaf_name(chain[0], server_name)
        explain_path(chain, store, when)
    except CertificateError as error:
        return error
    if "extended key usage" in reason.lower() or "eku" in reason.lower():
        return CertificateError(
            f"its extended key usage does not allow a TLS {role}",
            alert=Alert.unsupported_certificate,
            certificate=describe(0, chain[0]),
            advice=f"It must be made anew with the extended key usage {role}Auth",
        )
    return CertificateError(
        f"no valid path leads from it to a trusted certificate ({reason})",
        certificate=describe(0, chain[0]),
        advice="PrivatePKI is the verifier for certificates that do not follow the public web's profile",
    )


def explain_path(chain: Sequence[x509.Certificate], store: TrustStore, when: datetime.datetime) -> None:
    """Follow the issuers upward and raise at the first thing that is wrong."""
    by_subject = {certificate.subject: (index, certificate) for index, certificate in enumerate(chain) if index}
    index, current, seen = 0, chain[0], set[int]()
    while True:
        check_validity(index, current, when)
        if (weak := weak_signature(current)) is not None and current not in store:
            raise CertificateError(f"it is signed with {weak}, which is broken", certificate=describe(index, current))
        if anchors := store.issuers_of(current):
            for anchor in anchors:
                check_validity(len(chain), anchor, when)
            if not any(_is_issued_by(current, anchor) for anchor in anchors):
                raise CertificateError(
                    f"its signature is not by the trusted {current.issuer.rfc4514_string()}",
                    alert=Alert.unknown_ca,
                    certificate=describe(index, current),
                    advice="Another authority has the name of a trusted one; is the trust store up to date?",
                )
            return
        if current.issuer == current.subject:
            raise CertificateError(
                "it is self-signed and not in the trust store",
                alert=Alert.unknown_ca,
                certificate=describe(index, current),
                advice="If it is to be trusted, put it into the trust store",
            )
        if current.issuer not in by_subject or by_subject[current.issuer][0] in seen:
            raise CertificateError(
                f"its issuer {current.issuer.rfc4514_string()!r} is neither trusted nor sent along",
                alert=Alert.unknown_ca,
                certificate=describe(index, current),
                advice="Add that authority to the trust store, or have the peer send the intermediate certificate",
            )
        parent_index, parent = by_subject[current.issuer]
        if not _is_issued_by(current, parent):
            raise CertificateError(
                f"its signature is not by {describe(parent_index, parent)}", certificate=describe(index, current)
            )
        seen.add(parent_index)
        try:
            is_authority = parent.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            is_authority = False
        if not is_authority:
            raise CertificateError(
                "it is no authority (CA:FALSE), but issued another certificate",
                certificate=describe(parent_index, parent),
            )
        index, current = parent_index, parent


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # a wrong signature, an unsuitable key, an unknown algorithm: all mean no
        return False
    return True
