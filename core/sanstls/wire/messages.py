"""The handshake messages of TLS 1.3, alerts and records (RFC 9846 B), each declared once."""

from typing import Annotated, Any, ClassVar

from sanstls.wire.codec import Struct, fixed, opaque, rest, uint8, uint24, uint32, vector
from sanstls.wire.extensions import (
    HELLO_RETRY_REQUEST_RANDOM,
    Extensions,
    Place,
    extensions,
    server_hello_place,
)
from sanstls.wire.registries import (
    AlertDescription,
    AlertLevel,
    CertificateCompressionAlgorithm,
    CipherSuite,
    ContentType,
    HandshakeType,
    KeyUpdateRequest,
    ProtocolVersion,
    SignatureScheme,
)


class HandshakeMessage(Struct):
    """A handshake message; ``encode()`` gives it with its type and length (RFC 9846 4)."""

    msg_type: ClassVar[HandshakeType]
    rfc_name: ClassVar[str]
    """What the RFC calls it: the name of the class, unless that has to tell it from a namesake."""

    def __init_subclass__(
        cls, *, msg_type: HandshakeType | None = None, rfc_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.rfc_name = cls.__name__ if rfc_name is None else rfc_name
        if msg_type is not None:
            cls.msg_type = msg_type

    def encode(self) -> bytes:
        """Type, 24-bit length and body."""
        body = self.serialise()
        if len(body) >= 1 << 24:
            raise ValueError(f"{self.rfc_name}: {len(body)} bytes are too many for a handshake message")
        return ((self.msg_type << 24) + len(body)).to_bytes(4, "big") + body


class ClientHello(HandshakeMessage, msg_type=HandshakeType.client_hello):
    """RFC 9846 4.2.2. Hellos of older versions may end before the extensions."""

    legacy_version: ProtocolVersion
    random: Annotated[bytes, fixed(32)]
    legacy_session_id: Annotated[bytes, opaque(0, 32)]
    cipher_suites: Annotated[tuple[CipherSuite, ...], vector(2, 2**16 - 2)]
    legacy_compression_methods: Annotated[bytes, opaque(1, 2**8 - 1)]
    extensions: Annotated[Extensions, extensions(Place.ClientHello, is_optional=True)]


class ServerHello(HandshakeMessage, msg_type=HandshakeType.server_hello):
    """RFC 9846 4.2.3; with the special random it is a HelloRetryRequest (4.2.4)."""

    legacy_version: ProtocolVersion
    random: Annotated[bytes, fixed(32)]
    legacy_session_id_echo: Annotated[bytes, opaque(0, 32)]
    cipher_suite: CipherSuite
    legacy_compression_method: Annotated[int, uint8]
    extensions: Annotated[Extensions, extensions(server_hello_place, is_optional=True)]

    @property
    def is_retry(self) -> bool:
        """Whether this is a HelloRetryRequest."""
        return self.random == HELLO_RETRY_REQUEST_RANDOM


class EncryptedExtensions(HandshakeMessage, msg_type=HandshakeType.encrypted_extensions):
    """RFC 9846 4.4.1."""

    extensions: Annotated[Extensions, extensions(Place.EncryptedExtensions)]


class CertificateRequest(HandshakeMessage, msg_type=HandshakeType.certificate_request):
    """RFC 9846 4.4.2."""

    certificate_request_context: Annotated[bytes, opaque(0, 2**8 - 1)]
    extensions: Annotated[Extensions, extensions(Place.CertificateRequest)]


class CertificateEntry(Struct):
    """One certificate (DER) and what goes with it."""

    cert_data: Annotated[bytes, opaque(1, 2**24 - 1)]
    extensions: Annotated[Extensions, extensions(Place.Certificate)]


class Certificate(HandshakeMessage, msg_type=HandshakeType.certificate):
    """RFC 9846 4.5.1."""

    certificate_request_context: Annotated[bytes, opaque(0, 2**8 - 1)]
    certificate_list: Annotated[tuple[CertificateEntry, ...], vector(0, 2**24 - 1)]


class CompressedCertificate(HandshakeMessage, msg_type=HandshakeType.compressed_certificate):
    """RFC 8879 4."""

    algorithm: CertificateCompressionAlgorithm
    uncompressed_length: Annotated[int, uint24]
    compressed_certificate_message: Annotated[bytes, opaque(1, 2**24 - 1)]


class CertificateVerify(HandshakeMessage, msg_type=HandshakeType.certificate_verify):
    """RFC 9846 4.5.2."""

    algorithm: SignatureScheme
    signature: Annotated[bytes, opaque(0, 2**16 - 1)]


class Finished(HandshakeMessage, msg_type=HandshakeType.finished):
    """RFC 9846 4.5.3; as long as the suite's hash."""

    verify_data: Annotated[bytes, rest]


class EndOfEarlyData(HandshakeMessage, msg_type=HandshakeType.end_of_early_data):
    """RFC 9846 4.6."""


class NewSessionTicket(HandshakeMessage, msg_type=HandshakeType.new_session_ticket):
    """RFC 9846 4.7.1; ``ticket_lifetime`` in seconds."""

    ticket_lifetime: Annotated[int, uint32]
    ticket_age_add: Annotated[int, uint32]
    ticket_nonce: Annotated[bytes, opaque(0, 255)]
    ticket: Annotated[bytes, opaque(1, 2**16 - 1)]
    extensions: Annotated[Extensions, extensions(Place.NewSessionTicket)]


class KeyUpdate(HandshakeMessage, msg_type=HandshakeType.key_update):
    """RFC 9846 4.7.3."""

    request_update: KeyUpdateRequest


class Alert(Struct):
    """RFC 9846 6."""

    level: AlertLevel
    description: AlertDescription


class TLSPlaintext(Struct):
    """A record before protection, or TLSCiphertext after it (RFC 9846 5.1, 5.2)."""

    type: ContentType
    legacy_record_version: ProtocolVersion
    fragment: Annotated[bytes, opaque(0, 2**16 - 1)]
