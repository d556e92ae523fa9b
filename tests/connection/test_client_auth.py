"""Client certificates in TLS 1.3 (RFC 9846 4.4.2, 4.5): who must have one, which one is shown, and who refuses it."""

import datetime
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from connection.peers import Pair, client13, open_pair13, pair13, server13, the_request
from connection12.peers import MUTUAL, check_over, credential12, refused, root, verifier
from identity.pki import BEGIN, DAY, END, NOW, SERVER_AUTH, Issued, authority, leaf, pss_leaf
from memory import NAME, is_complete, shuttle, the_failure
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    CertificateReceived,
    Credential,
    CredentialRequest,
    DangerouslyAcceptAny,
    DataReceived,
    MessageReceived,
    PrivatePKI,
    SignatureRequest,
    SignatureScheme,
    TrustStore,
    WebPKI,
)
from sanstls.crypto.signatures import sign
from sanstls.wire.extensions import CertificateAuthorities, SignatureSchemeList
from sanstls.wire.messages import CertificateRequest

Alert = AlertDescription
S = SignatureScheme
OWN = credential12("p256", name="client.test")
REQUIRED, OPTIONAL = {"verify": verifier()}, {"verify": verifier(), "client_auth": "optional"}


def trusting(*anchors: Issued) -> PrivatePKI:
    pem = b"".join([anchor.certificate.public_bytes(Encoding.PEM) for anchor in anchors])
    return PrivatePKI(TrustStore.from_pem(pem))


def credential_of(*issued: Issued) -> Credential:
    return Credential([each.der for each in issued], issued[0].key)


def subject(issued: Issued) -> bytes:
    return issued.certificate.subject.public_bytes()


def complete(client: dict[str, Any], server: dict[str, Any]) -> Pair:
    """A handshake that comes through, and whose two ends are told the same about the client."""
    ends = open_pair13(client=client, server=server)
    for connection, other in (ends, ends[::-1]):
        connection.send_data(b"data")
        assert other.receive_data(connection.data_to_send()) == [DataReceived(b"data")]
    shown = ends[0].info.credential
    assert ends[1].info.peer_chain == (shown.chain if shown else ())
    return ends


# Whether it is needed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_auth", ["required", "optional", "not asked"])
@pytest.mark.parametrize("has_one", [True, False])
@pytest.mark.parametrize("is_retried", [True, False])
def test_whether_a_client_needs_a_certificate(client_auth: str, has_one: bool, is_retried: bool) -> None:
    asks = {} if client_auth == "not asked" else {"verify": verifier(), "client_auth": client_auth}
    settings: dict[str, Any] = {"credentials": (OWN,)} if has_one else {}
    settings |= {"key_shares": ()} if is_retried else {}
    if client_auth == "required" and not has_one:
        client, server = pair13(client=settings, server=asks)
        error = refused(client, server, by="server")
        assert isinstance(error, CertificateError)
        assert error.alert is Alert.certificate_required
        return
    client, server = complete(settings, asks)
    is_shown = has_one and client_auth != "not asked"
    assert client.info.credential is (OWN if is_shown else None)
    assert server.info.peer_chain == (OWN.chain if is_shown else ())
    assert (server.info.verified is not None) is is_shown


def test_what_both_sides_know() -> None:
    client, server = complete(*MUTUAL.values())
    assert server.info.verified is not None
    assert server.info.verified.chain[0] == OWN.leaf
    assert server.info.verified.anchor == root().certificate
    assert server.info.verified.name is None  # it is not the name that the client asked for
    assert server.info.signature_scheme is client.info.signature_scheme is S.ecdsa_secp256r1_sha256
    assert client.info.peer_chain == credential12().chain
    assert client.export_keying_material("x", 32) == server.export_keying_material("x", 32)


def test_what_is_told_on_the_way() -> None:
    client, server = pair13(client=MUTUAL["client"] | {"trace": True}, server=MUTUAL["server"] | {"trace": True})
    client_events, server_events = shuttle(client, server)
    assert [e.chain for e in server_events if isinstance(e, CertificateReceived)] == [OWN.chain]
    names = [event.name for event in server_events if isinstance(event, MessageReceived)]
    assert names == ["ClientHello", "ChangeCipherSpec", "Certificate", "CertificateVerify", "Finished"]
    names = [event.name for event in client_events if isinstance(event, MessageReceived)]
    assert names[2:5] == ["EncryptedExtensions", "CertificateRequest", "Certificate"]


def test_the_client_is_complete_before_it_is_refused() -> None:
    """It can't know: RFC 9846 4.5.1.3 lets the server refuse behind the client's Finished."""
    client, server = pair13(server=REQUIRED)
    client_events, server_events = shuttle(client, server)
    assert is_complete(client_events)
    assert not is_complete(server_events)
    assert the_failure(client_events).description is Alert.certificate_required
    for connection, events in ((client, client_events), (server, server_events)):
        check_over(connection, the_failure(events))


# Of every kind ----------------------------------------------------------------------------------------------------

KINDS = {
    "rsa": S.rsa_pss_rsae_sha256,
    "p256": S.ecdsa_secp256r1_sha256,
    "p384": S.ecdsa_secp384r1_sha384,
    "p521": S.ecdsa_secp521r1_sha512,
    "ed25519": S.ed25519,
    "ed448": S.ed448,
    "pss": S.rsa_pss_pss_sha256,
}


@cache
def of_kind(kind: str) -> Credential:
    return credential_of(pss_leaf(root(), "client.test")) if kind == "pss" else credential12(kind, name="client.test")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_remote", [False, True], ids=["", "key elsewhere"])
def test_every_kind_of_key(kind: str, is_remote: bool) -> None:
    """With the key here, or asked for its signature."""
    own = of_kind(kind)
    settings: dict[str, Any] = {"credentials": (Credential(own.chain, None) if is_remote else own,), "trace": True}
    client, server = pair13(client=settings, server=REQUIRED | {"trace": True})
    server.receive_data(client.data_to_send())
    events = client.receive_data(server.data_to_send())
    if is_remote:
        request = the_request(events)
        assert isinstance(request, SignatureRequest)
        assert request.scheme is KINDS[kind]
        assert request.message.startswith(b" " * 64 + b"TLS 1.3, client CertificateVerify\0")
        assert own.key is not None
        events = client.answer(request, sign(request.scheme, own.key, request.message))
    assert is_complete(events)
    events = server.receive_data(client.data_to_send())
    assert is_complete(events)
    (verify,) = [e.message for e in events if isinstance(e, MessageReceived) and e.name == "CertificateVerify"]
    assert verify.algorithm is KINDS[kind]  # type: ignore[union-attr]
    assert server.info.peer_chain == own.chain


@pytest.mark.parametrize("kind", ["rsa", "pss"])
@pytest.mark.parametrize("size", [256, 384, 512])
def test_every_hash_of_rsa(kind: str, size: int) -> None:
    scheme = S[f"rsa_pss_{'pss' if kind == 'pss' else 'rsae'}_sha{size}"]
    wanted = (scheme, S.ecdsa_secp256r1_sha256)
    _, server = complete({"credentials": (of_kind(kind),)}, REQUIRED | {"signature_schemes": wanted})
    assert server.info.peer_chain == of_kind(kind).chain


# Which one is shown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_that_the_server_can_verify(kind: str) -> None:
    credentials = tuple([of_kind(each) for each in KINDS])
    # ecdsa_secp256r1_sha256 is what all of the certificates are signed with, and what the server signs with.
    schemes = tuple({KINDS[kind], S.ecdsa_secp256r1_sha256})
    ordered = tuple(sorted(credentials, key=lambda each: each is of_kind("p256")))
    client, _ = complete({"credentials": ordered}, REQUIRED | {"signature_schemes": schemes})
    assert client.info.credential is of_kind(kind)


def test_none_that_the_server_can_verify() -> None:
    client, _ = complete(
        {"credentials": (of_kind("ed448"),)}, OPTIONAL | {"signature_schemes": (S.ecdsa_secp256r1_sha256,)}
    )
    assert client.info.credential is None


def test_none_that_this_side_can_sign_with() -> None:
    """What a client does not accept it does not use either."""
    client, _ = complete(
        {"credentials": (of_kind("ed25519"), OWN), "signature_schemes": (S.ecdsa_secp256r1_sha256,)}, OPTIONAL
    )
    assert client.info.credential is OWN


def test_pkcs1_does_not_sign_handshakes() -> None:
    """RFC 9846 4.3.3: a server that names nothing else for RSA keys gets no certificate of such a one."""
    schemes = (S.rsa_pkcs1_sha256, S.ecdsa_secp256r1_sha256)
    client, _ = complete({"credentials": (of_kind("rsa"),)}, OPTIONAL | {"signature_schemes": schemes})
    assert client.info.credential is None


def test_one_that_may_not_sign_is_not_shown() -> None:
    only_decrypts = credential12("rsa", "decrypt", "client.test")
    client, _ = complete({"credentials": (only_decrypts,)}, OPTIONAL)
    assert client.info.credential is None
    client, _ = complete({"credentials": (only_decrypts, OWN)}, OPTIONAL)
    assert client.info.credential is OWN


AUTHORITIES = [authority(f"CA {number}") for number in range(3)]
INTERMEDIATE = authority("Intermediate", AUTHORITIES[2])
BY_AUTHORITY = [
    credential_of(leaf(AUTHORITIES[0], "client.test")),
    credential_of(leaf(AUTHORITIES[1], "client.test")),
    credential_of(leaf(INTERMEDIATE, "client.test"), INTERMEDIATE),
]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_authorities_choose(index: int) -> None:
    """RFC 9846 4.3.4: one of the chain's certificates has to be issued by one of those."""
    settings = {"credentials": tuple(BY_AUTHORITY)}
    client, server = complete(settings, {"verify": trusting(AUTHORITIES[index])})
    assert client.info.credential is BY_AUTHORITY[index]
    assert server.info.verified is not None
    assert server.info.verified.anchor == AUTHORITIES[index].certificate
    assert len(server.info.peer_chain) == (2 if index == 2 else 1)


def test_several_authorities_leave_the_choice_to_the_client() -> None:
    for order in (BY_AUTHORITY, BY_AUTHORITY[::-1]):
        client, _ = complete({"credentials": tuple(order)}, {"verify": trusting(*AUTHORITIES)})
        assert client.info.credential is order[0]


def test_authorities_of_nobody_here() -> None:
    settings = {"credentials": tuple(BY_AUTHORITY)}
    client, _ = complete(settings, OPTIONAL)
    assert client.info.credential is None
    client, server = pair13(client=settings, server=REQUIRED)
    assert refused(client, server, by="server").alert is Alert.certificate_required


@pytest.mark.parametrize("count", [1, 2, 32, 33])
def test_what_the_server_asks_for(count: int) -> None:
    """Its schemes, and the names of its authorities if they are not too many."""
    many = [name_only(number) for number in range(count)]
    server = server13(verify=trusting(*many), signature_schemes=(S.ed25519, S.ecdsa_secp256r1_sha256))
    client = client13(trace=True)
    server.receive_data(client.data_to_send())
    events = client.receive_data(server.data_to_send())
    (request,) = [e.message for e in events if isinstance(e, MessageReceived) and e.name == "CertificateRequest"]
    assert isinstance(request, CertificateRequest)
    assert request.certificate_request_context == b""
    schemes = request.extensions.get(SignatureSchemeList)
    assert schemes is not None
    assert schemes.supported_signature_algorithms == (S.ed25519, S.ecdsa_secp256r1_sha256)
    told = request.extensions.get(CertificateAuthorities)
    if count > 32:
        assert told is None
    else:
        assert told is not None
        assert sorted(told.authorities) == sorted(subject(each) for each in many)


@cache
def name_only(number: int) -> Issued:
    return authority(f"Authority {number}")


def test_a_verifier_without_a_store_names_nobody() -> None:
    """So that whatever the client has is shown."""
    client, server = complete({"credentials": (BY_AUTHORITY[1],)}, {"verify": DangerouslyAcceptAny()})
    assert client.info.credential is BY_AUTHORITY[1]
    assert server.info.verified is not None
    assert server.info.verified.anchor is None


def test_the_clients_own_staple_is_not_sent() -> None:
    """It was not asked for (RFC 9846 4.5.1.1)."""
    client, _ = complete({"credentials": (OWN.stapled(b"response"),)}, REQUIRED)
    assert client.info.credential is not None


# Who is refused ---------------------------------------------------------------------------------------------------


def check_refusal(credential: Credential, verify: Any = None) -> Any:
    """The server's refusal of a client that shows this whatever the server asks for."""
    client = client13(defer=frozenset({CredentialRequest}))
    server = server13(verify=verify or verifier())
    server.receive_data(client.data_to_send())
    request = the_request(client.receive_data(server.data_to_send()))
    assert is_complete(client.answer(request, credential))
    events = server.receive_data(client.data_to_send())
    assert not is_complete(events)
    error = the_failure(events)
    assert isinstance(error, CertificateError)
    told = the_failure(client.receive_data(server.data_to_send()))
    assert isinstance(told, AlertReceivedError)
    assert told.description is error.alert
    check_over(server, error)
    return error


def test_an_unknown_authority() -> None:
    assert check_refusal(BY_AUTHORITY[0]).alert is Alert.unknown_ca


def test_an_authority_of_the_same_name() -> None:
    """The name is right and the key is not, so that a client that only heeds names shows it."""
    impostor = authority("Root")
    assert subject(impostor) == subject(root())
    error = check_refusal(credential_of(leaf(impostor, "client.test")))
    assert error.alert in (Alert.unknown_ca, Alert.bad_certificate)
    client = client13(credentials=(credential_of(leaf(impostor, "client.test")),))
    assert isinstance(refused(client, server13(**REQUIRED), by="server"), CertificateError)


def test_the_certificate_of_a_server() -> None:
    error = check_refusal(credential_of(leaf(root(), NAME, purposes=(SERVER_AUTH,))))
    assert error.alert is not None


@pytest.mark.parametrize("which", ["expired", "not yet"])
def test_at_the_wrong_time(which: str) -> None:

    day = datetime.timedelta(seconds=DAY)
    times = {"begin": BEGIN, "end": NOW - day} if which == "expired" else {"begin": NOW + day, "end": END}
    assert check_refusal(credential_of(leaf(root(), "client.test", **times))).alert is Alert.certificate_expired


def test_a_missing_intermediate() -> None:
    alone = Credential(BY_AUTHORITY[2].chain[:1], BY_AUTHORITY[2].key)
    assert check_refusal(alone, trusting(AUTHORITIES[2])).alert is Alert.unknown_ca


def test_a_stricter_verifier() -> None:
    """The profile of the public web refuses Ed25519."""
    store = TrustStore.from_pem(root().certificate.public_bytes(Encoding.PEM))
    assert check_refusal(of_kind("ed25519"), WebPKI(store)).alert is not None


def test_the_time_is_the_servers() -> None:
    server = server13(**REQUIRED, clock=lambda: 4e9)
    client = client13(credentials=(OWN,))
    assert refused(client, server, by="server").alert is Alert.certificate_expired
