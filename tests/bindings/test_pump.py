"""The pump, without any I/O: events become a stream, and whatever the chunks and sizes are, the stream is the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import (
    chunked,
    client_config,
    connections,
    credential,
    established,
    failures,
    plain_alert,
    sealed,
    store,
)
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    CloseNotifyReceived,
    ConnectionFailed,
    DataReceived,
    Event,
    HandshakeComplete,
    LocalError,
    MessageSent,
    PeerError,
    PrivatePKI,
    SecretLogged,
    SessionReceived,
    SignatureRequest,
    TLSError,
    UnexpectedEOF,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign
from sanstls_io._pump import Connection, Pump

ALERT = b"\x15"


def carry(client: Pump, server: Pump) -> None:
    """Bytes both ways until nobody has any, or one has to wait for an answer."""
    while client.has_output or server.has_output:
        for source, target in ((client, server), (server, client)):
            target.feed(b"".join(source.buffers_to_send()))
            if target.request is not None:
                return


def open_pair(**settings: Any) -> tuple[Pump, Connection]:
    """A pump, and the connection of its peer, both open."""
    client, server = connections(**settings)
    pump = Pump(client)
    while to_server := b"".join(pump.buffers_to_send()):
        server.receive_data(to_server)
        pump.feed(server.data_to_send())
    assert pump.is_complete
    return pump, server


def drained(pump: Pump, size: int = 1 << 20) -> bytes:
    """All that can be received now."""
    received = bytearray()
    while data := pump.receive(size):
        received += data
    return bytes(received)


# The handshake ----------------------------------------------------------------------------------------------------


def test_a_handshake_of_two_pumps() -> None:
    client, server = map(Pump, connections())
    assert client.has_output
    assert not server.has_output
    assert not client.handshake_is_over()
    assert not client.is_complete
    carry(client, server)
    assert client.handshake_is_over()
    assert server.handshake_is_over()
    assert client.is_complete
    assert (client.available, client.error, client.request, client.is_ended) == (0, None, None, False)
    assert not client.has_output
    assert client.receive(1) is None
    assert client.receive_into(memoryview(bytearray(1))) is None


def test_a_failed_handshake_raises_its_error_each_time() -> None:
    client = Pump(connections()[0])
    client.buffers_to_send()
    client.feed(plain_alert(AlertDescription.handshake_failure))
    for ask in (client.handshake_is_over, client.check, lambda: client.receive(1), lambda: client.send(b"x")) * 2:
        with pytest.raises(AlertReceivedError, match="handshake_failure") as raised:
            ask()
        assert raised.value is client.error
    depth = 0
    trace = raised.value.__traceback__
    while trace is not None:
        depth, trace = depth + 1, trace.tb_next
    assert depth < 6


def test_the_alert_is_there_to_be_sent() -> None:
    client, server = connections(verify=PrivatePKI(store()), server_name="other.example")
    pump, peer = Pump(client), Pump(server)
    carry(pump, peer)
    assert isinstance(pump.error, CertificateError)
    assert isinstance(peer.error, AlertReceivedError)
    assert not pump.has_output


def test_the_end_of_the_transport_in_the_handshake() -> None:
    client = Pump(connections()[0])
    client.buffers_to_send()
    client.feed_eof()
    with pytest.raises(UnexpectedEOF, match="ServerHello"):
        client.handshake_is_over()


def test_a_handshake_that_this_side_has_given_up() -> None:
    client = Pump(connections()[0])
    client.buffers_to_send()
    client.abort()
    for ask in (client.handshake_is_over, lambda: client.receive(1)):
        with pytest.raises(LocalError, match="this side has ended"):
            ask()
    with pytest.raises(LocalError):
        client.send(b"x")


# Receiving ----------------------------------------------------------------------------------------------------------


SIZES = st.lists(st.integers(1, 40_000), min_size=1, max_size=8)
PIECES = st.lists(st.binary(max_size=300) | st.integers(1, 40_000).map(bytes), max_size=8)


@given(pieces=PIECES, chunk=st.integers(1, 50_000) | st.none(), sizes=SIZES, into=st.booleans(), eager=st.booleans())
def test_any_chunks_and_sizes_give_the_same_stream(
    pieces: list[bytes], chunk: int | None, sizes: list[int], into: bool, eager: bool
) -> None:
    client, server = established()
    pump = Pump(client)
    for piece in pieces:
        server.send_data(piece)
    server.close()
    received = bytearray()
    turn = 0

    def receive() -> bool:
        nonlocal turn
        size = sizes[turn % len(sizes)]
        turn += 1
        before = pump.available
        if into:
            buffer = bytearray(size)
            count = pump.receive_into(memoryview(buffer))
            data = None if count is None else bytes(buffer[:count])
        else:
            data = pump.receive(size)
        if data is None:
            return False
        assert len(data) <= size
        assert pump.available == before - len(data)
        assert bool(data) == bool(before)
        received.extend(data)
        return bool(data)

    for part in chunked(server.data_to_send(), chunk if chunk is None or chunk > 50 else chunk * 50):
        pump.feed(part)
        while eager and receive():
            pass
    while receive():
        pass
    assert received == b"".join(pieces)
    assert pump.is_ended
    assert pump.receive(1) == b""
    assert pump.receive_into(memoryview(bytearray(1))) == 0


@given(size=st.integers(1, 9000), count=st.integers(1, 30))
def test_small_pieces_are_joined(size: int, count: int) -> None:
    pump, server = open_pair()
    for _ in range(count):
        server.send_data(b"x" * size)
    pump.feed(server.data_to_send())
    calls = 0
    while pump.receive(1 << 20):
        calls += 1
    assert calls <= count * size // 8192 + 1


def test_one_piece_is_given_without_a_copy() -> None:
    seen: list[Any] = []
    client, server = established()
    pump = Pump(client, on_event=seen.append)
    server.send_data(b"x" * 16000)
    pump.feed(server.data_to_send())
    assert pump.receive(16000) is seen[0].data


# Errors come after data ---------------------------------------------------------------------------------------------


def drained_until_error(pump: Pump, size: int) -> bytes:
    """All data that comes before the error, and that one is raised."""
    received = bytearray()
    while pump.available:
        received += pump.receive(size) or b""
    with pytest.raises(TLSError) as raised:
        pump.receive(size)
    assert raised.value is pump.error
    return bytes(received)


@pytest.mark.parametrize("sizes", [1, 7, 1 << 20])
@pytest.mark.parametrize("chunk", [None, 1, 10])
def test_data_before_an_alert(chunk: int | None, sizes: int) -> None:
    pump, server = open_pair()
    server.send_data(b"the last words")
    server.abort(AlertDescription.internal_error)
    for part in chunked(server.data_to_send(), chunk):
        pump.feed(part)
    assert pump.error is not None
    assert drained_until_error(pump, sizes) == b"the last words"
    with pytest.raises(AlertReceivedError):
        pump.receive_into(memoryview(bytearray(1)))


def test_data_before_a_truncation() -> None:
    pump, server = open_pair()
    server.send_data(b"half of ")
    pump.feed(server.data_to_send())
    pump.feed_eof()
    assert drained_until_error(pump, 3) == b"half of "
    assert isinstance(pump.error, UnexpectedEOF)
    assert not pump.has_output


def test_data_before_a_record_that_is_broken() -> None:
    pump, server = open_pair()
    server.send_data(b"good")
    good = server.data_to_send()
    server.send_data(b"bad")
    bad = bytearray(server.data_to_send())
    bad[-1] ^= 1
    pump.feed(good + bad)
    assert pump.has_output
    assert drained_until_error(pump, 100) == b"good"
    assert isinstance(pump.error, PeerError)
    assert failures(server.receive_data(b"".join(pump.buffers_to_send())))


def test_data_before_our_own_abort_can_be_received() -> None:
    pump, server = open_pair()
    server.send_data(b"too late")
    pump.feed(server.data_to_send())
    pump.abort()
    assert pump.receive(100) == b"too late"
    with pytest.raises(LocalError, match="this side has ended"):
        pump.receive(100)
    (failed,) = server.receive_data(b"".join(pump.buffers_to_send()))[-1:]
    assert isinstance(failed, ConnectionFailed)


def test_the_end_is_the_end_whatever_comes_after_it() -> None:
    pump, server = open_pair()
    server.send_data(b"all")
    server.close()
    pump.feed(server.data_to_send() + b"no TLS any more")
    pump.feed(b"and more")
    pump.feed_eof()
    assert pump.receive(100) == b"all"
    assert pump.receive(100) == b""
    assert pump.receive(100) == b""
    assert pump.connection.trailing_data == b"no TLS any more"
    pump.send(b"this side is still open")
    assert server.receive_data(b"".join(pump.buffers_to_send())) == [DataReceived(b"this side is still open")]


# Requests -----------------------------------------------------------------------------------------------------------

DEFERRED = frozenset({VerificationRequest})


def waiting_for_verification() -> tuple[Pump, Pump]:
    pump = Pump(ClientConnection(client_config(defer=DEFERRED), "example.com"))
    peer = Pump(connections()[1])
    carry(pump, peer)
    assert isinstance(pump.request, VerificationRequest)
    return pump, peer


def test_a_request_waits_and_is_answered() -> None:
    pump, peer = waiting_for_verification()
    assert not pump.handshake_is_over()
    assert pump.receive(1) is None
    assert pump.request is not None
    pump.answer(pump.request, None)
    assert pump.request is None
    carry(pump, peer)
    assert pump.is_complete
    assert peer.is_complete


def test_a_wrong_answer_leaves_the_request_waiting() -> None:
    pump, _ = waiting_for_verification()
    request = pump.request
    assert request is not None
    with pytest.raises(LocalError, match="None to accept"):
        pump.answer(request, True)
    assert pump.request is request
    pump.answer(request, None)
    assert pump.is_complete
    with pytest.raises(LocalError, match="does not wait"):
        pump.answer(request, None)


def test_a_request_is_rejected() -> None:
    pump, peer = waiting_for_verification()
    error = CertificateError("not to my taste", alert=AlertDescription.certificate_unknown)
    assert pump.request is not None
    pump.reject(pump.request, error)
    assert (pump.request, pump.error) == (None, error)
    with pytest.raises(CertificateError, match="taste"):
        pump.handshake_is_over()
    peer.feed(b"".join(pump.buffers_to_send()))
    with pytest.raises(AlertReceivedError, match="certificate_unknown"):
        peer.handshake_is_over()


def test_a_request_rejected_with_a_mistake_of_our_own() -> None:
    pump, _ = waiting_for_verification()
    assert pump.request is not None
    with pytest.raises(LocalError, match="mine"):
        pump.reject(pump.request, LocalError("mine"))
    assert pump.request is None
    assert pump.error is not None
    assert pump.has_output


def test_a_peer_that_fails_while_a_request_waits() -> None:
    server_pump = Pump(connections()[1])
    pump = Pump(ClientConnection(client_config(defer=DEFERRED), "example.com"))
    server_pump.feed(b"".join(pump.buffers_to_send()))
    pump.feed(b"".join(server_pump.buffers_to_send()))
    request = pump.request
    assert request is not None
    pump.feed_eof()
    assert pump.request is None
    with pytest.raises(UnexpectedEOF, match="VerificationRequest"):
        pump.handshake_is_over()
    with pytest.raises(LocalError, match="failed"):
        pump.answer(request, None)


def test_a_signature_from_elsewhere() -> None:
    client, server = connections(defer=frozenset({SignatureRequest}))
    pump, peer = Pump(client), Pump(server)
    carry(pump, peer)
    request = peer.request
    assert isinstance(request, SignatureRequest)
    peer.answer(request, sign(request.scheme, credential().key, request.message))
    carry(pump, peer)
    assert pump.is_complete
    assert peer.is_complete


# Who watches --------------------------------------------------------------------------------------------------------


def test_events_are_told_in_order_and_data_too() -> None:
    seen: list[Event] = []
    client, server = connections()
    pump = Pump(client, on_event=seen.append)
    server.receive_data(b"".join(pump.buffers_to_send()))
    pump.feed(server.data_to_send())
    server.receive_data(b"".join(pump.buffers_to_send()))
    server.send_data(b"data")
    server.close()
    pump.feed(server.data_to_send())
    kinds = [type(event) for event in seen if not isinstance(event, SessionReceived)]
    assert kinds[-3:] == [HandshakeComplete, DataReceived, CloseNotifyReceived]
    assert pump.receive(10) == b"data"


def test_what_sending_leads_to_is_told_when_it_is_sent() -> None:
    seen: list[Event] = []
    pump = Pump(connections(trace=True)[0], on_event=seen.append)
    pump.buffers_to_send()
    assert [event.name for event in seen if isinstance(event, MessageSent)] == ["ClientHello"]


def test_an_observer_that_raises_loses_nothing() -> None:
    def complain(event: Event) -> None:
        if isinstance(event, DataReceived):
            raise RuntimeError("I don't like it")

    client, server = established()
    pump = Pump(client, on_event=complain)
    server.send_data(b"data")
    server.close()
    with pytest.raises(RuntimeError, match="like"):
        pump.feed(server.data_to_send())
    assert pump.receive(100) == b"data"
    assert pump.receive(100) == b""


def test_a_verifier_that_raises_ends_the_connection() -> None:
    class Broken(PrivatePKI):
        def verify(self, *arguments: Any, **named: Any) -> Any:
            raise RuntimeError("the verifier is broken")

    seen: list[Event] = []
    client, server = connections(verify=Broken(store()))
    pump = Pump(client, on_event=seen.append)
    server.receive_data(b"".join(pump.buffers_to_send()))
    with pytest.raises(RuntimeError, match="broken"):
        pump.feed(server.data_to_send())
    assert isinstance(seen[-1], ConnectionFailed)
    assert pump.has_output
    with pytest.raises(LocalError, match="RuntimeError"):
        pump.handshake_is_over()
    assert failures(server.receive_data(b"".join(pump.buffers_to_send())))


def test_the_key_log() -> None:
    lines: list[str] = []
    seen: list[Event] = []
    client, server = connections(key_log=True)
    pump = Pump(client, on_event=seen.append, write_key_log=lines.append)
    while to_server := b"".join(pump.buffers_to_send()):
        server.receive_data(to_server)
        pump.feed(server.data_to_send())
    assert lines == [event.line for event in seen if isinstance(event, SecretLogged)]
    assert {line.split(" ")[0] for line in lines} >= {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}


def test_a_hand_made_record_is_data() -> None:
    pump, server = open_pair()
    pump.feed(sealed(server, 23, b"padded", 100) + sealed(server, 23, b"", 5) + sealed(server, 23, b" data"))
    assert pump.available == 11
    assert drained(pump, 4) == b"padded data"
