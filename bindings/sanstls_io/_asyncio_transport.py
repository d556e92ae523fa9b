"""What an application's protocol sees of a TLS connection in asyncio: a transport like any other.

It is only the face; what happens behind it is in :mod:`sanstls_io._asyncio_protocol`.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sanstls import ConnectionInfo
from sanstls_io._negotiated import cipher_of
from sanstls_io._pump import Buffer, Connection

if TYPE_CHECKING:
    from sanstls_io._asyncio_protocol import TLSProtocol

__all__ = ["TLSTransport"]


class TLSTransport(asyncio.Transport):
    """A TLS connection as an ``asyncio.Transport``. It is given to ``connection_made`` when the handshake is complete.

    Beyond what asyncio's own TLS can do: ``write_eof`` (half-close, and so a protocol whose ``eof_received``
    returns true may go on writing), ``close`` that never waits for the peer's close_notify,
    and ``connection_lost`` with the error as the connection tells it.

    ``get_extra_info`` knows, besides the names of the transport below (``peername``,
    ``sockname``, ``socket``): ``sanstls_info`` (a ``ConnectionInfo``), ``sanstls_connection``,
    ``alpn``, ``server_name``, ``peer_chain`` (DER, leaf first), and ``cipher`` as Python's ``ssl`` gives it.
    """

    def __init__(self, side: "TLSProtocol") -> None:
        super().__init__()
        self._side = side

    def __repr__(self) -> str:
        what = "closing" if self.is_closing() else self.connection.state.value
        return f"<TLSTransport with {self.get_extra_info('peername')}: {what}>"

    # What is known --------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection itself, for example for ``export_keying_material``."""
        return self._side.connection

    @property
    def info(self) -> ConnectionInfo:
        """What was negotiated."""
        return self.connection.info

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known under this name, see above."""
        info = self.info
        match name:
            case "sanstls_info":
                return info
            case "sanstls_connection":
                return self.connection
            case "alpn" | "server_name" | "peer_chain":
                return getattr(info, name)
            case "cipher":
                return cipher_of(info)
            case "sslcontext" | "ssl_object" | "peercert" | "compression":
                return default  # a transport below may be asyncio's own TLS, and speaks of itself
        return self._side.raw.get_extra_info(name, default)

    # The protocol ---------------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol is told everything from now on."""
        self._side.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told what happens."""
        return self._side.protocol

    # Reading --------------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Whether data is received: neither paused nor closing."""
        return not (self._side.is_paused or self._side.is_closing)

    def pause_reading(self) -> None:
        """No data and no end is told until ``resume_reading``; the transport below isn't read either."""
        self._side.pause_reading()

    def resume_reading(self) -> None:
        """Go on, first with what was held back."""
        self._side.resume_reading()

    # Writing --------------------------------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        """Send data. As in all of asyncio what is written to a connection that is closing or lost is dropped.

        Raises ``RuntimeError`` after :meth:`write_eof`.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes, bytearray or memoryview, not {type(data).__name__}")
        self._side.write(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Send all of these, in one go."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """TLS can."""
        return True

    def write_eof(self) -> None:
        """Send close_notify: this side sends no more, the peer still may. Again, it does nothing."""
        self._side.write_eof()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """From how many bytes on the protocol is told ``pause_writing``, down to how many ``resume_writing``."""
        self._side.raw.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The two of them, the lower one first."""
        return self._side.raw.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be sent."""
        return self._side.unsent

    # The end --------------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._side.is_closing

    def close(self) -> None:
        """Send what was written, close_notify, and close the transport below. The peer's is not waited for.

        Nothing more is received. A peer that takes nothing for the time of the ``shutdown_timeout`` is
        given up, and ``connection_lost`` has a ``TimeoutError`` then.
        """
        self._side.close()

    def abort(self) -> None:
        """End the connection at once, with the alert internal_error. What waits to be sent is lost."""
        self._side.abort()
