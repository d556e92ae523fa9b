"""Credentials: what belongs together, and what they can sign."""

import contextlib
import copy
import pickle

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from identity.pki import EDDSA, KEY_TYPES, KeyType, authority, key_usage, leaf, new_key, pss_leaf, rsa_key, with_tbs
from sanstls.errors import LocalError
from sanstls.identity import Credential
from sanstls.wire.registries import SignatureScheme as Scheme

ROOT = authority("Root")
INTERMEDIATE = authority("Intermediate", ROOT)
LEAF = leaf(INTERMEDIATE, "a.example", "*.b.example", "192.0.2.1", "2001:db8::1", subject="Leaf")
CHAIN = [LEAF.der, INTERMEDIATE.der, ROOT.der]
CHAIN_PEM = LEAF.pem + INTERMEDIATE.pem


def test_from_pem() -> None:
    credential = Credential.from_pem(CHAIN_PEM, LEAF.key_pem())
    assert credential.chain == (LEAF.der, INTERMEDIATE.der)
    assert credential.leaf == LEAF.certificate
    assert credential.key is not None
    assert credential.public_key == LEAF.key.public_key()
    assert Credential.from_pem(CHAIN_PEM.decode(), LEAF.key_pem().decode()).chain == credential.chain


def test_from_der() -> None:
    credential = Credential.from_der(CHAIN, LEAF.key_der())
    assert credential.chain == tuple(CHAIN)
    assert credential.certificates == (LEAF.certificate, INTERMEDIATE.certificate, ROOT.certificate)


@pytest.mark.parametrize("key_type", ["rsa", "p384"])
def test_traditional_forms_of_keys(key_type: KeyType) -> None:
    owner = leaf(ROOT, key_type=key_type)  # PKCS #1 and SEC 1
    form = PrivateFormat.TraditionalOpenSSL
    assert Credential.from_pem(owner.pem, owner.key_pem(form=form)).key is not None
    assert Credential.from_pem(owner.pem, owner.key_pem(b"secret", form), "secret").key is not None
    assert Credential.from_der([owner.der], owner.key_der(form=form)).key is not None


def test_passwords() -> None:
    key_pem, key_der = LEAF.key_pem("pässword".encode()), LEAF.key_der(b"password")
    assert Credential.from_pem(CHAIN_PEM, key_pem, "pässword").key is not None
    assert Credential.from_pem(CHAIN_PEM, key_pem, "pässword".encode()).key is not None
    assert Credential.from_der(CHAIN, key_der, "password").key is not None


@pytest.mark.parametrize(
    ("key", "password", "said"),
    [
        (LEAF.key_pem(b"right"), "hunter2", "wrong password"),
        (LEAF.key_pem(b"right"), None, "give password="),
        (LEAF.key_pem(), "hunter2", "give no password"),
        (LEAF.key_pem()[:60], None, "damaged"),
        (b"", None, "no private key"),
        (CHAIN_PEM, None, "no private key"),
    ],
)
def test_keys_that_cannot_be_read(key: bytes, password: str | None, said: str) -> None:
    with pytest.raises(LocalError, match=said) as caught:
        Credential.from_pem(CHAIN_PEM, key, password)
    assert "hunter2" not in str(caught.value)


def test_der_keys_that_cannot_be_read() -> None:
    with pytest.raises(LocalError, match="wrong password"):
        Credential.from_der(CHAIN, LEAF.key_der(b"right"), b"wrong")
    with pytest.raises(LocalError, match="damaged"):
        Credential.from_der(CHAIN, LEAF.key_der()[:-3])


def test_a_key_of_somebody_else() -> None:
    with pytest.raises(LocalError, match=r"does not belong to the certificate of CN=Leaf"):
        Credential.from_pem(CHAIN_PEM, INTERMEDIATE.key_pem())
    with pytest.raises(LocalError, match="does not belong"):
        Credential.from_der(CHAIN, leaf(ROOT, key_type="ed25519").key_der())


def test_a_key_may_be_kept_elsewhere() -> None:
    assert Credential.from_pem(CHAIN_PEM, None).key is None
    credential = Credential.from_der(CHAIN, None)
    assert credential.key is None
    assert credential.signature_schemes == (Scheme.ecdsa_secp256r1_sha256,)


@pytest.mark.parametrize("chain", [[LEAF.der, ROOT.der], [LEAF.der, ROOT.der, INTERMEDIATE.der], [LEAF.der, LEAF.der]])
def test_a_chain_out_of_order(chain: list[bytes]) -> None:
    with pytest.raises(LocalError, match=r"out of order: certificate 0 was issued by 'CN=Intermediate'"):
        Credential(chain, LEAF.key)


def test_the_length_of_chains() -> None:
    assert len(Credential([ROOT.der] * 10, ROOT.key).chain) == 10
    with pytest.raises(LocalError, match="1 to 10 certificates, not 11"):
        Credential([ROOT.der] * 11, ROOT.key)
    with pytest.raises(LocalError, match="not 0"):
        Credential([], ROOT.key)


def test_chains_that_cannot_be_read() -> None:
    with pytest.raises(LocalError, match="can't be read"):
        Credential([LEAF.der[:-1]], LEAF.key)
    with pytest.raises(LocalError, match="can't be read"):
        Credential([LEAF.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)], LEAF.key)
    for text in ("", "no PEM", LEAF.key_pem()):
        with pytest.raises(LocalError, match="no readable certificates"):
            Credential.from_pem(text, None)


@pytest.mark.parametrize("place", [0, 1])
def test_chains_whose_names_cannot_be_read(place: int) -> None:
    # The parser reads lazily: these names are only looked at when their order is checked.
    chain = [LEAF.der, INTERMEDIATE.der]
    name = INTERMEDIATE.certificate.subject.public_bytes()
    assert name in chain[place]
    chain[place] = chain[place].replace(name, name[:-2] + b"\xff\xfe")
    x509.load_der_x509_certificate(chain[place])
    with pytest.raises(LocalError, match="can't be read"):
        Credential(chain, LEAF.key)


@given(st.data())
def test_a_damaged_chain_is_a_local_error_or_loads(data: st.DataObject) -> None:
    der = bytearray(LEAF.der)
    for place in data.draw(st.lists(st.integers(0, len(der) - 1), min_size=1, max_size=3)):
        der[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(LocalError):
        Credential([bytes(der)], None)


SCHEMES: dict[KeyType, tuple[Scheme, ...]] = {
    "rsa": (Scheme.rsa_pss_rsae_sha256, Scheme.rsa_pss_rsae_sha384, Scheme.rsa_pss_rsae_sha512),
    "p256": (Scheme.ecdsa_secp256r1_sha256,),
    "p384": (Scheme.ecdsa_secp384r1_sha384,),
    "p521": (Scheme.ecdsa_secp521r1_sha512,),
    "ed25519": (Scheme.ed25519,),
    "ed448": (Scheme.ed448,),
    "mldsa65": (Scheme.mldsa65,),
}


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_schemes_of_each_key(key_type: KeyType) -> None:
    owner = leaf(ROOT, key_type=key_type)
    assert Credential([owner.der], owner.key).signature_schemes == SCHEMES[key_type]


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_schemes_for_tls12(key_type: KeyType) -> None:
    owner = leaf(ROOT, key_type=key_type)
    last = (Scheme.rsa_pkcs1_sha256, Scheme.rsa_pkcs1_sha384, Scheme.rsa_pkcs1_sha512) if key_type == "rsa" else ()
    # ML-DSA signs nothing there.
    expected = () if key_type == "mldsa65" else SCHEMES[key_type] + last
    assert Credential([owner.der], owner.key).signature_schemes_tls12 == expected


def test_a_small_rsa_key_has_no_room_for_every_hash() -> None:
    owner = leaf(ROOT, key=rsa_key("small", 1024))  # 128 bytes: SHA-512 needs 130
    credential = Credential([owner.der], owner.key)
    assert credential.signature_schemes == (Scheme.rsa_pss_rsae_sha256, Scheme.rsa_pss_rsae_sha384)


def test_an_rsassa_pss_key_signs_by_its_own_schemes() -> None:
    owner = pss_leaf(ROOT)
    credential = Credential.from_der([owner.der], owner.key_der())
    assert credential.signature_schemes == (
        Scheme.rsa_pss_pss_sha256,
        Scheme.rsa_pss_pss_sha384,
        Scheme.rsa_pss_pss_sha512,
    )
    assert credential.signature_schemes_tls12 == credential.signature_schemes  # RFC 4055 1.2: such a key does only PSS


def test_keys_that_cannot_sign_handshakes() -> None:
    unusual = ec.generate_private_key(ec.SECP256K1())
    owner = leaf(ROOT, key=unusual)
    with pytest.raises(LocalError, match="ECPublicKey can't sign"):
        Credential([owner.der], unusual)
    exchange = x25519.X25519PrivateKey.generate()
    pem = exchange.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(LocalError, match="X25519PrivateKey can't sign"):
        Credential.from_pem(CHAIN_PEM, pem)
    with pytest.raises(LocalError, match="a private key is needed, not a bytes"):
        Credential(CHAIN, LEAF.key_pem())  # type: ignore[arg-type]
    with pytest.raises(LocalError, match="a private key is needed"):
        Credential(CHAIN, exchange)  # type: ignore[arg-type]


def test_a_certificate_for_key_exchange_cannot_sign() -> None:
    old = leaf(ROOT, key_type="ed25519")
    ed, x = bytes.fromhex("300506032b6570032100"), bytes.fromhex("300506032b656e032100")
    certificate = with_tbs(old, ed, x, ROOT.key)
    with pytest.raises(LocalError, match="X25519PublicKey can't sign"):
        Credential([certificate.public_bytes(Encoding.DER)], None)


def test_names() -> None:
    credential = Credential(CHAIN, LEAF.key)
    assert credential.names == ("a.example", "*.b.example", "192.0.2.1", "2001:db8::1")
    unnamed = leaf(ROOT, san=False, subject="a.example")
    assert Credential([unnamed.der], unnamed.key).names == ()
    assert not Credential([unnamed.der], unnamed.key).matches("a.example")


@pytest.mark.parametrize(
    "name", ["a.example", "A.Example.", "x.b.example", "192.0.2.1", "2001:db8::1", "2001:DB8:0::0001"]
)
def test_matches(name: str) -> None:
    assert Credential(CHAIN, LEAF.key).matches(name)


@pytest.mark.parametrize("name", ["b.example", "c.a.example", "192.0.2.2", "", "*.b.example", "a.example\x00", "ä"])
def test_does_not_match(name: str) -> None:
    assert not Credential(CHAIN, LEAF.key).matches(name)


def test_a_wildcard_is_for_no_address() -> None:
    owner = leaf(ROOT, "*.0.2.1", san=False, extra=[(x509.SubjectAlternativeName([x509.DNSName("*.0.2.1")]), False)])
    assert not Credential([owner.der], owner.key).matches("192.0.2.1")


@pytest.mark.parametrize("key_type", ["p256", "rsa", *EDDSA])
def test_its_repr_tells_no_secret(key_type: KeyType) -> None:
    owner = leaf(ROOT, key_type=key_type, subject="Leaf")
    text = repr(Credential([owner.der], owner.key))
    assert text.startswith("<Credential of CN=Leaf: ")
    for scheme in SCHEMES[key_type]:
        assert str(scheme) in text
    assert "PrivateKey" not in text
    assert owner.key_der().hex() not in text


def test_its_repr_without_subject() -> None:
    named, unnamed = leaf(ROOT, "a.example"), leaf(ROOT, san=False, usage=key_usage("digital_signature"))
    assert "of a.example:" in repr(Credential([named.der], named.key))
    assert "of (no name):" in repr(Credential([unnamed.der], unnamed.key))


def test_it_does_not_leave_the_process() -> None:
    credential = Credential(CHAIN, LEAF.key)
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="private key"):
            leave(credential)


def test_a_key_from_memory_need_not_be_of_the_same_object() -> None:
    key = new_key("p256")
    owner = leaf(ROOT, key=key)
    assert Credential([owner.der], key).key is key


def test_dsa_keys_are_refused() -> None:
    key = dsa.generate_private_key(2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(LocalError, match="DSAPrivateKey can't sign"):
        Credential.from_pem(CHAIN_PEM, pem)
