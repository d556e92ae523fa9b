"""What GnuTLS can show that OpenSSL can't, and what both should see alike: its commands, in both roles."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.certificates import OTHER_NAME, Certificates, Kind
from interop.driver import Process, Talk
from interop.ours import (
    CURVES,
    ECDSA_SUITES12,
    ROLES,
    SUITES13,
    TLS12,
    TLS13,
    VERSIONS,
    Role,
    our_client,
    our_server,
)
from interop.peers import GNUTLS
from sanstls import (
    AlertReceivedError,
    CertificateError,
    CipherSuite,
    CloseNotifyReceived,
    ConnectionState,
    HelloRetryRequested,
    KeysUpdated,
    LocalError,
    NamedGroup,
    PeerError,
    ProtocolVersion,
    UnexpectedEOF,
    VerificationRequest,
)

pytestmark = pytest.mark.interop

each_role = pytest.mark.parametrize("role", ROLES)
each_version = pytest.mark.parametrize("version", VERSIONS, ids=str)


def priority(version: ProtocolVersion, more: str = "") -> tuple[str, str]:
    return "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version.text.split()[1]}{more}"


@contextmanager
def meet(
    certificates: Certificates,
    role: Role,
    *options: object,
    ours: dict[str, Any] | None = None,
    asks: bool = False,
    **names: Any,
) -> Iterator[tuple[Talk, Process]]:
    """Our ``role``, and the command for the other one with these options. A server of GnuTLS asks if told to."""
    if role == "client":
        asking = ["--require-client-cert", "--verify-client-cert"] if asks else ["--disable-client-cert"]
        connection = our_client(certificates, **(ours or {}), **names)
        with GNUTLS.meets_client(connection, certificates, "--echo", *asking, *options) as met:
            yield met
    else:
        with GNUTLS.meets_server(our_server(certificates, **(ours or {})), certificates, *options) as met:
            yield met


def check_lines(talk: Talk, process: Process, role: Role) -> None:
    """A line goes each way."""
    talk.received.clear()
    if role == "client":
        talk.connection.send_data(b"a line\n")
    else:
        process.say(b"a line\n")
    talk.until_received(b"a line\n")
    if role == "server":
        mark = b"a line of ours, %d\n" % len(process.output)
        talk.connection.send_data(mark)
        talk.until_said(mark)


# Secrets ------------------------------------------------------------------------------------------------------------


@each_role
@pytest.mark.parametrize("suite", [*SUITES13, *ECDSA_SUITES12], ids=str)
def test_both_export_the_same(certificates: Certificates, role: Role, suite: CipherSuite) -> None:
    version = TLS13 if suite in SUITES13 else TLS12
    options = (*priority(version), "--keymatexport", "EXPORTER-of-the-tests", "--keymatexportsize", 40)
    with meet(certificates, role, *options, ours={"cipher_suites": (suite,)}) as (talk, _):
        talk.until_open()
        exported = talk.connection.export_keying_material("EXPORTER-of-the-tests", 40)
        talk.until_said(b"Key material: " + exported.hex().encode())


@each_role
@pytest.mark.parametrize(
    ("version", "kinds"),
    [(TLS13, ["tls-exporter"]), (TLS12, ["tls-unique", "tls-server-end-point", "tls-exporter"])],
    ids=str,
)
def test_both_have_the_same_channel_bindings(
    certificates: Certificates, role: Role, version: ProtocolVersion, kinds: list[str]
) -> None:
    verbose = ["--verbose"] if role == "server" else []
    with meet(certificates, role, *priority(version), *verbose) as (talk, _):
        talk.until_open()
        for kind in kinds:
            talk.until_said(f"'{kind}': {talk.connection.channel_binding(kind).hex()}".encode())


@each_role
@pytest.mark.parametrize("is_required", [True, False], ids=["required", "not required"])
def test_without_extended_master_secret(certificates: Certificates, role: Role, is_required: bool) -> None:
    ours = {"require_extended_master_secret": is_required}
    with meet(certificates, role, *priority(TLS12, ":%NO_SESSION_HASH"), ours=ours) as (talk, process):
        if is_required:
            talk.until_error()
            assert isinstance(talk.error, PeerError)
            return
        check_lines(talk.until_open(), process, role)
        assert not talk.info.extended_master_secret
        with pytest.raises(LocalError, match="extended master secret"):
            talk.connection.channel_binding("tls-unique")


# Keys and renegotiation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "sent"), [(b"^rekey1^\n", 0), (b"^rekey^\n", 1)], ids=["theirs", "both"])
def test_key_updates_of_a_client(certificates: Certificates, command: bytes, sent: int) -> None:
    with meet(certificates, "server", *priority(TLS13), "--inline-commands") as (talk, process):
        talk.until_open()
        for count in range(1, 3):
            process.say(command)
            talk.until(lambda count=count: len(talk.of(KeysUpdated)) == count * (1 + sent), "new keys")
            check_lines(talk, process, "server")


def test_key_updates_of_a_server(certificates: Certificates) -> None:
    with meet(certificates, "client", *priority(TLS13)) as (talk, process):
        talk.until_open()
        talk.connection.send_data(b"**REHANDSHAKE**\n")  # which is what it means in TLS 1.3
        talk.until_received(b"Successfully executed command\n")
        talk.until(lambda: len(talk.of(KeysUpdated)) == 2, "new keys")
        check_lines(talk, process, "client")


@each_role
@pytest.mark.parametrize("asks", [True, False], ids=["both", "ours"])
def test_key_updates_of_ours(certificates: Certificates, role: Role, asks: bool) -> None:
    with meet(certificates, role, *priority(TLS13)) as (talk, process):
        talk.until_open()
        for _ in range(2):
            talk.connection.update_keys(request_peer=asks)
            check_lines(talk, process, role)
            check_lines(talk, process, role)  # it answers at its next record
        assert len(talk.of(KeysUpdated)) == 2 * (1 + asks)


@each_role
def test_renegotiation_is_refused(certificates: Certificates, role: Role) -> None:
    inline = ["--inline-commands"] if role == "server" else []
    with meet(certificates, role, *priority(TLS12), *inline) as (talk, process):
        check_lines(talk.until_open(), process, role)
        if role == "client":
            talk.connection.send_data(b"**REHANDSHAKE**\n")
            talk.until_said(b"A TLS warning alert has been received")
            # Our refusal is a warning, after which gnutls-serv ends, without close_notify.
            talk.until_error()
            assert isinstance(talk.error, UnexpectedEOF)
        else:
            process.say(b"^renegotiate^\n")
            talk.until_said(b"No renegotiation is allowed")
            # gnutls-cli tries again and again until it loses heart.
            talk.until_error()
            assert isinstance(talk.error, AlertReceivedError)


@each_role
@pytest.mark.parametrize("is_allowed", [True, False], ids=["allowed", "refused"])
def test_a_peer_without_safe_renegotiation(certificates: Certificates, role: Role, is_allowed: bool) -> None:
    """RFC 5746: a server has to know it, unless told otherwise; a client that does not is no danger to our server."""
    ours = {"legacy_renegotiation_peers": True} if is_allowed and role == "client" else {}
    options = priority(TLS12, ":%DISABLE_SAFE_RENEGOTIATION")
    with meet(certificates, role, *options, ours=ours) as (talk, process):
        if role == "client" and not is_allowed:
            talk.until_error()
            assert isinstance(talk.error, PeerError)
            assert talk.error.alert is not None
            assert talk.error.alert.name == "handshake_failure"
        else:
            check_lines(talk.until_open(), process, role)


# Stapling -----------------------------------------------------------------------------------------------------------


@each_version
def test_what_the_peer_staples(certificates: Certificates, version: ProtocolVersion) -> None:
    identity = certificates["p256"]
    ours = {"defer": frozenset({VerificationRequest})}
    options = (*priority(version), "--ocsp-response", identity.staple_file)
    with meet(certificates, "client", *options, ours=ours) as (talk, process):
        talk.until(lambda: talk.of(VerificationRequest), "a request")
        (request,) = talk.of(VerificationRequest)
        assert request.ocsp_response == identity.staple
        talk.connection.answer(request, None)
        talk.until(lambda: talk.connection.state is ConnectionState.OPEN, "the handshake")
        check_lines(talk, process, "client")


@each_version
def test_what_we_staple(certificates: Certificates, version: ProtocolVersion, tmp_path: Path) -> None:
    identity, file = certificates["p256"], tmp_path / "seen.ocsp"
    ours = {"credentials": (identity.credential.stapled(identity.staple),)}
    with meet(certificates, "server", *priority(version), "--save-ocsp", file, ours=ours) as (talk, process):
        check_lines(talk.until_open(), process, "server")
        assert file.read_bytes() == identity.staple
        assert process.said(b"OCSP status request")


# Who is who ---------------------------------------------------------------------------------------------------------


@each_role
@each_version
@pytest.mark.parametrize("kind", ["rsa", "p384", "ed25519"])
def test_client_certificates(certificates: Certificates, role: Role, version: ProtocolVersion, kind: Kind) -> None:
    own = certificates[kind]
    if role == "client":
        options: tuple[object, ...] = ("--x509cafile", certificates.root_file)
        ours: dict[str, Any] = {"own": kind}
    else:
        options = ("--x509certfile", own.certificate_file, "--x509keyfile", own.key_file)
        ours = {"asks": True}
    with meet(certificates, role, *priority(version), *options, ours=ours, asks=True) as (talk, process):
        check_lines(talk.until_open(), process, role)
        if role == "server":
            assert talk.info.peer_chain[0] == own.der


@each_version
def test_no_client_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    options = (*priority(version), "--x509cafile", certificates.root_file)
    with meet(certificates, "client", *options, asks=True) as (talk, _):
        talk.until_error()
        assert isinstance(talk.error, AlertReceivedError)
        # The second is what GnuTLS says to its own client, too.
        assert talk.error.description.name == ("certificate_required" if version is TLS13 else "decode_error")


@each_version
def test_the_peer_refuses_our_certificate(certificates: Certificates, version: ProtocolVersion) -> None:
    with meet(certificates, "server", *priority(version), "--verify-hostname", "wrong.example") as (talk, _):
        talk.until_said(b"does not match")
        talk.until_error()
        assert isinstance(talk.error, AlertReceivedError)
        assert talk.error.description.name == "bad_certificate"


@each_version
def test_we_refuse_a_wrong_name(certificates: Certificates, version: ProtocolVersion) -> None:
    with meet(certificates, "client", *priority(version), server_name=OTHER_NAME) as (talk, _):
        talk.until_error()
        assert isinstance(talk.error, CertificateError)
        talk.until_said(b"A TLS fatal alert has been received")


@each_role
@pytest.mark.parametrize(
    ("version", "more", "ours"),
    [
        (TLS13, ":-GROUP-ALL:+GROUP-SECP521R1", {"groups": CURVES[:1]}),
        (TLS13, ":-CIPHER-ALL:+AES-128-CCM", {}),
        (TLS12, ":-CIPHER-ALL:+AES-128-GCM", {"cipher_suites": ECDSA_SUITES12[1:]}),
        (TLS12, ":-CIPHER-ALL:+AES-256-CBC", {}),
    ],
)
def test_nothing_in_common(
    certificates: Certificates, role: Role, version: ProtocolVersion, more: str, ours: dict[str, Any]
) -> None:
    with meet(certificates, role, *priority(version, more), ours=ours) as (talk, _):
        talk.until_error()
        if role == "client":
            assert isinstance(talk.error, AlertReceivedError)
            assert talk.error.description.name in ("handshake_failure", "insufficient_security")
        else:
            assert isinstance(talk.error, PeerError)
            talk.until_said(b"Handshake failed")


@each_role
@pytest.mark.parametrize(("ours", "peers"), [(TLS12, TLS13), (TLS13, TLS12)], ids=str)
def test_no_common_version(
    certificates: Certificates, role: Role, ours: ProtocolVersion, peers: ProtocolVersion
) -> None:
    with meet(certificates, role, *priority(peers), ours={"versions": (ours,)}) as (talk, _):
        talk.until_error()
        if role == "client":
            assert isinstance(talk.error, AlertReceivedError)
            # GnuTLS 3.7 looks for a suite first.
            assert talk.error.description.name in ("protocol_version", "handshake_failure")
        else:
            assert talk.error.alert.name == "protocol_version"


# What is chosen -----------------------------------------------------------------------------------------------------


@each_role
@pytest.mark.parametrize("group", CURVES[2:], ids=str)
def test_a_hello_retry_request(certificates: Certificates, role: Role, group: NamedGroup) -> None:
    if role == "client":
        options, ours = priority(TLS13, f":-GROUP-ALL:+GROUP-{group.name.upper()}"), {"groups": CURVES}
    else:
        options, ours = (*priority(TLS13), "--single-key-share"), {"groups": (group,)}
    with meet(certificates, role, *options, ours=ours) as (talk, process):
        check_lines(talk.until_open(), process, role)
        assert talk.info.hello_retried
        assert talk.info.group is group
        assert [event.group for event in talk.of(HelloRetryRequested)] == [group]


@each_role
@each_version
def test_alpn(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    with meet(certificates, role, *priority(version), "--alpn", "h2", ours={"alpn": ("b", "h2")}) as (talk, process):
        check_lines(talk.until_open(), process, role)
        assert talk.info.alpn == "h2"


# The end ------------------------------------------------------------------------------------------------------------


@each_role
@each_version
def test_we_close_first(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    with meet(certificates, role, *priority(version)) as (talk, process):
        check_lines(talk.until_open(), process, role)
        talk.connection.close()
        talk.until_eof()


@each_version
def test_the_peer_closes_first(certificates: Certificates, version: ProtocolVersion) -> None:
    with meet(certificates, "server", *priority(version)) as (talk, process):
        check_lines(talk.until_open(), process, "server")
        process.end_input()
        talk.until(lambda: talk.of(CloseNotifyReceived), "close_notify")
        talk.connection.close()
        assert talk.connection.state is ConnectionState.CLOSED


@each_role
@each_version
def test_the_peer_is_killed(certificates: Certificates, role: Role, version: ProtocolVersion) -> None:
    with meet(certificates, role, *priority(version)) as (talk, process):
        check_lines(talk.until_open(), process, role)
        process.kill()
        talk.until_error()
        assert isinstance(talk.error, UnexpectedEOF)


@each_version
def test_much_data(certificates: Certificates, version: ProtocolVersion) -> None:
    data = b"".join(b"%050d\n" % number for number in range(20_000))
    with meet(certificates, "server", *priority(version)) as (talk, process):
        talk.until_open()
        process.say(data)
        talk.connection.send_data(data)
        talk.until(lambda: talk.received == data and data in process.output, "all data")
