"""Two ends that speak TLS 1.3, and peers of theirs that lie.

What :func:`scripted13` changes is changed on the way out, records included; what
:func:`connection12.peers.lying` changes goes into the liar's own transcript as well,
so that it stands by its lie.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from unittest.mock import patch

import sanstls.receiving
from connection12.peers import (
    MUTUAL,
    Record,
    Say,
    check_over,
    credential12,
    instead,
    lying,
    refused,
    verifier,
    with_extensions,
)
from memory import (
    NAME,
    Connection,
    client_config,
    failures,
    is_complete,
    record,
    server_config,
    shuttle,
    the_failure,
)
from sanstls import AlertReceivedError, ClientConnection, ConnectionState, Request, ServerConnection, UnexpectedEOF
from sanstls.record.layer import RecordLayer
from sanstls.wire.extensions import HELLO_RETRY_REQUEST_RANDOM, Extension
from sanstls.wire.messages import ClientHello, HandshakeMessage, ServerHello
from sanstls.wire.registries import HandshakeType as T

Pair = tuple[ClientConnection, ServerConnection]


def client13(seed: object = 0, server_name: str | None = NAME, **settings: Any) -> ClientConnection:
    return ClientConnection(client_config(seed, **({"verify": verifier()} | settings)), server_name)


def server13(seed: object = 0, **settings: Any) -> ServerConnection:
    return ServerConnection(server_config(seed, **({"credentials": (credential12(),)} | settings)))


def pair13(
    seed: object = 0, *, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, **both: Any
) -> Pair:
    """A client and a server; ``both`` goes to both configurations."""
    return client13(seed, **(both | (client or {}))), server13(seed, **(both | (server or {})))


def open_pair13(seed: object = 0, **settings: Any) -> Pair:
    """The same with their handshake done."""
    client, server = pair13(seed, **settings)
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN, (client, server)
    return client, server


def the_request(events: list[Any]) -> Any:
    """The one request among these events."""
    found = [event for event in events if isinstance(event, Request)]
    assert len(found) == 1, events
    return found[0]


FLOWS: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {"client": {}, "server": {}},
    "all": {"client": MUTUAL["client"] | {"key_shares": ()}, "server": MUTUAL["server"]},
}
"""A handshake without anything, and one with everything: a retry, and a client's certificate."""

SENT: dict[tuple[str, str], list[str]] = {
    ("plain", "server"): ["SH", "CCS", "EE", "CT", "CV", "FIN"],
    ("plain", "client"): ["CH", "CCS", "FIN"],
    ("all", "server"): ["HRR", "CCS", "SH", "EE", "CR", "CT", "CV", "FIN"],
    ("all", "client"): ["CH", "CCS", "CH2", "CT", "CV", "FIN"],
}
"""What either side sends, in order (RFC 9846 2, figures 1 and 2)."""

TYPES = {
    "CH": T.client_hello,
    "CH2": T.client_hello,
    "HRR": T.server_hello,
    "SH": T.server_hello,
    "EE": T.encrypted_extensions,
    "CR": T.certificate_request,
    "CT": T.certificate,
    "CV": T.certificate_verify,
    "FIN": T.finished,
}


class Plain(NamedTuple):
    """A record in the clear, whatever keys there are."""

    content_type: int
    content: bytes


CCS = Plain(20, b"\x01")
"""The dummy of RFC 9846 E.4."""

Item = bytes | Record | Plain
Script = Callable[[Item], Iterable[Item]]


def namer() -> Callable[[Item], str]:
    """Something that names what one side sends, item by item, as ``SENT`` does."""
    hellos = 0
    names = {code: name for name, code in TYPES.items() if name not in ("HRR", "CH2")}

    def name(item: Item) -> str:
        nonlocal hellos
        if not isinstance(item, bytes):
            return "CCS"
        if item[0] == T.client_hello:
            hellos += 1
            return "CH" if hellos == 1 else "CH2"
        if item[6:38] == HELLO_RETRY_REQUEST_RANDOM:
            return "HRR"
        return names.get(T(item[0]), str(T(item[0])))

    return name


def at(name: str, change: Callable[[Any], Iterable[Item]]) -> Script:
    """Send something else in place of what has this name."""
    name_of = namer()

    def script(item: Item) -> Iterable[Item]:
        return change(item) if name_of(item) == name else [item]

    return script


class ScriptedRecords13(RecordLayer):
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
            elif isinstance(each, Plain):
                self.writer.flush_messages()
                self.writer.queue.append(record(each.content_type, each.content))
            else:
                super().send_message(each)


def scripted13(make: Callable[[], Any], script: Script) -> Any:
    """A connection whose messages and change_cipher_spec go through ``script``."""
    with patch.object(sanstls.receiving, "RecordLayer", lambda: ScriptedRecords13(script)):
        return make()


def clash(flow: str, liar: str, script: Script) -> tuple[Connection, list[Any], Connection, list[Any]]:
    """A handshake in which ``liar`` sends what the script says. The victim and the liar, and what they told."""
    client_settings, server_settings = FLOWS[flow]["client"], FLOWS[flow]["server"]

    def make_client() -> Any:
        return client13(**client_settings)

    def make_server() -> Any:
        return server13(**server_settings)

    client = scripted13(make_client, script) if liar == "client" else make_client()
    server = scripted13(make_server, script) if liar == "server" else make_server()
    client_events, server_events = shuttle(client, server)
    if liar == "client":
        return server, server_events, client, client_events
    return client, client_events, server, server_events


def check_victim(flow: str, liar: str, script: Script, *, is_late: bool = False) -> Any:
    """The victim's one failure, of whose alert the liar is told; that of the end of the transport if it waits on.

    The victim's handshake is not completed, unless the lie comes behind it (``is_late``).
    """
    victim, events, peer, peer_events = clash(flow, liar, script)
    assert is_complete(events) is is_late
    if not failures(events):
        assert not failures(peer_events), "the liar was the first that could not go on"
        error = the_failure(victim.receive_eof())
        assert isinstance(error, UnexpectedEOF)
        assert victim.data_to_send() == b""
    else:
        error = the_failure(events)
        told = the_failure(peer_events)
        assert isinstance(told, AlertReceivedError), told
        assert told.description == error.alert
        check_over(peer, told)
    check_over(victim, error)
    return error


# Peers that stand by their lies -----------------------------------------------------------------------------------


RETRIED: dict[str, Any] = {"key_shares": ()}
"""A client that sends no shares, so that each server must ask."""


def answer_with(*added: Extension, without: Iterable[int] = (), **fields: Any) -> Say:
    """Another ServerHello, but no other HelloRetryRequest."""
    return instead(ServerHello, lambda hello: hello if hello.is_retry else _changed(hello, added, without, fields))


def retry_with(*added: Extension, without: Iterable[int] = (), **fields: Any) -> Say:
    """Another HelloRetryRequest, but no other ServerHello."""
    return instead(ServerHello, lambda hello: _changed(hello, added, without, fields) if hello.is_retry else hello)


def second_hello(change: Callable[[ClientHello], ClientHello]) -> Say:
    """Another second ClientHello."""
    hellos = 0

    def say(message: HandshakeMessage) -> Iterable[HandshakeMessage]:
        nonlocal hellos
        if isinstance(message, ClientHello):
            hellos += 1
            return [message if hellos == 1 else change(message)]
        return [message]

    return say


def second_hello_with(*added: Extension, without: Iterable[int] = (), **fields: Any) -> Say:
    return second_hello(lambda hello: _changed(hello, added, without, fields))


def _changed(hello: Any, added: Iterable[Extension], without: Iterable[int], fields: dict[str, Any]) -> Any:
    return with_extensions(hello, *added, without=without).replace(**fields)


def to_server(say: Say, client: dict[str, Any] | None = None, **settings: Any) -> Any:
    """The error of a server whose client says this."""
    return refused(lying(lambda: client13(**(client or {})), say), server13(**settings), by="server")


def to_client(say: Say, server: dict[str, Any] | None = None, **settings: Any) -> Any:
    """The error of a client whose server says this."""
    return refused(client13(**settings), lying(lambda: server13(**(server or {})), say), by="client")


def agreed(
    client_says: Say | None = None,
    server_says: Say | None = None,
    *,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
) -> Pair:
    """Two that come through with what they say."""
    saying_client = lying(lambda: client13(**(client or {})), client_says or _truth)
    saying_server = lying(lambda: server13(**(server or {})), server_says or _truth)
    shuttle(saying_client, saying_server)
    assert saying_client.state is saying_server.state is ConnectionState.OPEN, (saying_client, saying_server)
    return saying_client, saying_server


def _truth(message: HandshakeMessage) -> Iterable[HandshakeMessage]:
    return [message]
