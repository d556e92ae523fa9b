"""The small vocabulary that the flows are written in: send, expect, ask, notify.

A flow is a generator. It yields what it waits for: a tuple of message classes
(one of them must come next), the class ChangeCipherSpec, or a :class:`Request`.
It is sent the message with its raw bytes, nothing, or the answer; a rejection is
thrown into it.
"""

import hashlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sanstls.config import ClientConfig, ServerConfig
from sanstls.crypto.groups import KeyShare
from sanstls.crypto.suites import Suite, Suite12
from sanstls.events import (
    Event,
    KeysDerived,
    MessageSent,
    Request,
    SecretLogged,
)
from sanstls.handshake.transcript import Transcript
from sanstls.record.layer import Epoch
from sanstls.schedule.key_schedule13 import KeySchedule
from sanstls.sessions import Session
from sanstls.wire.messages import HandshakeMessage
from sanstls.wire.messages12 import ChangeCipherSpec
from sanstls.wire.registries import ContentType, NamedGroup

if TYPE_CHECKING:
    from sanstls.handshake.psk13 import Psk

_T = TypeVar("_T")
_M = TypeVar("_M", bound=HandshakeMessage)

Wait = tuple[type[HandshakeMessage], ...] | type[ChangeCipherSpec] | Request[Any]
Flow = Generator[Wait, Any, _T]


class Records(Protocol):
    """All that a flow knows of the record layer."""

    write_epoch: Epoch
    read_epoch: Epoch
    early_data_left: int

    def send_message(self, message: bytes) -> None:
        """Send a handshake message."""

    def send_change_cipher_spec(self) -> None:
        """Send a change_cipher_spec: a dummy in TLS 1.3."""

    def begin_tls12(self) -> None:
        """TLS 1.2 was chosen."""

    def set_read_keys12(self, suite: Suite12, key: bytes, iv: bytes) -> None:
        """Receive under these keys of TLS 1.2 from now on."""

    def set_write_keys12(self, suite: Suite12, key: bytes, iv: bytes) -> None:
        """Send under these keys of TLS 1.2 from now on."""

    def set_read_secret(self, epoch: Epoch, suite: Suite, traffic_secret: bytes) -> None:
        """Receive under these keys from now on."""

    def set_write_secret(self, epoch: Epoch, suite: Suite, traffic_secret: bytes) -> None:
        """Send under these keys from now on."""

    def skip_early_data(self, size: int) -> None:
        """Pass over what can't be read, up to this many bytes in all, until something can."""

    def limit_records(self, sent: int | None, received: int | None) -> None:
        """From the next keys on, so many bytes of plaintext at most are in a record of either direction."""

    def pad_data(self, pad_to: int) -> None:
        """Pad data to multiples of so many bytes from now on."""

    def stop_early_data(self) -> None:
        """Send in the clear again: a second ClientHello follows."""


# For the labels of RFC 9846 7.1: the secret's name there and in an SSLKEYLOGFILE, and what it is for.
_SECRETS = {
    b"c e traffic": (
        "client_early_traffic_secret",
        "CLIENT_EARLY_TRAFFIC_SECRET",
        "protects the client's early data, without forward secrecy",
    ),
    b"c hs traffic": (
        "client_handshake_traffic_secret",
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "protects what the client sends until its Finished",
    ),
    b"s hs traffic": (
        "server_handshake_traffic_secret",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "protects what the server sends until its Finished",
    ),
    b"c ap traffic": (
        "client_application_traffic_secret_0",
        "CLIENT_TRAFFIC_SECRET_0",
        "protects the client's data",
    ),
    b"s ap traffic": (
        "server_application_traffic_secret_0",
        "SERVER_TRAFFIC_SECRET_0",
        "protects the server's data",
    ),
    b"exp master": ("exporter_secret", "EXPORTER_SECRET", "is the source of exported keying material"),
    b"res master": ("resumption_secret", None, "is the source of the keys that belong to tickets"),
}


class Handshake:
    """A handshake under way: what both roles need."""

    __slots__ = (
        "client_random",
        "events",
        "is_traced",
        "key_log",
        "records",
        "schedule",
        "suite",
        "suite12",
        "transcript",
    )

    def __init__(self, config: ClientConfig | ServerConfig, records: Records, events: list[Event]) -> None:
        self.records = records
        self.events = events
        self.transcript = Transcript()
        self.key_log = config.key_log
        self.is_traced = config.trace
        self.client_random = b""
        self.suite: Suite
        self.suite12: Suite12
        self.schedule: KeySchedule

    def notify(self, event: Event) -> None:
        """Tell the caller."""
        self.events.append(event)

    def send(self, message: _M) -> _M:
        """Send a message and add it to the transcript."""
        raw = message.encode()
        self.transcript.add(raw)
        self.records.send_message(raw)
        if self.is_traced:
            self.notify(
                MessageSent(message.rfc_name, ContentType.handshake, self.records.write_epoch, len(raw), message)
            )
        return message

    def send_change_cipher_spec(self) -> None:
        """Send a change_cipher_spec: a dummy in TLS 1.3 (RFC 9846 E.4)."""
        self.records.send_change_cipher_spec()
        if self.is_traced:
            self.notify(MessageSent("ChangeCipherSpec", ContentType.change_cipher_spec, Epoch.plaintext, 1))

    def expect(self, *kinds: type[_M]) -> Flow[_M]:
        """Wait for a message of one of these kinds, and add it to the transcript."""
        message: _M
        message, raw = yield kinds
        self.transcript.add(raw)
        return message

    def expect_change_cipher_spec(self) -> Flow[None]:
        """Wait for the change_cipher_spec of TLS 1.2, which is not part of the transcript (RFC 5246 7.1)."""
        yield ChangeCipherSpec

    def begin_tls12(self, suite: Suite12, *, keeps_messages: bool) -> None:
        """TLS 1.2 it is, with this cipher suite."""
        self.suite12 = suite
        self.transcript.start(suite.hash_name, keeps_messages=keeps_messages)
        self.records.begin_tls12()

    def start_transcript(self, suite: Suite, *, is_retried: bool, keeps_messages: bool) -> None:
        """The cipher suite is known, and with it the hash (RFC 9846 4.1). Binders need the messages themselves."""
        self.suite = suite
        self.transcript.start(suite.hash_name, is_retried=is_retried, keeps_messages=keeps_messages)

    def transcript_hash(self) -> bytes:
        """Transcript-Hash of all messages so far (RFC 9846 4.1)."""
        return self.transcript.digest()

    def derive_secret(self, label: bytes, transcript_hash: bytes) -> bytes:
        """Derive-Secret (RFC 9846 7.1) of the present rung of the schedule, logged if that is asked for."""
        secret = self.schedule.derive_secret(label, transcript_hash)
        name, log_name, use = _SECRETS[label]
        self.tell_secret(name, secret, use, log_name)
        return secret

    def tell_secret(self, name: str, secret: bytes, use: str, log_name: str | None = None) -> None:
        """Log a secret, and tell in the trace that it was made, if that is asked for."""
        if self.key_log and log_name is not None:
            self.notify(SecretLogged(f"{log_name} {self.client_random.hex()} {secret.hex()}"))
        if self.is_traced:
            fingerprint = hashlib.sha256(b"sanstls: fingerprint of a secret" + secret).hexdigest()[:16]
            self.notify(KeysDerived(name, use, fingerprint))


class EarlyData:
    """What a client sends before the server has said anything: how much may still be sent, and what was."""

    __slots__ = ("left", "sent")

    def __init__(self, left: int) -> None:
        self.left = left
        self.sent: list[bytes] = []

    def take_back(self) -> bytes:
        """All that was sent."""
        self.left = 0
        data = b"".join(self.sent)
        self.sent.clear()
        return data


class ClientHandshake(Handshake):
    """A client's handshake."""

    __slots__ = ("config", "early_data", "key_shares", "psks", "server_name", "session", "wants_early_data")

    def __init__(
        self,
        config: ClientConfig,
        server_name: str | None,
        records: Records,
        events: list[Event],
        session: Session | None = None,
    ) -> None:
        super().__init__(config, records, events)
        self.wants_early_data = False
        self.early_data: EarlyData | None = None
        self.session = session
        self.psks: list[tuple[bytes, Psk]] = []
        """What is offered, with identities, in order."""
        self.config = config
        self.server_name = server_name
        self.key_shares: dict[NamedGroup, KeyShare] = {}

    def ask(self, request: Request[_T], own_answer: Callable[[], _T] | None) -> Flow[_T]:
        """The answer to a request: the configuration's own, or the caller's if it deferred this kind."""
        return (yield from _ask(self.config, request, own_answer))


class ServerHandshake(Handshake):
    """A server's handshake."""

    __slots__ = ("config", "server_name")

    def __init__(self, config: ServerConfig, records: Records, events: list[Event]) -> None:
        super().__init__(config, records, events)
        self.config = config
        self.server_name: str | None = None

    def ask(self, request: Request[_T], own_answer: Callable[[], _T] | None) -> Flow[_T]:
        """The answer to a request: the configuration's own, or the caller's if it deferred this kind."""
        return (yield from _ask(self.config, request, own_answer))


def _ask(config: ClientConfig | ServerConfig, request: Request[_T], own_answer: Callable[[], _T] | None) -> Flow[_T]:
    if own_answer is not None and type(request) not in config.defer:
        return own_answer()
    answer: _T = yield request
    return answer


__all__ = [
    "ClientHandshake",
    "EarlyData",
    "Flow",
    "Handshake",
    "Records",
    "ServerHandshake",
    "Wait",
]
