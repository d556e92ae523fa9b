"""Test vectors as data, and what loads them.

``rfc8448.json`` has the traces of RFC 8448 (Example Handshake Traces for TLS 1.3), and ``load_rfc8448(section)`` gives
one of them with all values as bytes. ``extract_rfc8448.py`` made it from the text of the RFC, and describes it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

Side = Literal["client", "server"]
Epoch = Literal["plaintext", "early", "handshake", "application"]

CONTENT_TYPES = {"change_cipher_spec": 20, "alert": 21, "handshake": 22, "application_data": 23}


class Step(NamedTuple):
    """Something that the RFC tells, with the RFC's words for the action and the labels of the values."""

    side: Side
    action: str
    values: Mapping[str, bytes]


class Message(NamedTuple):
    """A handshake message with its header."""

    sender: Side
    name: str
    data: bytes


class Record(NamedTuple):
    """A complete record as it was sent, and what is in it."""

    sender: Side
    data: bytes
    description: str
    content_type: int
    plaintext: bytes
    epoch: Epoch
    sequence_number: int


class TrafficKeys(NamedTuple):
    """What protects records."""

    key: bytes
    iv: bytes


class KeyPair(NamedTuple):
    """An ephemeral key; the public one is as in a key share (an uncompressed point, for P-256)."""

    group: Literal["x25519", "P-256"]
    private: bytes
    public: bytes


class RsaKey(NamedTuple):
    """The private key of the server's certificate in sections 3, 5 and 7."""

    modulus: int
    public_exponent: int
    private_exponent: int
    prime1: int
    prime2: int
    exponent1: int
    exponent2: int
    coefficient: int


@dataclass(frozen=True, slots=True)
class Trace:
    """One section of RFC 8448."""

    section: int
    title: str
    messages: tuple[Message, ...]
    """All handshake messages, in the order of the transcript (NewSessionTicket too, though no hash covers it)."""
    records: tuple[Record, ...]
    secrets: Mapping[str, bytes]
    """By names like "early", "c hs traffic" and "res master"."""
    keys: Mapping[Side, Mapping[Epoch, TrafficKeys]]
    """What the side writes with."""
    finished: Mapping[Side, bytes]
    """The verify_data."""
    client_private_keys: tuple[KeyPair, ...]
    server_private_keys: tuple[KeyPair, ...]
    shared_secret: bytes
    psk: bytes | None
    """What section 4 resumes with: it is `secrets["resumption"]` of section 3."""
    binder: bytes | None
    """The PSK binder of section 4."""
    server_rsa_key: RsaKey | None
    """None in sections 4 (there is no certificate) and 6 (the RFC doesn't give the keys)."""
    steps: tuple[Step, ...]

    def message(self, name: str, *, sender: Side | None = None, index: int = 0) -> bytes:
        """The message of this name; `index` chooses if there are several (section 5 has two ClientHellos)."""
        return [m.data for m in self.messages if m.name == name and sender in (None, m.sender)][index]

    def sent_by(self, sender: Side) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.sender == sender)

    def step(self, side: Side, action: str, *, index: int = 0) -> Mapping[str, bytes]:
        """The values of the step whose action starts like this; steps without values ("same as") don't count."""
        return [s.values for s in self.steps if s.side == side and s.values and s.action.startswith(action)][index]


@cache
def _rfc8448() -> dict[str, Any]:
    text = (Path(__file__).parent / "rfc8448.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def load_rfc8448(section: int) -> Trace:
    """The trace of section 3 (simple 1-RTT), 4 (resumed, 0-RTT), 5 (HelloRetryRequest), 6 (client authentication)
    or 7 (compatibility mode)."""
    data = _rfc8448()["sections"][str(section)]
    return Trace(
        section=section,
        title=data["title"],
        messages=tuple(Message(sender, name, bytes.fromhex(value)) for sender, name, value in data["messages"]),
        records=tuple(
            Record(
                sender,
                bytes.fromhex(complete),
                description,
                CONTENT_TYPES[description.split()[1]],
                bytes.fromhex(plaintext),
                epoch,
                number,
            )
            for (sender, complete, description), (epoch, number, plaintext) in zip(
                data["records"], data["record_contents"], strict=True
            )
        ),
        secrets=_bytes(data["secrets"]),
        keys={
            side: {epoch: TrafficKeys(**_bytes(pair)) for epoch, pair in epochs.items()}
            for side, epochs in data["keys"].items()
        },
        finished={side: bytes.fromhex(value) for side, value in data["finished"].items()},
        client_private_keys=tuple(_key_pair(pair) for pair in data["client_private_keys"]),
        server_private_keys=tuple(_key_pair(pair) for pair in data["server_private_keys"]),
        shared_secret=bytes.fromhex(data["shared_secret"]),
        psk=bytes.fromhex(data["psk"]) if data["psk"] else None,
        binder=bytes.fromhex(data["binder"]) if data["binder"] else None,
        server_rsa_key=load_rfc8448_rsa_key() if section in (3, 5, 7) else None,
        steps=tuple(Step(step["side"], step["action"], _bytes(step["values"])) for step in data["steps"]),
    )


@cache
def load_rfc8448_rsa_key() -> RsaKey:
    """The only private key for a certificate that the RFC gives (section 2)."""
    numbers = {label: int(value, 16) for label, value in _rfc8448()["server_rsa_key"].items()}
    return RsaKey(
        modulus=numbers["modulus (public)"],
        public_exponent=numbers["public exponent"],
        private_exponent=numbers["private exponent"],
        prime1=numbers["prime1"],
        prime2=numbers["prime2"],
        exponent1=numbers["exponent1"],
        exponent2=numbers["exponent2"],
        coefficient=numbers["coefficient"],
    )


def _bytes(values: Mapping[str, str]) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in values.items()}


def _key_pair(pair: Mapping[str, Any]) -> KeyPair:
    return KeyPair(pair["group"], bytes.fromhex(pair["private"]), bytes.fromhex(pair["public"]))
