"""The configurations: immutable, checked when made, shared by any number of connections and threads.

What a handshake needs of a configuration and never changes is computed here once.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from sanstls._defaults import system_clock, system_random
from sanstls.crypto.groups import GROUPS
from sanstls.crypto.signatures import SCHEMES13
from sanstls.crypto.suites import SUITES13
from sanstls.errors import LocalError
from sanstls.events import Request, SignatureRequest, VerificationRequest
from sanstls.identity import Credential, Verifier
from sanstls.wire.extensions import (
    Extension,
    Extensions,
    NamedGroupList,
    ProtocolNameList,
    SignatureSchemeList,
    SupportedVersions,
)
from sanstls.wire.messages import Certificate, CertificateEntry
from sanstls.wire.registries import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme

__all__ = ["ClientConfig", "ServerConfig"]

DEFAULT_CIPHER_SUITES = (
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_AES_128_GCM_SHA256,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
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
)
# RFC 9846 4.3.3: PKCS #1 v1.5 may be listed for signatures in certificates, and can't be used in a handshake.
_CERTIFICATE_ONLY_SCHEMES = (
    SignatureScheme.rsa_pkcs1_sha256,
    SignatureScheme.rsa_pkcs1_sha384,
    SignatureScheme.rsa_pkcs1_sha512,
)

_DEFERRABLE: frozenset[type[Request[Any]]] = frozenset({VerificationRequest, SignatureRequest})

Clock = Callable[[], float]
Random = Callable[[int], bytes]


def _check_choice(name: str, chosen: tuple[Any, ...], allowed: Collection[Any]) -> None:
    """Each of ``chosen`` is usable, stands there once, and there is at least one."""
    if not isinstance(chosen, tuple):
        raise LocalError(f"{name} must be a tuple, not {type(chosen).__name__}")
    if not chosen:
        raise LocalError(f"{name} must not be empty")
    for value in chosen:
        if value not in allowed:
            raise LocalError(f"{name}: {value} can't be used here; what can: {', '.join(map(str, allowed))}")
    if len(set(chosen)) != len(chosen):
        raise LocalError(f"{name} has a value twice")


# The types promise it; a caller without a type checker is told all the same.
def _is_tuple_of_str(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def _is_subset(value: object, allowed: frozenset[Any]) -> bool:
    return isinstance(value, frozenset) and value <= allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Config:
    """What both sides have. All preferences are ordered, best first."""

    versions: tuple[ProtocolVersion, ...] = (ProtocolVersion.TLS13,)
    cipher_suites: tuple[CipherSuite, ...] = DEFAULT_CIPHER_SUITES
    groups: tuple[NamedGroup, ...] = DEFAULT_GROUPS
    signature_schemes: tuple[SignatureScheme, ...] = DEFAULT_SIGNATURE_SCHEMES
    alpn: tuple[str, ...] = ()
    defer: frozenset[type[Request[Any]]] = frozenset()
    clock: Clock = system_clock
    random: Random = system_random
    trace: bool = False
    key_log: bool = False

    # Computed from the above.
    alpn_names: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_choice("versions", self.versions, (ProtocolVersion.TLS13,))
        _check_choice("cipher_suites", self.cipher_suites, SUITES13)
        _check_choice("groups", self.groups, GROUPS)
        _check_choice("signature_schemes", self.signature_schemes, SCHEMES13)
        if not _is_tuple_of_str(self.alpn):
            raise LocalError('alpn must be a tuple of str, for example ("h2", "http/1.1")')
        names = tuple([name.encode() for name in self.alpn])
        if any(not 1 <= len(name) <= 255 for name in names) or len(set(names)) != len(names):
            raise LocalError("alpn: each name has 1 to 255 bytes and stands there once")
        if not _is_subset(self.defer, _DEFERRABLE):
            allowed = ", ".join(sorted(kind.__name__ for kind in _DEFERRABLE))
            raise LocalError(f"defer must be a frozenset of request types out of {allowed}")
        if not all(map(callable, (self.clock, self.random))):
            raise LocalError("clock and random must be callable")
        object.__setattr__(self, "alpn_names", names)

    @property
    def is_replayable(self) -> bool:
        """Whether randomness was injected, so that signatures should be repeatable too."""
        return self.random is not system_random


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig(_Config):
    """How a client speaks TLS.

    ``verify`` decides whether the server is who it should be; there is no default
    and no off-switch but ``DangerouslyAcceptAny()``. ``key_shares`` are the groups
    for which shares are sent at once (by default the first group, and X25519 too if
    that one is a hybrid); others cost a HelloRetryRequest. With
    ``middlebox_compatibility`` the handshake looks like TLS 1.2 to old middleboxes
    (RFC 9846 E.4). Raises ``LocalError`` for what can't be.
    """

    verify: Verifier
    key_shares: tuple[NamedGroup, ...] | None = None
    middlebox_compatibility: bool = True

    first_shares: tuple[NamedGroup, ...] = field(init=False, repr=False, compare=False)
    hello_extensions: tuple[Extension, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Not super(): the class that slots=True makes is another than the one super() would look for.
        _Config.__post_init__(self)
        if not callable(getattr(self.verify, "verify", None)):
            raise LocalError("verify must be a verifier: WebPKI(store), PrivatePKI(store), DangerouslyAcceptAny(), …")
        shares = self.key_shares
        if shares is None:
            shares = self.groups[:1]
            is_hybrid = "MLKEM" in shares[0].name
            if is_hybrid and NamedGroup.x25519 in self.groups:
                shares = (*shares, NamedGroup.x25519)
        elif shares:
            _check_choice("key_shares", shares, self.groups)
        object.__setattr__(self, "first_shares", shares)
        fixed: list[Extension] = [
            SupportedVersions(self.versions),
            NamedGroupList(self.groups),
            SignatureSchemeList(self.signature_schemes + _CERTIFICATE_ONLY_SCHEMES),
        ]
        if self.alpn_names:
            fixed.append(ProtocolNameList(self.alpn_names))
        object.__setattr__(self, "hello_extensions", tuple(fixed))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig(_Config):
    """How a server speaks TLS.

    ``credentials`` are its certificates with their keys. Of those whose names match
    what the client asks for, the first that the client can verify is used; where no
    name matches, the first of all that it can verify. Raises ``LocalError`` for what
    can't be.
    """

    credentials: tuple[Credential, ...]

    certificate_messages: dict[Credential, Certificate] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _Config.__post_init__(self)
        credentials = tuple(self.credentials)
        if not credentials or not all(isinstance(credential, Credential) for credential in credentials):
            raise LocalError("credentials must be a sequence of at least one Credential")
        object.__setattr__(self, "credentials", credentials)
        messages = {
            credential: Certificate(b"", tuple([CertificateEntry(der, Extensions()) for der in credential.chain]))
            for credential in credentials
        }
        object.__setattr__(self, "certificate_messages", messages)
