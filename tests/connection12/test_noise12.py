"""However the transport cuts the bytes of TLS 1.2, all is the same; whatever it makes of them, nothing is raised."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connection12.peers import KEY_TRANSPORT, MUTUAL, TLS12, TLS13, client12, open_pair, pair, server12
from memory import Connection, failures, is_complete, record, sealed, shuttle, the_failure
from sanstls import (
    AlertReceivedError,
    ConnectionFailed,
    ConnectionState,
    DataReceived,
    Event,
    PeerMisbehaviour,
    UnexpectedEOF,
)

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


def fed(connection: Connection, data: bytes, cut: Cut, kind: type = bytes) -> list[Event]:
    events: list[Event] = []
    for chunk in cut(data):
        events += connection.receive_data(kind(chunk))
    return events


# Chunks -----------------------------------------------------------------------------------------------------------

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mutual": MUTUAL,
    "offered TLS 1.3": {"client": {"versions": (TLS13, TLS12)}, "server": {"versions": (TLS12,)}},
}


def session(cut: Cut, name: str, kind: type = bytes) -> list[Any]:
    """A whole connection's life; every event and every byte sent, in order."""
    client, server = pair(alpn=("h2",), trace=True, key_log=True, **SETTINGS[name])
    log: list[Any] = []

    def carry(source: Connection, target: Connection) -> None:
        data = source.data_to_send()
        log.extend((data, comparable(fed(target, data, cut, kind))))

    for _ in range(3):
        carry(client, server)
        carry(server, client)
    client.send_data(bytes(40_000))
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
def expected(name: str) -> list[Any]:
    return session(whole, name)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("name", SETTINGS)
def test_one_byte_at_a_time(name: str, kind: type) -> None:
    assert session(by_sizes([1]), name, kind) == expected(name)
    assert expected(name)[-1] == (ConnectionState.CLOSED, ConnectionState.CLOSED)


@settings(max_examples=60)
@given(cuts, st.sampled_from(sorted(SETTINGS)))
@example([5], "plain")
@example([6, 1], "mutual")
def test_any_chunks(sizes: list[int], name: str) -> None:
    assert session(by_sizes(sizes), name) == expected(name)


@settings(max_examples=30)
@given(cuts)
def test_any_chunks_of_key_transport(sizes: list[int]) -> None:
    """The encryption of the premaster secret is at random, and with it every byte that follows."""

    def run(cut: Cut) -> list[Any]:
        client, server = pair(**KEY_TRANSPORT, trace=True)
        log: list[Any] = []
        for source, target in ((client, server), (server, client)) * 2:
            log.append([(type(e), getattr(e, "name", "")) for e in fed(target, source.data_to_send(), cut)])
        return [*log, client.state, server.state]

    assert run(by_sizes(sizes)) == run(whole)
    assert run(whole)[-1] is ConnectionState.OPEN


@given(cuts)
def test_data_before_a_failure_is_delivered_however_it_comes(sizes: list[int]) -> None:
    def run(cut: Cut) -> tuple[list[Any], bytes]:
        client, server = open_pair()
        data = sealed(server, 23, b"one") + sealed(server, 23, b"two") + record(22, b"x" * 30) + b"never read"
        return comparable(fed(client, data, cut)), client.data_to_send()

    told, sent = run(whole)
    assert run(by_sizes(sizes)) == (told, sent)
    assert told[:2] == [DataReceived(b"one"), DataReceived(b"two")]
    assert len(told) == 3
    assert sent


# Noise ------------------------------------------------------------------------------------------------------------


def check_sane(connection: Connection, events: list[Any]) -> None:
    """At most one failure, nothing after it, and an alert for whoever was not told by one."""
    found = failures(events)
    assert len(found) <= 1
    if not found:
        assert connection.state is not ConnectionState.FAILED
        return
    assert isinstance(events[-1], ConnectionFailed)
    (error,) = found
    assert connection.state is ConnectionState.FAILED
    assert isinstance(error, AlertReceivedError | UnexpectedEOF) or error.alert is not None  # type: ignore[attr-defined]
    assert connection.receive_data(b"\x16\x03\x03\0\4\0\0\0\0") == []
    assert connection.receive_eof() == []


@cache
def recorded(name: str) -> list[bytes]:
    """The flights of a handshake and of some data, the client's first."""
    client, server = pair(**SETTINGS[name])
    flights: list[bytes] = []
    while len(flights) < 6:
        source, target = (client, server) if len(flights) % 2 == 0 else (server, client)
        if len(flights) >= 4:
            source.send_data(b"data")
        flights.append(source.data_to_send())
        target.receive_data(flights[-1])
    assert client.state is server.state is ConnectionState.OPEN
    return flights


def is_in_a_version(flight: bytes, position: int) -> bool:
    """Whether this byte is one of those of a record's header that are not looked at (RFC 9846 5.1)."""
    while position >= (size := 5 + int.from_bytes(flight[3:5], "big")):
        flight, position = flight[size:], position - size
    return position in (1, 2)


@pytest.mark.fuzz
@settings(max_examples=400)
@given(st.data(), st.sampled_from(sorted(SETTINGS)), st.booleans())
def test_a_flipped_bit(data: st.DataObject, name: str, is_trickling: bool) -> None:
    """Wherever it is, the handshake or the data does not come through, unless the bit means nothing."""
    index = data.draw(st.integers(0, 5), "flight")
    flight = recorded(name)[index]
    position = data.draw(st.integers(0, len(flight) - 1), "position")
    bit = data.draw(st.integers(0, 7), "bit")
    client, server = pair(**SETTINGS[name])
    events: dict[str, list[Any]] = {"client": [], "server": []}
    for number in range(8):
        source, target = (client, server) if number % 2 == 0 else (server, client)
        if number >= 4 and source.state is ConnectionState.OPEN:
            source.send_data(b"data")
        sent = bytearray(source.data_to_send())
        if number == index:
            assert bytes(sent) == flight
            sent[position] ^= 1 << bit
        told = fed(target, bytes(sent), by_sizes([3]) if is_trickling else whole)
        events["client" if target is client else "server"] += told
    check_sane(client, events["client"])
    check_sane(server, events["server"])
    came = {side: [e for e in told if isinstance(e, DataReceived)] for side, told in events.items()}
    assert all(event.data == b"data" for side in came.values() for event in side)
    is_untouched = client.state is server.state is ConnectionState.OPEN and all(
        len(side) == 2 for side in came.values()
    )
    if is_untouched:
        assert is_in_a_version(flight, position)
    for connection in (client, server):
        if connection.state is not ConnectionState.FAILED:
            connection.receive_eof()
            assert connection.state is ConnectionState.FAILED


STAGES: dict[str, Callable[[], Connection]] = {
    "new client": lambda: at_stage("client", 0),
    "new server": lambda: at_stage("server", 0),
    "server after its flight": lambda: at_stage("server", 1),
    "client after its Finished": lambda: at_stage("client", 2),
    "open client": lambda: open_pair()[0],
    "open server": lambda: open_pair()[1],
}


def at_stage(role: str, flights: int) -> Connection:
    client, server = pair(**MUTUAL)
    for number in range(flights):
        source, target = (client, server) if number % 2 == 0 else (server, client)
        target.receive_data(source.data_to_send())
    victim: Connection = client if role == "client" else server
    victim.data_to_send()
    return victim


pieces = st.one_of(
    st.binary(max_size=40),
    st.builds(record, st.integers(18, 26), st.binary(max_size=80)),
    st.builds(
        lambda kind, body, size: record(22, bytes([kind]) + size.to_bytes(3, "big") + body),
        st.sampled_from([0, 1, 2, 4, 8, 11, 12, 13, 14, 15, 16, 20, 22, 24]),
        st.binary(max_size=80),
        st.integers(0, 90),
    ),
    st.just(record(20, b"\1")),
    st.just(record(21, b"\1\x64")),
)


@pytest.mark.fuzz
@settings(max_examples=300)
@given(st.sampled_from(sorted(STAGES)), st.lists(pieces, max_size=8), cuts)
def test_noise(stage: str, noise: list[bytes], sizes: list[int]) -> None:
    data = b"".join(noise)
    victim, other = STAGES[stage](), STAGES[stage]()
    events = fed(victim, data, by_sizes(sizes))
    check_sane(victim, events)
    assert not is_complete(events)
    assert comparable(fed(other, data, whole)) == comparable(events)
    assert other.data_to_send() == victim.data_to_send()


@pytest.mark.fuzz
@settings(max_examples=200)
@given(st.booleans(), st.integers(0, 30), st.binary(max_size=100))
def test_noise_under_protection(victim_is_client: bool, content_type: int, content: bytes) -> None:
    """From a peer that has the keys: of anything but data and alerts, nothing is taken but a renegotiation."""
    client, server = open_pair()
    victim, peer = (client, server) if victim_is_client else (server, client)
    events = victim.receive_data(sealed(peer, content_type, content))
    check_sane(victim, events)
    if content_type == 23:
        assert events == ([DataReceived(content)] if content else [])
    elif content_type not in (21, 22):
        assert the_failure(events).kind in (
            PeerMisbehaviour.BAD_CHANGE_CIPHER_SPEC,
            PeerMisbehaviour.UNKNOWN_RECORD_TYPE,
        )
    else:
        assert not any(isinstance(event, DataReceived) for event in events)


@pytest.mark.fuzz
@settings(max_examples=100)
@given(st.data())
def test_bytes_that_are_lost_or_come_again(data: st.DataObject) -> None:
    """A flight from which something is cut out, or in which something stands twice, does not come through."""
    index = data.draw(st.integers(0, 3))
    flight = recorded("mutual")[index]
    start = data.draw(st.integers(0, len(flight) - 1))
    end = data.draw(st.integers(start + 1, len(flight)))
    is_lost = data.draw(st.booleans())
    changed = flight[:start] + flight[end:] if is_lost else flight[:end] + flight[start:]
    client, server = client12(**MUTUAL["client"]), server12(**MUTUAL["server"])
    events: dict[str, list[Any]] = {"client": [], "server": []}
    for number in range(6):
        source, target = (client, server) if number % 2 == 0 else (server, client)
        sent = source.data_to_send()
        if number == index:
            assert sent == flight
            sent = changed
        events["client" if target is client else "server"] += target.receive_data(sent)
    check_sane(client, events["client"])
    check_sane(server, events["server"])
    if is_complete(events["client"]):  # by a whole flight: what is too much behind it is found, or waited for
        assert not is_lost
        assert end == len(flight)
        target = server if index % 2 == 0 else client
        assert target.state is ConnectionState.FAILED or target._records.reader.kept


def test_a_whole_flight_twice_is_no_handshake() -> None:
    for index in range(4):
        client, server = pair(**MUTUAL)
        for number in range(4):
            source, target = (client, server) if number % 2 == 0 else (server, client)
            sent = source.data_to_send()
            target.receive_data(sent * 2 if number == index else sent)
        shuttle(client, server)
        assert client.state is server.state is ConnectionState.FAILED
