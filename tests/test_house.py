"""The rules of the house, held by reading the source: no I/O in the core, small documented modules, clean files."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "core"
BINDINGS = ROOT / "bindings"
DEFAULTS = CORE / "sanstls" / "_defaults.py"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

LINES_AT_MOST = 600

# What import-linter forbids the core, here also inside of functions ...
FORBIDDEN_MODULES = frozenset(
    next(c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["id"] == "no-io")["forbidden_modules"]
)
# ... what only the defaults may import, because time and randomness are injected ...
DEFAULTS_ONLY = frozenset({"os", "random", "secrets", "time"})
# ... and what nobody may call. (Importing by name would go around all of the above.)
FORBIDDEN_CALLS = frozenset({"__import__", "breakpoint", "input", "open", "print"})
CLOCK_READS = re.compile(r"(datetime\.)?(datetime\.(now|utcnow|today)|date\.today)")
DYNAMIC_IMPORT = "importlib"
# In the standard library from 3.14 on, so 3.11 doesn't list it.
LATER_STDLIB = frozenset({"annotationlib"})


def modules_under(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


CORE_MODULES = modules_under(CORE)
ALL_MODULES = CORE_MODULES + modules_under(BINDINGS)

each_core_module = pytest.mark.parametrize("path", CORE_MODULES, ids=name_of)
each_module = pytest.mark.parametrize("path", ALL_MODULES, ids=name_of)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the top-level package of every import, wherever it stands; relative ones stay in the core."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name.partition(".")[0]
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module.partition(".")[0]


def does_io(tree: ast.AST, *, may_use_defaults: bool = False) -> list[str]:
    """What in a module breaks the rule that the core does no I/O, line by line."""
    forbidden = FORBIDDEN_MODULES | {DYNAMIC_IMPORT} | (frozenset() if may_use_defaults else DEFAULTS_ONLY)
    found = [(line, f"imports {module}") for line, module in imported(tree) if module in forbidden]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.removeprefix("builtins.") in FORBIDDEN_CALLS or CLOCK_READS.fullmatch(called):
                found.append((node.lineno, f"calls {called}()"))
    return [f"line {line} {what}" for line, what in sorted(found)]


def test_there_is_a_core() -> None:
    assert CORE_MODULES


@each_core_module
def test_the_core_does_no_io(path: Path) -> None:
    assert does_io(parsed(path), may_use_defaults=path == DEFAULTS) == []


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "import asyncio.events as e",
        "from os import urandom",
        "import time",
        "def f():\n    from pathlib import Path",
        "from logging.handlers import SysLogHandler",
        "import sanstls_io.blocking",
        "import importlib",
        "print('x')",
        "x = [open(name) for name in y]",
        "import builtins\nbuiltins.print()",
        "from datetime import datetime\nx = datetime.now(None)",
        "import datetime\nx = datetime.datetime.now(datetime.UTC)",
    ],
)
def test_the_check_for_io_sees(source: str) -> None:
    assert len(does_io(ast.parse(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from . import select",
        "time = clock()\nx = time.real",
        "self.open(x)",
        "now = state.now()",
        "import os.path\nimport time",
    ],
)
def test_the_check_for_io_allows(source: str) -> None:
    assert does_io(ast.parse(source), may_use_defaults=True) == []


@each_core_module
def test_the_core_depends_on_cryptography_alone(path: Path) -> None:
    allowed = sys.stdlib_module_names | LATER_STDLIB | {"cryptography", "sanstls"}
    assert [(line, module) for line, module in imported(parsed(path)) if module not in allowed] == []


@each_module
def test_each_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), f"{name_of(path)} opens without a docstring"


@each_module
def test_each_module_is_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES_AT_MOST, f"{name_of(path)} has {lines} lines: it may have more than one subject"


@pytest.mark.parametrize("package", PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
def test_each_package_ships_its_types(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def modules_after(*statements: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after these statements."""
    program = "; ".join([*statements, "import sys", "print(*sys.modules)"])
    path = os.pathsep.join(filter(None, [str(CORE), str(BINDINGS), os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_importing_the_core_loads_no_io() -> None:
    # `cryptography` loads some of it by itself (email.utils brings socket): that is not ours to answer for.
    theirs = modules_after(
        "import cryptography.x509, cryptography.x509.ocsp, cryptography.x509.verification",
        "from cryptography.hazmat.primitives import hashes, serialization",
        "from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem, padding, rsa",
        "from cryptography.hazmat.primitives.asymmetric import x448, x25519",
        "from cryptography.hazmat.primitives.ciphers import aead",
        "from cryptography.hazmat.backends.openssl import backend",
    )
    ours = modules_after("import sanstls") - theirs
    assert "sanstls" in ours
    assert sorted(name for name in ours if name.partition(".")[0] in FORBIDDEN_MODULES) == []


def dependencies() -> list[str]:
    project = PYPROJECT["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    wanted: list[str] = [*PYPROJECT["build-system"]["requires"], *project["dependencies"], *extras]
    return [requirement for requirement in wanted if not requirement.startswith("sanstls[")]


@pytest.mark.parametrize("requirement", dependencies())
def test_each_dependency_has_its_reason(requirement: str) -> None:
    parts = re.fullmatch(r"([\w.-]+)(.*)", requirement)
    assert parts
    row = f"| `{parts[1]}` | `{parts[2]}` |"
    assert row in (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")


def files_of_the_project() -> list[Path]:
    """All that git tracks or is about to (so that a slip is seen before it is committed)."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    run = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [path for name in run.stdout.split(b"\0") if name and (path := ROOT / os.fsdecode(name)).is_file()]


def test_no_file_names_somebodys_machine() -> None:
    # Home and work folders, and the folder that this very clone is in.
    somebodys = {"/" + folder + "/" for folder in ("work", "root", "home", "Users")}
    if len(ROOT.parts) > 2:
        somebodys.add(str(ROOT))
    machine_path = re.compile(r"(?<![\w.~})-])(" + "|".join(map(re.escape, sorted(somebodys))) + ")")
    found = []
    for path in files_of_the_project():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if machine_path.search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    assert found == []
