"""Versions, groups, protocols and names, agreed on with Python's ssl in memory; and what can't be agreed on."""

import itertools
import ssl
from typing import Any

import pytest

from interop.certificates import NAME, OTHER_NAME, Certificates
from interop.driver import InMemory, SslEnd
from interop.ours import CURVES, ECDSA_SUITES12, ROLES, TLS12, TLS13, VERSIONS, Role, our_client, our_server
from interop.python_ssl import check_close, check_data, check_open, meet, ssl_context
from sanstls import (
    AlertReceivedError,
    CipherSuite,
    HelloRetryRequested,
    NamedGroup,
    PeerError,
    ProtocolVersion,
)

pytestmark = pytest.mark.interop

each_role = pytest.mark.parametrize("role", ROLES)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)

# Versions -----------------------------------------------------------------------------------------------------------

RANGES = ((TLS13,), (TLS12,), VERSIONS)


def range_name(versions: tuple[ProtocolVersion, ...]) -> str:
    return " and ".join(version.text for version in versions)


def check_refused(met: InMemory, alert: str, *, by_us: bool) -> None:
    """The connection failed with ``alert``, which the one sent and the other got."""
    assert not (met.is_open and met.peer.is_open)
    assert met.peer.error is not None
    if by_us:
        assert isinstance(met.error, PeerError)
        assert met.error.alert is not None
        assert met.error.alert.name == alert
        assert met.peer.alert == alert
    else:
        assert isinstance(met.error, AlertReceivedError), met.error
        assert met.error.description.name == alert


@each_role
@pytest.mark.parametrize(("ours", "peers"), list(itertools.product(RANGES, RANGES)), ids=range_name)
def test_the_highest_common_version(
    certificates: Certificates, role: Role, ours: tuple[ProtocolVersion, ...], peers: tuple[ProtocolVersion, ...]
) -> None:
    met = meet(certificates, role, ours={"versions": ours}, peer={"versions": peers})
    common = [version for version in VERSIONS if version in ours and version in peers]
    if common:
        check_open(met, common[0])
        check_data(met)
    else:
        check_refused(met, "protocol_version", by_us=role == "server")


# Groups and suites --------------------------------------------------------------------------------------------------

each_group = pytest.mark.parametrize("group", CURVES, ids=str)


@each_role
@each_group
def test_a_hello_retry_request(certificates: Certificates, role: Role, group: NamedGroup) -> None:
    ours: dict[str, Any]
    peer: dict[str, Any] = {"versions": (TLS13,)}
    if role == "client":
        other = next(each for each in CURVES if each is not group)
        ours, peer = {"key_shares": (other,)}, peer | {"group": group}
    else:
        # The peer's first share is for X25519, so a retry is only forced by the others.
        ours = {"groups": (group,)}
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, TLS13)
    assert met.info.group is group
    is_retried = role == "client" or group is not NamedGroup.x25519
    assert met.info.hello_retried is is_retried
    assert [event.group for event in met.of(HelloRetryRequested)] == [group] * is_retried
    check_data(met)
    check_close(met)


@each_group
def test_no_shares_at_first(certificates: Certificates, group: NamedGroup) -> None:
    met = meet(certificates, "client", ours={"key_shares": ()}, peer={"versions": (TLS13,), "group": group})
    check_open(met, TLS13)
    assert met.info.hello_retried
    assert met.info.group is group


@pytest.mark.parametrize("is_compatible", [True, False], ids=["compatible", "plain"])
@pytest.mark.parametrize("is_retried", [True, False], ids=["retried", "at once"])
def test_middlebox_compatibility(certificates: Certificates, is_compatible: bool, is_retried: bool) -> None:
    shares = (NamedGroup.secp384r1,) if is_retried else (NamedGroup.x25519,)
    met = meet(
        certificates,
        "client",
        ours={"middlebox_compatibility": is_compatible, "key_shares": shares},
        peer={"versions": (TLS13,), "group": NamedGroup.x25519},
    )
    check_open(met, TLS13)
    assert met.info.hello_retried is is_retried
    check_data(met)


@each_role
@each_version
def test_no_common_group(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    # The key is RSA's, so that in TLS 1.2 its own curve is not the matter.
    ours: dict[str, Any] = {"groups": (NamedGroup.x448,)}
    peer: dict[str, Any] = {"versions": (version,), "group": NamedGroup.secp521r1}
    (peer if role == "client" else ours)["kind"] = "rsa"
    met = meet(certificates, role, ours=ours, peer=peer)
    check_refused(met, "handshake_failure", by_us=role == "server")


@each_role
def test_no_common_suite_of_tls12(certificates: Certificates, role: Role) -> None:
    ours, peers = ECDSA_SUITES12[:2]
    met = meet(
        certificates,
        role,
        ours={"cipher_suites": (ours,)},
        peer={"versions": (TLS12,), "suite12": peers},
    )
    check_refused(met, "handshake_failure", by_us=role == "server")


@each_role
def test_no_suite_for_the_certificate(certificates: Certificates, role: Role) -> None:
    ours: dict[str, Any] = {"cipher_suites": (CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,)}
    met = meet(certificates, role, ours=ours, peer={"versions": (TLS12,)})
    check_refused(met, "handshake_failure", by_us=role == "server")


def test_a_clients_groups_are_those_of_certificates_in_tls12(certificates: Certificates) -> None:
    credentials = (certificates["p256"].credential, certificates["rsa"].credential)
    met = meet(
        certificates,
        "server",
        ours={"credentials": credentials},
        peer={"versions": (TLS12,), "group": NamedGroup.x25519},
    )
    check_open(met, TLS12)
    assert met.info.credential is credentials[1]


def test_no_certificate_of_a_clients_groups_in_tls12(certificates: Certificates) -> None:
    met = meet(certificates, "server", peer={"versions": (TLS12,), "group": NamedGroup.x25519})
    check_refused(met, "handshake_failure", by_us=True)


# Protocols ----------------------------------------------------------------------------------------------------------

ALPN = [
    (("h2", "http/1.1"), ("h2", "http/1.1"), "h2", "h2"),
    (("h2", "http/1.1"), ("http/1.1", "h2"), "http/1.1", "h2"),  # it is the server that prefers
    (("h2",), ("http/1.1", "h2"), "h2", "h2"),
    (("x" * 255, "a"), ("a",), "a", "a"),
    ((), ("h2",), None, None),
    (("h2",), (), None, None),
]


@each_role
@each_version
@pytest.mark.parametrize(("ours", "peers", "as_client", "as_server"), ALPN)
def test_alpn(
    certificates: Certificates,
    role: Role,
    version: ProtocolVersion,
    ours: tuple[str, ...],
    peers: tuple[str, ...],
    as_client: str | None,
    as_server: str | None,
) -> None:
    met = meet(certificates, role, ours={"alpn": ours}, peer={"versions": (version,), "alpn": peers})
    check_open(met, version)
    assert met.info.alpn == (as_client if role == "client" else as_server)


@each_version
def test_no_common_protocol(certificates: Certificates, version: ProtocolVersion) -> None:
    met = meet(certificates, "server", ours={"alpn": ("a",)}, peer={"versions": (version,), "alpn": ("b",)})
    check_refused(met, "no_application_protocol", by_us=True)


# Names --------------------------------------------------------------------------------------------------------------


@each_version
@pytest.mark.parametrize("name", [NAME, OTHER_NAME])
def test_the_name_chooses_our_certificate(certificates: Certificates, version: ProtocolVersion, name: str) -> None:
    identities = [certificates["p256"], certificates.issue("p256", OTHER_NAME)]
    met = meet(
        certificates,
        "server",
        ours={"credentials": tuple(identity.credential for identity in identities)},
        peer={"versions": (version,)},
        server_name=name,
    )
    check_open(met, version)
    assert met.info.server_name == name
    assert met.peer.ssl.getpeercert(binary_form=True) == certificates.issue("p256", name).der


@each_version
@pytest.mark.parametrize("name", [NAME, OTHER_NAME])
def test_our_name_chooses_the_peers_certificate(
    certificates: Certificates, version: ProtocolVersion, name: str
) -> None:
    first = ssl_context(certificates, "server", versions=(version,))
    other = ssl_context(certificates, "server", versions=(version,))
    identity = certificates.issue("p384", OTHER_NAME)
    other.load_cert_chain(identity.certificate_file, identity.key_file)
    asked: list[str | None] = []

    def choose(end: ssl.SSLObject, server_name: str | None, _: ssl.SSLContext) -> None:
        asked.append(server_name)
        if server_name == OTHER_NAME:
            end.context = other

    first.sni_callback = choose
    met = InMemory(our_client(certificates, server_name=name), SslEnd(first, is_server=True)).carry()
    check_open(met, version)
    assert asked == [name]
    assert met.info.peer_chain[0] == (certificates["p256"].der if name == NAME else identity.der)


@each_version
def test_a_client_that_names_nobody(certificates: Certificates, version: ProtocolVersion) -> None:
    context = ssl_context(certificates, "client", versions=(version,))
    context.check_hostname = False
    met = InMemory(our_server(certificates), SslEnd(context, is_server=False)).carry()
    check_open(met, version)
    assert met.info.server_name is None
