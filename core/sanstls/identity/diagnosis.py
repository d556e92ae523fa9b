"""Why a chain was refused, in words that tell a person what to do, and the alert that fits."""

import datetime
from collections.abc import Sequence
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, rsa

from sanstls.errors import CertificateError
from sanstls.identity.names import matches, parse_server_name
from sanstls.identity.trust import TrustStore
from sanstls.wire.registries import AlertDescription as Alert

__all__ = [
    "check_authority",
    "check_key",
    "check_leaf_name",
    "check_usage",
    "check_validity",
    "describe",
    "explain_path",
    "explain_refusal",
    "weak_signature",
]

Role = Literal["server", "client"]

_WEAK_HASHES = ("md5", "sha1")
_MAX_SHOWN = 200
_MIN_RSA_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


def _shown(text: str) -> str:
    """What a peer wrote, made fit for a log: short, on one line, without control characters."""
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return clean if len(clean) <= _MAX_SHOWN else clean[:_MAX_SHOWN] + "..."


def _shown_name(name: x509.Name) -> str:
    return _shown(name.rfc4514_string()) or "no subject"


def describe(index: int, certificate: x509.Certificate) -> str:
    """A certificate by its place in the chain and its subject."""
    return f"certificate {index} ({_shown_name(certificate.subject)})"


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
    has = _shown(", ".join([*dns_names, *map(str, addresses)][:8])) or "none"
    raise CertificateError(
        f"it is not for {server_name}: its names are {has}",
        certificate=describe(0, leaf),
        advice="Connect by one of its names, or have it made for this one",
    )


def check_key(index: int, certificate: x509.Certificate, *, is_eddsa_allowed: bool = True) -> None:
    """The key is of a kind that TLS 1.3 can use, and strong enough."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise CertificateError(
                f"its RSA key is too weak: {key.key_size} bits, and not at least {_MIN_RSA_BITS}",
                certificate=describe(index, certificate),
                advice="It must be made anew with a stronger key",
            )
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        if not is_eddsa_allowed:
            raise CertificateError(
                "its key is for Ed25519 or Ed448, which the public web does not use",
                alert=Alert.unsupported_certificate,
                certificate=describe(index, certificate),
                advice="PrivatePKI takes such certificates",
            )
    elif isinstance(key, mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
        return
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise CertificateError(
            "its key is of an unsupported kind",
            alert=Alert.unsupported_certificate,
            certificate=describe(index, certificate),
            advice="RSA, P-256, P-384, P-521, Ed25519, Ed448 and ML-DSA are supported",
        )


def check_authority(index: int, certificate: x509.Certificate, *, below: int) -> None:
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


def check_usage(index: int, certificate: x509.Certificate, role: Role, *, is_authority: bool) -> None:
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
                    advice=f"It must be made anew with the extended key usage {role}Auth",
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
    role: Role,
    reason: str,
    advice: str = "",
) -> CertificateError:
    """The error for a chain that the library refused for ``reason``, as exact as can be found out.

    ``advice`` is given where nothing better is known.
    """
    try:
        if role == "server" and server_name is not None:
            check_leaf_name(chain[0], server_name)
        explain_path(chain, store, when, role)
    except CertificateError as error:
        return error
    if "eku" in reason.lower() or x509.ExtendedKeyUsage.oid.dotted_string in reason:
        return CertificateError(
            f"its extended key usage does not allow a TLS {role}",
            alert=Alert.unsupported_certificate,
            certificate=describe(0, chain[0]),
            advice=f"It must be made anew with the extended key usage {role}Auth",
        )
    if "name constraint" in reason.lower():
        return CertificateError(
            "its names are outside of what the authorities above it are allowed (name constraints)",
            certificate=describe(0, chain[0]),
            advice="It must be issued by an authority that is allowed to do so",
        )
    return CertificateError(
        f"no valid path leads from it to a trusted certificate ({_shown(reason)})",
        alert=Alert.unsupported_certificate if "critical" in reason.lower() else Alert.bad_certificate,
        certificate=describe(0, chain[0]),
        advice=advice,
    )


def explain_path(chain: Sequence[x509.Certificate], store: TrustStore, when: datetime.datetime, role: Role) -> None:
    """Follow the issuers upward and raise at the first thing that is wrong."""
    path = [0]
    check_validity(0, chain[0], when)
    check_usage(0, chain[0], role, is_authority=False)
    while True:
        index = path[-1]
        current = chain[index]
        if (weak := weak_signature(current)) is not None and current not in store:
            raise CertificateError(f"it is signed with {weak}, which is broken", certificate=describe(index, current))
        below = len([place for place in path[1:] if chain[place].subject != chain[place].issuer])
        named = store.issuers_of(current)
        if issuers := [anchor for anchor in named if _is_issued_by(current, anchor)]:
            _explain_authority(len(chain), issuers[0], when, role, below)
            return
        senders = [place for place in range(1, len(chain)) if chain[place].subject == current.issuer]
        signers = [place for place in senders if place not in path and _is_issued_by(current, chain[place])]
        if not signers:
            raise _explain_dead_end(index, chain, bool(named), senders)
        _explain_authority(signers[0], chain[signers[0]], when, role, below)
        path.append(signers[0])


def _explain_authority(
    index: int, certificate: x509.Certificate, when: datetime.datetime, role: Role, below: int
) -> None:
    check_validity(index, certificate, when)
    check_authority(index, certificate, below=below)
    check_usage(index, certificate, role, is_authority=True)


def _explain_dead_end(
    index: int, chain: Sequence[x509.Certificate], is_issuer_trusted: bool, senders: Sequence[int]
) -> CertificateError:
    """Why the path does not go on from this certificate."""
    current = chain[index]
    name = describe(index, current)
    if is_issuer_trusted:
        return CertificateError(
            f"its signature is not by the trusted {_shown_name(current.issuer)}",
            alert=Alert.unknown_ca,
            certificate=name,
            advice="Another authority has the name of a trusted one; is the trust store up to date?",
        )
    if current.issuer == current.subject:
        return CertificateError(
            "it is self-signed and not in the trust store",
            alert=Alert.unknown_ca,
            certificate=name,
            advice="If it is to be trusted, put it into the trust store",
        )
    if strangers := [place for place in senders if not _is_issued_by(current, chain[place])]:
        return CertificateError(
            f"its signature is not by {describe(strangers[0], chain[strangers[0]])}", certificate=name
        )
    return CertificateError(
        f"its issuer {_shown_name(current.issuer)} is neither trusted nor sent along",
        alert=Alert.unknown_ca,
        certificate=name,
        advice="Add that authority to the trust store, or have the peer send the intermediate certificate",
    )


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # a wrong signature, an unsuitable key, an unknown algorithm: all mean no
        return False
    return True
