"""What two sides may agree on besides: compressed certificates, the size of records, padding, GREASE, post-quantum."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connection.peers import to_client, to_server
from connection12.peers import MUTUAL, TLS12, TLS13, credential12, instead, verifier
from identity.pki import authority, leaf
from memory import NAME, client_config, records, server_config, shuttle, the_failure
from sanstls import (
    ZLIB,
    CipherSuite,
    ClientConnection,
    ConnectionState,
    Credential,
    DataReceived,
    LocalError,
    MessageReceived,
    NamedGroup,
    PeerMisbehaviour,
    PreSharedKey,
    PrivatePKI,
    ServerConnection,
    SignatureScheme,
    TrustStore,
)
from sanstls.crypto.compression import Zlib
from sanstls.record.limits import MAX_CERTIFICATE_MESSAGE, MIN_RECORD_SIZE_LIMIT
from sanstls.wire.extensions import OfferedPsks, RecordSizeLimit
from sanstls.wire.messages import ClientHello, CompressedCertificate
from sanstls.wire.registries import CertificateCompressionAlgorithm, ExtensionType

P = PeerMisbehaviour
ZIPS: dict[str, Any] = {"certificate_compression": (ZLIB,)}
VERIFIER = verifier()
Pair = tuple[ClientConnection, ServerConnection]


def pair(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, **both: Any) -> Pair:
    own = {"verify": VERIFIER} | both | (client or {})
    other = {"credentials": (credential12(),)} | both | (server or {})
    return ClientConnection(client_config(1, **own), NAME), ServerConnection(server_config(2, **other))


def opened(*args: Any, **settings: Any) -> tuple[Pair, list[Any], list[Any]]:
    client, server = pair(*args, **settings)
    client_events, server_events = shuttle(client, server)
    assert client.state is server.state is ConnectionState.OPEN, (client_events, server_events)
    return (client, server), client_events, server_events


def names(events: Iterable[Any]) -> list[str]:
    return [event.name for event in events if isinstance(event, MessageReceived)]


# Compressed certificates (RFC 8879) -------------------------------------------------------------------------------


class Other(Zlib):
    """Another algorithm that does the same."""

    algorithm = CertificateCompressionAlgorithm.brotli


@pytest.mark.parametrize(
    ("client", "server", "is_compressed"),
    [((ZLIB,), (ZLIB,), True), ((), (ZLIB,), False), ((ZLIB,), (), False), ((Other(),), (ZLIB,), False)],
    ids=["both", "server alone", "client alone", "others"],
)
def test_only_what_both_can(client: Any, server: Any, is_compressed: bool) -> None:
    (one, _), events, _ = opened(
        {"certificate_compression": client, "trace": True}, {"certificate_compression": server}
    )
    assert ("CompressedCertificate" in names(events)) is is_compressed
    assert one.info.peer_chain == credential12().chain


def test_the_servers_first_is_taken() -> None:
    _, events, _ = opened(
        {"certificate_compression": (ZLIB, Other()), "trace": True}, {"certificate_compression": (Other(), ZLIB)}
    )
    (message,) = [e.message for e in events if isinstance(e, MessageReceived) and e.name == "CompressedCertificate"]
    assert message.algorithm is CertificateCompressionAlgorithm.brotli


def test_a_clients_certificate_is_compressed_too() -> None:
    (_, server), _, events = opened(MUTUAL["client"], {"verify": VERIFIER, "trace": True}, **ZIPS)
    assert "CompressedCertificate" in names(events)
    assert server.info.peer_chain == MUTUAL["client"]["credentials"][0].chain


def test_a_staple_goes_with_it() -> None:
    (client, _), _, _ = opened(server={"credentials": (credential12().stapled(b"response"),)}, **ZIPS)
    assert client.info.verified is not None


BAD = {
    "too long": lambda m: m.replace(uncompressed_length=MAX_CERTIFICATE_MESSAGE + 1),
    "longer than said": lambda m: m.replace(uncompressed_length=m.uncompressed_length - 1),
    "shorter than said": lambda m: m.replace(uncompressed_length=m.uncompressed_length + 1),
    "nothing": lambda m: m.replace(uncompressed_length=0),
    "no zlib": lambda m: m.replace(compressed_certificate_message=b"rubbish"),
    "cut": lambda m: m.replace(compressed_certificate_message=m.compressed_certificate_message[:-3]),
    "and more": lambda m: m.replace(compressed_certificate_message=m.compressed_certificate_message + b"x"),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_can_not_be_decompressed(change: Any) -> None:
    error = to_client(instead(CompressedCertificate, change), ZIPS, **ZIPS)
    assert error.kind is P.BAD_COMPRESSION


def test_a_bomb_is_not_inflated() -> None:
    """A megabyte of zeros in a kilobyte."""
    bomb = ZLIB.compress(bytes(1 << 24))
    say = instead(
        CompressedCertificate,
        lambda m: m.replace(uncompressed_length=1000, compressed_certificate_message=bomb),
    )
    assert to_client(say, ZIPS, **ZIPS).kind is P.BAD_COMPRESSION


def test_rubbish_that_was_compressed() -> None:
    for body, kind in ((b"\0\0\0\1x", P.MALFORMED_MESSAGE), (b"\0\0\0\0", P.NO_CERTIFICATE)):
        say = instead(
            CompressedCertificate,
            lambda m, body=body: m.replace(
                uncompressed_length=len(body), compressed_certificate_message=ZLIB.compress(body)
            ),
        )
        assert to_client(say, ZIPS, **ZIPS).kind is kind


def test_compression_that_was_not_offered() -> None:
    say = instead(CompressedCertificate, lambda m: m.replace(algorithm=CertificateCompressionAlgorithm.zstd))
    assert to_client(say, ZIPS, **ZIPS).kind is P.UNOFFERED_COMPRESSION


@given(st.binary(max_size=2000))
def test_zlib_gives_back_what_it_took(data: bytes) -> None:
    assert ZLIB.decompress(ZLIB.compress(data), len(data)) == data


# record_size_limit (RFC 8449) and padding -------------------------------------------------------------------------

each_version = pytest.mark.parametrize("version", [TLS13, TLS12], ids=lambda version: version.text)


@each_version
@pytest.mark.parametrize("limit", [MIN_RECORD_SIZE_LIMIT, 1000, 16384])
def test_no_record_is_larger_than_the_peer_wants(version: Any, limit: int) -> None:
    (client, server), _, _ = opened({"record_size_limit": limit, "versions": (version,)}, {"record_size_limit": 2000})
    most = {"client": limit, "server": 2000}
    for sender, receiver, size in ((server, client, most["client"]), (client, server, most["server"])):
        sender.send_data(bytes(20_000))
        data = sender.data_to_send()
        overhead = 16 + 8 * (version is TLS12)
        assert max(len(record) - 5 - overhead for record in records(data)) == size
        assert (
            sum(len(event.data) for event in receiver.receive_data(data) if isinstance(event, DataReceived)) == 20_000
        )


@each_version
def test_a_peer_that_does_not_know_the_limit(version: Any) -> None:
    (client, server), _, _ = opened(server={"record_size_limit": 100}, versions=(version,))
    client.send_data(bytes(5000))  # as the client has not said anything, the server's limit is not in force
    assert server.receive_data(client.data_to_send())
    assert server.state is ConnectionState.OPEN


@each_version
def test_a_record_beyond_the_limit(version: Any) -> None:
    (client, server), _, _ = opened({"record_size_limit": 500}, versions=(version,))
    server._writer.max_plaintext = 1000
    server.send_data(bytes(1000))
    error = the_failure(client.receive_data(server.data_to_send()))
    assert error.kind is P.RECORD_OVERFLOW


@pytest.mark.parametrize("limit", [0, 1, 63])
def test_limits_that_can_not_be(limit: int) -> None:
    from connection12.peers import hello_with

    for versions in ((TLS13,), (TLS12,)):
        assert to_server(hello_with(RecordSizeLimit(limit)), {"versions": versions}).kind is P.BAD_RECORD_SIZE_LIMIT


@pytest.mark.parametrize(("size", "length"), [(1, 256), (256, 256), (257, 512), (16384, 16384)])
def test_data_is_padded(size: int, length: int) -> None:
    (client, server), _, _ = opened(pad_to=256)
    client.send_data(bytes(size))
    (record,) = records(client.data_to_send())
    assert len(record) == 5 + length + 1 + 16
    assert server.receive_data(record) == [DataReceived(bytes(size))]


def test_padding_stays_within_the_limit() -> None:
    (client, server), _, _ = opened({"pad_to": 4096}, {"record_size_limit": 100})
    client2, server2 = pair({"pad_to": 4096, "record_size_limit": 1000}, {"record_size_limit": 101})
    shuttle(client2, server2)
    client2.send_data(b"x" * 250)
    data = client2.data_to_send()
    assert {len(record) for record in records(data)} == {5 + 101 + 16}
    assert b"".join(event.data for event in server2.receive_data(data)) == b"x" * 250  # type: ignore[attr-defined]
    assert client.state is server.state


# GREASE (RFC 8701) ------------------------------------------------------------------------------------------------


def grease_of(values: Iterable[int]) -> list[int]:
    return [value for value in values if value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF]


@pytest.mark.parametrize("versions", [(TLS13, TLS12), (TLS13,), (TLS12,)], ids=str)
@pytest.mark.parametrize("groups", [(NamedGroup.x25519,), (NamedGroup.secp256r1,)], ids=["at once", "after a retry"])
def test_a_greased_hello_is_understood(versions: Any, groups: Any) -> None:
    for seed in range(8):
        config = client_config(seed, verify=VERIFIER, grease=True, versions=versions, alpn=("h2",))
        client = ClientConnection(config, NAME)
        server = ServerConnection(server_config(credentials=(credential12(),), groups=groups, alpn=("h2",)))
        shuttle(client, server)
        assert client.state is server.state is ConnectionState.OPEN
        assert client.info.alpn == "h2"


def hello_of(seed: int, **settings: Any) -> ClientHello:
    client = ClientConnection(client_config(seed, verify=VERIFIER, grease=True, **settings), NAME)
    return ClientHello.parse(client.data_to_send()[9:])


def test_there_is_grease_in_it_and_another_order_each_time() -> None:
    hellos = [hello_of(seed) for seed in range(10)]
    for hello in hellos:
        assert len(grease_of(map(int, hello.cipher_suites))) == 1
        assert len(grease_of(map(int, hello.extensions.types))) == 2
        assert grease_of([int(hello.extensions.types[0])])
    orders = {tuple(kind for kind in hello.extensions.types if not grease_of([int(kind)])) for hello in hellos}
    assert len(orders) == len(hellos)
    assert len({frozenset(order) for order in orders}) == 1
    assert hello_of(1) == hello_of(1)


def test_a_key_stays_the_last() -> None:
    key = PreSharedKey(b"key", bytes(32))
    suites = {"pre_shared_keys": (key,), "cipher_suites": (CipherSuite.TLS_AES_128_GCM_SHA256,)}
    assert hello_of(3, **suites).extensions.types[-1] == ExtensionType.pre_shared_key
    assert hello_of(3, **suites).extensions.get(OfferedPsks) is not None
    client = ClientConnection(client_config(3, verify=VERIFIER, grease=True, **suites), NAME)
    server = ServerConnection(server_config(credentials=(credential12(),), **suites))
    shuttle(client, server)
    assert client.info.external_psk


# Post-quantum -----------------------------------------------------------------------------------------------------

EVERY = (NamedGroup.x25519, NamedGroup.SecP256r1MLKEM768, NamedGroup.X25519MLKEM768)


def test_only_post_quantum() -> None:
    (client, _), _, _ = opened({"groups": EVERY, "require_post_quantum": True}, {"groups": EVERY})
    assert client.info.group is NamedGroup.SecP256r1MLKEM768
    for server in ({"groups": (NamedGroup.x25519,)}, {"versions": (TLS12,)}):
        one, other = pair({"groups": EVERY, "require_post_quantum": True}, server)
        shuttle(one, other)
        assert one.state is other.state is ConnectionState.FAILED


@pytest.mark.parametrize(
    "settings",
    [
        {"require_post_quantum": True, "groups": (NamedGroup.x25519,)},
        {"require_post_quantum": True, "versions": (TLS12,)},
        {"record_size_limit": 63},
        {"record_size_limit": 16386},
        {"pad_to": -1},
        {"pad_to": 16385},
        {"certificate_compression": ("zlib",)},
        {"certificate_compression": (ZLIB, ZLIB)},
    ],
    ids=str,
)
def test_configurations_that_can_not_be(settings: dict[str, Any]) -> None:
    for make in (client_config, server_config):
        with pytest.raises(LocalError):
            make(**settings)


@pytest.mark.parametrize("kind", ["mldsa44", "mldsa65", "mldsa87"])
def test_post_quantum_certificates(kind: str) -> None:
    """ML-DSA on both sides, up to a root that has such a key as well (draft-ietf-tls-mldsa)."""
    anchor = authority(key_type=kind)  # type: ignore[arg-type]
    verify = PrivatePKI(TrustStore.from_certificates([anchor.certificate]))
    own, other = (leaf(anchor, name, key_type=kind) for name in (NAME, "client.test"))  # type: ignore[arg-type]
    (client, server), _, _ = opened(
        {"credentials": (Credential([other.der], other.key),), "verify": verify},
        {"credentials": (Credential([own.der], own.key),), "verify": verify},
    )
    assert client.info.signature_scheme is server.info.signature_scheme is SignatureScheme[kind]
    assert server.info.peer_chain == (other.der,)
    # In TLS 1.2 there is no such thing.
    one, two = pair({"verify": verify}, {"credentials": (Credential([own.der], own.key),)}, versions=(TLS12,))
    shuttle(one, two)
    assert one.state is two.state is ConnectionState.FAILED
