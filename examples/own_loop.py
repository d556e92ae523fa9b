"""A TLS client and a TLS server in a loop of one's own: `selectors`, non-blocking sockets, and `sanstls`.

    python examples/own_loop.py client HOST PORT --ca FILE [--name NAME] [--request TEXT]
    python examples/own_loop.py server PORT --chain FILE --key FILE

The first sends an HTTP request (or TEXT) and prints what comes; the second answers each HTTP request with a greeting.
All that such a loop needs is in `Peer`: it reads while the connection `wants_data`, writes while there are bytes
`pending`, and ends when neither is so. Left out are limits, of time and of the number of connections.
"""

import argparse
import selectors
import socket
import sys
from pathlib import Path

import sanstls

Connection = sanstls.ClientConnection | sanstls.ServerConnection
BODY = b"Hello from a loop of my own\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(BODY), BODY)


class Peer:
    """One connection in the loop. A client's has a ``request`` to send, a server's answers the one that comes."""

    def __init__(self, selector: selectors.BaseSelector, sock: socket.socket, conn: Connection, request: bytes) -> None:
        self.selector, self.sock, self.conn, self.request = selector, sock, conn, request
        self.unsent = bytearray()  # what the connection has given and the socket has not taken yet
        self.received = b""
        sock.setblocking(False)
        selector.register(sock, self.interest(), self.ready)

    def interest(self) -> int:
        has_output = bool(self.unsent) or self.conn.pending > 0
        return selectors.EVENT_READ * self.conn.wants_data | selectors.EVENT_WRITE * has_output

    def ready(self, mask: int) -> None:
        events: list[sanstls.Event] = []
        try:
            if mask & selectors.EVENT_READ:
                data = self.sock.recv(65536)
                events = self.conn.receive_data(data) if data else self.conn.receive_eof()
            if mask & selectors.EVENT_WRITE:
                self.unsent += self.conn.data_to_send()
                del self.unsent[: self.sock.send(self.unsent)]
        except BlockingIOError:  # it was not ready after all
            pass
        except OSError as error:  # nothing can be sent any more, not even an alert
            print(error, file=sys.stderr)
            self.unsent.clear()
            events += self.conn.receive_eof()
        for event in events:
            self.handle(event)
        if interest := self.interest():  # a connection that has failed still wants its alert sent
            self.selector.modify(self.sock, interest, self.ready)
        else:
            self.selector.unregister(self.sock)
            self.sock.close()

    def handle(self, event: sanstls.Event) -> None:
        # The events of one read come together: when one is handled, a later one may have ended the connection already.
        may_send = self.conn.can_send
        match event:
            case sanstls.HandshakeComplete() if self.request and may_send:
                self.conn.send_data(self.request)
            case sanstls.DataReceived(data=data) if self.request:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            case sanstls.DataReceived(data=data):
                self.received = self.received[-3:] + data
                if b"\r\n\r\n" in self.received and may_send:  # the end of a header; what may follow is ignored
                    self.conn.send_data(RESPONSE)
                    self.conn.close()
            case sanstls.CloseNotifyReceived():
                self.conn.close()
            case sanstls.ConnectionFailed(error=error):
                print(f"{type(error).__name__}: {error}", file=sys.stderr)


def run(selector: selectors.BaseSelector) -> None:
    while selector.get_map():
        for key, mask in selector.select():
            key.data(mask)


def client(options: argparse.Namespace) -> int:
    config = sanstls.ClientConfig(verify=sanstls.PrivatePKI(sanstls.TrustStore.from_pem(options.ca.read_bytes())))
    name = options.name or options.host
    request = options.request or f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n"
    conn = sanstls.ClientConnection(config, name)
    with selectors.DefaultSelector() as selector:
        Peer(selector, socket.create_connection((options.host, options.port)), conn, request.encode())
        run(selector)
    return 0 if conn.state is sanstls.ConnectionState.CLOSED else 1


def server(options: argparse.Namespace) -> int:
    credential = sanstls.Credential.from_pem(options.chain.read_bytes(), options.key.read_bytes())
    config = sanstls.ServerConfig(credentials=(credential,))

    def accept(_: int) -> None:
        try:
            Peer(selector, listener.accept()[0], sanstls.ServerConnection(config), b"")
        except OSError as error:  # the peer has gone already, or too many are here
            print(error, file=sys.stderr)

    with selectors.DefaultSelector() as selector, socket.create_server(("127.0.0.1", options.port)) as listener:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, accept)
        print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
        run(selector)
    return 0


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role", required=True)
    ours = roles.add_parser("client")
    ours.add_argument("host", metavar="HOST")
    ours.add_argument("port", metavar="PORT", type=int)
    ours.add_argument("--ca", metavar="FILE", type=Path, required=True, help="the roots to trust, PEM")
    ours.add_argument("--name", help="what the server has to prove that it is; HOST by default")
    ours.add_argument("--request", metavar="TEXT", help="what to send; GET / by default")
    ours = roles.add_parser("server")
    ours.add_argument("port", metavar="PORT", type=int, help="0 is any that is free")
    ours.add_argument("--chain", metavar="FILE", type=Path, required=True, help="the certificates, leaf first, PEM")
    ours.add_argument("--key", metavar="FILE", type=Path, required=True, help="the leaf's private key, PEM")
    options = parser.parse_args()
    try:
        return client(options) if options.role == "client" else server(options)
    except (OSError, sanstls.TLSError) as error:  # nobody there, a file that can't be read, ...
        return str(error)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
