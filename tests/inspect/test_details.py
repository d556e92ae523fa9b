"""What a ladder tells of messages that our own handshakes don't have (yet), but others send."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sanstls.inspect.details import describe_message
from sanstls.wire.codec import Struct
from sanstls.wire.extensions import (
    Cookie,
    EarlyDataIndication,
    Extensions,
    NamedGroupList,
    OfferedPsks,
    PostHandshakeAuth,
    PskIdentity,
    SelectedPsk,
    SignatureSchemeList,
)
from sanstls.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
)
from sanstls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchangeECDHE,
    ClientKeyExchangeRSA,
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
    KeyUpdateRequest,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)

SUITE = CipherSuite.TLS_AES_128_GCM_SHA256
TLS12 = ProtocolVersion.TLS12
PSK = OfferedPsks((PskIdentity(b"a label of a key", 0),), (bytes(32),))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            ClientHello(
                TLS12, bytes(32), b"", (SUITE,) * 20, b"\0", Extensions([Cookie(b"c"), EarlyDataIndication(), PSK])
            ),
            {
                "versions": "TLS 1.2 at most",
                "client random": bytes(32).hex(),
                "cipher suites": ", ".join([str(SUITE)] * 12) + ", and 8 more",
                "cookie": "1 byte, returned",
                "early data": "follows",
                "pre-shared keys": "1 offered",
            },
        ),
        (
            ClientHello(TLS12, bytes(32), b"", (SUITE,), b"\0", Extensions([PostHandshakeAuth()])),
            {
                "versions": "TLS 1.2 at most",
                "client random": bytes(32).hex(),
                "cipher suites": str(SUITE),
                "also": "post_handshake_auth",
            },
        ),
        (
            ServerHello(TLS12, bytes(32), b"", SUITE, 0, Extensions([SelectedPsk(3), Cookie(b"cc")])),
            {
                "chosen version": "TLS 1.2",
                "chosen suite": str(SUITE),
                "server random": bytes(32).hex(),
                "cookie": "2 bytes, to be returned",
                "pre-shared key": "number 3",
            },
        ),
        (EncryptedExtensions(Extensions()), {"says": "nothing more"}),
        (
            EncryptedExtensions(Extensions([EarlyDataIndication(), NamedGroupList((NamedGroup.x448,))])),
            {"early data": "is accepted", "groups": "x448"},
        ),
        (
            CertificateRequest(b"", Extensions([SignatureSchemeList((SignatureScheme.ed25519,))])),
            {"signatures": "ed25519"},
        ),
        (NewSessionTicket(7200, 0, b"", b"a ticket", Extensions()), {"ticket": "8 bytes, valid for 7200 s"}),
        (KeyUpdate(KeyUpdateRequest.update_requested), {"asks the peer": "to update its keys too"}),
        (KeyUpdate(KeyUpdateRequest.update_not_requested), {"asks the peer": "nothing"}),
        (Certificate(b"", ()), {"certificates": "none"}),
        (EndOfEarlyData(), {}),
        (Certificate12(()), {"certificates": "none"}),
        (CertificateStatus(CertificateStatusType.ocsp, b"response"), {"OCSP response": "8 bytes"}),
        (
            ServerKeyExchange(
                ServerECDHParams(ECCurveType.named_curve, NamedGroup.x25519, bytes(32)),
                SignatureScheme.ed25519,
                bytes(64),
            ),
            {"key share": "x25519 (32 bytes)", "signature": "ed25519, 64 bytes"},
        ),
        (
            CertificateRequest12((ClientCertificateType.rsa_sign,), (SignatureScheme.rsa_pkcs1_sha256,), ()),
            {"types": "rsa_sign", "signatures": "rsa_pkcs1_sha256", "authorities": "any"},
        ),
        (ServerHelloDone(), {}),
        (ClientKeyExchangeECDHE(bytes(65)), {"key share": "65 bytes"}),
        (ClientKeyExchangeRSA(bytes(256)), {"premaster": "encrypted with RSA, 256 bytes"}),
        (NewSessionTicket12(60, b"ticket"), {"ticket": "6 bytes, valid for 60 s"}),
        (NewSessionTicket12(0, b"ticket"), {"ticket": "6 bytes"}),
        (None, {}),
    ],
)
def test_what_is_told(message: Struct | None, told: dict[str, str]) -> None:
    assert dict(describe_message(message)) == told


KEYS: dict[str, CertificatePublicKeyTypes] = {
    "EC secp384r1": ec.generate_private_key(ec.SECP384R1()).public_key(),
    "RSA 2048 bits": rsa.generate_private_key(65537, 2048).public_key(),
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
    "Ed448": ed448.Ed448PrivateKey.generate().public_key(),
    "X25519": x25519.X25519PrivateKey.generate().public_key(),
}


def _certificate(key: CertificatePublicKeyTypes) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a name")])
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(name).public_key(key)
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=1))
    names = [x509.DNSName("a.example"), x509.DirectoryName(name)]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    signer = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("text", KEYS)
def test_a_certificate_is_described(text: str) -> None:
    entry = CertificateEntry(_certificate(KEYS[text]), Extensions())
    assert describe_message(Certificate(b"", (entry,)))[1:] == [
        ("subject", "(empty)"),
        ("issuer", "CN=a name"),
        ("names", "a.example, CN=a name"),
        ("valid", "2024-01-01 00:00 to 2024-01-02 00:00 UTC"),
        ("key", text),
    ]


def test_a_key_that_can_not_be_read_is_called_so() -> None:
    der = _certificate(KEYS["Ed25519"])
    oid = bytes.fromhex("06032b6570")
    broken = der.replace(oid, bytes.fromhex("06032b6501"))
    described = dict(describe_message(Certificate(b"", (CertificateEntry(broken, Extensions()),))))
    assert described["key"] == "can't be read (algorithm 1.3.101.1)"


def test_not_all_of_a_very_long_chain_is_shown() -> None:
    message = Certificate(b"", (CertificateEntry(b"x", Extensions()),) * 20)
    assert describe_message(message)[-1] == ("and", "8 certificates more")
