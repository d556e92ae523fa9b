"""Clients of TLS 1.3 that stand by their lies in either ClientHello (RFC 9846 4.2.2, 4.3, 9.2)."""

from collections.abc import Iterable
from typing import Any

import pytest

from connection.peers import (
    RETRIED,
    agreed,
    second_hello,
    second_hello_with,
    to_server,
)
from connection12.peers import Say, hello_with, with_extensions
from memory import shuttle
from sanstls import (
    AlertDescription,
    CipherSuite,
    NamedGroup,
    PeerMisbehaviour,
    ProtocolVersion,
    SignatureScheme,
)
from sanstls.wire.extensions import (
    Cookie,
    EarlyDataIndication,
    Extension,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    NamedGroupList,
    OfferedPsks,
    Padding,
    ProtocolNameList,
    PskIdentity,
    PskKeyExchangeModes,
    SelectedVersion,
    ServerName,
    ServerNameList,
    SignatureSchemeList,
    StatusRequestFlag,
    SupportedVersions,
    UnknownExtension,
)
from sanstls.wire.messages import ClientHello
from sanstls.wire.registries import ExtensionType, NameType, PskKeyExchangeMode

P = PeerMisbehaviour
V = ProtocolVersion
G = NamedGroup
X = ExtensionType
Alert = AlertDescription
ILLEGAL = Alert.illegal_parameter

GREASE = UnknownExtension(ExtensionType(0x1A1A), b"grease")


def share(group: NamedGroup = G.x25519, key: bytes = bytes(31) + b"\x09") -> KeyShareEntry:
    return KeyShareEntry(group, key)


# ClientHello (RFC 9846 4.2.2, 9.2) --------------------------------------------------------------------------------

each_wrong_version = pytest.mark.parametrize(
    "version", [V.SSL20, V.SSL30, V.TLS10, V.TLS11, V.TLS13, V(0x0305), V(0xFFFF)], ids=lambda version: version.text
)


@each_wrong_version
def test_a_client_hello_of_another_legacy_version(version: V) -> None:
    error = to_server(hello_with(legacy_version=version))
    assert error.kind is P.WRONG_LEGACY_VERSION
    assert error.alert is Alert.protocol_version


@pytest.mark.parametrize("methods", [b"\1", b"\0\1", b"\1\0", b"\0\0", bytes(range(255))], ids=len)
def test_compression_methods(methods: bytes) -> None:
    error = to_server(hello_with(legacy_compression_methods=methods))
    assert error.kind is P.COMPRESSION_OFFERED
    assert error.alert is ILLEGAL


@pytest.mark.parametrize("missing", [X.signature_algorithms, X.supported_groups, X.key_share], ids=str)
def test_a_mandatory_extension_is_missing(missing: ExtensionType) -> None:
    error = to_server(hello_with(without=[missing]))
    assert error.kind is P.MISSING_EXTENSION
    assert error.alert is Alert.missing_extension
    assert missing.name in str(error)


@pytest.mark.parametrize("versions", [(V.TLS13,), (V.TLS13, V.TLS12)], ids=len)
def test_no_extensions_at_all(versions: tuple[V, ...]) -> None:
    """It is a hello of TLS 1.2 then."""
    say = hello_with(without=[*range(52), X.renegotiation_info])
    error = to_server(say, versions=versions)
    assert error.kind is (P.NO_COMMON_VERSION if len(versions) == 1 else P.NO_SUITABLE_CREDENTIAL)


def psks(*binders: bytes, count: int = 1) -> OfferedPsks:
    return OfferedPsks(tuple([PskIdentity(b"ticket%d" % index, 0) for index in range(count)]), binders)


MODES = PskKeyExchangeModes((PskKeyExchangeMode.psk_dhe_ke,))
BINDER = bytes(32)


def test_a_pre_shared_key_without_modes() -> None:
    error = to_server(hello_with(psks(BINDER), without=[ExtensionType.psk_key_exchange_modes]))
    assert error.kind is P.PSK_WITHOUT_MODES
    assert error.alert is Alert.missing_extension


@pytest.mark.parametrize("last", [MODES, GREASE, Padding(b"")], ids=lambda extension: str(extension.type))
def test_a_pre_shared_key_that_is_not_the_last(last: Extension) -> None:
    error = to_server(hello_with(psks(BINDER), last))
    assert error.kind is P.PSK_NOT_LAST
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(("count", "binders"), [(1, 2), (2, 1), (3, 2)])
def test_binders_and_identities(count: int, binders: int) -> None:
    error = to_server(hello_with(MODES, psks(*[BINDER] * binders, count=count)))
    assert error.kind is P.BINDERS_DO_NOT_MATCH
    assert error.alert is ILLEGAL


def test_a_pre_shared_key_that_nobody_knows_is_not_used() -> None:
    """RFC 9846 4.3.11: then the certificate counts."""
    client, _ = agreed(hello_with(MODES, psks(BINDER)))
    assert not client.info.resumed


@pytest.mark.parametrize("group", [G.x25519, G.secp256r1], ids=str)
@pytest.mark.parametrize("is_same_key", [True, False])
def test_two_shares_for_one_group(group: NamedGroup, is_same_key: bool) -> None:
    """Whether the server would use it or not."""
    other = share(group) if is_same_key else share(group, b"another")
    error = to_server(hello_with(KeyShareClientHello((share(group), other))), groups=(G.x25519,))
    assert error.kind is P.DUPLICATE_KEY_SHARE
    assert error.alert is ILLEGAL


def test_a_share_for_a_group_that_is_not_offered() -> None:
    error = to_server(hello_with(NamedGroupList((G.secp256r1,))))
    assert error.kind is P.UNOFFERED_GROUP
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(
    "suites",
    [
        (CipherSuite.TLS_AES_128_CCM_8_SHA256,),
        (CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,),
        (CipherSuite(0x1A1A), CipherSuite.TLS_FALLBACK_SCSV),
    ],
    ids=len,
)
def test_no_cipher_suite_in_common(suites: tuple[CipherSuite, ...]) -> None:
    error = to_server(hello_with(cipher_suites=suites))
    assert error.kind is P.NO_COMMON_CIPHER_SUITE
    assert error.alert is Alert.handshake_failure


@pytest.mark.parametrize("groups", [(G.x448,), (G(0x1A1A), G.ffdhe2048)], ids=len)
def test_no_group_in_common(groups: tuple[NamedGroup, ...]) -> None:
    error = to_server(hello_with(NamedGroupList(groups), KeyShareClientHello(())))
    assert error.kind is P.NO_COMMON_GROUP
    assert error.alert is Alert.handshake_failure


def test_no_signature_in_common() -> None:
    schemes = (SignatureScheme.ecdsa_sha1, SignatureScheme.rsa_pss_rsae_sha256, SignatureScheme(0x1A1A))
    error = to_server(hello_with(SignatureSchemeList(schemes)))
    assert error.kind is P.NO_SUITABLE_CREDENTIAL
    assert error.alert is Alert.handshake_failure


def test_no_application_protocol_in_common() -> None:
    error = to_server(hello_with(ProtocolNameList((b"\xff\xfe", b"H2"))), alpn=("h2",))
    assert error.kind is P.NO_COMMON_PROTOCOL
    assert error.alert is Alert.no_application_protocol
    assert r"\xff\xfe" in str(error)


@pytest.mark.parametrize(
    "offered", [(V(0x0305),), (V(0x1A1A), V(0x7F1C)), (V(0x1A1A), V.TLS11)], ids=lambda offered: str(len(offered))
)
def test_no_version_in_common(offered: tuple[V, ...]) -> None:
    error = to_server(hello_with(SupportedVersions(offered)))
    assert error.kind is P.NO_COMMON_VERSION
    assert error.alert is Alert.protocol_version


def test_tls12_to_a_server_of_tls13_alone() -> None:
    for say in (hello_with(SupportedVersions((V.TLS12,))), hello_with(without=[X.supported_versions])):
        assert to_server(say, versions=(V.TLS13,)).kind is P.NO_COMMON_VERSION


HOST = NameType.host_name


@pytest.mark.parametrize(
    "names",
    [
        (ServerName(HOST, b"a.test"), ServerName(HOST, b"b.test")),
        (ServerName(HOST, b"a.test"), ServerName(HOST, b"a.test")),
        (ServerName(NameType(1), b"a.test"),),
        (ServerName(HOST, b"\xc3\xa4.test"),),
        (ServerName(HOST, b"a b"),),
        (ServerName(HOST, b"a\0b"),),
        (ServerName(HOST, b"a\nb"),),
        (ServerName(HOST, b"a" * 256),),
    ],
    ids=repr,
)
def test_a_server_name_that_is_none(names: tuple[ServerName, ...]) -> None:
    error = to_server(hello_with(ServerNameList(names)))
    assert error.kind is P.BAD_SERVER_NAME
    assert error.alert is ILLEGAL


def test_a_name_of_another_type_beside_the_host_name() -> None:
    names = (ServerName(NameType(7), b"?"), ServerName(HOST, b"Example.COM."))
    _, server = agreed(hello_with(ServerNameList(names)))
    assert server.info.server_name == "example.com"


def test_an_extension_in_the_form_of_another_message() -> None:
    error = to_server(hello_with(SelectedVersion(V.TLS13)))
    assert error.kind is P.MALFORMED_MESSAGE
    assert error.alert is Alert.decode_error
    assert error.message == "ClientHello"


@pytest.mark.parametrize("extension", [StatusRequestFlag(), KeyShareHelloRetryRequest(G.x25519)], ids=repr)
def test_an_answer_in_a_client_hello(extension: Extension) -> None:
    assert to_server(hello_with(extension)).kind is P.MALFORMED_MESSAGE


@pytest.mark.parametrize("code", [X.oid_filters], ids=str)
def test_an_extension_that_must_not_be_in_a_client_hello(code: ExtensionType) -> None:
    error = to_server(hello_with(UnknownExtension(code, b"\0\0")))
    assert error.kind is P.MISPLACED_EXTENSION
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(
    "say",
    [
        hello_with(GREASE),
        hello_with(UnknownExtension(X.session_ticket, b"a ticket of TLS 1.2")),
        hello_with(legacy_session_id=b""),
        hello_with(legacy_session_id=b"x"),
        hello_with(Cookie(b"of nobody")),
        hello_with(Padding(bytes(500))),
        hello_with(SupportedVersions((V(0x1A1A), V.SSL30, V.TLS13, V.TLS12))),
        hello_with(NamedGroupList((G(0x1A1A), G.x25519))),
        hello_with(cipher_suites=(CipherSuite(0x1A1A), CipherSuite.TLS_AES_128_GCM_SHA256)),
        hello_with(EarlyDataIndication()),
    ],
    ids=range(10),
)
def test_hellos_that_are_odd_and_right(say: Say) -> None:
    """What a server does not know, or may ignore."""
    agreed(say)


# The second ClientHello (RFC 9846 4.2.2, 4.3.8) -------------------------------------------------------------------


def changes_second(say: Say, **settings: Any) -> Any:
    return to_server(say, RETRIED, **settings)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("legacy_version", V.TLS11),
        ("random", bytes(32)),
        ("legacy_session_id", b""),
        ("legacy_session_id", bytes(32)),
        ("cipher_suites", (CipherSuite.TLS_AES_256_GCM_SHA384,)),
        ("cipher_suites", (CipherSuite.TLS_AES_128_GCM_SHA256,)),
        ("legacy_compression_methods", b"\0\1"),
    ],
)
def test_another_field(field: str, value: Any) -> None:
    error = changes_second(second_hello_with(**{field: value}))
    assert error.kind is P.RETRIED_HELLO_CHANGED
    assert error.alert is ILLEGAL
    assert field in str(error)


@pytest.mark.parametrize(
    "say",
    [
        second_hello_with(GREASE),
        second_hello_with(ServerNameList((ServerName(HOST, b"b.test"),))),
        second_hello_with(without=[X.server_name]),
        second_hello_with(NamedGroupList((G.x25519,))),
        second_hello_with(SupportedVersions((V.TLS13,))),
        second_hello_with(SignatureSchemeList((SignatureScheme.ecdsa_secp256r1_sha256,))),
        second_hello_with(ProtocolNameList((b"h2",))),
        second_hello(lambda hello: hello.replace(extensions=Extensions(list(hello.extensions)[::-1]))),
        second_hello_with(EarlyDataIndication()),
    ],
    ids=range(9),
)
def test_other_extensions(say: Say) -> None:
    error = changes_second(say)
    assert error.kind is P.RETRIED_HELLO_CHANGED
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(
    "say",
    [
        second_hello_with(without=[X.key_share]),
        second_hello_with(KeyShareClientHello(())),
        second_hello_with(KeyShareClientHello((share(G.secp256r1),))),
        second_hello_with(KeyShareClientHello((share(G.x25519), share(G.secp256r1)))),
        second_hello_with(KeyShareClientHello((share(G.secp256r1), share(G.x25519)))),
        second_hello_with(KeyShareClientHello((share(G.x25519), share(G.x25519)))),
    ],
    ids=range(6),
)
def test_other_shares(say: Say) -> None:
    error = changes_second(say)
    assert error.kind is P.RETRY_NOT_HEEDED
    assert error.alert is ILLEGAL


def test_a_bad_share_in_the_second_hello() -> None:
    error = changes_second(second_hello_with(KeyShareClientHello((share(G.x25519, bytes(32)),))))
    assert error.kind is P.BAD_KEY_SHARE


@pytest.mark.parametrize(
    ("say", "kind"),
    [
        (second_hello_with(MODES, psks(BINDER), Padding(b"")), P.PSK_NOT_LAST),
        (second_hello_with(psks(BINDER, BINDER)), P.BINDERS_DO_NOT_MATCH),
    ],
    ids=["not last", "binders"],
)
def test_a_wrong_pre_shared_key_in_the_second_hello(say: Say, kind: PeerMisbehaviour) -> None:
    """The first one is right."""

    def first_too(said: Any) -> Iterable[Any]:
        (changed,) = say(said)
        if isinstance(said, ClientHello) and changed is said:
            return [with_extensions(said, MODES, psks(BINDER))]
        return [changed]

    error = changes_second(first_too)
    assert error.kind is kind
    assert error.alert is ILLEGAL


@pytest.mark.parametrize("added", [Padding(bytes(9)), Cookie(b"of nobody")], ids=lambda added: str(added.type))
def test_what_may_be_added_in_the_second_hello(added: Extension) -> None:
    client, server = agreed(second_hello_with(added), client=RETRIED)
    assert client.info.hello_retried
    assert server.info.hello_retried


def test_the_truth_is_agreed_on() -> None:
    """Else nothing above would show what it says."""
    client, server = agreed(client=RETRIED)
    assert shuttle(client, server) == ([], [])
