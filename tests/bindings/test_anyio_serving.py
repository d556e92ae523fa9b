"""``connect_tcp`` and ``TLSListener`` on anyio: who is on the other side, and that no handshake holds up another."""

import contextlib
import functools
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import AnyByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from bindings.anyio_sides import Task, echo, on_both, receive_all, receive_exactly
from bindings.sides import HOST, NAME, client_config, pattern, server_config, stranger, web_server
from memory import credential, store
from sanstls import (
    AlertReceivedError,
    CertificateError,
    ClientConfig,
    ClientConnection,
    Event,
    HandshakeComplete,
    LocalError,
    PeerError,
    PrivatePKI,
    ProtocolVersion,
    Request,
    ServerConfig,
    SessionReceived,
    SignatureRequest,
    TLSError,
    UnexpectedEOF,
    WebPKI,
)
from sanstls.crypto.signatures import sign
from sanstls_io import trust
from sanstls_io.anyio import TLSListener, TLSStream, connect_tcp

each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
SHORT = 0.05  # seconds, for what is to time out


class Server:
    """A listener that serves, its port, and what it tells of handshakes that failed."""

    def __init__(self, listener: TLSListener, errors: list[Exception]) -> None:
        self.listener = listener
        self.errors = errors
        self.port: int = listener.extra(SocketAttribute.local_port)

    async def wait_for_errors(self, count: int = 1) -> list[Exception]:
        while len(self.errors) < count:
            await anyio.sleep(0.001)
        return self.errors

    async def connect(self, config: ClientConfig | None = None, **settings: Any) -> TLSStream:
        return await connect_tcp(HOST, self.port, config or client_config(), **({"server_name": NAME} | settings))

    async def plainly(self) -> anyio.abc.SocketStream:
        return await anyio.connect_tcp(HOST, self.port)

    async def serves(self, config: ClientConfig | None = None) -> bool:
        async with await self.connect(config) as tls:
            await tls.send(b"are you there?")
            return await receive_exactly(tls, 14) == b"are you there?"


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[TLSStream], Awaitable[object]] = echo, config: ServerConfig | None = None, **settings: Any
) -> AsyncIterator[Server]:
    """A server of ours on a free port."""
    errors: list[Exception] = []
    settings.setdefault("on_error", lambda error, transport: errors.append(error))
    plain = await anyio.create_tcp_listener(local_host=HOST)
    tls = TLSListener(plain, config or server_config(), **settings)
    async with tls as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handler)
        yield Server(tls, errors)
        group.cancel_scope.cancel()


# Connecting ---------------------------------------------------------------------------------------------------------


@on_both
@pytest.mark.usefixtures("web_root")
async def test_with_nothing_but_host_and_port() -> None:
    async with serving(config=web_server()) as server, await connect_tcp("localhost", server.port) as tls:
        await tls.send(b"hello")
        assert await receive_exactly(tls, 5) == b"hello"
        assert (tls.info.server_name, tls.info.alpn) == ("localhost", None)
        assert tls.info.verified is not None


@on_both
@pytest.mark.usefixtures("web_root")
@pytest.mark.parametrize("is_given", [False, True])
async def test_alpn(is_given: bool) -> None:
    config = client_config(verify=WebPKI(trust.system()), alpn=("replaced",)) if is_given else None
    async with (
        serving(config=web_server()) as server,
        await connect_tcp("localhost", server.port, config, alpn=("http/1.1",)) as tls,
    ):
        assert tls.info.alpn == "http/1.1"


@on_both
@pytest.mark.usefixtures("web_root")
async def test_secrets_of_the_default_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    async with serving(config=web_server()) as server, await connect_tcp("localhost", server.port):
        assert "CLIENT_TRAFFIC_SECRET_0" in path.read_text()


@on_both
@each_version
async def test_the_name_is_checked(version: ProtocolVersion) -> None:
    async with serving() as server:
        for name in (None, "other.example"):
            with pytest.raises(CertificateError):
                await connect_tcp(HOST, server.port, client_config(versions=(version,)), server_name=name)
        errors = await server.wait_for_errors(2)
        assert [type(error) for error in errors] == [AlertReceivedError] * 2
        assert await server.serves()


@on_both
async def test_an_address_is_a_name_too() -> None:
    async with (
        serving(config=server_config(credentials=(credential(HOST),))) as server,
        await connect_tcp(HOST, server.port, client_config(), local_host=HOST) as tls,
    ):
        assert tls.extra(SocketAttribute.remote_address) == (HOST, server.port)


@on_both
@each_version
async def test_a_session_is_resumed(version: ProtocolVersion) -> None:
    seen: list[Event] = []
    config = client_config(versions=(version,))
    async with serving() as server:
        async with await server.connect(config, on_event=seen.append) as first:
            await first.send(b"x")
            assert await first.receive() == b"x"
            assert not first.info.resumed
        (session, *_) = [event.session for event in seen if isinstance(event, SessionReceived)]
        async with await server.connect(config, session=session) as second:
            await second.send(b"y")
            assert await second.receive() == b"y"
            assert second.info.resumed


@on_both
async def test_nobody_listens() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError, match="connection"):
        await connect_tcp(HOST, port, client_config())


@on_both
async def test_a_server_that_says_nothing() -> None:
    with socket.create_server((HOST, 0)) as listener:
        with pytest.raises(TimeoutError), anyio.fail_after(SHORT):
            await connect_tcp(*listener.getsockname(), client_config())
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(SHORT)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while data := accepted.recv(65536):
                    received += data
            assert received[:3] == b"\x16\x03\x01"


@on_both
async def test_a_wrong_name_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(LocalError):
        await connect_tcp(HOST, 1, client_config(), server_name="not a name")


@on_both
async def test_who_answers_and_who_watches() -> None:
    seen: list[Event] = []

    async def answers(request: Request[Any]) -> object:
        assert isinstance(request, SignatureRequest)
        return sign(request.scheme, credential().key, request.message)

    config = server_config(defer=frozenset({SignatureRequest}))
    async with serving(config=config, answers=answers, on_event=seen.append) as server:
        for _ in range(2):
            async with await server.connect(on_event=seen.append):
                pass
    assert len([event for event in seen if isinstance(event, HandshakeComplete)]) == 4


# Serving ------------------------------------------------------------------------------------------------------------


@on_both
async def test_many_clients_at_once() -> None:
    """None is done before all of them have been half-way."""
    count, half_way, all_are_there = 30, 0, anyio.Event()

    async def talk(server: Server, number: int) -> None:
        nonlocal half_way
        data = pattern(50_000, seed=number << 40)
        async with await server.connect() as tls:
            await tls.send(data[:100])
            assert await receive_exactly(tls, 100) == data[:100]
            half_way += 1
            if half_way == count:
                all_are_there.set()
            await all_are_there.wait()
            async with anyio.create_task_group() as group:
                received = Task(group, receive_exactly, tls, len(data))
                await tls.send(data)
            assert await received.result() == data

    async with serving() as server, anyio.create_task_group() as clients:
        for number in range(count):
            clients.start_soon(talk, server, number)


@on_both
async def test_what_is_known_of_a_listener() -> None:
    async with serving(standard_compatible=False) as server:
        assert server.listener.extra(TLSAttribute.standard_compatible) is False
        assert server.listener.extra(SocketAttribute.local_address) == (HOST, server.port)


@on_both
async def test_standard_compatible_is_handed_on() -> None:
    received: list[bytes] = []

    async def handle(stream: TLSStream) -> None:
        async with stream:
            received.append(await receive_all(stream))
            is_over.set()

    is_over = anyio.Event()
    async with serving(handle, standard_compatible=False) as server:
        tls = await server.connect()
        await tls.send(b"and no more")
        await tls.transport_stream.aclose()
        await is_over.wait()
    assert received == [b"and no more"]


@on_both
async def test_the_configuration_is_replaced_while_it_runs() -> None:
    async with (
        serving(config=server_config(alpn=("first",))) as server,
        await server.connect(alpn=("second", "first")) as old,
    ):
        server.listener.config = server_config(alpn=("second",))
        async with await server.connect(alpn=("second", "first")) as new:
            assert (old.info.alpn, new.info.alpn) == ("first", "second")
        await old.send(b"still here")
        assert await receive_exactly(old, 10) == b"still here"


@on_both
async def test_a_task_group_of_the_callers() -> None:
    listener = TLSListener(await anyio.create_tcp_listener(local_host=HOST), server_config())
    port = listener.extra(SocketAttribute.local_port)
    async with anyio.create_task_group() as handlers:
        async with anyio.create_task_group() as serving_tasks:
            serving_tasks.start_soon(functools.partial(listener.serve, echo, task_group=handlers))
            tls = await connect_tcp(HOST, port, client_config(), server_name=NAME)
            serving_tasks.cancel_scope.cancel()
        await listener.aclose()
        async with tls:
            await tls.send(b"still served")
            assert await receive_exactly(tls, 12) == b"still served"


@on_both
async def test_what_a_handler_raises_ends_the_serving() -> None:
    async def fail(stream: TLSStream) -> None:
        async with stream:
            raise ZeroDivisionError

    async def serve() -> None:
        async with serving(fail) as server:
            tls = await server.connect()
            with pytest.raises(AlertReceivedError, match="internal_error"):
                await tls.receive()
            await tls.aclose()
            await anyio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as raised:
        await serve()
    assert raised.value.subgroup(ZeroDivisionError) is not None


# What goes wrong with one -------------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", PeerError),
        (b"SSH-2.0-OpenSSH_9.9\r\n", PeerError),
        (b"\x16\x03\x01\x00", UnexpectedEOF),
        (b"", UnexpectedEOF),
        (bytes(range(256)) * 1000, PeerError),
    ],
    ids=["HTTP", "SSH", "half", "nothing", "garbage"],
)
async def test_what_is_no_tls_harms_nobody(sent: bytes, expected: type[TLSError]) -> None:
    async with serving() as server, await server.connect() as other:
        async with await server.plainly() as plain:
            with contextlib.suppress(anyio.BrokenResourceError):  # it did not want to hear all of that
                await plain.send(sent)
                await plain.send_eof()
                await receive_all(plain)
        (error,) = await server.wait_for_errors()
        assert type(error) is expected
        assert (b"HTTP" in sent) is ("HTTP" in str(error))
        await other.send(b"unharmed")
        assert await receive_exactly(other, 8) == b"unharmed"
        assert await server.serves()


@on_both
async def test_a_client_that_trusts_somebody_else() -> None:
    async with serving() as server:
        with pytest.raises(CertificateError):
            await server.connect(client_config(verify=PrivatePKI(stranger())))
        (error,) = await server.wait_for_errors()
        assert isinstance(error, AlertReceivedError)
        assert await server.serves()


@on_both
async def test_a_client_without_a_certificate() -> None:
    async with serving(config=server_config(verify=PrivatePKI(store()))) as server:
        with pytest.raises((AlertReceivedError, anyio.BrokenResourceError)):
            async with await server.connect() as tls:
                await tls.receive()
        (error,) = await server.wait_for_errors()
        assert isinstance(error, CertificateError)


@on_both
async def test_on_error_can_ask_who_it_was() -> None:
    told: list[object] = []

    def tell(error: Exception, transport: AnyByteStream) -> None:
        told.append(transport.extra(SocketAttribute.remote_address))

    async with serving(on_error=tell) as server, await server.plainly() as plain:
        await plain.send(b"?")
        await plain.send_eof()
        await receive_all(plain)
        assert told == [plain.extra(SocketAttribute.local_address)]


@on_both
async def test_a_silent_client_holds_up_nobody() -> None:
    async with serving(handshake_timeout=1) as server:
        async with await server.plainly() as silent, await server.plainly() as half:
            await half.send(b"\x16\x03\x01")
            for _ in range(3):
                assert await server.serves()
            assert [type(error) for error in await server.wait_for_errors(2)] == [TimeoutError] * 2
            for plain in (silent, half):
                assert (await receive_all(plain))[:1] == b"\x15"  # an alert, and the end
        async with await server.connect() as tls:  # the time of the handshake is no limit to what comes after it
            with anyio.move_on_after(1.1):
                await tls.receive()
            await tls.send(b"x")
            assert await tls.receive() == b"x"


@on_both
async def test_a_slow_client_is_held_to_the_whole_time() -> None:
    """A byte now and then does not prolong the handshake."""
    hello = ClientConnection(client_config(), NAME).data_to_send()
    async with serving(handshake_timeout=SHORT) as server, await server.plainly() as slow:
        for position in range(len(hello) - 1):
            if server.errors:
                break
            await slow.send(hello[position : position + 1])
            await anyio.sleep(0.001)
        (error,) = await server.wait_for_errors()
        assert isinstance(error, TimeoutError)


@on_both
async def test_a_wrong_configuration_fails_connections_and_not_the_server() -> None:
    config = server_config()
    async with serving(config=config) as server:
        server.listener.config = client_config()  # type: ignore[assignment]
        with pytest.raises((TLSError, anyio.BrokenResourceError)):
            await server.connect()
        server.listener.config = config
        assert await server.serves()
        assert [type(error) for error in server.errors] == [LocalError]


@on_both
async def test_without_on_error_a_mistake_is_logged_and_a_peers_end_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(request: Request[Any]) -> object:
        raise ZeroDivisionError("the key store is on fire")

    with caplog.at_level(logging.DEBUG, logger="sanstls_io"):
        async with serving(on_error=None) as server:
            await (await server.plainly()).aclose()
            with pytest.raises(CertificateError):
                await server.connect(client_config(verify=PrivatePKI(stranger())))
            assert await server.serves()
        assert caplog.records == []
        config = server_config(defer=frozenset({SignatureRequest}))
        for answers in (breaks, None):
            async with serving(config=config, answers=answers, on_error=None) as server:
                with pytest.raises(AlertReceivedError, match="internal_error"):
                    await server.connect()
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [ZeroDivisionError, LocalError]
    assert {record.name for record in caplog.records} == {"sanstls_io.anyio"}


@on_both
async def test_a_server_that_is_cancelled_closes_its_handshakes() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving() as server:
            plain = await stack.enter_async_context(await server.plainly())
            await plain.send(b"\x16")
            await anyio.wait_all_tasks_blocked()
        with contextlib.suppress(anyio.BrokenResourceError):
            assert await receive_all(plain) == b""
