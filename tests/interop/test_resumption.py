"""Sessions of other implementations resumed by us, and ours by them: by ticket and by ID."""

import ssl
from typing import Any

import pytest

from interop.certificates import NAME, Certificates
from interop.driver import InMemory, Listener, SslEnd, Talk, connect
from interop.ours import KEY_TRANSPORT_SUITES, TLS12, our_client, our_server
from interop.peers import GNUTLS, OPENSSL, PEERS, Peer
from interop.python_ssl import check_close, check_data, check_open, ssl_context
from sanstls import Session, SessionIssued, SessionLookupRequest, SessionReceived, TicketKeyRing

pytestmark = pytest.mark.interop

BY_TICKET, BY_ID = "ticket", "session ID"
each_kind = pytest.mark.parametrize("kind", [BY_TICKET, BY_ID])
each_peer = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
KEY_TRANSPORT: dict[str, Any] = {"legacy_rsa_key_transport": True, "cipher_suites": KEY_TRANSPORT_SUITES[:1]}


def received(events: list[Any]) -> Session:
    (session,) = [event.session for event in events]
    return session


# Python's ssl -----------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("is_key_transport", [False, True])
def test_our_client_with_python(certificates: Certificates, kind: str, is_key_transport: bool) -> None:
    suite = KEY_TRANSPORT_SUITES[0] if is_key_transport else None
    context = ssl_context(certificates, "server", kind="rsa", versions=(TLS12,), suite12=suite)
    if kind is BY_ID:
        context.options |= ssl.OP_NO_TICKET
    session: Session | None = None
    for attempt in range(3):
        settings = KEY_TRANSPORT if is_key_transport else {}
        connection = our_client(certificates, session=session, **settings)
        met = InMemory(connection, SslEnd(context, is_server=True)).carry()
        check_open(met, TLS12)
        assert met.info.resumed is met.peer.ssl.session_reused is (attempt > 0)
        assert met.info.peer_chain[0] == certificates["rsa"].der
        if not attempt:
            session = received(met.of(SessionReceived))
            assert bool(session.ticket) is (kind is BY_TICKET)
        check_data(met)
        check_close(met)


@each_kind
def test_our_server_with_python(certificates: Certificates, kind: str) -> None:
    context = ssl_context(certificates, "client", versions=(TLS12,))
    settings: dict[str, Any] = {"ticket_keys": TicketKeyRing.generate()}
    if kind is BY_ID:
        context.options |= ssl.OP_NO_TICKET
        settings = {"defer": frozenset({SessionLookupRequest})}
    store: dict[bytes, Session] = {}
    session: ssl.SSLSession | None = None
    for attempt in range(3):
        end = SslEnd(context, is_server=False, server_name=NAME, session=session)
        met = InMemory(our_server(certificates, **settings), end).carry()
        for request in met.of(SessionLookupRequest):
            met._take(met.connection.answer(request, store.get(request.identity)))
            met.carry()
        store |= {event.identity: event.session for event in met.of(SessionIssued)}
        check_open(met, TLS12)
        assert met.info.resumed is met.peer.ssl.session_reused is (attempt > 0)
        session = met.peer.ssl.session
        check_data(met)
        check_close(met)
    assert len(store) == (kind is BY_ID)


# Processes --------------------------------------------------------------------------------------------------------


def options_of(peer: Peer, kind: str, *, is_server: bool) -> list[object]:
    if peer is OPENSSL:
        return ["-tls1_2", *(["-rev"] if is_server else ["-reconnect"]), *(["-no_ticket"] if kind is BY_ID else [])]
    priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2" + (":%NO_TICKETS" if kind is BY_ID else "")
    return ["--priority", priority, *(["--echo", "--disable-client-cert"] if is_server else ["--resume"])]


@each_kind
@each_peer
def test_our_client(certificates: Certificates, peer: Peer, kind: str) -> None:
    peer.require()
    server, port = peer.serve(certificates, "p256", *options_of(peer, kind, is_server=True))
    session: Session | None = None
    with server:
        for attempt in range(3):
            with Talk(our_client(certificates, session=session), connect(port), server) as talk:
                talk.until_open()
                assert talk.info.resumed is (attempt > 0)
                if not attempt:
                    session = received(talk.of(SessionReceived))
                    assert bool(session.ticket) is (kind is BY_TICKET)
                talk.connection.send_data(b"Who is there?\n")
                talk.until(lambda talk=talk: peer.answer(b"Who is there?\n") in talk.received, "an answer")
                talk.connection.close()
                talk.until_eof()


@each_kind
@each_peer
def test_our_server(certificates: Certificates, peer: Peer, kind: str) -> None:
    """Their clients connect again by themselves."""
    peer.require()
    settings: dict[str, Any] = {"ticket_keys": TicketKeyRing.generate()}
    if kind is BY_ID:
        settings = {"defer": frozenset({SessionLookupRequest})}
    store: dict[bytes, Session] = {}
    last = {OPENSSL: 5, GNUTLS: 1}[peer]
    with (
        Listener() as listener,
        peer.connect(certificates, listener.port, *options_of(peer, kind, is_server=False)) as client,
    ):
        for attempt in range(last + 1):
            with Talk(our_server(certificates, **settings), listener.accept(client), client) as talk:
                talk.until(lambda talk=talk: talk.is_open or talk.of(SessionLookupRequest), "the handshake")
                for request in talk.of(SessionLookupRequest):
                    talk._take(talk.connection.answer(request, store.get(request.identity)))
                talk.until_open()
                store |= {event.identity: event.session for event in talk.of(SessionIssued)}
                assert talk.info.resumed is (attempt > 0)
                if attempt == last:
                    client.say(b"Once more.\n")
                    talk.until_received(b"Once more.\n")
                    talk.connection.send_data(b"That is enough.\n")
                    talk.until_said(b"That is enough.\n")
                elif peer is GNUTLS:  # it waits for the end of the first connection
                    talk.connection.close()
                    talk.until_eof()
    assert len(store) == (kind is BY_ID)
