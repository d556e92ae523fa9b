"""What a client looks at before it resumes a session, in either version: time, name, suite, and who the server was."""

from sanstls.config import ClientConfig
from sanstls.errors import CertificateError
from sanstls.events import VerificationRequest
from sanstls.handshake.authentication import parse_chain, verify_peer
from sanstls.handshake.vocabulary import ClientHandshake, Flow
from sanstls.identity import Verified
from sanstls.sessions import Session
from sanstls.wire.registries import ProtocolVersion

__all__ = ["end_of_validity", "offered_session", "verify_again"]


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
    if session.version != ProtocolVersion.TLS12 or not session.peer_chain:
        return False
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
