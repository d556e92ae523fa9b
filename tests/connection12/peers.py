"""Two ends that speak TLS 1.2: certificates for every use, and peers that lie.

A peer can lie at two places. What :func:`lying` changes goes into the liar's own
transcript as well, so that it stands by its lie; what :func:`scripted` changes is
changed on the way out, messages and change_cipher_spec alike.
"""

from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import sanstls.connection
import sanstls.receiving
from identity.pki import Issued, authority, key_usage, leaf, rsa_key
from memory import NAME, Connection, client_config, records, server_config, shuttle, the_failure
from sanstls import (
    AlertReceivedError,
    CipherSuite,
    ClientConnection,
    ConnectionState,
    Credential,
    Event,
    LocalError,
    PrivatePKI,
    ProtocolVersion,
    ServerConnection,
    TrustStore,
)
from sanstls.handshake.vocabulary import ClientHandshake, ServerHandshake
from sanstls.record.layer import RecordLayer
from sanstls.wire.extensions import Extension, Extensions
from sanstls.wire.messages import ClientHello, HandshakeMessage, ServerHello
from sanstls.wire.registries import NamedGroup

TLS12, TLS13 = ProtocolVersion.TLS12, ProtocolVersion.TLS13
Pair = tuple[ClientConnection, ServerConnection]

# Certificates -----------------------------------------------------------------------------------------------------

_USAGES = {
    "sign": ("digital_signature",),
    "decrypt": ("key_encipherment",),
    "both": ("digital_signature", "key_encipherment"),
}


@cache
def root() -> Issued:
    return authority()


@cache
def verifier() -> PrivatePKI:
    return PrivatePKI(TrustStore.from_pem(root().certificate.public_bytes(Encoding.PEM)))


@cache
def credential12(kind: str = "p256", use: str = "sign", name: str = NAME) -> Credential:
    """A leaf for either role; every RSA leaf of the same use has the same key."""
    key = rsa_key() if kind == "rsa" else None
    issued = leaf(root(), name, key_type=kind, key=key, usage=key_usage(*_USAGES[use]))  # type: ignore[arg-type]
    return Credential([issued.der], issued.key)


# Connections ------------------------------------------------------------------------------------------------------


# A certificate's curve has to be among them, too (RFC 8422 5.3).
GROUPS = (NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1, NamedGroup.secp521r1)


def client12(seed: object = 0, server_name: str | None = NAME, **settings: Any) -> ClientConnection:
    defaults = {"versions": (TLS12,), "verify": verifier(), "groups": GROUPS}
    return ClientConnection(client_config(seed, **(defaults | settings)), server_name)


def server12(seed: object = 0, **settings: Any) -> ServerConnection:
    defaults = {"versions": (TLS12,), "credentials": (credential12(),)}
    return ServerConnection(server_config(seed, **(defaults | settings)))


MUTUAL: dict[str, dict[str, Any]] = {
    "client": {"credentials": (credential12("p256", name="client.test"),)},
    "server": {"verify": verifier()},
}
"""What a handshake needs for client certificates."""

KEY_TRANSPORT: dict[str, dict[str, Any]] = {
    "client": {"legacy_rsa_key_transport": True, "cipher_suites": (CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256,)},
    "server": {"legacy_rsa_key_transport": True, "credentials": (credential12("rsa", "both"),)},
}
"""What a handshake needs for RSA key transport."""


def pair(
    seed: object = 0, *, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, **both: Any
) -> Pair:
    """A client and a server; ``both`` goes to both configurations."""
    return client12(seed, **(both | (client or {}))), server12(seed, **(both | (server or {})))


def open_pair(seed: object = 0, **settings: Any) -> Pair:
    """The same with their handshake done."""
    client, server = pair(seed, **settings)
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN, (client, server)
    return client, server


# Peers that lie ---------------------------------------------------------------------------------------------------

Say = Callable[[Any], Iterable[HandshakeMessage]]


class _LyingClient(ClientHandshake):
    __slots__ = ("say",)

    def send(self, message: Any) -> Any:
        result = message
        for said in self.say(message):
            sent = super().send(said)
            result = sent if type(sent) is type(message) else result
        return result


class _LyingServer(ServerHandshake):
    __slots__ = ("say",)

    def send(self, message: Any) -> Any:
        result = message
        for said in self.say(message):
            sent = super().send(said)
            result = sent if type(sent) is type(message) else result
        return result


def _with(kind: Any, say: Say, *args: Any, **rest: Any) -> Any:
    hs = kind(*args, **rest)
    hs.say = say
    return hs


def lying(make: Callable[[], Any], say: Say) -> Any:
    """A connection that says what ``say`` makes of its handshake messages."""
    with (
        patch.object(sanstls.connection, "ClientHandshake", partial(_with, _LyingClient, say)),
        patch.object(sanstls.connection, "ServerHandshake", partial(_with, _LyingServer, say)),
    ):
        connection = make()
        assert connection.pending is not None  # a client begins when its bytes are asked for
    return connection


def instead(kind: type[HandshakeMessage], change: Callable[[Any], Any]) -> Say:
    """Say something else in messages of this kind. ``change`` gives one message or several."""

    def say(message: HandshakeMessage) -> Iterable[HandshakeMessage]:
        if not isinstance(message, kind):
            return [message]
        changed = change(message)
        return [changed] if isinstance(changed, HandshakeMessage) else changed

    return say


def with_extensions(hello: Any, *added: Extension, without: Iterable[int] = ()) -> Any:
    """A hello with these extensions more (in place of their like), and without those of the types in ``without``."""
    gone = {int(each) for each in without} | {int(each.type) for each in added}
    kept = [extension for extension in hello.extensions if int(extension.type) not in gone]
    return hello.replace(extensions=Extensions([*kept, *added], is_present=bool(kept or added)))


def hello_with(*added: Extension, without: Iterable[int] = (), **fields: Any) -> Say:
    """Another ClientHello."""
    return instead(ClientHello, lambda hello: with_extensions(hello, *added, without=without).replace(**fields))


def server_hello_with(*added: Extension, without: Iterable[int] = (), **fields: Any) -> Say:
    """Another ServerHello."""
    return instead(ServerHello, lambda hello: with_extensions(hello, *added, without=without).replace(**fields))


def first_hello(data: bytes) -> ServerHello:
    """The ServerHello with which these bytes begin."""
    content = records(data)[0][5:]
    return ServerHello.parse(content[4 : 4 + int.from_bytes(content[1:4], "big")])


class Record(NamedTuple):
    """A record of its own, protected if there are keys."""

    content_type: int
    content: bytes


CCS = Record(20, b"\x01")
Item = bytes | Record
Script = Callable[[Item], Iterable[Item]]


class ScriptedRecords(RecordLayer):
    """A record layer that sends what ``script`` makes of a message or a change_cipher_spec."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script

    def send_message(self, message: bytes) -> None:
        self._send(message)

    def send_change_cipher_spec(self) -> None:
        self._send(CCS)

    def _send(self, item: Item) -> None:
        for each in self.script(item):
            if isinstance(each, Record):
                self.writer.write_record(bytes([each.content_type]), each.content)
            else:
                super().send_message(each)


def scripted(make: Callable[[], Any], script: Script) -> Any:
    """A connection whose messages and change_cipher_spec go through ``script``."""
    with patch.object(sanstls.receiving, "RecordLayer", lambda: ScriptedRecords(script)):
        return make()


# How it ends ------------------------------------------------------------------------------------------------------


def check_over(connection: Connection, error: BaseException) -> None:
    """A failed connection: nothing is told any more, and the caller's calls name the failure."""
    assert connection.state is ConnectionState.FAILED
    assert not connection.wants_data
    assert connection.receive_data(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00") == []
    assert connection.receive_eof() == []
    assert connection.data_to_send() == b""
    for act in (lambda: connection.send_data(b"x"), connection.update_keys):
        with pytest.raises(LocalError) as caught:
            act()
        assert caught.value.__cause__ is error


def check_refused(victim: Connection, events: list[Event], peer: Connection) -> Any:
    """The victim's one error, of whose alert the peer is told."""
    error = the_failure(events)
    assert error.alert is not None, error
    told = the_failure(peer.receive_data(victim.data_to_send()))
    assert isinstance(told, AlertReceivedError)
    assert told.description == error.alert
    check_over(victim, error)
    return error


def refused(client: Connection, server: Connection, *, by: str) -> Any:
    """Let them talk: the side ``by`` refuses, and the other is told of its alert. Gives the error."""
    client_events, server_events = shuttle(client, server)
    ours, others = (client_events, server_events) if by == "client" else (server_events, client_events)
    error = the_failure(ours)
    told = the_failure(others)
    assert isinstance(told, AlertReceivedError), told
    assert told.description == error.alert
    check_over(client if by == "client" else server, error)
    return error
