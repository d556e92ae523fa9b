"""The path builder for Ed25519 and Ed448: each defect of a chain ends in a refusal."""

import datetime
from typing import Any, Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from identity.pki import (
    ANY_USE,
    AT,
    CLIENT_AUTH,
    EDDSA,
    KEY_TYPES,
    NOW,
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
    rsa_key,
    sha1_signed,
    with_tbs,
)
from sanstls.errors import CertificateError
from sanstls.identity import PrivatePKI, TrustStore
from sanstls.identity.paths import find_path, needs_own_builder
from sanstls.wire.registries import AlertDescription as Alert

Role = Literal["server", "client"]

ROOT = authority("Root", key_type="ed25519")
MIDDLE = authority("Middle", ROOT, key_type="ed448")
LEAF = leaf(MIDDLE, key_type="ed25519")


def find(
    chain: list[Issued],
    *anchors: Issued,
    server_name: str | None = "a.example",
    when: datetime.datetime = NOW,
    role: Role = "server",
) -> list[x509.Certificate]:
    store = TrustStore(certificates(*anchors))
    return list(find_path(certificates(*chain), store, server_name=server_name, when=when, role=role))


def refuse(chain: list[Issued], *anchors: Issued, **how: Any) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        find(chain, *anchors, **how)
    return caught.value


# ------------------------------------------------------------------------------------------------------------ accepted


def test_which_chains_come_here() -> None:
    plain = authority("Root")
    assert needs_own_builder(certificates(LEAF, MIDDLE))
    assert needs_own_builder(certificates(leaf(plain, key_type="ed448")))
    assert needs_own_builder(certificates(leaf(ROOT, key_type="p256")))  # the anchor shows in the signature
    assert not needs_own_builder(certificates(leaf(plain), plain))


@pytest.mark.parametrize("key_type", KEY_TYPES)
@pytest.mark.parametrize("root_type", EDDSA)
def test_every_key_type_below_an_anchor(root_type: KeyType, key_type: KeyType) -> None:
    root = authority("Root", key_type=root_type)
    end = leaf(root, key_type=key_type)
    verified = PrivatePKI(TrustStore(certificates(root))).verify(
        certificates(end), server_name="a.example", at=AT, role="server"
    )
    assert verified.chain == tuple(certificates(end, root))


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_an_edwards_leaf_below_any_anchor(key_type: KeyType) -> None:
    root = authority("Root", key_type=key_type)
    end = leaf(root, key_type="ed25519")
    assert find([end], root) == certificates(end, root)


def test_intermediates_in_any_order_and_with_extras() -> None:
    lower = authority("Lower", MIDDLE, key_type="ed25519")
    end = leaf(lower, key_type="ed25519")
    twin = authority("Middle", key_type="ed25519")  # the name of an issuer, but not the key
    for others in ([MIDDLE, lower], [lower, MIDDLE], [ROOT, twin, MIDDLE, authority("Stranger"), lower]):
        assert find([end, *others], ROOT) == certificates(end, lower, MIDDLE, ROOT)


def test_a_dead_end_is_left_again() -> None:
    key = new_key("ed25519")
    old, new = authority("Old", key_type="ed25519"), authority("New", key_type="ed25519")
    crosses = [authority("Middle", old, key=key), authority("Middle", new, key=key)]
    expired = authority("Middle", new, key=key, end=NOW - datetime.timedelta(days=1))
    end = leaf(crosses[0], key_type="ed25519")
    assert find([end, expired, *crosses], new) == certificates(end, crosses[1], new)


def test_clients() -> None:
    client = leaf(ROOT, key_type="ed25519", purposes=[CLIENT_AUTH], san=False, subject="robot")
    assert find([client], ROOT, role="client", server_name=None) == certificates(client, ROOT)
    assert "TLS client" in refuse([leaf(ROOT, purposes=[SERVER_AUTH])], ROOT, role="client", server_name=None).rule


@pytest.mark.parametrize("usage", [None, key_usage("digital_signature", "key_cert_sign")])
def test_usages_that_are_absent_or_fit(usage: x509.KeyUsage | None) -> None:
    root = authority("Root", key_type="ed25519", usage=usage, purposes=[ANY_USE])
    assert len(find([leaf(root, usage=usage, purposes=[])], root)) == 2


def test_the_length_of_a_path_counts_intermediates_only() -> None:
    root = authority("Root", key_type="ed25519", path_length=1)
    middle = authority("Middle", root, key_type="ed25519", path_length=0)
    assert len(find([leaf(middle), middle], root)) == 3
    # A self-issued certificate (an authority's new key signed by its old one) does not count: RFC 5280 4.2.1.9.
    renewed = authority("Middle", middle, key_type="ed25519", path_length=0)
    assert len(find([leaf(renewed), renewed, middle], root)) == 4


def test_the_signature_of_an_anchor_does_not_matter() -> None:
    root = authority("Root")
    assert len(find([leaf(root, key_type="ed25519")], sha1_signed(root, root.key))) == 2


# ------------------------------------------------------------------------------------------------------------- refused

UNSUPPORTED = Alert.unsupported_certificate
BEFORE, AFTER = NOW - datetime.timedelta(seconds=1), NOW + datetime.timedelta(seconds=1)
BAD_AUTHORITIES: dict[str, tuple[dict[str, Any], Alert]] = {
    "CA:FALSE": ({"constraints": x509.BasicConstraints(False, None)}, Alert.bad_certificate),
    "no basicConstraints": ({"constraints": None}, Alert.bad_certificate),
    "keyCertSign": ({"usage": key_usage("digital_signature")}, UNSUPPORTED),
    "extended key usage": ({"purposes": [CLIENT_AUTH]}, UNSUPPORTED),
    "1.3.6.1.4.1.55555.1": ({"extra": [(UNKNOWN_EXTENSION, True)]}, UNSUPPORTED),
    "constrains names": ({"permitted": [x509.DNSName("a.example")]}, UNSUPPORTED),
    "expired": ({"end": BEFORE}, Alert.certificate_expired),
    "not valid before": ({"begin": AFTER}, Alert.certificate_expired),
    "too weak": ({"key": rsa_key("small", 1024)}, Alert.bad_certificate),
    "unsupported kind": ({"key": ec.generate_private_key(ec.SECP256K1())}, UNSUPPORTED),
}


@pytest.mark.parametrize("said", BAD_AUTHORITIES)
@pytest.mark.parametrize("place", ["anchor", "intermediate", "upper intermediate"])
def test_a_bad_authority(place: str, said: str) -> None:
    defects, alert = BAD_AUTHORITIES[said]
    bad = authority("Bad", None if place == "anchor" else ROOT, **{"key_type": "ed25519", **defects})
    if place == "upper intermediate":
        lower = authority("Lower", bad, key_type="ed25519")
        error = refuse([leaf(lower, key_type="ed25519"), lower, bad], ROOT)
        assert error.certificate == "certificate 2 (CN=Bad)"
    elif place == "intermediate":
        error = refuse([leaf(bad, key_type="ed25519"), bad], ROOT)
        assert error.certificate == "certificate 1 (CN=Bad)"
    else:
        error = refuse([leaf(bad, key_type="ed25519")], bad)
        assert error.certificate == "certificate 1 (CN=Bad)"
    assert said in error.rule
    assert error.alert == alert


BAD_LEAVES: dict[str, tuple[dict[str, Any], Alert]] = {
    "digitalSignature": ({"usage": key_usage("key_agreement")}, UNSUPPORTED),
    "extended key usage": ({"purposes": [CLIENT_AUTH]}, UNSUPPORTED),
    "1.3.6.1.4.1.55555.1": ({"extra": [(UNKNOWN_EXTENSION, True)]}, UNSUPPORTED),
    "constrains names": ({"extra": [(x509.NameConstraints([x509.DNSName("b")], None), False)]}, UNSUPPORTED),
    "subjectAltName": ({"san": False, "subject": "a.example"}, Alert.bad_certificate),
    "expired": ({"end": BEFORE}, Alert.certificate_expired),
    "not valid before": ({"begin": AFTER}, Alert.certificate_expired),
    "too weak": ({"key": rsa_key("small", 1024)}, Alert.bad_certificate),
    "not by the trusted": ({"signed_by": new_key("ed25519")}, Alert.unknown_ca),
    "neither trusted": ({"issuer_name": "Stranger"}, Alert.unknown_ca),
}


@pytest.mark.parametrize("said", BAD_LEAVES)
def test_a_bad_leaf(said: str) -> None:
    defects, alert = BAD_LEAVES[said]
    error = refuse([leaf(ROOT, **{"key_type": "ed25519", **defects})], ROOT)
    assert said in error.rule
    assert error.certificate.startswith("certificate 0 ")
    assert error.alert == alert


def test_another_name() -> None:
    assert "it is not for b.example" in refuse([LEAF, MIDDLE], ROOT, server_name="b.example").rule


def test_a_missing_intermediate() -> None:
    error = refuse([LEAF], ROOT)
    assert "CN=Middle is neither trusted nor sent along" in error.rule
    assert error.alert == Alert.unknown_ca


@pytest.mark.parametrize("is_anchor", [True, False])
def test_a_path_longer_than_allowed(is_anchor: bool) -> None:
    top = authority("Top", None if is_anchor else ROOT, key_type="ed25519", path_length=0)
    middle = authority("Middle", top, key_type="ed25519")
    error = refuse([leaf(middle), middle, top], top if is_anchor else ROOT)
    assert "at most 0 authorities" in error.rule
    assert "CN=Top" in error.certificate


def test_sha1() -> None:
    root = authority("Root")
    assert "sha1" in refuse([sha1_signed(leaf(root, key_type="ed25519"), root.key)], root).rule
    middle = sha1_signed(authority("Middle", root, key_type="ed25519"), root.key)
    assert "sha1" in refuse([leaf(middle), middle], root).rule


def test_an_old_version() -> None:
    plain = leaf(ROOT, key_type="ed25519", san=False, usage=None, purposes=[], key_identifiers=False, subject="v1")
    version_1 = Issued(with_tbs(plain, b"\xa0\x03\x02\x01\x02", b"", ROOT.key), plain.key)
    assert version_1.certificate.version is x509.Version.v1
    error = refuse([version_1], ROOT, role="client", server_name=None)
    assert "version 3" in error.rule


def test_a_malformed_issuer() -> None:
    middle = authority("Middle", ROOT, key_type="ed25519", path_length=0)
    broken = Issued(
        with_tbs(middle, b"\x30\x06\x01\x01\xff\x02\x01\x00", b"\x30\x06\x01\x01\xff\x05\x01\x00", ROOT.key), middle.key
    )
    error = refuse([leaf(middle, key_type="ed25519"), broken], ROOT)
    assert (error.rule, error.certificate) == ("it is malformed", "certificate 1")
    # ... which does not keep the good one from being found.
    assert len(find([leaf(middle, key_type="ed25519"), broken, middle], ROOT)) == 3


def test_rings_end() -> None:
    key, other = new_key("ed25519"), new_key("ed25519")
    left = authority("Left", key=key, issuer_name="Right", signed_by=other)
    right = authority("Right", key=other, issuer_name="Left", signed_by=key)
    error = refuse([leaf(left, key_type="ed25519"), left, right], ROOT)
    assert error.alert == Alert.unknown_ca
    assert "neither trusted" in error.rule


def test_very_many_possible_paths_end_soon() -> None:
    key = new_key("ed25519")
    same = [authority("Same", key=key) for _ in range(9)]
    assert "too many" in refuse([leaf(same[0], key_type="ed25519"), *same], ROOT).rule


@pytest.mark.parametrize(("intermediates", "is_found"), [(8, True), (9, True), (10, False), (12, False)])
def test_the_depth_is_bounded(intermediates: int, is_found: bool) -> None:
    authorities = [ROOT]
    for number in range(intermediates):
        authorities.append(authority(f"Authority {number}", authorities[-1], key_type="ed25519"))
    chain = [leaf(authorities[-1], key_type="ed25519"), *authorities[:0:-1]]
    if is_found:
        assert len(find(chain, ROOT)) == intermediates + 2
    else:
        assert "no valid path" in refuse(chain, ROOT).rule


def test_names_of_subjects_are_shown_clean() -> None:
    evil = leaf(ROOT, "a.example", key_type="ed25519", subject="x\n\x1b[31m" + "y" * 50)
    error = refuse([evil], ROOT, server_name="b.example")
    assert str(error).isprintable()
    assert name_of("x\n") != name_of("x")
    assert evil.certificate.public_bytes(Encoding.DER)
