"""Handshakes of TLS 1.2 that OpenSSL has with itself, taken apart: bytes and secrets that are not this library's."""

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sanstls.wire.registries import CipherSuite as C

Side = Literal["client", "server"]

# The names that OpenSSL has for the suites of TLS 1.2.
NAMES = {
    C.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
    C.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
    C.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
    C.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
    C.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
    C.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
    C.TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
    C.TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
}
NO_EXTENDED_MASTER_SECRET = 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET, which the ssl module has no name for


class Message(NamedTuple):
    """A handshake message with its header."""

    sender: Side
    data: bytes


class Handshake:
    """A handshake that is complete, and its two ends, which are still open."""

    def __init__(self) -> None:
        self.incoming = {"client": ssl.MemoryBIO(), "server": ssl.MemoryBIO()}
        self.outgoing = {"client": ssl.MemoryBIO(), "server": ssl.MemoryBIO()}
        self.ends: dict[str, ssl.SSLObject] = {}
        self.messages: list[Message] = []
        """All messages before the Finished messages, in order."""
        self.protected: dict[str, list[bytes]] = {"client": [], "server": []}
        """The records behind each side's change_cipher_spec: its Finished at first."""
        self.master_secret = b""
        self.private_key: Any = None
        self._changed: set[str] = set()

    @property
    def randoms(self) -> tuple[bytes, bytes]:
        """The client's and the server's."""
        client_hello, server_hello = self.messages[:2]
        return client_hello.data[6:38], server_hello.data[6:38]

    def pass_on(self, sender: Side) -> None:
        """Carry what one end has sent to the other, and keep it."""
        data = self.outgoing[sender].read()
        self.incoming["server" if sender == "client" else "client"].write(data)
        messages = b""
        for record in records(data):
            if sender in self._changed:
                self.protected[sender].append(record)
            elif record[0] == 20:
                assert record == bytes.fromhex("140303000101")
                self._changed.add(sender)
            else:
                assert record[0] == 22, record
                messages += record[5:]
        while messages:
            size = 4 + int.from_bytes(messages[1:4], "big")
            self.messages.append(Message(sender, messages[:size]))
            messages = messages[size:]


def records(data: bytes) -> list[bytes]:
    """``data`` cut into its records, headers included."""
    found = []
    while data:
        size = 5 + int.from_bytes(data[3:5], "big")
        found.append(data[:size])
        data = data[size:]
    return found


@cache
def _credential(kind: str) -> tuple[Any, bytes]:
    """A private key, and the PEM of it and of a certificate that it has signed itself."""
    key: Any = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ECDSA"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kind)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key, private + certificate.public_bytes(Encoding.PEM)


def handshake(
    suite: C = C.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    *,
    with_client_certificate: bool = False,
    with_extended_master_secret: bool = True,
) -> Handshake:
    """A handshake with ``suite``; the client has the same kind of certificate as the server."""
    made = Handshake()
    made.private_key, pem = _credential("ECDSA" if "ECDSA" in suite.name else "RSA")
    with tempfile.TemporaryDirectory() as folder:
        credential, key_log = Path(folder, "credential.pem"), Path(folder, "keys")
        credential.write_bytes(pem)
        for side, protocol in (("client", ssl.PROTOCOL_TLS_CLIENT), ("server", ssl.PROTOCOL_TLS_SERVER)):
            context = ssl.SSLContext(protocol)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(NAMES[suite])
            if not with_extended_master_secret:
                context.options |= NO_EXTENDED_MASTER_SECRET
            if side == "server" or with_client_certificate:
                context.load_cert_chain(credential)
            if side == "server":
                context.keylog_filename = str(key_log)
                if with_client_certificate:
                    context.verify_mode = ssl.CERT_REQUIRED
                    context.load_verify_locations(credential)
            made.ends[side] = context.wrap_bio(made.incoming[side], made.outgoing[side], server_side=side == "server")
        _shake_hands(made)
        made.master_secret = _master_secret(key_log.read_text())
        made.ends["server"].context.keylog_filename = None  # the file goes away
    assert made.ends["client"].version() == "TLSv1.2"
    return made


def _shake_hands(made: Handshake) -> None:
    waiting = {"client", "server"}
    while waiting:
        for side in ("client", "server"):
            if side in waiting:
                try:
                    made.ends[side].do_handshake()
                    waiting.remove(side)
                except ssl.SSLWantReadError:
                    pass
            made.pass_on("client" if side == "client" else "server")


def _master_secret(key_log: str) -> bytes:
    (line,) = [line for line in key_log.splitlines() if line.startswith("CLIENT_RANDOM ")]
    return bytes.fromhex(line.split()[2])
