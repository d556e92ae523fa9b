"""Early data, before the server has said anything (RFC 9846 2.3, 4.3.10): begun, taken or dropped, and bounded."""

from sanstls.crypto.suites import SUITES13, Suite
from sanstls.errors import LocalError
from sanstls.events import EarlyDataAccepted, EarlyDataRejected, EarlyDataRequest
from sanstls.handshake.psk13 import Psk
from sanstls.handshake.vocabulary import ClientHandshake, EarlyData, Flow, ServerHandshake
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.layer import Epoch
from sanstls.record.limits import MAX_SKIPPED_BEYOND_EARLY_DATA
from sanstls.schedule.key_schedule13 import KeySchedule
from sanstls.wire.extensions import EarlyDataIndication, OfferedPsks
from sanstls.wire.messages import ClientHello, EncryptedExtensions
from sanstls.wire.registries import ExtensionType

__all__ = [
    "accepts_early_data",
    "begin_early_data",
    "drop_early_data",
    "install_early_keys",
    "settle_early_data",
    "skip_early_data",
]


# The client's side -------------------------------------------------------------------------------------------------


def begin_early_data(hs: ClientHandshake, hello: ClientHello) -> None:
    """RFC 9846 4.3.10: if early_data was offered, the early keys are there at once."""
    session = hs.session
    if session is None or ExtensionType.early_data not in hello.extensions:
        return
    suite = SUITES13[session.cipher_suite]
    if hello.legacy_session_id:
        hs.send_change_cipher_spec()  # E.4: right after the first ClientHello then
    hs.schedule = KeySchedule(suite.hash_name, session.secret)
    early_secret = hs.derive_secret(b"c e traffic", hs.transcript.binder_hash(suite.hash_name))
    hs.records.set_write_secret(Epoch.early, suite, early_secret)
    hs.early_data = EarlyData(session.max_early_data)


def drop_early_data(hs: ClientHandshake) -> None:
    """The server does not take it: it is the caller's again."""
    early, hs.early_data = hs.early_data, None
    if early is not None:
        hs.notify(EarlyDataRejected(early.take_back()))


def settle_early_data(
    hs: ClientHandshake, encrypted: EncryptedExtensions, psk: Psk | None, suite: Suite, protocol: str | None
) -> bool:
    """RFC 9846 4.3.10: whether the server takes it, which it may do only if all is as in the session."""
    if encrypted.extensions.get(EarlyDataIndication) is None:
        drop_early_data(hs)
        return False
    session = hs.session
    if psk is None or session is None or psk.session is not session:
        raise PeerMisbehaviour.EARLY_DATA_OTHERWISE("another key than the first that was offered")
    if suite.suite != session.cipher_suite or protocol != session.alpn:
        raise PeerMisbehaviour.EARLY_DATA_OTHERWISE(f"{suite.suite}, ALPN {protocol}")
    hs.notify(EarlyDataAccepted())
    return True


# The server's side -------------------------------------------------------------------------------------------------


def accepts_early_data(
    hs: ServerHandshake, hello: ClientHello, psk: Psk | None, suite: Suite, protocol: str | None
) -> Flow[bool]:
    """RFC 9846 4.3.10 and 8: whether early data follows and is taken. What is not taken will be skipped."""
    if ExtensionType.early_data not in hello.extensions:
        return False
    if psk is not None and (yield from _is_admitted(hs, hello, psk, suite, protocol)):
        return True
    skip_early_data(hs, hello)
    return False


def skip_early_data(hs: ServerHandshake, hello: ClientHello) -> None:
    """RFC 9846 4.3.10: pass over the early data that follows this hello, if some does."""
    if ExtensionType.early_data in hello.extensions:
        hs.records.skip_early_data(hs.config.max_early_data + MAX_SKIPPED_BEYOND_EARLY_DATA)


def _is_admitted(hs: ServerHandshake, hello: ClientHello, psk: Psk, suite: Suite, protocol: str | None) -> Flow[bool]:
    config, session = hs.config, psk.session
    if session is None or psk.number or not session.max_early_data or not config.max_early_data:
        return False
    if session.cipher_suite != suite.suite or session.alpn != protocol:
        return False
    offered = hello.extensions.get(OfferedPsks)
    assert offered is not None
    at = config.clock()
    age = (offered.identities[0].obfuscated_ticket_age - session.age_add) % 2**32 / 1000
    key, expected_at = offered.binders[0], session.created + age
    window = 10.0 if config.replay_protection is None else config.replay_protection.window
    if abs(at - expected_at) > window:  # 8.3
        return False

    def admit_here() -> bool:
        if config.replay_protection is None:
            raise LocalError("early data without replay protection")
        return config.replay_protection.admit(key, expected_at, at)

    return (yield from hs.ask(EarlyDataRequest(key, at + 2 * window, session), admit_here))


def install_early_keys(hs: ServerHandshake, hello_hash: bytes, suite: Suite, psk: Psk) -> None:
    """RFC 9846 7.1: read early data. The schedule stands at the Early Secret."""
    assert psk.session is not None
    early_secret = hs.derive_secret(b"c e traffic", hello_hash)
    hs.records.set_read_secret(Epoch.early, suite, early_secret)
    hs.records.early_data_left = min(psk.session.max_early_data, hs.config.max_early_data)
    hs.notify(EarlyDataAccepted())
