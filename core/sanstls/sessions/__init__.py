"""Sessions and the tickets that carry them."""

from sanstls.sessions.psk import PreSharedKey
from sanstls.sessions.replay import ReplayWindow
from sanstls.sessions.session import MAX_LIFETIME, Session
from sanstls.sessions.tickets import TicketKey, TicketKeyRing

__all__ = ["MAX_LIFETIME", "PreSharedKey", "ReplayWindow", "Session", "TicketKey", "TicketKeyRing"]
