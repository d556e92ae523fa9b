"""From bytes to records (RFC 9846 5.1): however they come, they are the same; what is none is found at once."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanstls.crypto.suites import SUITES12, SUITES13
from sanstls.misbehaviour import PeerError, PeerMisbehaviour
from sanstls.record.limits import MAX_CIPHERTEXT, MAX_CIPHERTEXT12, MAX_PLAINTEXT
from sanstls.record.protection import Opener, Sealer
from sanstls.record.protection12 import Opener12, Sealer12
from sanstls.record.reader import RecordReader
from sanstls.wire.registries import CipherSuite

P = PeerMisbehaviour
SUITE = SUITES13[CipherSuite.TLS_AES_128_GCM_SHA256]
SUITE12 = SUITES12[CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
SECRET = bytes(32)
Records = list[tuple[int, bytes]]
Drawn = list[tuple[int, bytes | int]]


def plain(content_type: int, content: bytes, version: bytes = b"\3\3") -> bytes:
    return bytes([content_type]) + version + len(content).to_bytes(2, "big") + content


def sealed(records: Records) -> bytes:
    sealer = Sealer(SUITE, SECRET)
    queue: list[bytes] = []
    for content_type, content in records:
        sealer.seal(queue, bytes([content_type]), content)
    return b"".join(queue)


def read(
    reader: RecordReader, data: bytes, sizes: tuple[int, ...] | list[int] = (2**20,), kind: Any = bytes
) -> Records:
    """All records that there are in data which comes in pieces of these sizes."""
    found: Records = []
    position = index = 0
    while position < len(data):
        size = sizes[index % len(sizes)]
        reader.feed(kind(data[position : position + size]))
        while (record := reader.next_record()) is not None:
            found.append(record)
        reader.keep()
        position, index = position + size, index + 1
    return found


def keyed() -> RecordReader:
    """A reader with keys of TLS 1.3."""
    reader = RecordReader()
    reader.seen_first = True
    reader.opener = Opener(SUITE, SECRET)
    return reader


def keyed12() -> RecordReader:
    reader = RecordReader()
    reader.seen_first = True
    reader.opener = Opener12(SUITE12, bytes(16), bytes(4))
    return reader


def refusal(reader: RecordReader, data: bytes) -> PeerMisbehaviour:
    with pytest.raises(PeerError) as caught:
        read(reader, data)
    return caught.value.kind


sizes = st.lists(st.one_of(st.integers(1, 8), st.integers(1, 3000)), min_size=1, max_size=8)
# So many zeros, or these bytes: long ones would make the report of a failure unreadable.
contents = st.one_of(st.binary(max_size=50), st.sampled_from([300, 5000, MAX_PLAINTEXT]))
in_the_clear = st.lists(st.tuples(st.integers(20, 23), contents), max_size=6)
protected = st.lists(st.tuples(st.integers(21, 255), contents), max_size=6)


def filled(drawn: Drawn) -> Records:
    return [(content_type, bytes(content)) for content_type, content in drawn]


# However they come ------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(in_the_clear, sizes, st.sampled_from([bytes, bytearray, memoryview]))
def test_any_chunking_of_plain_records(drawn: Drawn, chunks: list[int], kind: Any) -> None:
    records = [(22, b"first"), *filled(drawn)]
    assert read(RecordReader(), b"".join([plain(*record) for record in records]), chunks, kind) == records


@settings(max_examples=60)
@given(protected, sizes, st.sampled_from([bytes, bytearray, memoryview]))
def test_any_chunking_of_protected_records(drawn: Drawn, chunks: list[int], kind: Any) -> None:
    records = filled(drawn)
    assert read(keyed(), sealed(records), chunks, kind) == records


@settings(max_examples=30)
@given(in_the_clear, protected, sizes)
def test_keys_that_change_between_records(before: Drawn, after: Drawn, chunks: list[int]) -> None:
    """The reader looks no further than its caller asks: keys can be changed after each record."""
    first, then = [(22, b"first"), *filled(before)], filled(after)
    reader = RecordReader()
    data = b"".join([plain(*record) for record in first]) + sealed(then)
    found: Records = []
    position = index = 0
    while position < len(data):
        size = chunks[index % len(chunks)]
        reader.feed(data[position : position + size])
        while True:
            if len(found) == len(first) and reader.opener is None:
                reader.opener = Opener(SUITE, SECRET)
            record = reader.next_record()
            if record is None:
                break
            found.append(record)
        reader.keep()
        position, index = position + size, index + 1
    assert found == first + then


def test_what_is_kept() -> None:
    reader = RecordReader()
    data = plain(22, b"one") + plain(22, b"two") + plain(22, b"three")[:4]
    assert (reader.kept, reader.peek_type(), reader.next_record(), reader.unread) == (0, None, None, b"")
    reader.feed(data)
    assert (reader.kept, reader.peek_type(), reader.unread) == (len(data), 22, data)
    assert reader.next_record() == (22, b"one")
    assert (reader.kept, reader.unread) == (12, data[8:])
    reader.keep()
    assert (reader.kept, reader.unread, reader.peek_type()) == (12, data[8:], None)
    reader.keep()
    reader.feed(b"")
    assert reader.next_record() == (22, b"two")
    assert reader.next_record() is None
    assert reader.peek_type() == 22
    reader.keep()
    assert reader.unread == data[16:]
    reader.feed(plain(22, b"three")[4:])
    assert reader.next_record() == (22, b"three")
    assert reader.peek_type() is None
    reader.keep()
    assert reader.kept == 0


def test_what_is_forgotten() -> None:
    for is_kept in (False, True):
        reader = RecordReader()
        reader.feed(plain(22, b"one") + plain(22, b"two"))
        assert reader.next_record() == (22, b"one")
        if is_kept:
            reader.keep()
        reader.discard()
        assert (reader.kept, reader.unread, reader.peek_type(), reader.next_record()) == (0, b"", None, None)


def test_the_callers_buffer_may_change_afterwards() -> None:
    reader = RecordReader()
    buffer = bytearray(plain(22, b"one") + plain(22, b"two")[:6])
    reader.feed(buffer)
    first = reader.next_record()
    reader.keep()
    buffer[:] = bytes(len(buffer))
    reader.feed(plain(22, b"two")[6:])
    assert (first, reader.next_record()) == ((22, b"one"), (22, b"two"))


def test_views_of_other_items_than_bytes() -> None:
    data = plain(22, b"12345678901")
    assert len(data) == 16
    reader = RecordReader()
    reader.feed(memoryview(data).cast("I"))
    assert reader.next_record() == (22, b"12345678901")


# In the clear -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [b"\0\0", b"\3\0", b"\3\1", b"\3\4", b"\xff\xff"], ids=repr)
def test_any_version(version: bytes) -> None:
    assert read(RecordReader(), plain(22, b"x", version)) == [(22, b"x")]


@pytest.mark.parametrize("content_type", [20, 21, 22, 23])
def test_the_longest_plain_record(content_type: int) -> None:
    reader = RecordReader()
    reader.seen_first = True
    assert read(reader, plain(content_type, bytes(MAX_PLAINTEXT))) == [(content_type, bytes(MAX_PLAINTEXT))]
    header = bytes([content_type]) + b"\3\3" + (MAX_PLAINTEXT + 1).to_bytes(2, "big")
    assert refusal(reader, header) is P.RECORD_OVERFLOW


@pytest.mark.parametrize("content_type", [0, 19, 24, 128, 255])
@pytest.mark.parametrize("make", [keyed, keyed12, RecordReader], ids=["1.3", "1.2", "none"])
def test_an_unknown_type(content_type: int, make: Callable[[], RecordReader]) -> None:
    reader = make()
    reader.seen_first = True
    assert refusal(reader, plain(content_type, b"")) is P.UNKNOWN_RECORD_TYPE


# What comes first -------------------------------------------------------------------------------------------------

FIRST: list[tuple[bytes, PeerMisbehaviour]] = [
    (b"GET / HTTP/1.1", P.PLAIN_HTTP),
    (b"POST", P.PLAIN_HTTP),
    (b"HTTP/1.0 200 OK", P.PLAIN_HTTP),
    (b"PRI * HTTP/2.0", P.PLAIN_HTTP),
    (b"\x80\x2e\1\3\1", P.OBSOLETE_VERSION),
    (b"\xff\xff\1\0\2", P.OBSOLETE_VERSION),
    (b"\x80\x2e\2\3\1", P.NOT_TLS),
    (b"\x17\3\3\0\0", P.NOT_TLS),
    (b"G", P.NOT_TLS),
    (b"\0\0\0\0\0", P.NOT_TLS),
    (b"SSH-2", P.NOT_TLS),
]


@pytest.mark.parametrize(("data", "kind"), FIRST, ids=repr)
def test_what_is_not_tls(data: bytes, kind: PeerMisbehaviour) -> None:
    if data == b"G":  # alone it may become a request
        assert read(RecordReader(), data) == []
        data = b"GIT"
    for chunks in ((100,), (1,), (2,), (4,)):
        reader = RecordReader()
        with pytest.raises(PeerError) as caught:
            read(reader, data, chunks)
        assert caught.value.kind is kind


@given(st.binary(max_size=30), sizes)
def test_what_is_not_tls_however_it_comes(data: bytes, chunks: list[int]) -> None:
    def told(pieces: list[int]) -> Any:
        try:
            return read(RecordReader(), data, pieces)
        except PeerError as error:
            return str(error)

    assert told(chunks) == told([100])


def test_only_the_first_record_is_looked_at_so() -> None:
    """Later the same bytes are just no record."""
    for data, _ in FIRST:
        reader = RecordReader()
        assert read(reader, plain(21, b"\1\0")) == [(21, b"\1\0")]
        reader.feed(data.ljust(5, b"\0"))
        if data[0] == 0x17:
            assert reader.next_record() == (23, b"")
            continue
        with pytest.raises(PeerError) as caught:
            reader.next_record()
        assert caught.value.kind is P.UNKNOWN_RECORD_TYPE


# Under protection -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", [21, 22])
def test_an_unprotected_record(content_type: int) -> None:
    assert refusal(keyed(), plain(content_type, b"\2\x28")) is P.UNPROTECTED_RECORD


@pytest.mark.parametrize("content", [b"", b"\1", b"\1\1"], ids=repr)
def test_a_change_cipher_spec_comes_unprotected(content: bytes) -> None:
    """RFC 9846 5: whether it is right is for others to say."""
    reader = keyed()
    assert read(reader, plain(20, content) + sealed([(23, b"x")])) == [(20, content), (23, b"x")]
    header = b"\x14\3\3" + (MAX_PLAINTEXT + 1).to_bytes(2, "big")
    assert refusal(reader, header) is P.RECORD_OVERFLOW


@pytest.mark.parametrize("content", [b"", b"\1", b"\1\1"], ids=repr)
def test_a_change_cipher_spec_under_protection(content: bytes) -> None:
    """RFC 9846 5: there is none."""
    assert refusal(keyed(), sealed([(20, content)])) is P.BAD_CHANGE_CIPHER_SPEC


def test_an_unprotected_alert_until_the_first_protected_record() -> None:
    """RFC 9846 6: of a client that could not follow to the keys."""
    reader = keyed()
    reader.allows_plain_alert = True
    assert read(reader, plain(21, b"\2\x28") * 2) == [(21, b"\2\x28")] * 2
    assert reader.allows_plain_alert
    assert refusal(reader, plain(22, b"x")) is P.UNPROTECTED_RECORD
    reader = keyed()
    reader.allows_plain_alert = True
    assert read(reader, sealed([(22, b"x")])) == [(22, b"x")]
    assert refusal(reader, plain(21, b"\2\x28")) is P.UNPROTECTED_RECORD


def test_a_record_that_cannot_be_opened_does_not_end_the_trust_in_alerts() -> None:
    reader = keyed()
    reader.allows_plain_alert = True
    assert refusal(reader, plain(23, bytes(30))) is P.BAD_RECORD_MAC
    assert reader.allows_plain_alert


def test_the_longest_protected_record() -> None:
    for make, most in ((keyed, MAX_CIPHERTEXT), (keyed12, MAX_CIPHERTEXT12)):
        assert read(make(), b"\x17\3\3" + most.to_bytes(2, "big") + bytes(most - 1)) == []
        assert refusal(make(), plain(23, bytes(most))) is P.BAD_RECORD_MAC
        assert refusal(make(), b"\x17\3\3" + (most + 1).to_bytes(2, "big")) is P.RECORD_OVERFLOW


@pytest.mark.parametrize("content_type", [20, 21, 22, 23])
def test_tls12_protects_every_type(content_type: int) -> None:
    sealer = Sealer12(SUITE12, bytes(16), bytes(4))
    queue: list[bytes] = []
    sealer.seal(queue, bytes([content_type]), b"content")
    assert read(keyed12(), b"".join(queue), (1,)) == [(content_type, b"content")]
    assert refusal(keyed12(), plain(content_type, b"content")) is P.BAD_RECORD_MAC
