"""The trio stream: what trio's own tests of streams ask for, ends, errors, cancellation, both directions at once."""

import random
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from bindings.sides import NAME, client_config, server_config, stranger
from bindings.trio_sides import (
    VERSIONS,
    Pair,
    on,
    open_pair,
    pair,
    receive_all,
    receive_exactly,
    run,
    together,
)
from sanstls import (
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    Event,
    HandshakeComplete,
    LocalError,
    PrivatePKI,
    ProtocolVersion,
    Request,
    ServerConnection,
    SignatureRequest,
    UnexpectedEOF,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign
from sanstls_io.trio import TLSStream

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.text)

# trio's own -------------------------------------------------------------------------------------------------------


@each_version
def test_it_is_a_stream_by_trios_own_tests(version: ProtocolVersion) -> None:
    async def make() -> Pair:
        return await open_pair(version)

    async def make_clogged() -> Pair:
        transports = trio.testing.lockstep_stream_pair()
        client, server = on(transports, version)
        await together(client.do_handshake, server.do_handshake)
        return client, server

    for makers in ((make, None), (make_clogged, make_clogged)):
        for check in (trio.testing.check_two_way_stream, trio.testing.check_half_closeable_stream):
            run(check, *makers, clock=trio.testing.MockClock(autojump_threshold=0))


@each_version
def test_the_handshake_is_done_by_the_first_call(version: ProtocolVersion) -> None:
    async def work() -> None:
        client, server = pair(version)
        await together(partial(client.send_all, b"ping"), partial(receive_exactly, server, 4))
        assert client.info.version is server.info.version is version
        await server.send_all(b"pong")
        assert await client.receive_some(3) == b"pon"
        assert await client.receive_some() == b"g"
        assert client.export_keying_material("x", 8) == server.export_keying_material("x", 8)
        await client.do_handshake()
        assert "data flows" in repr(client)
        await together(client.aclose, server.aclose)

    run(work)


@each_version
@pytest.mark.parametrize("size", [1, 16384, 16385, 1 << 20])
def test_data_both_ways_at_once(version: ProtocolVersion, size: int) -> None:
    async def work() -> None:
        client, server = await open_pair(version)
        data = bytes(random.Random(size).randbytes(size))
        results = await together(
            partial(client.send_all, data),
            partial(server.send_all, memoryview(data)),
            partial(receive_exactly, client, size),
            partial(receive_exactly, server, size),
        )
        assert results[2:] == [data, data]

    run(work)


def test_key_updates_in_between() -> None:
    async def work() -> None:
        client, server = await open_pair()
        data = bytes(200_000)

        async def send(stream: TLSStream) -> None:
            for start in range(0, len(data), 20_000):
                stream.connection.update_keys(request_peer=True)
                await stream.send_all(data[start : start + 20_000])

        results = await together(
            partial(send, client),
            partial(send, server),
            partial(receive_exactly, client, len(data)),
            partial(receive_exactly, server, len(data)),
        )
        assert results[2:] == [data, data]

    run(work)


# Ends -------------------------------------------------------------------------------------------------------------


@each_version
def test_half_close(version: ProtocolVersion) -> None:
    async def work() -> None:
        for first, second in (await open_pair(version), (await open_pair(version))[::-1]):
            await first.send_all(b"the last")
            await first.send_eof()
            await first.send_eof()
            assert await receive_all(second) == b"the last"
            assert await second.receive_some() == b""
            with pytest.raises(trio.ClosedResourceError):
                await first.send_all(b"more")
            await second.send_all(b"the answer")
            await second.aclose()
            assert await receive_all(first) == b"the answer"
            await first.aclose()
            await first.aclose()

    run(work)


@each_version
@pytest.mark.parametrize("standard_compatible", [True, False])
def test_truncation(version: ProtocolVersion, standard_compatible: bool) -> None:
    async def work() -> None:
        client, server = await open_pair(version, of_client={"standard_compatible": standard_compatible})
        await server.send_all(b"not all")
        await server.transport_stream.aclose()
        assert await client.receive_some() == b"not all"
        if not standard_compatible:
            assert await client.receive_some() == b""
            return
        for expected in (UnexpectedEOF, trio.BrokenResourceError):  # it is both
            with pytest.raises(expected, match="without close_notify"):
                await client.receive_some()
        with pytest.raises(trio.BrokenResourceError) as caught:
            await client.send_all(b"x")
        assert isinstance(caught.value.__cause__, UnexpectedEOF)

    run(work)


@each_version
def test_unwrap(version: ProtocolVersion) -> None:
    async def work() -> None:
        client, server = await open_pair(version)
        await server.send_all(b"unread")

        async def early() -> None:
            with pytest.raises(LocalError, match="unwrap when"):
                await client.unwrap()
            assert await client.receive_some() == b"unread"

        await early()
        assert await server.receive_some() == b""
        server.connection.close()
        closing = b"".join(server.connection.buffers_to_send())
        await server.transport_stream.send_all(closing + b"220 in the clear")
        transport, trailing = await client.unwrap()
        assert trailing == b"220 in the clear"
        assert transport is client.transport_stream
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some()
        await transport.send_all(b"QUIT")
        assert await server.transport_stream.receive_some() == b"QUIT"

    run(work)


def test_closing_does_not_wait_for_a_peer_that_takes_nothing() -> None:
    async def work() -> None:
        clogged = trio.testing.lockstep_stream_pair()
        client, server = on(clogged)
        await together(client.do_handshake, server.do_handshake)
        before = trio.current_time()
        await client.aclose()
        assert trio.current_time() - before < 5

    run(work, clock=trio.testing.MockClock(autojump_threshold=0))


def test_leaving_by_an_exception_is_no_proper_end() -> None:
    async def work() -> None:
        client, server = await open_pair()

        async def fail() -> None:
            async with client:
                await client.send_all(b"half of it")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await server.receive_some() == b"half of it"
        with pytest.raises(AlertReceivedError):
            await server.receive_some()

    run(work)


# Errors -----------------------------------------------------------------------------------------------------------


@each_version
def test_a_certificate_that_is_not_trusted(version: ProtocolVersion) -> None:
    async def work() -> None:
        client, server = pair(version, client={"verify": PrivatePKI(stranger())})

        async def refuse() -> None:
            with pytest.raises(CertificateError):
                await client.do_handshake()

        async def learn() -> None:
            with pytest.raises(AlertReceivedError, match="unknown_ca"):
                await server.receive_some()

        await together(refuse, learn)
        with pytest.raises(trio.BrokenResourceError) as caught:
            await client.send_all(b"x")
        assert isinstance(caught.value.__cause__, CertificateError)

    run(work)


def test_two_tasks_that_do_the_same() -> None:
    async def work() -> None:
        client, _server = await open_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.receive_some)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await client.receive_some()
            nursery.cancel_scope.cancel()

    run(work)


def test_wrong_sizes() -> None:
    async def work() -> None:
        client, _server = await open_pair()
        for size in (0, -1):
            with pytest.raises(ValueError, match="at least 1"):
                await client.receive_some(size)
        with pytest.raises(TypeError):
            await client.receive_some(1.5)  # type: ignore[arg-type]

    run(work)


# Cancellation -----------------------------------------------------------------------------------------------------


@each_version
def test_receiving_can_be_cancelled_at_any_time(version: ProtocolVersion) -> None:
    """Nothing is lost or doubled."""

    async def work() -> None:
        client, server = await open_pair(version)
        data = bytes(random.Random(1).randbytes(300_000))
        rng = random.Random(2)

        async def send() -> None:
            position = 0
            while position < len(data):
                size = rng.randrange(1, 20_000)
                await server.send_all(data[position : position + size])
                position += size
                await trio.sleep(rng.random() / 100)
            await server.send_eof()

        async def receive() -> bytes:
            received = b""
            while True:
                with trio.move_on_after(rng.random() / 100):
                    part = await client.receive_some(rng.randrange(1, 30_000))
                    if not part:
                        return received
                    received += part

        results = await together(send, receive)
        assert results[1] == data

    run(work, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_cancelled_send_leaves_the_stream_usable_or_clearly_broken() -> None:
    async def work() -> None:
        client, server = await open_pair()
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.send_all(b"never begun")
        assert scope.cancelled_caught
        await client.send_all(b"fine")
        assert await server.receive_some() == b"fine"
        # Now in the middle of a record.
        clogged, other = on(trio.testing.lockstep_stream_pair())
        await together(clogged.do_handshake, other.do_handshake)
        with trio.move_on_after(1):
            await clogged.send_all(b"half")
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError):
                await clogged.send_all(b"more")
        with pytest.raises(trio.BrokenResourceError):
            await clogged.send_eof()
        async with trio.open_nursery() as nursery:  # receiving goes on
            nursery.start_soon(other.send_all, b"still here")
            assert await clogged.receive_some() == b"still here"

    run(work, clock=trio.testing.MockClock(autojump_threshold=0))


# Requests and events ----------------------------------------------------------------------------------------------


@each_version
def test_requests_are_answered(version: ProtocolVersion) -> None:
    async def work() -> None:
        asked: list[type[Request[Any]]] = []

        async def answers(request: Request[Any]) -> object:
            asked.append(type(request))
            await trio.sleep(0)
            if isinstance(request, SignatureRequest):
                assert request.credential.key is not None
                return sign(request.scheme, request.credential.key, request.message)
            return None

        client, server = pair(
            version,
            client={"defer": frozenset({VerificationRequest})},
            server={"defer": frozenset({SignatureRequest})},
            of_client={"answers": answers},
            of_server={"answers": answers},
        )
        await together(client.do_handshake, server.do_handshake)
        assert set(asked) == {VerificationRequest, SignatureRequest}

    run(work)


def test_a_request_that_is_refused_or_that_nobody_answers() -> None:
    async def refuse(_: Request[Any]) -> object:
        raise CertificateError("not today")

    async def work(answers: Any, expected: type[Exception]) -> None:
        client, server = pair(client={"defer": frozenset({VerificationRequest})}, of_client={"answers": answers})

        async def of_client() -> None:
            with pytest.raises(expected):
                await client.do_handshake()

        async def of_server() -> None:
            with pytest.raises(AlertReceivedError):
                await server.receive_some()

        await together(of_client, of_server)

    run(work, refuse, CertificateError)
    run(work, None, LocalError)


def test_events_are_told() -> None:
    async def work() -> None:
        told: list[Event] = []
        client, server = pair(of_client={"on_event": told.append})
        await together(client.do_handshake, server.do_handshake)
        assert any(isinstance(event, HandshakeComplete) for event in told)

    run(work)


def test_tls_in_tls() -> None:
    async def work() -> None:
        outer_client, outer_server = await open_pair()
        client = TLSStream(outer_client, ClientConnection(client_config(), NAME))
        server = TLSStream(outer_server, ServerConnection(server_config()))
        results = await together(partial(client.send_all, b"twice"), partial(receive_exactly, server, 5))
        assert results[1] == b"twice"
        await client.aclose()
        assert await server.receive_some() == b""

    run(work)
