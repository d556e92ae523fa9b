"""Resumption in TLS 1.3 and external pre-shared keys (RFC 9846 2.2, 4.3.11, 4.7.1), in memory."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from connection.peers import client13, server13, to_client, to_server
from connection12.peers import MUTUAL, TLS12, TLS13, credential12, instead, lying, refused, verifier, with_extensions
from memory import NAME, NOW, client_config, server_config, shuttle, the_failure
from sanstls import (
    CertificateError,
    CertificateReceived,
    CipherSuite,
    ClientConnection,
    ConnectionState,
    DangerouslyAcceptAny,
    DataReceived,
    LocalError,
    NamedGroup,
    PeerMisbehaviour,
    PreSharedKey,
    PreSharedKeyRequest,
    PrivatePKI,
    ServerConnection,
    Session,
    SessionIssued,
    SessionLookupRequest,
    SessionReceived,
    TicketKeyRing,
    TrustStore,
    VerificationRequest,
)
from sanstls.handshake.psk13 import MAX_IDENTITIES
from sanstls.handshake.tickets13 import MAX_TICKETS
from sanstls.wire.extensions import Extensions, OfferedPsks, PskIdentity, PskKeyExchangeModes, SelectedPsk
from sanstls.wire.messages import ClientHello, NewSessionTicket, ServerHello
from sanstls.wire.registries import ExtensionType, PskKeyExchangeMode

P = PeerMisbehaviour
RING = TicketKeyRing.generate()
LOOKED_UP = frozenset({SessionLookupRequest})
VERIFIER = verifier()
AES128, AES256 = CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite.TLS_AES_256_GCM_SHA384
CHACHA = CipherSuite.TLS_CHACHA20_POLY1305_SHA256
KEY = PreSharedKey(b"a key of both", b"0123456789abcdef" * 2)
OTHER = PreSharedKey(b"another key", b"fedcba9876543210" * 2, "sha384")


class Service:
    """A server of many connections, and a store of sessions if it is to look them up."""

    def __init__(self, **settings: Any) -> None:
        defaults = {"credentials": (credential12(),), "ticket_keys": RING, "session_tickets": 2}
        self.config = server_config("service", **(defaults | settings))
        self.store: dict[bytes, Session] = {}

    def connection(self, **changes: Any) -> ServerConnection:
        return ServerConnection(replace(self.config, **changes) if changes else self.config)

    def talk(self, client: ClientConnection, server: ServerConnection | None = None) -> tuple[list[Any], list[Any]]:
        """A handshake, and a word of the server's, with which tickets come; what each side told."""
        server = server or self.connection()
        client_events, server_events = shuttle(client, server)
        while server.state is ConnectionState.WAITING:
            request = server_events[-1]
            found: Any = self.store.get(request.identity) if isinstance(request, SessionLookupRequest) else None
            server_events += server.answer(request, found)
            more = shuttle(client, server)
            client_events += more[0]
            server_events += more[1]
        if server.state is client.state is ConnectionState.OPEN:
            server.send_data(b"word")
            client_events += client.receive_data(server.data_to_send())
            server_events += server.receive_data(b"")
        self.store |= {event.identity: event.session for event in server_events if isinstance(event, SessionIssued)}
        return client_events, server_events


def received(events: list[Any]) -> list[Session]:
    return [event.session for event in events if isinstance(event, SessionReceived)]


def newcomer(seed: object = "first", session: Session | None = None, **settings: Any) -> ClientConnection:
    return ClientConnection(client_config(seed, **({"verify": VERIFIER} | settings)), NAME, session=session)


def first_session(service: Service, **settings: Any) -> Session:
    client = newcomer(**settings)
    events, _ = service.talk(client)
    assert not client.info.resumed
    return received(events)[0]


def check_same(client: ClientConnection, server: ServerConnection) -> None:
    assert client.state is server.state is ConnectionState.OPEN
    assert client.info.resumed is server.info.resumed
    assert client.info.external_psk is server.info.external_psk
    assert (client.info.cipher_suite, client.info.group) == (server.info.cipher_suite, server.info.group)
    assert client.export_keying_material("x", 32) == server.export_keying_material("x", 32)
    assert client.channel_binding() == server.channel_binding()
    client.send_data(b"ping")
    assert [e for e in server.receive_data(client.data_to_send()) if isinstance(e, DataReceived)] == [
        DataReceived(b"ping")
    ]


def check_resumed(client: ClientConnection, service: Service, session: Session, server: Any = None) -> Any:
    server = server or service.connection()
    events = service.talk(client, server)
    check_same(client, server)
    assert client.info.resumed, events
    assert client.info.peer_chain == session.peer_chain != ()
    assert client.info.signature_scheme is server.info.signature_scheme is None
    assert client.info.group is not None
    assert not any(isinstance(event, CertificateReceived) for event in events[0])
    return events


def check_full(client: ClientConnection, service: Service, server: Any = None) -> Any:
    server = server or service.connection()
    events = service.talk(client, server)
    check_same(client, server)
    assert not client.info.resumed
    assert any(isinstance(event, CertificateReceived) for event in events[0])
    return events


each_kind = pytest.mark.parametrize("kind", [{}, {"defer": LOOKED_UP}], ids=["ticket", "stored"])

# Resumed ----------------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("suite", [AES128, AES256, CHACHA], ids=str)
def test_it_is_resumed(kind: dict[str, Any], suite: CipherSuite) -> None:
    service = Service(**kind)
    settings = {"cipher_suites": (suite,)}
    session = first_session(service, **settings)
    assert session.version is TLS13
    assert session.ticket
    assert len(service.store) == (2 if kind else 0)
    for attempt in range(2):
        events, _ = check_resumed(newcomer(attempt, session, **settings), service, session)
        (session,) = received(events)  # one use, one ticket


@each_kind
def test_after_a_retry(kind: dict[str, Any]) -> None:
    service = Service(**kind)
    session = first_session(service)
    client = newcomer("again", session)
    check_resumed(client, service, session, service.connection(groups=(NamedGroup.secp256r1,)))
    assert client.info.hello_retried


@pytest.mark.parametrize("chunk", [1, 5])
def test_in_any_chunks(chunk: int) -> None:
    service = Service()
    session = first_session(service)
    whole, cut = (newcomer("same", session) for _ in range(2))
    events, _ = service.talk(whole)
    server = service.connection()
    told, _ = shuttle(cut, server, chunk)
    server.send_data(b"word")
    for byte in server.data_to_send():
        told += cut.receive_data(bytes([byte]))
    assert [type(event) for event in told] == [type(event) for event in events]
    assert cut.info.resumed


def test_a_session_that_was_written_down() -> None:
    service = Service()
    session = Session.from_bytes(first_session(service).to_bytes())
    check_resumed(newcomer("again", session), service, session)


def test_another_suite_of_the_same_hash_will_do() -> None:
    """RFC 9846 4.3.11: only the hash belongs to the key."""
    service = Service()
    session = first_session(service, cipher_suites=(AES128,))
    client = newcomer("again", session, cipher_suites=(CHACHA,))
    check_resumed(client, service, session)
    assert client.info.cipher_suite is CHACHA


def test_alpn_is_negotiated_anew() -> None:
    service = Service(alpn=("h2", "http/1.1"))
    session = first_session(service, alpn=("h2",))
    client = newcomer("again", session, alpn=("http/1.1",))
    check_resumed(client, service, session)
    assert client.info.alpn == "http/1.1"


def test_tls12_is_spoken_where_the_server_has_only_that() -> None:
    service = Service()
    session = first_session(service)
    client = newcomer("again", session)
    check_full(client, service, service.connection(versions=(TLS12,)))
    assert client.info.version is TLS12


# Tickets ----------------------------------------------------------------------------------------------------------


def test_no_ticket_before_the_first_data() -> None:
    """A peer that does not read yet must not be in the way of a handshake."""
    service = Service()
    client, server = newcomer(), service.connection()
    events, _ = shuttle(client, server)
    assert received(events) == []
    server.send_data(b"word")
    events = client.receive_data(server.data_to_send())
    assert [type(event) for event in events] == [SessionReceived, SessionReceived, DataReceived]
    server.send_data(b"word")
    assert client.receive_data(server.data_to_send()) == [DataReceived(b"word")]


def test_tickets_on_request() -> None:
    service = Service(session_tickets=0)
    client, server = newcomer(), service.connection()
    shuttle(client, server)
    kept: list[Session] = []
    for _ in range(MAX_TICKETS):
        server.send_session_ticket()
        kept += received(client.receive_data(server.data_to_send()))
    assert len({session.ticket for session in kept}) == len({session.secret for session in kept}) == MAX_TICKETS
    with pytest.raises(LocalError, match="no ticket"):
        server.send_session_ticket()
    check_resumed(newcomer("again", kept[7]), service, kept[7])


def test_when_no_ticket_can_be_sent() -> None:
    service = Service()
    client, server = newcomer(), service.connection()
    with pytest.raises(LocalError, match="when the handshake is complete"):
        server.send_session_ticket()
    for settings in ({"versions": (TLS12,)}, {"session_lifetime": 0}):
        client, server = newcomer(), service.connection(**settings)
        shuttle(client, server)
        with pytest.raises(LocalError, match="no ticket"):
            server.send_session_ticket()


def test_a_client_that_could_not_use_tickets_gets_none() -> None:
    service = Service()
    for modes in (None, PskKeyExchangeModes((PskKeyExchangeMode.psk_ke,))):

        def say(hello: ClientHello, modes: Any = modes) -> ClientHello:
            added = () if modes is None else (modes,)
            changed: ClientHello = with_extensions(hello, *added, without=[ExtensionType.psk_key_exchange_modes])
            return changed

        client = lying(newcomer, instead(ClientHello, say))
        assert received(service.talk(client)[0]) == []


def test_too_many_tickets_are_not_kept() -> None:
    service = Service(session_tickets=0)
    client, server = newcomer(), service.connection()
    shuttle(client, server)
    kept: list[Session] = []
    for number in range(MAX_TICKETS + 3):
        give(server, 60, number)
        kept += received(client.receive_data(server.data_to_send()))
    assert len(kept) == MAX_TICKETS


def give(server: ServerConnection, lifetime: int, number: int = 0) -> None:
    """A ticket of the test's own making."""
    ticket = NewSessionTicket(lifetime, 5, b"%d" % number, b"ticket", Extensions())
    server._records.send_message(ticket.encode())
    server._writer.flush_messages()


@pytest.mark.parametrize(("lifetime", "kept"), [(0, None), (60, 60), (2**32 - 1, 7 * 24 * 3600)])
def test_how_long_a_ticket_lives(lifetime: int, kept: int | None) -> None:
    service = Service(session_tickets=0)
    client, server = newcomer(), service.connection()
    shuttle(client, server)
    give(server, lifetime)
    sessions = received(client.receive_data(server.data_to_send()))
    assert [session.lifetime for session in sessions] == ([] if kept is None else [kept])


def test_the_age_is_hidden() -> None:
    """RFC 9846 4.3.11.1."""
    session = first_session(Service())
    for seconds in (0, 1.5, 3600):
        client = newcomer("again", session, clock=lambda seconds=seconds: session.created + seconds)
        hello = ClientHello.parse(client.data_to_send()[9:])
        offered = hello.extensions.get(OfferedPsks)
        assert offered is not None
        (identity,) = offered.identities
        assert identity.identity == session.ticket
        assert (identity.obfuscated_ticket_age - session.age_add) % 2**32 == seconds * 1000
        assert hello.extensions.types[-1] == ExtensionType.pre_shared_key


# Not resumed ------------------------------------------------------------------------------------------------------

NOT_TAKEN: dict[str, dict[str, Any]] = {
    "other keys": {"ticket_keys": TicketKeyRing.generate()},
    "too late": {"clock": lambda: NOW.timestamp() + 7200},
    "not any more": {"session_lifetime": 0},
    "a suite of another hash": {"cipher_suites": (AES128,)},
    "certificates are required now": {"verify": VERIFIER},
}


@pytest.mark.parametrize("changes", NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_a_session_that_is_not_taken_leads_to_a_full_handshake(changes: dict[str, Any]) -> None:
    service = Service()
    session = first_session(service)
    check_full(newcomer("again", session, **MUTUAL["client"]), service, service.connection(**changes))


@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_changed_ticket_leads_to_a_full_handshake(position: int) -> None:
    service = Service()
    session = first_session(service)
    ticket = bytearray(session.ticket)
    ticket[position] ^= 1
    check_full(newcomer("again", replace(session, ticket=bytes(ticket))), service)


def test_a_session_under_another_name_is_not_taken() -> None:
    service = Service(credentials=(credential12(), credential12(name="other.example")))
    session = replace(first_session(service), server_name="other.example")
    client = ClientConnection(client_config("again", verify=VERIFIER), "other.example", session=session)
    check_full(client, service)


def test_an_unknown_identity_leads_to_a_full_handshake() -> None:
    service = Service(defer=LOOKED_UP)
    session = first_session(service)
    service.store.clear()
    check_full(newcomer("again", session), service)


def test_what_is_not_offered() -> None:
    session = first_session(Service())

    def is_offered(session: Session, **settings: Any) -> bool:
        client = newcomer("again", session, **settings)
        return ExtensionType.pre_shared_key in ClientHello.parse(client.data_to_send()[9:]).extensions

    others = PrivatePKI(TrustStore.from_certificates([credential12("rsa").leaf]))
    assert is_offered(session)
    assert is_offered(session, verify=PrivatePKI(VERIFIER.store))
    assert not is_offered(session, clock=lambda: session.created + 7200)
    assert not is_offered(session, verify=others)
    assert not is_offered(session, cipher_suites=(AES128,))
    assert not is_offered(session, versions=(TLS12,))
    assert not is_offered(replace(session, ticket=b""))
    careless = first_session(Service(), verify=DangerouslyAcceptAny())
    assert not is_offered(careless, verify=others)


def test_only_some_identities_are_looked_at() -> None:
    """A client can't make a server try keys without end."""
    service = Service(session_tickets=0, pre_shared_keys=(KEY,))
    for before in (MAX_IDENTITIES - 1, MAX_IDENTITIES):
        unknown = tuple(PreSharedKey(b"unknown %d" % number, bytes(32)) for number in range(before))
        client = newcomer(before, cipher_suites=(AES128,), pre_shared_keys=(*unknown, KEY))
        service.talk(client)
        assert client.info.external_psk is (before < MAX_IDENTITIES)


# Who they are -----------------------------------------------------------------------------------------------------


@each_kind
def test_a_client_is_known_again(kind: dict[str, Any]) -> None:
    service = Service(verify=VERIFIER, **kind)
    session = first_session(service, **MUTUAL["client"])
    server = service.connection()
    check_resumed(newcomer("again", session), service, session, server)
    assert server.info.peer_chain == MUTUAL["client"]["credentials"][0].chain
    assert server.info.verified is not None


def test_a_client_whose_certificate_is_not_accepted_any_more() -> None:
    service = Service(verify=VERIFIER)
    session = first_session(service, **MUTUAL["client"])
    others = PrivatePKI(TrustStore.from_certificates([credential12("rsa").leaf]))
    server = service.connection(verify=others, client_auth="optional")
    check_full(newcomer("again", session), service, server)
    assert server.info.peer_chain == ()


def test_who_decides_about_servers_is_asked_again() -> None:
    service = Service()
    session = first_session(service)
    for is_accepted in (True, False):
        client, server = newcomer("again", session, defer=frozenset({VerificationRequest})), service.connection()
        events, _ = shuttle(client, server)
        request = events[-1]
        assert isinstance(request, VerificationRequest)
        assert request.chain == session.peer_chain
        if is_accepted:
            client.answer(request, None)
            shuttle(client, server)
            check_same(client, server)
            assert client.info.resumed
        else:
            client.reject(request, CertificateError("not this one"))
            assert client.state is ConnectionState.FAILED


# External keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [(NamedGroup.x25519,), (NamedGroup.secp256r1,)], ids=["at once", "after a retry"])
@pytest.mark.parametrize(("key", "suite"), [(KEY, AES128), (KEY, CHACHA), (OTHER, AES256)], ids=str)
def test_an_external_key(key: PreSharedKey, suite: CipherSuite, groups: Any) -> None:
    service = Service(pre_shared_keys=(OTHER, KEY), cipher_suites=(suite,), groups=groups)
    client, server = newcomer(pre_shared_keys=(KEY, OTHER)), service.connection()
    service.talk(client, server)
    check_same(client, server)
    assert client.info.external_psk
    assert not client.info.resumed
    assert client.info.peer_chain == server.info.peer_chain == ()
    assert client.info.verified is None


def test_an_external_key_looked_up() -> None:
    service = Service(defer=frozenset({PreSharedKeyRequest}), session_tickets=0)
    for answer in (KEY, None):
        client, server = newcomer(pre_shared_keys=(KEY,), cipher_suites=(AES128,)), service.connection()
        _, events = shuttle(client, server)
        request = events[-1]
        assert isinstance(request, PreSharedKeyRequest)
        assert request.identity == KEY.identity
        for wrong in (OTHER, KEY.secret):
            with pytest.raises(LocalError, match="of this identity"):
                server.answer(request, wrong)  # type: ignore[arg-type]
        server.answer(request, answer)
        shuttle(client, server)
        check_same(client, server)
        assert client.info.external_psk is (answer is not None)


def test_a_connection_by_an_external_key_is_not_resumed_without_certificates() -> None:
    """Such a session has nobody's certificate, which the client would want to see."""
    service = Service(pre_shared_keys=(KEY,))
    client = newcomer(pre_shared_keys=(KEY,), cipher_suites=(AES128,))
    (session, *_) = received(service.talk(client)[0])
    again = newcomer("again", session, cipher_suites=(AES128,))
    check_full(again, service)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PreSharedKey(b"", bytes(32)),
        lambda: PreSharedKey(bytes(2**16), bytes(32)),
        lambda: PreSharedKey(b"short", bytes(15)),
        lambda: PreSharedKey(b"hash", bytes(32), "md5"),
        lambda: PreSharedKey("text", bytes(32)),  # type: ignore[arg-type]
        lambda: newcomer(pre_shared_keys=[KEY]),
        lambda: newcomer(pre_shared_keys=(KEY, KEY)),
        lambda: newcomer(pre_shared_keys=(b"key",)),
    ],
)
def test_keys_that_are_none(make: Any) -> None:
    with pytest.raises(LocalError):
        make()


def test_a_key_is_not_told() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret)[2:-1] not in repr((KEY,))
    assert repr(KEY.secret)[2:-1] not in repr(newcomer(pre_shared_keys=(KEY,))._config)


# Peers that lie ---------------------------------------------------------------------------------------------------


def test_a_thief_of_a_ticket() -> None:
    service = Service()
    session = replace(first_session(service), secret=bytes(48))
    server = service.connection()
    assert refused(newcomer("thief", session), server, by="server").kind is P.WRONG_BINDER


@pytest.mark.parametrize("groups", [(NamedGroup.x25519,), (NamedGroup.secp256r1,)], ids=["first", "second"])
@pytest.mark.parametrize("position", [0, 17, -1])
def test_a_changed_binder(position: int, groups: Any) -> None:
    def change(hello: ClientHello) -> ClientHello:
        psks = hello.extensions.get(OfferedPsks)
        assert psks is not None
        binder = bytearray(psks.binders[0])
        binder[position] ^= 1
        changed: ClientHello = with_extensions(hello, psks.replace(binders=(bytes(binder),)))
        return changed

    say = instead(ClientHello, change)
    keys = {"pre_shared_keys": (KEY,), "cipher_suites": (AES128,)}
    assert to_server(say, keys, **keys, groups=groups).kind is P.WRONG_BINDER


def test_a_changed_hello_under_a_binder() -> None:
    """RFC 9846 4.3.11.2: the binder is over all of the hello before it."""
    keys = {"pre_shared_keys": (KEY,), "cipher_suites": (AES128,)}

    def say(message: Any) -> Iterable[Any]:
        if isinstance(message, ClientHello):
            return [message.replace(random=bytes(32))]
        return [message]

    assert to_server(say, keys, **keys).kind is P.WRONG_BINDER


@pytest.mark.parametrize("number", [1, 2, 65535])
def test_a_server_that_takes_what_was_not_offered(number: int) -> None:
    keys = {"pre_shared_keys": (KEY,), "cipher_suites": (AES128,)}
    say = instead_of_hello(SelectedPsk(number))
    assert to_client(say, keys, **keys).kind is P.UNOFFERED_PSK


def test_a_server_that_takes_a_key_unasked() -> None:
    assert to_client(instead_of_hello(SelectedPsk(0))).kind is P.UNSOLICITED_EXTENSION


def instead_of_hello(extension: Any) -> Any:
    return instead(ServerHello, lambda hello: with_extensions(hello, extension))


def test_a_server_that_says_it_took_a_key_and_shows_a_certificate() -> None:
    keys = {"pre_shared_keys": (KEY,), "cipher_suites": (AES128,)}
    # It does not know the key, so that its keys of the handshake are others.
    client = client13(**keys)
    events, _ = shuttle(client, lying(server13, instead_of_hello(SelectedPsk(0))))
    assert the_failure(events).kind is P.BAD_RECORD_MAC


def test_the_same_identity_twice() -> None:
    keys = {"pre_shared_keys": (KEY,), "cipher_suites": (AES128,)}
    twice = (PskIdentity(KEY.identity, 0),) * 2

    def change(hello: ClientHello) -> ClientHello:
        psks = hello.extensions.get(OfferedPsks)
        assert psks is not None
        changed: ClientHello = with_extensions(hello, psks.replace(identities=twice, binders=psks.binders * 2))
        return changed

    error = to_server(instead(ClientHello, change), keys, **keys)
    assert error.kind is P.WRONG_BINDER  # as it is over both identities


def test_a_client_without_shares() -> None:
    """psk_ke, without forward secrecy, is not spoken."""
    keys = {"pre_shared_keys": (KEY,), "cipher_suites": (AES128,)}
    say = instead(ClientHello, lambda hello: with_extensions(hello, without=[ExtensionType.key_share]))
    assert to_server(say, keys, **keys).kind is P.MISSING_EXTENSION
