"""KeyUpdate (RFC 9846 4.7.3): by hand, on request, by itself, and too often."""

from typing import Any

import pytest

from memory import Connection, established, message, sealed, shuttle, the_failure
from sanstls import DataReceived, KeysUpdated, MessageSent, PeerMisbehaviour
from sanstls.record.limits import MAX_KEY_UPDATES

SENDING, RECEIVING = KeysUpdated("sending"), KeysUpdated("receiving")


@pytest.fixture(params=["client", "server"])
def pair(request: pytest.FixtureRequest) -> tuple[Connection, Connection]:
    client, server = established()
    return (client, server) if request.param == "client" else (server, client)


def carry(source: Connection, target: Connection) -> list[Any]:
    return list(target.receive_data(source.data_to_send()))


def epochs(connection: Connection) -> tuple[Any, Any]:
    return connection._records.writer.sealer, connection._records.reader.opener


def test_one_direction(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    sealer, opener = epochs(first)
    first.send_data(b"before")
    first.update_keys()
    first.send_data(b"after")
    assert carry(first, second) == [DataReceived(b"before"), RECEIVING, DataReceived(b"after")]
    assert second.data_to_send() == b""
    assert first.receive_data(b"") == [SENDING]
    assert epochs(first)[0] is not sealer
    assert epochs(first)[1] is opener
    second.send_data(b"old keys")
    assert carry(second, first) == [DataReceived(b"old keys")]


def test_what_was_left_to_tell_is_told_before_data(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    second.send_data(b"data")
    first.update_keys()
    assert carry(second, first) == [SENDING, DataReceived(b"data")]


def test_both_directions(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    exported = first.export_keying_material("x", 16)
    for _ in range(5):
        first.update_keys(request_peer=True)
        assert carry(first, second) == [RECEIVING]
        assert carry(second, first) == [SENDING, RECEIVING]
        assert carry(first, second) == [SENDING]  # told at the next chance, of the answer
        first.send_data(b"ping")
        second.send_data(b"pong")
        assert carry(first, second) == [DataReceived(b"ping")]
        assert carry(second, first) == [DataReceived(b"pong")]
    assert first.export_keying_material("x", 16) == second.export_keying_material("x", 16) == exported


def test_several_requests_are_answered_once(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    for _ in range(4):
        first.update_keys(request_peer=True)
    assert carry(first, second) == [RECEIVING] * 4
    second.send_data(b"data goes out under the new keys")
    assert carry(second, first) == [SENDING] * 4 + [RECEIVING, DataReceived(b"data goes out under the new keys")]
    assert second.data_to_send() == b""


@pytest.mark.parametrize("take", ["data_to_send", "buffers_to_send", "pending", "close"])
def test_the_answer_is_due_at_every_chance_to_send(pair: tuple[Connection, Connection], take: str) -> None:
    first, second = pair
    first.update_keys(request_peer=True)
    carry(first, second)
    if take == "pending":
        assert second.pending > 0
        data = second.data_to_send()
    elif take == "close":
        second.close()
        data = second.data_to_send()
    else:
        data = b"".join([getattr(second, take)()] if take == "data_to_send" else getattr(second, take)())
    assert RECEIVING in first.receive_data(data)


def test_requests_that_cross(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    first.update_keys(request_peer=True)
    second.update_keys(request_peer=True)
    crossing = first.data_to_send(), second.data_to_send()
    second.receive_data(crossing[0])
    first.receive_data(crossing[1])
    shuttle(first, second)
    first.send_data(b"a")
    second.send_data(b"b")
    assert shuttle(first, second)[1] == [DataReceived(b"a")]


@pytest.mark.parametrize("request_peer", [False, True])
def test_a_flood(pair: tuple[Connection, Connection], request_peer: bool) -> None:
    first, second = pair
    for _ in range(MAX_KEY_UPDATES):
        first.update_keys(request_peer=request_peer)
    assert carry(first, second) == [RECEIVING] * MAX_KEY_UPDATES
    first.update_keys(request_peer=request_peer)
    assert the_failure(carry(first, second)).kind is PeerMisbehaviour.TOO_MANY_KEY_UPDATES


def test_data_between_makes_it_no_flood(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    for _ in range(3):
        for _ in range(MAX_KEY_UPDATES):
            first.update_keys()
        first.send_data(b"x")
        events = carry(first, second)
        assert events[-1] == DataReceived(b"x")


def test_empty_data_between_is_a_flood_all_the_same(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    events: list[Any] = []
    for _ in range(MAX_KEY_UPDATES + 1):
        first.update_keys()
        first._records.writer.flush_messages()
        events += second.receive_data(first.data_to_send() + sealed(first, 23, b""))
    assert the_failure(events).kind is PeerMisbehaviour.TOO_MANY_KEY_UPDATES


def test_at_the_limit_of_the_aead_it_happens_by_itself(pair: tuple[Connection, Connection]) -> None:
    first, second = pair
    sealer = first._records.writer.sealer
    assert sealer is not None
    sealer.records_left = 3
    for index in range(6):
        first.send_data(bytes([index]))
    events = carry(first, second)
    data = [event.data[0] for event in events if isinstance(event, DataReceived)]
    assert data == list(range(6))
    assert events.count(RECEIVING) == 1
    assert events.index(RECEIVING) in (2, 3)
    assert epochs(first)[0] is not sealer


def test_long_data_does_not_pass_the_limit_of_the_aead(pair: tuple[Connection, Connection]) -> None:
    """One call may be many records: the keys are updated in the midst of them, not behind."""
    first, second = pair
    sealer = first._records.writer.sealer
    assert sealer is not None
    sealer.records_left = 5
    first.send_data(bytes(20 * 2**14))
    events = carry(first, second)
    assert sum(len(event.data) for event in events if isinstance(event, DataReceived)) == 20 * 2**14
    assert sealer.records_left >= 0
    assert RECEIVING in events


@pytest.mark.parametrize("value", [2, 255])
def test_an_undefined_request(pair: tuple[Connection, Connection], value: int) -> None:
    first, second = pair
    error = the_failure(second.receive_data(sealed(first, 22, message(24, bytes([value])))))
    assert error.kind is PeerMisbehaviour.BAD_KEY_UPDATE


@pytest.mark.parametrize("body", [b"", b"\0\0"], ids=["empty", "long"])
def test_a_malformed_one(pair: tuple[Connection, Connection], body: bytes) -> None:
    first, second = pair
    error = the_failure(second.receive_data(sealed(first, 22, message(24, body))))
    assert error.kind is PeerMisbehaviour.MALFORMED_MESSAGE


def test_it_is_traced() -> None:
    client, server = established(trace=True)
    client.update_keys()
    events = client.receive_data(b"")
    assert [event.name for event in events if isinstance(event, MessageSent)] == ["KeyUpdate"]
    assert "KeyUpdate" in [getattr(event, "name", None) for event in carry(client, server)]
