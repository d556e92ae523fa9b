"""Our side of a test: connections with the tests' certificates."""

from typing import Any, Literal

from interop.certificates import NAME, Certificates, Kind
from sanstls import (
    CipherSuite,
    ClientConfig,
    ClientConnection,
    NamedGroup,
    PrivatePKI,
    ProtocolVersion,
    ServerConfig,
    ServerConnection,
    Session,
)

Role = Literal["client", "server"]
ROLES: tuple[Role, ...] = ("client", "server")

TLS12, TLS13 = ProtocolVersion.TLS12, ProtocolVersion.TLS13
VERSIONS = (TLS13, TLS12)

SUITES13 = (
    CipherSuite.TLS_AES_128_GCM_SHA256,
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
)
CCM_SUITES13 = (CipherSuite.TLS_AES_128_CCM_SHA256, CipherSuite.TLS_AES_128_CCM_8_SHA256)
RSA_SUITES12 = (
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
)
ECDSA_SUITES12 = (
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
)
KEY_TRANSPORT_SUITES = (
    CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite.TLS_RSA_WITH_AES_256_GCM_SHA384,
)
CURVES = (
    NamedGroup.x25519,
    NamedGroup.secp256r1,
    NamedGroup.secp384r1,
    NamedGroup.secp521r1,
    NamedGroup.x448,
)
HYBRIDS = (NamedGroup.X25519MLKEM768, NamedGroup.SecP256r1MLKEM768, NamedGroup.SecP384r1MLKEM1024)


def our_client(
    certificates: Certificates,
    *,
    server_name: str | None = NAME,
    own: Kind | None = None,
    session: Session | None = None,
    early_data: bool = False,
    **settings: Any,
) -> ClientConnection:
    """Trusts the tests' root; ``own`` is the certificate that it can show."""
    defaults: dict[str, Any] = {"verify": PrivatePKI(certificates.store), "groups": CURVES}
    if own is not None:
        defaults["credentials"] = (certificates[own].credential,)
    return ClientConnection(ClientConfig(**(defaults | settings)), server_name, session=session, early_data=early_data)


def our_server(
    certificates: Certificates, kind: Kind = "p256", *, asks: bool = False, **settings: Any
) -> ServerConnection:
    """``asks`` for a certificate of the client."""
    defaults: dict[str, Any] = {"credentials": (certificates[kind].credential,), "groups": CURVES}
    if asks:
        defaults["verify"] = PrivatePKI(certificates.store)
    return ServerConnection(ServerConfig(**(defaults | settings)))
