"""RSA key transport, which has to be asked for by name, and what hides it from Bleichenbacher (RFC 5246 7.4.7.1)."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from connection12.peers import (
    KEY_TRANSPORT,
    MUTUAL,
    check_over,
    client12,
    credential12,
    hello_with,
    instead,
    lying,
    open_pair,
    pair,
    refused,
    root,
    server12,
    server_hello_with,
    verifier,
)
from identity.pki import key_usage, leaf, pss_leaf, rsa_key
from memory import (
    NAME,
    chunked,
    client_config,
    is_complete,
    plain_alert,
    random_source,
    server_config,
    shuttle,
    the_failure,
)
from sanstls import (
    AlertDescription,
    AlertReceivedError,
    CertificateError,
    CipherSuite,
    ConnectionFailed,
    ConnectionState,
    Credential,
    DangerouslyAcceptAny,
    DataReceived,
    KeysDerived,
    LocalError,
    MessageReceived,
    PeerMisbehaviour,
    ProtocolVersion,
    Request,
)
from sanstls.events import PremasterDecryptionRequest
from sanstls.wire.messages12 import Certificate12, ClientKeyExchangeRSA

SUITES = (CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256, CipherSuite.TLS_RSA_WITH_AES_256_GCM_SHA384)
CLIENT, SERVER = KEY_TRANSPORT["client"], KEY_TRANSPORT["server"]
DEFERRED = {"defer": frozenset({PremasterDecryptionRequest})}
OPTION = "legacy_rsa_key_transport=True"

# Only for those who ask for it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("use", ["decrypt", "both"])
def test_it_works(suite: CipherSuite, use: str) -> None:
    credentials = (credential12("rsa", use),)
    client, server = open_pair(
        client=CLIENT | {"cipher_suites": (suite,)}, server=SERVER | {"credentials": credentials}
    )
    assert client.info.cipher_suite is server.info.cipher_suite is suite
    assert (client.info.group, client.info.signature_scheme) == (None, None)
    assert client.info.verified is not None
    exported = client.export_keying_material("EXPORTER-test", 80)
    assert exported == server.export_keying_material("EXPORTER-test", 80)
    client.send_data(b"ping")
    server.send_data(b"pong")
    assert shuttle(client, server) == ([DataReceived(b"pong")], [DataReceived(b"ping")])


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("make", [client_config, server_config])
def test_its_suites_need_the_option(make: Callable[..., Any], suite: CipherSuite) -> None:
    with pytest.raises(LocalError, match=OPTION):
        make(cipher_suites=(suite,))
    assert suite in make(cipher_suites=(suite,), legacy_rsa_key_transport=True).suites12
    assert suite in make(legacy_rsa_key_transport=True).suites12
    assert suite not in make().suites12


def test_the_defaults_prefer_forward_secrecy() -> None:
    credentials = (credential12("rsa", "both"),)
    client, server = open_pair(legacy_rsa_key_transport=True, server={"credentials": credentials})
    assert client.info.cipher_suite is CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    assert server.info.group is not None


def test_a_server_without_the_option_names_it() -> None:
    client, server = pair(client=CLIENT, server={"credentials": (credential12("rsa", "both"),)})
    error = refused(client, server, by="server")
    assert error.kind is PeerMisbehaviour.NO_COMMON_CIPHER_SUITE
    assert OPTION in str(error)


def test_a_client_without_the_option_names_it() -> None:
    say = server_hello_with(cipher_suite=SUITES[0])
    client, server = client12(), lying(lambda: server12(credentials=(credential12("rsa", "both"),)), say)
    error = refused(client, server, by="client")
    assert error.kind is PeerMisbehaviour.UNOFFERED_CIPHER_SUITE
    assert OPTION in str(error)


@pytest.mark.parametrize("kind", ["p256", "ed25519", "rsa sign", "rsa pss"])
def test_a_server_whose_key_can_not_decrypt(kind: str) -> None:
    if kind == "rsa pss":
        issued = pss_leaf(root(), NAME, usage=None)
        credential = Credential([issued.der], issued.key)
    else:
        credential = credential12(kind.split(" ")[0], "sign")
    client, server = pair(client=CLIENT, server=SERVER | {"credentials": (credential,)})
    assert refused(client, server, by="server").kind is PeerMisbehaviour.NO_SUITABLE_CREDENTIAL


def test_a_certificate_without_key_usage_is_for_all_uses() -> None:
    issued = leaf(root(), NAME, key=rsa_key(), usage=None)
    client, _ = open_pair(client=CLIENT, server=SERVER | {"credentials": (Credential([issued.der], issued.key),)})
    assert client.info.cipher_suite in SUITES


def with_chain(credential: Credential) -> Any:
    """A server of RSA key transport that shows another certificate than its own."""
    return lying(lambda: server12(**SERVER), instead(Certificate12, lambda _: Certificate12(credential.chain)))


def test_a_client_looks_at_the_key_usage() -> None:
    error = refused(client12(**CLIENT), with_chain(credential12("rsa", "sign")), by="client")
    assert isinstance(error, CertificateError)
    assert error.alert is AlertDescription.unsupported_certificate
    assert "keyEncipherment" in str(error)


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_a_client_looks_at_the_kind_of_key(kind: str) -> None:
    error = refused(client12(**CLIENT), with_chain(credential12(kind, "both")), by="client")
    assert error.kind is PeerMisbehaviour.KEY_DOES_NOT_FIT_SUITE


def test_a_client_does_not_encrypt_to_a_key_for_signatures() -> None:
    issued = pss_leaf(root(), NAME, usage=None)
    without_usage = Credential([issued.der], issued.key)
    client = client12(**(CLIENT | {"verify": DangerouslyAcceptAny()}))
    assert refused(client, with_chain(without_usage), by="client").kind is PeerMisbehaviour.KEY_DOES_NOT_FIT_SUITE


def test_a_server_whose_key_can_only_decrypt_does_not_sign() -> None:
    client, server = pair(legacy_rsa_key_transport=True, server={"credentials": (credential12("rsa", "decrypt"),)})
    shuttle(client, server)
    assert client.info.cipher_suite in SUITES


@pytest.mark.parametrize("client_auth", ["required", "optional"])
def test_with_a_clients_certificate(client_auth: str) -> None:
    _, server = open_pair(
        client=CLIENT | MUTUAL["client"], server=SERVER | {"verify": verifier(), "client_auth": client_auth}
    )
    assert server.info.peer_chain == MUTUAL["client"]["credentials"][0].chain


# What the client sends --------------------------------------------------------------------------------------------


class Attempt(NamedTuple):
    """How a server took a ClientKeyExchange: all that a peer, or the caller, can see of it."""

    events: list[Any]
    alert: bytes
    error: tuple[Any, ...]
    drawn: list[int]


def public_key() -> rsa.RSAPublicKey:
    key = credential12("rsa", "both").public_key
    assert isinstance(key, rsa.RSAPublicKey)
    return key


def encrypted(premaster: bytes) -> bytes:
    return public_key().encrypt(premaster, padding.PKCS1v15())


def raw(encoded: bytes) -> bytes:
    """RSA without any padding: the block as an attacker would make it."""
    numbers = public_key().public_numbers()
    size = (public_key().key_size + 7) // 8
    assert len(encoded) == size
    return pow(int.from_bytes(encoded, "big"), numbers.e, numbers.n).to_bytes(size, "big")


SIZE = 256
PREMASTER = b"\x03\x03" + bytes(range(46))


def block(
    secret: bytes = PREMASTER, *, start: bytes = b"\0\2", separator: bytes = b"\0", filler: bytes | None = None
) -> bytes:
    """EM of RFC 8017 7.2.1, with whatever is wrong with it."""
    room = SIZE - len(start) - len(separator) - len(secret)
    return start + (b"\x5a" * room if filler is None else filler.ljust(room, b"\x5a")) + separator + secret


def test_the_block_is_the_right_one() -> None:
    """Else none of what is wrong below would be the one thing that is."""
    key = rsa_key()
    assert key.decrypt(raw(block()), padding.PKCS1v15()) == PREMASTER


GOOD = "well formed, of another secret"
WRONG: dict[str, Callable[[], bytes]] = {
    "first byte": lambda: raw(block(start=b"\1\2")),
    "block type 0": lambda: raw(block(start=b"\0\0")),
    "block type 1": lambda: raw(block(start=b"\0\1")),
    "block type 3": lambda: raw(block(start=b"\0\3")),
    "no separator": lambda: raw(block(separator=b"\x5a")),
    "separator at once": lambda: raw(block(filler=b"\0")),
    "separator within the first eight": lambda: raw(block(filler=b"\x5a" * 7 + b"\0")),
    "separator early": lambda: raw(block(filler=b"\x5a" * 20 + b"\0")),
    "only padding": lambda: raw(block(b"")),
    "one byte": lambda: encrypted(b"\3"),
    "only a version": lambda: encrypted(PREMASTER[:2]),
    "a byte less": lambda: encrypted(PREMASTER[:-1]),
    "a byte more": lambda: encrypted(PREMASTER + b"\0"),
    "the longest": lambda: encrypted(PREMASTER.ljust(SIZE - 11, b"\0")),
    "version of SSL 3.0": lambda: encrypted(b"\3\0" + PREMASTER[2:]),
    "version of TLS 1.1": lambda: encrypted(b"\3\2" + PREMASTER[2:]),
    "version of TLS 1.3": lambda: encrypted(b"\3\4" + PREMASTER[2:]),
    "major version": lambda: encrypted(b"\2\3" + PREMASTER[2:]),
    "version swapped": lambda: encrypted(b"\x04\x03" + PREMASTER[2:]),
    "all zero secret": lambda: encrypted(bytes(48)),
    "all zero": lambda: bytes(SIZE),
    "one": lambda: bytes(SIZE - 1) + b"\1",
    "more than the modulus": lambda: b"\xff" * SIZE,
    "the modulus": lambda: public_key().public_numbers().n.to_bytes(SIZE, "big"),
    "short": lambda: encrypted(PREMASTER)[:-1],
    "short by its first": lambda: encrypted(PREMASTER)[1:],
    "long": lambda: encrypted(PREMASTER) + b"\0",
    "long by a zero in front": lambda: b"\0" + encrypted(PREMASTER),
    "a single byte": lambda: b"\1",
    "empty": lambda: b"",
    "too much": lambda: bytes(2**16 - 1 - 2),
    "noise": lambda: b"\x17" * SIZE,
}


def attempt(ciphertext: bytes, answer: bytes | None = None, **settings: Any) -> Attempt:
    """What a server makes of this ciphertext, the same hello before and a Finished of another secret behind it.

    With ``answer`` the decryption is deferred, and answered with that.
    """
    drawn: list[int] = []
    source = random_source("server")

    def random(size: int) -> bytes:
        drawn.append(size)
        return source(size)

    client = lying(
        lambda: client12(1, **CLIENT), instead(ClientKeyExchangeRSA, lambda _: ClientKeyExchangeRSA(ciphertext))
    )
    server = server12(**(SERVER | settings | {"random": random} | (DEFERRED if answer is not None else {})))
    events = list(server.receive_data(client.data_to_send()))
    client.receive_data(server.data_to_send())
    more = list(server.receive_data(client.data_to_send()))
    if answer is not None:
        (request,) = [event for event in more if isinstance(event, PremasterDecryptionRequest)]
        assert request.encrypted == ciphertext
        assert server.data_to_send() == b""
        events += [event for event in more if event is not request]
        more = server.answer(request, answer)
    events += more
    error = the_failure(events)
    alert = server.data_to_send()
    told = the_failure(client.receive_data(alert))
    assert isinstance(told, AlertReceivedError)
    check_over(server, error)
    without = [comparable(event) for event in events if not isinstance(event, ConnectionFailed)]
    return Attempt(without, alert, (type(error), error.kind, error.args, str(error)), drawn)


def comparable(event: Any) -> Any:
    """In a trace the message that came and the secret that was made differ, and should."""
    if isinstance(event, MessageReceived | KeysDerived):
        return (type(event), event.name)
    return event


@cache
def expected(is_deferred: bool = False, is_traced: bool = False) -> Attempt:
    """A ciphertext as it should be, of another premaster secret than the client's Finished is made with."""
    made = attempt(encrypted(PREMASTER), PREMASTER if is_deferred else None, trace=is_traced)
    assert made.error[1] is PeerMisbehaviour.BAD_RECORD_MAC
    assert made.alert == plain_alert(AlertDescription.bad_record_mac)
    return made


def test_the_countermeasure_is_reached() -> None:
    """The server has gone on to the client's Finished, and drew a premaster secret of its own before."""
    traced = expected(is_traced=True)
    names = [event[1] for event in traced.events if isinstance(event, tuple)]
    assert names[-5:] == ["ClientKeyExchange", "premaster_secret", "master_secret", "key_block", "ChangeCipherSpec"]
    assert 48 in traced.drawn


@pytest.mark.parametrize("is_traced", [False, True], ids=["", "traced"])
@pytest.mark.parametrize("name", WRONG)
def test_whatever_is_wrong_looks_the_same(name: str, is_traced: bool) -> None:
    """RFC 5246 7.4.7.1: the events, the error, the alert, the random bytes that are drawn."""
    assert attempt(WRONG[name](), trace=is_traced) == expected(is_traced=is_traced)


@settings(max_examples=60)
@given(st.one_of(st.binary(min_size=SIZE, max_size=SIZE), st.binary(max_size=600)))
def test_any_ciphertext_looks_the_same(ciphertext: bytes) -> None:
    assert attempt(ciphertext) == expected()


@settings(max_examples=60)
@given(st.binary(min_size=SIZE, max_size=SIZE))
def test_any_block_looks_the_same(content: bytes) -> None:
    """Not the ciphertext but what it decrypts to is at random."""
    assert attempt(raw(b"\0" + content[1:])) == expected()


ANSWERS = {
    "refused": b"",
    "a byte": b"\3",
    "a byte less": PREMASTER[:-1],
    "a byte more": PREMASTER + b"\0",
    "another version": b"\3\2" + PREMASTER[2:],
    "all zero": bytes(48),
    "well formed": PREMASTER,
    "very long": bytes(2**17),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_the_caller_answers_looks_the_same(name: str) -> None:
    assert attempt(b"whatever this is", ANSWERS[name]) == expected(is_deferred=True)
    assert expected(is_deferred=True) == expected()


@settings(max_examples=60)
@given(st.binary(max_size=100))
def test_any_answer_looks_the_same(answer: bytes) -> None:
    assert attempt(bytes(SIZE), answer) == expected()


# Deferred ---------------------------------------------------------------------------------------------------------


def waiting(**settings: Any) -> tuple[Any, Any, PremasterDecryptionRequest]:
    """A server that waits for a premaster secret, its client, and the request."""
    client = lying(lambda: client12(**CLIENT), settings.pop("say", lambda message: [message]))
    server = server12(**(SERVER | DEFERRED | settings))
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    (request,) = server.receive_data(client.data_to_send())
    assert isinstance(request, PremasterDecryptionRequest)
    assert server.state is ConnectionState.WAITING
    assert not server.wants_data
    return server, client, request


def decrypt(request: PremasterDecryptionRequest) -> bytes:
    return rsa_key().decrypt(request.encrypted, padding.PKCS1v15())


@pytest.mark.parametrize("has_key", [True, False], ids=["deferred", "without a key"])
def test_a_decryption_elsewhere(has_key: bool) -> None:
    own = SERVER["credentials"][0]
    credential = own if has_key else Credential(own.chain, None)
    server, client, request = waiting(credentials=(credential,), **({} if has_key else {"defer": frozenset()}))
    assert request.credential is credential
    assert is_complete(server.answer(request, decrypt(request)))
    assert is_complete(client.receive_data(server.data_to_send()))
    exported = client.export_keying_material("EXPORTER-test", 32)
    assert exported == server.export_keying_material("EXPORTER-test", 32)


@pytest.mark.parametrize("version", [ProtocolVersion.TLS12, ProtocolVersion(0x0305)], ids=str)
def test_the_version_is_the_one_of_the_hello(version: ProtocolVersion) -> None:
    """RFC 5246 7.4.7.1: what the ClientHello says and not what was negotiated, so that a rollback is seen."""
    server, client, request = waiting(say=hello_with(legacy_version=version))
    premaster = decrypt(request)
    assert len(premaster) == 48
    assert premaster[:2] == version.to_bytes(2, "big")
    assert is_complete(server.answer(request, premaster))
    client.receive_data(server.data_to_send())
    assert client.state is server.state is ConnectionState.OPEN


def test_the_negotiated_version_is_not_the_one_of_the_hello() -> None:
    server, _, request = waiting(say=hello_with(legacy_version=ProtocolVersion(0x0305)))
    events = server.answer(request, b"\3\3" + decrypt(request)[2:])
    assert the_failure(events).kind is PeerMisbehaviour.BAD_RECORD_MAC


@pytest.mark.parametrize(
    "value", [None, "text", 5, bytearray(48), memoryview(bytes(48))], ids=lambda v: type(v).__name__
)
def test_an_answer_of_a_wrong_type_leaves_it_waiting(value: Any) -> None:
    server, _, request = waiting()
    with pytest.raises(LocalError):
        server.answer(request, value)
    assert server.state is ConnectionState.WAITING
    assert is_complete(server.answer(request, decrypt(request)))


def test_rejected() -> None:
    """What the documentation tells not to do for a wrong padding: it ends at once."""
    server, client, request = waiting()
    error = the_failure(server.reject(request))
    assert error.alert is AlertDescription.handshake_failure
    assert the_failure(client.receive_data(server.data_to_send())).description == AlertDescription.handshake_failure


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_the_rest_of_the_flight_is_kept_meanwhile(chunk: int) -> None:
    client, server = client12(**CLIENT), server12(**(SERVER | DEFERRED))
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    events: list[Any] = []
    for part in chunked(client.data_to_send(), chunk):
        events += server.receive_data(part)
    (request,) = [event for event in events if isinstance(event, Request)]
    assert is_complete(server.answer(request, decrypt(request)))


def test_secrets_of_a_client_differ() -> None:
    premasters = []
    for seed in range(3):
        client, server = client12(seed, **CLIENT), server12(**(SERVER | DEFERRED))
        server.receive_data(client.data_to_send())
        client.receive_data(server.data_to_send())
        (request,) = [e for e in server.receive_data(client.data_to_send()) if isinstance(e, Request)]
        premasters.append(decrypt(request))
    assert len(set(premasters)) == 3


@pytest.mark.parametrize("bits", [1024, 3072, 4096])
def test_keys_of_other_sizes(bits: int) -> None:
    issued = leaf(root(), NAME, key=rsa_key(f"key transport {bits}", bits), usage=key_usage("key_encipherment"))
    client, server = pair(
        client=CLIENT | {"verify": DangerouslyAcceptAny()},
        server=SERVER | {"credentials": (Credential([issued.der], issued.key),)},
    )
    shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN
