"""The messages that TLS 1.2 has of its own (RFC 5246 7.4, RFC 8422 5), each declared once.

ClientHello, ServerHello, CertificateVerify and Finished are those of
:mod:`sanstls.wire.messages`. A class whose name ends in 12 has a namesake there
which looks different on the wire. Sizes are in bytes.
"""

from typing import Annotated

from sanstls.wire.codec import Struct, only, opaque, uint32, vector
from sanstls.wire.messages import HandshakeMessage
from sanstls.wire.registries import (
    CertificateStatusType,
    ClientCertificateType,
    ECCurveType,
    HandshakeType,
    NamedGroup,
    SignatureScheme,
)


class HelloRequest(HandshakeMessage, msg_type=HandshakeType.hello_request):
    """RFC 5246 7.4.1.1: the server asks for a renegotiation. Never part of the transcript."""


class Certificate12(HandshakeMessage, msg_type=HandshakeType.certificate, rfc_name="Certificate"):
    """RFC 5246 7.4.2: certificates (DER), leaf first; an empty list is a client that has none."""

    certificate_list: Annotated[tuple[bytes, ...], vector(0, 2**24 - 1, opaque(1, 2**24 - 1))]


class CertificateStatus(HandshakeMessage, msg_type=HandshakeType.certificate_status):
    """RFC 6066 8: the OCSP response (DER) for the server's certificate, right after its Certificate."""

    status_type: CertificateStatusType
    response: Annotated[bytes, opaque(1, 2**24 - 1)]


class ServerECDHParams(Struct):
    """RFC 8422 5.4: ECParameters and the server's ECPoint.

    The explicit curve types are deprecated, and a server may use none that was
    not offered, so that they are bad syntax here.
    """

    curve_type: Annotated[ECCurveType, only(ECCurveType.named_curve)]
    namedcurve: NamedGroup
    public: Annotated[bytes, opaque(1, 2**8 - 1)]

    def signed_content(self, client_random: bytes, server_random: bytes) -> bytes:
        """What the server signs: both randoms and these parameters, as they stand on the wire."""
        return client_random + server_random + self.serialise()


class ServerKeyExchange(HandshakeMessage, msg_type=HandshakeType.server_key_exchange):
    """RFC 8422 5.4, for the ECDHE key exchanges; the others that are spoken have no such message."""

    params: ServerECDHParams
    algorithm: SignatureScheme
    signature: Annotated[bytes, opaque(0, 2**16 - 1)]


class CertificateRequest12(HandshakeMessage, msg_type=HandshakeType.certificate_request, rfc_name="CertificateRequest"):
    """RFC 5246 7.4.4; authorities are distinguished names (DER), and none means any."""

    certificate_types: Annotated[tuple[ClientCertificateType, ...], vector(1, 2**8 - 1)]
    supported_signature_algorithms: Annotated[tuple[SignatureScheme, ...], vector(2, 2**16 - 2)]
    certificate_authorities: Annotated[tuple[bytes, ...], vector(0, 2**16 - 1, opaque(1, 2**16 - 1))]


class ServerHelloDone(HandshakeMessage, msg_type=HandshakeType.server_hello_done):
    """RFC 5246 7.4.5."""


class ClientKeyExchangeECDHE(
    HandshakeMessage, msg_type=HandshakeType.client_key_exchange, rfc_name="ClientKeyExchange"
):
    """RFC 8422 5.7: the client's ECPoint, where the cipher suite says ECDHE."""

    ecdh_Yc: Annotated[bytes, opaque(1, 2**8 - 1)]


class ClientKeyExchangeRSA(HandshakeMessage, msg_type=HandshakeType.client_key_exchange, rfc_name="ClientKeyExchange"):
    """RFC 5246 7.4.7.1: the encrypted premaster secret, where the cipher suite says RSA."""

    encrypted_pre_master_secret: Annotated[bytes, opaque(0, 2**16 - 1)]


class NewSessionTicket12(HandshakeMessage, msg_type=HandshakeType.new_session_ticket, rfc_name="NewSessionTicket"):
    """RFC 5077 3.3; ``ticket_lifetime_hint`` in seconds, 0 if unsaid; an empty ticket is none after all."""

    ticket_lifetime_hint: Annotated[int, uint32]
    ticket: Annotated[bytes, opaque(0, 2**16 - 1)]


class ChangeCipherSpec(Struct):
    """RFC 5246 7.1: a record content of its own, not a handshake message, and not part of the transcript."""

    type: Annotated[int, only(1)] = 1
