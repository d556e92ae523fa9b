"""However the transport cuts the bytes, the events and the answers are the same."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory import Connection, connections, established, record, sealed
from sanstls import ConnectionFailed, Event, NamedGroup

Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def by_sizes(sizes: list[int]) -> Cut:
    """Chunks of these sizes, over and over."""

    def cut(data: bytes) -> list[bytes]:
        chunks, position, index = [], 0, 0
        while position < len(data):
            size = sizes[index % len(sizes)]
            chunks.append(data[position : position + size])
            position, index = position + size, index + 1
        return chunks

    return cut


cuts = st.lists(st.one_of(st.integers(1, 8), st.integers(1, 3000)), min_size=1, max_size=12)


def comparable(events: list[Event]) -> list[Any]:
    """Events, of which errors are compared by what they say."""
    return [(type(event.error), str(event.error)) if isinstance(event, ConnectionFailed) else event for event in events]


def session(cut: Cut, *, is_retried: bool, kind: type = bytes) -> list[Any]:
    """A whole connection's life; every event and every byte sent, in order."""
    client, server = connections(
        key_shares=() if is_retried else None, groups=(NamedGroup.x25519,), alpn=("h2",), trace=True
    )
    log: list[Any] = []

    def carry(source: Connection, target: Connection) -> None:
        data = source.data_to_send()
        log.append(data)
        events: list[Event] = []
        for chunk in cut(data):
            events += target.receive_data(kind(chunk))
        log.append(comparable(events))

    for _ in range(3):
        carry(client, server)
        carry(server, client)
    client.send_data(bytes(40_000))
    client.update_keys(request_peer=True)
    client.send_data(b"after")
    carry(client, server)
    server.send_data(b"answer")
    carry(server, client)
    server.close()
    client.send_data(b"last")
    client.close()
    carry(server, client)
    carry(client, server)
    log.append((client.state, server.state))
    return log


@cache
def expected(is_retried: bool) -> list[Any]:
    return session(whole, is_retried=is_retried)


def test_a_session_is_repeatable() -> None:
    assert session(whole, is_retried=False) == expected(False)
    assert [len(item) for item in expected(True)[:-1:2]].count(0) < 4


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("is_retried", [False, True], ids=["at once", "retried"])
def test_one_byte_at_a_time(is_retried: bool, kind: type) -> None:
    assert session(by_sizes([1]), is_retried=is_retried, kind=kind) == expected(is_retried)


@settings(max_examples=40)
@given(cuts, st.booleans())
@example([5], False)
@example([6, 1], True)
def test_any_chunks(sizes: list[int], is_retried: bool) -> None:
    assert session(by_sizes(sizes), is_retried=is_retried) == expected(is_retried)


def told(make: Callable[[], Connection], data: bytes, cut: Cut) -> tuple[list[Any], bytes]:
    connection = make()
    first = connection.data_to_send()
    events: list[Event] = []
    for chunk in cut(data):
        events += connection.receive_data(chunk)
    return comparable(events), first + connection.data_to_send()


def new_client() -> Connection:
    return connections()[0]


def new_server() -> Connection:
    return connections()[1]


starts = st.sampled_from(
    [b"", b"GET ", b"HTTP/1.1", b"\x80\x2e\x01", b"\x16\x03\x01", b"\x15\x03\x03\0\2", b"\x17\3\3"]
)


@settings(max_examples=150)
@given(st.sampled_from([new_client, new_server]), starts, st.binary(max_size=60), cuts)
def test_any_chunks_of_what_is_no_handshake(
    make: Callable[[], Connection], start: bytes, data: bytes, sizes: list[int]
) -> None:
    assert told(make, start + data, by_sizes(sizes)) == told(make, start + data, whole)


@settings(max_examples=60)
@given(st.data(), cuts)
def test_any_chunks_of_a_damaged_hello(data: st.DataObject, sizes: list[int]) -> None:
    hello = bytearray(new_client().data_to_send())
    position = data.draw(st.integers(0, len(hello) - 1))
    hello[position] ^= data.draw(st.integers(1, 255))
    assert told(new_server, bytes(hello), by_sizes(sizes)) == told(new_server, bytes(hello), whole)


@settings(max_examples=60)
@given(st.data(), cuts)
def test_any_chunks_of_a_damaged_flight(data: st.DataObject, sizes: list[int]) -> None:
    server = new_server()
    server.receive_data(new_client().data_to_send())
    flight = bytearray(server.data_to_send())
    position = data.draw(st.integers(0, len(flight) - 1))
    flight[position] ^= data.draw(st.integers(1, 255))
    assert told(new_client, bytes(flight), by_sizes(sizes)) == told(new_client, bytes(flight), whole)


@given(cuts)
def test_data_before_a_failure_is_delivered_however_it_comes(sizes: list[int]) -> None:
    def run(cut: Cut) -> tuple[list[Any], bytes]:
        client, server = established()
        data = sealed(server, 23, b"one") + sealed(server, 23, b"two") + record(22, b"x" * 30) + b"never read"
        events: list[Event] = []
        for chunk in cut(data):
            events += client.receive_data(chunk)
        return comparable(events), client.data_to_send()

    assert run(by_sizes(sizes)) == run(whole)
    assert len(run(whole)[0]) == 3
