"""What was negotiated, in the words of Python's ``ssl`` module, for those who know them from there."""

from sanstls import ConnectionInfo

__all__ = ["cipher_of", "version_of"]


def version_of(info: ConnectionInfo) -> str:
    """What ``SSLSocket.version()`` gives: ``TLSv1.3`` or ``TLSv1.2``."""
    return info.version.text.replace(" ", "v")


def cipher_of(info: ConnectionInfo) -> tuple[str, str, int]:
    """What ``SSLSocket.cipher()`` gives: name (IANA's, in TLS 1.2 too), version and length of the key in bits."""
    name = info.cipher_suite.name
    return name, version_of(info), 128 if "AES_128" in name else 256
