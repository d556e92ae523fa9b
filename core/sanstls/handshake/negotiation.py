"""What the hellos mean: how they are made, checked and chosen from (RFC 9846 4.2, 4.3).

Checks stand in the order of the RFC; each violation is one line.
"""

from sanstls.config import ClientConfig, ServerConfig, compression_extension
from sanstls.crypto.groups import BadKeyShare, generate, respond
from sanstls.crypto.suites import Suite
from sanstls.handshake.grease import greased
from sanstls.handshake.psk13 import Psk, bind, offered_psks, psk_extension
from sanstls.handshake.vocabulary import ClientHandshake, ServerHandshake
from sanstls.identity import Credential
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MIN_RECORD_SIZE_LIMIT
from sanstls.sessions import Session
from sanstls.wire.extensions import (
    HELLO_RETRY_REQUEST_RANDOM,
    CertificateAuthorities,
    Cookie,
    EarlyDataIndication,
    Extension,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    KeyShareHelloRetryRequest,
    KeyShareServerHello,
    NamedGroupList,
    OCSPStatusRequest,
    OfferedPsks,
    ProtocolNameList,
    RecordSizeLimit,
    SelectedPsk,
    SelectedVersion,
    ServerName,
    ServerNameAcknowledgement,
    ServerNameList,
    SessionTicket,
    SignatureSchemeList,
    SupportedVersions,
)
from sanstls.wire.messages import CertificateRequest, ClientHello, EncryptedExtensions, ServerHello
from sanstls.wire.registries import (
    CertificateStatusType,
    ExtensionType,
    NamedGroup,
    NameType,
    ProtocolVersion,
    SignatureScheme,
)

_TLS12, _TLS13 = ProtocolVersion.TLS12, ProtocolVersion.TLS13
_DOWNGRADE_SENTINELS = (b"DOWNGRD\x01", b"DOWNGRD\x00")
_NULL_COMPRESSION = b"\x00"


# The client's side -------------------------------------------------------------------------------------------------


def build_client_hello(hs: ClientHandshake) -> ClientHello:
    """RFC 9846 4.2.2: the first ClientHello."""
    config = hs.config
    for group in config.first_shares:
        hs.key_shares[group] = generate(group, config.random)
    extensions: list[Extension] = []
    if hs.server_name is not None and not _is_ip_address(hs.server_name):
        extensions.append(ServerNameList((ServerName(NameType.host_name, hs.server_name.encode("ascii")),)))
    extensions += config.hello_extensions
    if config.speaks_tls13:
        extensions.append(_offer_shares(hs))
    session_id = config.random(32) if config.speaks_tls13 and config.middlebox_compatibility else b""
    if config.speaks_tls12:
        session = hs.session if hs.session is not None and hs.session.version == _TLS12 else None
        extensions.append(SessionTicket(session.ticket if session is not None else b""))
        if session is not None:  # the echo of any session ID tells that the ticket was taken (RFC 5077 3.4)
            session_id = session.session_id or session_id or config.random(32)
    if config.speaks_tls13:
        hs.psks = offered_psks(hs)
        if hs.wants_early_data and early_data_of(config, hs.session):
            extensions.append(EarlyDataIndication())
        if hs.psks:
            extensions.append(psk_extension(hs, hs.psks))
    hello = ClientHello(
        legacy_version=_TLS12,
        random=config.random(32),
        legacy_session_id=session_id,
        cipher_suites=config.hello_suites,
        legacy_compression_methods=_NULL_COMPRESSION,
        extensions=Extensions(extensions),
    )
    if config.grease:
        hello = greased(hello, config.random)
    return bind(hs, hello, hs.psks)


def early_data_of(config: ClientConfig, session: Session | None) -> int:
    """RFC 9846 4.3.10: how much early data a session allows, if this configuration would agree on the same again."""
    if session is None or session.version != _TLS13 or session.cipher_suite not in config.suites13:
        return 0
    return session.max_early_data if session.alpn is None or session.alpn in config.alpn else 0


def _is_ip_address(server_name: str) -> bool:
    """RFC 6066 3: literal addresses are not sent in server_name."""
    return ":" in server_name or server_name.replace(".", "").isdigit()


def _offer_shares(hs: ClientHandshake) -> KeyShareClientHello:
    return KeyShareClientHello(tuple([KeyShareEntry(group, share.public) for group, share in hs.key_shares.items()]))


def answer_retry(hs: ClientHandshake, hello: ClientHello, retry: ServerHello) -> ClientHello:
    """RFC 9846 4.2.4 and 4.2.2: the second ClientHello, the same but for what the server asked for."""
    selected = retry.extensions.get(KeyShareHelloRetryRequest)
    cookie = retry.extensions.get(Cookie)
    if selected is None and cookie is None:
        raise PeerMisbehaviour.USELESS_RETRY()
    if selected is not None:
        group = selected.selected_group
        if group not in hs.config.groups:
            raise PeerMisbehaviour.RETRY_FOR_UNOFFERED_GROUP(str(group))
        if group in hs.key_shares:
            raise PeerMisbehaviour.RETRY_FOR_SENT_SHARE(str(group))
        hs.key_shares = {group: generate(group, hs.config.random)}
    extensions: list[Extension] = []
    for extension in hello.extensions:
        is_share = selected is not None and extension.type == ExtensionType.key_share
        if extension.type not in (ExtensionType.pre_shared_key, ExtensionType.early_data):
            extensions.append(_offer_shares(hs) if is_share else extension)
    if cookie is not None:
        extensions.append(cookie)
    hs.psks = offered_psks(hs, hs.suite.hash_name)
    if hs.psks:
        extensions.append(psk_extension(hs, hs.psks))
    return bind(hs, hello.replace(extensions=Extensions(extensions)), hs.psks)


def check_server_hello(hs: ClientHandshake, hello: ClientHello, server_hello: ServerHello) -> Suite:
    """RFC 9846 4.2.3: what holds for a ServerHello and a HelloRetryRequest alike. Gives the suite."""
    if check_selected_version(hs.config, server_hello) is not _TLS13:  # only the first answer may choose TLS 1.2
        raise PeerMisbehaviour.UNOFFERED_VERSION("TLS 1.2 after a HelloRetryRequest")
    if server_hello.legacy_version != _TLS12:
        raise PeerMisbehaviour.WRONG_LEGACY_VERSION(server_hello.legacy_version.text)
    for extension_type in server_hello.extensions.types:
        if extension_type not in hello.extensions and not (
            server_hello.is_retry and extension_type == ExtensionType.cookie
        ):
            raise PeerMisbehaviour.UNSOLICITED_EXTENSION(str(extension_type))
    if server_hello.legacy_session_id_echo != hello.legacy_session_id:
        raise PeerMisbehaviour.SESSION_ID_NOT_ECHOED()
    suite = hs.config.suites13.get(server_hello.cipher_suite)
    if suite is None:
        raise PeerMisbehaviour.UNOFFERED_CIPHER_SUITE(str(server_hello.cipher_suite))
    if server_hello.legacy_compression_method != 0:
        raise PeerMisbehaviour.COMPRESSION_CHOSEN()
    return suite


def check_selected_version(config: ClientConfig, server_hello: ServerHello) -> ProtocolVersion:
    """RFC 9846 4.3.1, and the downgrade sentinels of 4.2.3: the version that the server chose."""
    selected = server_hello.extensions.get(SelectedVersion)
    if selected is not None:
        if not config.speaks_tls13:
            raise PeerMisbehaviour.UNSOLICITED_EXTENSION("supported_versions")
        if selected.selected_version != _TLS13:
            raise PeerMisbehaviour.UNOFFERED_VERSION(selected.selected_version.text)
        return _TLS13
    if server_hello.is_retry:
        raise PeerMisbehaviour.MISSING_EXTENSION("supported_versions")
    version = server_hello.legacy_version
    if config.speaks_tls13 and server_hello.random[-8:] in _DOWNGRADE_SENTINELS:
        raise PeerMisbehaviour.DOWNGRADE_SENTINEL(f"it chose {version.text}")
    if version < _TLS12:
        raise PeerMisbehaviour.OBSOLETE_VERSION(f"the server chose {version.text}")
    if version != _TLS12 or not config.speaks_tls12:
        offered = _TLS13 if config.speaks_tls13 else _TLS12
        raise PeerMisbehaviour.NO_COMMON_VERSION(f"the server chose {version.text}; offered was {offered.text}")
    return _TLS12


def check_server_hello_after_retry(retry: ServerHello, server_hello: ServerHello) -> None:
    """RFC 9846 4.2.4: what was chosen in the HelloRetryRequest stays chosen."""
    if server_hello.cipher_suite != retry.cipher_suite:
        raise PeerMisbehaviour.CHANGED_AFTER_RETRY("another cipher suite")
    selected = retry.extensions.get(KeyShareHelloRetryRequest)
    share = server_hello.extensions.get(KeyShareServerHello)
    if selected is not None and share is not None and share.server_share.group != selected.selected_group:
        raise PeerMisbehaviour.CHANGED_AFTER_RETRY("another group")


def complete_key_exchange(hs: ClientHandshake, server_hello: ServerHello) -> tuple[NamedGroup, bytes]:
    """RFC 9846 4.3.8: the group of the server's share and the shared secret."""
    extension = server_hello.extensions.get(KeyShareServerHello)
    if extension is None:
        raise PeerMisbehaviour.MISSING_EXTENSION("key_share")
    entry = extension.server_share
    own = hs.key_shares.get(entry.group)
    if own is None:
        raise PeerMisbehaviour.UNOFFERED_GROUP(str(entry.group))
    try:
        return entry.group, own.complete(entry.key_exchange)
    except BadKeyShare as error:
        raise PeerMisbehaviour.BAD_KEY_SHARE(str(error)) from error


def check_encrypted_extensions(hello: ClientHello, encrypted: EncryptedExtensions) -> str | None:
    """RFC 9846 4.4.1: nothing unasked. Gives the application protocol (RFC 7301 3.1)."""
    for extension_type in encrypted.extensions.types:
        if extension_type not in hello.extensions:
            raise PeerMisbehaviour.UNSOLICITED_EXTENSION(str(extension_type))
    return chosen_protocol(hello, encrypted.extensions)


def chosen_protocol(hello: ClientHello, extensions: Extensions) -> str | None:
    """RFC 7301 3.1: the server's choice, which must be one of those that were offered."""
    chosen = extensions.get(ProtocolNameList)
    if chosen is None:
        return None
    offered = hello.extensions.get(ProtocolNameList)
    names = chosen.protocol_name_list
    if len(names) != 1 or offered is None or names[0] not in offered.protocol_name_list:
        raise PeerMisbehaviour.BAD_PROTOCOL_CHOICE()
    return names[0].decode()


# The server's side -------------------------------------------------------------------------------------------------


def choose_version(config: ServerConfig, hello: ClientHello) -> ProtocolVersion:
    """RFC 9846 4.3.1: the highest version in common; supported_versions alone counts where it is there."""
    versions = hello.extensions.get(SupportedVersions)
    if versions is not None:
        if config.speaks_tls13 and _TLS13 in versions.versions:
            return _TLS13
        if config.speaks_tls12 and _TLS12 in versions.versions:
            return _TLS12
        offered = ", ".join(version.text for version in versions.versions[:8])
        if max(versions.versions) < _TLS12:
            raise PeerMisbehaviour.OBSOLETE_VERSION(f"the client offers {offered}")
        raise PeerMisbehaviour.NO_COMMON_VERSION(f"the client offers {offered}")
    if hello.legacy_version < _TLS12:
        raise PeerMisbehaviour.OBSOLETE_VERSION(f"the client speaks {hello.legacy_version.text} at most")
    if not config.speaks_tls12:
        raise PeerMisbehaviour.NO_COMMON_VERSION("the client does not offer TLS 1.3")
    return _TLS12


def check_client_hello(hello: ClientHello) -> None:
    """RFC 9846 4.2.2 and 9.2: what a TLS 1.3 ClientHello must hold."""
    extensions = hello.extensions
    if hello.legacy_version != _TLS12:
        raise PeerMisbehaviour.WRONG_LEGACY_VERSION(hello.legacy_version.text)
    if hello.legacy_compression_methods != _NULL_COMPRESSION:
        raise PeerMisbehaviour.COMPRESSION_OFFERED()
    _check_psks(extensions)
    # A pre-shared key is never used alone here, so that a share is needed even beside one; a signature is not.
    for needed in (ExtensionType.signature_algorithms, ExtensionType.supported_groups, ExtensionType.key_share):
        is_needed = needed != ExtensionType.signature_algorithms or ExtensionType.pre_shared_key not in extensions
        if is_needed and needed not in extensions:
            raise PeerMisbehaviour.MISSING_EXTENSION(str(needed))
    shares = extensions.get(KeyShareClientHello)
    groups = extensions.get(NamedGroupList)
    assert shares is not None
    assert groups is not None
    seen: set[int] = set()
    for entry in shares.client_shares:
        if entry.group in seen:
            raise PeerMisbehaviour.DUPLICATE_KEY_SHARE(str(entry.group))
        if entry.group not in groups.named_group_list:
            raise PeerMisbehaviour.UNOFFERED_GROUP(str(entry.group))
        seen.add(entry.group)


def _check_psks(extensions: Extensions) -> None:
    """RFC 9846 4.3.9 and 4.3.11."""
    psks = extensions.get(OfferedPsks)
    if psks is None:
        return
    if extensions.types[-1] != ExtensionType.pre_shared_key:
        raise PeerMisbehaviour.PSK_NOT_LAST()
    if ExtensionType.psk_key_exchange_modes not in extensions:
        raise PeerMisbehaviour.PSK_WITHOUT_MODES()
    if len(psks.identities) != len(psks.binders):
        raise PeerMisbehaviour.BINDERS_DO_NOT_MATCH()


def requested_server_name(hello: ClientHello) -> str | None:
    """RFC 6066 3: the host name that the client asks for, in lower case."""
    names = hello.extensions.get(ServerNameList)
    if names is None:
        return None
    hosts = [entry.name for entry in names.server_name_list if int(entry.name_type) == int(NameType.host_name)]
    if len(hosts) != 1:
        raise PeerMisbehaviour.BAD_SERVER_NAME(f"{len(hosts)} host names")
    try:
        name = hosts[0].decode("ascii").lower()
    except UnicodeDecodeError:
        raise PeerMisbehaviour.BAD_SERVER_NAME("not ASCII") from None
    if not name.isprintable() or " " in name or len(name) > 255:
        raise PeerMisbehaviour.BAD_SERVER_NAME("not a DNS name")
    return name.removesuffix(".")


def offered_protocols(hello: ClientHello) -> tuple[str, ...]:
    """RFC 7301: what the client offers, for people; bytes that are no UTF-8 are escaped."""
    names = hello.extensions.get(ProtocolNameList)
    return tuple([name.decode("utf-8", "backslashreplace") for name in names.protocol_name_list]) if names else ()


def choose_cipher_suite(config: ServerConfig, hello: ClientHello) -> Suite:
    """RFC 9846 4.2.1: the server's first that the client offers."""
    for suite in config.suites13.values():
        if suite.suite in hello.cipher_suites:
            return suite
    raise PeerMisbehaviour.NO_COMMON_CIPHER_SUITE(f"the client offers {', '.join(map(str, hello.cipher_suites[:8]))}")


def choose_group(config: ServerConfig, hello: ClientHello) -> tuple[NamedGroup, bytes | None]:
    """RFC 9846 4.2.1: the group and the client's share for it.

    The server's first group of which there is a share; where there is none, the
    first in common, for which a HelloRetryRequest must ask.
    """
    shares = hello.extensions.get(KeyShareClientHello)
    groups = hello.extensions.get(NamedGroupList)
    assert shares is not None
    assert groups is not None
    by_group = {entry.group: entry.key_exchange for entry in shares.client_shares}
    for group in config.groups:
        if group in by_group:
            return group, by_group[group]
    for group in config.groups:
        if group in groups.named_group_list:
            return group, None
    raise PeerMisbehaviour.NO_COMMON_GROUP(f"the client offers {', '.join(map(str, groups.named_group_list[:8]))}")


def choose_protocol(config: ServerConfig, hello: ClientHello) -> str | None:
    """RFC 7301 3.2: the server's first that the client offers; none if either side does not care."""
    offered = hello.extensions.get(ProtocolNameList)
    if offered is None or not config.alpn:
        return None
    for name, encoded in zip(config.alpn, config.alpn_names, strict=True):
        if encoded in offered.protocol_name_list:
            return name
    raise PeerMisbehaviour.NO_COMMON_PROTOCOL(f"the client offers {', '.join(offered_protocols(hello)[:8])}")


def choose_credential(
    config: ServerConfig, hello: ClientHello, server_name: str | None
) -> tuple[Credential, SignatureScheme]:
    """RFC 9846 4.5.1.2: a credential of the right name whose signature the client can verify."""
    accepted = hello.extensions.get(SignatureSchemeList)
    if accepted is None:  # the pre-shared key that it came with is not known
        raise PeerMisbehaviour.MISSING_EXTENSION("signature_algorithms")
    schemes = accepted.supported_signature_algorithms
    named = [c for c in config.credentials if server_name is not None and c.matches(server_name)]
    for credential in (*named, *config.credentials):
        if not credential.can_sign:
            continue
        for scheme in credential.signature_schemes:
            if scheme in schemes and scheme in config.schemes13:
                return credential, scheme
    raise PeerMisbehaviour.NO_SUITABLE_CREDENTIAL(f"it accepts {', '.join(map(str, schemes[:12]))}")


def build_hello_retry_request(hello: ClientHello, suite: Suite, group: NamedGroup) -> ServerHello:
    """RFC 9846 4.2.4."""
    return ServerHello(
        legacy_version=_TLS12,
        random=HELLO_RETRY_REQUEST_RANDOM,
        legacy_session_id_echo=hello.legacy_session_id,
        cipher_suite=suite.suite,
        legacy_compression_method=0,
        extensions=Extensions([SelectedVersion(_TLS13), KeyShareHelloRetryRequest(group)]),
    )


# RFC 9846 4.2.2: all that may differ in the second ClientHello.
_MAY_CHANGE = frozenset(
    {
        ExtensionType.key_share,
        ExtensionType.early_data,
        ExtensionType.cookie,
        ExtensionType.pre_shared_key,
        ExtensionType.padding,
    }
)


def check_retried_hello(first: ClientHello, second: ClientHello, group: NamedGroup) -> bytes:
    """RFC 9846 4.2.2 and 4.3.8: the second ClientHello is the first, with the share asked for. Gives that share."""
    fields = ("legacy_version", "random", "legacy_session_id", "cipher_suites", "legacy_compression_methods")
    for name in fields:
        if getattr(first, name) != getattr(second, name):
            raise PeerMisbehaviour.RETRIED_HELLO_CHANGED(name)
    kept_first = [extension for extension in first.extensions if extension.type not in _MAY_CHANGE]
    kept_second = [extension for extension in second.extensions if extension.type not in _MAY_CHANGE]
    if kept_first != kept_second:
        raise PeerMisbehaviour.RETRIED_HELLO_CHANGED("extensions")
    if ExtensionType.early_data in second.extensions:
        raise PeerMisbehaviour.RETRIED_HELLO_CHANGED("early_data")
    _check_psks(second.extensions)
    shares = second.extensions.get(KeyShareClientHello)
    if shares is None or [entry.group for entry in shares.client_shares] != [group]:
        raise PeerMisbehaviour.RETRY_NOT_HEEDED(str(group))
    return shares.client_shares[0].key_exchange


def build_server_hello(
    hs: ServerHandshake, hello: ClientHello, group: NamedGroup, client_share: bytes, psk: Psk | None
) -> tuple[ServerHello, bytes]:
    """RFC 9846 4.2.3: the ServerHello and the shared secret."""
    try:
        share, shared_secret = respond(group, client_share, hs.config.random)
    except BadKeyShare as error:
        raise PeerMisbehaviour.BAD_KEY_SHARE(str(error)) from error
    extensions: list[Extension] = [SelectedVersion(_TLS13), KeyShareServerHello(KeyShareEntry(group, share))]
    if psk is not None:
        extensions.append(SelectedPsk(psk.number))
    server_hello = ServerHello(
        legacy_version=_TLS12,
        random=hs.config.random(32),
        legacy_session_id_echo=hello.legacy_session_id,
        cipher_suite=hs.suite.suite,
        legacy_compression_method=0,
        extensions=Extensions(extensions),
    )
    return server_hello, shared_secret


def wants_staple(hello: ClientHello) -> bool:
    """RFC 9846 4.5.1.1, RFC 6066 8: whether the client asks for an OCSP response."""
    request = hello.extensions.get(OCSPStatusRequest)
    return request is not None and request.status_type == CertificateStatusType.ocsp


def build_certificate_request(config: ServerConfig) -> CertificateRequest:
    """RFC 9846 4.4.2: what the client's certificate should be."""
    extensions: list[Extension] = [SignatureSchemeList(config.signature_schemes)]
    if config.client_authorities:
        extensions.append(CertificateAuthorities(config.client_authorities))
    if config.certificate_compression:
        extensions.append(compression_extension(config.certificate_compression))
    return CertificateRequest(b"", Extensions(extensions))


def build_encrypted_extensions(
    protocol: str | None,
    *,
    is_name_used: bool,
    takes_early_data: bool = False,
    record_size_limit: int | None = None,
) -> EncryptedExtensions:
    """RFC 9846 4.4.1."""
    extensions: list[Extension] = [EarlyDataIndication()] if takes_early_data else []
    if is_name_used:
        extensions.append(ServerNameAcknowledgement())
    if record_size_limit is not None:
        extensions.append(RecordSizeLimit(record_size_limit))
    if protocol is not None:
        extensions.append(ProtocolNameList((protocol.encode(),)))
    return EncryptedExtensions(Extensions(extensions))


def offered_size_limit(hello: ClientHello) -> int | None:
    """RFC 8449 4: the client's record_size_limit."""
    limit = hello.extensions.get(RecordSizeLimit)
    return None if limit is None else check_size_limit(limit.record_size_limit)


def agreed_size_limit(hello: ClientHello, extensions: Extensions) -> int | None:
    """RFC 8449 4: the peer's record_size_limit, if both sides have sent one. ``extensions`` are the server's."""
    own, theirs = hello.extensions.get(RecordSizeLimit), extensions.get(RecordSizeLimit)
    return theirs.record_size_limit if own is not None and theirs is not None else None


def check_size_limit(limit: int | None) -> int | None:
    """RFC 8449 4: a limit below 64 can't be; a larger one than there are records is no limit."""
    if limit is not None and limit < MIN_RECORD_SIZE_LIMIT:
        raise PeerMisbehaviour.BAD_RECORD_SIZE_LIMIT(f"{limit} bytes")
    return limit
