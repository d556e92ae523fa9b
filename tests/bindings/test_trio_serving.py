"""Serving with trio: many at once, slow and hostile ones among them; and with Python's ssl and openssl as peers."""

import hashlib
import os
import random
import socket
import ssl
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import trio

from bindings.sides import NAME, TIMEOUT, client_config, server_config, web_pki, web_server
from bindings.trio_sides import VERSIONS, receive_all, receive_exactly, run
from interop.driver import Process
from sanstls import (
    CertificateError,
    ClientConfig,
    ClientConnection,
    LocalError,
    PeerError,
    PrivatePKI,
    ServerConfig,
    TLSError,
    TrustStore,
)
from sanstls_io.trio import TLSListener, TLSStream, open_tls_stream, serve_tls

HOST = "127.0.0.1"


async def echo(stream: TLSStream) -> None:
    async for data in stream:
        await stream.send_all(data)
    await stream.send_eof()


async def serving(
    nursery: trio.Nursery, handler: Any = echo, config: ServerConfig | None = None, **options: Any
) -> int:
    """A server that runs: its port."""
    config = server_config() if config is None else config
    start = partial(serve_tls, handler, 0, config, host=HOST, **options)
    (listener,) = await nursery.start(start)
    assert isinstance(listener, TLSListener)
    port: int = listener.transport_listener.socket.getsockname()[1]  # type: ignore[union-attr]
    return port


async def connect(port: int, **settings: Any) -> TLSStream:
    return await open_tls_stream(HOST, port, client_config(**settings), server_name=NAME)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.text)
def test_an_echo(version: Any) -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            port = await serving(nursery)
            async with await connect(port, versions=(version,)) as tls:
                assert tls.info.version is version
                await tls.send_all(b"hello")
                assert await receive_exactly(tls, 5) == b"hello"
                await tls.send_eof()
                assert await tls.receive_some() == b""
            nursery.cancel_scope.cancel()

    run(work)


def test_one_slow_client_holds_up_nobody() -> None:
    async def work() -> None:
        errors: list[Exception] = []
        async with trio.open_nursery() as nursery:
            port = await serving(nursery, handshake_timeout=0.2, on_error=errors.append)
            silent = await trio.open_tcp_stream(HOST, port)
            async with await connect(port) as tls:
                await tls.send_all(b"x")
                assert await tls.receive_some() == b"x"
            assert await silent.receive_some() is not None  # it is cut off at last
            await silent.aclose()
            while not errors:
                await trio.sleep(0.01)
            assert isinstance(errors[0], trio.TooSlowError)
            nursery.cancel_scope.cancel()

    run(work)


def test_hostile_clients_harm_nobody() -> None:
    async def work() -> None:
        errors: list[Exception] = []
        async with trio.open_nursery() as nursery:
            port = await serving(nursery, on_error=errors.append)
            for start in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\x16\3\1"):
                plain = await trio.open_tcp_stream(HOST, port)
                await plain.send_all(start) if start else None
                await plain.aclose()
            async with await connect(port) as tls:
                await tls.send_all(b"x")
                assert await tls.receive_some() == b"x"
            while len(errors) < 3:
                await trio.sleep(0.01)
            assert any(isinstance(error, PeerError) for error in errors)
            nursery.cancel_scope.cancel()

    run(work)


def test_a_handlers_own_mistake_is_seen() -> None:
    async def fail(_: TLSStream) -> None:
        raise FileNotFoundError("of the handler")

    async def work() -> None:
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - as the server runs in it
            async with trio.open_nursery() as nursery:
                port = await serving(nursery, fail)
                tls = await connect(port)
                await tls.aclose()
        assert caught.group_contains(FileNotFoundError)

    run(work)


def test_a_configuration_is_replaced() -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            start = partial(serve_tls, echo, 0, server_config(alpn=("old",)), host=HOST)
            (listener,) = await nursery.start(start)
            port = listener.transport_listener.socket.getsockname()[1]
            for name in ("old", "new"):
                listener.config = server_config(alpn=(name,))
                async with await connect(port, alpn=("old", "new")) as tls:
                    assert tls.info.alpn == name
            nursery.cancel_scope.cancel()

    run(work)


def test_connecting_fails_clearly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            port = await serving(nursery, config=web_server())
            with pytest.raises(CertificateError):
                await open_tls_stream("localhost", port, client_config())
            roots = tmp_path / "roots.pem"
            roots.write_bytes(web_pki().root)
            monkeypatch.setenv("SSL_CERT_FILE", str(roots))
            async with await open_tls_stream("localhost", port, alpn=("h2",)) as tls:
                assert tls.info.alpn == "h2"
            nursery.cancel_scope.cancel()
        with pytest.raises(OSError, match="connect"):
            await open_tls_stream(HOST, port, client_config())
        with pytest.raises(LocalError):
            await open_tls_stream(HOST, port, client_config(), server_name="not a name")

    run(work)


def test_many_at_once() -> None:
    """Random sizes, cancellations and resets; afterwards nothing is left open."""

    async def client(port: int, seed: int, done: list[int]) -> None:
        rng = random.Random(seed)
        data = rng.randbytes(rng.randrange(1, 100_000))
        with trio.move_on_after(rng.random() if seed % 5 == 0 else TIMEOUT):
            try:
                tls = await connect(port)
            except (OSError, TLSError):
                return
            async with tls:
                if seed % 7 == 0:
                    await tls.transport_stream.aclose()
                    return
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(tls.send_all, data)
                    received = await receive_exactly(tls, len(data))
                assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
                await tls.send_eof()
                assert await receive_all(tls) == b""
                done.append(seed)

    async def work() -> None:
        done: list[int] = []
        async with trio.open_nursery() as nursery:
            port = await serving(nursery, max_connections=100)
            async with trio.open_nursery() as clients:
                for seed in range(1, 121):
                    clients.start_soon(client, port, seed, done)
            nursery.cancel_scope.cancel()
        assert set(done) >= {seed for seed in range(1, 121) if seed % 5 and seed % 7}

    before = len(os.listdir("/proc/self/fd"))
    run(work)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


# Other implementations --------------------------------------------------------------------------------------------


@pytest.mark.interop
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pythons_ssl_as_client(version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cadata=web_pki().root.decode())
    context.minimum_version = context.maximum_version = version
    data = bytes(range(256)) * 2000

    def talk(port: int) -> bytes:
        with (
            socket.create_connection((HOST, port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            received = b""
            for start in range(0, len(data), 16384):
                tls.sendall(data[start : start + 16384])
                while len(received) < min(start + 16384, len(data)):
                    received += tls.recv(65536)
            tls.unwrap()
        return received

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            port = await serving(nursery, config=web_server())
            assert await trio.to_thread.run_sync(talk, port) == data
            nursery.cancel_scope.cancel()

    run(work)


@pytest.mark.interop
def test_trios_own_tls_as_client() -> None:
    async def work() -> None:
        context = ssl.create_default_context(cadata=web_pki().root.decode())
        async with trio.open_nursery() as nursery:
            port = await serving(nursery, config=web_server())
            tls = await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=context)
            await tls.send_all(b"ping")
            assert await tls.receive_some() == b"ping"
            await tls.aclose()
            nursery.cancel_scope.cancel()

    run(work)


@pytest.mark.interop
@pytest.mark.skipif(which("openssl") is None, reason="needs openssl (apt-get install openssl)")
def test_openssl_as_server(tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(web_pki().chain)
    key.write_bytes(web_pki().key)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(web_pki().root)
    command = ["openssl", "s_server", "-accept", f"{HOST}:0", "-cert", chain, "-key", key, "-rev"]

    async def work(port: int) -> None:
        config = ClientConfig(verify=PrivatePKI(TrustStore.from_pem(web_pki().root)))
        transport = await trio.open_tcp_stream(HOST, port)
        async with TLSStream(transport, ClientConnection(config, "localhost")) as tls:
            await tls.send_all(b"abc\n")
            assert await receive_exactly(tls, 4) == b"cba\n"
            await tls.send_all(b"CLOSE\n")
            assert await tls.receive_some() == b""

    with Process(command) as server:
        server.until(lambda: b"ACCEPT" in server.output and server.output.endswith(b"\n"), "openssl")
        run(work, int(server.output.split(b":")[-1]))
