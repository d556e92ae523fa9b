"""A TLS server on asyncio's streams: sends back what it gets, many clients at once.

python examples/asyncio_server.py PORT CHAIN.pem KEY.pem
"""

import asyncio
import contextlib
import sys
from pathlib import Path

import sanstls
from sanstls_io.asyncio import start_server


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()  # where an error is raised instead, the connection is aborted, and the others go on


def tell(error: Exception, address: object) -> None:
    print(address, error, file=sys.stderr)


async def main(port: str, chain: str, key: str) -> None:
    credential = sanstls.Credential.from_pem(Path(chain).read_bytes(), Path(key).read_bytes())
    config = sanstls.ServerConfig(credentials=(credential,))
    server = await start_server(echo, "127.0.0.1", int(port), config, on_error=tell)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
