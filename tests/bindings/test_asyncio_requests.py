"""Handshakes of the asyncio binding that fail, requests that are awaited, events and the key log."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bindings.asyncio_sides import (
    ByHand,
    Recorder,
    a_while,
    closed,
    connected,
    each_version,
    echo,
    eventually,
    open_to,
    port_of,
    run,
    serving,
)
from bindings.sides import HOST, NAME, client_config, server_config, stranger
from memory import credential, store
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    ConnectionFailed,
    Event,
    HandshakeComplete,
    LocalError,
    PeerError,
    PrivatePKI,
    ProtocolVersion,
    Request,
    ServerConnection,
    SignatureRequest,
    UnexpectedEOF,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign
from sanstls_io import asyncio as tls

VERIFICATION, SIGNATURE = frozenset({VerificationRequest}), frozenset({SignatureRequest})


# Handshakes that fail -----------------------------------------------------------------------------------------------


@each_version
def test_a_server_that_is_not_trusted(version: ProtocolVersion) -> None:
    errors: list[Any] = []

    async def main() -> None:
        config = client_config(versions=(version,), verify=PrivatePKI(stranger()))
        async with serving(echo, on_error=lambda *what: errors.append(what)) as server:
            for _ in range(2):
                with pytest.raises(CertificateError) as raised:
                    await open_to(server, config)
                assert raised.value.alert is AlertDescription.unknown_ca
            await eventually(lambda: len(errors) == 2)

    run(main)
    for error, (host, port) in errors:
        assert isinstance(error, AlertReceivedError)
        assert error.description is AlertDescription.unknown_ca
        assert host == HOST
        assert port > 0


@each_version
def test_a_name_that_is_another(version: ProtocolVersion) -> None:
    async def main() -> None:
        async with serving(echo, on_error=lambda *_: None) as server:
            with pytest.raises(CertificateError):
                await open_to(server, client_config(versions=(version,)), server_name="other.example")
            with pytest.raises(CertificateError):
                await tls.open_connection(HOST, port_of(server), client_config(versions=(version,)))

    run(main)


@each_version
@pytest.mark.parametrize("case", ["none", "a stranger's", "good"])
def test_certificates_of_clients(version: ProtocolVersion, case: str) -> None:
    errors: list[Any] = []
    verify = PrivatePKI(store() if case == "good" else stranger())
    of_server = server_config(versions=(version,), verify=verify)
    of_client = client_config(credentials=() if case == "none" else (credential(),))

    async def main() -> None:
        async with serving(echo, of_server, on_error=lambda error, _: errors.append(error)) as server:
            if case == "good":
                reader, writer = await open_to(server, of_client)
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                await closed(writer)
                return

            async def use() -> None:
                # In TLS 1.3 the client can't know until it reads.
                reader, writer = await open_to(server, of_client)
                try:
                    await reader.read(1)
                finally:
                    await closed(writer)

            with pytest.raises(AlertReceivedError) as raised:
                await use()
            await eventually(lambda: errors)
            assert errors[0].alert is raised.value.description

    run(main)
    expected = {"none": (PeerError, CertificateError), "a stranger's": CertificateError}
    assert not errors or isinstance(errors[0], expected[case])
    assert len(errors) == (case != "good")


def test_no_version_in_common() -> None:
    async def main() -> None:
        errors: list[Exception] = []
        of_server = server_config(versions=(ProtocolVersion.TLS12,))
        async with serving(echo, of_server, on_error=lambda error, _: errors.append(error)) as server:
            with pytest.raises(AlertReceivedError, match="protocol_version"):
                await open_to(server, client_config(versions=(ProtocolVersion.TLS13,)))
            await eventually(lambda: errors)
            assert isinstance(errors[0], PeerError)

    run(main)


@pytest.mark.parametrize("how", ["closes", "resets", "talks"])
def test_a_server_that_does_not_speak_tls(how: str) -> None:
    expected = {"closes": UnexpectedEOF, "resets": ConnectionError, "talks": PeerError}

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == "closes":
            await reader.read(65536)
        elif how == "talks":
            writer.write(b"220 mail.example\r\n")
            await reader.read()
        if how == "resets":
            writer.transport.abort()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(hang_up, HOST, 0)
        for _ in range(3):
            with pytest.raises(expected[how]):
                await open_to(server)
        server.close()
        await server.wait_closed()

    run(main)


def test_a_client_that_does_not_speak_tls() -> None:
    """It is nothing for the loop's exception handler, told to somebody or not."""

    async def main() -> None:
        for settings in ({}, {"on_error": None}):
            async with await tls.create_server(Recorder, HOST, 0, server_config(), **settings) as server:
                reader, writer = await asyncio.open_connection(HOST, port_of(server))
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                assert (await reader.read())[:3] == b"\x15\3\3"  # an alert
                writer.close()
                _, writer = await asyncio.open_connection(HOST, port_of(server))
                writer.close()
                await writer.wait_closed()

    run(main)


@each_version
def test_a_handshake_that_is_cut(version: ProtocolVersion) -> None:
    """Whatever ``standard_compatible`` is."""

    async def main() -> None:
        for is_compatible in (True, False):
            errors: list[Any] = []
            of_server = server_config(versions=(version,))
            settings: dict[str, Any] = {
                "standard_compatible": is_compatible,
                "on_error": lambda error, _, errors=errors: errors.append(error),
            }
            async with serving(echo, of_server, **settings) as server:
                streams = await asyncio.open_connection(HOST, port_of(server))
                peer = ByHand(ClientConnection(client_config(), NAME), *streams)
                peer.push()
                peer.cut()
                await peer.until_eof()
                peer.writer.close()
                assert [type(error) for error in errors] == [UnexpectedEOF]

    run(main)


# Requests -----------------------------------------------------------------------------------------------------------


async def answered(request: Request[Any]) -> object:
    await asyncio.sleep(0)
    if isinstance(request, SignatureRequest):
        return sign(request.scheme, credential().key, request.message)
    assert isinstance(request, VerificationRequest)
    return None


@each_version
def test_requests_are_answered(version: ProtocolVersion) -> None:
    asked: list[Request[Any]] = []

    async def answers(request: Request[Any]) -> object:
        asked.append(request)
        await asyncio.sleep(0.01)
        return await answered(request)

    async def main() -> None:
        sides = connected(
            client_config(defer=VERIFICATION, versions=(version,)),
            server_config(defer=SIGNATURE),
            of_client={"answers": answers},
            of_server={"answers": answers},
        )
        async with sides as ((_, writer), (reader, _)):
            writer.write(b"through")
            assert await reader.readexactly(7) == b"through"

    run(main)
    # In TLS 1.3 the certificate comes before the signature, so either may be asked for first.
    assert {type(request) for request in asked} == {SignatureRequest, VerificationRequest}
    assert len(asked) == 2


def test_who_answers_may_take_time_and_holds_up_nobody() -> None:
    may_answer = asyncio.Event()

    async def answers(request: Request[Any]) -> object:
        if not may_answer.is_set():
            may_answer.set()
            await a_while()
            await asyncio.sleep(0.1)
        return await answered(request)

    async def main() -> None:
        async with serving(echo, server_config(defer=SIGNATURE), answers=answers) as server:
            slow = asyncio.create_task(open_to(server))
            await may_answer.wait()
            reader, writer = await open_to(server)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await closed(writer)
            assert not slow.done()
            await closed((await slow)[1])

    run(main)


async def refuses(request: Request[Any]) -> object:
    raise CertificateError("revoked yesterday", alert=AlertDescription.certificate_revoked)


async def breaks(request: Request[Any]) -> object:
    raise ZeroDivisionError("no")


async def mistakes(request: Request[Any]) -> object:
    return "what is this?"


async def gives_up(request: Request[Any]) -> object:
    raise LocalError("I don't know how")


async def is_cancelled(request: Request[Any]) -> object:
    raise asyncio.CancelledError


def is_not_async(request: Request[Any]) -> object:
    return None


@each_version
@pytest.mark.parametrize(
    ("answers", "error", "alert"),
    [
        (refuses, CertificateError, AlertDescription.certificate_revoked),
        (breaks, ZeroDivisionError, AlertDescription.internal_error),
        (mistakes, LocalError, AlertDescription.internal_error),
        (gives_up, LocalError, AlertDescription.internal_error),
        (is_cancelled, ConnectionAbortedError, AlertDescription.internal_error),
        (is_not_async, TypeError, AlertDescription.internal_error),
        (None, LocalError, AlertDescription.internal_error),
    ],
    ids=["refuses", "breaks", "mistakes", "gives up", "is cancelled", "is not async", "none"],
)
@pytest.mark.parametrize("who", ["client", "server"])
def test_requests_that_are_not_answered(
    who: str, answers: Any, error: type[Exception], alert: AlertDescription, version: ProtocolVersion
) -> None:
    errors: list[Any] = []

    async def main() -> None:
        of_client = client_config(versions=(version,), defer=VERIFICATION if who == "client" else frozenset())
        of_server = server_config(defer=SIGNATURE if who == "server" else frozenset())
        options: dict[str, Any] = {"on_error": lambda error, _: errors.append(error)}
        async with serving(echo, of_server, answers=answers, **options) as server:
            with pytest.raises(error if who == "client" else AlertReceivedError) as raised:
                await open_to(server, of_client, answers=answers)
            await eventually(lambda: errors)
        ours, theirs = (raised.value, errors[0]) if who == "client" else (errors[0], raised.value)
        assert type(ours) is error
        if answers is None:
            assert "Request" in str(ours)
            assert "answers=" in str(ours)
        assert theirs.description is alert

    run(main)
    assert len(errors) == 1


def test_a_mistake_of_the_servers_own_is_told_to_the_loop() -> None:
    async def main() -> None:
        async with await tls.create_server(Recorder, HOST, 0, server_config(defer=SIGNATURE)) as server:
            with pytest.raises(AlertReceivedError):
                await open_to(server)

    (error,) = run(main, unhandled=1)
    assert isinstance(error, LocalError)
    assert "answers=" in str(error)


def test_the_handshakes_time_ends_the_wait_for_an_answer() -> None:
    seen: list[str] = []

    async def answers(request: Request[Any]) -> object:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")

    async def main() -> None:
        async with serving(echo, on_error=lambda *_: None) as server:
            with pytest.raises(TimeoutError):
                await open_to(server, client_config(defer=VERIFICATION), answers=answers, handshake_timeout=0.05)
            await a_while()
            assert seen == ["cancelled"]

    run(main)


def test_a_peer_that_goes_while_an_answer_is_waited_for() -> None:
    async def main() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = ServerConnection(server_config(versions=(ProtocolVersion.TLS12,)))
            connection.receive_data(await reader.read(65536))
            writer.write(connection.data_to_send())
            await a_while()
            writer.transport.abort()

        async def answers(request: Request[Any]) -> object:
            await a_while()
            await a_while()

        server = await asyncio.start_server(hang_up, HOST, 0)
        with pytest.raises((ConnectionError, UnexpectedEOF)):
            await open_to(server, client_config(defer=VERIFICATION), answers=answers)
        server.close()
        await server.wait_closed()

    run(main)


def test_a_task_that_answers_is_cancelled_with_the_loop() -> None:
    async def answers(request: Request[Any]) -> object:
        await asyncio.sleep(60)

    async def main() -> None:
        async with serving(echo, on_error=lambda *_: None) as server:
            opening = asyncio.create_task(open_to(server, client_config(defer=VERIFICATION), answers=answers))
            await eventually(lambda: any("answer to" in task.get_name() for task in asyncio.all_tasks()))
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if "answer to" in task.get_name():
                    task.cancel()
            with pytest.raises(ConnectionAbortedError, match="cancelled"):
                await opening

    run(main)


# Events and the key log ---------------------------------------------------------------------------------------------


def test_events_are_told() -> None:
    seen: list[Event] = []

    async def main() -> None:
        async with serving(echo, on_event=seen.append, on_error=lambda *_: None) as server:
            _, writer = await open_to(server)
            await closed(writer)
            assert any(isinstance(event, HandshakeComplete) for event in seen)
            seen.clear()
            with pytest.raises(CertificateError) as raised:
                await open_to(server, client_config(verify=PrivatePKI(stranger())), on_event=seen.append)
            assert ConnectionFailed(raised.value) in seen

    run(main)


@pytest.mark.parametrize("late", [False, True])
def test_who_watches_may_fail(late: bool) -> None:
    is_armed = not late

    def watch(event: Event) -> None:
        if is_armed:
            raise ZeroDivisionError

    async def main() -> None:
        nonlocal is_armed
        async with serving(echo, on_error=lambda *_: None) as server:
            if not late:
                with pytest.raises(ZeroDivisionError):
                    await open_to(server, on_event=watch)
                return
            reader, writer = await open_to(server, on_event=watch)
            await a_while()
            is_armed = True
            writer.write(b"x")
            with pytest.raises(ZeroDivisionError):
                await reader.read(1)
            assert isinstance(await closed(writer), ZeroDivisionError)

    run(main, unhandled=int(late))


@each_version
def test_secrets_are_logged(version: ProtocolVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))

    async def main() -> None:
        async with connected(client_config(versions=(version,))):
            assert not path.exists()
        async with connected(client_config(versions=(version,), key_log=True), server_config(key_log=True)):
            lines = path.read_text().splitlines()
            assert sorted(lines)[::2] == sorted(lines)[1::2]  # each side has written the same

    run(main)


def test_a_key_log_that_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path))

    async def main() -> None:
        async with serving(echo, on_error=lambda *_: None) as server:
            with pytest.raises(IsADirectoryError):
                await open_to(server, client_config(key_log=True))

    run(main)
