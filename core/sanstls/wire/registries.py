"""The IANA registries that TLS speaks of, spelled as IANA spells them.

Every registry here is open: a value that it does not name is kept as an
unnamed member, so that what a peer sent can be shown, compared and sent back
unchanged. Which values this library *uses* is decided elsewhere
(:mod:`sanstls.config`); here they only have names.
"""

from enum import IntEnum
from typing import Any, Self

_WIDTHS: dict[type["Registry"], int] = {}


class Registry(IntEnum):
    """An IANA registry: an ``IntEnum`` that keeps the values it has no name for.

    ``CipherSuite(0x1A1A)`` is a member named ``0x1a1a`` which is equal to
    ``0x1A1A``. Unnamed members are made anew each time and stored nowhere, so a
    peer can't make a registry grow. ``width`` is the size of a value on the wire, in bytes.
    """

    def __init_subclass__(cls, *, width: int = 1, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _WIDTHS[cls] = width

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        width = _WIDTHS[cls]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 8 * width:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"0x{value:0{2 * width}x}"
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        """Whether IANA's name for this value is known to this library."""
        return self._value_ in type(self)._value2member_map_

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self._name_}" if self.is_known else f"{type(self).__name__}({self._name_})"

    def __str__(self) -> str:
        return self._name_

    def __format__(self, spec: str) -> str:
        return format(self._name_, spec)


def wire_width(registry: type[Registry]) -> int:
    """The size in bytes of a value of this registry on the wire."""
    return _WIDTHS[registry]


class ContentType(Registry):
    """Record content types (RFC 9846 5.1)."""

    invalid = 0
    change_cipher_spec = 20
    alert = 21
    handshake = 22
    application_data = 23
    heartbeat = 24


class ProtocolVersion(Registry, width=2):
    """Protocol versions as they stand on the wire."""

    SSL20 = 0x0002
    SSL30 = 0x0300
    TLS10 = 0x0301
    TLS11 = 0x0302
    TLS12 = 0x0303
    TLS13 = 0x0304

    @property
    def text(self) -> str:
        """The version as people write it: ``TLS 1.3``."""
        names = {
            0x0002: "SSL 2.0",
            0x0300: "SSL 3.0",
            0x0301: "TLS 1.0",
            0x0302: "TLS 1.1",
            0x0303: "TLS 1.2",
            0x0304: "TLS 1.3",
        }
        return names.get(self._value_, f"version {self._name_}")


class HandshakeType(Registry):
    """Handshake message types (RFC 9846 4, RFC 5246 7.4)."""

    hello_request = 0
    client_hello = 1
    server_hello = 2
    new_session_ticket = 4
    end_of_early_data = 5
    encrypted_extensions = 8
    certificate = 11
    server_key_exchange = 12
    certificate_request = 13
    server_hello_done = 14
    certificate_verify = 15
    client_key_exchange = 16
    finished = 20
    certificate_url = 21
    certificate_status = 22
    key_update = 24
    compressed_certificate = 25
    message_hash = 254


class AlertLevel(Registry):
    """Alert levels (RFC 9846 6)."""

    warning = 1
    fatal = 2


class AlertDescription(Registry):
    """Alerts (RFC 9846 6, RFC 5246 7.2, RFC 7507)."""

    close_notify = 0
    unexpected_message = 10
    bad_record_mac = 20
    decryption_failed_RESERVED = 21
    record_overflow = 22
    decompression_failure_RESERVED = 30
    handshake_failure = 40
    no_certificate_RESERVED = 41
    bad_certificate = 42
    unsupported_certificate = 43
    certificate_revoked = 44
    certificate_expired = 45
    certificate_unknown = 46
    illegal_parameter = 47
    unknown_ca = 48
    access_denied = 49
    decode_error = 50
    decrypt_error = 51
    export_restriction_RESERVED = 60
    protocol_version = 70
    insufficient_security = 71
    internal_error = 80
    inappropriate_fallback = 86
    user_canceled = 90
    no_renegotiation = 100
    missing_extension = 109
    unsupported_extension = 110
    certificate_unobtainable_RESERVED = 111
    unrecognized_name = 112
    bad_certificate_status_response = 113
    bad_certificate_hash_value_RESERVED = 114
    unknown_psk_identity = 115
    certificate_required = 116
    general_error = 117
    no_application_protocol = 120
    ech_required = 121


class ExtensionType(Registry, width=2):
    """TLS extensions (RFC 9846 4.3 and IANA's registry)."""

    server_name = 0
    max_fragment_length = 1
    client_certificate_url = 2
    trusted_ca_keys = 3
    truncated_hmac = 4
    status_request = 5
    supported_groups = 10
    ec_point_formats = 11
    signature_algorithms = 13
    use_srtp = 14
    heartbeat = 15
    application_layer_protocol_negotiation = 16
    status_request_v2 = 17
    signed_certificate_timestamp = 18
    client_certificate_type = 19
    server_certificate_type = 20
    padding = 21
    encrypt_then_mac = 22
    extended_master_secret = 23
    compress_certificate = 27
    record_size_limit = 28
    delegated_credential = 34
    session_ticket = 35
    pre_shared_key = 41
    early_data = 42
    supported_versions = 43
    cookie = 44
    psk_key_exchange_modes = 45
    certificate_authorities = 47
    oid_filters = 48
    post_handshake_auth = 49
    signature_algorithms_cert = 50
    key_share = 51
    transparency_info = 52
    quic_transport_parameters = 57
    ticket_request = 58
    next_protocol_negotiation = 13172
    application_settings_old = 17513
    application_settings = 17613
    ech_outer_extensions = 64768
    encrypted_client_hello = 65037
    renegotiation_info = 65281


class CipherSuite(Registry, width=2):
    """Cipher suites (RFC 9846 B.4; RFC 5288, 5289, 7905 for TLS 1.2)."""

    TLS_AES_128_GCM_SHA256 = 0x1301
    TLS_AES_256_GCM_SHA384 = 0x1302
    TLS_CHACHA20_POLY1305_SHA256 = 0x1303
    TLS_AES_128_CCM_SHA256 = 0x1304
    TLS_AES_128_CCM_8_SHA256 = 0x1305

    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xC02B
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xC02C
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xC02F
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xC030
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA8
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA9
    TLS_RSA_WITH_AES_128_GCM_SHA256 = 0x009C
    TLS_RSA_WITH_AES_256_GCM_SHA384 = 0x009D

    # Seen in other people's hellos, never spoken here.
    TLS_RSA_WITH_3DES_EDE_CBC_SHA = 0x000A
    TLS_RSA_WITH_AES_128_CBC_SHA = 0x002F
    TLS_DHE_RSA_WITH_AES_128_CBC_SHA = 0x0033
    TLS_RSA_WITH_AES_256_CBC_SHA = 0x0035
    TLS_DHE_RSA_WITH_AES_256_CBC_SHA = 0x0039
    TLS_RSA_WITH_AES_128_CBC_SHA256 = 0x003C
    TLS_RSA_WITH_AES_256_CBC_SHA256 = 0x003D
    TLS_DHE_RSA_WITH_AES_128_CBC_SHA256 = 0x0067
    TLS_DHE_RSA_WITH_AES_256_CBC_SHA256 = 0x006B
    TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 = 0x009E
    TLS_DHE_RSA_WITH_AES_256_GCM_SHA384 = 0x009F
    TLS_EMPTY_RENEGOTIATION_INFO_SCSV = 0x00FF
    TLS_FALLBACK_SCSV = 0x5600
    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA = 0xC009
    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA = 0xC00A
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA = 0xC013
    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA = 0xC014
    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 = 0xC023
    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 = 0xC024
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 = 0xC027
    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384 = 0xC028
    TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCAA


class NamedGroup(Registry, width=2):
    """Key exchange groups (RFC 9846 4.3.7; the hybrids of draft-ietf-tls-ecdhe-mlkem)."""

    secp256r1 = 0x0017
    secp384r1 = 0x0018
    secp521r1 = 0x0019
    x25519 = 0x001D
    x448 = 0x001E
    brainpoolP256r1tls13 = 0x001F
    brainpoolP384r1tls13 = 0x0020
    brainpoolP512r1tls13 = 0x0021
    ffdhe2048 = 0x0100
    ffdhe3072 = 0x0101
    ffdhe4096 = 0x0102
    ffdhe6144 = 0x0103
    ffdhe8192 = 0x0104
    MLKEM512 = 0x0200
    MLKEM768 = 0x0201
    MLKEM1024 = 0x0202
    SecP256r1MLKEM768 = 0x11EB
    X25519MLKEM768 = 0x11EC
    SecP384r1MLKEM1024 = 0x11ED
    X25519Kyber768Draft00 = 0x6399


class SignatureScheme(Registry, width=2):
    """Signature schemes (RFC 9846 4.3.3; ML-DSA of draft-ietf-tls-mldsa)."""

    rsa_pkcs1_sha1 = 0x0201
    ecdsa_sha1 = 0x0203
    rsa_pkcs1_sha256 = 0x0401
    ecdsa_secp256r1_sha256 = 0x0403
    rsa_pkcs1_sha384 = 0x0501
    ecdsa_secp384r1_sha384 = 0x0503
    rsa_pkcs1_sha512 = 0x0601
    ecdsa_secp521r1_sha512 = 0x0603
    rsa_pss_rsae_sha256 = 0x0804
    rsa_pss_rsae_sha384 = 0x0805
    rsa_pss_rsae_sha512 = 0x0806
    ed25519 = 0x0807
    ed448 = 0x0808
    rsa_pss_pss_sha256 = 0x0809
    rsa_pss_pss_sha384 = 0x080A
    rsa_pss_pss_sha512 = 0x080B
    mldsa44 = 0x0904
    mldsa65 = 0x0905
    mldsa87 = 0x0906


class PskKeyExchangeMode(Registry):
    """Pre-shared key exchange modes (RFC 9846 4.3.9)."""

    psk_ke = 0
    psk_dhe_ke = 1


class KeyUpdateRequest(Registry):
    """What a KeyUpdate asks of its receiver (RFC 9846 4.7.3)."""

    update_not_requested = 0
    update_requested = 1


class NameType(Registry):
    """Server name types (RFC 6066 3)."""

    host_name = 0


class CertificateStatusType(Registry):
    """Certificate status types (RFC 6066 8)."""

    ocsp = 1


class CertificateType(Registry):
    """Certificate types (RFC 7250)."""

    X509 = 0
    RawPublicKey = 2


class CertificateCompressionAlgorithm(Registry, width=2):
    """Certificate compression algorithms (RFC 8879 7.3)."""

    zlib = 1
    brotli = 2
    zstd = 3


class ECPointFormat(Registry):
    """Elliptic curve point formats (RFC 8422 5.1.2)."""

    uncompressed = 0
    ansiX962_compressed_prime = 1
    ansiX962_compressed_char2 = 2


class ECCurveType(Registry):
    """How a curve is given (RFC 8422 5.4); the explicit ones are deprecated."""

    explicit_prime = 1
    explicit_char2 = 2
    named_curve = 3


class ClientCertificateType(Registry):
    """What a TLS 1.2 client may authenticate with (RFC 5246 7.4.4, RFC 8422 5.5)."""

    rsa_sign = 1
    dss_sign = 2
    rsa_fixed_dh = 3
    dss_fixed_dh = 4
    rsa_ephemeral_dh_RESERVED = 5
    dss_ephemeral_dh_RESERVED = 6
    fortezza_dms_RESERVED = 20
    ecdsa_sign = 64
    rsa_fixed_ecdh = 65
    ecdsa_fixed_ecdh = 66
    gost_sign256 = 67
    gost_sign512 = 68
