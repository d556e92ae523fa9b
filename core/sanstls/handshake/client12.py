"""The client's handshake of TLS 1.2, to be read beside RFC 5246 section 7.3 (figure 1) and RFC 8422 section 2.

With RSA key transport this is the classic handshake of the textbooks: hellos,
certificate, premaster secret encrypted to the server's public key, session keys,
two Finished. With ECDHE the premaster secret is agreed on instead, and the
server's key signs its part of the agreement.
"""

from sanstls.crypto.groups import BadKeyShare, respond
from sanstls.crypto.signatures import PublicKey, fits12, verify
from sanstls.crypto.suites import Suite12
from sanstls.events import CertificateReceived, ConnectionInfo, ServerHelloReceived
from sanstls.handshake.authentication import (
    choose_own_credential,
    ocsp_response_of,
    parse_chain,
    peer_public_key,
    sign_with,
    verify_peer,
)
from sanstls.handshake.established import Established
from sanstls.handshake.established12 import Established12, Secrets12
from sanstls.handshake.negotiation import agreed_size_limit, check_size_limit
from sanstls.handshake.negotiation12 import ServerChoice, check_server_hello12, choose_scheme12
from sanstls.handshake.resumption import verify_again
from sanstls.handshake.resumption12 import keep_session
from sanstls.handshake.secrets12 import (
    check_finished12,
    derive_keys,
    derive_master_secret,
    encrypt_premaster_secret,
    make_finished12,
    tell_resumed_secret,
)
from sanstls.handshake.vocabulary import ClientHandshake, Flow
from sanstls.identity import Credential
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.schedule.prf12 import CLIENT_FINISHED, SERVER_FINISHED
from sanstls.sessions import Session
from sanstls.wire.messages import CertificateVerify, ClientHello, Finished, HandshakeMessage, ServerHello
from sanstls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchangeECDHE,
    ClientKeyExchangeRSA,
    NewSessionTicket12,
    ServerHelloDone,
    ServerKeyExchange,
)
from sanstls.wire.registries import ClientCertificateType, NamedGroup, ProtocolVersion, SignatureScheme

__all__ = ["client_handshake12"]


def client_handshake12(hs: ClientHandshake, hello: ClientHello, server_hello: ServerHello) -> Flow[Established]:
    """ServerHello to the server's Finished (RFC 5246 7.3)."""
    # ServerHello (7.4.1.3)
    choice = check_server_hello12(hs, hello, server_hello)
    limit = check_size_limit(agreed_size_limit(hello, server_hello.extensions))
    if limit is not None:
        hs.records.limit_records(limit, hs.config.record_size_limit)
    suite = choice.suite
    hs.begin_tls12(suite, keeps_messages=choice.session is None)
    hs.notify(ServerHelloReceived(server_hello))
    if choice.session is not None:
        return (yield from _resume(hs, hello, server_hello, choice, choice.session))

    # The server's Certificate (7.4.2), what is stapled to it (RFC 6066 8), and its verification
    certificate = yield from hs.expect(Certificate12)
    if not certificate.certificate_list:
        raise PeerMisbehaviour.NO_CERTIFICATE()
    peer_chain = certificate.certificate_list
    chain = parse_chain(peer_chain)
    hs.notify(CertificateReceived(peer_chain))
    is_key_transport = suite.key_exchange == "RSA"
    key, key_oid = peer_public_key(chain[0], "key_encipherment" if is_key_transport else "digital_signature")
    after_certificate: tuple[type[HandshakeMessage], ...] = (
        (CertificateRequest12, ServerHelloDone) if is_key_transport else (ServerKeyExchange,)
    )
    staples: tuple[type[HandshakeMessage], ...] = (CertificateStatus,) if choice.may_staple else ()
    message = yield from hs.expect(*staples, *after_certificate)
    ocsp_response = b""
    if isinstance(message, CertificateStatus):
        ocsp_response = ocsp_response_of(message)
        message = yield from hs.expect(*after_certificate)
    verified = yield from verify_peer(hs, "server", chain, peer_chain, ocsp_response)

    # ServerKeyExchange (7.4.3, RFC 8422 5.4)
    group: NamedGroup | None = None
    scheme: SignatureScheme | None = None
    exchange: ServerKeyExchange | None = None
    if isinstance(message, ServerKeyExchange):
        exchange = message
        _check_key_exchange(hs, suite, exchange, server_hello.random, key, key_oid)
        group, scheme = exchange.params.namedcurve, exchange.algorithm
        message = yield from hs.expect(CertificateRequest12, ServerHelloDone)

    # CertificateRequest (7.4.4) and ServerHelloDone (7.4.5)
    own: tuple[Credential, SignatureScheme] | None = None
    if isinstance(message, CertificateRequest12):
        request = message
        yield from hs.expect(ServerHelloDone)
        own = yield from _choose_credential(hs, request)
        hs.send(Certificate12(own[0].chain if own else ()))
    if own is None:
        hs.transcript.forget_messages()

    # ClientKeyExchange (7.4.7), and the secrets that it makes (8.1)
    if exchange is not None:
        try:
            share, premaster = respond(exchange.params.namedcurve, exchange.params.public, hs.config.random)
        except BadKeyShare as error:
            raise PeerMisbehaviour.BAD_KEY_SHARE(str(error), message="ServerKeyExchange") from error
        hs.tell_secret("premaster_secret", premaster, f"agreed on by both sides ({group})")
        hs.send(ClientKeyExchangeECDHE(share))
    else:
        premaster, encrypted = encrypt_premaster_secret(hs, hello, key, key_oid)
        hs.send(ClientKeyExchangeRSA(encrypted))
    is_extended = choice.has_extended_master_secret
    master = derive_master_secret(hs, premaster, server_hello.random, is_extended=is_extended)

    # CertificateVerify (7.4.8): over the messages themselves
    if own is not None:
        signature = yield from sign_with(hs, own[0], own[1], hs.transcript.messages)
        hs.transcript.forget_messages()
        hs.send(CertificateVerify(own[1], signature))

    # ChangeCipherSpec (7.1) and Finished (7.4.9), first this side's, then the server's
    keys = derive_keys(hs, master, server_hello.random)
    hs.send_change_cipher_spec()
    hs.records.set_write_keys12(suite, keys.client_write_key, keys.client_write_IV)
    own_finished = hs.send(make_finished12(hs, master, CLIENT_FINISHED))
    ticket = (yield from hs.expect(NewSessionTicket12)) if choice.gives_ticket else None
    up_to_server_finished = hs.transcript_hash()
    yield from hs.expect_change_cipher_spec()
    hs.records.set_read_keys12(suite, keys.server_write_key, keys.server_write_IV)
    finished = yield from hs.expect(Finished)
    check_finished12(hs, finished, master, SERVER_FINISHED, up_to_server_finished)
    keep_session(hs, choice, server_hello, ticket, master, peer_chain, verified)

    info = ConnectionInfo(
        version=ProtocolVersion.TLS12,
        cipher_suite=suite.suite,
        group=group,
        signature_scheme=scheme,
        alpn=choice.protocol,
        server_name=hs.server_name,
        peer_chain=peer_chain,
        verified=verified,
        credential=own[0] if own else None,
        extended_master_secret=is_extended,
    )
    return Established12(
        info,
        suite,
        Secrets12(master, hello.random, server_hello.random, is_extended),
        is_client=True,
        first_finished=own_finished.verify_data,
        server_certificate=peer_chain[0],
    )


def _resume(
    hs: ClientHandshake, hello: ClientHello, server_hello: ServerHello, choice: ServerChoice, session: Session
) -> Flow[Established]:
    """ServerHello to the client's Finished (RFC 5246 7.3, figure 2; RFC 5077 3.1, figure 2)."""
    suite, master = choice.suite, session.secret
    tell_resumed_secret(hs, master)
    keys = derive_keys(hs, master, server_hello.random)

    # ChangeCipherSpec (7.1) and Finished (7.4.9), first the server's, then this side's
    ticket = (yield from hs.expect(NewSessionTicket12)) if choice.gives_ticket else None
    up_to_server_finished = hs.transcript_hash()
    yield from hs.expect_change_cipher_spec()
    hs.records.set_read_keys12(suite, keys.server_write_key, keys.server_write_IV)
    finished = yield from hs.expect(Finished)
    check_finished12(hs, finished, master, SERVER_FINISHED, up_to_server_finished)
    verified = yield from verify_again(hs, session)
    hs.send_change_cipher_spec()
    hs.records.set_write_keys12(suite, keys.client_write_key, keys.client_write_IV)
    hs.send(make_finished12(hs, master, CLIENT_FINISHED))
    keep_session(hs, choice, server_hello, ticket, master, session.peer_chain, verified)

    info = ConnectionInfo(
        version=ProtocolVersion.TLS12,
        cipher_suite=suite.suite,
        group=None,
        signature_scheme=None,
        alpn=choice.protocol,
        server_name=hs.server_name,
        peer_chain=session.peer_chain,
        verified=verified,
        resumed=True,
    )
    return Established12(
        info,
        suite,
        Secrets12(master, hello.random, server_hello.random, True),
        is_client=True,
        first_finished=finished.verify_data,
        server_certificate=session.peer_chain[0],
    )


def _check_key_exchange(
    hs: ClientHandshake,
    suite: Suite12,
    exchange: ServerKeyExchange,
    server_random: bytes,
    key: PublicKey,
    key_oid: str,
) -> None:
    """RFC 8422 5.4: the group was offered, and the server's key has signed the parameters."""
    name = "ServerKeyExchange"
    group, scheme = exchange.params.namedcurve, exchange.algorithm
    if group not in hs.config.groups12:
        raise PeerMisbehaviour.UNOFFERED_GROUP(str(group), message=name)
    if scheme not in hs.config.schemes12:
        raise PeerMisbehaviour.UNOFFERED_SIGNATURE_SCHEME(str(scheme), message=name)
    if not fits12(scheme, key, key_oid):
        raise PeerMisbehaviour.SCHEME_DOES_NOT_FIT_KEY(f"{scheme} with a {type(key).__name__}", message=name)
    if scheme.name.startswith("rsa_") != (suite.authentication == "RSA"):
        raise PeerMisbehaviour.KEY_DOES_NOT_FIT_SUITE(f"a {type(key).__name__} for {suite.suite}")
    content = exchange.params.signed_content(hs.client_random, server_random)
    if not verify(scheme, key, exchange.signature, content):
        raise PeerMisbehaviour.WRONG_SIGNATURE(str(scheme), message=name)


def _choose_credential(
    hs: ClientHandshake, request: CertificateRequest12
) -> Flow[tuple[Credential, SignatureScheme] | None]:
    """RFC 5246 7.4.6: what this client shows of what the server accepts."""
    schemes = request.supported_signature_algorithms

    def scheme_of(credential: Credential) -> SignatureScheme | None:
        scheme = choose_scheme12(credential, schemes, hs.config)
        if scheme is None:
            return None
        # RFC 8422 5.5: ecdsa_sign stands for EdDSA keys, too.
        kind = ClientCertificateType.rsa_sign if scheme.name.startswith("rsa_") else ClientCertificateType.ecdsa_sign
        return scheme if kind in request.certificate_types else None

    return (yield from choose_own_credential(hs, request.certificate_authorities, schemes, scheme_of))
