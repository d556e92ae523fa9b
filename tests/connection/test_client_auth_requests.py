"""Requests about client certificates in TLS 1.3: which one is shown, who signs, and whom the server believes."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from connection.peers import Pair, client13, pair13, server13, the_request
from connection12.peers import MUTUAL, check_over, check_refused, credential12, root, verifier
from identity.pki import Issued, authority
from memory import NAME, failures, is_complete, sealed, shuttle, the_failure
from sanstls import (
    AlertDescription,
    CertificateError,
    ConnectionState,
    Credential,
    CredentialRequest,
    DataReceived,
    LocalError,
    PeerMisbehaviour,
    PrivatePKI,
    Request,
    SignatureRequest,
    SignatureScheme,
    TrustStore,
    VerificationRequest,
)
from sanstls.crypto.signatures import sign

Alert = AlertDescription
S = SignatureScheme
OWN = credential12("p256", name="client.test")
REQUIRED, OPTIONAL = {"verify": verifier()}, {"verify": verifier(), "client_auth": "optional"}


AUTHORITIES = [authority(f"CA {number}") for number in range(3)]


def trusting(*anchors: Issued) -> PrivatePKI:
    pem = b"".join([anchor.certificate.public_bytes(Encoding.PEM) for anchor in anchors])
    return PrivatePKI(TrustStore.from_pem(pem))


def subject(issued: Issued) -> bytes:
    return issued.certificate.subject.public_bytes()


# Deferred ---------------------------------------------------------------------------------------------------------


def asked(server: dict[str, Any] | None = None, **client: Any) -> tuple[Pair, Any]:
    """A client that has been asked for a credential."""
    ends = pair13(
        client={"defer": frozenset({CredentialRequest})} | client, server=REQUIRED if server is None else server
    )
    ends[1].receive_data(ends[0].data_to_send())
    request = the_request(ends[0].receive_data(ends[1].data_to_send()))
    assert isinstance(request, CredentialRequest)
    return ends, request


def test_the_question() -> None:
    (client, _), request = asked()
    assert request.authorities == (subject(root()),)
    assert S.ecdsa_secp256r1_sha256 in request.signature_schemes
    assert client.state is ConnectionState.WAITING
    assert not client.wants_data
    assert "CredentialRequest" in str(the_failure(client.receive_eof()))


def test_the_answer() -> None:
    """It need not be one of the configuration."""
    (client, server), request = asked(credentials=(credential12("rsa", name="client.test"),))
    assert is_complete(client.answer(request, OWN))
    assert is_complete(server.receive_data(client.data_to_send()))
    assert client.info.credential is OWN
    assert server.info.peer_chain == OWN.chain


def test_none_for_an_answer() -> None:
    (client, server), request = asked(OPTIONAL, credentials=(OWN,))
    assert is_complete(client.answer(request, None))
    assert is_complete(server.receive_data(client.data_to_send()))
    assert client.info.credential is None
    (client, server), request = asked(credentials=(OWN,))
    client.answer(request, None)
    assert the_failure(server.receive_data(client.data_to_send())).alert is Alert.certificate_required


def test_a_server_that_does_not_ask() -> None:
    client, server = pair13(client={"defer": frozenset({CredentialRequest}), "credentials": (OWN,)})
    events, _ = shuttle(client, server)
    assert is_complete(events)
    assert client.info.credential is None


@pytest.mark.parametrize("value", [OWN.chain, OWN.chain[0], (OWN,), "client.test", True, b""], ids=type)
def test_an_answer_of_a_wrong_type_leaves_it_waiting(value: Any) -> None:
    (client, server), request = asked()
    with pytest.raises(LocalError, match="Credential"):
        client.answer(request, value)
    assert client.state is ConnectionState.WAITING
    client.answer(request, OWN)
    shuttle(client, server)
    assert server.state is ConnectionState.OPEN


def test_rejected() -> None:
    for given in (None, CertificateError("none at hand", alert=Alert.access_denied)):
        (client, server), request = asked()
        error = the_failure(client.reject(request, given))
        assert error is given or "CredentialRequest" in str(error)
        told = the_failure(server.receive_data(client.data_to_send()))
        assert told.description is (Alert.access_denied if given else Alert.handshake_failure)
        check_over(client, error)


def test_a_signature_that_is_rejected() -> None:
    client = client13(credentials=(Credential(OWN.chain, None),))
    server = server13(**REQUIRED)
    server.receive_data(client.data_to_send())
    request = the_request(client.receive_data(server.data_to_send()))
    error = the_failure(client.reject(request))
    assert the_failure(server.receive_data(client.data_to_send())).description is error.alert


def test_a_signature_by_a_wrong_key() -> None:
    client = client13(credentials=(Credential(OWN.chain, None),))
    server = server13(**REQUIRED)
    server.receive_data(client.data_to_send())
    request = the_request(client.receive_data(server.data_to_send()))
    other = credential12()
    assert other.key is not None
    client.answer(request, sign(request.scheme, other.key, request.message))
    error = the_failure(server.receive_data(client.data_to_send()))
    assert error.kind is PeerMisbehaviour.WRONG_SIGNATURE
    assert the_failure(client.receive_data(server.data_to_send())).description is Alert.decrypt_error


def test_a_credential_that_the_server_can_not_verify() -> None:
    """The caller's mistake: the request still waits, for another one or none."""
    own = credential12("ed25519", name="client.test")
    client, server = pair13(
        client={"defer": frozenset({CredentialRequest})},
        server=REQUIRED | {"signature_schemes": (SignatureScheme.ecdsa_secp256r1_sha256,)},
    )
    server.receive_data(client.data_to_send())
    request = the_request(client.receive_data(server.data_to_send()))
    with pytest.raises(LocalError, match="accepts ecdsa_secp256r1_sha256"):
        client.answer(request, own)
    assert client.state is ConnectionState.WAITING
    client.answer(request, OWN)
    server.receive_data(client.data_to_send())
    assert server.info.peer_chain == OWN.chain


@pytest.mark.parametrize("kind", [CredentialRequest, SignatureRequest])
def test_a_change_cipher_spec_while_it_waits(kind: type[Request[Any]]) -> None:
    client, server = pair13(client={"defer": frozenset({kind}), "credentials": (OWN,)}, server=REQUIRED)
    server.receive_data(client.data_to_send())
    assert isinstance(the_request(client.receive_data(server.data_to_send())), kind)
    error = check_refused(client, client.receive_data(b"\x14\3\3\0\1\1"), server)
    assert error.kind is PeerMisbehaviour.BAD_CHANGE_CIPHER_SPEC


def test_data_of_the_server_that_comes_meanwhile() -> None:
    """The server may send before it knows its client (RFC 9846 2); the client delivers it when it is complete."""
    (client, server), request = asked()
    assert client.receive_data(sealed(server, 23, b"early bird")) == []
    events = client.answer(request, OWN)
    assert is_complete(events)
    assert events[-1] == DataReceived(b"early bird")
    assert is_complete(server.receive_data(client.data_to_send()))


# The server's side deferred ---------------------------------------------------------------------------------------


def verifying(**client: Any) -> tuple[Pair, Any]:
    """A server that is asked about its client."""
    ends = pair13(
        client=MUTUAL["client"] | client, server=MUTUAL["server"] | {"defer": frozenset({VerificationRequest})}
    )
    ends[1].receive_data(ends[0].data_to_send())
    ends[0].receive_data(ends[1].data_to_send())
    return ends, the_request(ends[1].receive_data(ends[0].data_to_send()))


def test_the_verification_is_asked_of_the_caller() -> None:
    (_, server), request = verifying()
    assert request.role == "client"
    assert request.chain == OWN.chain
    assert request.server_name == NAME
    events = server.answer(request, None)
    assert is_complete(events)
    assert server.info.verified is None
    assert server.info.peer_chain == OWN.chain


def test_the_verification_is_refused() -> None:
    (client, server), request = verifying()
    refusal = CertificateError("revoked", alert=Alert.certificate_revoked)
    assert failures(server.reject(request, refusal)) == [refusal]
    assert the_failure(client.receive_data(server.data_to_send())).description is Alert.certificate_revoked


def test_data_of_the_client_comes_after_the_verdict() -> None:
    (client, server), request = verifying()
    client.send_data(b"request")
    assert server.receive_data(client.data_to_send()) == []
    events = server.answer(request, None)
    assert events[-1] == DataReceived(b"request")


def test_accepted_without_proof_it_fails_all_the_same() -> None:
    """The verdict is about the certificate; the proof of the key is looked at whatever it is."""
    ends = pair13(
        client={"credentials": (Credential(OWN.chain, None),)},
        server=MUTUAL["server"] | {"defer": frozenset({VerificationRequest})},
    )
    client, server = ends
    server.receive_data(client.data_to_send())
    signature = the_request(client.receive_data(server.data_to_send()))
    client.answer(signature, bytes(70))
    verification = the_request(server.receive_data(client.data_to_send()))
    error = the_failure(server.answer(verification, None))
    assert error.kind is PeerMisbehaviour.WRONG_SIGNATURE


def test_a_client_without_a_certificate_is_no_question() -> None:
    client, server = pair13(server=OPTIONAL | {"defer": frozenset({VerificationRequest})})
    _, events = shuttle(client, server)
    assert is_complete(events)


def test_names_of_authorities_are_those_of_the_store() -> None:
    """RFC 9846 4.3.4: DER-encoded distinguished names."""
    _, request = asked({"verify": trusting(*AUTHORITIES)})
    assert {x509.Name.from_rfc4514_string(f"CN=CA {number}").public_bytes() for number in range(3)} == set(
        request.authorities
    )
