"""Handshake messages, alerts and records: the laws for each, and bytes that were not made by this library."""

import shutil
import ssl
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls.wire import messages
from sanstls.wire.codec import WireError
from sanstls.wire.extensions import (
    HELLO_RETRY_REQUEST_RANDOM,
    Cookie,
    DuplicateExtension,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    MisplacedExtension,
    NamedGroupList,
    Padding,
    ProtocolNameList,
    SelectedVersion,
    ServerNameAcknowledgement,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersions,
    UnknownExtension,
)
from sanstls.wire.messages import (
    Alert,
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    Finished,
    HandshakeMessage,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
    TLSPlaintext,
)
from sanstls.wire.registries import (
    AlertDescription,
    AlertLevel,
    CipherSuite,
    ContentType,
    ExtensionType,
    HandshakeType,
    KeyUpdateRequest,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from strategies import MESSAGES, mutations, structs
from vectors import load_rfc8448
from wire_laws import each_class, holds_to_its_bytes, is_a_frozen_value, reads_or_refuses

each_message = pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
HANDSHAKE_MESSAGES = [cls for cls in MESSAGES if issubclass(cls, HandshakeMessage)]


def test_there_are_messages() -> None:
    assert {ClientHello, ServerHello, CertificateEntry, Finished, Alert, TLSPlaintext} <= set(MESSAGES)


@each_message
@given(data=st.data())
@each_class
def test_bytes_and_values_are_inverse(cls: type[Any], data: st.DataObject) -> None:
    holds_to_its_bytes(data.draw(structs(cls)))


@each_message
@given(data=st.data())
@each_class
def test_values_are_frozen(cls: type[Any], data: st.DataObject) -> None:
    is_a_frozen_value(data.draw(structs(cls)))


@each_message
@given(data=st.data())
@each_class
def test_any_bytes_are_read_or_refused(cls: type[Any], data: st.DataObject) -> None:
    valid = data.draw(structs(cls)).serialise()
    reads_or_refuses(cls, data.draw(st.one_of(st.binary(max_size=80), mutations(valid))))


@pytest.mark.parametrize("cls", HANDSHAKE_MESSAGES, ids=lambda cls: cls.__name__)
@given(data=st.data())
@each_class
def test_encode_adds_type_and_length(cls: type[HandshakeMessage], data: st.DataObject) -> None:
    message = data.draw(structs(cls))
    encoded = message.encode()
    assert encoded[0] == cls.msg_type
    assert int.from_bytes(encoded[1:4], "big") == len(encoded) - 4
    assert encoded[4:] == message.serialise()


def test_encode_refuses_what_24_bits_of_length_cannot_tell() -> None:
    assert Finished(bytes(2**24 - 1)).encode()[:4] == b"\x14\xff\xff\xff"
    with pytest.raises(ValueError, match="Finished"):
        Finished(bytes(2**24)).encode()


def test_each_message_has_a_type_of_its_own() -> None:
    # RFC 9846 B.3
    types = {cls.__name__: int(cls.msg_type) for cls in HANDSHAKE_MESSAGES}
    assert types == {
        "ClientHello": 1,
        "ServerHello": 2,
        "NewSessionTicket": 4,
        "EndOfEarlyData": 5,
        "EncryptedExtensions": 8,
        "Certificate": 11,
        "CertificateRequest": 13,
        "CertificateVerify": 15,
        "Finished": 20,
        "KeyUpdate": 24,
        "CompressedCertificate": 25,
    }


# Bytes of others --------------------------------------------------------------------------------------------------

BY_TYPE = {int(cls.msg_type): cls for cls in HANDSHAKE_MESSAGES}
TRACED = [
    pytest.param(message.data, id=f"section {section} {index} {message.name}")
    for section in (3, 4, 5, 6, 7)
    for index, message in enumerate(load_rfc8448(section).messages)
]


@pytest.mark.parametrize("raw", TRACED)
def test_the_messages_of_rfc8448(raw: bytes) -> None:
    message = BY_TYPE[raw[0]].parse(raw[4:])
    assert message.encode() == raw


def test_a_client_hello_of_rfc8448() -> None:
    hello = ClientHello.parse(load_rfc8448(3).message("ClientHello")[4:])
    assert hello.legacy_version == ProtocolVersion.TLS12
    assert hello.random.hex() == "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7"
    assert hello.legacy_session_id == b""
    assert [int(suite) for suite in hello.cipher_suites] == [0x1301, 0x1303, 0x1302]
    names = hello.extensions.get(ServerNameList)
    assert names is not None
    assert names.server_name_list[0].name == b"server"
    shares = hello.extensions.get(KeyShareClientHello)
    assert shares is not None
    assert [(entry.group, len(entry.key_exchange)) for entry in shares.client_shares] == [(NamedGroup.x25519, 32)]
    versions = hello.extensions.get(SupportedVersions)
    assert versions == SupportedVersions((ProtocolVersion.TLS13,))


def test_a_hello_retry_request_of_rfc8448() -> None:
    retry = ServerHello.parse(load_rfc8448(5).message("HelloRetryRequest")[4:])
    assert retry.is_retry
    assert retry.extensions.get(KeyShareHelloRetryRequest) == KeyShareHelloRetryRequest(NamedGroup.secp256r1)
    assert retry.extensions.get(KeyShareServerHello) is None
    cookie = retry.extensions.get(Cookie)
    assert cookie is not None
    assert len(cookie.cookie) == 114
    hello = ServerHello.parse(load_rfc8448(5).message("ServerHello")[4:])
    assert not hello.is_retry


def client_hello_of_openssl(server_name: str | None, alpn: list[str]) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(("server_name", "alpn"), [("example.com", ["h2", "http/1.1"]), (None, [])])
def test_a_client_hello_of_openssl(server_name: str | None, alpn: list[str]) -> None:
    sent = client_hello_of_openssl(server_name, alpn)
    record = TLSPlaintext.parse(sent)
    assert record.type is ContentType.handshake
    assert record.serialise() == sent
    hello = ClientHello.parse(record.fragment[4:])
    assert hello.encode() == record.fragment
    names = hello.extensions.get(ServerNameList)
    assert (names.server_name_list[0].name.decode() if names else None) == server_name
    protocols = hello.extensions.get(ProtocolNameList)
    assert (protocols.protocol_name_list if protocols else ()) == tuple(name.encode() for name in alpn)
    assert CipherSuite.TLS_AES_128_GCM_SHA256 in hello.cipher_suites
    versions = hello.extensions.get(SupportedVersions)
    assert versions is not None
    assert ProtocolVersion.TLS13 in versions.versions


def test_what_a_server_of_openssl_answers() -> None:
    # Without a certificate it can only refuse: an alert, under a record that anybody can read.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(client_hello_of_openssl(None, []))
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    record = TLSPlaintext.parse(outgoing.read())
    assert record.type is ContentType.alert
    assert Alert.parse(record.fragment) == Alert(AlertLevel.fatal, AlertDescription.handshake_failure)


# Bytes by hand ----------------------------------------------------------------------------------------------------

HELLO = ClientHello(
    ProtocolVersion.TLS12,
    bytes(range(32)),
    b"\xaa\xbb",
    (CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite(0x1A1A)),
    b"\x00",
    Extensions([SupportedVersions((ProtocolVersion.TLS13,)), UnknownExtension(ExtensionType(0x1A1A), b"\x01")]),
)
HELLO_BYTES = bytes.fromhex(
    "0303"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "02aabb"
    "000413011a1a"
    "0100"
    "000c"
    "002b0003020304"
    "1a1a000101"
)
SERVER_HELLO = ServerHello(
    ProtocolVersion.TLS12,
    bytes(32),
    b"",
    CipherSuite.TLS_AES_128_GCM_SHA256,
    0,
    Extensions(
        [KeyShareServerHello(KeyShareEntry(NamedGroup.x25519, b"\x07")), SelectedVersion(ProtocolVersion.TLS13)]
    ),
)
BY_HAND = [
    (HELLO, HELLO_BYTES),
    (SERVER_HELLO, bytes.fromhex("0303" + "00" * 32 + "00" "1301" "00" "000f" "00330005001d000107" "002b00020304")),
    (EncryptedExtensions(Extensions([ServerNameAcknowledgement()])), bytes.fromhex("0004" "00000000")),
    (Certificate(b"", ()), bytes.fromhex("00" "000000")),
    (
        Certificate(b"\x09", (CertificateEntry(b"DER", Extensions()),)),
        bytes.fromhex("0109" "000008" "000003444552" "0000"),
    ),
    (CertificateVerify(SignatureScheme.ed25519, b"sig"), bytes.fromhex("0807" "0003736967")),
    (Finished(b"\x01\x02"), b"\x01\x02"),
    (
        NewSessionTicket(30, 0xFAD6AAC5, b"\x00\x00", b"tick", Extensions()),
        bytes.fromhex("0000001e" "fad6aac5" "020000" "00047469636b" "0000"),
    ),
    (KeyUpdate(KeyUpdateRequest.update_requested), b"\x01"),
    (Alert(AlertLevel.warning, AlertDescription.close_notify), b"\x01\x00"),
    (TLSPlaintext(ContentType.alert, ProtocolVersion.TLS12, b"\x02\x28"), bytes.fromhex("15" "0303" "0002" "0228")),
]  # fmt: skip


@pytest.mark.parametrize(("value", "data"), BY_HAND, ids=lambda value: type(value).__name__)
def test_bytes_by_hand(value: Any, data: bytes) -> None:
    assert value.serialise() == data
    assert type(value).parse(data) == value


def test_a_hello_may_end_before_the_extensions() -> None:
    end = len(HELLO_BYTES) - 14
    hello = ClientHello.parse(HELLO_BYTES[:end])
    assert not hello.extensions.is_present
    assert hello == HELLO.replace(extensions=Extensions(is_present=False))
    assert hello.serialise() == HELLO_BYTES[:end]
    present = ClientHello.parse(HELLO_BYTES[:end] + b"\x00\x00")
    assert present.extensions.is_present
    assert present != hello


def test_other_messages_may_not() -> None:
    with pytest.raises(WireError):
        EncryptedExtensions.parse(b"")
    with pytest.raises(WireError):
        CertificateRequest.parse(b"\x00")


def test_which_server_hello_it_is() -> None:
    share = bytes.fromhex("00330002001d")  # as in a HelloRetryRequest, too short for a ServerHello
    version = bytes.fromhex("002b00020304")
    head = bytes.fromhex("00" "1301" "00")  # fmt: skip

    def message(random: bytes, block: bytes) -> bytes:
        return b"\x03\x03" + random + head + len(block).to_bytes(2, "big") + block

    retry = ServerHello.parse(message(HELLO_RETRY_REQUEST_RANDOM, share + version))
    assert retry.is_retry
    assert retry.extensions.get(KeyShareHelloRetryRequest) is not None
    with pytest.raises(WireError):
        ServerHello.parse(message(bytes(32), share + version))
    # Without supported_versions it is one of TLS 1.2, where there are no shares ...
    with pytest.raises(MisplacedExtension):
        ServerHello.parse(message(bytes(32), share))
    # ... but other things, which TLS 1.3 has elsewhere.
    old = bytes.fromhex("ff01000100" "000b00020100" "00170000")  # fmt: skip
    assert len(ServerHello.parse(message(bytes(32), old)).extensions) == 3
    with pytest.raises(MisplacedExtension):
        ServerHello.parse(message(bytes(32), old + version))


@pytest.mark.parametrize(
    "block",
    ["002b0003020304" * 2, "1a1a0000001700001a1a000101"],
    ids=["a known one", "an unknown one"],
)
def test_an_extension_twice(block: str) -> None:
    raw = bytes.fromhex(block)
    data = HELLO_BYTES[:-14] + len(raw).to_bytes(2, "big") + raw
    with pytest.raises(DuplicateExtension):
        ClientHello.parse(data)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"random": bytes(31)}, "random"),
        ({"random": bytes(33)}, "random"),
        ({"legacy_session_id": bytes(33)}, "legacy_session_id"),
        ({"cipher_suites": ()}, "cipher_suites"),
        ({"cipher_suites": (CipherSuite.TLS_AES_128_GCM_SHA256,) * 0x8000}, "cipher_suites"),
        ({"legacy_compression_methods": b""}, "legacy_compression_methods"),
        ({"legacy_compression_methods": bytes(256)}, "legacy_compression_methods"),
        ({"extensions": Extensions([Padding(bytes(40_000)), Cookie(bytes(40_000))])}, "extensions"),
        ({"legacy_version": 0x10000}, "ClientHello"),
        ({"cipher_suites": (0x10000,)}, "ClientHello"),
    ],
)
def test_fields_out_of_bounds(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        HELLO.replace(**changes).serialise()


@pytest.mark.parametrize(
    ("at", "change"),
    [
        (34, "21" + "00" * 33),  # a session ID of 33 bytes
        (37, "0000"),  # no cipher suites
        (37, "0003130113"),  # half a cipher suite
        (37, "0413011a1a"),  # a length beyond the end
        (43, "00"),  # no compression method
    ],
)
def test_bytes_out_of_bounds(at: int, change: str) -> None:
    raw = bytes.fromhex(change)
    with pytest.raises(WireError):
        ClientHello.parse(HELLO_BYTES[:at] + raw + HELLO_BYTES[at + len(raw) :])


def test_the_repr_is_short() -> None:
    assert repr(Finished(bytes(32))) == f"Finished(verify_data={'00' * 32})"
    assert repr(Finished(bytes(33))) == f"Finished(verify_data={'00' * 16}… (33 bytes))"
    assert len(repr(HELLO.replace(extensions=Extensions([Padding(bytes(10_000))])))) < 500
    assert "CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite(0x1a1a)" in repr(HELLO)


def test_messages_of_different_classes_differ() -> None:
    assert messages.EndOfEarlyData() == messages.EndOfEarlyData()
    assert EncryptedExtensions(Extensions()) != CertificateRequest(b"", Extensions())
    assert HELLO.replace(legacy_session_id=b"") != HELLO
    assert HELLO.msg_type is HandshakeType.client_hello


# The other implementation's own view ------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")
def test_signature_algorithms_of_openssl_are_all_named() -> None:
    hello = ClientHello.parse(TLSPlaintext.parse(client_hello_of_openssl("a.example", [])).fragment[4:])
    schemes = hello.extensions.get(SignatureSchemeList)
    groups = hello.extensions.get(NamedGroupList)
    assert schemes is not None
    assert groups is not None
    listed = subprocess.run(["openssl", "ciphers", "-V", "-tls1_3", "-s"], capture_output=True, text=True, check=True)
    for suite in (suite for suite in hello.cipher_suites if suite >> 8 == 0x13):
        assert suite.is_known
        assert f"0x13,0x{suite & 0xFF:02X} - {suite}" in listed.stdout
    assert SignatureScheme.ecdsa_secp256r1_sha256 in schemes.supported_signature_algorithms
    assert NamedGroup.x25519 in groups.named_group_list
