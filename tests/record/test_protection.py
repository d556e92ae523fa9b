"""Records of TLS 1.3: the formulas of RFC 9846 5.2 to 5.5 written out once more, padding, and forgeries."""

from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st

from sanstls.crypto.suites import SUITES13, Suite
from sanstls.misbehaviour import PeerError, PeerMisbehaviour
from sanstls.record.limits import MAX_CIPHERTEXT, MAX_PLAINTEXT
from sanstls.record.protection import Opener, Sealer
from sanstls.wire.registries import CipherSuite, ContentType

each_suite = pytest.mark.parametrize("suite", SUITES13.values(), ids=lambda suite: str(suite.suite))
less = settings(max_examples=max(settings.default.max_examples // 4, 20))

P = PeerMisbehaviour
TYPES = (ContentType.alert, ContentType.handshake, ContentType.application_data)
DATA = b"\x17"
# These bytes, or so many zeros: long ones would make the report of a failure unreadable.
CONTENTS = st.one_of(st.binary(max_size=64), st.sampled_from([255, 2047, 2048, 2049, MAX_PLAINTEXT]))
PADDINGS = st.one_of(st.just(0), st.integers(0, 300))


def secret_of(suite: Suite) -> bytes:
    return bytes(range(suite.hash_size))


def both(suite: Suite) -> tuple[Sealer, Opener]:
    return Sealer(suite, secret_of(suite)), Opener(suite, secret_of(suite))


def sealed(sealer: Sealer, content: bytes | memoryview, content_type: bytes = DATA, padding: int = 0) -> bytes:
    queue: list[bytes] = []
    sealer.seal(queue, content_type, content, padding)
    return b"".join(queue)


def opened(opener: Opener, record: bytes) -> tuple[int, bytes]:
    view = memoryview(record)
    return opener.open(view[:5], view[5:])


def refusal(opener: Opener, record: bytes) -> PeerMisbehaviour:
    with pytest.raises(PeerError) as caught:
        opened(opener, record)
    return caught.value.kind


class Keys(NamedTuple):
    key: bytes
    iv: bytes


def expand(suite: Suite, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 9846 7.1) of the traffic secret, with an empty context."""
    info = length.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
    algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}[suite.hash_name]
    return HKDFExpand(algorithm, length, info).derive(secret_of(suite))


def keys_of(suite: Suite) -> Keys:
    """RFC 9846 7.3."""
    return Keys(expand(suite, b"key", suite.key_size), expand(suite, b"iv", 12))


def aead_of(suite: Suite, key: bytes) -> Any:
    if suite.suite == CipherSuite.TLS_CHACHA20_POLY1305_SHA256:
        return ChaCha20Poly1305(key)
    if "CCM" in suite.suite.name:
        return AESCCM(key, 8 if "CCM_8" in suite.suite.name else 16)
    return AESGCM(key)


def protected(suite: Suite, number: int, inner: bytes) -> bytes:
    """One record with this TLSInnerPlaintext, by RFC 9846 5.2 and 5.3."""
    key, iv = keys_of(suite)
    nonce = bytes(a ^ b for a, b in zip(iv, bytes(4) + number.to_bytes(8, "big"), strict=True))
    header = b"\x17\x03\x03" + (len(inner) + suite.tag_size).to_bytes(2, "big")
    return header + aead_of(suite, key).encrypt(nonce, inner, header)


def by_the_rfc(suite: Suite, number: int, content_type: int, content: bytes, padding: int = 0) -> bytes:
    return protected(suite, number, content + bytes([content_type]) + bytes(padding))


# The formulas -----------------------------------------------------------------------------------------------------


@each_suite
@given(contents=st.lists(st.tuples(st.sampled_from(TYPES), CONTENTS, PADDINGS), max_size=4))
@less
def test_records_are_those_of_the_rfc(suite: Suite, contents: list[tuple[ContentType, bytes | int, int]]) -> None:
    sealer, opener = both(suite)
    for number, (content_type, drawn, padding) in enumerate(contents):
        content = bytes(drawn)
        padding = min(padding, MAX_PLAINTEXT - len(content))
        record = sealed(sealer, content, bytes([content_type]), padding)
        assert record == by_the_rfc(suite, number, content_type, content, padding)
        assert len(record) == 5 + len(content) + 1 + padding + suite.tag_size
        assert opened(opener, record) == (content_type, content)
        assert sealer.sequence_number == opener.sequence_number == number + 1
        assert sealer.records_left == suite.record_limit - number - 1


@each_suite
@pytest.mark.parametrize("number", [1, 255, 256, 2**32 - 1, 2**32, 2**48 - 1, 2**63 + 5])
def test_late_records(suite: Suite, number: int) -> None:
    """RFC 9846 5.3: the nonce is the IV XOR the sequence number."""
    sealer, opener = both(suite)
    sealer.sequence_number = opener.sequence_number = number
    record = sealed(sealer, b"content")
    assert record == by_the_rfc(suite, number, 23, b"content")
    assert opened(opener, record) == (23, b"content")


@each_suite
@pytest.mark.parametrize("size", [0, 1, 2047, 2048, MAX_PLAINTEXT])
@pytest.mark.parametrize("padding", [0, 5])
def test_buffers(suite: Suite, size: int, padding: int) -> None:
    """Parts of a larger buffer can be sealed, and views be opened."""
    data = bytes(3) + b"x" * size + bytes(3)
    queue: list[bytes] = []
    sealer, opener = both(suite)
    sealer.seal(queue, DATA, memoryview(data)[3 : 3 + size], padding if size < MAX_PLAINTEXT else 0)
    assert [type(buffer) for buffer in queue] == [bytes] * (1 if size < 2048 else 2)
    assert opened(opener, b"".join(queue)) == (23, b"x" * size)


# Padding and content type (RFC 9846 5.4) --------------------------------------------------------------------------


@each_suite
@pytest.mark.parametrize("padding", [0, 1, 2, 255, 256, 1000, MAX_PLAINTEXT - 7])
@pytest.mark.parametrize("content", [b"content", b"zeros\0\0", b"\0" * 7], ids=repr)
def test_padding(suite: Suite, content: bytes, padding: int) -> None:
    """It is no part of the content; zeros of the content are."""
    record = by_the_rfc(suite, 0, 22, content, padding)
    assert opened(both(suite)[1], record) == (22, content)
    assert sealed(both(suite)[0], content, b"\x16", padding) == record


@each_suite
@pytest.mark.parametrize("content_type", [1, 19, 24, 255])
def test_any_type_comes_out(suite: Suite, content_type: int) -> None:
    """Whether it may come is for others to say."""
    assert opened(both(suite)[1], by_the_rfc(suite, 0, content_type, b"x", 3)) == (content_type, b"x")


@each_suite
def test_a_change_cipher_spec_does_not(suite: Suite) -> None:
    """RFC 9846 5: it is never protected."""
    for content in (b"\1", b"", b"\1\1"):
        assert refusal(both(suite)[1], by_the_rfc(suite, 0, 20, content, 2)) is P.BAD_CHANGE_CIPHER_SPEC
        assert both(suite)[1].open_data(by_the_rfc(suite, 0, 20, content)) is None


@each_suite
@pytest.mark.parametrize("size", [0, 1, 2, 100, MAX_PLAINTEXT + 1])
def test_nothing_but_zeros(suite: Suite, size: int) -> None:
    record = protected(suite, 0, bytes(size))
    assert refusal(both(suite)[1], record) is P.NO_CONTENT_TYPE
    assert both(suite)[1].open_data(record) is None


@each_suite
def test_empty_content(suite: Suite) -> None:
    for content_type in TYPES:
        assert opened(both(suite)[1], by_the_rfc(suite, 0, content_type, b"")) == (content_type, b"")
        assert opened(both(suite)[1], by_the_rfc(suite, 0, content_type, b"", 50)) == (content_type, b"")


@each_suite
def test_too_much_plaintext(suite: Suite) -> None:
    largest = by_the_rfc(suite, 0, 23, bytes(MAX_PLAINTEXT))
    assert opened(both(suite)[1], largest) == (23, bytes(MAX_PLAINTEXT))
    assert both(suite)[1].open_data(largest) == bytes(MAX_PLAINTEXT)
    assert len(largest) - 5 <= MAX_CIPHERTEXT == 2**14 + 256
    for size in (MAX_PLAINTEXT + 1, MAX_PLAINTEXT + 200, 2**16 - 1 - 1 - suite.tag_size):
        record = by_the_rfc(suite, 0, 23, bytes(size))
        assert refusal(both(suite)[1], record) is P.RECORD_OVERFLOW
        assert both(suite)[1].open_data(record) is None


@each_suite
@pytest.mark.parametrize(("size", "padding"), [(MAX_PLAINTEXT, 1), (0, MAX_PLAINTEXT + 1), (100, MAX_PLAINTEXT)])
def test_too_much_plaintext_with_its_padding(suite: Suite, size: int, padding: int) -> None:
    assert refusal(both(suite)[1], by_the_rfc(suite, 0, 23, bytes(size), padding)) is P.RECORD_OVERFLOW


@each_suite
def test_the_most_with_its_padding(suite: Suite) -> None:
    for size in (0, 1, 100, MAX_PLAINTEXT - 1):
        record = by_the_rfc(suite, 0, 23, bytes(size), MAX_PLAINTEXT - size)
        assert opened(both(suite)[1], record) == (23, bytes(size))


# Forgeries --------------------------------------------------------------------------------------------------------


@each_suite
@given(data=st.data())
@less
def test_any_bit_that_changes(suite: Suite, data: st.DataObject) -> None:
    """The header is authenticated too; the length is left out here, as it tells which bytes the record has."""
    record = sealed(both(suite)[0], data.draw(st.binary(max_size=40)), padding=data.draw(st.integers(0, 5)))
    changed = bytearray(record)
    position = data.draw(st.integers(0, len(record) - 1).filter(lambda position: position not in (3, 4)))
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    opener = both(suite)[1]
    assert refusal(opener, bytes(changed)) is P.BAD_RECORD_MAC
    assert opener.open_data(bytes(changed)) is None
    assert opener.sequence_number == 0
    assert opened(opener, record) == opened(both(suite)[1], record)


@each_suite
@given(body=st.one_of(st.binary(max_size=60), st.builds(bytes, st.integers(0, 60))))
@less
def test_any_bytes_are_no_record(suite: Suite, body: bytes) -> None:
    record = b"\x17\x03\x03" + len(body).to_bytes(2, "big") + body
    assert refusal(both(suite)[1], record) is P.BAD_RECORD_MAC
    assert both(suite)[1].open_data(record) is None


@each_suite
def test_order_matters(suite: Suite) -> None:
    sealer, opener = both(suite)
    first, second = sealed(sealer, b"first"), sealed(sealer, b"second")
    assert refusal(opener, second) is P.BAD_RECORD_MAC
    assert opened(opener, first) == (23, b"first")
    assert refusal(opener, first) is P.BAD_RECORD_MAC
    assert opened(opener, second) == (23, b"second")


@each_suite
def test_another_secret(suite: Suite) -> None:
    record = sealed(both(suite)[0], b"content")
    assert refusal(Opener(suite, secret_of(suite)[::-1]), record) is P.BAD_RECORD_MAC


# The short way ----------------------------------------------------------------------------------------------------


def long_way(opener: Opener, record: bytes) -> Any:
    try:
        return opened(opener, record)
    except PeerError as error:
        return error.kind


@each_suite
@given(
    content_type=st.one_of(st.just(23), st.sampled_from(TYPES), st.integers(0, 255)),
    drawn=CONTENTS,
    padding=st.one_of(st.just(0), PADDINGS),
    end=st.sampled_from([b"", b"\x17", b"\x17\3\3\0\0"]),
)
@less
def test_the_short_way_agrees_with_the_long_one(
    suite: Suite, content_type: int, drawn: bytes | int, padding: int, end: bytes
) -> None:
    """It says what the other says, or nothing; and where it says nothing, nothing has changed.

    A record without content is left to the other: nothing is no data.
    """
    content = bytes(drawn)
    record = sealed(both(suite)[0], content, bytes([content_type]), padding)
    opener = both(suite)[1]
    short = opener.open_data(record + end)
    is_usual = content_type == 23 and content and not padding and not end
    if short is None:
        assert not (is_usual and suite.tag_size == 16)
        assert opener.sequence_number == 0
        assert long_way(opener, record) == long_way(both(suite)[1], record)
    else:
        assert is_usual
        assert opener.sequence_number == 1
        assert long_way(both(suite)[1], record) == (23, short)
        assert short == content != b""


@each_suite
@given(contents=st.lists(st.tuples(CONTENTS.filter(lambda drawn: len(bytes(drawn)) > 8), st.booleans()), max_size=4))
@less
def test_both_ways_after_each_other(suite: Suite, contents: list[tuple[bytes | int, bool]]) -> None:
    sealer, opener = both(suite)
    for number, (drawn, is_short) in enumerate(contents):
        content = bytes(drawn)
        record = sealed(sealer, content)
        assert (opener.open_data(record) if is_short else opened(opener, record)[1]) == content
        assert opener.sequence_number == number + 1


@each_suite
def test_what_goes_the_long_way(suite: Suite) -> None:
    sealer, opener = both(suite)
    usual = sealed(sealer, b"usual content")
    others = [b"", usual[:1], usual[:4], usual[:21], usual[:-1], usual + b"x", usual + usual]
    others += [by_the_rfc(suite, 0, 21, b"\1\0"), by_the_rfc(suite, 0, 23, b"x", 1), b"\x16" + usual[1:]]
    others += [by_the_rfc(suite, 0, 23, b"")]
    for record in others:
        assert opener.open_data(record) is None
        assert opener.sequence_number == 0
    assert opener.open_data(usual) == b"usual content"
