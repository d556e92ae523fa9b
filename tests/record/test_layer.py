"""The record layer of one connection: what one side sends under its keys, the other reads under the same."""

import pytest

from sanstls.crypto.suites import SUITES12, SUITES13, Suite, Suite12
from sanstls.misbehaviour import PeerError, PeerMisbehaviour
from sanstls.record.layer import Epoch, RecordLayer

P = PeerMisbehaviour
HELLO = b"\1\0\0\2hi"
each_suite = pytest.mark.parametrize("suite", SUITES13.values(), ids=lambda suite: str(suite.suite))
each_suite12 = pytest.mark.parametrize("suite", SUITES12.values(), ids=lambda suite: str(suite.suite))


def carry(source: RecordLayer, target: RecordLayer) -> list[tuple[int, bytes]]:
    """All records that were queued, as the other side reads them."""
    target.reader.feed(b"".join(source.writer.take()))
    found = []
    while (record := target.reader.next_record()) is not None:
        found.append(record)
    target.reader.keep()
    return found


def secret_of(suite: Suite, number: int) -> bytes:
    return bytes([number]) * suite.hash_size


def test_a_new_one() -> None:
    layer = RecordLayer()
    assert layer.read_epoch is layer.write_epoch is Epoch.plaintext
    assert not layer.is_tls12
    assert layer.reader.opener is None
    assert layer.writer.sealer is None
    assert layer.messages.is_empty


def test_in_the_clear() -> None:
    source, target = RecordLayer(), RecordLayer()
    source.send_message(HELLO)
    source.send_change_cipher_spec()
    assert carry(source, target) == [(22, HELLO), (20, b"\1")]


@each_suite
def test_epochs(suite: Suite) -> None:
    """Each with keys of its own, and each beginning with the sequence number 0."""
    source, target = RecordLayer(), RecordLayer()
    source.send_message(HELLO)
    assert carry(source, target) == [(22, HELLO)]
    for number, epoch in enumerate((Epoch.early, Epoch.handshake, Epoch.application, Epoch.application)):
        secret = secret_of(suite, number)
        source.set_write_secret(epoch, suite, secret)
        target.set_read_secret(epoch, suite, secret)
        assert source.write_epoch is target.read_epoch is epoch
        assert source.read_epoch is target.write_epoch is Epoch.plaintext
        assert target.reader.opener is not None
        assert target.reader.opener.sequence_number == 0
        source.send_message(HELLO)
        source.send_change_cipher_spec()
        source.writer.write_data(memoryview(b"data"))
        assert carry(source, target) == [(22, HELLO), (20, b"\1"), (23, b"data")]


@each_suite
def test_the_keys_of_another_epoch(suite: Suite) -> None:
    source, target = RecordLayer(), RecordLayer()
    source.set_write_secret(Epoch.application, suite, secret_of(suite, 1))
    target.set_read_secret(Epoch.application, suite, secret_of(suite, 2))
    source.send_message(HELLO)
    with pytest.raises(PeerError) as caught:
        carry(source, target)
    assert caught.value.kind is P.BAD_RECORD_MAC


@each_suite
@pytest.mark.parametrize("left", [HELLO, HELLO[:3], HELLO + HELLO[:1]], ids=["message", "part", "both"])
def test_new_keys_in_the_midst_of_messages(suite: Suite, left: bytes) -> None:
    """RFC 9846 5.1: what comes before a change of keys ends with its record; the keys stay then."""
    layer = RecordLayer()
    layer.messages.feed(left)
    with pytest.raises(PeerError) as caught:
        layer.set_read_secret(Epoch.handshake, suite, secret_of(suite, 0))
    assert caught.value.kind is P.MESSAGE_ACROSS_KEY_CHANGE
    assert layer.read_epoch is Epoch.plaintext
    assert layer.reader.opener is None


@each_suite
def test_a_message_that_was_taken_is_not_in_the_way(suite: Suite) -> None:
    layer = RecordLayer()
    layer.messages.feed(HELLO)
    assert layer.messages.next_message() == HELLO
    layer.set_read_secret(Epoch.handshake, suite, secret_of(suite, 0))
    assert layer.read_epoch is Epoch.handshake


@each_suite12
def test_tls12(suite: Suite12) -> None:
    source, target = RecordLayer(), RecordLayer()
    for layer in (source, target):
        layer.begin_tls12()
        assert layer.is_tls12
    key, iv = bytes(suite.key_size), bytes(suite.fixed_iv_size)
    source.send_change_cipher_spec()
    source.set_write_keys12(suite, key, iv)
    assert carry(source, target) == [(20, b"\1")]
    target.set_read_keys12(suite, key, iv)
    assert source.write_epoch is target.read_epoch is Epoch.application
    source.send_message(HELLO)
    source.writer.write_record(b"\x15", b"\1\0")
    assert carry(source, target) == [(22, HELLO), (21, b"\1\0")]


@each_suite12
def test_new_keys_of_tls12_in_the_midst_of_a_message(suite: Suite12) -> None:
    layer = RecordLayer()
    layer.messages.feed(HELLO[:2])
    with pytest.raises(PeerError) as caught:
        layer.set_read_keys12(suite, bytes(suite.key_size), bytes(suite.fixed_iv_size))
    assert caught.value.kind is P.MESSAGE_ACROSS_KEY_CHANGE
    assert layer.read_epoch is Epoch.plaintext
