"""What comes in: from bytes to records to messages to the flow, and from there to events.

A connection joins three things that know nothing of each other: the record layer
(bytes to records and back), the flow of the handshake (a generator that is resumed
with each message it waits for), and the caller's calls. This half is driven by the
peer; the calls are in :mod:`sanstls.connection`.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar

from sanstls.errors import AlertReceivedError, LocalError, TLSError, UnexpectedEOF
from sanstls.events import (
    AlertReceived,
    CloseNotifyReceived,
    ConnectionFailed,
    DataReceived,
    Event,
    HandshakeComplete,
    MessageReceived,
    MessageSent,
    Request,
)
from sanstls.handshake.established import Established
from sanstls.handshake.vocabulary import Flow, Wait
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.layer import Epoch, RecordLayer
from sanstls.record.limits import MAX_EMPTY_RECORDS, MAX_KEPT_WHILE_WAITING, MAX_KEY_UPDATES, MAX_WARNING_ALERTS
from sanstls.record.reader import SKIPPED
from sanstls.wire.codec import Struct, WireError
from sanstls.wire.extensions import DuplicateExtension, MisplacedExtension
from sanstls.wire.messages import Alert, Finished, HandshakeMessage, KeyUpdate
from sanstls.wire.registries import AlertDescription, AlertLevel, ContentType, HandshakeType

__all__ = ["Buffer", "ReceivingHalf"]

Buffer = bytes | bytearray | memoryview
_T = TypeVar("_T")
_APPLICATION_DATA, _HANDSHAKE, _ALERT, _CCS = 23, 22, 21, 20
_HELLO_REQUEST = b"\0\0\0\0"


class ReceivingHalf:
    """What a connection does with the peer's bytes, and how it ends. Both roles share it."""

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
        "_open_data",
        "_records",
        "_request",
        "_sends_plainly",
        "_trailing_data",
        "_waits_for",
        "_waits_for_ccs",
        "_warnings",
        "_writer",
    )

    _role: ClassVar[Literal["client", "server"]]

    def __init__(self, *, is_traced: bool) -> None:
        self._records = RecordLayer()
        self._writer = self._records.writer
        self._events: list[Event] = []
        self._is_traced = is_traced
        self._flow: Flow[Established] | None = None
        self._waits_for: tuple[type[HandshakeMessage], ...] = ()
        self._waits_for_ccs = False
        self._request: Request[Any] | None = None
        self._established: Established | None = None
        self._failure: TLSError | None = None
        self._may_send_data = False
        self._may_receive_data = False
        self._is_read_closed = False
        self._is_write_closed = False
        self._ccs_allowed = False
        self._empty_records = 0
        self._key_updates = 0
        self._warnings = 0
        self._trailing_data = b""
        # Two shortcuts for an open connection. The first opens a record of data that came alone and whole, when
        # nothing else can be the matter; the second says that data needs nothing but to be sealed.
        self._open_data: Callable[[bytes], bytes | None] | None = None
        self._sends_plainly = False

    def _start(self) -> None:
        """Begin the handshake, if it has not begun."""

    # Bytes ----------------------------------------------------------------------------------------------------------

    def receive_data(self, data: Buffer) -> list[Event]:
        """Take bytes from the transport, in any chunks, and tell what they mean.

        Never raises because of the bytes: what is wrong with them comes as
        :class:`ConnectionFailed`, after the alert was queued. Once the peer has
        closed, or the connection has failed, whatever comes is ignored. With
        ``b""`` it gives the events that calls such as ``send_data`` have left.
        """
        open_data = self._open_data
        if open_data is not None and type(data) is bytes:
            content = open_data(data)
            if content:
                self._empty_records = self._key_updates = 0
                if not self._events:
                    return [DataReceived(content)]
                self._events.append(DataReceived(content))
                return self._take_events()
        if not self._may_receive_data:
            self._start()
            if self._is_read_closed:
                return self._take_events()
        reader = self._records.reader
        try:
            reader.feed(data)
            self._pump()
            reader.keep()
        except BaseException as error:
            self._end_by(error)
        self._after_receiving()
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
        return f"waiting for {self._expected}"

    @property
    def _expected(self) -> str:
        return " or ".join(kind.rfc_name for kind in self._waits_for) or "ChangeCipherSpec"

    def _take_events(self) -> list[Event]:
        events = self._events
        if self._flow is None:
            self._events = []
            return events
        taken = events.copy()  # the list itself is shared with the handshake
        events.clear()
        return taken

    def _after_receiving(self) -> None:
        """Bound what is kept for later, and see which shortcuts can be taken."""
        records = self._records
        if self._request is not None:
            kept = records.reader.kept + records.messages.kept
            if kept > MAX_KEPT_WHILE_WAITING:
                self._fail(PeerMisbehaviour.TOO_MUCH_WHILE_WAITING(f"{kept} bytes"))
        opener = records.reader.opener
        is_plain = self._may_receive_data and not self._is_traced and self._request is None
        is_plain = is_plain and not records.reader.kept and not records.messages.has_partial
        self._open_data = opener.open_data if is_plain and opener is not None else None
        self._choose_sending()

    def _choose_sending(self) -> None:
        established = self._established
        is_owed = established is not None and (established.owes_key_update or established.owed_tickets > 0)
        is_plain = not (self._is_traced or is_owed or self._writer.pad_to)
        self._sends_plainly = self._may_send_data and is_plain

    # Records --------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Read records until there is none, or a decision must be waited for."""
        reader = self._records.reader
        while not self._is_read_closed:
            if self._request is not None and not self._may_read_on():
                return
            record = reader.next_record()
            if record is None:
                return
            content_type, content = record
            if content_type == _APPLICATION_DATA:
                self._receive_application_data(content)
            elif record is not SKIPPED:
                self._receive_other(content_type, content)

    def _may_read_on(self) -> bool:
        """Whether the next record can be understood before the open request is answered.

        It can't if keys may change before it. A plain alert and a change_cipher_spec
        always can, so that a peer's alert ends the wait.
        """
        records = self._records
        next_type = records.reader.peek_type()
        if records.is_tls12:  # a change_cipher_spec changes keys there
            return next_type == _ALERT and records.reader.opener is None
        if next_type in (_ALERT, _CCS):
            return True
        return records.reader.opener is not None and not records.messages.may_change_keys

    def _receive_application_data(self, content: bytes) -> None:
        is_early = self._records.read_epoch is Epoch.early
        if not self._may_receive_data and not is_early:
            raise PeerMisbehaviour.PREMATURE_APPLICATION_DATA()
        if self._records.messages.has_partial:
            raise PeerMisbehaviour.INTERLEAVED_RECORD()
        if self._is_traced:
            self._trace_received("ApplicationData", ContentType.application_data, len(content))
        if content:
            self._empty_records = self._key_updates = 0
            if is_early:
                self._count_early_data(len(content))
            self._events.append(DataReceived(content, is_early))
        else:
            self._count_empty_record()

    def _count_early_data(self, size: int) -> None:
        """RFC 9846 4.3.10: no more than the ticket allows."""
        self._records.early_data_left -= size
        if self._records.early_data_left < 0:
            raise PeerMisbehaviour.TOO_MUCH_EARLY_DATA(f"{-self._records.early_data_left} bytes")

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
        elif content_type == _CCS and records.is_tls12:
            self._receive_change_cipher_spec(content)
        elif content_type == _CCS:
            # RFC 9846 5: dropped between the first ClientHello and the peer's Finished, if it is the single byte 1.
            if not self._ccs_allowed or content != b"\x01":
                raise PeerMisbehaviour.BAD_CHANGE_CIPHER_SPEC()
            if self._is_traced:
                self._trace_received("ChangeCipherSpec", ContentType.change_cipher_spec, 1, epoch=Epoch.plaintext)
            self._count_empty_record()
        else:
            raise PeerMisbehaviour.UNKNOWN_RECORD_TYPE(f"type {content_type} under protection")

    def _receive_change_cipher_spec(self, content: bytes) -> None:
        """RFC 5246 7.1: in TLS 1.2 it comes at one place, once."""
        if not self._waits_for_ccs or content != b"\x01":
            raise PeerMisbehaviour.BAD_CHANGE_CIPHER_SPEC()
        assert self._flow is not None
        if self._is_traced:
            self._trace_received("ChangeCipherSpec", ContentType.change_cipher_spec, 1)
        self._waits_for_ccs = False
        self._resume(self._flow.send, None)

    def _receive_alert(self, content: bytes) -> None:
        """RFC 9846 6: every alert but the closure alerts is fatal, whatever its level says.

        In TLS 1.2 a warning is none (RFC 5246 7.2), nor is the one that a server may
        send about the name (RFC 6066 3) before the version is known.
        """
        if not content:
            raise PeerMisbehaviour.EMPTY_RECORD("an alert")
        if len(content) != 2:
            raise PeerMisbehaviour.MALFORMED_ALERT(f"{len(content)} bytes")
        alert = Alert.parse(content)
        if self._is_traced:
            self._trace_received("Alert", ContentType.alert, 2, alert)
        if alert.description == AlertDescription.close_notify and self._established is not None:
            self._is_read_closed = True
            self._may_receive_data = False
            self._trailing_data = self._records.reader.unread
            self._records.reader.discard()
            self._events.append(CloseNotifyReceived())
            return
        self._events.append(AlertReceived(alert.level, alert.description))
        is_warning = alert.level == AlertLevel.warning and alert.description != AlertDescription.close_notify
        is_open = self._records.read_epoch is Epoch.plaintext  # as to the version, and what is not TLS 1.3
        is_about_name = alert.description == AlertDescription.unrecognized_name and is_open
        may_warn = self._records.is_tls12 or is_about_name
        if alert.description == AlertDescription.user_canceled or (is_warning and may_warn):
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
            if raw == _HELLO_REQUEST and self._role == "client" and self._records.is_tls12 and self._flow is not None:
                self._count_empty_record()  # ignored in a handshake (RFC 5246 7.4.1.1)
                continue
            message = self._parse(raw)
            if self._is_traced:
                name = message.rfc_name
                self._trace_received(name, ContentType.handshake, len(raw), message)
            if self._flow is not None:
                self._empty_records = 0
                # RFC 9846 5: between the first ClientHello and the peer's Finished.
                self._ccs_allowed = not isinstance(message, Finished)
                self._resume(self._flow.send, (message, raw))
            else:
                self._receive_post_handshake(message)

    def _parse(self, raw: bytes) -> HandshakeMessage:
        """The message, if it is one of those that may come now."""
        for kind in self._waits_for:
            if kind.msg_type == raw[0]:
                break
        else:
            raise PeerMisbehaviour.UNEXPECTED_MESSAGE(f"{HandshakeType(raw[0])} instead of {self._expected}")
        try:
            return kind.parse(raw[4:])
        except DuplicateExtension as error:
            raise PeerMisbehaviour.DUPLICATE_EXTENSION(str(error), message=kind.rfc_name) from error
        except MisplacedExtension as error:
            raise PeerMisbehaviour.MISPLACED_EXTENSION(str(error), message=kind.rfc_name) from error
        except WireError as error:
            raise PeerMisbehaviour.MALFORMED_MESSAGE(str(error), message=kind.rfc_name) from error

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
        elif isinstance(waits_for, tuple):
            self._waits_for = waits_for
        else:
            self._waits_for = ()
            self._waits_for_ccs = True

    def _complete(self, established: Established) -> None:
        """The handshake is done: everything that only it needed is let go."""
        self._flow = None
        self._established = established
        self._waits_for = established.expects
        self._ccs_allowed = False
        self._records.reader.allows_plain_alert = False
        self._writer.flush_messages()
        self._may_receive_data = True
        self._may_send_data = not self._is_write_closed
        self._empty_records = 0
        self._events.append(HandshakeComplete(established.info))

    def _receive_post_handshake(self, message: HandshakeMessage) -> None:
        """What only the version knows is its own affair; that it does not come too often is seen to here."""
        established = self._established
        assert established is not None
        if isinstance(message, KeyUpdate):
            self._key_updates += 1
            if self._key_updates > MAX_KEY_UPDATES:
                raise PeerMisbehaviour.TOO_MANY_KEY_UPDATES(f"more than {MAX_KEY_UPDATES}")
        else:
            self._count_empty_record()
        events, warning = established.receive(message)
        self._events += events
        if warning is not None and not self._is_write_closed:
            self._send_alert(warning, AlertLevel.warning)
        if self._is_write_closed:
            established.owes_key_update = False

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
        self._after_receiving()
        return self._take_events()

    # The end --------------------------------------------------------------------------------------------------------

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

    def _send_alert(self, description: AlertDescription, level: AlertLevel) -> None:
        alert = Alert(level, description)
        self._writer.write_record(b"\x15", alert.serialise())
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
        self._may_send_data = self._may_receive_data = self._sends_plainly = False
        self._open_data = None
        if self._established is not None:
            self._established.owes_key_update = False
        self._request = None
        self._flow = None
        self._records.reader.discard()
        self._records.messages.discard()


class _Refused(TLSError):
    """The caller rejected a request without saying why."""

    alert = AlertDescription.handshake_failure
