"""A TLS client on asyncio's streams: asks for / and prints what comes.

python examples/asyncio_client.py HOST PORT [ROOTS.pem]      without ROOTS.pem the system's are trusted
"""

import asyncio
import sys
from pathlib import Path

import sanstls
from sanstls_io.asyncio import open_connection


async def main(host: str, port: str, roots: str | None = None) -> None:
    config = None
    if roots is not None:
        store = sanstls.TrustStore.from_pem(Path(roots).read_bytes())
        config = sanstls.ClientConfig(verify=sanstls.PrivatePKI(store))
    async with asyncio.timeout(30):
        reader, writer = await open_connection(host, int(port), config)
        try:
            info = writer.get_extra_info("sanstls_info")
            print(f"# {info.version.text}, {info.cipher_suite.name}", file=sys.stderr)
            writer.write(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            while data := await reader.read(65536):
                sys.stdout.buffer.write(data)
        finally:
            writer.close()


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
