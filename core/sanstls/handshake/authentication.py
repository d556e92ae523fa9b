"""The authentication messages (RFC 9846 4.5), shared by both roles."""

import hmac
from typing import Literal

from cryptography import x509

from sanstls.crypto.signatures import PublicKey, fits, sign, verify
from sanstls.errors import CertificateError
from sanstls.events import SignatureRequest
from sanstls.handshake.vocabulary import ClientHandshake, Flow, Handshake, ServerHandshake
from sanstls.identity import Credential
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MAX_CHAIN
from sanstls.schedule.key_schedule13 import verify_data
from sanstls.wire.messages import Certificate, CertificateVerify, Finished
from sanstls.wire.registries import AlertDescription, SignatureScheme

__all__ = [
    "check_certificate_verify",
    "check_finished",
    "make_certificate_verify",
    "make_finished",
    "parse_chain",
]

Role = Literal["server", "client"]


def parse_chain(message: Certificate) -> tuple[x509.Certificate, ...]:
    """RFC 9846 4.5.1: the certificates of a non-empty Certificate message."""
    if len(message.certificate_list) > MAX_CHAIN:
        raise PeerMisbehaviour.CHAIN_TOO_LONG(f"{len(message.certificate_list)} certificates; at most {MAX_CHAIN}")
    certificates = []
    for index, entry in enumerate(message.certificate_list):
        try:
            certificates.append(x509.load_der_x509_certificate(entry.cert_data))
        except Exception as error:  # the parser has errors of many types
            raise CertificateError(
                "it is no X.509 certificate that can be read",
                certificate=f"certificate {index}",
                advice="The peer must send DER-encoded X.509 certificates",
            ) from error
    return tuple(certificates)


def peer_public_key(leaf: x509.Certificate) -> tuple[PublicKey, str]:
    """The key that the peer must sign with, and the OID of its algorithm."""
    may_sign = True
    try:
        key = leaf.public_key()
        oid = leaf.public_key_algorithm_oid.dotted_string
        for extension in leaf.extensions:
            if isinstance(extension.value, x509.KeyUsage):
                may_sign = extension.value.digital_signature
    except Exception as error:  # whatever a hostile certificate makes the parser say
        raise CertificateError(
            "its public key or its extensions can't be read",
            certificate="certificate 0",
            alert=AlertDescription.unsupported_certificate,
        ) from error
    if not may_sign:  # RFC 9846 4.5.1.2
        raise CertificateError(
            "its key usage does not allow digital signatures",
            certificate="certificate 0",
            alert=AlertDescription.unsupported_certificate,
            advice="TLS 1.3 needs a certificate with the digitalSignature bit",
        )
    return key, oid  # type: ignore[return-value]  # other types of keys fit no scheme, which is checked next


def _signed_content(role: Role, transcript_hash: bytes) -> bytes:
    """RFC 9846 4.5.2: 64 spaces, the context string, a zero, the transcript hash."""
    return b" " * 64 + b"TLS 1.3, %s CertificateVerify\x00" % role.encode() + transcript_hash


def make_certificate_verify(
    hs: ServerHandshake | ClientHandshake, role: Role, credential: Credential, scheme: SignatureScheme
) -> Flow[CertificateVerify]:
    """RFC 9846 4.5.2: sign the transcript up to the Certificate."""
    content = _signed_content(role, hs.transcript_hash())
    key = credential.key

    def sign_here() -> bytes:
        assert key is not None
        return sign(scheme, key, content, is_deterministic=hs.config.is_replayable)

    request = SignatureRequest(scheme, content, credential.public_key, credential)
    signature = yield from hs.ask(request, None if key is None else sign_here)
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
