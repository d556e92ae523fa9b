"""The client's beginning, before the version is known: one ClientHello for all of them (RFC 9846 4.2.2, 4.3.1)."""

from sanstls.handshake.client12 import client_handshake12
from sanstls.handshake.client13 import client_handshake13
from sanstls.handshake.early_data import begin_early_data
from sanstls.handshake.established import Established
from sanstls.handshake.negotiation import build_client_hello, check_selected_version
from sanstls.handshake.resumption import offered_session
from sanstls.handshake.vocabulary import ClientHandshake, Flow
from sanstls.misbehaviour import PeerMisbehaviour
from sanstls.wire.messages import ServerHello
from sanstls.wire.registries import ProtocolVersion

__all__ = ["client_handshake"]


def client_handshake(hs: ClientHandshake) -> Flow[Established]:
    """The server's first answer says which handshake it is."""
    hs.session = offered_session(hs)
    hello = hs.send(build_client_hello(hs))
    hs.client_random = hello.random
    begin_early_data(hs, hello)
    server_hello = yield from hs.expect(ServerHello)
    version = check_selected_version(hs.config, server_hello)
    if version is not ProtocolVersion.TLS13 and hs.early_data is not None:
        raise PeerMisbehaviour.EARLY_DATA_DOWNGRADED()
    flow = client_handshake13 if version is ProtocolVersion.TLS13 else client_handshake12
    return (yield from flow(hs, hello, server_hello))
