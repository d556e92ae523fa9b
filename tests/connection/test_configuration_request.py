"""The configuration that a server is given when it knows what the client wants: of a tenant, for example."""

from typing import Any

import pytest

from connection12.peers import TLS12, TLS13, credential12, verifier
from memory import client_config, server_config, shuttle, the_failure
from sanstls import (
    AlertDescription,
    CertificateError,
    ClientConnection,
    ClientHelloReceived,
    ConfigurationRequest,
    ConnectionState,
    DataReceived,
    LocalError,
    PeerMisbehaviour,
    ServerConfig,
    ServerConnection,
    SignatureRequest,
)
from sanstls.crypto.signatures import sign

each_version = pytest.mark.parametrize("version", [TLS13, TLS12], ids=lambda version: version.text)
TENANTS = ("one.example", "two.example")


def tenant(name: str, **settings: Any) -> ServerConfig:
    return server_config(name, **({"credentials": (credential12(name=name),), "alpn": ("h2",)} | settings))


def asked(name: str, **settings: Any) -> tuple[ClientConnection, ServerConnection, Any]:
    client = ClientConnection(client_config(1, verify=verifier(), alpn=("h2", "x"), **settings), name)
    front = server_config(2, defer=frozenset({ConfigurationRequest}))
    server = ServerConnection(front)
    events = server.receive_data(client.data_to_send())
    assert [type(event) for event in events] == [ClientHelloReceived, ConfigurationRequest]
    assert server.state is ConnectionState.WAITING
    return client, server, events[-1]


@each_version
@pytest.mark.parametrize("name", TENANTS)
def test_each_client_gets_its_tenants_certificate(name: str, version: Any) -> None:
    client, server, request = asked(name, versions=(version,))
    assert (request.server_name, request.alpn) == (name, ("h2", "x"))
    assert request.hello.legacy_version is TLS12
    server.answer(request, tenant(name))
    shuttle(client, server)
    assert client.info.peer_chain == server.info.credential.chain == credential12(name=name).chain  # type: ignore[union-attr]
    assert client.info.alpn == "h2"


@each_version
def test_what_came_meanwhile_is_kept(version: Any) -> None:
    """However long it takes, and whatever the answer then asks itself."""
    client, server, request = asked(TENANTS[0], versions=(version,))
    assert server.receive_data(b"") == []
    config = tenant(TENANTS[0], defer=frozenset({SignatureRequest}))
    events = server.answer(request, config)
    signing = events[-1]
    assert isinstance(signing, SignatureRequest)
    key = config.credentials[0].key
    assert key is not None
    server.answer(signing, sign(signing.scheme, key, signing.message))
    shuttle(client, server)
    client.send_data(b"through")
    assert server.receive_data(client.data_to_send()) == [DataReceived(b"through")]


def test_a_client_that_is_not_wanted() -> None:
    client, server, request = asked(TENANTS[0])
    error = CertificateError("no such tenant", alert=AlertDescription.unrecognized_name)
    assert the_failure(server.reject(request, error)) is error
    assert the_failure(client.receive_data(server.data_to_send())).description is AlertDescription.unrecognized_name


def test_an_answer_that_is_none() -> None:
    client, server, request = asked(TENANTS[0])
    for wrong in (None, client_config(), "tenant"):
        with pytest.raises(LocalError, match="with a ServerConfig"):
            server.answer(request, wrong)
    assert server.state is ConnectionState.WAITING
    server.answer(request, tenant(TENANTS[0]))
    with pytest.raises(LocalError, match="does not wait"):
        server.answer(request, tenant(TENANTS[0]))
    shuttle(client, server)
    assert server.state is ConnectionState.OPEN


def test_a_configuration_that_does_not_suit_the_client() -> None:
    _, server, request = asked(TENANTS[0], versions=(TLS13,))
    error = the_failure(server.answer(request, tenant(TENANTS[0], versions=(TLS12,))))
    assert error.kind is PeerMisbehaviour.NO_COMMON_VERSION
