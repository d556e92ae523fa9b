"""Side by side with the ``ssl`` module: both ends of both libraries in one process, no sockets.

Run it by ``make bench`` (``ARGS="--json FILE"`` keeps the figures). Each row is
measured in rounds that alternate between the two, and shows each one's best round:
the machine's noise only ever adds. Certificates, groups and cipher suite are the
same on both sides, and what was negotiated is checked before anything is timed.
Nothing here fails because of a time.
"""

import argparse
import contextlib
import gc
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import trustme

import sanstls

SERVER_NAME = "example.com"
GROUP = sanstls.NamedGroup.x25519
SUITE = sanstls.CipherSuite.TLS_AES_256_GCM_SHA384
SUITE12 = sanstls.CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
SUITE12_IN_OPENSSL = "ECDHE-ECDSA-AES256-GCM-SHA384"
ROUNDS = 12


class Row(NamedTuple):
    """One line of the result; ``ours`` and ``theirs`` in ``unit``, less is better unless ``is_throughput``."""

    work: str
    unit: str
    ours: float
    theirs: float | None
    to_reach: str
    is_throughput: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours in terms of theirs."""
        return None if self.theirs is None else self.ours / self.theirs


class Pki:
    """A P-256 root and leaf, loaded into both libraries, for one version."""

    def __init__(self, version: sanstls.ProtocolVersion = sanstls.ProtocolVersion.TLS13) -> None:
        self.version = version
        is_tls12 = version is sanstls.ProtocolVersion.TLS12
        ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        leaf = ca.issue_cert(SERVER_NAME, key_type=trustme.KeyType.ECDSA)
        self.ssl_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ssl_server.set_ecdh_curve("X25519")
        leaf.configure_cert(self.ssl_server)
        self.ssl_client = ssl.create_default_context()
        ca.configure_trust(self.ssl_client)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        credential = sanstls.Credential.from_pem(chain, leaf.private_key_pem.bytes())
        self.store = sanstls.TrustStore.from_pem(ca.cert_pem.bytes())
        suites, groups = (SUITE,), (GROUP,)
        if is_tls12:
            for context in (self.ssl_client, self.ssl_server):
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                context.set_ciphers(SUITE12_IN_OPENSSL)
            suites, groups = (SUITE12,), (GROUP, sanstls.NamedGroup.secp256r1)  # the latter for the certificate
        self.client = sanstls.ClientConfig(
            versions=(version,), verify=sanstls.PrivatePKI(self.store), groups=groups, cipher_suites=suites
        )
        self.server = sanstls.ServerConfig(
            versions=(version,), credentials=(credential,), groups=(GROUP,), cipher_suites=suites
        )


def ours_handshake(
    pki: Pki, session: sanstls.Session | None = None
) -> tuple[sanstls.ClientConnection, sanstls.ServerConnection]:
    """A handshake of sanstls with itself."""
    client = sanstls.ClientConnection(pki.client, SERVER_NAME, session=session)
    server = sanstls.ServerConnection(pki.server)
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    return client, server


def our_session(pki: Pki) -> sanstls.Session:
    """What a full handshake of sanstls leaves."""
    client, server = sanstls.ClientConnection(pki.client, SERVER_NAME), sanstls.ServerConnection(pki.server)
    events: list[sanstls.Event] = []
    for _ in range(3):
        server.receive_data(client.data_to_send())
        events += client.receive_data(server.data_to_send())
    return next(event.session for event in events if isinstance(event, sanstls.SessionReceived))


def theirs_handshake(pki: Pki, session: ssl.SSLSession | None = None) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A handshake of ``ssl`` with itself."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pki.ssl_client.wrap_bio(to_client, to_server, server_hostname=SERVER_NAME, session=session)
    server = pki.ssl_server.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        client.read(1)  # takes the session tickets
    return client, server


def best(ours: Callable[[], object], theirs: Callable[[], object], *, seconds: float) -> tuple[float, float]:
    """The best time of one call of each, in seconds, measured in alternating rounds."""

    def time_of(work: Callable[[], object], times: int) -> float:
        begin = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - begin) / times

    results: list[list[float]] = [[], []]
    works = (ours, theirs)
    times = [max(3, int(seconds / ROUNDS / max(time_of(work, 20), 1e-9))) for work in works]
    gc.collect()
    for round_number in range(ROUNDS):
        for index in (0, 1) if round_number % 2 else (1, 0):
            results[index].append(time_of(works[index], times[index]))
    return min(results[0]), min(results[1])


def bench_handshake(pki: Pki, seconds: float) -> Row:
    """A full handshake, both sides, the chain verified."""
    client, _ = ours_handshake(pki)
    theirs, _ = theirs_handshake(pki)
    suite = theirs.cipher()
    assert suite is not None
    assert suite[0] in (client.info.cipher_suite.name, SUITE12_IN_OPENSSL), suite
    assert client.info.group is GROUP
    ours_time, theirs_time = best(lambda: ours_handshake(pki), lambda: theirs_handshake(pki), seconds=seconds)
    to_reach = "≤ 0.85" if pki.version is sanstls.ProtocolVersion.TLS13 else "≤ 1.0"
    work = f"full {pki.version.text} handshake, P-256, X25519"
    return Row(work, "ms", ours_time * 1e3, theirs_time * 1e3, to_reach)


def bench_resumption(pki: Pki, seconds: float) -> Row:
    """A resumed handshake by ticket, both sides."""
    session = our_session(pki)
    their_session = theirs_handshake(pki)[0].session
    assert ours_handshake(pki, session)[0].info.resumed
    assert theirs_handshake(pki, their_session)[0].session_reused
    ours_time, theirs_time = best(
        lambda: ours_handshake(pki, session), lambda: theirs_handshake(pki, their_session), seconds=seconds
    )
    work = f"resumed {pki.version.text} handshake, by ticket"
    return Row(work, "ms", ours_time * 1e3, theirs_time * 1e3, "≤ 1.0")


def bench_messages(pki: Pki, size: int, seconds: float) -> tuple[float, float]:
    """Seconds for ``size`` bytes: data in, record bytes, data out."""
    client, server = ours_handshake(pki)
    ssl_client, ssl_server = theirs_handshake(pki)
    data = bytes(size)

    def ours() -> None:
        client.send_data(data)
        received = 0
        for event in server.receive_data(client.data_to_send()):
            received += len(event.data)  # type: ignore[attr-defined]
        assert received == size

    def theirs() -> None:
        ssl_client.write(data)
        received = 0
        while received < size:
            received += len(ssl_server.read(size))

    return best(ours, theirs, seconds=seconds)


def bench_memory(pki: Pki) -> Row:
    """What one idle connection holds: Python's allocations for ours; for ``ssl`` the process grows, see the note."""
    ours_handshake(pki)
    count = 200
    gc.collect()
    before = _resident()
    kept = [ours_handshake(pki) for _ in range(count)]
    gc.collect()
    ours = (_resident() - before) / count / 2
    del kept
    gc.collect()
    theirs_handshake(pki)
    before = _resident()
    kept_theirs = [theirs_handshake(pki) for _ in range(count)]
    gc.collect()
    theirs = (_resident() - before) / count / 2
    del kept_theirs
    return Row("memory of an idle connection (resident, one side)", "kB", ours / 1e3, theirs / 1e3, "≤ 9 kB")


def _resident() -> int:
    """Resident bytes of this process."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


def bench_configuration() -> Row:
    """A client configuration with 130 roots, the trust store already parsed."""
    authorities = [trustme.CA(key_type=trustme.KeyType.ECDSA) for _ in range(130)]
    pem = b"".join(ca.cert_pem.bytes() for ca in authorities)
    store = sanstls.TrustStore.from_pem(pem)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        ours, theirs = best(
            lambda: sanstls.ClientConfig(verify=sanstls.WebPKI(store)),
            lambda: ssl.create_default_context(cafile=file.name),
            seconds=1,
        )
    return Row("a client configuration with 130 roots", "ms", ours * 1e3, theirs * 1e3, "≤ 0.1 ms")


def bench_import() -> Row:
    """``import sanstls`` on top of what it imports of ``cryptography``."""
    script = (
        "import time\n"
        "from cryptography import x509\n"
        "from cryptography.x509 import verification\n"
        "from cryptography.hazmat.primitives import hashes, serialization\n"
        "from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mlkem, padding, rsa, x448, x25519\n"
        "from cryptography.hazmat.primitives.ciphers import aead\n"
        "begin = time.perf_counter()\n"
        "import sanstls\n"
        "print(time.perf_counter() - begin)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as cache:  # compiled modules, as an installed package has them
        environment["PYTHONPYCACHEPREFIX"] = cache
        command = [sys.executable, "-c", script]
        times = [
            float(subprocess.run(command, capture_output=True, check=True, env=environment).stdout) for _ in range(8)
        ]
    return Row("import sanstls, beyond cryptography's parts", "ms", min(times) * 1e3, None, "≤ 40 ms")


def measure(seconds: float) -> list[Row]:
    """All rows."""
    pki = Pki()
    rows = [bench_handshake(pki, 2 * seconds)]
    for size, to_reach in ((16_384, "≥ 1.4"), (262_144, "≥ 1.4")):
        ours, theirs = bench_messages(pki, size, seconds)
        work = f"bulk, {size // 1024} KiB writes, AES-256-GCM"
        rows.append(Row(work, "GB/s", size / ours / 1e9, size / theirs / 1e9, to_reach, is_throughput=True))
    for size, to_reach in ((1024, "≤ 1.0"), (64, "≤ 1.3")):
        ours, theirs = bench_messages(pki, size, seconds)
        rows.append(Row(f"{size}-byte messages", "µs", ours * 1e6, theirs * 1e6, to_reach))
    pki12 = Pki(sanstls.ProtocolVersion.TLS12)
    rows += [bench_handshake(pki12, 2 * seconds), bench_resumption(pki12, seconds)]
    ours, theirs = bench_messages(pki12, 16_384, seconds)
    work = "bulk in TLS 1.2, 16 KiB writes, AES-256-GCM"
    rows.append(Row(work, "GB/s", 16_384 / ours / 1e9, 16_384 / theirs / 1e9, "≥ 1.4", is_throughput=True))
    ours, theirs = bench_messages(pki12, 64, seconds)
    rows.append(Row("64-byte messages in TLS 1.2", "µs", ours * 1e6, theirs * 1e6, "≤ 1.3"))
    rows += [bench_memory(pki), bench_configuration(), bench_import()]
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to measure a row (default: %(default)s)")
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}, sanstls {sanstls.__version__}")
    rows = measure(arguments.seconds)
    print(f"{'work':<52} {'unit':>5} {'sanstls':>9} {'ssl':>9} {'ratio':>6}  to reach")
    for row in rows:
        theirs = f"{row.theirs:9.3f}" if row.theirs is not None else " " * 8 + "–"
        ratio = f"{row.ratio:6.2f}" if row.ratio is not None else "     –"
        print(f"{row.work:<52} {row.unit:>5} {row.ours:9.3f} {theirs} {ratio}  {row.to_reach}")
    if arguments.json:
        figures = [{**row._asdict(), "ratio": row.ratio} for row in rows]
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
