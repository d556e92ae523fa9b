"""Every suite with every group with every kind of certificate: against Python's ssl, in memory, in both roles."""

import itertools
from typing import Any

import pytest

from interop.certificates import KINDS, RSA_KINDS, Certificates, Kind
from interop.ours import CURVES, ECDSA_SUITES12, ROLES, RSA_SUITES12, SUITES13, TLS12, TLS13, Role
from interop.python_ssl import check_close, check_data, check_open, meet
from sanstls import CipherSuite, NamedGroup, ProtocolVersion

pytestmark = pytest.mark.interop


def suites12(kind: Kind) -> tuple[CipherSuite, ...]:
    """The suites of TLS 1.2 that a certificate is for."""
    return RSA_SUITES12 if kind in RSA_KINDS else ECDSA_SUITES12


MATRIX: list[tuple[ProtocolVersion, Kind, CipherSuite, NamedGroup]] = [
    *((TLS13, *rest) for rest in itertools.product(KINDS, SUITES13, CURVES)),
    *((TLS12, kind, suite, group) for kind in KINDS for suite, group in itertools.product(suites12(kind), CURVES)),
]


def name(value: Any) -> str:
    return value.text if isinstance(value, ProtocolVersion) else str(value)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("version", "kind", "suite", "group"), MATRIX, ids=name)
def test_each_combination(
    certificates: Certificates,
    role: Role,
    version: ProtocolVersion,
    kind: Kind,
    suite: CipherSuite,
    group: NamedGroup,
) -> None:
    # The peer's group is narrowed and not ours: in TLS 1.2 a client's groups are those of certificates, too.
    ours: dict[str, Any] = {"cipher_suites": (suite,)}
    peer: dict[str, Any] = {"versions": (version,)}
    if role == "client":
        peer |= {"kind": kind, "group": group}
    else:
        ours |= {"kind": kind, "groups": (group,)}
    met = meet(certificates, role, ours=ours, peer=peer)
    check_open(met, version, suite)
    assert met.info.group is group
    assert met.info.signature_scheme is not None
    if role == "client":
        assert met.info.peer_chain[0] == certificates[kind].der
    else:
        assert met.peer.ssl.getpeercert(binary_form=True) == certificates[kind].der
    check_data(met)
    check_close(met)
