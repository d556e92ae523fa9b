"""Pre-shared keys in TLS 1.3: of sessions and external ones, offered, bound and chosen (RFC 9846 4.3.9, 4.3.11)."""

import hmac
from typing import NamedTuple

from sanstls.crypto.suites import SUITES13, Suite
from sanstls.events import PreSharedKeyRequest, SessionLookupRequest
from sanstls.handshake.resumption import ClientIdentity, same_client
from sanstls.handshake.vocabulary import ClientHandshake, Flow, Handshake, ServerHandshake
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.schedule.key_schedule13 import KeySchedule, verify_data
from sanstls.sessions import PreSharedKey, Session
from sanstls.wire.extensions import Extension, Extensions, OfferedPsks, PskIdentity, PskKeyExchangeModes, SelectedPsk
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.registries import ProtocolVersion, PskKeyExchangeMode

__all__ = ["MAX_IDENTITIES", "Psk", "bind", "choose_psk", "offered_psks", "psk_extension", "selected_psk"]

MAX_IDENTITIES = 8
"""So many of the identities that a client offers are looked at."""

_EMPTY_HASHES = {suite.hash_name: suite.hash().digest() for suite in SUITES13.values()}


class Psk(NamedTuple):
    """A pre-shared key as a handshake uses it."""

    secret: bytes
    hash_name: str
    session: Session | None
    """Where it comes from a session."""
    client: ClientIdentity = ClientIdentity()
    number: int = 0
    """Which of the offered ones it is."""

    @property
    def binder_size(self) -> int:
        """In bytes."""
        return len(_EMPTY_HASHES[self.hash_name])

    def binder(self, transcript_hash: bytes) -> bytes:
        """RFC 9846 4.3.11.2: the proof that the sender has the key, over the truncated ClientHello."""
        label = b"ext binder" if self.session is None else b"res binder"
        schedule = KeySchedule(self.hash_name, self.secret)
        binder_key = schedule.derive_secret(label, _EMPTY_HASHES[self.hash_name])
        return verify_data(self.hash_name, binder_key, transcript_hash)

    def __repr__(self) -> str:
        return f"<Psk of a {'session' if self.session else 'caller'}>"


def _of_session(session: Session, client: ClientIdentity = ClientIdentity()) -> Psk:  # noqa: B008 - immutable
    return Psk(session.secret, SUITES13[session.cipher_suite].hash_name, session, client)


def _external(key: PreSharedKey) -> Psk:
    return Psk(key.secret, key.hash_name, None)


# The client's side -------------------------------------------------------------------------------------------------


def offered_psks(hs: ClientHandshake, hash_name: str | None = None) -> list[tuple[bytes, Psk]]:
    """What can be offered, with identities: the session first. After a HelloRetryRequest only keys of its hash."""
    psks: list[tuple[bytes, Psk]] = []
    if hs.session is not None and hs.session.version == ProtocolVersion.TLS13:
        psks.append((hs.session.ticket, _of_session(hs.session)))
    psks += [(key.identity, _external(key)) for key in hs.config.pre_shared_keys]
    return [(identity, psk) for identity, psk in psks if hash_name in (None, psk.hash_name)]


def psk_extension(hs: ClientHandshake, psks: list[tuple[bytes, Psk]]) -> OfferedPsks:
    """pre_shared_key with binders that are still to be made."""
    identities = [PskIdentity(identity, _obfuscated_age(hs, psk.session)) for identity, psk in psks]
    return OfferedPsks(tuple(identities), tuple([bytes(psk.binder_size) for _, psk in psks]))


def _obfuscated_age(hs: ClientHandshake, session: Session | None) -> int:
    """RFC 9846 4.3.11.1, in milliseconds."""
    if session is None:
        return 0
    age = max(0, round((hs.config.clock() - session.created) * 1000))
    return (age + session.age_add) % 2**32


def bind(hs: Handshake, hello: ClientHello, psks: list[tuple[bytes, Psk]]) -> ClientHello:
    """The ClientHello with its binders (RFC 9846 4.3.11.2)."""
    extension = hello.extensions.get(OfferedPsks)
    if extension is None:
        return hello
    truncated = hello.encode()[: -_size_of_binders(extension)]
    binders = tuple([psk.binder(hs.transcript.binder_hash(psk.hash_name, more=truncated)) for _, psk in psks])
    others: list[Extension] = [each for each in hello.extensions if each is not extension]
    return hello.replace(extensions=Extensions([*others, extension.replace(binders=binders)]))


def _size_of_binders(extension: OfferedPsks) -> int:
    return 2 + sum(1 + len(binder) for binder in extension.binders)


def selected_psk(
    psks: list[tuple[bytes, Psk]], hello: ClientHello, server_hello: ServerHello, suite: Suite
) -> Psk | None:
    """RFC 9846 4.3.11: the key that the server took."""
    selected = server_hello.extensions.get(SelectedPsk)
    if selected is None:
        return None
    if selected.selected_identity >= len(psks):
        raise PeerMisbehaviour.UNOFFERED_PSK(f"number {selected.selected_identity} of {len(psks)}")
    psk = psks[selected.selected_identity][1]
    if psk.hash_name != suite.hash_name:
        raise PeerMisbehaviour.PSK_OF_ANOTHER_HASH(f"{suite.suite} with a key of {psk.hash_name}")
    return psk


# The server's side -------------------------------------------------------------------------------------------------


def choose_psk(hs: ServerHandshake, hello: ClientHello, suite: Suite) -> Flow[Psk | None]:
    """RFC 9846 4.3.11: the first identity that is known here and can be used, if its binder is right."""
    offered = hello.extensions.get(OfferedPsks)
    modes = hello.extensions.get(PskKeyExchangeModes)
    if offered is None or modes is None or PskKeyExchangeMode.psk_dhe_ke not in modes.ke_modes:
        return None
    for index, identity in enumerate(offered.identities[:MAX_IDENTITIES]):
        psk = yield from _find(hs, identity.identity)
        if psk is None or psk.hash_name != suite.hash_name:
            continue
        expected = psk.binder(hs.transcript.binder_hash(psk.hash_name, cut=_size_of_binders(offered)))
        if not hmac.compare_digest(offered.binders[index], expected):
            raise PeerMisbehaviour.WRONG_BINDER(f"identity {index}")
        return psk._replace(number=index)
    return None


def _find(hs: ServerHandshake, identity: bytes) -> Flow[Psk | None]:
    """An external key, or a session that may be resumed here and now."""
    config = hs.config
    for key in config.pre_shared_keys:
        if key.identity == identity:
            return _external(key)
    if PreSharedKeyRequest in config.defer:
        found = yield from hs.ask(PreSharedKeyRequest(identity), None)
        if found is not None:
            return _external(found)
    if not config.session_lifetime:
        return None
    at = config.clock()
    session: Session | None
    if SessionLookupRequest in config.defer:
        session = yield from hs.ask(SessionLookupRequest(identity), None)
    else:
        assert config.ticket_keys is not None
        session = config.ticket_keys.open(identity, at)
    if session is None or session.version != ProtocolVersion.TLS13 or not session.is_usable(at):
        return None
    if session.cipher_suite not in SUITES13 or session.server_name != hs.server_name:
        return None
    client = yield from same_client(hs, session)
    return None if client is None else _of_session(session, client)
