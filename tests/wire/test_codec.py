"""The declarations themselves: each kind of field, its bounds, and what a declared class is."""

from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls.wire.codec import (
    Nested,
    Only,
    Opaque,
    Rest,
    Struct,
    UInt,
    Vector,
    WireError,
    fixed,
    only,
    opaque,
    rest,
    uint8,
    uint16,
    uint24,
    uint32,
    uint64,
    vector,
)
from sanstls.wire.registries import CipherSuite, ContentType
from strategies import structs
from wire_laws import holds_to_its_bytes, is_a_frozen_value, reads_or_refuses


class Integers(Struct):
    one: Annotated[int, uint8]
    two: Annotated[int, uint16]
    three: Annotated[int, uint24]
    four: Annotated[int, uint32]
    eight: Annotated[int, uint64]


class Onlys(Struct):
    number: Annotated[int, only(7)]
    registered: Annotated[CipherSuite, only(CipherSuite.TLS_AES_128_GCM_SHA256)]
    defaulted: Annotated[int, only(1)] = 1


class Strings(Struct):
    exact: Annotated[bytes, fixed(3)]
    short: Annotated[bytes, opaque(1, 4)]
    medium: Annotated[bytes, opaque(0, 2**8)]
    long: Annotated[bytes, opaque(0, 2**24 - 1)]


class Pair(Struct):
    type: ContentType
    suite: CipherSuite


class Vectors(Struct):
    types: Annotated[tuple[ContentType, ...], vector(1, 3)]
    suites: Annotated[tuple[CipherSuite, ...], vector(2, 6)]
    bytes_: Annotated[tuple[int, ...], vector(0, 5, uint8)]
    words: Annotated[tuple[int, ...], vector(0, 6, uint16)]
    triples: Annotated[tuple[int, ...], vector(0, 2**16 - 1, uint24)]
    strings: Annotated[tuple[bytes, ...], vector(0, 300, opaque(1, 10))]
    pairs: Annotated[tuple[Pair, ...], vector(0, 9)]
    nested: Annotated[tuple[tuple[int, ...], ...], vector(0, 2**8 - 1, vector(0, 3, uint8))]


class Tail(Struct):
    head: Pair
    tail: Annotated[bytes, rest]
    shared: ClassVar[int] = 7


class Defaulted(Struct):
    first: Annotated[int, uint8]
    second: Annotated[int, uint8] = 5


class Derived(Defaulted):
    third: Annotated[int, uint8] = 6


ALL = (Integers, Onlys, Strings, Pair, Vectors, Tail, Defaulted, Derived)
each_class = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
VECTORS = Vectors((ContentType.alert,), (CipherSuite(0x1A1A),), (), (), (), (), (), ())


@each_class
@given(data=st.data())
def test_the_laws(cls: type[Any], data: st.DataObject) -> None:
    value = data.draw(structs(cls))
    holds_to_its_bytes(value)
    is_a_frozen_value(value)


@each_class
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(cls: type[Any], data: bytes) -> None:
    reads_or_refuses(cls, data)


def test_the_declaration_can_be_read() -> None:
    kinds = Vectors.fields()
    assert list(kinds)[:2] == ["types", "suites"]
    suites, strings, pairs = kinds["suites"], kinds["strings"], kinds["pairs"]
    assert isinstance(suites, Vector)
    assert isinstance(suites.element, UInt)
    assert (suites.minimum, suites.maximum, suites.element.registry, suites.element.width) == (2, 6, CipherSuite, 2)
    assert isinstance(strings, Vector)
    assert isinstance(strings.element, Opaque)
    assert isinstance(pairs, Vector)
    assert isinstance(pairs.element, Nested)
    assert list(map(type, Tail.fields().values())) == [Nested, Rest]
    assert list(Derived.fields()) == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Integers(1, 2, 3, 4, 5), "01 0002 000003 00000004 0000000000000005"),
        (Onlys(7, CipherSuite.TLS_AES_128_GCM_SHA256), "07 1301 01"),
        (Strings(b"abc", b"d", b"e", b"fg"), "616263 01 64 0001 65 000002 6667"),
        (Pair(ContentType.alert, CipherSuite.TLS_AES_128_GCM_SHA256), "15 1301"),
        (
            Vectors(
                (ContentType.alert, ContentType(9)),
                (CipherSuite(0x1A1A),),
                (1, 2),
                (3,),
                (4,),
                (b"ab", b"c"),
                (Pair(ContentType.alert, CipherSuite(0x1301)),),
                ((1,), ()),
            ),
            "02 1509" "02 1a1a" "02 0102" "02 0003" "0003 000004" "0005 02 6162 01 63" "03 15 1301" "03 01 01 00",
        ),
        (Tail(Pair(ContentType.alert, CipherSuite(0x1301)), b"xyz"), "15 1301 78797a"),
        (Defaulted(1), "01 05"),
        (Derived(1, third=9), "01 05 09"),
    ],
)  # fmt: skip
def test_bytes_by_hand(value: Any, data: str) -> None:
    assert value.serialise() == bytes.fromhex(data)
    assert type(value).parse(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    "value",
    [
        Integers(256, 0, 0, 0, 0),
        Integers(0, 65536, 0, 0, 0),
        Integers(0, 0, 1 << 24, 0, 0),
        Integers(0, 0, 0, 1 << 32, 0),
        Integers(0, 0, 0, 0, 1 << 64),
        Integers(-1, 0, 0, 0, 0),
        Strings(b"ab", b"d", b"", b""),
        Strings(b"abcd", b"d", b"", b""),
        Strings(b"abc", b"", b"", b""),
        Strings(b"abc", b"12345", b"", b""),
        Strings(b"abc", b"d", bytes(257), b""),
        Strings(b"abc", b"d", b"", bytes(2**24)),
        VECTORS.replace(types=()),
        VECTORS.replace(types=(ContentType.alert,) * 4),
        VECTORS.replace(suites=()),
        VECTORS.replace(suites=(CipherSuite(1),) * 4),
        VECTORS.replace(bytes_=(256,)),
        VECTORS.replace(bytes_=(-1,)),
        VECTORS.replace(words=(65536,)),
        VECTORS.replace(words=(-1,)),
        VECTORS.replace(triples=(1 << 24,)),
        VECTORS.replace(strings=(b"",)),
        VECTORS.replace(strings=(bytes(11),)),
        VECTORS.replace(strings=(bytes(10),) * 28),
        VECTORS.replace(pairs=(Pair(ContentType.alert, CipherSuite(1)),) * 4),
        VECTORS.replace(nested=((1, 2, 3, 4),)),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_values_out_of_bounds(value: Struct) -> None:
    with pytest.raises(ValueError, match=f"{type(value).__name__}|must be in range"):
        value.serialise()


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (Strings, "616263 00 0000 000000"),  # below the minimum
        (Strings, "616263 05 6465666768 0000 000000"),  # above the maximum
        (Strings, "616263 01 64 0101" + "00" * 257 + "000000"),
        (Vectors, "00 02 1a1a 00 00 0000 0000 00 00"),
        (Vectors, "04 15151515 02 1a1a 00 00 0000 0000 00 00"),
        (Vectors, "01 15 03 1a1a1a 00 00 0000 0000 00 00"),  # one element and a half
        (Vectors, "01 15 02 1a1a 00 00 0002 0000 0000 00 00"),
        (Vectors, "01 15 02 1a1a 00 00 0000 0001 00 00 00"),  # an element below its minimum
        (Vectors, "01 15 02 1a1a 00 00 0000 0003 03 6161 00 00"),  # an element beyond its vector
    ],
)
def test_bytes_out_of_bounds(cls: type[Struct], data: str) -> None:
    with pytest.raises(WireError, match=cls.__name__):
        cls.parse(bytes.fromhex(data))


def test_a_wire_error_is_a_value_error() -> None:
    assert issubclass(WireError, ValueError)


def test_too_few_and_too_many_arguments() -> None:
    with pytest.raises(TypeError):
        Pair(ContentType.alert)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Pair(ContentType.alert, CipherSuite(1), 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Pair(ContentType.alert, CipherSuite(1)).replace(other=1)


def test_classes_are_told_apart() -> None:
    class Twin(Struct):
        first: Annotated[int, uint8]
        second: Annotated[int, uint8]

    assert Twin(1, 5) != Defaulted(1)
    assert Twin(1, 5) == Twin(1, 5)
    assert len({Twin(1, 5), Twin(1, 5), Defaulted(1)}) == 2


def test_a_parser_goes_on_where_another_ended() -> None:
    data = b"\xff\x15\x13\x01\xee"
    value, end = Pair.parser()(data, 1, len(data))
    assert value == Pair(ContentType.alert, CipherSuite(0x1301))
    assert end == 4
    with pytest.raises(WireError):
        Pair.parser()(data, 1, 3)


def test_only_one_value_is_allowed() -> None:
    value = Onlys.parse(bytes.fromhex("07130101"))
    assert value.registered is CipherSuite.TLS_AES_128_GCM_SHA256
    kinds = Onlys.fields()
    assert isinstance(kinds["registered"], Only)
    assert (kinds["registered"].width, kinds["registered"].registry) == (2, CipherSuite)
    with pytest.raises(WireError, match=r"Onlys\.number: 8, allowed is 7"):
        Onlys.parse(bytes.fromhex("08130101"))
    with pytest.raises(WireError, match=r"Onlys\.registered: 0x1a1a, allowed is TLS_AES_128_GCM_SHA256"):
        Onlys.parse(bytes.fromhex("071a1a01"))
    with pytest.raises(ValueError, match=r"Onlys\.defaulted: 2, allowed is 1"):
        value.replace(defaulted=2).serialise()
