"""The presentation language of RFC 9846 section 3, as Python declarations.

A message is declared once, as a class whose annotations say what RFC 9846 says::

    class CertificateVerify(HandshakeMessage, msg_type=HandshakeType.certificate_verify):
        algorithm: SignatureScheme
        signature: Annotated[bytes, opaque(0, 2**16 - 1)]

Constructor, parser, serialiser, ``repr``, equality and (in the tests) the
strategies that draw random values all come from that declaration. The code for
a class is generated at its first use, so that importing costs little, and is as
fast as if written by hand.

A parser reads ``bytes`` and raises :class:`WireError` for whatever does not
conform; it checks every length before it uses it. It knows syntax only: what a
value means is for those who use the message.
"""

import struct as _struct
import sys
from collections.abc import Callable, Iterator
from typing import (
    Annotated,
    Any,
    ClassVar,
    NoReturn,
    Self,
    dataclass_transform,
    get_args,
    get_origin,
)

from sanstls.wire.registries import Registry, wire_width

__all__ = [
    "Kind",
    "Only",
    "Opaque",
    "Struct",
    "UInt",
    "Vector",
    "WireError",
    "fixed",
    "only",
    "opaque",
    "rest",
    "uint8",
    "uint16",
    "uint24",
    "uint32",
    "uint64",
    "vector",
]


class WireError(ValueError):
    """Bytes that do not conform to the declared syntax: decode_error (RFC 9846 6.2)."""


def _length_width(maximum: int) -> int:
    """How many bytes the length prefix of a vector takes (RFC 9846 3.4)."""
    return (maximum.bit_length() + 7) // 8


class _Code:
    """Source text being generated for one class, with the objects it refers to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.namespace: dict[str, Any] = {
            "WireError": WireError,
            "unpack_from": _struct.unpack_from,
            "pack": _struct.pack,
            "from_bytes": int.from_bytes,
            "join": b"".join,
        }

    def add(self, *lines: str) -> None:
        self.lines += ["    " + line for line in lines]

    def bind(self, value: object) -> str:
        name = f"_{len(self.namespace)}"
        self.namespace[name] = value
        return name

    def read_uint(self, target: str, width: int, label: str) -> None:
        self.add(f"q = p + {width}", f"if q > e: raise WireError('{label}: truncated')")
        if width == 1:
            self.add(f"{target} = b[p]")
        elif width == 2:
            self.add(f"{target} = b[p] << 8 | b[p + 1]")
        else:
            self.add(f"{target} = from_bytes(b[p:q], 'big')")
        self.add("p = q")

    def read_block(self, minimum: int, maximum: int, label: str) -> None:
        """Read a length prefix; afterwards the block is ``b[q:p]`` and ``n`` bytes long."""
        self.read_uint("n", _length_width(maximum), label)
        self.add("p = q + n", f"if p > e: raise WireError('{label}: truncated')")
        bounds = []
        if minimum > 0:
            bounds.append(f"n < {minimum}")
        if maximum != (1 << 8 * _length_width(maximum)) - 1:
            bounds.append(f"n > {maximum}")
        if bounds:
            self.add(
                f"if {' or '.join(bounds)}: "
                f"raise WireError(f'{label}: {{n}} bytes, allowed are {minimum} to {maximum}')"
            )

    def build(self, head: str) -> Callable[..., Any]:
        name = head[4 : head.index("(")]
        exec("\n".join([head, *self.lines]), self.namespace)  # noqa: S102 - our own declarations, no input
        function: Callable[..., Any] = self.namespace[name]
        return function


class Kind:
    """How one field stands on the wire."""

    __slots__ = ()

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        """Generate the lines that set ``target`` from ``b[p:e]`` and move ``p``."""
        raise NotImplementedError

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        """Generate the checks of ``value`` and return the expression of its bytes."""
        raise NotImplementedError


class UInt(Kind):
    """An unsigned integer of ``width`` bytes, or a registry's value of that size."""

    __slots__ = ("registry", "width")

    def __init__(self, width: int, registry: type[Registry] | None = None) -> None:
        self.width = width
        self.registry = registry

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        code.read_uint(target, self.width, label)
        if self.registry is not None:
            known, make = code.bind(self.registry._value2member_map_), code.bind(self.registry)
            code.add(f"{target} = {known}[{target}] if {target} in {known} else {make}({target})")

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        return f"{value}.to_bytes({self.width}, 'big')"


class Only(UInt):
    """An integer of which one value is allowed: a ``select`` whose other cases are not spoken."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        registry = type(value) if isinstance(value, Registry) else None
        super().__init__(wire_width(registry) if registry else 1, registry)
        self.value = value

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        super().emit_parse(code, target, label)
        code.add(
            f"if {target} != {int(self.value)}: raise WireError(f'{label}: {{{target}}}, allowed is {self.value}')"
        )

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        code.add(f"if {value} != {int(self.value)}: raise ValueError(f'{label}: {{{value}}}, allowed is {self.value}')")
        return super().emit_write(code, value, label)


class Opaque(Kind):
    """``opaque field<minimum..maximum>``, or ``opaque field[n]`` if ``is_fixed``."""

    __slots__ = ("is_fixed", "maximum", "minimum")

    def __init__(self, minimum: int, maximum: int, *, is_fixed: bool = False) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.is_fixed = is_fixed

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        if self.is_fixed:
            code.add(
                f"q = p + {self.maximum}",
                f"if q > e: raise WireError('{label}: truncated')",
                f"{target} = b[p:q]",
                "p = q",
            )
            return
        code.read_block(self.minimum, self.maximum, label)
        code.add(f"{target} = b[q:p]")

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        code.add(
            f"if not {self.minimum} <= len({value}) <= {self.maximum}: "
            f"raise ValueError(f'{label}: {{len({value})}} bytes, allowed are {self.minimum} to {self.maximum}')"
        )
        if self.is_fixed:
            return value
        return f"len({value}).to_bytes({_length_width(self.maximum)}, 'big'), {value}"


class Rest(Kind):
    """All bytes up to the end of the message."""

    __slots__ = ()

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        code.add(f"{target} = b[p:e]", "p = e")

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        return value


class Nested(Kind):
    """Another structure in place."""

    __slots__ = ("struct",)

    def __init__(self, struct: type["Struct"]) -> None:
        self.struct = struct

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        code.add(f"{target}, p = {code.bind(self.struct.parser())}(b, p, e)")

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        return f"{value}.serialise()"


class Vector(Kind):
    """``Element field<minimum..maximum>``; the bounds are in bytes, as in the RFC."""

    __slots__ = ("element", "maximum", "minimum")

    def __init__(self, minimum: int, maximum: int, element: Kind | None = None) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.element = element

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        code.read_block(self.minimum, self.maximum, label)
        element = self.element
        if isinstance(element, UInt) and element.width <= 2:
            values = "b[q:p]"
            if element.width == 2:
                code.add(f"if n & 1: raise WireError(f'{label}: {{n}} bytes are no whole number of elements')")
                values = "unpack_from(f'>{n >> 1}H', b, q)"
            if element.registry is None:
                code.add(f"{target} = tuple({values})")
            else:
                known, make = code.bind(element.registry._value2member_map_), code.bind(element.registry)
                code.add(f"{target} = tuple([{known}[v] if v in {known} else {make}(v) for v in {values}])")
            return
        assert element is not None
        # The element's own parser works on the block: its p and e are saved around it.
        code.add("block_end, outer_end, p, items = p, e, q, []", "e = block_end", "while p < e:")
        inner = _Code()
        inner.namespace = code.namespace
        element.emit_parse(inner, "item", label)
        code.lines += ["    " + line for line in inner.lines]
        code.lines.append("        items.append(item)")
        code.add("e = outer_end", f"{target} = tuple(items)")

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        element = self.element
        block = code.bind(None)  # a fresh local name
        if isinstance(element, UInt) and element.width <= 2:
            code.add(
                f"{block} = bytes({value})"
                if element.width == 1
                else f"{block} = pack(f'>{{len({value})}}H', *{value})"
            )
        elif isinstance(element, Nested):
            code.add(f"{block} = join([item.serialise() for item in {value}])")
        else:
            assert element is not None
            inner = _Code()
            inner.namespace = code.namespace
            expression = element.emit_write(inner, "item", label)
            code.add("items = []", f"for item in {value}:")
            code.lines += ["    " + line for line in inner.lines]
            code.lines.append(f"        items += ({expression},)")
            code.add(f"{block} = join(items)")
        code.add(
            f"if not {self.minimum} <= len({block}) <= {self.maximum}: "
            f"raise ValueError(f'{label}: {{len({block})}} bytes, allowed are {self.minimum} to {self.maximum}')"
        )
        return f"len({block}).to_bytes({_length_width(self.maximum)}, 'big'), {block}"


uint8, uint16, uint24, uint32, uint64 = (UInt(width) for width in (1, 2, 3, 4, 8))
rest = Rest()


def only(value: int) -> Only:
    """An integer that is always ``value``: a registry's member, or a number of one byte."""
    return Only(value)


def opaque(minimum: int, maximum: int) -> Opaque:
    """``opaque field<minimum..maximum>``."""
    return Opaque(minimum, maximum)


def fixed(length: int) -> Opaque:
    """``opaque field[length]``."""
    return Opaque(length, length, is_fixed=True)


def vector(minimum: int, maximum: int, element: Kind | None = None) -> Vector:
    """``Element field<minimum..maximum>``; the element comes from the annotated type unless it is given."""
    return Vector(minimum, maximum, element)


def _kind_of(annotation: Any) -> Kind:
    """The kind that a field's annotation declares."""
    if get_origin(annotation) is Annotated:
        declared, kind = get_args(annotation)[:2]
        if isinstance(kind, Vector) and kind.element is None:
            return Vector(kind.minimum, kind.maximum, _kind_of(get_args(declared)[0]))
        assert isinstance(kind, Kind), annotation
        return kind
    if issubclass(annotation, Registry):
        return UInt(wire_width(annotation), annotation)
    assert issubclass(annotation, Struct), annotation
    return Nested(annotation)


def _own_annotations(namespace: dict[str, Any]) -> dict[str, Any]:
    if "__annotations__" in namespace:
        annotations: dict[str, Any] = namespace["__annotations__"]
        return annotations
    if sys.version_info < (3, 14):
        return {}
    # From 3.14 on, annotations are evaluated late.
    import annotationlib  # type: ignore[import-not-found,unused-ignore]

    annotate = annotationlib.get_annotate_from_class_namespace(namespace)
    if annotate is None:
        return {}
    late: dict[str, Any] = annotationlib.call_annotate_function(annotate, annotationlib.Format.VALUE)
    return late


def _compile_and_init(self: "Struct", *args: Any, **kwargs: Any) -> None:
    """The constructor of a class up to its first use."""
    type(self)._compile()
    self.__init__(*args, **kwargs)  # type: ignore[misc]  # another one by now


@dataclass_transform(frozen_default=True, eq_default=True)
class _StructType(type):
    """Makes the slots, and remembers what is to be compiled at the first use."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> "_StructType":
        own = {
            field: annotation
            for field, annotation in _own_annotations(namespace).items()
            if get_origin(annotation) is not ClassVar
        }
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        namespace.setdefault("__slots__", tuple(own))
        namespace["__init__"] = _compile_and_init  # each class its own: that of a base may be compiled already
        cls = super().__new__(mcls, name, bases, namespace, **kwargs)
        inherited: dict[str, Any] = {}
        for base in bases:
            inherited |= getattr(base, "_annotated", {})
            defaults = getattr(base, "_defaults", {}) | defaults
        cls._annotated = inherited | own  # type: ignore[attr-defined]
        cls._defaults = defaults  # type: ignore[attr-defined]
        cls._compiled = None  # type: ignore[attr-defined]
        return cls


class Struct(metaclass=_StructType):
    """A frozen, slotted value with the declared fields.

    Equal when of one class with equal fields; hashable; ``serialise()`` gives its
    bytes, ``parse()`` reads them.
    """

    __slots__ = ()
    _annotated: ClassVar[dict[str, Any]]
    _defaults: ClassVar[dict[str, Any]]
    _compiled: ClassVar[tuple[Callable[..., Any], Callable[..., Any]] | None]

    @classmethod
    def fields(cls) -> dict[str, Kind]:
        """The declared fields and their kinds, in wire order."""
        return {field: _kind_of(annotation) for field, annotation in cls._annotated.items()}

    @classmethod
    def _compile(cls) -> tuple[Callable[..., Any], Callable[..., Any]]:
        kinds = cls.fields()

        init = _Code()
        parameters = []
        for field in kinds:
            setter = init.bind(getattr(cls, field).__set__)
            init.add(f"{setter}(self, {field})")
            if field in cls._defaults:
                parameters.append(f"{field}={init.bind(cls._defaults[field])}")
            else:
                parameters.append(field)
        cls._emit_init(init)
        init.add("return None")
        setattr(cls, "__init__", init.build(f"def __init__({', '.join(['self', *parameters])}):"))  # noqa: B010

        parse = _Code()
        for field, kind in kinds.items():
            kind.emit_parse(parse, field, f"{cls.__name__}.{field}")
        parse.add(f"return {parse.bind(cls)}({', '.join(kinds)}), p")

        write = _Code()
        parts = [kind.emit_write(write, f"self.{field}", f"{cls.__name__}.{field}") for field, kind in kinds.items()]
        write.add(f"return join(({', '.join([*parts, ''])}))" if parts else "return b''")

        cls._compiled = parse.build("def parse(b, p, e):"), write.build("def write(self):")
        return cls._compiled

    @classmethod
    def _emit_init(cls, code: _Code) -> None:
        """Further lines of the constructor, for subclasses with slots of their own."""

    @classmethod
    def parser(cls) -> Callable[[bytes, int, int], tuple[Self, int]]:
        """The function that reads one value from ``data[start:end]`` and returns it with where it ended."""
        return (cls._compiled or cls._compile())[0]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read exactly one value.

        Raises :class:`WireError` if the bytes are too few, too many or out of a declared bound.
        """
        value, end = cls.parser()(data, 0, len(data))
        if end != len(data):
            raise WireError(f"{cls.__name__}: {len(data) - end} bytes too many")
        return value

    def serialise(self) -> bytes:
        """The bytes of this value. Raises ``ValueError`` if a field is out of its declared bound."""
        cls = type(self)
        try:
            data: bytes = (cls._compiled or cls._compile())[1](self)
        except (OverflowError, _struct.error) as error:  # an integer that its bytes can't hold
            raise ValueError(f"{cls.__name__}: {error}") from error
        return data

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be deleted")

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, field) for field in self._annotated])

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The fields by name, as ``dict(message)`` wants them."""
        for field in self._annotated:
            yield field, getattr(self, field)

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed."""
        return type(self)(**{**dict(self), **changes})

    def __repr__(self) -> str:
        shown = []
        for field, value in self:
            text = value.hex() if isinstance(value, bytes) else repr(value)
            if isinstance(value, bytes) and len(value) > 32:
                text = f"{value[:16].hex()}… ({len(value)} bytes)"
            shown.append(f"{field}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._values())


def _rebuild(cls: type[Struct], values: tuple[Any, ...]) -> Struct:
    return cls(*values)
