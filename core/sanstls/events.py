"""All that a connection tells, and all that it asks.

Events are immutable values. Those derived from :class:`Request` stop the
handshake until ``connection.answer(request, value)``; the others are notices.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from sanstls.crypto.signatures import PublicKey
from sanstls.errors import LocalError, TLSError
from sanstls.identity import Credential, Verified
from sanstls.record.layer import Epoch
from sanstls.sessions import PreSharedKey, Session
from sanstls.wire.codec import Struct
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.registries import (
    AlertDescription,
    AlertLevel,
    CipherSuite,
    ContentType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """What was negotiated.

    ``peer_chain`` holds the peer's certificates as DER, leaf first, as they came;
    ``verified`` what the verifier found (``None`` if the verdict came from
    elsewhere); ``signature_scheme`` signed the server's CertificateVerify, or its
    ServerKeyExchange in TLS 1.2. ``extended_master_secret`` (RFC 7627) can only be
    missing there; ``group`` and ``signature_scheme`` are ``None`` with RSA key transport.
    A ``resumed`` connection and one with an ``external_psk`` have no signature, and the
    former has the certificates of the session.
    """

    version: ProtocolVersion
    cipher_suite: CipherSuite
    group: NamedGroup | None
    signature_scheme: SignatureScheme | None
    alpn: str | None
    server_name: str | None
    peer_chain: tuple[bytes, ...]
    verified: Verified | None
    credential: Credential | None = None
    hello_retried: bool = False
    extended_master_secret: bool = True
    resumed: bool = False
    external_psk: bool = False
    early_data: bool = False


class Event:
    """The base of everything that ``receive_data`` returns."""

    __slots__ = ()


# Notices ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientHelloReceived(Event):
    """A server got a ClientHello. ``server_name`` and ``alpn`` are what it asks for."""

    hello: ClientHello
    server_name: str | None
    alpn: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerHelloReceived(Event):
    """A client got the ServerHello."""

    hello: ServerHello


@dataclass(frozen=True, slots=True)
class HelloRetryRequested(Event):
    """The server wants a second ClientHello, with a share for ``group`` if that is given."""

    hello: ServerHello
    group: NamedGroup | None


@dataclass(frozen=True, slots=True)
class CertificateReceived(Event):
    """The peer's certificates (DER, leaf first) came; they are not verified yet."""

    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HandshakeComplete(Event):
    """Both sides have proved themselves: data may be sent (if ``can_send`` still says so)."""

    info: ConnectionInfo


@dataclass(frozen=True, slots=True, init=False)
class DataReceived(Event):
    """Application data. ``early`` tells 0-RTT data, which may be a replay."""

    data: bytes
    early: bool

    def __init__(self, data: bytes, early: bool = False) -> None:
        # One is made for each record: the slots' own setters take half the time of a frozen dataclass's.
        _set_data(self, data)
        _set_early(self, early)


_set_data = DataReceived.__dict__["data"].__set__
_set_early = DataReceived.__dict__["early"].__set__


@dataclass(frozen=True, slots=True)
class EarlyDataAccepted(Event):
    """The server takes the early data: on a client, all that was sent so far will arrive, but may be replayed."""


@dataclass(frozen=True, slots=True)
class EarlyDataRejected(Event):
    """The server has dropped the early data. ``data`` is all of it: it is the caller's to send again, or not."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeysUpdated(Event):
    """The application traffic keys of one direction were updated (RFC 9846 4.7.3)."""

    direction: Literal["sending", "receiving"]


@dataclass(frozen=True, slots=True)
class SessionReceived(Event):
    """A client can resume this connection later, with ``ClientConnection(…, session=session)``."""

    session: Session


@dataclass(frozen=True, slots=True)
class SessionIssued(Event):
    """A server that looks sessions up (``SessionLookupRequest``) must store this one under ``identity``."""

    identity: bytes
    session: Session

    def __repr__(self) -> str:
        return f"SessionIssued({self.session!r})"


@dataclass(frozen=True, slots=True)
class CloseNotifyReceived(Event):
    """The peer sends no more; this side still may (half-close)."""


@dataclass(frozen=True, slots=True)
class AlertReceived(Event):
    """The peer sent an alert other than close_notify."""

    level: AlertLevel
    description: AlertDescription


@dataclass(frozen=True, slots=True)
class ConnectionFailed(Event):
    """The connection is over because of ``error``. Its alert is among the bytes to send."""

    error: TLSError


# Trace (``trace=True``) and key log (``key_log=True``) --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageSent(Event):
    """Something was queued to be sent: a handshake message, an alert, data.

    ``size`` is its own length in bytes, without record header and protection;
    ``message`` its parsed form where it has one.
    """

    name: str
    content_type: ContentType
    epoch: Epoch
    size: int
    message: Struct | None = None


@dataclass(frozen=True, slots=True)
class MessageReceived(Event):
    """Something came in; the fields are those of :class:`MessageSent`."""

    name: str
    content_type: ContentType
    epoch: Epoch
    size: int
    message: Struct | None = None


@dataclass(frozen=True, slots=True)
class KeysDerived(Event):
    """A secret was derived. It is named as in RFC 9846 7.1; its value is not told."""

    name: str
    use: str
    fingerprint: str = ""
    """The same on both sides if their secrets are; it does not lead back to the secret."""


@dataclass(frozen=True, slots=True)
class PeerVerified(Event):
    """The verifier of the configuration has accepted the peer's certificates."""

    verified: Verified


@dataclass(frozen=True, slots=True)
class SecretLogged(Event):
    """A line of an SSLKEYLOGFILE. Whoever has it can read the connection."""

    line: str

    def __repr__(self) -> str:
        return f"SecretLogged({self.line.split(' ')[0]} …)"


# Requests ---------------------------------------------------------------------------------------------------------


class Request(Event, Generic[_T]):
    """A question that stops the handshake until it is answered with a ``T``, or rejected.

    Requests are compared by identity: each is answered once.
    """

    __slots__ = ()

    def check(self, value: object) -> None:
        """Raise ``LocalError`` if ``value`` is no answer to this request."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class VerificationRequest(Request[None]):
    """Is the peer who it should be? Answer with ``None`` to accept; ``reject`` with a ``CertificateError``.

    ``chain`` is DER, leaf first, as it came; ``server_name`` the name that was
    asked for; ``role`` says whose certificate it is.
    """

    chain: tuple[bytes, ...]
    server_name: str | None
    role: Literal["server", "client"]
    ocsp_response: bytes = b""
    scts: tuple[bytes, ...] = ()

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if value is not None:
            raise LocalError("a VerificationRequest is answered with None to accept; reject() refuses")


@dataclass(frozen=True, slots=True, eq=False)
class SignatureRequest(Request[bytes]):
    """Sign ``message`` (exactly these bytes, not a digest) by ``scheme`` with the key of ``public_key``."""

    scheme: SignatureScheme
    message: bytes
    public_key: PublicKey
    credential: Credential

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if not isinstance(value, bytes) or not 0 < len(value) < 2**16:
            raise LocalError("a SignatureRequest is answered with the signature, as bytes")


@dataclass(frozen=True, slots=True, eq=False)
class CredentialRequest(Request[Credential | None]):
    """The server wants a certificate of this client. Answer with one, or ``None`` for none.

    ``authorities`` are the distinguished names (DER) that it trusts, none means any;
    ``signature_schemes`` what it can verify.
    """

    authorities: tuple[bytes, ...]
    signature_schemes: tuple[SignatureScheme, ...]
    is_usable: Callable[[Credential], bool] = field(default=lambda _: True, repr=False)
    """Whether the server can verify a signature by this credential's key."""

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if value is None:
            return
        if not isinstance(value, Credential):
            raise LocalError("a CredentialRequest is answered with a Credential, or with None for none")
        if not self.is_usable(value):
            accepted = ", ".join(map(str, self.signature_schemes[:12]))
            raise LocalError(f"{value!r} can't be used with this server, which accepts {accepted}")


@dataclass(frozen=True, slots=True, eq=False)
class PremasterDecryptionRequest(Request[bytes]):
    """Decrypt ``encrypted`` by RSAES-PKCS1-v1_5 with the key of ``credential`` (RFC 5246 7.4.7.1).

    Answer with whatever comes out, and with ``b""`` where the key store refuses:
    nobody, the caller included, may learn from the connection whether it was well
    formed. A failure then shows at the client's Finished. Do not ``reject`` it
    because of its padding.
    """

    encrypted: bytes
    credential: Credential

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if not isinstance(value, bytes):
            raise LocalError("a PremasterDecryptionRequest is answered with bytes, of whatever length")


@dataclass(frozen=True, slots=True, eq=False)
class SessionLookupRequest(Request[Session | None]):
    """The client offers the session that was issued under ``identity``. Answer with it, or ``None`` for none.

    A server that defers this keeps its sessions in a store, and issues no tickets that
    hold them (see :class:`SessionIssued`).
    """

    identity: bytes

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if value is not None and not isinstance(value, Session):
            raise LocalError("a SessionLookupRequest is answered with a Session, or with None for none")


@dataclass(frozen=True, slots=True, eq=False)
class PreSharedKeyRequest(Request[PreSharedKey | None]):
    """The client offers a pre-shared key under ``identity``. Answer with it, or ``None`` if there is none."""

    identity: bytes

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if value is not None and not (isinstance(value, PreSharedKey) and value.identity == self.identity):
            raise LocalError("a PreSharedKeyRequest is answered with the PreSharedKey of this identity, or with None")


@dataclass(frozen=True, slots=True, eq=False)
class EarlyDataRequest(Request[bool]):
    """Early data follows a resumption. Answer whether to take it.

    It is fresh, and all that this server can see is in order; whether it has come before
    is what the answer must know (RFC 9846 8): ``key`` is the same for a replayed hello and for no
    other, and has to be remembered until ``expires`` (Unix seconds) by all servers that
    share ticket keys.
    """

    key: bytes
    expires: float
    session: Session

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if not isinstance(value, bool):
            raise LocalError("an EarlyDataRequest is answered with True or False")
