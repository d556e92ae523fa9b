"""Early data, 0-RTT (RFC 9846 2.3, 4.3.10, 4.6, 8), in memory: taken, dropped, and never lost or counted twice."""

from dataclasses import replace
from typing import Any

import pytest

from connection.test_resumption13 import AES128, AES256, CHACHA, LOOKED_UP, Service, newcomer, received
from connection12.peers import TLS12, check_refused, instead, lying, with_extensions
from memory import NAME, NOW, client_config, records, sealed, shuttle, the_failure
from sanstls import (
    ClientConnection,
    ConnectionState,
    DataReceived,
    EarlyDataAccepted,
    EarlyDataRejected,
    EarlyDataRequest,
    LocalError,
    NamedGroup,
    PeerMisbehaviour,
    ReplayWindow,
    SecretLogged,
    ServerConnection,
    Session,
    SignatureRequest,
)
from sanstls.inspect import ladder
from sanstls.record.limits import MAX_SKIPPED_BEYOND_EARLY_DATA
from sanstls.wire.extensions import EarlyDataIndication
from sanstls.wire.messages import EncryptedExtensions, EndOfEarlyData

P = PeerMisbehaviour
DATA = b"early " * 100
MOST = 2000


def service(**settings: Any) -> Service:
    defaults = {"max_early_data": MOST, "replay_protection": ReplayWindow(), "session_tickets": 1}
    return Service(**(defaults | settings))


def session_of(serving: Service, **settings: Any) -> Session:
    events, _ = serving.talk(newcomer(**settings))
    (session,) = received(events)
    return session


def early(session: Session, seed: object = "again", *, wants: bool = True, **settings: Any) -> ClientConnection:
    config = client_config(seed, **({"verify": session.verified_by} | settings))
    return ClientConnection(config, NAME, session=session, early_data=wants)


def data_in(events: list[Any]) -> list[tuple[bytes, bool]]:
    return [(event.data, event.early) for event in events if isinstance(event, DataReceived)]


def rejected(events: list[Any]) -> bytes:
    (event,) = [event for event in events if isinstance(event, EarlyDataRejected)]
    data: bytes = event.data
    return data


def check_open(client: ClientConnection, server: ServerConnection) -> None:
    assert client.state is server.state is ConnectionState.OPEN
    for sender, receiver in ((client, server), (server, client)):
        sender.send_data(b"later")
        assert data_in(receiver.receive_data(sender.data_to_send())) == [(b"later", False)]
    assert client.export_keying_material("x", 20) == server.export_keying_material("x", 20)


# Taken ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True], ids=["ticket", "stored"])
@pytest.mark.parametrize("suite", [AES128, AES256, CHACHA], ids=str)
@pytest.mark.parametrize("chunk", [None, 1, 100])
def test_it_is_taken(suite: Any, stored: bool, chunk: int | None) -> None:
    serving = service(**({"defer": LOOKED_UP} if stored else {}), alpn=("h2",))
    settings = {"cipher_suites": (suite,), "alpn": ("h2",)}
    session = session_of(serving, **settings)
    assert session.max_early_data == MOST
    client, server = early(session, **settings), serving.connection()
    assert client.send_early_data(DATA) == len(DATA)
    assert client.send_early_data(memoryview(b"more")) == 4
    to_server = client.data_to_send()
    client_events, server_events = shuttle(client, server, chunk)
    server_events += [event for part in _cut(to_server, chunk) for event in server.receive_data(part)]
    if stored:
        server_events += server.answer(server_events[-1], serving.store[session.ticket])
    more = shuttle(client, server, chunk)
    client_events, server_events = client_events + more[0], server_events + more[1]
    assert b"".join(data for data, is_early in data_in(server_events) if is_early) == DATA + b"more"
    assert EarlyDataAccepted() in client_events
    assert EarlyDataAccepted() in server_events
    assert client.info.early_data
    assert server.info.early_data
    assert client.info.resumed
    check_open(client, server)
    assert client.send_early_data(b"too late") == 0


def _cut(data: bytes, chunk: int | None) -> list[bytes]:
    return [data] if chunk is None else [data[start : start + chunk] for start in range(0, len(data), chunk)]


def test_more_can_be_sent_until_the_server_has_answered() -> None:
    serving = service()
    client, server = early(session_of(serving)), serving.connection()
    first = client.data_to_send()  # the hello alone
    server_events = server.receive_data(first)
    for part in (b"one", b"two"):
        client.send_early_data(part)
        server_events += server.receive_data(client.data_to_send())
    assert data_in(server_events) == [(b"one", True), (b"two", True)]
    shuttle(client, server)
    check_open(client, server)


def test_no_more_than_the_ticket_allows() -> None:
    serving = service()
    client, server = early(session_of(serving)), serving.connection()
    assert client.send_early_data(bytes(MOST + 500)) == MOST
    assert client.send_early_data(b"x") == 0
    _, events = shuttle(client, server)
    assert sum(len(data) for data, _ in data_in(events)) == MOST
    check_open(client, server)


def test_without_data_there_is_nothing_lost() -> None:
    serving = service()
    client, server = early(session_of(serving)), serving.connection()
    shuttle(client, server)
    assert client.info.early_data
    check_open(client, server)


def test_when_none_can_be_sent() -> None:
    serving = service()
    session = session_of(serving)
    for client in (
        newcomer(),
        early(session, wants=False),
        early(replace(session, max_early_data=0)),
        early(session, cipher_suites=(CHACHA,)),
        early(session, versions=(TLS12,)),
        early(replace(session, alpn="h2"), alpn=("http/1.1",)),
        early(session, clock=lambda: session.created + 7200),
    ):
        assert client.send_early_data(DATA) == 0
        server = serving.connection()
        client_events, server_events = shuttle(client, server)
        assert not any(isinstance(event, EarlyDataRejected) for event in client_events)
        assert data_in(server_events) == []
        check_open(client, server)


# Dropped ----------------------------------------------------------------------------------------------------------

DROPPED: dict[str, dict[str, Any]] = {
    "a retry": {"groups": (NamedGroup.secp256r1,)},
    "no early data here": {"max_early_data": 0},
    "no resumption": {"session_lifetime": 0},
    "another suite": {"cipher_suites": (CHACHA,)},
    "another protocol": {"alpn": ("http/1.1",)},
    "not fresh": {"clock": lambda: NOW.timestamp() + 11},
    "too fresh": {"clock": lambda: NOW.timestamp() - 11},
}


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("changes", DROPPED.values(), ids=DROPPED)
def test_what_is_dropped_comes_back(changes: dict[str, Any], chunk: int | None) -> None:
    serving = service(alpn=("h2", "http/1.1"))
    suites = {"cipher_suites": (AES128, CHACHA), "alpn": ("h2", "http/1.1")}
    session = session_of(serving, **(suites | {"cipher_suites": (AES128,)}))
    client, server = early(session, **suites), serving.connection(**changes)
    client.send_early_data(DATA)
    client.send_early_data(DATA)
    client_events, server_events = shuttle(client, server, chunk)
    assert rejected(client_events) == DATA + DATA
    assert data_in(server_events) == []
    assert not client.info.early_data
    assert not server.info.early_data
    check_open(client, server)
    assert DATA.decode() not in repr(client_events)


def test_a_replayed_flight_is_not_taken_twice() -> None:
    serving = service()
    client = early(session_of(serving))
    client.send_early_data(DATA)
    flight = client.data_to_send()
    first, second = serving.connection(), serving.connection()
    assert data_in(first.receive_data(flight)) == [(DATA, True)]
    assert data_in(second.receive_data(flight)) == []
    assert second.state is ConnectionState.HANDSHAKE
    shuttle(client, first)
    check_open(client, first)


@pytest.mark.parametrize("is_taken", [True, False])
def test_the_caller_decides(is_taken: bool) -> None:
    serving = service(replay_protection=None, defer=frozenset({EarlyDataRequest}))
    session = session_of(serving)
    client, server = early(session), serving.connection()
    client.send_early_data(DATA)
    flight = client.data_to_send()
    request = server.receive_data(flight)[-1]
    assert isinstance(request, EarlyDataRequest)
    assert request.session == session or request.session.secret == session.secret
    again = serving.connection().receive_data(flight)[-1]
    assert isinstance(again, EarlyDataRequest)
    assert again.key == request.key
    assert request.expires > NOW.timestamp()
    with pytest.raises(LocalError, match="True or False"):
        server.answer(request, 1)  # type: ignore[arg-type]
    events = server.answer(request, is_taken)
    client_events, server_events = shuttle(client, server)
    assert data_in(events + server_events) == ([(DATA, True)] if is_taken else [])
    assert any(isinstance(event, EarlyDataRejected) for event in client_events) is not is_taken
    check_open(client, server)


def test_it_waits_with_the_handshake() -> None:
    """Early data that came while a signature was waited for, although it is not taken."""
    serving = service()
    session = session_of(serving)
    client, server = early(session), serving.connection(session_lifetime=0, defer=frozenset({SignatureRequest}))
    client.send_early_data(DATA)
    request = server.receive_data(client.data_to_send())[-1]
    assert isinstance(request, SignatureRequest)
    key = serving.config.credentials[0].key
    from sanstls.crypto.signatures import sign

    assert key is not None
    server.answer(request, sign(request.scheme, key, request.message))
    client_events, _ = shuttle(client, server)
    assert rejected(client_events) == DATA
    check_open(client, server)


# Bounds, and peers that lie ---------------------------------------------------------------------------------------


def test_more_than_the_ticket_allows_is_refused() -> None:
    serving = service()
    session = session_of(serving)
    client, server = early(replace(session, max_early_data=MOST + 1)), serving.connection()
    assert client.send_early_data(bytes(MOST + 1)) == MOST + 1
    error = check_refused(server, server.receive_data(client.data_to_send()), client)
    assert error.kind is P.TOO_MUCH_EARLY_DATA


@pytest.mark.parametrize("groups", [(NamedGroup.x25519,), (NamedGroup.secp256r1,)], ids=["no retry", "retry"])
def test_no_more_is_skipped_than_was_agreed_on(groups: Any) -> None:
    serving = service()
    session = session_of(serving)
    bound = MOST + MAX_SKIPPED_BEYOND_EARLY_DATA
    for size in (bound, bound + 1):
        client = early(replace(session, max_early_data=2**20), size)
        server = serving.connection(session_lifetime=0, groups=groups)
        hello = client.data_to_send()
        assert size - len(hello) > 0
        server.receive_data(hello)
        left = size
        while left > 0:  # with header, type and tag
            step = min(left, 16000)
            if 0 < left - step < 22:
                step -= 22
            client.send_early_data(bytes(step - 22))
            left -= step
        flight = client.data_to_send()
        assert len(flight) == size
        events = server.receive_data(flight)
        if size == bound:
            assert events == []
            client_events, _ = shuttle(client, server)
            assert len(rejected(client_events)) > 0
            check_open(client, server)
        else:
            assert the_failure(events).kind in (P.BAD_RECORD_MAC, P.PREMATURE_APPLICATION_DATA, P.RECORD_OVERFLOW)


def test_nothing_is_skipped_after_the_first_good_record() -> None:
    serving = service()
    session = session_of(serving)
    client, server = early(session), serving.connection(session_lifetime=0)
    client.send_early_data(DATA)
    shuttle(client, server)
    record = sealed(client, 23, b"late")
    error = the_failure(server.receive_data(record[:-1] + bytes([record[-1] ^ 1])))
    assert error.kind is P.BAD_RECORD_MAC


def test_a_server_that_takes_what_was_not_offered() -> None:
    serving = service()
    say = instead(EncryptedExtensions, lambda message: with_extensions(message, EarlyDataIndication()))
    client, server = newcomer(), lying(serving.connection, say)
    assert the_failure(shuttle(client, server)[0]).kind is P.UNSOLICITED_EXTENSION


@pytest.mark.parametrize(
    "changes", [{"session_lifetime": 0}, {"cipher_suites": (CHACHA,)}, {"alpn": ("http/1.1",)}], ids=str
)
def test_a_server_that_takes_it_under_other_parameters(changes: dict[str, Any]) -> None:
    serving = service(alpn=("h2", "http/1.1"))
    both = {"alpn": ("h2", "http/1.1")}
    session = session_of(serving, cipher_suites=(AES128,), **both)
    say = instead(EncryptedExtensions, lambda message: with_extensions(message, EarlyDataIndication()))
    client = early(session, cipher_suites=(AES128, CHACHA), **both)
    server = lying(lambda: serving.connection(**changes), say)
    client.send_early_data(DATA)
    error = the_failure(shuttle(client, server)[0])
    assert error.kind is P.EARLY_DATA_OTHERWISE


def test_a_server_that_goes_down_to_tls12() -> None:
    """RFC 9846 D.3."""
    serving = service()
    client, server = early(session_of(serving)), serving.connection(versions=(TLS12,))
    hello = records(client.data_to_send())[0]
    server.receive_data(hello)
    client.send_early_data(DATA)
    error = the_failure(client.receive_data(server.data_to_send()))
    assert error.kind is P.EARLY_DATA_DOWNGRADED


def test_a_client_that_does_not_say_where_it_ends() -> None:
    serving = service()
    session = session_of(serving)
    client = lying(lambda: early(session), instead(EndOfEarlyData, lambda _: []))
    server = serving.connection()
    client.send_early_data(DATA)
    events = shuttle(client, server)[1]
    assert the_failure(events).kind in (P.BAD_RECORD_MAC, P.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_early_data": 100, "replay_protection": None},
        {"max_early_data": -1},
        {"max_early_data": 2**32},
        {"replay_protection": "yes"},
        {"session_tickets": 9},
        {"session_tickets": -1},
    ],
    ids=str,
)
def test_configurations_that_can_not_be(settings: dict[str, Any]) -> None:
    with pytest.raises(LocalError):
        service(**settings)


# Seen -------------------------------------------------------------------------------------------------------------


def test_it_is_traced_and_logged() -> None:
    serving = service(trace=True, key_log=True)
    session = session_of(serving)
    client, server = early(session, trace=True, key_log=True), serving.connection()
    client.send_early_data(DATA)
    both = shuttle(client, server)
    for events, role in zip(both, ("client", "server"), strict=True):
        text = ladder(events, role=role)  # type: ignore[arg-type]
        assert f"ApplicationData · {len(DATA)} bytes · early data keys" in text
        assert "EndOfEarlyData · 4 bytes · early data keys" in text
        lines = [event.line for event in events if isinstance(event, SecretLogged)]
        assert any(line.startswith("CLIENT_EARLY_TRAFFIC_SECRET ") for line in lines)
