"""An echo server with threads: ``python examples/blocking_server.py PORT CHAIN.pem KEY.pem``; port 0 is any."""

import sys
from pathlib import Path

import sanstls
from sanstls_io import blocking


def echo(tls: blocking.TLSSocket) -> None:
    """Send back what comes, until the client has closed its side."""
    while data := tls.recv(65536):
        tls.sendall(data)


def main(port: str, chain: str, key: str) -> None:
    """Serve until interrupted."""
    credential = sanstls.Credential.from_pem(Path(chain).read_bytes(), Path(key).read_bytes())
    config = sanstls.ServerConfig(credentials=(credential,))
    with blocking.serve("127.0.0.1", int(port), config, echo) as server:
        print(f"listening on port {server.address[1]}", flush=True)
        server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:4])
