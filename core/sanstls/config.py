"""The configurations: immutable, checked when made, shared by any number of connections and threads.

What a handshake needs of a configuration and never changes is computed here once.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sanstls._defaults import system_clock, system_random
from sanstls.crypto.compression import CertificateCompressor
from sanstls.crypto.groups import GROUPS, GROUPS12, is_post_quantum
from sanstls.crypto.signatures import SCHEMES, SCHEMES12, SCHEMES13
from sanstls.crypto.suites import SUITES12, SUITES13, Suite, Suite12
from sanstls.errors import LocalError
from sanstls.events import (
    CredentialRequest,
    EarlyDataRequest,
    PremasterDecryptionRequest,
    PreSharedKeyRequest,
    Request,
    SessionLookupRequest,
    SignatureRequest,
    VerificationRequest,
)
from sanstls.identity import Credential, Verifier
from sanstls.record.limits import MAX_PLAINTEXT, MAX_RECORD_SIZE_LIMIT, MIN_RECORD_SIZE_LIMIT
from sanstls.sessions import MAX_LIFETIME, PreSharedKey, ReplayWindow, TicketKeyRing
from sanstls.wire.extensions import (
    CertificateCompressionAlgorithms,
    CertificateStatus,
    ECPointFormatList,
    ExtendedMainSecret,
    Extension,
    Extensions,
    NamedGroupList,
    OCSPStatusRequest,
    ProtocolNameList,
    PskKeyExchangeModes,
    RecordSizeLimit,
    RenegotiationInfo,
    SignatureSchemeList,
    SupportedVersions,
)
from sanstls.wire.messages import (
    Certificate,
    CertificateEntry,
    ClientHello,
    CompressedCertificate,
    HandshakeMessage,
)
from sanstls.wire.messages12 import Certificate12
from sanstls.wire.registries import (
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CipherSuite,
    ECPointFormat,
    NamedGroup,
    ProtocolVersion,
    PskKeyExchangeMode,
    Registry,
    SignatureScheme,
)

__all__ = ["ClientConfig", "ConfigurationRequest", "ServerConfig"]

DEFAULT_CIPHER_SUITES = (
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_AES_128_GCM_SHA256,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
)
# Without forward secrecy: whoever gets the server's key later can read what was recorded today.
RSA_KEY_TRANSPORT_SUITES = (
    CipherSuite.TLS_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256,
)
DEFAULT_GROUPS = (
    NamedGroup.X25519MLKEM768,
    NamedGroup.x25519,
    NamedGroup.secp256r1,
    NamedGroup.secp384r1,
    NamedGroup.secp521r1,
    NamedGroup.x448,
)
DEFAULT_SIGNATURE_SCHEMES = (
    SignatureScheme.ecdsa_secp256r1_sha256,
    SignatureScheme.ed25519,
    SignatureScheme.ecdsa_secp384r1_sha384,
    SignatureScheme.ecdsa_secp521r1_sha512,
    SignatureScheme.ed448,
    SignatureScheme.rsa_pss_rsae_sha256,
    SignatureScheme.rsa_pss_rsae_sha384,
    SignatureScheme.rsa_pss_rsae_sha512,
    SignatureScheme.rsa_pss_pss_sha256,
    SignatureScheme.rsa_pss_pss_sha384,
    SignatureScheme.rsa_pss_pss_sha512,
    # RFC 9846 4.3.3: PKCS #1 v1.5 stands for signatures in certificates, and in handshakes of TLS 1.2 alone.
    SignatureScheme.rsa_pkcs1_sha256,
    SignatureScheme.rsa_pkcs1_sha384,
    SignatureScheme.rsa_pkcs1_sha512,
    SignatureScheme.mldsa65,
    SignatureScheme.mldsa44,
    SignatureScheme.mldsa87,
)

_MAX_TOLD_AUTHORITIES = 32
_MAX_TICKETS_AT_ONCE = 8
_MAX_ALPN = 2**14
"""For all names together: far more than anybody has, and a ClientHello has to stay one."""
_VERSIONS = (ProtocolVersion.TLS13, ProtocolVersion.TLS12)

Clock = Callable[[], float]
Random = Callable[[int], bytes]


def _check_choice(name: str, chosen: tuple[Any, ...], allowed: Collection[Any]) -> None:
    """Each of ``chosen`` is usable, stands there once, and there is at least one."""
    if not isinstance(chosen, tuple):
        raise LocalError(f"{name} must be a tuple, not {type(chosen).__name__}")
    if not chosen:
        raise LocalError(f"{name} must not be empty")
    for value in chosen:
        if value not in allowed or not isinstance(value, Registry):
            raise LocalError(f"{name}: {value} can't be used here; what can: {', '.join(map(str, allowed))}")
    if len(set(chosen)) != len(chosen):
        raise LocalError(f"{name} has a value twice")


# The types promise it; a caller without a type checker is told all the same.
def _is_tuple_of(value: object, kind: type) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, kind) for item in value)


def _is_subset(value: object, allowed: frozenset[Any]) -> bool:
    return isinstance(value, frozenset) and value <= allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Config:
    """What both sides have. All preferences but the versions are ordered, best first.

    ``certificate_compression`` (RFC 8879) are compressors such as ``ZLIB``. No record of more than
    ``record_size_limit`` bytes of plaintext (RFC 8449; in TLS 1.3 with its content type and padding)
    is accepted, and the peer is told so. In TLS 1.3 data is padded to multiples of ``pad_to`` bytes.
    ``require_post_quantum`` leaves only TLS 1.3 and groups with ML-KEM.
    """

    versions: tuple[ProtocolVersion, ...] = _VERSIONS
    cipher_suites: tuple[CipherSuite, ...] = DEFAULT_CIPHER_SUITES
    groups: tuple[NamedGroup, ...] = DEFAULT_GROUPS
    signature_schemes: tuple[SignatureScheme, ...] = DEFAULT_SIGNATURE_SCHEMES
    alpn: tuple[str, ...] = ()
    defer: frozenset[type[Request[Any]]] = frozenset()
    clock: Clock = system_clock
    random: Random = system_random
    trace: bool = False
    key_log: bool = False
    pre_shared_keys: tuple[PreSharedKey, ...] = ()
    certificate_compression: tuple[CertificateCompressor, ...] = ()
    record_size_limit: int = MAX_RECORD_SIZE_LIMIT
    pad_to: int = 0
    require_post_quantum: bool = False
    require_extended_master_secret: bool = False
    legacy_rsa_key_transport: bool = False

    # Computed from the above.
    alpn_names: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    suites13: dict[CipherSuite, Suite] = field(init=False, repr=False, compare=False)
    suites12: dict[CipherSuite, Suite12] = field(init=False, repr=False, compare=False)
    groups12: tuple[NamedGroup, ...] = field(init=False, repr=False, compare=False)
    schemes13: tuple[SignatureScheme, ...] = field(init=False, repr=False, compare=False)
    schemes12: tuple[SignatureScheme, ...] = field(init=False, repr=False, compare=False)
    speaks_tls13: bool = field(init=False, repr=False, compare=False)
    speaks_tls12: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_choice("versions", self.versions, _VERSIONS)
        _check_choice("groups", self.groups, GROUPS)
        self._check_sizes()
        self._check_cipher_suites()
        _check_choice("signature_schemes", self.signature_schemes, SCHEMES)
        if not _is_tuple_of(self.alpn, str):
            raise LocalError('alpn must be a tuple of str, for example ("h2", "http/1.1")')
        names = tuple([name.encode("utf-8", "replace") for name in self.alpn])
        if any(not 1 <= len(name) <= 255 for name in names) or len(set(names)) != len(names):
            raise LocalError("alpn: each name has 1 to 255 bytes and stands there once")
        if tuple([name.decode() for name in names]) != self.alpn or sum(map(len, names)) + len(names) > _MAX_ALPN:
            raise LocalError(f"alpn: the names must be text, and all of them fit into {_MAX_ALPN} bytes")
        if not _is_subset(self.defer, _DEFERRABLE):
            allowed = ", ".join(sorted(kind.__name__ for kind in _DEFERRABLE))
            raise LocalError(f"defer must be a frozenset of request types out of {allowed}")
        keys = self.pre_shared_keys
        if not _is_tuple_of(keys, PreSharedKey):
            raise LocalError("pre_shared_keys must be a tuple of PreSharedKey")
        if len({key.identity for key in keys}) != len(keys):
            raise LocalError("two pre_shared_keys have one identity")
        if not all(map(callable, (self.clock, self.random))):
            raise LocalError("clock and random must be callable")
        object.__setattr__(self, "alpn_names", names)
        object.__setattr__(self, "groups12", tuple([group for group in self.groups if group in GROUPS12]))
        schemes13 = tuple([scheme for scheme in self.signature_schemes if scheme in SCHEMES13])
        object.__setattr__(self, "schemes13", schemes13)
        schemes12 = tuple([scheme for scheme in self.signature_schemes if scheme in SCHEMES12])
        object.__setattr__(self, "schemes12", schemes12)
        object.__setattr__(self, "speaks_tls13", bool(self.suites13 and schemes13))
        object.__setattr__(self, "speaks_tls12", bool(self.suites12))
        if not (self.speaks_tls13 or self.speaks_tls12):
            spoken = " and ".join(version.text for version in self.versions)
            raise LocalError(f"no cipher suite and signature scheme for {spoken} are left in the configuration")

    def _check_sizes(self) -> None:
        """And what else of RFC 8879 and RFC 8449 can be wrong."""
        algorithms = [getattr(compressor, "algorithm", None) for compressor in self.certificate_compression]
        if not all(isinstance(algorithm, CertificateCompressionAlgorithm) for algorithm in algorithms):
            raise LocalError("certificate_compression must be a tuple of compressors, for example (ZLIB,)")
        if len(set(algorithms)) != len(algorithms):
            raise LocalError("certificate_compression has an algorithm twice")
        if not MIN_RECORD_SIZE_LIMIT <= self.record_size_limit <= MAX_RECORD_SIZE_LIMIT:
            raise LocalError(f"record_size_limit: from {MIN_RECORD_SIZE_LIMIT} to {MAX_RECORD_SIZE_LIMIT} bytes")
        if not 0 <= self.pad_to <= MAX_PLAINTEXT:
            raise LocalError(f"pad_to: from 0 (none) to {MAX_PLAINTEXT} bytes")
        if self.require_post_quantum:
            hybrids = tuple([group for group in self.groups if is_post_quantum(group)])
            if ProtocolVersion.TLS13 not in self.versions or not hybrids:
                raise LocalError("require_post_quantum needs TLS 1.3 and a group with ML-KEM")
            object.__setattr__(self, "versions", (ProtocolVersion.TLS13,))
            object.__setattr__(self, "groups", hybrids)

    def _check_cipher_suites(self) -> None:
        """RSA key transport is there only for those who ask for it. A version without suites is not spoken."""
        if self.legacy_rsa_key_transport and self.cipher_suites is DEFAULT_CIPHER_SUITES:
            object.__setattr__(self, "cipher_suites", DEFAULT_CIPHER_SUITES + RSA_KEY_TRANSPORT_SUITES)
        _check_choice("cipher_suites", self.cipher_suites, (*SUITES13, *SUITES12))
        unasked = [suite for suite in self.cipher_suites if suite in RSA_KEY_TRANSPORT_SUITES]
        if unasked and not self.legacy_rsa_key_transport:
            raise LocalError(f"cipher_suites: {unasked[0]} needs legacy_rsa_key_transport=True (no forward secrecy)")
        suites13: dict[CipherSuite, Suite] = {}
        suites12: dict[CipherSuite, Suite12] = {}
        for suite in self.cipher_suites:
            if suite in SUITES13 and ProtocolVersion.TLS13 in self.versions:
                suites13[suite] = SUITES13[suite]
            elif suite in SUITES12 and ProtocolVersion.TLS12 in self.versions:
                suites12[suite] = SUITES12[suite]
        object.__setattr__(self, "suites13", suites13)
        object.__setattr__(self, "suites12", suites12)

    @property
    def is_replayable(self) -> bool:
        """Whether randomness was injected, so that signatures should be repeatable too."""
        return self.random is not system_random


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig(_Config):
    """How a client speaks TLS.

    ``verify`` decides whether the server is who it should be; there is no default
    and no off-switch but ``DangerouslyAcceptAny()``. ``credentials`` are shown to
    servers that ask for a certificate: the first that fits what the server accepts.
    ``key_shares`` are the groups for which shares are sent at once (by default the
    first group, and X25519 too if that one is a hybrid); others cost a
    HelloRetryRequest. With ``middlebox_compatibility`` the handshake looks like TLS
    1.2 to old middleboxes (RFC 9846 E.4). With ``grease`` the hello holds values that mean
    nothing, and its extensions in random order, so that servers stay able to take what is
    new (RFC 8701).

    Only TLS 1.2 knows ``require_extended_master_secret`` (RFC 7627),
    ``legacy_rsa_key_transport`` (no forward secrecy), ``legacy_renegotiation_peers``
    (servers that never heard of RFC 5746 are spoken to) and ``is_fallback`` (this is
    another try with lower versions, RFC 7507). Raises ``LocalError`` for what can't be.
    """

    verify: Verifier
    credentials: tuple[Credential, ...] = ()
    key_shares: tuple[NamedGroup, ...] | None = None
    middlebox_compatibility: bool = True
    grease: bool = False
    legacy_renegotiation_peers: bool = False
    is_fallback: bool = False

    first_shares: tuple[NamedGroup, ...] = field(init=False, repr=False, compare=False)
    hello_suites: tuple[CipherSuite, ...] = field(init=False, repr=False, compare=False)
    hello_extensions: tuple[Extension, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Not super(): the class that slots=True makes is another than the one super() would look for.
        _Config.__post_init__(self)
        if not _is_verifier(self.verify):
            raise LocalError("verify must be a verifier: WebPKI(store), PrivatePKI(store), DangerouslyAcceptAny(), …")
        object.__setattr__(self, "credentials", _check_credentials(self.credentials))
        shares = self.key_shares
        if not self.speaks_tls13:
            shares = ()
        elif shares is None:
            shares = self.groups[:1]
            is_hybrid = "MLKEM" in shares[0].name
            if is_hybrid and NamedGroup.x25519 in self.groups:
                shares = (*shares, NamedGroup.x25519)
        elif shares:
            _check_choice("key_shares", shares, self.groups)
        object.__setattr__(self, "first_shares", shares)
        suites = (*self.suites13, *self.suites12)
        if self.is_fallback:
            suites = (*suites, CipherSuite.TLS_FALLBACK_SCSV)
        object.__setattr__(self, "hello_suites", suites)
        object.__setattr__(self, "hello_extensions", self._fixed_extensions())

    def _fixed_extensions(self) -> tuple[Extension, ...]:
        """What stands in every ClientHello."""
        fixed: list[Extension] = []
        groups = self.groups if self.speaks_tls13 else self.groups12
        if self.speaks_tls13:
            spoken = (ProtocolVersion.TLS13, ProtocolVersion.TLS12) if self.speaks_tls12 else (ProtocolVersion.TLS13,)
            fixed.append(SupportedVersions(spoken))
        if groups:
            fixed.append(NamedGroupList(groups))
        fixed += [
            SignatureSchemeList(self.signature_schemes),
            OCSPStatusRequest(CertificateStatusType.ocsp, b"\0\0\0\0"),
        ]
        if self.speaks_tls12:
            fixed += [ECPointFormatList((ECPointFormat.uncompressed,)), ExtendedMainSecret(), RenegotiationInfo(b"")]
        if self.speaks_tls13:
            fixed.append(PskKeyExchangeModes((PskKeyExchangeMode.psk_dhe_ke,)))
        if self.certificate_compression and self.speaks_tls13:
            fixed.append(compression_extension(self.certificate_compression))
        if self.record_size_limit < MAX_RECORD_SIZE_LIMIT:
            fixed.append(RecordSizeLimit(self.record_size_limit))
        if self.alpn_names:
            fixed.append(ProtocolNameList(self.alpn_names))
        return tuple(fixed)


class CertificateMessages(NamedTuple):
    """A credential as it stands in the messages of either version, made once."""

    tls13: Certificate
    tls13_stapled: Certificate
    tls12: Certificate12
    compressed: dict[CertificateCompressionAlgorithm, tuple[CompressedCertificate, CompressedCertificate]]
    """Of TLS 1.3: plain and stapled."""

    def of_tls13(self, *, is_stapled: bool, offered: tuple[CertificateCompressionAlgorithm, ...]) -> HandshakeMessage:
        """As the peer wants it: the first algorithm of this side that it offers."""
        for algorithm, messages in self.compressed.items():
            if algorithm in offered:
                return messages[is_stapled]
        return self.tls13_stapled if is_stapled else self.tls13


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig(_Config):
    """How a server speaks TLS. It chooses the highest version in common.

    ``credentials`` are its certificates with their keys. Of those whose names match
    what the client asks for, the first that the client can verify is used; where no
    name matches, the first of all that it can verify.

    With ``verify`` clients are asked for a certificate: ``client_auth`` says whether
    they must have one (``"required"``) or may (``"optional"``). Only TLS 1.2 knows
    ``require_extended_master_secret`` (RFC 7627) and ``legacy_rsa_key_transport`` (no
    forward secrecy).

    Clients may resume for ``session_lifetime`` seconds (0: never), by tickets that
    ``ticket_keys`` seal; without them there is a random key for this configuration
    alone. A server that defers ``SessionLookupRequest`` keeps sessions in a store of
    its own instead. In TLS 1.3 ``session_tickets`` are given with the first data.

    With ``max_early_data`` (bytes, for each resumption) clients may send early data: it
    has no forward secrecy, and ``replay_protection`` must see to it that it counts once.
    Raises ``LocalError`` for what can't be.
    """

    credentials: tuple[Credential, ...]
    ticket_keys: TicketKeyRing | None = None
    session_lifetime: int = 7200
    session_tickets: int = 2
    max_early_data: int = 0
    replay_protection: ReplayWindow | None = None
    verify: Verifier | None = None
    client_auth: Literal["required", "optional"] = "required"

    certificate_messages: dict[Credential, CertificateMessages] = field(init=False, repr=False, compare=False)
    client_authorities: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _Config.__post_init__(self)
        credentials = _check_credentials(self.credentials)
        if not credentials:
            raise LocalError("credentials must be a sequence of at least one Credential")
        if self.verify is not None and not _is_verifier(self.verify):
            raise LocalError("verify must be a verifier: PrivatePKI(store), WebPKI(store), …, or None")
        if self.client_auth not in ("required", "optional"):
            raise LocalError('client_auth must be "required" or "optional"; without verify no client is asked')
        if not 0 <= self.session_lifetime <= MAX_LIFETIME:
            raise LocalError(f"session_lifetime must be between 0 and {MAX_LIFETIME} seconds")
        if not 0 <= self.session_tickets <= _MAX_TICKETS_AT_ONCE:
            raise LocalError(f"session_tickets must be between 0 and {_MAX_TICKETS_AT_ONCE}")
        if not 0 <= self.max_early_data < 2**32:
            raise LocalError("max_early_data must be between 0 and 2**32 - 1 bytes")
        if self.replay_protection is not None and not isinstance(self.replay_protection, ReplayWindow):
            raise LocalError("replay_protection must be a ReplayWindow")
        if self.max_early_data and self.replay_protection is None and EarlyDataRequest not in self.defer:
            raise LocalError(
                "early data can be replayed: give replay_protection=ReplayWindow(), or defer EarlyDataRequest"
            )
        if self.ticket_keys is None:
            object.__setattr__(self, "ticket_keys", TicketKeyRing.generate(random=self.random))
        elif not isinstance(self.ticket_keys, TicketKeyRing):
            raise LocalError("ticket_keys must be a TicketKeyRing")
        object.__setattr__(self, "credentials", credentials)
        messages = {credential: _messages_of(credential, self.certificate_compression) for credential in credentials}
        object.__setattr__(self, "certificate_messages", messages)
        # Told to clients, so that one with several certificates can choose; a long list would only cost bytes.
        anchors = list(getattr(self.verify, "store", ()))
        subjects = (
            [anchor.subject.public_bytes() for anchor in anchors] if len(anchors) <= _MAX_TOLD_AUTHORITIES else []
        )
        object.__setattr__(self, "client_authorities", tuple(dict.fromkeys(subjects)))


@dataclass(frozen=True, slots=True, eq=False)
class ConfigurationRequest(Request[ServerConfig]):
    """A client has said what it wants. Answer with the configuration to go on with, for example its tenant's.

    ``hello`` is all of it (versions, suites, groups; ``sanstls.inspect.ja4`` tells what
    kind of client it is). Of the configuration that the connection was made with only
    ``trace`` and ``key_log`` hold on. ``reject`` it for a client that is not wanted.
    """

    hello: ClientHello
    server_name: str | None
    alpn: tuple[str, ...]

    def check(self, value: object) -> None:
        """See :meth:`Request.check`."""
        if not isinstance(value, ServerConfig):
            raise LocalError("a ConfigurationRequest is answered with a ServerConfig")


_DEFERRABLE: frozenset[type[Request[Any]]] = frozenset(
    {
        ConfigurationRequest,
        CredentialRequest,
        EarlyDataRequest,
        PreSharedKeyRequest,
        PremasterDecryptionRequest,
        SessionLookupRequest,
        SignatureRequest,
        VerificationRequest,
    }
)


def _is_verifier(value: object) -> bool:
    return not isinstance(value, type) and callable(getattr(value, "verify", None))


def _check_credentials(credentials: Sequence[Credential]) -> tuple[Credential, ...]:
    try:
        checked = tuple(credentials)
    except TypeError:
        raise LocalError("credentials must be a sequence of Credential") from None
    if not all(isinstance(credential, Credential) for credential in checked):
        raise LocalError("credentials must be a sequence of Credential")
    return checked


def compression_extension(compressors: tuple[CertificateCompressor, ...]) -> CertificateCompressionAlgorithms:
    """RFC 8879 3."""
    return CertificateCompressionAlgorithms(tuple([compressor.algorithm for compressor in compressors]))


def compressed_certificate(message: Certificate, compressor: CertificateCompressor) -> CompressedCertificate:
    """RFC 8879 4."""
    body = message.serialise()
    return CompressedCertificate(compressor.algorithm, len(body), compressor.compress(body))


def _messages_of(credential: Credential, compressors: tuple[CertificateCompressor, ...]) -> CertificateMessages:
    plain = certificate_message(credential)
    stapled = certificate_message(credential, is_stapled=True) if credential.ocsp_response else plain
    compressed = {
        compressor.algorithm: (
            compressed_certificate(plain, compressor),
            compressed_certificate(stapled, compressor),
        )
        for compressor in compressors
    }
    return CertificateMessages(plain, stapled, Certificate12(credential.chain), compressed)


def certificate_message(credential: Credential, *, context: bytes = b"", is_stapled: bool = False) -> Certificate:
    """RFC 9846 4.5.1: the Certificate message of a credential, with its OCSP response if that was asked for."""
    entries = []
    for index, der in enumerate(credential.chain):
        staple = [CertificateStatus(CertificateStatusType.ocsp, credential.ocsp_response)]
        entries.append(CertificateEntry(der, Extensions(staple if is_stapled and index == 0 else ())))
    return Certificate(context, tuple(entries))
