"""What a ``TLSStream`` on anyio asks: deferred requests, answered by an async function that may take its time."""

from typing import Any

import anyio
import pytest

from bindings.anyio_sides import Task, connected, on_both, receive_exactly, transports
from bindings.sides import NAME, client_config, server_config
from memory import credential
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    ConnectionState,
    LocalError,
    ProtocolVersion,
    Request,
    ServerConnection,
    SignatureRequest,
    UnexpectedEOF,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign
from sanstls_io.anyio import TLSStream

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
VERIFICATION, SIGNATURE = frozenset({VerificationRequest}), frozenset({SignatureRequest})


async def answered(request: Request[Any]) -> object:
    await anyio.sleep(0.001)
    if isinstance(request, SignatureRequest):
        return await anyio.to_thread.run_sync(sign, request.scheme, credential().key, request.message)
    assert isinstance(request, VerificationRequest)
    return None


@on_both
@each_version
async def test_requests_are_answered(version: ProtocolVersion) -> None:
    asked: list[Request[Any]] = []

    async def answers(request: Request[Any]) -> object:
        asked.append(request)
        return await answered(request)

    sides = connected(
        client_config(defer=VERIFICATION, versions=(version,)),
        server_config(defer=SIGNATURE),
        of_client={"answers": answers},
        of_server={"answers": answers},
    )
    async with sides as (client, server):
        await client.send(b"through")
        assert await receive_exactly(server, 7) == b"through"
    # In TLS 1.3 the certificate comes before the signature, so either may be asked for first.
    assert {type(request) for request in asked} == {SignatureRequest, VerificationRequest}
    assert len(asked) == 2


async def refuses(request: Request[Any]) -> object:
    raise CertificateError("revoked yesterday", alert=AlertDescription.certificate_revoked)


async def breaks(request: Request[Any]) -> object:
    raise RuntimeError("the key store is on fire")


async def gives_up(request: Request[Any]) -> object:
    raise LocalError("no key for that")


async def mistakes(request: Request[Any]) -> object:
    return "no answer to anything"


@on_both
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
async def test_requests_that_are_not_answered(
    who: str, answers: Any, error: type[Exception], alert: AlertDescription, version: ProtocolVersion
) -> None:
    client = ClientConnection(
        client_config(versions=(version,), defer=VERIFICATION if who == "client" else frozenset()), NAME
    )
    server = ServerConnection(server_config(defer=SIGNATURE if who == "server" else frozenset()))
    async with transports() as (first, second), anyio.create_task_group() as group:
        ours, theirs = (client, server) if who == "client" else (server, client)
        peer = Task(group, TLSStream.wrap, second, theirs)
        with pytest.raises(error) as raised:
            await TLSStream.wrap(first, ours, answers=answers)
        if answers is None:
            assert "answers=" in str(raised.value)
        told = await peer.error()
        assert isinstance(told, AlertReceivedError)
        assert told.description is alert


@on_both
@each_version
async def test_a_handshake_that_is_cancelled_while_somebody_looks_for_an_answer(version: ProtocolVersion) -> None:
    connection = ClientConnection(client_config(versions=(version,), defer=VERIFICATION), NAME)

    async def never(request: Request[Any]) -> object:
        is_asked.set()
        await anyio.sleep_forever()
        return None

    async with transports() as (ours, theirs), anyio.create_task_group() as group:
        is_asked = anyio.Event()
        peer = Task(group, TLSStream.wrap, theirs, ServerConnection(server_config()))
        handshake = Task(group, lambda: TLSStream.wrap(ours, connection, answers=never))
        await is_asked.wait()
        assert connection.state is ConnectionState.WAITING
        handshake.scope.cancel()
        await handshake.error()
        assert connection.state is ConnectionState.WAITING
        await ours.aclose()
        assert isinstance(await peer.error(), UnexpectedEOF)
