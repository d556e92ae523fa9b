"""For every test of the bindings: it can't hang, and leaves no thread behind."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from bindings.sides import web_pki

_AT_MOST = 30  # seconds


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    """Stop a test that hangs, whatever it waits for, and see that its threads are over."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"this test still runs after {_AT_MOST} s")

    before = set(threading.enumerate())
    has_alarm = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    if has_alarm:
        previous = signal.signal(signal.SIGALRM, stop)
        signal.alarm(_AT_MOST)
    try:
        yield
    finally:
        if has_alarm:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
    deadline = time.monotonic() + 5
    for thread in _made_since(before):
        thread.join(max(deadline - time.monotonic(), 0))
    assert _made_since(before) == []


def _made_since(before: set[threading.Thread]) -> list[threading.Thread]:
    # Trio keeps threads that have nothing to do, for the next time.
    found = [thread for thread in threading.enumerate() if thread not in before]
    return [thread for thread in found if not thread.name.startswith("Trio thread ")]


@pytest.fixture
def web_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that trusts the root of ``web_pki``."""
    path = tmp_path / "root.pem"
    path.write_bytes(web_pki().root)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
