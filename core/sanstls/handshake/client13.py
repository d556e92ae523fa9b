"""The client's handshake of TLS 1.3, to be read beside RFC 9846 section 2 and appendix A.1."""

from typing import NamedTuple

from cryptography import x509

from sanstls.config import certificate_message, compressed_certificate
from sanstls.crypto.suites import Suite
from sanstls.events import (
    CertificateReceived,
    ConnectionInfo,
    HelloRetryRequested,
    ServerHelloReceived,
)
from sanstls.handshake.authentication import (
    certificate_kinds,
    check_certificate_verify,
    check_finished,
    choose_own_credential,
    decompressed,
    make_certificate_verify,
    make_finished,
    parse_chain,
    peer_public_key,
    stapled,
    verify_peer,
)
from sanstls.handshake.early_data import drop_early_data, settle_early_data
from sanstls.handshake.established import Established, Established13
from sanstls.handshake.negotiation import (
    agreed_size_limit,
    answer_retry,
    check_encrypted_extensions,
    check_server_hello,
    check_server_hello_after_retry,
    check_size_limit,
    complete_key_exchange,
)
from sanstls.handshake.psk13 import Psk, selected_psk
from sanstls.handshake.resumption import end_of_validity, verify_again
from sanstls.handshake.tickets13 import ReceivedTickets
from sanstls.handshake.vocabulary import ClientHandshake, Flow
from sanstls.identity import Credential, Verified
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.layer import Epoch
from sanstls.schedule.key_schedule13 import KeySchedule
from sanstls.wire.extensions import (
    CertificateAuthorities,
    CertificateCompressionAlgorithms,
    KeyShareHelloRetryRequest,
    SignatureSchemeList,
)
from sanstls.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    CompressedCertificate,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HandshakeMessage,
    ServerHello,
)
from sanstls.wire.registries import ExtensionType, NamedGroup, ProtocolVersion, SignatureScheme

__all__ = ["client_handshake13"]


def client_handshake13(hs: ClientHandshake, hello: ClientHello, server_hello: ServerHello) -> Flow[Established]:
    """ServerHello, or HelloRetryRequest, to client Finished (RFC 9846 2, figures 1 and 2)."""
    # Key exchange (4.2)
    suite = check_server_hello(hs, hello, server_hello)
    is_early = hs.early_data is not None
    hs.start_transcript(suite, is_retried=server_hello.is_retry, keeps_messages=server_hello.is_retry)
    retry: ServerHello | None = None
    if server_hello.is_retry:
        retry = server_hello
        hello = _retry(hs, hello, retry)
        server_hello = yield from hs.expect(ServerHello)
        if server_hello.is_retry:
            raise PeerMisbehaviour.SECOND_RETRY()
        check_server_hello(hs, hello, server_hello)
        check_server_hello_after_retry(retry, server_hello)
    hs.notify(ServerHelloReceived(server_hello))
    if retry is None and not is_early:
        _send_change_cipher_spec(hs, hello)
    psk = selected_psk(hs.psks, hello, server_hello, suite)
    hs.transcript.forget_messages()
    group, client_secret, server_secret = _install_handshake_keys(hs, suite, server_hello, psk)

    # Server parameters (4.4)
    encrypted_extensions = yield from hs.expect(EncryptedExtensions)
    protocol = check_encrypted_extensions(hello, encrypted_extensions)
    limit = check_size_limit(agreed_size_limit(hello, encrypted_extensions.extensions))
    if limit is not None:
        hs.records.limit_records(limit - 1, hs.config.record_size_limit - 1)  # the content type counts
    takes_early_data = settle_early_data(hs, encrypted_extensions, psk, suite, protocol)
    if is_early and retry is None and not takes_early_data:
        hs.records.set_write_secret(Epoch.handshake, suite, client_secret)

    # Authentication of the server (4.5): by its certificate, or by the pre-shared key alone (2.2)
    request: CertificateRequest | None = None
    if psk is None:
        request, server = yield from _authenticate_server(hs, hello)
    else:
        server = yield from _known_server(hs, psk)
    up_to_server_identity = hs.transcript_hash()
    finished = yield from hs.expect(Finished)
    check_finished(hs, finished, server_secret, up_to_server_identity)

    # Application keys hang on everything up to the server's Finished (7.1)
    hs.schedule.extract()
    up_to_server_finished = hs.transcript_hash()
    client_application_secret = hs.derive_secret(b"c ap traffic", up_to_server_finished)
    server_application_secret = hs.derive_secret(b"s ap traffic", up_to_server_finished)
    exporter_secret = hs.derive_secret(b"exp master", up_to_server_finished)
    hs.records.set_read_secret(Epoch.application, suite, server_application_secret)

    # The end of early data (4.6)
    if takes_early_data:
        hs.early_data = None
        hs.send(EndOfEarlyData())
        hs.records.set_write_secret(Epoch.handshake, suite, client_secret)

    # Authentication of the client, if it is asked for, and its Finished (4.5)
    credential: Credential | None = None
    if request is not None:
        credential = yield from _authenticate(hs, request)
    hs.send(make_finished(hs, client_secret))
    hs.records.set_write_secret(Epoch.application, suite, client_application_secret)
    hs.records.pad_data(hs.config.pad_to)
    resumption_secret = hs.derive_secret(b"res master", hs.transcript_hash())

    info = ConnectionInfo(
        version=ProtocolVersion.TLS13,
        cipher_suite=suite.suite,
        group=group,
        signature_scheme=server.scheme,
        alpn=protocol,
        server_name=hs.server_name,
        peer_chain=server.chain,
        verified=server.verified,
        credential=credential,
        hello_retried=retry is not None,
        resumed=psk is not None and psk.session is not None,
        external_psk=psk is not None and psk.session is None,
        early_data=takes_early_data,
    )
    return Established13(
        info,
        "client",
        hs.records,
        suite,
        client_secret=client_application_secret,
        server_secret=server_application_secret,
        exporter_secret=exporter_secret,
        tickets=ReceivedTickets(hs.config, suite.hash_name, resumption_secret, server.not_after),
    )


class _Server(NamedTuple):
    """Who the server has shown to be."""

    chain: tuple[bytes, ...]
    verified: Verified | None
    scheme: SignatureScheme | None
    not_after: float | None
    """Until when it can be that, in Unix seconds."""


def _authenticate_server(hs: ClientHandshake, hello: ClientHello) -> Flow[tuple[CertificateRequest | None, _Server]]:
    """RFC 9846 4.4.2, 4.5.1 and 4.5.2: CertificateRequest or none, Certificate, CertificateVerify."""
    kinds = certificate_kinds(hs.config)
    message = yield from hs.expect(*kinds, CertificateRequest)
    request: CertificateRequest | None = None
    if isinstance(message, CertificateRequest):
        request = message
        if request.certificate_request_context:
            raise PeerMisbehaviour.NONEMPTY_CONTEXT("CertificateRequest in the handshake")
        message = yield from hs.expect(*kinds)
    assert isinstance(message, Certificate | CompressedCertificate)
    certificate = decompressed(hs.config, message)
    chain = _check_certificate(hello, certificate)
    peer_chain = tuple([entry.cert_data for entry in certificate.certificate_list])
    hs.notify(CertificateReceived(peer_chain))
    key, key_oid = peer_public_key(chain[0])
    up_to_certificate = hs.transcript_hash()
    verified = yield from verify_peer(hs, "server", chain, peer_chain, *stapled(certificate))

    certificate_verify = yield from hs.expect(CertificateVerify)
    accepted = hs.config.schemes13
    check_certificate_verify(certificate_verify, "server", key, key_oid, accepted, up_to_certificate)
    end = end_of_validity(verified, peer_chain)
    return request, _Server(peer_chain, verified, certificate_verify.algorithm, end)


def _known_server(hs: ClientHandshake, psk: Psk) -> Flow[_Server]:
    """RFC 9846 2.2: who has the key is who had it. A session's certificates are looked at as the caller wants it."""
    if psk.session is None:
        return _Server((), None, None, None)
    verified = yield from verify_again(hs, psk.session)
    return _Server(psk.session.peer_chain, verified, None, psk.session.not_after)


def _retry(hs: ClientHandshake, hello: ClientHello, retry: ServerHello) -> ClientHello:
    """RFC 9846 4.2.4: answer a HelloRetryRequest."""
    selected = retry.extensions.get(KeyShareHelloRetryRequest)
    hs.notify(HelloRetryRequested(retry, selected.selected_group if selected else None))
    second = answer_retry(hs, hello, retry)
    if hs.early_data is None:
        _send_change_cipher_spec(hs, hello)
    else:
        hs.records.stop_early_data()
        drop_early_data(hs)
    return hs.send(second)


def _send_change_cipher_spec(hs: ClientHandshake, hello: ClientHello) -> None:
    """RFC 9846 E.4: once, before the second flight, if the session ID says compatibility mode."""
    if hello.legacy_session_id:
        hs.send_change_cipher_spec()


def _install_handshake_keys(
    hs: ClientHandshake, suite: Suite, server_hello: ServerHello, psk: Psk | None
) -> tuple[NamedGroup, bytes, bytes]:
    """RFC 9846 7.1: Early Secret, Handshake Secret, and the traffic secrets of the handshake."""
    group, shared_secret = complete_key_exchange(hs, server_hello)
    hs.schedule = KeySchedule(suite.hash_name, None if psk is None else psk.secret)
    hs.schedule.extract(shared_secret)
    up_to_server_hello = hs.transcript_hash()
    client_secret = hs.derive_secret(b"c hs traffic", up_to_server_hello)
    server_secret = hs.derive_secret(b"s hs traffic", up_to_server_hello)
    # The sending keys come first, so that an alert about what must not be between the keys is protected.
    if hs.early_data is None:  # else early data goes on until the server has said what it makes of it
        hs.records.set_write_secret(Epoch.handshake, suite, client_secret)
    hs.records.set_read_secret(Epoch.handshake, suite, server_secret)
    hs.key_shares = {}
    return group, client_secret, server_secret


def _check_certificate(hello: ClientHello, message: Certificate) -> tuple[x509.Certificate, ...]:
    """RFC 9846 4.5.1: what must hold before the chain is verified."""
    if message.certificate_request_context:
        raise PeerMisbehaviour.NONEMPTY_CONTEXT("the server's Certificate")
    if not message.certificate_list:
        raise PeerMisbehaviour.NO_CERTIFICATE()
    for entry in message.certificate_list:
        for extension_type in entry.extensions.types:
            if extension_type not in hello.extensions:
                raise PeerMisbehaviour.UNSOLICITED_EXTENSION(f"{extension_type} with a certificate")
    return parse_chain([entry.cert_data for entry in message.certificate_list])


def _authenticate(hs: ClientHandshake, request: CertificateRequest) -> Flow[Credential | None]:
    """RFC 9846 4.5.1 and 4.5.2: show a certificate and prove its key, or say that there is none."""
    accepted = request.extensions.get(SignatureSchemeList)
    if accepted is None:
        raise PeerMisbehaviour.MISSING_EXTENSION("signature_algorithms", message="CertificateRequest")
    schemes = accepted.supported_signature_algorithms
    authorities = request.extensions.get(CertificateAuthorities)

    def scheme_of(credential: Credential) -> SignatureScheme | None:
        usable = (scheme for scheme in credential.signature_schemes if scheme in hs.config.schemes13)
        return next((scheme for scheme in usable if scheme in schemes), None)

    choice = yield from choose_own_credential(hs, authorities.authorities if authorities else (), schemes, scheme_of)
    if choice is None:
        hs.send(Certificate(request.certificate_request_context, ()))
        return None
    credential, scheme = choice
    is_stapled = bool(credential.ocsp_response) and ExtensionType.status_request in request.extensions
    context = request.certificate_request_context
    hs.send(_own_certificate(hs, request, certificate_message(credential, context=context, is_stapled=is_stapled)))
    hs.send((yield from make_certificate_verify(hs, "client", credential, scheme)))
    return credential


def _own_certificate(hs: ClientHandshake, request: CertificateRequest, message: Certificate) -> HandshakeMessage:
    """RFC 8879 4: compressed, if the server can undo that."""
    offered = request.extensions.get(CertificateCompressionAlgorithms)
    for compressor in hs.config.certificate_compression:
        if offered is not None and compressor.algorithm in offered.algorithms:
            return compressed_certificate(message, compressor)
    return message
