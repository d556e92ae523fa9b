"""Whatever the transport makes of the bytes of TLS 1.3, nothing is raised, and nothing wrong comes through."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connection.peers import FLOWS, client13, open_pair13, pair13, server13
from connection12.test_noise12 import by_sizes, check_sane, comparable, cuts, fed, is_in_a_version, pieces, whole
from memory import Connection, is_complete, sealed, the_failure
from sanstls import AlertReceived, ConnectionState, DataReceived, KeysUpdated, PeerMisbehaviour
from strategies import mutations

P = PeerMisbehaviour
FLIGHTS = {"plain": 6, "all": 8}
"""How many there are, the client's first: the handshake, an empty one if it was the client's last word, and data."""


def session(name: str) -> tuple[Connection, Connection]:
    return client13(**FLOWS[name]["client"]), server13(**FLOWS[name]["server"])


def sides(client: Connection, server: Connection, number: int) -> tuple[Connection, Connection]:
    """Who sends the flight of this number, and who receives it."""
    return (client, server) if number % 2 == 0 else (server, client)


def speak(source: Connection, name: str, number: int) -> bytes:
    """The flight of this number, with data if the handshake should be done."""
    if number >= FLIGHTS[name] - 2 and source.state is ConnectionState.OPEN:
        source.send_data(b"data")
    return source.data_to_send()


@cache
def recorded(name: str) -> list[bytes]:
    """The flights of a handshake and of some data."""
    client, server = session(name)
    flights: list[bytes] = []
    for number in range(FLIGHTS[name]):
        source, target = sides(client, server, number)
        flights.append(speak(source, name, number))
        target.receive_data(flights[-1])
    assert client.state is server.state is ConnectionState.OPEN
    return flights


def test_the_flights_are_as_many() -> None:
    for name, count in FLIGHTS.items():
        sizes = [len(flight) for flight in recorded(name)]
        assert sizes[-2] == sizes[-1] == 5 + 4 + 1 + 16, sizes
        assert sizes.index(0) == count - 3
        assert sizes.count(0) == 1


def comes_through(name: str, index: int, change: Callable[[bytes], bytes], cut: Any = whole) -> bool:
    """Whether a session in which one flight is changed comes through. However it ends, both sides are sane."""
    client, server = session(name)
    told: dict[str, list[Any]] = {"client": [], "server": []}
    for number in range(FLIGHTS[name] + 2):
        source, target = sides(client, server, number)
        sent = speak(source, name, number)
        if number == index:
            assert sent == recorded(name)[index]
            sent = change(sent)
        told["client" if target is client else "server"] += fed(target, sent, cut)
    check_sane(client, told["client"])
    check_sane(server, told["server"])
    for side in told.values():
        assert all(event.data == b"data" for event in side if isinstance(event, DataReceived))
    is_through = all(
        connection.state is ConnectionState.OPEN
        and sum(isinstance(event, DataReceived) for event in told[side]) == 2
        and not connection._records.reader.kept
        for side, connection in (("client", client), ("server", server))
    )
    for connection in (client, server):
        if connection.state is not ConnectionState.FAILED:
            connection.receive_eof()
            assert connection.state is ConnectionState.FAILED
    return is_through


def flights_of(name: str) -> list[int]:
    return [index for index, flight in enumerate(recorded(name)) if flight]


@pytest.mark.fuzz
@settings(max_examples=400)
@given(st.data(), st.sampled_from(sorted(FLOWS)), st.booleans())
def test_a_flipped_bit(data: st.DataObject, name: str, is_trickling: bool) -> None:
    """Wherever it is, the handshake or the data does not come through, unless the bit means nothing."""
    index = data.draw(st.sampled_from(flights_of(name)), "flight")
    flight = recorded(name)[index]
    position = data.draw(st.integers(0, len(flight) - 1), "position")
    bit = data.draw(st.integers(0, 7), "bit")

    def change(sent: bytes) -> bytes:
        changed = bytearray(sent)
        changed[position] ^= 1 << bit
        return bytes(changed)

    if comes_through(name, index, change, by_sizes([3]) if is_trickling else whole):
        # The version of a plain record; under protection it is authenticated.
        assert is_in_a_version(flight, position)


@pytest.mark.parametrize("name", FLOWS)
def test_every_byte_of_every_flight(name: str) -> None:
    """Each eleventh byte, with one bit flipped, and the last one of each record."""
    for index in flights_of(name):
        flight = recorded(name)[index]
        ends = []
        end = 0
        while end < len(flight):
            end += 5 + int.from_bytes(flight[end + 3 : end + 5], "big")
            ends.append(end - 1)
        for position in sorted({*range(index % 11, len(flight), 11), *ends}):
            changed = flight[:position] + bytes([flight[position] ^ 1 << position % 8]) + flight[position + 1 :]
            is_through = comes_through(name, index, lambda _, changed=changed: changed)
            assert not is_through or is_in_a_version(flight, position), (index, position)


@pytest.mark.fuzz
@settings(max_examples=150)
@given(st.data(), st.sampled_from(sorted(FLOWS)))
def test_mutated_flights(data: st.DataObject, name: str) -> None:
    """Bytes changed, taken away and added."""
    index = data.draw(st.sampled_from(flights_of(name)), "flight")
    changed = data.draw(mutations(recorded(name)[index]), "changed")
    is_through = comes_through(name, index, lambda _: changed)
    assert not is_through or len(changed) == len(recorded(name)[index])


@pytest.mark.fuzz
@settings(max_examples=100)
@given(st.data(), st.sampled_from(sorted(FLOWS)))
def test_bytes_that_are_lost_or_come_again(data: st.DataObject, name: str) -> None:
    index = data.draw(st.sampled_from(flights_of(name)), "flight")
    flight = recorded(name)[index]
    start = data.draw(st.integers(0, len(flight) - 1))
    end = data.draw(st.integers(start + 1, len(flight)))
    changed = flight[:start] + flight[end:] if data.draw(st.booleans()) else flight[:end] + flight[start:]
    if comes_through(name, index, lambda _: changed):
        # A change_cipher_spec more or less means nothing.
        assert flight[start:end] == b"\x14\3\3\0\1\1"


# At any moment ----------------------------------------------------------------------------------------------------


def at_stage(role: str, flights: int) -> Connection:
    """One side of the handshake with everything, after so many flights."""
    client, server = session("all")
    for number in range(flights):
        source, target = sides(client, server, number)
        target.receive_data(source.data_to_send())
    victim = client if role == "client" else server
    victim.data_to_send()
    return victim


STAGES: dict[str, Callable[[], Connection]] = {
    "new client": lambda: at_stage("client", 0),
    "new server": lambda: at_stage("server", 0),
    "server after its retry": lambda: at_stage("server", 1),
    "client after the retry": lambda: at_stage("client", 2),
    "server after its flight": lambda: at_stage("server", 3),
    "client after its Finished": lambda: at_stage("client", 4),
    "open client": lambda: open_pair13()[0],
    "open server": lambda: open_pair13()[1],
}


@pytest.mark.fuzz
@settings(max_examples=300)
@given(st.sampled_from(sorted(STAGES)), st.lists(pieces, max_size=8), cuts)
def test_noise(stage: str, noise: list[bytes], sizes: list[int]) -> None:
    data = b"".join(noise)
    victim, other = STAGES[stage](), STAGES[stage]()
    events = fed(victim, data, by_sizes(sizes))
    check_sane(victim, events)
    assert not is_complete(events)
    assert not any(isinstance(event, DataReceived) for event in events)
    assert comparable(fed(other, data, whole)) == comparable(events)
    assert other.data_to_send() == victim.data_to_send()


@pytest.mark.fuzz
@settings(max_examples=200)
@given(st.booleans(), st.integers(0, 30), st.binary(max_size=100), st.integers(0, 20))
def test_noise_under_protection(victim_is_client: bool, content_type: int, content: bytes, padding: int) -> None:
    """From a peer that has the keys."""
    client, server = open_pair13()
    victim, peer = (client, server) if victim_is_client else (server, client)
    events = victim.receive_data(bytearray(sealed(peer, content_type, content, padding)))
    check_sane(victim, events)
    if content_type == 23:
        assert events == ([DataReceived(content)] if content else [])
    elif content_type in (21, 22):
        assert not any(isinstance(event, DataReceived) for event in events)
    elif content_type:
        kind = P.BAD_CHANGE_CIPHER_SPEC if content_type == 20 else P.UNKNOWN_RECORD_TYPE
        assert the_failure(events).kind is kind
    else:  # padding, and what stands before it is the type
        assert not content.strip(b"\0") or content.rstrip(b"\0")[-1] == 23 or the_failure(events)


@pytest.mark.fuzz
@settings(max_examples=150)
@given(st.data(), st.booleans())
def test_messages_after_the_handshake(data: st.DataObject, victim_is_client: bool) -> None:
    """Of any type and with any content: but for KeyUpdates and tickets each is a failure."""
    client, server = open_pair13()
    victim, peer = (client, server) if victim_is_client else (server, client)
    body = data.draw(st.one_of(st.binary(max_size=30), st.just(b"\0"), st.just(b"\1")))
    kind = data.draw(st.one_of(st.integers(0, 255), st.sampled_from([4, 24])))
    events = victim.receive_data(sealed(peer, 22, bytes([kind]) + len(body).to_bytes(3, "big") + body))
    check_sane(victim, events)
    if kind == 24 and body in (b"\0", b"\1"):
        assert events == [KeysUpdated("receiving")]
    elif kind != 4 or not victim_is_client:
        assert the_failure(events).alert is not None


@settings(max_examples=60)
@given(st.integers(0, 255), st.integers(0, 255))
def test_any_alert(level: int, description: int) -> None:
    """In the clear to a new client, and protected to an open one: nothing but an end, or a warning."""
    client, _ = pair13()
    client.data_to_send()
    opened, peer = open_pair13()
    alert = bytes([level, description])
    for connection, data in ((client, b"\x15\3\3\0\2" + alert), (opened, sealed(peer, 21, alert))):
        events = connection.receive_data(data)
        check_sane(connection, events)
        if description != 0:
            assert isinstance(events[0], AlertReceived)
        assert connection.data_to_send() == b""
