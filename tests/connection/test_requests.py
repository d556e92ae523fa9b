"""Requests: the handshake stops, is answered later, and goes on with what came meanwhile."""

from typing import Any

import pytest

from memory import (
    NAME,
    Connection,
    client_config,
    connections,
    credential,
    established,
    failures,
    handshake,
    is_complete,
    message,
    plain_alert,
    record,
    sealed,
    server_config,
    shuttle,
    the_failure,
)
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    ConnectionState,
    Credential,
    DataReceived,
    HandshakeComplete,
    LocalError,
    PeerMisbehaviour,
    Request,
    ServerConnection,
    SignatureRequest,
    TLSError,
    UnexpectedEOF,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign
from sanstls.record.limits import MAX_KEPT_WHILE_WAITING

VERIFICATION = frozenset({VerificationRequest})
SIGNATURE = frozenset({SignatureRequest})
ROLES = ["client", "server"]


def the_request(events: list[Any]) -> Any:
    found = [event for event in events if isinstance(event, Request)]
    assert len(found) == 1, events
    return found[0]


def signed(request: SignatureRequest) -> bytes:
    return sign(request.scheme, credential().key, request.message, is_deterministic=True)


def waiting(role: str) -> tuple[Connection, Connection, Any]:
    """A connection that waits, its peer, and the request."""
    if role == "client":
        client, server = connections(defer=VERIFICATION)
        server.receive_data(client.data_to_send())
        return client, server, the_request(client.receive_data(server.data_to_send()))
    client, server = connections(defer=SIGNATURE)
    return server, client, the_request(server.receive_data(client.data_to_send()))


def good_answer(request: Any) -> Any:
    return None if isinstance(request, VerificationRequest) else signed(request)


@pytest.fixture(params=ROLES)
def wait(request: pytest.FixtureRequest) -> tuple[Connection, Connection, Any]:
    return waiting(request.param)


def test_a_deferred_verification() -> None:
    client, server, request = waiting("client")
    assert request.chain == credential().chain
    assert (request.server_name, request.role) == (NAME, "server")
    assert client.state is ConnectionState.WAITING
    assert is_complete(client.answer(request, None))
    assert is_complete(server.receive_data(client.data_to_send()))
    assert client.info.verified is None
    assert client.export_keying_material("x", 16) == server.export_keying_material("x", 16)


def test_a_deferred_signature() -> None:
    server, client, request = waiting("server")
    assert request.credential == credential()
    assert request.scheme in credential().signature_schemes
    assert request.message.startswith(b" " * 64 + b"TLS 1.3, server CertificateVerify\0")
    before = server.data_to_send()
    assert before  # the ServerHello need not wait
    assert server.answer(request, signed(request)) == []
    client.receive_data(before)
    assert is_complete(client.receive_data(server.data_to_send()))
    assert is_complete(server.receive_data(client.data_to_send()))


def test_a_credential_without_its_key_asks_for_signatures() -> None:
    keyless = Credential(credential().chain, None)
    client, server = connections(credentials=(keyless,))
    request = the_request(server.receive_data(client.data_to_send()))
    assert isinstance(request, SignatureRequest)
    assert request.credential is keyless
    server.answer(request, signed(request))
    client_events, server_events = handshake(client, server)
    assert is_complete(client_events)
    assert is_complete(server_events)


def test_an_answer_gives_the_same_bytes_as_no_request() -> None:
    server, _, request = waiting("server")
    server.answer(request, signed(request))
    client, other = connections()
    other.receive_data(client.data_to_send())
    # The records are cut elsewhere if something is taken in between, the bytes are the same if nothing is.
    assert server.data_to_send() == other.data_to_send()


def test_a_wrong_signature_is_found_by_the_client() -> None:
    server, client, request = waiting("server")
    server.answer(request, bytes(70))
    assert the_failure(client.receive_data(server.data_to_send())).kind is PeerMisbehaviour.WRONG_SIGNATURE


# Rejecting --------------------------------------------------------------------------------------------------------


def test_rejected_with_a_certificate_error() -> None:
    client, server, request = waiting("client")
    error = CertificateError("it was revoked", alert=AlertDescription.certificate_revoked)
    assert the_failure(client.reject(request, error)) is error
    told = the_failure(server.receive_data(client.data_to_send()))
    assert isinstance(told, AlertReceivedError)
    assert told.description == AlertDescription.certificate_revoked
    assert client.state is ConnectionState.FAILED


def test_rejected_without_an_error(wait: tuple[Connection, Connection, Any]) -> None:
    connection, peer, request = wait
    error = the_failure(connection.reject(request))
    assert isinstance(error, TLSError)
    assert type(request).__name__ in str(error)
    events = peer.receive_data(connection.data_to_send())
    assert the_failure(events).description == AlertDescription.handshake_failure


def test_rejected_with_a_local_error_fails_the_connection(wait: tuple[Connection, Connection, Any]) -> None:
    connection, _, request = wait
    with pytest.raises(LocalError, match="no thanks"):
        connection.reject(request, LocalError("no thanks"))
    assert connection.state is ConnectionState.FAILED


# Wrong answers ----------------------------------------------------------------------------------------------------


def test_answered_twice(wait: tuple[Connection, Connection, Any]) -> None:
    connection, _, request = wait
    connection.answer(request, good_answer(request))
    for act in (lambda: connection.answer(request, good_answer(request)), lambda: connection.reject(request)):
        with pytest.raises(LocalError, match="answered already"):
            act()
    assert connection.state is not ConnectionState.FAILED


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "value", [True, 0, "yes", b"", bytearray(b"x"), bytes(2**16)], ids=lambda value: repr(value)[:9]
)
def test_a_wrong_type_leaves_the_request_waiting(role: str, value: Any) -> None:
    connection, peer, request = waiting(role)
    with pytest.raises(LocalError):
        connection.answer(request, value)
    assert connection.state is ConnectionState.WAITING
    connection.answer(request, good_answer(request))
    shuttle(*((connection, peer) if role == "client" else (peer, connection)))
    assert connection.state is peer.state is ConnectionState.OPEN


def test_a_request_of_another_connection(wait: tuple[Connection, Connection, Any]) -> None:
    connection, _, request = wait
    _, _, other = waiting("client" if isinstance(request, VerificationRequest) else "server")
    with pytest.raises(LocalError):
        connection.answer(other, good_answer(other))
    assert connection.state is ConnectionState.WAITING


def test_answered_after_a_failure(wait: tuple[Connection, Connection, Any]) -> None:
    connection, _, request = wait
    error = the_failure(connection.receive_eof())
    for act in (lambda: connection.answer(request, good_answer(request)), lambda: connection.reject(request)):
        with pytest.raises(LocalError) as caught:
            act()
        assert caught.value.__cause__ is error


def test_answered_after_closing(wait: tuple[Connection, Connection, Any]) -> None:
    connection, _, request = wait
    connection.close()
    with pytest.raises(LocalError):
        connection.answer(request, good_answer(request))


# While it waits ---------------------------------------------------------------------------------------------------


def test_reading_makes_no_sense(wait: tuple[Connection, Connection, Any]) -> None:
    connection, _, request = wait
    assert not connection.wants_data
    connection.answer(request, good_answer(request))
    assert connection.wants_data


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
def test_what_comes_meanwhile_is_kept(chunk: int) -> None:
    """The rest of the flight and data behind it come while the client waits for the verdict."""
    client, server = connections(defer=VERIFICATION)
    server.receive_data(client.data_to_send())
    flight = server.data_to_send() + sealed(server, 23, b"0.5-RTT") + sealed(server, 23, b"more")
    events: list[Any] = []
    for start in range(0, len(flight), chunk):
        events += client.receive_data(flight[start : start + chunk])
    assert not is_complete(events)
    more = client.answer(the_request(events), None)
    assert [type(event) for event in more] == [HandshakeComplete, DataReceived, DataReceived]
    assert more[1] == DataReceived(b"0.5-RTT")
    assert is_complete(server.receive_data(client.data_to_send()))


def test_what_is_wrong_in_the_kept_bytes_comes_with_the_answer() -> None:
    client, server = connections(defer=VERIFICATION)
    server.receive_data(client.data_to_send())
    request = the_request(client.receive_data(server.data_to_send()))
    assert client.receive_data(sealed(server, 23, b"fine") + record(23, bytes(40))) == []
    events = client.answer(request, None)
    assert [type(event) for event in events[:2]] == [HandshakeComplete, DataReceived]
    assert the_failure(events).kind is PeerMisbehaviour.BAD_RECORD_MAC


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("chunk", [10_000, 300_000])
def test_too_much_while_waiting(role: str, chunk: int) -> None:
    connection, _, request = waiting(role)
    kept_before = connection._records.messages.kept + connection._records.reader.kept
    room = MAX_KEPT_WHILE_WAITING - kept_before
    data = b"".join(record(23, bytes(2**14)) for _ in range(20))
    if chunk < room:
        for start in range(0, room, chunk):
            assert connection.receive_data(data[start : min(start + chunk, room)]) == []
        assert connection.state is ConnectionState.WAITING
        events = connection.receive_data(b"\0")
    else:
        events = connection.receive_data(data)
    assert the_failure(events).kind is PeerMisbehaviour.TOO_MUCH_WHILE_WAITING
    assert connection.pending
    with pytest.raises(LocalError):
        connection.answer(request, good_answer(request))


def test_an_end_while_waiting(wait: tuple[Connection, Connection, Any]) -> None:
    connection, _, request = wait
    error = the_failure(connection.receive_eof())
    assert isinstance(error, UnexpectedEOF)
    assert type(request).__name__ in str(error)


def test_a_plain_alert_ends_the_servers_wait() -> None:
    server, _, _ = waiting("server")
    error = the_failure(server.receive_data(plain_alert(AlertDescription.illegal_parameter)))
    assert error.description == AlertDescription.illegal_parameter
    assert "SignatureRequest" in str(error)


def test_a_protected_alert_ends_the_clients_wait() -> None:
    """The server fails in the middle of its flight, so its alert comes under the keys that the client has."""
    client, server = connections()
    keyless = Credential(credential().chain, None)
    client = ClientConnection(client_config(defer=VERIFICATION), NAME)
    server = ServerConnection(server_config(credentials=(keyless,)))
    request = the_request(server.receive_data(client.data_to_send()))
    the_request(client.receive_data(server.data_to_send()))  # up to the Certificate
    server.reject(request)
    error = the_failure(client.receive_data(server.data_to_send()))
    assert isinstance(error, AlertReceivedError)
    assert "VerificationRequest" in str(error)


def test_aborting_while_waiting(wait: tuple[Connection, Connection, Any]) -> None:
    connection, peer, _ = wait
    connection.abort(AlertDescription.internal_error)
    events = peer.receive_data(connection.data_to_send())
    assert the_failure(events).description == AlertDescription.internal_error


def test_a_message_that_must_not_come_while_waiting_is_found() -> None:
    client, server, request = waiting("client")
    client.receive_data(sealed(server, 22, message(0xFE, b"")))
    assert failures(client.answer(request, None))


def test_a_verifier_that_breaks_is_seen() -> None:
    class Broken:
        def verify(self, chain: Any, **_: Any) -> Any:
            raise ZeroDivisionError

    client, server = connections(verify=Broken())
    server.receive_data(client.data_to_send())
    with pytest.raises(ZeroDivisionError):
        client.receive_data(server.data_to_send())
    assert client.state is ConnectionState.FAILED
    assert the_failure(client.receive_data(b"")).alert is None
    events = server.receive_data(client.data_to_send())
    assert the_failure(events).description == AlertDescription.internal_error


def test_requests_are_compared_by_identity() -> None:
    (_, _, one), (_, _, other) = waiting("client"), waiting("client")
    assert one.chain == other.chain
    assert one != other


def test_nothing_waits_in_an_open_connection() -> None:
    client, _ = established()
    with pytest.raises(LocalError):
        client.answer(VerificationRequest((), None, "server"), None)
