"""A client with plain sockets: ``python examples/blocking_client.py HOST PORT ROOTS.pem`` prints a page."""

import sys
from pathlib import Path

import sanstls
from sanstls_io import blocking


def main(host: str, port: str, roots: str) -> None:
    """Send a request, and print what comes until the server has closed."""
    store = sanstls.TrustStore.from_pem(Path(roots).read_bytes())
    config = sanstls.ClientConfig(verify=sanstls.PrivatePKI(store), alpn=("http/1.1",))
    with blocking.connect(host, int(port), config, timeout=10) as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while data := tls.recv(65536):
            print(data.decode(errors="replace"), end="")


if __name__ == "__main__":
    main(*sys.argv[1:4])
