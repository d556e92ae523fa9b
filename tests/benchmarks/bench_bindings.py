"""What the bindings cost on top of the core: over loopback, beside ``ssl``, ``trio.SSLStream`` and asyncio's own.

Two rows for each style: an echo of 1 MiB, there and back, by a client and a server in one
process, and whole connections (TCP, handshake, one byte each way, close). Rounds alternate
between the two, and each one's best counts. Certificates and group are the same, and nothing
here fails because of a time.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import trio

import sanstls
import sanstls_io.asyncio
import sanstls_io.trio
from sanstls_io import blocking
from sanstls_io._demo_pki import make_pki

HOST, NAME = "127.0.0.1", "localhost"
SIZE = 1 << 20
DATA = bytes(SIZE)
ROUNDS = 8


class Settings(NamedTuple):
    """The same for both libraries."""

    client: sanstls.ClientConfig
    server: sanstls.ServerConfig
    ssl_client: ssl.SSLContext
    ssl_server: ssl.SSLContext


def settings() -> Settings:
    """P-256 certificates, X25519, TLS 1.3."""
    pki = make_pki(NAME)
    group = (sanstls.NamedGroup.x25519,)
    suite = (sanstls.CipherSuite.TLS_AES_256_GCM_SHA384,)
    verify = sanstls.PrivatePKI(sanstls.TrustStore.from_pem(pki.root))
    credential = sanstls.Credential.from_pem(pki.chain, pki.key)
    ssl_client = ssl.create_default_context(cadata=pki.root.decode())
    ssl_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_bytes(pki.chain)
        key.write_bytes(pki.key)
        ssl_server.load_cert_chain(chain, key)
    ssl_server.set_ecdh_curve("X25519")
    return Settings(
        sanstls.ClientConfig(verify=verify, groups=group, cipher_suites=suite),
        sanstls.ServerConfig(credentials=(credential,), groups=group, cipher_suites=suite),
        ssl_client,
        ssl_server,
    )


class Style(NamedTuple):
    """How one side of the comparison connects, and what it does then."""

    echo: Callable[[], None]
    connect: Callable[[], None]


# Blocking ---------------------------------------------------------------------------------------------------------


def _echo(sock: Any) -> None:
    with contextlib.suppress(OSError, sanstls.TLSError):
        while data := sock.recv(1 << 17):
            sock.sendall(data)


def _there_and_back(sock: Any, data: bytes) -> None:
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    left = len(data)
    while left:
        left -= len(sock.recv(1 << 17))
    sender.join()


@contextlib.contextmanager
def blocking_ours(used: Settings) -> Iterator[Style]:
    """``sanstls_io.blocking``."""
    with (
        blocking.serve(HOST, 0, used.server, _echo) as server,
        blocking.connect(*server.address, used.client, server_name=NAME) as tls,
    ):

        def connect() -> None:
            with blocking.connect(*server.address, used.client, server_name=NAME) as short:
                short.sendall(b"x")
                short.recv(1)

        yield Style(lambda: _there_and_back(tls, DATA), connect)


@contextlib.contextmanager
def blocking_theirs(used: Settings) -> Iterator[Style]:
    """``ssl.SSLSocket`` with a thread for each connection."""
    with socket.create_server((HOST, 0)) as listener:
        address = listener.getsockname()

        def serve(plain: socket.socket) -> None:
            with contextlib.suppress(OSError), used.ssl_server.wrap_socket(plain, server_side=True) as tls:
                _echo(tls)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=serve, args=(plain,), daemon=True).start()

        def new() -> ssl.SSLSocket:
            plain = socket.create_connection(address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return used.ssl_client.wrap_socket(plain, server_hostname=NAME)

        threading.Thread(target=accept, daemon=True).start()
        with new() as tls:

            def connect() -> None:
                with new() as short:
                    short.sendall(b"x")
                    short.recv(1)

            yield Style(lambda: _there_and_back(tls, DATA), connect)
        listener.shutdown(socket.SHUT_RDWR)


# trio -------------------------------------------------------------------------------------------------------------


async def _trio_echo(stream: Any) -> None:
    with contextlib.suppress(trio.BrokenResourceError, sanstls.TLSError):
        while data := await stream.receive_some(1 << 17):
            await stream.send_all(data)


async def _trio_there_and_back(stream: Any, data: bytes) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        left = len(data)
        while left:
            left -= len(await stream.receive_some(1 << 17))


async def trio_work(used: Settings, is_ours: bool, kind: str, times: int) -> float:
    """Seconds for ``times`` echoes or connections."""

    async def new(port: int) -> Any:
        if is_ours:
            return await sanstls_io.trio.open_tls_stream(HOST, port, used.client, server_name=NAME)
        plain = await trio.open_tcp_stream(HOST, port)
        stream = trio.SSLStream(plain, used.ssl_client, server_hostname=NAME, https_compatible=True)
        await stream.do_handshake()
        return stream

    async with trio.open_nursery() as nursery:
        if is_ours:
            (listener,) = await nursery.start(
                lambda **status: sanstls_io.trio.serve_tls(_trio_echo, 0, used.server, host=HOST, **status)
            )
        else:
            (listener,) = await nursery.start(
                lambda **status: trio.serve_ssl_over_tcp(_trio_echo, 0, used.ssl_server, host=HOST, **status)
            )
        port = listener.transport_listener.socket.getsockname()[1]
        stream = await new(port)
        begin = time.perf_counter()
        for _ in range(times):
            if kind == "echo":
                await _trio_there_and_back(stream, DATA)
                continue
            short = await new(port)
            await short.send_all(b"x")
            await short.receive_some(1)
            await short.aclose()
        seconds = time.perf_counter() - begin
        nursery.cancel_scope.cancel()
    return seconds / times


# asyncio ----------------------------------------------------------------------------------------------------------


async def _asyncio_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, sanstls.TLSError, asyncio.CancelledError):
        while data := await reader.read(1 << 17):
            writer.write(data)
            await writer.drain()
        writer.close()


async def asyncio_work(used: Settings, is_ours: bool, kind: str, times: int) -> float:
    """Seconds for ``times`` echoes or connections."""
    if is_ours:
        server: Any = await sanstls_io.asyncio.start_server(_asyncio_echo, HOST, 0, used.server)
    else:
        server = await asyncio.start_server(_asyncio_echo, HOST, 0, ssl=used.ssl_server)
    port = server.sockets[0].getsockname()[1]

    async def new() -> tuple[Any, Any]:
        if is_ours:
            return await sanstls_io.asyncio.open_connection(HOST, port, used.client, server_name=NAME)
        return await asyncio.open_connection(HOST, port, ssl=used.ssl_client, server_hostname=NAME)

    reader, writer = await new()

    async def send() -> None:
        for start in range(0, SIZE, 1 << 17):
            writer.write(DATA[start : start + (1 << 17)])
            await writer.drain()

    begin = time.perf_counter()
    for _ in range(times):
        if kind == "echo":
            sending = asyncio.ensure_future(send())
            await reader.readexactly(SIZE)
            await sending
            continue
        short_reader, short_writer = await new()
        short_writer.write(b"x")
        await short_reader.readexactly(1)
        short_writer.close()
    seconds = time.perf_counter() - begin
    writer.close()
    server.close()
    return seconds / times


# All of it --------------------------------------------------------------------------------------------------------


def best_of(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float]:
    """The best of rounds that alternate."""
    results: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS):
        for index in (0, 1) if number % 2 else (1, 0):
            results[index].append((ours, theirs)[index]())
    return min(results[0]), min(results[1])


def timed(work: Callable[[], None], times: int) -> float:
    """Seconds for one."""
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times


Work = Callable[[Settings, bool, str, int], Awaitable[float]]


def measure() -> list[tuple[str, str, float, float]]:
    """Rows: what, its unit, ours and theirs; more is better."""
    used = settings()
    rows: list[tuple[str, str, float, float]] = []

    def add(style: str, echo: tuple[float, float], connect: tuple[float, float]) -> None:
        rows.append((f"{style}: echo of 1 MiB", "MB/s", *(SIZE / seconds / 1e6 for seconds in echo)))
        rows.append((f"{style}: connections", "1/s", *(1 / seconds for seconds in connect)))

    with blocking_ours(used) as ours, blocking_theirs(used) as theirs:
        add(
            "blocking",
            best_of(lambda: timed(ours.echo, 5), lambda: timed(theirs.echo, 5)),
            best_of(lambda: timed(ours.connect, 30), lambda: timed(theirs.connect, 30)),
        )
    styles: list[tuple[str, Callable[[Work], Callable[..., float]], Work]] = [
        ("trio", lambda work: lambda *args: trio.run(work, *args), trio_work),
        ("asyncio", lambda work: lambda *args: asyncio.run(work(*args)), asyncio_work),  # type: ignore[arg-type]
    ]
    for style, runner, work in styles:
        run = runner(work)
        pairs = [
            best_of(
                lambda run=run, kind=kind, times=times: run(used, True, kind, times),
                lambda run=run, kind=kind, times=times: run(used, False, kind, times),
            )
            for kind, times in (("echo", 5), ("connect", 30))
        ]
        add(style, *pairs)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}, trio {trio.__version__}: bindings over loopback")
    rows = measure()
    print(f"{'work':<36} {'unit':>5} {'sanstls':>9} {'ssl':>9} {'ratio':>6}")
    for work, unit, ours, theirs in rows:
        print(f"{work:<36} {unit:>5} {ours:9.1f} {theirs:9.1f} {ours / theirs:6.2f}")
    if arguments.json:
        figures = [{"work": work, "unit": unit, "ours": ours, "theirs": theirs} for work, unit, ours, theirs in rows]
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
