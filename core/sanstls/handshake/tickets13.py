"""NewSessionTicket in TLS 1.3: what a server gives, and what a client makes of it (RFC 9846 4.7.1)."""

from sanstls.config import ClientConfig, ServerConfig
from sanstls.events import ConnectionInfo, Event, SessionIssued, SessionLookupRequest, SessionReceived
from sanstls.schedule.key_schedule13 import hkdf_expand_label
from sanstls.sessions import MAX_LIFETIME, Session
from sanstls.wire.extensions import EarlyDataTicket, Extension, Extensions
from sanstls.wire.messages import NewSessionTicket

__all__ = ["MAX_TICKETS", "ReceivedTickets", "SentTickets"]

MAX_TICKETS = 16
"""So many tickets are kept, or given, on one connection."""


def _psk(hash_name: str, resumption_secret: bytes, nonce: bytes) -> bytes:
    """RFC 9846 4.7.1: the key that belongs to a ticket."""
    return hkdf_expand_label(hash_name, resumption_secret, b"resumption", nonce, len(resumption_secret))


class ReceivedTickets:
    """Makes sessions of the tickets that a client gets."""

    __slots__ = ("_config", "_hash_name", "_left", "_not_after", "_secret")

    def __init__(self, config: ClientConfig, hash_name: str, resumption_secret: bytes, not_after: float | None) -> None:
        self._config = config
        self._hash_name = hash_name
        self._secret = resumption_secret
        self._not_after = not_after
        self._left = MAX_TICKETS

    def take(self, message: NewSessionTicket, info: ConnectionInfo) -> list[Event]:
        """What a ticket is worth: a session, or nothing if there were too many or it lives for no time."""
        lifetime = min(message.ticket_lifetime, MAX_LIFETIME)
        if not lifetime or not self._left:
            return []
        self._left -= 1
        early = message.extensions.get(EarlyDataTicket)
        session = Session(
            version=info.version,
            cipher_suite=info.cipher_suite,
            secret=_psk(self._hash_name, self._secret, message.ticket_nonce),
            created=self._config.clock(),
            lifetime=lifetime,
            ticket=message.ticket,
            age_add=message.ticket_age_add,
            max_early_data=early.max_early_data_size if early is not None else 0,
            alpn=info.alpn,
            server_name=info.server_name,
            peer_chain=info.peer_chain,
            not_after=self._not_after,
            verified_by=self._config.verify,
        )
        return [SessionReceived(session)]


class SentTickets:
    """Makes the tickets that a server gives."""

    __slots__ = ("_config", "_count", "_hash_name", "_not_after", "_secret")

    def __init__(self, config: ServerConfig, hash_name: str, resumption_secret: bytes, not_after: float | None) -> None:
        self._config = config
        self._hash_name = hash_name
        self._secret = resumption_secret
        self._not_after = not_after
        self._count = 0

    @property
    def left(self) -> int:
        """How many may still be made."""
        return MAX_TICKETS - self._count

    def make(self, info: ConnectionInfo) -> tuple[NewSessionTicket, list[Event]] | None:
        """A ticket, and the session that the caller has to store where tickets don't carry them.

        ``None`` if the session is too large for a ticket.
        """
        config = self._config
        nonce = self._count.to_bytes(1, "big")
        self._count += 1
        session = Session(
            version=info.version,
            cipher_suite=info.cipher_suite,
            secret=_psk(self._hash_name, self._secret, nonce),
            created=config.clock(),
            lifetime=config.session_lifetime,
            age_add=int.from_bytes(config.random(4), "big"),
            max_early_data=config.max_early_data,
            alpn=info.alpn,
            server_name=info.server_name,
            peer_chain=info.peer_chain,
            not_after=self._not_after,
        )
        events: list[Event] = []
        if SessionLookupRequest in config.defer:
            ticket: bytes | None = config.random(32)
            assert ticket is not None
            events.append(SessionIssued(ticket, session))
        else:
            assert config.ticket_keys is not None
            ticket = config.ticket_keys.seal(session, config.random)
            if ticket is None:
                return None
        early: list[Extension] = [EarlyDataTicket(session.max_early_data)] if session.max_early_data else []
        message = NewSessionTicket(session.lifetime, session.age_add, nonce, ticket, Extensions(early))
        return message, events
