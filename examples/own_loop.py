"""A TLS client and a TLS server in a bare loop of one's own: `selectors`, sockets and `sanstls`, nothing else.

python examples/own_loop.py client HOST PORT ROOTS.pem            GET / and print what comes
python examples/own_loop.py server PORT CHAIN.pem KEY.pem         answer every request, many clients at once
"""

import selectors
import socket
import sys
from pathlib import Path

import sanstls

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nConnection: close\r\n\r\nHello from my loop\n"


class Peer:
    """One connection. The loop asks what it waits for, and hands it the socket when that is there."""

    def __init__(self, sock: socket.socket, connection: sanstls.ClientConnection | sanstls.ServerConnection) -> None:
        self.sock, self.connection = sock, connection
        self.unsent = self.received = b""
        sock.setblocking(False)

    def interest(self) -> int:
        if self.unsent or self.connection.pending:
            return selectors.EVENT_WRITE  # nothing is read meanwhile: a peer that takes nothing gets nothing done
        return selectors.EVENT_READ if self.connection.wants_data else 0

    def ready(self, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            data = self.sock.recv(65536)
            for event in self.connection.receive_data(data) if data else self.connection.receive_eof():
                self.handle(event)
        self.unsent += self.connection.data_to_send()
        self.unsent = self.unsent[self.sock.send(self.unsent) :] if self.unsent else b""

    def handle(self, event: sanstls.Event) -> None:
        match event:
            case sanstls.HandshakeComplete(info=info) if isinstance(self.connection, sanstls.ClientConnection):
                self.connection.send_data(f"GET / HTTP/1.0\r\nHost: {info.server_name}\r\n\r\n".encode())
            case sanstls.DataReceived(data=data) if isinstance(self.connection, sanstls.ClientConnection):
                sys.stdout.buffer.write(data)
            case sanstls.DataReceived(data=data) if len(self.received) < 65536:
                self.received += data
                if b"\r\n\r\n" in self.received and self.connection.state is sanstls.ConnectionState.OPEN:
                    self.connection.send_data(RESPONSE)
                    self.connection.close()
            case sanstls.CloseNotifyReceived():
                self.connection.close()
            case sanstls.ConnectionFailed(error=error):
                print(error, file=sys.stderr)


def loop(selector: selectors.BaseSelector, config: sanstls.ServerConfig | None = None) -> None:
    while selector.get_map():
        for key, mask in selector.select():
            peer: Peer | None = key.data
            if peer is None and isinstance(key.fileobj, socket.socket) and config is not None:  # a listener
                peer = Peer(key.fileobj.accept()[0], sanstls.ServerConnection(config))
                selector.register(peer.sock, selectors.EVENT_READ, peer)
                continue
            assert peer is not None
            try:
                peer.ready(mask)
                interest = peer.interest()
            except BlockingIOError:  # it was ready for nothing
                continue
            except OSError as error:
                print(error, file=sys.stderr)
                interest = 0
            if interest:
                selector.modify(peer.sock, interest, peer)
            else:
                selector.unregister(peer.sock)
                peer.sock.close()


def main(arguments: list[str]) -> int:
    with selectors.DefaultSelector() as selector:
        match arguments:
            case ["client", host, port, roots]:
                store = sanstls.TrustStore.from_pem(Path(roots).read_bytes())
                client = sanstls.ClientConnection(sanstls.ClientConfig(verify=sanstls.PrivatePKI(store)), host)
                peer = Peer(socket.create_connection((host, int(port))), client)
                selector.register(peer.sock, peer.interest(), peer)
                loop(selector)
                return 0 if client.state is sanstls.ConnectionState.CLOSED else 1
            case ["server", port, chain, key]:
                credential = sanstls.Credential.from_pem(Path(chain).read_bytes(), Path(key).read_bytes())
                with socket.create_server(("127.0.0.1", int(port))) as listener:
                    selector.register(listener, selectors.EVENT_READ)
                    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
                    loop(selector, sanstls.ServerConfig(credentials=(credential,)))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
