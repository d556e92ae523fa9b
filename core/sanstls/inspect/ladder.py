"""The ladder: one connection's trace drawn as text, client on the left and server on the right.

It works on whatever part of a trace it is given, and knows of the events nothing but what they say.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal

from sanstls.events import (
    AlertReceived,
    CertificateReceived,
    ClientHelloReceived,
    CloseNotifyReceived,
    ConnectionFailed,
    ConnectionInfo,
    DataReceived,
    EarlyDataAccepted,
    EarlyDataRejected,
    Event,
    HandshakeComplete,
    HelloRetryRequested,
    KeysDerived,
    KeysUpdated,
    MessageReceived,
    MessageSent,
    PeerVerified,
    Request,
    SecretLogged,
    ServerHelloReceived,
    SessionReceived,
)
from sanstls.identity import Verified
from sanstls.inspect.details import Details, describe_message, name_text
from sanstls.inspect.explanations import (
    FORWARD_SECRECY,
    MESSAGES12,
    MESSAGES13,
    NO_FORWARD_SECRECY,
    RETRIED_HELLO,
    explain_alert,
    section_of_secret,
)
from sanstls.inspect.steps import VERIFICATION, Step, is_tls12, steps_of
from sanstls.record.layer import Epoch
from sanstls.wire.messages import Alert, ServerHello
from sanstls.wire.registries import ProtocolVersion

__all__ = ["ladder"]

Role = Literal["client", "server"]
_Message = MessageSent | MessageReceived

_NARROWEST = 48
_LABEL = 16
_MAX_TEXT = 600
_RULES = {Epoch.plaintext: "─", Epoch.early: "┄", Epoch.handshake: "═", Epoch.application: "━"}
# What the messages beside them say already.
_COVERED = (
    ClientHelloReceived,
    ServerHelloReceived,
    HelloRetryRequested,
    CertificateReceived,
    CloseNotifyReceived,
    AlertReceived,
    DataReceived,
)
_KEY_LOG_NAMES = {
    "CLIENT_RANDOM",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
}


def ladder(events: Iterable[Event], *, role: Role, width: int = 100, title: str = "") -> str:
    """The events of one connection as a ladder diagram: plain text, one line per ``\\n``, none longer than ``width``.

    ``events`` is all that the connection returned, in order, or a part of it; with
    ``trace=True`` in its configuration there are messages to show. ``role`` is the
    connection's own. Sizes are bytes, without record headers and protection. No
    secret and no application data is shown. Below 48 columns lines are cut off.
    """
    drawing = _Ladder("server" if role == "server" else "client", max(width, _NARROWEST))
    if title:
        drawing.title(title)
    drawing.walk(list(events))
    return "\n".join(line.rstrip() if len(line) <= width else line[: max(width, 0)] for line in drawing.lines)


# Text -------------------------------------------------------------------------------------------------------------


def _shown(text: str) -> str:
    """Text that a peer may have written, made fit for a diagram: no control or combining characters, not endless."""
    if text.isascii() and text.isprintable() and len(text) <= _MAX_TEXT:
        return text
    composed = unicodedata.normalize("NFC", text[:_MAX_TEXT])
    clean = "".join(
        [c if c.isprintable() and not unicodedata.combining(c) else "\N{REPLACEMENT CHARACTER}" for c in composed]
    )
    return clean if len(text) <= _MAX_TEXT else clean + "…"


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _wrap(text: str, width: int) -> Iterator[str]:
    """Lines of at most ``width`` columns, broken between words where that is possible."""
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if _columns(joined) <= width:
            line = joined
            continue
        if line:
            yield line
        line = word
        while _columns(line) > width:
            cut = len(line)
            while cut > 1 and _columns(line[:cut]) > width:
                cut -= 1
            yield line[:cut]
            line = line[cut:]
    if line:
        yield line


def _count(number: int) -> str:
    return f"{number} byte{'' if number == 1 else 's'}"


# The drawing ------------------------------------------------------------------------------------------------------


class _Ladder:
    """The lines so far. The lifelines stand in the first and the last column."""

    def __init__(self, role: Role, width: int) -> None:
        self.lines: list[str] = []
        self._role = role
        self._width = width
        self._inside = width - 2
        self._seen: set[str] = set()
        self._is_retried = False
        self._is_tls12 = False
        self._is_verified = False
        self._steps: tuple[Step, ...] = ()
        self._next_step = 0

    def title(self, title: str) -> None:
        """A heading."""
        wrapped = list(_wrap(_shown(title), self._width))
        self.lines += wrapped
        self.lines += ["═" * max([_columns(line) for line in wrapped], default=0), ""]

    def walk(self, events: list[Event]) -> None:
        """Draw everything."""
        self._head(events)
        is_traced = any(isinstance(event, MessageSent | MessageReceived | KeysDerived) for event in events)
        if not is_traced:
            self._note("No messages were traced; a configuration with trace=True has them traced")
        else:
            self._is_tls12 = is_tls12(events)
            self._steps = steps_of(events)
        index = 0
        while index < len(events):
            event = events[index]
            index += 1
            try:
                if isinstance(event, MessageSent | MessageReceived):
                    pieces, size = 1, event.size
                    if event.name == "ApplicationData":
                        index, pieces, size = _gather(events, index - 1)
                    self._message(event, pieces, size)
                elif not (is_traced and isinstance(event, _COVERED)):
                    self._event(event)
            except Exception:  # whatever strange values an event has: a diagram is no reason to fail
                self._note(f"{_shown(type(event).__name__)}: it can't be shown")
        self.lines.append("╵" + " " * self._inside + "╵")

    def _head(self, events: list[Event]) -> None:
        left, right = "client", "server"
        if self._role == "client":
            left += " (this side)"
        else:
            right = "(this side) " + right
        self.lines.append(left + right.rjust(self._width - len(left)))
        shown = {event.epoch for event in events if isinstance(event, MessageSent | MessageReceived)}
        shown |= {Epoch.plaintext, Epoch.handshake, Epoch.application}
        legend = " · ".join(f"{rule * 3} {epoch.value}" for epoch, rule in _RULES.items() if epoch in shown)
        self.lines += _wrap(legend, self._width)
        self.lines.append("╷" + " " * self._inside + "╷")

    def _row(self, text: str, *, indent: int = 0) -> None:
        self.lines.append("│" + " " * indent + text + " " * (self._inside - indent - _columns(text)) + "│")

    def _note(self, text: str, mark: str = "─") -> None:
        """Something that happens on this side alone."""
        wrapped = list(_wrap(_shown(text), self._inside - 8))
        for number, line in enumerate(wrapped):
            space = " " * (self._inside - 3 - _columns(line))
            stroke = mark * 2 if number == 0 else "  "
            if self._role == "client":
                self.lines.append(f"{'├' if number == 0 else '│'}{stroke} {line}{space}│")
            else:
                self.lines.append(f"│{space}{line} {stroke}{'┤' if number == 0 else '│'}")

    def _arrow(self, text: str, epoch: Epoch, *, goes_right: bool) -> None:
        rule = _RULES.get(epoch, "─")
        lines = list(_wrap(_shown(text), self._inside - 10))
        for line in lines[:-1]:
            self._row(line, indent=5)
        last = lines[-1] if lines else ""
        fill = rule * (self._inside - 6 - _columns(last))
        self.lines.append(f"│{rule * 3} {last} {fill}▶│" if goes_right else f"│◀{rule * 2} {last} {fill}{rule}│")

    def _begin_step(self, *names: str) -> None:
        """Say which step begins, if one does."""
        for number in range(self._next_step, len(self._steps)):
            if self._steps[number].begins_with.isdisjoint(names):
                continue
            for skipped in range(self._next_step, number):
                if self._steps[skipped] is VERIFICATION and self._role == "server":
                    self._heading(skipped)
                    self._note("the client does this by itself")
            self._next_step = number + 1
            self._heading(number)
            return

    def _heading(self, number: int) -> None:
        if self.lines[-1].strip("│╷ "):
            self._row("")
        lines = list(_wrap(f"{number + 1}. {self._steps[number].title}", self._inside - 6))
        for line in lines:
            self.lines.append(f"├┄┄ {line} " + "┄" * (self._inside - 4 - _columns(line)) + "┤")
        self._row("")

    def _details(self, details: Details) -> None:
        for label, text in details:
            label = _shown(label)
            for number, line in enumerate(_wrap(_shown(text), self._inside - 5 - _LABEL)):
                self._row((label if number == 0 else "").ljust(_LABEL) + line, indent=4)

    # Messages -----------------------------------------------------------------------------------------------------

    def _message(self, event: _Message, pieces: int, size: int) -> None:
        name, message = event.name, event.message
        if isinstance(message, ServerHello) and message.is_retry:
            name = "HelloRetryRequest"
        is_own = isinstance(event, MessageSent)
        goes_right = is_own == (self._role == "client")
        self._begin_step(name, f"{'client' if goes_right else 'server'} {name}", f"{event.epoch.name} {name}")
        explanation = (MESSAGES12 if self._is_tls12 else MESSAGES13).get(name, "")
        if isinstance(message, Alert):
            explanation = explain_alert(message.description)
            name = f"Alert: {message.description}"
        elif name == "Alert":
            explanation = explain_alert(None)
        elif name == "ClientHello" and self._is_retried:
            explanation = RETRIED_HELLO
        times = f" ×{pieces}" if pieces > 1 else ""
        if self.lines[-1].strip("│╷ "):  # a note stands before it
            self._row("")
        self._arrow(f"{name}{times} · {_count(size)} · {event.epoch.value}", event.epoch, goes_right=goes_right)
        if name != "ApplicationData" or name not in self._seen:
            for line in _wrap(explanation, self._inside - 5):
                self._row(line, indent=4)
        self._seen.add(name)
        if name == "HelloRetryRequest":
            self._is_retried = True
        self._details(describe_message(message))
        self._row("")

    # Events that are no messages ------------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        match event:
            case KeysDerived(name=name, use=use, fingerprint=fingerprint):
                self._begin_step(name)
                told = f" · fingerprint {fingerprint}" if fingerprint else ""
                self._note(f"derived: {name} · {use} ({section_of_secret(name)}){told}")
            case PeerVerified(verified=verified):
                self._begin_step("PeerVerified")
                self._note(_verified(verified, self._is_tls12))
                self._is_verified = True
            case EarlyDataAccepted():
                self._note("the server takes the early data (RFC 9846 4.3.10)")
            case EarlyDataRejected(data=data):
                self._note(f"the server has dropped the early data: {_count(len(data))} are the caller's again")
            case SessionReceived(session=session):
                self._note(f"this connection can be resumed for {session.lifetime} s")
            case KeysUpdated(direction=direction):
                self._note(f"derived: the next keys for {direction} (RFC 9846 7.2)")
            case SecretLogged(line=line):
                secret = line.split(" ", 1)[0]
                told = secret if secret in _KEY_LOG_NAMES else "a secret"
                self._note(f"key log: {told} was told; its value is not shown here")
            case HandshakeComplete(info=info):
                self._complete(info)
            case ConnectionFailed(error=error):
                self._note(f"✗ FAILED: {error} ({type(error).__name__})", "━")
            case DataReceived(data=data):
                self._note(f"received: {_count(len(data))} of application data")
            case AlertReceived(description=description):
                self._note(f"received: the alert {description}. {explain_alert(description)}")
            case Request():
                self._note(f"waits for an answer to a {type(event).__name__}")
            case _:
                self._note(type(event).__name__)

    def _complete(self, info: ConnectionInfo) -> None:
        # An anchor's names are read before anything is drawn: a certificate is parsed as it is looked at.
        verdict = _verdict(info, self._role)
        is_tls12 = info.version == ProtocolVersion.TLS12
        parts = [info.version.text, info.cipher_suite, info.group, info.signature_scheme]
        agreed = " · ".join(str(part) for part in parts if part is not None)
        section = "RFC 5246 7.3" if is_tls12 else "RFC 9846 2"
        resumed = " · resumed" if info.resumed else ""
        alpn = f" · ALPN {info.alpn}" if info.alpn is not None else ""
        self._note(f"✓ HANDSHAKE COMPLETE: {agreed}{alpn}{resumed} ({section})", "━")
        if not (self._is_verified and info.verified is not None):
            self._note(verdict)
        if not info.resumed:
            self._note(FORWARD_SECRECY if info.group is not None else NO_FORWARD_SECRECY)
        self._row("")


def _gather(events: list[Event], start: int) -> tuple[int, int, int]:
    """A run of data in one direction under one epoch: where it ends, of how many pieces it is, how many bytes."""
    first = events[start]
    assert isinstance(first, MessageSent | MessageReceived)
    index, pieces, size = start, 0, 0
    while index < len(events):
        event = events[index]
        if type(event) is type(first) and isinstance(event, MessageSent | MessageReceived):
            if event.name != first.name or event.epoch is not first.epoch:
                break
            pieces += 1
            size += event.size
        elif not isinstance(event, DataReceived):
            break
        index += 1
    return index, pieces, size


def _verdict(info: ConnectionInfo, role: Role) -> str:
    """Who the peer was found to be."""
    if not info.peer_chain:
        if role == "server":
            return "the client showed no certificate: who it is was not asked"
        return "the server showed no certificate"
    if info.verified is not None:
        return _verified(info.verified, info.version == ProtocolVersion.TLS12)
    if info.resumed:
        return "peer's certificate: that of the session, verified when it was made"
    section = _section(info.version == ProtocolVersion.TLS12)
    return f"peer's certificate: accepted by the answer to a VerificationRequest {section}"


def _section(is_tls12: bool) -> str:
    return "(RFC 5246 7.4.2)" if is_tls12 else "(RFC 9846 4.5.1.3)"


def _verified(verified: Verified, is_tls12: bool) -> str:
    section = _section(is_tls12)
    if verified.anchor is None:
        return f"peer's certificate: NOT VERIFIED, accepted without any trust anchor {section}"
    name = verified.name if verified.name is not None else "(no name checked)"
    try:
        anchor = name_text(verified.anchor.subject)
    except Exception:  # it is parsed as it is looked at
        anchor = "(unreadable name)"
    until = "" if verified.not_valid_after is None else f", valid until {verified.not_valid_after:%Y-%m-%d %H:%M} UTC"
    return f"peer's certificate: verified for {name}, up to the trust anchor {anchor}{until} {section}"
