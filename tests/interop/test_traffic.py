"""Data of any size, closing in any order, new keys, and what is derived from the secrets: Python's ssl in memory."""

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from interop.certificates import Certificates
from interop.driver import InMemory
from interop.ours import KEY_TRANSPORT_SUITES, ROLES, SUITES13, TLS12, TLS13, VERSIONS, Role
from interop.python_ssl import check_close, check_data, check_open, meet
from sanstls import (
    CipherSuite,
    CloseNotifyReceived,
    ConnectionState,
    KeysUpdated,
    LocalError,
    ProtocolVersion,
    UnexpectedEOF,
)

pytestmark = pytest.mark.interop

each_role = pytest.mark.parametrize("role", ROLES)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)


@pytest.fixture
def met(certificates: Certificates, role: Role, version: ProtocolVersion) -> InMemory:
    """An open connection."""
    met = meet(certificates, role, peer={"versions": (version,)})
    check_open(met, version)
    return met


# Data ---------------------------------------------------------------------------------------------------------------

SIZES = (1, 2, 2**14 - 1, 2**14, 2**14 + 1, 100_000, 5 * 2**20)


@each_role
@each_version
@pytest.mark.parametrize("size", SIZES)
def test_data_of_any_size(met: InMemory, size: int) -> None:
    source = random.Random(size)
    there, back = source.randbytes(size), source.randbytes(size)
    met.connection.send_data(there)
    met.peer.ssl.write(back)
    met.carry()
    assert hashlib.sha256(met.peer.received).digest() == hashlib.sha256(there).digest()
    assert hashlib.sha256(met.received).digest() == hashlib.sha256(back).digest()
    check_close(met)


@each_role
@each_version
def test_many_small_records(met: InMemory, role: Role) -> None:
    for number in range(500):
        met.connection.send_data(b"%d " % number)
        met.peer.ssl.write(b"%d " % number)
    met.carry()
    assert met.received == met.peer.received == b"".join(b"%d " % number for number in range(500))


# The end ------------------------------------------------------------------------------------------------------------


@each_role
@each_version
def test_we_close_first_and_the_peer_goes_on(met: InMemory) -> None:
    met.connection.close()
    met.carry()
    assert met.peer.is_ended
    assert met.connection.state is ConnectionState.WRITE_CLOSED
    met.peer.ssl.write(b"still here")
    met.carry()
    assert met.received == b"still here"
    met.peer.close()
    met.carry()
    assert met.of(CloseNotifyReceived)
    assert met.connection.state is ConnectionState.CLOSED


@each_role
@each_version
def test_the_peer_closes_first_and_we_go_on(met: InMemory) -> None:
    met.peer.close()
    met.carry()
    assert met.of(CloseNotifyReceived)
    assert met.connection.state is ConnectionState.READ_CLOSED
    met.connection.send_data(b"still here")
    met.carry()
    assert met.peer.received == b"still here"
    met.connection.close()
    met.carry()
    assert met.peer.is_ended
    assert met.connection.state is ConnectionState.CLOSED


@each_role
@each_version
def test_both_close_at_once(met: InMemory) -> None:
    met.connection.close()
    met.peer.close()
    met.carry()
    assert met.peer.is_ended
    assert met.connection.state is ConnectionState.CLOSED
    met.eof()
    assert met.error is None


@each_role
@each_version
@pytest.mark.parametrize("are_we_cut_off", [True, False], ids=["we", "the peer"])
def test_the_transport_ends(met: InMemory, are_we_cut_off: bool) -> None:
    check_data(met)
    if are_we_cut_off:
        met.eof()
        assert isinstance(met.error, UnexpectedEOF)
    else:
        met.peer.feed_eof()
        assert met.peer.error is not None
        assert not met.peer.is_ended


@each_role
@each_version
def test_a_part_of_a_record_and_then_the_end(met: InMemory) -> None:
    met.peer.ssl.write(b"whole")
    met.carry()
    met.peer.ssl.write(b"never whole")
    met.feed(met.peer.take()[:-1])
    met.eof()
    assert met.received == b"whole"
    assert isinstance(met.error, UnexpectedEOF)


@each_role
@each_version
def test_an_alert_of_ours_ends_it(met: InMemory) -> None:
    met.connection.abort()
    met.carry()
    assert met.peer.alert == "internal_error"
    assert met.connection.state is ConnectionState.FAILED


# Keys ---------------------------------------------------------------------------------------------------------------


@each_role
@pytest.mark.parametrize("suite", SUITES13, ids=str)
@pytest.mark.parametrize("asks", [True, False], ids=["both", "ours"])
def test_our_key_updates(certificates: Certificates, role: Role, suite: CipherSuite, asks: bool) -> None:
    met = meet(certificates, role, ours={"cipher_suites": (suite,)})
    check_open(met, TLS13)
    for count in range(1, 4):
        met.connection.update_keys(request_peer=asks)
        met.carry()
        check_data(met, b"under new keys", b"and back")  # the peer answers at its next record
        directions = [event.direction for event in met.of(KeysUpdated)]
        assert directions.count("sending") == count
        assert directions.count("receiving") == (count if asks else 0)
    check_close(met)


@each_role
def test_there_are_no_key_updates_in_tls12(certificates: Certificates, role: Role) -> None:
    met = meet(certificates, role, peer={"versions": (TLS12,)})
    with pytest.raises(LocalError):
        met.connection.update_keys()
    check_data(met)


KEY_LOGS: list[tuple[ProtocolVersion, dict[str, Any], dict[str, Any]]] = [
    (TLS13, {}, {}),
    (TLS13, {"cipher_suites": SUITES13[1:2]}, {}),
    (TLS12, {}, {}),
    (TLS12, {}, {"with_extended_master_secret": False}),
    (TLS12, {"legacy_rsa_key_transport": True}, {"suite12": KEY_TRANSPORT_SUITES[1]}),
]


@each_role
@pytest.mark.parametrize(("version", "ours", "peer"), KEY_LOGS)
def test_both_log_the_same_keys(
    certificates: Certificates,
    tmp_path: Path,
    role: Role,
    version: ProtocolVersion,
    ours: dict[str, Any],
    peer: dict[str, Any],
) -> None:
    file = tmp_path / "peer.keylog"
    (ours, peer) = (ours | {"key_log": True}, peer | {"versions": (version,), "key_log": file})
    (peer if role == "client" else ours)["kind"] = "rsa"
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, version)
    met.peer.ssl.context.keylog_filename = None
    # OpenSSL's clients log the encrypted premaster secret of RSA key transport, too.
    lines = {line for line in file.read_text().splitlines() if not line.startswith(("#", "RSA "))}
    assert met.logged == lines
    assert len(lines) == (5 if version is TLS13 else 1)
