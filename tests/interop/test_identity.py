"""Certificates of both sides, signatures, and what is refused of them: Python's ssl in memory."""

import re
import ssl
from typing import Any

import pytest

from interop.certificates import KINDS, Certificates, Kind
from interop.driver import InMemory, SslEnd
from interop.ours import KEY_TRANSPORT_SUITES, ROLES, RSA_SUITES12, TLS12, TLS13, VERSIONS, Role, our_client
from interop.python_ssl import check_close, check_data, check_open, meet, ssl_context
from sanstls import (
    AlertReceivedError,
    CertificateError,
    CipherSuite,
    LocalError,
    PeerError,
    PrivatePKI,
    ProtocolVersion,
    SignatureScheme,
)

pytestmark = pytest.mark.interop

each_role = pytest.mark.parametrize("role", ROLES)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)

# The client's certificate -------------------------------------------------------------------------------------------


@each_role
@each_version
@pytest.mark.parametrize("of_server", ["p256", "rsa"])
@pytest.mark.parametrize("of_client", KINDS)
def test_client_certificates(
    certificates: Certificates, role: Role, version: ProtocolVersion, of_server: Kind, of_client: Kind
) -> None:
    ours: dict[str, Any]
    peer: dict[str, Any] = {"versions": (version,)}
    if role == "client":
        ours, peer = {"own": of_client}, peer | {"kind": of_server, "asks": True}
    else:
        ours, peer = {"kind": of_server, "asks": True}, peer | {"kind": of_client}
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, version)
    der = certificates[of_client].der
    if role == "client":
        assert met.info.credential is certificates[of_client].credential
        assert met.peer.ssl.getpeercert(binary_form=True) == der
    else:
        assert met.info.peer_chain[0] == der
        assert met.info.verified is not None
    check_data(met)
    check_close(met)


@each_version
def test_no_client_certificate_where_none_is_needed(certificates: Certificates, version: ProtocolVersion) -> None:
    met = meet(certificates, "server", ours={"asks": True, "client_auth": "optional"}, peer={"versions": (version,)})
    check_open(met, version)
    assert met.info.peer_chain == ()
    check_data(met)


@each_version
def test_no_client_certificate_of_ours_where_none_is_needed(
    certificates: Certificates, version: ProtocolVersion
) -> None:
    context = ssl_context(certificates, "server", versions=(version,), asks=True)
    context.verify_mode = ssl.CERT_OPTIONAL
    met = InMemory(our_client(certificates), SslEnd(context, is_server=True)).carry()
    check_open(met, version)
    assert met.info.credential is None
    check_data(met)


@each_role
@pytest.mark.parametrize(("version", "alert"), [(TLS13, "certificate_required"), (TLS12, "handshake_failure")])
def test_no_client_certificate_where_one_is_needed(
    certificates: Certificates, role: Role, version: ProtocolVersion, alert: str
) -> None:
    ours, peer = ({}, {"asks": True}) if role == "client" else ({"asks": True}, {})
    met = meet(certificates, role, ours=ours, peer=peer | {"versions": (version,)})
    if role == "client":
        assert isinstance(met.error, AlertReceivedError)
        assert met.error.description.name == alert
    else:
        assert isinstance(met.error, CertificateError)
        assert met.peer.alert == alert


# What is refused ----------------------------------------------------------------------------------------------------


@each_version
def test_the_peer_refuses_our_servers_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    met = meet(certificates, "server", peer={"versions": (version,), "trusts": certificates.stranger_file})
    assert isinstance(met.error, AlertReceivedError)
    assert met.error.description.name == "unknown_ca"


@each_version
def test_the_peer_refuses_our_clients_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    peer = {"versions": (version,), "asks": True, "trusts": certificates.stranger_file}
    met = meet(certificates, "client", ours={"own": "p256"}, peer=peer)
    assert isinstance(met.error, AlertReceivedError)
    assert met.error.description.name == "unknown_ca"


@each_role
@each_version
def test_we_refuse_a_strangers_certificate(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    ours = {"verify": PrivatePKI(certificates.strange_store)}
    met = meet(certificates, role, ours=ours, peer={"versions": (version,), "kind": "p256"})
    assert isinstance(met.error, CertificateError)
    assert met.error.alert is not None
    assert met.peer.alert == met.error.alert.name == "unknown_ca"


@each_version
def test_we_refuse_a_wrong_name(certificates: Certificates, version: ProtocolVersion) -> None:
    met = meet(certificates, "client", peer={"versions": (version,)}, server_name="wrong.example")
    assert isinstance(met.error, CertificateError)
    assert met.error.alert is not None
    assert met.peer.alert == met.error.alert.name


@each_version
def test_the_peer_refuses_a_wrong_name(certificates: Certificates, version: ProtocolVersion) -> None:
    met = meet(certificates, "server", peer={"versions": (version,)}, server_name="wrong.example")
    assert isinstance(met.error, AlertReceivedError)
    assert re.search("(?i)hostname mismatch", str(met.peer.error))


# Signatures ---------------------------------------------------------------------------------------------------------

S = SignatureScheme
SCHEMES: dict[SignatureScheme, tuple[Kind, tuple[ProtocolVersion, ...]]] = {
    S.rsa_pkcs1_sha256: ("rsa", (TLS12,)),
    S.rsa_pkcs1_sha384: ("rsa", (TLS12,)),
    S.rsa_pkcs1_sha512: ("rsa", (TLS12,)),
    S.rsa_pss_rsae_sha256: ("rsa", VERSIONS),
    S.rsa_pss_rsae_sha384: ("rsa", VERSIONS),
    S.rsa_pss_rsae_sha512: ("rsa", VERSIONS),
    S.rsa_pss_pss_sha256: ("rsa-pss", VERSIONS),
    S.rsa_pss_pss_sha384: ("rsa-pss", VERSIONS),
    S.rsa_pss_pss_sha512: ("rsa-pss", VERSIONS),
    S.ecdsa_secp256r1_sha256: ("p256", VERSIONS),
    S.ecdsa_secp384r1_sha384: ("p384", VERSIONS),
    S.ecdsa_secp521r1_sha512: ("p521", VERSIONS),
    S.ed25519: ("ed25519", VERSIONS),
    S.ed448: ("ed448", VERSIONS),
}
SIGNATURES = [(version, scheme, kind) for scheme, (kind, versions) in SCHEMES.items() for version in versions]
# In TLS 1.2 the schemes of ECDSA name a hash, and the curve is the key's.
SIGNATURES += [
    (TLS12, S.ecdsa_secp384r1_sha384, "p256"),
    (TLS12, S.ecdsa_secp521r1_sha512, "p256"),
    (TLS12, S.ecdsa_secp256r1_sha256, "p384"),
    (TLS12, S.ecdsa_secp256r1_sha256, "p521"),
]


@each_role
@pytest.mark.parametrize(("version", "scheme", "kind"), SIGNATURES, ids=str)
def test_each_signature_of_a_server(
    certificates: Certificates, role: Role, version: ProtocolVersion, scheme: SignatureScheme, kind: Kind
) -> None:
    # Certificates are signed by P-256 and SHA-256; a client that does not say so may get none.
    ours: dict[str, Any] = {"signature_schemes": (scheme,)}
    peer: dict[str, Any] = {"versions": (version,)}
    if role == "client":
        peer["kind"] = kind
    else:
        ours["kind"] = kind
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, version)
    assert met.info.signature_scheme is scheme
    check_data(met)


@each_role
@pytest.mark.parametrize(("version", "scheme", "kind"), SIGNATURES, ids=str)
def test_each_signature_of_a_client(
    certificates: Certificates, role: Role, version: ProtocolVersion, scheme: SignatureScheme, kind: Kind
) -> None:
    server: SignatureScheme = S.ecdsa_secp256r1_sha256
    ours: dict[str, Any] = {"signature_schemes": tuple(dict.fromkeys((scheme, server)))}
    peer: dict[str, Any] = {"versions": (version,)}
    if role == "client":
        ours, peer = ours | {"own": kind}, peer | {"asks": True}
    else:
        ours, peer = ours | {"asks": True}, peer | {"kind": kind}
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, version)
    check_data(met)


@each_role
def test_no_common_signature_scheme(certificates: Certificates, role: Role) -> None:
    ours: dict[str, Any] = {"signature_schemes": (S.ed448,)}
    met = meet(certificates, role, ours=ours, peer={"versions": (TLS13,)})
    error = met.error
    if role == "client":
        assert isinstance(error, AlertReceivedError)
        assert error.description.name == "handshake_failure"
    else:
        assert isinstance(error, PeerError)
        assert met.peer.alert == "handshake_failure"


# TLS 1.2 alone ------------------------------------------------------------------------------------------------------


@each_role
@pytest.mark.parametrize("has_certificate", [True, False], ids=["with client certificate", "server alone"])
@pytest.mark.parametrize("suite", [*RSA_SUITES12, *KEY_TRANSPORT_SUITES], ids=str)
def test_without_extended_master_secret(
    certificates: Certificates, role: Role, suite: CipherSuite, has_certificate: bool
) -> None:
    ours: dict[str, Any] = {"cipher_suites": (suite,), "legacy_rsa_key_transport": suite in KEY_TRANSPORT_SUITES}
    peer: dict[str, Any] = {"versions": (TLS12,), "with_extended_master_secret": False, "suite12": suite}
    asks = {"asks": has_certificate}
    if role == "client":
        ours, peer = ours | {"own": "p384"}, peer | asks | {"kind": "rsa"}
    else:
        ours, peer = ours | asks | {"kind": "rsa"}, peer | {"kind": "p384" if has_certificate else None}
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, TLS12, suite)
    assert not met.info.extended_master_secret
    with pytest.raises(LocalError, match="extended master secret"):
        met.connection.channel_binding("tls-unique")
    with pytest.raises(LocalError, match="extended master secret"):
        met.connection.export_keying_material("EXPORTER-test", 32)
    check_data(met)
    check_close(met)


@each_role
def test_extended_master_secret_may_be_required(certificates: Certificates, role: Role) -> None:
    met = meet(
        certificates,
        role,
        ours={"require_extended_master_secret": True},
        peer={"versions": (TLS12,), "with_extended_master_secret": False},
    )
    assert isinstance(met.error, PeerError)
    assert met.peer.alert == "handshake_failure"


@each_role
@pytest.mark.parametrize("suite", KEY_TRANSPORT_SUITES, ids=str)
@pytest.mark.parametrize("of_client", [None, "rsa", "ed25519"])
def test_rsa_key_transport(certificates: Certificates, role: Role, suite: CipherSuite, of_client: Kind | None) -> None:
    ours: dict[str, Any] = {"legacy_rsa_key_transport": True}
    peer: dict[str, Any] = {"versions": (TLS12,), "suite12": suite}
    if role == "client":
        ours, peer = ours | {"own": of_client}, peer | {"kind": "rsa", "asks": of_client is not None}
    else:
        ours, peer = ours | {"kind": "rsa", "asks": of_client is not None}, peer | {"kind": of_client}
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, TLS12, suite)
    assert met.info.extended_master_secret
    assert met.info.group is None
    assert met.info.signature_scheme is None
    check_data(met)
    check_close(met)


@each_role
def test_rsa_key_transport_has_to_be_asked_for(certificates: Certificates, role: Role) -> None:
    ours: dict[str, Any] = {}
    peer: dict[str, Any] = {"versions": (TLS12,), "suite12": KEY_TRANSPORT_SUITES[0]}
    (peer if role == "client" else ours)["kind"] = "rsa"
    met = meet(certificates, role, ours=ours, peer=peer)
    if role == "client":
        assert isinstance(met.error, AlertReceivedError)
        assert met.error.description.name == "handshake_failure"
    else:
        assert isinstance(met.error, PeerError)
        assert met.peer.alert == "handshake_failure"


# Several certificates -----------------------------------------------------------------------------------------------


def test_our_certificate_is_one_that_the_suites_are_for(certificates: Certificates) -> None:
    credentials = tuple(certificates[kind].credential for kind in ("ed448", "rsa"))
    met = meet(
        certificates,
        "server",
        ours={"credentials": credentials},
        peer={"versions": (TLS12,), "suite12": RSA_SUITES12[0]},
    )
    check_open(met, TLS12)
    assert met.info.credential is credentials[1]


def test_our_certificate_is_one_that_the_server_can_verify(certificates: Certificates) -> None:
    credentials = tuple(certificates[kind].credential for kind in ("rsa", "p521"))
    settings = {"credentials": credentials, "signature_schemes": (S.ecdsa_secp256r1_sha256, S.ecdsa_secp521r1_sha512)}
    met = meet(certificates, "client", ours=settings, peer={"versions": (TLS13,), "asks": True})
    check_open(met, TLS13)
    assert met.info.credential is credentials[1]
