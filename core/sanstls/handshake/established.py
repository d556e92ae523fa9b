"""What a finished handshake leaves behind, and what may come after it (RFC 9846 4.7)."""

from typing import Literal, Protocol

from sanstls.crypto.suites import Suite
from sanstls.errors import LocalError
from sanstls.events import ConnectionInfo, Event, KeysUpdated
from sanstls.handshake.tickets13 import ReceivedTickets, SentTickets
from sanstls.handshake.vocabulary import Records
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.layer import Epoch
from sanstls.schedule.key_schedule13 import exporter, next_traffic_secret
from sanstls.wire.messages import HandshakeMessage, KeyUpdate, NewSessionTicket
from sanstls.wire.registries import AlertDescription, KeyUpdateRequest

__all__ = ["Established", "Established13", "Role"]

Role = Literal["server", "client"]


class Established(Protocol):
    """How a connection goes on after its handshake. All that knows the version then."""

    info: ConnectionInfo
    expects: tuple[type[HandshakeMessage], ...]
    """The handshake messages that the peer may send."""
    owes_key_update: bool
    """Whether the peer has asked for a KeyUpdate that is not sent yet."""

    owed_tickets: int
    """How many tickets are to be sent with the first data."""

    can_update_keys: bool
    """Whether there is a KeyUpdate in this version."""

    def receive(self, message: HandshakeMessage) -> tuple[list[Event], AlertDescription | None]:
        """Take a message of the peer's: what it means, and the warning that it is answered with."""

    def update_sending_keys(self, request: KeyUpdateRequest) -> KeyUpdate:
        """Send a KeyUpdate (which is returned) and use the next keys."""

    def send_ticket(self) -> tuple[NewSessionTicket | None, list[Event]]:
        """Send a NewSessionTicket (which is returned), if there can be one more, and what the caller has to know."""

    def export(self, label: bytes, length: int, context: bytes | None) -> bytes:
        """Keying material for the application."""

    def channel_binding(self, kind: str) -> bytes:
        """What binds an authentication of the application's to this connection."""


class Established13:
    """TLS 1.3: the peer may update its keys, and a server may send tickets."""

    __slots__ = (
        "_exporter_secret",
        "_read_secret",
        "_records",
        "_suite",
        "_tickets",
        "_write_secret",
        "expects",
        "info",
        "owed_tickets",
        "owes_key_update",
    )
    can_update_keys = True

    def __init__(
        self,
        info: ConnectionInfo,
        role: Role,
        records: Records,
        suite: Suite,
        *,
        client_secret: bytes,
        server_secret: bytes,
        exporter_secret: bytes,
        tickets: ReceivedTickets | SentTickets | None,
        owed_tickets: int = 0,
    ) -> None:
        self.info = info
        is_client = role == "client"
        self.expects: tuple[type[HandshakeMessage], ...] = (NewSessionTicket, KeyUpdate) if is_client else (KeyUpdate,)
        self.owes_key_update = False
        self.owed_tickets = owed_tickets
        self._tickets = tickets
        self._records = records
        self._suite = suite
        self._read_secret, self._write_secret = server_secret, client_secret
        if not is_client:
            self._read_secret, self._write_secret = client_secret, server_secret
        self._exporter_secret = exporter_secret

    def receive(self, message: HandshakeMessage) -> tuple[list[Event], AlertDescription | None]:
        """RFC 9846 4.7."""
        if isinstance(message, NewSessionTicket):
            assert isinstance(self._tickets, ReceivedTickets)
            return self._tickets.take(message, self.info), None
        assert isinstance(message, KeyUpdate)
        request = message.request_update
        if request not in (KeyUpdateRequest.update_requested, KeyUpdateRequest.update_not_requested):
            raise PeerMisbehaviour.BAD_KEY_UPDATE(f"request_update {int(request)}")
        # Several requests while this side is silent get one answer (RFC 9846 4.7.3).
        self.owes_key_update = self.owes_key_update or request == KeyUpdateRequest.update_requested
        self._read_secret = next_traffic_secret(self._suite.hash_name, self._read_secret)
        self._records.set_read_secret(Epoch.application, self._suite, self._read_secret)
        return [KeysUpdated("receiving")], None

    def update_sending_keys(self, request: KeyUpdateRequest) -> KeyUpdate:
        """RFC 9846 4.7.3."""
        message = KeyUpdate(request)
        self._records.send_message(message.encode())
        self.owes_key_update = False
        self._write_secret = next_traffic_secret(self._suite.hash_name, self._write_secret)
        self._records.set_write_secret(Epoch.application, self._suite, self._write_secret)
        return message

    def send_ticket(self) -> tuple[NewSessionTicket | None, list[Event]]:
        """RFC 9846 4.7.1."""
        self.owed_tickets = max(0, self.owed_tickets - 1)
        tickets = self._tickets
        made = tickets.make(self.info) if isinstance(tickets, SentTickets) and tickets.left else None
        if made is None:
            return None, []
        self._records.send_message(made[0].encode())
        return made

    def export(self, label: bytes, length: int, context: bytes | None) -> bytes:
        """RFC 9846 7.5."""
        most = 255 * self._suite.hash_size
        if not 0 < length <= most:
            raise LocalError(f"between 1 and {most} bytes can be exported")
        if not 0 < len(label) <= 249:
            raise LocalError("an exporter label has 1 to 249 bytes")
        return exporter(self._suite.hash_name, self._exporter_secret, label, context or b"", length)

    def channel_binding(self, kind: str) -> bytes:
        """RFC 9266."""
        if kind != "tls-exporter":
            raise LocalError(f"the channel binding {kind!r} does not exist for TLS 1.3; tls-exporter does")
        return self.export(b"EXPORTER-Channel-Binding", 32, b"")
