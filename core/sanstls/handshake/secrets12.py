"""Premaster secret, master secret and keys of a TLS 1.2 handshake (RFC 5246 8.1, 6.3; RFC 7627 4)."""

import hmac

from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sanstls.crypto.signatures import RSASSA_PSS_OID
from sanstls.errors import CertificateError
from sanstls.events import PremasterDecryptionRequest
from sanstls.handshake.vocabulary import ClientHandshake, Flow, Handshake, ServerHandshake
from sanstls.identity import Credential
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.schedule.prf12 import (
    MASTER_SECRET_SIZE,
    KeyBlock,
    extended_master_secret,
    key_block,
    master_secret,
    verify_data,
)
from sanstls.wire.messages import ClientHello, Finished
from sanstls.wire.registries import AlertDescription

__all__ = [
    "check_finished12",
    "decrypt_premaster_secret",
    "derive_keys",
    "derive_master_secret",
    "encrypt_premaster_secret",
    "make_finished12",
    "tell_resumed_secret",
]

_PREMASTER_SIZE = 48


def encrypt_premaster_secret(hs: ClientHandshake, hello: ClientHello, key: object, key_oid: str) -> tuple[bytes, bytes]:
    """RFC 5246 7.4.7.1: a new premaster secret, and the same encrypted to the server's public key."""
    premaster = hello.legacy_version.to_bytes(2, "big") + hs.config.random(_PREMASTER_SIZE - 2)
    if not isinstance(key, rsa.RSAPublicKey) or key_oid == RSASSA_PSS_OID:  # RFC 4055 1.2: that one only signs
        raise PeerMisbehaviour.KEY_DOES_NOT_FIT_SUITE(f"RSA key transport with a {type(key).__name__} of {key_oid}")
    try:
        encrypted = key.encrypt(premaster, padding.PKCS1v15())
    except ValueError as error:
        raise CertificateError(
            "its RSA key can't encrypt a premaster secret",
            certificate="certificate 0",
            alert=AlertDescription.unsupported_certificate,
        ) from error
    use = f"made by the client, encrypted to the server's public key (RSA, {key.key_size} bits)"
    hs.tell_secret("premaster_secret", premaster, use)
    return premaster, encrypted


def decrypt_premaster_secret(
    hs: ServerHandshake, hello: ClientHello, credential: Credential, encrypted: bytes
) -> Flow[bytes]:
    """RFC 5246 7.4.7.1: the client's premaster secret, or one that nobody knows.

    A wrong padding, a wrong length and a wrong version all lead to the random one by
    the same steps, without a branch: the handshake then fails at the client's
    Finished, as it does with any other wrong key. It is drawn in every case, and
    before the decryption.
    """
    random = hs.config.random(_PREMASTER_SIZE)
    key = credential.key

    def decrypt_here() -> bytes:
        assert isinstance(key, rsa.RSAPrivateKey)
        try:
            return key.decrypt(encrypted, padding.PKCS1v15())
        except ValueError:  # of a ciphertext that is not as long as the modulus, which is no secret
            return b""

    request = PremasterDecryptionRequest(encrypted, credential)
    decrypted = yield from hs.ask(request, None if key is None else decrypt_here)
    candidate = (decrypted + bytes(_PREMASTER_SIZE))[:_PREMASTER_SIZE]
    version = hello.legacy_version.to_bytes(2, "big")
    is_good = hmac.compare_digest(candidate[:2], version) & (len(decrypted) == _PREMASTER_SIZE)
    premaster = (random, candidate)[is_good]
    hs.tell_secret("premaster_secret", premaster, "made by the client, decrypted with the server's private key")
    return premaster


def derive_master_secret(hs: Handshake, premaster: bytes, server_random: bytes, *, is_extended: bool) -> bytes:
    """RFC 5246 8.1, or RFC 7627 4: over the messages up to the ClientKeyExchange."""
    hash_name = hs.suite12.hash_name
    if is_extended:
        master = extended_master_secret(hash_name, premaster, hs.transcript_hash())
        origin = "the premaster secret and all messages up to ClientKeyExchange, both randoms among them"
    else:
        master = master_secret(hash_name, premaster, hs.client_random, server_random)
        origin = "the premaster secret, the client's and the server's random"
    assert len(master) == MASTER_SECRET_SIZE
    hs.tell_secret("master_secret", master, f"comes from {origin}", "CLIENT_RANDOM")
    return master


def tell_resumed_secret(hs: Handshake, master: bytes) -> None:
    """RFC 5246 F.1.4: the master secret of a resumed session is the one of its full handshake."""
    hs.tell_secret("master_secret", master, "comes from the session that is resumed", "CLIENT_RANDOM")


def derive_keys(hs: Handshake, master: bytes, server_random: bytes) -> KeyBlock:
    """RFC 5246 6.3: the keys of both directions, ready before either is used."""
    suite = hs.suite12
    keys = key_block(suite.hash_name, master, hs.client_random, server_random, suite.key_size, suite.fixed_iv_size)
    use = "session keys of both directions, from the master secret and both randoms"
    hs.tell_secret("key_block", b"".join(keys), use)
    return keys


def make_finished12(hs: Handshake, master: bytes, label: bytes) -> Finished:
    """RFC 5246 7.4.9: over the messages so far."""
    return Finished(verify_data(hs.suite12.hash_name, master, label, hs.transcript_hash()))


def check_finished12(hs: Handshake, message: Finished, master: bytes, label: bytes, handshake_hash: bytes) -> None:
    """RFC 5246 7.4.9: ``handshake_hash`` is over the messages before this one."""
    expected = verify_data(hs.suite12.hash_name, master, label, handshake_hash)
    if not hmac.compare_digest(message.verify_data, expected):
        raise PeerMisbehaviour.WRONG_FINISHED()
