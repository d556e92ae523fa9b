"""What a peer may try outside of the handshake's own messages: renegotiation, warnings, the end of the transport."""

from typing import Any

import pytest

from connection12.peers import (
    KEY_TRANSPORT,
    MUTUAL,
    TLS12,
    TLS13,
    check_over,
    check_refused,
    client12,
    open_pair,
    pair,
    scripted,
    server12,
)
from memory import (
    Connection,
    failures,
    is_complete,
    message,
    record,
    records,
    sealed,
    shuttle,
    the_failure,
)
from sanstls import (
    AlertDescription,
    AlertReceived,
    AlertReceivedError,
    CloseNotifyReceived,
    ConnectionState,
    DataReceived,
    LocalError,
    PeerMisbehaviour,
    UnexpectedEOF,
)
from sanstls.record.limits import MAX_EMPTY_RECORDS, MAX_WARNING_ALERTS
from sanstls.wire.registries import AlertLevel
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour
HELLO_REQUEST = message(T.hello_request, b"")
ROLES = ["client", "server"]


def client_hello() -> bytes:
    """A ClientHello as a message."""
    return client12("again").data_to_send()[5:]


def victim_of(role: str, **settings: Any) -> tuple[Connection, Connection, bytes]:
    """An open connection in this role, its peer, and the message by which that asks for a renegotiation."""
    client, server = open_pair(**settings)
    if role == "client":
        return client, server, HELLO_REQUEST
    return server, client, client_hello()


# Renegotiation (RFC 5246 7.4.1.1, 7.2.2) --------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, MUTUAL, KEY_TRANSPORT], ids=["ECDHE", "mutual", "RSA"])
@pytest.mark.parametrize("role", ROLES)
def test_a_renegotiation_is_refused_and_the_connection_lives(role: str, settings: dict[str, Any]) -> None:
    victim, peer, request = victim_of(role, **settings)
    assert victim.receive_data(sealed(peer, 22, request)) == []
    assert victim.state is ConnectionState.OPEN
    assert peer.receive_data(victim.data_to_send()) == [
        AlertReceived(AlertLevel.warning, AlertDescription.no_renegotiation)
    ]
    peer.send_data(b"still")
    assert victim.receive_data(peer.data_to_send()) == [DataReceived(b"still")]
    victim.send_data(b"here")
    assert peer.receive_data(victim.data_to_send()) == [DataReceived(b"here")]


@pytest.mark.parametrize("role", ROLES)
def test_a_renegotiation_in_pieces(role: str) -> None:
    victim, peer, request = victim_of(role)
    data = b"".join(sealed(peer, 22, request[at : at + 1]) for at in range(len(request)))
    events: list[Any] = []
    for at in range(0, len(data), 7):
        events += victim.receive_data(data[at : at + 7])
    assert events == []
    assert peer.receive_data(victim.data_to_send()) == [
        AlertReceived(AlertLevel.warning, AlertDescription.no_renegotiation)
    ]


@pytest.mark.parametrize("role", ROLES)
def test_data_within_the_request_for_a_renegotiation(role: str) -> None:
    victim, peer, request = victim_of(role)
    data = sealed(peer, 22, request[:2]) + sealed(peer, 23, b"data") + sealed(peer, 22, request[2:])
    assert check_refused(victim, victim.receive_data(data), peer).kind is P.INTERLEAVED_RECORD


@pytest.mark.parametrize("is_in_one_record", [True, False])
@pytest.mark.parametrize("role", ROLES)
def test_renegotiations_are_bounded(role: str, is_in_one_record: bool) -> None:
    """Each costs the victim an answer. Data in between says that the connection is good for something."""
    victim, peer, request = victim_of(role)

    def requests(count: int) -> bytes:
        if is_in_one_record:
            return sealed(peer, 22, request * count)
        return b"".join(sealed(peer, 22, request) for _ in range(count))

    for _ in range(3):
        assert victim.receive_data(requests(MAX_EMPTY_RECORDS)) == []
        assert victim.receive_data(sealed(peer, 23, b"data")) == [DataReceived(b"data")]
        assert len(records(victim.data_to_send())) == MAX_EMPTY_RECORDS
    error = the_failure(victim.receive_data(requests(MAX_EMPTY_RECORDS + 1)))
    assert error.kind is P.TOO_MANY_EMPTY_RECORDS
    assert len(records(victim.data_to_send())) == MAX_EMPTY_RECORDS + 1
    check_over(victim, error)


@pytest.mark.parametrize("role", ROLES)
def test_who_has_closed_does_not_answer(role: str) -> None:
    victim, peer, request = victim_of(role)
    victim.close()
    victim.data_to_send()
    assert victim.receive_data(sealed(peer, 22, request)) == []
    assert victim.data_to_send() == b""
    assert victim.receive_data(sealed(peer, 23, b"data")) == [DataReceived(b"data")]


@pytest.mark.parametrize("request_of", ["client", "server"])
def test_the_request_of_the_wrong_side(request_of: str) -> None:
    """Servers send no ClientHello, and clients no HelloRequest."""
    client, server = open_pair()
    victim, peer = (server, client) if request_of == "client" else (client, server)
    wrong = HELLO_REQUEST if request_of == "client" else client_hello()
    error = check_refused(victim, victim.receive_data(sealed(peer, 22, wrong)), peer)
    assert error.kind is P.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("kind", [kind for kind in T if kind not in (T.hello_request, T.client_hello)], ids=str)
@pytest.mark.parametrize("role", ROLES)
def test_any_other_message_after_the_handshake(role: str, kind: T) -> None:
    victim, peer, _ = victim_of(role)
    error = check_refused(victim, victim.receive_data(sealed(peer, 22, message(kind, b"\0"))), peer)
    assert error.kind is P.UNEXPECTED_MESSAGE
    assert error.alert is AlertDescription.unexpected_message


@pytest.mark.parametrize("role", ROLES)
def test_a_request_that_is_malformed(role: str) -> None:
    victim, peer, request = victim_of(role)
    wrong = message(request[0], request[4:] + b"\0")
    assert check_refused(victim, victim.receive_data(sealed(peer, 22, wrong)), peer).kind is P.MALFORMED_MESSAGE


@pytest.mark.parametrize("before", [T.certificate, T.server_key_exchange, T.server_hello_done, T.finished])
def test_a_hello_request_during_the_handshake_is_ignored(before: T) -> None:
    """RFC 5246 7.4.1.1: and is no part of the transcript."""

    def script(item: Any) -> list[Any]:
        return [HELLO_REQUEST, item] if isinstance(item, bytes) and item[0] == before else [item]

    client, server = client12(), scripted(server12, script)
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN


def test_hello_requests_during_the_handshake_are_bounded() -> None:
    def script(item: Any) -> list[Any]:
        is_first = isinstance(item, bytes) and item[0] == T.certificate
        return [HELLO_REQUEST] * (MAX_EMPTY_RECORDS + 1) + [item] if is_first else [item]

    client, server = client12(), scripted(server12, script)
    client_events, _ = shuttle(client, server)
    assert the_failure(client_events).kind is P.TOO_MANY_EMPTY_RECORDS


def test_a_client_hello_during_the_handshake() -> None:
    """It is no renegotiation then."""

    def script(item: Any) -> list[Any]:
        is_exchange = isinstance(item, bytes) and item[0] == T.client_key_exchange
        return [client_hello(), item] if is_exchange else [item]

    client, server = scripted(client12, script), server12()
    _, server_events = shuttle(client, server)
    assert the_failure(server_events).kind is P.UNEXPECTED_MESSAGE


# Alerts (RFC 5246 7.2) --------------------------------------------------------------------------------------------


ERRORS = [alert for alert in AlertDescription if alert is not AlertDescription.close_notify]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("alert", ERRORS, ids=str)
def test_a_warning_is_told_and_the_connection_lives(alert: AlertDescription, role: str) -> None:
    victim, peer, _ = victim_of(role)
    assert victim.receive_data(sealed(peer, 21, bytes([1, alert]))) == [AlertReceived(AlertLevel.warning, alert)]
    victim.send_data(b"here")
    assert peer.receive_data(victim.data_to_send()) == [DataReceived(b"here")]


@pytest.mark.parametrize("level", [0, 2, 3, 255])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("alert", [10, 40, 100, 250])
def test_every_other_level_is_fatal(alert: int, role: str, level: int) -> None:
    victim, peer, _ = victim_of(role)
    error = the_failure(victim.receive_data(sealed(peer, 21, bytes([level, alert]))))
    assert isinstance(error, AlertReceivedError)
    assert error.description == alert
    assert victim.data_to_send() == b""  # an alert is not answered with an alert
    check_over(victim, error)


@pytest.mark.parametrize("has_data", [False, True])
@pytest.mark.parametrize("role", ROLES)
def test_warnings_are_bounded(role: str, has_data: bool) -> None:
    """Data in between does not help."""
    victim, peer, _ = victim_of(role)
    warning = bytes([1, AlertDescription.no_renegotiation])
    for _ in range(MAX_WARNING_ALERTS):
        assert len(victim.receive_data(sealed(peer, 21, warning))) == 1
        if has_data:
            assert victim.receive_data(sealed(peer, 23, b"data")) == [DataReceived(b"data")]
    events = victim.receive_data(sealed(peer, 21, warning))
    assert isinstance(events[0], AlertReceived)
    error = check_refused(victim, events, peer)
    assert error.kind is P.TOO_MANY_WARNINGS
    assert error.alert is AlertDescription.unexpected_message


@pytest.mark.parametrize("size", [0, 1, 3, 4])
@pytest.mark.parametrize("role", ROLES)
def test_an_alert_that_is_none(role: str, size: int) -> None:
    """Two of them in one record are none, either."""
    victim, peer, _ = victim_of(role)
    error = check_refused(victim, victim.receive_data(sealed(peer, 21, b"\1\x64\1\x64"[:size])), peer)
    assert error.kind is (P.MALFORMED_ALERT if size else P.EMPTY_RECORD)


def during(role: str) -> tuple[Connection, Connection]:
    """A connection that knows that TLS 1.2 is spoken, but has no keys yet; and its peer."""
    client, server = pair()
    server.receive_data(client.data_to_send())
    flight = server.data_to_send()
    if role == "server":
        return server, client
    end = 9 + int.from_bytes(flight[6:9], "big")
    client.receive_data(b"\x16\x03\x03" + (end - 5).to_bytes(2, "big") + flight[5:end])
    return client, server


@pytest.mark.parametrize("role", ROLES)
def test_warnings_during_the_handshake(role: str) -> None:
    victim, _ = during(role)
    warning = record(21, bytes([1, AlertDescription.unrecognized_name]))
    for _ in range(MAX_WARNING_ALERTS):
        assert len(victim.receive_data(warning)) == 1
    assert victim.state is ConnectionState.HANDSHAKE
    assert the_failure(victim.receive_data(warning)).kind is P.TOO_MANY_WARNINGS


@pytest.mark.parametrize("alert", ["fatal", "close_notify", "close_notify as fatal"])
@pytest.mark.parametrize("role", ROLES)
def test_alerts_that_end_the_handshake(role: str, alert: str) -> None:
    victim, _ = during(role)
    content = {"fatal": b"\2\x28", "close_notify": b"\1\0", "close_notify as fatal": b"\2\0"}[alert]
    error = the_failure(victim.receive_data(record(21, content)))
    assert isinstance(error, AlertReceivedError)
    assert error.description == content[1]
    assert "during the handshake" in str(error)
    check_over(victim, error)


@pytest.mark.parametrize("alert", [AlertDescription.unrecognized_name, AlertDescription.no_renegotiation], ids=str)
@pytest.mark.parametrize("versions", [(TLS12,), (TLS13, TLS12)], ids=len)
def test_a_warning_before_the_server_hello(versions: tuple[Any, ...], alert: AlertDescription) -> None:
    """RFC 6066 3 knows one that comes then; of others it can't be said which version they are of."""
    client = client12(versions=versions)
    server = server12()
    server.receive_data(client.data_to_send())
    events = client.receive_data(record(21, bytes([1, alert])))
    if alert is AlertDescription.unrecognized_name:
        assert events == [AlertReceived(AlertLevel.warning, alert)]
        assert is_complete(shuttle(client, server)[0])
    else:
        assert isinstance(the_failure(events), AlertReceivedError)


@pytest.mark.parametrize("role", ROLES)
def test_a_refusal_reaches_the_peer_in_every_phase(role: str) -> None:
    for phase in range(4):
        client, server = pair()
        victim, peer = (client, server) if role == "client" else (server, client)
        for step in range(phase):
            source, target = (client, server) if step % 2 == 0 else (server, client)
            target.receive_data(source.data_to_send())
        if role == "client" and phase == 0:
            victim.data_to_send()
        victim.abort(AlertDescription.access_denied)
        # What was queued before goes out before.
        events = peer.receive_data(victim.data_to_send())
        assert the_failure(events).description == AlertDescription.access_denied


# Closing and the end of the transport -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_half_close(role: str) -> None:
    first, second, _ = victim_of(role)
    first.send_data(b"last words")
    first.close()
    assert second.receive_data(first.data_to_send()) == [DataReceived(b"last words"), CloseNotifyReceived()]
    with pytest.raises(LocalError):
        first.send_data(b"x")
    second.send_data(b"still here")
    assert first.receive_data(second.data_to_send()) == [DataReceived(b"still here")]
    assert second.receive_eof() == []
    second.close()
    assert first.receive_data(second.data_to_send()) == [CloseNotifyReceived()]
    assert first.state is second.state is ConnectionState.CLOSED


@pytest.mark.parametrize("role", ROLES)
def test_truncated_data(role: str) -> None:
    victim, peer, _ = victim_of(role)
    data = sealed(peer, 23, b"one") + sealed(peer, 23, b"two")
    assert victim.receive_data(data[:-1]) == [DataReceived(b"one")]
    error = the_failure(victim.receive_eof())
    assert type(error) is UnexpectedEOF
    assert victim.data_to_send() == b""
    check_over(victim, error)


@pytest.mark.parametrize("settings", [MUTUAL, KEY_TRANSPORT], ids=["ECDHE", "RSA"])
@pytest.mark.parametrize("role", ROLES)
def test_the_transport_ends_anywhere(role: str, settings: dict[str, Any]) -> None:
    """Whatever of a handshake has come, one failure is told, and it is the one of the end."""
    flights: list[bytes] = []
    client, server = pair(**settings)
    while True:
        source, target = (client, server) if len(flights) % 2 == 0 else (server, client)
        flights.append(source.data_to_send())
        if not flights[-1]:
            break
        target.receive_data(flights[-1])
    sent = flights[0::2] if role == "server" else flights[1::2]
    total = sum(map(len, sent))
    assert total > 300
    for cut in {*range(0, total, 23), *range(total - 60, total)}:
        client, server = pair(**settings)
        victim, peer = (client, server) if role == "client" else (server, client)
        left = cut
        events: list[Any] = []
        for _ in range(6):
            outgoing = victim.data_to_send()
            peer.receive_data(outgoing)
            incoming = peer.data_to_send()[:left]
            left -= len(incoming)
            events += victim.receive_data(incoming)
        if is_complete(events):  # signatures, and so flights, differ in length by a few bytes
            assert cut >= total - 60
            continue
        assert not failures(events)
        error = the_failure(victim.receive_eof())
        assert isinstance(error, UnexpectedEOF)
        assert "during the handshake" in str(error)
        check_over(victim, error)
