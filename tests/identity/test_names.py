"""Names: what may be asked for, and which certificate names cover it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls.errors import LocalError
from sanstls.identity.names import matches, parse_server_name

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63).filter(
    lambda label: label[0] != "-" != label[-1]
)
HOST = st.lists(LABEL, min_size=1, max_size=3).map(".".join).map(lambda text: f"{text}.example")


@pytest.mark.parametrize(
    ("given_name", "parsed"),
    [
        ("a.example", "a.example"),
        ("A.Example", "a.example"),
        ("a.example.", "a.example"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_service.a.example", "_service.a.example"),
        ("1.example", "1.example"),
        ("host1", "host1"),
        ("l" * 63 + ".example", "l" * 63 + ".example"),
        ("192.0.2.1", ipaddress.ip_address("192.0.2.1")),
        ("2001:DB8::1", ipaddress.ip_address("2001:db8::1")),
        ("2001:db8::a", ipaddress.ip_address("2001:db8::a")),
        ("::", ipaddress.ip_address("::")),
    ],
)
def test_names_that_can_be_asked_for(given_name: str, parsed: object) -> None:
    assert parse_server_name(given_name) == parsed


@pytest.mark.parametrize(
    ("given_name", "said"),
    [
        ("", "1 to 63"),
        (".", "1 to 63"),
        ("a..example", "1 to 63"),
        (".example", "1 to 63"),
        ("a.example..", "1 to 63"),
        ("l" * 64 + ".example", "1 to 63"),
        (".".join(["l" * 49] * 6), "253"),
        ("bücher.example", "idna"),
        ("a.example:443", "bare"),
        ("[::1]", "bare"),
        ("https://a.example", "bare"),
        ("a.example/x", "bare"),
        ("*.example", "characters"),
        ("a example", "characters"),
        ("a.example\x00", "characters"),
        ("a.example\n", "characters"),
        ("-a.example", "hyphen"),
        ("a-.example", "hyphen"),
        ("192.0.2", "neither"),
        ("192.0.2.256", "neither"),
        ("192.0.2.1.", "neither"),
        ("192.0.2.01", "neither"),
        ("a.1", "neither"),
        (b"a.example", "str"),
        (None, "str"),
    ],
)
def test_names_that_cannot_be_asked_for(given_name: str, said: str) -> None:
    with pytest.raises(LocalError, match=said):
        parse_server_name(given_name)


@given(HOST)
def test_host_names_are_lowered_and_stay(host: str) -> None:
    assert parse_server_name(host) == parse_server_name(host.upper() + ".") == host
    assert parse_server_name(str(parse_server_name(host))) == host


def test_a_zone_is_no_part_of_an_address_in_a_certificate() -> None:
    assert parse_server_name("fe80::1%eth0") == ipaddress.IPv6Address("fe80::1")
    with pytest.raises(LocalError):
        parse_server_name("192.0.2.1%eth0")


@given(st.ip_addresses())
def test_addresses_are_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert parse_server_name(str(address)) == address


@given(st.text() | st.text(".:/[]abc019*-_\x00 ", max_size=20))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        parsed = parse_server_name(text)
    except LocalError:
        return
    if isinstance(parsed, str):
        assert parsed == text.lower().removesuffix(".")
        assert 0 < len(parsed) <= 253


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("a.example", "a.example"),
        ("A.EXAMPLE", "a.example"),
        ("localhost", "localhost"),
        ("*.a.example", "b.a.example"),
        ("*.A.example", "B.a.example"),
        ("*.a.example", "xn--x.a.example"),
    ],
)
def test_matching(pattern: str, name: str) -> None:
    assert matches(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("a.example", "b.example"),
        ("a.example", "b.a.example"),
        ("example", "a.example"),
        ("*.a.example", "a.example"),
        ("*.a.example", "c.b.a.example"),
        ("*.a.example", ".a.example.evil"),
        ("*.example", "a.example"),  # a whole top-level domain
        ("*.", "a."),
        ("*", "localhost"),
        ("*", "a.example"),
        ("*.*.example", "b.a.example"),
        ("*.*", "a.example"),
        ("b*.a.example", "bb.a.example"),
        ("*b.a.example", "bb.a.example"),
        ("b.*.example", "b.a.example"),
        ("*.a.example.", "b.a.example"),
        ("", "a.example"),
    ],
)
def test_not_matching(pattern: str, name: str) -> None:
    assert not matches(pattern, name)


@given(HOST, LABEL, LABEL)
def test_a_wildcard_is_one_label(host: str, first: str, second: str) -> None:
    assert matches(f"*.{host}", f"{first}.{host}")
    assert not matches(f"*.{host}", f"{first}.{second}.{host}")
    assert not matches(f"*.{host}", host) or host.partition(".")[2] == host
