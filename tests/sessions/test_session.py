"""Sessions as values: how long they are good, how they are written down, and what they never tell."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls import CipherSuite, LocalError, ProtocolVersion, Session
from sanstls.sessions import MAX_LIFETIME

SECRET = bytes(range(48))


def session(**changes: Any) -> Session:
    settings: dict[str, Any] = {
        "version": ProtocolVersion.TLS12,
        "cipher_suite": CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "secret": SECRET,
        "created": 1000.0,
        "lifetime": 60,
    }
    return Session(**(settings | changes))


sessions = st.builds(
    session,
    version=st.sampled_from(ProtocolVersion),
    cipher_suite=st.sampled_from(CipherSuite),
    secret=st.binary(min_size=1, max_size=64),
    created=st.integers(0, 2**40).map(lambda milliseconds: milliseconds / 1000),
    lifetime=st.integers(0, MAX_LIFETIME),
    ticket=st.binary(max_size=100),
    session_id=st.binary(max_size=32),
    age_add=st.integers(0, 2**32 - 1),
    max_early_data=st.integers(0, 2**32 - 1),
    alpn=st.none() | st.text(min_size=1, max_size=60),
    server_name=st.none() | st.just("example.com"),
    peer_chain=st.lists(st.binary(min_size=1, max_size=50), max_size=3).map(tuple),
    extended_master_secret=st.booleans(),
    not_after=st.none() | st.integers(0, 2**40).map(lambda milliseconds: milliseconds / 1000),
)


@given(sessions)
def test_it_comes_back_from_its_bytes(one: Session) -> None:
    again = Session.from_bytes(one.to_bytes())
    assert again == one
    assert hash(again) == hash(one)
    assert again.secret == one.secret
    assert again.to_bytes() == one.to_bytes()


@given(sessions, st.data())
def test_damaged_bytes_are_a_clear_error(one: Session, data: st.DataObject) -> None:
    written = one.to_bytes()
    cut = data.draw(st.integers(0, len(written) - 1))
    for damaged in (written[:cut], written + b"\0"):
        with pytest.raises(LocalError):
            Session.from_bytes(damaged)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_session_or_a_clear_error(data: bytes) -> None:
    for attempt in (data, b"\1" + data):
        try:
            read = Session.from_bytes(attempt)
        except LocalError:
            continue
        assert read.to_bytes() == attempt


def test_bytes_of_another_release() -> None:
    with pytest.raises(LocalError, match="this release"):
        Session.from_bytes(b"\2" + session().to_bytes()[1:])


def test_it_is_too_large_to_be_written() -> None:
    with pytest.raises(LocalError, match="written down"):
        session(alpn="x" * 256).to_bytes()


@pytest.mark.parametrize(
    ("at", "is_usable"), [(999.9, False), (1000.0, True), (1059.9, True), (1060.0, False), (-1, False)]
)
def test_how_long_it_is_good(at: float, is_usable: bool) -> None:
    assert session().is_usable(at) is is_usable


def test_it_does_not_outlive_the_certificates() -> None:
    assert session(not_after=1010.0).is_usable(1010.0)
    assert not session(not_after=1010.0).is_usable(1010.1)


@pytest.mark.parametrize("lifetime", [-1, MAX_LIFETIME + 1])
def test_lifetimes_that_are_none(lifetime: int) -> None:
    with pytest.raises(LocalError, match="604800"):
        session(lifetime=lifetime)
    assert session(lifetime=MAX_LIFETIME).lifetime == 7 * 24 * 3600


def test_it_never_tells_its_secret() -> None:
    one = session(ticket=b"TICKET", session_id=b"IDENTITY")
    for text in (repr(one), str(one)):
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text
        assert "TICKET" not in text
        assert "IDENTITY" not in text
    with pytest.raises(TypeError, match="to_bytes"):
        pickle.dumps(one)


def test_equality() -> None:
    assert session() == session()
    assert session() != session(secret=bytes(48))
    assert session() != session(lifetime=61)
    assert session(verified_by=object()) == session()
    assert session() != "session"
