"""The asyncio binding with asyncio's own TLS, the ``openssl`` command and ``curl`` at the other end."""

import asyncio
import contextlib
import shutil
import ssl
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bindings.asyncio_sides import closed, each_role, each_version, echo, port_of, run, send, serving, transport_of
from bindings.sides import pattern
from interop.certificates import NAME, Certificates
from interop.driver import HOST
from interop.peers import OPENSSL
from interop.python_ssl import ssl_context
from sanstls import (
    AlertReceivedError,
    CertificateError,
    ClientConfig,
    PrivatePKI,
    ProtocolVersion,
    ServerConfig,
    UnexpectedEOF,
)
from sanstls_io import asyncio as tls

pytestmark = pytest.mark.interop

MEGABYTE = 1 << 20
DATA = pattern(3 * MEGABYTE)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def our_config(certificates: Certificates, **settings: Any) -> ClientConfig:
    return ClientConfig(**({"verify": PrivatePKI(certificates.store)} | settings))


def our_server(certificates: Certificates, handler: Any = echo, *, on_error: Any = None, **settings: Any) -> Any:
    config = ServerConfig(**({"credentials": (certificates["p256"].credential,)} | settings))
    return serving(handler, config, **({} if on_error is None else {"on_error": on_error}))


async def our_client(port: int, config: ClientConfig, **settings: Any) -> Streams:
    return await tls.open_connection(HOST, port, config, server_name=NAME, **settings)


@contextlib.asynccontextmanager
async def their_server(certificates: Certificates, handler: Any = echo, **settings: Any) -> AsyncIterator[int]:
    """A server of asyncio's own TLS: its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # That the handler is told of the peer's hanging up is not what is tested.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    context = ssl_context(certificates, "server", **settings)
    server = await asyncio.start_server(handle, HOST, 0, ssl=context)
    try:
        yield port_of(server)
    finally:
        server.close()
        await server.wait_closed()


async def their_client(certificates: Certificates, port: int, **settings: Any) -> Streams:
    context = ssl_context(certificates, "client", **settings)
    return await asyncio.open_connection(HOST, port, ssl=context, server_hostname=NAME)


# asyncio's own TLS --------------------------------------------------------------------------------------------------


@each_version
@each_role
def test_much_both_ways_at_once(certificates: Certificates, role: str, version: ProtocolVersion) -> None:
    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending = asyncio.create_task(send(writer, DATA))
        assert await reader.readexactly(len(DATA)) == DATA
        await sending
        assert await closed(writer) is None

    async def main() -> None:
        if role == "client":
            async with their_server(certificates, versions=(version,)) as port:
                reader, writer = await our_client(port, our_config(certificates))
                assert transport_of(writer).info.version is version
                await use(reader, writer)
        else:
            async with our_server(certificates) as server:
                await use(*await their_client(certificates, port_of(server), versions=(version,)))

    run(main)


@each_version
def test_they_end_and_we_answer(certificates: Certificates, version: ProtocolVersion) -> None:
    """Their close_notify is an end for reading alone; it comes because they wait for ours when they close."""

    async def main() -> None:
        answered: list[bytes] = []

        async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answered.append(await reader.read())

        async with our_server(certificates, ask) as server:
            _, writer = await their_client(certificates, port_of(server), versions=(version,))
            writer.write(b"that was all")
            assert await closed(writer) is None
            assert answered == [b"that was all"]

    run(main)


@each_version
def test_we_end_and_they_see_it(certificates: Certificates, version: ProtocolVersion) -> None:
    async def main() -> None:
        received: list[bytes] = []

        async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.read())

        async with their_server(certificates, read, versions=(version,)) as port:
            reader, writer = await our_client(port, our_config(certificates))
            writer.write(DATA)
            writer.write_eof()
            assert await reader.read() == b""
            assert received == [DATA]
            assert await closed(writer) is None

    run(main)


@each_version
@each_role
def test_they_hang_up_without_a_close_notify(certificates: Certificates, role: str, version: ProtocolVersion) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of")
        await asyncio.sleep(0.01)
        writer.transport.abort()

    async def check(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(7) == b"half of"
        with pytest.raises(UnexpectedEOF):
            await reader.read(1)
        checked.append(1)

    checked: list[int] = []

    async def main() -> None:
        if role == "client":
            async with their_server(certificates, hang_up, versions=(version,)) as port:
                reader, writer = await our_client(port, our_config(certificates))
                await check(reader, writer)
                await closed(writer)
        else:
            async with our_server(certificates, check) as server:
                await hang_up(*await their_client(certificates, port_of(server), versions=(version,)))
                while not checked:
                    await asyncio.sleep(0.001)

    run(main)


@each_version
def test_they_see_our_alert(certificates: Certificates, version: ProtocolVersion) -> None:
    errors: list[Exception] = []

    async def main() -> None:
        async with our_server(certificates, on_error=lambda error, _: errors.append(error)) as server:
            reader, writer = await their_client(certificates, port_of(server), versions=(version,))
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            server.abort_clients()
            with pytest.raises(ssl.SSLError, match=r"internal.error"):
                await reader.read(1)
            await closed(writer)

    run(main)


@each_version
@each_role
def test_a_certificate_that_is_not_trusted(certificates: Certificates, role: str, version: ProtocolVersion) -> None:
    errors: list[Any] = []

    async def main() -> None:
        if role == "client":
            config = our_config(certificates, verify=PrivatePKI(certificates.strange_store))
            async with their_server(certificates, versions=(version,)) as port:
                with pytest.raises(CertificateError):
                    await our_client(port, config)
                await asyncio.sleep(0.01)
        else:
            async with our_server(certificates, on_error=lambda error, _: errors.append(error)) as server:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await their_client(
                        certificates, port_of(server), versions=(version,), trusts=certificates.stranger_file
                    )
                while not errors:
                    await asyncio.sleep(0.001)

    run(main)
    # asyncio's own TLS hangs up before the alert is sent.
    assert all(isinstance(error, AlertReceivedError | UnexpectedEOF) for error in errors)


@each_version
@each_role
def test_starttls(certificates: Certificates, role: str, version: ProtocolVersion) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go ahead\n")
            if role == "server":
                config = ServerConfig(credentials=(certificates["p256"].credential,), versions=(version,))
                reader, writer = await tls.start_tls(reader, writer, config)
            else:
                await writer.start_tls(ssl_context(certificates, "server", versions=(version,)))
            await echo(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        reader, writer = await asyncio.open_connection(HOST, port_of(server))
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go ahead\n"
        if role == "client":
            reader, writer = await tls.start_tls(reader, writer, our_config(certificates), server_name=NAME)
        else:
            await writer.start_tls(ssl_context(certificates, "client"), server_hostname=NAME)
        writer.write(DATA[:100_000])
        assert await reader.readexactly(100_000) == DATA[:100_000]
        await closed(writer)
        server.close()
        await server.wait_closed()

    run(main)


# The openssl command ------------------------------------------------------------------------------------------------


@each_version
def test_our_client_and_s_server(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()
    process, port = OPENSSL.serve(certificates, "p256", "-rev")

    async def main() -> None:
        reader, writer = await our_client(port, our_config(certificates, versions=(version,)))
        for word in (b"madam", b"stressed"):
            writer.write(word + b"\n")
            assert await reader.readline() == word[::-1] + b"\n"
        assert await closed(writer) is None

    with process:
        run(main)


def test_our_client_gets_a_page_of_s_server(certificates: Certificates) -> None:
    OPENSSL.require()
    process, port = OPENSSL.serve(certificates, "p256", "-www", "-alpn", "http/1.0")

    async def main() -> None:
        reader, writer = await our_client(port, our_config(certificates), alpn=("http/1.0",))
        assert writer.get_extra_info("alpn") == "http/1.0"
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"TLSv1.3" in await reader.read()
        assert await closed(writer) is None

    with process:
        run(main)


@each_version
def test_s_client_and_our_server(certificates: Certificates, version: ProtocolVersion) -> None:
    OPENSSL.require()

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(line.upper())

    async def main() -> None:
        async with our_server(certificates, shout, versions=(version,)) as server:
            command = ["openssl", "s_client", "-connect", f"{HOST}:{port_of(server)}", "-servername", NAME]
            command += ["-CAfile", str(certificates.root_file), "-verify_return_error", "-verify_hostname", NAME]
            process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\n")
            assert await process.stdout.readuntil(b"HELLO\n")
            if version is ProtocolVersion.TLS13:
                process.stdin.write(b"K\n")  # a KeyUpdate that wants an answer
                await asyncio.sleep(0.05)
            process.stdin.write(b"and again\n")
            assert await process.stdout.readuntil(b"AND AGAIN\n")
            process.stdin.write(b"Q\n")
            await process.communicate()

    run(main)


# curl ---------------------------------------------------------------------------------------------------------------


async def answer_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A tiny server of HTTP/1.1: the body comes back, or without one the request line."""
    while request := await reader.readline():
        length = 0
        while (line := await reader.readline()).strip():
            name, _, value = line.lower().partition(b":")
            if name == b"content-length":
                length = int(value)
        body = await reader.readexactly(length) or request[: request.rindex(b" ")]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()


@each_version
def test_curl(certificates: Certificates, version: ProtocolVersion, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here: apt-get install curl")
    (tmp_path / "body").write_bytes(DATA)

    async def main() -> None:
        async with our_server(certificates, answer_http, versions=(version,), alpn=("http/1.1",)) as server:
            port = port_of(server)
            command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", "--http1.1", "--noproxy", "*"]
            command += ["--cacert", str(certificates.root_file), "--resolve", f"{NAME}:{port}:{HOST}"]
            url = f"https://{NAME}:{port}/a/page"
            body = ["--data-binary", f"@{tmp_path / 'body'}", "--header", "Expect:"]
            for arguments, expected in (([url, url], b"GET /a/page" * 2), ([*body, url], DATA)):
                process = await asyncio.create_subprocess_exec(*command, *arguments, stdout=PIPE, stderr=PIPE)
                output, said = await process.communicate()
                assert process.returncode == 0, said
                assert output == expected

    run(main)
