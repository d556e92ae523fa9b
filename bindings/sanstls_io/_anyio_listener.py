"""Handshakes for what another listener accepts: each in a task of its own, so that none holds up another."""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import AnyByteStream, Listener, TaskGroup
from anyio.streams.tls import TLSAttribute

from sanstls import LocalError, ServerConfig, ServerConnection, TLSError
from sanstls_io._anyio_stream import Answers, OnEvent, TLSStream

__all__ = ["OnError", "TLSListener"]

OnError = Callable[[Exception, AnyByteStream], object]

_logger = logging.getLogger("sanstls_io.anyio")


class TLSListener(Listener[TLSStream]):
    """Does the handshake on every connection that another listener accepts, each in a task of its own.

    ``config`` may be replaced at any time; connections that come later use the new one. A
    handshake may take ``handshake_timeout`` seconds. ``answers`` and ``on_event`` are as in
    :meth:`TLSStream.wrap`.

    What goes wrong with a handshake is told to ``on_error(error, transport)`` and harms no other
    connection. Without it errors of peers and transports are dropped, as everyday things,
    and others (the answers' mistakes) are logged.
    """

    def __init__(
        self,
        listener: Listener[Any],
        config: ServerConfig,
        *,
        handshake_timeout: float = 10.0,
        standard_compatible: bool = True,
        answers: Answers | None = None,
        on_event: OnEvent | None = None,
        on_error: OnError | None = None,
    ) -> None:
        self.listener = listener
        self.config = config
        self.handshake_timeout = handshake_timeout
        self.standard_compatible = standard_compatible
        self._answers = answers
        self._on_event = on_event
        self._on_error = on_error

    async def serve(self, handler: Callable[[TLSStream], Any], task_group: TaskGroup | None = None) -> None:
        """Accept connections until cancelled. ``handler(stream)`` is awaited when the handshake is complete.

        As everywhere in anyio, the handler has to close its stream, and what it raises
        ends the task group: ``task_group``, or one of its own.
        """

        @wraps(handler)
        async def handle(transport: AnyByteStream) -> None:
            stream = await self._accept(transport)
            if stream is not None:
                await handler(stream)

        await self.listener.serve(handle, task_group)

    async def _accept(self, transport: AnyByteStream) -> TLSStream | None:
        """The connection when its handshake is complete, or ``None`` if that has failed."""
        stream = None
        try:
            stream = TLSStream(
                transport,
                ServerConnection(self.config),
                answers=self._answers,
                standard_compatible=self.standard_compatible,
                on_event=self._on_event,
            )
            with anyio.move_on_after(self.handshake_timeout):
                await stream._handshake()
                return stream
            raise TimeoutError("timed out during the handshake")
        except BaseException as error:
            try:
                if not isinstance(error, Exception):
                    raise
                self._report(error, transport)  # while the transport still knows whose it is
            finally:
                await (transport if stream is None else stream).aclose()
            return None

    def _report(self, error: Exception, transport: AnyByteStream) -> None:
        everyday = (TLSError, OSError, BrokenResourceError, ClosedResourceError, EndOfStream)
        if self._on_error is not None:
            self._on_error(error, transport)
        elif isinstance(error, LocalError) or not isinstance(error, everyday):
            _logger.error("a TLS handshake failed on this side", exc_info=error)

    async def aclose(self) -> None:
        """Accept nothing more. Connections stay as they are."""
        await self.listener.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the listener below, and ``TLSAttribute.standard_compatible``."""
        own = {TLSAttribute.standard_compatible: lambda: self.standard_compatible}
        return {**self.listener.extra_attributes, **own}
