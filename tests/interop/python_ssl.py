"""Python's ssl as a peer: contexts that can do no more than a test allows."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interop.certificates import NAME, Certificates, Kind
from interop.driver import InMemory, SslEnd
from interop.ours import TLS12, TLS13, VERSIONS, Role, our_client, our_server
from openssl12 import NAMES, NO_EXTENDED_MASTER_SECRET
from sanstls import CipherSuite, NamedGroup, ProtocolVersion

_VERSIONS = {TLS12: ssl.TLSVersion.TLSv1_2, TLS13: ssl.TLSVersion.TLSv1_3}
_CURVES = {
    NamedGroup.x25519: "X25519",
    NamedGroup.x448: "X448",
    NamedGroup.secp256r1: "prime256v1",
    NamedGroup.secp384r1: "secp384r1",
    NamedGroup.secp521r1: "secp521r1",
}
# With what is said of a version in SSLObject.version().
VERSION_NAMES = {TLS12: "TLSv1.2", TLS13: "TLSv1.3"}


def suite_name(suite: CipherSuite) -> str:
    """What SSLObject.cipher() calls it."""
    return NAMES.get(suite, suite.name)


def ssl_context(
    certificates: Certificates,
    role: Role,
    *,
    kind: Kind | None = None,
    trusts: Path | None = None,
    asks: bool = False,
    versions: Sequence[ProtocolVersion] = VERSIONS,
    group: NamedGroup | None = None,
    suite12: CipherSuite | None = None,
    with_extended_master_secret: bool = True,
    alpn: Sequence[str] = (),
    key_log: Path | None = None,
) -> ssl.SSLContext:
    """A client trusts the tests' root; a server has a certificate, and may ask for the client's.

    The module can't choose among the suites of TLS 1.3, nor several groups.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if role == "client" else ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = min(_VERSIONS[version] for version in versions)
    context.maximum_version = max(_VERSIONS[version] for version in versions)
    if role == "client" or asks:
        context.load_verify_locations(trusts or certificates.root_file)
        context.verify_mode = ssl.CERT_REQUIRED
    if role == "server" and kind is None:
        kind = "p256"
    if kind is not None:
        context.load_cert_chain(certificates[kind].certificate_file, certificates[kind].key_file)
    if group is not None:
        context.set_ecdh_curve(_CURVES[group])
    if suite12 is not None:
        context.set_ciphers(NAMES[suite12])
    if not with_extended_master_secret:
        context.options |= NO_EXTENDED_MASTER_SECRET
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if key_log is not None:
        context.keylog_filename = str(key_log)
    return context


def meet(
    certificates: Certificates,
    role: Role,
    *,
    ours: dict[str, Any] | None = None,
    peer: dict[str, Any] | None = None,
    server_name: str = NAME,
) -> InMemory:
    """Our ``role`` and Python's ssl in the other one, handshake included. Each side has settings of its own."""
    ours, peer = dict(ours or {}), dict(peer or {})
    if role == "client":
        end = SslEnd(ssl_context(certificates, "server", **peer), is_server=True)
        return InMemory(our_client(certificates, server_name=server_name, **ours), end).carry()
    end = SslEnd(ssl_context(certificates, "client", **peer), is_server=False, server_name=server_name)
    return InMemory(our_server(certificates, **ours), end).carry()


def check_open(met: InMemory, version: ProtocolVersion, suite: CipherSuite | None = None) -> None:
    """Both have completed the handshake, and both say the same of it."""
    assert met.error is None, met.error
    assert met.peer.error is None, met.peer.error
    assert met.is_open
    assert met.peer.is_open
    info = met.info
    cipher = met.peer.ssl.cipher()
    assert cipher is not None
    assert (info.version, met.peer.ssl.version()) == (version, VERSION_NAMES[version])
    assert suite_name(info.cipher_suite) == cipher[0]
    assert suite is None or info.cipher_suite == suite
    assert met.peer.ssl.selected_alpn_protocol() == info.alpn
    if version is TLS12 and info.extended_master_secret:
        assert met.peer.ssl.get_channel_binding("tls-unique") == met.connection.channel_binding("tls-unique")


def check_data(met: InMemory, to_peer: bytes = b"from us", to_us: bytes = b"from the peer") -> None:
    """Data goes both ways."""
    met.received.clear()
    met.peer.received.clear()
    met.connection.send_data(to_peer)
    met.peer.ssl.write(to_us)
    met.carry()
    assert met.peer.received == to_peer
    assert met.received == to_us


def check_close(met: InMemory) -> None:
    """Both close, we first."""
    met.connection.close()
    met.carry()
    assert met.peer.is_ended
    met.peer.close()
    met.carry()
    assert met.connection.state.name == "CLOSED"
