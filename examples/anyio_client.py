"""A TLS client on anyio, run by asyncio or by trio: asks for / and prints what comes.

python examples/anyio_client.py HOST PORT [ROOTS.pem [asyncio|trio]]      without ROOTS.pem the system's are trusted
"""

import sys
from pathlib import Path

import anyio

import sanstls
from sanstls_io.anyio import connect_tcp


async def main(host: str, port: str, roots: str | None = None) -> None:
    config = None
    if roots is not None:
        store = sanstls.TrustStore.from_pem(Path(roots).read_bytes())
        config = sanstls.ClientConfig(verify=sanstls.PrivatePKI(store))
    with anyio.fail_after(30):
        async with await connect_tcp(host, int(port), config) as tls:
            print(f"# {tls.info.version.text}, {tls.info.cipher_suite.name}", file=sys.stderr)
            await tls.send(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            async for data in tls:
                sys.stdout.buffer.write(data)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    anyio.run(main, *sys.argv[1:4], backend=(sys.argv[4:] or ["asyncio"])[0])
