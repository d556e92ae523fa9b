"""Peers of TLS 1.3 that lie in certificates and in the proofs of their keys (RFC 9846 4.4.2, 4.5)."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding

from connection.peers import agreed, client13, open_pair13, server13, to_client, to_server
from connection12.peers import MUTUAL, Say, credential12, instead, lying, refused, root, verifier
from connection12.test_liars12 import MISFITS
from identity.pki import leaf, pss_leaf, rsa_key, with_tbs
from memory import NAME, is_complete, message, sealed, shuttle, the_failure
from sanstls import (
    AlertDescription,
    CertificateError,
    Credential,
    DangerouslyAcceptAny,
    PeerMisbehaviour,
    ProtocolVersion,
    SignatureRequest,
    SignatureScheme,
)
from sanstls.crypto.signatures import sign
from sanstls.record.limits import MAX_CHAIN
from sanstls.wire.extensions import (
    CertificateAuthorities,
    CertificateStatus,
    Cookie,
    Extension,
    Extensions,
    OIDFilter,
    OIDFilters,
    Padding,
    ServerNameAcknowledgement,
    SignatureSchemeList,
    SignedCertificateTimestampList,
    SignedCertificateTimestampRequest,
    UnknownExtension,
)
from sanstls.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    Finished,
    HandshakeMessage,
)
from sanstls.wire.registries import CertificateStatusType, ExtensionType
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour
S = SignatureScheme
Alert = AlertDescription
ILLEGAL = Alert.illegal_parameter
GREASE = UnknownExtension(ExtensionType(0x1A1A), b"grease")
OPTIONAL = {"verify": verifier(), "client_auth": "optional"}

each_role = pytest.mark.parametrize("liar", ["server", "client"])


def told(liar: str, say: Say, credential: Credential | None = None, **settings: Any) -> Any:
    """The error of the other side, where both show certificates; ``credential`` is the liar's."""
    own = {} if credential is None else {"credentials": (credential,)}
    if liar == "server":
        return to_client(say, MUTUAL["server"] | own, **(MUTUAL["client"] | settings))
    return to_server(say, MUTUAL["client"] | own, **(MUTUAL["server"] | settings))


# Certificate (RFC 9846 4.5.1) -------------------------------------------------------------------------------------


def shows(*chain: bytes, context: bytes = b"", leaf_extensions: Iterable[Extension] = ()) -> Say:
    """Show these certificates."""
    blocks = [Extensions(leaf_extensions), *[Extensions()] * len(chain)]
    entries = tuple([CertificateEntry(der, block) for der, block in zip(chain, blocks, strict=False)])
    return instead(Certificate, lambda _: Certificate(context, entries))


def keeps(**changed: Any) -> Say:
    return instead(Certificate, lambda certificate: certificate.replace(**changed))


def test_no_certificate_of_the_server() -> None:
    error = to_client(shows())
    assert error.kind is P.NO_CERTIFICATE
    assert error.alert is Alert.decode_error


def test_no_certificate_of_a_client_that_must_have_one() -> None:
    error = told("client", shows())
    assert isinstance(error, CertificateError)
    assert error.alert is Alert.certificate_required


@each_role
def test_a_context_that_does_not_belong_here(liar: str) -> None:
    error = told(liar, keeps(certificate_request_context=b"x"))
    assert error.kind is P.NONEMPTY_CONTEXT
    assert error.alert is ILLEGAL


@each_role
@pytest.mark.parametrize(
    "extension", [GREASE, SignedCertificateTimestampList((b"sct",))], ids=lambda extension: str(extension.type)
)
@pytest.mark.parametrize("index", [0, 1])
def test_an_extension_that_nobody_asked_for(liar: str, extension: Extension, index: int) -> None:
    def change(certificate: Certificate) -> Certificate:
        entries = [*certificate.certificate_list, CertificateEntry(root().der, Extensions())]
        entries[index] = entries[index].replace(extensions=Extensions([extension]))
        return certificate.replace(certificate_list=tuple(entries))

    error = told(liar, instead(Certificate, change))
    assert error.kind is P.UNSOLICITED_EXTENSION
    assert error.alert is Alert.unsupported_extension


def test_a_staple_of_the_client_that_nobody_asked_for() -> None:
    staple = CertificateStatus(CertificateStatusType.ocsp, b"response")
    error = told("client", shows(*MUTUAL["client"]["credentials"][0].chain, leaf_extensions=[staple]))
    assert error.kind is P.UNSOLICITED_EXTENSION


@each_role
@pytest.mark.parametrize(
    "extension",
    [Cookie(b"cookie"), Padding(b""), ServerNameAcknowledgement()],
    ids=lambda extension: str(extension.type),
)
def test_an_extension_that_belongs_elsewhere(liar: str, extension: Extension) -> None:
    error = told(liar, shows(credential12().chain[0], leaf_extensions=[extension]))
    assert error.kind is P.MISPLACED_EXTENSION
    assert error.alert is ILLEGAL
    assert error.message == "Certificate"


def test_the_staple_of_the_server() -> None:
    """No lie: it was asked for."""
    client, _ = agreed(server={"credentials": (credential12().stapled(b"response"),)})
    assert client.info.peer_chain == credential12().chain


def test_a_staple_of_an_unknown_type() -> None:
    staple = CertificateStatus(CertificateStatusType(2), b"response")
    error = to_client(shows(*credential12().chain, leaf_extensions=[staple]))
    assert error.kind is P.MALFORMED_MESSAGE
    assert error.alert is Alert.decode_error


@each_role
def test_a_chain_that_is_too_long(liar: str) -> None:
    chain = credential12().chain
    error = told(liar, shows(*chain * (MAX_CHAIN + 1)))
    assert error.kind is P.CHAIN_TOO_LONG
    assert error.alert is Alert.bad_certificate


@each_role
@pytest.mark.parametrize("der", [b"\0", b"\x30\x80", bytes(1000), b"cut", b"more"], ids=repr)
@pytest.mark.parametrize("index", [0, 1])
def test_a_certificate_that_is_none(liar: str, der: bytes, index: int) -> None:
    own = credential12().chain[0]
    der = {b"cut": own[:-1], b"more": own + b"\0"}.get(der, der)
    error = told(liar, shows(*([own, der] if index else [der])))
    assert isinstance(error, CertificateError)
    assert error.alert is Alert.bad_certificate
    assert f"certificate {index}" in str(error)


@cache
def odd_leaf(kind: str) -> bytes:
    """A certificate with a key that can't sign in TLS, or that nobody knows."""
    if kind == "unknown curve":
        plain = leaf(root(), NAME)
        p256, nothing = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d037f7f")
        return with_tbs(plain, p256, nothing, root().key).public_bytes(Encoding.DER)
    keys: dict[str, Callable[[], Any]] = {
        "x25519": x25519.X25519PrivateKey.generate,
        "dsa": lambda: dsa.generate_private_key(1024),  # noqa: S505 - that is the point
    }
    return leaf(root(), NAME, key=keys[kind]()).der


@each_role
def test_a_key_that_nobody_knows(liar: str) -> None:
    error = told(liar, shows(odd_leaf("unknown curve")), verify=DangerouslyAcceptAny())
    assert isinstance(error, CertificateError)
    assert error.alert is Alert.unsupported_certificate


@each_role
@pytest.mark.parametrize("kind", ["x25519", "dsa"])
def test_a_key_that_signs_nothing_here(liar: str, kind: str) -> None:
    error = told(liar, shows(odd_leaf(kind)), verify=DangerouslyAcceptAny())
    assert error.kind is P.SCHEME_DOES_NOT_FIT_KEY
    assert error.alert is ILLEGAL


@each_role
def test_a_certificate_that_may_not_sign(liar: str) -> None:
    """RFC 9846 4.5.1.2: digitalSignature must be there if there is a key usage."""
    error = told(liar, shows(*credential12("p256", "decrypt").chain))
    assert isinstance(error, CertificateError)
    assert error.alert is Alert.unsupported_certificate


@each_role
def test_another_certificate_than_that_of_the_key(liar: str) -> None:
    """Somebody else's, or one's own with another key."""
    error = told(liar, shows(*credential12("p256", "sign", "example.com").chain), credential12("p256", name="x.test"))
    assert error.kind is P.WRONG_SIGNATURE
    assert error.alert is Alert.decrypt_error


# CertificateVerify (RFC 9846 4.5.2) -------------------------------------------------------------------------------


def proves(**changed: Any) -> Say:
    return instead(CertificateVerify, lambda verify: verify.replace(**changed))


def signing(liar: str, make: Callable[[bytes], bytes]) -> dict[str, list[Any]]:
    """What both sides tell if the liar signs what ``make`` makes of the right content."""
    credential = credential12()
    deferring = {"credentials": (credential,), "defer": frozenset({SignatureRequest})}
    client = client13(**(MUTUAL["client"] | (deferring if liar == "client" else {})))
    server = server13(**(MUTUAL["server"] | (deferring if liar == "server" else {})))
    ends = {"client": client, "server": server}
    events: dict[str, list[Any]] = {"client": [], "server": []}
    for number in range(6):
        source, target = (client, "server") if number % 2 == 0 else (server, "client")
        events[target] += ends[target].receive_data(source.data_to_send())
        if events[target] and isinstance(events[target][-1], SignatureRequest):
            request = events[target].pop()
            assert credential.key is not None
            signature = sign(request.scheme, credential.key, make(request.message))
            events[target] += ends[target].answer(request, signature)
    return events


@each_role
def test_signing_elsewhere_is_no_lie(liar: str) -> None:
    """Else the next test would not show what it says."""
    events = signing(liar, lambda content: content)
    assert is_complete(events["client"])
    assert is_complete(events["server"])


CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "another transcript": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "no transcript": lambda content: content[:98],
    "only the transcript": lambda content: content[98:],
    "the other side's": lambda content: (
        content.replace(b"client", b"server") if b"client" in content else content.replace(b"server", b"client")
    ),
    "no spaces": lambda content: content.lstrip(b" "),
    "a space less": lambda content: content[1:],
    "no zero": lambda content: content.replace(b"\0", b"", 1),
    "nothing": lambda content: b"",
}


@each_role
@pytest.mark.parametrize("what", CONTENTS)
def test_a_signature_of_something_else(liar: str, what: str) -> None:
    """RFC 9846 4.5.2: 64 spaces, the side's own context string, a zero, the hash of the transcript."""
    events = signing(liar, CONTENTS[what])
    error = the_failure(events["client" if liar == "server" else "server"])
    assert the_failure(events[liar]).description == error.alert
    assert error.kind is P.WRONG_SIGNATURE
    assert error.alert is Alert.decrypt_error


@each_role
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "ed25519", "ed448"])
@pytest.mark.parametrize(
    "signature", [b"", b"\0", bytes(64), bytes(256), b"\x30\x06\2\1\1\2\1\1", bytes(2**15)], ids=len
)
def test_a_signature_that_is_none(liar: str, kind: str, signature: bytes) -> None:
    error = told(liar, proves(signature=signature), credential12(kind))
    assert error.kind is P.WRONG_SIGNATURE
    assert error.alert is Alert.decrypt_error


@each_role
@pytest.mark.parametrize(
    "scheme",
    [S.rsa_pkcs1_sha256, S.rsa_pkcs1_sha1, S.ecdsa_sha1, S(0x0911), S(0x0603 + 0x1000), S(0xFEFE)],
    ids=str,
)
def test_a_scheme_that_was_not_offered(liar: str, scheme: SignatureScheme) -> None:
    """RFC 9846 4.3.3: PKCS #1 v1.5 is offered for certificates, and does not sign handshakes."""
    error = told(liar, proves(algorithm=scheme), credential12("rsa"))
    assert error.kind is P.UNOFFERED_SIGNATURE_SCHEME
    assert error.alert is ILLEGAL


@each_role
def test_a_scheme_that_this_side_does_not_accept(liar: str) -> None:
    error = told(liar, proves(algorithm=S.ed25519), signature_schemes=(S.ecdsa_secp256r1_sha256,))
    assert error.kind is P.UNOFFERED_SIGNATURE_SCHEME


MISFITS13 = [
    *MISFITS,
    ("p256", S.ecdsa_secp384r1_sha384),
    ("p384", S.ecdsa_secp256r1_sha256),
    ("p384", S.ecdsa_secp521r1_sha512),
]


@each_role
@pytest.mark.parametrize(("kind", "scheme"), MISFITS13, ids=str)
def test_a_scheme_that_does_not_fit_the_key(liar: str, kind: str, scheme: SignatureScheme) -> None:
    """RFC 9846 4.3.3: an ECDSA scheme names its curve."""
    error = told(liar, proves(algorithm=scheme), credential12(kind))
    assert error.kind is P.SCHEME_DOES_NOT_FIT_KEY
    assert error.alert is ILLEGAL


@each_role
def test_the_scheme_of_plain_rsa_with_a_pss_key(liar: str) -> None:
    issued = pss_leaf(root(), NAME)
    credential = Credential([issued.der], issued.key)
    error = told(liar, proves(algorithm=S.rsa_pss_rsae_sha256), credential)
    assert error.kind is P.SCHEME_DOES_NOT_FIT_KEY


@each_role
def test_the_signature_of_another_hash(liar: str) -> None:
    """Both schemes fit, but it was made by the first."""
    issued = leaf(root(), NAME, key=rsa_key())
    error = told(liar, proves(algorithm=S.rsa_pss_rsae_sha512), Credential([issued.der], issued.key))
    assert error.kind is P.WRONG_SIGNATURE


@each_role
@pytest.mark.parametrize("is_doubled", [False, True])
def test_no_proof_or_two(liar: str, is_doubled: bool) -> None:
    error = told(liar, instead(CertificateVerify, lambda verify: [verify] * 2 if is_doubled else []))
    assert error.kind is P.UNEXPECTED_MESSAGE


def test_a_proof_without_a_certificate() -> None:
    """RFC 9846 4.5.2: after an empty Certificate there is none."""
    error = to_server(shows(), MUTUAL["client"], **OPTIONAL)
    assert error.kind is P.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("with_proof", [False, True])
def test_a_certificate_that_was_not_asked_for(with_proof: bool) -> None:
    certificate = Certificate(b"", (CertificateEntry(credential12().chain[0], Extensions()),))
    proof = [CertificateVerify(S.ecdsa_secp256r1_sha256, bytes(70))] if with_proof else []
    error = to_server(instead(Finished, lambda finished: [certificate, *proof, finished]))
    assert error.kind is P.UNEXPECTED_MESSAGE
    assert "instead of Finished" in str(error)


# CertificateRequest (RFC 9846 4.4.2) ------------------------------------------------------------------------------

ANY_SCHEMES = SignatureSchemeList((S.ecdsa_secp256r1_sha256, S.ed25519))


def asks(*extensions: Extension, context: bytes = b"") -> Say:
    return instead(CertificateRequest, lambda _: CertificateRequest(context, Extensions(extensions)))


def test_a_request_with_a_context() -> None:
    """RFC 9846 4.4.2: that is for requests after the handshake."""
    error = to_client(asks(ANY_SCHEMES, context=b"x"), MUTUAL["server"])
    assert error.kind is P.NONEMPTY_CONTEXT
    assert error.alert is ILLEGAL


@pytest.mark.parametrize("others", [[], [CertificateAuthorities((b"\x30\0",))], [GREASE]], ids=len)
@pytest.mark.parametrize("has_credential", [False, True])
def test_a_request_without_signature_algorithms(others: list[Extension], has_credential: bool) -> None:
    settings = MUTUAL["client"] if has_credential else {}
    error = to_client(asks(*others), MUTUAL["server"], **settings)
    assert error.kind is P.MISSING_EXTENSION
    assert error.alert is Alert.missing_extension
    assert error.message == "CertificateRequest"


@pytest.mark.parametrize(
    "extension", [Cookie(b"x"), Padding(b""), ServerNameAcknowledgement()], ids=lambda extension: str(extension.type)
)
def test_a_request_with_an_extension_that_belongs_elsewhere(extension: Extension) -> None:
    error = to_client(asks(ANY_SCHEMES, extension), MUTUAL["server"])
    assert error.kind is P.MISPLACED_EXTENSION
    assert error.message == "CertificateRequest"


def test_what_a_request_may_hold() -> None:
    """RFC 9846 4.4.2: a client must ignore what it does not know."""
    say = asks(GREASE, ANY_SCHEMES, SignedCertificateTimestampRequest(), OIDFilters((OIDFilter(b"\x55\x1d\x0f", b""),)))
    _, server = agreed(server_says=say, client=MUTUAL["client"], server=MUTUAL["server"])
    assert server.info.peer_chain == MUTUAL["client"]["credentials"][0].chain


def test_a_request_of_nothing_that_is_known_is_answered_with_no_certificate() -> None:
    say = asks(SignatureSchemeList((S(0xFEFE), S.rsa_pkcs1_sha256)))
    client, server = agreed(server_says=say, client=MUTUAL["client"], server=OPTIONAL)
    assert client.info.credential is None
    assert server.info.peer_chain == ()


def test_a_request_in_a_handshake_without_one() -> None:
    """Behind the Certificate it comes too late."""
    request = CertificateRequest(b"", Extensions([ANY_SCHEMES]))
    error = to_client(instead(Certificate, lambda certificate: [certificate, request]))
    assert error.kind is P.UNEXPECTED_MESSAGE


# Finished (RFC 9846 4.5.3) and what follows -----------------------------------------------------------------------


@pytest.mark.parametrize("is_mutual", [False, True])
@pytest.mark.parametrize("data", [b"", bytes(47), bytes(48), bytes(49), bytes(32), bytes(1000)], ids=len)
@each_role
def test_another_finished(liar: str, data: bytes, is_mutual: bool) -> None:
    say = instead(Finished, lambda _: Finished(data))
    alone = to_client if liar == "server" else to_server
    error = told(liar, say) if is_mutual else alone(say)
    assert error.kind is P.WRONG_FINISHED
    assert error.alert is Alert.decrypt_error


def test_the_finished_of_the_server_sent_back() -> None:
    """Each side has a key of its own."""
    heard: list[Finished] = []

    def listen(said: HandshakeMessage) -> Iterable[HandshakeMessage]:
        heard.extend([said] if isinstance(said, Finished) else [])
        return [said]

    client = lying(client13, instead(Finished, lambda _: heard[0]))
    assert refused(client, lying(server13, listen), by="server").kind is P.WRONG_FINISHED


@each_role
@pytest.mark.parametrize("value", [2, 3, 255])
def test_a_key_update_that_asks_for_something_undefined(liar: str, value: int) -> None:
    """RFC 9846 4.7.3."""
    client, server = open_pair13()
    peer, victim = (client, server) if liar == "client" else (server, client)
    error = the_failure(victim.receive_data(sealed(peer, 22, message(T.key_update, bytes([value])))))
    assert error.kind is P.BAD_KEY_UPDATE
    assert error.alert is ILLEGAL
    assert the_failure(peer.receive_data(victim.data_to_send())).description == ILLEGAL


@each_role
def test_keys_that_were_updated_in_silence(liar: str) -> None:
    """Without a KeyUpdate the next keys are wrong ones."""
    client, server = open_pair13()
    peer, victim = (client, server) if liar == "client" else (server, client)
    peer.update_keys()
    peer.data_to_send()
    peer.send_data(b"data")
    assert the_failure(victim.receive_data(peer.data_to_send())).kind is P.BAD_RECORD_MAC


def test_the_truth_is_agreed_on() -> None:
    """Else nothing above would show what it says."""
    client, server = agreed(client=MUTUAL["client"], server=MUTUAL["server"])
    assert shuttle(client, server) == ([], [])
    assert client.info.version is server.info.version is ProtocolVersion.TLS13
