"""Tickets and their keys: sealed, opened, rotated; and nothing that was not sealed here is opened."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import random_source
from sanstls import LocalError, TicketKey, TicketKeyRing
from sanstls.sessions.tickets import MAX_TICKET_KEYS
from sessions.test_session import session

AT = 1010.0


def ring(seed: object = 0, **settings: Any) -> TicketKeyRing:
    return TicketKeyRing.generate(random=random_source(seed), **settings)


def sealed(keys: TicketKeyRing, **changes: Any) -> bytes:
    ticket = keys.seal(session(**changes))
    assert ticket is not None
    return ticket


def test_what_is_sealed_is_opened() -> None:
    keys = ring()
    ticket = sealed(keys)
    opened = keys.open(ticket, AT)
    assert opened == session()
    assert opened.secret == session().secret
    assert session().secret not in ticket
    assert sealed(keys) != ticket  # another nonce


@given(st.data())
def test_a_changed_ticket_is_none_of_ours(data: st.DataObject) -> None:
    keys = ring()
    ticket = bytearray(sealed(keys))
    position = data.draw(st.integers(0, len(ticket) - 1))
    ticket[position] ^= 1 << data.draw(st.integers(0, 7))
    assert keys.open(bytes(ticket), AT) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_no_ticket(data: bytes) -> None:
    keys = ring()
    assert keys.open(data, AT) is None
    assert keys.open(keys.keys[0].name + data, AT) is None


@pytest.mark.parametrize("at", [999.0, 1060.0])
def test_a_ticket_that_is_too_old_or_too_young(at: float) -> None:
    keys = ring()
    assert keys.open(sealed(keys), at) is None


def test_keys_of_others_do_not_open() -> None:
    assert ring(1).open(sealed(ring(2)), AT) is None


def test_rotation() -> None:
    first = ring(1)
    second = first.rotated(2000.0, random=random_source(2), lifetime=100)
    third = second.rotated(2050.0, random=random_source(3), lifetime=100)
    assert [len(each.keys) for each in (first, second, third)] == [1, 2, 3]
    ticket = sealed(first, created=2000.0, lifetime=1000)
    for each in (second, third):
        assert each.open(ticket, 2099.9) is not None
        assert each.open(ticket, 2100.0) is None  # the key has expired, the session not
    assert sealed(third)[:16] == third.keys[0].name
    assert first.open(sealed(second), AT) is None
    assert len(third.rotated(2120.0).keys) == 3  # the first key is gone
    assert len(third.rotated(9999.0).keys) == 1 + 1  # the one that never expired by itself does now


def test_a_ring_does_not_grow_without_end() -> None:
    keys = ring()
    for _ in range(2 * MAX_TICKET_KEYS):
        keys = keys.rotated(0.0)
    assert len(keys.keys) == MAX_TICKET_KEYS


def test_servers_can_share_keys() -> None:
    keys = ring()
    copy = TicketKeyRing(tuple(TicketKey(*key) for key in keys.keys))
    assert copy.open(sealed(keys), AT) == session()


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (TicketKey(bytes(15), bytes(32), 1.0),),
        (TicketKey(bytes(16), bytes(16), 1.0),),
        (TicketKey(bytes(16), bytes(32), 1.0), TicketKey(bytes(16), b"\1" * 32, 1.0)),
        tuple(TicketKey(bytes([i] * 16), bytes(32), 1.0) for i in range(MAX_TICKET_KEYS + 1)),
    ],
    ids=["none", "short name", "short key", "one name twice", "too many"],
)
def test_rings_that_can_not_be(keys: Any) -> None:
    with pytest.raises(LocalError):
        TicketKeyRing(keys)


def test_a_session_too_large_for_a_ticket() -> None:
    assert ring().seal(session(peer_chain=(bytes(2**16),))) is None


def test_keys_are_not_told() -> None:
    keys = ring()
    secret = keys.keys[0].key
    for text in (repr(keys), repr(keys.keys), str(keys.keys[0])):
        assert secret.hex() not in text
        assert repr(secret) not in text
    with pytest.raises(TypeError, match="keys"):
        pickle.dumps(keys)
