"""Fingerprints of a ClientHello, by which programs are told apart: JA3, and JA4 with its raw and unsorted forms.

Both leave out the values that are reserved for GREASE (RFC 8701) wherever they stand, because a client draws these at
random. Both tell which program a client resembles, and prove nothing: any client can send any hello.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sanstls.errors import LocalError
from sanstls.inspect.hello import alpn, is_grease, versions
from sanstls.wire.extensions import ECPointFormatList, NamedGroupList, SignatureSchemeList
from sanstls.wire.messages import ClientHello
from sanstls.wire.registries import ExtensionType

__all__ = ["Transport", "ja3", "ja3_hash", "ja4", "ja4_raw"]

Transport = Literal["t", "q", "d"]
"""What carried the hello, as JA4 writes it: TLS over TCP, QUIC, or DTLS."""

_NOTHING = "0" * 12
_MOST_COUNTED = 99
_VERSIONS = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
}
# JA4 tells of these two in its first part, so that they don't change the last one.
_TOLD_BEFORE = frozenset({ExtensionType.server_name, ExtensionType.application_layer_protocol_negotiation})


def _without_grease(values: Iterable[int]) -> list[int]:
    return [int(value) for value in values if not is_grease(value)]


# JA3 --------------------------------------------------------------------------------------------------------------


def ja3(hello: ClientHello) -> str:
    """The string of JA3: version, cipher suites, extensions, groups, point formats, as decimals in wire order.

    The version is legacy_version, whatever supported_versions says. Clients that shuffle their extensions have
    another JA3 each time.
    """
    extensions = hello.extensions
    groups = extensions.get(NamedGroupList)
    formats = extensions.get(ECPointFormatList)
    fields = (
        [int(hello.legacy_version)],
        _without_grease(hello.cipher_suites),
        _without_grease(extensions.types),
        _without_grease(groups.named_group_list) if groups is not None else [],
        [int(point_format) for point_format in formats.ec_point_format_list] if formats is not None else [],
    )
    return ",".join(["-".join(map(str, field)) for field in fields])


def ja3_hash(hello: ClientHello) -> str:
    """JA3 as it is mostly given: the MD5 of :func:`ja3`, 32 hexadecimal digits."""
    return hashlib.md5(ja3(hello).encode("ascii"), usedforsecurity=False).hexdigest()


# JA4 --------------------------------------------------------------------------------------------------------------


def ja4(hello: ClientHello, *, transport: Transport = "t", original_order: bool = False) -> str:
    """JA4: 36 characters such as ``t13d1516h2_8daaf6152771_e5627efa2ab1``.

    Cipher suites and extensions are sorted, and the extensions for the server name and ALPN are only counted. With
    ``original_order`` neither is done, which is what is called JA4_o. ``transport`` is what carried the hello: ``t``
    for TCP, ``q`` for QUIC, ``d`` for DTLS.

    Raises :class:`LocalError` for any other transport.
    """
    parts = _ja4_parts(hello, transport, original_order)
    return f"{parts.summary}_{_digest(parts.suites)}_{_digest(parts.extensions)}"


def ja4_raw(hello: ClientHello, *, transport: Transport = "t", original_order: bool = False) -> str:
    """JA4_r, or JA4_ro with ``original_order``: what :func:`ja4` hashes, as it is before that.

    Raises :class:`LocalError` for an unknown transport.
    """
    return "_".join(_ja4_parts(hello, transport, original_order))


class _Parts(NamedTuple):
    """The three parts of a JA4, the last two not hashed yet."""

    summary: str
    suites: str
    extensions: str


def _ja4_parts(hello: ClientHello, transport: Transport, original_order: bool) -> _Parts:
    if transport not in ("t", "q", "d"):
        raise LocalError(f"the transport of a JA4 is 't', 'q' or 'd', not {transport!r}")
    suites = _without_grease(hello.cipher_suites)
    extensions = _without_grease(hello.extensions.types)
    version = _VERSIONS.get(max(versions(hello), default=0), "00")
    destination = "d" if ExtensionType.server_name in hello.extensions else "i"
    summary = f"{transport}{version}{destination}{_count(suites)}{_count(extensions)}{_protocol(hello)}"
    if not original_order:
        suites = sorted(suites)
        extensions = sorted([extension for extension in extensions if extension not in _TOLD_BEFORE])
    schemes = hello.extensions.get(SignatureSchemeList)
    lists = [extensions, _without_grease(schemes.supported_signature_algorithms) if schemes is not None else []]
    return _Parts(summary, _listed(suites), "_".join([_listed(values) for values in lists if values]))


def _count(values: list[int]) -> str:
    return f"{min(len(values), _MOST_COUNTED):02d}"


def _listed(values: list[int]) -> str:
    return ",".join([f"{value:04x}" for value in values])


def _protocol(hello: ClientHello) -> str:
    """The first and the last character of the first protocol, or of its hexadecimal digits if these don't print."""
    first = next(iter(alpn(hello)), b"")
    if not first:
        return "00"
    ends = first[:1] + first[-1:]
    return ends.decode("ascii") if ends.isalnum() else ends.hex()[0] + ends.hex()[-1]


def _digest(text: str) -> str:
    """Twelve digits of the SHA-256, all zero for nothing."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:12] if text else _NOTHING
