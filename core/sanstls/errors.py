"""What can go wrong, each with the alert that tells the peer.

``LocalError`` is raised: it is the caller's own mistake. All others describe
what happened on the wire and travel in a ``ConnectionFailed`` event; the bytes
of a peer never raise. :mod:`sanstls.misbehaviour` lists what a peer can do wrong.
"""

from sanstls.wire.registries import AlertDescription

__all__ = ["AlertReceivedError", "CertificateError", "LocalError", "TLSError", "UnexpectedEOF"]


class TLSError(Exception):
    """The base of all errors of this library.

    ``alert`` is the alert that was or will be sent to the peer because of this
    error, or ``None`` if there is none to send.
    """

    alert: AlertDescription | None = None


class LocalError(TLSError):
    """The caller asked for something that can't be done now, or gave a wrong value.

    Raised, never an event; the connection is unharmed by it.
    """


class AlertReceivedError(TLSError):
    """The peer ended the connection with an alert (``description``)."""

    def __init__(self, description: AlertDescription, where: str = "") -> None:
        self.description = description
        text = f"the peer ended the connection with the alert {description.name}"
        super().__init__(f"{text} {where}" if where else text)


class UnexpectedEOF(TLSError):
    """The transport ended without a close_notify: what was received may be truncated (RFC 9846 6.1)."""


class CertificateError(TLSError):
    """The peer's certificate was refused.

    ``certificate`` names which one (its subject and place in the chain), ``rule``
    the rule that it broke, ``advice`` what a person can do about it; ``alert`` is
    the alert that the peer gets (RFC 9846 6.2).
    """

    def __init__(
        self,
        rule: str,
        *,
        alert: AlertDescription = AlertDescription.bad_certificate,
        certificate: str = "",
        advice: str = "",
    ) -> None:
        self.rule = rule
        self.alert = alert
        self.certificate = certificate
        self.advice = advice
        text = f"{certificate}: {rule}" if certificate else rule
        super().__init__(f"{text}. {advice}" if advice else text)
