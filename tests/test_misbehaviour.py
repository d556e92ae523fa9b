"""Every kind of misbehaviour that TLS 1.3 knows, provoked; with ``test_misbehaviour12`` every kind that there is.

``PROVOCATIONS13`` has one provocation of each kind, which gives the victim's error
after the peer was told of its alert. More of each are in ``connection/``.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from connection.peers import (
    RETRIED,
    answer_with,
    at,
    check_victim,
    open_pair13,
    pair13,
    retry_with,
    second_hello_with,
    server13,
    to_client,
    to_server,
)
from connection12.peers import (
    MUTUAL,
    Record,
    check_over,
    check_refused,
    credential12,
    hello_with,
    instead,
    root,
    with_extensions,
)
from memory import Connection, message, plain_alert, record, sealed, the_failure
from sanstls import (
    ZLIB,
    AlertDescription,
    CipherSuite,
    NamedGroup,
    PeerError,
    PeerMisbehaviour,
    PreSharedKey,
    ProtocolVersion,
    SignatureScheme,
    VerificationRequest,
)
from sanstls.record.limits import (
    MAX_CHAIN,
    MAX_EMPTY_RECORDS,
    MAX_KEPT_WHILE_WAITING,
    MAX_KEY_UPDATES,
    MAX_WARNING_ALERTS,
)
from sanstls.wire.extensions import (
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    NamedGroupList,
    OfferedPsks,
    ProtocolNameList,
    PskIdentity,
    PskKeyExchangeModes,
    RecordSizeLimit,
    SelectedPsk,
    SelectedVersion,
    ServerName,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersions,
    UnknownExtension,
)
from sanstls.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    CompressedCertificate,
    EncryptedExtensions,
    Finished,
    ServerHello,
)
from sanstls.wire.registries import CertificateCompressionAlgorithm, NameType, PskKeyExchangeMode
from sanstls.wire.registries import ExtensionType as X
from sanstls.wire.registries import HandshakeType as T
from test_misbehaviour12 import ONLY_TLS12, PROVOCATIONS12

P = PeerMisbehaviour
Alert = AlertDescription
V = ProtocolVersion
G = NamedGroup
X25519, P256, X448 = G.x25519, G.secp256r1, G.x448
UNKNOWN = UnknownExtension(X(0x1A1A), b"")
MODES = PskKeyExchangeModes((PskKeyExchangeMode.psk_dhe_ke,))
NO_TLS13 = [X.supported_versions, X.key_share]


def first(victim: Connection, data: bytes) -> Any:
    """The error because of the first bytes that come."""
    victim.data_to_send()
    error = the_failure(victim.receive_data(data))
    assert victim.data_to_send() == plain_alert(error.alert)
    check_over(victim, error)
    return error


def opened(make: Callable[[Connection], Iterable[bytes]]) -> Any:
    """The error of an open connection because of what ``make`` makes of its peer."""
    victim, peer = open_pair13()
    return check_refused(victim, victim.receive_data(b"".join(make(peer))), peer)


def during(name: str, liar: str, change: Callable[[Any], Any]) -> Any:
    """The error in a plain handshake, in which something else is sent than what has this name."""
    return check_victim("plain", liar, at(name, change))


def too_much_while_waiting() -> Any:
    client, server = pair13(client={"defer": frozenset({VerificationRequest})})
    server.receive_data(client.data_to_send())
    flight = server.data_to_send() + record(23, bytes(2**14)) * (MAX_KEPT_WHILE_WAITING // 2**14)
    return check_refused(client, client.receive_data(flight), server)


def second_retry() -> Any:
    retries: list[ServerHello] = []

    def say(said: Any) -> Iterable[Any]:
        if isinstance(said, ServerHello):
            retries.append(said)
            return [retries[0]]
        return [said]

    return to_client(say, **RETRIED)


def duplicate_extension() -> Any:
    block = UNKNOWN.encode() * 2
    body = len(block).to_bytes(2, "big") + block
    return during("EE", "server", lambda _: [message(T.encrypted_extensions, body)])


def psks(*binders: bytes) -> OfferedPsks:
    return OfferedPsks((PskIdentity(b"ticket", 0),), binders)


SUITES = (CipherSuite.TLS_AES_128_GCM_SHA256,)
KEYS = {
    "pre_shared_keys": (PreSharedKey(b"first", bytes(32)), PreSharedKey(b"other", bytes(32), "sha384")),
    "cipher_suites": SUITES,
}


def said(message: Any) -> Iterable[Any]:
    """Nothing else than what is meant."""
    return [message]


ZIPS = {"certificate_compression": (ZLIB,)}
BROTLI = CertificateCompressionAlgorithm.brotli


def compressed(change: Callable[[CompressedCertificate], CompressedCertificate]) -> Any:
    return instead(CompressedCertificate, change)


def shares(*groups: NamedGroup) -> KeyShareClientHello:
    return KeyShareClientHello(tuple([KeyShareEntry(group, b"\x09" + bytes(31)) for group in groups]))


def shows(*chain: bytes) -> Any:
    entries = tuple([CertificateEntry(der, Extensions()) for der in chain])
    return instead(Certificate, lambda _: Certificate(b"", entries))


def key_updates(peer: Connection) -> Iterable[bytes]:
    for _ in range(MAX_KEY_UPDATES + 1):
        peer.update_keys()
    return [peer.data_to_send()]


def empty_records(peer: Connection) -> Iterable[bytes]:
    return [sealed(peer, 23, b"") for _ in range(MAX_EMPTY_RECORDS + 1)]


def after_retry(say: Any) -> Any:
    """The error of a client that was made to send a share for P-256."""
    return to_client(say, {"groups": (P256,)}, groups=(X25519, P256))


PROVOCATIONS13: dict[PeerMisbehaviour, Callable[[], Any]] = {
    # Records
    P.UNKNOWN_RECORD_TYPE: lambda: opened(lambda peer: [sealed(peer, 24, b"heartbeat")]),
    P.PLAIN_HTTP: lambda: first(server13(), b"GET / HTTP/1.1\r\n\r\n"),
    P.NOT_TLS: lambda: first(server13(), b"SSH-2.0-OpenSSH_9.6\r\n"),
    P.RECORD_OVERFLOW: lambda: opened(lambda peer: [sealed(peer, 23, bytes(2**14 + 1))]),
    P.BAD_RECORD_MAC: lambda: opened(lambda peer: [record(23, bytes(40))]),
    P.NO_CONTENT_TYPE: lambda: opened(lambda peer: [sealed(peer, 0, bytes(10))]),
    P.UNPROTECTED_RECORD: lambda: opened(lambda peer: [record(22, message(T.key_update, b"\0"))]),
    P.PREMATURE_APPLICATION_DATA: lambda: during("EE", "server", lambda sent: [Record(23, b"early"), sent]),
    P.BAD_CHANGE_CIPHER_SPEC: lambda: opened(lambda peer: [record(20, b"\1")]),
    P.EMPTY_RECORD: lambda: during("EE", "server", lambda sent: [Record(22, b""), sent]),
    P.INTERLEAVED_RECORD: lambda: opened(lambda peer: [sealed(peer, 22, b"\x18"), sealed(peer, 23, b"data")]),
    P.MESSAGE_ACROSS_KEY_CHANGE: lambda: during("SH", "server", lambda sent: [Record(22, sent + b"\x08")]),
    P.TOO_MANY_EMPTY_RECORDS: lambda: opened(empty_records),
    P.MESSAGE_TOO_LONG: lambda: opened(lambda peer: [sealed(peer, 22, b"\x18\xff\xff\xff")]),
    P.TOO_MUCH_WHILE_WAITING: too_much_while_waiting,
    # Alerts
    P.MALFORMED_ALERT: lambda: opened(lambda peer: [sealed(peer, 21, b"\1\0\0")]),
    P.TOO_MANY_WARNINGS: lambda: opened(
        lambda peer: [sealed(peer, 21, bytes([1, Alert.user_canceled])) for _ in range(MAX_WARNING_ALERTS + 1)]
    ),
    # Messages
    P.UNEXPECTED_MESSAGE: lambda: during("EE", "server", lambda _: []),
    P.MALFORMED_MESSAGE: lambda: during("EE", "server", lambda sent: [message(sent[0], sent[4:] + b"\0")]),
    P.DUPLICATE_EXTENSION: duplicate_extension,
    P.MISPLACED_EXTENSION: lambda: to_client(answer_with(ProtocolNameList((b"h2",)))),
    P.UNSOLICITED_EXTENSION: lambda: to_client(answer_with(UNKNOWN)),
    P.MISSING_EXTENSION: lambda: to_server(hello_with(without=[X.key_share])),
    # Versions
    P.OBSOLETE_VERSION: lambda: to_server(hello_with(SupportedVersions((V.TLS11, V.TLS10)))),
    P.NO_COMMON_VERSION: lambda: to_server(hello_with(SupportedVersions((V(0x0305),)))),
    P.WRONG_LEGACY_VERSION: lambda: to_server(hello_with(legacy_version=V.TLS10)),
    P.UNOFFERED_VERSION: lambda: to_client(answer_with(SelectedVersion(V(0x0305)))),
    P.DOWNGRADE_SENTINEL: lambda: to_client(answer_with(without=NO_TLS13, random=bytes(24) + b"DOWNGRD\1")),
    # Hellos
    P.COMPRESSION_OFFERED: lambda: to_server(hello_with(legacy_compression_methods=b"\0\1")),
    P.SESSION_ID_NOT_ECHOED: lambda: to_client(answer_with(legacy_session_id_echo=b"")),
    P.COMPRESSION_CHOSEN: lambda: to_client(answer_with(legacy_compression_method=1)),
    P.UNOFFERED_CIPHER_SUITE: lambda: to_client(answer_with(cipher_suite=CipherSuite.TLS_AES_128_CCM_SHA256)),
    P.NO_COMMON_CIPHER_SUITE: lambda: to_server(hello_with(cipher_suites=(CipherSuite.TLS_AES_128_CCM_SHA256,))),
    P.NO_COMMON_GROUP: lambda: to_server(hello_with(NamedGroupList((X448,)), shares())),
    P.UNOFFERED_GROUP: lambda: to_client(answer_with(KeyShareServerHello(KeyShareEntry(P256, b"\4")))),
    P.DUPLICATE_KEY_SHARE: lambda: to_server(hello_with(shares(X25519, X25519))),
    P.BAD_KEY_SHARE: lambda: to_client(answer_with(KeyShareServerHello(KeyShareEntry(X25519, bytes(32))))),
    P.PSK_NOT_LAST: lambda: to_server(hello_with(psks(bytes(32)), MODES)),
    P.PSK_WITHOUT_MODES: lambda: to_server(hello_with(psks(bytes(32)), without=[X.psk_key_exchange_modes])),
    P.BINDERS_DO_NOT_MATCH: lambda: to_server(hello_with(MODES, psks(bytes(32), bytes(32)))),
    P.WRONG_BINDER: lambda: to_server(said, KEYS, pre_shared_keys=(PreSharedKey(b"first", b"other" * 8),)),
    P.UNOFFERED_PSK: lambda: to_client(answer_with(SelectedPsk(2)), KEYS, **KEYS),
    P.PSK_OF_ANOTHER_HASH: lambda: to_client(answer_with(SelectedPsk(1)), KEYS, **KEYS),
    P.UNOFFERED_COMPRESSION: lambda: to_client(compressed(lambda m: m.replace(algorithm=BROTLI)), ZIPS, **ZIPS),
    P.BAD_COMPRESSION: lambda: to_client(compressed(lambda m: m.replace(uncompressed_length=9)), ZIPS, **ZIPS),
    P.BAD_RECORD_SIZE_LIMIT: lambda: to_server(hello_with(RecordSizeLimit(63))),
    P.BAD_SERVER_NAME: lambda: to_server(hello_with(ServerNameList((ServerName(NameType.host_name, b"\xff"),)))),
    # HelloRetryRequest
    P.USELESS_RETRY: lambda: to_client(retry_with(without=[X.key_share]), **RETRIED),
    P.SECOND_RETRY: second_retry,
    P.RETRY_FOR_UNOFFERED_GROUP: lambda: to_client(retry_with(KeyShareHelloRetryRequest(X448)), **RETRIED),
    P.RETRY_FOR_SENT_SHARE: lambda: after_retry(retry_with(KeyShareHelloRetryRequest(X25519))),
    P.CHANGED_AFTER_RETRY: lambda: after_retry(answer_with(cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256)),
    P.RETRIED_HELLO_CHANGED: lambda: to_server(second_hello_with(random=bytes(32)), RETRIED),
    P.RETRY_NOT_HEEDED: lambda: to_server(second_hello_with(shares(P256)), RETRIED),
    # ALPN
    P.NO_COMMON_PROTOCOL: lambda: to_server(hello_with(ProtocolNameList((b"h3",))), alpn=("h2",)),
    P.BAD_PROTOCOL_CHOICE: lambda: to_client(
        instead(EncryptedExtensions, lambda said: with_extensions(said, ProtocolNameList((b"h3",)))), alpn=("h2",)
    ),
    # Authentication
    P.NO_SUITABLE_CREDENTIAL: lambda: to_server(hello_with(SignatureSchemeList((SignatureScheme.mldsa65,)))),
    P.NO_CERTIFICATE: lambda: to_client(shows()),
    P.NONEMPTY_CONTEXT: lambda: to_client(
        instead(CertificateRequest, lambda said: said.replace(certificate_request_context=b"x")), MUTUAL["server"]
    ),
    P.CHAIN_TOO_LONG: lambda: to_client(shows(credential12().chain[0], *[root().der] * MAX_CHAIN)),
    P.UNOFFERED_SIGNATURE_SCHEME: lambda: to_client(
        instead(CertificateVerify, lambda said: said.replace(algorithm=SignatureScheme.ecdsa_sha1))
    ),
    P.SCHEME_DOES_NOT_FIT_KEY: lambda: to_client(
        instead(CertificateVerify, lambda said: said.replace(algorithm=SignatureScheme.ed25519))
    ),
    P.WRONG_SIGNATURE: lambda: to_client(instead(CertificateVerify, lambda said: said.replace(signature=bytes(70)))),
    P.WRONG_FINISHED: lambda: to_server(instead(Finished, lambda _: Finished(bytes(48)))),
    # After the handshake
    P.BAD_KEY_UPDATE: lambda: opened(lambda peer: [sealed(peer, 22, message(T.key_update, b"\2"))]),
    P.TOO_MANY_KEY_UPDATES: lambda: opened(key_updates),
}


ELSEWHERE = {P.RESUMED_OTHERWISE, P.EARLY_DATA_OTHERWISE, P.EARLY_DATA_DOWNGRADED, P.TOO_MUCH_EARLY_DATA}
"""Those of resumption and early data, which have their own tests."""

# What the RFCs say, written out once more.
ALERTS = {
    Alert.unexpected_message: {
        P.UNKNOWN_RECORD_TYPE,
        P.PLAIN_HTTP,
        P.NOT_TLS,
        P.NO_CONTENT_TYPE,
        P.UNPROTECTED_RECORD,
        P.PREMATURE_APPLICATION_DATA,
        P.BAD_CHANGE_CIPHER_SPEC,
        P.EMPTY_RECORD,
        P.INTERLEAVED_RECORD,
        P.MESSAGE_ACROSS_KEY_CHANGE,
        P.TOO_MANY_EMPTY_RECORDS,
        P.TOO_MANY_WARNINGS,
        P.UNEXPECTED_MESSAGE,
        P.SECOND_RETRY,
        P.TOO_MANY_KEY_UPDATES,
    },
    Alert.bad_record_mac: {P.BAD_RECORD_MAC},
    Alert.record_overflow: {P.RECORD_OVERFLOW},
    Alert.handshake_failure: {P.NO_COMMON_CIPHER_SUITE, P.NO_COMMON_GROUP, P.NO_SUITABLE_CREDENTIAL},
    Alert.bad_certificate: {P.CHAIN_TOO_LONG, P.BAD_COMPRESSION},
    Alert.illegal_parameter: {
        P.MESSAGE_TOO_LONG,
        P.DUPLICATE_EXTENSION,
        P.MISPLACED_EXTENSION,
        P.UNOFFERED_VERSION,
        P.DOWNGRADE_SENTINEL,
        P.COMPRESSION_OFFERED,
        P.SESSION_ID_NOT_ECHOED,
        P.COMPRESSION_CHOSEN,
        P.UNOFFERED_CIPHER_SUITE,
        P.UNOFFERED_GROUP,
        P.DUPLICATE_KEY_SHARE,
        P.BAD_KEY_SHARE,
        P.PSK_NOT_LAST,
        P.BINDERS_DO_NOT_MATCH,
        P.BAD_SERVER_NAME,
        P.USELESS_RETRY,
        P.RETRY_FOR_UNOFFERED_GROUP,
        P.RETRY_FOR_SENT_SHARE,
        P.CHANGED_AFTER_RETRY,
        P.RETRIED_HELLO_CHANGED,
        P.RETRY_NOT_HEEDED,
        P.BAD_PROTOCOL_CHOICE,
        P.UNOFFERED_PSK,
        P.UNOFFERED_COMPRESSION,
        P.BAD_RECORD_SIZE_LIMIT,
        P.PSK_OF_ANOTHER_HASH,
        P.NONEMPTY_CONTEXT,
        P.UNOFFERED_SIGNATURE_SCHEME,
        P.SCHEME_DOES_NOT_FIT_KEY,
        P.BAD_KEY_UPDATE,
    },
    Alert.decode_error: {P.MALFORMED_ALERT, P.MALFORMED_MESSAGE, P.NO_CERTIFICATE},
    Alert.decrypt_error: {P.WRONG_BINDER, P.WRONG_SIGNATURE, P.WRONG_FINISHED},
    Alert.protocol_version: {P.OBSOLETE_VERSION, P.NO_COMMON_VERSION, P.WRONG_LEGACY_VERSION},
    Alert.internal_error: {P.TOO_MUCH_WHILE_WAITING},
    Alert.missing_extension: {P.MISSING_EXTENSION, P.PSK_WITHOUT_MODES},
    Alert.unsupported_extension: {P.UNSOLICITED_EXTENSION},
    Alert.no_application_protocol: {P.NO_COMMON_PROTOCOL},
}


def test_every_kind_has_its_provocation() -> None:
    assert set(PROVOCATIONS13) | set(PROVOCATIONS12) | ELSEWHERE == set(PeerMisbehaviour)
    assert not set(PROVOCATIONS13) & ONLY_TLS12
    assert set().union(*ALERTS.values()) == set(PROVOCATIONS13)


@pytest.mark.parametrize("kind", PROVOCATIONS13, ids=lambda kind: kind.name)
def test_provoked(kind: PeerMisbehaviour) -> None:
    error = PROVOCATIONS13[kind]()
    assert isinstance(error, PeerError)
    assert error.kind is kind
    assert kind in ALERTS[error.alert]
    assert error.section == kind.section
    assert kind.sentence in str(error)
    assert kind.section in str(error)
    assert error.alert.name in str(error)


@pytest.mark.parametrize("kind", PeerMisbehaviour, ids=lambda kind: kind.name)
def test_said_in_words(kind: PeerMisbehaviour) -> None:
    """Each names its section, and says something of its own."""
    error = kind("what was seen", message="Message")
    assert str(error).startswith("in Message: ")
    assert "(what was seen)" in str(error)
    assert str(kind()) == f"{kind.sentence} [{kind.section}; alert {kind.alert.name}]"
    assert kind.section.startswith("RFC ")
    assert [other for other in PeerMisbehaviour if other.sentence == kind.sentence] == [kind]
