"""Whether a peer is who it should be: verifiers are values, given in the configuration.

Paths are built and checked by ``cryptography``'s verifier wherever it can; chains
with Ed25519 or Ed448 keys, which it refuses, go to :mod:`sanstls.identity.paths`.
"""

import datetime
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    VerificationError,
)

from sanstls.errors import CertificateError
from sanstls.identity.diagnosis import check_key, explain_refusal
from sanstls.identity.names import ServerName, parse_server_name
from sanstls.identity.paths import find_path, needs_own_builder
from sanstls.identity.trust import TrustStore
from sanstls.wire.registries import AlertDescription

__all__ = ["DangerouslyAcceptAny", "PrivatePKI", "Verified", "Verifier", "WebPKI"]

Role = Literal["server", "client"]


class Verified(NamedTuple):
    """What a verifier found: the path from the leaf to the trust anchor, and the server's name that was matched."""

    chain: tuple[x509.Certificate, ...]
    anchor: x509.Certificate | None
    name: str | None
    not_valid_after: datetime.datetime | None


class Verifier(Protocol):
    """Decides about a peer's certificates."""

    def verify(
        self,
        chain: Sequence[x509.Certificate],
        *,
        server_name: str | None,
        at: float,
        role: Role,
        ocsp_response: bytes = b"",
        scts: tuple[bytes, ...] = (),
    ) -> Verified:
        """Accept by returning, refuse by raising :class:`CertificateError`.

        ``chain`` is what the peer sent, leaf first and the rest in any order; ``role``
        says whose it is; ``at`` is the time in Unix seconds.
        """
        ...


def _usage_of(role: Role) -> x509.ObjectIdentifier:
    usages = x509.oid.ExtendedKeyUsageOID
    return usages.SERVER_AUTH if role == "server" else usages.CLIENT_AUTH


class _PathVerifier:
    """What the verifiers with a trust store share; they differ in their policy for extensions."""

    __slots__ = ("_builders", "store")
    _advice = ""
    _is_eddsa_allowed = True

    def __init__(self, store: TrustStore) -> None:
        self.store = store
        self._builders: dict[Role, PolicyBuilder] = {
            "server": self._policy(PolicyBuilder().store(store.store), "server"),
            "client": self._policy(PolicyBuilder().store(store.store), "client"),
        }

    def _policy(self, builder: PolicyBuilder, role: Role) -> PolicyBuilder:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    def verify(
        self,
        chain: Sequence[x509.Certificate],
        *,
        server_name: str | None,
        at: float,
        role: Role,
        ocsp_response: bytes = b"",
        scts: tuple[bytes, ...] = (),
    ) -> Verified:
        """See :class:`Verifier`. Raises ``LocalError`` if ``server_name`` is no name at all."""
        name: ServerName | None = None
        if role == "client":
            server_name = None  # that is whom the client asked for, and not who it is
        elif server_name is not None:
            name = parse_server_name(server_name)
        else:
            raise CertificateError(
                "no name was asked for that it could be checked against",
                alert=AlertDescription.certificate_unknown,
                advice="Give the connection its server_name",
            )
        if not chain:
            raise CertificateError("no certificate was sent", alert=AlertDescription.certificate_required)
        try:
            when = datetime.datetime.fromtimestamp(at, datetime.UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise CertificateError(
                f"there is no such time to check it for: {at} s",
                alert=AlertDescription.internal_error,
                advice="The clock of the configuration must give Unix time in seconds",
            ) from error
        try:
            try:
                path = self._find_path(chain, name, when, role)
            except VerificationError as error:
                reason = str(error)
                raise explain_refusal(chain, self.store, server_name, when, role, reason, self._advice) from error
            # The library looks at the keys of the authorities, but not at the leaf's.
            check_key(0, path[0], is_eddsa_allowed=self._is_eddsa_allowed)
            end = min(certificate.not_valid_after_utc for certificate in path)
        except CertificateError:
            raise
        except Exception as error:
            # Certificates are parsed as they are looked at: a hostile one can fail anywhere in the library.
            raise CertificateError("it is malformed", certificate="the chain", advice=str(error)) from error
        return Verified(path, path[-1], server_name, end)

    def _find_path(
        self, chain: Sequence[x509.Certificate], name: ServerName | None, when: datetime.datetime, role: Role
    ) -> tuple[x509.Certificate, ...]:
        builder = self._builders[role].time(when.replace(tzinfo=None))
        others = list(chain[1:])
        if name is None:
            return tuple(builder.build_client_verifier().verify(chain[0], others).chain)
        subject = x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
        return tuple(builder.build_server_verifier(subject).verify(chain[0], others))


class WebPKI(_PathVerifier):
    """The rules of the public web (the CA/Browser Forum's profile), strictly. It knows no Ed25519 and no Ed448.

    For certificates of a company's own or a test's CA, which often do not follow
    that profile, there is :class:`PrivatePKI`.
    """

    __slots__ = ()
    _advice = "PrivatePKI is the verifier for certificates that do not follow the public web's profile"
    _is_eddsa_allowed = False

    def _policy(self, builder: PolicyBuilder, role: Role) -> PolicyBuilder:
        return builder


class PrivatePKI(_PathVerifier):
    """The rules of RFC 5280, without the profile of the public web.

    Names, validity, signatures, CA bits, path lengths, name constraints, key usages
    and extended key usages are all enforced; missing key identifiers, a critical
    subjectAltName, a client without subjectAltName and a leaf that is itself the
    trust anchor are allowed.
    """

    __slots__ = ()

    def _policy(self, builder: PolicyBuilder, role: Role) -> PolicyBuilder:
        # permit_all() would drop the checks of key usages altogether, so they are put back here.
        wanted = _usage_of(role)

        def check_extended_key_usage(_: Policy, __: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
            if (
                usage is not None
                and wanted not in usage
                and x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage
            ):
                raise ValueError("the extended key usage does not allow this role")

        def check_ca_key_usage(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
            if usage is not None and not usage.key_cert_sign:
                raise ValueError("the key usage does not allow issuing certificates")

        def check_leaf_key_usage(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
            if usage is not None and not (usage.digital_signature or usage.key_encipherment):
                raise ValueError("the key usage does not allow this role")

        agnostic = Criticality.AGNOSTIC
        leaf = (
            ExtensionPolicy.permit_all()
            .may_be_present(x509.ExtendedKeyUsage, agnostic, check_extended_key_usage)
            .may_be_present(x509.KeyUsage, agnostic, check_leaf_key_usage)
        )
        authority = (
            ExtensionPolicy.permit_all()
            .require_present(x509.BasicConstraints, agnostic, None)
            .may_be_present(x509.KeyUsage, agnostic, check_ca_key_usage)
            .may_be_present(x509.ExtendedKeyUsage, agnostic, check_extended_key_usage)
        )
        if role == "server":
            leaf = leaf.require_present(x509.SubjectAlternativeName, agnostic, None)
        return builder.extension_policies(ca_policy=authority, ee_policy=leaf)

    def _find_path(
        self, chain: Sequence[x509.Certificate], name: ServerName | None, when: datetime.datetime, role: Role
    ) -> tuple[x509.Certificate, ...]:
        # The leaf may itself be trusted, as with "openssl req -x509".
        if chain[0] in self.store or needs_own_builder(chain):
            return find_path(chain, self.store, server_name=None if name is None else str(name), when=when, role=role)
        return super()._find_path(chain, name, when, role)


class DangerouslyAcceptAny:
    """Accepts every certificate: whoever is in the middle can read and change everything. For tests and for looking."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DangerouslyAcceptAny()"

    def verify(
        self,
        chain: Sequence[x509.Certificate],
        *,
        server_name: str | None,
        at: float,
        role: Role,
        ocsp_response: bytes = b"",
        scts: tuple[bytes, ...] = (),
    ) -> Verified:
        """See :class:`Verifier`."""
        return Verified(tuple(chain), None, None, None)
