"""The names that certificates are checked against (RFC 9525): DNS names and IP addresses."""

import ipaddress

from sanstls.errors import LocalError

__all__ = ["ServerName", "matches", "parse_server_name"]

ServerName = str | ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_NAME, _MAX_LABEL = 253, 63
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def parse_server_name(name: str) -> ServerName:
    """An IP address, or a DNS name in lower case without trailing dot.

    Raises ``LocalError`` for everything else, with what to do about it.
    """
    if not isinstance(name, str):
        raise LocalError(f"server_name must be a str, not {type(name).__name__}")
    if not name.isascii():
        raise LocalError(f"server_name {name!r} is not ASCII: convert it first, for example with the idna package")
    if ":" in name or name[-1:].isdigit():  # the others can't be addresses, and most are names
        try:
            address = ipaddress.ip_address(name)
            # A zone (fe80::1%eth0) means something on this host only: certificates have none (RFC 4007 11.2).
            return ipaddress.IPv6Address(address.packed) if "%" in name else address
        except ValueError:
            pass
    if ":" in name or "[" in name or "/" in name:
        raise LocalError(f"server_name {name!r} must be a bare host name or IP address: no port, brackets, scheme")
    lowered = name.lower().removesuffix(".")
    labels = lowered.split(".")
    if not lowered or len(lowered) > _MAX_NAME or any(not 0 < len(label) <= _MAX_LABEL for label in labels):
        raise LocalError(f"server_name {name!r} is no DNS name: 1 to 63 characters between dots, 253 at most in all")
    if not all(_ALLOWED.issuperset(label) for label in labels):
        raise LocalError(f"server_name {name!r} has characters that no DNS name has")
    if any(label[0] == "-" or label[-1] == "-" for label in labels):
        raise LocalError(f"server_name {name!r} has a label that begins or ends with a hyphen, as no DNS name does")
    if labels[-1].isdigit():
        raise LocalError(f"server_name {name!r} is neither a DNS name nor an IP address")
    return lowered


def matches(pattern: str, name: str) -> bool:
    """Whether a certificate's DNS name covers ``name``; a wildcard is a whole leftmost label (RFC 9525 6.3)."""
    pattern, name = pattern.lower(), name.lower()
    if pattern == name:
        return True
    if not pattern.startswith("*."):
        return False
    _, _, rest = name.partition(".")
    return bool(rest) and "." in rest and rest == pattern[2:]
