"""Extensions: the laws for each declaration, and the block that they stand in."""

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls.wire.codec import WireError
from sanstls.wire.extensions import (
    _DECLARED,
    CertificateAuthorities,
    CertificateStatus,
    Cookie,
    DuplicateExtension,
    EarlyDataIndication,
    EarlyDataTicket,
    ECPointFormatList,
    ExtendedMainSecret,
    Extension,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    MisplacedExtension,
    NamedGroupList,
    OfferedPsks,
    OIDFilter,
    OIDFilters,
    Padding,
    Place,
    ProtocolNameList,
    PskIdentity,
    PskKeyExchangeModes,
    RecordSizeLimit,
    RenegotiationInfo,
    SelectedPsk,
    SelectedVersion,
    ServerName,
    ServerNameAcknowledgement,
    ServerNameList,
    SessionTicket,
    SignatureSchemeList,
    StatusRequestFlag,
    SupportedVersions,
    TicketRequest,
    UnknownExtension,
    parse_extensions,
)
from sanstls.wire.registries import (
    CertificateStatusType,
    ECPointFormat,
    ExtensionType,
    NamedGroup,
    NameType,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)
from strategies import EXTENSION_PARTS, EXTENSIONS, extension_blocks, mutations, structs, unknown_extensions
from wire_laws import each_class, holds_to_its_bytes, is_a_frozen_value, reads_or_refuses

each_struct = pytest.mark.parametrize("cls", [*EXTENSIONS, *EXTENSION_PARTS], ids=lambda cls: cls.__name__)
each_place = pytest.mark.parametrize("place", Place, ids=lambda place: place.name)


def parse(block: bytes, place: Place) -> Extensions:
    return parse_extensions(block, 0, len(block), place)


def test_there_are_extensions() -> None:
    assert {KeyShareClientHello, OIDFilters, SelectedPsk, Padding} <= set(EXTENSIONS)
    assert {ServerName, KeyShareEntry, PskIdentity, OIDFilter} == set(EXTENSION_PARTS)


@each_struct
@given(data=st.data())
@each_class
def test_bytes_and_values_are_inverse(cls: type[Any], data: st.DataObject) -> None:
    holds_to_its_bytes(data.draw(structs(cls)))


@each_struct
@given(data=st.data())
@each_class
def test_values_are_frozen(cls: type[Any], data: st.DataObject) -> None:
    is_a_frozen_value(data.draw(structs(cls)))


@each_struct
@given(data=st.data())
@each_class
def test_any_bytes_are_read_or_refused(cls: type[Any], data: st.DataObject) -> None:
    valid = data.draw(structs(cls)).serialise()
    reads_or_refuses(cls, data.draw(st.one_of(st.binary(max_size=80), mutations(valid))))


# By hand ----------------------------------------------------------------------------------------------------------

BY_HAND: list[tuple[Extension, str]] = [
    (ServerNameList((ServerName(NameType.host_name, b"a.b"),)), "0000 0008 0006 00 0003 612e62"),
    (ServerNameAcknowledgement(), "0000 0000"),
    (NamedGroupList((NamedGroup.x25519, NamedGroup.X25519MLKEM768)), "000a 0006 0004 001d 11ec"),
    (SignatureSchemeList((SignatureScheme.ed25519,)), "000d 0004 0002 0807"),
    (ProtocolNameList((b"h2", b"x")), "0010 0007 0005 02 6832 01 78"),
    (CertificateStatus(CertificateStatusType.ocsp, b"r"), "0005 0005 01 000001 72"),
    (ExtendedMainSecret(), "0017 0000"),
    (SessionTicket(b""), "0023 0000"),
    (SessionTicket(b"tick"), "0023 0004 7469636b"),
    (RenegotiationInfo(b""), "ff01 0001 00"),
    (ECPointFormatList((ECPointFormat.uncompressed,)), "000b 0002 01 00"),
    (StatusRequestFlag(), "0005 0000"),
    (RecordSizeLimit(0x4001), "001c 0002 4001"),
    (TicketRequest(1, 2), "003a 0002 01 02"),
    (OfferedPsks((PskIdentity(b"id", 7),), (bytes(32),)), "0029 002d 0008 0002 6964 00000007 0021 20" + "00" * 32),
    (SelectedPsk(1), "0029 0002 0001"),
    (EarlyDataIndication(), "002a 0000"),
    (EarlyDataTicket(0x400), "002a 0004 00000400"),
    (SupportedVersions((ProtocolVersion.TLS13, ProtocolVersion.TLS12)), "002b 0005 04 0304 0303"),
    (SelectedVersion(ProtocolVersion.TLS13), "002b 0002 0304"),
    (Cookie(b"c"), "002c 0003 0001 63"),
    (PskKeyExchangeModes((PskKeyExchangeMode.psk_dhe_ke,)), "002d 0002 01 01"),
    (CertificateAuthorities((b"\x30\x00",)), "002f 0006 0004 0002 3000"),
    (OIDFilters((OIDFilter(b"\x55", b""),)), "0030 0006 0004 01 55 0000"),
    (KeyShareClientHello((KeyShareEntry(NamedGroup.x25519, b"k"),)), "0033 0007 0005 001d 0001 6b"),
    (KeyShareClientHello(()), "0033 0002 0000"),
    (KeyShareServerHello(KeyShareEntry(NamedGroup.secp256r1, b"k")), "0033 0005 0017 0001 6b"),
    (KeyShareHelloRetryRequest(NamedGroup.secp384r1), "0033 0002 0018"),
    (UnknownExtension(ExtensionType(0xABCD), b"raw"), "abcd 0003 726177"),
]


@pytest.mark.parametrize(("extension", "encoded"), BY_HAND, ids=lambda value: type(value).__name__)
def test_bytes_by_hand(extension: Extension, encoded: str) -> None:
    raw = bytes.fromhex(encoded)
    assert extension.encode() == raw
    assert extension.encode() == raw, "kept, and the same the second time"
    assert extension.type == int.from_bytes(raw[:2], "big")
    places = [place for place in Place if _DECLARED[place].get(extension.type) is type(extension)]
    for place in places or list(Place):
        assert list(parse(raw, place)) == [extension]


BOUNDS: list[tuple[Extension, str]] = [
    (ServerNameList(()), "server_name_list"),
    (ServerNameList((ServerName(NameType.host_name, b""),)), "name"),
    (NamedGroupList(()), "named_group_list"),
    (SignatureSchemeList((SignatureScheme.ed25519,) * 0x8000), "supported_signature_algorithms"),
    (ProtocolNameList(()), "protocol_name_list"),
    (ProtocolNameList((b"",)), "protocol_name_list"),
    (ProtocolNameList((bytes(256),)), "protocol_name_list"),
    (SupportedVersions((ProtocolVersion.TLS13,) * 128), "versions"),
    (Cookie(b""), "cookie"),
    (Cookie(bytes(65536)), "cookie"),
    (OfferedPsks((), (bytes(32),)), "identities"),
    (OfferedPsks((PskIdentity(b"i", 0),), (bytes(31),)), "binders"),
    (PskKeyExchangeModes(()), "ke_modes"),
    (RecordSizeLimit(1 << 16), "RecordSizeLimit"),
    (RecordSizeLimit(-1), "RecordSizeLimit"),
    (TicketRequest(256, 0), "TicketRequest"),
    (EarlyDataTicket(1 << 32), "EarlyDataTicket"),
    (Padding(bytes(65536)), "Padding"),
]


@pytest.mark.parametrize(("extension", "text"), BOUNDS, ids=lambda value: type(value).__name__)
def test_fields_out_of_bounds(extension: Extension, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        extension.encode()


@pytest.mark.parametrize(
    ("place", "block"),
    [
        ("ClientHello", "000a 0002 0000"),  # an empty list
        ("ClientHello", "000a 0005 0003 001d 11"),  # half a group
        ("ClientHello", "000a 0006 0002 001d 0017"),  # the list ends before the extension
        ("ClientHello", "000a 0004 0004 001d"),  # the list ends after the extension
        ("ClientHello", "0010 0003 0001 00"),  # an empty protocol name
        ("ClientHello", "002b 0002 01 03"),  # half a version
        ("ClientHello", "0029 002a 0007 0001 69 00000007 001f 1e" + "00" * 30),  # a short binder
        ("ClientHello", "0017 0001 00"),  # content where there is none
        ("ServerHello", "002b 0003 030403"),
        ("EncryptedExtensions", "0000 0001 00"),
        ("NewSessionTicket", "002a 0000"),
        ("ClientHello", "00"),
        ("ClientHello", "abcd00"),
        ("ClientHello", "abcd 0001"),
    ],
)
def test_malformed_extensions(place: str, block: str) -> None:
    with pytest.raises(WireError):
        parse(bytes.fromhex(block), Place[place])


# Places -----------------------------------------------------------------------------------------------------------

# The table of RFC 9846 4.3 (and the RFCs of the extensions): where each type may stand in TLS 1.3.
TABLE = {
    "server_name": "CH EE",
    "status_request": "CH CR CT",
    "signed_certificate_timestamp": "CH CR CT",
    "supported_groups": "CH EE",
    "signature_algorithms": "CH CR",
    "signature_algorithms_cert": "CH CR",
    "application_layer_protocol_negotiation": "CH EE",
    "client_certificate_type": "CH EE",
    "server_certificate_type": "CH EE",
    "padding": "CH",
    "compress_certificate": "CH CR",
    "record_size_limit": "CH EE",
    "delegated_credential": "CH CR CT",
    "ticket_request": "CH EE",
    "pre_shared_key": "CH SH",
    "psk_key_exchange_modes": "CH",
    "key_share": "CH SH HRR",
    "supported_versions": "CH SH HRR",
    "cookie": "CH HRR",
    "early_data": "CH EE NST",
    "certificate_authorities": "CH CR",
    "oid_filters": "CR",
    "post_handshake_auth": "CH",
}
SHORT = {
    "CH": Place.ClientHello,
    "SH": Place.ServerHello,
    "HRR": Place.HelloRetryRequest,
    "EE": Place.EncryptedExtensions,
    "CT": Place.Certificate,
    "CR": Place.CertificateRequest,
    "NST": Place.NewSessionTicket,
}


@pytest.mark.parametrize("name", TABLE)
def test_places_are_those_of_the_table(name: str) -> None:
    code = ExtensionType[name]
    allowed = {SHORT[short] for short in TABLE[name].split()}
    assert {place for place in SHORT.values() if code in _DECLARED[place]} == allowed
    for place in set(SHORT.values()) - allowed:
        with pytest.raises(MisplacedExtension, match=name):
            parse(code.to_bytes(2, "big") + b"\x00\x00", place)


# What a ServerHello of TLS 1.2 may answer (RFC 5077, 5746, 6066, 6962, 7250, 7301, 7627, 8422 5.2, 8449).
# supported_groups is not among it, but servers send it.
SERVER_HELLO_12 = {
    "server_name",
    "status_request",
    "signed_certificate_timestamp",
    "supported_groups",
    "ec_point_formats",
    "application_layer_protocol_negotiation",
    "client_certificate_type",
    "server_certificate_type",
    "extended_master_secret",
    "session_ticket",
    "renegotiation_info",
    "record_size_limit",
}


def test_places_of_tls12() -> None:
    assert {ExtensionType(code).name for code in _DECLARED[Place.ServerHello12]} == SERVER_HELLO_12
    assert {ExtensionType[name] for name in SERVER_HELLO_12} <= set(_DECLARED[Place.ClientHello])


# Blocks -----------------------------------------------------------------------------------------------------------


@each_place
@given(data=st.data())
@each_class
def test_blocks(place: Place, data: st.DataObject) -> None:
    block = data.draw(extension_blocks(place))
    raw = block.serialise()
    parsed = parse(raw, place)
    assert parsed == block
    assert hash(parsed) == hash(block)
    assert list(parsed) == list(block)
    assert parsed.serialise() == raw
    assert len(parsed) == len(parsed.types) == len(set(parsed.types))
    assert pickle.loads(pickle.dumps(block)) == block  # noqa: S301 - our own bytes
    assert copy.deepcopy(block) == block
    for extension in block:
        assert extension.type in parsed
        expected = None if isinstance(extension, UnknownExtension) else extension
        assert parsed.get(type(extension)) == expected
        with pytest.raises(DuplicateExtension):
            parse(raw + extension.encode(), place)
    boundaries = {0}
    for extension in block:
        boundaries.add(max(boundaries) + len(extension.encode()))
    for length in range(len(raw)):
        if length not in boundaries:
            with pytest.raises(WireError):
                parse(raw[:length], place)


@each_place
@given(data=st.data())
@each_class
def test_any_bytes_are_a_block_or_refused(place: Place, data: st.DataObject) -> None:
    valid = data.draw(extension_blocks(place)).serialise()
    raw = data.draw(st.one_of(st.binary(max_size=60), mutations(valid)))
    try:
        block = parse(raw, place)
    except WireError:
        return
    assert block.serialise() == raw


@each_place
@given(extension=unknown_extensions())
@each_class
def test_unknown_extensions_are_kept_everywhere(place: Place, extension: UnknownExtension) -> None:
    (parsed,) = parse(extension.encode(), place)
    assert parsed == extension
    assert type(parsed) is UnknownExtension


def test_a_block_cannot_be_made_with_an_extension_twice() -> None:
    with pytest.raises(ValueError, match="padding twice"):
        Extensions([Padding(b""), Padding(b"\x00")])


def test_blocks_tell_apart() -> None:
    one, other = Cookie(b"a"), Padding(b"")
    assert Extensions([one, other]) != Extensions([other, one])
    assert Extensions() != Extensions(is_present=False)
    assert Extensions() != ()
    assert Extensions([one]).get(KeyShareClientHello) is None
    assert Extensions([one]).get(KeyShareClientHello, "nothing") == "nothing"
    assert Extensions([one]).get(Cookie) is one
    # Classes without a type of their own: which one would be meant?
    unknown = Extensions([UnknownExtension(ExtensionType(0xABCD), b"")])
    assert unknown.get(UnknownExtension) is None
    assert unknown.get(UnknownExtension, "nothing") == "nothing"
    assert unknown.get(Extension) is None
    # One type, another declaration.
    assert Extensions([SelectedVersion(ProtocolVersion.TLS13)]).get(SupportedVersions) is None
    assert repr(Extensions(is_present=False)) == "Extensions(is_present=False)"
    assert repr(Extensions([one])) == "Extensions([Cookie(cookie=61)])"


def test_a_copy_does_not_keep_the_bytes_of_what_it_came_from() -> None:
    first = Cookie(b"a")
    first.encode()
    assert first.replace(cookie=b"bc").encode() == bytes.fromhex("002c 0004 0002 6263")
