"""Registries: IANA's values, and those that have no name."""

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls.wire.registries import (
    AlertDescription,
    CertificateCompressionAlgorithm,
    CipherSuite,
    ClientCertificateType,
    ContentType,
    ECCurveType,
    ExtensionType,
    HandshakeType,
    KeyUpdateRequest,
    NamedGroup,
    ProtocolVersion,
    Registry,
    SignatureScheme,
    wire_width,
)
from strategies import REGISTRIES, integers, registry_values
from wire_laws import each_class

each_registry = pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.__name__)

# As in IANA's registries and the appendices of the RFCs.
IANA: dict[type[Registry], dict[str, int]] = {
    ContentType: {"change_cipher_spec": 20, "alert": 21, "handshake": 22, "application_data": 23},
    ProtocolVersion: {"TLS12": 0x0303, "TLS13": 0x0304},
    HandshakeType: {"client_hello": 1, "new_session_ticket": 4, "finished": 20, "key_update": 24, "message_hash": 254},
    AlertDescription: {
        "close_notify": 0,
        "unexpected_message": 10,
        "bad_record_mac": 20,
        "handshake_failure": 40,
        "illegal_parameter": 47,
        "decode_error": 50,
        "user_canceled": 90,
        "missing_extension": 109,
        "certificate_required": 116,
        "no_application_protocol": 120,
    },
    ExtensionType: {
        "server_name": 0,
        "supported_groups": 10,
        "signature_algorithms": 13,
        "extended_master_secret": 23,
        "record_size_limit": 28,
        "pre_shared_key": 41,
        "early_data": 42,
        "supported_versions": 43,
        "cookie": 44,
        "psk_key_exchange_modes": 45,
        "certificate_authorities": 47,
        "post_handshake_auth": 49,
        "key_share": 51,
        "encrypted_client_hello": 0xFE0D,
        "renegotiation_info": 0xFF01,
    },
    CipherSuite: {
        "TLS_AES_128_GCM_SHA256": 0x1301,
        "TLS_AES_256_GCM_SHA384": 0x1302,
        "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
        "TLS_AES_128_CCM_SHA256": 0x1304,
        "TLS_AES_128_CCM_8_SHA256": 0x1305,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": 0xC02F,
        "TLS_EMPTY_RENEGOTIATION_INFO_SCSV": 0x00FF,
        "TLS_FALLBACK_SCSV": 0x5600,
    },
    NamedGroup: {
        "secp256r1": 23,
        "secp384r1": 24,
        "secp521r1": 25,
        "x25519": 29,
        "x448": 30,
        "ffdhe2048": 256,
        "SecP256r1MLKEM768": 4587,
        "X25519MLKEM768": 4588,
        "SecP384r1MLKEM1024": 4589,
    },
    SignatureScheme: {
        "rsa_pkcs1_sha256": 0x0401,
        "ecdsa_secp256r1_sha256": 0x0403,
        "ecdsa_secp384r1_sha384": 0x0503,
        "ecdsa_secp521r1_sha512": 0x0603,
        "rsa_pss_rsae_sha256": 0x0804,
        "rsa_pss_rsae_sha512": 0x0806,
        "ed25519": 0x0807,
        "ed448": 0x0808,
        "rsa_pss_pss_sha256": 0x0809,
        "rsa_pss_pss_sha512": 0x080B,
    },
    KeyUpdateRequest: {"update_not_requested": 0, "update_requested": 1},
    CertificateCompressionAlgorithm: {"zlib": 1, "brotli": 2, "zstd": 3},
    ECCurveType: {"explicit_prime": 1, "explicit_char2": 2, "named_curve": 3},
    ClientCertificateType: {"rsa_sign": 1, "dss_sign": 2, "ecdsa_sign": 64, "gost_sign512": 68},
}


@pytest.mark.parametrize(
    ("registry", "name", "value"),
    [(registry, name, value) for registry, values in IANA.items() for name, value in values.items()],
)
def test_values_of_iana(registry: type[Registry], name: str, value: int) -> None:
    assert registry[name] == value
    assert registry(value).name == name


@each_registry
def test_no_value_has_two_names(registry: type[Registry]) -> None:
    assert len(registry.__members__) == len(list(registry)), "an alias is a slip of the pen here"
    assert all(0 <= member < 1 << 8 * wire_width(registry) for member in registry)


@pytest.mark.parametrize(
    ("registry", "width"),
    [(ContentType, 1), (HandshakeType, 1), (CipherSuite, 2), (ExtensionType, 2), (CertificateCompressionAlgorithm, 2)],
)
def test_widths(registry: type[Registry], width: int) -> None:
    assert wire_width(registry) == width


@each_registry
@given(data=st.data())
@each_class
def test_every_value_is_kept(registry: type[Registry], data: st.DataObject) -> None:
    number = data.draw(integers(wire_width(registry)))
    before = list(registry)
    member = registry(number)
    assert type(member) is registry
    assert member == number == int(member) == member.value
    assert hash(member) == hash(number)
    assert {number: "x"}[member] == "x"
    assert member == registry(number)
    assert member.is_known == (number in [int(known) for known in before])
    assert list(registry) == before, "a peer can't make a registry grow"


@each_registry
@given(data=st.data())
@each_class
def test_copies(registry: type[Registry], data: st.DataObject) -> None:
    member = data.draw(registry_values(registry))
    for again in (pickle.loads(pickle.dumps(member)), copy.copy(member), copy.deepcopy(member)):  # noqa: S301
        assert type(again) is registry
        assert again == member
        assert again.name == member.name


@each_registry
@pytest.mark.parametrize("wrong", [-1, "least too large", "text", None, 1.5, b"\x00"])
def test_what_is_no_value_is_refused(registry: type[Registry], wrong: Any) -> None:
    value = 1 << 8 * wire_width(registry) if wrong == "least too large" else wrong
    with pytest.raises(ValueError, match=registry.__name__):
        registry(value)


def test_names_in_text() -> None:
    known, unknown = CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite(0x1A1A)
    assert str(known) == f"{known}" == "TLS_AES_128_GCM_SHA256"
    assert repr(known) == "CipherSuite.TLS_AES_128_GCM_SHA256"
    assert f"{known:>25}" == "   TLS_AES_128_GCM_SHA256"
    assert str(unknown) == f"{unknown}" == unknown.name == "0x1a1a"
    assert repr(unknown) == "CipherSuite(0x1a1a)"
    assert str(ContentType(7)) == "0x07"
    assert f"{unknown:8}|" == "0x1a1a  |"


@pytest.mark.parametrize(
    ("number", "text"), [(0x0300, "SSL 3.0"), (0x0303, "TLS 1.2"), (0x0304, "TLS 1.3"), (0x7F1C, "version 0x7f1c")]
)
def test_versions_as_people_write_them(number: int, text: str) -> None:
    assert ProtocolVersion(number).text == text
