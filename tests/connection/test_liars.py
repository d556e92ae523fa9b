"""Servers of TLS 1.3 that stand by their lies in hellos and in EncryptedExtensions (RFC 9846 4.2 to 4.4)."""

from collections.abc import Iterable
from typing import Any

import pytest

from connection.peers import (
    RETRIED,
    agreed,
    answer_with,
    client13,
    retry_with,
    server13,
    to_client,
    to_server,
)
from connection12.peers import Say, hello_with, instead, lying, refused, with_extensions
from connection12.test_liars12 import BAD_POINTS
from memory import message, plain_alert, record, the_failure
from sanstls import (
    AlertDescription,
    CipherSuite,
    HelloRetryRequested,
    NamedGroup,
    PeerMisbehaviour,
    ProtocolVersion,
    SignatureScheme,
)
from sanstls.wire.extensions import (
    CertificateAuthorities,
    Cookie,
    EarlyDataIndication,
    Extension,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    NamedGroupList,
    Padding,
    ProtocolNameList,
    RecordSizeLimit,
    SelectedPsk,
    SelectedVersion,
    ServerNameAcknowledgement,
    SignatureSchemeList,
    StatusRequestFlag,
    UnknownExtension,
)
from sanstls.wire.messages import ClientHello, EncryptedExtensions, ServerHello
from sanstls.wire.registries import ExtensionType
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour
V = ProtocolVersion
G = NamedGroup
X = ExtensionType
Alert = AlertDescription
ILLEGAL = Alert.illegal_parameter

GREASE = UnknownExtension(ExtensionType(0x1A1A), b"grease")


def share(group: NamedGroup = G.x25519, key: bytes = bytes(31) + b"\x09") -> KeyShareEntry:
    return KeyShareEntry(group, key)


# ServerHello (RFC 9846 4.2.3) -------------------------------------------------------------------------------------

each_wrong_version = pytest.mark.parametrize(
    "version", [V.SSL20, V.SSL30, V.TLS10, V.TLS11, V.TLS13, V(0x0305), V(0xFFFF)], ids=lambda version: version.text
)


@each_wrong_version
def test_a_server_hello_of_another_legacy_version(version: V) -> None:
    error = to_client(answer_with(legacy_version=version))
    assert error.kind is P.WRONG_LEGACY_VERSION
    assert error.alert is Alert.protocol_version


@each_wrong_version
def test_a_retry_of_another_legacy_version(version: V) -> None:
    error = to_client(retry_with(legacy_version=version), **RETRIED)
    assert error.kind is P.WRONG_LEGACY_VERSION
    assert error.alert is Alert.protocol_version


each_hello = pytest.mark.parametrize(
    ("change", "settings"), [(answer_with, {}), (retry_with, RETRIED)], ids=["ServerHello", "HelloRetryRequest"]
)
"""Both are held to the same (RFC 9846 4.2.4)."""


@each_hello
@pytest.mark.parametrize("session_id", [b"", bytes(32), bytes(31), b"x"], ids=len)
def test_another_session_id(change: Any, settings: dict[str, Any], session_id: bytes) -> None:
    error = to_client(change(legacy_session_id_echo=session_id), **settings)
    assert error.kind is P.SESSION_ID_NOT_ECHOED
    assert error.alert is ILLEGAL


@each_hello
def test_a_session_id_that_nobody_sent(change: Any, settings: dict[str, Any]) -> None:
    error = to_client(change(legacy_session_id_echo=bytes(32)), middlebox_compatibility=False, **settings)
    assert error.kind is P.SESSION_ID_NOT_ECHOED


@each_hello
@pytest.mark.parametrize(
    "suite",
    [
        CipherSuite.TLS_AES_128_CCM_SHA256,
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA,
        CipherSuite.TLS_FALLBACK_SCSV,
        CipherSuite(0x1A1A),
        CipherSuite(0),
    ],
    ids=str,
)
def test_another_cipher_suite(change: Any, settings: dict[str, Any], suite: CipherSuite) -> None:
    """One that is unknown, not offered, or offered for TLS 1.2 alone."""
    error = to_client(change(cipher_suite=suite), **settings)
    assert error.kind is P.UNOFFERED_CIPHER_SUITE
    assert error.alert is ILLEGAL


@each_hello
@pytest.mark.parametrize("method", [1, 64, 255])
def test_compression(change: Any, settings: dict[str, Any], method: int) -> None:
    error = to_client(change(legacy_compression_method=method), **settings)
    assert error.kind is P.COMPRESSION_CHOSEN
    assert error.alert is ILLEGAL


@each_hello
@pytest.mark.parametrize("versions", [(V.TLS13,), (V.TLS13, V.TLS12)], ids=len)
@pytest.mark.parametrize(
    "version", [V.SSL30, V.TLS11, V.TLS12, V(0x0305), V(0x7F1C), V(0x1A1A)], ids=lambda version: version.text
)
def test_a_version_that_was_not_offered(
    change: Any, settings: dict[str, Any], version: V, versions: tuple[V, ...]
) -> None:
    """RFC 9846 4.3.1: nor may an earlier one stand in supported_versions, offered or not."""
    error = to_client(change(SelectedVersion(version)), versions=versions, **settings)
    assert error.kind is P.UNOFFERED_VERSION
    assert error.alert is ILLEGAL


def test_tls13_to_a_client_that_does_not_speak_it() -> None:
    only_that = Extensions([SelectedVersion(V.TLS13)])
    client = client13(versions=(V.TLS12,))
    server = lying(lambda: server13(versions=(V.TLS12,)), answer_with(extensions=only_that))
    error = refused(client, server, by="client")
    assert error.kind is P.UNSOLICITED_EXTENSION
    assert error.alert is Alert.unsupported_extension


@pytest.mark.parametrize("version", [V.TLS13, V(0x0305), V(0x0400)], ids=str)
def test_a_version_in_the_wrong_place(version: V) -> None:
    """RFC 9846 4.3.1: TLS 1.3 is chosen in supported_versions alone."""
    error = to_client(answer_with(without=[X.supported_versions, X.key_share], legacy_version=version))
    assert error.kind is P.NO_COMMON_VERSION
    assert error.alert is Alert.protocol_version


def test_tls12_to_a_client_of_tls13_alone() -> None:
    error = to_client(answer_with(without=[X.supported_versions, X.key_share]), versions=(V.TLS13,))
    assert error.kind is P.NO_COMMON_VERSION
    assert "TLS 1.3" in str(error)


@pytest.mark.parametrize("versions", [(V.TLS13,), (V.TLS13, V.TLS12)], ids=len)
@pytest.mark.parametrize("sentinel", [b"DOWNGRD\x01", b"DOWNGRD\x00"], ids=["TLS 1.2", "before"])
@pytest.mark.parametrize("version", [V.TLS12, V.TLS11, V.TLS10], ids=lambda version: version.text)
def test_a_downgrade_sentinel(version: V, sentinel: bytes, versions: tuple[V, ...]) -> None:
    without = [X.supported_versions, X.key_share]
    say = answer_with(without=without, random=bytes(24) + sentinel, legacy_version=version)
    error = to_client(say, versions=versions)
    assert error.kind is P.DOWNGRADE_SENTINEL
    assert error.alert is ILLEGAL


@pytest.mark.parametrize("sentinel", [b"DOWNGRD\x01", b"DOWNGRD\x00"], ids=["TLS 1.2", "before"])
def test_a_sentinel_means_nothing_in_tls13(sentinel: bytes) -> None:
    agreed(server_says=answer_with(random=bytes(24) + sentinel))


def test_no_supported_versions_beside_a_key_share() -> None:
    """It is one of TLS 1.2 then, where a key_share must not stand."""
    error = to_client(answer_with(without=[X.supported_versions]))
    assert error.kind is P.MISPLACED_EXTENSION
    assert error.alert is ILLEGAL


def test_a_retry_without_a_version() -> None:
    error = to_client(retry_with(without=[X.supported_versions]), **RETRIED)
    assert error.kind is P.MISSING_EXTENSION
    assert error.alert is Alert.missing_extension


def test_no_key_share_of_the_server() -> None:
    error = to_client(answer_with(without=[X.key_share]))
    assert error.kind is P.MISSING_EXTENSION
    assert "key_share" in str(error)


@pytest.mark.parametrize("group", [G.secp256r1, G.x448, G.X25519MLKEM768, G.ffdhe2048, G(0x1A1A)], ids=str)
def test_a_share_for_another_group(group: NamedGroup) -> None:
    """Of which no share was sent, although (the first of them) it was offered."""
    error = to_client(answer_with(KeyShareServerHello(share(group))))
    assert error.kind is P.UNOFFERED_GROUP
    assert error.alert is ILLEGAL


each_bad_share = pytest.mark.parametrize(("group", "public"), BAD_POINTS.values(), ids=BAD_POINTS)
BAD_HYBRIDS = [
    (group, size)
    for group, right in (
        (G.X25519MLKEM768, 1088 + 32),
        (G.SecP256r1MLKEM768, 65 + 1088),
        (G.SecP384r1MLKEM1024, 97 + 1568),
    )
    for size in (1, 32, right - 1, right + 1, right)
]


@each_bad_share
def test_a_bad_share_of_the_server(group: NamedGroup, public: bytes) -> None:
    error = to_client(answer_with(KeyShareServerHello(share(group, public))), {"groups": (group,)}, groups=(group,))
    assert error.kind is P.BAD_KEY_SHARE
    assert error.alert is ILLEGAL


@each_bad_share
def test_a_bad_share_of_the_client(group: NamedGroup, public: bytes) -> None:
    say = hello_with(KeyShareClientHello((share(group, public),)))
    error = to_server(say, {"groups": (group,)}, groups=(group,))
    assert error.kind is P.BAD_KEY_SHARE
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(("group", "size"), BAD_HYBRIDS, ids=str)
def test_a_bad_hybrid_share(group: NamedGroup, size: int) -> None:
    """All zeros of any length: the elliptic part is never right."""
    error = to_client(
        answer_with(KeyShareServerHello(share(group, bytes(size)))), {"groups": (group,)}, groups=(group,)
    )
    assert error.kind is P.BAD_KEY_SHARE
    say = hello_with(KeyShareClientHello((share(group, bytes(size)),)))
    assert to_server(say, {"groups": (group,)}, groups=(group,)).kind is P.BAD_KEY_SHARE


@each_hello
@pytest.mark.parametrize(
    "extension", [GREASE, UnknownExtension(X.next_protocol_negotiation, b"")], ids=lambda extension: str(extension.type)
)
def test_an_extension_that_nobody_asked_for(change: Any, settings: dict[str, Any], extension: Extension) -> None:
    error = to_client(change(extension), **settings)
    assert error.kind is P.UNSOLICITED_EXTENSION
    assert error.alert is Alert.unsupported_extension


def test_a_pre_shared_key_that_nobody_offered() -> None:
    assert to_client(answer_with(SelectedPsk(0))).kind is P.UNSOLICITED_EXTENSION


@each_hello
@pytest.mark.parametrize(
    "extension",
    [ProtocolNameList((b"h2",)), ServerNameAcknowledgement(), EarlyDataIndication(), StatusRequestFlag()],
    ids=lambda extension: str(extension.type),
)
def test_an_extension_that_belongs_elsewhere(change: Any, settings: dict[str, Any], extension: Extension) -> None:
    """RFC 9846 4.3: asked for, but not in this message."""
    error = to_client(change(extension), **settings)
    assert error.kind is P.MISPLACED_EXTENSION
    assert error.alert is ILLEGAL


def test_a_cookie_in_a_server_hello() -> None:
    assert to_client(answer_with(Cookie(b"cookie"))).kind is P.MISPLACED_EXTENSION


def twice(said: Any, kind: T) -> bytes:
    """The message with its last extension twice."""
    *_, last = said.extensions
    block = said.extensions.serialise() + last.encode()
    start = said.replace(extensions=Extensions(())).serialise()[:-2]
    return message(kind, start + len(block).to_bytes(2, "big") + block)


def test_an_extension_twice() -> None:
    hello = ClientHello.parse(client13().data_to_send()[9:])
    server = server13()
    assert the_failure(server.receive_data(record(22, twice(hello, T.client_hello)))).kind is P.DUPLICATE_EXTENSION
    assert server.data_to_send() == plain_alert(ILLEGAL)
    client = client13()
    client.data_to_send()
    answer = ServerHello(V.TLS12, bytes(32), b"", CipherSuite.TLS_AES_128_GCM_SHA256, 0, Extensions([GREASE]))
    error = the_failure(client.receive_data(record(22, twice(answer, T.server_hello))))
    assert error.kind is P.DUPLICATE_EXTENSION
    assert client.data_to_send() == plain_alert(ILLEGAL)


# HelloRetryRequest (RFC 9846 4.2.4, 4.3.8) ------------------------------------------------------------------------


def test_a_retry_that_changes_nothing() -> None:
    error = to_client(retry_with(without=[X.key_share]), **RETRIED)
    assert error.kind is P.USELESS_RETRY
    assert error.alert is ILLEGAL


@pytest.mark.parametrize("group", [G.x448, G.X25519MLKEM768, G.ffdhe2048, G(0x1A1A)], ids=str)
def test_a_retry_for_a_group_that_was_not_offered(group: NamedGroup) -> None:
    error = to_client(retry_with(KeyShareHelloRetryRequest(group)), **RETRIED)
    assert error.kind is P.RETRY_FOR_UNOFFERED_GROUP
    assert error.alert is ILLEGAL


@pytest.mark.parametrize("has_cookie", [False, True])
def test_a_retry_for_a_share_that_was_sent(has_cookie: bool) -> None:
    added = [Cookie(b"cookie")] if has_cookie else []
    say = retry_with(KeyShareHelloRetryRequest(G.x25519), *added)
    error = to_client(say, {"groups": (G.secp256r1,)})
    assert error.kind is P.RETRY_FOR_SENT_SHARE
    assert error.alert is ILLEGAL


@pytest.mark.parametrize("has_cookie", [False, True])
def test_a_second_retry(has_cookie: bool) -> None:
    """Not even one that asks for something else again."""

    def say(said: Any) -> Iterable[Any]:
        if isinstance(said, ServerHello) and not said.is_retry:
            return [retries[0].replace(random=retries[0].random)]
        if isinstance(said, ServerHello):
            retries.append(with_extensions(said, Cookie(b"again")) if has_cookie else said)
        return [said]

    retries: list[ServerHello] = []
    error = to_client(say, **RETRIED)
    assert error.kind is P.SECOND_RETRY
    assert error.alert is Alert.unexpected_message


@pytest.mark.parametrize("change", ["suite", "group", "version"])
def test_a_server_hello_unlike_the_retry(change: str) -> None:
    settings: dict[str, Any] = {"key_shares": (G.x25519,), "groups": (G.x25519, G.secp256r1)}
    says = {
        "suite": answer_with(cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256),
        "group": answer_with(KeyShareServerHello(share(G.x25519))),
        "version": answer_with(without=[X.supported_versions, X.key_share]),
    }
    error = to_client(says[change], {"groups": (G.secp256r1,)}, **settings)
    assert error.kind is (P.UNOFFERED_VERSION if change == "version" else P.CHANGED_AFTER_RETRY)
    assert error.alert is ILLEGAL


def test_a_cookie_comes_back() -> None:
    """RFC 9846 4.3.2: with a group or alone; then the share is the same as before."""
    client, _ = agreed(server_says=retry_with(Cookie(b"cookie")), client=RETRIED)
    assert client.info.hello_retried
    client = client13()
    first = ClientHello.parse(client.data_to_send()[9:])
    retry = ServerHello(
        V.TLS12,
        bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"),
        first.legacy_session_id,
        CipherSuite.TLS_AES_128_GCM_SHA256,
        0,
        Extensions([SelectedVersion(V.TLS13), Cookie(b"cookie")]),
    )
    (event,) = client.receive_data(record(22, retry.encode()))
    assert event == HelloRetryRequested(retry, None)
    second = ClientHello.parse(client.data_to_send()[6 + 9 :])
    assert second == with_extensions(first, Cookie(b"cookie"))


# EncryptedExtensions (RFC 9846 4.4.1) -----------------------------------------------------------------------------


def encrypted(*extensions: Extension) -> Say:
    return instead(EncryptedExtensions, lambda _: EncryptedExtensions(Extensions(extensions)))


@pytest.mark.parametrize(
    "extension",
    [GREASE, ProtocolNameList((b"h2",)), EarlyDataIndication(), RecordSizeLimit(1000)],
    ids=lambda extension: str(extension.type),
)
def test_an_encrypted_extension_that_nobody_asked_for(extension: Extension) -> None:
    error = to_client(encrypted(extension))
    assert error.kind is P.UNSOLICITED_EXTENSION
    assert error.alert is Alert.unsupported_extension
    assert str(extension.type) in str(error)


def test_a_name_that_was_not_asked_for() -> None:
    client = client13(server_name="192.0.2.7")
    error = refused(client, lying(server13, encrypted(ServerNameAcknowledgement())), by="client")
    assert error.kind is P.UNSOLICITED_EXTENSION


@pytest.mark.parametrize(
    "extension",
    [
        SelectedVersion(V.TLS13),
        KeyShareServerHello(share()),
        Cookie(b"cookie"),
        SignatureSchemeList((SignatureScheme.ed25519,)),
        SelectedPsk(0),
        Padding(b""),
        StatusRequestFlag(),
        CertificateAuthorities((b"\x30\0",)),
    ],
    ids=lambda extension: str(extension.type),
)
def test_an_encrypted_extension_that_belongs_elsewhere(extension: Extension) -> None:
    error = to_client(encrypted(extension))
    assert error.kind is P.MISPLACED_EXTENSION
    assert error.alert is ILLEGAL
    assert error.message == "EncryptedExtensions"


@pytest.mark.parametrize(
    "names", [(b"http/1.1",), (b"h2", b"h2"), (b"h2", b"x"), (b"H2",), (b"\xff",), (b"h2\0",)], ids=repr
)
def test_an_application_protocol_that_was_not_offered(names: tuple[bytes, ...]) -> None:
    error = to_client(encrypted(ProtocolNameList(names)), alpn=("h2", "x"))
    assert error.kind is P.BAD_PROTOCOL_CHOICE
    assert error.alert is ILLEGAL


def test_what_a_server_may_tell() -> None:
    """RFC 9846 4.3.7: its groups, which mean nothing yet."""
    agreed(server_says=encrypted(NamedGroupList((G.secp521r1,)), ServerNameAcknowledgement()))
    client, _ = agreed(server_says=encrypted(ProtocolNameList((b"x",))), client={"alpn": ("h2", "x")})
    assert client.info.alpn == "x"
