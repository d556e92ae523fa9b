"""Record protection of TLS 1.2 with AEADs (RFC 5246 6.2.3.3, RFC 5288 3, RFC 7905 2): one key in one direction.

All nonces are 12 bytes. Those of AES-GCM are the fixed IV and 8 bytes that stand in
the record, here the sequence number; those of ChaCha20-Poly1305 are the IV XOR the
sequence number, and nothing of them stands in the record.
"""

from sanstls.crypto.suites import InvalidTag, Suite12
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MAX_CIPHERTEXT12, MAX_PLAINTEXT

__all__ = ["Opener12", "Sealer12"]

_HEADER = 5
_NONCE = 12

_JOIN_BELOW = 2048
"""Below this many bytes, joining header and ciphertext costs less than handling two buffers."""


class Sealer12:
    """Protects the records of one direction under one key.

    When no ``records_left``, the connection has to end: TLS 1.2 has no other keys to go on with.
    """

    __slots__ = ("_encrypt", "_iv", "_iv_size", "_overhead", "records_left", "sequence_number")

    def __init__(self, suite: Suite12, key: bytes, iv: bytes) -> None:
        """``key`` and ``iv`` are the write key and the write IV of the key block."""
        assert len(iv) == suite.fixed_iv_size
        self._encrypt = suite.aead(key).encrypt
        # A short IV is XORed into the beginning alone, and leaves the sequence number behind it as it is.
        self._iv = int.from_bytes(iv.ljust(_NONCE, b"\0"), "big")
        self._iv_size = _NONCE - suite.explicit_nonce_size
        self._overhead = suite.explicit_nonce_size + suite.tag_size
        self.sequence_number = 0
        self.records_left = suite.record_limit

    def seal(self, queue: list[bytes], content_type: bytes, content: bytes | memoryview, padding: int = 0) -> None:
        """Append to ``queue`` the buffers of one record with ``content`` (at most ``MAX_PLAINTEXT`` bytes).

        ``padding`` is without effect: an AEAD of TLS 1.2 has none. The content is copied
        once; a large record is left as two buffers, header and ciphertext.
        """
        size = len(content)
        sequence_number = self.sequence_number
        nonce = (self._iv ^ sequence_number).to_bytes(_NONCE, "big")
        start = content_type + b"\x03\x03"
        associated = sequence_number.to_bytes(8, "big") + start + size.to_bytes(2, "big")
        header = start + (size + self._overhead).to_bytes(2, "big") + nonce[self._iv_size :]
        self.sequence_number = sequence_number + 1
        self.records_left -= 1
        if size < _JOIN_BELOW:
            queue.append(header + self._encrypt(nonce, content, associated))
        else:
            queue += (header, self._encrypt(nonce, content, associated))


class Opener12:
    """Opens the records of one direction under one key."""

    __slots__ = (
        "_decrypt",
        "_explicit_size",
        "_iv",
        "_iv_number",
        "_max_plaintext",
        "_overhead",
        "sequence_number",
    )
    protects_every_type = True
    max_ciphertext = MAX_CIPHERTEXT12

    def __init__(self, suite: Suite12, key: bytes, iv: bytes, max_plaintext: int = MAX_PLAINTEXT) -> None:
        """``key`` and ``iv`` are the peer's write key and write IV of the key block."""
        assert len(iv) == suite.fixed_iv_size
        self._max_plaintext = max_plaintext
        self._decrypt = suite.aead(key).decrypt
        self._iv = iv
        self._iv_number = int.from_bytes(iv, "big")
        self._explicit_size = suite.explicit_nonce_size
        self._overhead = suite.explicit_nonce_size + suite.tag_size
        self.sequence_number = 0

    def open_data(self, record: bytes) -> bytes | None:
        """The content of ``record``, if it is exactly one record of application data that is not empty.

        Otherwise ``None``, and nothing has changed: :meth:`open` will tell. The usual
        case of an open connection, without the bookkeeping of the others.
        """
        protected = len(record) - _HEADER
        size = protected - self._overhead
        if not 0 < size <= self._max_plaintext or record[0] != 23 or record[3] << 8 | record[4] != protected:
            return None
        sequence_number = self.sequence_number
        start = _HEADER + self._explicit_size
        if self._explicit_size:
            nonce = self._iv + record[_HEADER:start]
        else:
            nonce = (self._iv_number ^ sequence_number).to_bytes(_NONCE, "big")
        try:
            content = self._decrypt(
                nonce,
                record[start:] if size < _JOIN_BELOW else memoryview(record)[start:],
                sequence_number.to_bytes(8, "big") + record[:3] + size.to_bytes(2, "big"),
            )
        except InvalidTag:
            return None
        self.sequence_number = sequence_number + 1
        return content

    def open(self, header: bytes | memoryview, ciphertext: memoryview) -> tuple[int, bytes]:
        """The content type and content of one protected record; the content may be empty."""
        size = len(ciphertext) - self._overhead
        if size < 0:
            raise PeerMisbehaviour.BAD_RECORD_MAC(f"{len(ciphertext)} bytes can't hold a nonce and a tag")
        sequence_number = self.sequence_number
        # Type and version are those of the header, so that a change to them is found.
        associated = sequence_number.to_bytes(8, "big") + header[:3] + size.to_bytes(2, "big")
        explicit = self._explicit_size
        if explicit:  # the sender's choice, and not necessarily the sequence number (RFC 5288 3)
            nonce = self._iv + ciphertext[:explicit]
            ciphertext = ciphertext[explicit:]
        else:
            nonce = (self._iv_number ^ sequence_number).to_bytes(_NONCE, "big")
        try:
            content = self._decrypt(nonce, ciphertext, associated)
        except InvalidTag:
            raise PeerMisbehaviour.BAD_RECORD_MAC(f"record {sequence_number} under its keys") from None
        self.sequence_number = sequence_number + 1
        if size > self._max_plaintext:
            raise PeerMisbehaviour.RECORD_OVERFLOW(f"{size} bytes of plaintext")
        return header[0], content
