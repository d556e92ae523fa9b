"""Requests in TLS 1.2: the handshake stops, is answered later, and goes on with what came meanwhile."""

from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import padding

from connection12.peers import KEY_TRANSPORT, MUTUAL, check_over, client12, credential12, root, server12, verifier
from identity.pki import rsa_key
from memory import Connection, is_complete, message, plain_alert, record, records, server_config, shuttle, the_failure
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ConnectionState,
    Credential,
    HandshakeComplete,
    LocalError,
    MessageSent,
    PeerMisbehaviour,
    Request,
    SignatureRequest,
    SignatureScheme,
    TLSError,
    UnexpectedEOF,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign
from sanstls.events import CredentialRequest, PremasterDecryptionRequest
from sanstls.record.limits import MAX_KEPT_WHILE_WAITING

OWN = MUTUAL["client"]["credentials"][0]


class Case(NamedTuple):
    """Where a request comes: the role that is asked, and after how many flights."""

    role: str
    kind: type[Request[Any]]
    flights: int
    client: dict[str, Any]
    server: dict[str, Any]


CASES = {
    "verification of the server": Case("client", VerificationRequest, 2, {}, {}),
    "verification of the server, RSA": Case(
        "client", VerificationRequest, 2, KEY_TRANSPORT["client"], KEY_TRANSPORT["server"]
    ),
    "verification of the client": Case("server", VerificationRequest, 3, MUTUAL["client"], MUTUAL["server"]),
    "signature of the server": Case("server", SignatureRequest, 1, {}, {}),
    "signature of the client": Case("client", SignatureRequest, 2, MUTUAL["client"], MUTUAL["server"]),
    "credential of the client": Case("client", CredentialRequest, 2, MUTUAL["client"], MUTUAL["server"]),
    "decryption": Case("server", PremasterDecryptionRequest, 3, KEY_TRANSPORT["client"], KEY_TRANSPORT["server"]),
}
each_case = pytest.mark.parametrize("name", CASES)


def the_request(events: list[Any]) -> Any:
    found = [event for event in events if isinstance(event, Request)]
    assert len(found) == 1, events
    return found[0]


def good_answer(request: Any) -> Any:
    if isinstance(request, SignatureRequest):
        assert request.credential.key is not None
        return sign(request.scheme, request.credential.key, request.message, is_deterministic=True)
    if isinstance(request, CredentialRequest):
        return OWN
    if isinstance(request, PremasterDecryptionRequest):
        return rsa_key().decrypt(request.encrypted, padding.PKCS1v15())
    return None


def waiting(name: str, chunk: int | None = None, **settings: Any) -> tuple[Connection, Connection, Any]:
    """A connection that waits, its peer, and the request."""
    case = CASES[name]
    deferred = {"defer": frozenset({case.kind})} | settings
    client = client12(**(case.client | (deferred if case.role == "client" else {})))
    server = server12(**(case.server | (deferred if case.role == "server" else {})))
    events: list[Any] = []
    for number in range(case.flights):
        source, target = (client, server) if number % 2 == 0 else (server, client)
        data = source.data_to_send()
        for start in range(0, len(data), chunk or len(data)):
            told = target.receive_data(data[start : start + (chunk or len(data))])
            events += told if number == case.flights - 1 else []
    victim, peer = (client, server) if case.role == "client" else (server, client)
    assert victim.state is ConnectionState.WAITING
    return victim, peer, the_request(events)


def finish(name: str, victim: Connection, peer: Connection) -> tuple[list[Any], list[Any]]:
    """Let both talk to the end: what victim and peer told."""
    if CASES[name].role == "client":
        return shuttle(victim, peer)
    peer_events, victim_events = shuttle(peer, victim)
    return victim_events, peer_events


@pytest.mark.parametrize("chunk", [None, 1, 50])
@each_case
def test_answered_later(name: str, chunk: int | None) -> None:
    victim, peer, request = waiting(name, chunk)
    assert not victim.wants_data
    assert type(request) is CASES[name].kind
    events = victim.answer(request, good_answer(request))
    more, peer_events = finish(name, victim, peer)
    assert is_complete(events + more)
    assert is_complete(peer_events)
    assert victim.export_keying_material("x", 16) == peer.export_keying_material("x", 16)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].client is not KEY_TRANSPORT["client"]])
def test_an_answer_gives_the_same_bytes_as_no_request(name: str) -> None:
    """But for RSA key transport, whose encryption is at random."""
    case = CASES[name]
    victim, peer, request = waiting(name)
    victim.answer(request, good_answer(request))
    # The same again with nothing deferred.
    client, server = client12(**case.client), server12(**case.server)
    for number in range(case.flights):
        source, target = (client, server) if number % 2 == 0 else (server, client)
        target.receive_data(source.data_to_send())
    assert victim.data_to_send() == (client if case.role == "client" else server).data_to_send() != b""
    assert peer.state is not ConnectionState.FAILED


# What is asked ----------------------------------------------------------------------------------------------------


def test_the_verification_of_the_server() -> None:
    case = CASES["verification of the server"]
    client = client12(defer=frozenset({case.kind}))
    server = server12(credentials=(credential12().stapled(b"response"),))
    server.receive_data(client.data_to_send())
    request = the_request(client.receive_data(server.data_to_send()))
    assert request.chain == credential12().chain
    assert (request.server_name, request.role, request.ocsp_response) == ("example.com", "server", b"response")
    client.answer(request, None)
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN
    assert client.info.verified is None


def test_the_verification_of_the_client() -> None:
    _, _, request = waiting("verification of the client")
    assert request.chain == OWN.chain
    assert (request.role, request.ocsp_response) == ("client", b"")


def test_the_signature_of_the_server() -> None:
    """RFC 8422 5.4: both randoms and the parameters, as they go out behind it."""
    victim, _, request = waiting("signature of the server")
    assert request.credential is credential12()
    assert request.scheme is SignatureScheme.ecdsa_secp256r1_sha256
    assert victim.data_to_send()  # what comes before need not wait
    victim.answer(request, good_answer(request))
    sent = victim.data_to_send()
    params = request.message[64:]
    assert params[:3] == b"\3\0\x1d"
    assert records(sent)[0][9:].startswith(params)


def test_the_signature_of_the_client() -> None:
    """RFC 5246 7.4.8: all messages so far, and not their hash."""
    victim, _, request = waiting("signature of the client", trace=True)
    assert request.credential is OWN
    assert request.message[0] == 1
    assert OWN.chain[0] in request.message
    assert credential12().chain[0] in request.message
    assert victim.state is ConnectionState.WAITING


def test_what_the_server_accepts() -> None:
    _, peer, request = waiting("credential of the client")
    assert isinstance(request, CredentialRequest)
    assert request.signature_schemes == server_config().schemes12
    (authority,) = request.authorities
    assert authority == root().certificate.subject.public_bytes()
    assert peer.state is ConnectionState.HANDSHAKE


def test_no_credential_after_all() -> None:
    victim, peer, request = waiting("credential of the client")
    victim.answer(request, None)
    _, peer_events = finish("credential of the client", victim, peer)
    assert isinstance(the_failure(peer_events), CertificateError)  # this server requires one


@pytest.mark.parametrize("kind", ["ed448", "rsa"])
def test_a_credential_that_the_configuration_does_not_have(kind: str) -> None:
    victim, peer, request = waiting("credential of the client", credentials=())
    own = credential12(kind, name="client.test")
    victim.answer(request, own)
    finish("credential of the client", victim, peer)
    assert peer.info.peer_chain == own.chain
    assert victim.info.credential is own


def test_a_credential_that_the_server_does_not_accept() -> None:
    case = CASES["credential of the client"]
    client = client12(defer=frozenset({case.kind}))
    server = server12(verify=verifier(), signature_schemes=(SignatureScheme.ecdsa_secp256r1_sha256,))
    server.receive_data(client.data_to_send())
    request = the_request(client.receive_data(server.data_to_send()))
    with pytest.raises(LocalError, match="accepts ecdsa_secp256r1_sha256"):
        client.answer(request, credential12("ed25519", name="client.test"))
    own = credential12("p256", name="client.test")
    client.answer(request, own)
    server.receive_data(client.data_to_send())
    assert server.info.peer_chain == own.chain


def check_told(victim: Connection, peer: Connection, error: TLSError) -> None:
    """The peer learns of the error's alert."""
    told = the_failure(peer.receive_data(victim.data_to_send()))
    assert isinstance(told, AlertReceivedError)
    assert told.description == error.alert
    check_over(victim, error)


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_credential_without_its_key_asks_for_signatures(role: str) -> None:
    name = f"signature of the {role}"
    own = OWN if role == "client" else credential12()
    keyless = Credential(own.chain, None)
    victim, peer, request = waiting(name, credentials=(keyless,), defer=frozenset())
    assert request.credential is keyless
    assert own.key is not None
    victim.answer(request, sign(request.scheme, own.key, request.message))
    finish(name, victim, peer)
    assert victim.state is peer.state is ConnectionState.OPEN


def test_everything_deferred() -> None:
    every = frozenset({VerificationRequest, SignatureRequest, CredentialRequest, PremasterDecryptionRequest})
    for settings in (MUTUAL, {side: MUTUAL[side] | KEY_TRANSPORT[side] for side in ("client", "server")}):
        client = client12(**settings["client"], defer=every)
        server = server12(**settings["server"], defer=every)
        asked = []
        for _ in range(8):
            for source, target in ((client, server), (server, client)):
                waits = list(target.receive_data(source.data_to_send()))
                while waits:
                    event = waits.pop(0)
                    if isinstance(event, Request):
                        asked.append(type(event).__name__)
                        waits += target.answer(event, good_answer(event))
        assert client.state is server.state is ConnectionState.OPEN
        is_key_transport = "legacy_rsa_key_transport" in settings["client"]
        assert asked == [
            *([] if is_key_transport else ["SignatureRequest"]),
            "VerificationRequest",
            "CredentialRequest",
            "SignatureRequest",
            "VerificationRequest",
            *(["PremasterDecryptionRequest"] if is_key_transport else []),
        ]


# Wrong answers ----------------------------------------------------------------------------------------------------


@each_case
def test_a_wrong_type_leaves_the_request_waiting(name: str) -> None:
    victim, peer, request = waiting(name)
    for value in (True, 0, "yes", bytearray(b"x"), object()):
        with pytest.raises(LocalError):
            victim.answer(request, value)
    assert victim.state is ConnectionState.WAITING
    victim.answer(request, good_answer(request))
    finish(name, victim, peer)
    assert victim.state is peer.state is ConnectionState.OPEN


@each_case
def test_answered_twice(name: str) -> None:
    victim, _, request = waiting(name)
    victim.answer(request, good_answer(request))
    for act in (lambda: victim.answer(request, good_answer(request)), lambda: victim.reject(request)):
        with pytest.raises(LocalError, match="answered already"):
            act()
    assert victim.state is not ConnectionState.FAILED


@each_case
def test_rejected(name: str) -> None:
    victim, peer, request = waiting(name)
    error = the_failure(victim.reject(request))
    assert type(request).__name__ in str(error)
    assert error.alert is AlertDescription.handshake_failure
    check_told(victim, peer, error)


@each_case
def test_rejected_with_an_error(name: str) -> None:
    victim, peer, request = waiting(name)
    error = CertificateError("it was revoked", alert=AlertDescription.certificate_revoked)
    assert the_failure(victim.reject(request, error)) is error
    check_told(victim, peer, error)


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_wrong_signature_is_found_by_the_peer(role: str) -> None:
    name = f"signature of the {role}"
    victim, peer, request = waiting(name)
    victim.answer(request, bytes(70))
    victim_events, peer_events = finish(name, victim, peer)
    error = the_failure(peer_events)
    assert error.kind is PeerMisbehaviour.WRONG_SIGNATURE
    assert the_failure(victim_events).description == error.alert


# While it waits ---------------------------------------------------------------------------------------------------


@each_case
def test_an_end_while_waiting(name: str) -> None:
    victim, _, request = waiting(name)
    victim.data_to_send()
    error = the_failure(victim.receive_eof())
    assert isinstance(error, UnexpectedEOF)
    assert type(request).__name__ in str(error)
    for act in (lambda: victim.answer(request, good_answer(request)), lambda: victim.reject(request)):
        with pytest.raises(LocalError) as caught:
            act()
        assert caught.value.__cause__ is error
    check_over(victim, error)


@each_case
def test_aborted_while_waiting(name: str) -> None:
    victim, peer, request = waiting(name)
    victim.abort(AlertDescription.access_denied)
    assert the_failure(peer.receive_data(victim.data_to_send())).description == AlertDescription.access_denied
    with pytest.raises(LocalError):
        victim.answer(request, good_answer(request))


BEFORE_THE_PEERS_KEYS = [name for name in CASES if CASES[name].flights < 3]


@pytest.mark.parametrize("name", BEFORE_THE_PEERS_KEYS)
def test_an_alert_ends_the_wait(name: str) -> None:
    """Where nothing else has come before it, behind which it has to wait."""
    victim, _, request = waiting(name)
    error = the_failure(victim.receive_data(plain_alert(AlertDescription.access_denied)))
    assert isinstance(error, AlertReceivedError)
    assert type(request).__name__ in str(error)


@each_case
def test_too_much_while_waiting(name: str) -> None:
    victim, _, request = waiting(name)
    victim.data_to_send()
    kept = victim._records.messages.kept + victim._records.reader.kept
    assert victim.receive_data(record(22, bytes(2**14)) * 2) == []
    more = MAX_KEPT_WHILE_WAITING - kept - 2 * (5 + 2**14)
    assert victim.receive_data(bytes(more)) == []
    assert victim.state is ConnectionState.WAITING
    error = the_failure(victim.receive_data(b"\0"))
    assert error.kind is PeerMisbehaviour.TOO_MUCH_WHILE_WAITING
    assert victim.pending
    with pytest.raises(LocalError):
        victim.answer(request, good_answer(request))


@each_case
def test_what_is_wrong_in_what_was_kept_comes_with_the_answer(name: str) -> None:
    victim, _, request = waiting(name)
    assert victim.receive_data(record(22, message(0xFE, b""))) == []
    events = victim.answer(request, good_answer(request))
    error = the_failure(events)
    if CASES[name].flights == 3:  # it came behind the whole flight, where everything has to be protected
        assert error.kind is PeerMisbehaviour.BAD_RECORD_MAC
        assert isinstance(events[0], HandshakeComplete)
    else:
        assert error.kind is PeerMisbehaviour.UNEXPECTED_MESSAGE


def test_what_has_to_wait_for_the_answer() -> None:
    victim, _, request = waiting("signature of the client", trace=True)
    sent = [e.name for e in victim.answer(request, good_answer(request)) if isinstance(e, MessageSent)]
    assert sent == ["CertificateVerify", "ChangeCipherSpec", "Finished"]
