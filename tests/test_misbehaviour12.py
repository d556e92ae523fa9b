"""Every kind of misbehaviour that only TLS 1.2 knows, provoked; and what the hellos of TLS 1.2 share with those of 1.3.

``PROVOCATIONS12`` has one provocation of each kind: it gives what the victim told and
sent. Resumption has its own tests, and with them ``RESUMED_OTHERWISE``.
"""

from collections.abc import Callable
from typing import Any

import pytest

from connection12.peers import (
    KEY_TRANSPORT,
    TLS12,
    TLS13,
    Say,
    check_over,
    client12,
    credential12,
    hello_with,
    instead,
    lying,
    refused,
    server12,
    server_hello_with,
)
from memory import Connection, Seen, message, plain_alert, record, shuttle, the_failure
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CipherSuite,
    ConnectionState,
    PeerError,
    PeerMisbehaviour,
    ProtocolVersion,
)
from sanstls.wire.extensions import (
    HELLO_RETRY_REQUEST_RANDOM,
    ECPointFormatList,
    Extension,
    Extensions,
    KeyShareEntry,
    KeyShareServerHello,
    NamedGroupList,
    ProtocolNameList,
    RenegotiationInfo,
    UnknownExtension,
)
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.messages12 import Certificate12
from sanstls.wire.registries import ECPointFormat, ExtensionType, NamedGroup
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour
Alert = AlertDescription
COMPRESSED = ECPointFormatList((ECPointFormat.ansiX962_compressed_prime, ECPointFormat.ansiX962_compressed_char2))


def seen(victim: Connection, peer: Connection) -> Seen:
    """Let them talk until the victim has failed."""
    events: list[Any] = []
    sent = b""
    for _ in range(4):
        peer.receive_data(sent)
        events += victim.receive_data(peer.data_to_send())
        sent = victim.data_to_send()
        if victim.state is ConnectionState.FAILED:
            break
    told = the_failure(peer.receive_data(sent))
    error = the_failure(events)
    assert isinstance(told, AlertReceivedError)
    assert told.description == error.alert
    check_over(victim, error)
    return Seen(events, error, sent)


def to_server(say: Say, **settings: Any) -> Seen:
    """What a server makes of a client that says this."""
    return seen(server12(**settings), lying(client12, say))


def to_client(say: Say, settings: dict[str, Any] | None = None, **server_settings: Any) -> Seen:
    """What a client makes of a server that says this."""
    return seen_by_client(client12(**(settings or {})), lying(lambda: server12(**server_settings), say))


def seen_by_client(client: Connection, server: Connection) -> Seen:
    server.receive_data(client.data_to_send())
    return seen(client, server)


def echoed_session() -> Seen:
    """The server gives back what a client of TLS 1.3 sends for the sake of middleboxes."""
    client = client12(versions=(TLS13, TLS12))
    session_id: list[bytes] = []

    def say(said: Any) -> Any:
        if isinstance(said, ServerHello):
            return [said.replace(legacy_session_id_echo=session_id[0])]
        return [said]

    server = lying(server12, say)
    hello = ClientHello.parse(client.data_to_send()[9:])
    assert len(hello.legacy_session_id) == 32
    session_id.append(hello.legacy_session_id)
    again = client12(versions=(TLS13, TLS12))  # the same seed, and so the same hello
    return seen_by_client(again, server)


PROVOCATIONS12: dict[PeerMisbehaviour, Callable[[], Seen]] = {
    P.NO_NULL_COMPRESSION: lambda: to_server(hello_with(legacy_compression_methods=b"\1")),
    P.INAPPROPRIATE_FALLBACK: lambda: seen(server12(versions=(TLS13, TLS12)), client12(is_fallback=True)),
    P.NO_RENEGOTIATION_INFO: lambda: to_client(server_hello_with(without=[ExtensionType.renegotiation_info])),
    P.BAD_RENEGOTIATION_INFO: lambda: to_server(hello_with(RenegotiationInfo(bytes(12)))),
    P.NO_EXTENDED_MASTER_SECRET: lambda: to_server(
        hello_with(without=[ExtensionType.extended_master_secret]), require_extended_master_secret=True
    ),
    P.NO_UNCOMPRESSED_POINTS: lambda: to_server(hello_with(COMPRESSED)),
    P.KEY_DOES_NOT_FIT_SUITE: lambda: to_client(
        instead(Certificate12, lambda _: Certificate12(credential12("p256", "both").chain)),
        KEY_TRANSPORT["client"],
        **KEY_TRANSPORT["server"],
    ),
    P.UNOFFERED_SESSION: echoed_session,
}

ALERTS = {
    P.NO_NULL_COMPRESSION: Alert.illegal_parameter,
    P.INAPPROPRIATE_FALLBACK: Alert.inappropriate_fallback,  # RFC 7507 3
    P.NO_RENEGOTIATION_INFO: Alert.handshake_failure,  # RFC 5746 4.1
    P.BAD_RENEGOTIATION_INFO: Alert.handshake_failure,  # RFC 5746 3.4, 3.6
    P.NO_EXTENDED_MASTER_SECRET: Alert.handshake_failure,  # RFC 7627 5.2, 5.3
    P.NO_UNCOMPRESSED_POINTS: Alert.illegal_parameter,  # RFC 8422 5.1.2
    P.KEY_DOES_NOT_FIT_SUITE: Alert.illegal_parameter,
    P.UNOFFERED_SESSION: Alert.illegal_parameter,
}

ONLY_TLS12 = {
    kind
    for kind in PeerMisbehaviour
    if kind.section.startswith(("RFC 5246", "RFC 5746", "RFC 7507", "RFC 7627", "RFC 8422", "RFC 5077"))
}


def test_every_kind_has_its_provocation() -> None:
    assert set(PROVOCATIONS12) == set(ALERTS) == ONLY_TLS12 - {P.RESUMED_OTHERWISE}


@pytest.mark.parametrize("kind", PROVOCATIONS12, ids=lambda kind: kind.name)
def test_provoked(kind: PeerMisbehaviour) -> None:
    told = PROVOCATIONS12[kind]()
    assert isinstance(told.error, PeerError)
    assert told.error.kind is kind
    assert told.error.alert is kind.alert is ALERTS[kind]
    assert kind.section in str(told.error)
    assert kind.sentence in str(told.error)
    assert told.sent == plain_alert(ALERTS[kind])


# The other role, where both can do it -----------------------------------------------------------------------------


def test_bad_renegotiation_info_of_a_server() -> None:
    assert to_client(server_hello_with(RenegotiationInfo(bytes(24)))).error.kind is P.BAD_RENEGOTIATION_INFO


def test_no_extended_master_secret_of_a_server() -> None:
    say = server_hello_with(without=[ExtensionType.extended_master_secret])
    error = to_client(say, {"require_extended_master_secret": True}).error
    assert error.kind is P.NO_EXTENDED_MASTER_SECRET
    assert "client" in str(error)


def test_no_uncompressed_points_of_a_server() -> None:
    assert to_client(server_hello_with(COMPRESSED)).error.kind is P.NO_UNCOMPRESSED_POINTS


# What is no misbehaviour ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "say",
    [
        hello_with(legacy_compression_methods=b"\0\1"),
        hello_with(legacy_compression_methods=b"\1\0"),
        hello_with(legacy_compression_methods=bytes(range(255))),
        hello_with(ECPointFormatList((ECPointFormat.ansiX962_compressed_prime, ECPointFormat.uncompressed))),
        hello_with(ECPointFormatList((ECPointFormat(77), ECPointFormat.uncompressed))),
        hello_with(UnknownExtension(ExtensionType(0x1A1A), b"grease")),
        hello_with(legacy_session_id=bytes(32)),
    ],
    ids=["null first", "null last", "every method", "compressed, too", "unknown format", "grease", "session ID"],
)
def test_hellos_that_are_odd_and_right(say: Say) -> None:
    client, server = lying(client12, say), server12()
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN


def test_a_server_that_names_more_formats_and_its_groups() -> None:
    """RFC 8422 5.2; and some servers send supported_groups, which means nothing."""
    say = server_hello_with(
        ECPointFormatList((ECPointFormat.uncompressed, ECPointFormat.ansiX962_compressed_prime)),
        NamedGroupList((NamedGroup.secp521r1,)),
    )
    client, server = client12(), lying(server12, say)
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN


# What hellos share with those of TLS 1.3 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "kind"),
    [
        (server_hello_with(legacy_compression_method=1), P.COMPRESSION_CHOSEN),
        (server_hello_with(cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256), P.UNOFFERED_CIPHER_SUITE),
        (server_hello_with(cipher_suite=CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256), P.UNOFFERED_CIPHER_SUITE),
        (server_hello_with(cipher_suite=CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA), P.UNOFFERED_CIPHER_SUITE),
        (
            server_hello_with(cipher_suite=CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV),
            P.UNOFFERED_CIPHER_SUITE,
        ),
        (server_hello_with(cipher_suite=CipherSuite.TLS_FALLBACK_SCSV), P.UNOFFERED_CIPHER_SUITE),
        (server_hello_with(cipher_suite=CipherSuite(0xFEFE)), P.UNOFFERED_CIPHER_SUITE),
        (server_hello_with(UnknownExtension(ExtensionType(0x1A1A), b"")), P.UNSOLICITED_EXTENSION),
        (server_hello_with(ProtocolNameList((b"h2",))), P.UNSOLICITED_EXTENSION),
        (server_hello_with(legacy_version=ProtocolVersion.TLS11), P.OBSOLETE_VERSION),
    ],
)
def test_server_hellos(say: Say, kind: PeerMisbehaviour) -> None:
    told = to_client(say)
    assert told.error.kind is kind
    assert told.sent == plain_alert(kind.alert)
    assert len(told.events) == 1  # of such a ServerHello nothing else is told


@pytest.mark.parametrize("names", [(b"http/1.1",), (b"h2", b"h2"), (b"H2",), (b"\xff",)], ids=repr)
def test_an_application_protocol_that_was_not_offered(names: tuple[bytes, ...]) -> None:
    told = to_client(server_hello_with(ProtocolNameList(names)), {"alpn": ("h2",)}, alpn=("h2",))
    assert told.error.kind is P.BAD_PROTOCOL_CHOICE


@pytest.mark.parametrize(
    "extension", [KeyShareServerHello(KeyShareEntry(NamedGroup.x25519, bytes(32)))], ids=lambda e: type(e).__name__
)
def test_an_extension_of_tls13_in_a_server_hello(extension: Extension) -> None:
    client = client12(versions=(TLS13, TLS12))
    server = lying(server12, server_hello_with(extension))
    assert refused(client, server, by="client").kind is P.MISPLACED_EXTENSION


def test_an_extension_twice() -> None:
    hello = ClientHello.parse(client12().data_to_send()[9:])
    block = hello.extensions.serialise()
    twice = block + RenegotiationInfo(b"").encode()
    start = hello.replace(extensions=Extensions(is_present=False)).serialise()
    raw = message(T.client_hello, start + len(twice).to_bytes(2, "big") + twice)
    server = server12()
    assert the_failure(server.receive_data(record(22, raw))).kind is P.DUPLICATE_EXTENSION
    assert server.data_to_send() == plain_alert(Alert.illegal_parameter)


@pytest.mark.parametrize("versions", [(TLS12,), (TLS13, TLS12)], ids=len)
def test_the_random_of_a_hello_retry_request(versions: tuple[ProtocolVersion, ...]) -> None:
    """RFC 9846 4.2.3: it says what it is to a client of TLS 1.3 alone, but then without supported_versions."""
    client = client12(versions=versions)
    hello = ServerHello(
        TLS12, HELLO_RETRY_REQUEST_RANDOM, b"", CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 0, Extensions()
    )
    client.data_to_send()
    assert the_failure(client.receive_data(record(22, hello.encode()))).kind is P.MISSING_EXTENSION
