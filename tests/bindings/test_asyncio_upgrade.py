"""From plain streams and transports to TLS in the middle of a connection, in both roles; TLS in TLS."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bindings.asyncio_sides import (
    Recorder,
    a_while,
    by_hand,
    closed,
    each_role,
    each_version,
    echo,
    eventually,
    port_of,
    reset,
    run,
    send,
    transport_of,
)
from bindings.sides import HOST, NAME, client_config, pattern, server_config, stranger
from sanstls import (
    AlertReceivedError,
    CertificateError,
    LocalError,
    PeerError,
    PrivatePKI,
    ProtocolVersion,
    UnexpectedEOF,
)
from sanstls_io import asyncio as tls

MEGABYTE = 1 << 20
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def plain() -> AsyncIterator[tuple[Streams, Streams]]:
    """Plain streams of a client and a server that are connected."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *streams: accepted.set_result(streams), HOST, 0)
    ours = await asyncio.open_connection(HOST, port_of(server))
    theirs = await accepted
    try:
        yield ours, theirs
    finally:
        for _, writer in (ours, theirs):
            writer.transport.abort()
        server.close()
        await server.wait_closed()


async def upgraded(client: Streams, server: Streams, **settings: Any) -> tuple[Streams, Streams]:
    config = client_config(**settings)
    both = await asyncio.gather(
        tls.start_tls(*client, config, server_name=NAME), tls.start_tls(*server, server_config())
    )
    return both[0], both[1]


# Streams ------------------------------------------------------------------------------------------------------------


@each_version
def test_starttls(version: ProtocolVersion) -> None:
    async def submission(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"220 go ahead\r\n")
        reader, writer = await tls.start_tls(reader, writer, server_config(versions=(version,)))
        gc.collect()  # the plain streams are nobody's now, and must not take the connection with them
        await echo(reader, writer)
        writer.close()
        await writer.wait_closed()
        served.append(1)

    served: list[int] = []

    async def main() -> None:
        server = await asyncio.start_server(submission, HOST, 0)
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        assert await reader.readline() == b"220 ready\r\n"
        writer.write(b"STARTTLS\r\n")
        assert await reader.readline() == b"220 go ahead\r\n"
        reader, writer = await tls.start_tls(reader, writer, client_config(), server_name=NAME)
        gc.collect()
        assert transport_of(writer).info.version is version
        sending = asyncio.create_task(send(writer, pattern(MEGABYTE)))
        assert await reader.readexactly(MEGABYTE) == pattern(MEGABYTE)
        await sending
        assert await closed(writer) is None
        await eventually(lambda: served)
        server.close()
        await server.wait_closed()

    run(main)


def test_bytes_that_the_plain_reader_has_already() -> None:
    """A client that doesn't wait for the answer to its STARTTLS."""

    async def main() -> None:
        async with plain() as (client, (reader, writer)):
            client[1].write(b"STARTTLS\r\n")
            opening = asyncio.create_task(tls.start_tls(*client, client_config(), server_name=NAME))
            await a_while()  # the ClientHello has come, too
            assert await reader.readline() == b"STARTTLS\r\n"
            theirs = await tls.start_tls(reader, writer, server_config())
            ours = await opening
            ours[1].write(b"hello")
            assert await theirs[0].readexactly(5) == b"hello"
            for _, end in (ours, theirs):
                assert await closed(end) is None

    run(main)


def test_more_bytes_than_the_plain_reader_wanted() -> None:
    """It had paused reading: what came is fed, and reading goes on."""

    async def main() -> None:
        async with plain() as (client, (reader, writer)):
            reader._limit = 10  # type: ignore[attr-defined]
            opening = asyncio.create_task(tls.start_tls(*client, client_config(), server_name=NAME))
            await eventually(lambda: not writer.transport.is_reading())  # type: ignore[attr-defined]
            theirs = await tls.start_tls(reader, writer, server_config())
            ours = await opening
            ours[1].write(pattern(MEGABYTE))
            assert await theirs[0].readexactly(MEGABYTE) == pattern(MEGABYTE)
            for _, end in (ours, theirs):
                await closed(end)

    run(main)


def test_what_an_attacker_has_put_before_tls_is_no_data() -> None:
    async def main() -> None:
        async with plain() as (client, (reader, writer)):
            client[1].write(b"STARTTLS\r\nMAIL FROM:<me>\r\n")
            assert await reader.readline() == b"STARTTLS\r\n"
            opening = asyncio.create_task(tls.start_tls(*client, client_config(), server_name=NAME))
            with pytest.raises(PeerError):
                await tls.start_tls(reader, writer, server_config())
            with pytest.raises(AlertReceivedError):
                await opening

    run(main)


def test_the_plain_streams_are_over() -> None:
    async def main() -> None:
        async with plain() as (client, server):
            ours, theirs = await upgraded(client, server)
            with pytest.raises(LocalError, match="start_tls"):
                await client[0].read(1)
            ours[1].write(b"hello")
            assert await theirs[0].readexactly(5) == b"hello"
            assert await closed(ours[1]) is None
            assert await closed(theirs[1]) is None
            for _, writer in (client, server):
                assert writer.is_closing()
                await writer.wait_closed()

    run(main)


def test_somebody_reads_from_the_plain_reader() -> None:
    async def main() -> None:
        async with plain() as (client, _):
            reading = asyncio.create_task(client[0].read(1))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError):
                await tls.start_tls(*client, client_config(), server_name=NAME)
            reading.cancel()

    run(main)


@each_version
@each_role
def test_an_upgrade_that_fails(role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async with plain() as (client, server):
            distrusting = client_config(versions=(version,), verify=PrivatePKI(stranger()))
            results = await asyncio.gather(
                tls.start_tls(*client, distrusting, server_name=NAME),
                tls.start_tls(*server, server_config()),
                return_exceptions=True,
            )
            assert type(results[0]) is CertificateError
            assert type(results[1]) is AlertReceivedError
            for _, writer in (client, server):
                assert writer.is_closing()

    run(main)


@each_role
@pytest.mark.parametrize("how", ["before", "meanwhile", "reset", "closed here"])
def test_a_peer_that_goes(role: str, how: str) -> None:
    async def main() -> None:
        async with plain() as (client, server):
            (ours, theirs) = (client, server) if role == "client" else (server, client)
            config: Any = client_config() if role == "client" else server_config()
            settings: dict[str, Any] = {"server_name": NAME} if role == "client" else {}
            if how == "before":
                theirs[1].close()
                await a_while()
            elif how == "reset":
                reset(theirs[1])
                await a_while()
            elif how == "closed here":
                ours[1].close()
            opening = asyncio.create_task(tls.start_tls(*ours, config, **settings))
            if how == "meanwhile":
                await a_while()
                theirs[1].close()
            with pytest.raises((UnexpectedEOF, ConnectionError)):
                await asyncio.wait_for(opening, 5)

    run(main)


def test_the_handshakes_time() -> None:
    async def main() -> None:
        async with plain() as (client, _):
            with pytest.raises(TimeoutError):
                await tls.start_tls(*client, client_config(), server_name=NAME, handshake_timeout=0.05)
            assert client[1].is_closing()

    run(main)


def test_what_is_only_for_clients() -> None:
    async def main() -> None:
        async with plain() as (client, _):
            for settings in ({"server_name": NAME}, {"alpn": ("x",)}):
                with pytest.raises(LocalError, match="client's"):
                    await tls.start_tls(*client, server_config(), **settings)  # type: ignore[arg-type]
            with pytest.raises(LocalError):
                await tls.start_tls(*client, "a configuration")  # type: ignore[arg-type]
            assert not client[1].is_closing()  # nothing has begun

    run(main)


@each_version
def test_tls_in_tls(version: ProtocolVersion) -> None:
    async def main() -> None:
        async with plain() as (client, server):
            outer, their_outer = await upgraded(client, server, versions=(version,))
            ours, theirs = await upgraded(outer, their_outer, versions=(version,))
            assert transport_of(ours[1]).connection is not transport_of(outer[1]).connection
            assert ours[1].get_extra_info("peername") == outer[1].get_extra_info("peername")
            data = pattern(MEGABYTE)
            sending = asyncio.create_task(send(ours[1], data))
            assert await theirs[0].readexactly(len(data)) == data
            await sending
            ours[1].write_eof()
            assert await theirs[0].read() == b""
            theirs[1].write(b"bye")
            theirs[1].write_eof()
            assert await ours[0].read() == b"bye"
            for _, writer in (ours, theirs):
                assert await closed(writer) is None

    run(main)


# Transports ---------------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_an_upgrade_of_a_transport(role: str, version: ProtocolVersion) -> None:
    class Plain(Recorder):
        pass

    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers: list[Plain] = []

        def make() -> Plain:
            servers.append(Plain())
            return servers[-1]

        listener = await loop.create_server(make, HOST, 0)
        transport, client = await loop.create_connection(Plain, HOST, port_of(listener))
        await eventually(lambda: servers)
        server = servers[0]
        ours, theirs = Recorder(), Recorder()
        upgraded = await asyncio.gather(
            tls.start_tls_transport(transport, ours, client_config(versions=(version,)), server_name=NAME),
            tls.start_tls_transport(server.transport, theirs, server_config()),
        )
        assert upgraded == [ours.transport, theirs.transport]
        first, second = (ours, theirs) if role == "client" else (theirs, ours)
        first.transport.write(b"hello")
        await eventually(lambda: second.received == b"hello")
        first.transport.close()
        assert await first.lost() is None
        assert await second.lost() is None
        assert second.calls == ["made", "data", "eof", "lost"]
        assert client.calls == server.calls == ["made"]
        listener.close()

    run(main)


def test_bytes_that_were_received_already() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers: list[Recorder] = []

        def make() -> Recorder:
            servers.append(Recorder())
            return servers[-1]

        listener = await loop.create_server(make, HOST, 0)
        reader, writer = await asyncio.open_connection(HOST, port_of(listener))
        opening = asyncio.create_task(tls.start_tls(reader, writer, client_config(), server_name=NAME))
        await eventually(lambda: servers and servers[0].received)
        plain, secure = servers[0], Recorder()
        await tls.start_tls_transport(
            plain.transport, secure, server_config(), received=bytes(plain.received), handshake_timeout=5
        )
        reader, writer = await opening
        writer.write(b"x")
        await eventually(lambda: secure.received)
        await closed(writer)
        assert await secure.lost() is None
        listener.close()

    run(main)


def test_a_transport_that_is_closed() -> None:
    async def main() -> None:
        async with by_hand("client") as (protocol, _):
            protocol.transport.close()
            with pytest.raises(ConnectionAbortedError):
                await tls.start_tls_transport(protocol.transport, Recorder(), client_config(), server_name=NAME)

    run(main)


def test_on_asyncios_own_tls(tmp_path: Any) -> None:
    """Its transport can't be half-closed, but carries TLS like any other."""
    import ssl

    from bindings.sides import web_pki

    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(web_pki().chain)
    key.write_bytes(web_pki().key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    client_context = ssl.create_default_context(cadata=web_pki().root.decode())

    async def main() -> None:
        done: list[BaseException | None] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reader, writer = await tls.start_tls(reader, writer, server_config())
            try:
                await echo(reader, writer)
            finally:
                done.append(await closed(writer))

        server = await asyncio.start_server(serve, HOST, 0, ssl=context)
        outer = await asyncio.open_connection(HOST, port_of(server), ssl=client_context, server_hostname="localhost")
        reader, writer = await tls.start_tls(*outer, client_config(), server_name=NAME)
        assert writer.get_extra_info("sslcontext") is None
        sending = asyncio.create_task(send(writer, pattern(MEGABYTE)))
        assert await reader.readexactly(MEGABYTE) == pattern(MEGABYTE)
        await sending
        assert await closed(writer) is None
        await eventually(lambda: done)
        assert done == [None]
        # A cut below.
        outer = await asyncio.open_connection(HOST, port_of(server), ssl=client_context, server_hostname="localhost")
        reader, writer = await tls.start_tls(*outer, client_config(), server_name=NAME)
        outer[1].transport.abort()
        assert await closed(writer) is None
        await eventually(lambda: len(done) == 2)
        assert isinstance(done[1], UnexpectedEOF)
        server.close()

    run(main, unhandled=1)
