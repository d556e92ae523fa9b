"""Who the peers are: trust stores, verifiers, and one's own credentials."""

from sanstls.identity.credentials import Credential
from sanstls.identity.names import parse_server_name
from sanstls.identity.trust import TrustStore
from sanstls.identity.verify import DangerouslyAcceptAny, PrivatePKI, Verified, Verifier, WebPKI

__all__ = [
    "Credential",
    "DangerouslyAcceptAny",
    "PrivatePKI",
    "TrustStore",
    "Verified",
    "Verifier",
    "WebPKI",
    "parse_server_name",
]
