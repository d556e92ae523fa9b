"""The ladder: what it shows, in which order and under which keys; and that nothing makes it fail or tell a secret."""

import re
from functools import cache
from typing import Literal

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

import sanstls
from ladder_arrows import APPLICATION, CLEAR, HANDSHAKE, arrows
from sanstls.inspect import ladder
from sanstls.wire.codec import Struct
from sanstls.wire.extensions import Extensions, ServerName, ServerNameList
from sanstls.wire.messages import Certificate, CertificateEntry, ClientHello
from sanstls.wire.registries import AlertLevel, ContentType, NameType

NAME = "ladder.example"
SECRET_DATA = b"the-application-data-itself"
Role = Literal["client", "server"]


@cache
def _pki() -> tuple[trustme.CA, sanstls.Credential]:
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    leaf = ca.issue_cert(NAME, key_type=trustme.KeyType.ECDSA)
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return ca, sanstls.Credential.from_pem(chain, leaf.private_key_pem.bytes())


def _talk(client: sanstls.ClientConnection, server: sanstls.ServerConnection) -> dict[Role, list[sanstls.Event]]:
    """A whole connection: data both ways, a KeyUpdate, and the end. Or as far as it gets."""
    events: dict[Role, list[sanstls.Event]] = {"client": [], "server": []}

    def exchange() -> None:
        while client.pending or server.pending:
            events["server"] += server.receive_data(client.data_to_send())
            events["client"] += client.receive_data(server.data_to_send())

    exchange()
    if client.state is sanstls.ConnectionState.OPEN:
        client.send_data(SECRET_DATA)
        exchange()
        client.update_keys(request_peer=True)
        exchange()
        server.send_data(SECRET_DATA * 2)
        exchange()
        client.close()
        exchange()
        server.close()
        exchange()
    events["server"] += server.receive_data(b"")
    return events


@cache
def connection(kind: str = "full") -> dict[Role, list[sanstls.Event]]:
    ca, credential = _pki()
    groups = (sanstls.NamedGroup.secp384r1,) if kind == "retry" else (sanstls.NamedGroup.x25519,)
    store = sanstls.TrustStore.from_pem((trustme.CA() if kind == "failure" else ca).cert_pem.bytes())
    client = sanstls.ClientConnection(
        sanstls.ClientConfig(
            verify=sanstls.DangerouslyAcceptAny() if kind == "any" else sanstls.PrivatePKI(store),
            alpn=("h2", "http/1.1"),
            trace=True,
            key_log=True,
        ),
        NAME,
    )
    server = sanstls.ServerConnection(
        sanstls.ServerConfig(
            credentials=(credential,), groups=groups, alpn=("h2",), session_tickets=0, trace=True, key_log=True
        )
    )
    return _talk(client, server)


FULL = [
    ("▶", "ClientHello", CLEAR),
    ("◀", "ServerHello", CLEAR),
    ("◀", "ChangeCipherSpec", CLEAR),
    ("◀", "EncryptedExtensions", HANDSHAKE),
    ("◀", "Certificate", HANDSHAKE),
    ("◀", "CertificateVerify", HANDSHAKE),
    ("◀", "Finished", HANDSHAKE),
    ("▶", "ChangeCipherSpec", CLEAR),
    ("▶", "Finished", HANDSHAKE),
    ("▶", "ApplicationData", APPLICATION),
    ("▶", "KeyUpdate", APPLICATION),
    ("◀", "KeyUpdate", APPLICATION),
    ("◀", "ApplicationData", APPLICATION),
    ("▶", "Alert: close_notify", APPLICATION),
    ("◀", "Alert: close_notify", APPLICATION),
]


def test_a_server_sees_each_message_in_order_and_under_its_keys() -> None:
    assert arrows(ladder(connection()["server"], role="server")) == FULL


def test_a_client_sees_the_same_but_when_its_own_change_cipher_spec_goes_out() -> None:
    own = ("▶", "ChangeCipherSpec", CLEAR)
    expected = [arrow for arrow in FULL if arrow != own]
    expected.insert(2, own)
    assert arrows(ladder(connection()["client"], role="client")) == expected


def test_a_retry_has_two_client_hellos() -> None:
    for role in ("client", "server"):
        text = ladder(connection("retry")[role], role=role)
        hellos = [name for _, name, _ in arrows(text) if "Hello" in name]
        assert hellos == ["ClientHello", "HelloRetryRequest", "ClientHello", "ServerHello"]
        assert "wanted share    secp384r1" in text
        assert "what the HelloRetryRequest asked for" in text


def test_it_tells_what_was_offered_and_chosen() -> None:
    text = ladder(connection()["client"], role="client", title="A title")
    assert text.startswith("A title\n═══════\n")
    for wanted in (
        "client (this side)",
        f"server name     {NAME}",
        "ALPN            h2, http/1.1",
        "versions        TLS 1.3, TLS 1.2",
        "X25519MLKEM768 (1216 bytes), x25519 (32 bytes)",
        "chosen suite    TLS_AES_256_GCM_SHA384",
        "key share       x25519 (32 bytes)",
        "chosen ALPN     h2",
        "key             EC secp256r1",
        "signature       ecdsa_secp256r1_sha256",
        "derived: client_handshake_traffic_secret",
        "derived: exporter_secret",
        "derived: the next keys for sending",
        "HANDSHAKE COMPLETE: TLS 1.3 · TLS_AES_256_GCM_SHA384 · x25519",
        f"verified for {NAME}",
        "(RFC 9846 4.5.3)",
    ):
        assert wanted in text, wanted


def test_the_anchor_of_the_verified_chain_is_named() -> None:
    ca, _ = _pki()
    root = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    assert root.subject.rfc4514_string() in ladder(connection()["client"], role="client", width=400)


def test_a_server_says_that_the_client_was_not_asked() -> None:
    assert "the client showed no certificate" in ladder(connection()["server"], role="server")


def test_an_unverified_peer_is_called_so() -> None:
    assert "NOT VERIFIED" in ladder(connection("any")["client"], role="client")


def test_a_failure_is_told_on_both_sides() -> None:
    client = ladder(connection("failure")["client"], role="client")
    assert "✗ FAILED" in client
    assert "CertificateError" in client
    assert arrows(client)[-1] == ("▶", "Alert: unknown_ca", HANDSHAKE)
    server = ladder(connection("failure")["server"], role="server")
    assert arrows(server)[-1] == ("▶", "Alert: unknown_ca", HANDSHAKE)
    assert "the peer ended the connection with the alert unknown_ca" in server


def test_data_in_many_pieces_is_one_arrow() -> None:
    piece = sanstls.MessageReceived(
        "ApplicationData", ContentType.application_data, sanstls.Epoch.application, 1000, None
    )
    text = ladder([piece, sanstls.DataReceived(b"x" * 1000)] * 5, role="client")
    assert "ApplicationData ×5 · 5000 bytes · application keys" in text


def _traced(message: Struct, name: str) -> sanstls.MessageReceived:
    return sanstls.MessageReceived(name, ContentType.handshake, sanstls.Epoch.handshake, 10, message)


@pytest.mark.parametrize("der", [b"\x00", b"no certificate", b"\x30\x03\x02\x01\x01"])
def test_a_malformed_certificate_is_called_so(der: bytes) -> None:
    message = Certificate(b"", (CertificateEntry(der, Extensions()),))
    assert "malformed" in ladder([_traced(message, "Certificate")], role="client")


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_broken_certificate_makes_it_fail(junk: bytes, position: int) -> None:
    der = _pki()[1].leaf.public_bytes(Encoding.DER)
    broken = der[:position] + junk + der[position + len(junk) :]
    message = Certificate(b"", (CertificateEntry(broken, Extensions()),))
    assert "certificate 0" in ladder([_traced(message, "Certificate")], role="client")


@given(st.binary(min_size=1, max_size=300), st.integers(1, 150))
def test_names_of_a_peer_stay_on_their_lines(name: bytes, width: int) -> None:
    hello = next(
        event.message
        for event in connection()["client"]
        if isinstance(event, sanstls.MessageSent) and isinstance(event.message, ClientHello)
    )
    names = Extensions([ServerNameList((ServerName(NameType.host_name, name),))])
    text = ladder([_traced(hello.replace(extensions=names), "ClientHello")], role="server", width=width)
    assert all(line.isprintable() and len(line) <= width for line in text.split("\n"))


def test_wide_characters_take_two_columns() -> None:
    title = "証明書" * 30
    lines = ladder([], role="client", width=60, title=title).split("\n")
    assert lines[0] == title[:30]


def test_without_a_trace_the_notices_are_shown() -> None:
    events: list[sanstls.Event] = [
        sanstls.DataReceived(b"12345"),
        sanstls.CloseNotifyReceived(),
        sanstls.VerificationRequest((), NAME, "server"),
        sanstls.AlertReceived(AlertLevel.warning, sanstls.AlertDescription.user_canceled),
        sanstls.ConnectionFailed(sanstls.UnexpectedEOF("it ended")),
    ]
    text = ladder(events, role="client")
    assert "trace=True" in text
    assert "received: 5 bytes of application data" in text
    assert "CloseNotifyReceived" in text
    assert "waits for an answer to a VerificationRequest" in text
    assert "the alert user_canceled" in text
    assert "✗ FAILED: it ended (UnexpectedEOF)" in text


def test_an_event_with_strange_values_is_skipped_over() -> None:
    strange = sanstls.MessageSent("ClientHello", ContentType.handshake, None, 1)  # type: ignore[arg-type]
    assert "MessageSent: it can't be shown" in ladder([strange], role="client")


ALL_EVENTS = [
    event for kind in ("full", "retry", "failure", "any") for side in connection(kind).values() for event in side
]


def secrets() -> set[str]:
    lines = [event.line for event in ALL_EVENTS if isinstance(event, sanstls.SecretLogged)]
    return {line.split(" ")[2] for line in lines}


@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("width", [48, 100, 5000])
def test_no_secret_and_no_data_is_shown(role: Role, width: int) -> None:
    text = ladder(ALL_EVENTS, role=role, width=width)
    squeezed = re.sub(r"[\s│]", "", text)
    assert len(secrets()) >= 10
    for secret in secrets():
        assert secret[:16] not in squeezed
    assert SECRET_DATA.decode() not in squeezed
    assert SECRET_DATA.hex() not in squeezed


def test_a_key_log_line_of_another_form_is_not_shown() -> None:
    text = ladder([sanstls.SecretLogged("0123456789ABCDEF0123456789ABCDEF")], role="client")
    assert "0123" not in text


@given(
    st.lists(st.sampled_from(ALL_EVENTS), max_size=60),
    st.sampled_from(["client", "server"]),
    st.integers(-5, 200),
    st.text(max_size=80),
)
def test_any_events_give_a_diagram_within_the_width(
    events: list[sanstls.Event], role: Role, width: int, title: str
) -> None:
    text = ladder(iter(events), role=role, width=width, title=title)
    assert all(len(line) <= max(width, 0) for line in text.split("\n"))


def test_the_lifelines_are_straight() -> None:
    for width in (48, 80, 100, 131):
        lines = ladder(connection()["client"], role="client", width=width).split("\n")
        body = lines[next(i for i, line in enumerate(lines) if line.startswith("╷")) :]
        assert {len(line) for line in body} == {width}
        assert all(line[0] in "╷│├╵" and line[-1] in "╷│▶┤╵" for line in body)
