"""JA3 and JA4: what others have published of well-known clients, each rule of the two, and that GREASE changes nothing.

A published fingerprint comes with the lists that went into it, not with the bytes: the hellos are made from these
lists, and go over the wire before they are looked at.
"""

import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory import connections, handshake
from sanstls import ClientHelloReceived, LocalError
from sanstls.inspect import ja3, ja3_hash, ja4, ja4_raw, parse_client_hello
from sanstls.wire.extensions import (
    CertificateCompressionAlgorithms,
    ECPointFormatList,
    Extension,
    Extensions,
    KeyShareClientHello,
    NamedGroupList,
    OCSPStatusRequest,
    OfferedPsks,
    ProtocolNameList,
    PskIdentity,
    PskKeyExchangeModes,
    RenegotiationInfo,
    ServerName,
    ServerNameList,
    SignatureSchemeList,
    SupportedVersions,
    UnknownExtension,
)
from sanstls.wire.messages import ClientHello
from sanstls.wire.registries import (
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CipherSuite,
    ECPointFormat,
    ExtensionType,
    NamedGroup,
    NameType,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)
from strategies import structs

GREASE = [0x0A0A + 0x1010 * index for index in range(16)]
NEARLY_GREASE = [0x0A1A, 0x1A0A, 0xCA34, 0x0A0B, 0x0B0B, 0x000A, 0x0A00]
CHROME_SUITES = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
CHROME_EXTENSIONS = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"
CHROME_SCHEMES = "0403,0804,0401,0503,0805,0501,0806,0601"


def numbers(listed: str) -> list[int]:
    return [int(value, 16) for value in listed.split(",") if value]


def hello_of(
    suites: str = CHROME_SUITES,
    extensions: str = "",
    schemes: str = "",
    *,
    alpn: tuple[bytes, ...] = (b"h2", b"http/1.1"),
    versions: tuple[int, ...] = (0x0304, 0x0303),
    groups: tuple[int, ...] = (29, 23, 24),
    formats: tuple[int, ...] = (0,),
    legacy_version: int = 0x0303,
) -> ClientHello:
    """A hello with these lists, after it has been on the wire."""
    contents: dict[int, Extension] = {
        0x0000: ServerNameList((ServerName(NameType.host_name, b"example.com"),)),
        0x0005: OCSPStatusRequest(CertificateStatusType.ocsp, bytes(4)),
        0x000A: NamedGroupList(tuple(map(NamedGroup, groups))),
        0x000B: ECPointFormatList(tuple(map(ECPointFormat, formats))),
        0x000D: SignatureSchemeList(tuple(map(SignatureScheme, numbers(schemes)))),
        0x0010: ProtocolNameList(alpn),
        0x001B: CertificateCompressionAlgorithms((CertificateCompressionAlgorithm.brotli,)),
        0x0029: OfferedPsks((PskIdentity(b"ticket", 0),), (bytes(32),)),
        0x002B: SupportedVersions(tuple(map(ProtocolVersion, versions))),
        0x002D: PskKeyExchangeModes((PskKeyExchangeMode.psk_dhe_ke,)),
        0x0033: KeyShareClientHello(()),
        0xFF01: RenegotiationInfo(b""),
    }
    block = [contents.get(code) or UnknownExtension(ExtensionType(code), b"") for code in numbers(extensions)]
    hello = ClientHello(
        legacy_version=ProtocolVersion(legacy_version),
        random=bytes(32),
        legacy_session_id=b"",
        cipher_suites=tuple(map(CipherSuite, numbers(suites))),
        legacy_compression_methods=b"\0",
        extensions=Extensions(block),
    )
    return parse_client_hello(hello.encode())


# What others have published ---------------------------------------------------------------------------------------


class Published(NamedTuple):
    """Fingerprints, and JA4_ro, which has the lists."""

    client: str
    original: str
    ja4: str
    ja4_o: str | None = None
    """None where the order was not published; then the lists are sorted."""


PUBLISHED = [
    Published(
        "the specification's Chrome",
        f"t13d1516h2_{CHROME_SUITES}_{CHROME_EXTENSIONS}_{CHROME_SCHEMES}",
        "t13d1516h2_8daaf6152771_e5627efa2ab1",
        "t13d1516h2_acb858a92679_18f69afefd3d",
    ),
    Published(
        "Chrome before it shuffled its extensions",
        f"t13d1516h2_{CHROME_SUITES}_0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,4469,0015"
        f"_{CHROME_SCHEMES}",
        "t13d1516h2_8daaf6152771_e5627efa2ab1",
        "t13d1516h2_acb858a92679_2d79a7d73c2f",
    ),
    Published(
        "Chrome 143 on Android",
        f"t13d1516h2_{CHROME_SUITES}_002d,0033,0010,fe0d,0017,44cd,0000,000b,000a,002b,ff01,0023,0012,0005,000d,001b"
        f"_{CHROME_SCHEMES}",
        "t13d1516h2_8daaf6152771_d8a2da3f94cd",
        "t13d1516h2_acb858a92679_f96a17c57971",
    ),
    Published(
        "Chrome with ML-DSA, a new extension and GREASE among the schemes",
        f"t13d1517h2_{CHROME_SUITES}_fe0d,0010,0017,0033,44cd,ff01,000a,000d,0023,002b,000b,ca34,002d,0000,0005,001b,"
        f"0012_0904,0905,0906,{CHROME_SCHEMES}",
        "t13d1517h2_8daaf6152771_cb7bf5808d99",
        "t13d1517h2_acb858a92679_88bf22a3e888",
    ),
    Published(
        "Chrome with 3DES and SHA-1",
        f"t13d1615h2_{CHROME_SUITES},000a_0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,0015"
        f"_{CHROME_SCHEMES},0201",
        "t13d1615h2_46e7e9700bed_45f260be83e2",
        "t13d1615h2_45f31bb0a5cc_b0e5d31d5128",
    ),
    Published(
        "Chrome without ALPN",
        f"t13d151400_{CHROME_SUITES}_001b,0000,0033,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"
        f"_{CHROME_SCHEMES}",
        "t13d151400_8daaf6152771_de4a06bb82e3",
    ),
    Published(
        "Chrome over QUIC, resuming",
        f"q13d0312h3_1301,1302,1303_0000,000a,000d,0010,001b,002b,002d,0033,0039,4469,fe0d,0029_{CHROME_SCHEMES},0201",
        "q13d0312h3_55b375c5d22e_06cda9e17597",
    ),
    Published(
        "a client of TLS 1.2",
        "t12d1209h2_c02b,c02c,cca9,c02f,c030,cca8,c013,c014,009c,009d,002f,0035"
        f"_ff01,0000,0017,0023,000d,0005,0010,000b,000a_{CHROME_SCHEMES},0201",
        "t12d1209h2_d34a8e72043a_b39be8c56a14",
    ),
]


def published(vector: Published) -> tuple[ClientHello, Any]:
    summary, suites, extensions, *schemes = vector.original.split("_")
    protocols = {"h2": (b"h2", b"http/1.1"), "h3": (b"h3",), "00": ()}[summary[-2:]]
    return hello_of(suites, extensions, *schemes, alpn=protocols), summary[0]


each_published = pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector.client)


@each_published
def test_published_ja4(vector: Published) -> None:
    hello, transport = published(vector)
    assert ja4(hello, transport=transport) == vector.ja4
    if vector.ja4_o is not None:
        assert ja4(hello, transport=transport, original_order=True) == vector.ja4_o
    assert ja4_raw(hello, transport=transport, original_order=True) == vector.original


def test_published_without_signature_algorithms() -> None:
    """The extension can't be empty on the wire, but it can have nothing in it that counts."""
    hello = hello_of(extensions=CHROME_EXTENSIONS, schemes="1a1a")
    assert ja4(hello) == "t13d1516h2_8daaf6152771_6d807ffa2a79"
    assert ja4_raw(hello).endswith(",002d,0033,4469,ff01")


@pytest.mark.parametrize(
    ("hello", "text", "md5"),
    [
        (
            hello_of(
                "002f,0035,0005,000a,c009,c00a,c013,c014,0032,0038,0013,0004",
                "0000,000a,000b",
                groups=(23, 24, 25),
                legacy_version=0x0301,
            ),
            "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0",
            "ada70206e40642a3e4461f35503241d5",
        ),
        (
            hello_of("0004,0005,000a,0009,0064,0062,0003,0006,0013,0012,0063", legacy_version=0x0301),
            "769,4-5-10-9-100-98-3-6-19-18-99,,,",
            "de350869b8c85de67a350c8d186f11e6",
        ),
        (
            hello_of(
                "c02b,c02c,cca9,c02f,c030,cca8,c013,c014,009c,009d,002f,0035",
                "ff01,0000,0017,0023,000d,0005,0010,000b,000a",
                CHROME_SCHEMES,
                groups=(29, 23, 24),
            ),
            "771,49195-49196-52393-49199-49200-52392-49171-49172-156-157-47-53,65281-0-23-35-13-5-16-11-10,29-23-24,0",
            "6f5e62edfa5933b1332ddf8b9fb3ef9d",
        ),
        (
            hello_of(
                f"3a3a,{CHROME_SUITES}",
                "eaea,002d,0033,0010,fe0d,0017,44cd,0000,000b,000a,002b,ff01,0023,0012,0005,000d,001b,0a0a",
                CHROME_SCHEMES,
                groups=(0x4A4A, 4588, 29, 23, 24),
            ),
            "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,"
            "45-51-16-65037-23-17613-0-11-10-43-65281-35-18-5-13-27,4588-29-23-24,0",
            "98487aa16281980e7d1120d399efb6a4",
        ),
    ],
    ids=["the README's first", "the README's second", "TLS 1.2", "Chrome 143"],
)
def test_published_ja3(hello: ClientHello, text: str, md5: str) -> None:
    assert ja3(hello) == text
    assert ja3_hash(hello) == md5


# The rules of JA4, one by one -------------------------------------------------------------------------------------


def summary(hello: ClientHello) -> str:
    return ja4(hello).partition("_")[0]


@pytest.mark.parametrize("transport", ["t", "q", "d"])
def test_the_transport_is_what_the_caller_says(transport: Any) -> None:
    hello = hello_of(extensions="0039")
    assert ja4(hello, transport=transport)[0] == ja4_raw(hello, transport=transport)[0] == transport
    assert ja4(hello)[1:] == ja4(hello, transport=transport)[1:]


@pytest.mark.parametrize("transport", ["", "x", "tq", None, 1])
def test_an_unknown_transport(transport: Any) -> None:
    for fingerprint in (ja4, ja4_raw):
        with pytest.raises(LocalError, match="transport of a JA4"):
            fingerprint(hello_of(), transport=transport)


VERSIONS = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
    0x0305: "00",
    0x0200: "00",
    0x7F1C: "00",
}


@pytest.mark.parametrize(("version", "text"), VERSIONS.items())
def test_versions(version: int, text: str) -> None:
    assert summary(hello_of(legacy_version=version))[1:3] == text
    # legacy_version means nothing where there are supported_versions, of which the highest counts.
    for offered in [(version,), (0x0001, version), (version, 0x0001), (0xFAFA, version), (0x0A0A, 0x0001, version)]:
        for legacy_version in (0x0301, 0x0303, 0x0304):
            hello = hello_of(extensions="002b", versions=offered, legacy_version=legacy_version)
            assert summary(hello)[1:3] == text


def test_no_version_but_grease() -> None:
    assert summary(hello_of(extensions="002b", versions=(0x1A1A,)))[1:3] == "00"


def test_the_server_name() -> None:
    assert summary(hello_of(extensions="0000"))[3] == "d"
    assert summary(hello_of(extensions="0010"))[3] == "i"


@pytest.mark.parametrize(("count", "text"), [(1, "01"), (6, "06"), (12, "12"), (99, "99"), (100, "99"), (255, "99")])
def test_counts(count: int, text: str) -> None:
    listed = ",".join([f"{0x8000 + index:04x}" for index in range(count)])
    assert summary(hello_of(listed, listed))[4:8] == 2 * text


def test_the_server_name_and_alpn_are_counted_and_not_hashed() -> None:
    hello = hello_of(extensions="0000,0010,0017")
    assert summary(hello)[6:8] == "03"
    assert ja4_raw(hello).split("_")[2] == "0017"
    assert ja4_raw(hello, original_order=True).split("_")[2] == "0000,0010,0017"


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (b"dot", "dt"),
        (b"c-webrtc", "cc"),
        (b"Az", "Az"),
        (b"x", "xx"),
        (bytes.fromhex("ab"), "ab"),
        (bytes.fromhex("abcd"), "ad"),
        (bytes.fromhex("30ab"), "3b"),
        (bytes.fromhex("3031abcd"), "3d"),
        (bytes.fromhex("30abcd31"), "01"),
        ("é".encode(), "c9"),
        ("aé".encode(), "69"),
        (b"/", "2f"),
        (b":@", "30"),
        (b"[`", "50"),
        (b"{a", "71"),
        (b"\0", "00"),
    ],
)
def test_alpn(protocol: bytes, text: str) -> None:
    for offered in [(protocol,), (protocol, b"other"), (b"\x2a\x2a", protocol)]:
        assert summary(hello_of(extensions="0010", alpn=offered))[8:] == text


def test_without_alpn() -> None:
    assert summary(hello_of())[8:] == "00"
    assert summary(hello_of(extensions="0010", alpn=(b"\x0a\x0a",)))[8:] == "00"
    # These can't come over the wire, only from who makes a hello.
    for names in [(), (b"",), (b"", b"h2")]:
        made = hello_of().replace(extensions=Extensions([ProtocolNameList(names)]))
        assert summary(made)[8:] == "00"


def test_nothing_to_hash_is_all_zeros() -> None:
    hello = hello_of("1a1a", "2a2a")
    assert ja4(hello) == "t12i000000_000000000000_000000000000"
    assert ja4_raw(hello) == "t12i000000__"
    assert ja4(hello_of(extensions="0000,0010")).endswith("_000000000000")


def test_no_extension_block() -> None:
    hello = hello_of("1301").replace(extensions=Extensions(is_present=False))
    hello = parse_client_hello(hello.encode())
    assert ja4(hello).startswith("t12i010000_")
    assert ja3(hello) == "771,4865,,,"


# GREASE -----------------------------------------------------------------------------------------------------------

FINGERPRINTS = [ja3, ja3_hash, ja4, ja4_raw, lambda hello: ja4_raw(hello, original_order=True)]


def mixed(listed: list[int], value: int, place: int) -> str:
    place %= len(listed) + 1
    return ",".join([f"{number:04x}" for number in [*listed[:place], value, *listed[place:]]])


@given(
    st.sampled_from(GREASE), st.sampled_from(GREASE), st.sampled_from(GREASE), st.sampled_from(GREASE), st.integers(0)
)
def test_grease_changes_nothing(suite: int, extension: int, group: int, scheme: int, place: int) -> None:
    plain = hello_of(extensions=CHROME_EXTENSIONS, schemes=CHROME_SCHEMES)
    greased = hello_of(
        mixed(numbers(CHROME_SUITES), suite, place),
        mixed(numbers(CHROME_EXTENSIONS), extension, place),
        mixed(numbers(CHROME_SCHEMES), scheme, place),
        groups=tuple(numbers(mixed([29, 23, 24], group, place))),
        versions=tuple(numbers(mixed([0x0304, 0x0303], group, place))),
        alpn=(bytes([suite & 0xFF] * 2), b"h2"),
    )
    for fingerprint in FINGERPRINTS:
        assert fingerprint(plain) == fingerprint(greased)


@pytest.mark.parametrize("value", NEARLY_GREASE)
def test_what_only_looks_like_grease_counts(value: int) -> None:
    listed = f"{value:04x}"
    with_suite = hello_of(f"1301,{listed}")
    assert summary(with_suite)[4:6] == "02"
    assert ja3(with_suite) == f"771,4865-{value},,,"
    assert listed in ja4_raw(hello_of(extensions="000d", schemes=listed)).rpartition("_")[2]
    if value != 0x000A:
        assert summary(hello_of(extensions=listed))[6:8] == "01"


# Laws -------------------------------------------------------------------------------------------------------------

JA4 = re.compile(r"[tqd](1[0-3]|s[23]|d[123]|00)[di]\d{4}[0-9A-Za-z]{2}(_[0-9a-f]{12}){2}")
JA4_R = re.compile(r"[tqd]..[di]\d{4}..(_([0-9a-f]{4}(,[0-9a-f]{4})*)?){2}(_[0-9a-f]{4}(,[0-9a-f]{4})*)?")
JA3 = re.compile(r"\d+(,(\d+(-\d+)*)?){4}")


@given(structs(ClientHello))
def test_every_hello_has_fingerprints(hello: ClientHello) -> None:
    for original_order in (False, True):
        assert JA4.fullmatch(ja4(hello, original_order=original_order))
        assert JA4_R.fullmatch(ja4_raw(hello, original_order=original_order))
    assert JA3.fullmatch(ja3(hello))
    assert re.fullmatch("[0-9a-f]{32}", ja3_hash(hello))


@given(st.randoms(), structs(ClientHello))
def test_order_matters_only_to_ja3_and_the_original_order(random: Any, hello: ClientHello) -> None:
    suites, block = list(hello.cipher_suites), list(hello.extensions)
    random.shuffle(suites)
    random.shuffle(block)
    is_present = hello.extensions.is_present
    shuffled = hello.replace(cipher_suites=tuple(suites), extensions=Extensions(block, is_present=is_present))
    assert ja4(shuffled) == ja4(hello)
    assert ja4_raw(shuffled) == ja4_raw(hello)


# Connections ------------------------------------------------------------------------------------------------------


def test_the_hello_of_an_event() -> None:
    client, server = connections(alpn=("h2",))
    _, events = handshake(client, server)
    (told,) = [event for event in events if isinstance(event, ClientHelloReceived)]
    assert re.fullmatch("t13d[0-9]{4}h2_[0-9a-f]{12}_[0-9a-f]{12}", ja4(told.hello))
    assert ja3(told.hello).startswith("771,")


def test_a_configuration_has_one_fingerprint() -> None:
    """Whatever is random in a hello, and whoever it is for."""
    seen = set()
    for seed in range(3):
        client, _ = connections(seed, server_name=f"host{seed}.example")
        hello = parse_client_hello(client.data_to_send())
        seen.add((ja3(hello), ja4(hello), ja4(hello, original_order=True)))
    assert len(seen) == 1
