"""The system's roots: what the environment names stands for all, else the first place that has some."""

import builtins
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from identity import pki
from sanstls import LocalError, TrustStore
from sanstls_io import trust
from sanstls_io._demo_pki import make_pki

FIRST, SECOND = (pki.authority(name) for name in ("First root", "Second root"))


@pytest.fixture(autouse=True)
def _empty_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without any roots, of which nothing was read yet."""
    for variable in (trust.FILE_VARIABLE, trust.FOLDER_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(trust, "_last", None)
    nowhere = SimpleNamespace(openssl_cafile="/nowhere/file.pem", openssl_capath="/nowhere/folder")
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: nowhere)
    monkeypatch.setattr(trust, "BUNDLES", ())
    monkeypatch.setattr(trust, "FOLDERS", ())
    monkeypatch.setitem(sys.modules, "certifi", None)  # an import of it fails


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "roots.pem", FIRST)


def written(path: Path, *issued: pki.Issued, around: bytes = b"") -> Path:
    path.write_bytes(around.join([b"", *(one.pem for one in issued), b""]))
    return path


def subjects(store: TrustStore) -> list[str]:
    return [certificate.subject.rfc4514_string() for certificate in store]


# What the environment names -----------------------------------------------------------------------------------------


def test_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert subjects(trust.system()) == ["CN=First root"]


def test_text_around_certificates_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "roots.pem", FIRST, SECOND, around=b"# \xff\xfe a comment -----BEGIN\r\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert subjects(trust.system()) == ["CN=First root", "CN=Second root"]


def test_lines_may_end_as_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "roots.pem"
    path.write_bytes(FIRST.pem.replace(b"\n", b"\r\n"))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert subjects(trust.system()) == ["CN=First root"]


def test_a_private_key_beside_it_is_none_of_our_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "both.pem"
    path.write_bytes(FIRST.key_pem() + FIRST.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert subjects(trust.system()) == ["CN=First root"]


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    written(one / "b.pem", SECOND)
    written(one / "12345678.0", FIRST)
    (one / "README").write_bytes(b"no certificate")
    (one / "folder").mkdir()
    (one / "dangling").symlink_to(tmp_path / "missing")
    third = pki.authority("Third root")
    written(other / "c.crt", third, SECOND)
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([str(one), "", str(tmp_path / "missing"), str(other)]))
    assert subjects(trust.system()) == ["CN=First root", "CN=Second root", "CN=Third root"]


def test_a_file_and_a_folder(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    written(folder / "x.pem", SECOND)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert subjects(trust.system()) == ["CN=First root", "CN=Second root"]


def test_what_is_named_stands_for_all(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "BUNDLES", (str(written(tmp_path / "system.pem", SECOND)),))
    assert subjects(trust.system()) == ["CN=Second root"]
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert subjects(trust.system()) == ["CN=First root"]
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert subjects(trust.system()) == ["CN=Second root"]


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def garbage(path: Path) -> Path:
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 3 + os.urandom(100))
    return path


def loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("make", [lambda path: path, empty, folder, garbage, loop])
def test_nothing_to_be_found_where_the_environment_says(
    make: Callable[[Path], Path], variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other roots are there, but to take them would be to trust whom the user has excluded.
    monkeypatch.setattr(trust, "BUNDLES", (str(written(tmp_path / "system.pem", SECOND)),))
    path = make(tmp_path / "named")
    monkeypatch.setenv(variable, str(path))
    for _ in range(2):
        with pytest.raises(LocalError, match=f"no readable certificate in .*named.*{variable}"):
            trust.system()


def unreadable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if permissions forbade it, which they can't to root."""

    def refuse(path: Any, *arguments: Any, **named: Any) -> Any:
        if os.path.basename(path) == name:
            raise PermissionError(13, "Permission denied", path)
        return builtins.open(path, *arguments, **named)

    monkeypatch.setattr(trust, "open", refuse, raising=False)


def test_an_unreadable_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    unreadable(monkeypatch, file.name)
    with pytest.raises(LocalError, match="no readable certificate"):
        trust.system()


def test_an_unreadable_file_costs_no_other(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "secret.pem", SECOND)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    unreadable(monkeypatch, "secret.pem")
    assert subjects(trust.system()) == ["CN=First root"]


def test_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(trust.os, "scandir", refuse)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(LocalError, match="no readable certificate"):
        trust.system()


def test_a_broken_certificate_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = FIRST.pem.splitlines()
    broken[3] = b"A" * len(broken[3])
    path = tmp_path / "roots.pem"
    path.write_bytes(b"\n".join(broken) + b"\n" + SECOND.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert "CN=Second root" in subjects(trust.system())


# The system's own ---------------------------------------------------------------------------------------------------


def test_the_first_place_that_has_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second, third = written(tmp_path / "2.pem", SECOND), written(tmp_path / "3.pem", FIRST)
    places = (str(tmp_path / "missing"), str(empty(tmp_path / "1.pem")), str(second), str(third))
    monkeypatch.setattr(trust, "BUNDLES", places)
    assert subjects(trust.system()) == ["CN=Second root"]


def test_what_openssl_was_built_to_use_comes_first(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "BUNDLES", (str(written(tmp_path / "2.pem", SECOND)),))
    built_in = SimpleNamespace(openssl_cafile=str(file), openssl_capath="")
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: built_in)
    assert subjects(trust.system()) == ["CN=First root"]


def test_a_folder_of_the_system(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "FOLDERS", (str(file.parent),))
    assert subjects(trust.system()) == ["CN=First root"]


def test_a_python_without_ssl(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "BUNDLES", (str(file),))
    monkeypatch.setitem(sys.modules, "ssl", None)
    assert subjects(trust.system()) == ["CN=First root"]


def test_no_roots_anywhere() -> None:
    with pytest.raises(LocalError, match=r"ca-certificates.*sanstls\[trust\].*SSL_CERT_FILE"):
        trust.system()


def test_no_roots_and_no_ssl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ssl", None)
    with pytest.raises(LocalError, match="no trusted root"):
        trust.system()


def test_certifi_comes_last(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "certifi", SimpleNamespace(where=lambda: str(file)))
    assert subjects(trust.system()) == ["CN=First root"]
    monkeypatch.setattr(trust, "FOLDERS", (str(written(tmp_path / "2.pem", SECOND)),))
    assert subjects(trust.system()) == ["CN=Second root"]


def test_certifi_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "certifi")
    pytest.importorskip("certifi")
    assert len(trust.system()) > 50


def test_the_store_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    client_only = pki.authority("For clients only")
    listed = [
        (FIRST.der, "x509_asn", True),
        (SECOND.der, "x509_asn", {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}),
        (client_only.der, "x509_asn", {"1.3.6.1.5.5.7.3.2"}),
        (b"PKCS#7", "pkcs_7_asn", True),
        (b"garbage", "x509_asn", True),
    ]
    asked: list[str] = []

    def enum_certificates(name: str) -> Any:
        asked.append(name)
        return listed

    monkeypatch.setattr("ssl.enum_certificates", enum_certificates, raising=False)
    store = trust.system()
    assert subjects(store) == ["CN=First root", "CN=Second root"]
    assert trust.system() is store
    assert set(asked) == {"ROOT"}


@pytest.fixture
def _real_system(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This very machine."""
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as fresh:
        for variable in (trust.FILE_VARIABLE, trust.FOLDER_VARIABLE):
            fresh.delenv(variable, raising=False)
        fresh.setattr(trust, "_last", None)
        yield


@pytest.mark.usefixtures("_real_system")
def test_this_system() -> None:
    if not any(os.path.exists(path) for path in trust.BUNDLES):
        pytest.skip("this system has no bundle of roots")
    assert len(trust.system()) > 50


# Parsed once --------------------------------------------------------------------------------------------------------


def test_the_same_store_is_given_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    store = trust.system()
    assert trust.system() is store
    unreadable(monkeypatch, file.name)
    assert trust.system() is store


def test_a_file_that_has_changed_is_read_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    store = trust.system()
    written(file, FIRST, SECOND)
    longer = trust.system()
    assert subjects(longer) == ["CN=First root", "CN=Second root"]
    assert subjects(store) == ["CN=First root"]
    assert trust.system() is longer


def test_another_file_of_the_same_size_and_time_is_read_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    other = file.with_name("other.pem")
    for path, root in ((file, FIRST), (other, SECOND)):
        path.write_bytes(root.pem.ljust(4096))
        os.utime(path, ns=(0, 10**18))
    assert subjects(trust.system()) == ["CN=First root"]
    other.replace(file)
    assert subjects(trust.system()) == ["CN=Second root"]


def test_a_file_that_was_touched_is_read_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    store = trust.system()
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert trust.system() is not store


def test_a_folder_that_has_changed_is_read_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(file.parent))
    assert subjects(trust.system()) == ["CN=First root"]
    before = file.parent.stat().st_mtime_ns
    written(file.with_name("second.pem"), SECOND)
    if file.parent.stat().st_mtime_ns == before:  # the file system's clock is coarse
        os.utime(file.parent, ns=(0, before + 1))
    assert subjects(trust.system()) == ["CN=First root", "CN=Second root"]


def test_a_file_that_has_gone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    trust.system()
    file.unlink()
    with pytest.raises(LocalError, match="no readable certificate"):
        trust.system()
    shutil.copy(written(file.with_name("other.pem"), SECOND), file)
    assert subjects(trust.system()) == ["CN=Second root"]


def test_a_store_that_came_to_nothing_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "roots.pem"
    path.write_bytes(make_pki("localhost").key)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(LocalError):
        trust.system()
    written(path, FIRST)
    assert subjects(trust.system()) == ["CN=First root"]
