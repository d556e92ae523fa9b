"""The client's handshake of TLS 1.3, to be read beside RFC 9846 section 2 and appendix A.1."""

from collections.abc import Callable

from cryptography import x509

from sanstls.crypto.suites import Suite
from sanstls.events import (
    CertificateReceived,
    ConnectionInfo,
    HelloRetryRequested,
    ServerHelloReceived,
    VerificationRequest,
)
from sanstls.handshake.authentication import (
    check_certificate_verify,
    check_finished,
    make_finished,
    parse_chain,
    peer_public_key,
)
from sanstls.handshake.established import Established, Established13
from sanstls.handshake.negotiation import (
    answer_retry,
    build_client_hello,
    check_encrypted_extensions,
    check_server_hello,
    check_server_hello_after_retry,
    complete_key_exchange,
)
from sanstls.handshake.vocabulary import ClientHandshake, Flow
from sanstls.identity import Verified
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.layer import Epoch
from sanstls.schedule.key_schedule13 import KeySchedule
from sanstls.wire.extensions import KeyShareHelloRetryRequest
from sanstls.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    Finished,
    ServerHello,
)
from sanstls.wire.registries import NamedGroup, ProtocolVersion

__all__ = ["client_handshake"]


def client_handshake(hs: ClientHandshake) -> Flow[Established]:
    """ClientHello to client Finished (RFC 9846 2, figure 1)."""
    hello = hs.send(build_client_hello(hs))
    hs.client_random = hello.random

    # Key exchange (4.2)
    server_hello = yield from hs.expect(ServerHello)
    suite = check_server_hello(hs, hello, server_hello)
    hs.start_transcript(suite, is_retried=server_hello.is_retry)
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
    if retry is None:
        _send_change_cipher_spec(hs, hello)
    group, client_secret, server_secret = _install_handshake_keys(hs, suite, server_hello)

    # Server parameters (4.4)
    encrypted_extensions = yield from hs.expect(EncryptedExtensions)
    protocol = check_encrypted_extensions(hello, encrypted_extensions)

    # Authentication of the server (4.5)
    certificate = yield from hs.expect(Certificate, CertificateRequest)
    request: CertificateRequest | None = None
    if isinstance(certificate, CertificateRequest):
        request = certificate
        if request.certificate_request_context:
            raise PeerMisbehaviour.NONEMPTY_CONTEXT("CertificateRequest in the handshake")
        certificate = yield from hs.expect(Certificate)
    assert isinstance(certificate, Certificate)
    chain = _check_certificate(hello, certificate)
    peer_chain = tuple([entry.cert_data for entry in certificate.certificate_list])
    hs.notify(CertificateReceived(peer_chain))
    key, key_oid = peer_public_key(chain[0])
    up_to_certificate = hs.transcript_hash()
    verified = yield from _verify_server(hs, chain, peer_chain)

    certificate_verify = yield from hs.expect(CertificateVerify)
    accepted = hs.config.signature_schemes
    check_certificate_verify(certificate_verify, "server", key, key_oid, accepted, up_to_certificate)

    up_to_certificate_verify = hs.transcript_hash()
    finished = yield from hs.expect(Finished)
    check_finished(hs, finished, server_secret, up_to_certificate_verify)

    # Application keys hang on everything up to the server's Finished (7.1)
    hs.schedule.extract()
    up_to_server_finished = hs.transcript_hash()
    client_application_secret = hs.derive_secret(b"c ap traffic", up_to_server_finished)
    server_application_secret = hs.derive_secret(b"s ap traffic", up_to_server_finished)
    exporter_secret = hs.derive_secret(b"exp master", up_to_server_finished)
    hs.records.set_read_secret(Epoch.application, suite, server_application_secret)

    # The client's Finished (4.5.3), with the empty Certificate of one who has none to show (4.5.1)
    if request is not None:
        hs.send(Certificate(b"", ()))
    hs.send(make_finished(hs, client_secret))
    hs.records.set_write_secret(Epoch.application, suite, client_application_secret)

    info = ConnectionInfo(
        version=ProtocolVersion.TLS13,
        cipher_suite=suite.suite,
        group=group,
        signature_scheme=certificate_verify.algorithm,
        alpn=protocol,
        server_name=hs.server_name,
        peer_chain=peer_chain,
        verified=verified,
        hello_retried=retry is not None,
    )
    return Established13(
        info,
        "client",
        hs.records,
        suite,
        client_secret=client_application_secret,
        server_secret=server_application_secret,
        exporter_secret=exporter_secret,
    )


def _retry(hs: ClientHandshake, hello: ClientHello, retry: ServerHello) -> ClientHello:
    """RFC 9846 4.2.4: answer a HelloRetryRequest."""
    selected = retry.extensions.get(KeyShareHelloRetryRequest)
    hs.notify(HelloRetryRequested(retry, selected.selected_group if selected else None))
    second = answer_retry(hs, hello, retry)
    _send_change_cipher_spec(hs, hello)
    return hs.send(second)


def _send_change_cipher_spec(hs: ClientHandshake, hello: ClientHello) -> None:
    """RFC 9846 E.4: once, before the second flight, if the session ID says compatibility mode."""
    if hello.legacy_session_id:
        hs.send_change_cipher_spec()


def _install_handshake_keys(
    hs: ClientHandshake, suite: Suite, server_hello: ServerHello
) -> tuple[NamedGroup, bytes, bytes]:
    """RFC 9846 7.1: Early Secret, Handshake Secret, and the traffic secrets of the handshake."""
    group, shared_secret = complete_key_exchange(hs, server_hello)
    hs.schedule = KeySchedule(suite.hash_name)
    hs.schedule.extract(shared_secret)
    up_to_server_hello = hs.transcript_hash()
    client_secret = hs.derive_secret(b"c hs traffic", up_to_server_hello)
    server_secret = hs.derive_secret(b"s hs traffic", up_to_server_hello)
    hs.records.set_read_secret(Epoch.handshake, suite, server_secret)
    hs.records.set_write_secret(Epoch.handshake, suite, client_secret)
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
    return parse_chain(message)


def _verify_server(
    hs: ClientHandshake, chain: tuple[x509.Certificate, ...], peer_chain: tuple[bytes, ...]
) -> Flow[Verified | None]:
    """RFC 9846 4.5.1.3: is it the server that was asked for? Answered by the configuration, or by the caller."""
    config = hs.config
    verified: Verified | None = None

    def verify_here() -> None:
        nonlocal verified
        verified = config.verify.verify(chain, server_name=hs.server_name, at=config.clock(), role="server")

    own_answer: Callable[[], None] = verify_here
    yield from hs.ask(VerificationRequest(peer_chain, hs.server_name, "server"), own_answer)
    return verified
