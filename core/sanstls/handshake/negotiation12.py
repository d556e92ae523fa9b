"""What the hellos of TLS 1.2 mean: how they are made, checked and chosen from (RFC 5246 7.4.1, RFC 8422 5)."""

from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from sanstls.config import ClientConfig, ServerConfig
from sanstls.crypto.signatures import fits12
from sanstls.crypto.suites import Suite12
from sanstls.handshake.negotiation import chosen_protocol, wants_staple
from sanstls.handshake.vocabulary import ClientHandshake, ServerHandshake
from sanstls.identity import Credential
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.limits import MAX_PLAINTEXT
from sanstls.sessions import Session
from sanstls.wire.extensions import (
    ECPointFormatList,
    ExtendedMainSecret,
    Extension,
    Extensions,
    NamedGroupList,
    ProtocolNameList,
    RecordSizeLimit,
    RenegotiationInfo,
    ServerNameAcknowledgement,
    SignatureSchemeList,
    StatusRequestFlag,
)
from sanstls.wire.messages import ClientHello, ServerHello
from sanstls.wire.registries import (
    CipherSuite,
    ECPointFormat,
    ExtensionType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)

_TLS12, _TLS13 = ProtocolVersion.TLS12, ProtocolVersion.TLS13
_SENTINEL = b"DOWNGRD\x01"


# The client's side -------------------------------------------------------------------------------------------------


class ServerChoice(NamedTuple):
    """What a ServerHello of TLS 1.2 settles."""

    suite: Suite12
    has_extended_master_secret: bool
    protocol: str | None
    may_staple: bool
    """Whether a CertificateStatus may come."""
    gives_ticket: bool
    """Whether a NewSessionTicket comes."""
    session: Session | None
    """The session that the server resumes."""


def check_server_hello12(hs: ClientHandshake, hello: ClientHello, server_hello: ServerHello) -> ServerChoice:
    """RFC 5246 7.4.1.3 and 7.4.1.4, RFC 5746 3.4, RFC 7627 5.2 and 5.3, RFC 8422 5.2."""
    config = hs.config
    extensions = server_hello.extensions
    for extension_type in extensions.types:
        if extension_type not in hello.extensions:
            raise PeerMisbehaviour.UNSOLICITED_EXTENSION(str(extension_type))
    suite = config.suites12.get(server_hello.cipher_suite)
    if suite is None:
        hint = "; legacy_rsa_key_transport=True would offer it" if _is_key_transport(server_hello.cipher_suite) else ""
        raise PeerMisbehaviour.UNOFFERED_CIPHER_SUITE(f"{server_hello.cipher_suite}{hint}")
    if server_hello.legacy_compression_method != 0:
        raise PeerMisbehaviour.COMPRESSION_CHOSEN()
    renegotiation = extensions.get(RenegotiationInfo)
    if renegotiation is None and not config.legacy_renegotiation_peers:
        raise PeerMisbehaviour.NO_RENEGOTIATION_INFO("legacy_renegotiation_peers=True would accept such a server")
    if renegotiation is not None and renegotiation.renegotiated_connection:
        raise PeerMisbehaviour.BAD_RENEGOTIATION_INFO()
    has_extended_master_secret = ExtensionType.extended_master_secret in extensions
    if config.require_extended_master_secret and not has_extended_master_secret:
        raise PeerMisbehaviour.NO_EXTENDED_MASTER_SECRET("this client requires it")
    _check_point_formats(extensions)
    # The session ID of a TLS 1.3 client in compatibility mode is no session, and nobody can know it.
    session: Session | None = None
    if hello.legacy_session_id and server_hello.legacy_session_id_echo == hello.legacy_session_id:
        session = hs.session
        if session is None or session.version != _TLS12:
            raise PeerMisbehaviour.UNOFFERED_SESSION()
        if suite.suite != session.cipher_suite:
            raise PeerMisbehaviour.RESUMED_OTHERWISE(f"{suite.suite} instead of {session.cipher_suite}")
        if not has_extended_master_secret:  # only sessions that have it are offered
            raise PeerMisbehaviour.NO_EXTENDED_MASTER_SECRET("and the session that it resumes has")
    return ServerChoice(
        suite,
        has_extended_master_secret,
        chosen_protocol(hello, extensions),
        may_staple=ExtensionType.status_request in extensions,
        gives_ticket=ExtensionType.session_ticket in extensions,
        session=session,
    )


def _is_key_transport(suite: CipherSuite) -> bool:
    return suite.name.startswith("TLS_RSA_WITH_")


def _check_point_formats(extensions: Extensions) -> None:
    """RFC 8422 5.1.2: uncompressed points are always possible."""
    formats = extensions.get(ECPointFormatList)
    if formats is not None and ECPointFormat.uncompressed not in formats.ec_point_format_list:
        raise PeerMisbehaviour.NO_UNCOMPRESSED_POINTS()


# The server's side -------------------------------------------------------------------------------------------------


class Choice(NamedTuple):
    """What a server chose."""

    suite: Suite12
    credential: Credential
    group: NamedGroup | None
    """Where the key exchange is ECDHE."""
    scheme: SignatureScheme | None
    """With which its ServerKeyExchange is signed."""


def check_client_hello12(config: ServerConfig, hello: ClientHello) -> None:
    """RFC 5246 7.4.1.2, RFC 7507 3, RFC 5746 3.6, RFC 7627 5.2, RFC 8422 5.1.2."""
    if CipherSuite.TLS_FALLBACK_SCSV in hello.cipher_suites and config.speaks_tls13:
        raise PeerMisbehaviour.INAPPROPRIATE_FALLBACK("the client fell back to TLS 1.2, and TLS 1.3 is spoken here")
    if 0 not in hello.legacy_compression_methods:
        raise PeerMisbehaviour.NO_NULL_COMPRESSION()
    renegotiation = hello.extensions.get(RenegotiationInfo)
    if renegotiation is not None and renegotiation.renegotiated_connection:
        raise PeerMisbehaviour.BAD_RENEGOTIATION_INFO()
    if config.require_extended_master_secret and ExtensionType.extended_master_secret not in hello.extensions:
        raise PeerMisbehaviour.NO_EXTENDED_MASTER_SECRET("this server requires it")
    _check_point_formats(hello.extensions)


def choose12(config: ServerConfig, hello: ClientHello, server_name: str | None) -> Choice:
    """A credential of the right name first, and for it the server's first cipher suite that both can do."""
    named = [c for c in config.credentials if server_name is not None and c.matches(server_name)]
    group = _choose_group(config, hello)
    for credential in (*named, *config.credentials):
        scheme = _choose_scheme(config, hello, credential)
        for suite in config.suites12.values():
            if suite.suite not in hello.cipher_suites:
                continue
            if suite.key_exchange == "RSA":
                if credential.can_decrypt:
                    return Choice(suite, credential, None, None)
            elif group is not None and scheme is not None and _authentication(scheme) == suite.authentication:
                return Choice(suite, credential, group, scheme)
    raise _no_choice(config, hello)


def _choose_group(config: ServerConfig, hello: ClientHello) -> NamedGroup | None:
    """RFC 8422 5.1: a client that says nothing can do any; P-256 is what it can do most likely."""
    offered = hello.extensions.get(NamedGroupList)
    groups = offered.named_group_list if offered is not None else (NamedGroup.secp256r1,)
    return next((group for group in config.groups12 if group in groups), None)


def _choose_scheme(config: ServerConfig, hello: ClientHello, credential: Credential) -> SignatureScheme | None:
    """RFC 5246 7.4.1.4.1. A client that says nothing means SHA-1, with which nothing is signed here (RFC 9155).

    RFC 8422 5.3: a certificate's curve has to be one of those that the client names.
    """
    if not credential.can_sign:
        return None
    groups = hello.extensions.get(NamedGroupList)
    key = credential.public_key
    curve = NamedGroup[key.curve.name] if isinstance(key, ec.EllipticCurvePublicKey) else None
    if groups is not None and curve is not None and curve not in groups.named_group_list:
        return None
    accepted = hello.extensions.get(SignatureSchemeList)
    return choose_scheme12(credential, accepted.supported_signature_algorithms if accepted else (), config)


def choose_scheme12(
    credential: Credential, accepted: tuple[SignatureScheme, ...], config: ServerConfig | ClientConfig
) -> SignatureScheme | None:
    """The first scheme of a credential that the peer accepts. ECDSA schemes bind no curve in TLS 1.2."""
    for scheme in credential.signature_schemes_tls12:
        if scheme in accepted and scheme in config.schemes12:
            return scheme
    oid = credential.leaf.public_key_algorithm_oid.dotted_string
    for scheme in config.schemes12:
        if scheme.name.startswith("ecdsa_") and scheme in accepted and fits12(scheme, credential.public_key, oid):
            return scheme
    return None


def _authentication(scheme: SignatureScheme) -> str:
    return "RSA" if scheme.name.startswith("rsa_") else "ECDSA"


def _no_choice(config: ServerConfig, hello: ClientHello) -> Exception:
    """Why nothing fits, in words for the person who reads the log."""
    common = [suite for suite in hello.cipher_suites if suite in config.suites12]
    offered = ", ".join(map(str, hello.cipher_suites[:8]))
    if not common:
        is_rsa_offered = any(map(_is_key_transport, hello.cipher_suites))
        hint = "; legacy_rsa_key_transport=True would allow TLS_RSA_WITH_AES_*_GCM" if is_rsa_offered else ""
        return PeerMisbehaviour.NO_COMMON_CIPHER_SUITE(f"the client offers {offered}{hint}")
    if _choose_group(config, hello) is None:
        return PeerMisbehaviour.NO_COMMON_GROUP("none of TLS 1.2")
    return PeerMisbehaviour.NO_SUITABLE_CREDENTIAL(f"it offers {', '.join(map(str, common[:8]))}")


def build_server_hello12(
    hs: ServerHandshake,
    hello: ClientHello,
    suite: Suite12,
    protocol: str | None,
    session_id: bytes,
    extensions: list[Extension],
) -> ServerHello:
    """RFC 5246 7.4.1.3. The downgrade sentinel is RFC 9846 4.2.3's."""
    config = hs.config
    random = config.random(32)
    if config.speaks_tls13:
        random = random[:24] + _SENTINEL
    answers = [*extensions]
    if _knows_renegotiation_info(hello):
        answers.append(RenegotiationInfo(b""))
    if ExtensionType.extended_master_secret in hello.extensions:
        answers.append(ExtendedMainSecret())
    if suite.key_exchange != "RSA" and ExtensionType.ec_point_formats in hello.extensions:
        answers.append(ECPointFormatList((ECPointFormat.uncompressed,)))
    if ExtensionType.record_size_limit in hello.extensions:
        answers.append(RecordSizeLimit(min(config.record_size_limit, MAX_PLAINTEXT)))
    if protocol is not None:
        answers.append(ProtocolNameList((protocol.encode(),)))
    return ServerHello(
        legacy_version=_TLS12,
        random=random,
        legacy_session_id_echo=session_id,
        cipher_suite=suite.suite,
        legacy_compression_method=0,
        extensions=Extensions(answers, is_present=bool(answers)),
    )


def full_handshake_extensions(hello: ClientHello, credential: Credential, server_name: str | None) -> list[Extension]:
    """What is answered only where the server shows a certificate: that it used the name, and has a staple."""
    answers: list[Extension] = []
    if server_name is not None and credential.matches(server_name):
        answers.append(ServerNameAcknowledgement())
    if credential.ocsp_response and wants_staple(hello):
        answers.append(StatusRequestFlag())
    return answers


def _knows_renegotiation_info(hello: ClientHello) -> bool:
    """RFC 5746 3.6: by the extension, or by the suite that stands for it."""
    return (
        ExtensionType.renegotiation_info in hello.extensions
        or CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV in hello.cipher_suites
    )
