"""The ladder of TLS 1.2: its steps, whichever handshake it is, and from both sides."""

import re
from typing import Any, Literal

import pytest

from connection12.peers import KEY_TRANSPORT, MUTUAL, TLS12, client12, pair, server12, verifier
from ladder_arrows import APPLICATION, CLEAR, arrows
from memory import client_config, connections, shuttle
from sanstls import ClientConnection, Event, SessionReceived, TicketKeyRing, VerificationRequest
from sanstls.inspect import ladder

Role = Literal["client", "server"]
RING = TicketKeyRing.generate()
each_role = pytest.mark.parametrize("role", ["client", "server"])


def talk(client: Any, server: Any) -> dict[Role, list[Event]]:
    """A handshake and data both ways."""
    client_events, server_events = shuttle(client, server)
    for sender, data in ((client, b"question"), (server, b"answer")):
        sender.send_data(data)
        more = shuttle(client, server)
        client_events += more[0]
        server_events += more[1]
    return {"client": client_events, "server": server_events}


def steps(text: str) -> list[str]:
    found = re.findall(r"├┄┄ (\d)\. (.+?) ┄", text)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    return [title.partition(":")[0].partition(",")[0] for _, title in found]


FULL = [
    "ClientHello",
    "ServerHello",
    "Verification of the certificate against a trusted CA",
    "The premaster secret",
    "Session keys",
    "The client's Finished",
    "The server's Finished",
    "Secure communication",
]


@each_role
def test_the_classic_handshake_has_eight_steps(role: Role) -> None:
    text = ladder(talk(*pair(**KEY_TRANSPORT, trace=True))[role], role=role)
    assert steps(text) == FULL
    assert "encrypted to the server's public key" in text
    assert "no forward secrecy" in text
    assert ("the client does this by itself" in text) == (role == "server")
    assert [(direction, name) for direction, name, _ in arrows(text)] == [
        ("▶", "ClientHello"),
        ("◀", "ServerHello"),
        ("◀", "Certificate"),
        ("◀", "ServerHelloDone"),
        ("▶", "ClientKeyExchange"),
        ("▶", "ChangeCipherSpec"),
        ("▶", "Finished"),
        ("◀", "NewSessionTicket"),
        ("◀", "ChangeCipherSpec"),
        ("◀", "Finished"),
        ("▶", "ApplicationData"),
        ("◀", "ApplicationData"),
    ]
    keys = {name: epoch for _, name, epoch in arrows(text)}
    assert keys["Finished"] == keys["ApplicationData"] == APPLICATION
    assert keys["ChangeCipherSpec"] == keys["Certificate"] == CLEAR


def test_both_sides_show_the_same_fingerprints() -> None:
    events = talk(*pair(**KEY_TRANSPORT, trace=True))
    shown = [
        re.findall(r"fingerprint ([0-9a-f]{16})", ladder(events[role], role=role, width=300))
        for role in ("client", "server")
    ]
    assert shown[0] == shown[1]
    assert len(set(shown[0])) == 3


@each_role
def test_ecdhe_has_the_same_steps(role: Role) -> None:
    text = ladder(talk(*pair(**MUTUAL, trace=True))[role], role=role)
    assert steps(text) == FULL if role == "client" else FULL[:3]
    assert "agreed on with keys made for this connection" in text
    assert "no forward secrecy" not in text
    assert "forward secrecy:" in text
    assert "(RFC 5246 7.4.2)" in text


@each_role
def test_a_resumed_handshake_has_fewer(role: Role) -> None:
    events, _ = shuttle(client12(), server12(ticket_keys=RING))
    (session,) = [event.session for event in events if isinstance(event, SessionReceived)]
    client = ClientConnection(
        client_config("again", versions=(TLS12,), verify=verifier(), trace=True), session.server_name, session=session
    )
    text = ladder(talk(client, server12("again", ticket_keys=RING, trace=True))[role], role=role)
    assert steps(text) == [
        "ClientHello",
        "ServerHello",
        "Session keys",
        "The server's Finished",
        "The client's Finished",
        "Secure communication",
    ]
    assert "· resumed" in text
    if role == "client":
        assert "that of the session" in text


def test_a_part_of_a_handshake_is_drawn_as_far_as_it_goes() -> None:
    for settings, first in (({"versions": (TLS12,)}, "the suites offered"), ({}, "its key shares")):
        client, server = connections(trace=True, **settings)
        events = server.receive_data(client.data_to_send())
        only_hello = [event for event in events if getattr(event, "name", "") == "ClientHello"]
        assert first in ladder(only_hello, role="server")


def test_an_answered_verification_is_called_so() -> None:
    client, server = pair(trace=True, client={"defer": frozenset({VerificationRequest})})
    events, _ = shuttle(client, server)
    events += client.answer(events[-1], None)
    events += shuttle(client, server)[0]
    text = ladder(events, role="client", width=200)
    assert "accepted by the answer to a VerificationRequest (RFC 5246 7.4.2)" in text


@pytest.mark.parametrize("width", [20, 48, 60, 80, 200])
def test_no_line_is_too_long(width: int) -> None:
    for role in ("client", "server"):
        text = ladder(talk(*pair(**KEY_TRANSPORT, trace=True))[role], role=role, width=width)
        assert max(map(len, text.splitlines())) <= width
