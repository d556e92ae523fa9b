"""What ``stream.extra(...)`` tells of a TLS connection."""

from collections.abc import Callable, Mapping
from typing import Any

from anyio import TypedAttributeProvider, TypedAttributeSet, typed_attribute
from anyio.streams.tls import TLSAttribute

from sanstls import ConnectionInfo, ProtocolVersion, ServerConnection
from sanstls_io._negotiated import cipher_of, version_of
from sanstls_io._pump import Connection

__all__ = ["ConnectionAttribute", "attributes_of"]

_THEIRS = frozenset(getattr(TLSAttribute, name) for name in TLSAttribute.__annotations__)


class ConnectionAttribute(TypedAttributeSet):
    """What ``stream.extra(...)`` knows besides ``anyio.streams.tls.TLSAttribute``."""

    info: ConnectionInfo = typed_attribute()
    """What was negotiated."""
    connection: Connection = typed_attribute()
    """The connection itself, for example for ``export_keying_material``."""


def attributes_of(
    connection: Connection, transport: TypedAttributeProvider, *, is_standard: bool
) -> Mapping[Any, Callable[[], Any]]:
    """Of a connection that is complete, and of its transport."""
    info = connection.info
    # What a transport that is TLS itself says of its own connection is not true of this one.
    inherited = {key: get for key, get in transport.extra_attributes.items() if key not in _THEIRS}
    own: dict[Any, Callable[[], Any]] = {
        TLSAttribute.alpn_protocol: lambda: info.alpn,
        TLSAttribute.cipher: lambda: cipher_of(info),
        TLSAttribute.peer_certificate_binary: lambda: info.peer_chain[0] if info.peer_chain else None,
        TLSAttribute.server_side: lambda: isinstance(connection, ServerConnection),
        TLSAttribute.standard_compatible: lambda: is_standard,
        TLSAttribute.tls_version: lambda: version_of(info),
        ConnectionAttribute.info: lambda: info,
        ConnectionAttribute.connection: lambda: connection,
    }
    if info.version is ProtocolVersion.TLS12:
        own[TLSAttribute.channel_binding_tls_unique] = lambda: connection.channel_binding("tls-unique")
    return inherited | own
