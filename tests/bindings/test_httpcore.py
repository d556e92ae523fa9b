"""httpx and httpcore with TLS of ours, blocking and not: against Python's servers, HTTP/2, proxies and nginx."""

import contextlib
import functools
import inspect
import shutil
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpcore
import httpx
import pytest
from anyio.to_thread import run_sync

import sanstls_io.httpcore
from bindings.http_servers import BIG, PAGE, Server, http_server, server_context
from bindings.sides import HOST, TIMEOUT, Task, eventually, stranger, web_pki
from interop.driver import Process
from sanstls import (
    CertificateError,
    ClientConfig,
    Event,
    HandshakeComplete,
    LocalError,
    PrivatePKI,
    ProtocolVersion,
    Request,
    TrustStore,
    UnexpectedEOF,
    VerificationRequest,
    WebPKI,
)
from sanstls_io.httpcore import AsyncBackend, SyncBackend, async_transport, tls_error, transport

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("web_root")]
SHORT = 0.05  # seconds, for what is to time out
BOTH = ("h2", "http/1.1")
NO_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpcore gives one; it is not looked at
VERSIONS = {"TLSv1_3": ProtocolVersion.TLS13, "TLSv1_2": ProtocolVersion.TLS12}
each_version = pytest.mark.parametrize("version", VERSIONS)
# httpx leaves the generator of a body as it is when that can't be sent, and trio complains of it.
leaves_a_generator = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
each_http = pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])


# One test for clients that block and for those that don't -------------------------------------------------------------


class Client:
    """httpx with a transport of ours. ``kind`` is ``sync`` or a backend of anyio's."""

    def __init__(
        self, kind: str, config: ClientConfig | None = None, *, timeout: Any = TIMEOUT, **settings: Any
    ) -> None:
        self.is_sync = kind == "sync"
        self._http: Any = (
            httpx.Client(transport=transport(config, **settings), timeout=timeout)
            if self.is_sync
            else httpx.AsyncClient(transport=async_transport(config, **settings), timeout=timeout)
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.is_sync:
            self._http.close()
        else:
            await self._http.aclose()

    async def __call__(self, url: str, content: bytes | None = None, **settings: Any) -> httpx.Response:
        call = self._http.request("GET" if content is None else "POST", url, content=content, **settings)
        response: httpx.Response = call if self.is_sync else await call
        return response

    async def beside_others(self, url: str, content: bytes) -> httpx.Response:
        """What needs a thread where it blocks."""
        if self.is_sync:
            return await run_sync(functools.partial(self._http.post, url, content=content))
        return await self(url, content)


def on_all(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test with each kind of client."""

    @pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
    @functools.wraps(test)
    def run(kind: str, **arguments: Any) -> None:
        async def within_time() -> None:
            with anyio.fail_after(2 * TIMEOUT):
                await test(kind=kind, **arguments)

        anyio.run(within_time, backend="asyncio" if kind == "sync" else kind)

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


def tls_of(response: httpx.Response) -> Any:
    return response.extensions["network_stream"].get_extra_info("ssl_object")


# Requests -------------------------------------------------------------------------------------------------------------


@on_all
@each_version
@each_http
async def test_pages(kind: str, http2: bool, version: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path, alpn=BOTH, version=version)) as server:
        async with Client(kind, http2=http2) as client:
            response = await client(server.url)
            assert (response.status_code, response.content) == (200, PAGE)
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            tls = tls_of(response)
            assert tls.selected_alpn_protocol() == ("h2" if http2 else "http/1.1")
            assert tls.info.version is VERSIONS[version]
            assert tls.version() == version.replace("_", ".")
            name, version_of_cipher, bits = tls.cipher()
            assert (name, version_of_cipher) == (tls.info.cipher_suite.name, tls.version())
            assert bits in (128, 256)
            assert ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True)).encode() in web_pki().chain
            with pytest.raises(NotImplementedError):
                tls.getpeercert()
            for _ in range(3):
                assert (await client(server.url)).content == PAGE
    assert server.connections == 1
    assert server.errors == []


@on_all
@each_version
@each_http
async def test_big_bodies_both_ways(kind: str, http2: bool, version: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path, alpn=BOTH, version=version)) as server:
        async with Client(kind, http2=http2) as client:
            assert (await client(f"{server.url}/big")).content == BIG
            assert (await client(server.url, BIG)).content == BIG
    assert server.connections == 1


@on_all
async def test_a_server_that_does_not_speak_http2(kind: str, tmp_path: Path) -> None:
    for alpn in ((), ("http/1.1",)):
        with http_server(server_context(tmp_path, alpn=alpn)) as server:
            async with Client(kind, http2=True) as client:
                response = await client(server.url)
                assert (response.http_version, response.content) == ("HTTP/1.1", PAGE)


@on_all
async def test_plain_http(kind: str) -> None:
    with http_server(None) as server:
        async with Client(kind) as client:
            response = await client(server.url)
            assert response.content == PAGE
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("ssl_object") is None
            assert stream.get_extra_info("server_addr") == (HOST, server.server_port)
            assert stream.get_extra_info("client_addr")[0] == HOST
            assert stream.get_extra_info("socket").fileno() > 0
            assert stream.get_extra_info("something else") is None


@on_all
async def test_a_body_that_ends_with_its_connection(kind: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path)) as server:
        async with Client(kind) as client:
            assert (await client(f"{server.url}/until-the-end")).content == BIG
            assert (await client(server.url)).content == PAGE
    assert server.connections == 2


@on_all
@each_http
async def test_many_at_once(kind: str, http2: bool, tmp_path: Path) -> None:
    # httpcore's HTTP/2 loses its way when threads share a client, with ssl as well.
    at_once = anyio.Semaphore(1 if kind == "sync" and http2 else 15)

    async def post(number: int) -> None:
        body = b"%d" % number * 20_000
        for _ in range(2):
            async with at_once:
                response = await client.beside_others(server.url, body)
            assert response.content == body

    with http_server(server_context(tmp_path, alpn=BOTH)) as server:
        async with Client(kind, http2=http2) as client, anyio.create_task_group() as group:
            await post(0)
            for number in range(15):
                group.start_soon(post, number)
        assert http2 is (server.connections == 1)
        assert server.connections <= 15


@on_all
async def test_a_connection_that_the_server_has_closed_is_not_used_again(kind: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path)) as server:
        async with Client(kind) as client:
            response = await client(server.url)
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("is_readable") is False
            assert (await client(server.url)).content == PAGE
            assert server.connections == 1
            await client(server.url, b"", headers={"Connection": "close"})
            assert (await client(server.url)).content == PAGE
            assert server.connections == 2


@on_all
async def test_a_socket_of_the_file_system(kind: str, tmp_path: Path) -> None:
    context = server_context(tmp_path)
    path = str(tmp_path / "socket")

    def serve() -> None:
        plain, _ = listener.accept()
        plain.settimeout(TIMEOUT)
        with plain, context.wrap_socket(plain, server_side=True) as sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix")
            sock.recv(65536)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(TIMEOUT)
        with Task(serve):
            async with Client(kind, uds=path) as client:
                assert (await client("https://localhost/")).content == b"unix"
    async with Client(kind, uds=str(tmp_path / "nothing")) as client:
        with pytest.raises(httpx.ConnectError):
            await client("https://localhost/")


# What goes wrong ------------------------------------------------------------------------------------------------------


@on_all
@each_version
async def test_a_certificate_that_is_not_trusted(kind: str, version: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path, version=version)) as server:
        async with Client(kind, ClientConfig(verify=WebPKI(stranger()))) as client:
            with pytest.raises(httpx.ConnectError) as raised:
                await client(server.url)
            assert isinstance(tls_error(raised.value), CertificateError)
            assert str(tls_error(raised.value)) in str(raised.value)
        eventually(lambda: server.errors)
    assert "unknown ca" in str(server.errors[0])


@on_all
async def test_a_certificate_for_another_name(kind: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path)) as server:
        async with Client(kind) as client:
            with pytest.raises(httpx.ConnectError) as raised:
                await client(f"https://{HOST}:{server.server_port}/")
            assert isinstance(tls_error(raised.value), CertificateError)
            named = {"sni_hostname": "localhost"}
            response = await client(f"https://{HOST}:{server.server_port}/", extensions=named)
            assert response.content == PAGE


@on_all
async def test_nobody_listens(kind: str) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    async with Client(kind) as client:
        with pytest.raises(httpx.ConnectError) as raised:
            await client(f"https://localhost:{port}/")
        assert tls_error(raised.value) is None


@on_all
async def test_a_server_without_tls(kind: str) -> None:
    with http_server(None) as server:
        async with Client(kind) as client:
            with pytest.raises(httpx.ConnectError, match="no TLS record"):
                await client(server.url.replace("http:", "https:"))


@on_all
@each_version
async def test_a_body_that_is_cut(kind: str, version: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path, version=version)) as server:
        async with Client(kind) as client:
            for path in ("/cut", "/until-it-is-cut"):
                with pytest.raises(httpx.ReadError) as raised:
                    await client(server.url + path)
                assert isinstance(tls_error(raised.value), UnexpectedEOF)
            assert (await client(server.url)).content == PAGE


@on_all
@each_http
async def test_a_server_that_does_not_answer(kind: str, http2: bool, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path, alpn=BOTH)) as server:
        async with Client(kind, http2=http2) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client(f"{server.url}/never", timeout=httpx.Timeout(TIMEOUT, read=SHORT))
            server.may_end.set()
            assert (await client(server.url)).content == PAGE


@on_all
async def test_a_handshake_that_does_not_go_on(kind: str) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        async with Client(kind, timeout=httpx.Timeout(TIMEOUT, connect=SHORT)) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client(f"https://localhost:{port}/")


@on_all
@leaves_a_generator
async def test_a_server_that_takes_nothing(kind: str, tmp_path: Path) -> None:
    context = server_context(tmp_path)
    may_end = threading.Event()

    def serve() -> None:
        plain, _ = listener.accept()
        plain.settimeout(TIMEOUT)
        with plain, context.wrap_socket(plain, server_side=True):
            assert may_end.wait(TIMEOUT)

    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(TIMEOUT)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        url = f"https://localhost:{listener.getsockname()[1]}/"
        with Task(serve):
            async with Client(kind, timeout=httpx.Timeout(TIMEOUT, write=SHORT)) as client:
                with pytest.raises(httpx.WriteTimeout):
                    await client(url, bytes(20_000_000))
            may_end.set()


@on_all
@leaves_a_generator
async def test_a_server_that_breaks_off(kind: str, tmp_path: Path) -> None:
    context = server_context(tmp_path)

    def serve() -> None:
        plain, _ = listener.accept()
        plain.settimeout(TIMEOUT)
        with plain, context.wrap_socket(plain, server_side=True) as sock:
            sock.recv(100)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(TIMEOUT)
        url = f"https://localhost:{listener.getsockname()[1]}/"
        with Task(serve):
            async with Client(kind) as client:
                with pytest.raises((httpx.ReadError, httpx.WriteError)):
                    await client(url, bytes(10_000_000))


@on_all
async def test_retries(kind: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path)) as server:
        refusing = ClientConfig(verify=WebPKI(stranger()))
        async with Client(kind, refusing, retries=1) as client:
            with pytest.raises(httpx.ConnectError):
                await client(server.url)
    assert server.connections == 2


@on_all
async def test_an_option_that_no_socket_has(kind: str) -> None:
    with http_server(None) as server:
        async with Client(kind, socket_options=[(socket.SOL_SOCKET, 12345, 1)]) as client:
            with pytest.raises(httpx.ConnectError):
                await client(server.url)
        async with Client(kind, socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]) as client:
            response = await client(server.url)
            sock = response.extensions["network_stream"].get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


# Requests of TLS, events ----------------------------------------------------------------------------------------------


def asked(kind: str, answer: Callable[[Request[Any]], object]) -> Any:
    """The same ``answers`` for either kind of client."""

    async def answers(request: Request[Any]) -> object:
        await anyio.sleep(0)
        return answer(request)

    return answer if kind == "sync" else answers


@on_all
@pytest.mark.parametrize("is_tunnelled", [False, True], ids=["directly", "through a proxy"])
async def test_who_answers_and_who_watches(kind: str, is_tunnelled: bool, tmp_path: Path) -> None:
    seen: list[Event] = []
    requests: list[Request[Any]] = []
    store = TrustStore.from_pem(web_pki().root)
    config = ClientConfig(verify=WebPKI(store), defer=frozenset({VerificationRequest}))

    def refuse(request: Request[Any]) -> object:
        if len(requests) == is_tunnelled:
            raise CertificateError("revoked yesterday")
        return requests.append(request)

    def mistake(request: Request[Any]) -> object:
        raise ZeroDivisionError

    context = server_context(tmp_path)
    with http_server(context) as server, http_server(context) as proxy:
        settings: dict[str, Any] = {"proxy": proxy.url} if is_tunnelled else {}
        answers = asked(kind, requests.append)
        async with Client(kind, config, answers=answers, on_event=seen.append, **settings) as client:
            assert (await client(server.url)).content == PAGE
        assert len(requests) == len([event for event in seen if isinstance(event, HandshakeComplete)])
        assert len(requests) == 1 + is_tunnelled
        requests.clear()
        async with Client(kind, config, answers=asked(kind, refuse), **settings) as client:
            with pytest.raises(httpx.ConnectError, match="revoked yesterday"):
                await client(server.url)
        async with Client(kind, config, answers=asked(kind, mistake), **settings) as client:
            with pytest.raises(ZeroDivisionError):
                await client(server.url)
        async with Client(kind, config, **settings) as client:
            with pytest.raises(httpx.ConnectError, match="VerificationRequest"):
                await client(server.url)


@on_all
async def test_secrets_of_the_default_configuration(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    context = server_context(tmp_path)
    with http_server(context) as server, http_server(context) as proxy:
        async with Client(kind, proxy=proxy.url) as client:
            assert (await client(server.url)).content == PAGE
    assert path.read_text().count("CLIENT_TRAFFIC_SECRET_0") == 2


# Proxies --------------------------------------------------------------------------------------------------------------


@on_all
@each_http
@pytest.mark.parametrize("has_tls", [False, True], ids=["http", "https"])
async def test_through_a_proxy(kind: str, has_tls: bool, http2: bool, tmp_path: Path) -> None:
    """With ``https`` that is TLS in TLS. The proxy is never offered HTTP/2, which is not how httpcore speaks to one."""
    context = server_context(tmp_path, alpn=BOTH)
    with http_server(context) as server, http_server(context if has_tls else None) as proxy:
        async with Client(kind, http2=http2, proxy=proxy.url) as client:
            response = await client(server.url)
            assert response.content == PAGE
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            assert tls_of(response).selected_alpn_protocol() == ("h2" if http2 else "http/1.1")
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("server_addr") == (HOST, proxy.server_port)
            assert stream.get_extra_info("is_readable") is False
            assert (await client(f"{server.url}/big")).content == BIG
            assert (await client(server.url, BIG)).content == BIG
        assert proxy.tunnels == [f"localhost:{server.server_port}"]
        assert (proxy.connections, server.connections) == (1, 1)


@on_all
@pytest.mark.parametrize("has_tls", [False, True], ids=["http", "https"])
async def test_what_goes_wrong_behind_a_proxy(kind: str, has_tls: bool, tmp_path: Path) -> None:
    context = server_context(tmp_path)
    with http_server(context) as server, http_server(context if has_tls else None) as proxy:
        async with Client(kind, proxy=proxy.url) as client:
            with pytest.raises(httpx.ConnectError) as raised:
                await client(f"https://{HOST}:{server.server_port}/")
            assert isinstance(tls_error(raised.value), CertificateError)
            with pytest.raises(httpx.ProxyError, match="403"):
                await client("https://forbidden.example/")
            with pytest.raises(httpx.ReadError) as cut:
                await client(f"{server.url}/cut")
            assert isinstance(tls_error(cut.value), UnexpectedEOF)
            with pytest.raises(httpx.ReadTimeout):
                await client(f"{server.url}/never", timeout=httpx.Timeout(TIMEOUT, read=SHORT))
            server.may_end.set()
            assert (await client(server.url)).content == PAGE


@on_all
async def test_a_handshake_behind_a_proxy_that_does_not_go_on(kind: str, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as silent, http_server(server_context(tmp_path)) as proxy:
        async with Client(kind, proxy=proxy.url, timeout=httpx.Timeout(TIMEOUT, connect=0.3)) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client(f"https://localhost:{silent.getsockname()[1]}/")


@on_all
async def test_a_proxy_that_is_not_trusted(kind: str, tmp_path: Path) -> None:
    with http_server(server_context(tmp_path)) as proxy:
        async with Client(kind, ClientConfig(verify=PrivatePKI(stranger())), proxy=proxy.url) as client:
            with pytest.raises(httpx.ConnectError) as raised:
                await client("https://localhost/")
            assert isinstance(tls_error(raised.value), CertificateError)
    assert proxy.tunnels == []


def test_proxies_that_are_configured_in_another_way() -> None:
    for make in (transport, async_transport):
        with pytest.raises(ValueError, match="config="):
            make(proxy=httpx.Proxy("https://localhost", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))


def test_a_proxy_that_speaks_socks() -> None:
    for make in (transport, async_transport):
        try:
            made: Any = make(proxy="socks5://user:secret@localhost:1080")
        except RuntimeError as error:  # without the package for it
            assert "socksio" in str(error)  # noqa: PT017
        else:
            assert "SOCKSProxy" in type(made._pool).__name__


# httpcore itself ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def http_and_http2(tmp_path: Path) -> Iterator[Server]:
    with http_server(server_context(tmp_path, alpn=BOTH)) as server:
        yield server


@each_http
def test_a_pool_of_httpcore(http2: bool, tmp_path: Path) -> None:
    """Which gives its own ``ssl_context``."""
    backend = SyncBackend(http2=http2)
    with (
        http_and_http2(tmp_path) as server,
        httpcore.ConnectionPool(ssl_context=NO_CONTEXT, http2=http2, network_backend=backend) as pool,
    ):
        response = pool.request("GET", server.url)
        assert response.content == PAGE
        assert response.extensions["http_version"] == (b"HTTP/2" if http2 else b"HTTP/1.1")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@each_http
def test_an_async_pool_of_httpcore(http2: bool, backend: str, tmp_path: Path) -> None:

    async def get() -> None:
        pool = httpcore.AsyncConnectionPool(
            ssl_context=NO_CONTEXT, http2=http2, network_backend=AsyncBackend(http2=http2)
        )
        async with pool:
            response = await pool.request("GET", server.url)
            assert response.content == PAGE
            assert response.extensions["http_version"] == (b"HTTP/2" if http2 else b"HTTP/1.1")

    with http_and_http2(tmp_path) as server:
        anyio.run(get, backend=backend)


class Stream:
    """A network stream of either kind, behind the same calls."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            method = getattr(self.stream, "aclose" if name == "close" and hasattr(self.stream, "aclose") else name)
            result = method(*arguments)
            return await result if inspect.isawaitable(result) else result

        return call


async def connected(backend: Any, server: Server) -> Stream:
    connecting = backend.connect_tcp(HOST, server.server_port, timeout=TIMEOUT)
    return Stream(await connecting if inspect.isawaitable(connecting) else connecting)


def a_backend(kind: str, config: ClientConfig | None = None, **settings: Any) -> Any:
    return (SyncBackend if kind == "sync" else AsyncBackend)(config, **settings)


@on_all
async def test_errors_have_httpcores_names(kind: str, tmp_path: Path) -> None:
    backend = a_backend(kind, ClientConfig(verify=WebPKI(stranger())))
    with http_and_http2(tmp_path) as server:
        for name, error in (("localhost", CertificateError), ("not a name", LocalError)):
            stream = await connected(backend, server)
            with pytest.raises(httpcore.ConnectError) as raised:
                await stream.start_tls(NO_CONTEXT, name, TIMEOUT)
            assert isinstance(raised.value.__cause__, error)
            with pytest.raises(httpcore.ReadError):
                await stream.read(1)
            with pytest.raises(httpcore.WriteError):
                await stream.write(b"x")
            assert stream.stream.get_extra_info("is_readable") is True  # there is nothing to wait for


@on_all
async def test_streams_in_streams(kind: str, tmp_path: Path) -> None:
    """Three of them; and a stream tells that it has something to read, or has ended."""
    backend = a_backend(kind)
    with http_and_http2(tmp_path) as server, http_server(server_context(tmp_path)) as proxy:
        stream = await connected(backend, proxy)
        for where in (proxy, server):
            stream = Stream(await stream.start_tls(NO_CONTEXT, "localhost", TIMEOUT))
            await stream.write(b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % where.server_port)
            assert await stream.read(4, TIMEOUT) == b"HTTP"
            assert stream.stream.get_extra_info("is_readable") is True
            assert (await stream.read(65536, TIMEOUT)).startswith(b"/1.1 200")
        stream = Stream(await stream.start_tls(NO_CONTEXT, "localhost", TIMEOUT))
        await stream.write(b"")
        await stream.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert await stream.read(4, TIMEOUT) == b"HTTP"
        assert stream.stream.get_extra_info("is_readable") is True
        while await stream.read(65536, TIMEOUT):
            pass
        assert stream.stream.get_extra_info("is_readable") is True
        await stream.close()


def fails(request: Request[Any]) -> object:
    raise ZeroDivisionError


def gives_up(request: Request[Any]) -> object:
    raise LocalError("no idea")


@pytest.mark.parametrize(
    ("answers", "error"), [(None, httpcore.ConnectError), (gives_up, httpcore.ConnectError), (fails, ZeroDivisionError)]
)
def test_a_tunnel_for_which_nobody_answers(answers: Any, error: type[Exception], tmp_path: Path) -> None:
    config = ClientConfig(verify=WebPKI(TrustStore.from_pem(web_pki().root)), defer=frozenset({VerificationRequest}))
    backend = SyncBackend(config, answers=lambda request: None)
    with http_and_http2(tmp_path) as server, http_server(server_context(tmp_path)) as proxy:
        stream = backend.connect_tcp(HOST, proxy.server_port, TIMEOUT).start_tls(NO_CONTEXT, "localhost", TIMEOUT)
        stream.write(b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % server.server_port)
        assert stream.read(65536, TIMEOUT).startswith(b"HTTP/1.1 200")
        backend.answers = answers
        with pytest.raises(error):
            stream.start_tls(NO_CONTEXT, "localhost", TIMEOUT)
        eventually(lambda: server.errors)
    assert "internal error" in str(server.errors[0])


# nginx ----------------------------------------------------------------------------------------------------------------

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off; client_max_body_size 0;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port} ssl http2; server_name localhost;
        ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
        location = /big {{ alias {folder}/big; }}
        location / {{ return 200 "$ssl_protocol $server_protocol"; }}
    }}
}}
"""


@contextlib.asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[str]:
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if command is None:
        pytest.skip("nginx is not here: apt-get install nginx-light")
    server_context(folder)  # its files
    (folder / "big").write_bytes(BIG)
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    with Process([command, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]) as process:
        for _ in range(1000):
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), TIMEOUT):
                break
            await anyio.sleep(0.01)
        try:
            yield f"https://localhost:{port}"
        except BaseException as error:
            error.add_note(process.report)
            raise


@on_all
@each_version
@each_http
async def test_nginx(kind: str, http2: bool, version: str, tmp_path: Path) -> None:
    store = TrustStore.from_pem(web_pki().root)
    config = ClientConfig(verify=WebPKI(store), versions=(VERSIONS[version],))
    async with nginx(tmp_path) as url, Client(kind, config, http2=http2) as client:
        expected = f"{version.replace('_', '.')} HTTP/{'2.0' if http2 else '1.1'}"
        for _ in range(3):
            assert (await client(url)).text == expected
        assert (await client(f"{url}/big")).content == BIG
        assert (await client(url, BIG[:10_000])).text == expected


def test_what_is_public() -> None:
    for name in sanstls_io.httpcore.__all__:
        assert getattr(sanstls_io.httpcore, name).__doc__
