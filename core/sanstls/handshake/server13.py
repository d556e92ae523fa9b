"""The server's handshake of TLS 1.3, to be read beside RFC 9846 section 2 and appendix A.2."""

from sanstls.errors import CertificateError
from sanstls.events import CertificateReceived, ConnectionInfo, HelloRetryRequested
from sanstls.handshake.authentication import (
    ClientIdentity,
    certificate_kinds,
    check_certificate_verify,
    check_finished,
    decompressed,
    make_certificate_verify,
    make_finished,
    parse_chain,
    peer_public_key,
    verify_peer,
)
from sanstls.handshake.early_data import accepts_early_data, install_early_keys, skip_early_data
from sanstls.handshake.established import Established, Established13
from sanstls.handshake.negotiation import (
    build_certificate_request,
    build_encrypted_extensions,
    build_hello_retry_request,
    build_server_hello,
    check_client_hello,
    check_retried_hello,
    choose_cipher_suite,
    choose_credential,
    choose_group,
    choose_protocol,
    offered_size_limit,
    wants_staple,
)
from sanstls.handshake.psk13 import choose_psk
from sanstls.handshake.resumption import end_of_validity
from sanstls.handshake.tickets13 import SentTickets
from sanstls.handshake.vocabulary import Flow, ServerHandshake
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.record.layer import Epoch
from sanstls.schedule.key_schedule13 import KeySchedule
from sanstls.sessions import Session
from sanstls.wire.extensions import CertificateCompressionAlgorithms, PskKeyExchangeModes
from sanstls.wire.messages import CertificateVerify, ClientHello, EndOfEarlyData, Finished
from sanstls.wire.registries import AlertDescription, ExtensionType, ProtocolVersion, PskKeyExchangeMode

__all__ = ["server_handshake13"]


def server_handshake13(hs: ServerHandshake, hello: ClientHello) -> Flow[Established]:
    """ClientHello to client Finished (RFC 9846 2, figures 1 and 2)."""
    # Negotiation (4.2.1): everything is chosen before anything is sent
    config = hs.config
    server_name = hs.server_name
    check_client_hello(hello)
    suite = choose_cipher_suite(config, hello)
    group, client_share = choose_group(config, hello)
    protocol = choose_protocol(config, hello)

    # Key exchange (4.2), with a retry if the client guessed another group
    is_retried = client_share is None
    hs.start_transcript(suite, is_retried=is_retried, keeps_messages=ExtensionType.pre_shared_key in hello.extensions)
    if client_share is None:
        retry = hs.send(build_hello_retry_request(hello, suite, group))
        hs.notify(HelloRetryRequested(retry, group))
        _send_change_cipher_spec(hs, hello)
        skip_early_data(hs, hello)
        second = yield from hs.expect(ClientHello)
        hs.records.skip_early_data(0)
        client_share = check_retried_hello(hello, second, group)
        hello = second

    # Who this server is: by a pre-shared key (4.3.11), or else by a certificate (4.5.1.2)
    psk = yield from choose_psk(hs, hello, suite)
    hs.transcript.forget_messages()
    takes_early_data = yield from accepts_early_data(hs, hello, psk, suite, protocol)
    up_to_client_hello = hs.transcript_hash()
    credential, scheme = (None, None) if psk is not None else choose_credential(config, hello, server_name)
    server_hello, shared_secret = build_server_hello(hs, hello, group, client_share, psk)
    hs.send(server_hello)
    if not is_retried:
        _send_change_cipher_spec(hs, hello)

    hs.schedule = KeySchedule(suite.hash_name, None if psk is None else psk.secret)
    if takes_early_data and psk is not None:
        install_early_keys(hs, up_to_client_hello, suite, psk)
    hs.schedule.extract(shared_secret)
    up_to_server_hello = hs.transcript_hash()
    client_secret = hs.derive_secret(b"c hs traffic", up_to_server_hello)
    server_secret = hs.derive_secret(b"s hs traffic", up_to_server_hello)
    # The sending keys come first, so that an alert about what must not be between the keys can be read.
    hs.records.set_write_secret(Epoch.handshake, suite, server_secret)
    limit = offered_size_limit(hello)
    if limit is not None:
        hs.records.limit_records(limit - 1, config.record_size_limit - 1)  # the content type counts (RFC 8449 4)
    if not takes_early_data:
        hs.records.set_read_secret(Epoch.handshake, suite, client_secret)

    # Server parameters (4.4) and authentication (4.5)
    is_name_used = server_name is not None and credential is not None and credential.matches(server_name)
    hs.send(
        build_encrypted_extensions(
            protocol,
            is_name_used=is_name_used,
            takes_early_data=takes_early_data,
            record_size_limit=None if limit is None else config.record_size_limit,
        )
    )
    if credential is not None and scheme is not None:
        if config.verify is not None:
            hs.send(build_certificate_request(config))
        messages = config.certificate_messages[credential]
        compression = hello.extensions.get(CertificateCompressionAlgorithms)
        algorithms = compression.algorithms if compression is not None else ()
        hs.send(messages.of_tls13(is_stapled=wants_staple(hello), offered=algorithms))
        certificate_verify = yield from make_certificate_verify(hs, "server", credential, scheme)
        hs.send(certificate_verify)
    hs.send(make_finished(hs, server_secret))

    # Application keys hang on everything up to the server's Finished (7.1)
    hs.schedule.extract()
    up_to_server_finished = hs.transcript_hash()
    client_application_secret = hs.derive_secret(b"c ap traffic", up_to_server_finished)
    server_application_secret = hs.derive_secret(b"s ap traffic", up_to_server_finished)
    exporter_secret = hs.derive_secret(b"exp master", up_to_server_finished)
    hs.records.set_write_secret(Epoch.application, suite, server_application_secret)
    hs.records.pad_data(config.pad_to)

    # The end of early data (4.6)
    if takes_early_data:
        yield from hs.expect(EndOfEarlyData)
        hs.records.set_read_secret(Epoch.handshake, suite, client_secret)

    # Authentication of the client, if it was asked for, and its Finished (4.5)
    client = ClientIdentity() if psk is None else psk.client
    if psk is None and config.verify is not None:
        client = yield from _authenticate_client(hs)
    up_to_client_identity = hs.transcript_hash()
    finished = yield from hs.expect(Finished)
    check_finished(hs, finished, client_secret, up_to_client_identity)
    hs.records.set_read_secret(Epoch.application, suite, client_application_secret)
    tickets = _tickets(hs, hello, client, None if psk is None else psk.session)

    info = ConnectionInfo(
        version=ProtocolVersion.TLS13,
        cipher_suite=suite.suite,
        group=group,
        signature_scheme=scheme,
        alpn=protocol,
        server_name=server_name,
        peer_chain=client.chain,
        verified=client.verified,
        credential=credential,
        hello_retried=is_retried,
        resumed=psk is not None and psk.session is not None,
        external_psk=psk is not None and psk.session is None,
        early_data=takes_early_data,
    )
    return Established13(
        info,
        "server",
        hs.records,
        suite,
        client_secret=client_application_secret,
        server_secret=server_application_secret,
        exporter_secret=exporter_secret,
        tickets=tickets,
        owed_tickets=0 if tickets is None else config.session_tickets if psk is None else 1,
    )


def _tickets(
    hs: ServerHandshake, hello: ClientHello, client: ClientIdentity, session: Session | None
) -> SentTickets | None:
    """RFC 9846 4.7.1: what tickets are made of, if they may be given."""
    modes = hello.extensions.get(PskKeyExchangeModes)
    is_wanted = modes is not None and PskKeyExchangeMode.psk_dhe_ke in modes.ke_modes
    if not is_wanted or not hs.config.session_lifetime:
        return None
    resumption_secret = hs.derive_secret(b"res master", hs.transcript_hash())
    end = session.not_after if session is not None else end_of_validity(client.verified, client.chain)
    return SentTickets(hs.config, hs.suite.hash_name, resumption_secret, end)


def _authenticate_client(hs: ServerHandshake) -> Flow[ClientIdentity]:
    """RFC 9846 4.5.1 and 4.5.2: the client's Certificate and CertificateVerify."""
    certificate = decompressed(hs.config, (yield from hs.expect(*certificate_kinds(hs.config))))
    if certificate.certificate_request_context:
        raise PeerMisbehaviour.NONEMPTY_CONTEXT("the client's Certificate")
    peer_chain = tuple([entry.cert_data for entry in certificate.certificate_list])
    if not peer_chain:
        if hs.config.client_auth == "required":
            raise CertificateError("the client sent no certificate", alert=AlertDescription.certificate_required)
        return ClientIdentity()
    for entry in certificate.certificate_list:
        if len(entry.extensions):
            raise PeerMisbehaviour.UNSOLICITED_EXTENSION(f"{entry.extensions.types[0]} with a certificate")
    chain = parse_chain(peer_chain)
    hs.notify(CertificateReceived(peer_chain))
    key, key_oid = peer_public_key(chain[0])
    up_to_certificate = hs.transcript_hash()
    verified = yield from verify_peer(hs, "client", chain, peer_chain)
    message = yield from hs.expect(CertificateVerify)
    check_certificate_verify(message, "client", key, key_oid, hs.config.schemes13, up_to_certificate)
    return ClientIdentity(peer_chain, verified)


def _send_change_cipher_spec(hs: ServerHandshake, hello: ClientHello) -> None:
    """RFC 9846 E.4: once, after the first handshake message, if the client is in compatibility mode."""
    if hello.legacy_session_id:
        hs.send_change_cipher_spec()
