"""Tickets: sessions that the client keeps for the server, sealed by keys that only the server has (RFC 5077 4).

A ticket is the name of its key (16 bytes), a random nonce (12), and the session,
sealed with AES-256-GCM; name and nonce are authenticated with it.
"""

import hmac
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sanstls._defaults import system_random
from sanstls.errors import LocalError
from sanstls.sessions.session import MAX_LIFETIME, Session

__all__ = ["TicketKey", "TicketKeyRing"]

Random = Callable[[int], bytes]

_NAME, _NONCE, _TAG, _KEY = 16, 12, 16, 32
_MAX_TICKET: Final = 2**16 - 1
MAX_TICKET_KEYS: Final = 16
"""The most keys in a ring."""


class TicketKey(NamedTuple):
    """One key: ``name`` (16 bytes) goes into each ticket, ``key`` (32) is the secret, ``expires`` in Unix seconds.

    Random nonces allow some 2^32 tickets under one key; rotate long before.
    """

    name: bytes
    key: bytes
    expires: float

    def __repr__(self) -> str:
        return f"<TicketKey {self.name.hex()[:8]}…>"


class TicketKeyRing:
    """Ticket keys, newest first: the first seals, all of them open. Immutable.

    Servers that share a ring resume each other's sessions. To rotate, put
    ``ring.rotated(at)`` into the next configuration: its new key seals, the old
    ones open until they expire. Who gets a key can read what was resumed with it.
    """

    __slots__ = ("_aeads", "keys")

    def __init__(self, keys: tuple[TicketKey, ...]) -> None:
        self.keys = tuple(keys)
        if not 0 < len(self.keys) <= MAX_TICKET_KEYS:
            raise LocalError(f"a ring has 1 to {MAX_TICKET_KEYS} keys, not {len(self.keys)}")
        if any(len(key.name) != _NAME or len(key.key) != _KEY for key in self.keys):
            raise LocalError(f"a ticket key has a name of {_NAME} bytes and a key of {_KEY}")
        if len({key.name for key in self.keys}) != len(self.keys):
            raise LocalError("two ticket keys have one name")
        self._aeads = tuple([AESGCM(key.key) for key in self.keys])

    @classmethod
    def generate(cls, *, random: Random = system_random, expires: float = float("inf")) -> "TicketKeyRing":
        """A ring with one new key that opens until ``expires`` (Unix seconds)."""
        return cls((_new_key(random, expires),))

    def rotated(self, at: float, *, random: Random = system_random, lifetime: float = MAX_LIFETIME) -> "TicketKeyRing":
        """The next ring: a new key in front; of the old ones those that have not expired ``at`` this time.

        The key that sealed until now opens for ``lifetime`` seconds more at most.
        """
        kept = [key._replace(expires=min(key.expires, at + lifetime)) for key in self.keys if key.expires > at]
        return TicketKeyRing((_new_key(random, float("inf")), *kept[: MAX_TICKET_KEYS - 1]))

    def seal(self, session: Session, random: Random = system_random) -> bytes | None:
        """A ticket for this session; ``None`` if it would be too long for one."""
        header = self.keys[0].name + random(_NONCE)
        content = session.to_bytes()
        if _NAME + _NONCE + len(content) + _TAG > _MAX_TICKET:
            return None
        return header + self._aeads[0].encrypt(header[_NAME:], content, header)

    def open(self, ticket: bytes, at: float) -> Session | None:
        """The session in a ticket; ``None`` if it is not one of ours, was changed, or has expired."""
        if len(ticket) < _NAME + _NONCE + _TAG:
            return None
        header = ticket[: _NAME + _NONCE]
        for key, aead in zip(self.keys, self._aeads, strict=True):
            if hmac.compare_digest(key.name, header[:_NAME]) and at < key.expires:
                try:
                    session = Session.from_bytes(aead.decrypt(header[_NAME:], ticket[len(header) :], header))
                except (InvalidTag, LocalError):  # the latter: sealed by another release
                    return None
                return session if session.is_usable(at) else None
        return None

    def __repr__(self) -> str:
        return f"<TicketKeyRing: {len(self.keys)} keys>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TicketKeyRing holds keys and is not pickled by accident; its keys are in keys")


def _new_key(random: Random, expires: float) -> TicketKey:
    drawn = random(_NAME + _KEY)
    return TicketKey(drawn[:_NAME], drawn[_NAME:], expires)
