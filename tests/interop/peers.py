"""Other implementations as processes: what each can do, and how it is told to."""

import re
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import pytest

from interop.certificates import NAME, RSA_KINDS, Certificates, Kind
from interop.driver import HOST, TIMEOUT, Connection, Listener, Process, Talk, connect
from interop.ours import KEY_TRANSPORT_SUITES, TLS13
from openssl12 import NAMES
from sanstls import CipherSuite, NamedGroup, ProtocolVersion

_OPENSSL_GROUPS = {
    NamedGroup.x25519: "X25519",
    NamedGroup.x448: "X448",
    NamedGroup.secp256r1: "P-256",
    NamedGroup.secp384r1: "P-384",
    NamedGroup.secp521r1: "P-521",
    NamedGroup.X25519MLKEM768: "X25519MLKEM768",
    NamedGroup.SecP256r1MLKEM768: "SecP256r1MLKEM768",
    NamedGroup.SecP384r1MLKEM1024: "SecP384r1MLKEM1024",
}
_GNUTLS_GROUPS = {
    NamedGroup.x25519: "X25519",
    NamedGroup.x448: "X448",
    NamedGroup.secp256r1: "SECP256R1",
    NamedGroup.secp384r1: "SECP384R1",
    NamedGroup.secp521r1: "SECP521R1",
    NamedGroup.X25519MLKEM768: "X25519-MLKEM768",
    NamedGroup.SecP256r1MLKEM768: "SECP256R1-MLKEM768",
    NamedGroup.SecP384r1MLKEM1024: "SECP384R1-MLKEM1024",
}


class Case(NamedTuple):
    """What a handshake shall use."""

    version: ProtocolVersion = TLS13
    suite: CipherSuite = CipherSuite.TLS_AES_128_GCM_SHA256
    group: NamedGroup = NamedGroup.x25519
    kind: Kind = "p256"

    def __str__(self) -> str:
        return f"{self.version.text}-{self.suite}-{self.group}-{self.kind}"


class Peer(ABC):
    """An implementation of TLS. ``server`` and ``client`` are to be used in a ``with``."""

    name: str
    commands: tuple[str, ...]
    to_install: str

    @property
    def is_here(self) -> bool:
        return all(shutil.which(command) for command in self.commands)

    @property
    @abstractmethod
    def groups(self) -> tuple[NamedGroup, ...]:
        """Those that the installed version can do."""

    def require(self, case: Case | None = None) -> None:
        """Skip the test, and say why, if it can't be done here."""
        if not self.is_here:
            pytest.skip(f"{self.name} is not here: {self.to_install}")
        if case is not None and case.group not in self.groups:
            pytest.skip(f"the installed {self.name} does not know {case.group}")

    @abstractmethod
    def server(self, certificates: Certificates, case: Case, *options: object) -> tuple[Process, int]:
        """A server that answers each line with :meth:`answer`; it and its port."""

    @abstractmethod
    def client(self, certificates: Certificates, case: Case, port: int, *options: object) -> Process:
        """A client that trusts the tests' root; what is written to it is sent, what it gets is what it says."""

    @abstractmethod
    def answer(self, line: bytes) -> bytes:
        """What its server makes of a line."""

    @abstractmethod
    def serve(self, certificates: Certificates, kind: Kind, *options: object) -> tuple[Process, int]:
        """A server with a certificate of this kind and any options."""

    @abstractmethod
    def connect(self, certificates: Certificates, port: int, *options: object) -> Process:
        """A client that trusts the tests' root, with any options."""

    @contextmanager
    def meets_client(
        self, connection: Connection, certificates: Certificates, *options: object, kind: Kind = "p256"
    ) -> Iterator[tuple[Talk, Process]]:
        """Our client, and a server with these options."""
        self.require()
        process, port = self.serve(certificates, kind, *options)
        with process, Talk(connection, connect(port), process) as talk:
            yield talk, process

    @contextmanager
    def meets_server(
        self, connection: Connection, certificates: Certificates, *options: object
    ) -> Iterator[tuple[Talk, Process]]:
        """Our server, and a client with these options."""
        self.require()
        with (
            Listener() as listener,
            self.connect(certificates, listener.port, *options) as process,
            Talk(connection, listener.accept(process), process) as talk,
        ):
            yield talk, process


class OpenSSL(Peer):
    """``openssl s_server`` and ``openssl s_client``."""

    name, commands, to_install = "openssl", ("openssl",), "apt-get install openssl"

    @cached_property
    def version(self) -> tuple[int, ...]:
        said = subprocess.run(["openssl", "version"], capture_output=True, check=True, timeout=TIMEOUT).stdout.decode()
        return tuple(map(int, re.findall(r"\d+", said.split()[1])))

    @cached_property
    def _help(self) -> str:
        done = subprocess.run(["openssl", "s_server", "-help"], capture_output=True, timeout=TIMEOUT, check=True)
        return (done.stdout + done.stderr).decode()

    def require_option(self, option: str) -> None:
        """Skip the test, and say why, if the installed version has no such option."""
        self.require()
        if f" {option} " not in self._help:
            pytest.skip(f"the installed openssl has no {option}")

    @property
    def groups(self) -> tuple[NamedGroup, ...]:
        has_hybrids = self.version >= (3, 5)
        return tuple([group for group in _OPENSSL_GROUPS if has_hybrids or "MLKEM" not in group.name])

    def _options(self, case: Case) -> list[object]:
        options: list[object] = ["-groups", _OPENSSL_GROUPS[case.group]]
        if case.version is TLS13:
            # OpenSSL 3.2 and later holds a tag of 8 bytes for weak.
            level = ["-cipher", "DEFAULT:@SECLEVEL=0"] if case.suite.name.endswith("CCM_8_SHA256") else []
            return [*options, "-tls1_3", "-ciphersuites", case.suite.name, *level]
        return [*options, "-tls1_2", "-cipher", NAMES[case.suite]]

    def serve(self, certificates: Certificates, kind: Kind, *options: object) -> tuple[Process, int]:
        """``s_server`` with a certificate and any options."""
        identity = certificates[kind]
        files = ["-cert", identity.certificate_file, "-key", identity.key_file]
        process = Process(["openssl", "s_server", "-accept", f"{HOST}:0", *files, *options])
        return process, _listening(process, rb"ACCEPT .*:(\d+)\n")

    def server(self, certificates: Certificates, case: Case, *options: object) -> tuple[Process, int]:
        return self.serve(certificates, case.kind, *self._options(case), "-rev", *options)

    def connect(self, certificates: Certificates, port: int, *options: object) -> Process:
        """``s_client`` with any options."""
        name = [] if "-noservername" in options else ["-servername", NAME]
        trust = ["-CAfile", certificates.root_file, "-verify_hostname", NAME, "-verify_return_error"]
        return Process(["openssl", "s_client", "-connect", f"{HOST}:{port}", *name, *trust, *options])

    def client(self, certificates: Certificates, case: Case, port: int, *options: object) -> Process:
        return self.connect(certificates, port, *self._options(case), *options)

    def answer(self, line: bytes) -> bytes:
        return line.rstrip()[::-1]


class GnuTLS(Peer):
    """``gnutls-serv`` and ``gnutls-cli``."""

    name, commands, to_install = "GnuTLS", ("gnutls-serv", "gnutls-cli"), "apt-get install gnutls-bin"

    @cached_property
    def _listed(self) -> str:
        """What the installed version says that it can do."""
        return subprocess.run(
            ["gnutls-cli", "--list"], capture_output=True, check=True, timeout=TIMEOUT
        ).stdout.decode()

    @property
    def groups(self) -> tuple[NamedGroup, ...]:
        return tuple([group for group, name in _GNUTLS_GROUPS.items() if f"GROUP-{name}" in self._listed])

    def priority(self, case: Case) -> str:
        """The version, the suite, the group and nothing else."""
        name = case.suite.name.removeprefix("TLS_").partition("_WITH_")[2] or case.suite.name.removeprefix("TLS_")
        cipher = name.rpartition("_")[0].replace("_", "-")
        if case.suite in KEY_TRANSPORT_SUITES:
            exchange = "RSA"
        else:
            exchange = "ECDHE-RSA" if case.kind in RSA_KINDS else "ECDHE-ECDSA"
        return (
            f"NORMAL:-VERS-ALL:+VERS-TLS{case.version.text.split()[1]}:-CIPHER-ALL:+{cipher}"
            f":-GROUP-ALL:+GROUP-{_GNUTLS_GROUPS[case.group]}:-KX-ALL:+{exchange}"
        )

    def serve(self, certificates: Certificates, kind: Kind, *options: object) -> tuple[Process, int]:
        """``gnutls-serv`` with a certificate and any options. It can't tell a port that it was free to choose."""
        identity = certificates[kind]
        files = ["--x509certfile", identity.certificate_file, "--x509keyfile", identity.key_file]
        for _ in range(10):
            with socket.create_server((HOST, 0)) as free:
                port = free.getsockname()[1]
            process = Process(["gnutls-serv", "--port", port, *files, *options])
            _await(process, rb"\.\.\.done|failed")
            if process.said(b"...done"):
                return process, port
            with process:
                assert process.said(b"bind() failed"), process.report
        raise AssertionError("no port was free")

    def server(self, certificates: Certificates, case: Case, *options: object) -> tuple[Process, int]:
        wanted = ["--echo", "--disable-client-cert", "--priority", self.priority(case)]
        return self.serve(certificates, case.kind, *wanted, *options)

    def connect(self, certificates: Certificates, port: int, *options: object) -> Process:
        """``gnutls-cli`` with any options."""
        names = ["--sni-hostname", NAME, "--verify-hostname", NAME, "--x509cafile", certificates.root_file]
        return Process(["gnutls-cli", "--port", port, *names, *options, HOST])

    def client(self, certificates: Certificates, case: Case, port: int, *options: object) -> Process:
        return self.connect(certificates, port, "--priority", self.priority(case), *options)

    def answer(self, line: bytes) -> bytes:
        return line


def _await(process: Process, pattern: bytes) -> None:
    """Wait until a server has said this, or has ended."""

    def has_said() -> bool:
        return re.search(pattern, process.output + process.errors) is not None

    try:
        process.until(lambda: has_said() or process.has_ended, "a server")
    except BaseException:
        with process:
            raise


def _listening(process: Process, pattern: bytes) -> int:
    """The port on which a process says that it listens."""
    _await(process, pattern)
    found = re.search(pattern, process.output)
    if found is None:
        with process:
            raise AssertionError(process.report)
    return int(found[1])


OPENSSL, GNUTLS = OpenSSL(), GnuTLS()
PEERS: Sequence[Peer] = (OPENSSL, GNUTLS)
