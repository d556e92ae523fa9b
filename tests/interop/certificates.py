"""Certificates that are valid today, as files for the peers and as credentials for our own side."""

import datetime
import ssl
from functools import cached_property
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from identity import pki
from sanstls import Credential, TrustStore

Kind = Literal["rsa", "rsa-pss", "p256", "p384", "p521", "ed25519", "ed448"]
KINDS: tuple[Kind, ...] = ("rsa", "rsa-pss", "p256", "p384", "p521", "ed25519", "ed448")
RSA_KINDS: tuple[Kind, ...] = ("rsa", "rsa-pss")

NAME, OTHER_NAME = "server.example", "other.example"

_DAY = datetime.timedelta(days=1)
_RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
_RSASSA_PSS = bytes.fromhex("300b06092a864886f70d01010a")


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _pem(label: str, der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", label).encode()


class Identity:
    """A certificate with its key: PEM files for the peers, a credential for us."""

    def __init__(self, folder: Path, name: str, issued: pki.Issued, issuer: pki.Issued, key_pem: bytes) -> None:
        self._issued, self._issuer = issued, issuer
        self.certificate_file, self.key_file = folder / f"{name}.pem", folder / f"{name}.key"
        self.certificate_file.write_bytes(issued.pem)
        self.key_file.write_bytes(key_pem)
        self._staple_file = folder / f"{name}.ocsp"

    @property
    def der(self) -> bytes:
        return self._issued.der

    @cached_property
    def credential(self) -> Credential:
        """From the very files that the peers load."""
        return Credential.from_pem(self.certificate_file.read_bytes(), self.key_file.read_bytes())

    @cached_property
    def staple(self) -> bytes:
        """An OCSP response of the issuer's: the certificate is good (DER). GnuTLS wants its name, not a hash."""
        now = datetime.datetime.now(datetime.UTC)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=self._issued.certificate,
            issuer=self._issuer.certificate,
            algorithm=hashes.SHA1(),  # noqa: S303 - names the certificate, and protects nothing
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now - _DAY,
            next_update=now + _DAY,
            revocation_time=None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, self._issuer.certificate)
        return builder.sign(self._issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)

    @cached_property
    def staple_file(self) -> Path:
        self._staple_file.write_bytes(self.staple)
        return self._staple_file


class Certificates:
    """A root, a leaf of each kind that it has signed, and a root of which nobody has heard."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = self._authority("Root of the tests")
        self._made: dict[tuple[Kind, str], Identity] = {}
        self.root_file = folder / "root.pem"
        self.root_file.write_bytes(self._root.pem)
        self.store = TrustStore.from_certificates([self._root.certificate])
        stranger = self._authority("A stranger's root")
        self.stranger_file = folder / "stranger.pem"
        self.stranger_file.write_bytes(stranger.pem)
        self.strange_store = TrustStore.from_certificates([stranger.certificate])

    @staticmethod
    def _authority(name: str) -> pki.Issued:
        now = datetime.datetime.now(datetime.UTC)
        return pki.authority(name, begin=now - _DAY, end=now + _DAY)

    def __getitem__(self, kind: Kind) -> Identity:
        return self.issue(kind, NAME)

    def issue(self, kind: Kind, name: str) -> Identity:
        """A leaf for both roles; a plain RSA key may be encrypted to, as RSA key transport needs it."""
        made = self._made.get((kind, name))
        if made is None:
            made = self._made[kind, name] = self._issue(kind, name)
        return made

    def _issue(self, kind: Kind, name: str) -> Identity:
        now = datetime.datetime.now(datetime.UTC)
        usage = pki.key_usage("digital_signature", *(("key_encipherment",) if kind == "rsa" else ()))
        issued = pki.leaf(
            self._root,
            name,
            key=pki.rsa_key("pss") if kind == "rsa-pss" else pki.new_key(kind),
            subject=f"{kind} of {name}",
            usage=usage,
            begin=now - _DAY,
            end=now + _DAY,
        )
        key_pem = issued.key_pem()
        if kind == "rsa-pss":
            issued, key_pem = self._restricted_to_pss(issued)
        return Identity(self._folder, f"{kind}-{name}", issued, self._root, key_pem)

    def _restricted_to_pss(self, issued: pki.Issued) -> tuple[pki.Issued, bytes]:
        """The same with the type RSASSA-PSS (RFC 4055) in certificate and key file."""
        spki = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        public = spki[spki.index(_RSA_ENCRYPTION) + len(_RSA_ENCRYPTION) :]
        certificate = pki.with_tbs(issued, spki, _tlv(0x30, _RSASSA_PSS + public), self._root.key)
        plain = issued.key_der()
        private = plain[plain.index(_RSA_ENCRYPTION) + len(_RSA_ENCRYPTION) :]
        key_pem = _pem("PRIVATE KEY", _tlv(0x30, b"\x02\x01\x00" + _RSASSA_PSS + private))
        return pki.Issued(certificate, issued.key), key_pem
