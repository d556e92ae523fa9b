"""The traces of RFC 8448, byte for byte: the simple handshake, HelloRetryRequest and compatibility mode.

What our side would choose (hellos, key shares, extensions, the signature) is put in from the trace; everything that
follows from it is computed, and has to be the trace's.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from sanstls.config import ClientConfig, ServerConfig
from sanstls.connection import ClientConnection, ConnectionState, ServerConnection
from sanstls.crypto.groups import KeyShare, generate
from sanstls.crypto.suites import SUITES13
from sanstls.events import (
    CloseNotifyReceived,
    ConnectionFailed,
    DataReceived,
    HandshakeComplete,
    SecretLogged,
    SignatureRequest,
    VerificationRequest,
)
from sanstls.handshake import client as client_flow
from sanstls.handshake import client13, server13
from sanstls.identity import Credential, DangerouslyAcceptAny
from sanstls.schedule.key_schedule13 import KeySchedule, hkdf_expand_label, traffic_key_and_iv, verify_data
from sanstls.wire.messages import (
    Certificate,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    HandshakeMessage,
    ServerHello,
)
from sanstls.wire.registries import CipherSuite, NamedGroup, SignatureScheme
from vectors import Record, Side, Trace, load_rfc8448

SECTIONS = (3, 5, 7)
GROUPS = {"x25519": NamedGroup.x25519, "P-256": NamedGroup.secp256r1}
SUITE = SUITES13[CipherSuite.TLS_AES_128_GCM_SHA256]
SCHEME = SignatureScheme.rsa_pss_rsae_sha256
KEY_LOG = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "c hs traffic",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": "s hs traffic",
    "CLIENT_TRAFFIC_SECRET_0": "c ap traffic",
    "SERVER_TRAFFIC_SECRET_0": "s ap traffic",
    "EXPORTER_SECRET": "exp master",
}


def parsed(trace: Trace, cls: type[Any], name: str | None = None, index: int = 0) -> Any:
    return cls.parse(trace.message(name or cls.__name__, index=index)[4:])


def shares(trace: Trace) -> Iterator[KeyShare]:
    """The client's key shares, in the order in which it makes them."""
    for pair in trace.client_private_keys:
        share = generate(GROUPS[pair.group], lambda size, pair=pair: pair.private)  # type: ignore[misc]
        assert share.public == pair.public
        yield share


@pytest.fixture(params=SECTIONS, ids=lambda section: f"section {section}")
def trace(request: pytest.FixtureRequest) -> Trace:
    return load_rfc8448(request.param)


@pytest.fixture
def client(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> ClientConnection:
    own = shares(trace)

    def build_client_hello(hs: Any) -> ClientHello:
        share = next(own)
        hs.key_shares = {share.group: share}
        return parsed(trace, ClientHello)

    def answer_retry(hs: Any, hello: ClientHello, retry: ServerHello) -> ClientHello:
        assert hello == parsed(trace, ClientHello)
        assert retry == parsed(trace, ServerHello, "HelloRetryRequest")
        share = next(own)
        hs.key_shares = {share.group: share}
        return parsed(trace, ClientHello, index=1)

    monkeypatch.setattr(client_flow, "build_client_hello", build_client_hello)
    monkeypatch.setattr(client13, "answer_retry", answer_retry)
    config = ClientConfig(
        verify=DangerouslyAcceptAny(), defer=frozenset({VerificationRequest}), key_log=True, clock=lambda: 0.0
    )
    return ClientConnection(config, "server")


@pytest.fixture
def server(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> ServerConnection:
    hellos = [message for message in trace.messages if message.name == "ClientHello"]
    asked_group = GROUPS[trace.server_private_keys[0].group]
    build_server_hello = server13.build_server_hello
    private = iter([pair.private for pair in trace.server_private_keys])

    def trace_server_hello(hs: Any, *args: Any) -> tuple[ServerHello, bytes]:
        ours, secret = build_server_hello(hs, *args)
        theirs = parsed(trace, ServerHello)
        # The share that we made of the trace's private key, and what follows from the client's hello.
        assert sorted(map(repr, ours.extensions)) == sorted(map(repr, theirs.extensions))
        assert ours.replace(extensions=theirs.extensions, random=theirs.random) == theirs
        assert secret == trace.shared_secret
        return theirs, secret

    def build_hello_retry_request(hello: ClientHello, suite: Any, group: NamedGroup) -> ServerHello:
        assert hello.encode() == hellos[0].data
        assert (suite, group) == (SUITE, asked_group)
        return parsed(trace, ServerHello, "HelloRetryRequest")

    monkeypatch.setattr(server13, "build_server_hello", trace_server_hello)
    monkeypatch.setattr(server13, "build_hello_retry_request", build_hello_retry_request)
    monkeypatch.setattr(
        server13, "build_encrypted_extensions", lambda *args, **kwargs: parsed(trace, EncryptedExtensions)
    )
    chain = [entry.cert_data for entry in parsed(trace, Certificate).certificate_list]
    config = ServerConfig(
        credentials=(Credential(chain, None),),
        cipher_suites=(SUITE.suite,),
        groups=(asked_group,),
        random=lambda size: bytes(size) if size != 32 else next(private, bytes(32)),
        clock=lambda: 0.0,
        session_tickets=0,
        key_log=True,
    )
    return ServerConnection(config)


def secrets_logged(events: list[Any]) -> dict[str, bytes]:
    lines = [event.line.split(" ") for event in events if isinstance(event, SecretLogged)]
    assert len({line[1] for line in lines}) == 1, "one connection has one client random"
    return {KEY_LOG[name]: bytes.fromhex(secret) for name, _, secret in lines}


def expected_secrets(trace: Trace) -> dict[str, bytes]:
    return {name: trace.secrets[name] for name in KEY_LOG.values()}


class Replay:
    """One of our sides against the other side's records from the trace, in the order of the trace."""

    def __init__(self, trace: Trace, side: Side, connection: ClientConnection | ServerConnection) -> None:
        self.trace = trace
        self.side = side
        self.connection = connection
        self.events: list[Any] = []

    def run(self) -> None:
        written = b""
        for record in self.trace.records:
            if record.sender != self.side:
                self._take(self.connection.receive_data(record.data))
                continue
            self._act(record)
            # Each record has to be there when its turn comes, and just as in the trace.
            written += self.connection.data_to_send()
            assert written[: len(record.data)].hex() == record.data.hex(), record.description
            written = written[len(record.data) :]
        assert written == b""

    def _act(self, record: Record) -> None:
        if record.epoch != "application":
            return
        if record.description.startswith("send application_data"):
            self.connection.send_data(record.plaintext)
        elif record.description.startswith("send alert"):
            self.connection.close()
        else:  # a NewSessionTicket, which this library does not make by itself
            self.connection._records.send_message(record.plaintext)
            self.connection._writer.flush_messages()

    def _take(self, events: list[Any]) -> None:
        self.events += events
        for event in events:
            assert not isinstance(event, ConnectionFailed), event.error
            if isinstance(event, VerificationRequest):
                assert event.chain == tuple(
                    entry.cert_data for entry in parsed(self.trace, Certificate).certificate_list
                )
                assert event.server_name == "server"
                self._take(self.connection.answer(event, None))
            elif isinstance(event, SignatureRequest):
                theirs = parsed(self.trace, CertificateVerify)
                assert event.scheme == theirs.algorithm == SCHEME
                self._take(self.connection.answer(event, theirs.signature))

    def of_kind(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def check_outcome(replay: Replay) -> None:
    trace = replay.trace
    assert secrets_logged(replay.events) == expected_secrets(trace)
    assert len(replay.of_kind(HandshakeComplete)) == 1
    data = [
        record.plaintext
        for record in trace.records
        if record.sender != replay.side and record.description.startswith("send application_data")
    ]
    assert [event.data for event in replay.of_kind(DataReceived)] == data
    assert len(data) == (1 if trace.section == 3 else 0)
    assert len(replay.of_kind(CloseNotifyReceived)) == 1
    assert replay.connection.state is ConnectionState.CLOSED
    info = replay.connection.info
    assert info.cipher_suite == SUITE.suite
    assert info.group == GROUPS[trace.server_private_keys[0].group]
    assert info.signature_scheme == SCHEME
    assert info.hello_retried is (trace.section == 5)


def test_our_client_with_their_server(trace: Trace, client: ClientConnection) -> None:
    replay = Replay(trace, "client", client)
    replay.run()
    check_outcome(replay)


def test_our_server_with_their_client(trace: Trace, server: ServerConnection) -> None:
    replay = Replay(trace, "server", server)
    replay.run()
    check_outcome(replay)


def test_our_client_with_our_server(trace: Trace, client: ClientConnection, server: ServerConnection) -> None:
    sides = {"client": Replay(trace, "client", client), "server": Replay(trace, "server", server)}
    wire: dict[str, bytes] = {"client": b"", "server": b""}
    for _ in range(6):
        for name, other in (("client", "server"), ("server", "client")):
            sent = sides[name].connection.data_to_send()
            wire[name] += sent
            sides[other]._take(sides[other].connection.receive_data(sent))
    for name in ("client", "server"):
        early = [record.data for record in trace.sent_by(name) if record.epoch != "application"]  # type: ignore[arg-type]
        assert wire[name] == b"".join(early)
        assert secrets_logged(sides[name].events) == expected_secrets(trace)
        assert sides[name].connection.state is ConnectionState.OPEN
    assert client.export_keying_material("test", 40, b"x") == server.export_keying_material("test", 40, b"x")


@pytest.mark.parametrize("position", [5, 60, 300, 500, -1], ids=lambda position: f"byte {position}")
def test_a_changed_byte_ends_it(trace: Trace, client: ClientConnection, position: int) -> None:
    client.data_to_send()
    for record in trace.sent_by("server"):
        is_protected = record.epoch == "handshake"
        data = bytearray(record.data)
        if is_protected:
            data[position] ^= 1
        events = client.receive_data(data)
        client.data_to_send()
        if is_protected:
            assert isinstance(events[-1], ConnectionFailed)
            assert client.state is ConnectionState.FAILED
            return
    raise AssertionError("there is no protected record")


# The same values from the schedule alone --------------------------------------------------------------------------


def transcript_hash(trace: Trace, last: str, sender: Side) -> bytes:
    """The hash of the messages up to the last one of this name."""
    messages = list(trace.messages)
    raw = [message.data for message in messages]
    if trace.section == 5:
        raw[0] = b"\xfe\x00\x00\x20" + hashlib.sha256(raw[0]).digest()
    end = max(i for i, message in enumerate(messages) if (message.name, message.sender) == (last, sender))
    return hashlib.sha256(b"".join(raw[: end + 1])).digest()


def test_secrets_keys_and_finished(trace: Trace) -> None:
    schedule = KeySchedule("sha256")
    schedule.extract(trace.shared_secret)
    up_to_server_hello = transcript_hash(trace, "ServerHello", "server")
    secrets = {
        name: schedule.derive_secret(name.encode(), up_to_server_hello) for name in ("c hs traffic", "s hs traffic")
    }
    schedule.extract()
    up_to_server_finished = transcript_hash(trace, "Finished", "server")
    for name in ("c ap traffic", "s ap traffic", "exp master"):
        secrets[name] = schedule.derive_secret(name.encode(), up_to_server_finished)
    secrets["res master"] = schedule.derive_secret(b"res master", transcript_hash(trace, "Finished", "client"))
    if "resumption" in trace.secrets:
        secrets["resumption"] = hkdf_expand_label("sha256", secrets["res master"], b"resumption", b"\x00\x00", 32)
    assert secrets == {name: trace.secrets[name] for name in secrets}
    for side, letter in (("client", "c"), ("server", "s")):
        for epoch, short in (("handshake", "hs"), ("application", "ap")):
            key, iv = traffic_key_and_iv("sha256", secrets[f"{letter} {short} traffic"], 16)
            assert (key, iv) == tuple(trace.keys[side][epoch])  # type: ignore[index]
    up_to_certificate_verify = transcript_hash(trace, "CertificateVerify", "server")
    assert verify_data("sha256", secrets["s hs traffic"], up_to_certificate_verify) == trace.finished["server"]
    assert verify_data("sha256", secrets["c hs traffic"], up_to_server_finished) == trace.finished["client"]


def test_every_message_is_one_that_is_declared(trace: Trace) -> None:
    subclasses = HandshakeMessage.__subclasses__()
    kinds = {kind.msg_type: kind for kind in subclasses if kind.__module__ == "sanstls.wire.messages"}
    for message in trace.messages:
        assert kinds[message.data[0]].parse(message.data[4:]).encode() == message.data
