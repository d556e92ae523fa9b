"""The server's handshake of TLS 1.2, to be read beside RFC 5246 section 7.3 (figure 1) and RFC 8422 section 2."""

from sanstls.crypto.groups import BadKeyShare, generate
from sanstls.crypto.signatures import fits12, verify
from sanstls.errors import CertificateError
from sanstls.events import CertificateReceived, ConnectionInfo, SessionIssued
from sanstls.handshake.authentication import ClientIdentity, parse_chain, peer_public_key, sign_with, verify_peer
from sanstls.handshake.established import Established
from sanstls.handshake.established12 import Established12, Secrets12
from sanstls.handshake.negotiation import choose_protocol, offered_size_limit, wants_staple
from sanstls.handshake.negotiation12 import (
    Choice,
    build_server_hello12,
    check_client_hello12,
    choose12,
    full_handshake_extensions,
)
from sanstls.handshake.resumption12 import find_session, new_session, new_session_id, seal_ticket, wants_ticket
from sanstls.handshake.secrets12 import (
    check_finished12,
    decrypt_premaster_secret,
    derive_keys,
    derive_master_secret,
    make_finished12,
    tell_resumed_secret,
)
from sanstls.handshake.vocabulary import Flow, ServerHandshake
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.schedule.prf12 import CLIENT_FINISHED, SERVER_FINISHED
from sanstls.sessions import Session
from sanstls.wire.extensions import SessionTicket
from sanstls.wire.messages import CertificateVerify, ClientHello, Finished
from sanstls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchangeECDHE,
    ClientKeyExchangeRSA,
    ServerECDHParams,
    ServerHelloDone,
    ServerKeyExchange,
)
from sanstls.wire.registries import (
    AlertDescription,
    CertificateStatusType,
    ClientCertificateType,
    ECCurveType,
    ExtensionType,
    ProtocolVersion,
)

__all__ = ["server_handshake12"]

_CLIENT_CERTIFICATE_TYPES = (ClientCertificateType.ecdsa_sign, ClientCertificateType.rsa_sign)


def server_handshake12(hs: ServerHandshake, hello: ClientHello) -> Flow[Established]:
    """ClientHello to the server's Finished (RFC 5246 7.3)."""
    # ClientHello (7.4.1.2): everything is chosen before anything is sent
    config = hs.config
    check_client_hello12(config, hello)
    limit = offered_size_limit(hello)
    if limit is not None:
        hs.records.limit_records(limit, config.record_size_limit)
    protocol = choose_protocol(config, hello)
    found = yield from find_session(hs, hello)
    if found is not None:
        return (yield from _resume(hs, hello, protocol, *found))
    choice = choose12(config, hello, hs.server_name)
    suite, credential = choice.suite, choice.credential
    hs.begin_tls12(suite, keeps_messages=config.verify is not None)

    # ServerHello (7.4.1.3), Certificate (7.4.2), CertificateStatus (RFC 6066 8)
    is_extended = ExtensionType.extended_master_secret in hello.extensions
    answers = full_handshake_extensions(hello, credential, hs.server_name)
    gives_ticket = wants_ticket(hs, hello)
    if gives_ticket:
        answers.append(SessionTicket(b""))
    session_id = new_session_id(hs, hello)
    server_hello = hs.send(build_server_hello12(hs, hello, suite, protocol, session_id, answers))
    hs.send(config.certificate_messages[credential].tls12)
    if credential.ocsp_response and wants_staple(hello):
        hs.send(CertificateStatus(CertificateStatusType.ocsp, credential.ocsp_response))

    # ServerKeyExchange (7.4.3, RFC 8422 5.4), CertificateRequest (7.4.4), ServerHelloDone (7.4.5)
    share = None
    if choice.group is not None and choice.scheme is not None:
        share = generate(choice.group, config.random)
        params = ServerECDHParams(ECCurveType.named_curve, choice.group, share.public)
        content = params.signed_content(hello.random, server_hello.random)
        signature = yield from sign_with(hs, credential, choice.scheme, content)
        hs.send(ServerKeyExchange(params, choice.scheme, signature))
    if config.verify is not None:
        hs.send(CertificateRequest12(_CLIENT_CERTIFICATE_TYPES, config.schemes12, config.client_authorities))
    hs.send(ServerHelloDone())

    # The client's Certificate (7.4.6)
    client = ClientIdentity() if config.verify is None else (yield from _receive_certificate(hs))

    # ClientKeyExchange (7.4.7), and the secrets that it makes (8.1)
    if share is not None:
        agreed = yield from hs.expect(ClientKeyExchangeECDHE)
        try:
            premaster = share.complete(agreed.ecdh_Yc)
        except BadKeyShare as error:
            raise PeerMisbehaviour.BAD_KEY_SHARE(str(error), message="ClientKeyExchange") from error
        hs.tell_secret("premaster_secret", premaster, f"agreed on by both sides ({choice.group})")
    else:
        transported = yield from hs.expect(ClientKeyExchangeRSA)
        encrypted = transported.encrypted_pre_master_secret
        premaster = yield from decrypt_premaster_secret(hs, hello, credential, encrypted)
    master = derive_master_secret(hs, premaster, server_hello.random, is_extended=is_extended)

    # The client's CertificateVerify (7.4.8)
    if client.chain:
        yield from _check_certificate_verify(hs, client)
    hs.transcript.forget_messages()

    # ChangeCipherSpec (7.1) and Finished (7.4.9), first the client's, then this side's
    keys = derive_keys(hs, master, server_hello.random)
    up_to_client_finished = hs.transcript_hash()
    yield from hs.expect_change_cipher_spec()
    hs.records.set_read_keys12(suite, keys.client_write_key, keys.client_write_IV)
    finished = yield from hs.expect(Finished)
    check_finished12(hs, finished, master, CLIENT_FINISHED, up_to_client_finished)
    if gives_ticket or session_id:
        session = new_session(hs, suite, master, protocol, client)
        if gives_ticket:
            hs.send(seal_ticket(hs, session))
        else:
            hs.notify(SessionIssued(session_id, session))
    hs.send_change_cipher_spec()
    hs.records.set_write_keys12(suite, keys.server_write_key, keys.server_write_IV)
    hs.send(make_finished12(hs, master, SERVER_FINISHED))

    return Established12(
        _info(hs, choice, protocol, client, is_extended=is_extended),
        suite,
        Secrets12(master, hello.random, server_hello.random, is_extended),
        is_client=False,
        first_finished=finished.verify_data,
        server_certificate=credential.chain[0],
    )


def _resume(
    hs: ServerHandshake, hello: ClientHello, protocol: str | None, session: Session, client: ClientIdentity
) -> Flow[Established]:
    """ClientHello to the client's Finished (RFC 5246 7.3, figure 2; RFC 5077 3.1, figure 2)."""
    suite, master = hs.config.suites12[session.cipher_suite], session.secret
    hs.begin_tls12(suite, keeps_messages=False)
    server_hello = hs.send(build_server_hello12(hs, hello, suite, protocol, hello.legacy_session_id, []))
    tell_resumed_secret(hs, master)
    keys = derive_keys(hs, master, server_hello.random)

    # ChangeCipherSpec (7.1) and Finished (7.4.9), first this side's, then the client's
    hs.send_change_cipher_spec()
    hs.records.set_write_keys12(suite, keys.server_write_key, keys.server_write_IV)
    own_finished = hs.send(make_finished12(hs, master, SERVER_FINISHED))
    up_to_client_finished = hs.transcript_hash()
    yield from hs.expect_change_cipher_spec()
    hs.records.set_read_keys12(suite, keys.client_write_key, keys.client_write_IV)
    finished = yield from hs.expect(Finished)
    check_finished12(hs, finished, master, CLIENT_FINISHED, up_to_client_finished)

    info = ConnectionInfo(
        version=ProtocolVersion.TLS12,
        cipher_suite=suite.suite,
        group=None,
        signature_scheme=None,
        alpn=protocol,
        server_name=hs.server_name,
        peer_chain=client.chain,
        verified=client.verified,
        resumed=True,
    )
    return Established12(
        info,
        suite,
        Secrets12(master, hello.random, server_hello.random, True),
        is_client=False,
        first_finished=own_finished.verify_data,
        server_certificate=b"",
    )


def _info(
    hs: ServerHandshake, choice: Choice, protocol: str | None, client: ClientIdentity, *, is_extended: bool
) -> ConnectionInfo:
    return ConnectionInfo(
        version=ProtocolVersion.TLS12,
        cipher_suite=choice.suite.suite,
        group=choice.group,
        signature_scheme=choice.scheme,
        alpn=protocol,
        server_name=hs.server_name,
        peer_chain=client.chain,
        verified=client.verified,
        credential=choice.credential,
        extended_master_secret=is_extended,
    )


def _receive_certificate(hs: ServerHandshake) -> Flow[ClientIdentity]:
    """RFC 5246 7.4.6: an empty Certificate says that there is none."""
    certificate = yield from hs.expect(Certificate12)
    peer_chain = certificate.certificate_list
    if not peer_chain:
        if hs.config.client_auth == "required":
            raise CertificateError("the client sent no certificate", alert=AlertDescription.handshake_failure)
        return ClientIdentity()
    chain = parse_chain(peer_chain)
    hs.notify(CertificateReceived(peer_chain))
    key, key_oid = peer_public_key(chain[0])
    verified = yield from verify_peer(hs, "client", chain, peer_chain)
    return ClientIdentity(peer_chain, verified, key, key_oid)


def _check_certificate_verify(hs: ServerHandshake, client: ClientIdentity) -> Flow[None]:
    """RFC 5246 7.4.8: signed are the messages themselves."""
    content = hs.transcript.messages
    message = yield from hs.expect(CertificateVerify)
    scheme, key = message.algorithm, client.key
    assert key is not None
    if scheme not in hs.config.schemes12:
        raise PeerMisbehaviour.UNOFFERED_SIGNATURE_SCHEME(str(scheme))
    if not fits12(scheme, key, client.key_oid):
        raise PeerMisbehaviour.SCHEME_DOES_NOT_FIT_KEY(f"{scheme} with a {type(key).__name__}")
    if not verify(scheme, key, message.signature, content):
        raise PeerMisbehaviour.WRONG_SIGNATURE(str(scheme))
