"""The transcript hash (RFC 9846 4.1): a running hash over the handshake messages, headers included."""

import hashlib
from typing import TYPE_CHECKING

from sanstls.wire.registries import HandshakeType

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Transcript"]


class Transcript:
    """Messages are kept as they are until the hash is known, and only hashed from then on."""

    __slots__ = ("_early", "_hash", "_kept")

    def __init__(self) -> None:
        self._early: list[bytes] = []
        self._hash: _Hash | None = None
        self._kept: list[bytes] | None = None

    def add(self, message: bytes) -> None:
        """Append one message, header included."""
        if self._hash is None:
            self._early.append(message)
        else:
            self._hash.update(message)
            if self._kept is not None:
                self._kept.append(message)

    def start(self, hash_name: str, *, is_retried: bool = False, keeps_messages: bool = False) -> None:
        """The suite's hash is known now. TLS 1.2 signs the messages and not their hash: for that they can be kept.

        After a HelloRetryRequest the first ClientHello is replaced by the synthetic
        message_hash (RFC 9846 4.1).
        """
        if is_retried:
            digest = hashlib.new(hash_name, self._early[0]).digest()
            header = HandshakeType.message_hash.to_bytes(1, "big") + len(digest).to_bytes(3, "big")
            self._early[0] = header + digest
        self._hash = hashlib.new(hash_name, b"".join(self._early))
        if keeps_messages:
            self._kept = self._early.copy()
        self._early.clear()

    @property
    def messages(self) -> bytes:
        """All messages so far, if they are kept."""
        assert self._kept is not None, "the messages are not kept"
        return b"".join(self._kept)

    def forget_messages(self) -> None:
        """Keep the messages no longer."""
        self._kept = None

    def binder_hash(self, hash_name: str, *, cut: int = 0, more: bytes = b"") -> bytes:
        """The hash of all messages so far, without the last ``cut`` bytes, and of ``more`` (RFC 9846 4.3.11.2).

        The messages must be there: before the hash is known they are, later if they are kept.
        """
        messages = b"".join(self._early if self._hash is None else self._kept or [])
        return hashlib.new(hash_name, messages[: len(messages) - cut] + more).digest()

    def digest(self) -> bytes:
        """The hash of all messages so far."""
        assert self._hash is not None, "the hash is not known yet"
        return self._hash.copy().digest()
