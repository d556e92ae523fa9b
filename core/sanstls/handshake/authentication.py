"""Certificates and the proofs of their keys (RFC 9846 4.5), shared by both roles and, in part, by TLS 1.2."""

import hmac
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from cryptography import x509

from sanstls.config import ClientConfig, ServerConfig
from sanstls.crypto.signatures import PublicKey, fits, sign, verify
from sanstls.errors import CertificateError
from sanstls.events import CredentialRequest, PeerVerified, SignatureRequest, VerificationRequest
from sanstls.handshake.vocabulary import ClientHandshake, Flow, Handshake, ServerHandshake
from sanstls.identity import Credential, Verified
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MAX_CERTIFICATE_MESSAGE, MAX_CHAIN
from sanstls.schedule.key_schedule13 import verify_data
from sanstls.wire.codec import WireError
from sanstls.wire.extensions import (
    CertificateStatus,
    DuplicateExtension,
    MisplacedExtension,
    SignedCertificateTimestampList,
)
from sanstls.wire.messages import Certificate, CertificateVerify, CompressedCertificate, Finished
from sanstls.wire.messages12 import CertificateStatus as CertificateStatus12
from sanstls.wire.registries import AlertDescription, CertificateStatusType, SignatureScheme

__all__ = [
    "ClientIdentity",
    "certificate_kinds",
    "check_certificate_verify",
    "check_finished",
    "choose_own_credential",
    "decompressed",
    "make_certificate_verify",
    "make_finished",
    "ocsp_response_of",
    "parse_chain",
    "peer_public_key",
    "sign_with",
    "stapled",
    "verify_peer",
]

Role = Literal["server", "client"]
Chain = tuple[x509.Certificate, ...]


class ClientIdentity(NamedTuple):
    """Who a client has shown to be, if it was asked and had something to show."""

    chain: tuple[bytes, ...] = ()
    verified: Verified | None = None
    key: PublicKey | None = None
    key_oid: str = ""


def parse_chain(certificates: Sequence[bytes]) -> Chain:
    """RFC 9846 4.5.1: the certificates of a non-empty Certificate message."""
    if len(certificates) > MAX_CHAIN:
        raise PeerMisbehaviour.CHAIN_TOO_LONG(f"{len(certificates)} certificates; at most {MAX_CHAIN}")
    parsed = []
    for index, der in enumerate(certificates):
        try:
            parsed.append(x509.load_der_x509_certificate(der))
        except Exception as error:  # the parser has errors of many types
            raise CertificateError(
                "it is no X.509 certificate that can be read",
                certificate=f"certificate {index}",
                advice="The peer must send DER-encoded X.509 certificates",
            ) from error
    return tuple(parsed)


def decompressed(config: ClientConfig | ServerConfig, message: Certificate | CompressedCertificate) -> Certificate:
    """RFC 8879 4: the Certificate that a CompressedCertificate is, within the bounds of one."""
    if isinstance(message, Certificate):
        return message
    for compressor in config.certificate_compression:
        if compressor.algorithm == message.algorithm:
            break
    else:
        raise PeerMisbehaviour.UNOFFERED_COMPRESSION(str(message.algorithm))
    size = message.uncompressed_length
    if size > MAX_CERTIFICATE_MESSAGE:
        raise PeerMisbehaviour.BAD_COMPRESSION(f"{size} bytes; at most {MAX_CERTIFICATE_MESSAGE}")
    try:
        data = compressor.decompress(message.compressed_certificate_message, size)
    except ValueError as error:
        raise PeerMisbehaviour.BAD_COMPRESSION(str(error)) from error
    if len(data) != size:
        raise PeerMisbehaviour.BAD_COMPRESSION(f"{len(data)} bytes instead of {size}")
    try:
        return Certificate.parse(data)
    except DuplicateExtension as error:
        raise PeerMisbehaviour.DUPLICATE_EXTENSION(str(error), message="Certificate") from error
    except MisplacedExtension as error:
        raise PeerMisbehaviour.MISPLACED_EXTENSION(str(error), message="Certificate") from error
    except WireError as error:
        raise PeerMisbehaviour.MALFORMED_MESSAGE(str(error), message="Certificate") from error


def certificate_kinds(
    config: ClientConfig | ServerConfig,
) -> tuple[type[Certificate] | type[CompressedCertificate], ...]:
    """What may come where a Certificate is waited for."""
    return (Certificate, CompressedCertificate) if config.certificate_compression else (Certificate,)


def stapled(message: Certificate) -> tuple[bytes, tuple[bytes, ...]]:
    """RFC 9846 4.5.1.1: the OCSP response and the SCTs that came with the leaf."""
    extensions = message.certificate_list[0].extensions
    status = extensions.get(CertificateStatus)
    scts = extensions.get(SignedCertificateTimestampList)
    return (ocsp_response_of(status) if status else b""), (scts.sct_list if scts else ())


def ocsp_response_of(status: CertificateStatus | CertificateStatus12) -> bytes:
    """RFC 6066 8: of all types of status only this one was asked for, and has this form."""
    if status.status_type != CertificateStatusType.ocsp:
        raise PeerMisbehaviour.MALFORMED_MESSAGE(f"status_type {int(status.status_type)}", message="CertificateStatus")
    return status.response


def peer_public_key(
    leaf: x509.Certificate, usage: Literal["digital_signature", "key_encipherment"] = "digital_signature"
) -> tuple[PublicKey, str]:
    """The key that the peer must have, and the OID of its algorithm; ``usage`` is what it must be for."""
    may_be_used = True
    try:
        key = leaf.public_key()
        oid = leaf.public_key_algorithm_oid.dotted_string
        for extension in leaf.extensions:
            if isinstance(extension.value, x509.KeyUsage):
                may_be_used = getattr(extension.value, usage)
    except Exception as error:  # whatever a hostile certificate makes the parser say
        raise CertificateError(
            "its public key or its extensions can't be read",
            certificate="certificate 0",
            alert=AlertDescription.unsupported_certificate,
        ) from error
    if not may_be_used:  # RFC 9846 4.5.1.2, RFC 5246 7.4.2
        is_signature = usage == "digital_signature"
        raise CertificateError(
            f"its key usage does not allow {'digital signatures' if is_signature else 'key encipherment'}",
            certificate="certificate 0",
            alert=AlertDescription.unsupported_certificate,
            advice=f"This handshake needs the bit {'digitalSignature' if is_signature else 'keyEncipherment'}",
        )
    return key, oid  # type: ignore[return-value]  # other types of keys fit no scheme, which is checked next


def verify_peer(
    hs: ClientHandshake | ServerHandshake,
    role: Role,
    chain: Chain,
    peer_chain: tuple[bytes, ...],
    ocsp_response: bytes = b"",
    scts: tuple[bytes, ...] = (),
) -> Flow[Verified | None]:
    """RFC 9846 4.5.1.3: is the peer, in ``role``, who it should be? The configuration answers, or the caller."""
    config = hs.config
    server_name = hs.server_name
    verified: Verified | None = None

    def verify_here() -> None:
        nonlocal verified
        verifier = config.verify
        assert verifier is not None
        verified = verifier.verify(
            chain, server_name=server_name, at=config.clock(), role=role, ocsp_response=ocsp_response, scts=scts
        )

    own_answer: Callable[[], None] = verify_here
    yield from hs.ask(VerificationRequest(peer_chain, server_name, role, ocsp_response, scts), own_answer)
    if hs.is_traced and verified is not None:
        hs.notify(PeerVerified(verified))
    return verified


def choose_own_credential(
    hs: ClientHandshake,
    authorities: tuple[bytes, ...],
    schemes: tuple[SignatureScheme, ...],
    scheme_of: Callable[[Credential], SignatureScheme | None],
) -> Flow[tuple[Credential, SignatureScheme] | None]:
    """RFC 9846 4.5.1.3: the client's certificate, if it has one that the server would accept."""

    def is_usable(credential: Credential) -> bool:
        return credential.can_sign and scheme_of(credential) is not None

    def choose_here() -> Credential | None:
        for credential in hs.config.credentials:
            if is_usable(credential) and (not authorities or _is_issued_by(credential, authorities)):
                return credential
        return None

    credential = yield from hs.ask(CredentialRequest(authorities, schemes, is_usable), choose_here)
    if credential is None:
        return None
    scheme = scheme_of(credential)
    assert scheme is not None, "the answer was checked"
    return credential, scheme


def _is_issued_by(credential: Credential, authorities: tuple[bytes, ...]) -> bool:
    return any(certificate.issuer.public_bytes() in authorities for certificate in credential.certificates)


def sign_with(
    hs: ServerHandshake | ClientHandshake, credential: Credential, scheme: SignatureScheme, content: bytes
) -> Flow[bytes]:
    """A signature by the credential's key, wherever that is."""
    key = credential.key

    def sign_here() -> bytes:
        assert key is not None
        return sign(scheme, key, content, is_deterministic=hs.config.is_replayable)

    request = SignatureRequest(scheme, content, credential.public_key, credential)
    return (yield from hs.ask(request, None if key is None else sign_here))


def _signed_content(role: Role, transcript_hash: bytes) -> bytes:
    """RFC 9846 4.5.2: 64 spaces, the context string, a zero, the transcript hash."""
    return b" " * 64 + b"TLS 1.3, %s CertificateVerify\x00" % role.encode() + transcript_hash


def make_certificate_verify(
    hs: ServerHandshake | ClientHandshake, role: Role, credential: Credential, scheme: SignatureScheme
) -> Flow[CertificateVerify]:
    """RFC 9846 4.5.2: sign the transcript up to the Certificate."""
    content = _signed_content(role, hs.transcript_hash())
    signature = yield from sign_with(hs, credential, scheme, content)
    return CertificateVerify(scheme, signature)


def check_certificate_verify(
    message: CertificateVerify,
    role: Role,
    key: PublicKey,
    key_oid: str,
    accepted: tuple[SignatureScheme, ...],
    transcript_hash: bytes,
) -> None:
    """RFC 9846 4.5.2: ``transcript_hash`` is that of the messages up to the Certificate."""
    scheme = message.algorithm
    if scheme not in accepted:
        raise PeerMisbehaviour.UNOFFERED_SIGNATURE_SCHEME(str(scheme))
    if not fits(scheme, key, key_oid):
        raise PeerMisbehaviour.SCHEME_DOES_NOT_FIT_KEY(f"{scheme} with a {type(key).__name__}")
    if not verify(scheme, key, message.signature, _signed_content(role, transcript_hash)):
        raise PeerMisbehaviour.WRONG_SIGNATURE(str(scheme))


def make_finished(hs: Handshake, base_key: bytes) -> Finished:
    """RFC 9846 4.5.3: over the transcript so far."""
    return Finished(verify_data(hs.suite.hash_name, base_key, hs.transcript_hash()))


def check_finished(hs: Handshake, message: Finished, base_key: bytes, transcript_hash: bytes) -> None:
    """RFC 9846 4.5.3: ``transcript_hash`` is that of the messages before this one."""
    expected = verify_data(hs.suite.hash_name, base_key, transcript_hash)
    if not hmac.compare_digest(message.verify_data, expected):
        raise PeerMisbehaviour.WRONG_FINISHED()
