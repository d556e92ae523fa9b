"""An echo server with trio: ``python examples/trio_server.py PORT CHAIN.pem KEY.pem``; port 0 is any that is free."""

import sys
from pathlib import Path

import trio

import sanstls
from sanstls_io.trio import TLSStream, serve_tls


async def echo(tls: TLSStream) -> None:
    """Send back what comes, until the client has closed its side."""
    async for data in tls:
        await tls.send_all(data)


async def main(*arguments: str) -> None:
    """Serve until interrupted."""
    port, chain, key = arguments
    credential = sanstls.Credential.from_pem(Path(chain).read_bytes(), Path(key).read_bytes())
    config = sanstls.ServerConfig(credentials=(credential,))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(lambda **status: serve_tls(echo, int(port), config, host="127.0.0.1", **status))
        print(f"listening on port {listeners[0].transport_listener.socket.getsockname()[1]}", flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:4])
