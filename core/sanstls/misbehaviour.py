"""What a peer can do wrong: one member each, with the alert it gets and the section that says so.

``raise PeerMisbehaviour.WRONG_FINISHED("…what was seen…")`` is how a violation is
reported, in one line where it is found.
"""

from enum import Enum

from sanstls.errors import TLSError
from sanstls.wire.registries import AlertDescription as Alert

__all__ = ["PeerError", "PeerMisbehaviour"]


class PeerError(TLSError):
    """The peer broke a rule of the protocol.

    ``kind`` tells which, ``alert`` is what the peer was told, ``section`` the rule
    in the RFC, ``detail`` what was seen, ``message`` the handshake message in which
    it was (empty if in none).
    """

    def __init__(self, kind: "PeerMisbehaviour", detail: str = "", message: str = "") -> None:
        self.kind = kind
        self.alert = kind.alert
        self.section = kind.section
        self.detail = detail
        self.message = message
        super().__init__(kind, detail, message)

    def __str__(self) -> str:
        where = f"in {self.message}: " if self.message else ""
        what = f"{self.kind.sentence} ({self.detail})" if self.detail else self.kind.sentence
        return f"{where}{what} [{self.section}; alert {self.alert.name if self.alert is not None else 'none'}]"


class PeerMisbehaviour(Enum):
    """Every kind of :class:`PeerError`. Calling a member makes the error."""

    # Records (RFC 9846 5)
    UNKNOWN_RECORD_TYPE = (Alert.unexpected_message, "RFC 9846 5", "a record of an undefined type")
    PLAIN_HTTP = (Alert.unexpected_message, "RFC 9846 5", "this is plain HTTP, not TLS")
    NOT_TLS = (Alert.unexpected_message, "RFC 9846 5", "what came first is no TLS record")
    RECORD_OVERFLOW = (Alert.record_overflow, "RFC 9846 5.1", "a record longer than allowed")
    BAD_RECORD_MAC = (Alert.bad_record_mac, "RFC 9846 5.2", "a protected record that can't be deprotected")
    NO_CONTENT_TYPE = (Alert.unexpected_message, "RFC 9846 5.4", "a protected record of nothing but zeros")
    UNPROTECTED_RECORD = (Alert.unexpected_message, "RFC 9846 5", "an unprotected record where keys are in use")
    PREMATURE_APPLICATION_DATA = (
        Alert.unexpected_message,
        "RFC 9846 2",
        "application data before the handshake allows it",
    )
    BAD_CHANGE_CIPHER_SPEC = (
        Alert.unexpected_message,
        "RFC 9846 5",
        "a change_cipher_spec that is wrong or not allowed here",
    )
    EMPTY_RECORD = (Alert.unexpected_message, "RFC 9846 5.4", "a record without content where only data may be empty")
    INTERLEAVED_RECORD = (
        Alert.unexpected_message,
        "RFC 9846 5.1",
        "another record in the middle of a handshake message",
    )
    MESSAGE_ACROSS_KEY_CHANGE = (Alert.unexpected_message, "RFC 9846 5.1", "handshake bytes that span a key change")
    TOO_MANY_EMPTY_RECORDS = (Alert.unexpected_message, "RFC 9846 5.1", "too many records in a row that carry nothing")
    MESSAGE_TOO_LONG = (Alert.illegal_parameter, "RFC 9846 4", "a handshake message longer than accepted")
    TOO_MUCH_WHILE_WAITING = (
        Alert.internal_error,
        "RFC 9846 6.2",
        "more bytes than are kept while a decision is waited for",
    )

    # Alerts (RFC 9846 6)
    MALFORMED_ALERT = (Alert.decode_error, "RFC 9846 6", "an alert that is not two bytes long")
    TOO_MANY_WARNINGS = (Alert.unexpected_message, "RFC 9846 6", "too many warning alerts")

    # Messages (RFC 9846 4)
    UNEXPECTED_MESSAGE = (Alert.unexpected_message, "RFC 9846 4", "a message that must not come now")
    MALFORMED_MESSAGE = (Alert.decode_error, "RFC 9846 6.2", "a message that does not follow its syntax")
    DUPLICATE_EXTENSION = (Alert.illegal_parameter, "RFC 9846 4.3", "an extension twice in one message")
    MISPLACED_EXTENSION = (Alert.illegal_parameter, "RFC 9846 4.3", "an extension in a message where it must not be")
    UNSOLICITED_EXTENSION = (Alert.unsupported_extension, "RFC 9846 4.3", "an extension that was not asked for")
    MISSING_EXTENSION = (Alert.missing_extension, "RFC 9846 9.2", "a mandatory extension is missing")

    # Versions (RFC 9846 4.2.2, 4.3.1, D)
    OBSOLETE_VERSION = (Alert.protocol_version, "RFC 8996 4", "a version of SSL/TLS that is obsolete and not spoken")
    NO_COMMON_VERSION = (Alert.protocol_version, "RFC 9846 4.3.1", "no protocol version in common")
    WRONG_LEGACY_VERSION = (
        Alert.protocol_version,
        "RFC 9846 4.2.2",
        "a TLS 1.3 hello whose legacy_version is not TLS 1.2",
    )
    UNOFFERED_VERSION = (Alert.illegal_parameter, "RFC 9846 4.3.1", "the server chose a version that was not offered")
    DOWNGRADE_SENTINEL = (
        Alert.illegal_parameter,
        "RFC 9846 4.2.3",
        "the server's random says that the version was tampered with",
    )

    # Hellos (RFC 9846 4.2)
    COMPRESSION_OFFERED = (Alert.illegal_parameter, "RFC 9846 4.2.2", "compression methods other than null")
    SESSION_ID_NOT_ECHOED = (Alert.illegal_parameter, "RFC 9846 4.2.3", "the legacy_session_id was not echoed")
    COMPRESSION_CHOSEN = (Alert.illegal_parameter, "RFC 9846 4.2.3", "a compression method was chosen")
    UNOFFERED_CIPHER_SUITE = (
        Alert.illegal_parameter,
        "RFC 9846 4.2.3",
        "the server chose a cipher suite that was not offered",
    )
    NO_COMMON_CIPHER_SUITE = (Alert.handshake_failure, "RFC 9846 4.2.1", "no cipher suite in common")
    NO_COMMON_GROUP = (Alert.handshake_failure, "RFC 9846 4.2.1", "no key exchange group in common")
    UNOFFERED_GROUP = (Alert.illegal_parameter, "RFC 9846 4.3.8", "a key share for a group that was not offered")
    DUPLICATE_KEY_SHARE = (Alert.illegal_parameter, "RFC 9846 4.3.8", "two key shares for one group")
    BAD_KEY_SHARE = (Alert.illegal_parameter, "RFC 9846 4.3.8", "a key share that is not valid in its group")
    PSK_NOT_LAST = (Alert.illegal_parameter, "RFC 9846 4.3.11", "pre_shared_key is not the last extension")
    PSK_WITHOUT_MODES = (Alert.missing_extension, "RFC 9846 4.3.9", "pre_shared_key without psk_key_exchange_modes")
    BINDERS_DO_NOT_MATCH = (Alert.illegal_parameter, "RFC 9846 4.3.11", "as many binders as identities are needed")
    WRONG_BINDER = (Alert.decrypt_error, "RFC 9846 4.3.11", "the binder of a pre-shared key is not right")
    UNOFFERED_PSK = (
        Alert.illegal_parameter,
        "RFC 9846 4.3.11",
        "the server chose a pre-shared key that was not offered",
    )
    PSK_OF_ANOTHER_HASH = (
        Alert.illegal_parameter,
        "RFC 9846 4.3.11",
        "the server's cipher suite and pre-shared key have different hashes",
    )
    EARLY_DATA_OTHERWISE = (
        Alert.illegal_parameter,
        "RFC 9846 4.3.10",
        "early data was accepted under other parameters than the session's",
    )
    EARLY_DATA_DOWNGRADED = (Alert.protocol_version, "RFC 9846 D.3", "TLS 1.2 was chosen although early data was sent")
    TOO_MUCH_EARLY_DATA = (Alert.unexpected_message, "RFC 9846 4.3.10", "more early data than the ticket allows")
    NO_NULL_COMPRESSION = (Alert.illegal_parameter, "RFC 5246 7.4.1.2", "a ClientHello without null compression")
    INAPPROPRIATE_FALLBACK = (
        Alert.inappropriate_fallback,
        "RFC 7507 3",
        "the client has fallen back to a lower version without need",
    )
    BAD_SERVER_NAME = (Alert.illegal_parameter, "RFC 6066 3", "a server_name that is no single host name")

    # HelloRetryRequest (RFC 9846 4.2.4)
    USELESS_RETRY = (Alert.illegal_parameter, "RFC 9846 4.2.4", "a HelloRetryRequest that changes nothing")
    SECOND_RETRY = (Alert.unexpected_message, "RFC 9846 4.2.4", "a second HelloRetryRequest")
    RETRY_FOR_UNOFFERED_GROUP = (Alert.illegal_parameter, "RFC 9846 4.3.8", "a retry for a group that was not offered")
    RETRY_FOR_SENT_SHARE = (Alert.illegal_parameter, "RFC 9846 4.3.8", "a retry for a group whose share was sent")
    CHANGED_AFTER_RETRY = (
        Alert.illegal_parameter,
        "RFC 9846 4.2.4",
        "the ServerHello does not fit the HelloRetryRequest",
    )
    RETRIED_HELLO_CHANGED = (
        Alert.illegal_parameter,
        "RFC 9846 4.2.2",
        "the second ClientHello differs where it must not",
    )
    RETRY_NOT_HEEDED = (Alert.illegal_parameter, "RFC 9846 4.3.8", "the second ClientHello lacks the share asked for")

    # TLS 1.2 (RFC 5246)
    NO_RENEGOTIATION_INFO = (
        Alert.handshake_failure,
        "RFC 5746 4.1",
        "the server does not know secure renegotiation",
    )
    BAD_RENEGOTIATION_INFO = (
        Alert.handshake_failure,
        "RFC 5746 3.4, 3.6",
        "a renegotiation_info that is not empty in the first handshake",
    )
    NO_EXTENDED_MASTER_SECRET = (Alert.handshake_failure, "RFC 7627 5.2", "the peer has no extended master secret")
    NO_UNCOMPRESSED_POINTS = (
        Alert.illegal_parameter,
        "RFC 8422 5.1.2",
        "ec_point_formats without the uncompressed format",
    )
    KEY_DOES_NOT_FIT_SUITE = (
        Alert.illegal_parameter,
        "RFC 5246 7.4.2",
        "the certificate's key is not of the kind that the cipher suite names",
    )
    UNOFFERED_SESSION = (
        Alert.illegal_parameter,
        "RFC 5246 7.4.1.3",
        "the server resumes a session that was not offered",
    )
    RESUMED_OTHERWISE = (Alert.illegal_parameter, "RFC 5246 7.4.1.3", "a resumed session with other parameters")

    # Certificate compression (RFC 8879), record_size_limit (RFC 8449)
    UNOFFERED_COMPRESSION = (Alert.illegal_parameter, "RFC 8879 4", "a certificate compressed as it was not offered")
    BAD_COMPRESSION = (Alert.bad_certificate, "RFC 8879 4", "a certificate that can't be decompressed as announced")
    BAD_RECORD_SIZE_LIMIT = (Alert.illegal_parameter, "RFC 8449 4", "a record_size_limit that can't be")

    # ALPN (RFC 7301)
    NO_COMMON_PROTOCOL = (Alert.no_application_protocol, "RFC 7301 3.2", "no application protocol in common")
    BAD_PROTOCOL_CHOICE = (Alert.illegal_parameter, "RFC 7301 3.1", "the server's ALPN answer is not one of the offers")

    # Authentication (RFC 9846 4.5)
    NO_SUITABLE_CREDENTIAL = (
        Alert.handshake_failure,
        "RFC 9846 4.5.1.2",
        "no certificate here fits the client's signature algorithms",
    )
    NO_CERTIFICATE = (Alert.decode_error, "RFC 9846 4.5.1.3", "a server without a certificate")
    NONEMPTY_CONTEXT = (
        Alert.illegal_parameter,
        "RFC 9846 4.5.1",
        "a certificate_request_context that does not belong here",
    )
    CHAIN_TOO_LONG = (Alert.bad_certificate, "RFC 9846 4.5.1", "a certificate chain longer than accepted")
    UNOFFERED_SIGNATURE_SCHEME = (Alert.illegal_parameter, "RFC 9846 4.5.2", "a signature scheme that was not offered")
    SCHEME_DOES_NOT_FIT_KEY = (
        Alert.illegal_parameter,
        "RFC 9846 4.5.2",
        "a signature scheme that does not fit the certificate's key",
    )
    WRONG_SIGNATURE = (Alert.decrypt_error, "RFC 9846 4.5.2", "a CertificateVerify that is not right")
    WRONG_FINISHED = (Alert.decrypt_error, "RFC 9846 4.5.3", "a Finished that is not right")

    # After the handshake (RFC 9846 4.7)
    BAD_KEY_UPDATE = (Alert.illegal_parameter, "RFC 9846 4.7.3", "a KeyUpdate that asks for something undefined")
    TOO_MANY_KEY_UPDATES = (Alert.unexpected_message, "RFC 9846 4.7.3", "too many KeyUpdates without data between them")

    def __init__(self, alert: Alert, section: str, sentence: str) -> None:
        self.alert = alert
        self.section = section
        self.sentence = sentence

    def __call__(self, detail: str = "", *, message: str = "") -> PeerError:
        """The error of this kind."""
        return PeerError(self, detail, message)
