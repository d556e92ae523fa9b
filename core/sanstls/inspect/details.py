"""What is worth telling of one message: pairs of a label and a text. No layout, and never a secret or any data.

Parsed messages are syntactically right, and mean whatever a peer wants: nothing here relies on what they say.
"""

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa

from sanstls.wire.codec import Struct
from sanstls.wire.extensions import (
    Cookie,
    EarlyDataIndication,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    NamedGroupList,
    OfferedPsks,
    ProtocolNameList,
    SelectedPsk,
    SelectedVersion,
    ServerNameAcknowledgement,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersions,
)
from sanstls.wire.messages import (
    Alert,
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    CompressedCertificate,
    EncryptedExtensions,
    Finished,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
)
from sanstls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchangeECDHE,
    ClientKeyExchangeRSA,
    NewSessionTicket12,
    ServerKeyExchange,
)
from sanstls.wire.registries import KeyUpdateRequest

__all__ = ["Details", "describe_message", "name_text"]

Details = list[tuple[str, str]]

_SHOWN_AT_MOST = 12
_TOLD = (
    Cookie,
    EarlyDataIndication,
    KeyShareClientHello,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    NamedGroupList,
    OfferedPsks,
    ProtocolNameList,
    SelectedPsk,
    SelectedVersion,
    ServerNameAcknowledgement,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersions,
)


def describe_message(message: Struct | None) -> Details:
    """What a message says, in the order in which one would tell it."""
    match message:
        case ClientHello():
            return _client_hello(message)
        case ServerHello():
            return _server_hello(message)
        case EncryptedExtensions():
            return _encrypted_extensions(message.extensions)
        case CertificateRequest():
            return [*_schemes(message.extensions), *_others(message.extensions)]
        case Certificate():
            return _certificates([(entry.cert_data, entry.extensions) for entry in message.certificate_list])
        case CompressedCertificate():
            size = _bytes(message.compressed_certificate_message)
            return [("compressed", f"{message.algorithm}: {message.uncompressed_length} bytes as {size}")]
        case CertificateVerify():
            return [("signature", f"{message.algorithm}, {_bytes(message.signature)}")]
        case Finished():
            return [("verify data", _bytes(message.verify_data))]
        case NewSessionTicket():
            return [
                ("ticket", f"{_bytes(message.ticket)}, valid for {message.ticket_lifetime} s"),
                *_others(message.extensions),
            ]
        case KeyUpdate():
            wanted = message.request_update == KeyUpdateRequest.update_requested
            return [("asks the peer", "to update its keys too" if wanted else "nothing")]
        case Alert():
            return [("level", str(message.level))]
    return _describe_tls12(message)


def _describe_tls12(message: Struct | None) -> Details:
    match message:
        case Certificate12():
            return _certificates([(der, None) for der in message.certificate_list])
        case CertificateStatus():
            return [("OCSP response", _bytes(message.response))]
        case ServerKeyExchange():
            return [
                ("key share", f"{message.params.namedcurve} ({_bytes(message.params.public)})"),
                ("signature", f"{message.algorithm}, {_bytes(message.signature)}"),
            ]
        case CertificateRequest12():
            return [
                ("types", _listed(message.certificate_types)),
                ("signatures", _listed(message.supported_signature_algorithms)),
                ("authorities", str(len(message.certificate_authorities) or "any")),
            ]
        case ClientKeyExchangeECDHE():
            return [("key share", _bytes(message.ecdh_Yc))]
        case ClientKeyExchangeRSA():
            return [("premaster", f"encrypted with RSA, {_bytes(message.encrypted_pre_master_secret)}")]
        case NewSessionTicket12():
            hint = message.ticket_lifetime_hint
            return [("ticket", f"{_bytes(message.ticket)}, valid for {hint} s" if hint else _bytes(message.ticket))]
    return []


def _bytes(value: bytes) -> str:
    return f"{len(value)} byte{'' if len(value) == 1 else 's'}"


def _listed(values: Iterable[object]) -> str:
    texts = [str(value) for value in values]
    shown = ", ".join(texts[:_SHOWN_AT_MOST]) or "none"
    return f"{shown}, and {len(texts) - _SHOWN_AT_MOST} more" if len(texts) > _SHOWN_AT_MOST else shown


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _share(entry: KeyShareEntry) -> str:
    return f"{entry.group} ({_bytes(entry.key_exchange)})"


def _others(extensions: Extensions) -> Details:
    others = [extension.type for extension in extensions if not isinstance(extension, _TOLD)]
    return [("also", _listed(others))] if others else []


def _schemes(extensions: Extensions) -> Details:
    schemes = extensions.get(SignatureSchemeList)
    return [("signatures", _listed(schemes.supported_signature_algorithms))] if schemes else []


def _client_hello(hello: ClientHello) -> Details:
    extensions = hello.extensions
    told: Details = []
    versions = extensions.get(SupportedVersions)
    if versions is not None:
        told.append(("versions", _listed(version.text for version in versions.versions)))
    else:
        told.append(("versions", f"{hello.legacy_version.text} at most"))
    names = extensions.get(ServerNameList)
    if names is not None:
        told.append(("server name", _listed(_text(entry.name) for entry in names.server_name_list)))
    protocols = extensions.get(ProtocolNameList)
    if protocols is not None:
        told.append(("ALPN", _listed(map(_text, protocols.protocol_name_list))))
    told.append(("client random", hello.random.hex()))
    told.append(("cipher suites", _listed(hello.cipher_suites)))
    groups = extensions.get(NamedGroupList)
    if groups is not None:
        told.append(("groups", _listed(groups.named_group_list)))
    shares = extensions.get(KeyShareClientHello)
    if shares is not None:
        told.append(("key shares", _listed(map(_share, shares.client_shares))))
    told += _schemes(extensions)
    cookie = extensions.get(Cookie)
    if cookie is not None:
        told.append(("cookie", f"{_bytes(cookie.cookie)}, returned"))
    psks = extensions.get(OfferedPsks)
    if psks is not None:
        told.append(("pre-shared keys", f"{len(psks.identities)} offered"))
    if extensions.get(EarlyDataIndication) is not None:
        told.append(("early data", "follows"))
    return told + _others(extensions)


def _server_hello(hello: ServerHello) -> Details:
    extensions = hello.extensions
    selected = extensions.get(SelectedVersion)
    version = selected.selected_version if selected is not None else hello.legacy_version
    told: Details = [("chosen version", version.text), ("chosen suite", str(hello.cipher_suite))]
    if not hello.is_retry:
        told.append(("server random", hello.random.hex()))
    share = extensions.get(KeyShareServerHello)
    if share is not None:
        told.append(("key share", _share(share.server_share)))
    wanted = extensions.get(KeyShareHelloRetryRequest)
    if wanted is not None:
        told.append(("wanted share", str(wanted.selected_group)))
    cookie = extensions.get(Cookie)
    if cookie is not None:
        told.append(("cookie", f"{_bytes(cookie.cookie)}, to be returned"))
    psk = extensions.get(SelectedPsk)
    if psk is not None:
        told.append(("pre-shared key", f"number {psk.selected_identity}"))
    return told + _others(extensions)


def _encrypted_extensions(extensions: Extensions) -> Details:
    told: Details = []
    protocols = extensions.get(ProtocolNameList)
    if protocols is not None:
        told.append(("chosen ALPN", _listed(map(_text, protocols.protocol_name_list))))
    if extensions.get(ServerNameAcknowledgement) is not None:
        told.append(("server name", "was used to choose the certificate"))
    if extensions.get(EarlyDataIndication) is not None:
        told.append(("early data", "is accepted"))
    groups = extensions.get(NamedGroupList)
    if groups is not None:
        told.append(("groups", _listed(groups.named_group_list)))
    return told + _others(extensions) or [("says", "nothing more")]


def _certificates(entries: list[tuple[bytes, Extensions | None]]) -> Details:
    if not entries:
        return [("certificates", "none")]
    told: Details = []
    for index, (der, extensions) in enumerate(entries[:_SHOWN_AT_MOST]):
        told.append((f"certificate {index}", _bytes(der)))
        try:
            told += _x509(der)
        except Exception:  # certificates are parsed as they are looked at: a hostile one can fail anywhere
            told.append(("malformed", "it can't be read as an X.509 certificate"))
        if extensions is not None:
            told += _others(extensions)
    if len(entries) > _SHOWN_AT_MOST:
        told.append(("and", f"{len(entries) - _SHOWN_AT_MOST} certificates more"))
    return told


def _x509(der: bytes) -> Details:
    certificate = x509.load_der_x509_certificate(der)
    told = [("subject", name_text(certificate.subject)), ("issuer", name_text(certificate.issuer))]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        told.append(("names", _listed(_general_name(name) for name in names)))
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    told.append(("valid", f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"))
    told.append(("key", _key(certificate)))
    return told


def name_text(name: x509.Name) -> str:
    """A distinguished name as people write it."""
    return name.rfc4514_string() or "(empty)"


def _general_name(name: x509.GeneralName) -> str:
    return name_text(name.value) if isinstance(name, x509.DirectoryName) else str(name.value)


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except Exception:  # of a kind that the library does not know, or broken
        return f"can't be read (algorithm {certificate.public_key_algorithm_oid.dotted_string})"
    match key:
        case ec.EllipticCurvePublicKey():
            return f"EC {key.curve.name}"
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size} bits"
        case dsa.DSAPublicKey():
            return f"DSA {key.key_size} bits"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case ed448.Ed448PublicKey():
            return "Ed448"
        case mldsa.MLDSA44PublicKey() | mldsa.MLDSA65PublicKey() | mldsa.MLDSA87PublicKey():
            return "ML-DSA-" + type(key).__name__.removeprefix("MLDSA").removesuffix("PublicKey")
    return type(key).__name__.removesuffix("PublicKey")
