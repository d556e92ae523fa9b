"""How connections end: half-close, truncation, aborts, alerts; and what can be done afterwards."""

from collections.abc import Callable

import pytest

from memory import (
    Connection,
    connections,
    deliver,
    established,
    failures,
    is_complete,
    plain_alert,
    record,
    sealed,
    shuttle,
    the_failure,
)
from sanstls import (
    AlertDescription,
    AlertReceived,
    AlertReceivedError,
    CloseNotifyReceived,
    ConnectionFailed,
    ConnectionState,
    DataReceived,
    HandshakeComplete,
    LocalError,
    PeerError,
    PeerMisbehaviour,
    UnexpectedEOF,
)

Pair = tuple[Connection, Connection]


@pytest.fixture(params=["client first", "server first"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Two open connections, in both orders."""
    client, server = established()
    return (client, server) if request.param == "client first" else (server, client)


def carry(source: Connection, target: Connection) -> list[object]:
    return list(target.receive_data(source.data_to_send()))


# Closing ----------------------------------------------------------------------------------------------------------


def test_half_close(pair: Pair) -> None:
    first, second = pair
    first.send_data(b"last words")
    first.close()
    assert first.state is ConnectionState.WRITE_CLOSED
    assert carry(first, second) == [DataReceived(b"last words"), CloseNotifyReceived()]
    assert second.state is ConnectionState.READ_CLOSED
    assert not second.wants_data
    assert first.wants_data
    second.send_data(b"still here")
    assert carry(second, first) == [DataReceived(b"still here")]
    assert second.receive_eof() == []
    second.close()
    assert carry(second, first) == [CloseNotifyReceived()]
    assert first.state is second.state is ConnectionState.CLOSED
    assert first.receive_eof() == []


def test_keys_can_be_updated_in_a_half_closed_connection(pair: Pair) -> None:
    first, second = pair
    first.close()
    carry(first, second)
    second.update_keys(request_peer=True)
    second.send_data(b"under new keys")
    events = carry(second, first)
    assert events[-1] == DataReceived(b"under new keys")
    assert first.data_to_send() == b""  # who has closed owes no answer


def test_closing_twice_sends_once(pair: Pair) -> None:
    first, second = pair
    first.close()
    sent = first.data_to_send()
    first.close()
    assert first.data_to_send() == b""
    assert second.receive_data(sent) == [CloseNotifyReceived()]
    second.close()
    second.close()
    assert carry(second, first) == [CloseNotifyReceived()]


def test_nothing_is_sent_after_close(pair: Pair) -> None:
    first, _ = pair
    first.close()
    for act in (lambda: first.send_data(b"x"), first.update_keys):
        with pytest.raises(LocalError, match="closed"):
            act()


def test_what_comes_after_close_notify_is_ignored(pair: Pair) -> None:
    first, second = pair
    first.close()
    closing = first.data_to_send()
    assert second.receive_data(closing + sealed(first, 23, b"too late") + b"rubbish") == [CloseNotifyReceived()]
    assert second.receive_data(b"\xff" * 100) == []
    second.send_data(b"fine")
    assert carry(second, first) == [DataReceived(b"fine")]


def test_what_came_with_close_notify_is_not_lost(pair: Pair) -> None:
    first, second = pair
    first.close()
    closing = first.data_to_send()
    assert second.trailing_data == b""
    assert second.receive_data(closing[:7]) == []
    assert second.receive_data(memoryview(closing[7:] + b"220 plain again\r\n")) == [CloseNotifyReceived()]
    assert second.trailing_data == b"220 plain again\r\n"
    assert second.receive_data(b"the caller's own") == []
    assert second.trailing_data == b"220 plain again\r\n"


def test_whether_data_may_be_sent() -> None:
    client, server = connections()
    assert not client.can_send
    flight = client.data_to_send()
    server.receive_data(flight)
    # What ends the connection may come in one piece with what completes its handshake.
    events = client.receive_data(server.data_to_send() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert any(isinstance(event, HandshakeComplete) for event in events)
    assert isinstance(events[-1], ConnectionFailed)
    assert not client.can_send
    for first, second in (established(), established()[::-1]):
        assert first.can_send
        second.close()
        first.receive_data(second.data_to_send())
        assert first.can_send
        assert not second.can_send
        first.close()
        assert not first.can_send


def test_closing_before_anything(pair: Pair) -> None:
    client, server = connections()
    client.close()
    assert client.data_to_send() == b""
    assert client.state is ConnectionState.CLOSED
    assert client.receive_data(b"x") == []
    server.close()
    sent = server.data_to_send()
    assert sent == record(21, b"\x01\x5a") + record(21, b"\x01\x00")  # user_canceled, close_notify
    assert server.receive_data(b"x") == []
    for connection in (client, server):
        with pytest.raises(LocalError, match="closed"):
            connection.send_data(b"x")


def test_giving_up_the_handshake_is_told_to_the_server() -> None:
    client, server = connections()
    server.receive_data(client.data_to_send())
    client.close()
    events = server.receive_data(client.data_to_send())
    assert isinstance(events[0], AlertReceived)
    assert events[0].description == AlertDescription.user_canceled
    error = the_failure(events)
    assert isinstance(error, AlertReceivedError)
    assert error.description == AlertDescription.close_notify


def test_giving_up_the_handshake_is_told_to_the_client() -> None:
    client, server = connections()
    client.data_to_send()
    server.close()
    events = client.receive_data(server.data_to_send())
    assert [event.description for event in events if isinstance(event, AlertReceived)] == [90, 0]
    assert the_failure(events).description == AlertDescription.close_notify
    assert client.data_to_send() == b""


def test_a_server_that_gives_up_after_its_finished_has_completed_the_client() -> None:
    client, server = connections()
    server.receive_data(client.data_to_send())
    server.close()
    events = client.receive_data(server.data_to_send())
    assert is_complete(events)
    assert isinstance(events[-1], CloseNotifyReceived)
    assert server.receive_data(client.data_to_send()) == []


def test_the_user_may_be_reported_to_have_canceled_after_the_handshake(pair: Pair) -> None:
    first, second = pair
    data = sealed(first, 21, b"\x01\x5a") + sealed(first, 21, b"\x01\x00")
    events = second.receive_data(data)
    assert [type(event) for event in events] == [AlertReceived, CloseNotifyReceived]


# Truncation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["client", "server"])
def test_an_end_before_anything(role: str) -> None:
    client, server = connections()
    connection = client if role == "client" else server
    error = the_failure(connection.receive_eof())
    assert isinstance(error, UnexpectedEOF)
    assert "during the handshake" in str(error)
    assert connection.state is ConnectionState.FAILED
    assert connection.receive_eof() == []


@pytest.mark.parametrize("kept", [1, 3, 5, 6, 40, -1])
def test_an_end_during_the_handshake(kept: int) -> None:
    client, server = connections()
    hello = client.data_to_send()
    assert server.receive_data(hello[:kept]) == []
    assert isinstance(the_failure(server.receive_eof()), UnexpectedEOF)
    assert server.data_to_send() == b""
    _, server = connections()
    server.receive_data(hello)
    client.receive_data(server.data_to_send()[:kept])
    assert isinstance(the_failure(client.receive_eof()), UnexpectedEOF)
    assert "Finished" in str(the_failure(server.receive_eof()))


def test_an_end_after_the_handshake(pair: Pair) -> None:
    first, second = pair
    first.send_data(b"some")
    first.send_data(b"more")
    data = first.data_to_send()
    assert second.receive_data(data[:-1]) == [DataReceived(b"some")]
    error = the_failure(second.receive_eof())
    assert type(error) is UnexpectedEOF
    assert error.alert is None
    assert second.data_to_send() == b""
    assert second.receive_data(data[-1:]) == []


def test_an_end_after_own_close_is_a_truncation_too(pair: Pair) -> None:
    first, _ = pair
    first.close()
    assert isinstance(the_failure(first.receive_eof()), UnexpectedEOF)


# Failures ---------------------------------------------------------------------------------------------------------


def test_data_before_a_failure_is_delivered(pair: Pair) -> None:
    first, second = pair
    good = sealed(first, 23, b"good")
    bad = bytearray(sealed(first, 23, b"bad"))
    bad[-1] ^= 1
    events = second.receive_data(good + bad)
    assert events[0] == DataReceived(b"good")
    assert the_failure(events).kind is PeerMisbehaviour.BAD_RECORD_MAC
    assert len(events) == 2


def test_after_a_failure(pair: Pair) -> None:
    first, second = pair
    error = the_failure(second.receive_data(b"\x63rubbish"))
    assert isinstance(error, PeerError)
    assert second.state is ConnectionState.FAILED
    assert not second.wants_data
    for act in (lambda: second.send_data(b"x"), second.update_keys):
        with pytest.raises(LocalError) as caught:
            act()
        assert caught.value.__cause__ is error
    told = the_failure(carry(second, first))
    assert told.description == AlertDescription.unexpected_message
    assert second.receive_data(sealed(first, 23, b"late")) == []
    assert second.receive_eof() == []
    second.close()
    second.abort()
    assert second.data_to_send() == b""
    assert second.info  # what was negotiated stays known


def test_after_a_failure_of_the_handshake() -> None:
    client, _ = connections()
    client.data_to_send()
    error = the_failure(client.receive_data(b"HTTP/1.1 400 Bad Request\r\n"))
    for act in (lambda: client.info, client.channel_binding, lambda: client.send_data(b"x")):
        with pytest.raises(LocalError) as caught:
            act()
        assert caught.value.__cause__ is error


def test_a_failure_after_close_sends_nothing(pair: Pair) -> None:
    first, second = pair
    second.close()
    second.data_to_send()
    assert failures(second.receive_data(sealed(first, 24, b"x")))
    assert second.data_to_send() == b""


# Alerts -----------------------------------------------------------------------------------------------------------

FATAL = [
    alert for alert in AlertDescription if alert not in (AlertDescription.close_notify, AlertDescription.user_canceled)
]


@pytest.mark.parametrize("alert", FATAL, ids=str)
def test_an_abort_reaches_the_peer(pair: Pair, alert: AlertDescription) -> None:
    first, second = pair
    first.abort(alert)
    assert first.state is ConnectionState.FAILED
    assert not first.wants_data
    sent = first.data_to_send()
    first.abort()
    assert first.data_to_send() == b""
    events = second.receive_data(sent)
    assert isinstance(events[0], AlertReceived)
    error = the_failure(events)
    assert isinstance(error, AlertReceivedError)
    assert error.description == alert
    assert error.alert is None
    assert second.data_to_send() == b""
    with pytest.raises(LocalError, match=r"failed") as caught:
        first.send_data(b"x")
    assert isinstance(caught.value.__cause__, LocalError)


@pytest.mark.parametrize("alert", [AlertDescription.close_notify, AlertDescription.user_canceled], ids=str)
def test_an_abort_is_an_error(pair: Pair, alert: AlertDescription) -> None:
    with pytest.raises(LocalError, match="close"):
        pair[0].abort(alert)
    assert pair[0].state is ConnectionState.OPEN


def test_an_abort_after_the_end_does_nothing(pair: Pair) -> None:
    first, second = pair
    first.close()
    second.close()
    shuttle(first, second)
    first.abort()
    assert first.state is ConnectionState.CLOSED
    assert first.data_to_send() == b""


def test_an_abort_during_the_handshake() -> None:
    client, server = connections()
    server.receive_data(client.data_to_send())
    server.abort(AlertDescription.access_denied)
    events = client.receive_data(server.data_to_send())
    assert the_failure(events).description == AlertDescription.access_denied


@pytest.mark.parametrize("level", [1, 2, 77])
@pytest.mark.parametrize("code", [10, 40, 250])
def test_every_error_alert_is_fatal_whatever_its_level(pair: Pair, level: int, code: int) -> None:
    first, second = pair
    error = the_failure(second.receive_data(sealed(first, 21, bytes([level, code]))))
    assert isinstance(error, AlertReceivedError)
    assert error.description == code


def test_alerts_in_the_clear_before_keys() -> None:
    client, server = connections()
    client.data_to_send()
    alert = plain_alert(AlertDescription.handshake_failure)
    assert "ServerHello" in str(the_failure(client.receive_data(alert)))
    assert "ClientHello" in str(the_failure(server.receive_data(alert)))


def test_a_client_without_keys_may_send_a_plain_alert_and_nobody_else() -> None:
    client, server = connections()
    server.receive_data(client.data_to_send())
    flight = server.data_to_send()
    alert = plain_alert(AlertDescription.illegal_parameter)
    assert isinstance(the_failure(server.receive_data(alert)), AlertReceivedError)
    client.receive_data(flight[: flight.index(b"\x14\x03\x03\x00\x01\x01")])
    assert the_failure(client.receive_data(alert)).kind is PeerMisbehaviour.UNPROTECTED_RECORD


def test_a_plain_alert_is_not_believed_after_the_handshake(pair: Pair) -> None:
    events = pair[1].receive_data(plain_alert(AlertDescription.handshake_failure))
    assert the_failure(events).kind is PeerMisbehaviour.UNPROTECTED_RECORD


@pytest.mark.parametrize("take", [lambda c: c.data_to_send(), lambda c: b"".join(c.buffers_to_send())])
def test_pending_counts_what_waits(pair: Pair, take: Callable[[Connection], bytes]) -> None:
    first, _ = pair
    assert first.pending == 0
    first.send_data(bytes(50_000))
    first.update_keys()
    first.close()
    waiting = first.pending
    assert waiting == len(take(first)) > 50_000
    assert first.pending == 0


def test_empty_data_is_nothing(pair: Pair) -> None:
    first, _ = pair
    first.send_data(b"")
    assert first.data_to_send() == b""


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_data_of_any_size_and_type(pair: Pair, kind: type) -> None:
    first, second = pair
    for size in (1, 2**14 - 1, 2**14, 2**14 + 1, 100_000):
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        first.send_data(kind(data))
        events = deliver(first.data_to_send(), second, 4096)
        assert b"".join(event.data for event in events if isinstance(event, DataReceived)) == data
