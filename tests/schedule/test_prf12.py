"""The secrets of TLS 1.2: published vectors, and what OpenSSL computes from the same inputs."""

import hashlib
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from openssl12 import Handshake, handshake
from sanstls.schedule.prf12 import (
    CLIENT_FINISHED,
    SERVER_FINISHED,
    KeyBlock,
    exporter,
    extended_master_secret,
    key_block,
    master_secret,
    prf,
    verify_data,
)
from sanstls.wire.messages12 import ClientKeyExchangeRSA
from sanstls.wire.registries import CipherSuite

HASHES = ("sha256", "sha384")
each_hash = pytest.mark.parametrize("name", HASHES)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")

# Published on the list of the TLS working group by N. Mavrogiannopoulos (2009): secret, seed, output for "test label".
VECTORS = {
    "sha256": (
        "9bbe436ba940f017b17652849a71db35",
        "a0ba9f936cda311827a6f796ffd5198c",
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077d"
        "ef17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66",
    ),
    "sha384": (
        "b80b733d6ceefcdc71566ea48e5567df",
        "cd665cf6a8447dd6ff8b27555edb7465",
        "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed"
        "2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec4"
        "79e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f",
    ),
}


@each_hash
def test_published_vectors(name: str) -> None:
    secret, seed, output = map(bytes.fromhex, VECTORS[name])
    assert prf(name, secret, b"test label", seed, len(output)) == output
    for length in (0, 1, 31, 32, 33, 47, 48, 49, 64, 96):
        assert prf(name, secret, b"test label", seed, length) == output[:length]


# OpenSSL's own PRF ------------------------------------------------------------------------------------------------


def tls1_prf(name: str, secret: bytes, seed: bytes, length: int) -> bytes:
    """The PRF of the openssl program, for which the label is the beginning of the seed."""
    command = ["openssl", "kdf", "-keylen", str(length), "-kdfopt", f"digest:{name}"]
    command += ["-kdfopt", f"hexsecret:{secret.hex()}", "-kdfopt", f"hexseed:{seed.hex()}", "TLS1-PRF"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if "nvalid command" in run.stderr:
        pytest.skip("needs an openssl program that has `openssl kdf` (OpenSSL 3)")
    assert run.returncode == 0, run.stderr
    return bytes.fromhex(run.stdout.strip().replace(":", ""))


CLIENT, SERVER, DIGEST = bytes(range(32)), bytes(range(100, 132)), bytes(range(200, 248))
BOTH = CLIENT + SERVER


@needs_openssl
@each_hash
def test_all_secrets_against_openssl(name: str) -> None:
    premaster, master, digest = b"\x03\x03" + bytes(46), bytes(range(48)), DIGEST[: hashlib.new(name).digest_size]
    assert master_secret(name, premaster, CLIENT, SERVER) == tls1_prf(name, premaster, b"master secret" + BOTH, 48)
    expected = tls1_prf(name, premaster, b"extended master secret" + digest, 48)
    assert extended_master_secret(name, premaster, digest) == expected
    for label in (CLIENT_FINISHED, SERVER_FINISHED):
        assert verify_data(name, master, label, digest) == tls1_prf(name, master, label + digest, 12)
    for key_size, iv_size in ((16, 4), (32, 4), (32, 12)):
        block = tls1_prf(name, master, b"key expansion" + SERVER + CLIENT, 2 * (key_size + iv_size))
        keys = key_block(name, master, CLIENT, SERVER, key_size, iv_size)
        assert b"".join(keys) == block
        assert list(map(len, keys)) == [key_size, key_size, iv_size, iv_size]
        assert keys.client_write_key == block[:key_size]
        assert keys.server_write_IV == block[-iv_size:]


@needs_openssl
@each_hash
def test_the_exporter_against_openssl(name: str) -> None:
    master = bytes(range(48))
    label = b"EXPERIMENTAL something"
    seeds = {None: label + BOTH, b"": label + BOTH + b"\0\0", b"context": label + BOTH + b"\0\x07context"}
    for context, seed in seeds.items():
        for length in (1, 32, 200):
            expected = tls1_prf(name, master, seed, length)
            assert exporter(name, master, label, CLIENT, SERVER, context, length) == expected


@needs_openssl
@each_hash
@given(secret=st.binary(min_size=1, max_size=300), seed=st.binary(min_size=1, max_size=300), length=st.integers(1, 300))
@settings(max_examples=8)
def test_random_inputs_against_openssl(name: str, secret: bytes, seed: bytes, length: int) -> None:
    assert prf(name, secret, seed[:5], seed[5:], length) == tls1_prf(name, secret, seed, length)


# A handshake of OpenSSL -------------------------------------------------------------------------------------------

SUITE = CipherSuite.TLS_RSA_WITH_AES_256_GCM_SHA384
each_kind = pytest.mark.parametrize("is_extended", [True, False], ids=["extended", "not extended"])


def premaster_of(made: Handshake) -> bytes:
    """The premaster secret that OpenSSL's client made: for RSA key transport, the key pair opens it."""
    (raw,) = [data for _, data in made.messages if data[0] == ClientKeyExchangeRSA.msg_type]
    exchange = ClientKeyExchangeRSA.parse(raw[4:])
    premaster: bytes = made.private_key.decrypt(exchange.encrypted_pre_master_secret, PKCS1v15())
    assert premaster[:2] == b"\x03\x03"
    assert len(premaster) == 48
    return premaster


@each_kind
def test_the_master_secret_of_a_handshake(is_extended: bool) -> None:
    made = handshake(SUITE, with_client_certificate=True, with_extended_master_secret=is_extended)
    if is_extended:
        # RFC 7627 3: up to ClientKeyExchange, which leaves CertificateVerify out
        end = [data[0] for _, data in made.messages].index(ClientKeyExchangeRSA.msg_type) + 1
        session_hash = hashlib.sha384(b"".join(data for _, data in made.messages[:end])).digest()
        computed = extended_master_secret("sha384", premaster_of(made), session_hash)
    else:
        computed = master_secret("sha384", premaster_of(made), *made.randoms)
    assert computed == made.master_secret


@each_kind
def test_keys_and_finished_of_a_handshake(is_extended: bool) -> None:
    made = handshake(SUITE, with_client_certificate=True, with_extended_master_secret=is_extended)
    keys = key_block("sha384", made.master_secret, *made.randoms, 32, 4)
    *before, (last_sender, ticket) = made.messages
    assert (last_sender, ticket[0]) == ("server", 4)  # NewSessionTicket, between the two Finished messages
    transcript = b"".join(data for _, data in before)
    for side, key, iv, label in (
        ("client", keys.client_write_key, keys.client_write_IV, CLIENT_FINISHED),
        ("server", keys.server_write_key, keys.server_write_IV, SERVER_FINISHED),
    ):
        (record,) = made.protected[side]
        # RFC 5246 6.2.3.3, written out: the first record, of 16 bytes.
        associated = bytes(8) + bytes.fromhex("16 0303 0010")
        finished = AESGCM(key).decrypt(iv + record[5:13], record[13:], associated)
        digest = hashlib.sha384(transcript).digest()
        assert finished == bytes.fromhex("1400000c") + verify_data("sha384", made.master_secret, label, digest)
        transcript += finished + ticket


# What they depend on ----------------------------------------------------------------------------------------------


@each_hash
def test_secrets_depend_on_all_that_goes_in(name: str) -> None:
    a, b = b"a" * 48, b"b" * 48
    assert len({master_secret(name, s, c, r) for s in (a, b) for c in (CLIENT, SERVER) for r in (CLIENT, SERVER)}) == 8
    assert len({extended_master_secret(name, s, d) for s in (a, b) for d in (CLIENT, SERVER)}) == 4
    finished = {verify_data(name, s, x, d) for s in (a, b) for x in (CLIENT_FINISHED, SERVER_FINISHED) for d in (a, b)}
    assert len(finished) == 8
    assert {len(data) for data in finished} == {12}
    assert key_block(name, a, CLIENT, SERVER, 16, 4) != key_block(name, a, SERVER, CLIENT, 16, 4)


@each_hash
def test_no_context_is_not_an_empty_one(name: str) -> None:
    outputs = {exporter(name, bytes(48), b"x", CLIENT, SERVER, context, 32) for context in (None, b"", b"\0", b"\0\0")}
    assert len(outputs) == 4


@pytest.mark.parametrize(
    "label", [b"client finished", b"server finished", b"master secret", b"extended master secret", b"key expansion"]
)
def test_labels_that_tls_uses_itself(label: bytes) -> None:
    # RFC 5705 4: an application must not have what the handshake itself may compute.
    with pytest.raises(ValueError, match=label.decode()):
        exporter("sha256", bytes(48), label, CLIENT, SERVER, None, 32)


def test_the_longest_context() -> None:
    assert len(exporter("sha256", bytes(48), b"x", CLIENT, SERVER, bytes(65535), 32)) == 32
    with pytest.raises(ValueError, match="65536 bytes"):
        exporter("sha256", bytes(48), b"x", CLIENT, SERVER, bytes(65536), 32)


def test_keys_are_not_shown() -> None:
    keys = KeyBlock(b"secret", b"secret", b"secret", b"secret")
    assert "secret" not in repr(keys)
    assert "secret" not in f"{keys}"
