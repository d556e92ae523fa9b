"""What may come after the handshake (RFC 9846 4.7): tickets and key updates."""

from typing import Literal

from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.wire.messages import HandshakeMessage, KeyUpdate, NewSessionTicket
from sanstls.wire.registries import KeyUpdateRequest

__all__ = ["answers_key_update", "expected_after_handshake"]

_FROM_SERVER: tuple[type[HandshakeMessage], ...] = (NewSessionTicket, KeyUpdate)
_FROM_CLIENT: tuple[type[HandshakeMessage], ...] = (KeyUpdate,)


def expected_after_handshake(own_role: Literal["server", "client"]) -> tuple[type[HandshakeMessage], ...]:
    """The messages that the peer may send. Clients ignore tickets that they do not use (RFC 9846 4.7.1)."""
    return _FROM_SERVER if own_role == "client" else _FROM_CLIENT


def answers_key_update(message: KeyUpdate) -> bool:
    """RFC 9846 4.7.3: whether a KeyUpdate of our own is owed."""
    if message.request_update == KeyUpdateRequest.update_requested:
        return True
    if message.request_update != KeyUpdateRequest.update_not_requested:
        raise PeerMisbehaviour.BAD_KEY_UPDATE(f"request_update {int(message.request_update)}")
    return False
