"""GREASE (RFC 8701): values that mean nothing, so that servers stay able to pass over what they do not know."""

from collections.abc import Callable

from sanstls.wire.extensions import (
    Extension,
    Extensions,
    KeyShareClientHello,
    KeyShareEntry,
    NamedGroupList,
    OfferedPsks,
    ProtocolNameList,
    SignatureSchemeList,
    SupportedVersions,
    UnknownExtension,
)
from sanstls.wire.messages import ClientHello
from sanstls.wire.registries import CipherSuite, ExtensionType, NamedGroup, ProtocolVersion, SignatureScheme

__all__ = ["greased"]


def _value(drawn: int) -> int:
    """RFC 8701 2: 0x0A0A, 0x1A1A, and so on."""
    return (drawn & 0xF0 | 0x0A) * 0x0101


def greased(hello: ClientHello, random: Callable[[int], bytes]) -> ClientHello:
    """RFC 8701 3.1, and the extensions in random order, but for pre_shared_key, which is the last."""
    drawn = random(8)
    first_type = _value(drawn[0])
    last_type = _value(drawn[0] + 0x10)  # another one
    group = NamedGroup(_value(drawn[1]))
    suite = CipherSuite(_value(drawn[2]))
    version = ProtocolVersion(_value(drawn[3]))
    scheme = SignatureScheme(_value(drawn[4]))
    protocol = _value(drawn[5]).to_bytes(2, "big")
    changed: list[Extension] = []
    last: list[Extension] = []
    for extension in hello.extensions:
        match extension:
            case NamedGroupList(named_group_list=groups):
                changed.append(NamedGroupList((group, *groups)))
            case KeyShareClientHello(client_shares=shares):
                changed.append(KeyShareClientHello((KeyShareEntry(group, b"\0"), *shares)))
            case SupportedVersions(versions=versions):
                changed.append(SupportedVersions((version, *versions)))
            case SignatureSchemeList(supported_signature_algorithms=schemes):
                changed.append(SignatureSchemeList((scheme, *schemes)))
            case ProtocolNameList(protocol_name_list=names):
                changed.append(ProtocolNameList((protocol, *names)))
            case OfferedPsks():
                last.append(extension)
            case _:
                changed.append(extension)
    changed = _shuffled(changed, random)
    first = UnknownExtension(ExtensionType(first_type), b"")
    before_last = UnknownExtension(ExtensionType(last_type), b"\0")
    return hello.replace(
        cipher_suites=(suite, *hello.cipher_suites), extensions=Extensions([first, *changed, before_last, *last])
    )


def _shuffled(extensions: list[Extension], random: Callable[[int], bytes]) -> list[Extension]:
    """In an order that the configuration's randomness gives."""
    drawn = random(4 * len(extensions))
    keys = [drawn[4 * index : 4 * index + 4] for index in range(len(extensions))]
    return [extensions[index] for index in sorted(range(len(extensions)), key=lambda index: (keys[index], index))]
