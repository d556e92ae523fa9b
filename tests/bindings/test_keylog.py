"""The key log: one file for all, for its owner's eyes only, one line at a time."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sanstls_io import keylog
from sanstls_io.keylog import KeyLogFile

ROOT = Path(__file__).resolve().parents[2]
on_posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.log"


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@on_posix
def test_it_is_made_for_its_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        log = KeyLogFile(path)
        assert permissions(path) == 0o600
        log.write("CLIENT_RANDOM a b")
    finally:
        os.umask(before)
    assert permissions(path) == 0o600


@on_posix
def test_one_that_is_there_keeps_its_permissions(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    KeyLogFile(path).write("CLIENT_RANDOM a b")
    assert permissions(path) == 0o640


def test_lines_are_appended(path: Path) -> None:
    path.write_bytes(b"# what was there\n")
    first, second = KeyLogFile(path), KeyLogFile(str(path))
    first.write("LABEL 1 2")
    second.write("LABEL 3 4")
    first.write("LABEL 5 6")
    assert path.read_bytes() == b"# what was there\nLABEL 1 2\nLABEL 3 4\nLABEL 5 6\n"


def test_it_may_be_moved_away(path: Path) -> None:
    log = KeyLogFile(path)
    log.write("LABEL 1 2")
    path.rename(path.with_suffix(".old"))
    log.write("LABEL 3 4")
    assert path.read_bytes() == b"LABEL 3 4\n"
    assert path.with_suffix(".old").read_bytes() == b"LABEL 1 2\n"


def test_it_tells_where_it_is(path: Path) -> None:
    assert repr(KeyLogFile(path)) == f"KeyLogFile({str(path)!r})"


@pytest.mark.parametrize("name", ["folder", "missing/keys.log"])
def test_where_it_cant_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=name):
        KeyLogFile(tmp_path / name)


def test_where_it_can_be_written_no_more(path: Path) -> None:
    log = KeyLogFile(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        log.write("LABEL 1 2")


def test_many_threads(path: Path) -> None:
    everybody_is_here = threading.Barrier(8)

    def write(number: int) -> None:
        log = KeyLogFile(path)
        everybody_is_here.wait(10)
        for count in range(50):
            log.write(f"LABEL {number} " + f"{count:02}" * 50)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    expected = {f"LABEL {number} " + f"{count:02}" * 50 for number in range(8) for count in range(50)}
    lines = path.read_text("ascii").splitlines()
    assert len(lines) == len(expected)
    assert set(lines) == expected
    of_one = [line for line in lines if line.startswith("LABEL 3 ")]
    assert of_one == sorted(of_one)


# The environment ----------------------------------------------------------------------------------------------------


def test_the_environment_names_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    log = keylog.from_environment()
    assert log is not None
    assert log.path == str(path)
    assert path.exists()


@pytest.mark.parametrize("value", [None, ""])
def test_the_environment_names_none(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    if value is not None:
        monkeypatch.setenv("SSLKEYLOGFILE", value)
    assert keylog.from_environment() is None


def test_the_environment_names_what_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path))
    with pytest.raises(OSError, match="directory"):
        keylog.from_environment()


@pytest.mark.parametrize(("flag", "is_heeded"), [("-E", False), ("-s", True)])
def test_a_python_that_ignores_its_environment(path: Path, flag: str, is_heeded: bool) -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'core')!r}, {str(ROOT / 'bindings')!r}]; "
        "from sanstls_io import keylog; print(keylog.from_environment())"
    )
    environment = {**os.environ, "SSLKEYLOGFILE": str(path)}
    done = subprocess.run(
        [sys.executable, flag, "-c", program], env=environment, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.strip() == (repr(KeyLogFile(path)) if is_heeded else "None")
