"""The demo, run as `make demo` runs it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WITH_OPENSSL = ("2. The classic handshake with openssl s_server", "4. The modern handshake with openssl s_server")
OTHERS = (
    "1. The classic handshake, in memory",
    "3. The modern handshake, in memory",
    "5. The modern handshake with Python's ssl",
    "6. The modern handshake with a HelloRetryRequest",
    "7. The modern handshake resumed, with early data",
)
CLASSIC_STEPS = (
    "ClientHello",
    "ServerHello",
    "Verification of the certificate",
    "The premaster secret, encrypted to the server's public key",
    "Session keys, from both randoms and the premaster secret",
    "The client's Finished",
    "The server's Finished",
    "Secure communication",
)


def run_demo(path: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "core"), str(ROOT / "bindings")]),
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run(
        [sys.executable, "-m", "sanstls_io.demo"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_all_handshakes_complete() -> None:
    run = run_demo(os.environ["PATH"])
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert lines[-1].startswith("All 7 handshakes completed")
    for start in (*OTHERS, *WITH_OPENSSL):
        assert any(line.startswith(start) for line in lines), start
    assert sum("HANDSHAKE COMPLETE" in line for line in lines) == 6  # the sixth is shown up to the ServerHello
    assert sum("verified for demo.example" in line for line in lines) == 4
    assert sum("Alert: close_notify" in line for line in lines) == 12
    assert any("HelloRetryRequest ·" in line for line in lines)
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_the_classic_handshake_is_told_in_eight_steps() -> None:
    parts = re.split(r"^\d\. ", run_demo(os.environ["PATH"]).stdout, flags=re.MULTILINE)[1:]
    for part in parts[:2]:
        steps = re.findall(r"├┄┄ (\d)\. (.+?) ┄", part)
        assert [int(number) for number, _ in steps] == list(range(1, 9))
        for (_, title), start in zip(steps, CLASSIC_STEPS, strict=True):
            assert title.startswith(start)
        assert part.count("client random ") == part.count("server random ") == 1
        text = " ".join(part.replace("│", " ").split())
        for told in (
            "TLS_RSA_WITH_AES_128_GCM_SHA256",
            "verified for demo.example, up to the trust anchor CN=sanstls demo root, valid until",
            "derived: premaster_secret · made by the client, encrypted to the server's public key",
            "no forward secrecy",
        ):
            assert told in text
        assert len(re.findall(r"fingerprint ([0-9a-f]{16})", text)) == 3  # premaster, master, session keys
    # Both sides of the one in memory, by themselves.
    pairs = re.findall(r"^  (\w+) +([0-9a-f]{16}) = ([0-9a-f]{16})$", parts[0], re.MULTILINE)
    assert [name for name, _, _ in pairs] == ["premaster_secret", "master_secret", "key_block"]
    assert all(one == other for _, one, other in pairs)
    assert "ApplicationData · 29 bytes · early data keys" in parts[6]
    assert "the server takes the early data" in parts[6]
    for part in parts[2:5]:
        assert "forward secrecy:" in part
        assert "no forward secrecy" not in part


def test_without_openssl_it_says_what_to_install(tmp_path: Path) -> None:
    run = run_demo(str(tmp_path))
    assert run.returncode == 1
    assert "apt-get install openssl" in run.stdout
    assert run.stderr == ""
    for start in OTHERS:
        assert f"\n{start}" in f"\n{run.stdout}"
    assert "FAILED" not in run.stdout
