"""Refusals: each says which certificate, which rule and what to do, and has the alert that fits."""

import datetime
from typing import Any, Literal

import pytest
from cryptography import x509

from identity.pki import (
    ANY_USE,
    AT,
    CLIENT_AUTH,
    DAY,
    NOW,
    SERVER_AUTH,
    UNKNOWN_EXTENSION,
    Issued,
    KeyType,
    authority,
    certificates,
    key_usage,
    leaf,
    new_key,
    rsa_key,
    sha1_signed,
)
from sanstls.errors import CertificateError
from sanstls.identity import PrivatePKI, TrustStore, WebPKI
from sanstls.identity.diagnosis import describe, explain_refusal
from sanstls.wire.registries import AlertDescription as Alert

Role = Literal["server", "client"]
Pki = tuple[KeyType, Issued, Issued]


@pytest.fixture(scope="module", params=["p256", "ed25519"])
def pki(request: pytest.FixtureRequest) -> Pki:
    """The type of all keys, a root and an intermediate; both path builders must say the same."""
    key_type: KeyType = request.param
    root = authority("Root", key_type=key_type)
    return key_type, root, authority("Middle", root, key_type=key_type)


def refuse(
    chain: list[Issued],
    *anchors: Issued,
    server_name: str | None = "a.example",
    at: float = AT,
    role: Role = "server",
    kind: type[PrivatePKI] | type[WebPKI] = PrivatePKI,
) -> CertificateError:
    verifier = kind(TrustStore(certificates(*anchors)))
    with pytest.raises(CertificateError) as caught:
        verifier.verify(certificates(*chain), server_name=server_name, at=at, role=role)
    error = caught.value
    assert str(error).startswith(f"{error.certificate}: {error.rule}")
    assert error.advice in str(error)
    return error


def test_expired(pki: Pki) -> None:
    key_type, root, middle = pki
    error = refuse([leaf(middle, key_type=key_type, subject="Leaf"), middle], root, at=AT + 31 * DAY)
    assert error.certificate == "certificate 0 (CN=Leaf)"
    assert error.rule == "it expired at 2026-07-01 12:00 UTC"
    assert error.alert == Alert.certificate_expired
    assert "the clock here says 2026-07-02 12:00 UTC" in error.advice


def test_not_yet_valid(pki: Pki) -> None:
    key_type, root, middle = pki
    error = refuse([leaf(middle, key_type=key_type), middle], root, at=AT - 31 * DAY)
    assert error.certificate == "certificate 0 (no subject)"
    assert error.rule == "it is not valid before 2026-05-02 12:00 UTC"
    assert error.alert == Alert.certificate_expired
    assert "clock" in error.advice


@pytest.mark.parametrize("place", [1, 2])
def test_an_expired_authority(pki: Pki, place: int) -> None:
    key_type, root, _ = pki
    yesterday: dict[str, Any] = {"end": NOW - datetime.timedelta(days=1)}
    root = authority("Root", key_type=key_type, **(yesterday if place == 2 else {}))
    middle = authority("Middle", root, key_type=key_type, **(yesterday if place == 1 else {}))
    error = refuse([leaf(middle, key_type=key_type), middle], root)
    assert error.certificate == f"certificate {place} (CN={'Root' if place == 2 else 'Middle'})"
    assert error.rule == "it expired at 2026-05-31 12:00 UTC"
    assert error.alert == Alert.certificate_expired


@pytest.mark.parametrize("server_name", ["b.example", "192.0.2.9"])
def test_another_name(pki: Pki, server_name: str) -> None:
    key_type, root, _ = pki
    end = leaf(root, "a.example", "*.c.example", "192.0.2.1", key_type=key_type)
    error = refuse([end], root, server_name=server_name)
    assert error.rule == f"it is not for {server_name}: its names are a.example, *.c.example, 192.0.2.1"
    assert error.alert == Alert.bad_certificate
    assert "one of its names" in error.advice


def test_no_names(pki: Pki) -> None:
    key_type, root, _ = pki
    error = refuse([leaf(root, key_type=key_type, san=False, subject="a.example")], root)
    assert error.rule == "it has no subjectAltName, where names must stand"
    assert "common name does not count" in error.advice
    only_mail = x509.SubjectAlternativeName([x509.RFC822Name("me@a.example")])
    error = refuse([leaf(root, key_type=key_type, san=False, extra=[(only_mail, True)])], root)
    assert error.rule == "it is not for a.example: its names are none"


def test_an_unknown_authority(pki: Pki) -> None:
    key_type, root, _ = pki
    stranger = authority("Stranger", key_type=key_type)
    error = refuse([leaf(stranger, key_type=key_type)], root)
    assert error.certificate == "certificate 0 (no subject)"
    assert error.rule == "its issuer CN=Stranger is neither trusted nor sent along"
    assert error.alert == Alert.unknown_ca
    assert "Add that authority to the trust store" in error.advice
    error = refuse([leaf(stranger, key_type=key_type), stranger], root)
    assert error.certificate == "certificate 1 (CN=Stranger)"
    assert error.rule == "it is self-signed and not in the trust store"


def test_a_self_signed_leaf(pki: Pki) -> None:
    key_type, root, _ = pki
    error = refuse([leaf(None, key_type=key_type, subject="Alone")], root)
    assert error.certificate == "certificate 0 (CN=Alone)"
    assert error.rule == "it is self-signed and not in the trust store"
    assert error.alert == Alert.unknown_ca
    assert "put it into the trust store" in error.advice


def test_a_missing_intermediate(pki: Pki) -> None:
    key_type, root, middle = pki
    error = refuse([leaf(middle, key_type=key_type)], root)
    assert error.rule == "its issuer CN=Middle is neither trusted nor sent along"
    assert error.alert == Alert.unknown_ca
    assert "have the peer send the intermediate" in error.advice


BAD_AUTHORITIES: list[tuple[dict[str, Any], str, Alert]] = [
    (
        {"constraints": x509.BasicConstraints(False, None)},
        "it is no authority (CA:FALSE), but issued another certificate",
        Alert.bad_certificate,
    ),
    ({"constraints": None}, "it is no authority (no basicConstraints)", Alert.bad_certificate),
    ({"usage": key_usage("crl_sign")}, "its key usage lacks keyCertSign", Alert.unsupported_certificate),
    ({"purposes": [CLIENT_AUTH]}, "its extended key usage does not allow a TLS server", Alert.unsupported_certificate),
]


@pytest.mark.parametrize(("defects", "rule", "alert"), BAD_AUTHORITIES, ids=[rule for _, rule, _ in BAD_AUTHORITIES])
def test_a_bad_intermediate(pki: Pki, defects: dict[str, Any], rule: str, alert: Alert) -> None:
    key_type, root, _ = pki
    bad = authority("Bad", root, key_type=key_type, **defects)
    error = refuse([leaf(bad, key_type=key_type), bad], root)
    assert (error.certificate, error.rule, error.alert) == ("certificate 1 (CN=Bad)", rule, alert)


def test_the_path_length(pki: Pki) -> None:
    key_type, root, _ = pki
    top = authority("Top", root, key_type=key_type, path_length=0)
    lower = authority("Lower", top, key_type=key_type)
    error = refuse([leaf(lower, key_type=key_type), lower, top], root)
    assert error.certificate == "certificate 2 (CN=Top)"
    assert error.rule == "at most 0 authorities may stand below it, there are 1"
    assert error.alert == Alert.bad_certificate


@pytest.mark.parametrize(("usages", "role"), [([CLIENT_AUTH], "server"), ([SERVER_AUTH], "client")])
def test_the_extended_key_usage(pki: Pki, usages: list[x509.ObjectIdentifier], role: Role) -> None:
    key_type, root, _ = pki
    error = refuse([leaf(root, key_type=key_type, purposes=usages)], root, role=role)
    assert error.certificate == "certificate 0 (no subject)"
    assert error.rule == f"its extended key usage does not allow a TLS {role}"
    assert error.alert == Alert.unsupported_certificate
    assert f"{role}Auth" in error.advice


def test_the_strict_extended_key_usage() -> None:
    root = authority("Root")
    any_use = leaf(root, purposes=[ANY_USE])
    error = refuse([any_use], root, kind=WebPKI)
    assert error.rule == "its extended key usage does not allow a TLS server"
    assert error.alert == Alert.unsupported_certificate
    assert "serverAuth" in error.advice


def test_name_constraints() -> None:
    root = authority("Root")
    outside: list[dict[str, Any]] = [
        {"excluded": [x509.DNSName("example")]},
        {"permitted": [x509.DNSName("b.example")]},
    ]
    for defects in outside:
        narrow = authority("Narrow", root, **defects)
        error = refuse([leaf(narrow), narrow], root)
        assert "name constraints" in error.rule
        assert error.alert == Alert.bad_certificate
        assert "issued by an authority that is allowed" in error.advice


def test_critical_extensions(pki: Pki) -> None:
    key_type, root, _ = pki
    error = refuse([leaf(root, key_type=key_type, extra=[(UNKNOWN_EXTENSION, True)])], root)
    assert "1.3.6.1.4.1.55555.1" in error.rule
    assert "critical" in error.rule
    assert error.alert == Alert.unsupported_certificate


def test_sha1() -> None:
    root = authority("Root")
    error = refuse([sha1_signed(leaf(root), root.key)], root)
    assert error.rule == "it is signed with sha1, which is broken"
    assert error.certificate == "certificate 0 (no subject)"
    middle = sha1_signed(authority("Middle", root), root.key)
    error = refuse([leaf(middle), middle], root)
    assert error.rule == "it is signed with sha1, which is broken"
    assert error.certificate == "certificate 1 (CN=Middle)"


def test_a_signature_that_is_not_by_the_anchor(pki: Pki) -> None:
    key_type, root, _ = pki
    error = refuse([leaf(root, key_type=key_type, signed_by=new_key(key_type))], root)
    assert error.rule == "its signature is not by the trusted CN=Root"
    assert error.alert == Alert.unknown_ca
    assert "up to date" in error.advice


def test_a_signature_that_is_not_by_the_intermediate(pki: Pki) -> None:
    key_type, root, middle = pki
    error = refuse([leaf(middle, key_type=key_type, signed_by=new_key(key_type)), middle], root)
    assert error.certificate == "certificate 0 (no subject)"
    assert error.rule == "its signature is not by certificate 1 (CN=Middle)"
    assert error.alert == Alert.bad_certificate


def test_the_right_one_of_two_intermediates_is_blamed(pki: Pki) -> None:
    key_type, root, _ = pki
    key = new_key(key_type)
    right = authority("Middle", root, key=key, usage=key_usage("crl_sign"))
    wrong = authority("Middle", root, key_type=key_type)
    error = refuse([leaf(right, key_type=key_type), wrong, right, wrong], root)
    assert error.certificate == "certificate 2 (CN=Middle)"


def test_weak_and_strange_keys() -> None:
    root = authority("Root")
    error = refuse([leaf(root, key=rsa_key("small", 1024))], root)
    assert error.rule == "its RSA key is too weak: 1024 bits, and not at least 2048"
    assert "stronger" in error.advice
    error = refuse([leaf(root, key_type="ed25519")], root, kind=WebPKI)
    assert error.rule == "its key is for Ed25519 or Ed448, which the public web does not use"
    assert error.alert == Alert.unsupported_certificate


def test_what_has_no_explanation_gives_the_reason() -> None:
    root = authority("Root")
    store = TrustStore(certificates(root))
    error = explain_refusal(
        certificates(leaf(root)), store, "a.example", NOW, "server", "because\n" + "x" * 999, "Try."
    )
    assert "because" in error.rule
    assert error.rule.isprintable()
    assert len(error.rule) < 300
    assert error.advice == "Try."


def test_subjects_are_shown_short_and_on_one_line() -> None:
    evil = leaf(None, subject="x\r\n\x1b[31m\u202e")
    assert describe(3, evil.certificate).startswith("certificate 3 (CN=x")
    assert describe(3, evil.certificate).isprintable()
