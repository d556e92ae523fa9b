"""Record protection of TLS 1.3 (RFC 9846 5.2 to 5.5): one key in one direction."""

from sanstls.crypto.suites import InvalidTag, Suite
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MAX_CIPHERTEXT, MAX_PLAINTEXT
from sanstls.schedule.key_schedule13 import traffic_key_and_iv

__all__ = ["LEFT_FOR_KEY_UPDATE", "Opener", "Sealer"]

LEFT_FOR_KEY_UPDATE = 1
"""When a key may protect only this many records more, keys are updated: the KeyUpdate needs it (RFC 9846 5.5)."""

_JOIN_BELOW = 2048
"""Below this many bytes, joining header and ciphertext costs less than handling two buffers."""
_CCS = 20
_SHORTEST = 23  # a header, a byte of content, its type, and the longest tag
_LONGEST = MAX_CIPHERTEXT + 5


class Sealer:
    """Protects the records of one direction under one key."""

    __slots__ = ("_encrypt", "_iv", "_overhead", "records_left", "sequence_number")

    def __init__(self, suite: Suite, traffic_secret: bytes) -> None:
        key, iv = traffic_key_and_iv(suite.hash_name, traffic_secret, suite.key_size)
        self._encrypt = suite.aead(key).encrypt
        self._iv = int.from_bytes(iv, "big")
        self._overhead = suite.tag_size + 1
        self.sequence_number = 0
        self.records_left = suite.record_limit

    def seal(self, queue: list[bytes], content_type: bytes, content: bytes | memoryview, padding: int = 0) -> None:
        """Append to ``queue`` the buffers of one record with ``content`` (at most ``MAX_PLAINTEXT`` bytes).

        ``padding`` zeros are added (RFC 9846 5.4). The content is copied once; a
        large record is left as two buffers, header and ciphertext.
        """
        header = b"\x17\x03\x03" + (len(content) + self._overhead + padding).to_bytes(2, "big")
        nonce = (self._iv ^ self.sequence_number).to_bytes(12, "big")
        if padding:
            content_type += bytes(padding)
        inner = content + content_type if type(content) is bytes else b"".join((content, content_type))
        self.sequence_number += 1
        self.records_left -= 1
        if len(content) < _JOIN_BELOW:
            queue.append(header + self._encrypt(nonce, inner, header))
        else:
            queue += (header, self._encrypt(nonce, inner, header))


class Opener:
    """Opens the records of one direction under one key."""

    __slots__ = ("_decrypt", "_iv", "_max_inner", "sequence_number")
    protects_every_type = False
    """Whether other records than those of application data are protected on the outside, too."""
    max_ciphertext = MAX_CIPHERTEXT

    def __init__(self, suite: Suite, traffic_secret: bytes, max_plaintext: int = MAX_PLAINTEXT) -> None:
        key, iv = traffic_key_and_iv(suite.hash_name, traffic_secret, suite.key_size)
        self._max_inner = max_plaintext + 1
        self._decrypt = suite.aead(key).decrypt
        self._iv = int.from_bytes(iv, "big")
        self.sequence_number = 0

    def open_data(self, record: bytes) -> bytes | None:
        """The content of ``record``, if it is exactly one record of application data, not empty, without padding.

        Otherwise ``None``, and nothing has changed: :meth:`open` will tell. The usual
        case of an open connection, without the bookkeeping of the others.
        """
        size = len(record)
        if size < _SHORTEST or record[0] != 23 or record[3] << 8 | record[4] != size - 5 or size > _LONGEST:
            return None
        try:
            inner = self._decrypt(
                (self._iv ^ self.sequence_number).to_bytes(12, "big"),
                record[5:] if size < _JOIN_BELOW else memoryview(record)[5:],
                record[:5],
            )
        except InvalidTag:
            return None
        if inner[-1] != 23 or len(inner) > self._max_inner:
            return None
        self.sequence_number += 1
        return inner[:-1]

    def open(self, header: bytes | memoryview, ciphertext: memoryview) -> tuple[int, bytes]:
        """The content type and content of one protected record."""
        try:
            inner = self._decrypt((self._iv ^ self.sequence_number).to_bytes(12, "big"), ciphertext, header)
        except InvalidTag:
            raise PeerMisbehaviour.BAD_RECORD_MAC(f"record {self.sequence_number} of its epoch") from None
        self.sequence_number += 1
        if len(inner) > self._max_inner:  # padding counts
            raise PeerMisbehaviour.RECORD_OVERFLOW(f"{len(inner) - 1} bytes of plaintext")
        if not inner or not inner[-1]:
            inner = inner.rstrip(b"\0")  # padding (RFC 9846 5.4)
            if not inner:
                raise PeerMisbehaviour.NO_CONTENT_TYPE()
        if inner[-1] == _CCS:  # RFC 9846 5: it comes unprotected, or not at all
            raise PeerMisbehaviour.BAD_CHANGE_CIPHER_SPEC("under protection")
        return inner[-1], inner[:-1]
