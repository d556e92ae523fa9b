"""What both versions look at before a session is resumed: time, name, suite, and who the other side was."""

from sanstls.config import ClientConfig
from sanstls.crypto.suites import SUITES13
from sanstls.errors import CertificateError
from sanstls.events import VerificationRequest
from sanstls.handshake.authentication import ClientIdentity, parse_chain, verify_peer
from sanstls.handshake.vocabulary import ClientHandshake, Flow, ServerHandshake
from sanstls.identity import Verified
from sanstls.sessions import Session
from sanstls.wire.registries import ProtocolVersion

__all__ = ["ClientIdentity", "end_of_validity", "offered_session", "same_client", "verify_again"]


def offered_session(hs: ClientHandshake) -> Session | None:
    """The session that the caller gave, if it can be offered: it is still good, and this configuration agrees."""
    session = hs.session
    if session is None or not session.is_usable(hs.config.clock()) or not _fits(hs.config, session):
        return None
    if VerificationRequest in hs.config.defer or session.verified_by is hs.config.verify:
        return session
    try:  # another configuration, or a session that was written down: the certificates have to please this verifier
        hs.config.verify.verify(
            parse_chain(session.peer_chain),
            server_name=hs.server_name,
            at=hs.config.clock(),
            role="server",
            ocsp_response=b"",
            scts=(),
        )
    except CertificateError:
        return None
    return session


def _fits(config: ClientConfig, session: Session) -> bool:
    if not session.peer_chain:
        return False
    if session.version == ProtocolVersion.TLS13:
        suite = SUITES13.get(session.cipher_suite)
        hashes = {each.hash_name for each in config.suites13.values()}
        return suite is not None and suite.hash_name in hashes and bool(session.ticket)
    return session.cipher_suite in config.suites12 and session.extended_master_secret


def end_of_validity(verified: Verified | None, peer_chain: tuple[bytes, ...]) -> float | None:
    """Until when the peer is who it showed to be, in Unix seconds: a session must not outlive that (RFC 9846 4.7.1).

    Of a chain that the caller has accepted only the leaf is known to matter.
    """
    if verified is not None and verified.not_valid_after is not None:
        return verified.not_valid_after.timestamp()
    if not peer_chain:
        return None
    try:
        return parse_chain(peer_chain[:1])[0].not_valid_after_utc.timestamp()
    except (ValueError, OverflowError):  # a date that no calendar has
        return 0.0


def verify_again(hs: ClientHandshake, session: Session) -> Flow[Verified | None]:
    """A caller who decides about servers decides about one whose session is resumed, too."""
    if VerificationRequest not in hs.config.defer:
        return None
    return (yield from verify_peer(hs, "server", parse_chain(session.peer_chain), session.peer_chain))


def same_client(hs: ServerHandshake, session: Session) -> Flow[ClientIdentity | None]:
    """Who the client of a session is, if this configuration accepts that; ``None`` if it does not."""
    config = hs.config
    if config.verify is None:
        return ClientIdentity() if not session.peer_chain else None
    if not session.peer_chain:
        return ClientIdentity() if config.client_auth == "optional" else None
    try:
        verified = yield from verify_peer(hs, "client", parse_chain(session.peer_chain), session.peer_chain)
    except CertificateError:  # no longer: it may show another certificate
        return None
    return ClientIdentity(session.peer_chain, verified)
