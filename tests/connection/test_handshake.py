"""Whole handshakes in memory: every suite, group and kind of certificate, and everything that is negotiated."""

from dataclasses import replace
from typing import Any

import pytest

from memory import (
    KEYS,
    NAME,
    client_config,
    configs,
    connections,
    credential,
    credential_of,
    established,
    handshake,
    is_complete,
    random_source,
    records,
    server_config,
    shuttle,
    the_failure,
)
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    CipherSuite,
    ClientConnection,
    ClientHelloReceived,
    ConnectionState,
    DataReceived,
    HandshakeComplete,
    HelloRetryRequested,
    LocalError,
    MessageReceived,
    MessageSent,
    NamedGroup,
    PeerMisbehaviour,
    ProtocolVersion,
    SecretLogged,
    ServerConnection,
    SignatureScheme,
)
from sanstls.crypto.groups import GROUPS
from sanstls.crypto.suites import SUITES13


def check_agreement(client: ClientConnection, server: ServerConnection) -> None:
    """Both know the same, have the same keys, and carry data."""
    only_one_side_has = {"peer_chain": (), "verified": None, "credential": None}
    assert replace(client.info, **only_one_side_has) == replace(server.info, **only_one_side_has)
    assert client.export_keying_material("EXPORTER-test", 80, b"context") == server.export_keying_material(
        "EXPORTER-test", 80, b"context"
    )
    assert server.info.credential is not None
    assert client.info.peer_chain == server.info.credential.chain
    assert client.state is server.state is ConnectionState.OPEN
    client.send_data(b"ping")
    server.send_data(b"pong")
    assert shuttle(client, server) == ([DataReceived(b"pong")], [DataReceived(b"ping")])


@pytest.mark.parametrize("group", sorted(GROUPS, key=int), ids=str)
@pytest.mark.parametrize("suite", SUITES13, ids=str)
def test_every_suite_with_every_group(suite: CipherSuite, group: NamedGroup) -> None:
    client, server = established(cipher_suites=(suite,), groups=(group,))
    assert (client.info.cipher_suite, client.info.group) == (suite, group)
    check_agreement(client, server)


EXPECTED_SCHEMES = {
    "rsa": SignatureScheme.rsa_pss_rsae_sha256,
    "p256": SignatureScheme.ecdsa_secp256r1_sha256,
    "p384": SignatureScheme.ecdsa_secp384r1_sha384,
    "p521": SignatureScheme.ecdsa_secp521r1_sha512,
    "ed25519": SignatureScheme.ed25519,
    "ed448": SignatureScheme.ed448,
}


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_certificate(kind: str) -> None:
    client, server = established(credentials=(credential_of(kind),))
    assert client.info.signature_scheme == EXPECTED_SCHEMES[kind]
    assert client.info.verified is not None
    check_agreement(client, server)


def test_defaults_give_the_hybrid() -> None:
    groups = type(client_config()).__dataclass_fields__["groups"].default
    client, server = established(groups=groups)
    assert client.info.group == NamedGroup.X25519MLKEM768
    check_agreement(client, server)


@pytest.mark.parametrize("group", sorted(GROUPS, key=int), ids=str)
@pytest.mark.parametrize("suite", SUITES13, ids=str)
def test_hello_retry_request(suite: CipherSuite, group: NamedGroup) -> None:
    client, server = connections(cipher_suites=(suite,), groups=(group,), key_shares=())
    client_events, server_events = handshake(client, server)
    assert [event.group for event in client_events if isinstance(event, HelloRetryRequested)] == [group]
    assert [event.group for event in server_events if isinstance(event, HelloRetryRequested)] == [group]
    assert client.info.hello_retried
    check_agreement(client, server)


def test_the_servers_first_group_with_a_share_wins() -> None:
    config = client_config(key_shares=(NamedGroup.secp256r1, NamedGroup.x25519))
    client = ClientConnection(config, NAME)
    server = ServerConnection(server_config(groups=(NamedGroup.x448, NamedGroup.x25519, NamedGroup.secp256r1)))
    handshake(client, server)
    assert client.info.group == NamedGroup.x25519
    assert not client.info.hello_retried


def test_no_group_in_common() -> None:
    client = ClientConnection(client_config(groups=(NamedGroup.x448,)), NAME)
    server = ServerConnection(server_config())
    client_events, server_events = handshake(client, server)
    assert the_failure(server_events).kind is PeerMisbehaviour.NO_COMMON_GROUP
    error = the_failure(client_events)
    assert isinstance(error, AlertReceivedError)
    assert error.description == AlertDescription.handshake_failure


@pytest.mark.parametrize("is_compatible", [True, False], ids=["compatible", "plain"])
def test_middlebox_compatibility(is_compatible: bool) -> None:
    client, server = connections(middlebox_compatibility=is_compatible)
    hello = client.data_to_send()
    server.receive_data(hello)
    flight = server.data_to_send()
    client.receive_data(flight)
    answer = client.data_to_send()
    assert (b"\x14\x03\x03\x00\x01\x01" in flight) is is_compatible
    assert answer.startswith(b"\x14\x03\x03\x00\x01\x01") is is_compatible
    assert hello.startswith(b"\x16\x03\x01")
    assert is_complete(server.receive_data(answer))


@pytest.mark.parametrize("key_shares", [None, ()], ids=["at once", "retried"])
def test_the_versions_of_records(key_shares: tuple[NamedGroup, ...] | None) -> None:
    """RFC 9846 5.1: that of the first ClientHello may be another, all others are 0x0303."""
    versions = [each[1:3] for flight in flights(1, key_shares=key_shares) for each in records(flight)]
    assert versions == [b"\3\1", *[b"\3\3"] * (len(versions) - 1)]


# ALPN -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "spoken", "chosen"),
    [
        (("h2", "http/1.1"), ("h2",), "h2"),
        (("h2", "http/1.1"), ("http/1.1", "h2"), "http/1.1"),
        (("h2",), (), None),
        ((), ("h2",), None),
        ((), (), None),
    ],
)
def test_alpn(offered: tuple[str, ...], spoken: tuple[str, ...], chosen: str | None) -> None:
    client, server = ClientConnection(client_config(alpn=offered), NAME), ServerConnection(server_config(alpn=spoken))
    _, server_events = handshake(client, server)
    assert client.info.alpn == server.info.alpn == chosen
    assert [event.alpn for event in server_events if isinstance(event, ClientHelloReceived)] == [offered]


def test_alpn_without_overlap() -> None:
    client, server = ClientConnection(client_config(alpn=("h2",)), NAME), ServerConnection(server_config(alpn=("x",)))
    client_events, server_events = handshake(client, server)
    assert the_failure(server_events).kind is PeerMisbehaviour.NO_COMMON_PROTOCOL
    assert the_failure(client_events).description == AlertDescription.no_application_protocol


# The server's name and credentials --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "index"),
    [("a.test", 0), ("b.test", 1), ("B.TEST", 1), ("x.wild.test", 2), ("else.test", 0), (None, 0)],
)
def test_the_name_chooses_the_credential(name: str | None, index: int) -> None:
    credentials = (credential("a.test"), credential("b.test"), credential("*.wild.test"))
    client, server = connections(credentials=credentials, server_name=name)
    shuttle(client, server)
    # Where no name matches, the first is used, and it is for the client to refuse it.
    assert client.state is (ConnectionState.FAILED if name in ("else.test", None) else ConnectionState.OPEN)
    deferring = ClientConnection(client_config(verify=AcceptAll()), name)
    server = ServerConnection(server_config(credentials=credentials))
    handshake(deferring, server)
    assert server.info.credential is credentials[index]
    assert server.info.server_name == (name.lower() if name else None)


class AcceptAll:
    def verify(self, chain: Any, **_: Any) -> Any:
        return None


def test_the_client_refuses_another_name() -> None:
    client, server = connections(server_name="other.test")
    client_events, server_events = handshake(client, server)
    error = the_failure(client_events)
    assert isinstance(error, CertificateError)
    assert error.alert is not None
    assert the_failure(server_events).description == error.alert


@pytest.mark.parametrize("kind", KEYS)
def test_the_credential_is_one_that_the_client_can_verify(kind: str) -> None:
    credentials = tuple(credential_of(each) for each in KEYS)
    client = ClientConnection(client_config(signature_schemes=(EXPECTED_SCHEMES[kind],)), NAME)
    server = ServerConnection(server_config(credentials=credentials))
    if kind == "rsa":  # the chain itself is signed by ECDSA, which is the verifier's concern
        assert credentials[0].signature_schemes[0] == EXPECTED_SCHEMES["rsa"]
    handshake(client, server)
    assert client.info.signature_scheme == EXPECTED_SCHEMES[kind]
    assert server.info.credential is credential_of(kind)


def test_no_credential_that_the_client_can_verify() -> None:
    client = ClientConnection(client_config(signature_schemes=(SignatureScheme.ed448,)), NAME)
    server = ServerConnection(server_config())
    _, events = handshake(client, server)
    assert the_failure(events).kind is PeerMisbehaviour.NO_SUITABLE_CREDENTIAL


def test_a_credential_that_may_not_sign_is_passed_over() -> None:
    """RFC 9846 4.5.1.2: its key usage must allow signatures."""
    cannot = credential_of("rsa", may_sign=False)
    _, server = established(credentials=(cannot, credential()))
    assert server.info.credential is credential()
    client, server = connections(credentials=(cannot,), versions=(ProtocolVersion.TLS13,))
    _, events = handshake(client, server)
    assert the_failure(events).kind is PeerMisbehaviour.NO_SUITABLE_CREDENTIAL


def test_a_matching_name_that_the_client_cannot_verify_falls_back() -> None:
    credentials = (credential_of("ed448", "a.test"), credential("b.test"))
    config = client_config(verify=AcceptAll(), signature_schemes=(SignatureScheme.ecdsa_secp256r1_sha256,))
    client, server = ClientConnection(config, "a.test"), ServerConnection(server_config(credentials=credentials))
    handshake(client, server)
    assert server.info.credential is credentials[1]


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_an_ip_address_is_verified_and_not_sent(address: str) -> None:
    client, server = connections(credentials=(credential(address),), server_name=address)
    _, server_events = handshake(client, server)
    assert [event.server_name for event in server_events if isinstance(event, ClientHelloReceived)] == [None]
    assert client.info.server_name == address
    assert client.info.verified is not None


# Exporters --------------------------------------------------------------------------------------------------------


def test_exporters() -> None:
    client, server = established()
    first = client.export_keying_material("EXPORTER-one", 32)
    assert len(first) == 32
    assert first == client.export_keying_material(b"EXPORTER-one", 32, b"")
    assert first != client.export_keying_material("EXPORTER-two", 32)
    assert first != client.export_keying_material("EXPORTER-one", 32, b"context")
    assert client.channel_binding() == server.channel_binding()
    assert client.channel_binding() == client.export_keying_material("EXPORTER-Channel-Binding", 32)
    other, _ = established(seed="other")
    assert other.channel_binding() != client.channel_binding()


@pytest.mark.parametrize(
    ("label", "length"), [("", 32), ("x" * 250, 32), ("x", 0), ("x", -1), ("x", 255 * 48 + 1)], ids=repr
)
def test_impossible_exports(label: str, length: int) -> None:
    client, _ = established()
    with pytest.raises(LocalError):
        client.export_keying_material(label, length)


def test_the_longest_exports() -> None:
    client, server = established()
    assert len(client.export_keying_material("x" * 249, 255 * 48)) == 255 * 48
    with pytest.raises(LocalError, match="tls-unique"):
        server.channel_binding("tls-unique")


def test_nothing_to_know_before_the_handshake() -> None:
    client, _ = connections()
    for ask in (lambda: client.info, client.channel_binding, lambda: client.export_keying_material("x", 1)):
        with pytest.raises(LocalError):
            ask()
    with pytest.raises(LocalError):
        client.send_data(b"early")
    with pytest.raises(LocalError):
        client.update_keys()


# Determinism ------------------------------------------------------------------------------------------------------


def flights(seed: object, **overrides: Any) -> list[bytes]:
    client, server = connections(seed, **overrides)
    sent = []
    while not sent or sent[-1] or len(sent) % 2:
        source, target = (client, server) if len(sent) % 2 == 0 else (server, client)
        sent.append(source.data_to_send())
        target.receive_data(sent[-1])
    server.send_data(b"data" * 5000)
    return [*sent, server.data_to_send()]


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "ed25519", "ed448"])
@pytest.mark.parametrize("key_shares", [None, ()], ids=["at once", "retried"])
def test_the_same_seeds_give_the_same_bytes(kind: str, key_shares: tuple[NamedGroup, ...] | None) -> None:
    settings = {"credentials": (credential_of(kind),), "key_shares": key_shares}
    assert flights(1, **settings) == flights(1, **settings)
    different = flights(2, **settings)
    assert all(one != other for one, other in zip(flights(1, **settings), different, strict=True) if len(one) > 200)


def test_the_random_source_is_seeded() -> None:
    assert random_source(1)(16) == random_source(1)(16) != random_source(2)(16)


# Trace ------------------------------------------------------------------------------------------------------------


def test_what_one_side_traces_as_sent_the_other_traces_as_received() -> None:
    client, server = connections(trace=True, key_log=True)
    first = client.data_to_send()
    server_events = server.receive_data(first)
    client_events = client.receive_data(server.data_to_send())
    server_events += server.receive_data(client.data_to_send())

    def told(events: list[Any], kind: Any) -> list[tuple[Any, ...]]:
        return [(e.name, e.content_type, e.size, e.message) for e in events if type(e) is kind]

    assert told(server_events, MessageSent) == told(client_events, MessageReceived)
    assert told(client_events, MessageSent) == told(server_events, MessageReceived)
    assert [name for name, *_ in told(server_events, MessageSent)] == [
        "ServerHello",
        "ChangeCipherSpec",
        "EncryptedExtensions",
        "Certificate",
        "CertificateVerify",
        "Finished",
    ]
    logged = [{e.line for e in events if isinstance(e, SecretLogged)} for events in (client_events, server_events)]
    assert logged[0] == logged[1]
    assert len(logged[0]) == 5
    assert all(line not in repr(client_events) for line in logged[0])


def test_info_is_the_one_of_the_event() -> None:
    client, server = connections()
    events, _ = handshake(client, server)
    assert next(event.info for event in events if isinstance(event, HandshakeComplete)) is client.info
    assert repr(client) == "<ClientConnection: data flows both ways>"


def test_wrong_configurations() -> None:
    client, server = configs()
    with pytest.raises(LocalError):
        ClientConnection(server, NAME)  # type: ignore[arg-type]
    with pytest.raises(LocalError):
        ServerConnection(client)  # type: ignore[arg-type]
    with pytest.raises(LocalError):
        ClientConnection(client, "not a name")
