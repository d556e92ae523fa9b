"""Peers of TLS 1.2 that stand by their lies: keys, signatures and certificates that are not what they should be."""

from collections.abc import Iterable
from typing import Any

import pytest

from connection12.peers import (
    KEY_TRANSPORT,
    MUTUAL,
    TLS12,
    TLS13,
    Say,
    client12,
    credential12,
    instead,
    lying,
    refused,
    scripted,
    server12,
    server_hello_with,
    verifier,
)
from memory import message, shuttle
from sanstls import (
    AlertDescription,
    CertificateError,
    CipherSuite,
    Credential,
    NamedGroup,
    PeerMisbehaviour,
    SignatureScheme,
)
from sanstls.crypto.signatures import sign
from sanstls.wire.messages import CertificateVerify, ClientHello, HandshakeMessage, ServerHello
from sanstls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchangeECDHE,
    ServerECDHParams,
    ServerKeyExchange,
)
from sanstls.wire.registries import CertificateStatusType, ECCurveType
from sanstls.wire.registries import HandshakeType as T

P = PeerMisbehaviour
S = SignatureScheme
ILLEGAL, DECRYPT, DECODE = (
    AlertDescription.illegal_parameter,
    AlertDescription.decrypt_error,
    AlertDescription.decode_error,
)

# The server's key exchange (RFC 8422 5.4) -------------------------------------------------------------------------


class Signed:
    """A server that signs what it likes: both randoms are known to it, and it has any credential."""

    def __init__(
        self,
        *,
        group: NamedGroup | None = None,
        public: bytes | None = None,
        scheme: SignatureScheme | None = None,
        signer: Credential | None = None,
        randoms: tuple[bytes, bytes] | None = None,
    ) -> None:
        self.group, self.public, self.scheme, self.signer, self.randoms = group, public, scheme, signer, randoms
        self.client_random = self.server_random = b""

    def client(self, **settings: Any) -> Any:
        """A client that tells no lies, but of whose random this server knows."""

        def listen(said: HandshakeMessage) -> Iterable[HandshakeMessage]:
            if isinstance(said, ClientHello):
                self.client_random = said.random
            return [said]

        return lying(lambda: client12(**settings), listen)

    def say(self, said: HandshakeMessage) -> Iterable[HandshakeMessage]:
        if isinstance(said, ServerHello):
            self.server_random = said.random
        if not isinstance(said, ServerKeyExchange):
            return [said]
        params = ServerECDHParams(
            ECCurveType.named_curve,
            self.group or said.params.namedcurve,
            said.params.public if self.public is None else self.public,
        )
        scheme = self.scheme or said.algorithm
        signer = self.signer or credential12()
        assert signer.key is not None
        content = params.signed_content(*(self.randoms or (self.client_random, self.server_random)))
        return [ServerKeyExchange(params, scheme, sign(scheme, signer.key, content))]

    def refusal(self, client_settings: dict[str, Any] | None = None, **server_settings: Any) -> Any:
        """What the client says to it."""
        client = self.client(**(client_settings or {}))
        return refused(client, lying(lambda: server12(**server_settings), self.say), by="client")


def test_signing_anew_is_no_lie() -> None:
    """Else nothing below would show what it says."""
    signed = Signed()
    client, server = signed.client(), lying(server12, signed.say)
    shuttle(client, server)
    assert client.info.group is NamedGroup.x25519


P256_X = bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
P256_Y = bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
BAD_POINTS = {
    "x25519 of small order": (NamedGroup.x25519, bytes(32)),
    "x25519 of order 2": (NamedGroup.x25519, b"\1" + bytes(31)),
    "x25519 too short": (NamedGroup.x25519, b"\x09" * 31),
    "x25519 too long": (NamedGroup.x25519, b"\x09" * 33),
    "x25519 of one byte": (NamedGroup.x25519, b"\x09"),
    "P-256 not on the curve": (NamedGroup.secp256r1, b"\4" + P256_X + P256_X),
    "P-256 of zeros": (NamedGroup.secp256r1, b"\4" + bytes(64)),
    "P-256 compressed": (NamedGroup.secp256r1, b"\3" + P256_X),
    "P-256 hybrid form": (NamedGroup.secp256r1, b"\7" + P256_X + P256_Y),
    "P-256 at infinity": (NamedGroup.secp256r1, b"\0"),
    "P-256 cut": (NamedGroup.secp256r1, b"\4" + P256_X + P256_Y[:-1]),
    "P-256 with a byte more": (NamedGroup.secp256r1, b"\4" + P256_X + P256_Y + b"\0"),
    "P-256 beyond the field": (NamedGroup.secp256r1, b"\4" + b"\xff" * 64),
    "P-384 in place of P-256": (NamedGroup.secp256r1, b"\4" + bytes(96)),
}
each_bad_point = pytest.mark.parametrize(("group", "public"), BAD_POINTS.values(), ids=BAD_POINTS)


@each_bad_point
def test_a_bad_point_of_the_server(group: NamedGroup, public: bytes) -> None:
    groups = tuple(dict.fromkeys((group, NamedGroup.secp256r1)))  # the latter for the certificate
    error = Signed(public=public).refusal({"groups": groups}, groups=(group,))
    assert error.kind is P.BAD_KEY_SHARE
    assert error.message == "ServerKeyExchange"
    assert error.alert is ILLEGAL


@each_bad_point
def test_a_bad_point_of_the_client(group: NamedGroup, public: bytes) -> None:
    say = instead(ClientKeyExchangeECDHE, lambda _: ClientKeyExchangeECDHE(public))
    error = refused(lying(client12, say), server12(groups=(group,)), by="server")
    assert error.kind is P.BAD_KEY_SHARE
    assert error.message == "ClientKeyExchange"
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(
    "group",
    [
        NamedGroup.secp384r1,
        NamedGroup.secp521r1,
        NamedGroup.x448,
        NamedGroup.brainpoolP256r1tls13,
        NamedGroup.ffdhe2048,
        NamedGroup.MLKEM768,
        NamedGroup(0x0001),
        NamedGroup(0x1A1A),
        NamedGroup(0xFF01),
    ],
    ids=str,
)
def test_a_group_that_was_not_offered(group: NamedGroup) -> None:
    error = Signed(group=group).refusal({"groups": (NamedGroup.x25519, NamedGroup.secp256r1)})
    assert error.kind is P.UNOFFERED_GROUP
    assert error.message == "ServerKeyExchange"
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(
    "group", [NamedGroup.X25519MLKEM768, NamedGroup.SecP256r1MLKEM768, NamedGroup.SecP384r1MLKEM1024], ids=str
)
def test_a_hybrid_group_although_it_was_offered_for_tls13(group: NamedGroup) -> None:
    settings = {"groups": (group, NamedGroup.x25519, NamedGroup.secp256r1), "versions": (TLS13, TLS12)}
    error = Signed(group=group).refusal(settings)
    assert error.kind is P.UNOFFERED_GROUP


@pytest.mark.parametrize("curve_type", [0, 1, 2, 4, 255])
def test_a_curve_in_explicit_form(curve_type: int) -> None:
    """RFC 8422 5.4: only named curves."""

    def script(item: Any) -> Iterable[Any]:
        is_exchange = isinstance(item, bytes) and item[0] == T.server_key_exchange
        return [item[:4] + bytes([curve_type]) + item[5:]] if is_exchange else [item]

    error = refused(client12(), scripted(server12, script), by="client")
    assert error.kind is P.MALFORMED_MESSAGE
    assert error.alert is DECODE


def test_a_signature_by_another_key() -> None:
    error = Signed(signer=credential12(name="other.test")).refusal()
    assert error.kind is P.WRONG_SIGNATURE
    assert error.message == "ServerKeyExchange"
    assert error.alert is DECRYPT


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "ed25519"])
@pytest.mark.parametrize(
    "signature", [b"", b"\0", bytes(64), bytes(256), b"\x30\x06\2\1\1\2\1\1", bytes(2**15)], ids=len
)
def test_a_signature_that_is_none(signature: bytes, kind: str) -> None:
    say = instead(ServerKeyExchange, lambda exchange: exchange.replace(signature=signature))
    server = lying(lambda: server12(credentials=(credential12(kind),)), say)
    error = refused(client12(), server, by="client")
    assert error.kind is P.WRONG_SIGNATURE
    assert error.alert is DECRYPT


@pytest.mark.parametrize("which", ["client", "server", "both", "swapped"])
def test_a_signature_of_another_handshake(which: str) -> None:
    """Both randoms are under the signature, in this order."""
    signed = Signed()

    def say(said: HandshakeMessage) -> Iterable[HandshakeMessage]:
        if isinstance(said, ServerKeyExchange):
            client, server = signed.client_random, signed.server_random
            signed.randoms = {
                "client": (bytes(32), server),
                "server": (client, bytes(32)),
                "both": (bytes(32), bytes(32)),
                "swapped": (server, client),
            }[which]
        return signed.say(said)

    error = refused(signed.client(), lying(server12, say), by="client")
    assert error.kind is P.WRONG_SIGNATURE


@pytest.mark.parametrize("change", ["group", "public"])
def test_parameters_that_were_not_signed(change: str) -> None:
    changed: dict[str, Any] = {"group": {"namedcurve": NamedGroup.secp256r1}, "public": {"public": b"\x09" + bytes(31)}}
    say = instead(
        ServerKeyExchange, lambda exchange: exchange.replace(params=exchange.params.replace(**changed[change]))
    )
    error = refused(client12(), lying(server12, say), by="client")
    assert error.kind is P.WRONG_SIGNATURE


@pytest.mark.parametrize(
    "scheme", [S.ecdsa_sha1, S.rsa_pkcs1_sha1, S(0x0911), S.ecdsa_secp384r1_sha384, S(0x0603), S(0xFEFE)], ids=str
)
def test_a_scheme_that_was_not_offered(scheme: SignatureScheme) -> None:
    say = instead(ServerKeyExchange, lambda exchange: exchange.replace(algorithm=scheme))
    client = client12(signature_schemes=(S.ecdsa_secp256r1_sha256,))
    error = refused(client, lying(server12, say), by="client")
    assert error.kind is P.UNOFFERED_SIGNATURE_SCHEME
    assert error.message == "ServerKeyExchange"
    assert error.alert is ILLEGAL


MISFITS = [
    ("p256", S.rsa_pss_rsae_sha256),
    ("p256", S.ed25519),
    ("rsa", S.ecdsa_secp256r1_sha256),
    ("rsa", S.rsa_pss_pss_sha256),
    ("rsa", S.ed448),
    ("ed25519", S.ed448),
    ("ed448", S.ed25519),
    ("ed25519", S.ecdsa_secp256r1_sha256),
]
each_misfit = pytest.mark.parametrize(("kind", "scheme"), MISFITS, ids=str)


@each_misfit
def test_a_scheme_that_does_not_fit_the_servers_key(kind: str, scheme: SignatureScheme) -> None:
    say = instead(ServerKeyExchange, lambda exchange: exchange.replace(algorithm=scheme))
    error = refused(client12(), lying(lambda: server12(credentials=(credential12(kind),)), say), by="client")
    assert error.kind is P.SCHEME_DOES_NOT_FIT_KEY
    assert error.alert is ILLEGAL


@pytest.mark.parametrize(
    ("kind", "suite"),
    [
        ("p256", CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("ed25519", CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ("rsa", CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ],
    ids=str,
)
def test_a_key_that_does_not_fit_the_suite(kind: str, suite: CipherSuite) -> None:
    """RFC 5246 7.4.2: the right signature of a right key, under the wrong suite."""
    signed = Signed(signer=credential12(kind))

    def say(said: HandshakeMessage) -> Iterable[HandshakeMessage]:
        (changed,) = server_hello_with(cipher_suite=suite)(said)
        return signed.say(changed)

    server = lying(lambda: server12(credentials=(credential12(kind),)), say)
    error = refused(signed.client(), server, by="client")
    assert error.kind is P.KEY_DOES_NOT_FIT_SUITE
    assert error.alert is ILLEGAL


# The server's certificate -----------------------------------------------------------------------------------------


def shows(*chain: bytes) -> Say:
    """Show these certificates."""
    return instead(Certificate12, lambda _: Certificate12(chain))


@pytest.mark.parametrize("flow", ["ECDHE", "RSA"])
def test_no_certificate_of_the_server(flow: str) -> None:
    settings = KEY_TRANSPORT if flow == "RSA" else {"client": {}, "server": {}}
    error = refused(client12(**settings["client"]), lying(lambda: server12(**settings["server"]), shows()), by="client")
    assert error.kind is P.NO_CERTIFICATE


def test_another_certificate_than_the_one_of_the_key() -> None:
    say = shows(*credential12(name="example.com", kind="p384").chain)
    assert refused(client12(), lying(server12, say), by="client").kind is P.WRONG_SIGNATURE


@pytest.mark.parametrize("der", [b"\0", b"\x30\x80", bytes(1000), b"cut"], ids=["zero", "endless", "zeros", "cut"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_a_certificate_that_is_none(role: str, der: bytes) -> None:
    if der == b"cut":
        der = credential12().chain[0][:-1]
    if role == "server":
        error = refused(client12(), lying(server12, shows(der)), by="client")
    else:
        client = lying(lambda: client12(**MUTUAL["client"]), shows(der))
        error = refused(client, server12(**MUTUAL["server"]), by="server")
    assert isinstance(error, CertificateError)
    assert error.alert is AlertDescription.bad_certificate


@pytest.mark.parametrize("role", ["client", "server"])
def test_a_chain_that_is_too_long(role: str) -> None:
    say = shows(*credential12().chain * 11)
    if role == "server":
        error = refused(client12(), lying(server12, say), by="client")
    else:
        error = refused(lying(lambda: client12(**MUTUAL["client"]), say), server12(**MUTUAL["server"]), by="server")
    assert error.kind is P.CHAIN_TOO_LONG
    assert error.alert is AlertDescription.bad_certificate


def test_a_certificate_that_may_not_sign() -> None:
    chain = Certificate12(credential12("p256", "decrypt").chain)
    error = refused(client12(), lying(server12, instead(Certificate12, lambda _: chain)), by="client")
    assert isinstance(error, CertificateError)
    assert error.alert is AlertDescription.unsupported_certificate


def test_a_staple_that_was_not_announced() -> None:
    """RFC 6066 8: only a server that has answered the extension may send one."""
    staple = CertificateStatus(CertificateStatusType.ocsp, b"response")
    say = instead(Certificate12, lambda certificate: [certificate, staple])
    assert refused(client12(), lying(server12, say), by="client").kind is P.UNEXPECTED_MESSAGE


def test_a_staple_of_an_unknown_type() -> None:
    server = lying(
        lambda: server12(credentials=(credential12().stapled(b"response"),)),
        instead(CertificateStatus, lambda status: status.replace(status_type=CertificateStatusType(2))),
    )
    error = refused(client12(), server, by="client")
    assert error.kind is P.MALFORMED_MESSAGE


# The client's certificate (RFC 5246 7.4.6, 7.4.8) -----------------------------------------------------------------


def proves(change: Any, **settings: Any) -> Any:
    """What a server says to a client whose CertificateVerify is changed."""
    client = lying(lambda: client12(**(MUTUAL["client"] | settings)), instead(CertificateVerify, change))
    return refused(client, server12(**MUTUAL["server"]), by="server")


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(256), b"\x30\x06\2\1\1\2\1\1"], ids=len)
def test_a_proof_that_is_none(signature: bytes) -> None:
    error = proves(lambda verify: verify.replace(signature=signature))
    assert error.kind is P.WRONG_SIGNATURE
    assert error.alert is DECRYPT


def test_a_proof_by_another_key() -> None:
    """The client shows somebody else's certificate."""
    own = credential12("p256", name="client.test")
    other = credential12("p256", name="other.test")
    client = lying(lambda: client12(credentials=(own,)), shows(*other.chain))
    error = refused(client, server12(**MUTUAL["server"]), by="server")
    assert error.kind is P.WRONG_SIGNATURE


@pytest.mark.parametrize("scheme", [S.ecdsa_sha1, S.mldsa44, S(0xFEFE)], ids=str)
def test_a_proof_by_a_scheme_that_was_not_asked_for(scheme: SignatureScheme) -> None:
    error = proves(lambda verify: verify.replace(algorithm=scheme))
    assert error.kind is P.UNOFFERED_SIGNATURE_SCHEME
    assert error.alert is ILLEGAL


@each_misfit
def test_a_proof_by_a_scheme_that_does_not_fit_the_key(kind: str, scheme: SignatureScheme) -> None:
    own = credential12(kind, name="client.test")
    error = proves(lambda verify: verify.replace(algorithm=scheme), credentials=(own,))
    assert error.kind is P.SCHEME_DOES_NOT_FIT_KEY
    assert error.alert is ILLEGAL


def test_a_certificate_without_its_proof() -> None:
    client = lying(lambda: client12(**MUTUAL["client"]), instead(CertificateVerify, lambda _: []))
    error = refused(client, server12(**MUTUAL["server"]), by="server")
    assert error.kind is P.BAD_CHANGE_CIPHER_SPEC


def test_a_proof_without_a_certificate() -> None:
    client = lying(lambda: client12(**MUTUAL["client"]), shows())
    error = refused(client, server12(verify=verifier(), client_auth="optional"), by="server")
    assert error.kind is P.UNEXPECTED_MESSAGE


def test_a_certificate_that_was_not_asked_for() -> None:
    say = instead(ClientKeyExchangeECDHE, lambda exchange: [Certificate12(credential12().chain), exchange])
    assert refused(lying(client12, say), server12(), by="server").kind is P.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("flow", ["ECDHE", "RSA"])
def test_the_key_exchange_of_another_suite(flow: str) -> None:
    """Two bytes of length with RSA, one with ECDHE: the suite says how to read it."""
    settings = KEY_TRANSPORT if flow == "RSA" else {"client": {}, "server": {}}
    body = b"\x20" + bytes(32) if flow == "RSA" else b"\1\0" + bytes(256)

    def script(item: Any) -> Iterable[Any]:
        is_exchange = isinstance(item, bytes) and item[0] == T.client_key_exchange
        return [message(T.client_key_exchange, body)] if is_exchange else [item]

    client = scripted(lambda: client12(**settings["client"]), script)
    error = refused(client, server12(**settings["server"]), by="server")
    assert error.kind is P.MALFORMED_MESSAGE
    assert error.alert is DECODE


def test_a_certificate_request_with_nothing_in_it() -> None:
    """RFC 5246 7.4.4: at least one type of certificate, and at least one scheme."""
    for body in (b"\0\0\2\4\3\0\0", b"\1\x40\0\0\0\0", b"\1\x40\0\1\4\0\0"):

        def script(item: Any, body: bytes = body) -> Iterable[Any]:
            is_request = isinstance(item, bytes) and item[0] == T.certificate_request
            return [message(T.certificate_request, body)] if is_request else [item]

        server = scripted(lambda: server12(**MUTUAL["server"]), script)
        error = refused(client12(), server, by="client")
        assert error.kind is P.MALFORMED_MESSAGE


def test_a_request_of_nothing_that_is_known_is_answered_with_no_certificate() -> None:
    say = instead(CertificateRequest12, lambda request: request.replace(supported_signature_algorithms=(S(0xFEFE),)))
    client = client12(**MUTUAL["client"])
    server = lying(lambda: server12(verify=verifier(), client_auth="optional"), say)
    shuttle(client, server)
    assert client.info.credential is None
    assert server.info.peer_chain == ()
