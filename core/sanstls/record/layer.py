"""The record layer of one connection over a byte stream: reader, writer and the epochs of their keys.

A handshake knows of it only :meth:`RecordLayer.send_message`, ``set_read_secret``,
``set_write_secret`` and ``send_change_cipher_spec``: another transport (QUIC,
DTLS) can stand in its place.
"""

from enum import Enum

from sanstls.crypto.suites import Suite, Suite12
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MAX_PLAINTEXT
from sanstls.record.messages import MessageReader
from sanstls.record.protection import Opener, Sealer
from sanstls.record.protection12 import Opener12, Sealer12
from sanstls.record.reader import RecordReader
from sanstls.record.writer import RecordWriter

__all__ = ["Epoch", "RecordLayer"]


class Epoch(Enum):
    """Under which keys something is sent."""

    plaintext = "in the clear"
    early = "early data keys"
    handshake = "handshake keys"
    application = "application keys"


class RecordLayer:
    """Records in both directions."""

    __slots__ = (
        "early_data_left",
        "is_tls12",
        "max_received",
        "messages",
        "read_epoch",
        "reader",
        "write_epoch",
        "writer",
    )

    def __init__(self) -> None:
        self.reader = RecordReader()
        self.writer = RecordWriter()
        self.messages = MessageReader()
        self.is_tls12 = False
        self.max_received = MAX_PLAINTEXT
        self.early_data_left = 0
        """How many bytes of early data the peer may still send."""
        self.read_epoch = Epoch.plaintext
        self.write_epoch = Epoch.plaintext

    def send_message(self, message: bytes) -> None:
        """Send a handshake message, header included."""
        self.writer.write_message(message)

    def send_change_cipher_spec(self) -> None:
        """Send a change_cipher_spec: a dummy in TLS 1.3 (RFC 9846 E.4)."""
        self.writer.write_change_cipher_spec()

    def set_write_secret(self, epoch: Epoch, suite: Suite, traffic_secret: bytes) -> None:
        """From now on, send under the keys of this traffic secret."""
        self.writer.set_sealer(Sealer(suite, traffic_secret))
        self.write_epoch = epoch

    def begin_tls12(self) -> None:
        """TLS 1.2 was chosen: a change_cipher_spec means something, a warning is no failure."""
        self.is_tls12 = True

    def set_write_keys12(self, suite: Suite12, key: bytes, iv: bytes) -> None:
        """From now on, send under these keys of TLS 1.2."""
        self.writer.set_sealer(Sealer12(suite, key, iv))
        self.write_epoch = Epoch.application

    def set_read_keys12(self, suite: Suite12, key: bytes, iv: bytes) -> None:
        """From now on, receive under these keys of TLS 1.2."""
        if not self.messages.is_empty:
            raise PeerMisbehaviour.MESSAGE_ACROSS_KEY_CHANGE()
        self.reader.opener = Opener12(suite, key, iv, self.max_received)
        self.read_epoch = Epoch.application

    def skip_early_data(self, size: int) -> None:
        """Pass over what can't be read, up to this many bytes in all, until something can."""
        self.reader.skippable = size

    def stop_early_data(self) -> None:
        """Send in the clear again: a second ClientHello follows."""
        self.writer.flush_messages()
        self.writer.sealer = None
        self.write_epoch = Epoch.plaintext

    def limit_records(self, sent: int | None, received: int | None) -> None:
        """From the next keys on, so many bytes of plaintext at most are in a record of either direction (RFC 8449)."""
        if sent is not None:
            self.writer.max_plaintext = min(sent, MAX_PLAINTEXT)
        if received is not None:
            self.max_received = min(received, MAX_PLAINTEXT)

    def pad_data(self, pad_to: int) -> None:
        """Pad data to multiples of so many bytes from now on."""
        self.writer.pad_to = pad_to

    def set_read_secret(self, epoch: Epoch, suite: Suite, traffic_secret: bytes) -> None:
        """From now on, receive under the keys of this traffic secret."""
        if not self.messages.is_empty:
            raise PeerMisbehaviour.MESSAGE_ACROSS_KEY_CHANGE()
        self.reader.opener = Opener(suite, traffic_secret, self.max_received)
        self.read_epoch = epoch
