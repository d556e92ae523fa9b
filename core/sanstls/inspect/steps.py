"""The steps of a handshake, by which a ladder is divided. Which they are is seen from the messages alone."""

from collections.abc import Iterable
from typing import NamedTuple

from sanstls.events import Event, KeysDerived, MessageReceived, MessageSent
from sanstls.wire.extensions import SelectedPsk, SelectedVersion, SupportedVersions
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.messages12 import ClientKeyExchangeRSA
from sanstls.wire.registries import ProtocolVersion

__all__ = ["VERIFICATION", "Step", "is_tls12", "steps_of"]


class Step(NamedTuple):
    """A step, and what begins it: the name of a message (with its sender, where that matters), secret or event."""

    title: str
    begins_with: frozenset[str]


def _step(title: str, *begins_with: str) -> Step:
    return Step(title, frozenset(begins_with))


_SECURE = _step("Secure communication", "application ApplicationData")
VERIFICATION = _step("Verification of the certificate against a trusted CA", "PeerVerified")
_CLIENT_FINISHED12 = _step("The client's Finished", "client ChangeCipherSpec", "client Finished")
_SERVER_FINISHED12 = _step("The server's Finished", "server NewSessionTicket", "server ChangeCipherSpec")

TLS13 = (
    _step("ClientHello: what the client can do, its random, its key shares", "ClientHello"),
    _step("ServerHello: the server's choice, its random, its key share", "ServerHello"),
    _step("Handshake keys: from here on all is encrypted", "client_handshake_traffic_secret"),
    _step("The server's parameters and its certificate", "EncryptedExtensions"),
    VERIFICATION,
    _step("The server's proof: a signature, and its Finished", "CertificateVerify", "server Finished"),
    _step("Session keys, from the shared secret and the whole handshake", "client_application_traffic_secret_0"),
    _step("The client's Finished", "client Finished"),
    _SECURE,
)


_SHARED_KEY = (
    _step("Handshake keys: from here on all is encrypted", "client_handshake_traffic_secret"),
    _step("The server's parameters; it shows no certificate", "EncryptedExtensions"),
    _step("The server's Finished: its proof, by the key that both have", "server Finished"),
    _step("Session keys, from the shared secret and the whole handshake", "client_application_traffic_secret_0"),
    _step("The client's Finished", "client EndOfEarlyData", "client Finished"),
    _SECURE,
)
PSK13 = (
    _step("ClientHello: what the client can do, its key share, the key that it remembers", "ClientHello"),
    _step("ServerHello: that key is taken, and a key share makes it new", "ServerHello"),
    *_SHARED_KEY,
)
EARLY13 = (
    PSK13[0],
    _step(
        "Early data: sent before the server has said anything, and without forward secrecy",
        "client_early_traffic_secret",
    ),
    *PSK13[1:],
)


def _full12(premaster: str) -> tuple[Step, ...]:
    return (
        _step("ClientHello: the suites offered, the client random, the version", "ClientHello"),
        _step("ServerHello: the suite chosen, the server random, the certificate", "ServerHello"),
        VERIFICATION,
        _step(premaster, "premaster_secret", "ClientKeyExchange"),
        _step("Session keys, from both randoms and the premaster secret", "master_secret"),
        _CLIENT_FINISHED12,
        _SERVER_FINISHED12,
        _SECURE,
    )


RSA_KEY_TRANSPORT = _full12("The premaster secret, encrypted to the server's public key")
ECDHE = _full12("The premaster secret, agreed on with keys made for this connection")
RESUMED12 = (
    _step("ClientHello: what the client can do, its random, the session that it remembers", "ClientHello"),
    _step("ServerHello: the session is taken up again", "ServerHello"),
    _step("Session keys, from both randoms and the session's master secret", "master_secret"),
    _SERVER_FINISHED12,
    _CLIENT_FINISHED12,
    _SECURE,
)


def _messages(events: Iterable[Event]) -> list[MessageSent | MessageReceived]:
    return [event for event in events if isinstance(event, MessageSent | MessageReceived)]


def is_tls12(events: Iterable[Event]) -> bool:
    """Whether this is a handshake of TLS 1.2, as far as can be seen."""
    hello: ClientHello | None = None
    for event in _messages(events):
        message = event.message
        if isinstance(message, ServerHello):
            return message.extensions.get(SelectedVersion) is None and not message.is_retry
        if isinstance(message, ClientHello):
            hello = message
    if hello is None:
        return False
    versions = hello.extensions.get(SupportedVersions)
    return versions is None or ProtocolVersion.TLS13 not in versions.versions


def steps_of(events: list[Event]) -> tuple[Step, ...]:
    """The steps of the handshake that these events are of."""
    messages = _messages(events)
    if not is_tls12(events):
        is_early = any(isinstance(event, KeysDerived) and "early" in event.name for event in events)
        takes_key = any(
            isinstance(event.message, ServerHello) and SelectedPsk.extension_type in event.message.extensions
            for event in messages
        )
        return (EARLY13 if is_early else PSK13) if takes_key else TLS13
    has_certificate = any(event.name == "Certificate" for event in messages)
    has_finished = any(event.name == "Finished" for event in messages)
    if has_finished and not has_certificate:
        return RESUMED12
    is_transport = any(isinstance(event.message, ClientKeyExchangeRSA) for event in messages) or any(
        isinstance(event, KeysDerived) and "public key" in event.use for event in events
    )
    return RSA_KEY_TRANSPORT if is_transport else ECDHE
