"""Extensions: the block they stand in, and the declaration of each.

An extension is a :class:`Struct` that also declares its type and the messages in
which it may appear (the table of RFC 9846 4.3). One type may have several
declarations, one for each message: a key_share in a ClientHello is not the one
in a ServerHello. Unknown extensions are kept as they came.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, overload

from sanstls.wire.codec import Kind, Struct, WireError, _Code, opaque, rest, uint8, uint16, uint32, vector
from sanstls.wire.registries import (
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CertificateType,
    ECPointFormat,
    ExtensionType,
    NamedGroup,
    NameType,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)

_E = TypeVar("_E", bound="Extension")
_D = TypeVar("_D")


class Place(Enum):
    """The messages that carry extensions (RFC 9846 4.3)."""

    ClientHello = "ClientHello"
    ServerHello = "ServerHello"
    HelloRetryRequest = "HelloRetryRequest"
    EncryptedExtensions = "EncryptedExtensions"
    Certificate = "Certificate"
    CertificateRequest = "CertificateRequest"
    NewSessionTicket = "NewSessionTicket"
    ServerHello12 = "ServerHello of TLS 1.2"


class DuplicateExtension(WireError):
    """An extension type twice in one block (RFC 9846 4.3)."""


class MisplacedExtension(WireError):
    """A known extension in a message where it must not appear (RFC 9846 4.3)."""


_DECLARED: dict[Place, dict[int, type["Extension"]]] = {place: {} for place in Place}
_KNOWN_TYPES: set[int] = set()


class Extension(Struct):
    """One extension. ``type`` tells which; the declared fields are its content."""

    if not TYPE_CHECKING:
        __slots__ = ("_encoded",)
    extension_type: ClassVar[ExtensionType]
    _encoded: ClassVar[Any]  # a slot, of which the declaration must not make a field

    def __init_subclass__(
        cls, *, extension_type: ExtensionType | None = None, places: tuple[Place, ...] = (), **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if extension_type is not None:
            cls.extension_type = extension_type
            _KNOWN_TYPES.add(int(extension_type))
            for place in places:
                assert extension_type not in _DECLARED[place], (extension_type, place)
                _DECLARED[place][int(extension_type)] = cls

    @classmethod
    def _emit_init(cls, code: _Code) -> None:
        code.add(f"{code.bind(Extension._encoded.__set__)}(self, None)")

    @property
    def type(self) -> ExtensionType:
        """The extension's type."""
        return self.extension_type

    def encode(self) -> bytes:
        """Type, length and content. Kept, because configurations use one extension many times."""
        encoded: bytes | None = self._encoded
        if encoded is None:
            content = self.serialise()
            if len(content) >= 1 << 16:
                raise ValueError(f"{type(self).__name__}: {len(content)} bytes are too many for an extension")
            encoded = self.type.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content
            Extension._encoded.__set__(self, encoded)
        return encoded


class UnknownExtension(Extension):
    """An extension that this library has no declaration for, as it came."""

    code: ExtensionType
    data: Annotated[bytes, rest]

    @property
    def type(self) -> ExtensionType:
        """The extension's type."""
        return self.code

    def serialise(self) -> bytes:
        """The content, without type and length."""
        return self.data


class Extensions:
    """An immutable extension block, in wire order.

    ``block.get(KeyShareClientHello)`` is the extension of that declaration or
    ``None``; ``ExtensionType.key_share in block`` asks for a type. A block that
    is absent altogether (old hellos) has ``is_present`` false.
    """

    __slots__ = ("_by_type", "is_present")

    def __init__(self, extensions: Iterable[Extension] = (), *, is_present: bool = True) -> None:
        self._by_type: dict[int, Extension] = {}
        self.is_present = is_present
        for extension in extensions:
            if extension.type in self._by_type:
                raise ValueError(f"extension {extension.type} twice in one block")
            self._by_type[extension.type] = extension

    @classmethod
    def _of(cls, by_type: dict[int, Extension]) -> "Extensions":
        self = cls.__new__(cls)
        self._by_type = by_type
        self.is_present = True
        return self

    @overload
    def get(self, cls: type[_E]) -> _E | None: ...
    @overload
    def get(self, cls: type[_E], default: _D) -> _E | _D: ...
    def get(self, cls: type[_E], default: _D | None = None) -> _E | _D | None:
        """The extension of this declaration, or ``default``; always that for a class without a type of its own."""
        found = self._by_type.get(getattr(cls, "extension_type", -1))
        return found if type(found) is cls else default

    @property
    def types(self) -> tuple[ExtensionType, ...]:
        """The extension types in wire order."""
        return tuple([extension.type for extension in self._by_type.values()])

    def __contains__(self, extension_type: object) -> bool:
        return extension_type in self._by_type

    def __iter__(self) -> Iterator[Extension]:
        return iter(self._by_type.values())

    def __len__(self) -> int:
        return len(self._by_type)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extensions) and self.is_present == other.is_present and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash((self.is_present, tuple(self)))

    def __repr__(self) -> str:
        return f"Extensions({list(self)!r})" if self.is_present else "Extensions(is_present=False)"

    def serialise(self) -> bytes:
        """The block's content without its length."""
        return b"".join([extension.encode() for extension in self._by_type.values()])


def parse_extensions(data: bytes, position: int, end: int, place: Place) -> Extensions:
    """Read the extensions in ``data[position:end]`` as they stand in the message ``place``."""
    declared = _DECLARED[place]
    by_type: dict[int, Extension] = {}
    while position < end:
        start = position + 4
        if start > end:
            raise WireError(f"{place.value}.extensions: truncated")
        code = data[position] << 8 | data[position + 1]
        position = start + (data[start - 2] << 8 | data[start - 1])
        if position > end:
            raise WireError(f"{place.value}.extensions: truncated")
        if code in by_type:
            raise DuplicateExtension(f"{place.value}: extension {ExtensionType(code)} stands there twice")
        cls = declared.get(code)
        if cls is not None:
            extension, parsed_to = cls.parser()(data, start, position)
            if parsed_to != position:
                raise WireError(f"{cls.__name__}: {position - parsed_to} bytes too many")
            by_type[code] = extension
        elif code in _KNOWN_TYPES:
            raise MisplacedExtension(f"extension {ExtensionType(code)} must not appear in a {place.value}")
        else:
            by_type[code] = UnknownExtension(ExtensionType(code), data[start:position])
    return Extensions._of(by_type)


PlaceOf = Callable[[bytes, bytes, int, int], Place]


class ExtensionsKind(Kind):
    """An extension block with a two-byte length; ``place`` may depend on the message's random."""

    __slots__ = ("is_optional", "maximum", "minimum", "place")

    def __init__(self, place: Place | PlaceOf, minimum: int = 0, *, is_optional: bool = False) -> None:
        self.place = place
        self.minimum = minimum
        self.maximum = 2**16 - 1
        self.is_optional = is_optional

    def emit_parse(self, code: _Code, target: str, label: str) -> None:
        absent, read = code.bind(Extensions(is_present=False)), code.bind(parse_extensions)
        place = code.bind(self.place) + ("" if isinstance(self.place, Place) else "(random, b, q, p)")
        inner = _Code()
        inner.namespace = code.namespace
        inner.read_block(self.minimum, self.maximum, label)
        inner.add(f"{target} = {read}(b, q, p, {place})")
        code.add(f"if p == e: {target} = {absent}" if self.is_optional else "if False: pass", "else:")
        code.lines += ["    " + line for line in inner.lines]

    def emit_write(self, code: _Code, value: str, label: str) -> str:
        block = code.bind(None)
        code.add(
            f"{block} = {value}.serialise()",
            f"if not {self.minimum} <= len({block}) <= {self.maximum}: "
            f"raise ValueError(f'{label}: {{len({block})}} bytes, allowed are {self.minimum} to {self.maximum}')",
        )
        return f"len({block}).to_bytes(2, 'big') if {value}.is_present else b'', {block}"


def extensions(place: Place | PlaceOf, minimum: int = 0, *, is_optional: bool = False) -> ExtensionsKind:
    """``Extension extensions<minimum..2^16-1>`` as they may stand in ``place``."""
    return ExtensionsKind(place, minimum, is_optional=is_optional)


_CH, _SH, _HRR, _EE = Place.ClientHello, Place.ServerHello, Place.HelloRetryRequest, Place.EncryptedExtensions
_CT, _CR, _NST, _SH12 = Place.Certificate, Place.CertificateRequest, Place.NewSessionTicket, Place.ServerHello12


# RFC 6066 3: server_name ------------------------------------------------------------------------------------------


class ServerName(Struct):
    """One name. Only host_name is defined, and all others begin with a 16-bit length too."""

    name_type: NameType
    name: Annotated[bytes, opaque(1, 2**16 - 1)]


class ServerNameList(Extension, extension_type=ExtensionType.server_name, places=(_CH,)):
    """server_name in a ClientHello."""

    server_name_list: Annotated[tuple[ServerName, ...], vector(1, 2**16 - 1)]


class ServerNameAcknowledgement(Extension, extension_type=ExtensionType.server_name, places=(_EE, _SH12)):
    """The empty server_name with which a server says that it used the name."""


# RFC 6066 8 and RFC 9846 4.5.1.1: status_request ------------------------------------------------------------------


class OCSPStatusRequest(Extension, extension_type=ExtensionType.status_request, places=(_CH,)):
    """status_request in a ClientHello. For an unknown ``status_type`` the rest is opaque, so all is kept so."""

    status_type: CertificateStatusType
    request: Annotated[bytes, rest]


class StatusRequestFlag(Extension, extension_type=ExtensionType.status_request, places=(_CR, _SH12)):
    """The empty status_request of a CertificateRequest, or of a TLS 1.2 ServerHello."""


class CertificateStatus(Extension, extension_type=ExtensionType.status_request, places=(_CT,)):
    """An OCSP response with a certificate (TLS 1.3)."""

    status_type: CertificateStatusType
    response: Annotated[bytes, opaque(1, 2**24 - 1)]


# RFC 6962 3.3: signed_certificate_timestamp -----------------------------------------------------------------------


class SignedCertificateTimestampRequest(
    Extension, extension_type=ExtensionType.signed_certificate_timestamp, places=(_CH, _CR)
):
    """The empty request for SCTs."""


class SignedCertificateTimestampList(
    Extension, extension_type=ExtensionType.signed_certificate_timestamp, places=(_CT, _SH12)
):
    """SCTs with a certificate, each a serialised SCT."""

    sct_list: Annotated[tuple[bytes, ...], vector(1, 2**16 - 1, opaque(1, 2**16 - 1))]


# RFC 9846 4.3.7 and 4.3.3: supported_groups, signature_algorithms -------------------------------------------------


class NamedGroupList(Extension, extension_type=ExtensionType.supported_groups, places=(_CH, _EE, _SH12)):
    """supported_groups, in order of preference. Some servers of TLS 1.2 send theirs, which means nothing there."""

    named_group_list: Annotated[tuple[NamedGroup, ...], vector(2, 2**16 - 1)]


class SignatureSchemeList(Extension, extension_type=ExtensionType.signature_algorithms, places=(_CH, _CR)):
    """signature_algorithms, in order of preference."""

    supported_signature_algorithms: Annotated[tuple[SignatureScheme, ...], vector(2, 2**16 - 2)]


class SignatureSchemeListCert(Extension, extension_type=ExtensionType.signature_algorithms_cert, places=(_CH, _CR)):
    """signature_algorithms_cert: the schemes accepted in certificates, where they differ."""

    supported_signature_algorithms: Annotated[tuple[SignatureScheme, ...], vector(2, 2**16 - 2)]


# RFC 8422 5.1.2: ec_point_formats (TLS 1.2) -----------------------------------------------------------------------


class ECPointFormatList(Extension, extension_type=ExtensionType.ec_point_formats, places=(_CH, _SH12)):
    """ec_point_formats."""

    ec_point_format_list: Annotated[tuple[ECPointFormat, ...], vector(1, 2**8 - 1)]


# RFC 7301: application_layer_protocol_negotiation -----------------------------------------------------------------


class ProtocolNameList(
    Extension,
    extension_type=ExtensionType.application_layer_protocol_negotiation,
    places=(_CH, _EE, _SH12),
):
    """ALPN: the protocols offered, or the single one chosen."""

    protocol_name_list: Annotated[tuple[bytes, ...], vector(2, 2**16 - 1, opaque(1, 2**8 - 1))]


# RFC 7250: client_certificate_type, server_certificate_type -------------------------------------------------------


class ClientCertificateTypes(Extension, extension_type=ExtensionType.client_certificate_type, places=(_CH,)):
    """The certificate types that a client can present."""

    client_certificate_types: Annotated[tuple[CertificateType, ...], vector(1, 2**8 - 1)]


class ClientCertificateType(Extension, extension_type=ExtensionType.client_certificate_type, places=(_EE, _SH12)):
    """The certificate type asked of the client."""

    client_certificate_type: CertificateType


class ServerCertificateTypes(Extension, extension_type=ExtensionType.server_certificate_type, places=(_CH,)):
    """The certificate types that a client can verify."""

    server_certificate_types: Annotated[tuple[CertificateType, ...], vector(1, 2**8 - 1)]


class ServerCertificateType(Extension, extension_type=ExtensionType.server_certificate_type, places=(_EE, _SH12)):
    """The certificate type that the server presents."""

    server_certificate_type: CertificateType


# RFC 7685, 7627, 5077, 5746: small ones ---------------------------------------------------------------------------


class Padding(Extension, extension_type=ExtensionType.padding, places=(_CH,)):
    """Padding of a ClientHello (RFC 7685)."""

    padding: Annotated[bytes, rest]


class ExtendedMainSecret(Extension, extension_type=ExtensionType.extended_master_secret, places=(_CH, _SH12)):
    """extended_master_secret (RFC 7627), an empty extension of TLS 1.2."""


class SessionTicket(Extension, extension_type=ExtensionType.session_ticket, places=(_CH, _SH12)):
    """session_ticket (RFC 5077) of TLS 1.2: a ticket, or empty."""

    ticket: Annotated[bytes, rest]


class RenegotiationInfo(Extension, extension_type=ExtensionType.renegotiation_info, places=(_CH, _SH12)):
    """renegotiation_info (RFC 5746) of TLS 1.2."""

    renegotiated_connection: Annotated[bytes, opaque(0, 2**8 - 1)]


# RFC 8879, 8449, 9345, 9149 ---------------------------------------------------------------------------------------


class CertificateCompressionAlgorithms(Extension, extension_type=ExtensionType.compress_certificate, places=(_CH, _CR)):
    """compress_certificate (RFC 8879)."""

    algorithms: Annotated[tuple[CertificateCompressionAlgorithm, ...], vector(2, 2**8 - 2)]


class RecordSizeLimit(Extension, extension_type=ExtensionType.record_size_limit, places=(_CH, _EE, _SH12)):
    """record_size_limit (RFC 8449), in bytes of plaintext."""

    record_size_limit: Annotated[int, uint16]


class DelegatedCredentialRequest(Extension, extension_type=ExtensionType.delegated_credential, places=(_CH, _CR)):
    """delegated_credential (RFC 9345): the schemes accepted in a delegated credential."""

    supported_signature_algorithms: Annotated[tuple[SignatureScheme, ...], vector(2, 2**16 - 2)]


class DelegatedCredential(Extension, extension_type=ExtensionType.delegated_credential, places=(_CT,)):
    """A delegated credential (RFC 9345 4)."""

    valid_time: Annotated[int, uint32]
    dc_cert_verify_algorithm: SignatureScheme
    subject_public_key_info: Annotated[bytes, opaque(1, 2**24 - 1)]
    algorithm: SignatureScheme
    signature: Annotated[bytes, opaque(1, 2**16 - 1)]


class TicketRequest(Extension, extension_type=ExtensionType.ticket_request, places=(_CH,)):
    """ticket_request of a client (RFC 9149), in tickets."""

    new_session_count: Annotated[int, uint8]
    resumption_count: Annotated[int, uint8]


class TicketRequestHint(Extension, extension_type=ExtensionType.ticket_request, places=(_EE,)):
    """How many tickets the server means to send (RFC 9149)."""

    expected_count: Annotated[int, uint8]


# RFC 9846 4.3.1, 4.3.2: supported_versions, cookie ----------------------------------------------------------------


class SupportedVersions(Extension, extension_type=ExtensionType.supported_versions, places=(_CH,)):
    """supported_versions in a ClientHello, in order of preference."""

    versions: Annotated[tuple[ProtocolVersion, ...], vector(2, 254)]


class SelectedVersion(Extension, extension_type=ExtensionType.supported_versions, places=(_SH, _HRR)):
    """supported_versions in a ServerHello: the one chosen."""

    selected_version: ProtocolVersion


class Cookie(Extension, extension_type=ExtensionType.cookie, places=(_CH, _HRR)):
    """The cookie of a HelloRetryRequest, and its return."""

    cookie: Annotated[bytes, opaque(1, 2**16 - 1)]


# RFC 9846 4.3.4, 4.3.5, 4.3.6 -------------------------------------------------------------------------------------


class CertificateAuthorities(Extension, extension_type=ExtensionType.certificate_authorities, places=(_CH, _CR)):
    """The distinguished names (DER) of acceptable authorities."""

    authorities: Annotated[tuple[bytes, ...], vector(3, 2**16 - 1, opaque(1, 2**16 - 1))]


class OIDFilter(Struct):
    """A certificate extension and the values wanted in it."""

    certificate_extension_oid: Annotated[bytes, opaque(1, 2**8 - 1)]
    certificate_extension_values: Annotated[bytes, opaque(0, 2**16 - 1)]


class OIDFilters(Extension, extension_type=ExtensionType.oid_filters, places=(_CR,)):
    """What a server wants to find in a client's certificate."""

    filters: Annotated[tuple[OIDFilter, ...], vector(0, 2**16 - 1)]


class PostHandshakeAuth(Extension, extension_type=ExtensionType.post_handshake_auth, places=(_CH,)):
    """The client is willing to authenticate after the handshake."""


# RFC 9846 4.3.8: key_share ----------------------------------------------------------------------------------------


class KeyShareEntry(Struct):
    """A public key for one group."""

    group: NamedGroup
    key_exchange: Annotated[bytes, opaque(1, 2**16 - 1)]


class KeyShareClientHello(Extension, extension_type=ExtensionType.key_share, places=(_CH,)):
    """The shares that a client offers, in order of preference."""

    client_shares: Annotated[tuple[KeyShareEntry, ...], vector(0, 2**16 - 1)]


class KeyShareServerHello(Extension, extension_type=ExtensionType.key_share, places=(_SH,)):
    """The server's share."""

    server_share: KeyShareEntry


class KeyShareHelloRetryRequest(Extension, extension_type=ExtensionType.key_share, places=(_HRR,)):
    """The group for which the server wants a share."""

    selected_group: NamedGroup


# RFC 9846 4.3.9, 4.3.10, 4.3.11: pre-shared keys and early data ---------------------------------------------------


class PskKeyExchangeModes(Extension, extension_type=ExtensionType.psk_key_exchange_modes, places=(_CH,)):
    """How the client is willing to use a pre-shared key."""

    ke_modes: Annotated[tuple[PskKeyExchangeMode, ...], vector(1, 255)]


class EarlyDataIndication(Extension, extension_type=ExtensionType.early_data, places=(_CH, _EE)):
    """Early data follows, or is accepted."""


class EarlyDataTicket(Extension, extension_type=ExtensionType.early_data, places=(_NST,)):
    """How many bytes of early data a ticket allows."""

    max_early_data_size: Annotated[int, uint32]


class PskIdentity(Struct):
    """A pre-shared key's label, and the obfuscated age of a ticket in milliseconds."""

    identity: Annotated[bytes, opaque(1, 2**16 - 1)]
    obfuscated_ticket_age: Annotated[int, uint32]


class OfferedPsks(Extension, extension_type=ExtensionType.pre_shared_key, places=(_CH,)):
    """pre_shared_key in a ClientHello; always the last extension."""

    identities: Annotated[tuple[PskIdentity, ...], vector(7, 2**16 - 1)]
    binders: Annotated[tuple[bytes, ...], vector(33, 2**16 - 1, opaque(32, 255))]


class SelectedPsk(Extension, extension_type=ExtensionType.pre_shared_key, places=(_SH,)):
    """The index of the identity that the server uses."""

    selected_identity: Annotated[int, uint16]


HELLO_RETRY_REQUEST_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def server_hello_place(random: bytes, data: bytes, position: int, end: int) -> Place:
    """Which kind of ServerHello the extensions in ``data[position:end]`` stand in (RFC 9846 4.2.3, 4.3.1)."""
    if random == HELLO_RETRY_REQUEST_RANDOM:
        return Place.HelloRetryRequest
    while position + 4 <= end:
        if data[position : position + 2] == b"\x00\x2b":  # supported_versions: only TLS 1.3 has it here
            return Place.ServerHello
        position += 4 + (data[position + 2] << 8 | data[position + 3])
    return Place.ServerHello12
