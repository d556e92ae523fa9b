"""The configurations: what they refuse to be, and what they work out once for all their connections."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from connection12.peers import credential12, root
from identity.pki import authority, leaf
from memory import NAME, clock, random_source
from sanstls import (
    CipherSuite,
    ClientConfig,
    ClientConnection,
    ConnectionInfo,
    Credential,
    CredentialRequest,
    DangerouslyAcceptAny,
    LocalError,
    NamedGroup,
    PrivatePKI,
    ProtocolVersion,
    ServerConfig,
    ServerConnection,
    SignatureRequest,
    SignatureScheme,
    TrustStore,
    VerificationRequest,
    WebPKI,
)
from sanstls.config import DEFAULT_CIPHER_SUITES, RSA_KEY_TRANSPORT_SUITES, certificate_message
from sanstls.crypto.groups import GROUPS
from sanstls.crypto.signatures import SCHEMES
from sanstls.crypto.suites import SUITES12, SUITES13
from sanstls.events import PremasterDecryptionRequest, Request
from sanstls.wire.extensions import (
    CertificateStatus,
    ECPointFormatList,
    ExtendedMainSecret,
    Extension,
    NamedGroupList,
    OCSPStatusRequest,
    ProtocolNameList,
    RenegotiationInfo,
    SignatureSchemeList,
    SupportedVersions,
)

G = NamedGroup
S = SignatureScheme
V = ProtocolVersion
SUITE13 = CipherSuite.TLS_AES_128_GCM_SHA256
SUITE12 = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
RSA_SUITE = CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256

STORE = TrustStore.from_pem(root().pem)
VERIFIERS = [PrivatePKI(STORE), WebPKI(STORE), DangerouslyAcceptAny()]


def client(**settings: Any) -> ClientConfig:
    return ClientConfig(**({"verify": VERIFIERS[0]} | settings))


def server(**settings: Any) -> ServerConfig:
    return ServerConfig(**({"credentials": (credential12(),)} | settings))


Make = Callable[..., ClientConfig | ServerConfig]
both = pytest.mark.parametrize("make", [client, server], ids=["client", "server"])


# What is refused --------------------------------------------------------------------------------------------------

CHOICES: dict[str, tuple[Any, Any]] = {
    "versions": (V.TLS12, V.TLS11),
    "cipher_suites": (SUITE12, CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA),
    "groups": (G.x25519, G.ffdhe2048),
    "signature_schemes": (S.ed25519, S.ecdsa_sha1),
}
"""One that can be used, and one that can't."""


@both
@pytest.mark.parametrize("name", CHOICES)
def test_choices(make: Make, name: str) -> None:
    good, bad = CHOICES[name]
    for wrong in ([good], good, {good}, None, "x25519"):
        with pytest.raises(LocalError, match=f"{name} must be a tuple"):
            make(**{name: wrong})
    with pytest.raises(LocalError, match=f"{name} must not be empty"):
        make(**{name: ()})
    for wrong in ((bad,), (good, bad), ("TLS_AES_128_GCM_SHA256",), (None,)):
        with pytest.raises(LocalError, match=f"{name}: .*can't be used here"):
            make(**{name: wrong})
    with pytest.raises(LocalError, match=f"{name} has a value twice"):
        make(**{name: (good, good)})
    assert getattr(make(**{name: (good,)}), name) == (good,)


def test_choices_say_what_can_be_used() -> None:
    with pytest.raises(LocalError, match=r"ffdhe2048 .*x25519"):
        client(groups=(G.ffdhe2048,))
    with pytest.raises(LocalError, match=r"TLS11|TLS12"):
        client(versions=(V.TLS11,))


@both
@pytest.mark.parametrize("alpn", ["h2", ["h2"], b"h2", (b"h2",), (1,), None, {"h2"}], ids=repr)
def test_alpn_of_a_wrong_type(make: Make, alpn: Any) -> None:
    with pytest.raises(LocalError, match="alpn must be a tuple of str"):
        make(alpn=alpn)


@both
@pytest.mark.parametrize("alpn", [("",), ("x" * 256,), ("ä" * 128,), ("h2", "h2")], ids=len)
def test_alpn_of_a_wrong_length(make: Make, alpn: Any) -> None:
    """RFC 7301 3.1: 1 to 255 bytes, as they stand on the wire."""
    with pytest.raises(LocalError, match="1 to 255 bytes"):
        make(alpn=alpn)


@both
def test_alpn(make: Make) -> None:
    config = make(alpn=("h2", "x" * 255, "ä" * 127))
    assert config.alpn_names == (b"h2", b"x" * 255, "ä".encode() * 127)


@both
@pytest.mark.parametrize(
    "alpn", [("\ud800",), tuple(f"{number:0250}" for number in range(300))], ids=["no text", "too many"]
)
def test_alpn_that_can_not_be_sent(make: Make, alpn: tuple[str, ...]) -> None:
    with pytest.raises(LocalError, match="alpn"):
        make(alpn=alpn)


DEFERRABLE = (CredentialRequest, PremasterDecryptionRequest, SignatureRequest, VerificationRequest)


@both
@pytest.mark.parametrize(
    "defer",
    [set(DEFERRABLE), DEFERRABLE, [VerificationRequest], VerificationRequest, None, frozenset({"SignatureRequest"})],
    ids=lambda defer: type(defer).__name__,
)
def test_defer_of_a_wrong_type(make: Make, defer: Any) -> None:
    with pytest.raises(LocalError, match=r"defer must be a frozenset .*VerificationRequest"):
        make(defer=defer)


@both
@pytest.mark.parametrize("kind", [Request, int, object], ids=lambda kind: kind.__name__)
def test_what_can_not_be_deferred(make: Make, kind: type) -> None:
    with pytest.raises(LocalError, match="defer"):
        make(defer=frozenset({VerificationRequest, kind}))


@both
@pytest.mark.parametrize("name", ["clock", "random"])
@pytest.mark.parametrize("value", [None, 1_700_000_000.0, b"seed"], ids=repr)
def test_clock_and_random(make: Make, name: str, value: Any) -> None:
    with pytest.raises(LocalError, match="clock and random must be callable"):
        make(**{name: value})


@pytest.mark.parametrize("verify", [None, True, STORE, "system", object()], ids=lambda value: type(value).__name__)
def test_no_verifier(verify: Any) -> None:
    with pytest.raises(LocalError, match="verify must be a verifier"):
        client(verify=verify)
    if verify is not None:  # which is a server that does not ask
        with pytest.raises(LocalError, match="verify must be a verifier"):
            server(verify=verify)


def test_a_client_has_no_default_verifier() -> None:
    with pytest.raises(TypeError, match="verify"):
        ClientConfig()  # type: ignore[call-arg]


@both
@pytest.mark.parametrize("verify", [DangerouslyAcceptAny, PrivatePKI])
def test_the_class_of_a_verifier(make: Make, verify: Any) -> None:
    with pytest.raises(LocalError, match="verify must be a verifier"):
        make(verify=verify)


@both
@pytest.mark.parametrize("credentials", ["no", b"no", (None,), (credential12(), "no"), [STORE]], ids=type)
def test_what_is_no_credential(make: Make, credentials: Any) -> None:
    with pytest.raises(LocalError, match="sequence of"):
        make(credentials=credentials)


@both
@pytest.mark.parametrize("credentials", [credential12(), None, 1], ids=["Credential", "None", "int"])
def test_what_is_no_sequence(make: Make, credentials: Any) -> None:
    with pytest.raises(LocalError, match="sequence of"):
        make(credentials=credentials)


@both
def test_a_group_by_its_number(make: Make) -> None:
    """Refused, or used; but the one or the other."""
    with pytest.raises(LocalError, match="groups"):
        make(groups=(0x001D,))


def test_a_server_without_credentials() -> None:
    for none in ((), []):
        with pytest.raises(LocalError, match="at least one Credential"):
            server(credentials=none)


@pytest.mark.parametrize("value", ["none", "", None, True, "REQUIRED"], ids=repr)
def test_client_auth(value: Any) -> None:
    for verify in (None, VERIFIERS[0]):
        with pytest.raises(LocalError, match="client_auth"):
            server(client_auth=value, verify=verify)


@pytest.mark.parametrize("value", [-1, 604_801, 10**12])
def test_session_lifetime(value: int) -> None:
    """RFC 9846 4.7.1: seven days at most."""
    with pytest.raises(LocalError, match="session_lifetime"):
        server(session_lifetime=value)
    for good in (0, 1, 604_800):
        assert server(session_lifetime=good).session_lifetime == good


@pytest.mark.parametrize("value", [b"key" * 16, "ring", [b"x"]], ids=type)
def test_ticket_keys(value: Any) -> None:
    with pytest.raises(LocalError, match="TicketKeyRing"):
        server(ticket_keys=value)


@pytest.mark.parametrize("shares", [(G.x448,), (G.x25519, G.x448)], ids=len)
def test_key_shares_of_other_groups(shares: tuple[NamedGroup, ...]) -> None:
    """RFC 9846 4.3.8: only for groups that are offered."""
    with pytest.raises(LocalError, match=r"key_shares: x448 can't be used here"):
        client(groups=(G.x25519, G.secp256r1), key_shares=shares)


@pytest.mark.parametrize("shares", [[G.x25519], "x25519", G.x25519], ids=type)
def test_key_shares_of_a_wrong_type(shares: Any) -> None:
    with pytest.raises(LocalError, match="key_shares must be a tuple"):
        client(key_shares=shares)
    with pytest.raises(LocalError, match="key_shares has a value twice"):
        client(key_shares=(G.x25519, G.x25519))


@both
@pytest.mark.parametrize(
    ("settings", "spoken"),
    [
        ({"versions": (V.TLS12,), "cipher_suites": (SUITE13,)}, "TLS 1.2"),
        ({"versions": (V.TLS13,), "cipher_suites": (SUITE12,)}, "TLS 1.3"),
        ({"versions": (V.TLS13,), "signature_schemes": (S.rsa_pkcs1_sha256,)}, "TLS 1.3"),
        ({"cipher_suites": (SUITE13,), "signature_schemes": (S.rsa_pkcs1_sha256,)}, "TLS 1.3 and TLS 1.2"),
    ],
)
def test_nothing_left_to_speak(make: Make, settings: dict[str, Any], spoken: str) -> None:
    with pytest.raises(LocalError, match=f"for {spoken} are left"):
        make(**settings)


@both
def test_rsa_key_transport_is_asked_for_by_name(make: Make) -> None:
    with pytest.raises(LocalError, match="legacy_rsa_key_transport=True"):
        make(cipher_suites=(SUITE13, RSA_SUITE))
    assert make(cipher_suites=(RSA_SUITE,), legacy_rsa_key_transport=True).cipher_suites == (RSA_SUITE,)
    assert make(legacy_rsa_key_transport=True).cipher_suites == DEFAULT_CIPHER_SUITES + RSA_KEY_TRANSPORT_SUITES
    assert make(legacy_rsa_key_transport=True, cipher_suites=(SUITE13,)).cipher_suites == (SUITE13,)


@pytest.mark.parametrize("kind", [ClientConnection, ServerConnection])
@pytest.mark.parametrize("config", [None, "config", "other"], ids=repr)
def test_connections_need_their_own_kind(kind: Any, config: Any) -> None:
    if config == "other":
        config = server() if kind is ClientConnection else client()
    with pytest.raises(LocalError, match="needs a"):
        kind(config)


# What is worked out -----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("settings", "speaks13", "speaks12"),
    [
        ({}, True, True),
        ({"versions": (V.TLS13,)}, True, False),
        ({"versions": (V.TLS12,)}, False, True),
        ({"versions": (V.TLS12, V.TLS13)}, True, True),
        ({"cipher_suites": (SUITE13,)}, True, False),
        ({"cipher_suites": (SUITE12,)}, False, True),
        ({"cipher_suites": (SUITE12, SUITE13)}, True, True),
        ({"signature_schemes": (S.rsa_pkcs1_sha256,)}, False, True),
    ],
    ids=range(8),
)
def test_what_is_spoken(make: Make, settings: dict[str, Any], speaks13: bool, speaks12: bool) -> None:
    """A version without suites or schemes is not spoken, and not offered."""
    config = make(**settings)
    assert (config.speaks_tls13, config.speaks_tls12) == (speaks13, speaks12)
    if isinstance(config, ClientConfig):
        offered = extension(config, SupportedVersions)
        if speaks13:
            assert offered is not None
            assert offered.versions == ((V.TLS13, V.TLS12) if speaks12 else (V.TLS13,))
        else:
            assert offered is None


def extension(config: ClientConfig, kind: type[Extension]) -> Any:
    return next((each for each in config.hello_extensions if isinstance(each, kind)), None)


@both
def test_suites_and_schemes_by_version(make: Make) -> None:
    config = make()
    assert list(config.suites13) == [suite for suite in DEFAULT_CIPHER_SUITES if suite in SUITES13]
    assert list(config.suites12) == [suite for suite in DEFAULT_CIPHER_SUITES if suite in SUITES12]
    assert not any("CCM" in suite.name for suite in config.suites13)
    assert not any("PKCS1" in scheme.name.upper() for scheme in config.schemes13)
    assert set(config.signature_schemes) == SCHEMES
    assert set(config.groups12) < set(config.groups) <= set(GROUPS)
    assert not any("MLKEM" in group.name for group in config.groups12)


def test_what_stands_in_every_hello() -> None:
    """Of TLS 1.2 only where it is spoken, of ALPN only where there is one."""
    new, old, two = client(versions=(V.TLS13,)), client(versions=(V.TLS12,)), client(alpn=("h2",))
    only12 = (ECPointFormatList, ExtendedMainSecret, RenegotiationInfo)
    assert [kind for kind in only12 if extension(new, kind)] == []
    for config in (old, two):
        assert [kind for kind in only12 if extension(config, kind)] == [*only12]
    for config in (new, old, two):
        assert extension(config, SignatureSchemeList).supported_signature_algorithms == config.signature_schemes
        assert extension(config, OCSPStatusRequest) is not None
    assert extension(new, ProtocolNameList) is None
    assert extension(two, ProtocolNameList).protocol_name_list == (b"h2",)
    assert extension(old, NamedGroupList).named_group_list == old.groups12
    assert extension(new, NamedGroupList).named_group_list == new.groups


def test_only_hybrids_are_no_groups_for_tls12() -> None:
    config = client(groups=(G.X25519MLKEM768,), versions=(V.TLS12,))
    assert extension(config, NamedGroupList) is None


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, (G.X25519MLKEM768, G.x25519)),
        ({"groups": (G.x25519, G.secp256r1)}, (G.x25519,)),
        ({"groups": (G.secp256r1, G.x25519)}, (G.secp256r1,)),
        ({"groups": (G.SecP256r1MLKEM768, G.secp256r1)}, (G.SecP256r1MLKEM768,)),
        ({"groups": (G.X25519MLKEM768, G.secp256r1)}, (G.X25519MLKEM768,)),
        ({"key_shares": ()}, ()),
        ({"key_shares": (G.secp384r1, G.x448)}, (G.secp384r1, G.x448)),
        ({"versions": (V.TLS12,)}, ()),
        ({"versions": (V.TLS12,), "key_shares": (G.x25519,)}, ()),
    ],
    ids=range(9),
)
def test_the_first_shares(settings: dict[str, Any], shares: tuple[NamedGroup, ...]) -> None:
    assert client(**settings).first_shares == shares


def test_a_fallback_says_so() -> None:
    """RFC 7507 4: behind the suites that can be used."""
    assert CipherSuite.TLS_FALLBACK_SCSV not in client().hello_suites
    assert client(is_fallback=True).hello_suites == (*client().hello_suites, CipherSuite.TLS_FALLBACK_SCSV)


def test_suites_go_out_by_version() -> None:
    config = client(cipher_suites=(SUITE12, SUITE13))
    assert config.hello_suites == (SUITE13, SUITE12)
    assert config.cipher_suites == (SUITE12, SUITE13)


@both
def test_repeatable_with_its_own_randomness(make: Make) -> None:
    assert not make().is_replayable
    assert make(random=random_source(1)).is_replayable


def test_certificates_are_made_into_messages_once() -> None:
    plain, stapled = credential12(), credential12("ed25519").stapled(b"response")
    messages = server(credentials=[plain, stapled]).certificate_messages
    assert list(messages) == [plain, stapled]
    for credential, made in messages.items():
        assert [entry.cert_data for entry in made.tls13.certificate_list] == list(credential.chain)
        assert made.tls13 == certificate_message(credential)
        assert made.tls12.certificate_list == credential.chain
    assert messages[plain].tls13_stapled is messages[plain].tls13
    status = messages[stapled].tls13_stapled.certificate_list[0].extensions.get(CertificateStatus)
    assert status is not None
    assert status.response == b"response"


def test_only_the_leaf_is_stapled() -> None:
    intermediate = authority("Intermediate", root())
    issued = leaf(intermediate, NAME)
    credential = Credential([issued.der, intermediate.der], issued.key, ocsp_response=b"response")
    message = certificate_message(credential, context=b"context", is_stapled=True)
    assert message.certificate_request_context == b"context"
    assert [len(entry.extensions) for entry in message.certificate_list] == [1, 0]


@pytest.mark.parametrize(("count", "told"), [(0, 0), (1, 1), (32, 32), (33, 0)])
def test_the_authorities_that_clients_are_told(count: int, told: int) -> None:
    """A long list costs more than it helps."""
    if not count:
        assert server().client_authorities == server(verify=DangerouslyAcceptAny()).client_authorities == ()
        return
    authorities = [authority(f"Authority {number}") for number in range(count)]
    config = server(verify=PrivatePKI(TrustStore.from_pem(b"".join(each.pem for each in authorities))))
    assert len(config.client_authorities) == told


def test_each_name_is_told_once() -> None:
    same = [authority("One name"), authority("One name")]
    config = server(verify=PrivatePKI(TrustStore.from_pem(b"".join(each.pem for each in same))))
    assert config.client_authorities == (same[0].certificate.subject.public_bytes(),)


# Values -----------------------------------------------------------------------------------------------------------


@both
def test_configurations_are_values(make: Make) -> None:
    settings = {"clock": clock, "alpn": ("h2",), "trace": True}
    config = make(**settings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.alpn = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        type(config)(())  # type: ignore[call-arg,misc]
    changed = dataclasses.replace(config, alpn=("x",))
    assert changed.alpn_names == (b"x",)
    assert config.alpn_names == (b"h2",)
    assert changed != config
    assert "suites13" not in repr(config)


@both
def test_lists_of_credentials_are_copied(make: Make) -> None:
    given = [credential12()]
    config = make(credentials=given)
    given.clear()
    assert config.credentials == (credential12(),)


def test_one_configuration_makes_many_connections() -> None:
    config, other = client(clock=clock), server()
    infos: list[ConnectionInfo] = []
    for _ in range(2):
        near, far = ClientConnection(config, NAME), ServerConnection(other)
        far.receive_data(near.data_to_send())
        near.receive_data(far.data_to_send())
        infos.append(near.info)
    assert infos[0].cipher_suite is infos[1].cipher_suite
