"""What only a process shows: OpenSSL's commands with real sockets, in both roles."""

import hashlib
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.certificates import OTHER_NAME, Certificates
from interop.driver import Process, Talk
from interop.ours import (
    CURVES,
    ECDSA_SUITES12,
    KEY_TRANSPORT_SUITES,
    ROLES,
    RSA_SUITES12,
    SUITES13,
    TLS12,
    TLS13,
    VERSIONS,
    Role,
    our_client,
    our_server,
)
from interop.peers import OPENSSL
from sanstls import (
    AlertReceived,
    AlertReceivedError,
    CertificateError,
    CipherSuite,
    CloseNotifyReceived,
    ConnectionState,
    HelloRetryRequested,
    KeysUpdated,
    NamedGroup,
    PeerError,
    PrivatePKI,
    ProtocolVersion,
    SignatureRequest,
    UnexpectedEOF,
    VerificationRequest,
)

pytestmark = pytest.mark.interop

each_role = pytest.mark.parametrize("role", ROLES)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)


def option(version: ProtocolVersion) -> str:
    return "-tls1_3" if version is TLS13 else "-tls1_2"


@contextmanager
def meet(
    certificates: Certificates, role: Role, *options: object, ours: dict[str, Any] | None = None
) -> Iterator[tuple[Talk, Process]]:
    """Our ``role``, and the command for the other one with these options."""
    if role == "client":
        with OPENSSL.meets_client(our_client(certificates, **(ours or {})), certificates, *options) as met:
            yield met
    else:
        with OPENSSL.meets_server(our_server(certificates, **(ours or {})), certificates, *options) as met:
            yield met


def check_lines(talk: Talk, process: Process) -> None:
    """A line goes each way."""
    talk.received.clear()
    process.say(b"a line of the peer's\n")
    talk.until_received(b"a line of the peer's\n")
    mark = b"a line of ours, %d\n" % len(process.output)
    talk.connection.send_data(mark)
    talk.until_said(mark)


# Data ---------------------------------------------------------------------------------------------------------------


DIGITS = bytes(b"0123456789"[byte % 10] for byte in range(256))


def digits(size: int) -> bytes:
    """Data without a letter: neither command takes a part of it for an order."""
    return random.Random(size).randbytes(size).translate(DIGITS)


def shown(process: Process, role: Role) -> bytes:
    """The data that the peer has shown. ``s_server`` can't be quiet, because then it does not tell its port."""
    if role == "server":
        return bytes(process.output)
    before = re.search(rb"(Secure Renegotiation IS .*supported|TLS version forbids renegotiation\.)\n", process.output)
    return bytes(process.output[before.end() :]).replace(b"Read BLOCK\n", b"") if before else b""


@each_role
@each_version
@pytest.mark.parametrize("size", [1, 5 * 2**20])
def test_data_both_ways_at_once(certificates: Certificates, role: Role, version: ProtocolVersion, size: int) -> None:
    there, back = digits(size), digits(size)[::-1]
    quiet = ["-quiet"] if role == "server" else []
    with meet(certificates, role, option(version), *quiet) as (talk, process):
        talk.until_open()
        process.say(back)
        talk.connection.send_data(there)
        talk.until(lambda: len(talk.received) >= size and len(shown(process, role)) >= size, "all data")
        assert hashlib.sha256(talk.received).digest() == hashlib.sha256(back).digest()
        assert hashlib.sha256(shown(process, role)).digest() == hashlib.sha256(there).digest()


@each_role
@each_version
def test_records_of_the_smallest_size(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    with meet(certificates, role, option(version), "-max_send_frag", 512) as (talk, process):
        talk.until_open()
        process.say(digits(100_000))
        talk.until_received(digits(100_000))


# The end ------------------------------------------------------------------------------------------------------------


@each_role
@each_version
def test_the_peer_closes_first(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    # Of all its modes, s_server closes properly in this one alone: at this word.
    mode = ["-rev"] if role == "client" else []
    with meet(certificates, role, option(version), *mode) as (talk, process):
        talk.until_open()
        if role == "client":
            talk.connection.send_data(b"CLOSE\n")
        else:
            process.end_input()
        talk.until(lambda: talk.of(CloseNotifyReceived), "close_notify")
        assert talk.connection.state is ConnectionState.READ_CLOSED
        talk.connection.send_data(b"nobody reads this\n")
        talk.connection.close()
        assert talk.connection.state is ConnectionState.CLOSED
        talk.until_eof()
        assert talk.error is None


@each_version
def test_the_peer_ends_without_closing(certificates: Certificates, version: ProtocolVersion) -> None:
    with meet(certificates, "client", option(version)) as (talk, process):
        check_lines(talk.until_open(), process)
        process.say(b"Q\n")
        talk.until_error()
        assert isinstance(talk.error, UnexpectedEOF)


@each_role
@each_version
def test_we_close_first(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    with meet(certificates, role, option(version)) as (talk, process):
        check_lines(talk.until_open(), process)
        talk.connection.close()
        talk.until(lambda: talk.of(CloseNotifyReceived), "the other close_notify")
        assert talk.connection.state is ConnectionState.CLOSED


@each_role
@each_version
def test_the_peer_is_killed(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    with meet(certificates, role, option(version)) as (talk, process):
        check_lines(talk.until_open(), process)
        process.kill()
        talk.until_error()
        assert isinstance(talk.error, UnexpectedEOF)


@each_role
@each_version
def test_the_peer_is_killed_in_the_handshake(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    question = VerificationRequest if role == "client" else SignatureRequest
    with meet(certificates, role, option(version), ours={"defer": frozenset({question})}) as (talk, process):
        talk.until(lambda: talk.of(question), "a request")
        process.kill()
        talk.until_error()
        assert isinstance(talk.error, UnexpectedEOF)
        assert "during the handshake" in str(talk.error)


# Keys ---------------------------------------------------------------------------------------------------------------


@each_role
@pytest.mark.parametrize(("command", "sent"), [(b"k\n", 0), (b"K\n", 1)], ids=["theirs", "both"])
def test_key_updates_of_the_peer(certificates: Certificates, role: Role, command: bytes, sent: int) -> None:
    with meet(certificates, role, "-tls1_3") as (talk, process):
        talk.until_open()
        for count in range(1, 4):
            process.say(command)
            talk.until(lambda count=count: len(talk.of(KeysUpdated)) == count * (1 + sent), "new keys")
            check_lines(talk, process)
        directions = [event.direction for event in talk.of(KeysUpdated)]
        assert (directions.count("receiving"), directions.count("sending")) == (3, 3 * sent)


@each_role
@pytest.mark.parametrize("asks", [True, False], ids=["both", "ours"])
def test_key_updates_of_ours(certificates: Certificates, role: Role, asks: bool) -> None:
    with meet(certificates, role, "-tls1_3") as (talk, process):
        talk.until_open()
        for count in range(1, 4):
            talk.connection.update_keys(request_peer=asks)
            check_lines(talk, process)
            check_lines(talk, process)
            assert len(talk.of(KeysUpdated)) == count * (1 + asks)


@each_role
@pytest.mark.parametrize("suite", [*SUITES13, *ECDSA_SUITES12], ids=str)
@pytest.mark.parametrize("length", [20, 100])
def test_both_export_the_same(certificates: Certificates, role: Role, suite: CipherSuite, length: int) -> None:
    label, version = "EXPORTER-of-the-tests", TLS13 if suite in SUITES13 else TLS12
    options = (option(version), "-keymatexport", label, "-keymatexportlen", length)
    with meet(certificates, role, *options, ours={"cipher_suites": (suite,)}) as (talk, _):
        talk.until_open()
        exported = talk.connection.export_keying_material(label, length)
        talk.until_said(b"Keying material: " + exported.hex().upper().encode())


KEY_LOGS: list[tuple[ProtocolVersion, tuple[object, ...], dict[str, Any]]] = [
    (TLS13, (), {}),
    (TLS12, (), {}),
    (TLS12, ("-cipher", "AES128-GCM-SHA256"), {"legacy_rsa_key_transport": True}),
]


@each_role
@pytest.mark.parametrize(("version", "options", "ours"), KEY_LOGS)
def test_both_log_the_same_keys(
    certificates: Certificates,
    tmp_path: Path,
    role: Role,
    version: ProtocolVersion,
    options: tuple[object, ...],
    ours: dict[str, Any],
) -> None:
    file = tmp_path / "peer.keylog"
    ours = ours | {"key_log": True}
    options = (option(version), "-keylogfile", file, *options)
    if role == "client":
        met = OPENSSL.meets_client(our_client(certificates, **ours), certificates, *options, kind="rsa")
    else:
        met = OPENSSL.meets_server(our_server(certificates, "rsa", **ours), certificates, *options)
    with met as (talk, process):
        check_lines(talk.until_open(), process)
        lines = {line for line in file.read_text().splitlines() if not line.startswith(("#", "RSA "))}
        assert talk.logged == lines
        assert lines


# Renegotiation ------------------------------------------------------------------------------------------------------


# s_client has one command for it; those of s_server differ in whether a client certificate is asked for.
@pytest.mark.parametrize(("role", "command"), [("client", b"R\n"), ("client", b"r\n"), ("server", b"R\n")])
@pytest.mark.parametrize("options", [(), ("-cipher", "AES128-GCM-SHA256")], ids=["ECDHE", "RSA"])
def test_renegotiation_is_refused(
    certificates: Certificates, role: Role, command: bytes, options: tuple[object, ...]
) -> None:
    ours: dict[str, Any] = {"legacy_rsa_key_transport": True}
    options = ("-tls1_2", *options)
    if role == "client":
        met = OPENSSL.meets_client(our_client(certificates, **ours), certificates, *options, kind="rsa")
    else:
        met = OPENSSL.meets_server(our_server(certificates, "rsa", **ours), certificates, *options)
    with met as (talk, process):
        check_lines(talk.until_open(), process)
        process.say(command)
        # Our refusal is a warning; it is OpenSSL that then gives up, and says that it was told no_renegotiation.
        talk.until_error()
        assert isinstance(talk.error, AlertReceivedError)
        assert talk.error.description.name == "handshake_failure"
        talk.until_said(b"no renegotiation")


# Stapling -----------------------------------------------------------------------------------------------------------


@each_version
def test_what_the_peer_staples(certificates: Certificates, version: ProtocolVersion) -> None:
    identity = certificates["p256"]
    connection = our_client(certificates, defer=frozenset({VerificationRequest}))
    options = (option(version), "-status_file", identity.staple_file)
    with OPENSSL.meets_client(connection, certificates, *options) as (talk, process):
        talk.until(lambda: talk.of(VerificationRequest), "a request")
        (request,) = talk.of(VerificationRequest)
        assert request.ocsp_response == identity.staple
        assert request.chain == (identity.der,)
        connection.answer(request, None)
        talk.until(lambda: connection.state is ConnectionState.OPEN, "the handshake")
        check_lines(talk, process)


@each_version
@pytest.mark.parametrize("is_stapled", [True, False], ids=["stapled", "plain"])
def test_what_we_staple(certificates: Certificates, version: ProtocolVersion, is_stapled: bool) -> None:
    identity = certificates["p256"]
    credential = identity.credential.stapled(identity.staple) if is_stapled else identity.credential
    connection = our_server(certificates, credentials=(credential,))
    with OPENSSL.meets_server(connection, certificates, option(version), "-status") as (talk, process):
        talk.until_open()
        if is_stapled:
            talk.until_said(b"OCSP Response Status: successful", b"Cert Status: good")
        else:
            talk.until_said(b"OCSP response: no response sent")
        check_lines(talk, process)


@each_version
def test_nothing_is_stapled_unasked(certificates: Certificates, version: ProtocolVersion) -> None:
    identity = certificates["p256"]
    connection = our_server(certificates, credentials=(identity.credential.stapled(identity.staple),))
    with OPENSSL.meets_server(connection, certificates, option(version)) as (talk, process):
        check_lines(talk.until_open(), process)
        assert not process.said(b"OCSP")


# Extended master secret ---------------------------------------------------------------------------------------------


@each_role
@pytest.mark.parametrize("is_required", [True, False], ids=["required", "not required"])
def test_without_extended_master_secret(certificates: Certificates, role: Role, is_required: bool) -> None:
    OPENSSL.require_option("-no_ems")
    ours = {"require_extended_master_secret": is_required}
    with meet(certificates, role, "-tls1_2", "-no_ems", ours=ours) as (talk, process):
        if is_required:
            talk.until_error()
            assert isinstance(talk.error, PeerError)
            talk.until_said(b"alert handshake failure")
        else:
            check_lines(talk.until_open(), process)
            assert not talk.info.extended_master_secret


# What is refused ----------------------------------------------------------------------------------------------------


@each_version
def test_the_peer_refuses_our_servers_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    # The last -CAfile counts.
    options = (option(version), "-CAfile", certificates.stranger_file)
    with meet(certificates, "server", *options) as (talk, _):
        talk.until_error()
        assert isinstance(talk.error, AlertReceivedError)
        assert talk.error.description.name == "unknown_ca"


@each_version
def test_the_peer_refuses_our_clients_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    # (-CAfile would also tell the authorities' names, and our client has nothing of a stranger's.)
    options = (option(version), "-Verify", 1, "-verify_return_error", "-verifyCAfile", certificates.stranger_file)
    with meet(certificates, "client", *options, ours={"own": "p256"}) as (talk, _):
        talk.until_error()
        assert isinstance(talk.error, AlertReceivedError)
        assert talk.error.description.name == "unknown_ca"


@each_version
def test_the_peer_accepts_our_clients_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    options = (option(version), "-Verify", 1, "-verify_return_error", "-CAfile", certificates.root_file)
    with meet(certificates, "client", *options, ours={"own": "ed25519"}) as (talk, process):
        check_lines(talk.until_open(), process)
        assert process.said(b"subject=CN = ed25519") or process.said(b"subject=CN=ed25519")


@each_version
def test_the_peer_shows_its_clients_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    own = certificates["p521"]
    options = (option(version), "-cert", own.certificate_file, "-key", own.key_file)
    with meet(certificates, "server", *options, ours={"asks": True}) as (talk, process):
        check_lines(talk.until_open(), process)
        assert talk.info.peer_chain[0] == own.der
        assert process.said(b"Acceptable client certificate CA names", b"CN = Root of the tests") or process.said(
            b"Acceptable client certificate CA names", b"CN=Root of the tests"
        )


@each_version
def test_we_refuse_a_wrong_name(certificates: Certificates, version: ProtocolVersion) -> None:
    connection = our_client(certificates, server_name="wrong.example")
    with OPENSSL.meets_client(connection, certificates, option(version)) as (talk, _):
        talk.until_error()
        assert isinstance(talk.error, CertificateError)
        assert talk.error.alert is not None
        talk.until_said(b"alert " + talk.error.alert.name.replace("_", " ").encode())


@each_version
def test_we_refuse_a_stranger(certificates: Certificates, version: ProtocolVersion) -> None:
    ours = {"verify": PrivatePKI(certificates.strange_store)}
    with meet(certificates, "client", option(version), ours=ours) as (talk, _):
        talk.until_error()
        assert isinstance(talk.error, CertificateError)
        talk.until_said(b"alert unknown ca")


NOTHING_IN_COMMON: dict[str, tuple[tuple[object, ...], dict[str, Any], str]] = {
    "suite of TLS 1.3": (
        ("-tls1_3", "-ciphersuites", SUITES13[0].name),
        {"cipher_suites": SUITES13[1:]},
        "handshake_failure",
    ),
    "suite of TLS 1.2": (
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        {"cipher_suites": ECDSA_SUITES12[1:]},
        "handshake_failure",
    ),
    "suite that both can do without forward secrecy": (
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
        {},
        "handshake_failure",
    ),
    "group of TLS 1.3": (
        ("-tls1_3", "-groups", "P-384"),
        {"groups": (NamedGroup.x25519,)},
        "handshake_failure",
    ),
    "finite field alone": (
        ("-tls1_3", "-groups", "ffdhe2048"),
        {},
        "handshake_failure",
    ),
    "version, the peer's is 1.2": (("-tls1_2",), {"versions": (TLS13,)}, "protocol_version"),
    "version, the peer's is 1.3": (("-tls1_3",), {"versions": (TLS12,)}, "protocol_version"),
    "version, the peer's is 1.1": (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), {}, "protocol_version"),
}


@each_role
@pytest.mark.parametrize("what", NOTHING_IN_COMMON)
def test_nothing_in_common(certificates: Certificates, role: Role, what: str) -> None:
    options, ours, alert = NOTHING_IN_COMMON[what]
    with meet(certificates, role, *options, ours=ours) as (talk, _):
        talk.until_error()
        if role == "server":
            assert isinstance(talk.error, PeerError)
            assert talk.error.alert is not None
            assert talk.error.alert.name == alert
            talk.until_said(b"alert " + alert.replace("_", " ").encode())
        else:
            assert isinstance(talk.error, AlertReceivedError)
            assert talk.error.description.name == alert


def test_no_common_signature_scheme(certificates: Certificates) -> None:
    with meet(certificates, "server", "-tls1_3", "-sigalgs", "ed25519") as (talk, _):
        talk.until_error()
        assert talk.error.alert.name == "handshake_failure"
        talk.until_said(b"alert handshake failure")


def test_the_fallback_of_a_client_is_seen(certificates: Certificates) -> None:
    with meet(certificates, "server", "-tls1_2", "-fallback_scsv") as (talk, _):
        talk.until_error()
        assert talk.error.alert.name == "inappropriate_fallback"
        talk.until_said(b"inappropriate fallback")


def test_our_fallback_is_seen(certificates: Certificates) -> None:
    with meet(certificates, "client", ours={"versions": (TLS12,), "is_fallback": True}) as (talk, _):
        talk.until_error()
        assert talk.error.description.name == "inappropriate_fallback"


# What is chosen -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", CURVES[1:], ids=str)
def test_our_hello_retry_request(certificates: Certificates, group: NamedGroup) -> None:
    with meet(certificates, "server", "-tls1_3", ours={"groups": (group,)}) as (talk, process):
        check_lines(talk.until_open(), process)
        assert talk.info.hello_retried
        assert talk.info.group is group


@pytest.mark.parametrize("is_compatible", [True, False], ids=["compatible", "plain"])
def test_the_peers_hello_retry_request(certificates: Certificates, is_compatible: bool) -> None:
    options = ("-tls1_3", "-groups", "P-384", *(() if is_compatible else ("-no_middlebox",)))
    ours = {"middlebox_compatibility": is_compatible}
    with meet(certificates, "client", *options, ours=ours) as (talk, process):
        check_lines(talk.until_open(), process)
        assert [event.group for event in talk.of(HelloRetryRequested)] == [NamedGroup.secp384r1]


@each_version
@pytest.mark.parametrize("name", [OTHER_NAME, "server.example"])
def test_our_name_chooses_the_peers_certificate(
    certificates: Certificates, version: ProtocolVersion, name: str
) -> None:
    other = certificates.issue("p384", OTHER_NAME)
    options = ("-servername", OTHER_NAME, "-cert2", other.certificate_file, "-key2", other.key_file)
    connection = our_client(certificates, server_name=name)
    with OPENSSL.meets_client(connection, certificates, option(version), *options) as (talk, process):
        check_lines(talk.until_open(), process)
        assert talk.info.peer_chain[0] == (other.der if name == OTHER_NAME else certificates["p256"].der)


@each_version
def test_the_peers_warning_about_the_name_is_none(certificates: Certificates, version: ProtocolVersion) -> None:
    other = certificates.issue("p384", OTHER_NAME)
    options = ("-servername", OTHER_NAME, "-cert2", other.certificate_file, "-key2", other.key_file)
    with meet(certificates, "client", option(version), *options) as (talk, process):
        check_lines(talk.until_open(), process)
        # OpenSSL sends it in TLS 1.2 alone.
        warned = [event.description.name for event in talk.of(AlertReceived)]
        assert warned == (["unrecognized_name"] if version is TLS12 else [])


@each_version
def test_a_client_that_names_nobody(certificates: Certificates, version: ProtocolVersion) -> None:
    with meet(certificates, "server", option(version), "-noservername") as (talk, process):
        check_lines(talk.until_open(), process)
        assert talk.info.server_name is None


@each_role
@each_version
def test_alpn(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    options = (option(version), "-alpn", "h2,http/1.1")
    with meet(certificates, role, *options, ours={"alpn": ("http/1.1", "spdy/3")}) as (talk, process):
        check_lines(talk.until_open(), process)
        assert talk.info.alpn == "http/1.1"
        pattern = rb"ALPN protocols? selected: http/1.1" if role == "client" else rb"ALPN protocol: http/1.1"
        assert re.search(pattern, process.output)


@each_role
@pytest.mark.parametrize("suite", [*RSA_SUITES12, *KEY_TRANSPORT_SUITES], ids=str)
def test_client_certificates_in_tls12(certificates: Certificates, role: Role, suite: CipherSuite) -> None:
    ours: dict[str, Any] = {"cipher_suites": (suite,), "legacy_rsa_key_transport": suite in KEY_TRANSPORT_SUITES}
    if role == "client":
        options: tuple[object, ...] = ("-Verify", 1, "-verify_return_error", "-CAfile", certificates.root_file)
        connection = our_client(certificates, own="rsa-pss", **ours)
        met = OPENSSL.meets_client(connection, certificates, "-tls1_2", *options, kind="rsa")
    else:
        own = certificates["ed448"]
        options = ("-cert", own.certificate_file, "-key", own.key_file)
        met = OPENSSL.meets_server(
            our_server(certificates, "rsa", asks=True, **ours), certificates, "-tls1_2", *options
        )
    with met as (talk, process):
        check_lines(talk.until_open(), process)
        assert talk.info.cipher_suite is suite
