"""Hostile peers of TLS 1.3: records and messages of an open connection that are wrong, too many or too long.

What came before a bad record is delivered, what comes after it is not read.
"""

from collections.abc import Callable
from typing import Any

import pytest

from connection.peers import client13, open_pair13, pair13
from connection12.peers import check_over, check_refused
from memory import Connection, message, plain_alert, record, sealed, the_failure
from sanstls import (
    AlertDescription,
    AlertReceived,
    AlertReceivedError,
    ConnectionState,
    DataReceived,
    LocalError,
    PeerMisbehaviour,
    ServerHelloReceived,
    VerificationRequest,
)
from sanstls.record.limits import (
    MAX_CERTIFICATE_MESSAGE,
    MAX_CIPHERTEXT,
    MAX_EMPTY_RECORDS,
    MAX_HANDSHAKE_MESSAGE,
    MAX_KEPT_WHILE_WAITING,
    MAX_KEY_UPDATES,
    MAX_PLAINTEXT,
    MAX_WARNING_ALERTS,
)
from sanstls.wire.registries import AlertLevel
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour
Alert = AlertDescription
UNEXPECTED = Alert.unexpected_message

# Records of an open connection ------------------------------------------------------------------------------------

Pair = tuple[Connection, Connection]
Make = Callable[[Connection], bytes]


@pytest.fixture(params=["client", "server"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """A victim whose handshake is done, and its peer."""
    client, server = open_pair13()
    return (client, server) if request.param == "client" else (server, client)


def check_bad(pair: Pair, make: Make, kind: PeerMisbehaviour) -> Any:
    """A bad record with good ones around it: the first is delivered, the last is not."""
    victim, peer = pair
    good, bad, late = sealed(peer, 23, b"good"), make(peer), sealed(peer, 23, b"late")
    events = victim.receive_data(good + bad + late)
    assert events[0] == DataReceived(b"good")
    assert DataReceived(b"late") not in events
    error = check_refused(victim, events, peer)
    assert error.kind is kind
    return error


def of(content_type: int, content: bytes, padding: int = 0) -> Make:
    return lambda peer: sealed(peer, content_type, content, padding)


@pytest.mark.parametrize("padding", [0, 1, 255])
@pytest.mark.parametrize("content_type", [1, 19, 24, 25, 64, 255])
def test_an_unknown_type_under_protection(pair: Pair, content_type: int, padding: int) -> None:
    error = check_bad(pair, of(content_type, b"x", padding), P.UNKNOWN_RECORD_TYPE)
    assert str(content_type) in str(error)


@pytest.mark.parametrize("content_type", [0, 19, 24, 255])
def test_an_unknown_type_in_the_clear(pair: Pair, content_type: int) -> None:
    check_bad(pair, lambda _: record(content_type, b"x"), P.UNKNOWN_RECORD_TYPE)


@pytest.mark.parametrize("content", [b"\1\0", b"\2\x28", b"\1"], ids=repr)
@pytest.mark.parametrize("content_type", [21, 22])
def test_a_known_type_in_the_clear(pair: Pair, content_type: int, content: bytes) -> None:
    """Neither an alert nor a message is believed (RFC 9846 5)."""
    check_bad(pair, lambda _: record(content_type, content), P.UNPROTECTED_RECORD)


@pytest.mark.parametrize("content", [b"\1", b"\2", b"", b"\1\1"], ids=repr)
@pytest.mark.parametrize("is_protected", [False, True], ids=["in the clear", "protected"])
def test_a_change_cipher_spec(pair: Pair, content: bytes, is_protected: bool) -> None:
    """After the Finished there is none any more (RFC 9846 5)."""
    make = of(20, content) if is_protected else lambda _: record(20, content)
    check_bad(pair, make, P.BAD_CHANGE_CIPHER_SPEC)


@pytest.mark.parametrize("size", [0, 1, 1000, MAX_PLAINTEXT])
def test_nothing_but_zeros(pair: Pair, size: int) -> None:
    """RFC 9846 5.4: a record without a content type."""
    check_bad(pair, of(0, bytes(size)), P.NO_CONTENT_TYPE)


@pytest.mark.parametrize("content_type", [21, 22])
@pytest.mark.parametrize("padding", [0, 100])
def test_an_empty_message(pair: Pair, content_type: int, padding: int) -> None:
    """RFC 9846 5.4: unexpected_message for records of messages and alerts without content, padded or not."""
    error = check_bad(pair, of(content_type, b"", padding), P.EMPTY_RECORD)
    assert error.alert is UNEXPECTED


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_an_alert_of_another_size(pair: Pair, size: int) -> None:
    """RFC 9846 5.1: alerts are neither cut nor joined."""
    check_bad(pair, of(21, b"\1\0" * size if size > 1 else b"\1"), P.MALFORMED_ALERT)


@pytest.mark.parametrize("padding", [0, 1, 255])
def test_the_longest_records(pair: Pair, padding: int) -> None:
    victim, peer = pair
    data = bytes(MAX_PLAINTEXT - padding)
    assert victim.receive_data(sealed(peer, 23, data, padding)) == [DataReceived(data)]


@pytest.mark.parametrize("size", [MAX_PLAINTEXT + 1, MAX_PLAINTEXT + 200])
@pytest.mark.parametrize("content_type", [21, 22, 23])
def test_too_much_plaintext(pair: Pair, content_type: int, size: int) -> None:
    """RFC 9846 5.2 and 5.4."""
    check_bad(pair, of(content_type, b"x" * size), P.RECORD_OVERFLOW)


@pytest.mark.parametrize(("size", "padding"), [(MAX_PLAINTEXT, 1), (1, MAX_PLAINTEXT), (100, MAX_PLAINTEXT)])
def test_too_much_plaintext_with_its_padding(pair: Pair, size: int, padding: int) -> None:
    """RFC 9846 5.4: the encoded TLSInnerPlaintext, padding and all, has at most 2^14 + 1 bytes."""
    check_bad(pair, of(23, b"x" * size, padding), P.RECORD_OVERFLOW)


@pytest.mark.parametrize("size", [MAX_CIPHERTEXT + 1, 2**16 - 1])
def test_too_much_ciphertext(pair: Pair, size: int) -> None:
    error = check_bad(pair, lambda _: b"\x17\3\3" + size.to_bytes(2, "big"), P.RECORD_OVERFLOW)
    assert str(size) in str(error)


def test_the_most_ciphertext_is_waited_for(pair: Pair) -> None:
    victim, peer = pair
    assert victim.receive_data(b"\x17\3\3" + MAX_CIPHERTEXT.to_bytes(2, "big") + bytes(MAX_CIPHERTEXT - 1)) == []
    assert check_refused(victim, victim.receive_data(b"\0"), peer).kind is P.BAD_RECORD_MAC


@pytest.mark.parametrize("position", [1, 2, 5, 8, -16, -1], ids=["version", "", "first", "ciphertext", "tag", "last"])
@pytest.mark.parametrize("content_type", [21, 22, 23])
def test_a_changed_record(pair: Pair, content_type: int, position: int) -> None:
    def make(peer: Connection) -> bytes:
        changed = bytearray(sealed(peer, content_type, b"\1\x5a content"))
        changed[position] ^= 1
        return bytes(changed)

    check_bad(pair, make, P.BAD_RECORD_MAC)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100])
def test_a_record_of_zeros(pair: Pair, size: int) -> None:
    """Shorter than a tag, or just no ciphertext."""
    check_bad(pair, lambda _: record(23, bytes(size)), P.BAD_RECORD_MAC)


@pytest.mark.parametrize("order", ["replayed", "reordered", "dropped", "reflected"])
def test_records_out_of_order(pair: Pair, order: str) -> None:
    victim, peer = pair
    one, two = sealed(peer, 23, b"one"), sealed(peer, 23, b"two")
    own = sealed(victim, 23, b"own")
    data = {"replayed": one + one, "reordered": two + one, "dropped": two, "reflected": one + own}[order]
    events = victim.receive_data(data)
    delivered = [event for event in events if isinstance(event, DataReceived)]
    assert delivered == ([DataReceived(b"one")] if data.startswith(one) else [])
    assert the_failure(events).kind is P.BAD_RECORD_MAC


# Messages of an open connection -----------------------------------------------------------------------------------

KNOWN = {"client": (T.new_session_ticket, T.key_update), "server": (T.key_update,)}


@pytest.mark.parametrize("kind", [*T, T(99), T(255)], ids=str)
def test_messages_that_must_not_come(pair: Pair, kind: T) -> None:
    """A ClientHello is a renegotiation, a CertificateRequest was not agreed on (RFC 9846 4.2.2, 4.7.2)."""
    if kind in KNOWN["client" if pair[0]._role == "client" else "server"]:
        return
    error = check_bad(pair, of(22, message(kind, bytes(40))), P.UNEXPECTED_MESSAGE)
    assert kind.name in str(error)


def test_a_message_cut_by_data(pair: Pair) -> None:
    victim, peer = pair
    update = message(T.key_update, b"\0")
    check_bad(
        (victim, peer), lambda peer: sealed(peer, 22, update[:3]) + sealed(peer, 23, b"data"), P.INTERLEAVED_RECORD
    )


def test_a_message_cut_by_a_close(pair: Pair) -> None:
    """RFC 9846 5.1: truncation inside of a message is not the end of the data."""
    check_bad(pair, lambda peer: sealed(peer, 22, b"\x18") + sealed(peer, 21, b"\1\0"), P.INTERLEAVED_RECORD)


@pytest.mark.parametrize("behind", [b"\0", message(T.key_update, b"\0"), b"\x18\0\0"], ids=["byte", "update", "part"])
def test_something_behind_a_key_update(pair: Pair, behind: bytes) -> None:
    """RFC 9846 5.1: KeyUpdate ends its record."""
    check_bad(pair, of(22, message(T.key_update, b"\0") + behind), P.MESSAGE_ACROSS_KEY_CHANGE)


def test_a_key_update_in_pieces(pair: Pair) -> None:
    victim, peer = pair
    update = message(T.key_update, b"\0")
    pieces = b"".join([sealed(peer, 22, update[index : index + 1], index) for index in range(len(update))])
    assert len(victim.receive_data(pieces)) == 1
    assert victim.state is ConnectionState.OPEN


def test_old_keys_after_a_key_update(pair: Pair) -> None:
    check_bad(pair, lambda peer: sealed(peer, 22, message(T.key_update, b"\0")), P.BAD_RECORD_MAC)


def test_a_message_that_is_too_long(pair: Pair) -> None:
    """Refused when its header is there."""
    for kind, most in ((T.key_update, MAX_HANDSHAKE_MESSAGE), (T.certificate, MAX_CERTIFICATE_MESSAGE)):
        victim, peer = open_pair13()
        assert victim.receive_data(sealed(peer, 22, bytes([kind]) + most.to_bytes(3, "big"))) == []
        victim, peer = open_pair13()
        header = bytes([kind]) + (most + 1).to_bytes(3, "big")
        error = check_refused(victim, victim.receive_data(sealed(peer, 22, header)), peer)
        assert error.kind is P.MESSAGE_TOO_LONG
    check_bad(pair, of(22, b"\x18\xff\xff\xff"), P.MESSAGE_TOO_LONG)


# Too many, too much (the limits by their names) -------------------------------------------------------------------


def new_client() -> Connection:
    client = client13()
    client.data_to_send()
    return client


def fill(pair: Pair, data: list[bytes]) -> list[Any]:
    """What is told of these, which come one by one, and must not fail the victim."""
    told: list[Any] = []
    for each in data:
        told += pair[0].receive_data(bytearray(each))
        assert pair[0].state is ConnectionState.OPEN, told
    return told


@pytest.mark.parametrize("padding", [0, 10])
def test_empty_records(pair: Pair, padding: int) -> None:
    """RFC 9846 5.1 allows them; more than MAX_EMPTY_RECORDS in a row carry nothing but work."""
    victim, peer = pair
    for _ in range(2):
        assert fill(pair, [sealed(peer, 23, b"", padding) for _ in range(MAX_EMPTY_RECORDS)]) == []
        assert fill(pair, [sealed(peer, 23, b"data")]) == [DataReceived(b"data")]
    many = b"".join([sealed(peer, 23, b"", padding) for _ in range(MAX_EMPTY_RECORDS + 1)])
    error = check_refused(victim, victim.receive_data(many), peer)
    assert error.kind is P.TOO_MANY_EMPTY_RECORDS
    assert str(MAX_EMPTY_RECORDS) in str(error)


def test_an_empty_record_that_comes_alone(pair: Pair) -> None:
    victim, peer = pair
    assert victim.receive_data(sealed(peer, 23, b"")) == []
    assert victim.receive_data(sealed(peer, 23, b"data")) == [DataReceived(b"data")]


def test_key_updates(pair: Pair) -> None:
    victim, peer = pair
    for _ in range(2):
        for _ in range(MAX_KEY_UPDATES):
            peer.update_keys()
        assert len(fill(pair, [peer.data_to_send()])) == MAX_KEY_UPDATES
        peer.send_data(b"data")
        assert fill(pair, [peer.data_to_send()]) == [DataReceived(b"data")]
    for _ in range(MAX_KEY_UPDATES + 1):
        peer.update_keys()
    error = check_refused(victim, victim.receive_data(peer.data_to_send()), peer)
    assert error.kind is P.TOO_MANY_KEY_UPDATES
    assert str(MAX_KEY_UPDATES) in str(error)


def test_tickets() -> None:
    """Of which nothing is made yet count as records that carry nothing."""
    ticket = message(T.new_session_ticket, bytes(8) + b"\0" + b"\0\1x" + b"\0\0")
    client, server = open_pair13()
    assert fill((client, server), [sealed(server, 22, ticket * MAX_EMPTY_RECORDS)]) == []
    error = check_refused(client, client.receive_data(sealed(server, 22, ticket)), server)
    assert error.kind is P.TOO_MANY_EMPTY_RECORDS


def test_warnings(pair: Pair) -> None:
    """RFC 9846 6.1: user_canceled is the one that does not end the connection, and data between does not help."""
    victim, peer = pair
    warned = AlertReceived(AlertLevel.warning, Alert.user_canceled)
    for _ in range(MAX_WARNING_ALERTS):
        data = [sealed(peer, 21, b"\1\x5a"), sealed(peer, 23, b"data")]
        assert fill(pair, data) == [warned, DataReceived(b"data")]
    error = check_refused(victim, victim.receive_data(sealed(peer, 21, b"\1\x5a")), peer)
    assert error.kind is P.TOO_MANY_WARNINGS
    assert str(MAX_WARNING_ALERTS) in str(error)


ERRORS = [alert for alert in Alert if alert not in (Alert.close_notify, Alert.user_canceled)]


@pytest.mark.parametrize("level", [0, 1, 2, 255])
@pytest.mark.parametrize("alert", ERRORS, ids=str)
def test_every_error_alert_is_an_end(pair: Pair, alert: Alert, level: int) -> None:
    """RFC 9846 6: whatever its level says."""
    victim, peer = pair
    error = the_failure(victim.receive_data(sealed(peer, 21, bytes([level, alert]))))
    assert isinstance(error, AlertReceivedError)
    assert error.description == alert
    assert victim.data_to_send() == b""
    check_over(victim, error)


def test_warnings_before_the_server_hello() -> None:
    """RFC 6066 3: a server may send unrecognized_name as a warning, and the client can't know its version yet."""
    warning = record(21, bytes([1, Alert.unrecognized_name]))
    client = new_client()
    for _ in range(MAX_WARNING_ALERTS):
        (event,) = client.receive_data(warning)
        assert isinstance(event, AlertReceived)
    error = the_failure(client.receive_data(warning))
    assert error.kind is P.TOO_MANY_WARNINGS
    assert client.data_to_send() == plain_alert(UNEXPECTED)
    client = new_client()
    other = the_failure(client.receive_data(record(21, bytes([1, Alert.handshake_failure]))))
    assert isinstance(other, AlertReceivedError)


@pytest.mark.parametrize("chunk", [5000, 2**20])
def test_too_much_while_a_request_waits(chunk: int) -> None:
    """What comes is kept up to MAX_KEPT_WHILE_WAITING bytes."""
    client, server = pair13(client={"defer": frozenset({VerificationRequest})})
    server.receive_data(client.data_to_send())
    flight = server.data_to_send()
    events = client.receive_data(flight)
    request = next(event for event in events if isinstance(event, VerificationRequest))
    assert client.state is ConnectionState.WAITING
    data = b"".join([sealed(server, 23, bytes(2**14)) for _ in range(MAX_KEPT_WHILE_WAITING // 2**14 + 1)])
    told: list[Any] = []
    for start in range(0, len(data), chunk):
        told += client.receive_data(data[start : start + chunk])
    error = check_refused(client, told, server)
    assert error.kind is P.TOO_MUCH_WHILE_WAITING
    assert error.alert is Alert.internal_error
    with pytest.raises(LocalError, match="failed"):
        client.answer(request, None)


def test_what_came_before_the_failure_of_a_handshake_is_told() -> None:
    """The ServerHello is a notice of its own, although a bad record comes in the same bytes."""
    client, server = pair13()
    server.receive_data(client.data_to_send())
    flight = bytearray(server.data_to_send())
    flight[-1] ^= 1
    events = client.receive_data(bytes(flight))
    assert isinstance(events[0], ServerHelloReceived)
    assert check_refused(client, events, server).kind is P.BAD_RECORD_MAC
