"""The only door: connections that take bytes and give bytes and events.

A connection joins three things that know nothing of each other: the record layer
(bytes to records and back), the flow of the handshake (a generator that is resumed
with each message it waits for), and the caller's calls.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, TypeVar

from sanstls.config import ClientConfig, ServerConfig
from sanstls.errors import AlertReceivedError, LocalError, TLSError, UnexpectedEOF
from sanstls.events import (
    AlertReceived,
    CloseNotifyReceived,
    ConnectionFailed,
    ConnectionInfo,
    DataReceived,
    Event,
    HandshakeComplete,
    KeysUpdated,
    MessageReceived,
    MessageSent,
    Request,
)
from sanstls.handshake.client13 import client_handshake
from sanstls.handshake.post_handshake import answers_key_update, expected_after_handshake
from sanstls.handshake.server13 import server_handshake
from sanstls.handshake.vocabulary import ClientHandshake, Established, Flow, ServerHandshake, Wait
from sanstls.identity import parse_server_name
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.layer import Epoch, RecordLayer
from sanstls.record.limits import MAX_EMPTY_RECORDS, MAX_KEPT_WHILE_WAITING, MAX_KEY_UPDATES, MAX_WARNING_ALERTS
from sanstls.schedule.key_schedule13 import exporter, next_traffic_secret
from sanstls.wire.codec import Struct, WireError
from sanstls.wire.extensions import DuplicateExtension, MisplacedExtension
from sanstls.wire.messages import Alert, HandshakeMessage, KeyUpdate
from sanstls.wire.registries import (
    AlertDescription,
    AlertLevel,
    ContentType,
    HandshakeType,
    KeyUpdateRequest,
)

__all__ = ["ClientConnection", "ConnectionState", "ServerConnection"]

_T = TypeVar("_T")
_APPLICATION_DATA, _HANDSHAKE, _ALERT, _CCS = 23, 22, 21, 20
_CLOSURE_ALERTS = (AlertDescription.close_notify, AlertDescription.user_canceled)
_Buffer = bytes | bytearray | memoryview


class ConnectionState(Enum):
    """Where a connection is, for people; programs follow the events."""

    HANDSHAKE = "handshake under way"
    WAITING = "a request waits for its answer"
    OPEN = "data flows both ways"
    WRITE_CLOSED = "this side has closed, the peer may still send"
    READ_CLOSED = "the peer has closed, this side may still send"
    CLOSED = "both sides have closed"
    FAILED = "over because of an error"


class _Connection:
    """What both roles share."""

    __slots__ = (
        "_ccs_allowed",
        "_empty_records",
        "_established",
        "_events",
        "_failure",
        "_flow",
        "_is_read_closed",
        "_is_traced",
        "_is_write_closed",
        "_key_updates",
        "_may_receive_data",
        "_may_send_data",
        "_owes_key_update",
        "_records",
        "_request",
        "_waits_for",
        "_warnings",
    )

    _role: Literal["client", "server"]

    def __init__(self, *, is_traced: bool) -> None:
        self._records = RecordLayer()
        self._events: list[Event] = []
        self._is_traced = is_traced
        self._flow: Flow[Established] | None = None
        self._waits_for: tuple[type[HandshakeMessage], ...] = ()
        self._request: Request[Any] | None = None
        self._established: Established | None = None
        self._failure: TLSError | None = None
        self._may_send_data = False
        self._may_receive_data = False
        self._is_read_closed = False
        self._is_write_closed = False
        self._ccs_allowed = False
        self._owes_key_update = False
        self._empty_records = 0
        self._key_updates = 0
        self._warnings = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.state.value}>"

    def _start(self) -> None:
        """Begin the handshake, if it has not begun."""

    # What came in -------------------------------------------------------------------------------------------------

    def receive_data(self, data: _Buffer) -> list[Event]:
        """Take bytes from the transport, in any chunks, and tell what they mean.

        Never raises because of the bytes: what is wrong with them comes as
        :class:`ConnectionFailed`, after the alert was queued. Once the peer has
        closed, or the connection has failed, whatever comes is ignored.
        """
        if not self._may_receive_data:
            self._start()
            if self._is_read_closed:
                return self._take_events()
        reader = self._records.reader
        try:
            record = reader.whole_record(data) if self._may_receive_data and self._request is None else None
            if record is not None:
                self._receive_record(*record)
            else:
                reader.feed(data)
                self._pump()
                reader.keep()
        except BaseException as error:
            self._end_by(error)
        if self._request is not None:
            kept = reader.kept + self._records.messages.kept
            if kept > MAX_KEPT_WHILE_WAITING:
                self._fail(PeerMisbehaviour.TOO_MUCH_WHILE_WAITING(f"{kept} bytes"))
        return self._take_events()

    def receive_eof(self) -> list[Event]:
        """The transport has ended. Without a close_notify before, that is :class:`UnexpectedEOF`."""
        self._start()
        if not self._is_read_closed:
            during = f" during the handshake, while {self._describe_wait()}" if self._established is None else ""
            self._fail(UnexpectedEOF(f"the transport ended without close_notify{during}"))
        return self._take_events()

    def _describe_wait(self) -> str:
        if self._request is not None:
            return f"a {type(self._request).__name__} was unanswered"
        return f"waiting for {' or '.join(kind.__name__ for kind in self._waits_for)}"

    def _take_events(self) -> list[Event]:
        events = self._events
        if self._flow is None:
            self._events = []
            return events
        taken = events.copy()  # the list itself is shared with the handshake
        events.clear()
        return taken

    def _end_by(self, error: BaseException) -> None:
        """What the peer's bytes led to ends the connection: an event and an alert.

        Anything else is a defect, of this library or of what the caller gave it (a
        clock, a verifier): it must be seen, and the connection can't go on either.
        """
        if isinstance(error, TLSError) and not isinstance(error, LocalError):
            self._fail(error)
            return
        failure = LocalError(f"an unexpected {type(error).__name__} ended the connection")
        failure.__cause__ = error
        self._fail(failure, AlertDescription.internal_error)
        raise error

    def _pump(self) -> None:
        """Read records until there is none, or a decision must be waited for."""
        records = self._records
        reader = records.reader
        while not self._is_read_closed:
            if self._request is not None and not self._may_read_on():
                return
            record = reader.next_record()
            if record is None:
                return
            self._receive_record(*record)

    def _receive_record(self, content_type: int, content: bytes) -> None:
        if content_type != _APPLICATION_DATA:
            self._receive_other(content_type, content)
            return
        if not self._may_receive_data:
            raise PeerMisbehaviour.PREMATURE_APPLICATION_DATA()
        if self._records.messages.has_partial:
            raise PeerMisbehaviour.INTERLEAVED_RECORD()
        if self._is_traced:
            self._trace_received("ApplicationData", ContentType.application_data, len(content))
        if content:
            self._empty_records = self._key_updates = 0
            self._events.append(DataReceived(content))
        else:
            self._count_empty_record()

    def _may_read_on(self) -> bool:
        """Whether the next record can be understood before the open request is answered.

        It can't if keys may change before it. A plain alert and a change_cipher_spec
        always can, so that a peer's alert ends the wait.
        """
        records = self._records
        next_type = records.reader.peek_type()
        if next_type in (_ALERT, _CCS):
            return True
        return records.reader.opener is not None and not records.messages.may_change_keys

    def _count_empty_record(self) -> None:
        self._empty_records += 1
        if self._empty_records > MAX_EMPTY_RECORDS:
            raise PeerMisbehaviour.TOO_MANY_EMPTY_RECORDS(f"more than {MAX_EMPTY_RECORDS}")

    def _receive_other(self, content_type: int, content: bytes) -> None:
        """A record that is not application data."""
        records = self._records
        if content_type == _HANDSHAKE:
            records.messages.feed(content)
            self._deliver_messages()
            return
        if records.messages.has_partial:
            raise PeerMisbehaviour.INTERLEAVED_RECORD()
        if content_type == _ALERT:
            self._receive_alert(content)
        elif content_type == _CCS:
            # RFC 9846 5: dropped between the first ClientHello and the peer's Finished, if it is the single byte 1.
            if not self._ccs_allowed or content != b"\x01":
                raise PeerMisbehaviour.BAD_CHANGE_CIPHER_SPEC()
            if self._is_traced:
                self._trace_received("ChangeCipherSpec", ContentType.change_cipher_spec, 1, epoch=Epoch.plaintext)
            self._count_empty_record()
        else:
            raise PeerMisbehaviour.UNKNOWN_RECORD_TYPE(f"type {content_type} under protection")

    def _receive_alert(self, content: bytes) -> None:
        """RFC 9846 6: every alert but the closure alerts is fatal, whatever its level says."""
        if len(content) != 2:
            raise PeerMisbehaviour.MALFORMED_ALERT(f"{len(content)} bytes")
        alert = Alert.parse(content)
        if self._is_traced:
            self._trace_received("Alert", ContentType.alert, 2, alert)
        if alert.description == AlertDescription.close_notify and self._established is not None:
            self._is_read_closed = True
            self._may_receive_data = False
            self._records.reader.discard()
            self._events.append(CloseNotifyReceived())
            return
        self._events.append(AlertReceived(alert.level, alert.description))
        if alert.description == AlertDescription.user_canceled:  # a close_notify follows
            self._warnings += 1
            if self._warnings > MAX_WARNING_ALERTS:
                raise PeerMisbehaviour.TOO_MANY_WARNINGS(f"more than {MAX_WARNING_ALERTS}")
            return
        where = f"during the handshake, while {self._describe_wait()}" if self._established is None else ""
        raise AlertReceivedError(alert.description, where)

    def _trace_received(
        self,
        name: str,
        content_type: ContentType,
        size: int,
        message: Struct | None = None,
        *,
        epoch: Epoch | None = None,
    ) -> None:
        self._events.append(MessageReceived(name, content_type, epoch or self._records.read_epoch, size, message))

    # Messages and the flow ------------------------------------------------------------------------------------------

    def _deliver_messages(self) -> None:
        """Hand on the handshake messages that are complete, until one of them leads to a request."""
        messages = self._records.messages
        while self._request is None:
            raw = messages.next_message()
            if raw is None:
                return
            message = self._parse(raw)
            if self._is_traced:
                name = type(message).__name__
                self._trace_received(name, ContentType.handshake, len(raw), message)
            if self._flow is not None:
                self._empty_records = 0
                self._resume(self._flow.send, (message, raw))
            else:
                self._receive_post_handshake(message)

    def _parse(self, raw: bytes) -> HandshakeMessage:
        """The message, if it is one of those that may come now."""
        for kind in self._waits_for:
            if kind.msg_type == raw[0]:
                break
        else:
            expected = " or ".join(kind.__name__ for kind in self._waits_for)
            raise PeerMisbehaviour.UNEXPECTED_MESSAGE(f"{HandshakeType(raw[0])} instead of {expected}")
        try:
            return kind.parse(raw[4:])
        except DuplicateExtension as error:
            raise PeerMisbehaviour.DUPLICATE_EXTENSION(str(error), message=kind.__name__) from error
        except MisplacedExtension as error:
            raise PeerMisbehaviour.MISPLACED_EXTENSION(str(error), message=kind.__name__) from error
        except WireError as error:
            raise PeerMisbehaviour.MALFORMED_MESSAGE(str(error), message=kind.__name__) from error

    def _resume(self, step: Callable[[Any], Wait], value: Any) -> None:
        """Let the flow go on with ``value`` until it waits for something again, or is done."""
        try:
            waits_for = step(value)
        except StopIteration as done:
            self._complete(done.value)
            return
        if isinstance(waits_for, Request):
            self._request = waits_for
            self._events.append(waits_for)
        else:
            self._waits_for = waits_for
            self._ccs_allowed = True

    def _complete(self, established: Established) -> None:
        """The handshake is done: everything that only it needed is let go."""
        self._flow = None
        self._established = established
        self._waits_for = expected_after_handshake(self._role)
        self._ccs_allowed = False
        self._records.reader.allows_plain_alert = False
        self._may_receive_data = True
        self._may_send_data = not self._is_write_closed
        self._empty_records = 0
        self._events.append(HandshakeComplete(established.info))

    def _receive_post_handshake(self, message: HandshakeMessage) -> None:
        """RFC 9846 4.7."""
        if not isinstance(message, KeyUpdate):
            self._count_empty_record()  # a ticket, not used: it carries nothing for us
            return
        is_owed = answers_key_update(message)
        self._key_updates += 1
        if self._key_updates > MAX_KEY_UPDATES:
            raise PeerMisbehaviour.TOO_MANY_KEY_UPDATES(f"more than {MAX_KEY_UPDATES}")
        established = self._established
        assert established is not None
        secret = established.server_secret if self._role == "client" else established.client_secret
        secret = next_traffic_secret(established.suite.hash_name, secret)
        self._records.set_read_secret(Epoch.application, established.suite, secret)
        if self._role == "client":
            established.server_secret = secret
        else:
            established.client_secret = secret
        self._events.append(KeysUpdated("receiving"))
        # Several requests while this side is silent get one answer, at the next chance to send (RFC 9846 4.7.3).
        self._owes_key_update = self._owes_key_update or (is_owed and not self._is_write_closed)

    # Requests -------------------------------------------------------------------------------------------------------

    def answer(self, request: Request[_T], value: _T) -> list[Event]:
        """Answer a request and go on with what had to wait for it.

        ``LocalError`` if the value is of a wrong type (the request still waits then), or
        the request does not wait any more.
        """
        self._check_request(request)
        request.check(value)
        self._request = None
        assert self._flow is not None
        flow = self._flow
        return self._go_on(lambda: self._resume(flow.send, value))

    def reject(self, request: Request[Any], error: TLSError | None = None) -> list[Event]:
        """Refuse a request: the handshake fails with ``error``, whose alert is sent."""
        self._check_request(request)
        self._request = None
        assert self._flow is not None
        flow = self._flow
        refusal = error if error is not None else _Refused(f"the {type(request).__name__} was rejected")
        return self._go_on(lambda: self._resume(flow.throw, refusal))

    def _check_request(self, request: Request[Any]) -> None:
        if self._failure is not None:
            raise LocalError("the connection has failed; nothing can be answered any more") from self._failure
        if request is not self._request:
            raise LocalError(f"this {type(request).__name__} does not wait for an answer (answered already?)")

    def _go_on(self, step: Callable[[], None]) -> list[Event]:
        """Take one step of the flow, then read what was kept."""
        reader = self._records.reader
        reader.feed(b"")
        try:
            step()
            self._deliver_messages()
            self._pump()
        except BaseException as error:
            self._end_by(error)
        reader.keep()
        return self._take_events()

    # What goes out --------------------------------------------------------------------------------------------------

    def data_to_send(self) -> bytes:
        """Take all bytes that are queued for the transport."""
        if self._flow is None:
            self._start()
        if self._owes_key_update:
            self._update_sending_keys(KeyUpdateRequest.update_not_requested)
        return b"".join(self._records.writer.take())

    def buffers_to_send(self) -> list[bytes]:
        """The same as :meth:`data_to_send` without joining, for ``sendmsg`` or ``writelines``."""
        self._start()
        if self._owes_key_update:
            self._update_sending_keys(KeyUpdateRequest.update_not_requested)
        return self._records.writer.take()

    @property
    def pending(self) -> int:
        """How many bytes are queued to send."""
        self._start()
        if self._owes_key_update:
            self._update_sending_keys(KeyUpdateRequest.update_not_requested)
        return self._records.writer.pending

    @property
    def wants_data(self) -> bool:
        """Whether reading from the transport makes sense now: not while a request waits, not after the end."""
        return not self._is_read_closed and self._request is None

    def send_data(self, data: _Buffer) -> None:
        """Queue application data of any size. ``LocalError`` unless the connection is open for sending."""
        if not self._may_send_data:
            self._refuse_sending()
        records = self._records
        if self._owes_key_update:
            self._update_sending_keys(KeyUpdateRequest.update_not_requested)
        if type(data) is not bytes:
            data = memoryview(data).cast("B")
        if data:
            records.writer.write_data(data)
            sealer = records.writer.sealer
            if sealer is not None and sealer.records_left <= 0:  # RFC 9846 5.5
                self._update_sending_keys(KeyUpdateRequest.update_not_requested)
        if self._is_traced:
            self._events.append(
                MessageSent("ApplicationData", ContentType.application_data, records.write_epoch, len(data))
            )

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
        self._may_send_data = False
        if self._established is None:
            if self._flow is not None:
                self._send_alert(AlertDescription.user_canceled, AlertLevel.warning)
                self._send_alert(AlertDescription.close_notify, AlertLevel.warning)
            self._end()
        else:
            if self._owes_key_update:
                self._update_sending_keys(KeyUpdateRequest.update_not_requested)
            self._send_alert(AlertDescription.close_notify, AlertLevel.warning)
        self._is_write_closed = True

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

    def _update_sending_keys(self, request: KeyUpdateRequest) -> None:
        established = self._established
        assert established is not None
        self._owes_key_update = False
        records = self._records
        message = KeyUpdate(request)
        raw = message.encode()
        records.send_message(raw)
        if self._is_traced:
            self._events.append(MessageSent("KeyUpdate", ContentType.handshake, records.write_epoch, len(raw), message))
        secret = established.client_secret if self._role == "client" else established.server_secret
        secret = next_traffic_secret(established.suite.hash_name, secret)
        records.set_write_secret(Epoch.application, established.suite, secret)
        if self._role == "client":
            established.client_secret = secret
        else:
            established.server_secret = secret
        self._events.append(KeysUpdated("sending"))

    def _send_alert(self, description: AlertDescription, level: AlertLevel) -> None:
        alert = Alert(level, description)
        self._records.writer.write_record(b"\x15", alert.serialise())
        if self._is_traced:
            self._events.append(MessageSent("Alert", ContentType.alert, self._records.write_epoch, 2, alert))

    def _fail(self, error: TLSError, alert: AlertDescription | None = None, *, is_told: bool = True) -> None:
        """End the connection because of ``error``: queue its alert, tell the caller."""
        self._failure = error
        alert = alert if alert is not None else error.alert
        if alert is not None and not self._is_write_closed:
            self._send_alert(alert, AlertLevel.fatal)
        self._end()
        if is_told:
            self._events.append(ConnectionFailed(error))

    def _end(self) -> None:
        """Nothing is read or sent any more, but for what is queued."""
        self._is_read_closed = self._is_write_closed = True
        self._may_send_data = self._may_receive_data = self._owes_key_update = False
        self._request = None
        self._flow = None
        self._records.reader.discard()
        self._records.messages.discard()

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
        established = self._established
        if established is None:
            raise LocalError("keying material can be exported when the handshake is complete") from self._failure
        raw = label.encode() if isinstance(label, str) else label
        if not 0 < length <= 255 * len(established.exporter_secret):
            raise LocalError(f"between 1 and {255 * len(established.exporter_secret)} bytes can be exported")
        if not 0 < len(raw) <= 249:
            raise LocalError("an exporter label has 1 to 249 bytes")
        return exporter(established.suite.hash_name, established.exporter_secret, raw, context or b"", length)

    def channel_binding(self, kind: str = "tls-exporter") -> bytes:
        """The channel binding ``tls-exporter`` of RFC 9266, 32 bytes."""
        if kind != "tls-exporter":
            raise LocalError(f"the channel binding {kind!r} does not exist for TLS 1.3; tls-exporter does")
        return self.export_keying_material(b"EXPORTER-Channel-Binding", 32)


class _Refused(TLSError):
    """The caller rejected a request without saying why."""

    alert = AlertDescription.handshake_failure


class ClientConnection(_Connection):
    """The client's side of a connection.

    ``server_name`` is a DNS name or an IP address; it goes into server_name (a DNS
    name does) and is what the certificate is checked against. Without one, no name is
    checked, which most verifiers refuse.
    """

    __slots__ = ("_config", "_server_name")
    _role = "client"

    def __init__(self, config: ClientConfig, server_name: str | None = None) -> None:
        if not isinstance(config, ClientConfig):
            raise LocalError(f"a ClientConnection needs a ClientConfig, not {type(config).__name__}")
        super().__init__(is_traced=config.trace)
        self._config: ClientConfig | None = config
        self._server_name = None if server_name is None else str(parse_server_name(server_name))

    def _start(self) -> None:
        config = self._config
        if config is None:
            return
        self._config = None
        if self._is_write_closed:
            return
        self._records.writer.first_record_version = b"\x03\x01"
        hs = ClientHandshake(config, self._server_name, self._records, self._events)
        self._flow = client_handshake(hs)
        self._resume(self._flow.send, None)
        self._records.writer.flush_messages()


class ServerConnection(_Connection):
    """The server's side of a connection."""

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
        self._ccs_allowed = False  # not before the ClientHello (RFC 9846 5)
