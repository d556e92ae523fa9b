"""What two sides remember of a connection, to make the next one shorter (RFC 9846 2.2, RFC 5246 7.4.1.2, RFC 5077)."""

import hmac
from dataclasses import dataclass, field, fields
from typing import Annotated, Final, NoReturn

from sanstls.errors import LocalError
from sanstls.wire.codec import Struct, WireError, opaque, uint8, uint32, uint64, vector
from sanstls.wire.registries import CipherSuite, ProtocolVersion

__all__ = ["MAX_LIFETIME", "Session"]

MAX_LIFETIME: Final = 7 * 24 * 3600
"""The longest life of a session in seconds (RFC 9846 4.7.1)."""

_FORMAT = 1
_NOT_COMPARED = ("secret", "verified_by")
_NEVER = 2**64 - 1


class _Stored(Struct):
    """How a session is written down. A change here needs another ``_FORMAT``."""

    format: Annotated[int, uint8]
    version: ProtocolVersion
    cipher_suite: CipherSuite
    secret: Annotated[bytes, opaque(1, 64)]
    created: Annotated[int, uint64]
    lifetime: Annotated[int, uint32]
    ticket: Annotated[bytes, opaque(0, 2**16 - 1)]
    session_id: Annotated[bytes, opaque(0, 32)]
    age_add: Annotated[int, uint32]
    max_early_data: Annotated[int, uint32]
    alpn: Annotated[bytes, opaque(0, 255)]
    server_name: Annotated[bytes, opaque(0, 255)]
    peer_chain: Annotated[tuple[bytes, ...], vector(0, 2**24 - 1, opaque(1, 2**24 - 1))]
    extended_master_secret: Annotated[int, uint8]
    not_after: Annotated[int, uint64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Session:
    """A session. Immutable; whoever has it can resume the connection in the peer's eyes, so keep it as a secret.

    ``secret`` is the master secret (TLS 1.2) or the PSK (TLS 1.3); ``created`` is in
    Unix seconds by the connection's clock, ``lifetime`` in seconds. A client's has the
    server's ``ticket``, or for TLS 1.2 without tickets the ``session_id``. The rest is
    what the first handshake settled and a resumption must keep: ``server_name``,
    ``alpn``, the peer's certificates, and ``not_after``, the end of their validity.
    """

    version: ProtocolVersion
    cipher_suite: CipherSuite
    secret: bytes = field(repr=False)
    created: float
    lifetime: int
    ticket: bytes = field(default=b"", repr=False)
    session_id: bytes = field(default=b"", repr=False)
    age_add: int = field(default=0, repr=False)
    max_early_data: int = 0
    alpn: str | None = None
    server_name: str | None = None
    peer_chain: tuple[bytes, ...] = field(default=(), repr=False)
    extended_master_secret: bool = True
    not_after: float | None = None
    verified_by: object = field(default=None, repr=False)
    """The verifier that accepted the peer. It is not written down: another one has to look at ``peer_chain`` again."""

    def __post_init__(self) -> None:
        if not 0 <= self.lifetime <= MAX_LIFETIME:
            raise LocalError(f"a session lives {MAX_LIFETIME} seconds at most, not {self.lifetime}")

    def is_usable(self, at: float) -> bool:
        """Whether it may still be resumed: not too old, and the peer's certificates were valid until now."""
        if not self.created <= at < self.created + self.lifetime:
            return False
        return self.not_after is None or at <= self.not_after

    def to_bytes(self) -> bytes:
        """The session, secret included, for a store. ``LocalError`` if it is too large for that."""
        try:
            return _Stored(
                format=_FORMAT,
                version=self.version,
                cipher_suite=self.cipher_suite,
                secret=self.secret,
                created=_milliseconds(self.created),
                lifetime=self.lifetime,
                ticket=self.ticket,
                session_id=self.session_id,
                age_add=self.age_add,
                max_early_data=self.max_early_data,
                alpn=b"" if self.alpn is None else self.alpn.encode(),
                server_name=b"" if self.server_name is None else self.server_name.encode(),
                peer_chain=self.peer_chain,
                extended_master_secret=int(self.extended_master_secret),
                not_after=_NEVER if self.not_after is None else _milliseconds(self.not_after),
            ).serialise()
        except (ValueError, OverflowError) as error:
            raise LocalError(f"the session can't be written down: {error}") from None

    @classmethod
    def from_bytes(cls, data: bytes) -> "Session":
        """What :meth:`to_bytes` gave. ``LocalError`` for anything else, and for the formats of other releases."""
        if data[:1] != _FORMAT.to_bytes(1, "big"):
            raise LocalError("this is no session that this release can read")
        try:
            stored = _Stored.parse(bytes(data))
            alpn, server_name = stored.alpn.decode(), stored.server_name.decode()
        except (WireError, UnicodeDecodeError):
            raise LocalError("the session is damaged") from None
        return cls(
            version=stored.version,
            cipher_suite=stored.cipher_suite,
            secret=stored.secret,
            created=stored.created / 1000,
            lifetime=stored.lifetime,
            ticket=stored.ticket,
            session_id=stored.session_id,
            age_add=stored.age_add,
            max_early_data=stored.max_early_data,
            alpn=alpn or None,
            server_name=server_name or None,
            peer_chain=stored.peer_chain,
            extended_master_secret=bool(stored.extended_master_secret),
            not_after=None if stored.not_after == _NEVER else stored.not_after / 1000,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Session):
            return NotImplemented
        others = [getattr(other, entry.name) for entry in fields(self) if entry.name not in _NOT_COMPARED]
        own = [getattr(self, entry.name) for entry in fields(self) if entry.name not in _NOT_COMPARED]
        return own == others and hmac.compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash((self.ticket, self.session_id, self.created))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Session holds a secret and is not pickled by accident; to_bytes() writes it down")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
