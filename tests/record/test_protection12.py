"""Records of TLS 1.2: the formulas of the RFCs written out once more, OpenSSL at the other end, and forgeries."""

from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from openssl12 import NAMES, Handshake, Side, handshake, records
from sanstls.crypto.suites import SUITES12, Suite12
from sanstls.misbehaviour import PeerError, PeerMisbehaviour
from sanstls.record.limits import MAX_CIPHERTEXT12, MAX_PLAINTEXT
from sanstls.record.protection12 import Opener12, Sealer12
from sanstls.schedule.prf12 import key_block
from sanstls.wire.registries import CipherSuite, ContentType

each_suite = pytest.mark.parametrize("suite", SUITES12.values(), ids=lambda suite: str(suite.suite))
less = settings(max_examples=max(settings.default.max_examples // 4, 20))

TYPES = (ContentType.change_cipher_spec, ContentType.alert, ContentType.handshake, ContentType.application_data)
DATA = b"\x17"
CONTENTS = st.one_of(st.binary(max_size=64), st.builds(bytes, st.sampled_from([255, 2047, 2048, 2049, MAX_PLAINTEXT])))


class Keys(NamedTuple):
    key: bytes
    iv: bytes


def keys_of(suite: Suite12) -> Keys:
    return Keys(bytes(range(suite.key_size)), bytes(range(200, 200 + suite.fixed_iv_size)))


def both(suite: Suite12) -> tuple[Sealer12, Opener12]:
    return Sealer12(suite, *keys_of(suite)), Opener12(suite, *keys_of(suite))


def sealed(sealer: Sealer12, content: bytes | memoryview, content_type: bytes = DATA) -> bytes:
    queue: list[bytes] = []
    sealer.seal(queue, content_type, content)
    return b"".join(queue)


def opened(opener: Opener12, record: bytes) -> tuple[int, bytes]:
    view = memoryview(record)
    return opener.open(view[:5], view[5:])


def refusal(opener: Opener12, record: bytes) -> PeerMisbehaviour:
    with pytest.raises(PeerError) as caught:
        opened(opener, record)
    return caught.value.kind


def by_the_rfc(suite: Suite12, number: int, content_type: int, content: bytes, explicit: bytes | None = None) -> bytes:
    """One record, by RFC 5246 6.2.3.3 with RFC 5288 3 or RFC 7905 2."""
    key, iv = keys_of(suite)
    counter = number.to_bytes(8, "big")
    associated = counter + bytes([content_type, 3, 3]) + len(content).to_bytes(2, "big")
    aead: Any
    if "CHACHA20" in suite.suite.name:
        aead, explicit = ChaCha20Poly1305(key), b""
        nonce = bytes(a ^ b for a, b in zip(iv, bytes(4) + counter, strict=True))
    else:
        aead, explicit = AESGCM(key), counter if explicit is None else explicit
        nonce = iv + explicit
    fragment = explicit + aead.encrypt(nonce, content, associated)
    return bytes([content_type, 3, 3]) + len(fragment).to_bytes(2, "big") + fragment


# The formulas -----------------------------------------------------------------------------------------------------


@each_suite
@given(contents=st.lists(st.tuples(st.sampled_from(TYPES), CONTENTS), max_size=4))
@less
def test_records_are_those_of_the_rfc(suite: Suite12, contents: list[tuple[ContentType, bytes]]) -> None:
    sealer, opener = both(suite)
    for number, (content_type, content) in enumerate(contents):
        record = sealed(sealer, content, bytes([content_type]))
        assert record == by_the_rfc(suite, number, content_type, content)
        assert len(record) == 5 + suite.explicit_nonce_size + len(content) + suite.tag_size
        assert opened(opener, record) == (content_type, content)
        assert sealer.sequence_number == opener.sequence_number == number + 1
        assert sealer.records_left == suite.record_limit - number - 1


@each_suite
@pytest.mark.parametrize("number", [1, 255, 256, 2**32 - 1, 2**32, 2**63 + 5])
def test_late_records(suite: Suite12, number: int) -> None:
    sealer, opener = both(suite)
    sealer.sequence_number = opener.sequence_number = number
    record = sealed(sealer, b"content")
    assert record == by_the_rfc(suite, number, 23, b"content")
    assert opened(opener, record) == (23, b"content")


@each_suite
@given(explicit=st.binary(min_size=8, max_size=8))
@less
def test_the_explicit_nonce_is_the_senders_choice(suite: Suite12, explicit: bytes) -> None:
    # RFC 5288 3: the sequence number is what a sender MAY take.
    record = by_the_rfc(suite, 0, 23, b"content", explicit)
    assert opened(both(suite)[1], record) == (23, b"content")
    assert both(suite)[1].open_data(record) == b"content"


@each_suite
@pytest.mark.parametrize("size", [0, 1, 2047, 2048, MAX_PLAINTEXT])
def test_buffers(suite: Suite12, size: int) -> None:
    data = bytes(3) + b"x" * size + bytes(3)
    queue: list[bytes] = []
    sealer, opener = both(suite)
    sealer.seal(queue, DATA, memoryview(data)[3 : 3 + size])
    assert [type(buffer) for buffer in queue] == [bytes] * (1 if size < 2048 else 2)
    assert opener.open(b"".join(queue)[:5], memoryview(b"".join(queue))[5:]) == (23, b"x" * size)


@each_suite
def test_there_is_no_padding(suite: Suite12) -> None:
    queue: list[bytes] = []
    both(suite)[0].seal(queue, DATA, b"content", 100)
    assert queue == [by_the_rfc(suite, 0, 23, b"content")]


# OpenSSL at the other end -----------------------------------------------------------------------------------------


def side_of(made: Handshake, suite: Suite12, side: Side) -> Keys:
    sizes = suite.key_size, suite.fixed_iv_size
    keys = key_block(suite.hash_name, made.master_secret, *made.randoms, *sizes)
    if side == "client":
        return Keys(keys.client_write_key, keys.client_write_IV)
    return Keys(keys.server_write_key, keys.server_write_IV)


@pytest.mark.parametrize("code", NAMES, ids=str)
def test_with_openssl(code: CipherSuite) -> None:
    suite = SUITES12[code]
    made = handshake(code)
    data = bytes(range(256)) * 100
    for side, other in (("client", "server"), ("server", "client")):
        opener = Opener12(suite, *side_of(made, suite, "client" if side == "client" else "server"))
        (finished,) = made.protected[side]
        content_type, content = opened(opener, finished)
        assert (content_type, content[:4]) == (22, bytes.fromhex("1400000c"))
        # Theirs, sent but not handed on ...
        made.ends[side].write(b"ping")
        made.ends[side].write(data)
        first, *rest = records(made.outgoing[side].read())
        assert opener.open_data(first) == b"ping"
        assert b"".join([opened(opener, record)[1] for record in rest]) == data
        # ... because what they read is ours, the first after the Finished.
        sealer = Sealer12(suite, *side_of(made, suite, "client" if side == "client" else "server"))
        sealer.sequence_number = 1
        for start in range(0, len(data), 5000):
            made.incoming[other].write(sealed(sealer, memoryview(data)[start : start + 5000]))
        read = b""
        while len(read) < len(data):
            read += made.ends[other].read(len(data))
        assert read == data
        # A close_notify
        made.incoming[other].write(sealed(sealer, b"\x01\x00", b"\x15"))
        assert made.ends[other].read(1) == b""


# Forgeries --------------------------------------------------------------------------------------------------------


@each_suite
@given(data=st.data())
@less
def test_any_bit_that_changes(suite: Suite12, data: st.DataObject) -> None:
    record = sealed(both(suite)[0], data.draw(st.binary(max_size=40)))
    changed = bytearray(record)
    # The length is not among them: it tells which bytes the record has.
    position = data.draw(st.integers(0, len(record) - 1).filter(lambda position: position not in (3, 4)))
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    opener = both(suite)[1]
    assert refusal(opener, bytes(changed)) is PeerMisbehaviour.BAD_RECORD_MAC
    assert opener.open_data(bytes(changed)) is None
    assert opener.sequence_number == 0
    assert opened(opener, record) == (23, opened(both(suite)[1], record)[1])


@each_suite
@given(body=st.one_of(st.binary(max_size=60), st.builds(bytes, st.integers(0, 60))))
@less
def test_any_bytes_are_no_record(suite: Suite12, body: bytes) -> None:
    record = bytes.fromhex("170303") + len(body).to_bytes(2, "big") + body
    assert refusal(both(suite)[1], record) is PeerMisbehaviour.BAD_RECORD_MAC
    assert both(suite)[1].open_data(record) is None


@each_suite
def test_too_short_for_nonce_and_tag(suite: Suite12) -> None:
    least = suite.explicit_nonce_size + suite.tag_size
    for size in range(least):
        with pytest.raises(PeerError, match=f"{size} bytes can't hold") as caught:
            opened(both(suite)[1], b"\x17\x03\x03\x00" + bytes([size]) + bytes(size))
        assert caught.value.kind is PeerMisbehaviour.BAD_RECORD_MAC
    assert opened(both(suite)[1], sealed(both(suite)[0], b"")) == (23, b"")


@each_suite
def test_order_matters(suite: Suite12) -> None:
    sealer, opener = both(suite)
    first, second = sealed(sealer, b"first"), sealed(sealer, b"second")
    assert refusal(opener, second) is PeerMisbehaviour.BAD_RECORD_MAC
    assert opened(opener, first) == (23, b"first")
    assert refusal(opener, first) is PeerMisbehaviour.BAD_RECORD_MAC
    assert opened(opener, second) == (23, b"second")


@each_suite
def test_other_keys(suite: Suite12) -> None:
    key, iv = keys_of(suite)
    record = sealed(both(suite)[0], b"content")
    for other in (Keys(key[::-1], iv), Keys(key, iv[::-1])):
        assert refusal(Opener12(suite, *other), record) is PeerMisbehaviour.BAD_RECORD_MAC


@each_suite
def test_too_much_plaintext(suite: Suite12) -> None:
    record = by_the_rfc(suite, 0, 23, bytes(MAX_PLAINTEXT + 1))
    assert refusal(both(suite)[1], record) is PeerMisbehaviour.RECORD_OVERFLOW
    assert both(suite)[1].open_data(record) is None
    # The most that a header can tell does not become another error.
    longest = by_the_rfc(suite, 0, 23, bytes(2**16 - 1 - suite.explicit_nonce_size - suite.tag_size))
    assert refusal(both(suite)[1], longest) is PeerMisbehaviour.RECORD_OVERFLOW
    largest = by_the_rfc(suite, 0, 23, bytes(MAX_PLAINTEXT))
    assert opened(both(suite)[1], largest) == (23, bytes(MAX_PLAINTEXT))
    assert len(largest) - 5 <= MAX_CIPHERTEXT12 == 2**14 + 2048


# The short way ----------------------------------------------------------------------------------------------------


@each_suite
@given(contents=st.lists(CONTENTS.filter(bool), max_size=3))
@less
def test_the_short_way_gives_the_same(suite: Suite12, contents: list[bytes]) -> None:
    sealer, opener = both(suite)
    for number, content in enumerate(contents):
        assert opener.open_data(sealed(sealer, content)) == content
        assert opener.sequence_number == number + 1


@each_suite
def test_what_goes_the_long_way(suite: Suite12) -> None:
    sealer, opener = both(suite)
    usual = sealed(sealer, b"content")
    others = [
        b"",
        usual[:4],
        usual[:-1],
        usual + b"x",
        usual + usual,
        by_the_rfc(suite, 0, 21, b"\x01\x00"),
        by_the_rfc(suite, 0, 23, b""),
    ]
    for record in others:
        assert opener.open_data(record) is None
        assert opener.sequence_number == 0
    assert opened(opener, others[-1]) == (23, b"")
