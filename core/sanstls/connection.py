"""The only door: connections that take bytes and give bytes and events.

What comes in is read by :class:`sanstls.receiving.ReceivingHalf`; here are the
caller's calls, and the two roles.
"""

from enum import Enum

from sanstls.config import ClientConfig, ServerConfig
from sanstls.errors import LocalError
from sanstls.events import ConnectionInfo, KeysUpdated, MessageSent
from sanstls.handshake.client import client_handshake
from sanstls.handshake.established import Established
from sanstls.handshake.server import server_handshake
from sanstls.handshake.vocabulary import ClientHandshake, ServerHandshake
from sanstls.identity import parse_server_name
from sanstls.receiving import Buffer, ReceivingHalf
from sanstls.record.layer import Epoch
from sanstls.record.protection import LEFT_FOR_KEY_UPDATE
from sanstls.sessions import Session
from sanstls.wire.registries import AlertDescription, AlertLevel, ContentType, KeyUpdateRequest

__all__ = ["ClientConnection", "ConnectionState", "ServerConnection"]

_CLOSURE_ALERTS = (AlertDescription.close_notify, AlertDescription.user_canceled)
_DATA = b"\x17"


class ConnectionState(Enum):
    """Where a connection is, for people; programs follow the events."""

    HANDSHAKE = "handshake under way"
    WAITING = "a request waits for its answer"
    OPEN = "data flows both ways"
    WRITE_CLOSED = "this side has closed, the peer may still send"
    READ_CLOSED = "the peer has closed, this side may still send"
    CLOSED = "both sides have closed"
    FAILED = "over because of an error"


class _Connection(ReceivingHalf):
    """What both roles share: the caller's calls. Events that they lead to come from the next ``receive_data``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.state.value}>"

    # What goes out --------------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        """Take all bytes that are queued for the transport."""
        if not self._sends_plainly:
            self._prepare_to_send()
        writer = self._writer
        queue = writer.queue
        if len(queue) == 1:
            return queue.pop()
        writer.queue = []
        return b"".join(queue)

    def buffers_to_send(self) -> list[bytes]:
        """The same as :meth:`data_to_send` without joining, for ``sendmsg`` or ``writelines``."""
        if not self._sends_plainly:
            self._prepare_to_send()
        writer = self._writer
        queue, writer.queue = writer.queue, []
        return queue

    @property
    def pending(self) -> int:
        """How many bytes are queued to send."""
        if not self._sends_plainly:
            self._prepare_to_send()
        return sum(map(len, self._writer.queue))

    def _prepare_to_send(self) -> None:
        """Queue what was put off until now: the ClientHello, a KeyUpdate that is owed, a flight's messages."""
        self._start()
        if self._established is not None and self._established.owes_key_update:
            self._update_sending_keys(KeyUpdateRequest.update_not_requested)
        self._writer.flush_messages()

    @property
    def wants_data(self) -> bool:
        """Whether reading from the transport makes sense now: not while a request waits, not after the end."""
        return not self._is_read_closed and self._request is None

    @property
    def can_send(self) -> bool:
        """Whether ``send_data`` may be called now: the handshake is complete, and neither side's doing forbids it.

        The events of one ``receive_data`` come together, and a later one of them may have
        ended the connection already: who answers an earlier one has to look here first.
        """
        return self._may_send_data

    @property
    def trailing_data(self) -> bytes:
        """What came in one piece with the peer's close_notify, behind it: not TLS, and protected by nothing.

        It is the beginning of whatever the transport carries after TLS. What comes
        later is not given to the connection at all.
        """
        return self._trailing_data

    def send_data(self, data: Buffer) -> None:
        """Queue application data of any size. ``LocalError`` unless the connection is open for sending."""
        writer = self._writer
        if self._sends_plainly and type(data) is bytes and 0 < len(data) <= writer.max_plaintext:
            sealer = writer.sealer
            assert sealer is not None
            sealer.seal(writer.queue, _DATA, data)
            if sealer.records_left <= LEFT_FOR_KEY_UPDATE:
                self._renew_keys()
            return
        self._send_any_data(data)

    def _send_any_data(self, data: Buffer) -> None:
        if not self._may_send_data:
            self._refuse_sending()
        self._prepare_to_send()
        established = self._established
        assert established is not None
        while established.owed_tickets:
            self._send_ticket()
        view = memoryview(data).cast("B")
        size, sent = len(view), 0
        while sent < size:
            sent += self._writer.write_data(view[sent:])
            sealer = self._writer.sealer
            if sealer is not None and sealer.records_left <= LEFT_FOR_KEY_UPDATE:
                self._renew_keys()
                if self._is_write_closed and sent < size:
                    raise LocalError(f"the keys are used up: {size - sent} of {size} bytes were not sent")
        if self._is_traced:
            epoch = self._records.write_epoch
            self._events.append(MessageSent("ApplicationData", ContentType.application_data, epoch, size))
        self._choose_sending()

    def _send_ticket(self) -> bool:
        """Send a NewSessionTicket, if there can be one more: whether there was."""
        established = self._established
        assert established is not None
        message, events = established.send_ticket()
        self._events += events
        if message is not None and self._is_traced:
            epoch, size = self._records.write_epoch, len(message.encode())
            self._events.append(MessageSent("NewSessionTicket", ContentType.handshake, epoch, size, message))
        return message is not None

    def _refuse_sending(self) -> None:
        if self._failure is not None:
            raise LocalError("the connection has failed; nothing can be sent") from self._failure
        if self._is_write_closed:
            raise LocalError("this side is closed; nothing can be sent after close()")
        raise LocalError("data can be sent when the handshake is complete, not before")

    def close(self) -> None:
        """Queue close_notify: this side sends no more, the peer still may. Closing again does nothing.

        During the handshake it is given up (user_canceled, then close_notify).
        """
        if self._is_write_closed:
            return
        if self._established is None:
            if self._flow is not None:
                self._send_alert(AlertDescription.user_canceled, AlertLevel.warning)
                self._send_alert(AlertDescription.close_notify, AlertLevel.warning)
            self._end()
            return
        self._prepare_to_send()
        self._send_alert(AlertDescription.close_notify, AlertLevel.warning)
        self._is_write_closed = True
        self._may_send_data = self._sends_plainly = False

    def abort(self, alert: AlertDescription = AlertDescription.internal_error) -> None:
        """Queue a fatal alert and end the connection. After the end it does nothing."""
        if alert in _CLOSURE_ALERTS:
            raise LocalError(f"{alert} is no error; use close()")
        if self._failure is None and not (self._is_read_closed and self._is_write_closed):
            self._fail(LocalError(f"aborted by this side with the alert {alert}"), alert, is_told=False)

    def update_keys(self, request_peer: bool = False) -> None:
        """Update the sending keys, and ask the peer to update its own if wanted (RFC 9846 4.7.3)."""
        if not self._may_send_data:
            self._refuse_sending()
        requests = KeyUpdateRequest.update_requested if request_peer else KeyUpdateRequest.update_not_requested
        self._update_sending_keys(requests)

    def _renew_keys(self) -> None:
        """The AEAD's limit is reached (RFC 9846 5.5): go on with new keys, or where there are none, close."""
        if self._established is not None and self._established.can_update_keys:
            self._update_sending_keys(KeyUpdateRequest.update_not_requested)
        else:
            self.close()

    def _update_sending_keys(self, request: KeyUpdateRequest) -> None:
        established = self._established
        assert established is not None
        epoch = self._records.write_epoch
        message = established.update_sending_keys(request)
        if self._is_traced:
            self._events.append(MessageSent("KeyUpdate", ContentType.handshake, epoch, len(message.encode()), message))
        self._events.append(KeysUpdated("sending"))
        self._choose_sending()

    # What is known --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ConnectionState:
        """Where the connection is."""
        if self._failure is not None:
            return ConnectionState.FAILED
        if self._is_read_closed:
            return ConnectionState.CLOSED if self._is_write_closed else ConnectionState.READ_CLOSED
        if self._is_write_closed:
            return ConnectionState.WRITE_CLOSED
        if self._request is not None:
            return ConnectionState.WAITING
        return ConnectionState.HANDSHAKE if self._established is None else ConnectionState.OPEN

    @property
    def info(self) -> ConnectionInfo:
        """What was negotiated. ``LocalError`` before the handshake is complete."""
        if self._established is None:
            raise LocalError("nothing is negotiated before the handshake is complete") from self._failure
        return self._established.info

    def export_keying_material(self, label: str | bytes, length: int, context: bytes | None = None) -> bytes:
        """Keying material for the application (RFC 9846 7.5): ``length`` bytes bound to this connection.

        No context and an empty context give the same in TLS 1.3.
        """
        if self._established is None:
            raise LocalError("keying material can be exported when the handshake is complete") from self._failure
        return self._established.export(label.encode() if isinstance(label, str) else label, length, context)

    def channel_binding(self, kind: str = "tls-exporter") -> bytes:
        """The channel binding ``tls-exporter`` of RFC 9266, 32 bytes."""
        if self._established is None:
            raise LocalError("there is a channel binding when the handshake is complete") from self._failure
        return self._established.channel_binding(kind)


class ClientConnection(_Connection):
    """The client's side of a connection.

    ``server_name`` is a DNS name or an IP address; it goes into server_name (a DNS
    name does) and is what the certificate is checked against. Without one, no name is
    checked, which most verifiers refuse. ``session`` is one that an earlier connection
    to this name has given (:class:`SessionReceived`): it is offered if it is still good and
    this configuration could have made it, and the server decides whether it is resumed.
    With ``early_data`` the session may also be used for :meth:`send_early_data`.
    """

    __slots__ = ("_config", "_hs", "_server_name", "_session", "_wants_early_data")
    _role = "client"

    def __init__(
        self,
        config: ClientConfig,
        server_name: str | None = None,
        *,
        session: Session | None = None,
        early_data: bool = False,
    ) -> None:
        if not isinstance(config, ClientConfig):
            raise LocalError(f"a ClientConnection needs a ClientConfig, not {type(config).__name__}")
        super().__init__(is_traced=config.trace)
        self._config: ClientConfig | None = config
        self._server_name = None if server_name is None else str(parse_server_name(server_name))
        if session is not None:
            if not isinstance(session, Session):
                raise LocalError(f"session must be a Session, not {type(session).__name__}")
            if session.server_name != self._server_name:
                raise LocalError(f"the session is one with {session.server_name}, not with {self._server_name}")
        self._session = session
        self._wants_early_data = early_data
        self._hs: ClientHandshake | None = None

    def _start(self) -> None:
        config = self._config
        if config is None:
            return
        self._config = None
        if self._is_write_closed:
            return
        self._writer.first_record_version = b"\x03\x01"
        hs = ClientHandshake(config, self._server_name, self._records, self._events, self._session)
        hs.wants_early_data = self._wants_early_data
        self._session = None
        self._hs = hs
        self._flow = client_handshake(hs)
        self._ccs_allowed = True
        self._resume(self._flow.send, None)
        self._writer.flush_messages()

    def _complete(self, established: Established) -> None:
        super()._complete(established)
        self._hs = None

    def send_early_data(self, data: Buffer) -> int:
        """Send data before the server has said anything (0-RTT): how many bytes were taken, 0 if none can be now.

        It can be read by whoever gets the server's ticket keys, and can be replayed: only what
        does no harm when it is done twice belongs here. If the server drops it,
        :class:`EarlyDataRejected` hands it back.
        """
        self._start()
        early = None if self._hs is None or self._flow is None else self._hs.early_data
        if early is None:
            return 0
        view = memoryview(data).cast("B")[: early.left]
        sent = self._writer.write_data(view)
        early.left -= sent
        early.sent.append(bytes(view[:sent]))
        if self._is_traced and sent:
            self._events.append(MessageSent("ApplicationData", ContentType.application_data, Epoch.early, sent))
        return sent


class ServerConnection(_Connection):
    """The server's side of a connection.

    In TLS 1.3 tickets go out with the first data that it sends (RFC 9846 4.7.1): a peer that
    does not read yet is never in the way of a handshake.
    """

    __slots__ = ()
    _role = "server"

    def __init__(self, config: ServerConfig) -> None:
        if not isinstance(config, ServerConfig):
            raise LocalError(f"a ServerConnection needs a ServerConfig, not {type(config).__name__}")
        super().__init__(is_traced=config.trace)
        self._records.reader.allows_plain_alert = True
        hs = ServerHandshake(config, self._records, self._events)
        self._flow = server_handshake(hs)
        self._resume(self._flow.send, None)

    def send_session_ticket(self) -> None:
        """Send a ticket of TLS 1.3 now, or one more. ``LocalError`` if the connection is not open for that."""
        if not self._may_send_data:
            self._refuse_sending()
        if not self._send_ticket():
            raise LocalError("no ticket can be sent: not in TLS 1.2, not to this client, or there were too many")
        self._writer.flush_messages()
        self._choose_sending()
