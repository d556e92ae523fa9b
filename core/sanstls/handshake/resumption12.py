"""Sessions of TLS 1.2 (RFC 5246 7.3 figure 2, RFC 5077): found, checked, issued.

Only those with extended master secret: others are neither kept nor resumed (RFC 7627 5.3, 5.4).
"""

from sanstls.crypto.suites import Suite12
from sanstls.events import SessionLookupRequest, SessionReceived
from sanstls.handshake.authentication import ClientIdentity
from sanstls.handshake.negotiation12 import ServerChoice
from sanstls.handshake.resumption import end_of_validity, same_client
from sanstls.handshake.vocabulary import ClientHandshake, Flow, ServerHandshake
from sanstls.identity import Verified
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.sessions import MAX_LIFETIME, Session
from sanstls.wire.extensions import SessionTicket
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.messages12 import NewSessionTicket12
from sanstls.wire.registries import ExtensionType, ProtocolVersion

__all__ = [
    "find_session",
    "is_looked_up",
    "keep_session",
    "new_session",
    "new_session_id",
    "seal_ticket",
    "wants_ticket",
]

_DEFAULT_LIFETIME = 24 * 3600
"""In seconds, where the server does not say how long a ticket lives (RFC 5077 3.3)."""


# The client's side -------------------------------------------------------------------------------------------------


def keep_session(
    hs: ClientHandshake,
    choice: ServerChoice,
    server_hello: ServerHello,
    ticket: NewSessionTicket12 | None,
    master: bytes,
    peer_chain: tuple[bytes, ...],
    verified: Verified | None,
) -> None:
    """Hand the caller what it takes to resume this connection, if the server has given something."""
    has_ticket = ticket is not None and bool(ticket.ticket)
    is_new_id = choice.session is None and bool(server_hello.legacy_session_id_echo)
    if not choice.has_extended_master_secret or not (has_ticket or is_new_id):
        return
    at = hs.config.clock()
    old = choice.session
    created = at if old is None else old.created  # the master secret does not get younger
    hint = ticket.ticket_lifetime_hint if ticket is not None and has_ticket else 0
    session = Session(
        version=ProtocolVersion.TLS12,
        cipher_suite=choice.suite.suite,
        secret=master,
        created=created,
        lifetime=max(0, min(int(at - created) + (hint or _DEFAULT_LIFETIME), MAX_LIFETIME)),
        ticket=ticket.ticket if ticket is not None else b"",
        session_id=b"" if has_ticket else server_hello.legacy_session_id_echo,
        alpn=choice.protocol,
        server_name=hs.server_name,
        peer_chain=peer_chain,
        not_after=end_of_validity(verified, peer_chain) if old is None else old.not_after,
        verified_by=hs.config.verify,
    )
    hs.notify(SessionReceived(session))


# The server's side -------------------------------------------------------------------------------------------------


def is_looked_up(hs: ServerHandshake) -> bool:
    """Whether the caller stores the sessions; otherwise tickets carry them."""
    return SessionLookupRequest in hs.config.defer


def find_session(hs: ServerHandshake, hello: ClientHello) -> Flow[tuple[Session, ClientIdentity] | None]:
    """RFC 5246 7.4.1.2, RFC 5077 3.4: the session that the client offers, if it can be resumed here and now."""
    config = hs.config
    if not config.session_lifetime:
        return None
    at = config.clock()
    ticket = hello.extensions.get(SessionTicket)
    session: Session | None = None
    if is_looked_up(hs):
        if hello.legacy_session_id:
            session = yield from hs.ask(SessionLookupRequest(hello.legacy_session_id), None)
    elif ticket is not None and ticket.ticket:
        assert config.ticket_keys is not None
        session = config.ticket_keys.open(ticket.ticket, at)
    if session is None or session.version != ProtocolVersion.TLS12 or not session.is_usable(at):
        return None
    if not session.extended_master_secret:
        return None
    if ExtensionType.extended_master_secret not in hello.extensions:  # RFC 7627 5.3
        raise PeerMisbehaviour.NO_EXTENDED_MASTER_SECRET("and the session that it wants to resume has")
    suite = session.cipher_suite
    if suite not in hello.cipher_suites or suite not in config.suites12 or session.server_name != hs.server_name:
        return None
    client = yield from same_client(hs, session)
    return None if client is None else (session, client)


def wants_ticket(hs: ServerHandshake, hello: ClientHello) -> bool:
    """Whether a ticket is to be given at the end of a full handshake."""
    return (
        ExtensionType.session_ticket in hello.extensions
        and ExtensionType.extended_master_secret in hello.extensions
        and hs.config.session_lifetime > 0
        and not is_looked_up(hs)
    )


def new_session_id(hs: ServerHandshake, hello: ClientHello) -> bytes:
    """RFC 5246 7.4.1.3: under which the caller keeps the session of a full handshake; empty if it is not kept."""
    is_kept = is_looked_up(hs) and hs.config.session_lifetime > 0
    is_extended = ExtensionType.extended_master_secret in hello.extensions
    return hs.config.random(32) if is_kept and is_extended else b""


def new_session(
    hs: ServerHandshake, suite: Suite12, master: bytes, protocol: str | None, client: ClientIdentity
) -> Session:
    """What is remembered of a full handshake."""
    return Session(
        version=ProtocolVersion.TLS12,
        cipher_suite=suite.suite,
        secret=master,
        created=hs.config.clock(),
        lifetime=hs.config.session_lifetime,
        alpn=protocol,
        server_name=hs.server_name,
        peer_chain=client.chain,
        not_after=end_of_validity(client.verified, client.chain),
    )


def seal_ticket(hs: ServerHandshake, session: Session) -> NewSessionTicket12:
    """RFC 5077 3.3: an empty ticket if the session is too large for one."""
    keys = hs.config.ticket_keys
    assert keys is not None
    return NewSessionTicket12(session.lifetime, keys.seal(session, hs.config.random) or b"")
