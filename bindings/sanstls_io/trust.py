"""The certificates that this system trusts. What is done with them is decided in :mod:`sanstls.identity`."""

import os
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from sanstls import LocalError, TrustStore

__all__ = ["system"]

FILE_VARIABLE, FOLDER_VARIABLE = "SSL_CERT_FILE", "SSL_CERT_DIR"

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo, NixOS
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older Fedora and RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS, OpenBSD, FreeBSD
    "/usr/local/share/certs/ca-root-nss.crt",  # older FreeBSD
    "/etc/openssl/certs/ca-certificates.crt",  # NetBSD
    "/opt/homebrew/etc/ca-certificates/cert.pem",  # Homebrew
    "/usr/local/etc/ca-certificates/cert.pem",
)
FOLDERS = (
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/system/etc/security/cacerts",  # Android
)
"""Where systems keep their roots. A bundle is one file; of a folder every file is read."""

_PEM_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"

# The last store with what it was made from.
_last: tuple[object, TrustStore] | None = None
_lock = threading.Lock()


def system() -> TrustStore:
    """The system's trust store, for example for ``WebPKI(trust.system())``.

    ``SSL_CERT_FILE`` (a PEM file) and ``SSL_CERT_DIR`` (folders of PEM files, separated
    as in ``PATH``) stand for the whole store, where at least one is set. Otherwise it
    is what OpenSSL was built to use, or is found where systems keep it, or Windows'
    own store, or at last the ``certifi`` package. The first of them that has a
    certificate is taken; certificates that can't be read are passed over.

    Parsing takes some milliseconds and is done once: the same store is given again until
    the variables, or the file or folder itself, have changed. Raises ``LocalError`` if
    a variable leads to no certificate, or there is none anywhere.
    """
    named = _named_by_environment()
    if named:
        return _from_paths(named) or _fail_by_environment(named)
    for path in _known_paths():
        store = _from_paths([path])
        if store is not None:
            return store
    return _from_windows() or _from_certifi() or _fail()


def _named_by_environment() -> list[str]:
    file = os.environ.get(FILE_VARIABLE)
    folders = os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep)
    return [path for path in (file, *folders) if path]


def _fail_by_environment(named: list[str]) -> TrustStore:
    # To fall back to other roots would be to trust whom the user has excluded.
    raise LocalError(
        f"there is no readable certificate in {', '.join(named)}: "
        f"correct {FILE_VARIABLE} and {FOLDER_VARIABLE}, or unset them to use the system's own"
    )


def _fail() -> TrustStore:
    raise LocalError(
        "this system has no trusted root certificates that could be found: install its package of them "
        f"(ca-certificates), or pip install 'sanstls[trust]', or name a PEM file by {FILE_VARIABLE}"
    )


def _known_paths() -> Iterator[str]:
    try:
        from ssl import get_default_verify_paths
    except ImportError:  # a Python without it can have TLS all the same
        yield from (*BUNDLES, *FOLDERS)
        return
    built_in = get_default_verify_paths()
    yield from (built_in.openssl_cafile, *BUNDLES, built_in.openssl_capath, *FOLDERS)


def _from_paths(paths: Iterable[str]) -> TrustStore | None:
    """The certificates of these files and folders, or ``None`` if there are none."""
    stamps = []
    for path in paths:
        try:
            state = os.stat(path)
        except OSError:
            continue
        stamps.append((path, state.st_ino, state.st_size, state.st_mtime_ns))
    return _make(
        tuple(stamps), (block for path, *_ in stamps for file in _files_in(path) for block in _blocks_in(file))
    )


def _files_in(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    try:
        with os.scandir(path) as entries:
            return sorted(entry.path for entry in entries if entry.is_file())
    except OSError:
        return []


def _blocks_in(file: str) -> list[bytes]:
    try:
        with open(file, "rb") as stream:
            return _PEM_CERTIFICATE.findall(stream.read())
    except OSError:
        return []


def _from_windows() -> TrustStore | None:
    try:
        import ssl
    except ImportError:
        return None
    enum_certificates: Any = getattr(ssl, "enum_certificates", None)
    if enum_certificates is None:
        return None
    # Not load_default_certs(): it adds the store of intermediates, which nobody has to believe.
    roots = [
        der
        for der, encoding, trust in enum_certificates("ROOT")
        if encoding == "x509_asn" and (trust is True or _SERVER_AUTH in trust)
    ]
    return _make(tuple(roots), roots)


def _from_certifi() -> TrustStore | None:
    try:
        import certifi
    except ImportError:
        return None
    return _from_paths([certifi.where()])


def _make(source: object, encoded: Iterable[bytes]) -> TrustStore | None:
    """The store of these PEM or DER certificates, or the one that was made of the same source before."""
    global _last
    with _lock:
        if _last is not None and _last[0] == source:
            return _last[1]
        with warnings.catch_warnings():
            # About old roots (a serial number of zero and the like), where there is nothing that the caller could do.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            certificates = list(_parse(encoded))
        if not certificates:
            return None
        store = TrustStore.from_certificates(certificates)
        _last = (source, store)
        return store


def _parse(encoded: Iterable[bytes]) -> Iterator[x509.Certificate]:
    for block in encoded:
        load = x509.load_pem_x509_certificate if block.startswith(b"-----") else x509.load_der_x509_certificate
        try:
            certificate = load(block)
            certificate.subject.public_bytes()  # read lazily, and needed by the store
        except Exception:  # noqa: S112 - the parser has errors of many types, and one bad root must not cost the others
            continue
        yield certificate
