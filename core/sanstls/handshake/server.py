"""The server's beginning, before the version is known (RFC 9846 4.2.1, 4.3.1)."""

from sanstls.config import ConfigurationRequest
from sanstls.events import ClientHelloReceived
from sanstls.handshake.established import Established
from sanstls.handshake.negotiation import choose_version, offered_protocols, requested_server_name
from sanstls.handshake.server12 import server_handshake12
from sanstls.handshake.server13 import server_handshake13
from sanstls.handshake.vocabulary import Flow, ServerHandshake
from sanstls.wire.messages import ClientHello
from sanstls.wire.registries import ProtocolVersion

__all__ = ["server_handshake"]


def server_handshake(hs: ServerHandshake) -> Flow[Established]:
    """The highest version in common says which handshake it is."""
    hello = yield from hs.expect(ClientHello)
    hs.client_random = hello.random
    hs.server_name = requested_server_name(hello)
    hs.notify(ClientHelloReceived(hello, hs.server_name, offered_protocols(hello)))
    own_config = hs.config
    request = ConfigurationRequest(hello, hs.server_name, offered_protocols(hello))
    hs.config = yield from hs.ask(request, lambda: own_config)
    version = choose_version(hs.config, hello)
    flow = server_handshake13 if version is ProtocolVersion.TLS13 else server_handshake12
    return (yield from flow(hs, hello))
