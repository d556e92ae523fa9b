"""A client with trio: ``python examples/trio_client.py HOST PORT ROOTS.pem`` fetches a page and prints it."""

import sys
from pathlib import Path

import trio

import sanstls
from sanstls_io.trio import open_tls_stream


async def main(*arguments: str) -> None:
    """Send a request, and print what comes until the server has closed."""
    host, port, roots = arguments
    store = sanstls.TrustStore.from_pem(Path(roots).read_bytes())
    config = sanstls.ClientConfig(verify=sanstls.PrivatePKI(store), alpn=("http/1.1",))
    async with await open_tls_stream(host, int(port), config) as tls:
        await tls.send_all(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        async for data in tls:
            print(data.decode(errors="replace"), end="")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:4])
