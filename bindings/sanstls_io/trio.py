"""TLS for trio: :class:`TLSStream`, :func:`open_tls_stream`, :func:`serve_tls` and :class:`TLSListener`.

::

    async with await trio.open_tls_stream("example.com", 443) as tls:
        await tls.send_all(b"...")
        answer = await tls.receive_some()

A ``TLSStream`` is a ``trio.abc.HalfCloseableStream`` over any other stream; what it holds to is told where it
is written. No rule of TLS is here; those are all in :mod:`sanstls`.
"""

import contextlib
import errno
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from sanstls import ClientConfig, ClientConnection, LocalError, ServerConfig, ServerConnection, TLSError
from sanstls_io._client_config import client_config
from sanstls_io._trio_stream import Answers, OnEvent, TLSStream, TruncationError

__all__ = ["Answers", "TLSListener", "TLSStream", "TruncationError", "open_tls_stream", "serve_tls"]

Handler = Callable[[TLSStream], Awaitable[object]]
OnError = Callable[[Exception], object]

_PAUSE_WITHOUT_DESCRIPTORS = 0.1  # seconds
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


async def open_tls_stream(
    host: str,
    port: int,
    config: ClientConfig | None = None,
    *,
    server_name: str | None = None,
    alpn: tuple[str, ...] = (),
    answers: Answers | None = None,
    standard_compatible: bool = True,
    on_event: OnEvent | None = None,
) -> TLSStream:
    """Connect to ``host`` and do the handshake: a stream whose other side is who it should be.

    Without a ``config`` the server is verified by the public web's rules against the
    system's trust store; ``alpn`` goes into it either way. The certificate is checked against
    ``server_name``, which is ``host`` by default. All addresses of ``host`` are tried, as
    ``trio.open_tcp_stream`` does it. The rest is as in :class:`TLSStream`. Raises ``OSError`` if
    there is no connection, and the handshake's error if that fails; all is closed then.
    """
    config = client_config(config, alpn)
    connection = ClientConnection(config, host if server_name is None else server_name)
    transport = await trio.open_tcp_stream(host, port)
    stream = TLSStream(
        transport, connection, answers=answers, standard_compatible=standard_compatible, on_event=on_event
    )
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


class TLSListener(trio.abc.Listener[TLSStream]):
    """Accepts TLS connections from any listener of streams. To accept never means to wait for a handshake:

    that is done by the first call of the stream that needs it, so that one slow peer
    holds up nobody. ``config`` may be replaced at any time; connections that come later
    use the new one. The rest is as in :class:`TLSStream`.
    """

    def __init__(
        self,
        transport_listener: trio.abc.Listener[trio.SocketStream] | trio.abc.Listener[trio.abc.Stream],
        config: ServerConfig,
        *,
        answers: Answers | None = None,
        standard_compatible: bool = True,
        on_event: OnEvent | None = None,
    ) -> None:
        self.transport_listener = transport_listener
        self.config = config
        self._options: dict[str, Any] = {
            "answers": answers,
            "standard_compatible": standard_compatible,
            "on_event": on_event,
        }

    async def accept(self) -> TLSStream:
        """The next connection, whose handshake is still to be done."""
        transport = await self.transport_listener.accept()
        return TLSStream(transport, ServerConnection(self.config), **self._options)

    async def aclose(self) -> None:
        """Accept no more."""
        await self.transport_listener.aclose()


async def serve_tls(
    handler: Handler,
    port: int,
    config: ServerConfig,
    *,
    host: str | bytes | None = None,
    backlog: int | None = None,
    handshake_timeout: float = 10.0,
    max_connections: int = 10_000,
    on_error: OnError | None = None,
    answers: Answers | None = None,
    standard_compatible: bool = True,
    on_event: OnEvent | None = None,
    task_status: trio.TaskStatus[list[TLSListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen at ``port`` of ``host`` (all addresses by default), and call ``handler(stream)`` for each connection.

    It is called when the handshake is complete, which may take ``handshake_timeout``
    seconds; the stream is closed when it returns. Beyond ``max_connections`` peers wait until
    one has ended. What goes wrong with one peer (its errors, the transport's) is told to
    ``on_error``, if that is given, and harms no other; a handler's own exception ends
    everything, as in ``trio.serve_tcp``. Runs until it is cancelled; ``nursery.start`` gives the
    listeners, whose ``config`` may be replaced.
    """
    options: dict[str, Any] = {
        "answers": answers,
        "standard_compatible": standard_compatible,
        "on_event": on_event,
    }
    transports = await trio.open_tcp_listeners(port, host=host, backlog=backlog)
    listeners = [TLSListener(transport, config, **options) for transport in transports]
    limit = trio.CapacityLimiter(max_connections)

    async def serve(stream: TLSStream, token: object) -> None:
        try:
            async with stream:
                if await is_ready(stream):
                    await handler(stream)
        except (TLSError, trio.BrokenResourceError) as error:
            if isinstance(error, LocalError):
                raise
            report(error)
        finally:
            limit.release_on_behalf_of(token)

    async def is_ready(stream: TLSStream) -> bool:
        try:
            with trio.fail_after(handshake_timeout):
                await stream.do_handshake()
        except trio.TooSlowError as error:
            report(error)
            return False
        return True

    def report(error: Exception) -> None:
        if on_error is not None:
            on_error(error)

    async def accept(listener: TLSListener, nursery: trio.Nursery) -> None:
        while True:
            token = object()
            await limit.acquire_on_behalf_of(token)
            try:
                stream = await listener.accept()
            except OSError as error:
                limit.release_on_behalf_of(token)
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                report(error)
                await trio.sleep(_PAUSE_WITHOUT_DESCRIPTORS)
                continue
            except BaseException:
                limit.release_on_behalf_of(token)
                raise
            nursery.start_soon(serve, stream, token)

    async with contextlib.AsyncExitStack() as stack, trio.open_nursery() as nursery:
        for listener in listeners:
            stack.push_async_callback(listener.aclose)
            nursery.start_soon(accept, listener, nursery)
        task_status.started(listeners)
