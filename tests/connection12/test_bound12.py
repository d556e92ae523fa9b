"""What binds a connection of TLS 1.2 to itself and to its certificate, and what old peers do not know of it.

Extended master secret (RFC 7627), renegotiation_info (RFC 5746), the fallback SCSV
(RFC 7507), exporters (RFC 5705), channel bindings (RFC 5929, RFC 9266), the key log.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from connection12.peers import (
    KEY_TRANSPORT,
    TLS12,
    TLS13,
    client12,
    credential12,
    first_hello,
    hello_with,
    instead,
    lying,
    open_pair,
    pair,
    refused,
    root,
    server12,
    server_hello_with,
)
from identity.pki import Issued, authority, leaf, sha1_signed
from memory import NAME, Connection, shuttle
from sanstls import (
    AlertDescription,
    CipherSuite,
    ClientHelloReceived,
    ConnectionState,
    Credential,
    DangerouslyAcceptAny,
    DataReceived,
    LocalError,
    MessageReceived,
    MessageSent,
    PeerMisbehaviour,
    SecretLogged,
    ServerHelloReceived,
)
from sanstls.crypto.suites import SUITES12
from sanstls.wire.extensions import RenegotiationInfo
from sanstls.wire.messages import ClientHello, Finished, HandshakeMessage
from sanstls.wire.registries import ExtensionType

EMS = ExtensionType.extended_master_secret
RENEGOTIATION = ExtensionType.renegotiation_info
LABEL = "EXPORTER-test"


def check_open(client: Connection, server: Connection) -> None:
    assert client.state is server.state is ConnectionState.OPEN
    client.send_data(b"ping")
    server.send_data(b"pong")
    assert shuttle(client, server) == ([DataReceived(b"pong")], [DataReceived(b"ping")])


def p_hash(hash_name: str, secret: bytes, seed: bytes, length: int) -> bytes:
    """RFC 5246 5, written once more."""
    made, a = b"", seed
    while len(made) < length:
        a = hmac.new(secret, a, hash_name).digest()
        made += hmac.new(secret, a + seed, hash_name).digest()
    return made[:length]


# Extended master secret -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_key_transport", [False, True], ids=["ECDHE", "RSA"])
def test_a_client_without_extended_master_secret(is_key_transport: bool) -> None:
    settings = KEY_TRANSPORT if is_key_transport else {"client": {}, "server": {}}
    client = lying(lambda: client12(**settings["client"]), hello_with(without=[EMS]))
    server = server12(**settings["server"])
    client_events, _ = shuttle(client, server)
    (hello,) = [event.hello for event in client_events if isinstance(event, ServerHelloReceived)]
    assert EMS not in hello.extensions
    assert not client.info.extended_master_secret
    assert not server.info.extended_master_secret
    check_open(client, server)


def test_what_is_refused_without_extended_master_secret() -> None:
    client = lying(client12, hello_with(without=[EMS]))
    server = server12()
    shuttle(client, server)
    for connection in (client, server):
        for ask in (
            lambda c=connection: c.export_keying_material(LABEL, 32),
            lambda c=connection: c.channel_binding(),
            lambda c=connection: c.channel_binding("tls-exporter"),
            lambda c=connection: c.channel_binding("tls-unique"),
        ):
            with pytest.raises(LocalError, match="extended master secret"):
                ask()
        assert connection.channel_binding("tls-server-end-point") == hashlib.sha256(credential12().chain[0]).digest()
    check_open(client, server)  # asking does no harm


def test_a_server_that_requires_extended_master_secret() -> None:
    client = lying(client12, hello_with(without=[EMS]))
    error = refused(client, server12(require_extended_master_secret=True), by="server")
    assert error.kind is PeerMisbehaviour.NO_EXTENDED_MASTER_SECRET
    assert error.alert is AlertDescription.handshake_failure


def test_a_client_that_requires_extended_master_secret() -> None:
    server = lying(server12, server_hello_with(without=[EMS]))
    error = refused(client12(require_extended_master_secret=True), server, by="client")
    assert error.kind is PeerMisbehaviour.NO_EXTENDED_MASTER_SECRET
    assert error.alert is AlertDescription.handshake_failure


def test_requiring_it_of_peers_that_have_it() -> None:
    client, server = open_pair(require_extended_master_secret=True)
    assert client.info.extended_master_secret
    assert server.info.extended_master_secret
    check_open(client, server)


def test_taking_it_out_in_between_breaks_the_handshake() -> None:
    """The client then derives another master secret than the server."""
    server = lying(server12, server_hello_with(without=[EMS]))
    client = client12()
    client_events, server_events = shuttle(client, server)
    assert not any(isinstance(event, DataReceived) for event in client_events + server_events)
    assert client.state is server.state is ConnectionState.FAILED


# Secure renegotiation ---------------------------------------------------------------------------------------------


def test_a_server_that_never_heard_of_secure_renegotiation() -> None:
    say = server_hello_with(without=[RENEGOTIATION])
    error = refused(client12(), lying(server12, say), by="client")
    assert error.kind is PeerMisbehaviour.NO_RENEGOTIATION_INFO
    assert error.alert is AlertDescription.handshake_failure
    assert "legacy_renegotiation_peers=True" in str(error)
    client, server = client12(legacy_renegotiation_peers=True), lying(server12, say)
    shuttle(client, server)
    check_open(client, server)


@pytest.mark.parametrize("settings", [{}, {"legacy_renegotiation_peers": True}], ids=repr)
@pytest.mark.parametrize("content", [b"\0", bytes(12), bytes(24)], ids=len)
def test_a_server_that_believes_to_renegotiate(content: bytes, settings: dict[str, Any]) -> None:
    """RFC 5746 3.4: not empty in a first handshake means that somebody is in between."""
    server = lying(server12, server_hello_with(RenegotiationInfo(content)))
    error = refused(client12(**settings), server, by="client")
    assert error.kind is PeerMisbehaviour.BAD_RENEGOTIATION_INFO
    assert error.alert is AlertDescription.handshake_failure


@pytest.mark.parametrize("content", [b"\0", bytes(12)], ids=len)
def test_a_client_that_believes_to_renegotiate(content: bytes) -> None:
    """RFC 5746 3.6."""
    error = refused(lying(client12, hello_with(RenegotiationInfo(content))), server12(), by="server")
    assert error.kind is PeerMisbehaviour.BAD_RENEGOTIATION_INFO
    assert error.alert is AlertDescription.handshake_failure


@pytest.mark.parametrize("has_scsv", [False, True])
@pytest.mark.parametrize("has_extension", [False, True])
def test_how_a_client_says_that_it_knows_secure_renegotiation(has_extension: bool, has_scsv: bool) -> None:
    """RFC 5746 3.6: by the extension or by the suite that stands for it; without either there is no answer."""

    def change(hello: ClientHello) -> Iterable[HandshakeMessage]:
        scsv = (CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV,) if has_scsv else ()
        changed = hello.replace(cipher_suites=(*hello.cipher_suites, *scsv))
        return hello_with(without=() if has_extension else [RENEGOTIATION])(changed)

    client = lying(lambda: client12(legacy_renegotiation_peers=True), instead(ClientHello, change))
    server = server12()
    server.receive_data(client.data_to_send())
    answer = first_hello(server.data_to_send()).extensions.get(RenegotiationInfo)
    assert answer == (RenegotiationInfo(b"") if has_extension or has_scsv else None)


def test_a_client_that_never_heard_of_secure_renegotiation() -> None:
    client = lying(lambda: client12(legacy_renegotiation_peers=True), hello_with(without=[RENEGOTIATION]))
    server = server12()
    shuttle(client, server)
    check_open(client, server)


# Fallback (RFC 7507) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", [(TLS13, TLS12), (TLS12,)], ids=["both", "TLS 1.2"])
def test_a_fallback_without_need(versions: tuple[Any, ...]) -> None:
    client, server = client12(is_fallback=True), server12(versions=versions)
    if TLS13 not in versions:
        shuttle(client, server)
        check_open(client, server)
        return
    error = refused(client, server, by="server")
    assert error.kind is PeerMisbehaviour.INAPPROPRIATE_FALLBACK
    assert error.alert is AlertDescription.inappropriate_fallback


def test_a_fallback_to_the_highest_version_is_none() -> None:
    client, server = pair(client={"is_fallback": True}, versions=(TLS13, TLS12))
    shuttle(client, server)
    assert client.info.version is TLS13
    check_open(client, server)


def test_no_fallback_is_told_unasked() -> None:
    for is_fallback in (False, True):
        server = server12()
        (told,) = server.receive_data(client12(is_fallback=is_fallback).data_to_send())
        assert isinstance(told, ClientHelloReceived)
        assert (CipherSuite.TLS_FALLBACK_SCSV in told.hello.cipher_suites) is is_fallback


# Exporters --------------------------------------------------------------------------------------------------------


def master_secret_of(events: list[Any]) -> bytes:
    """What the key log says."""
    (line,) = [event.line for event in events if isinstance(event, SecretLogged)]
    name, _, secret = line.split(" ")
    assert name == "CLIENT_RANDOM"
    return bytes.fromhex(secret)


@pytest.mark.parametrize(
    "suite",
    [CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384],
    ids=str,
)
@pytest.mark.parametrize(
    "context", [None, b"", b"context", bytes(2**16 - 1)], ids=["none", "empty", "short", "longest"]
)
@pytest.mark.parametrize("length", [1, 32, 48, 49, 200, 2**14])
def test_exporters(length: int, context: bytes | None, suite: CipherSuite) -> None:
    """RFC 5705 4: here no context is another one than the empty one."""
    client, server = pair(cipher_suites=(suite,), key_log=True)
    client_events, server_events = shuttle(client, server)
    (hello,) = [event.hello for event in server_events if isinstance(event, ClientHelloReceived)]
    (answer,) = [event.hello for event in client_events if isinstance(event, ServerHelloReceived)]
    seed = LABEL.encode() + hello.random + answer.random
    if context is not None:
        seed += len(context).to_bytes(2, "big") + context
    expected = p_hash(SUITES12[suite].hash_name, master_secret_of(client_events), seed, length)
    for connection in (client, server):
        assert connection.export_keying_material(LABEL, length, context) == expected
        assert connection.export_keying_material(LABEL.encode(), length, context) == expected


@pytest.mark.parametrize(
    ("label", "length", "context"),
    [
        ("", 32, None),
        ("x", 0, None),
        ("x", -1, None),
        ("x", 2**14 + 1, None),
        ("x", 32, bytes(2**16)),
        ("client finished", 32, None),
        ("server finished", 32, None),
        ("master secret", 32, None),
        ("extended master secret", 32, None),
        ("key expansion", 32, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_impossible_exports(label: str, length: int, context: bytes | None) -> None:
    """RFC 5705 4: the labels of TLS itself would give away its keys."""
    client, server = open_pair()
    with pytest.raises(LocalError):
        client.export_keying_material(label, length, context)
    check_open(client, server)


# Channel bindings -------------------------------------------------------------------------------------------------


def test_tls_exporter() -> None:
    client, server = open_pair()
    expected = client.export_keying_material("EXPORTER-Channel-Binding", 32, b"")
    assert client.channel_binding() == server.channel_binding("tls-exporter") == expected
    assert open_pair("other")[0].channel_binding() != expected
    with pytest.raises(LocalError, match="tls-unique"):
        client.channel_binding("tls-unheard-of")


def test_tls_unique_is_the_first_finished() -> None:
    """RFC 5929 3.1: in a full handshake that is the client's."""
    client, server = pair(trace=True)
    client_events, _ = shuttle(client, server)
    sent = [
        e.message.verify_data for e in client_events if isinstance(e, MessageSent) and isinstance(e.message, Finished)
    ]
    came = [
        e.message.verify_data
        for e in client_events
        if isinstance(e, MessageReceived) and isinstance(e.message, Finished)
    ]
    assert [client.channel_binding("tls-unique")] == [server.channel_binding("tls-unique")] == sent != came


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [("SHA-1", "sha256"), ("SHA-256", "sha256"), ("SHA-384", "sha384"), ("SHA-512", "sha512"), ("Ed25519", None)],
)
def test_tls_server_end_point(algorithm: str, expected: str | None) -> None:
    """RFC 5929 4.1: by the hash of the certificate's signature, unless that is MD5 or SHA-1."""
    issuer = authority(key_type="ed25519") if algorithm == "Ed25519" else root()
    issued = leaf(issuer, NAME)
    if algorithm == "SHA-1":
        issued = sha1_signed(issued, issuer.key)
    der = issued.der
    if algorithm in ("SHA-384", "SHA-512"):
        der = signed_by(issued, hashes.SHA384() if algorithm == "SHA-384" else hashes.SHA512())
    client, server = open_pair(
        client={"verify": DangerouslyAcceptAny()}, server={"credentials": (Credential([der], issued.key),)}
    )
    for connection in (client, server):
        if expected is None:
            with pytest.raises(LocalError, match="names no hash"):
                connection.channel_binding("tls-server-end-point")
        else:
            binding = connection.channel_binding("tls-server-end-point")
            assert binding == hashlib.new(expected, der).digest()


def signed_by(issued: Issued, algorithm: hashes.SHA384 | hashes.SHA512) -> bytes:
    """The certificate, signed anew with this hash."""
    given = issued.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(given.subject)
        .issuer_name(given.issuer)
        .public_key(given.public_key())
        .serial_number(given.serial_number)
        .not_valid_before(given.not_valid_before_utc)
        .not_valid_after(given.not_valid_after_utc)
    )
    key = root().key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


# The key log ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_extended", [True, False], ids=["extended", "plain"])
def test_the_key_log_is_what_the_finished_is_made_of(is_extended: bool) -> None:
    """RFC 9850 3.2 (CLIENT_RANDOM): the master secret opens the connection."""
    make = lambda: client12(key_log=True, trace=True)  # noqa: E731
    client = make() if is_extended else lying(make, hello_with(without=[EMS]))
    server = server12(key_log=True)
    client_events, server_events = shuttle(client, server)
    secret = master_secret_of(client_events)
    assert len(secret) == 48
    (line,) = [event.line for event in client_events if isinstance(event, SecretLogged)]
    assert [line] == [event.line for event in server_events if isinstance(event, SecretLogged)]
    (hello,) = [event.hello for event in server_events if isinstance(event, ClientHelloReceived)]
    assert line.split(" ")[1] == hello.random.hex()
    # Every message up to the client's Finished is in the trace.
    messages = [e.message for e in client_events if isinstance(e, MessageSent | MessageReceived) and e.message]
    names = [type(message) for message in messages]
    before = messages[: names.index(Finished)]
    assert all(isinstance(message, HandshakeMessage) for message in before)
    digest = hashlib.new("sha384", b"".join(message.encode() for message in before)).digest()
    expected = p_hash("sha384", secret, b"client finished" + digest, 12)
    assert messages[names.index(Finished)].verify_data == expected


def test_nothing_is_logged_unasked() -> None:
    client, server = pair()
    for events in shuttle(client, server):
        assert not any(isinstance(event, SecretLogged) for event in events)
