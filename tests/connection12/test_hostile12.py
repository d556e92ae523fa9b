"""Hostile peers of TLS 1.2: messages that are missing, doubled, swapped or changed, and records out of place.

Whatever comes, the victim raises nothing, tells one failure and sends its alert. The
liar's bytes go out changed here; :mod:`test_liars12` has peers that stand by their lies.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from connection12.peers import (
    CCS,
    KEY_TRANSPORT,
    MUTUAL,
    Item,
    Record,
    Script,
    check_over,
    check_refused,
    client12,
    credential12,
    open_pair,
    pair,
    scripted,
    server12,
)
from memory import (
    Connection,
    chunked,
    failures,
    is_complete,
    message,
    plain_alert,
    record,
    sealed,
    shuttle,
    the_failure,
)
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    ConnectionState,
    DataReceived,
    PeerMisbehaviour,
    UnexpectedEOF,
)
from sanstls.record.limits import MAX_EMPTY_RECORDS
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour
STAPLED = {"credentials": (credential12().stapled(b"response"),)}
FLOWS: dict[str, dict[str, dict[str, Any]]] = {
    "ECDHE": {"client": MUTUAL["client"], "server": MUTUAL["server"] | STAPLED},
    "RSA": KEY_TRANSPORT,
}
"""One with everything that a handshake can have, and one without."""

SENT: dict[tuple[str, str], list[T | str]] = {
    ("ECDHE", "server"): [
        T.server_hello,
        T.certificate,
        T.certificate_status,
        T.server_key_exchange,
        T.certificate_request,
        T.server_hello_done,
        "CCS",
        T.finished,
    ],
    ("ECDHE", "client"): [
        T.client_hello,
        T.certificate,
        T.client_key_exchange,
        T.certificate_verify,
        "CCS",
        T.finished,
    ],
    ("RSA", "server"): [T.server_hello, T.certificate, T.server_hello_done, "CCS", T.finished],
    ("RSA", "client"): [T.client_hello, T.client_key_exchange, "CCS", T.finished],
}
"""What either side sends, in order."""


def kind_of(item: Item) -> T | str:
    return "CCS" if isinstance(item, Record) else T(item[0])


def at(kind: T | str, change: Callable[[Any], Iterable[Item]]) -> Script:
    """Send something else in place of what is of this kind."""

    def script(item: Item) -> Iterable[Item]:
        return change(item) if kind_of(item) == kind else [item]

    return script


def clash(flow: str, liar: str, script: Script) -> tuple[Connection, list[Any], Connection, list[Any]]:
    """A handshake in which ``liar`` sends what the script says. The victim and the liar, and what they told."""
    client_settings, server_settings = FLOWS[flow]["client"], FLOWS[flow]["server"]

    def make_client() -> Any:
        return client12(**client_settings)

    def make_server() -> Any:
        return server12(**server_settings)

    client = scripted(make_client, script) if liar == "client" else make_client()
    server = scripted(make_server, script) if liar == "server" else make_server()
    client_events, server_events = shuttle(client, server)
    if liar == "client":
        return server, server_events, client, client_events
    return client, client_events, server, server_events


def check_victim(flow: str, liar: str, script: Script) -> Any:
    """The victim does not complete; its failure, or that of the end of the transport if it waits on."""
    victim, events, _, peer_events = clash(flow, liar, script)
    assert not is_complete(events)
    if failures(peer_events) and not failures(events):
        # The liar was the first that could not go on: its own transcript is another one.
        raise AssertionError(f"the liar failed: {the_failure(peer_events)}")
    if not failures(events):
        error = the_failure(victim.receive_eof())
        assert isinstance(error, UnexpectedEOF)
        assert victim.data_to_send() == b""
        check_over(victim, error)
        return error
    error = the_failure(events)
    if not isinstance(error, AlertReceivedError):
        told = the_failure(peer_events)
        assert isinstance(told, AlertReceivedError)
        assert told.description == error.alert
    check_over(victim, error)
    return error


EACH = [(flow, liar, kind) for (flow, liar), kinds in SENT.items() for kind in kinds]
each = pytest.mark.parametrize(("flow", "liar", "kind"), EACH, ids=lambda value: str(value))


@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_the_tables_are_right(flow: str, liar: str) -> None:
    """An edit of what is never sent would test nothing."""
    seen = []

    def script(item: Item) -> Iterable[Item]:
        seen.append(kind_of(item))
        return [item]

    _, events, _, _ = clash(flow, liar, script)
    assert is_complete(events)
    assert [kind for kind in seen if kind != T.new_session_ticket] == SENT[flow, liar]


# Missing, doubled, swapped ----------------------------------------------------------------------------------------


def flight_of(flow: str, liar: str, kind: T | str) -> list[T | str]:
    """What is sent in one go with this."""
    kinds = SENT[flow, liar]
    first = 1 if liar == "client" else kinds.index(T.server_hello_done) + 1
    return kinds[:first] if kind in kinds[:first] else kinds[first:]


@each
def test_missing(flow: str, liar: str, kind: T | str) -> None:
    script = at(kind, lambda _: [])
    if kind in (T.certificate_status, T.certificate_request):
        # May be missing: what has gone wrong then is the transcript, which the client's messages show to the server.
        _, events, _, peer_events = clash(flow, liar, script)
        expected = P.WRONG_SIGNATURE if kind == T.certificate_status else P.UNEXPECTED_MESSAGE
        assert the_failure(peer_events).kind is expected
        assert the_failure(events).description == expected.alert
        return
    error = check_victim(flow, liar, script)
    flight = flight_of(flow, liar, kind)
    if kind == flight[-1]:
        assert isinstance(error, UnexpectedEOF)
    elif kind == "CCS":
        # A Finished under keys that are not in use yet looks like anything, but not like what is waited for.
        assert not isinstance(error, AlertReceivedError)
    elif flight[flight.index(kind) + 1] == "CCS":
        assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
        assert error.alert is AlertDescription.unexpected_message
    else:
        assert error.kind is P.UNEXPECTED_MESSAGE
        assert error.alert is AlertDescription.unexpected_message


@each
def test_doubled(flow: str, liar: str, kind: T | str) -> None:
    script = at(kind, lambda item: [item, item])
    if kind == T.finished:  # the first of the two is a right one
        victim, events, _, peer_events = clash(flow, liar, script)
        assert is_complete(events)
        error = the_failure(events)
        assert the_failure(peer_events).description == error.alert
        check_over(victim, error)
    else:
        error = check_victim(flow, liar, script)
    # The second change_cipher_spec is in the clear, where the first has made everything protected.
    assert error.kind is (P.BAD_RECORD_MAC if kind == "CCS" else P.UNEXPECTED_MESSAGE)


NEIGHBOURS = [
    (flow, liar, kinds[index], kinds[index + 1])
    for (flow, liar), kinds in SENT.items()
    for index in range(len(kinds) - 1)
    if kinds[index + 1] in flight_of(flow, liar, kinds[index])
]


@pytest.mark.parametrize(("flow", "liar", "first", "second"), NEIGHBOURS, ids=str)
def test_swapped(flow: str, liar: str, first: T | str, second: T | str) -> None:
    held: list[Item] = []

    def script(item: Item) -> Iterable[Item]:
        if kind_of(item) == first:
            held.append(item)
            return []
        return [item, *held] if kind_of(item) == second else [item]

    if first == T.certificate_request:  # without it in its place the client shows no certificate: both refuse
        _, events, _, peer_events = clash(flow, liar, script)
        assert the_failure(events).kind is the_failure(peer_events).kind is P.UNEXPECTED_MESSAGE
        return
    error = check_victim(flow, liar, script)
    if first == "CCS":
        assert not isinstance(error, AlertReceivedError)
    else:
        assert error.kind is (P.BAD_CHANGE_CIPHER_SPEC if second == "CCS" else P.UNEXPECTED_MESSAGE)


# Changed ----------------------------------------------------------------------------------------------------------

BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda body: body[:-1],
    "a byte too many": lambda body: body + b"\0",
    "many bytes too many": lambda body: body + bytes(300),
    "empty": lambda body: b"",
    "half": lambda body: body[: len(body) // 2],
}
MESSAGES = [(flow, liar, kind) for flow, liar, kind in EACH if kind != "CCS"]
each_message = pytest.mark.parametrize(("flow", "liar", "kind"), MESSAGES, ids=str)


@pytest.mark.parametrize(
    ("flow", "liar", "kind", "name"),
    [(*each, name) for each in MESSAGES for name in BROKEN if each[2] != T.server_hello_done or "many" in name],
    ids=str,
)
def test_broken(flow: str, liar: str, kind: T, name: str) -> None:
    """RFC 5246 7.2.2: decode_error; a Finished has nothing to decode, and is then only a wrong one."""
    error = check_victim(flow, liar, at(kind, lambda sent: [message(kind, BROKEN[name](sent[4:]))]))
    if kind == T.finished:
        assert error.kind is P.WRONG_FINISHED
        assert error.alert is AlertDescription.decrypt_error
    else:
        assert error.kind is P.MALFORMED_MESSAGE
        assert error.alert is AlertDescription.decode_error


@pytest.mark.parametrize(
    "other", [T.hello_request, T.encrypted_extensions, T.key_update, T.message_hash, T(99)], ids=str
)
@each_message
def test_of_another_type(flow: str, liar: str, kind: T, other: T) -> None:
    error = check_victim(flow, liar, at(kind, lambda sent: [message(other, sent[4:] or b"\0")]))
    assert error.kind is P.UNEXPECTED_MESSAGE
    assert other.name in str(error)


@each_message
def test_a_length_that_promises_more(flow: str, liar: str, kind: T) -> None:
    """The bytes that are missing are taken from the next message, if there is one."""
    error = check_victim(flow, liar, at(kind, lambda sent: [message(kind, sent[4:] + b"\0\0")[:-2]]))
    after = flight_of(flow, liar, kind)[flight_of(flow, liar, kind).index(kind) + 1 :]
    if not after:
        assert isinstance(error, UnexpectedEOF)
    elif after[0] == "CCS":
        assert error.kind is P.INTERLEAVED_RECORD
    else:  # either of the two messages has lost its sense
        assert error.kind in (P.MALFORMED_MESSAGE, P.MESSAGE_TOO_LONG, P.UNEXPECTED_MESSAGE)


@each_message
def test_a_length_that_no_message_has(flow: str, liar: str, kind: T) -> None:
    error = check_victim(flow, liar, at(kind, lambda sent: [bytes([kind]) + b"\xff\xff\xff" + sent[4:]]))
    assert error.kind is P.MESSAGE_TOO_LONG
    assert error.alert is AlertDescription.illegal_parameter


@pytest.mark.parametrize("bit", range(0, 96, 5))
@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_a_finished_with_a_wrong_bit(flow: str, liar: str, bit: int) -> None:
    def change(sent: bytes) -> Iterable[Item]:
        assert len(sent) == 4 + 12
        return [sent[:4] + (int.from_bytes(sent[4:], "big") ^ 1 << bit).to_bytes(12, "big")]

    error = check_victim(flow, liar, at(T.finished, change))
    assert error.kind is P.WRONG_FINISHED
    assert error.alert is AlertDescription.decrypt_error


@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_the_finished_of_the_other_side(flow: str, liar: str) -> None:
    """Reflected: the labels keep the two apart. (Of zeros, as the other's is not known before.)"""
    error = check_victim(flow, liar, at(T.finished, lambda _: [message(T.finished, bytes(12))]))
    assert error.kind is P.WRONG_FINISHED


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_messages_in_small_records_are_the_same_messages(flow: str, liar: str, size: int) -> None:
    """RFC 5246 6.2.1: no lie at all."""

    def script(item: Item) -> Iterable[Item]:
        return [item] if isinstance(item, Record) else [Record(22, part) for part in chunked(item, size)]

    victim, events, peer, _ = clash(flow, liar, script)
    assert is_complete(events)
    assert victim.state is peer.state is ConnectionState.OPEN


# change_cipher_spec (RFC 5246 7.1) --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "liar", "kind"), [each for each in EACH if each[2] != T.server_hello], ids=lambda value: str(value)
)
def test_an_early_change_cipher_spec(flow: str, liar: str, kind: T | str) -> None:
    error = check_victim(flow, liar, at(kind, lambda item: [CCS, item]))
    if kind == "CCS":
        assert error.kind is P.BAD_RECORD_MAC  # the right one is the second, where everything should be protected
    else:
        assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
        assert error.alert is AlertDescription.unexpected_message


def test_a_change_cipher_spec_before_the_server_hello() -> None:
    """It may be one of TLS 1.3 then (RFC 9846 5), means nothing, and can't come without end."""
    _, events, _, _ = clash("ECDHE", "server", at(T.server_hello, lambda item: [CCS, item]))
    assert is_complete(events)
    error = check_victim("ECDHE", "server", at(T.server_hello, lambda item: [CCS] * (MAX_EMPTY_RECORDS + 1) + [item]))
    assert error.kind is P.TOO_MANY_EMPTY_RECORDS


@pytest.mark.parametrize("body", [b"", b"\0", b"\2", b"\1\1", b"\1\0", b"\xff" * 100], ids=repr)
@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_a_change_cipher_spec_of_something_else(flow: str, liar: str, body: bytes) -> None:
    error = check_victim(flow, liar, at("CCS", lambda _: [Record(20, body)]))
    assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
    assert error.alert is AlertDescription.unexpected_message


@pytest.mark.parametrize("body", [b"\1", b"", b"\2"], ids=repr)
@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_a_change_cipher_spec_under_protection(flow: str, liar: str, body: bytes) -> None:
    """Between the first one and the Finished, and after that."""
    error = check_victim(flow, liar, at(T.finished, lambda item: [Record(20, body), item]))
    assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
    victim, events, _, peer_events = clash(flow, liar, at(T.finished, lambda item: [item, Record(20, body)]))
    assert is_complete(events)
    error = the_failure(events)
    assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
    assert the_failure(peer_events).description == error.alert
    check_over(victim, error)


@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_a_finished_in_the_clear(flow: str, liar: str) -> None:
    """RFC 5246 7.4.9: a fatal error if no change_cipher_spec precedes it; here no keys do either."""

    def script(item: Item) -> Iterable[Item]:
        return [message(T.finished, bytes(12))] if item == CCS else []

    error = check_victim(flow, liar, lambda item: script(item) if kind_of(item) in ("CCS", T.finished) else [item])
    assert error.kind is P.UNEXPECTED_MESSAGE
    assert "ChangeCipherSpec" in str(error)


@pytest.mark.parametrize("kept", [1, 4, 10])
@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_a_change_cipher_spec_within_a_message(flow: str, liar: str, kept: int) -> None:
    """RFC 5246 7.1: not between the fragments of a message."""
    last = T.server_hello_done if liar == "server" else T.client_key_exchange
    if liar == "server":
        kept = min(kept, 3)
    error = check_victim(flow, liar, at(last, lambda sent: [Record(22, sent[:kept]), CCS, Record(22, sent[kept:])]))
    assert error.kind is P.INTERLEAVED_RECORD
    assert error.alert is AlertDescription.unexpected_message


def test_a_part_of_a_message_before_the_change_of_keys_is_not_continued_behind_it() -> None:
    def script(item: Item) -> Iterable[Item]:
        if item == CCS:
            return [Record(22, message(T.finished, bytes(12))[:3]), CCS]
        return [item]

    for flow, liar in SENT:
        assert check_victim(flow, liar, script).kind is P.INTERLEAVED_RECORD


# Other records ----------------------------------------------------------------------------------------------------


@each
def test_data_before_the_handshake_is_done(flow: str, liar: str, kind: T | str) -> None:
    """In the clear, and under the new keys before the Finished."""
    script = at(kind, lambda item: [Record(23, b"early"), item])
    is_first = kind in (T.client_hello, T.server_hello)
    assert check_victim(flow, liar, script).kind is (P.NOT_TLS if is_first else P.PREMATURE_APPLICATION_DATA)


@each
def test_an_empty_handshake_record(flow: str, liar: str, kind: T | str) -> None:
    """RFC 5246 6.2.1: zero-length fragments of handshake messages are not sent."""
    error = check_victim(flow, liar, at(kind, lambda item: [Record(22, b""), item]))
    assert error.kind is P.EMPTY_RECORD


@each
@pytest.mark.parametrize("content_type", [0, 19, 24, 255])
def test_a_record_of_an_unknown_type(flow: str, liar: str, kind: T | str, content_type: int) -> None:
    error = check_victim(flow, liar, at(kind, lambda item: [Record(content_type, b"x"), item]))
    if kind in (T.client_hello, T.server_hello):
        assert error.kind in (P.NOT_TLS, P.OBSOLETE_VERSION)
    else:
        assert error.kind is P.UNKNOWN_RECORD_TYPE
        assert error.alert is AlertDescription.unexpected_message


@pytest.mark.parametrize(("flow", "liar"), SENT)
def test_a_record_that_is_too_long(flow: str, liar: str) -> None:
    victim, peer = pair(**FLOWS[flow]) if liar == "server" else pair(**FLOWS[flow])[::-1]
    victim.data_to_send()
    header = b"\x16\x03\x03" + (2**14 + 1).to_bytes(2, "big")
    error = the_failure(victim.receive_data(header))
    assert error.kind is P.RECORD_OVERFLOW
    assert victim.data_to_send() == plain_alert(AlertDescription.record_overflow)
    assert peer.state is ConnectionState.HANDSHAKE


@pytest.mark.parametrize("victim_is_client", [True, False])
def test_a_protected_record_that_is_too_long(victim_is_client: bool) -> None:
    """RFC 5246 6.2.3: 2^14 + 2048 at most, with at most 2^14 bytes of plaintext."""
    client, server = open_pair()
    victim, peer = (client, server) if victim_is_client else (server, client)
    longest = sealed(peer, 23, bytes(2**14))
    assert victim.receive_data(longest) == [DataReceived(bytes(2**14))]
    error = check_refused(victim, victim.receive_data(sealed(peer, 23, bytes(2**14 + 1))), peer)
    assert error.kind is P.RECORD_OVERFLOW
    victim, peer = open_pair()
    header = b"\x17\x03\x03" + (2**14 + 2049).to_bytes(2, "big")
    assert check_refused(victim, victim.receive_data(header), peer).kind is P.RECORD_OVERFLOW


@pytest.mark.parametrize("victim_is_client", [True, False])
@pytest.mark.parametrize("position", [0, 5, 12, 13, -1], ids=["type", "nonce", "last of nonce", "ciphertext", "tag"])
def test_a_changed_record(position: int, victim_is_client: bool) -> None:
    """What came before is delivered, and what follows is not read."""
    client, server = open_pair()
    victim, peer = (client, server) if victim_is_client else (server, client)
    good, bad, late = (sealed(peer, 23, data) for data in (b"good", b"bad", b"late"))
    changed = bytearray(bad)
    changed[position] ^= 1 if position else 23 ^ 22
    events = victim.receive_data(good + changed + late)
    assert events[0] == DataReceived(b"good")
    assert len(events) == 2
    assert check_refused(victim, events, peer).kind is P.BAD_RECORD_MAC


@pytest.mark.parametrize("order", ["replayed", "reordered", "dropped", "reflected"])
def test_records_out_of_order(order: str) -> None:
    victim, peer = open_pair()
    one, two = sealed(peer, 23, b"one"), sealed(peer, 23, b"two")
    own = sealed(victim, 23, b"own")
    data = {"replayed": one + one, "reordered": two + one, "dropped": two, "reflected": one + own}[order]
    events = victim.receive_data(data)
    assert [event for event in events if isinstance(event, DataReceived)] == (
        [DataReceived(b"one")] if data.startswith(one) else []
    )
    assert the_failure(events).kind is P.BAD_RECORD_MAC


def test_records_in_the_clear_after_the_handshake() -> None:
    for content_type in (20, 21, 22, 23):
        victim, peer = open_pair()
        events = victim.receive_data(record(content_type, b"\1\0" if content_type == 21 else b"\1"))
        assert check_refused(victim, events, peer).kind is P.BAD_RECORD_MAC
