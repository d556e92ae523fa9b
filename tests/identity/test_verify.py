"""The verifiers: what they accept, and what they must not."""

import contextlib
import datetime
import functools
import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from identity.pki import (
    ANY_USE,
    AT,
    CLIENT_AUTH,
    DAY,
    EDDSA,
    END,
    KEY_TYPES,
    SERVER_AUTH,
    UNKNOWN_EXTENSION,
    Issued,
    KeyType,
    authority,
    certificates,
    key_usage,
    leaf,
    name_of,
    new_key,
    pss_leaf,
    rsa_key,
    sha1_signed,
)
from sanstls.errors import CertificateError, LocalError
from sanstls.identity import Credential, DangerouslyAcceptAny, PrivatePKI, TrustStore, Verified, WebPKI
from sanstls.wire.registries import AlertDescription as Alert

Role = Literal["server", "client"]
Kind = type[PrivatePKI] | type[WebPKI]
BOTH = pytest.mark.parametrize("kind", [PrivatePKI, WebPKI])

ROOT = authority("Root")
INTERMEDIATE = authority("Intermediate", ROOT)
LEAF = leaf(INTERMEDIATE)


def verify(
    kind: Kind,
    chain: list[Issued],
    *anchors: Issued,
    server_name: str | None = "a.example",
    at: float = AT,
    role: Role = "server",
) -> Verified:
    verifier = kind(TrustStore(certificates(*anchors)))
    return verifier.verify(certificates(*chain), server_name=server_name, at=at, role=role)


def refuse(kind: Kind, chain: list[Issued], *anchors: Issued, **how: Any) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        verify(kind, chain, *anchors, **how)
    return caught.value


# ------------------------------------------------------------------------------------------------------------ accepted


@BOTH
def test_a_chain_to_an_anchor(kind: Kind) -> None:
    verified = verify(kind, [LEAF, INTERMEDIATE], ROOT)
    assert verified.chain == tuple(certificates(LEAF, INTERMEDIATE, ROOT))
    assert verified.anchor == ROOT.certificate
    assert verified.name == "a.example"
    assert verified.not_valid_after == END


@BOTH
def test_the_path_is_valid_until_its_first_certificate_ends(kind: Kind) -> None:
    soon = END - datetime.timedelta(days=20)
    middle = authority("Middle", ROOT, end=soon)
    assert verify(kind, [leaf(middle), middle], ROOT).not_valid_after == soon


@BOTH
def test_a_leaf_right_below_the_anchor(kind: Kind) -> None:
    assert len(verify(kind, [leaf(ROOT)], ROOT).chain) == 2


@BOTH
def test_an_intermediate_as_the_anchor(kind: Kind) -> None:
    assert verify(kind, [LEAF, INTERMEDIATE], INTERMEDIATE).anchor == INTERMEDIATE.certificate


@BOTH
def test_intermediates_in_any_order_and_with_extras(kind: Kind) -> None:
    lower = authority("Lower", INTERMEDIATE)
    end = leaf(lower)
    extras = [ROOT, authority("Stranger"), authority("Curious", key_type="ed25519")]
    for others in itertools.permutations([lower, INTERMEDIATE, *extras][:4]):
        verified = verify(kind, [end, *others], ROOT)
        assert verified.chain == tuple(certificates(end, lower, INTERMEDIATE, ROOT))
    if kind is WebPKI:
        assert verify(kind, [end, *extras, INTERMEDIATE, lower], ROOT).anchor == ROOT.certificate


@BOTH
def test_the_right_one_of_two_anchors_of_one_name(kind: Kind) -> None:
    assert verify(kind, [LEAF, INTERMEDIATE], authority("Root"), ROOT).anchor == ROOT.certificate


@BOTH
@pytest.mark.parametrize("key_type", [key_type for key_type in KEY_TYPES if key_type not in EDDSA])
def test_every_key_type(kind: Kind, key_type: KeyType) -> None:
    root = authority("Root", key_type="rsa-b" if key_type == "rsa" else key_type)
    assert len(verify(kind, [leaf(root, key_type=key_type)], root).chain) == 2


@BOTH
def test_clients(kind: Kind) -> None:
    client = leaf(ROOT, purposes=[CLIENT_AUTH])
    verified = verify(kind, [client], ROOT, role="client", server_name=None)
    assert verified.anchor == ROOT.certificate
    assert verified.name is None
    # A server's own name says nothing about its clients.
    assert verify(kind, [client], ROOT, role="client", server_name="b.example").name is None


@BOTH
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_addresses(kind: Kind, address: str) -> None:
    assert verify(kind, [leaf(ROOT, address)], ROOT, server_name=address).name == address
    assert "it is not for" in refuse(kind, [leaf(ROOT, "192.0.2.9")], ROOT, server_name=address).rule


@BOTH
def test_wildcards(kind: Kind) -> None:
    end = leaf(ROOT, "*.a.example")
    assert verify(kind, [end], ROOT, server_name="B.A.example.").name == "B.A.example."
    for name in ("a.example", "c.b.a.example", "b.example"):
        refuse(kind, [end], ROOT, server_name=name)


@BOTH
def test_name_constraints_that_hold(kind: Kind) -> None:
    root = authority("Root", permitted=[x509.DNSName("example")], excluded=[x509.DNSName("b.example")])
    assert len(verify(kind, [leaf(root)], root).chain) == 2


@BOTH
def test_path_lengths_that_hold(kind: Kind) -> None:
    root = authority("Root", path_length=1)
    middle = authority("Middle", root, path_length=0)
    assert len(verify(kind, [leaf(middle), middle], root).chain) == 3


@pytest.mark.parametrize(
    "defects",
    [
        {"key_identifiers": False},
        {"purposes": []},
        {"usage": None},
        {"usage": key_usage("key_encipherment")},
        {"subject": "a.example", "san_critical": True},
        {"constraints": x509.BasicConstraints(ca=True, path_length=None)},
        {"purposes": [ANY_USE]},
    ],
    ids=str,
)
def test_a_private_pki_may_be_plain(defects: dict[str, Any]) -> None:
    assert len(verify(PrivatePKI, [leaf(ROOT, **defects)], ROOT).chain) == 2


@pytest.mark.parametrize("defects", [{"key_identifiers": False}, {"usage": None}], ids=str)
def test_a_private_authority_may_be_plain(defects: dict[str, Any]) -> None:
    root = authority("Root", **defects)
    assert len(verify(PrivatePKI, [leaf(root)], root).chain) == 2


def test_a_private_client_needs_no_subject_alternative_name() -> None:
    client = leaf(ROOT, san=False, subject="robot")
    assert verify(PrivatePKI, [client], ROOT, role="client", server_name=None).name is None


@pytest.mark.parametrize("defects", [{"key_identifiers": False}, {"constraints": x509.BasicConstraints(True, None)}])
def test_the_public_web_is_strict(defects: dict[str, Any]) -> None:
    error = refuse(WebPKI, [leaf(ROOT, **defects)], ROOT)
    assert "no valid path" in error.rule
    assert "PrivatePKI" in error.advice


def test_only_the_public_web_advises_to_leave_it() -> None:
    error = refuse(PrivatePKI, [leaf(ROOT, extra=[(UNKNOWN_EXTENSION, True)])], ROOT)
    assert "no valid path" in error.rule
    assert error.advice == ""


@pytest.mark.parametrize("key_type", EDDSA)
def test_the_public_web_has_no_edwards_curves(key_type: KeyType) -> None:
    root = authority("Root", key_type=key_type)
    refuse(WebPKI, [leaf(root)], root)
    refuse(WebPKI, [leaf(ROOT, key_type=key_type)], ROOT)


def test_an_irrelevant_certificate_does_not_loosen_the_rules() -> None:
    plain = leaf(ROOT, key_identifiers=False)
    refuse(WebPKI, [plain], ROOT)
    for key_type in EDDSA:
        refuse(WebPKI, [plain, authority("Curious", key_type=key_type)], ROOT)


def test_certificates_of_trustme() -> None:
    ca = trustme.CA()
    server, client = ca.issue_cert("a.example", "192.0.2.1"), ca.issue_cert("me@a.example")
    store = TrustStore.from_pem(ca.cert_pem.bytes())
    now = datetime.datetime.now(datetime.UTC).timestamp()
    for name in ("a.example", "192.0.2.1"):
        chain = [x509.load_pem_x509_certificate(blob.bytes()) for blob in server.cert_chain_pems]
        assert PrivatePKI(store).verify(chain, server_name=name, at=now, role="server").anchor in store
    chain = [x509.load_pem_x509_certificate(client.cert_chain_pems[0].bytes())]
    assert PrivatePKI(store).verify(chain, server_name=None, at=now, role="client").anchor in store


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize("algorithm", ["ec", "ed25519"])
def test_a_self_signed_one_of_openssl_as_its_own_anchor(algorithm: str, tmp_path: Path) -> None:
    key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ec" else [algorithm]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", *key, "-nodes", "-subj", "/CN=a.example", "-days", "7"),
            *("-addext", "subjectAltName=DNS:a.example", "-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    pem = (tmp_path / "cert.pem").read_bytes()
    credential = Credential.from_pem(pem, (tmp_path / "key.pem").read_bytes())
    verifier = PrivatePKI(TrustStore.from_pem(pem))
    now = datetime.datetime.now(datetime.UTC).timestamp()
    verified = verifier.verify(credential.certificates, server_name="a.example", at=now, role="server")
    assert verified.anchor == credential.leaf
    with pytest.raises(CertificateError, match=r"not for b\.example"):
        verifier.verify(credential.certificates, server_name="b.example", at=now, role="server")
    with pytest.raises(CertificateError, match="expired"):
        verifier.verify(credential.certificates, server_name="a.example", at=now + 8 * DAY, role="server")


def test_a_trusted_leaf_needs_none_of_its_issuers() -> None:
    assert verify(PrivatePKI, [LEAF], LEAF).chain == (LEAF.certificate,)
    assert verify(PrivatePKI, [LEAF, INTERMEDIATE], LEAF).chain == (LEAF.certificate,)


@pytest.mark.parametrize(
    ("defects", "how"),
    [
        ({}, {"server_name": "b.example"}),
        ({}, {"at": AT + 31 * DAY}),
        ({}, {"at": AT - 31 * DAY}),
        ({"purposes": [CLIENT_AUTH]}, {}),
        ({"purposes": [SERVER_AUTH]}, {"role": "client", "server_name": None}),
        ({"usage": key_usage("key_agreement")}, {}),
        ({"san": False, "subject": "a.example"}, {}),
        ({"extra": [(UNKNOWN_EXTENSION, True)]}, {}),
        ({"extra": [(x509.NameConstraints([x509.DNSName("b.example")], None), True)]}, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("key_type", ["p256", "ed25519"])
def test_a_trusted_leaf_is_checked_all_the_same(
    key_type: KeyType, defects: dict[str, Any], how: dict[str, Any]
) -> None:
    end = leaf(ROOT, key_type=key_type, **defects)
    refuse(PrivatePKI, [end], end, **how)


# ------------------------------------------------------------------------------------------------------------- refused

NO_CA = x509.BasicConstraints(ca=False, path_length=None)
BAD_AUTHORITIES: dict[str, dict[str, Any]] = {
    "CA:FALSE": {"constraints": NO_CA},
    "no basicConstraints": {"constraints": None},
    "no keyCertSign": {"usage": key_usage("digital_signature", "crl_sign")},
    "EKU of the other role": {"purposes": [CLIENT_AUTH]},
    "unknown critical extension": {"extra": [(UNKNOWN_EXTENSION, True)]},
    "excluded name": {"excluded": [x509.DNSName("a.example")]},
    "excluded parent": {"excluded": [x509.DNSName("example")]},
    "not permitted name": {"permitted": [x509.DNSName("b.example")]},
    "unsupported constraint": {"permitted": [x509.DirectoryName(name_of("x"))]},
    "expired": {"end": datetime.datetime.fromtimestamp(AT - 1, datetime.UTC)},
    "not yet valid": {"begin": datetime.datetime.fromtimestamp(AT + 1, datetime.UTC)},
}
BAD_LEAVES: dict[str, dict[str, Any]] = {
    "EKU of the other role": {"purposes": [CLIENT_AUTH]},
    "unknown critical extension": {"extra": [(UNKNOWN_EXTENSION, True)]},
    "no subjectAltName": {"san": False, "subject": "a.example"},
    "expired": {"end": datetime.datetime.fromtimestamp(AT - 1, datetime.UTC)},
    "not yet valid": {"begin": datetime.datetime.fromtimestamp(AT + 1, datetime.UTC)},
    "signed by another key": {"signed_by": new_key("p256")},
    "small RSA key": {"key": "small"},
}


def bad_leaf(issuer: Issued, defect: str, **rest: Any) -> Issued:
    defects = dict(BAD_LEAVES[defect])
    if "key" in defects:
        defects["key"] = rsa_key("small", 1024)
    return leaf(issuer, **rest, **defects)


@BOTH
@pytest.mark.parametrize("defect", BAD_AUTHORITIES)
def test_a_bad_intermediate(kind: Kind, defect: str) -> None:
    bad = authority("Intermediate", ROOT, **BAD_AUTHORITIES[defect])
    refuse(kind, [leaf(bad), bad], ROOT)


@BOTH
@pytest.mark.parametrize("defect", BAD_AUTHORITIES)
def test_a_bad_anchor(kind: Kind, defect: str) -> None:
    bad = authority("Root", **BAD_AUTHORITIES[defect])
    refuse(kind, [leaf(bad)], bad)
    middle = authority("Middle", bad)
    refuse(kind, [leaf(middle), middle], bad)


@BOTH
@pytest.mark.parametrize("defect", BAD_LEAVES)
def test_a_bad_leaf(kind: Kind, defect: str) -> None:
    refuse(kind, [bad_leaf(INTERMEDIATE, defect), INTERMEDIATE], ROOT)


def test_a_leaf_that_may_neither_sign_nor_decipher() -> None:
    refuse(PrivatePKI, [leaf(ROOT, usage=key_usage("crl_sign"))], ROOT)


@BOTH
def test_a_leaf_is_no_authority(kind: Kind) -> None:
    refuse(kind, [leaf(LEAF), LEAF, INTERMEDIATE], ROOT)
    refuse(kind, [leaf(LEAF), LEAF], LEAF)


@BOTH
@pytest.mark.parametrize("is_anchor", [True, False])
def test_a_path_longer_than_allowed(kind: Kind, is_anchor: bool) -> None:
    top = authority("Top", None if is_anchor else ROOT, path_length=0)
    middle = authority("Middle", top)
    refuse(kind, [leaf(middle), middle, top], top if is_anchor else ROOT)


@BOTH
def test_a_stranger_with_the_name_of_an_anchor(kind: Kind) -> None:
    twin = authority("Root")
    refuse(kind, [leaf(twin)], ROOT)
    refuse(kind, [leaf(twin), twin], ROOT)


@BOTH
def test_a_signature_with_sha1(kind: Kind) -> None:
    refuse(kind, [sha1_signed(leaf(ROOT), ROOT.key)], ROOT)
    middle = sha1_signed(authority("Middle", ROOT), ROOT.key)
    refuse(kind, [leaf(middle), middle], ROOT)


@BOTH
def test_the_time_of_the_caller_counts(kind: Kind) -> None:
    verify(kind, [leaf(ROOT)], ROOT, at=END.timestamp())
    refuse(kind, [leaf(ROOT)], ROOT, at=END.timestamp() + 1)


@BOTH
@pytest.mark.parametrize("at", [float("inf"), float("nan"), 1e18, -1e18])
def test_a_clock_that_tells_no_time(kind: Kind, at: float) -> None:
    error = refuse(kind, [leaf(ROOT)], ROOT, at=at)
    assert "no such time" in error.rule
    assert error.alert == Alert.internal_error


@BOTH
def test_the_zone_of_an_address_does_not_matter(kind: Kind) -> None:
    verify(kind, [leaf(ROOT, "fe80::1")], ROOT, server_name="fe80::1%eth0")


def test_nor_does_it_for_a_trusted_leaf() -> None:
    owner = leaf(ROOT, "fe80::1")
    verify(PrivatePKI, [owner], owner, server_name="fe80::1%eth0")


@BOTH
def test_the_wrong_role(kind: Kind) -> None:
    refuse(kind, [leaf(ROOT, purposes=[SERVER_AUTH])], ROOT, role="client", server_name=None)


@BOTH
def test_a_server_without_name_to_check(kind: Kind) -> None:
    error = refuse(kind, [leaf(ROOT)], ROOT, server_name=None)
    assert error.alert == Alert.certificate_unknown
    assert "server_name" in error.advice


@BOTH
def test_a_name_that_is_none_is_the_callers_mistake(kind: Kind) -> None:
    with pytest.raises(LocalError):
        verify(kind, [leaf(ROOT)], ROOT, server_name="https://a.example")


@BOTH
def test_no_certificate_at_all(kind: Kind) -> None:
    assert refuse(kind, [], ROOT).alert == Alert.certificate_required


@BOTH
def test_very_many_possible_paths_end_soon(kind: Kind) -> None:
    key = new_key("p256")
    same = [authority("Same", key=key) for _ in range(9)]
    refuse(kind, [leaf(same[0]), *same], ROOT)


@BOTH
def test_an_rsassa_pss_key(kind: Kind) -> None:
    assert len(verify(kind, [pss_leaf(ROOT)], ROOT).chain) == 2


# ---------------------------------------------------------------------------------------------------------- malformed


@functools.cache
def good_chain(key_type: KeyType) -> tuple[Issued, Issued, Issued]:
    root = authority("Root", key_type=key_type)
    middle = authority("Intermediate", root, key_type=key_type)
    return leaf(middle, key_type=key_type), middle, root


@BOTH
@pytest.mark.parametrize("key_type", ["p256", "ed25519"])
@pytest.mark.parametrize("damaged", [0, 1])
@given(data=st.data())
def test_damage_is_refused_and_nothing_worse(kind: Kind, key_type: KeyType, damaged: int, data: st.DataObject) -> None:
    *chain, root = good_chain(key_type)
    der = bytearray(chain[damaged].der)
    for place in data.draw(st.lists(st.integers(0, len(der) - 1), min_size=1, max_size=3, unique=True)):
        der[place] ^= data.draw(st.integers(1, 255))
    try:
        certificate = x509.load_der_x509_certificate(bytes(der))
    except Exception:  # it does not load: that is not the verifier's matter
        return
    sent = certificates(*chain)
    sent[damaged] = certificate
    for role, name in (("server", "a.example"), ("client", None)):
        with pytest.raises(CertificateError):
            kind(TrustStore(certificates(root))).verify(sent, server_name=name, at=AT, role=role)  # type: ignore[arg-type]


@pytest.mark.parametrize("key_type", ["p256", "ed25519"])
@given(data=st.data())
def test_damage_to_a_trusted_leaf_is_no_worse(key_type: KeyType, data: st.DataObject) -> None:
    der = bytearray(good_chain(key_type)[0].der)
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        certificate = x509.load_der_x509_certificate(bytes(der))
        store = TrustStore([certificate])
    except Exception:
        return
    with contextlib.suppress(CertificateError):
        PrivatePKI(store).verify([certificate], server_name="a.example", at=AT, role="server")


# ---------------------------------------------------------------------------------------------------------- the others


def test_accepting_any() -> None:
    stranger = leaf(authority("Stranger"), "b.example")
    verified = DangerouslyAcceptAny().verify(certificates(stranger), server_name="a.example", at=0.0, role="server")
    assert verified == Verified((stranger.certificate,), None, None, None)
    assert repr(DangerouslyAcceptAny()) == "DangerouslyAcceptAny()"


@BOTH
def test_repr(kind: Kind) -> None:
    assert repr(kind(TrustStore(certificates(ROOT)))) == f"{kind.__name__}(<TrustStore: 1 certificates>)"
