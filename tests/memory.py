"""Two endpoints in one process: certificates, repeatable configurations, and bytes carried by hand.

Every configuration made here has a seeded random source and a clock that stands still, so that (where the
cryptography allows it) the same seeds give the same bytes.
"""

import datetime
import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sanstls import (
    AlertDescription,
    ClientConfig,
    ClientConnection,
    ConnectionFailed,
    Credential,
    Event,
    HandshakeComplete,
    NamedGroup,
    PrivatePKI,
    ServerConfig,
    ServerConnection,
    TrustStore,
)

NAME = "example.com"
NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
Connection = ClientConnection | ServerConnection

# Certificates -----------------------------------------------------------------------------------------------------


@cache
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@cache
def store() -> TrustStore:
    return TrustStore.from_pem(authority().cert_pem.bytes())


@cache
def credential(*names: str) -> Credential:
    """A P-256 leaf for these names (``example.com`` if none are given)."""
    leaf = authority().issue_cert(*(names or (NAME,)), key_type=trustme.KeyType.ECDSA)
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return Credential.from_pem(chain, leaf.private_key_pem.bytes())


KEYS: dict[str, Callable[[], Any]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}


@cache
def key(kind: str) -> Any:
    return KEYS[kind]()


@cache
def credential_of(kind: str, name: str = NAME, *, may_sign: bool = True) -> Credential:
    """A leaf with a key of this kind, issued by the same authority."""
    ca = authority()
    issuer = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    issuer_key = load_pem_private_key(ca.private_key_pem.bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key(kind).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=30))
        .not_valid_after(NOW + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(digital_signature=may_sign, key_encipherment=not may_sign, **usage),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return Credential([leaf.public_bytes(Encoding.DER)], key(kind))


# Configurations ---------------------------------------------------------------------------------------------------


def random_source(seed: object) -> Callable[[int], bytes]:
    """Bytes that look random and are the same for the same seed."""
    state = hashlib.sha256(repr(seed).encode()).digest()
    count = 0

    def random(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(state + count.to_bytes(8, "big")).digest(size)

    return random


def clock() -> float:
    return NOW.timestamp()


_SHARED = {"versions", "cipher_suites", "groups", "signature_schemes", "alpn", "defer", "trace", "key_log"}


def client_config(seed: object = 0, **overrides: Any) -> ClientConfig:
    settings: dict[str, Any] = {
        "verify": PrivatePKI(store()),
        "clock": clock,
        "random": random_source(("client", seed)),
        "groups": (NamedGroup.x25519, NamedGroup.secp256r1),
    }
    return ClientConfig(**(settings | overrides))


def server_config(seed: object = 0, **overrides: Any) -> ServerConfig:
    settings: dict[str, Any] = {
        "credentials": (credential(),),
        "session_tickets": 0,  # what is not asked for would only stand between the data
        "clock": clock,
        "random": random_source(("server", seed)),
        "groups": (NamedGroup.x25519, NamedGroup.secp256r1),
    }
    return ServerConfig(**(settings | overrides))


def configs(seed: object = 0, **overrides: Any) -> tuple[ClientConfig, ServerConfig]:
    """A configuration for each side. What both have is given to both; ``verify`` etc. to the side that has it."""
    common = {name: value for name, value in overrides.items() if name in _SHARED}
    own = {name: value for name, value in overrides.items() if name not in _SHARED}
    of_server = {name: own.pop(name) for name in ("credentials",) if name in own}
    return client_config(seed, **common, **own), server_config(seed, **common, **of_server)


def connections(
    seed: object = 0, server_name: str | None = NAME, **overrides: Any
) -> tuple[ClientConnection, ServerConnection]:
    client, server = configs(seed, **overrides)
    return ClientConnection(client, server_name), ServerConnection(server)


# Carrying bytes ---------------------------------------------------------------------------------------------------


def chunked(data: bytes, chunk: int | None) -> Iterable[bytes]:
    if chunk is None:
        return [data]
    return [data[start : start + chunk] for start in range(0, len(data), chunk)]


def deliver(data: bytes, to: Connection, chunk: int | None = None) -> list[Event]:
    events: list[Event] = []
    for part in chunked(data, chunk):
        events += to.receive_data(part)
    return events


def shuttle(client: Connection, server: Connection, chunk: int | None = None) -> tuple[list[Event], list[Event]]:
    """Carry bytes both ways until nobody has any; what each side told."""
    client_events: list[Event] = []
    server_events: list[Event] = []
    while True:
        to_server = client.data_to_send()
        server_events += deliver(to_server, server, chunk)
        to_client = server.data_to_send()
        client_events += deliver(to_client, client, chunk)
        if not to_server and not to_client:
            return client_events, server_events


handshake = shuttle


def established(seed: object = 0, **overrides: Any) -> tuple[ClientConnection, ServerConnection]:
    """Two connections whose handshake is complete."""
    client, server = connections(seed, **overrides)
    client_events, server_events = handshake(client, server)
    assert is_complete(client_events), client_events
    assert is_complete(server_events), server_events
    return client, server


def is_complete(events: Iterable[Event]) -> bool:
    return any(isinstance(event, HandshakeComplete) for event in events)


def failures(events: Iterable[Event]) -> list[Exception]:
    return [event.error for event in events if isinstance(event, ConnectionFailed)]


def the_failure(events: Iterable[Event]) -> Any:
    """The error of the one ConnectionFailed, which must be the last event."""
    events = list(events)
    found = failures(events)
    assert len(found) == 1, events
    assert isinstance(events[-1], ConnectionFailed)
    return found[0]


# Hostile peers ----------------------------------------------------------------------------------------------------


def message(msg_type: int, body: bytes) -> bytes:
    return bytes([msg_type]) + len(body).to_bytes(3, "big") + body


def record(content_type: int, content: bytes, version: bytes = b"\x03\x03") -> bytes:
    return bytes([content_type]) + version + len(content).to_bytes(2, "big") + content


def records(data: bytes) -> list[bytes]:
    """The records that these bytes are, headers included."""
    found = []
    while data:
        end = 5 + int.from_bytes(data[3:5], "big")
        assert len(data) >= end
        found.append(data[:end])
        data = data[end:]
    return found


def sealed(peer: Connection, content_type: int, content: bytes, padding: int = 0) -> bytes:
    """One record under the peer's present sending keys."""
    sealer = peer._records.writer.sealer
    assert sealer is not None
    queue: list[bytes] = []
    sealer.seal(queue, bytes([content_type]), content, padding)
    return b"".join(queue)


class Seen(NamedTuple):
    """What a victim told and what it sent last."""

    events: list[Event]
    error: Any
    sent: bytes


def plain_alert(description: AlertDescription) -> bytes:
    return record(21, bytes([2, description]))
