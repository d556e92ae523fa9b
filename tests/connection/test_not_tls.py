"""What comes first and is no TLS 1.3: other protocols, older and newer versions, records that are too long at once."""

from collections.abc import Callable
from typing import Any

import pytest

from connection.peers import client13, pair13, server13
from connection12.peers import check_over
from memory import Connection, plain_alert, record, the_failure
from sanstls import (
    AlertDescription,
    ConnectionState,
    PeerMisbehaviour,
    ProtocolVersion,
)
from sanstls.record.limits import (
    MAX_CIPHERTEXT,
    MAX_PLAINTEXT,
)
from sanstls.wire.extensions import Extensions, SupportedVersions
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.registries import CipherSuite

P = PeerMisbehaviour
V = ProtocolVersion
Alert = AlertDescription

ROLES: dict[str, Callable[[], Connection]] = {"client": client13, "server": server13}
each_role = pytest.mark.parametrize("role", ROLES)


def new(role: str, **settings: Any) -> Connection:
    """A connection that has heard nothing yet."""
    connection = ROLES[role](**settings)
    connection.data_to_send()
    return connection


def check_first(role: str, data: bytes, kind: PeerMisbehaviour, **settings: Any) -> Any:
    """What is said to these first bytes, whole or one by one, with the right alert in the clear."""
    errors = []
    for chunk in (len(data), 1):
        connection = new(role, **settings)
        events: list[Any] = []
        for start in range(0, len(data), chunk):
            events += connection.receive_data(data[start : start + chunk])
        error = the_failure(events)
        assert error.kind is kind
        assert connection.data_to_send() == plain_alert(kind.alert)
        check_over(connection, error)
        errors.append(str(error))
    assert errors[0] == errors[1]
    return error


# What is no TLS ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"HEAD / HTTP/1.0\r\n\r\n",
        b"POST /form HTTP/1.1\r\n",
        b"PUT /x HTTP/1.1\r\n",
        b"DELETE /x HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n",
        b"TRACE / HTTP/1.1\r\n",
        b"PATCH / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda line: line.split()[0].decode(),
)
def test_plain_http_to_a_server(request_line: bytes) -> None:
    assert "HTTP" in str(check_first("server", request_line, P.PLAIN_HTTP))


def test_plain_http_to_a_client() -> None:
    assert "HTTP" in str(check_first("client", b"HTTP/1.1 400 Bad Request\r\n\r\n", P.PLAIN_HTTP))


@each_role
@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 20,
        b"\x17\x03\x03\0\x05hello",
        b"\x18\x03\x03\0\x05hello",
        b"\x13\x03\x03\0\x05hello",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"* OK IMAP4rev1 ready\r\n",
        b"\r\n",
        b"GETTING",
        b"G3T /",
        b"get / http/1.1",
        b"\xff" * 30,
    ],
    ids=lambda data: repr(data[:6]),
)
def test_what_is_no_tls(role: str, data: bytes) -> None:
    check_first(role, data, P.NOT_TLS)


@each_role
@pytest.mark.parametrize("data", [b"", b"G", b"GE", b"GET", b"H", b"HTT", b"\x16", b"\x16\x03\x01", b"\x80\x2e"])
def test_what_may_still_become_something(role: str, data: bytes) -> None:
    """Nothing is told before it is certain, and the end of the transport is what is told then."""
    connection = new(role)
    assert connection.receive_data(data) == []
    assert connection.state is ConnectionState.HANDSHAKE
    the_failure(connection.receive_eof())


# Other versions (RFC 9846 E) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [28, 0x2E, 0x80, 0x7FFF])
def test_a_client_hello_of_ssl_2(size: int) -> None:
    """RFC 9846 E.5: not to be accepted, whatever version it offers."""
    for version in (b"\0\2", b"\3\0", b"\3\1", b"\3\3"):
        hello = (0x8000 | size).to_bytes(2, "big") + b"\1" + version + b"\0\x15\0\0\0\x10" + bytes(21) + bytes(16)
        error = check_first("server", hello, P.OBSOLETE_VERSION)
        assert "SSL 2.0" in str(error)


def old_hello(version: V, body: bytes = b"") -> bytes:
    """A ClientHello as clients of old sent it."""
    suites = (CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA, CipherSuite.TLS_RSA_WITH_3DES_EDE_CBC_SHA)
    hello = ClientHello(version, bytes(range(32)), b"", suites, b"\0", Extensions(is_present=False))
    return record(22, hello.encode() + body, b"\3\0" if version == V.SSL30 else b"\3\1")


@pytest.mark.parametrize("versions", [(V.TLS13,), (V.TLS13, V.TLS12)], ids=len)
@pytest.mark.parametrize("version", [V.SSL20, V.SSL30, V.TLS10, V.TLS11], ids=lambda version: version.text)
def test_a_client_hello_of_old(version: V, versions: tuple[V, ...]) -> None:
    server = server13(versions=versions)
    events = server.receive_data(old_hello(version))
    error = the_failure(events)
    assert error.kind is P.OBSOLETE_VERSION
    assert version.text in str(error)
    assert server.data_to_send() == plain_alert(Alert.protocol_version)
    check_over(server, error)


@pytest.mark.parametrize("offered", [(V.TLS11,), (V.TLS10, V.SSL30), (V.TLS11, V.TLS10, V.SSL30, V.SSL20)], ids=len)
def test_a_client_hello_that_offers_only_old_versions(offered: tuple[V, ...]) -> None:
    """RFC 9846 4.3.1: legacy_version is TLS 1.2, but supported_versions alone counts."""
    hello = ClientHello.parse(client13().data_to_send()[9:])
    kept = [extension for extension in hello.extensions if not isinstance(extension, SupportedVersions)]
    hello = hello.replace(extensions=Extensions([*kept, SupportedVersions(offered)]))
    server = server13()
    error = the_failure(server.receive_data(record(22, hello.encode())))
    assert error.kind is P.OBSOLETE_VERSION
    assert offered[0].text in str(error)
    assert server.data_to_send() == plain_alert(Alert.protocol_version)


@pytest.mark.parametrize("versions", [(V.TLS13,), (V.TLS13, V.TLS12)], ids=len)
@pytest.mark.parametrize("version", [V.SSL30, V.TLS10, V.TLS11], ids=lambda version: version.text)
def test_a_server_hello_of_old(version: V, versions: tuple[V, ...]) -> None:
    client = new("client", versions=versions)
    hello = ServerHello(
        version, bytes(range(32)), b"", CipherSuite.TLS_RSA_WITH_AES_128_CBC_SHA, 0, Extensions(is_present=False)
    )
    events = client.receive_data(record(22, hello.encode()))
    error = the_failure(events)
    assert error.kind is P.OBSOLETE_VERSION
    assert version.text in str(error)
    assert len(events) == 1
    assert client.data_to_send() == plain_alert(Alert.protocol_version)
    check_over(client, error)


def test_versions_of_the_future() -> None:
    """A client that speaks TLS 1.3 too is understood; one that does not is told by name."""
    for offered, is_fine in (((V(0x0305), V.TLS13), True), ((V(0x0305), V(0x7A7A)), False)):
        hello = ClientHello.parse(client13().data_to_send()[9:])
        kept = [extension for extension in hello.extensions if not isinstance(extension, SupportedVersions)]
        hello = hello.replace(extensions=Extensions([*kept, SupportedVersions(offered)]))
        server = server13()
        events = server.receive_data(record(22, hello.encode()))
        if is_fine:
            assert server.state is ConnectionState.HANDSHAKE
        else:
            assert the_failure(events).kind is P.NO_COMMON_VERSION
            assert server.data_to_send() == plain_alert(Alert.protocol_version)


@pytest.mark.parametrize("version", [b"\0\0", b"\2\0", b"\3\0", b"\3\1", b"\3\4", b"\x7f\x1c", b"\xff\xff"], ids=repr)
def test_the_version_of_a_record_is_not_looked_at(version: bytes) -> None:
    """RFC 9846 5.1: it must be ignored for all purposes. (Under protection it is authenticated all the same.)"""
    client, server = pair13()
    hello = client.data_to_send()
    server.receive_data(hello[:1] + version + hello[3:])
    answer = server.data_to_send()
    client.receive_data(answer[:1] + version + answer[3:])
    server.receive_data(client.data_to_send())
    assert client.state is server.state is ConnectionState.OPEN


# Too long ---------------------------------------------------------------------------------------------------------


@each_role
@pytest.mark.parametrize("content_type", [20, 21, 22])
@pytest.mark.parametrize("size", [MAX_PLAINTEXT + 1, MAX_CIPHERTEXT, 2**16 - 1])
def test_a_record_that_is_too_long(role: str, content_type: int, size: int) -> None:
    """Seen in the header: the record itself is not waited for."""
    error = check_first(role, bytes([content_type]) + b"\3\3" + size.to_bytes(2, "big"), P.RECORD_OVERFLOW)
    assert str(size) in str(error)
    assert error.alert is Alert.record_overflow
