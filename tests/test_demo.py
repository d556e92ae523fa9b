"""The demo, run as `make demo` runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OTHERS = ("1. In memory", "3. Python's ssl as client", "4. In memory, with a HelloRetryRequest")


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
    assert lines[-1].startswith("All 4 handshakes completed")
    for start in (*OTHERS, "2. Our client and openssl s_server"):
        assert any(line.startswith(start) for line in lines), start
    assert sum("HANDSHAKE COMPLETE" in line for line in lines) == 3  # the fourth is shown up to the ServerHello
    assert sum("verified for demo.example" in line for line in lines) == 2
    assert sum("Alert: close_notify" in line for line in lines) == 6
    assert any("HelloRetryRequest ·" in line for line in lines)
    assert all(len(line) <= 120 for line in lines)


def test_without_openssl_it_says_what_to_install(tmp_path: Path) -> None:
    run = run_demo(str(tmp_path))
    assert run.returncode == 1
    assert "apt-get install openssl" in run.stdout
    assert run.stderr == ""
    for start in OTHERS:
        assert f"\n{start}" in f"\n{run.stdout}"
    assert "FAILED" not in run.stdout
