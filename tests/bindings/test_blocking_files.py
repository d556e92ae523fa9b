"""Files on a connection, as ``http.client`` and others want them."""

import http.client
import io
from collections.abc import Iterator

import pytest

from bindings.sides import (
    HOST,
    TIMEOUT,
    Sides,
    Task,
    connect_to,
    connected,
    pattern,
    receive_all,
    receive_exactly,
    serving,
)
from sanstls import AlertReceivedError, LocalError, UnexpectedEOF
from sanstls_io.blocking import TLSSocket


@pytest.fixture
def sides() -> Iterator[Sides]:
    with connected() as made:
        yield made


# Reading and writing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffering", [None, -1, 1, 100, 1 << 20])
def test_binary(sides: Sides, buffering: int | None) -> None:
    data = pattern(1_000_000)

    def write() -> None:
        with sides.client.makefile("wb", buffering) as file:
            for start in range(0, len(data), 70_001):
                assert file.write(data[start : start + 70_001])
            file.flush()
            sides.client.close()

    with Task(write), sides.server.makefile("rb", buffering) as file:
        assert file.read(5) == data[:5]
        assert file.read1(1) == data[5:6]
        assert file.read() == data[6:]
        assert file.read(1) == b""


def test_lines_of_text(sides: Sides) -> None:
    with sides.client.makefile("w", encoding="utf-8", newline="\r\n") as file:
        file.write("first\nzweite — ü\n")
    sides.client.sendall(b"no end")
    sides.client.close()
    with sides.server.makefile(encoding="utf-8") as file:
        assert file.encoding == "utf-8"
        assert list(file) == ["first\n", "zweite — ü\n", "no end"]


def test_both_ways_in_one(sides: Sides) -> None:
    with sides.client.makefile("rw", encoding="ascii") as file:
        file.write("question\n")
        file.flush()
        with sides.server.makefile("rwb") as other:
            assert other.readline() == b"question\n"
            other.write(b"answer\n")
            other.flush()
            assert file.readline() == "answer\n"
            assert other.readable()
            assert other.writable()


def test_unbuffered(sides: Sides) -> None:
    with sides.client.makefile("wb", 0) as writer, sides.server.makefile("rb", 0) as reader:
        assert isinstance(writer, io.RawIOBase)
        assert writer.write(b"at once") == 7
        assert reader.read(3) == b"at "
        assert writer.write(pattern(1 << 20)) <= 1 << 20
        assert reader.read(4) == b"once"
        assert reader.fileno() == sides.server.fileno()
        assert (reader.readable(), reader.writable(), writer.readable(), writer.writable()) == (
            True,
            False,
            False,
            True,
        )
        for wrong in (lambda: reader.write(b"x"), lambda: writer.read(1)):
            with pytest.raises(io.UnsupportedOperation):
                wrong()


@pytest.mark.parametrize("mode", ["", "a", "x", "r+", "rt", "b"])
def test_modes_that_a_socket_can_not_have(sides: Sides, mode: str) -> None:
    with pytest.raises(ValueError, match="invalid mode"):
        sides.client.makefile(mode)
    still_works(sides)


def test_text_needs_a_buffer(sides: Sides) -> None:
    with pytest.raises(ValueError, match="unbuffered"):
        sides.client.makefile("r", 0)
    still_works(sides)


def test_an_unknown_encoding(sides: Sides) -> None:
    with pytest.raises(LookupError):
        sides.client.makefile("r", encoding="klingon")
    still_works(sides)


def still_works(sides: Sides) -> None:
    """And is closed by a close, as no file is left."""
    sides.client.sendall(b"x")
    sides.client.close()
    assert sides.client.fileno() == -1
    assert receive_all(sides.server) == b"x"


# Closing ------------------------------------------------------------------------------------------------------------


def test_the_socket_is_closed_with_its_last_file(sides: Sides) -> None:
    client, server = sides
    first, second = client.makefile("wb"), client.makefile("rb")
    client.close()
    assert client.fileno() > 0
    first.write(b"still goes")
    first.close()
    assert client.fileno() > 0
    server.sendall(b"this too")
    assert second.read(8) == b"this too"
    second.close()
    second.close()
    assert client.fileno() == -1
    assert receive_all(server) == b"still goes"


def test_a_socket_stays_open_without_its_files(sides: Sides) -> None:
    client, server = sides
    for _ in range(3):
        with client.makefile("wb") as file:
            file.write(b"x")
    client.sendall(b"y")
    assert receive_exactly(server, 4) == b"xxxy"
    client.close()
    assert client.fileno() == -1


def test_a_file_that_is_forgotten_is_closed(sides: Sides) -> None:
    client, server = sides
    file = client.makefile("wb")
    file.write(b"in its buffer")
    client.close()
    del file
    assert client.fileno() == -1
    assert receive_all(server) == b"in its buffer"


@pytest.mark.parametrize(
    ("mode", "buffering"),
    [
        ("rb", 0),
        ("wb", 0),
        ("rwb", 0),
        ("rb", None),
        ("wb", None),
        ("rwb", None),
        ("r", None),
        ("w", None),
        ("rw", None),
    ],
)
def test_a_closed_file_does_nothing_more(sides: Sides, mode: str, buffering: int | None) -> None:
    file = sides.client.makefile(mode, buffering)
    file.close()
    assert file.closed
    sides.server.sendall(b"not read")
    for call in (lambda: file.read(1), lambda: file.write(b"x" if "b" in mode else "x")):
        with pytest.raises(ValueError):  # noqa: PT011 - the words are those of io, and differ
            call()
    assert sides.client.recv(100) == b"not read"


def test_an_exception_in_a_with_is_seen_by_the_peer_though_a_file_is_open(sides: Sides) -> None:
    client, server = sides

    file = client.makefile("wb")

    def fail() -> None:
        with client:
            file.write(b"never flushed")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(AlertReceivedError, match="internal_error"):
        server.recv(1)
    with pytest.raises(LocalError):
        file.close()
    assert client.fileno() == -1


# Errors -------------------------------------------------------------------------------------------------------------


def test_truncation_is_no_end_of_a_file(sides: Sides) -> None:
    client, server = sides
    server.sendall(b"a line\nhalf of a")
    assert server._sock is not None
    server._sock.close()
    with client.makefile("rb") as file:
        assert file.readline() == b"a line\n"
        with pytest.raises(UnexpectedEOF):
            file.readline()


def test_a_file_whose_read_timed_out_says_so_from_then_on(sides: Sides) -> None:
    client, server = sides
    server.sendall(b"half of a ")
    client.settimeout(0.02)
    with client.makefile("rb") as file:
        with pytest.raises(TimeoutError):
            file.readline()
        server.sendall(b"line\n")
        client.settimeout(TIMEOUT)
        with pytest.raises(OSError, match="timed out"):
            file.readline()


# http.client --------------------------------------------------------------------------------------------------------


def answer_http(tls: TLSSocket) -> None:
    """A small HTTP/1.1 server that sends back what it is told."""
    with tls.makefile("rb") as requests, tls.makefile("wb") as answers:
        while line := requests.readline():
            method, path, _ = line.decode().split()
            headers = http.client.parse_headers(requests)
            body = requests.read(int(headers.get("Content-Length", 0))) or f"{method} {path}".encode()
            is_last = headers.get("Connection") == "close"
            answers.write(b"HTTP/1.1 200 OK\r\n")
            if is_last:
                answers.write(b"Connection: close\r\n\r\n" + body)
            else:
                answers.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            answers.flush()
            if is_last:
                return


def test_http_client() -> None:
    with serving(answer_http) as server:
        connection = http.client.HTTPConnection(HOST, server.address[1], timeout=TIMEOUT)
        connection.sock = tls = connect_to(server)
        connection.request("GET", "/one")
        assert connection.getresponse().read() == b"GET /one"
        connection.request("POST", "/two", body=pattern(300_000))
        assert connection.getresponse().read() == pattern(300_000)
        connection.request("GET", "/three", headers={"Connection": "close"})
        response = connection.getresponse()
        # The connection has let the socket go, but the response has a file on it.
        assert connection.sock is None
        assert tls.fileno() > 0
        assert response.read() == b"GET /three"
        response.close()
        assert tls.fileno() == -1
