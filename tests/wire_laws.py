"""The laws of the wire that hold for every declared class."""

import pickle
from typing import Any

import pytest
from hypothesis import settings

from sanstls.wire.codec import Kind, Nested, Rest, Struct, WireError
from sanstls.wire.extensions import ExtensionsKind

# There are dozens of classes and each is given so many examples.
each_class = settings(max_examples=max(settings.default.max_examples // 10, 10))


def last_kind(cls: type[Struct]) -> Kind | None:
    """The kind of what ends the class's bytes, if anything does."""
    kinds = list(cls.fields().values())
    if kinds and isinstance(kinds[-1], Nested):
        return last_kind(kinds[-1].struct)
    return kinds[-1] if kinds else None


def holds_to_its_bytes(value: Any) -> None:
    """What was serialised is read back, and nothing shorter or longer is."""
    cls = type(value)
    data = value.serialise()
    parsed = cls.parse(data)
    assert parsed == value
    assert type(parsed) is cls
    assert parsed.serialise() == data
    last = last_kind(cls)
    if isinstance(last, Rest):
        return
    # Old hellos may end before the extensions.
    allowed = set()
    if isinstance(last, ExtensionsKind) and last.is_optional and value.extensions.is_present:
        allowed = {len(data) - 2 - len(value.extensions.serialise())}
    for length in range(len(data)):
        if length in allowed:
            assert cls.parse(data[:length]).serialise() == data[:length]
            continue
        with pytest.raises(WireError):
            cls.parse(data[:length])
    for extra in (b"\x00", b"\xff"):
        with pytest.raises(WireError):
            cls.parse(data + extra)


def is_a_frozen_value(value: Any) -> None:
    """Equality, hash, copies and what can't be done to it."""
    cls = type(value)
    fields = dict(value)
    assert list(fields) == list(cls.fields())
    same = cls(**fields)
    assert same == value
    assert hash(same) == hash(value)
    assert value.replace() == value
    copy = pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes
    assert copy == value
    assert copy.serialise() == value.serialise()
    assert value != tuple(fields.values())
    assert repr(value).startswith(f"{cls.__name__}(")
    for name in fields:
        with pytest.raises(AttributeError):
            setattr(value, name, fields[name])
        with pytest.raises(AttributeError):
            delattr(value, name)
    with pytest.raises(AttributeError):
        value.something = 1
    assert not hasattr(value, "__dict__")


def reads_or_refuses(cls: type[Struct], data: bytes) -> None:
    """Any bytes at all: a WireError, or a value that has exactly these bytes."""
    try:
        value = cls.parse(data)
    except WireError:
        return
    assert value.serialise() == data
