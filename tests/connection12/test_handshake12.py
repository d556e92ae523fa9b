"""Whole handshakes of TLS 1.2 in memory: every suite, group, kind of certificate, and what is negotiated."""

from dataclasses import replace
from typing import Any

import pytest

from connection12.peers import (
    GROUPS,
    KEY_TRANSPORT,
    MUTUAL,
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
    server12,
    server_hello_with,
    verifier,
    with_extensions,
)
from identity.pki import leaf
from memory import KEYS, is_complete, record, records, shuttle, the_failure
from sanstls import (
    AlertDescription,
    CertificateError,
    CertificateReceived,
    CipherSuite,
    ClientConnection,
    ClientHelloReceived,
    ConnectionState,
    Credential,
    DangerouslyAcceptAny,
    DataReceived,
    HandshakeComplete,
    LocalError,
    MessageReceived,
    MessageSent,
    NamedGroup,
    PeerMisbehaviour,
    ProtocolVersion,
    SecretLogged,
    ServerConnection,
    ServerHelloReceived,
    SignatureScheme,
)
from sanstls.crypto.groups import GROUPS12
from sanstls.crypto.suites import SUITES12
from sanstls.wire.extensions import Extensions, SelectedVersion, SignatureSchemeList
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.messages12 import CertificateRequest12
from sanstls.wire.registries import ExtensionType

ECDHE = [suite for suite, about in SUITES12.items() if about.key_exchange == "ECDHE"]
ECDHE_ECDSA = tuple(suite for suite in ECDHE if "ECDSA" in suite.name)


def kind_for(suite: CipherSuite) -> str:
    return "p256" if "ECDSA" in suite.name else "rsa"


def check_agreement(client: ClientConnection, server: ServerConnection) -> None:
    """Both know the same, have the same keys, and carry data."""
    only_one_side_has = {"peer_chain": (), "verified": None, "credential": None}
    assert replace(client.info, **only_one_side_has) == replace(server.info, **only_one_side_has)
    assert client.info.version is TLS12
    assert server.info.credential is not None
    assert client.info.peer_chain == server.info.credential.chain
    assert client.state is server.state is ConnectionState.OPEN
    for round_number in range(3):
        client.send_data(b"ping %d" % round_number)
        server.send_data(bytes(40_000))
        client_events, server_events = shuttle(client, server)
        assert server_events == [DataReceived(b"ping %d" % round_number)]
        assert b"".join(event.data for event in client_events if isinstance(event, DataReceived)) == bytes(40_000)
    server.close()
    client.close()
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.CLOSED


# Suites, groups, certificates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", sorted(GROUPS12, key=int), ids=str)
@pytest.mark.parametrize("suite", ECDHE, ids=str)
def test_every_suite_with_every_group(suite: CipherSuite, group: NamedGroup) -> None:
    credentials = (credential12(kind_for(suite)),)
    client, server = open_pair(
        cipher_suites=(suite,),
        client={"groups": (group, *GROUPS)} if group not in GROUPS else {},
        server={"credentials": credentials, "groups": (group,)},
    )
    assert (client.info.cipher_suite, client.info.group) == (suite, group)
    assert client.info.extended_master_secret
    exported = client.export_keying_material("EXPORTER-test", 80, b"context")
    assert exported == server.export_keying_material("EXPORTER-test", 80, b"context")
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
@pytest.mark.parametrize("suite", ECDHE, ids=str)
def test_every_suite_with_every_kind_of_certificate(suite: CipherSuite, kind: str) -> None:
    """Ed25519 and Ed448 keys go with the ECDSA suites (RFC 8422 2.1)."""
    client, server = pair(cipher_suites=(suite,), server={"credentials": (credential12(kind),)})
    if (kind == "rsa") == ("ECDSA" in suite.name):
        assert refused(client, server, by="server").kind is PeerMisbehaviour.NO_SUITABLE_CREDENTIAL
        return
    shuttle(client, server)
    assert client.info.signature_scheme == EXPECTED_SCHEMES[kind]
    assert client.info.verified is not None
    check_agreement(client, server)


@pytest.mark.parametrize("scheme", SignatureScheme, ids=str)
@pytest.mark.parametrize("kind", KEYS)
def test_every_scheme_with_every_kind_of_certificate(kind: str, scheme: SignatureScheme) -> None:
    """An ECDSA scheme names a hash and no curve here (RFC 5246 7.4.1.4.1), and PKCS #1 v1.5 still signs."""
    fits = {
        "rsa": scheme.name.startswith(("rsa_pss_rsae", "rsa_pkcs1")),
        "ed25519": scheme is SignatureScheme.ed25519,
        "ed448": scheme is SignatureScheme.ed448,
    }.get(kind, scheme.name.startswith("ecdsa_")) and not scheme.name.endswith("sha1")
    # The client says in its hello what it would check; nothing else may be signed with.
    client = lying(client12, hello_with(SignatureSchemeList((scheme,))))
    server = server12(credentials=(credential12(kind),))
    if not fits:
        assert refused(client, server, by="server").kind is PeerMisbehaviour.NO_SUITABLE_CREDENTIAL
        return
    shuttle(client, server)
    assert client.info.signature_scheme == server.info.signature_scheme == scheme
    check_agreement(client, server)


def test_signature_algorithms_are_needed() -> None:
    """A client that says nothing means SHA-1 (RFC 5246 7.4.1.4.1), with which nothing is signed (RFC 9155 2)."""
    client = lying(client12, hello_with(without=[ExtensionType.signature_algorithms]))
    assert refused(client, server12(), by="server").kind is PeerMisbehaviour.NO_SUITABLE_CREDENTIAL


def test_defaults_of_both_sides() -> None:
    defaults = type(client12()._config).__dataclass_fields__["groups"].default  # type: ignore[attr-defined]
    client, server = open_pair(groups=defaults)
    assert client.info.group is NamedGroup.x25519  # the hybrid has no place in TLS 1.2
    assert client.info.cipher_suite is CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
    check_agreement(client, server)


def test_the_server_prefers() -> None:
    both = (NamedGroup.x25519, NamedGroup.secp384r1, NamedGroup.secp256r1)
    suites = tuple(suite for suite in ECDHE if "ECDSA" in suite.name)
    client, _ = open_pair(
        client={"groups": both, "cipher_suites": suites},
        server={"groups": both[::-1], "cipher_suites": suites[::-1]},
    )
    assert (client.info.group, client.info.cipher_suite) == (both[-1], suites[-1])


def test_a_hello_without_groups_can_do_p256() -> None:
    """RFC 8422 5.1: the client can do any group then."""
    client = lying(client12, hello_with(without=[ExtensionType.supported_groups]))
    server = server12()
    shuttle(client, server)
    assert client.info.group is NamedGroup.secp256r1
    check_agreement(client, server)


def test_a_hello_without_point_formats_gets_none_back() -> None:
    client = lying(client12, hello_with(without=[ExtensionType.ec_point_formats]))
    server = server12()
    client_events, _ = shuttle(client, server)
    (hello,) = [event.hello for event in client_events if isinstance(event, ServerHelloReceived)]
    assert ExtensionType.ec_point_formats not in hello.extensions
    check_agreement(client, server)


@pytest.mark.parametrize("has_block", [True, False], ids=["empty block", "no block"])
def test_a_hello_without_any_extension(has_block: bool) -> None:
    """RFC 5246 7.4.1.2: the oldest of clients; with RSA key transport nothing in an extension is needed."""
    settings = KEY_TRANSPORT["client"] | {"legacy_renegotiation_peers": True}
    say = instead(ClientHello, lambda hello: hello.replace(extensions=Extensions((), is_present=has_block)))
    client = lying(lambda: client12(**settings), say)
    server = server12(**KEY_TRANSPORT["server"])
    client_events, server_events = shuttle(client, server)
    (hello,) = [event.hello for event in client_events if isinstance(event, ServerHelloReceived)]
    assert not hello.extensions.is_present
    assert is_complete(server_events)
    assert server.info.server_name is None
    assert not client.info.extended_master_secret


def test_no_group_in_common() -> None:
    client, server = pair(
        client={"groups": (NamedGroup.x448, NamedGroup.secp256r1)}, server={"groups": (NamedGroup.x25519,)}
    )
    assert refused(client, server, by="server").kind is PeerMisbehaviour.NO_COMMON_GROUP


def test_only_hybrid_groups_are_no_group() -> None:
    client, server = pair(server={"groups": (NamedGroup.X25519MLKEM768,)})
    assert refused(client, server, by="server").kind is PeerMisbehaviour.NO_COMMON_GROUP


def test_no_cipher_suite_in_common() -> None:
    client, server = pair(client={"cipher_suites": ECDHE_ECDSA[:1]}, server={"cipher_suites": ECDHE_ECDSA[1:2]})
    error = refused(client, server, by="server")
    assert error.kind is PeerMisbehaviour.NO_COMMON_CIPHER_SUITE
    assert ECDHE_ECDSA[0].name in str(error)


# Versions ---------------------------------------------------------------------------------------------------------

RANGES = [(TLS12,), (TLS13,), (TLS13, TLS12), (TLS12, TLS13)]


def text_of(versions: tuple[ProtocolVersion, ...]) -> str:
    return "+".join(version.name for version in versions)


@pytest.mark.parametrize("spoken", RANGES, ids=text_of)
@pytest.mark.parametrize("offered", RANGES, ids=text_of)
def test_the_highest_version_in_common(
    offered: tuple[ProtocolVersion, ...], spoken: tuple[ProtocolVersion, ...]
) -> None:
    """RFC 9846 4.3.1. The order in which a configuration names versions means nothing."""
    client, server = pair(client={"versions": offered}, server={"versions": spoken})
    common = set(offered) & set(spoken)
    if not common:
        error = refused(client, server, by="server")
        assert error.kind is PeerMisbehaviour.NO_COMMON_VERSION
        assert error.alert is AlertDescription.protocol_version
        return
    shuttle(client, server)
    assert client.info.version is server.info.version is max(common)
    assert client.state is server.state is ConnectionState.OPEN


def tampered(hello: bytes, **changes: Any) -> bytes:
    """A ClientHello's record, changed by somebody in between."""
    (sent,) = records(hello)
    parsed = ClientHello.parse(sent[9:])
    return record(22, with_extensions(parsed, **changes).encode())


def test_a_version_that_was_tampered_with_is_seen() -> None:
    """RFC 9846 4.2.3: both speak TLS 1.3, and somebody took that out of the ClientHello."""
    client, server = pair(versions=(TLS13, TLS12))
    server.receive_data(tampered(client.data_to_send(), without=[ExtensionType.supported_versions]))
    answer = server.data_to_send()
    assert first_hello(answer).random.endswith(b"DOWNGRD\x01")
    error = the_failure(client.receive_data(answer))
    assert error.kind is PeerMisbehaviour.DOWNGRADE_SENTINEL
    assert error.alert is AlertDescription.illegal_parameter
    assert the_failure(server.receive_data(client.data_to_send())).description == AlertDescription.illegal_parameter


@pytest.mark.parametrize("sentinel", [b"DOWNGRD\x00", b"DOWNGRD\x01"], ids=["TLS 1.1", "TLS 1.2"])
@pytest.mark.parametrize("version", [ProtocolVersion.TLS10, ProtocolVersion.TLS11, TLS12], ids=str)
def test_either_sentinel_is_seen_in_any_older_version(version: ProtocolVersion, sentinel: bytes) -> None:
    say = server_hello_with(random=bytes(24) + sentinel, legacy_version=version)
    client, server = client12(versions=(TLS13, TLS12)), lying(server12, say)
    assert refused(client, server, by="client").kind is PeerMisbehaviour.DOWNGRADE_SENTINEL


def test_a_server_without_tls13_sends_no_sentinel() -> None:
    client, server = pair(client={"versions": (TLS13, TLS12)})
    client_events, _ = shuttle(client, server)
    (hello,) = [event.hello for event in client_events if isinstance(event, ServerHelloReceived)]
    assert not hello.random[24:].startswith(b"DOWNGRD")
    check_agreement(client, server)


def test_the_sentinel_is_no_harm_to_a_client_of_tls12_alone() -> None:
    client, server = pair(server={"versions": (TLS13, TLS12)})
    client_events, _ = shuttle(client, server)
    (hello,) = [event.hello for event in client_events if isinstance(event, ServerHelloReceived)]
    assert hello.random.endswith(b"DOWNGRD\x01")
    check_agreement(client, server)


@pytest.mark.parametrize(
    ("offered", "version", "kind"),
    [
        ((TLS12,), ProtocolVersion.SSL30, PeerMisbehaviour.OBSOLETE_VERSION),
        ((TLS12,), ProtocolVersion.TLS11, PeerMisbehaviour.OBSOLETE_VERSION),
        ((TLS13, TLS12), ProtocolVersion.TLS10, PeerMisbehaviour.OBSOLETE_VERSION),
        ((TLS13,), TLS12, PeerMisbehaviour.NO_COMMON_VERSION),
        ((TLS12,), TLS13, PeerMisbehaviour.NO_COMMON_VERSION),
        ((TLS13, TLS12), TLS13, PeerMisbehaviour.NO_COMMON_VERSION),
        ((TLS12,), ProtocolVersion(0x0505), PeerMisbehaviour.NO_COMMON_VERSION),
    ],
    ids=str,
)
def test_a_server_that_chooses_another_version(
    offered: tuple[ProtocolVersion, ...], version: ProtocolVersion, kind: PeerMisbehaviour
) -> None:
    """In legacy_version, where TLS 1.3 is never chosen (RFC 9846 4.3.1)."""
    client = client12(versions=offered)
    client.data_to_send()
    hello = ServerHello(version, bytes(32), b"", ECDHE[0], 0, Extensions())
    error = the_failure(client.receive_data(record(22, hello.encode())))
    assert error.kind is kind
    assert error.alert is AlertDescription.protocol_version


def test_supported_versions_of_a_server_that_was_offered_none() -> None:
    client = client12()
    client.data_to_send()
    hello = ServerHello(TLS12, bytes(32), b"", ECDHE[0], 0, Extensions([SelectedVersion(TLS13)]))
    assert the_failure(client.receive_data(record(22, hello.encode()))).kind is PeerMisbehaviour.UNSOLICITED_EXTENSION


@pytest.mark.parametrize("spoken", [(TLS12,), (TLS13, TLS12)], ids=text_of)
@pytest.mark.parametrize("version", [TLS13, ProtocolVersion(0x0399), ProtocolVersion(0x0500)], ids=str)
def test_a_client_of_the_future_without_supported_versions(
    version: ProtocolVersion, spoken: tuple[ProtocolVersion, ...]
) -> None:
    """RFC 9846 4.2.2: legacy_version is the most that it can do, and TLS 1.2 is what it gets."""
    client, server = lying(client12, hello_with(legacy_version=version)), server12(versions=spoken)
    shuttle(client, server)
    check_agreement(client, server)


@pytest.mark.parametrize("version", [ProtocolVersion.SSL30, ProtocolVersion.TLS10, ProtocolVersion.TLS11], ids=str)
def test_a_client_of_the_past(version: ProtocolVersion) -> None:
    client, server = lying(client12, hello_with(legacy_version=version)), server12()
    error = refused(client, server, by="server")
    assert error.kind is PeerMisbehaviour.OBSOLETE_VERSION
    assert error.alert is AlertDescription.protocol_version


# ALPN (RFC 7301) and server_name (RFC 6066 3) ---------------------------------------------------------------------


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
    client, server = pair(client={"alpn": offered}, server={"alpn": spoken})
    _, server_events = shuttle(client, server)
    assert client.info.alpn == server.info.alpn == chosen
    assert [event.alpn for event in server_events if isinstance(event, ClientHelloReceived)] == [offered]


def test_alpn_without_overlap() -> None:
    client, server = pair(client={"alpn": ("h2",)}, server={"alpn": ("x",)})
    error = refused(client, server, by="server")
    assert error.kind is PeerMisbehaviour.NO_COMMON_PROTOCOL
    assert error.alert is AlertDescription.no_application_protocol


@pytest.mark.parametrize(("name", "index"), [("a.test", 0), ("b.test", 1), ("B.TEST", 1), ("else.test", 0), (None, 0)])
def test_the_name_chooses_the_credential(name: str | None, index: int) -> None:
    credentials = (credential12(name="a.test"), credential12(name="b.test"))
    client = client12(server_name=name, verify=DangerouslyAcceptAny())
    server = server12(credentials=credentials)
    client_events, server_events = shuttle(client, server)
    assert server.info.credential is credentials[index]
    assert server.info.server_name == (name.lower() if name else None)
    assert [event.server_name for event in server_events if isinstance(event, ClientHelloReceived)] == [
        server.info.server_name
    ]
    (hello,) = [event.hello for event in client_events if isinstance(event, ServerHelloReceived)]
    assert (ExtensionType.server_name in hello.extensions) is (name in ("a.test", "b.test", "B.TEST"))


def test_the_name_is_verified() -> None:
    client, server = client12(server_name="other.test"), server12()
    assert isinstance(refused(client, server, by="client"), CertificateError)


def test_a_credential_that_fits_the_suite_is_found_behind_one_of_the_right_name() -> None:
    credentials = (credential12("rsa"), credential12("p256", name="else.test"))
    client = client12(verify=DangerouslyAcceptAny(), cipher_suites=ECDHE_ECDSA)
    server = server12(credentials=credentials)
    shuttle(client, server)
    assert server.info.credential is credentials[1]


# OCSP (RFC 6066 8) ------------------------------------------------------------------------------------------------


class SeesStaples:
    """A verifier that keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def verify(self, chain: Any, *, ocsp_response: bytes, **_: Any) -> Any:
        self.seen.append(ocsp_response)


@pytest.mark.parametrize("is_key_transport", [False, True], ids=["ECDHE", "RSA"])
@pytest.mark.parametrize("response", [b"", b"r", bytes(70_000)], ids=["none", "short", "many records"])
def test_a_staple(response: bytes, is_key_transport: bool) -> None:
    """A response that is longer than a handshake message may be is not taken."""
    settings = KEY_TRANSPORT if is_key_transport else {"client": {}, "server": {"credentials": (credential12(),)}}
    stapled = settings["server"]["credentials"][0].stapled(response)
    verify = SeesStaples()
    client = client12(trace=True, **(settings["client"] | {"verify": verify}))
    server = server12(**(settings["server"] | {"credentials": (stapled,)}))
    events, _ = shuttle(client, server)
    came = [e.name for e in events if isinstance(e, MessageReceived)]
    if len(response) > 2**16:
        assert the_failure(events).kind is PeerMisbehaviour.MESSAGE_TOO_LONG
        return
    assert ("CertificateStatus" in came) is bool(response)
    assert verify.seen == [response]
    check_agreement(client, server)


def test_a_client_that_asks_for_no_staple_gets_none() -> None:
    verify = SeesStaples()
    client = lying(lambda: client12(verify=verify), hello_with(without=[ExtensionType.status_request]))
    shuttle(client, server12(credentials=(credential12().stapled(b"response"),)))
    assert verify.seen == [b""]
    assert client.state is ConnectionState.OPEN


# Certificates of clients (RFC 5246 7.4.4, 7.4.6, 7.4.8) -----------------------------------------------------------


@pytest.mark.parametrize("is_key_transport", [False, True], ids=["ECDHE", "RSA"])
@pytest.mark.parametrize("client_auth", ["required", "optional"])
@pytest.mark.parametrize("kind", KEYS)
def test_a_clients_certificate(kind: str, client_auth: str, is_key_transport: bool) -> None:
    settings = KEY_TRANSPORT if is_key_transport else {"client": {}, "server": {}}
    own = credential12(kind, name="client.test")
    client = client12(**settings["client"], credentials=(own,))
    server = server12(**settings["server"], verify=verifier(), client_auth=client_auth)
    _, server_events = shuttle(client, server)
    assert server.info.peer_chain == own.chain
    assert server.info.verified is not None
    assert client.info.credential is own
    assert [event.chain for event in server_events if isinstance(event, CertificateReceived)] == [own.chain]
    check_agreement(client, server)


@pytest.mark.parametrize("has_one", [False, True], ids=["without", "with"])
@pytest.mark.parametrize("client_auth", ["required", "optional", "not asked"])
def test_whether_a_client_needs_a_certificate(client_auth: str, has_one: bool) -> None:
    settings = {} if client_auth == "not asked" else {"verify": verifier(), "client_auth": client_auth}
    client = client12(credentials=MUTUAL["client"]["credentials"] if has_one else ())
    server = server12(**settings)
    if client_auth == "required" and not has_one:
        error = refused(client, server, by="server")
        assert isinstance(error, CertificateError)
        assert error.alert is AlertDescription.handshake_failure  # RFC 5246 7.4.6
        return
    shuttle(client, server)
    assert bool(server.info.peer_chain) is (has_one and client_auth != "not asked")
    assert (client.info.credential is not None) is (has_one and client_auth != "not asked")
    check_agreement(client, server)


def test_a_clients_certificate_that_is_not_trusted() -> None:
    own = leaf(None, "client.test")
    client = client12(credentials=(Credential([own.der], own.key),))
    # It is no certificate of the authorities that are asked for, so that the client has to be made to show it.
    server = lying(
        lambda: server12(verify=verifier()),
        instead(CertificateRequest12, lambda request: request.replace(certificate_authorities=())),
    )
    error = refused(client, server, by="server")
    assert isinstance(error, CertificateError)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_client_shows_the_first_that_the_server_accepts(index: int) -> None:
    """By its authority, by its key's kind, by its signature's scheme."""
    foreign = leaf(None, "client.test")
    credentials = (
        Credential([foreign.der], foreign.key),
        credential12("ed448", name="client.test"),
        credential12("rsa", name="client.test"),
    )
    schemes = {
        0: (SignatureScheme.ecdsa_secp256r1_sha256,),
        1: (SignatureScheme.ed448, SignatureScheme.rsa_pss_rsae_sha256),
        2: (SignatureScheme.ecdsa_secp256r1_sha256, SignatureScheme.rsa_pkcs1_sha256),
    }[index]
    client = client12(credentials=credentials)
    say = instead(CertificateRequest12, lambda request: request.replace(supported_signature_algorithms=schemes))
    server = lying(lambda: server12(verify=verifier(), client_auth="optional"), say)
    shuttle(client, server)
    assert client.info.credential is (None if index == 0 else credentials[index])
    assert server.info.peer_chain == (() if index == 0 else credentials[index].chain)


@pytest.mark.parametrize(("types", "kind"), [((1,), "rsa"), ((64,), "p256"), ((2, 64), "p256"), ((2, 3, 200), None)])
def test_the_types_of_certificates_that_a_server_takes(types: tuple[int, ...], kind: str | None) -> None:
    credentials = {kind: credential12(kind, name="client.test") for kind in ("rsa", "p256")}
    client = client12(credentials=tuple(credentials.values()))
    say = instead(CertificateRequest12, lambda request: request.replace(certificate_types=types))
    server = lying(lambda: server12(verify=verifier(), client_auth="optional"), say)
    shuttle(client, server)
    assert server.info.peer_chain == (credentials[kind].chain if kind else ())
    assert client.state is ConnectionState.OPEN


# Determinism and trace --------------------------------------------------------------------------------------------


def flights(seed: object, **settings: Any) -> list[bytes]:
    client, server = pair(seed, **settings)
    sent: list[bytes] = []
    while not sent or sent[-1] or len(sent) % 2:
        source, target = (client, server) if len(sent) % 2 == 0 else (server, client)
        sent.append(source.data_to_send())
        target.receive_data(sent[-1])
    server.send_data(b"data" * 5000)
    return [*sent, server.data_to_send()]


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "ed25519", "ed448"])
def test_the_same_seeds_give_the_same_bytes(kind: str) -> None:
    own = {"credentials": (credential12(kind, name="client.test"),)}
    settings: dict[str, Any] = {
        "client": own,
        "server": {"credentials": (credential12(kind),), "verify": verifier()},
    }
    assert flights(1, **settings) == flights(1, **settings)
    different = flights(2, **settings)
    assert all(one != other for one, other in zip(flights(1, **settings), different, strict=True) if one)


def test_what_one_side_traces_as_sent_the_other_traces_as_received() -> None:
    client, server = pair(**MUTUAL, trace=True, key_log=True)
    client_events, server_events = shuttle(client, server)

    def told(events: list[Any], kind: Any) -> list[tuple[Any, ...]]:
        return [(e.name, e.content_type, e.epoch, e.size, e.message) for e in events if type(e) is kind]

    assert told(server_events, MessageSent) == told(client_events, MessageReceived)
    # The client's first message was sent before it had received anything.
    assert told(client_events, MessageSent) == told(server_events, MessageReceived)
    sent = [name for name, *_ in told(server_events, MessageSent)]
    assert sent[:5] == [
        "ServerHello",
        "Certificate",
        "ServerKeyExchange",
        "CertificateRequest",
        "ServerHelloDone",
    ]
    assert sent[-2:] == ["ChangeCipherSpec", "Finished"]
    assert [name for name, *_ in told(client_events, MessageSent)] == [
        "ClientHello",
        "Certificate",
        "ClientKeyExchange",
        "CertificateVerify",
        "ChangeCipherSpec",
        "Finished",
    ]
    logged = [{e.line for e in events if isinstance(e, SecretLogged)} for events in (client_events, server_events)]
    assert logged[0] == logged[1]
    assert len(logged[0]) == 1
    assert all(line not in repr(client_events) for line in logged[0])


def test_info_is_the_one_of_the_event() -> None:
    client, server = pair()
    events, _ = shuttle(client, server)
    assert next(event.info for event in events if isinstance(event, HandshakeComplete)) is client.info


def test_keys_are_never_updated() -> None:
    client, server = open_pair()
    for connection in (client, server):
        with pytest.raises(LocalError, match=r"TLS 1\.2"):
            connection.update_keys()
    check_agreement(client, server)
