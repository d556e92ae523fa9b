"""Resumption in TLS 1.2 (RFC 5246 7.3 figure 2, RFC 5077, RFC 7627 5.3), in memory: by ticket, by ID, and refused."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from connection12.peers import (
    CCS,
    KEY_TRANSPORT,
    MUTUAL,
    TLS12,
    TLS13,
    Item,
    client12,
    credential12,
    hello_with,
    instead,
    lying,
    refused,
    scripted,
    server12,
    server_hello_with,
    verifier,
    with_extensions,
)
from identity.pki import authority
from memory import NAME, NOW, client_config, server_config, shuttle, the_failure
from sanstls import (
    CertificateError,
    CertificateReceived,
    CipherSuite,
    ClientConnection,
    ConnectionState,
    DangerouslyAcceptAny,
    DataReceived,
    HandshakeComplete,
    KeysDerived,
    LocalError,
    MessageReceived,
    PeerMisbehaviour,
    PrivatePKI,
    SecretLogged,
    ServerConnection,
    Session,
    SessionIssued,
    SessionLookupRequest,
    SessionReceived,
    TicketKeyRing,
    TrustStore,
    VerificationRequest,
)
from sanstls.wire.extensions import SessionTicket
from sanstls.wire.messages import ClientHello, Finished, ServerHello
from sanstls.wire.messages12 import NewSessionTicket12
from sanstls.wire.registries import ExtensionType

P = PeerMisbehaviour
LOOKED_UP = frozenset({SessionLookupRequest})
RING = TicketKeyRing.generate()
BOTH = (TLS13, TLS12)


class Service:
    """A server of many connections, and a store of sessions if it is to look them up."""

    def __init__(self, **settings: Any) -> None:
        self.config = server_config(**({"versions": (TLS12,), "credentials": (credential12(),)} | settings))
        self.store: dict[bytes, Session] = {}
        self.asked: list[bytes] = []

    def connection(self, **changes: Any) -> ServerConnection:
        return ServerConnection(replace(self.config, **changes) if changes else self.config)

    def talk(self, client: ClientConnection, server: ServerConnection | None = None) -> tuple[list[Any], list[Any]]:
        """Until nobody has anything to say; what each side told."""
        server = server or self.connection()
        client_events, server_events = shuttle(client, server)
        while server.state is ConnectionState.WAITING:
            request = server_events[-1]
            assert isinstance(request, SessionLookupRequest)
            self.asked.append(request.identity)
            server_events += server.answer(request, self.store.get(request.identity))
            more = shuttle(client, server)
            client_events += more[0]
            server_events += more[1]
        for event in server_events:
            if isinstance(event, SessionIssued):
                self.store[event.identity] = event.session
        return client_events, server_events


def received(events: list[Any]) -> list[Session]:
    return [event.session for event in events if isinstance(event, SessionReceived)]


def first_session(service: Service, **settings: Any) -> Session:
    """What a full handshake leaves with the client."""
    client = client12(**settings)
    events, _ = service.talk(client)
    assert not client.info.resumed
    (session,) = received(events)
    return session


def returning(session: Session, seed: object = "again", **settings: Any) -> ClientConnection:
    config = client_config(seed, **({"versions": (TLS12,), "verify": verifier()} | settings))
    return ClientConnection(config, session.server_name, session=session)


def check_resumed(client: ClientConnection, service: Service, session: Session, server: Any = None) -> Any:
    """It is the abbreviated handshake, and both know it. Gives both sides' events."""
    server = server or service.connection()
    client_events, server_events = service.talk(client, server)
    assert client.state is server.state is ConnectionState.OPEN, (client_events, server_events)
    assert client.info.resumed
    assert server.info.resumed
    assert client.info.peer_chain == session.peer_chain != ()
    assert client.info.cipher_suite == server.info.cipher_suite == session.cipher_suite
    assert client.info.group is server.info.group is None
    assert client.info.extended_master_secret
    assert not any(isinstance(event, CertificateReceived) for event in client_events)
    assert client.channel_binding("tls-unique") == server.channel_binding("tls-unique")
    exported = client.export_keying_material("EXPORTER-test", 32)
    assert exported == server.export_keying_material("EXPORTER-test", 32)
    for sender, receiver in ((client, server), (server, client)):
        sender.send_data(b"again")
        events = receiver.receive_data(sender.data_to_send())
        assert [event.data for event in events if isinstance(event, DataReceived)] == [b"again"]
    return client_events, server_events


def check_full(client: ClientConnection, service: Service, server: Any = None) -> Any:
    server = server or service.connection()
    events = service.talk(client, server)
    assert client.state is server.state is ConnectionState.OPEN, events
    assert not client.info.resumed
    assert not server.info.resumed
    assert any(isinstance(event, CertificateReceived) for event in events[0])
    return events


# By ticket and by ID ----------------------------------------------------------------------------------------------

TICKETS: dict[str, Any] = {}
STORED: dict[str, Any] = {"defer": LOOKED_UP}
each_kind = pytest.mark.parametrize("kind", [TICKETS, STORED], ids=["ticket", "session ID"])
each_versions = pytest.mark.parametrize("versions", [(TLS12,), BOTH], ids=["1.2 alone", "1.3 offered too"])


@each_kind
@each_versions
def test_it_is_resumed(kind: dict[str, Any], versions: Any) -> None:
    service = Service(**kind)
    session = first_session(service, versions=versions)
    assert bool(session.ticket) == (kind is TICKETS)
    assert bool(session.session_id) == (kind is STORED)
    assert len(service.store) == (kind is STORED)
    for attempt in range(3):
        check_resumed(returning(session, attempt, versions=versions), service, session)
    assert len(service.asked) == (0 if kind is TICKETS else 3 + (versions is BOTH))


@each_kind
@pytest.mark.parametrize("suite", sorted(KEY_TRANSPORT["client"]["cipher_suites"]), ids=str)
def test_a_session_of_rsa_key_transport(kind: dict[str, Any], suite: CipherSuite) -> None:
    service = Service(**(KEY_TRANSPORT["server"] | kind))
    session = first_session(service, **KEY_TRANSPORT["client"])
    assert session.cipher_suite == suite
    check_resumed(returning(session, **KEY_TRANSPORT["client"]), service, session)
    # Without the option it is not even offered.
    client = returning(session)
    hello = ClientHello.parse(client.data_to_send()[9:])
    assert hello.extensions.get(SessionTicket) == SessionTicket(b"")


@each_kind
def test_a_session_that_was_written_down(kind: dict[str, Any]) -> None:
    service = Service(**kind)
    session = first_session(service)
    service.store = {identity: Session.from_bytes(kept.to_bytes()) for identity, kept in service.store.items()}
    again = Session.from_bytes(session.to_bytes())
    assert again.verified_by is None
    check_resumed(returning(again), service, again)


def test_every_secret_is_new_but_the_master_secret() -> None:
    service = Service(trace=True, key_log=True)
    session = first_session(service)
    client = returning(session, trace=True, key_log=True)
    client_events, server_events = check_resumed(client, service, session)
    for events in (client_events, server_events):
        names = [event.name for event in events if isinstance(event, KeysDerived)]
        assert names == ["master_secret", "key_block"]
        (line,) = [event.line for event in events if isinstance(event, SecretLogged)]
        assert line.endswith(session.secret.hex())
    prints = [
        [e.fingerprint for e in events if isinstance(e, KeysDerived)] for events in (client_events, server_events)
    ]
    assert prints[0] == prints[1]
    messages = [event.name for event in client_events if isinstance(event, MessageReceived)]
    assert messages == ["ServerHello", "ChangeCipherSpec", "Finished"]
    kinds = [type(event) for event in client_events]
    assert kinds.count(HandshakeComplete) == 1


@each_kind
@pytest.mark.parametrize("chunk", [1, 7])
def test_in_any_chunks(kind: dict[str, Any], chunk: int) -> None:
    service = Service(**kind)
    session = first_session(service)
    whole, cut = (returning(session, "same") for _ in range(2))
    events = service.talk(whole)[0]
    server = service.connection()
    told, asked = shuttle(cut, server, chunk)
    if server.state is ConnectionState.WAITING:
        server.answer(asked[-1], service.store[session.session_id])
        told += shuttle(cut, server, chunk)[0]
    assert [type(event) for event in told] == [type(event) for event in events]
    assert cut.info.resumed


def test_alpn_is_negotiated_anew() -> None:
    service = Service(alpn=("h2", "http/1.1"))
    session = first_session(service, alpn=("h2",))
    client = returning(session, alpn=("http/1.1",))
    check_resumed(client, service, session)
    assert client.info.alpn == "http/1.1"


def test_only_extended_master_secrets_are_kept() -> None:
    """RFC 7627 5.4."""
    for kind in (TICKETS, STORED):
        service = Service(**kind)
        client = lying(client12, hello_with(without=[ExtensionType.extended_master_secret]))
        events = service.talk(client)
        assert not client.info.extended_master_secret
        assert received(events[0]) == []
        assert not service.store
    session = replace(first_session(Service(ticket_keys=RING)), extended_master_secret=False)
    check_full(returning(session), Service(ticket_keys=RING))


def test_a_server_that_wants_no_sessions() -> None:
    for kind in (TICKETS, STORED):
        service = Service(session_lifetime=0, **kind)
        assert received(service.talk(client12())[0]) == []
        assert not service.store


def test_a_client_that_knows_no_tickets_gets_none() -> None:
    client = lying(client12, hello_with(without=[ExtensionType.session_ticket]))
    assert received(Service().talk(client)[0]) == []


# Whether it is offered --------------------------------------------------------------------------------------------


def offers(client: ClientConnection) -> bool:
    hello = ClientHello.parse(client.data_to_send()[9:])
    ticket = hello.extensions.get(SessionTicket)
    return ticket is not None and bool(ticket.ticket)


def test_what_is_offered_and_what_not() -> None:
    session = first_session(Service())
    assert session.lifetime == 7200
    assert offers(returning(session))
    assert not offers(returning(session, clock=lambda: session.created + 7200))
    assert not offers(returning(session, clock=lambda: session.created - 1))
    assert not offers(returning(replace(session, not_after=session.created - 1)))
    assert not offers(returning(replace(session, peer_chain=())))
    assert not offers(returning(session, cipher_suites=(CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,)))
    assert not offers(returning(session, versions=(TLS13,)))


def test_another_verifier_looks_at_the_certificates_again() -> None:
    session = first_session(Service())
    same_roots = PrivatePKI(verifier().store)
    others = PrivatePKI(TrustStore.from_pem(authority().certificate.public_bytes(Encoding.PEM)))
    assert offers(returning(session, verify=same_roots))
    assert not offers(returning(session, verify=others))
    # A session that was accepted without verification is worth nothing to who verifies.
    careless = first_session(Service(), verify=DangerouslyAcceptAny())
    assert offers(returning(careless, verify=DangerouslyAcceptAny()))
    assert not offers(returning(careless, verify=others))


def test_a_session_ends_with_the_certificate() -> None:
    """RFC 9846 4.7.1 says it of TLS 1.3: no longer than the certificates it rests on."""
    service = Service()
    session = first_session(service)
    assert session.not_after is not None
    deferred = first_deferred(service)
    assert deferred.not_after == session.not_after


def first_deferred(service: Service) -> Session:
    client = client12(defer=frozenset({VerificationRequest}))
    server = service.connection()
    events, _ = shuttle(client, server)
    client.answer(events[-1], None)
    (session,) = received(shuttle(client, server)[0])
    return session


def test_who_decides_about_servers_is_asked_again() -> None:
    service = Service()
    session = first_deferred(service)
    for is_accepted in (True, False):
        client = returning(session, defer=frozenset({VerificationRequest}))
        server = service.connection()
        events, _ = shuttle(client, server)
        request = events[-1]
        assert isinstance(request, VerificationRequest)
        assert request.chain == session.peer_chain
        if is_accepted:
            client.answer(request, None)
            shuttle(client, server)
            assert client.info.resumed
            assert server.state is ConnectionState.OPEN
        else:
            told = client.reject(request, CertificateError("not this one"))
            assert the_failure(told).alert == the_failure(shuttle(client, server)[1]).description


@pytest.mark.parametrize("session", [b"session", object()], ids=["bytes", "object"])
def test_something_else_than_a_session(session: Any) -> None:
    with pytest.raises(LocalError, match="must be a Session"):
        ClientConnection(client_config(), NAME, session=session)


def test_a_session_with_somebody_else() -> None:
    session = first_session(Service())
    for name in ("other.example", None):
        with pytest.raises(LocalError, match="the session is one with"):
            ClientConnection(client_config(), name, session=session)
    assert ClientConnection(client_config(), NAME.upper() + ".", session=session) is not None


# Whether it is taken ----------------------------------------------------------------------------------------------

NOT_TAKEN: dict[str, dict[str, Any]] = {
    "other keys": {"ticket_keys": TicketKeyRing.generate()},
    "too late": {"clock": lambda: NOW.timestamp() + 7200},
    "not any more": {"session_lifetime": 0},
    "another suite": {"cipher_suites": (CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,)},
    "certificates are required now": {"verify": verifier()},
}


@pytest.mark.parametrize("changes", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_a_session_that_is_not_taken_leads_to_a_full_handshake(changes: dict[str, Any]) -> None:
    service = Service()
    session = first_session(service)
    check_full(returning(session, **MUTUAL["client"]), service, service.connection(**changes))


def test_a_session_under_another_name_is_not_taken() -> None:
    """RFC 6066 3: the server must not resume if the name differs."""
    service = Service(credentials=(credential12(), credential12(name="other.example")))
    session = first_session(service)
    client = returning(replace(session, server_name="other.example"))
    check_full(client, service)


def test_an_unknown_session_id_leads_to_a_full_handshake() -> None:
    service = Service(**STORED)
    session = first_session(service)
    service.store.clear()
    check_full(returning(session), service)
    assert service.asked == [session.session_id]


@each_kind
def test_a_session_of_another_version_is_not_taken(kind: dict[str, Any]) -> None:
    service = Service(ticket_keys=RING, **kind)
    session = first_session(service)
    other = replace(session, version=TLS13)
    service.store = dict.fromkeys(service.store, other)
    ticket = RING.seal(other) or b""
    check_full(returning(replace(session, ticket=ticket if session.ticket else b"")), service)


def test_a_wrong_answer_to_a_look_up() -> None:
    service = Service(**STORED)
    session = first_session(service)
    client, server = returning(session), service.connection()
    _, events = shuttle(client, server)
    with pytest.raises(LocalError, match="answered with a Session"):
        server.answer(events[-1], b"session")
    assert server.state is ConnectionState.WAITING
    server.answer(events[-1], None)
    shuttle(client, server)
    assert not client.info.resumed


# Clients' certificates --------------------------------------------------------------------------------------------


@each_kind
def test_a_client_is_known_again(kind: dict[str, Any]) -> None:
    service = Service(**(MUTUAL["server"] | kind))
    session = first_session(service, **MUTUAL["client"])
    client, server = returning(session), service.connection()
    check_resumed(client, service, session, server)
    assert server.info.peer_chain == MUTUAL["client"]["credentials"][0].chain
    assert server.info.verified is not None


def test_a_client_whose_certificate_is_not_accepted_any_more() -> None:
    service = Service(**MUTUAL["server"])
    session = first_session(service, **MUTUAL["client"])
    others = PrivatePKI(TrustStore.from_pem(authority().certificate.public_bytes(Encoding.PEM)))
    server = service.connection(verify=others, client_auth="optional")
    client_events, _ = service.talk(returning(session), server)
    assert not server.info.resumed
    assert server.info.peer_chain == ()
    assert isinstance(client_events[-1], HandshakeComplete)
    # A server that asks nobody does not resume who was asked, or it would forget the certificate.
    server = service.connection(verify=None)
    service.talk(returning(session), server)
    assert not server.info.resumed


def test_nobody_in_particular_is_known_again_where_that_is_enough() -> None:
    service = Service(**(MUTUAL["server"] | {"client_auth": "optional"}))
    session = first_session(service)
    check_resumed(returning(session), service, session)


# Peers that lie ---------------------------------------------------------------------------------------------------


def hostile_server(say: Any) -> Any:
    """A server that would resume the session, and lies."""
    return lying(lambda: server12(ticket_keys=RING), say)


@pytest.fixture
def session() -> Session:
    return first_session(Service(ticket_keys=RING))


def test_a_server_that_resumes_with_another_suite(session: Session) -> None:
    other = CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    error = refused(returning(session), hostile_server(server_hello_with(cipher_suite=other)), by="client")
    assert error.kind is P.RESUMED_OTHERWISE


def test_a_server_that_resumes_without_extended_master_secret(session: Session) -> None:
    say = server_hello_with(without=[ExtensionType.extended_master_secret])
    error = refused(returning(session), hostile_server(say), by="client")
    assert error.kind is P.NO_EXTENDED_MASTER_SECRET


def test_a_client_that_resumes_without_extended_master_secret(session: Session) -> None:
    client = lying(lambda: returning(session), hello_with(without=[ExtensionType.extended_master_secret]))
    error = refused(client, server12(ticket_keys=RING), by="server")
    assert error.kind is P.NO_EXTENDED_MASTER_SECRET


def test_a_server_that_resumes_what_nobody_offered() -> None:
    client = client12(versions=BOTH)
    echo = instead(ServerHello, lambda hello: hello.replace(legacy_session_id_echo=sent))
    server = lying(server12, echo)
    sent = ClientHello.parse(client.data_to_send()[9:]).legacy_session_id
    client = client12(versions=BOTH)
    error = refused(client, server, by="client")
    assert error.kind is P.UNOFFERED_SESSION


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_wrong_finished(session: Session, side: str) -> None:
    say = instead(Finished, lambda finished: Finished(finished.verify_data[:-1] + b"\0"))
    client: Any = returning(session)
    server: Any = server12(ticket_keys=RING)
    if side == "client":
        client = lying(lambda: returning(session), say)
    else:
        server = lying(lambda: server12(ticket_keys=RING), say)
    error = refused(client, server, by="server" if side == "client" else "client")
    assert error.kind is P.WRONG_FINISHED


def test_a_stolen_ticket_without_its_secret(session: Session) -> None:
    thief = returning(replace(session, secret=bytes(48)))
    error = refused(thief, server12(ticket_keys=RING), by="client")
    assert error.kind is P.BAD_RECORD_MAC


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("name", ["no change_cipher_spec", "two of them", "a ticket that was not announced"])
def test_another_order(session: Session, side: str, name: str) -> None:
    if side == "client" and "ticket" in name:
        pytest.skip("only servers give tickets")

    def script(item: Item) -> list[Item]:
        if item is CCS:
            ticket = NewSessionTicket12(60, b"ticket").encode()
            return {"no": [], "two": [CCS, CCS], "a": [ticket, CCS]}[name.split()[0]]
        return [item]

    def make_client() -> ClientConnection:
        return returning(session)

    def make_server() -> ServerConnection:
        return server12(ticket_keys=RING)

    client = scripted(make_client, script) if side == "client" else make_client()
    server = scripted(make_server, script) if side == "server" else make_server()
    victim = client if side == "server" else server
    events = shuttle(client, server)[0 if side == "server" else 1]
    error = the_failure(events)
    assert error.kind in (P.BAD_CHANGE_CIPHER_SPEC, P.UNEXPECTED_MESSAGE, P.MESSAGE_TOO_LONG, P.BAD_RECORD_MAC)
    assert victim.state is ConnectionState.FAILED


@pytest.mark.parametrize("ticket", [b"another", b""], ids=["a new one", "none"])
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_server_that_gives_another_ticket(session: Session, ticket: bytes, is_resumed: bool) -> None:
    """RFC 5077 3.3: in the abbreviated handshake too; and an empty ticket is none."""
    given = NewSessionTicket12(60, ticket)

    def renew(hello: ServerHello) -> list[Any]:
        return [with_extensions(hello, SessionTicket(b"")), given]

    say = instead(ServerHello, renew) if is_resumed else instead(NewSessionTicket12, lambda _: given)
    client = returning(session) if is_resumed else client12("another")
    events, _ = shuttle(client, lying(lambda: server12(ticket_keys=RING), say))
    assert client.state is ConnectionState.OPEN
    assert client.info.resumed is is_resumed
    kept = received(events)
    assert [each.ticket for each in kept] == ([ticket] if ticket else [])
    for each in kept:
        assert (each.created, each.lifetime) == (session.created, 60)
        assert (each.secret == session.secret) is is_resumed
        assert each.peer_chain == session.peer_chain
