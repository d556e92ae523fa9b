"""Hostile peers of TLS 1.3: messages that are missing, doubled, swapped, changed, or cut at the wrong places.

Whatever comes, the victim raises nothing, tells one failure and sends its alert. The
liar's bytes go out changed here; :mod:`test_liars` has peers that stand by their lies.
"""

from collections.abc import Callable, Iterable

import pytest

from connection.peers import CCS, FLOWS, SENT, TYPES, Item, Plain, at, check_victim, clash, namer
from connection12.peers import Record
from memory import chunked, is_complete, message
from sanstls import AlertDescription, ConnectionState, PeerMisbehaviour, UnexpectedEOF
from sanstls.record.limits import MAX_EMPTY_RECORDS
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour


EACH = [(flow, liar, name) for (flow, liar), names in SENT.items() for name in names]
MESSAGES = [(flow, liar, name) for flow, liar, name in EACH if name != "CCS"]
each = pytest.mark.parametrize(("flow", "liar", "name"), EACH)
each_message = pytest.mark.parametrize(("flow", "liar", "name"), MESSAGES)
each_liar = pytest.mark.parametrize(("flow", "liar"), SENT)


def flight_of(flow: str, liar: str, name: str) -> list[str]:
    """What is sent in one go with this."""
    names = SENT[flow, liar]
    if liar == "client":
        ends = [1, len(names)] if flow == "plain" else [1, 3, len(names)]
    else:
        ends = [len(names)] if flow == "plain" else [2, len(names)]
    start = 0
    for end in ends:
        if name in names[start:end]:
            return names[start:end]
        start = end
    raise AssertionError(name)


@each_liar
def test_the_tables_are_right(flow: str, liar: str) -> None:
    """An edit of what is never sent would test nothing."""
    seen = []
    name_of = namer()

    def script(item: Item) -> Iterable[Item]:
        seen.append(name_of(item))
        return [item]

    victim, events, peer, _ = clash(flow, liar, script)
    assert is_complete(events)
    assert victim.state is peer.state is ConnectionState.OPEN
    assert seen == SENT[flow, liar]


# Missing, doubled, swapped ----------------------------------------------------------------------------------------


@each
def test_missing(flow: str, liar: str, name: str) -> None:
    script = at(name, lambda _: [])
    if name == "CCS":
        assert is_complete(clash(flow, liar, script)[1])
        return
    error = check_victim(flow, liar, script)
    if name == "CR":  # it may be missing, but the server has signed that it was there
        assert error.kind is P.WRONG_SIGNATURE
    elif name == "SH":  # what follows is protected by keys that the client doesn't have
        assert error.kind is P.PREMATURE_APPLICATION_DATA
    elif name in ("HRR", flight_of(flow, liar, name)[-1]):
        assert isinstance(error, UnexpectedEOF)
    else:
        assert error.kind is P.UNEXPECTED_MESSAGE
        assert error.alert is AlertDescription.unexpected_message


BEFORE_NEW_KEYS = ("SH", "CH", "CH2", "FIN")


@each
def test_doubled(flow: str, liar: str, name: str) -> None:
    """Both in one record, so that what comes before new keys has something behind it."""
    script = at(name, lambda item: [item, item])
    if name == "CCS":  # nothing forbids it
        assert is_complete(clash(flow, liar, script)[1])
        return
    error = check_victim(flow, liar, script)
    if name == "HRR":
        assert error.kind is P.SECOND_RETRY
    elif (flow, name) == ("all", "CH"):
        assert error.kind is P.RETRY_NOT_HEEDED
        assert error.alert is AlertDescription.illegal_parameter
        return
    else:
        assert error.kind is (P.MESSAGE_ACROSS_KEY_CHANGE if name in BEFORE_NEW_KEYS else P.UNEXPECTED_MESSAGE)
    assert error.alert is AlertDescription.unexpected_message


@each_message
def test_doubled_in_records_of_their_own(flow: str, liar: str, name: str) -> None:
    is_late = name == "FIN"
    error = check_victim(flow, liar, at(name, lambda item: [Record(22, item), Record(22, item)]), is_late=is_late)
    if name == "FIN" or (flow, name) == ("plain", "CH"):
        # The second is under the old keys, or under none, and the victim has changed them.
        assert error.kind in (P.BAD_RECORD_MAC, P.UNPROTECTED_RECORD)
    elif name in ("SH", "CH2"):
        assert error.kind is P.UNPROTECTED_RECORD
    elif name == "HRR":
        assert error.kind is P.SECOND_RETRY
    elif name == "CH":
        assert error.kind is P.RETRY_NOT_HEEDED
    else:
        assert error.kind is P.UNEXPECTED_MESSAGE


NEIGHBOURS = [
    (flow, liar, names[index], names[index + 1])
    for (flow, liar), names in SENT.items()
    for index in range(len(names) - 1)
    if names[index + 1] in flight_of(flow, liar, names[index])
]


@pytest.mark.parametrize(("flow", "liar", "first", "second"), NEIGHBOURS)
def test_swapped(flow: str, liar: str, first: str, second: str) -> None:
    held: list[Item] = []
    name_of = namer()

    def script(item: Item) -> Iterable[Item]:
        name = name_of(item)
        if name == first:
            held.append(item)
            return []
        return [item, *held] if name == second else [item]

    if "CCS" in (first, second):
        # It may come before the message as well as after it.
        assert is_complete(clash(flow, liar, script)[1])
        return
    error = check_victim(flow, liar, script)
    if first == "SH":
        assert error.kind is P.PREMATURE_APPLICATION_DATA
    elif first == "CR":
        assert error.kind is P.UNEXPECTED_MESSAGE
        assert "CertificateRequest" in str(error) or "certificate_request" in str(error)
    else:
        assert error.kind is P.UNEXPECTED_MESSAGE
    assert error.alert is AlertDescription.unexpected_message


# Changed ----------------------------------------------------------------------------------------------------------

BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda body: body[:-1],
    "a byte too many": lambda body: body + b"\0",
    "many bytes too many": lambda body: body + bytes(300),
    "empty": lambda body: b"",
    "half": lambda body: body[: len(body) // 2],
}


@pytest.mark.parametrize("how", BROKEN)
@each_message
def test_broken(flow: str, liar: str, name: str, how: str) -> None:
    """RFC 9846 4: decode_error; a Finished has nothing to decode, and is then only a wrong one."""
    error = check_victim(flow, liar, at(name, lambda sent: [message(sent[0], BROKEN[how](sent[4:]))]))
    if name == "FIN":
        assert error.kind is P.WRONG_FINISHED
        assert error.alert is AlertDescription.decrypt_error
    else:
        assert error.kind is P.MALFORMED_MESSAGE
        assert error.alert is AlertDescription.decode_error
        assert error.message


OTHERS = (
    T.hello_request,
    T.new_session_ticket,
    T.end_of_early_data,
    T.server_key_exchange,
    T.server_hello_done,
    T.client_key_exchange,
    T.certificate_status,
    T.key_update,
    T.compressed_certificate,
    T.message_hash,
    T(99),
)


@pytest.mark.parametrize("other", OTHERS, ids=str)
@each_message
def test_of_another_type(flow: str, liar: str, name: str, other: T) -> None:
    """Messages of TLS 1.2, of later, of nobody: RFC 9846 4, and 4.7.3 for an early KeyUpdate."""
    error = check_victim(flow, liar, at(name, lambda sent: [message(other, sent[4:])]))
    assert error.kind is P.UNEXPECTED_MESSAGE
    assert error.alert is AlertDescription.unexpected_message
    assert other.name in str(error)


@pytest.mark.parametrize(
    ("flow", "liar", "name", "other"),
    [(*place, other) for place in MESSAGES for other in sorted(set(TYPES.values()) - {TYPES[place[2]]})],
)
def test_of_a_type_that_belongs_elsewhere(flow: str, liar: str, name: str, other: T) -> None:
    """Each message of TLS 1.3 in the place of each other."""
    error = check_victim(flow, liar, at(name, lambda sent: [message(other, sent[4:])]))
    # These two may come in each other's place, but have not each other's form.
    may_come = {(T.certificate_request, T.certificate), (T.certificate, T.certificate_request)}
    is_malformed = liar == "server" and (TYPES[name], other) in may_come and (flow, name) != ("all", "CT")
    assert error.kind is (P.MALFORMED_MESSAGE if is_malformed else P.UNEXPECTED_MESSAGE)


@each_message
def test_a_length_that_promises_more(flow: str, liar: str, name: str) -> None:
    """The bytes that are missing are taken from the next message, if there is one under the same keys."""
    error = check_victim(flow, liar, at(name, lambda sent: [message(sent[0], sent[4:] + b"\0\0")[:-2]]))
    flight = flight_of(flow, liar, name)
    after = flight[flight.index(name) + 1 :]
    if not after:
        assert isinstance(error, UnexpectedEOF)
    elif after[0] == "CCS":
        assert error.kind is P.INTERLEAVED_RECORD
    elif name == "SH":
        assert error.kind is P.PREMATURE_APPLICATION_DATA
    else:  # either of the two messages has lost its sense
        assert error.kind in (P.MALFORMED_MESSAGE, P.MESSAGE_TOO_LONG, P.UNEXPECTED_MESSAGE)


@each_message
def test_a_length_that_no_message_has(flow: str, liar: str, name: str) -> None:
    error = check_victim(flow, liar, at(name, lambda sent: [sent[:1] + b"\xff\xff\xff" + sent[4:]]))
    assert error.kind is P.MESSAGE_TOO_LONG
    assert error.alert is AlertDescription.illegal_parameter


@pytest.mark.parametrize("bit", range(0, 384, 17))
@each_liar
def test_a_finished_with_a_wrong_bit(flow: str, liar: str, bit: int) -> None:
    def change(sent: bytes) -> Iterable[Item]:
        assert len(sent) == 4 + 48
        return [sent[:4] + (int.from_bytes(sent[4:], "big") ^ 1 << bit).to_bytes(48, "big")]

    error = check_victim(flow, liar, at("FIN", change))
    assert error.kind is P.WRONG_FINISHED
    assert error.alert is AlertDescription.decrypt_error


@pytest.mark.parametrize(("flow", "liar"), [liar for liar, names in SENT.items() if "CV" in names])
def test_a_signature_with_a_wrong_bit(flow: str, liar: str) -> None:
    error = check_victim(flow, liar, at("CV", lambda sent: [sent[:-1] + bytes([sent[-1] ^ 1])]))
    assert error.kind is P.WRONG_SIGNATURE
    assert error.alert is AlertDescription.decrypt_error


# Records and messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@each_liar
def test_messages_in_small_records_are_the_same_messages(flow: str, liar: str, size: int) -> None:
    """RFC 9846 5.1: no lie at all."""

    def script(item: Item) -> Iterable[Item]:
        return [Record(22, part) for part in chunked(item, size)] if isinstance(item, bytes) else [item]

    victim, events, peer, _ = clash(flow, liar, script)
    assert is_complete(events)
    assert victim.state is peer.state is ConnectionState.OPEN


@pytest.mark.parametrize("kept", [1, 4, 5])
@pytest.mark.parametrize(
    "between",
    [CCS, Record(21, b"\1\x5a"), Record(23, b""), Record(23, b"data")],
    ids=["CCS", "alert", "no data", "data"],
)
@each_message
def test_another_record_within_a_message(flow: str, liar: str, name: str, between: Item, kept: int) -> None:
    """RFC 9846 5.1: handshake messages must not be interleaved with other record types."""
    error = check_victim(flow, liar, at(name, lambda sent: [Record(22, sent[:kept]), between, Record(22, sent[kept:])]))
    is_data = isinstance(between, Record) and between.content_type == 23
    assert error.kind is (P.PREMATURE_APPLICATION_DATA if is_data else P.INTERLEAVED_RECORD)
    assert error.alert is AlertDescription.unexpected_message


@pytest.mark.parametrize("size", [1, 3, 4, 5])
@pytest.mark.parametrize("name", ["CH", "SH", "CH2", "FIN"])
@pytest.mark.parametrize("flow", FLOWS)
def test_a_part_of_a_message_before_new_keys(flow: str, name: str, size: int) -> None:
    """RFC 9846 5.1: messages before a change of keys end with their record."""
    liars = [liar for liar in ("client", "server") if name in SENT[flow, liar]]
    more = message(T.key_update, b"\0" * 9)[:size]
    for liar in liars:
        if (flow, name) == ("all", "CH"):
            continue  # keys do not change behind it
        error = check_victim(flow, liar, at(name, lambda sent: [Record(22, sent + more)]))
        assert error.kind is P.MESSAGE_ACROSS_KEY_CHANGE
        assert error.alert is AlertDescription.unexpected_message


@each
def test_an_empty_handshake_record(flow: str, liar: str, name: str) -> None:
    """RFC 9846 5.1 and 5.4."""
    error = check_victim(flow, liar, at(name, lambda item: [Record(22, b""), item]))
    # Around the dummy, which is the first behind the server's and the last before the client's change of keys,
    # there are keys to receive with and none yet to send with.
    is_unprotected = (flow, name) == ("plain", "CCS")
    assert error.kind is (P.UNPROTECTED_RECORD if is_unprotected else P.EMPTY_RECORD)
    assert error.alert is AlertDescription.unexpected_message


@each
def test_data_before_the_handshake_is_done(flow: str, liar: str, name: str) -> None:
    """In the clear, and under keys of the handshake: data comes after the Finished (RFC 9846 2)."""
    error = check_victim(flow, liar, at(name, lambda item: [Record(23, b"early"), item]))
    if name == SENT[flow, liar][0]:
        assert error.kind is P.NOT_TLS
    elif (flow, name) == ("plain", "CCS"):  # it is taken for a protected record
        assert error.kind is P.BAD_RECORD_MAC
    else:
        assert error.kind is P.PREMATURE_APPLICATION_DATA


@pytest.mark.parametrize("content_type", [0, 19, 24, 255])
@each
def test_a_record_of_an_unknown_type(flow: str, liar: str, name: str, content_type: int) -> None:
    error = check_victim(flow, liar, at(name, lambda item: [Record(content_type, b"xyzxyz"), item]))
    if name == SENT[flow, liar][0]:
        assert error.kind in (P.NOT_TLS, P.OBSOLETE_VERSION)
    else:  # under protection a type of zero is padding, and what stands before it the type
        assert error.kind is P.UNKNOWN_RECORD_TYPE
    assert error.alert in (AlertDescription.unexpected_message, AlertDescription.protocol_version)


@pytest.mark.parametrize("name", ["EE", "CT", "CV", "FIN"])
@pytest.mark.parametrize("content_type", [21, 22])
def test_a_record_in_the_clear_where_there_are_keys(name: str, content_type: int) -> None:
    """RFC 9846 5: only change_cipher_spec comes so."""
    content = b"\2\x28" if content_type == 21 else message(T.encrypted_extensions, b"\0\0")
    error = check_victim("all", "server", at(name, lambda item: [Plain(content_type, content), item]))
    assert error.kind is P.UNPROTECTED_RECORD
    assert error.alert is AlertDescription.unexpected_message


# change_cipher_spec (RFC 9846 5, E.4) -----------------------------------------------------------------------------


@each
def test_a_change_cipher_spec_anywhere_in_the_handshake(flow: str, liar: str, name: str) -> None:
    """In the clear it is dropped between the first ClientHello and the peer's Finished, and means nothing."""
    script = at(name, lambda item: [CCS, item])
    if name == "CH":
        error = check_victim(flow, liar, script)
        assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
        assert error.alert is AlertDescription.unexpected_message
    else:
        assert is_complete(clash(flow, liar, script)[1])


@each_liar
def test_a_change_cipher_spec_after_the_finished(flow: str, liar: str) -> None:
    error = check_victim(flow, liar, at("FIN", lambda item: [item, CCS]), is_late=True)
    assert error.kind is P.BAD_CHANGE_CIPHER_SPEC


@pytest.mark.parametrize("body", [b"", b"\0", b"\2", b"\1\1", b"\1\0", b"\xff" * 100], ids=repr)
@each
def test_a_change_cipher_spec_of_something_else(flow: str, liar: str, name: str, body: bytes) -> None:
    error = check_victim(flow, liar, at(name, lambda item: [Plain(20, body), item]))
    assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
    assert error.alert is AlertDescription.unexpected_message


@pytest.mark.parametrize("body", [b"\1", b"", b"\0", b"\1\1"], ids=repr)
@each_liar
def test_a_change_cipher_spec_under_protection(flow: str, liar: str, body: bytes) -> None:
    error = check_victim(flow, liar, at("FIN", lambda item: [Record(20, body), item]))
    assert error.kind is P.BAD_CHANGE_CIPHER_SPEC
    assert error.alert is AlertDescription.unexpected_message


@each_liar
def test_change_cipher_specs_without_end(flow: str, liar: str) -> None:
    """They can't come forever, and each message starts the count anew."""
    has_one_already = (flow, liar) == ("plain", "client")
    most = MAX_EMPTY_RECORDS - has_one_already
    assert is_complete(clash(flow, liar, at("FIN", lambda item: [CCS] * most + [item]))[1])
    error = check_victim(flow, liar, at("FIN", lambda item: [CCS] * (most + 1) + [item]))
    assert error.kind is P.TOO_MANY_EMPTY_RECORDS
    assert error.alert is AlertDescription.unexpected_message
