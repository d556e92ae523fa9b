"""The certificates that are believed without proof."""

from collections.abc import Iterable, Iterator

from cryptography import x509
from cryptography.x509.verification import Store

from sanstls.errors import LocalError

__all__ = ["TrustStore"]


class TrustStore:
    """Trust anchors, parsed once and shared. Immutable; doubles are dropped."""

    __slots__ = ("_by_subject", "_certificates", "store")

    def __init__(self, certificates: Iterable[x509.Certificate]) -> None:
        self._certificates = tuple(dict.fromkeys(certificates))
        if not self._certificates:
            raise LocalError("a trust store needs at least one certificate")
        self.store = Store(list(self._certificates))
        self._by_subject: dict[bytes, list[x509.Certificate]] = {}
        for certificate in self._certificates:
            try:  # the parser reads lazily
                subject = certificate.subject.public_bytes()
            except Exception as error:  # the parser has errors of many types
                raise LocalError(f"a certificate's subject can't be read: {error}") from error
            self._by_subject.setdefault(subject, []).append(certificate)

    @classmethod
    def from_pem(cls, data: bytes | str) -> "TrustStore":
        """From PEM text with any number of certificates. Raises ``LocalError`` if there is none or one is broken."""
        raw = data.encode() if isinstance(data, str) else bytes(data)
        try:
            return cls(x509.load_pem_x509_certificates(raw))
        except LocalError:
            raise
        except Exception as error:  # the parser has errors of many types
            raise LocalError(f"the PEM text holds no readable certificates: {error}") from error

    @classmethod
    def from_der(cls, certificates: Iterable[bytes]) -> "TrustStore":
        """From DER certificates. Raises ``LocalError`` if there is none or one is broken."""
        try:
            return cls([x509.load_der_x509_certificate(der) for der in certificates])
        except LocalError:
            raise
        except Exception as error:  # the parser has errors of many types
            raise LocalError(f"a certificate can't be read as DER: {error}") from error

    @classmethod
    def from_certificates(cls, certificates: Iterable[x509.Certificate]) -> "TrustStore":
        """From certificates of the ``cryptography`` package."""
        return cls(certificates)

    def issuers_of(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """The anchors whose subject is the issuer of ``certificate``."""
        return self._by_subject.get(certificate.issuer.public_bytes(), [])

    def __contains__(self, certificate: object) -> bool:
        return certificate in self._certificates

    def __iter__(self) -> Iterator[x509.Certificate]:
        return iter(self._certificates)

    def __len__(self) -> int:
        return len(self._certificates)

    def __repr__(self) -> str:
        return f"<TrustStore: {len(self)} certificates>"
