"""A ClientHello out of bytes: however it came, as early as it can be told, and one error for whatever is none."""

import itertools
import ssl
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory import connections, message, record
from sanstls import ClientHelloReceived, LocalError
from sanstls.inspect import (
    MAX_PEEKED,
    NotAClientHello,
    alpn,
    parse_client_hello,
    peek_client_hello,
    server_name,
    versions,
)
from sanstls.misbehaviour import PeerError
from sanstls.record.limits import MAX_HANDSHAKE_MESSAGE, MAX_PLAINTEXT
from sanstls.wire.codec import WireError
from sanstls.wire.extensions import (
    Extension,
    Extensions,
    Padding,
    ProtocolNameList,
    ServerName,
    ServerNameList,
    SupportedVersions,
)
from sanstls.wire.messages import ClientHello
from sanstls.wire.registries import CipherSuite, NameType, ProtocolVersion
from strategies import mutations, structs
from vectors import load_rfc8448


def made(*extensions: Extension, legacy_version: int = 0x0303) -> ClientHello:
    return ClientHello(
        legacy_version=ProtocolVersion(legacy_version),
        random=bytes(range(32)),
        legacy_session_id=b"",
        cipher_suites=(CipherSuite.TLS_AES_128_GCM_SHA256,),
        legacy_compression_methods=b"\0",
        extensions=Extensions(extensions),
    )


def of_size(size: int) -> bytes:
    """A ClientHello whose body is as long as this."""
    # Extensions end at 65535 bytes, and the rest of this hello takes 43: the session ID, suites and methods fill it up.
    hello = made(Padding(b""))
    missing = size - len(hello.serialise())
    if missing < 0:
        raise ValueError(size)
    padding = min(missing, 2**16 - 1 - 4)
    missing -= padding
    suites = (CipherSuite.TLS_AES_128_GCM_SHA256,) * (1 + missing // 2)
    hello = hello.replace(
        extensions=Extensions([Padding(bytes(padding))]),
        cipher_suites=suites,
        legacy_compression_methods=bytes(1 + missing % 2),
    )
    assert len(hello.serialise()) == size
    return hello.encode()


@cache
def openssl_hello() -> bytes:
    """The first bytes that the ssl module sends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = context.wrap_bio(incoming, outgoing, server_hostname="openssl.example")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@cache
def own_hello() -> bytes:
    client, _ = connections(alpn=("h2",))
    return client.data_to_send()


STREAMS = {
    "OpenSSL": openssl_hello,
    "our own": own_hello,
    "RFC 8448, 3": lambda: load_rfc8448(3).sent_by("client")[0].data,
    "RFC 8448, 4": lambda: load_rfc8448(4).sent_by("client")[0].data,
    "RFC 8448, 5": lambda: load_rfc8448(5).sent_by("client")[0].data,
}
each_stream = pytest.mark.parametrize("name", STREAMS)


def content(stream: bytes) -> bytes:
    """The message of a stream that is one record."""
    assert int.from_bytes(stream[3:5], "big") == len(stream) - 5
    return stream[5:]


def fragmented(data: bytes, cuts: list[int]) -> bytes:
    """Handshake records that end at these places."""
    places = sorted({0, len(data), *[cut % len(data) for cut in cuts]})
    return b"".join([record(22, data[start:end]) for start, end in itertools.pairwise(places)])


def refusal(data: Any) -> NotAClientHello:
    """What both say of a stream."""
    with pytest.raises(NotAClientHello) as peeked:
        peek_client_hello(data)
    with pytest.raises(NotAClientHello) as parsed:
        parse_client_hello(data)
    assert str(peeked.value) == str(parsed.value)
    return peeked.value


# Hellos as they come ----------------------------------------------------------------------------------------------


@each_stream
def test_the_message_and_its_records_are_the_same_hello(name: str) -> None:
    stream = STREAMS[name]()
    hello = parse_client_hello(stream)
    assert hello.encode() == content(stream)
    assert parse_client_hello(content(stream)) == hello
    assert peek_client_hello(stream) == hello


@each_stream
def test_there_is_no_answer_before_the_last_byte(name: str) -> None:
    stream = STREAMS[name]()
    for size in range(len(stream)):
        assert peek_client_hello(stream[:size]) is None
        with pytest.raises(NotAClientHello, match="bytes"):
            parse_client_hello(stream[:size])


@given(st.sampled_from(sorted(STREAMS)), st.lists(st.integers(0)), st.binary())
def test_any_fragments_and_whatever_follows(name: str, cuts: list[int], later: bytes) -> None:
    stream = STREAMS[name]()
    hello = parse_client_hello(stream)
    pieces = fragmented(content(stream), cuts)
    assert parse_client_hello(pieces) == peek_client_hello(pieces) == hello
    assert parse_client_hello(pieces + later) == peek_client_hello(pieces + later) == hello
    assert peek_client_hello(pieces[:-1]) is None


def test_every_byte_in_a_record_of_its_own() -> None:
    data = content(openssl_hello())
    assert peek_client_hello(fragmented(data, list(range(len(data))))) == parse_client_hello(data)


def test_more_in_the_record_of_the_hello() -> None:
    data = content(openssl_hello())
    stream = record(22, data + message(1, b"x"))
    assert parse_client_hello(stream) == peek_client_hello(stream) == parse_client_hello(data)


@given(structs(ClientHello))
def test_reading_gives_what_was_written(hello: ClientHello) -> None:
    data = hello.encode()
    if len(data) - 4 > MAX_HANDSHAKE_MESSAGE:
        return
    assert parse_client_hello(data) == hello
    assert peek_client_hello(fragmented(data, list(range(0, len(data), MAX_PLAINTEXT)))) == hello


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_any_kind_of_bytes(kind: Any) -> None:
    hello = parse_client_hello(openssl_hello())
    assert parse_client_hello(kind(openssl_hello())) == hello
    assert parse_client_hello(kind(content(openssl_hello()))) == hello
    assert peek_client_hello(kind(openssl_hello())) == hello
    assert peek_client_hello(kind(b"")) is None


def test_views_of_all_shapes() -> None:
    hello = parse_client_hello(openssl_hello())
    spread = bytes([byte for value in openssl_hello() for byte in (value, 0xFF)])
    assert peek_client_hello(memoryview(spread)[::2]) == hello
    wide = openssl_hello() + bytes(-len(openssl_hello()) % 4)
    assert peek_client_hello(memoryview(wide).cast("I")) == hello


def test_the_callers_buffer_is_not_held() -> None:
    buffer = bytearray(openssl_hello())
    hello = peek_client_hello(buffer)
    buffer.clear()
    assert hello == parse_client_hello(openssl_hello())


@pytest.mark.parametrize("data", [None, "GET / HTTP/1.1", 22, [22, 3, 1]], ids=repr)
def test_what_is_no_bytes_is_the_callers_mistake(data: Any) -> None:
    for function in (parse_client_hello, peek_client_hello):
        with pytest.raises(LocalError, match=type(data).__name__):
            function(data)


# What is none -----------------------------------------------------------------------------------------------------

HELLO = made().encode()


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "plain HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plain HTTP"),
        (b"CONNECT example.com:443 HTTP/1.1\r\n", "plain HTTP"),
        (bytes.fromhex("802e0100020015"), "SSL 2.0"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "no TLS record.*0x53"),
        (b"\0\0\0\0\0", "no TLS record.*0x00"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "no TLS record"),
        (record(21, b"\2\x28"), "record of alert"),
        (record(20, b"\1"), "record of change_cipher_spec"),
        (record(23, bytes(20)), "record of application_data"),
        (record(22, message(2, bytes(40))), "another handshake message: server_hello"),
        (record(22, message(0, b"")), "another handshake message: hello_request"),
        (record(22, message(99, b"")), "another handshake message: 0x63"),
        (record(22, b""), "record without content"),
        (record(22, HELLO[:9]) + record(22, b""), "record without content"),
        (record(22, HELLO[:9]) + record(21, b"\1\0"), "record of alert"),
        (record(22, HELLO[:9]) + record(99, b"x"), "undefined type"),
        (b"\x16\3\1\x40\1", "longer than allowed"),
        (record(22, b"\1\1\0\1"), "longer than accepted.*65537"),
        (record(22, message(1, b"")), "malformed.*truncated"),
        (record(22, message(1, HELLO[4:] + b"x")), "malformed.*too many"),
    ],
)
def test_what_came_instead(stream: bytes, text: str) -> None:
    with pytest.raises(NotAClientHello, match=text):
        raise refusal(stream)


def test_what_came_instead_is_told_early() -> None:
    assert peek_client_hello(b"GET") is None
    refusal(b"GET ")
    assert peek_client_hello(b"\x16\3\1\x40\0") is None
    assert peek_client_hello(b"\x16\3\1\x40\0\1") is None
    for start in (b"S", b"\0", b"\1", b"\x15", b"\x17", b"\x16\3\1\x40\0\2"):
        with pytest.raises(NotAClientHello):
            peek_client_hello(start)


def test_causes_are_kept() -> None:
    assert isinstance(refusal(record(22, message(1, b""))).__cause__, WireError)
    assert isinstance(refusal(b"GET / HTTP/1.1").__cause__, PeerError)
    assert isinstance(refusal(b"GET / HTTP/1.1"), ValueError)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes"),
        (b"\1", "1 bytes, fewer"),
        (b"\1\0\0", "3 bytes, fewer"),
        (b"\1\0\0\1", "tells of 1 bytes, and 0 follow"),
        (b"\1\0\0\0", "malformed"),
        (b"\1\xff\xff\xff", "16777215 bytes; 65536"),
        (HELLO + b"x", "tells of .* follow"),
        (b"\2\0\0\0", "0x02"),
        (b"G", "1 bytes, and they end before"),
        (b"\x16\3\1", "3 bytes, and they end before"),
    ],
)
def test_messages_that_are_none(data: bytes, text: str) -> None:
    with pytest.raises(NotAClientHello, match=text):
        parse_client_hello(data)


# Bounds -----------------------------------------------------------------------------------------------------------


def test_the_longest_hello() -> None:
    longest = of_size(MAX_HANDSHAKE_MESSAGE)
    stream = fragmented(longest, list(range(0, len(longest), MAX_PLAINTEXT)))
    assert parse_client_hello(longest) == peek_client_hello(stream) == parse_client_hello(stream)
    assert peek_client_hello(stream[:-1]) is None


def test_a_longer_hello() -> None:
    longer = of_size(MAX_HANDSHAKE_MESSAGE + 1)
    with pytest.raises(NotAClientHello, match="65537 bytes; 65536"):
        parse_client_hello(longer)
    stream = fragmented(longer, list(range(0, len(longer), MAX_PLAINTEXT)))
    refusal(stream)
    refusal(stream[: 5 + MAX_PLAINTEXT])


def test_records_that_are_mostly_headers() -> None:
    """None is never the answer to MAX_PEEKED bytes."""
    data = of_size(MAX_HANDSHAKE_MESSAGE)
    stream = fragmented(data, list(range(len(data))))
    assert len(stream) > MAX_PEEKED
    assert peek_client_hello(stream[: MAX_PEEKED - 1]) is None
    for end in (MAX_PEEKED, MAX_PEEKED + 1, len(stream)):
        assert "doesn't end within" in str(refusal(stream[:end]))


# Laws -------------------------------------------------------------------------------------------------------------


def answer(stream: bytes) -> ClientHello | type[NotAClientHello] | None:
    try:
        return peek_client_hello(stream)
    except NotAClientHello:
        return NotAClientHello


def look_at(data: bytes) -> None:
    """Any bytes are a hello or are refused; an answer once given stays the same; a hello can be told of."""
    whole = answer(data)
    for end in {0, 1, 4, 5, 6, len(data) // 2, len(data) - 1}:
        if 0 <= end < len(data):
            assert answer(data[:end]) in (None, whole)
    if whole is not None:
        assert answer(data + b"\x16") == whole
    try:
        hello = parse_client_hello(data)
    except NotAClientHello:
        assert whole in (None, NotAClientHello)
        return
    assert whole == hello or data[:1] == b"\1"
    name = server_name(hello)
    assert name is None or (name.isascii() and name.isprintable() and name == name.lower())
    alpn(hello)
    versions(hello)


@pytest.mark.fuzz
@settings(max_examples=400)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\x80")
@example(b"\x80\x01\x01")
def test_noise(data: bytes) -> None:
    look_at(data)


@pytest.mark.fuzz
@given(st.sampled_from([20, 21, 22, 23, 24, 0]), st.lists(st.binary(max_size=100)), st.binary(max_size=9))
def test_records_of_noise(content_type: int, contents: list[bytes], later: bytes) -> None:
    look_at(b"".join([record(content_type, noise) for noise in contents]) + later)


@pytest.mark.fuzz
@given(st.integers(0, 30), st.binary(max_size=300), st.lists(st.integers(0)))
def test_messages_of_noise(msg_type: int, body: bytes, cuts: list[int]) -> None:
    look_at(message(msg_type, body))
    look_at(fragmented(message(msg_type, body), cuts))


@pytest.mark.fuzz
@settings(max_examples=400)
@given(st.data(), st.sampled_from(sorted(STREAMS)), st.booleans())
def test_mutated_hellos(data: st.DataObject, name: str, is_message: bool) -> None:
    stream = STREAMS[name]()
    look_at(data.draw(mutations(content(stream) if is_message else stream), "changed"))


@each_stream
def test_every_byte_changed(name: str) -> None:
    stream = STREAMS[name]()
    for position in range(len(stream)):
        changed = stream[:position] + bytes([stream[position] ^ 1 << position % 8]) + stream[position + 1 :]
        answer(changed)
        answer(changed[:-1])


# What a hello asks for --------------------------------------------------------------------------------------------


def names(*offered: bytes, name_type: int = 0) -> ServerNameList:
    return ServerNameList(tuple([ServerName(NameType(name_type), name) for name in offered]))


@pytest.mark.parametrize(
    ("offered", "name"),
    [
        (b"example.com", "example.com"),
        (b"EXAMPLE.com", "example.com"),
        (b"example.com.", "example.com"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"under_score.example", "under_score.example"),
        (b"a" * 255, "a" * 255),
        (b"a" * 256, None),
        (b".", None),
        (b"two words", None),
        (b"new\nline", None),
        (b"nul\0", None),
        (b"del\x7f", None),
        ("bücher.example".encode(), None),
        (b"\xff", None),
    ],
)
def test_server_name(offered: bytes, name: str | None) -> None:
    assert server_name(made(names(offered))) == name


def test_server_names_that_are_none() -> None:
    assert server_name(made()) is None
    assert server_name(made(names(b"a.example", b"b.example"))) is None
    assert server_name(made(names(b"a.example", name_type=1))) is None
    one = ServerName(NameType(1), b"other")
    assert server_name(made(ServerNameList((one, *names(b"a.example").server_name_list)))) == "a.example"


def test_alpn() -> None:
    assert alpn(made()) == ()
    assert alpn(made(ProtocolNameList((b"h2", b"\xff\0", b"http/1.1")))) == (b"h2", b"\xff\0", b"http/1.1")
    assert alpn(made(ProtocolNameList((b"\x3a\x3a", b"h2", b"\x0a\x1a", b"\xfa\xfa")))) == (b"h2", b"\x0a\x1a")


def test_versions() -> None:
    tls13, tls12 = ProtocolVersion.TLS13, ProtocolVersion.TLS12
    assert versions(made()) == (tls12,)
    assert versions(made(legacy_version=0x0301)) == (ProtocolVersion.TLS10,)
    offered = tuple(map(ProtocolVersion, (0x6A6A, 0x0304, 0x7F1C, 0x0303)))
    assert versions(made(SupportedVersions(offered))) == (tls13, ProtocolVersion(0x7F1C), tls12)
    assert versions(made(SupportedVersions((ProtocolVersion(0x6A6A),)))) == ()


def test_real_hellos() -> None:
    hello = parse_client_hello(openssl_hello())
    assert server_name(hello) == "openssl.example"
    assert alpn(hello) == (b"h2", b"http/1.1")
    assert versions(hello) == (ProtocolVersion.TLS13, ProtocolVersion.TLS12)
    assert server_name(parse_client_hello(STREAMS["RFC 8448, 3"]())) == "server"


def test_what_a_server_is_told_is_what_is_read() -> None:
    client, server = connections(server_name="Some.Example", alpn=("h2", "http/1.1"))
    first = client.data_to_send()
    events = server.receive_data(first)
    (told,) = [event for event in events if isinstance(event, ClientHelloReceived)]
    assert told.hello == peek_client_hello(first)
    assert told.server_name == server_name(told.hello) == "some.example"
    assert told.alpn == tuple([name.decode() for name in alpn(told.hello)])
