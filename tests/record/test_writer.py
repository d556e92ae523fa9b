"""From messages and data to records (RFC 9846 5.1): how they are cut and joined, and under which keys they go."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanstls.crypto.suites import SUITES13
from sanstls.misbehaviour import PeerError
from sanstls.record.limits import MAX_PLAINTEXT
from sanstls.record.protection import LEFT_FOR_KEY_UPDATE, Opener, Sealer
from sanstls.record.reader import RecordReader
from sanstls.record.writer import RecordWriter
from sanstls.wire.registries import CipherSuite

SUITE = SUITES13[CipherSuite.TLS_AES_128_GCM_SHA256]
OLD, NEW = bytes(32), bytes(range(32))
CCS = b"\x14\3\3\0\1\1"


def sealer(secret: bytes = OLD) -> Sealer:
    return Sealer(SUITE, secret)


def keyed() -> RecordWriter:
    writer = RecordWriter()
    writer.set_sealer(sealer())
    return writer


def records(data: bytes, *secrets: bytes) -> list[tuple[int, bytes]]:
    """The records that these bytes are, under keys that change where the next ones fit."""
    reader = RecordReader()
    reader.seen_first = True
    left = list(secrets)
    if left:
        reader.opener = Opener(SUITE, left.pop(0))
    reader.feed(data)
    found = []
    while True:
        if left and is_next_under(reader, left[0]):
            reader.opener = Opener(SUITE, left.pop(0))
        record = reader.next_record()
        if record is None:
            break
        found.append(record)
    reader.keep()
    assert not reader.kept
    return found


def is_next_under(reader: RecordReader, secret: bytes) -> bool:
    data = reader.unread
    size = 5 + int.from_bytes(data[3:5], "big")
    try:
        Opener(SUITE, secret).open(data[:5], memoryview(data)[5:size])
    except PeerError:
        return False
    return True


def taken(writer: RecordWriter) -> bytes:
    return b"".join(writer.take())


messages = st.lists(
    # These bytes, or so many zeros: long ones would make the report of a failure unreadable.
    st.one_of(st.binary(min_size=4, max_size=50), st.sampled_from([MAX_PLAINTEXT, 40_000])),
    max_size=6,
)


# Messages ---------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(messages, st.booleans())
def test_messages_share_records_and_are_cut(drawn: list[bytes | int], is_keyed: bool) -> None:
    """As few records as possible, none of them empty, and in order."""
    parts = [bytes(part) for part in drawn]
    writer = keyed() if is_keyed else RecordWriter()
    for part in parts:
        writer.write_message(part)
    found = records(taken(writer), *[OLD] * is_keyed)
    whole = b"".join(parts)
    assert b"".join([content for _, content in found]) == whole
    assert all(content_type == 22 for content_type, _ in found)
    assert len(found) == -(-len(whole) // MAX_PLAINTEXT)
    assert all(0 < len(content) <= MAX_PLAINTEXT for _, content in found)
    assert writer.take() == []


@pytest.mark.parametrize("most", [1, 100, 5000])
def test_a_smaller_limit(most: int) -> None:
    writer = keyed()
    writer.max_plaintext = most
    writer.write_message(bytes(250))
    assert writer.write_data(memoryview(bytes(250))) == 250
    found = records(taken(writer), OLD)
    assert [sum(len(c) for t, c in found if t == kind) for kind in (22, 23)] == [250, 250]
    assert len(found) == 2 * -(-250 // most)
    assert max(len(content) for _, content in found) <= most


def test_the_version_of_the_first_record() -> None:
    """RFC 9846 5.1: only that of the first ClientHello, in however many records it goes, may be another."""
    writer = RecordWriter()
    writer.first_record_version = b"\3\1"
    writer.write_message(b"hello")
    writer.flush_messages()
    writer.write_message(b"again")
    assert taken(writer) == b"\x16\3\1\0\5hello\x16\3\3\0\5again"


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda writer: writer.write_record(b"\x15", b"\1\0"), 21),
        (lambda writer: writer.write_data(memoryview(b"data")), 23),
        (lambda writer: writer.write_message(b"more"), 22),
    ],
    ids=["alert", "data", "message"],
)
def test_the_order_is_kept(act: object, kind: int) -> None:
    writer = keyed()
    writer.write_message(b"message")
    act(writer)  # type: ignore[operator]
    writer.write_message(b"last")
    found = records(taken(writer), OLD)
    if kind == 22:
        assert found == [(22, b"messagemorelast")]
    else:
        assert [content_type for content_type, _ in found] == [22, kind, 22]


# Keys -------------------------------------------------------------------------------------------------------------


def test_what_was_written_before_goes_under_the_old_keys() -> None:
    writer = RecordWriter()
    writer.write_message(b"plain")
    writer.set_sealer(sealer(OLD))
    writer.write_message(b"old")
    writer.set_sealer(sealer(NEW))
    writer.write_message(b"new")
    writer.write_data(memoryview(b"data"))
    data = taken(writer)
    assert data[:10] == b"\x16\3\3\0\5plain"
    assert records(data[10:], OLD, NEW) == [(22, b"old"), (22, b"new"), (23, b"data")]


def test_a_change_cipher_spec_is_never_protected() -> None:
    for writer in (RecordWriter(), keyed()):
        writer.write_message(b"before")
        writer.write_change_cipher_spec()
        writer.write_message(b"after")
        first, middle, last = writer.take()
        assert middle == CCS
        assert first[0] == last[0] == (22 if writer.sealer is None else 23)


@pytest.mark.parametrize("size", [0, 1, MAX_PLAINTEXT, MAX_PLAINTEXT + 1, 5 * MAX_PLAINTEXT + 1])
def test_data_of_any_size(size: int) -> None:
    writer = keyed()
    data = bytes(range(256)) * (size // 256 + 1)
    assert writer.write_data(memoryview(data)[:size]) == size
    found = records(taken(writer), OLD)
    assert b"".join([content for _, content in found]) == data[:size]
    assert len(found) == -(-size // MAX_PLAINTEXT)


@pytest.mark.parametrize("left", [0, 1, 2, 4])
def test_no_more_data_than_the_keys_may_protect(left: int) -> None:
    """RFC 9846 5.5: one record is left for the KeyUpdate, and the caller is told how much went."""
    writer = keyed()
    assert writer.sealer is not None
    writer.sealer.records_left = left
    size = writer.write_data(memoryview(bytes(10 * MAX_PLAINTEXT)))
    assert size == max(left - LEFT_FOR_KEY_UPDATE, 0) * MAX_PLAINTEXT
    assert writer.sealer.records_left == min(left, LEFT_FOR_KEY_UPDATE)


# Taking -----------------------------------------------------------------------------------------------------------


def test_taken_once() -> None:
    writer = RecordWriter()
    assert writer.take() == []
    writer.write_message(b"message")
    assert writer.take() == [b"\x16\3\3\0\7message"]
    assert writer.take() == []


def test_messages_that_are_not_in_records_yet_can_be_forgotten() -> None:
    writer = RecordWriter()
    writer.write_message(b"one")
    writer.flush_messages()
    writer.write_message(b"two")
    writer.discard()
    assert writer.take() == [b"\x16\3\3\0\3one"]
