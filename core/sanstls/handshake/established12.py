"""What a finished handshake of TLS 1.2 leaves behind. Keys stay as they are, and there is no second handshake."""

from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sanstls.crypto.suites import Suite12
from sanstls.errors import LocalError
from sanstls.events import ConnectionInfo, Event
from sanstls.schedule.prf12 import exporter
from sanstls.wire.messages import ClientHello, HandshakeMessage, KeyUpdate, NewSessionTicket
from sanstls.wire.messages12 import HelloRequest
from sanstls.wire.registries import AlertDescription, KeyUpdateRequest

__all__ = ["Established12", "Secrets12"]

_WEAK_HASHES = (hashes.MD5, hashes.SHA1)


class Secrets12(NamedTuple):
    """What of a handshake's secrets outlives it."""

    master_secret: bytes
    client_random: bytes
    server_random: bytes
    is_extended: bool

    def __repr__(self) -> str:
        return "Secrets12(…)"


class Established12:
    """TLS 1.2: a renegotiation may be asked for, and is refused (RFC 5746 5, RFC 5246 7.2.2)."""

    __slots__ = ("_first_finished", "_secrets", "_server_certificate", "_suite", "expects", "info", "owes_key_update")
    can_update_keys = False
    owed_tickets = 0

    def __init__(
        self,
        info: ConnectionInfo,
        suite: Suite12,
        secrets: Secrets12,
        *,
        is_client: bool,
        first_finished: bytes,
        server_certificate: bytes,
    ) -> None:
        self.info = info
        self.expects: tuple[type[HandshakeMessage], ...] = (HelloRequest,) if is_client else (ClientHello,)
        self.owes_key_update = False
        self._suite = suite
        self._secrets = secrets
        self._first_finished = first_finished
        self._server_certificate = server_certificate

    def receive(self, message: HandshakeMessage) -> tuple[list[Event], AlertDescription | None]:
        """Refuse: the alert is a warning, and whether to go on is the peer's choice (RFC 5246 7.4.1.1)."""
        return [], AlertDescription.no_renegotiation

    def update_sending_keys(self, request: KeyUpdateRequest) -> KeyUpdate:
        """There is no such thing."""
        raise LocalError("TLS 1.2 can't update its keys; TLS 1.3 can")

    def send_ticket(self) -> tuple[NewSessionTicket | None, list[Event]]:
        """Tickets of TLS 1.2 are part of its handshake."""
        return None, []

    def export(self, label: bytes, length: int, context: bytes | None) -> bytes:
        """RFC 5705 4; refused without extended master secret (RFC 7627 5.4)."""
        secrets = self._secrets
        self._require_extended("keying material")
        if not 0 < length <= _MOST_EXPORTED:
            raise LocalError(f"between 1 and {_MOST_EXPORTED} bytes can be exported")
        if not label:
            raise LocalError("an exporter label must not be empty")
        try:
            return exporter(
                self._suite.hash_name,
                secrets.master_secret,
                label,
                secrets.client_random,
                secrets.server_random,
                context,
                length,
            )
        except ValueError as error:
            raise LocalError(str(error)) from None

    def channel_binding(self, kind: str) -> bytes:
        """RFC 5929 and RFC 9266."""
        if kind == "tls-exporter":
            return self.export(b"EXPORTER-Channel-Binding", 32, b"")
        if kind == "tls-unique":
            self._require_extended("tls-unique")
            return self._first_finished
        if kind == "tls-server-end-point":
            return server_end_point(self._server_certificate)
        raise LocalError(f"there is no channel binding {kind!r}; tls-unique, tls-server-end-point and tls-exporter are")

    def _require_extended(self, what: str) -> None:
        if not self._secrets.is_extended:
            raise LocalError(f"without extended master secret, {what} would not be bound to this connection (RFC 7627)")


_MOST_EXPORTED = 2**14


def server_end_point(server_certificate: bytes) -> bytes:
    """tls-server-end-point (RFC 5929 4.1): the certificate's hash, by its signature's algorithm unless that is weak."""
    if not server_certificate:
        raise LocalError("the server's certificate is not known on this connection")
    certificate = x509.load_der_x509_certificate(server_certificate)
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        raise LocalError("tls-server-end-point is not defined for a certificate whose signature names no hash")
    digest = hashes.Hash(hashes.SHA256() if isinstance(algorithm, _WEAK_HASHES) else algorithm)
    digest.update(server_certificate)
    return digest.finalize()
