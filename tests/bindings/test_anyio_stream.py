"""A ``TLSStream`` on anyio: the handshake, data of any size over any transport, and what is known of a connection."""

import ssl
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute

from bindings.anyio_sides import (
    Gated,
    Sides,
    Task,
    Wrapped,
    both,
    connected,
    handshaken,
    memory,
    on_both,
    receive_all,
    receive_exactly,
    transports,
)
from bindings.sides import NAME, client_config, pattern, server_config, stranger
from memory import credential, store
from sanstls import (
    AlertReceivedError,
    CertificateError,
    ClientConnection,
    CloseNotifyReceived,
    DataReceived,
    Event,
    HandshakeComplete,
    PeerError,
    PrivatePKI,
    ProtocolVersion,
    ServerConnection,
    UnexpectedEOF,
)
from sanstls_io.anyio import ConnectionAttribute, TLSStream

MEGABYTE = 1 << 20
each_version = pytest.mark.parametrize("version", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)


class ByteByByte(Wrapped):
    """A transport that brings one byte at a time."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await super().receive(1)


# Data ---------------------------------------------------------------------------------------------------------------


@on_both
@each_version
async def test_a_question_and_an_answer(version: ProtocolVersion) -> None:
    async with connected(client_config(versions=(version,))) as (client, server):
        await client.send(b"a question")
        assert await server.receive() == b"a question"
        await server.send(b"an answer")
        assert await client.receive(2) == b"an"
        assert await client.receive(100) == b" answer"
        assert client.info.version is version
        assert client.connection.info is client.info


@on_both
@each_version
@pytest.mark.parametrize("size", [0, 1, 1 << 14, (1 << 14) + 1, 1 << 17, (1 << 17) + 1, 5 * MEGABYTE])
async def test_data_of_any_size(size: int, version: ProtocolVersion) -> None:
    data = pattern(size)

    async def send(sides: Sides) -> None:
        await sides.client.send(data)
        await sides.client.send_eof()

    async with connected(client_config(versions=(version,))) as sides, anyio.create_task_group() as group:
        group.start_soon(send, sides)
        assert await receive_all(sides.server) == data


@on_both
async def test_many_small_messages_in_one_read() -> None:
    async with connected() as (client, server):
        for number in range(200):
            await client.send(b"%3d" % number)
        await client.send_eof()
        assert await receive_all(server) == b"".join(b"%3d" % number for number in range(200))


@on_both
async def test_no_more_is_given_than_was_asked_for() -> None:
    async with connected() as (client, server):
        await client.send(pattern(1000))
        assert [len(await server.receive(size)) for size in (1, 99, 400, 1000)] == [1, 99, 400, 500]
        for size in (0, -1):
            with pytest.raises(ValueError, match="positive"):
                await server.receive(size)


@on_both
async def test_bytes_of_other_types() -> None:
    async with connected() as (client, server):
        for data in (bytearray(b"as a bytearray"), memoryview(b"as a memoryview")):
            await client.send(data)  # type: ignore[arg-type]
            assert await server.receive() == bytes(data)


# Transports ---------------------------------------------------------------------------------------------------------


@on_both
@each_version
@pytest.mark.parametrize("size", [0, 1, 100])
async def test_a_transport_of_objects(size: int, version: ProtocolVersion) -> None:
    """Which are bytes, and (with the size 0) each send waits for its receiver."""
    ours, theirs = memory(size)

    async def talk() -> None:
        config = client_config(versions=(version,))
        async with await TLSStream.wrap(ours, ClientConnection(config, NAME)) as client:
            assert await client.receive() == b"welcome"
            await client.send(pattern(100_000))

    async def answer() -> bytes:
        async with await TLSStream.wrap(theirs, ServerConnection(server_config())) as server:
            await server.send(b"welcome")
            return await receive_all(server)

    assert await both(talk, answer) == (None, pattern(100_000))


@on_both
@each_version
async def test_one_byte_at_a_time(version: ProtocolVersion) -> None:
    async with transports() as (ours, theirs):
        sides = await handshaken(ByteByByte(ours), ByteByByte(theirs), client_config(versions=(version,)))
        await sides.client.send(pattern(3000))
        assert await receive_exactly(sides.server, 3000) == pattern(3000)
        await sides.server.send_eof()
        assert await receive_all(sides.client) == b""


@on_both
@pytest.mark.parametrize("inner", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
@pytest.mark.parametrize("outer", [ProtocolVersion.TLS13, ProtocolVersion.TLS12], ids=str)
async def test_tls_in_tls(outer: ProtocolVersion, inner: ProtocolVersion) -> None:
    there, back = pattern(MEGABYTE), pattern(MEGABYTE, seed=1 << 40)

    async def talk(stream: TLSStream, data: bytes) -> bytes:
        async with anyio.create_task_group() as group:
            received = Task(group, receive_exactly, stream, len(data))
            await stream.send(data)
        return await received.result()

    async with connected(client_config(versions=(outer,)), server_config(alpn=("tunnel",))) as (ours, theirs):
        client, server = await handshaken(ours, theirs, client_config(versions=(inner,)))
        assert await both(lambda: talk(client, there), lambda: talk(server, back)) == (back, there)
        assert (ours.info.version, client.info.version) == (outer, inner)
        await client.aclose()
        assert await receive_all(server) == b""
        assert await receive_all(theirs) == b""  # with a close_notify of its own


@on_both
async def test_a_tunnel_that_breaks_is_a_transport_that_breaks() -> None:
    async with transports() as (ours, theirs):
        outer = await handshaken(ours, theirs)
        client, server = await handshaken(*outer, of_client={"standard_compatible": False})
        await theirs.aclose()
        with pytest.raises(anyio.BrokenResourceError) as raised:
            await client.receive()
        assert isinstance(raised.value.__cause__, UnexpectedEOF)
        with pytest.raises(anyio.ClosedResourceError):
            await server.receive()


# The handshake ------------------------------------------------------------------------------------------------------


@on_both
@each_version
async def test_a_certificate_that_is_not_trusted(version: ProtocolVersion) -> None:
    config = client_config(verify=PrivatePKI(stranger()), versions=(version,))
    async with transports() as (ours, theirs), anyio.create_task_group() as group:
        peer = Task(group, TLSStream.wrap, theirs, ServerConnection(server_config()))
        with pytest.raises(CertificateError):
            await TLSStream.wrap(ours, ClientConnection(config, NAME))
        assert isinstance(await peer.error(), AlertReceivedError)
        await ours.send(b"the transport is still the caller's")
        assert await theirs.receive() == b"the transport is still the caller's"


@on_both
async def test_the_peer_hangs_up_in_the_handshake() -> None:
    for is_standard in (True, False):  # which says nothing about a handshake
        async with transports() as (ours, theirs):
            await theirs.aclose()
            with pytest.raises((UnexpectedEOF, anyio.BrokenResourceError)):
                await TLSStream.wrap(ours, ClientConnection(client_config(), NAME), standard_compatible=is_standard)


@on_both
async def test_the_peer_speaks_something_else() -> None:
    async with transports() as (ours, theirs):
        await theirs.send(b"220 mail.example.com ESMTP\r\n")
        with pytest.raises(PeerError):
            await TLSStream.wrap(ours, ClientConnection(client_config(), NAME))


@on_both
@each_version
async def test_a_client_without_the_certificate_that_is_wanted(version: ProtocolVersion) -> None:
    server_side = server_config(verify=PrivatePKI(store()), versions=(version,))
    async with transports() as (ours, theirs), anyio.create_task_group() as group:
        peer = Task(group, TLSStream.wrap, theirs, ServerConnection(server_side))
        with pytest.raises(AlertReceivedError) as raised:
            await (await TLSStream.wrap(ours, ClientConnection(client_config(), NAME))).receive()
        error = await peer.error()
        assert isinstance(error, CertificateError)
        assert raised.value.description is error.alert


@on_both
async def test_a_handshake_that_is_cancelled() -> None:
    async with transports() as (ours, theirs):
        with anyio.move_on_after(0.02) as scope:
            await TLSStream.wrap(ours, ClientConnection(client_config(), NAME))
        assert scope.cancelled_caught
        await ours.aclose()
        with pytest.raises(UnexpectedEOF):
            await TLSStream.wrap(theirs, ServerConnection(server_config()))


@on_both
async def test_an_alert_waits_a_second_for_a_peer_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanstls_io._async_stream._PATIENCE", 0.02)
    async with transports() as (ours, theirs):
        sides = await handshaken(Gated(ours), theirs)
        gate: Any = sides.client.transport_stream
        gate.shut()
        await theirs.send(b"garbage")
        with pytest.raises(PeerError):
            await sides.client.receive()
        with pytest.raises(PeerError):
            await sides.client.send(b"x")


# What is known ------------------------------------------------------------------------------------------------------


@on_both
@each_version
async def test_typed_attributes(version: ProtocolVersion) -> None:
    config = client_config(versions=(version,), alpn=("h2", "http/1.1"))
    async with connected(config, server_config(alpn=("http/1.1",))) as (client, server):
        text = {ProtocolVersion.TLS13: "TLSv1.3", ProtocolVersion.TLS12: "TLSv1.2"}[version]
        for stream in (client, server):
            assert stream.extra(TLSAttribute.alpn_protocol) == "http/1.1"
            assert stream.extra(TLSAttribute.tls_version) == text
            assert stream.extra(TLSAttribute.standard_compatible) is True
            name, version_of_cipher, bits = stream.extra(TLSAttribute.cipher)
            assert (name, version_of_cipher) == (stream.info.cipher_suite.name, text)
            assert bits == (128 if "128" in name else 256)
            assert stream.extra(ConnectionAttribute.info) is stream.info
            assert stream.extra(ConnectionAttribute.connection) is stream.connection
            assert stream.extra(SocketAttribute.local_port) > 0
            assert stream.extra(TLSAttribute.ssl_object, None) is None
            assert stream.extra(TLSAttribute.peer_certificate, None) is None
            binding = stream.extra(TLSAttribute.channel_binding_tls_unique, None)
            assert (binding is None) is (version is ProtocolVersion.TLS13)
        assert client.extra(TLSAttribute.channel_binding_tls_unique, 0) == server.extra(
            TLSAttribute.channel_binding_tls_unique, 0
        )
        assert client.extra(TLSAttribute.server_side) is False
        assert server.extra(TLSAttribute.server_side) is True
        certificate = client.extra(TLSAttribute.peer_certificate_binary)
        assert certificate == credential().chain[0]
        assert ssl.DER_cert_to_PEM_cert(certificate or b"")
        assert server.extra(TLSAttribute.peer_certificate_binary) is None
        assert repr(client).startswith("<TLSStream on ")


@on_both
async def test_attributes_of_the_tunnel_are_not_those_of_what_is_in_it() -> None:
    config = client_config(versions=(ProtocolVersion.TLS12,), alpn=("outer",))
    async with connected(config, server_config(alpn=("outer",))) as (ours, theirs):
        client, _ = await handshaken(ours, theirs)
        assert client.extra(TLSAttribute.alpn_protocol) is None
        assert client.extra(TLSAttribute.channel_binding_tls_unique, None) is None
        assert client.extra(SocketAttribute.remote_port) == ours.extra(SocketAttribute.remote_port)


@on_both
async def test_every_event_is_told() -> None:
    seen: list[Event] = []
    async with connected(of_client={"on_event": seen.append}) as (client, server):
        await server.send(b"x")
        assert await client.receive() == b"x"
        await server.aclose()
        assert await receive_all(client) == b""
    kinds = (HandshakeComplete, DataReceived, CloseNotifyReceived)
    assert [type(event) for event in seen if isinstance(event, kinds)] == list(kinds)


@on_both
async def test_an_observer_that_fails_is_seen_and_loses_nothing() -> None:
    def fail(event: Event) -> None:
        if isinstance(event, DataReceived):
            raise ZeroDivisionError

    async with connected(of_client={"on_event": fail}) as (client, server):
        await server.send(b"for all that")
        with pytest.raises(ZeroDivisionError):
            await client.receive()
        assert await client.receive() == b"for all that"


@on_both
async def test_secrets_are_logged_if_both_say_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    async with connected():
        assert not path.exists()
    async with connected(client_config(key_log=True)):
        assert "CLIENT_TRAFFIC_SECRET_0" in path.read_text()
