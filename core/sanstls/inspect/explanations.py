"""One sentence for each thing that a ladder shows, with its section. Text and nothing else."""

from sanstls.wire.registries import AlertDescription

__all__ = [
    "FORWARD_SECRECY",
    "MESSAGES12",
    "MESSAGES13",
    "NO_FORWARD_SECRECY",
    "RETRIED_HELLO",
    "explain_alert",
    "section_of_secret",
]

MESSAGES13 = {
    "ClientHello": "Opens the handshake: all that the client can do, and its key shares (RFC 9846 4.2.2)",
    "HelloRetryRequest": "No key share fits: the server asks for another ClientHello (RFC 9846 4.2.4)",
    "ServerHello": "The server's choice; with its key share both sides have the shared secret (RFC 9846 4.2.3)",
    "EncryptedExtensions": "What is settled beyond the keys, now that it can be encrypted (RFC 9846 4.4.1)",
    "CertificateRequest": "The server wants a certificate from the client (RFC 9846 4.4.2)",
    "Certificate": "Who the sender says it is, leaf first (RFC 9846 4.5.1)",
    "CompressedCertificate": "A Certificate, compressed (RFC 8879 4)",
    "CertificateVerify": "Proves the private key: a signature over everything so far (RFC 9846 4.5.2)",
    "Finished": "A MAC over everything so far: nobody has changed the handshake (RFC 9846 4.5.3)",
    "EndOfEarlyData": "No more 0-RTT data; handshake keys follow (RFC 9846 4.6)",
    "NewSessionTicket": "Lets the client resume later without a certificate (RFC 9846 4.7.1)",
    "KeyUpdate": "From here on the sender uses the next application keys (RFC 9846 4.7.3)",
    "ChangeCipherSpec": "A dummy that makes this look like TLS 1.2 to middleboxes; no keys change (RFC 9846 E.4)",
    "ApplicationData": "What all of this is for; its content is not shown (RFC 9846 5)",
}

MESSAGES12 = {
    "HelloRequest": "The server would like to handshake again; that is refused here (RFC 5246 7.4.1.1)",
    "ClientHello": "Opens the handshake: all that the client can do (RFC 5246 7.4.1.2)",
    "ServerHello": "The server's choice of all that (RFC 5246 7.4.1.3)",
    "Certificate": "Who the sender says it is, leaf first; anybody can read it (RFC 5246 7.4.2)",
    "CertificateStatus": "What the authority says of the certificate today, stapled to it (RFC 6066 8)",
    "ServerKeyExchange": "The server's part of the agreement, signed together with both randoms (RFC 8422 5.4)",
    "CertificateRequest": "The server wants a certificate from the client (RFC 5246 7.4.4)",
    "ServerHelloDone": "It is the client's turn (RFC 5246 7.4.5)",
    "ClientKeyExchange": "With this both sides have the premaster secret (RFC 5246 7.4.7)",
    "CertificateVerify": "Proves the private key: a signature over everything so far (RFC 5246 7.4.8)",
    "ChangeCipherSpec": "From here on the sender uses the session keys (RFC 5246 7.1)",
    "NewSessionTicket": "Lets the client resume later without a certificate (RFC 5077 3.3)",
    "Finished": "A MAC over everything so far: same keys, and nobody has changed the handshake (RFC 5246 7.4.9)",
    "ApplicationData": "What all of this is for; its content is not shown (RFC 5246 10)",
}

RETRIED_HELLO = "The same again, with what the HelloRetryRequest asked for (RFC 9846 4.2.2)"

NO_FORWARD_SECRECY = (
    "no forward secrecy: whoever records this connection and gets the server's private key one day "
    "can decrypt the premaster secret, and read it all (RFC 5246 F.1.1.2)"
)
FORWARD_SECRECY = (
    "forward secrecy: the keys that were agreed on are forgotten; a recording of this connection "
    "can't be read even with the certificate's private key"
)

_SECTIONS = {
    "premaster_secret": "RFC 5246 8.1",
    "master_secret": "RFC 5246 8.1",
    "key_block": "RFC 5246 6.3",
}


def section_of_secret(name: str) -> str:
    """Where it is told how a secret is made."""
    return _SECTIONS.get(name, "RFC 9846 7.1")


def explain_alert(description: AlertDescription | None) -> str:
    """What an alert means for the connection."""
    if description == AlertDescription.close_notify:
        return "The sender sends no more; the other side still may (RFC 9846 6.1)"
    if description == AlertDescription.user_canceled:
        return "The sender gives up the handshake without an error; close_notify follows (RFC 9846 6.1)"
    if description == AlertDescription.no_renegotiation:
        return "A warning: there is no second handshake on one connection here (RFC 5246 7.2.2)"
    return "An error: the connection is over (RFC 9846 6.2)"
