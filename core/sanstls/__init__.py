"""TLS 1.3 and TLS 1.2 without I/O: bytes in, bytes and events out.

:class:`ClientConnection` and :class:`ServerConnection` are the only door; the
rest are the values that go in (configurations, credentials, verifiers) and that
come out (events, errors).
"""

from sanstls._version import __version__
from sanstls.config import ClientConfig, ServerConfig
from sanstls.connection import ClientConnection, ConnectionState, ServerConnection
from sanstls.errors import AlertReceivedError, CertificateError, LocalError, TLSError, UnexpectedEOF
from sanstls.events import (
    AlertReceived,
    CertificateReceived,
    ClientHelloReceived,
    CloseNotifyReceived,
    ConnectionFailed,
    ConnectionInfo,
    CredentialRequest,
    DataReceived,
    Event,
    HandshakeComplete,
    HelloRetryRequested,
    KeysDerived,
    KeysUpdated,
    MessageReceived,
    MessageSent,
    PeerVerified,
    PremasterDecryptionRequest,
    PreSharedKeyRequest,
    Request,
    SecretLogged,
    ServerHelloReceived,
    SessionIssued,
    SessionLookupRequest,
    SessionReceived,
    SignatureRequest,
    VerificationRequest,
)
from sanstls.identity import (
    Credential,
    DangerouslyAcceptAny,
    PrivatePKI,
    TrustStore,
    Verified,
    Verifier,
    WebPKI,
)
from sanstls.misbehaviour import PeerError, PeerMisbehaviour
from sanstls.record.layer import Epoch
from sanstls.sessions import PreSharedKey, Session, TicketKey, TicketKeyRing
from sanstls.wire.registries import (
    AlertDescription,
    CipherSuite,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)

__all__ = [
    "AlertDescription",
    "AlertReceived",
    "AlertReceivedError",
    "CertificateError",
    "CertificateReceived",
    "CipherSuite",
    "ClientConfig",
    "ClientConnection",
    "ClientHelloReceived",
    "CloseNotifyReceived",
    "ConnectionFailed",
    "ConnectionInfo",
    "ConnectionState",
    "Credential",
    "CredentialRequest",
    "DangerouslyAcceptAny",
    "DataReceived",
    "Epoch",
    "Event",
    "HandshakeComplete",
    "HelloRetryRequested",
    "KeysDerived",
    "KeysUpdated",
    "LocalError",
    "MessageReceived",
    "MessageSent",
    "NamedGroup",
    "PeerError",
    "PeerMisbehaviour",
    "PeerVerified",
    "PreSharedKey",
    "PreSharedKeyRequest",
    "PremasterDecryptionRequest",
    "PrivatePKI",
    "ProtocolVersion",
    "Request",
    "SecretLogged",
    "ServerConfig",
    "ServerConnection",
    "ServerHelloReceived",
    "Session",
    "SessionIssued",
    "SessionLookupRequest",
    "SessionReceived",
    "SignatureRequest",
    "SignatureScheme",
    "TLSError",
    "TicketKey",
    "TicketKeyRing",
    "TrustStore",
    "UnexpectedEOF",
    "VerificationRequest",
    "Verified",
    "Verifier",
    "WebPKI",
    "__version__",
]
