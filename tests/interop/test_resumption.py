"""Sessions of other implementations resumed by us, and ours by them: by ticket and by ID."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from interop.certificates import NAME, Certificates
from interop.driver import InMemory, Listener, Process, SslEnd, Talk, connect
from interop.ours import KEY_TRANSPORT_SUITES, TLS12, TLS13, our_client, our_server
from interop.peers import GNUTLS, OPENSSL, PEERS, Peer
from interop.python_ssl import check_close, check_data, check_open, ssl_context
from sanstls import (
    CipherSuite,
    PreSharedKey,
    ProtocolVersion,
    ReplayWindow,
    Session,
    SessionIssued,
    SessionLookupRequest,
    SessionReceived,
    TicketKeyRing,
)

pytestmark = pytest.mark.interop

BY_TICKET, BY_ID = "ticket", "session ID"
each_kind = pytest.mark.parametrize("kind", [BY_TICKET, BY_ID])
each_version = pytest.mark.parametrize("version", [TLS12, TLS13], ids=lambda version: version.text)
each_peer = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
KEY_TRANSPORT: dict[str, Any] = {"legacy_rsa_key_transport": True, "cipher_suites": KEY_TRANSPORT_SUITES[:1]}


def received(events: list[Any]) -> Session:
    """The first: in TLS 1.3 there are several."""
    return next(iter(event.session for event in events))


# Python's ssl -----------------------------------------------------------------------------------------------------


@each_version
@each_kind
@pytest.mark.parametrize("is_key_transport", [False, True])
def test_our_client_with_python(
    certificates: Certificates, version: ProtocolVersion, kind: str, is_key_transport: bool
) -> None:
    if is_key_transport and version is TLS13:
        pytest.skip("TLS 1.3 has no RSA key transport")
    suite = KEY_TRANSPORT_SUITES[0] if is_key_transport else None
    context = ssl_context(certificates, "server", kind="rsa", versions=(version,), suite12=suite)
    if kind is BY_ID:
        context.options |= ssl.OP_NO_TICKET
    session: Session | None = None
    for attempt in range(3):
        settings = KEY_TRANSPORT if is_key_transport else {}
        connection = our_client(certificates, session=session, **settings)
        met = InMemory(connection, SslEnd(context, is_server=True)).carry()
        check_open(met, version)
        assert met.info.resumed is met.peer.ssl.session_reused is (attempt > 0)
        assert met.info.peer_chain[0] == certificates["rsa"].der
        if not attempt or version is TLS13:
            session = received(met.of(SessionReceived))
            assert bool(session.ticket) is (kind is BY_TICKET or version is TLS13)
        check_data(met)
        check_close(met)


@each_version
@each_kind
def test_our_server_with_python(certificates: Certificates, version: ProtocolVersion, kind: str) -> None:
    context = ssl_context(certificates, "client", versions=(version,))
    settings: dict[str, Any] = {"ticket_keys": TicketKeyRing.generate(), "session_tickets": 1}
    if kind is BY_ID:
        context.options |= ssl.OP_NO_TICKET
        settings = {"defer": frozenset({SessionLookupRequest}), "session_tickets": 1}
    store: dict[bytes, Session] = {}
    session: ssl.SSLSession | None = None
    for attempt in range(3):
        end = SslEnd(context, is_server=False, server_name=NAME, session=session)
        met = InMemory(our_server(certificates, **settings), end).carry()
        for request in met.of(SessionLookupRequest):
            met._take(met.connection.answer(request, store.get(request.identity)))
            met.carry()
        check_open(met, version)
        assert met.info.resumed is met.peer.ssl.session_reused is (attempt > 0)
        check_data(met)  # with which tickets of TLS 1.3 come
        store |= {event.identity: event.session for event in met.of(SessionIssued)}
        session = met.peer.ssl.session
        check_close(met)
    assert len(store) == (0 if kind is BY_TICKET else 1 if version is TLS12 else 3)


# Processes --------------------------------------------------------------------------------------------------------


def options_of(peer: Peer, version: ProtocolVersion, kind: str, *, is_server: bool) -> list[object]:
    if peer is OPENSSL:
        chosen: list[object] = ["-tls1_2" if version is TLS12 else "-tls1_3", *(["-rev"] if is_server else [])]
        return [*chosen, *(["-no_ticket"] if kind is BY_ID else [])]
    tickets = ":%NO_TICKETS" if kind is BY_ID else ""
    chosen = ["--priority", f"NORMAL:-VERS-ALL:+VERS-{version.text.replace(' ', '')}{tickets}"]
    if is_server:
        return [*chosen, "--echo", "--disable-client-cert"]
    return [*chosen, "--resume", *(["--waitresumption"] if version is TLS13 else [])]


@each_version
@each_kind
@each_peer
def test_our_client(certificates: Certificates, peer: Peer, version: ProtocolVersion, kind: str) -> None:
    peer.require()
    if peer is GNUTLS and version is TLS13 and kind is BY_ID:
        pytest.skip("GnuTLS keeps no sessions of TLS 1.3 itself")
    server, port = peer.serve(certificates, "p256", *options_of(peer, version, kind, is_server=True))
    session: Session | None = None
    with server:
        for attempt in range(3):
            with Talk(our_client(certificates, session=session), connect(port), server) as talk:
                talk.until_open()
                assert talk.info.version is version
                assert talk.info.resumed is (attempt > 0)
                talk.connection.send_data(b"Who is there?\n")
                talk.until(lambda talk=talk: peer.answer(b"Who is there?\n") in talk.received, "an answer")
                if not attempt or version is TLS13:
                    session = received(talk.of(SessionReceived))
                    assert bool(session.ticket) is (kind is BY_TICKET or version is TLS13)
                talk.connection.close()
                talk.until_eof()


@each_version
@each_kind
@each_peer
def test_our_server(
    certificates: Certificates, peer: Peer, version: ProtocolVersion, kind: str, tmp_path: Path
) -> None:
    peer.require()
    if peer is GNUTLS and version is TLS13 and kind is BY_ID:
        pytest.skip("a client of GnuTLS without tickets resumes nothing in TLS 1.3")
    settings: dict[str, Any] = {"ticket_keys": TicketKeyRing.generate()}
    if kind is BY_ID:
        settings = {"defer": frozenset({SessionLookupRequest})}
    store: dict[bytes, Session] = {}
    options = options_of(peer, version, kind, is_server=False)
    kept = tmp_path / "session.pem"

    def meet(listener: Listener, client: Process, is_again: bool) -> None:
        with Talk(our_server(certificates, **settings), listener.accept(client), client) as talk:
            talk.until(lambda: talk.is_open or talk.of(SessionLookupRequest), "the handshake")
            for request in talk.of(SessionLookupRequest):
                talk._take(talk.connection.answer(request, store.get(request.identity)))
            talk.until_open()
            assert talk.info.resumed is is_again
            talk.connection.send_data(b"Word by word.\n")
            talk.until_said(b"Word by word.\n") if is_again or peer is OPENSSL else None
            talk.connection.close()
            talk.until_eof() if peer is GNUTLS and not is_again else None
            store.update({event.identity: event.session for event in talk.of(SessionIssued)})

    with Listener() as listener:
        if peer is GNUTLS:  # it connects again by itself
            with peer.connect(certificates, listener.port, *options) as client:
                meet(listener, client, False)
                meet(listener, client, True)
            return
        with peer.connect(certificates, listener.port, *options, "-sess_out", kept) as client:
            meet(listener, client, False)
            client.until(lambda: client.has_ended, "its end")
        with peer.connect(certificates, listener.port, *options, "-sess_in", kept) as client:
            meet(listener, client, True)
            client.until(lambda: b"Reused, TLS" in client.output, "what it says of it")


# External keys ----------------------------------------------------------------------------------------------------

PSK = PreSharedKey(b"Client_identity", bytes(range(32)))
OF_PSK: dict[str, Any] = {"pre_shared_keys": (PSK,), "cipher_suites": (CipherSuite.TLS_AES_128_GCM_SHA256,)}
THEIRS = ["-tls1_3", "-psk", PSK.secret.hex(), "-psk_identity", "Client_identity"]


def test_our_client_with_an_external_key(certificates: Certificates) -> None:
    OPENSSL.require()
    options = [*THEIRS, "-rev", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]
    server, port = OPENSSL.serve(certificates, "p256", *options)
    with server, Talk(our_client(certificates, **OF_PSK), connect(port), server) as talk:
        talk.until_open()
        assert talk.info.external_psk
        assert talk.info.peer_chain == ()
        talk.connection.send_data(b"abc\n")
        talk.until(lambda: b"cba" in talk.received, "an answer")


def test_our_server_with_an_external_key(certificates: Certificates) -> None:
    OPENSSL.require()
    with (
        Listener() as listener,
        OPENSSL.connect(certificates, listener.port, *THEIRS) as client,
        Talk(our_server(certificates, **OF_PSK), listener.accept(client), client) as talk,
    ):
        talk.until_open()
        assert talk.info.external_psk
        talk.connection.send_data(b"Hello.\n")
        talk.until_said(b"Hello.\n")


# Early data -------------------------------------------------------------------------------------------------------

EARLY: dict[str, Any] = {"max_early_data": 16384, "replay_protection": ReplayWindow()}


def test_our_clients_early_data(certificates: Certificates) -> None:
    OPENSSL.require()
    server, port = OPENSSL.serve(certificates, "p256", "-tls1_3", "-early_data", "-max_early_data", "10000")
    with server:
        with Talk(our_client(certificates), connect(port), server) as talk:
            talk.until(lambda: talk.of(SessionReceived), "a ticket")
            session = received(talk.of(SessionReceived))
            assert session.max_early_data == 10000
            talk.connection.close()
            talk.until_eof()
        again = our_client(certificates, session=session, early_data=True)
        assert again.send_early_data(b"Before anything else.\n") == 22
        with Talk(again, connect(port), server) as talk:
            talk.until_open()
            assert talk.info.early_data
            talk.connection.send_data(b"And then.\n")
            talk.until_said(b"Before anything else.", b"And then.")


def test_early_data_for_our_server(certificates: Certificates, tmp_path: Path) -> None:
    OPENSSL.require()
    settings = EARLY | {"ticket_keys": TicketKeyRing.generate()}
    kept, early = tmp_path / "session.pem", tmp_path / "early.txt"
    early.write_bytes(b"Before anything else.\n")
    with Listener() as listener:
        with (
            OPENSSL.connect(certificates, listener.port, "-tls1_3", "-sess_out", kept) as client,
            Talk(our_server(certificates, **settings), listener.accept(client), client) as talk,
        ):
            talk.until_open()
            talk.connection.send_data(b"Hello.\n")
            talk.until_said(b"Hello.")
            talk.connection.close()
            talk.until_eof()
        options = ["-tls1_3", "-sess_in", kept, "-early_data", early]
        with (
            OPENSSL.connect(certificates, listener.port, *options) as client,
            Talk(our_server(certificates, **settings), listener.accept(client), client) as talk,
        ):
            talk.until_open()
            assert talk.info.early_data
            talk.until_received(b"Before anything else.\n")
            talk.until_said(b"Early data was accepted")
