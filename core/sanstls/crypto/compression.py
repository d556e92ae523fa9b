"""How certificates are compressed (RFC 8879). zlib is here; brotli and zstd are values of the same kind."""

import zlib
from typing import Final, Protocol

from sanstls.wire.registries import CertificateCompressionAlgorithm

__all__ = ["ZLIB", "CertificateCompressor", "Zlib"]


class CertificateCompressor(Protocol):
    """One algorithm, in both directions. It is shared by connections and threads."""

    algorithm: CertificateCompressionAlgorithm

    def compress(self, data: bytes) -> bytes:
        """``data``, shorter."""
        ...

    def decompress(self, data: bytes, size: int) -> bytes:
        """What has become ``data``: exactly ``size`` bytes, of which more must never be made. Else ``ValueError``."""
        ...


class Zlib:
    """zlib, which every Python has."""

    algorithm = CertificateCompressionAlgorithm.zlib

    def compress(self, data: bytes) -> bytes:
        """See :class:`CertificateCompressor`."""
        return zlib.compress(data, 9)

    def decompress(self, data: bytes, size: int) -> bytes:
        """See :class:`CertificateCompressor`."""
        inflater = zlib.decompressobj()
        try:
            inflated = inflater.decompress(data, size)
            is_whole = len(inflated) == size and not inflater.decompress(inflater.unconsumed_tail, 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not is_whole or not inflater.eof or inflater.unused_data:
            raise ValueError("it does not give just the size that was announced")
        return inflated

    def __repr__(self) -> str:
        return "ZLIB"


ZLIB: Final = Zlib()
