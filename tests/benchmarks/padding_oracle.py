"""Does the time that a server takes tell what was wrong with an encrypted premaster secret (RFC 5246 7.4.7.1)?

Each round gives one ClientKeyExchange of every kind, in random order, to a new server,
and takes the time until the server has answered the Finished behind it with its alert.
The kinds are compared with a ciphertext that is well formed and of another secret. Its
second row is the control: the same kind once more, which shows what noise looks like.

The test is Mann and Whitney's: ``z`` is how many standard deviations the sum of ranks
is off, and its sign says which of the two is slower. Nothing here fails because of a
time; a kind whose |z| is far beyond the control's, each time it is run, is a finding.
"""

import argparse
import datetime
import gc
import json
import random
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import sanstls

SUITE = sanstls.CipherSuite.TLS_RSA_WITH_AES_128_GCM_SHA256
VERSION = b"\x03\x03"
BASELINE, CONTROL = "well formed", "well formed, again"
VARIANTS = 64
REMARKABLE = 4.0


class Key:
    """The server's key, and what can be made with its public part."""

    def __init__(self, bits: int) -> None:
        self.private = rsa.generate_private_key(65537, bits)
        self.public = self.private.public_key()
        self.size = (bits + 7) // 8
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "padding oracle")])
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(self.private, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    def encrypted(self, secret: bytes) -> bytes:
        """RSAES-PKCS1-v1_5, as it should be."""
        return self.public.encrypt(secret, padding.PKCS1v15())

    def raw(self, block: bytes) -> bytes:
        """The ciphertext of which this block comes out."""
        numbers = self.public.public_numbers()
        return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(self.size, "big")

    def block(self, *, start: bytes = b"\0\2", zero_at: int | None = None, has_separator: bool = True) -> bytes:
        """A block with a premaster secret, and whatever is wrong before it."""
        secret = VERSION + secrets.token_bytes(46)
        filler = bytearray(1 + secrets.randbelow(255) for _ in range(self.size - len(start) - 1 - len(secret)))
        if zero_at is not None:
            filler[zero_at] = 0
        return start + bytes(filler) + (b"\0" if has_separator else b"\x5a") + secret.replace(b"\0", b"\1")

    def kinds(self) -> dict[str, Callable[[], bytes]]:
        """The ciphertexts to compare: each call gives another one of its kind."""
        fresh = secrets.token_bytes
        return {
            BASELINE: lambda: self.encrypted(VERSION + fresh(46)),
            CONTROL: lambda: self.encrypted(VERSION + fresh(46)),
            "another version": lambda: self.encrypted(b"\3\2" + fresh(46)),
            "a byte less": lambda: self.encrypted(VERSION + fresh(45)),
            "a byte more": lambda: self.encrypted(VERSION + fresh(47)),
            "nothing": lambda: self.encrypted(b""),
            "as much as there is room for": lambda: self.encrypted(VERSION + fresh(self.size - 13)),
            "first byte not 0": lambda: self.raw(self.block(start=b"\1\2")),
            "block type 1": lambda: self.raw(self.block(start=b"\0\1")),
            "zero within the first eight": lambda: self.raw(self.block(zero_at=3)),
            "zero in the middle": lambda: self.raw(self.block(zero_at=self.size // 2)),
            "no separator": lambda: self.raw(self.block(has_separator=False)),
            "random ciphertext": lambda: b"\0" + fresh(self.size - 1),
            "all zero": lambda: bytes(self.size),
            "beyond the modulus": lambda: b"\xff" * self.size,
            "too short": lambda: fresh(self.size - 1),
            "too long": lambda: fresh(self.size + 1),
        }


class Row(NamedTuple):
    """One kind's times in seconds, compared with the baseline's."""

    kind: str
    median: float
    difference: float
    z: float


def record(content_type: int, content: bytes) -> bytes:
    """One record in the clear."""
    return bytes([content_type]) + VERSION + len(content).to_bytes(2, "big") + content


def flight(ciphertext: bytes) -> bytes:
    """ClientKeyExchange, ChangeCipherSpec, and a Finished that no keys fit."""
    body = len(ciphertext).to_bytes(2, "big") + ciphertext
    exchange = b"\x10" + len(body).to_bytes(3, "big") + body
    return record(22, exchange) + record(20, b"\1") + record(22, secrets.token_bytes(40))


def measure(key: Key, rounds: int) -> dict[str, list[float]]:
    """How long the server takes for each kind, in seconds."""
    shared = {"versions": (sanstls.ProtocolVersion.TLS12,), "cipher_suites": (SUITE,), "legacy_rsa_key_transport": True}
    credential = sanstls.Credential([key.certificate], key.private)
    server_config = sanstls.ServerConfig(credentials=(credential,), **shared)
    client_config = sanstls.ClientConfig(verify=sanstls.DangerouslyAcceptAny(), **shared)
    hello = sanstls.ClientConnection(client_config, "padding-oracle.test").data_to_send()
    flights = {name: [flight(make()) for _ in range(VARIANTS)] for name, make in key.kinds().items()}
    times: dict[str, list[float]] = {name: [] for name in flights}
    order = list(flights)
    shuffle = random.Random(0).shuffle
    clock = time.perf_counter_ns
    gc.collect()
    gc.disable()
    for number in range(-20, rounds):
        shuffle(order)
        for name in order:
            data = flights[name][number % VARIANTS]
            server = sanstls.ServerConnection(server_config)
            server.receive_data(hello)
            server.data_to_send()
            begin = clock()
            events = server.receive_data(data)
            answer = server.data_to_send()
            end = clock()
            assert isinstance(events[-1], sanstls.ConnectionFailed), events
            assert answer == record(21, b"\2\x14"), answer  # bad_record_mac, whatever was wrong
            if number >= 0:  # the first rounds only warm up
                times[name].append((end - begin) / 1e9)
        gc.collect(0)
    gc.enable()
    return times


def mann_whitney(first: list[float], second: list[float]) -> float:
    """The standard score of the first sample's ranks; equal times share theirs."""
    both = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    sum_of_ranks, ties, index = 0.0, 0, 0
    while index < len(both):
        end = index
        while end < len(both) and both[end][0] == both[index][0]:
            end += 1
        rank = (index + 1 + end) / 2
        sum_of_ranks += rank * sum(which == 0 for _, which in both[index:end])
        ties += (end - index) ** 3 - (end - index)
        index = end
    m, n = len(first), len(second)
    total = m + n
    variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)))
    return (sum_of_ranks - m * (total + 1) / 2) / variance**0.5 if variance else 0.0


def compare(times: dict[str, list[float]]) -> list[Row]:
    """Each kind beside the baseline."""
    baseline = times[BASELINE]
    middle = statistics.median(baseline)
    rows = []
    for kind, taken in times.items():
        median = statistics.median(taken)
        rows.append(Row(kind, median, median - middle, mann_whitney(taken, baseline) if kind != BASELINE else 0.0))
    return rows


def show(rows: list[Row], rounds: int, bits: int) -> None:
    """The table, for people."""
    print(f"RSA key transport, {bits} bits, {rounds} handshakes of each kind; medians")
    print(f"{'ciphertext':<30} {'µs':>9} {'difference':>11} {'z':>7}")
    for row in rows:
        mark = "  <- differs" if abs(row.z) > REMARKABLE else ""
        print(f"{row.kind:<30} {row.median * 1e6:>9.1f} {row.difference * 1e6:>+11.1f} {row.z:>+7.1f}{mark}")


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="handshakes of each kind (default: %(default)s)")
    parser.add_argument("--bits", type=int, default=2048, help="the size of the server's key (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    options = parser.parse_args()
    rows = compare(measure(Key(options.bits), options.rounds))
    show(rows, options.rounds, options.bits)
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
