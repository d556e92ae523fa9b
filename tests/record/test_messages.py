"""From handshake records to handshake messages (RFC 9846 5.1): cut anywhere, bounded, aligned where keys change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls.misbehaviour import PeerError, PeerMisbehaviour
from sanstls.record.limits import MAX_CERTIFICATE_MESSAGE, MAX_HANDSHAKE_MESSAGE
from sanstls.record.messages import MessageReader
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def drained(reader: MessageReader) -> list[bytes]:
    found = []
    while (raw := reader.next_message()) is not None:
        found.append(raw)
    return found


bodies = st.one_of(st.binary(max_size=20), st.builds(bytes, st.sampled_from([255, 256, 1000])))
several = st.lists(st.builds(message, st.integers(0, 255), bodies), max_size=6)
sizes = st.lists(st.one_of(st.integers(1, 6), st.integers(1, 3000)), min_size=1, max_size=8)


@given(several, sizes, st.booleans())
def test_cut_anywhere_they_are_the_same(sent: list[bytes], chunks: list[int], is_drained_late: bool) -> None:
    reader = MessageReader()
    data = b"".join(sent)
    found: list[bytes] = []
    position = index = 0
    while position < len(data):
        piece = data[position : position + chunks[index % len(chunks)]]
        reader.feed(piece)
        position, index = position + len(piece), index + 1
        read = sum(map(len, found))
        assert reader.kept == position - read
        if not is_drained_late:
            found += drained(reader)
        ends = [sum(map(len, sent[: count + 1])) for count in range(len(sent))]
        assert reader.has_partial is (position not in ends)
    found += drained(reader)
    assert found == sent
    assert reader.is_empty
    assert not reader.kept
    if sent:
        assert reader.last_type == sent[-1][0]


@given(st.builds(message, st.integers(0, 255), bodies))
def test_one_that_is_not_complete_is_kept(raw: bytes) -> None:
    reader = MessageReader()
    reader.feed(raw[:-1])
    assert reader.next_message() is None
    assert reader.has_partial
    assert not reader.is_empty
    assert reader.kept == len(raw) - 1
    reader.feed(raw[-1:])
    assert not reader.has_partial
    assert not reader.is_empty
    assert reader.next_message() == raw
    assert reader.is_empty


def test_an_empty_record() -> None:
    for before in (b"", b"\x08\0", message(8, b"\0\0")):
        reader = MessageReader()
        if before:
            reader.feed(before)
        with pytest.raises(PeerError) as caught:
            reader.feed(b"")
        assert caught.value.kind is P.EMPTY_RECORD


@pytest.mark.parametrize("kind", [T.client_hello, T.finished, T.certificate, T.compressed_certificate, T(99)], ids=str)
def test_the_longest_message(kind: T) -> None:
    """Told by its header, before there is anything to keep."""
    is_certificate = kind in (T.certificate, T.compressed_certificate)
    most = MAX_CERTIFICATE_MESSAGE if is_certificate else MAX_HANDSHAKE_MESSAGE
    reader = MessageReader()
    raw = message(kind, bytes(most))
    for start in range(0, len(raw), 2**14):
        reader.feed(raw[start : start + 2**14])
    assert drained(reader) == [raw]
    for start in (0, 1, 3):
        reader = MessageReader()
        header = bytes([kind]) + (most + 1).to_bytes(3, "big")
        for position in range(start):
            reader.feed(header[position : position + 1])
        with pytest.raises(PeerError) as caught:
            reader.feed(header[start:])
        assert caught.value.kind is P.MESSAGE_TOO_LONG
        assert kind.name in str(caught.value)


def test_one_that_is_too_long_behind_one_that_is_not() -> None:
    with pytest.raises(PeerError) as caught:
        MessageReader().feed(message(8, b"\0\0") + b"\x0f\xff\xff\xff")
    assert caught.value.kind is P.MESSAGE_TOO_LONG


BEFORE_NEW_KEYS = {T.client_hello, T.server_hello, T.end_of_early_data, T.finished, T.key_update}
"""RFC 9846 5.1."""


@pytest.mark.parametrize("kind", T, ids=str)
def test_messages_that_keys_may_change_behind(kind: T) -> None:
    reader = MessageReader()
    assert not reader.may_change_keys
    reader.feed(message(kind, b"x") + b"\x08")  # what is not complete does not count
    assert reader.may_change_keys is (kind in BEFORE_NEW_KEYS)
    assert drained(reader) == [message(kind, b"x")]
    assert reader.may_change_keys is (kind in BEFORE_NEW_KEYS)  # having been read, too


def test_forgotten() -> None:
    reader = MessageReader()
    reader.feed(message(8, b"\0\0") + b"\x0b\0\0\5ab")
    reader.discard()
    assert reader.is_empty
    assert not reader.has_partial
    assert not reader.kept
    assert reader.next_message() is None
    reader.feed(message(20, b"x"))
    assert reader.next_message() == message(20, b"x")
