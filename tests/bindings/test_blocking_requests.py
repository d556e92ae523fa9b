"""What a ``TLSSocket`` asks and tells: deferred requests, events, and the lines of a key log."""

import threading
from pathlib import Path
from typing import Any

import pytest

from bindings.sides import (
    TIMEOUT,
    Task,
    client_config,
    connect_to,
    connected,
    echo,
    eventually,
    receive_exactly,
    server_config,
    serving,
    stranger,
    unconnected,
    web_server,
)
from memory import credential
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ConnectionFailed,
    ConnectionState,
    DataReceived,
    Event,
    HandshakeComplete,
    LocalError,
    PrivatePKI,
    ProtocolVersion,
    Request,
    SignatureRequest,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign
from sanstls_io import blocking

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
SHORT = 0.05


# Who is asked -------------------------------------------------------------------------------------------------------


def answered(request: Request[Any]) -> object:
    if isinstance(request, SignatureRequest):
        return sign(request.scheme, credential().key, request.message)
    assert isinstance(request, VerificationRequest)
    return None


VERIFICATION, SIGNATURE = frozenset({VerificationRequest}), frozenset({SignatureRequest})


@each_version
def test_requests_are_answered(version: ProtocolVersion) -> None:
    asked: list[Request[Any]] = []

    def answers(request: Request[Any]) -> object:
        asked.append(request)
        return answered(request)

    sides = connected(
        client_config(defer=VERIFICATION, versions=(version,)),
        server_config(defer=SIGNATURE),
        of_client={"answers": answers},
        of_server={"answers": answers},
    )
    with sides as (client, server):
        client.sendall(b"through")
        assert receive_exactly(server, 7) == b"through"
    # In TLS 1.3 the certificate comes before the signature, so either may be asked for first.
    assert {type(request) for request in asked} == {SignatureRequest, VerificationRequest}
    assert len(asked) == 2


def test_who_answers_may_take_time() -> None:
    """Neither a lock nor the other calls are held up meanwhile."""
    is_asked, may_answer = threading.Event(), threading.Event()

    def answers(request: Request[Any]) -> object:
        is_asked.set()
        assert may_answer.wait(TIMEOUT)
        return answered(request)

    with (
        unconnected(client_config(defer=VERIFICATION), of_client={"answers": answers}) as (client, server),
        Task(server.do_handshake),
        Task(lambda: client.sendall(b"x")),
    ):
        assert is_asked.wait(TIMEOUT)
        assert client.connection.state is ConnectionState.WAITING
        assert client.pending() == 0
        client.settimeout(SHORT)
        with pytest.raises(TimeoutError):
            client.recv(1)
        may_answer.set()


def refuses(request: Request[Any]) -> object:
    raise CertificateError("revoked yesterday", alert=AlertDescription.certificate_revoked)


def breaks(request: Request[Any]) -> object:
    raise RuntimeError("the key store is on fire")


def gives_up(request: Request[Any]) -> object:
    raise LocalError("no key for that")


def mistakes(request: Request[Any]) -> object:
    return "no answer to anything"


@each_version
@pytest.mark.parametrize(
    ("answers", "error", "alert"),
    [
        (refuses, CertificateError, AlertDescription.certificate_revoked),
        (breaks, RuntimeError, AlertDescription.internal_error),
        (mistakes, LocalError, AlertDescription.internal_error),
        (gives_up, LocalError, AlertDescription.internal_error),
        (None, LocalError, AlertDescription.internal_error),
    ],
    ids=["refuses", "breaks", "mistakes", "gives up", "none"],
)
@pytest.mark.parametrize("who", ["client", "server"])
def test_requests_that_are_not_answered(
    who: str, answers: Any, error: type[Exception], alert: AlertDescription, version: ProtocolVersion
) -> None:
    client_side = client_config(versions=(version,), defer=VERIFICATION if who == "client" else frozenset())
    server_side = server_config(defer=SIGNATURE if who == "server" else frozenset())
    options: dict[str, Any] = {f"of_{who}": {"answers": answers}}
    with unconnected(client_side, server_side, **options) as sides:
        ours, theirs = sides if who == "client" else (sides.server, sides.client)
        peer = Task(theirs.do_handshake)
        with pytest.raises(error) as raised:
            ours.do_handshake()
        if answers is None:
            assert "VerificationRequest" in str(raised.value) or "SignatureRequest" in str(raised.value)
            assert "answers=" in str(raised.value)
        assert isinstance(peer.error, AlertReceivedError)
        assert peer.error.description is alert
        with pytest.raises(CertificateError if answers is refuses else LocalError):
            ours.recv(1)


def test_connect_hands_on_who_answers_and_who_watches() -> None:
    seen: list[Event] = []
    asked: list[Request[Any]] = []
    config = client_config(defer=VERIFICATION)
    with (
        serving(echo) as server,
        connect_to(server, config, answers=asked.append, on_event=seen.append) as tls,
    ):
        tls.sendall(b"x")
        assert tls.recv(1) == b"x"
    assert len(asked) == 1
    kinds = (VerificationRequest, HandshakeComplete, DataReceived)
    assert [type(event) for event in seen if isinstance(event, kinds)] == list(kinds)
    assert asked[0] in seen


def test_the_failure_is_told_too() -> None:
    seen: list[Event] = []
    refusing = client_config(verify=PrivatePKI(stranger()))
    with serving(echo, on_error=lambda *_: None) as server, pytest.raises(CertificateError) as raised:
        connect_to(server, refusing, on_event=seen.append)
    assert seen[-1] == ConnectionFailed(raised.value)


# The key log --------------------------------------------------------------------------------------------------------


@each_version
def test_secrets_are_logged_if_both_say_so(
    version: ProtocolVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    with connected(client_config(versions=(version,))):
        pass
    assert not path.exists()
    with connected(client_config(versions=(version,), key_log=True)):
        of_client = sorted(path.read_text().splitlines())
        path.unlink()
    with connected(client_config(versions=(version,), key_log=True), server_config(key_log=True)):
        lines = path.read_text().splitlines()
    assert len(lines) == 2 * len(of_client)
    assert sorted(lines)[::2] == sorted(lines)[1::2]  # each side has written the same
    assert [line.split(" ")[0] for line in of_client] == [line.split(" ")[0] for line in sorted(set(lines))]


@pytest.mark.usefixtures("web_root")
def test_secrets_of_the_default_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    with serving(echo, web_server()) as server, blocking.connect("localhost", server.address[1], timeout=TIMEOUT):
        eventually(lambda: "CLIENT_TRAFFIC_SECRET_0" in path.read_text())


def test_a_key_log_that_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path))
    with connected():  # nobody wants to write
        pass
    with unconnected(client_config(key_log=True)) as (client, server), Task(server.do_handshake) as peer:
        with pytest.raises(IsADirectoryError), client:
            client.do_handshake()
        assert peer.error is None  # the client's last message was on its way already
        with pytest.raises(AlertReceivedError, match="internal_error"):
            server.recv(1)
