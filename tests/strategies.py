"""Strategies that draw random values of everything on the wire, made from the declarations themselves.

``structs(cls)`` gives values of any declared class, ``extension_blocks(place)`` the extension blocks of one message,
``registry_values(registry)`` values with and without a name. What they draw is valid: it serialises.
"""

from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from sanstls.wire import extensions as extensions_module
from sanstls.wire import messages as messages_module
from sanstls.wire import messages12 as messages12_module
from sanstls.wire import registries as registries_module
from sanstls.wire.codec import Kind, Nested, Only, Opaque, Rest, Struct, UInt, Vector
from sanstls.wire.extensions import (
    _DECLARED,
    _KNOWN_TYPES,
    HELLO_RETRY_REQUEST_RANDOM,
    Extension,
    Extensions,
    ExtensionsKind,
    Place,
    SelectedVersion,
    UnknownExtension,
)
from sanstls.wire.messages import HandshakeMessage, ServerHello
from sanstls.wire.registries import ExtensionType, Registry, wire_width

_BASES = (Struct, HandshakeMessage, Extension)

# More than this would only cost time, but now and then a length has to need the second byte of its prefix.
_MANY_BYTES = 40
_MANY_ELEMENTS = 5


def _declared_in(module: ModuleType, base: type[Any]) -> tuple[type[Any], ...]:
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    return tuple(cls for cls in own if issubclass(cls, base) and cls not in (*_BASES, Registry))


MESSAGES: tuple[type[Struct], ...] = _declared_in(messages_module, Struct)
"""All that ``wire.messages`` declares: messages, alerts, records, and the parts of them."""

MESSAGES12: tuple[type[Struct], ...] = _declared_in(messages12_module, Struct)
"""All that ``wire.messages12`` declares."""

EXTENSIONS: tuple[type[Extension], ...] = tuple(
    cls for cls in _declared_in(extensions_module, Extension) if cls is not UnknownExtension
)
"""All extensions with a declaration."""

EXTENSION_PARTS: tuple[type[Struct], ...] = tuple(
    cls for cls in _declared_in(extensions_module, Struct) if not issubclass(cls, Extension)
)
"""The structures inside of extensions."""

REGISTRIES: tuple[type[Registry], ...] = _declared_in(registries_module, Registry)

STRUCTS: tuple[type[Struct], ...] = (*MESSAGES, *MESSAGES12, *EXTENSIONS, *EXTENSION_PARTS)


def integers(width: int) -> st.SearchStrategy[int]:
    """Unsigned integers of ``width`` bytes."""
    return st.integers(0, (1 << 8 * width) - 1)


def registry_values(registry: type[Registry]) -> st.SearchStrategy[Registry]:
    """Values that the registry names, and values that it does not."""
    return st.one_of(st.sampled_from(list(registry)), integers(wire_width(registry)).map(registry))


def _bytes(minimum: int, maximum: int) -> st.SearchStrategy[bytes]:
    usual = st.binary(min_size=minimum, max_size=min(maximum, max(minimum, _MANY_BYTES)))
    # Shorter than, as long as and longer than what a single byte of length can tell.
    corners = [size for size in (minimum, 255, 256, 300) if minimum <= size <= maximum]
    return st.one_of(usual, usual, st.builds(bytes, st.sampled_from(corners)))


def _least_size(kind: Kind) -> int:
    """The least number of bytes that a value takes on the wire."""
    match kind:
        case UInt(width=width):
            return width
        case Opaque(minimum=minimum, maximum=maximum, is_fixed=is_fixed):
            return minimum + (0 if is_fixed else (maximum.bit_length() + 7) // 8)
        case Vector(minimum=minimum, maximum=maximum):
            return minimum + (maximum.bit_length() + 7) // 8
        case Nested(struct=struct):
            return sum(map(_least_size, struct.fields().values()))
        case ExtensionsKind(minimum=minimum, is_optional=is_optional):
            return 0 if is_optional else 2 + minimum
        case Rest():
            return 0
    raise AssertionError(kind)


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """Values of one field."""
    match kind:
        case Only(value=value):
            return st.just(value)
        case UInt(width=width, registry=None):
            return integers(width)
        case UInt(registry=registry) if registry is not None:
            return registry_values(registry)
        case Opaque(minimum=minimum, maximum=maximum, is_fixed=is_fixed):
            return st.binary(min_size=minimum, max_size=minimum) if is_fixed else _bytes(minimum, maximum)
        case Rest():
            return _bytes(0, 2**14)
        case Nested(struct=struct):
            return structs(struct)
        case Vector(minimum=minimum, maximum=maximum, element=element):
            assert element is not None
            size = _least_size(element)
            least = -(-minimum // size)
            most = min(maximum // size, max(least, _MANY_ELEMENTS))
            return st.lists(values(element), min_size=least, max_size=most).map(tuple)
        case ExtensionsKind(place=place, minimum=minimum, is_optional=is_optional):
            assert isinstance(place, Place), "the place depends on other fields: that class has a strategy of its own"
            blocks = extension_blocks(place, min_size=1 if minimum else 0)
            return st.one_of(blocks, blocks, st.just(Extensions(is_present=False))) if is_optional else blocks
    raise AssertionError(kind)


def structs(cls: type[Struct]) -> st.SearchStrategy[Any]:
    """Values of a declared class."""
    if cls is ServerHello:
        return server_hellos()
    return st.builds(cls, **{field: values(kind) for field, kind in cls.fields().items()})


def unknown_extensions() -> st.SearchStrategy[UnknownExtension]:
    """Extensions without a declaration; their types may have a name all the same."""
    codes = integers(2).filter(lambda code: code not in _KNOWN_TYPES).map(ExtensionType)
    named = [code for code in ExtensionType if int(code) not in _KNOWN_TYPES]
    return st.builds(UnknownExtension, st.one_of(st.sampled_from(named), codes), _bytes(0, 2**14))


def extension_blocks(
    place: Place, *, min_size: int = 0, always: tuple[type[Extension], ...] = ()
) -> st.SearchStrategy[Extensions]:
    """Blocks as they may stand in ``place``, in any order, with unknown extensions among them."""
    declared = [cls for cls in _DECLARED[place].values() if cls not in always]
    known = st.one_of([structs(cls) for cls in declared]) if declared else st.nothing()
    one = st.one_of(known, known, unknown_extensions())
    several = st.lists(one, min_size=min_size, max_size=_MANY_ELEMENTS, unique_by=lambda extension: extension.type)
    if not always:
        return several.map(Extensions)
    needed = st.tuples(*map(structs, always)).map(list)
    return st.builds(list.__add__, several, needed).flatmap(st.permutations).map(Extensions)


@st.composite
def server_hellos(draw: st.DrawFn) -> ServerHello:
    """ServerHellos of TLS 1.3 and 1.2, and HelloRetryRequests: what may stand in them tells them apart."""
    fields = {
        field: draw(values(kind))
        for field, kind in ServerHello.fields().items()
        if not isinstance(kind, ExtensionsKind)
    }
    place = draw(st.sampled_from([Place.ServerHello, Place.ServerHello12, Place.HelloRetryRequest]))
    if place is Place.HelloRetryRequest:
        fields["random"] = HELLO_RETRY_REQUEST_RANDOM
    always = (SelectedVersion,) if place is Place.ServerHello else ()
    blocks = extension_blocks(place, always=always)
    if place is Place.ServerHello12:
        blocks = st.one_of(blocks, st.just(Extensions(is_present=False)))
    return ServerHello(**fields, extensions=draw(blocks))


def mutations(data: bytes) -> st.SearchStrategy[bytes]:
    """``data`` with some of its bytes changed, taken away or added to."""

    def change(edits: list[tuple[int, int, int]]) -> bytes:
        changed = bytearray(data)
        for kind, position, byte in edits:
            place = position % (len(changed) + 1)
            if kind == 0:
                changed[place : place + 1] = bytes([byte])
            elif kind == 1:
                changed[place:place] = bytes([byte])
            else:
                del changed[place : place + 1]
        return bytes(changed)

    edit = st.tuples(st.integers(0, 2), st.integers(0, max(len(data), 1)), st.integers(0, 255))
    return st.lists(edit, min_size=1, max_size=4).map(change)
