"""httpx with TLS of ours, HTTP/2 where the server can: prints a page, and how it came.

python examples/httpx_client.py URL [ROOTS.pem]      without ROOTS.pem the system's are trusted
"""

import sys
from pathlib import Path

import httpx

import sanstls
from sanstls_io.httpcore import tls_error, transport


def main(url: str, roots: str | None = None) -> None:
    config = None
    if roots is not None:
        store = sanstls.TrustStore.from_pem(Path(roots).read_bytes())
        config = sanstls.ClientConfig(verify=sanstls.PrivatePKI(store))
    with httpx.Client(transport=transport(config, http2=True), timeout=30) as client:
        try:
            response = client.get(url)
        except httpx.TransportError as error:
            sys.exit(f"{type(error).__name__}: {tls_error(error) or error}")
    print(f"# {response.http_version} {response.status_code}", file=sys.stderr)
    sys.stdout.write(response.text)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
