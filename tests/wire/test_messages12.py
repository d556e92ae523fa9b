"""The messages of TLS 1.2: the laws for each, and those of handshakes that OpenSSL had with itself."""

from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from openssl12 import Handshake, Side, handshake
from sanstls.crypto.groups import generate, respond
from sanstls.crypto.signatures import verify
from sanstls.wire.codec import WireError
from sanstls.wire.extensions import (
    ECPointFormatList,
    ExtendedMainSecret,
    Extensions,
    RenegotiationInfo,
    SessionTicket,
)
from sanstls.wire.messages import CertificateVerify, ClientHello, HandshakeMessage, ServerHello
from sanstls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus,
    ChangeCipherSpec,
    ClientKeyExchangeECDHE,
    ClientKeyExchangeRSA,
    HelloRequest,
    NewSessionTicket12,
    ServerECDHParams,
    ServerHelloDone,
    ServerKeyExchange,
)
from sanstls.wire.registries import (
    CertificateStatusType,
    CipherSuite,
    ClientCertificateType,
    ECCurveType,
    ECPointFormat,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from strategies import MESSAGES12, mutations, structs
from wire_laws import each_class, holds_to_its_bytes, is_a_frozen_value, reads_or_refuses

each_message = pytest.mark.parametrize("cls", MESSAGES12, ids=lambda cls: cls.__name__)
HANDSHAKE_MESSAGES = [cls for cls in MESSAGES12 if issubclass(cls, HandshakeMessage)]


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


def test_the_types() -> None:
    # RFC 5246 A.4, RFC 5077 3.3, RFC 6066 8
    assert {cls.__name__: int(cls.msg_type) for cls in HANDSHAKE_MESSAGES} == {
        "HelloRequest": 0,
        "NewSessionTicket12": 4,
        "Certificate12": 11,
        "ServerKeyExchange": 12,
        "CertificateRequest12": 13,
        "ServerHelloDone": 14,
        "ClientKeyExchangeECDHE": 16,
        "ClientKeyExchangeRSA": 16,
        "CertificateStatus": 22,
    }


# Bytes by hand ----------------------------------------------------------------------------------------------------

PARAMS = ServerECDHParams(ECCurveType.named_curve, NamedGroup.x25519, b"\xaa\xbb")
BY_HAND = [
    (HelloRequest(), ""),
    (Certificate12(()), "000000"),
    (Certificate12((b"one", b"\x02")), "00000a 000003 6f6e65 000001 02"),
    (CertificateStatus(CertificateStatusType.ocsp, b"DER"), "01 000003 444552"),
    (PARAMS, "03 001d 02 aabb"),
    (ServerKeyExchange(PARAMS, SignatureScheme.rsa_pkcs1_sha256, b"sig"), "03 001d 02 aabb 0401 0003 736967"),
    (
        CertificateRequest12(
            (ClientCertificateType.rsa_sign, ClientCertificateType.ecdsa_sign),
            (SignatureScheme.ed25519,),
            (b"\x30\x00",),
        ),
        "02 01 40 0002 0807 0004 0002 3000",
    ),
    (CertificateRequest12((ClientCertificateType(9),), (SignatureScheme(0x0101),), ()), "01 09 0002 0101 0000"),
    (ServerHelloDone(), ""),
    (ClientKeyExchangeECDHE(b"\x04\x05"), "02 0405"),
    (ClientKeyExchangeRSA(b"\x04\x05"), "0002 0405"),
    (NewSessionTicket12(7200, b"tick"), "00001c20 0004 7469636b"),
    (NewSessionTicket12(0, b""), "00000000 0000"),
    (ChangeCipherSpec(), "01"),
]


@pytest.mark.parametrize(("value", "data"), BY_HAND, ids=lambda value: type(value).__name__)
def test_bytes_by_hand(value: Any, data: str) -> None:
    raw = bytes.fromhex(data)
    assert value.serialise() == raw
    assert type(value).parse(raw) == value


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (HelloRequest, "00"),
        (ServerHelloDone, "00"),
        (Certificate12, "000003 000000"),  # an empty certificate
        (Certificate12, "000004 000002 00"),
        (CertificateStatus, "01 000000"),  # an empty response
        (ServerKeyExchange, "01 00 02 aabb 0401 0000"),  # an explicit prime
        (ServerKeyExchange, "02 001d 02 aabb 0401 0000"),
        (ServerKeyExchange, "03 001d 00 0401 0000"),  # an empty point
        (ServerKeyExchange, "03 001d 02 aabb"),  # not signed, as an anonymous one is
        (CertificateRequest12, "00 0002 0807 0000"),  # no types
        (CertificateRequest12, "01 01 0000 0000"),  # no schemes
        (CertificateRequest12, "01 01 0003 080701 0000"),  # half a scheme
        (CertificateRequest12, "01 01 0002 0807 0002 0000"),  # an empty name
        (CertificateRequest12, "01 01 0002 0807"),  # as before TLS 1.2 it was something else
        (ClientKeyExchangeECDHE, "00"),  # implicit, for a client certificate of fixed ECDH
        (ClientKeyExchangeECDHE, ""),
        (ClientKeyExchangeRSA, ""),  # in SSL 3.0 without a length
        (ChangeCipherSpec, "00"),
        (ChangeCipherSpec, "02"),
        (ChangeCipherSpec, "0101"),
        (ChangeCipherSpec, ""),
    ],
)
def test_malformed_messages(cls: type[Any], data: str) -> None:
    with pytest.raises(WireError):
        cls.parse(bytes.fromhex(data))


@pytest.mark.parametrize("kind", [ECCurveType.explicit_prime, ECCurveType.explicit_char2, ECCurveType(77)], ids=str)
def test_only_named_curves(kind: ECCurveType) -> None:
    with pytest.raises(WireError, match=f"curve_type: {kind}, allowed is named_curve"):
        ServerECDHParams.parse(bytes([kind]) + PARAMS.serialise()[1:])
    with pytest.raises(ValueError, match="curve_type"):
        PARAMS.replace(curve_type=kind).serialise()


def test_what_the_server_signs() -> None:
    # RFC 8422 5.4
    client_random, server_random = bytes(range(32)), bytes(range(32, 64))
    assert PARAMS.signed_content(client_random, server_random) == bytes(range(64)) + bytes.fromhex("03001d02aabb")


@given(params=structs(ServerECDHParams))
def test_what_is_signed_is_what_was_sent(params: ServerECDHParams) -> None:
    message = ServerKeyExchange(params, SignatureScheme.ed25519, b"")
    raw = message.serialise()
    assert ServerKeyExchange.parse(raw).params.signed_content(b"", b"") == raw[: len(raw) - 4]


# Hellos -----------------------------------------------------------------------------------------------------------


def test_hellos_without_extensions() -> None:
    none = Extensions(is_present=False)
    suite = CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256
    hello = ClientHello(ProtocolVersion.TLS12, bytes(32), b"", (suite,), b"\x00", none)
    raw = bytes.fromhex("0303" + "00" * 32 + "00" + "0002009c" + "0100")
    assert hello.serialise() == raw
    assert ClientHello.parse(raw) == hello
    answer = ServerHello(ProtocolVersion.TLS12, bytes(32), b"\x07", suite, 0, none)
    raw = bytes.fromhex("0303" + "00" * 32 + "0107" + "009c" + "00")
    assert answer.serialise() == raw
    assert ServerHello.parse(raw) == answer
    assert ServerHello.parse(raw + b"\x00\x00").extensions == Extensions()


# Bytes of OpenSSL -------------------------------------------------------------------------------------------------

ECDHE_ECDSA = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
ECDHE_RSA = CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
RSA = CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256
each_suite = pytest.mark.parametrize("suite", [ECDHE_ECDSA, ECDHE_RSA, RSA], ids=str)

Read = list[tuple[Side, HandshakeMessage]]


@cache
def traced(suite: CipherSuite) -> tuple[Handshake, Read]:
    """A handshake with certificates on both sides, and its messages."""
    made = handshake(suite, with_client_certificate=True)
    kinds: list[type[HandshakeMessage]] = [
        *(ClientHello, ServerHello, Certificate12, ServerKeyExchange, CertificateRequest12, ServerHelloDone),
        *(CertificateVerify, NewSessionTicket12, ClientKeyExchangeRSA if suite is RSA else ClientKeyExchangeECDHE),
    ]
    by_type = {int(cls.msg_type): cls for cls in kinds}
    return made, [(sender, by_type[data[0]].parse(data[4:])) for sender, data in made.messages]


def the(kind: type[Any], messages: Read, sender: Side = "server") -> Any:
    (found,) = [message for side, message in messages if side == sender and isinstance(message, kind)]
    return found


@each_suite
def test_the_messages_of_openssl(suite: CipherSuite) -> None:
    made, messages = traced(suite)
    assert [message.encode() for _, message in messages] == [data for _, data in made.messages]
    exchange = [ClientKeyExchangeRSA] if suite is RSA else [ClientKeyExchangeECDHE]
    # RFC 5246 7.3, figure 1, and RFC 5077 3.1
    assert [type(message) for _, message in messages] == [
        *(ClientHello, ServerHello, Certificate12),
        *([] if suite is RSA else [ServerKeyExchange]),
        *(CertificateRequest12, ServerHelloDone),
        *(Certificate12, *exchange, CertificateVerify),
        NewSessionTicket12,
    ]


@each_suite
def test_the_server_hello_of_openssl(suite: CipherSuite) -> None:
    hello = the(ServerHello, traced(suite)[1])
    assert hello.legacy_version is ProtocolVersion.TLS12
    assert hello.cipher_suite is suite
    assert not hello.is_retry
    assert hello.extensions.get(ExtendedMainSecret) == ExtendedMainSecret()
    assert hello.extensions.get(RenegotiationInfo) == RenegotiationInfo(b"")
    assert hello.extensions.get(SessionTicket) == SessionTicket(b"")
    formats = hello.extensions.get(ECPointFormatList)
    assert (formats is None) == (suite is RSA)
    assert formats is None or ECPointFormat.uncompressed in formats.ec_point_format_list


@each_suite
def test_the_certificates_of_openssl(suite: CipherSuite) -> None:
    made, messages = traced(suite)
    (leaf,) = the(Certificate12, messages).certificate_list
    assert x509.load_der_x509_certificate(leaf).public_key() == made.private_key.public_key()
    assert the(Certificate12, messages, "client").certificate_list == (leaf,)
    request = the(CertificateRequest12, messages)
    assert {ClientCertificateType.rsa_sign, ClientCertificateType.ecdsa_sign} <= set(request.certificate_types)
    verified = the(CertificateVerify, messages, "client")
    assert verified.algorithm in request.supported_signature_algorithms
    # RFC 5246 7.4.8: all messages so far
    signed = b"".join(data for _, data in made.messages[: [m for _, m in messages].index(verified)])
    assert verify(verified.algorithm, made.private_key.public_key(), verified.signature, signed)


@pytest.mark.parametrize("suite", [ECDHE_ECDSA, ECDHE_RSA], ids=str)
def test_the_key_exchange_of_openssl(suite: CipherSuite) -> None:
    made, messages = traced(suite)
    exchange = the(ServerKeyExchange, messages)
    signed = exchange.params.signed_content(*made.randoms)
    public = made.private_key.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey) == (suite is ECDHE_ECDSA)
    assert verify(exchange.algorithm, public, exchange.signature, signed)
    assert not verify(exchange.algorithm, public, exchange.signature, signed[::-1])
    # Both points are what `groups` takes for shares.
    answer = the(ClientKeyExchangeECDHE, messages, "client").ecdh_Yc
    group = exchange.params.namedcurve
    assert len(answer) == len(exchange.params.public)
    for point in (answer, exchange.params.public):
        own = generate(group, lambda size: bytes(range(1, size + 1)))
        assert own.complete(point) == respond(group, point, lambda size: bytes(range(1, size + 1)))[1]
