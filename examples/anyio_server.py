"""A TLS server on anyio, run by asyncio or by trio: sends back what it gets, many clients at once.

python examples/anyio_server.py PORT CHAIN.pem KEY.pem [asyncio|trio]
"""

import sys
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute

import sanstls
from sanstls_io.anyio import TLSListener, TLSStream


async def echo(tls: TLSStream) -> None:
    try:
        async with tls:
            async for data in tls:
                await tls.send(data)
    except (sanstls.TLSError, anyio.BrokenResourceError) as error:  # an end of one client is none of the server
        print(error, file=sys.stderr)


async def main(port: str, chain: str, key: str) -> None:
    credential = sanstls.Credential.from_pem(Path(chain).read_bytes(), Path(key).read_bytes())
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=int(port))
    async with TLSListener(listener, sanstls.ServerConfig(credentials=(credential,))) as server:
        print(f"listening on 127.0.0.1:{server.extra(SocketAttribute.local_port)}", flush=True)
        await server.serve(echo)


if __name__ == "__main__":
    if not 4 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    anyio.run(main, *sys.argv[1:4], backend=(sys.argv[4:] or ["asyncio"])[0])
