"""Trust stores: how they are made, and what they hold."""

import ssl

import pytest
from cryptography import x509

from identity.pki import authority, certificates, leaf, name_of
from sanstls.errors import LocalError
from sanstls.identity import TrustStore

ROOT, OTHER = authority("Root"), authority("Other")


def test_from_pem_takes_any_number_and_drops_doubles() -> None:
    store = TrustStore.from_pem(b"# a comment\n" + ROOT.pem + OTHER.pem + ROOT.pem)
    assert list(store) == certificates(ROOT, OTHER)
    assert len(store) == 2
    assert list(TrustStore.from_pem(ROOT.pem.decode())) == certificates(ROOT)


def test_from_der_and_from_certificates() -> None:
    assert list(TrustStore.from_der([ROOT.der, OTHER.der])) == certificates(ROOT, OTHER)
    assert list(TrustStore.from_certificates(iter(certificates(ROOT, OTHER)))) == certificates(ROOT, OTHER)


def test_what_is_in_it() -> None:
    store = TrustStore(certificates(ROOT))
    assert ROOT.certificate in store
    assert OTHER.certificate not in store
    assert authority("Root").certificate not in store  # the same name, another key
    assert "Root" not in store
    assert repr(store) == "<TrustStore: 1 certificates>"


def test_issuers_are_all_of_that_name() -> None:
    twin = authority("Root")
    store = TrustStore(certificates(ROOT, OTHER, twin))
    assert store.issuers_of(leaf(ROOT).certificate) == certificates(ROOT, twin)
    assert store.issuers_of(leaf(authority("Stranger")).certificate) == []


@pytest.mark.parametrize("text", [b"", "no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_pem_without_certificates(text: bytes | str) -> None:
    with pytest.raises(LocalError, match="no readable certificates"):
        TrustStore.from_pem(text)


def test_one_broken_certificate_is_an_error() -> None:
    with pytest.raises(LocalError, match="DER"):
        TrustStore.from_der([ROOT.der, ROOT.der[:-1]])
    with pytest.raises(LocalError, match="no readable"):
        TrustStore.from_pem(ROOT.pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_a_certificate_of_no_known_version_is_an_error() -> None:
    der = ROOT.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(der)
    with pytest.raises(LocalError, match="DER"):
        TrustStore.from_der([der])


@pytest.mark.parametrize("make", [TrustStore, TrustStore.from_der, TrustStore.from_certificates])
def test_an_empty_store_is_an_error(make: type[TrustStore]) -> None:
    with pytest.raises(LocalError, match="at least one"):
        make([])


def test_subjects_are_compared_whole() -> None:
    assert name_of("Root") != name_of("root")
    assert TrustStore(certificates(ROOT)).issuers_of(leaf(authority("root")).certificate) == []


def test_certificates_whose_names_cannot_be_read() -> None:
    # The parser reads lazily: the subject of this one is only looked at when the store is made.
    der = ROOT.der.replace(b"\x0c\x04Root", b"\x0c\x04Ro\xff\xfe")
    pem = ssl.DER_cert_to_PEM_cert(der)
    with pytest.raises(LocalError, match="subject can't be read"):
        TrustStore.from_der([der])
    with pytest.raises(LocalError, match="subject can't be read"):
        TrustStore.from_pem(pem)
    with pytest.raises(LocalError, match="subject can't be read"):
        TrustStore([x509.load_der_x509_certificate(der)])


def test_a_subject_that_fails_in_another_way() -> None:
    # A BIT STRING is allowed for one kind of attribute only, and for this the parser has a TypeError.
    der = ROOT.der.replace(b"\x0c\x04Root", b"\x03\x04Root")
    with pytest.raises(TypeError):
        _ = x509.load_der_x509_certificate(der).subject
    with pytest.raises(LocalError, match="subject can't be read"):
        TrustStore.from_certificates([x509.load_der_x509_certificate(der)])
