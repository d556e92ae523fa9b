"""Reading a ClientHello without a connection: out of a capture, or from the first bytes of a stream to be routed.

Nothing is decided here and nothing is sent: whether a server would accept the hello is the handshake's to say. What a
message means is told as far as RFC 6066, RFC 7301 and RFC 9846 4.3.1 go, without the values that are reserved for
GREASE (RFC 8701).
"""

from typing import Final

from sanstls.errors import LocalError
from sanstls.misbehaviour import PeerError
from sanstls.record.limits import MAX_HANDSHAKE_MESSAGE
from sanstls.record.messages import MessageReader
from sanstls.record.reader import RecordReader
from sanstls.wire.codec import WireError
from sanstls.wire.extensions import ProtocolNameList, ServerNameList, SupportedVersions
from sanstls.wire.messages import ClientHello
from sanstls.wire.registries import ContentType, HandshakeType, NameType, ProtocolVersion

__all__ = [
    "MAX_PEEKED",
    "NotAClientHello",
    "alpn",
    "is_grease",
    "parse_client_hello",
    "peek_client_hello",
    "server_name",
    "versions",
]

MAX_PEEKED: Final = 2 * MAX_HANDSHAKE_MESSAGE
"""The first bytes of a stream in which a ClientHello has to end: the longest one, and as much for record headers."""

_CLIENT_HELLO = int(HandshakeType.client_hello)
_HANDSHAKE = int(ContentType.handshake)
_OTHER_RECORDS = frozenset(
    map(int, (ContentType.change_cipher_spec, ContentType.alert, ContentType.application_data)),
)
_GREASE_PROTOCOLS = frozenset([bytes([byte, byte]) for byte in range(0x0A, 0x100, 0x10)])
_MESSAGE_HEADER = 4
_RECORD_HEADER = 5


class NotAClientHello(ValueError):
    """Bytes that are no ClientHello; the text says what they are instead, as far as that can be seen."""


def parse_client_hello(data: bytes | bytearray | memoryview) -> ClientHello:
    """The ClientHello in ``data``, which is the handshake message with its header, or the records that it came in.

    The first byte tells which: a message begins with its type, 1, and has to be there exactly; records begin with
    their content type, 22, may hold the message in any number of fragments, and may be followed by anything.

    Raises :class:`NotAClientHello` whatever else the bytes are, and :class:`LocalError` for what is no bytes.
    RFC 9846 4, 4.2.2 and 5.1.
    """
    raw = _as_bytes(data)
    if raw[:1] == b"\x01":
        return _whole_message(raw)
    hello = peek_client_hello(raw)
    if hello is None:
        raise NotAClientHello(f"there are {len(raw)} bytes, and they end before a ClientHello does")
    return hello


def peek_client_hello(stream: bytes | bytearray | memoryview) -> ClientHello | None:
    """The ClientHello at the beginning of a TLS stream, or ``None`` while it takes more bytes to tell.

    ``stream`` is all that has come so far, from the very first byte on; nothing is kept between calls, so whoever
    forwards the connection still has all of it. The hello has to end within :data:`MAX_PEEKED` bytes, so ``None`` is
    never the answer to as many. Each call reads the stream anew: a client that sends single bytes is for the caller's
    deadline to end.

    Raises :class:`NotAClientHello` as soon as it is clear that no ClientHello comes, and :class:`LocalError` for what
    is no bytes. RFC 9846 4.2.2 and 5.1.
    """
    raw = _as_bytes(stream)[:MAX_PEEKED]
    try:
        message = _first_message(raw)
    except PeerError as error:
        detail = f" ({error.detail})" if error.detail else ""
        raise NotAClientHello(f"{error.kind.sentence}{detail}") from error
    if message is not None:
        _check_type(message[0])
        return _parsed(message)
    if raw[:1] == bytes([_HANDSHAKE]) and len(raw) > _RECORD_HEADER:
        _check_type(raw[_RECORD_HEADER])
    if len(raw) == MAX_PEEKED:
        raise NotAClientHello(f"a ClientHello that doesn't end within {MAX_PEEKED} bytes of records")
    return None


def _as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise LocalError(f"a ClientHello is read from bytes, bytearray or memoryview, not {type(data).__name__}")
    return bytes(data)


def _first_message(stream: bytes) -> bytes | None:
    """The first handshake message of a stream, header included. Raises PeerError for what no connection would take."""
    records, messages = RecordReader(), MessageReader()
    records.feed(stream)
    while True:
        content_type = records.peek_type()
        if content_type in _OTHER_RECORDS:
            raise NotAClientHello(f"a record of {ContentType(content_type)} where a ClientHello has to be")
        record = records.next_record()
        if record is None:
            return None
        messages.feed(record[1])
        message = messages.next_message()
        if message is not None:
            return message


def _whole_message(message: bytes) -> ClientHello:
    """A message that has to be there exactly."""
    if len(message) < _MESSAGE_HEADER:
        raise NotAClientHello(f"{len(message)} bytes, fewer than the header of a handshake message")
    announced, present = int.from_bytes(message[1:_MESSAGE_HEADER], "big"), len(message) - _MESSAGE_HEADER
    if announced > MAX_HANDSHAKE_MESSAGE:
        raise NotAClientHello(f"a ClientHello of {announced} bytes; {MAX_HANDSHAKE_MESSAGE} are accepted")
    if announced != present:
        raise NotAClientHello(f"the ClientHello's header tells of {announced} bytes, and {present} follow")
    return _parsed(message)


def _check_type(msg_type: int) -> None:
    if msg_type != _CLIENT_HELLO:
        raise NotAClientHello(f"another handshake message: {HandshakeType(msg_type)}")


def _parsed(message: bytes) -> ClientHello:
    try:
        return ClientHello.parse(message[_MESSAGE_HEADER:])
    except WireError as error:
        raise NotAClientHello(f"a malformed ClientHello: {error}") from error


# What a hello asks for --------------------------------------------------------------------------------------------


def is_grease(value: int) -> bool:
    """Whether RFC 8701 2 reserves this value among cipher suites, extensions, groups, signature schemes, versions."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def server_name(hello: ClientHello) -> str | None:
    """The host name that the client asks for (RFC 6066 3): ASCII, in lower case, without a dot at its end.

    ``None`` without one, and for what can't be a host name: several, none at all, or characters that don't print. A
    server refuses these; a router may send them to whoever does.
    """
    names = hello.extensions.get(ServerNameList)
    if names is None:
        return None
    hosts = [entry.name for entry in names.server_name_list if int(entry.name_type) == int(NameType.host_name)]
    if len(hosts) != 1 or len(hosts[0]) > 255 or not all(0x21 <= byte <= 0x7E for byte in hosts[0]):
        return None
    return hosts[0].decode("ascii").lower().removesuffix(".") or None


def alpn(hello: ClientHello) -> tuple[bytes, ...]:
    """The application protocols that the client offers, in its order (RFC 7301); empty if it offers none."""
    names = hello.extensions.get(ProtocolNameList)
    if names is None:
        return ()
    return tuple([name for name in names.protocol_name_list if name not in _GREASE_PROTOCOLS])


def versions(hello: ClientHello) -> tuple[ProtocolVersion, ...]:
    """The versions that the client offers, in its order (RFC 9846 4.3.1).

    A client without supported_versions names only its highest one, which is legacy_version.
    """
    offered = hello.extensions.get(SupportedVersions)
    if offered is None:
        return (hello.legacy_version,)
    return tuple([version for version in offered.versions if not is_grease(version)])
