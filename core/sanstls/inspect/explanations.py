"""One sentence for each thing that a ladder shows, with its section in RFC 9846. Text and nothing else."""

from sanstls.wire.registries import AlertDescription

__all__ = ["MESSAGES", "RETRIED_HELLO", "explain_alert"]

MESSAGES = {
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

RETRIED_HELLO = "The same again, with what the HelloRetryRequest asked for (RFC 9846 4.2.2)"


def explain_alert(description: AlertDescription | None) -> str:
    """What an alert means for the connection."""
    if description == AlertDescription.close_notify:
        return "The sender sends no more; the other side still may (RFC 9846 6.1)"
    if description == AlertDescription.user_canceled:
        return "The sender gives up the handshake without an error; close_notify follows (RFC 9846 6.1)"
    return "An error: the connection is over (RFC 9846 6.2)"
