"""Each suite, each group and each kind of certificate with OpenSSL and GnuTLS as processes, in both roles."""

import pytest

from interop.certificates import KINDS, Certificates
from interop.driver import Listener, Talk, connect
from interop.ours import (
    CCM_SUITES13,
    CURVES,
    ECDSA_SUITES12,
    HYBRIDS,
    KEY_TRANSPORT_SUITES,
    RSA_SUITES12,
    SUITES13,
    TLS12,
    our_client,
    our_server,
)
from interop.peers import PEERS, Case, Peer
from sanstls import CloseNotifyReceived, NamedGroup

pytestmark = pytest.mark.interop

# In TLS 1.2 a client's groups are those of certificates, too: a key on a curve goes with that very group.
OF_CURVE = {"p256": NamedGroup.secp256r1, "p384": NamedGroup.secp384r1, "p521": NamedGroup.secp521r1}

CASES13 = [
    *(Case(suite=suite) for suite in (*SUITES13, *CCM_SUITES13)),
    *(Case(group=group) for group in (*CURVES, *HYBRIDS)),
    *(Case(kind=kind) for kind in KINDS),
]
CASES12 = [
    *(Case(TLS12, suite, kind="rsa") for suite in (*RSA_SUITES12, *KEY_TRANSPORT_SUITES)),
    *(Case(TLS12, suite, kind="p256", group=NamedGroup.secp256r1) for suite in ECDSA_SUITES12),
    *(Case(TLS12, RSA_SUITES12[0], kind="rsa", group=group) for group in CURVES),
    *(Case(TLS12, ECDSA_SUITES12[0], kind=kind, group=OF_CURVE[kind]) for kind in OF_CURVE),
    *(Case(TLS12, ECDSA_SUITES12[0], kind=kind) for kind in KINDS if kind.startswith("ed")),
    Case(TLS12, RSA_SUITES12[0], kind="rsa-pss"),
]
CASES = list(dict.fromkeys([*CASES13, *CASES12]))

each_peer = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def check(talk: Talk, case: Case) -> None:
    """What was asked for was agreed on."""
    info = talk.info
    assert (info.version, info.cipher_suite) == (case.version, case.suite)
    assert info.group is (None if case.suite in KEY_TRANSPORT_SUITES else case.group)


@each_peer
@each_case
def test_our_client(certificates: Certificates, peer: Peer, case: Case) -> None:
    peer.require(case)
    connection = our_client(
        certificates, groups=(*CURVES, *HYBRIDS), cipher_suites=(case.suite,), legacy_rsa_key_transport=True
    )
    server, port = peer.server(certificates, case)
    with server, Talk(connection, connect(port), server) as talk:
        talk.until_open()
        check(talk, case)
        assert talk.info.peer_chain[0] == certificates[case.kind].der
        talk.connection.send_data(b"Who is there?\n")
        talk.until(lambda: peer.answer(b"Who is there?\n") in talk.received, "an answer")
        talk.connection.close()
        talk.until_eof()
        assert talk.error is None


@each_peer
@each_case
def test_our_server(certificates: Certificates, peer: Peer, case: Case) -> None:
    peer.require(case)
    connection = our_server(
        certificates, case.kind, groups=(case.group,), cipher_suites=(case.suite,), legacy_rsa_key_transport=True
    )
    with (
        Listener() as listener,
        peer.client(certificates, case, listener.port) as client,
        Talk(connection, listener.accept(client), client) as talk,
    ):
        talk.until_open()
        check(talk, case)
        client.say(b"Who is there?\n")
        talk.until_received(b"Who is there?\n")
        talk.connection.send_data(b"Nobody.\n")
        talk.until_said(b"Nobody.\n")
        talk.connection.close()
        talk.until(lambda: talk.of(CloseNotifyReceived) or talk.is_eof, "the peer's end")
