"""The anyio binding with anyio's own TLS, Python's ``ssl`` and the ``openssl`` command at the other end."""

import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute
from anyio.streams.tls import TLSStream as TheirStream
from anyio.to_thread import run_sync

from bindings.anyio_sides import Task, both, echo, on_both, receive_all, receive_exactly, transports
from bindings.sides import TIMEOUT, pattern
from bindings.test_blocking_interop import read_all, say, their_server
from interop.certificates import NAME, Certificates
from interop.driver import HOST
from interop.ours import VERSIONS
from interop.peers import OPENSSL
from interop.python_ssl import ssl_context
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    ClientConfig,
    ClientConnection,
    PrivatePKI,
    ProtocolVersion,
    ServerConfig,
    ServerConnection,
    UnexpectedEOF,
)
from sanstls_io.anyio import TLSListener, TLSStream, connect_tcp

pytestmark = pytest.mark.interop

MEGABYTE = 1 << 20
DATA, BACK = pattern(MEGABYTE), pattern(MEGABYTE, seed=1 << 40)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)
each_role = pytest.mark.parametrize("role", ["client", "server"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def our_config(certificates: Certificates, **settings: Any) -> ClientConfig:
    return ClientConfig(**({"verify": PrivatePKI(certificates.store)} | settings))


def our_connection(certificates: Certificates, role: str, **settings: Any) -> ClientConnection | ServerConnection:
    if role == "client":
        return ClientConnection(our_config(certificates, **settings), NAME)
    credentials = (certificates["p256"].credential,)
    return ServerConnection(ServerConfig(credentials=credentials, **settings))


async def our_client(port: int, config: ClientConfig, **settings: Any) -> TLSStream:
    return await connect_tcp(HOST, port, config, server_name=NAME, **settings)


# anyio's own --------------------------------------------------------------------------------------------------------


async def meet(
    certificates: Certificates, role: Any, ours: Any, theirs: Any, version: ProtocolVersion, **settings: Any
) -> tuple[TLSStream, TheirStream]:
    """Our ``role``, and anyio's TLS in the other one."""
    is_server = role == "client"
    context = ssl_context(certificates, "server" if is_server else "client", versions=(version,), alpn=("test",))
    connection = our_connection(certificates, role, alpn=("test",))
    name = None if is_server else NAME
    return await both(
        lambda: TLSStream.wrap(ours, connection, **settings),
        lambda: TheirStream.wrap(theirs, server_side=is_server, hostname=name, ssl_context=context, **settings),
    )


@on_both
@each_role
@each_version
async def test_data_and_the_end_with_anyios_own(
    certificates: Certificates, version: ProtocolVersion, role: str
) -> None:
    async def ask() -> None:
        async with anyio.create_task_group() as group:
            received = Task(group, receive_exactly, mine, len(BACK))
            await mine.send(DATA)
        assert await received.result() == BACK
        assert await receive_all(mine) == b""
        await mine.aclose()

    async def answer() -> None:
        # Not at once: it shares one state for both directions.
        assert await receive_exactly(theirs, len(DATA)) == DATA
        await theirs.send(BACK)
        await theirs.aclose()  # which waits for our close_notify

    async with transports() as transport:
        mine, theirs = await meet(certificates, role, *transport, version)
        await both(ask, answer)


@on_both
@each_role
@each_version
async def test_the_same_attributes_as_anyios_own(
    certificates: Certificates, version: ProtocolVersion, role: str
) -> None:
    async with transports() as transport:
        mine, theirs = await meet(certificates, role, *transport, version)
        same: list[Any] = [TLSAttribute.alpn_protocol, TLSAttribute.tls_version, TLSAttribute.standard_compatible]
        if version is ProtocolVersion.TLS12:
            same.append(TLSAttribute.channel_binding_tls_unique)
        for attribute in same:
            assert mine.extra(attribute) == theirs.extra(attribute)
        assert mine.extra(TLSAttribute.cipher)[1:] == theirs.extra(TLSAttribute.cipher)[1:]
        assert mine.extra(TLSAttribute.server_side) is not theirs.extra(TLSAttribute.server_side)
        client, other = (mine, theirs) if role == "client" else (theirs, mine)
        assert client.extra(TLSAttribute.peer_certificate_binary) == certificates["p256"].der
        assert other.extra(TLSAttribute.peer_certificate_binary) is None


@on_both
@each_role
@each_version
async def test_unwrap_with_anyios_own(certificates: Certificates, version: ProtocolVersion, role: str) -> None:
    async with transports() as transport:
        mine, theirs = await meet(certificates, role, *transport, version)
        await theirs.send(b"of TLS")
        assert await mine.receive() == b"of TLS"
        (plain, trailing), (other, also_trailing) = await both(mine.unwrap, theirs.unwrap)
        await other.send(b"in the clear")
        while len(trailing) < 12:
            trailing += await plain.receive()
        assert (trailing, also_trailing) == (b"in the clear", b"")


@on_both
@each_role
@each_version
async def test_truncation_by_anyios_own(certificates: Certificates, version: ProtocolVersion, role: str) -> None:
    for is_standard in (True, False):
        async with transports() as (ours, other):
            mine, theirs = await meet(certificates, role, ours, other, version, standard_compatible=is_standard)
            await theirs.send(b"half of")
            await other.aclose()
            assert await mine.receive() == b"half of"
            with pytest.raises(UnexpectedEOF if is_standard else anyio.EndOfStream):
                await mine.receive()


@on_both
async def test_tls_of_ours_in_a_tunnel_of_anyios_own(certificates: Certificates) -> None:
    of_client, of_server = ssl_context(certificates, "client"), ssl_context(certificates, "server")
    async with transports() as (ours, theirs):
        outer = await both(
            lambda: TheirStream.wrap(ours, hostname=NAME, ssl_context=of_client),
            lambda: TheirStream.wrap(theirs, server_side=True, ssl_context=of_server),
        )
        client, server = await both(
            lambda: TLSStream.wrap(outer[0], our_connection(certificates, "client")),
            lambda: TLSStream.wrap(outer[1], our_connection(certificates, "server")),
        )
        await client.send(b"in two envelopes")
        assert await server.receive() == b"in two envelopes"
        assert outer[0].extra(TLSAttribute.ssl_object) is not None
        assert client.extra(TLSAttribute.ssl_object, None) is None
        assert client.extra(TLSAttribute.peer_certificate, None) is None


@on_both
@each_role
async def test_tls_of_anyios_own_in_a_tunnel_of_ours(certificates: Certificates, role: str) -> None:
    async with transports() as (ours, theirs):
        outer = await both(
            lambda: TLSStream.wrap(ours, our_connection(certificates, "client")),
            lambda: TLSStream.wrap(theirs, our_connection(certificates, "server")),
        )
        mine, other = await meet(certificates, role, *outer, ProtocolVersion.TLS13)
        await mine.send(b"in two envelopes")
        assert await other.receive() == b"in two envelopes"


# Python's ssl -------------------------------------------------------------------------------------------------------


@on_both
@each_version
async def test_our_client_and_ssl(certificates: Certificates, version: ProtocolVersion) -> None:
    def in_turns(sock: ssl.SSLSocket) -> None:
        received = bytearray()
        for start in range(0, len(BACK), 10_000):
            sock.sendall(BACK[start : start + 10_000])
            received += sock.recv(10_000)
        while len(received) < len(DATA):
            received += sock.recv(100_000)
        assert received == DATA
        sock.unwrap().close()

    with their_server(certificates, in_turns, versions=(version,)) as (port, theirs):
        async with await our_client(port, our_config(certificates)) as tls:
            assert tls.info.version is version
            async with anyio.create_task_group() as group:
                received = Task(group, receive_all, tls)
                await tls.send(DATA)
            assert await received.result() == BACK
        await run_sync(theirs.result)


async def with_our_server(
    certificates: Certificates,
    call: Callable[[int], object],
    handler: Callable[[TLSStream], Awaitable[object]] = echo,
    *,
    expected: int = 0,
) -> tuple[object, list[Exception]]:
    """What a blocking ``call`` with our server's port returned, and the ``expected`` number of our server's errors."""
    errors: list[Exception] = []
    config = ServerConfig(credentials=(certificates["p256"].credential,))
    plain = await anyio.create_tcp_listener(local_host=HOST)
    async with TLSListener(plain, config, on_error=lambda error, _: errors.append(error)) as listener:
        port = listener.extra(SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, handler)
            returned = await run_sync(call, port)
            while len(errors) < expected:
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
    return returned, errors


@on_both
@each_version
async def test_ssl_and_our_server(certificates: Certificates, version: ProtocolVersion) -> None:
    context = ssl_context(certificates, "client", versions=(version,))

    def talk(port: int) -> None:
        with (
            socket.create_connection((HOST, port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=NAME) as sock,
        ):
            for start in range(0, len(DATA), 10_000):
                piece = DATA[start : start + 10_000]
                sock.sendall(piece)
                received = b""
                while len(received) < len(piece):
                    received += sock.recv(len(piece))
                assert received == piece
            sock.unwrap().close()

    assert await with_our_server(certificates, talk) == (None, [])


@on_both
@each_version
async def test_a_half_close(certificates: Certificates, version: ProtocolVersion) -> None:
    def answer(sock: ssl.SSLSocket) -> None:
        assert read_all(sock) == b"that was all"
        sock.sendall(BACK)  # OpenSSL sends on after the other's close_notify
        sock.unwrap().close()

    with their_server(certificates, answer, versions=(version,)) as (port, theirs):
        async with await our_client(port, our_config(certificates)) as tls:
            await tls.send(b"that was all")
            await tls.send_eof()
            assert await receive_all(tls) == BACK
            await run_sync(theirs.result)


@on_both
@each_version
async def test_ssl_sees_that_it_is_not_trusted(certificates: Certificates, version: ProtocolVersion) -> None:
    config = our_config(certificates, verify=PrivatePKI(certificates.strange_store))
    with their_server(certificates, lambda sock: sock.recv(1), versions=(version,)) as (port, theirs):
        with pytest.raises(CertificateError):
            await our_client(port, config)
        error = await run_sync(lambda: theirs.error)
        assert isinstance(error, ssl.SSLError)
        assert "unknown ca" in str(error)


@on_both
@each_version
async def test_ssl_does_not_trust_us(certificates: Certificates, version: ProtocolVersion) -> None:
    context = ssl_context(certificates, "client", versions=(version,), trusts=certificates.stranger_file)

    def talk(port: int) -> None:
        with (
            socket.create_connection((HOST, port), TIMEOUT) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname=NAME)

    _, (error,) = await with_our_server(certificates, talk, expected=1)
    assert isinstance(error, AlertReceivedError)
    assert error.description is AlertDescription.unknown_ca


# The openssl command ------------------------------------------------------------------------------------------------


@on_both
@each_version
async def test_our_client_and_s_server(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()
    process, port = OPENSSL.serve(certificates, "p256", "-rev")
    with process:
        async with await our_client(port, our_config(certificates, versions=(version,))) as tls:
            for word in (b"madam", b"stressed"):
                await tls.send(word + b"\n")
                assert await receive_exactly(tls, len(word) + 1) == word[::-1] + b"\n"


@on_both
@each_version
async def test_s_client_and_our_server(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()

    async def shout(stream: TLSStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data.upper())

    def talk(port: int) -> None:
        option = "-tls1_3" if version is ProtocolVersion.TLS13 else "-tls1_2"
        with OPENSSL.connect(certificates, port, option) as process:
            say(process, b"hello\n", b"HELLO\n")
            if version is ProtocolVersion.TLS13:
                process.say(b"K\n")  # a KeyUpdate that wants an answer
                process.until(lambda: process.said(b"KEYUPDATE"), "a KeyUpdate")
            say(process, b"and again\n", b"AND AGAIN\n")
            say(process, b"Q\n", b"")
            process.until(lambda: process.has_ended, "the end")

    assert await with_our_server(certificates, talk, shout) == (None, [])


@on_both
async def test_a_server_that_wants_to_renegotiate_is_told_that_we_do_not(certificates: Certificates) -> None:
    """The answer is a warning that only a reader can send, and its peer waits for it."""
    OPENSSL.require()
    process, port = OPENSSL.serve(certificates, "p256", "-tls1_2")
    with process:
        async with (
            await our_client(port, our_config(certificates)) as tls,
            anyio.create_task_group() as group,
        ):
            Task(group, tls.receive)
            process.say(b"r\n")
            await run_sync(process.until, lambda: process.said(b"no renegotiation"), "the answer")
            group.cancel_scope.cancel()
