"""Key exchange groups: elliptic curves (RFC 9846 4.3.8.2) and the hybrids with ML-KEM (draft-ietf-tls-ecdhe-mlkem).

Every group has the same shape, that of a KEM: the client makes a
:class:`KeyShare`, the server answers its public part with :func:`respond`, the
client completes with :meth:`KeyShare.complete`. Private keys come from the
``random`` that is handed in, so that a connection can be replayed; only ML-KEM's
encapsulation draws its own randomness inside ``cryptography``.
"""

from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sanstls.wire.registries import NamedGroup

__all__ = ["GROUPS", "GROUPS12", "BadKeyShare", "KeyShare", "Random", "generate", "respond"]

Random = Callable[[int], bytes]


class BadKeyShare(ValueError):
    """A peer's share that is no valid public key or ciphertext of its group: illegal_parameter."""


class _Exchange(Protocol):
    """A Diffie-Hellman private key of one of the curves."""

    public: bytes

    def agree(self, peer: bytes) -> bytes: ...


class _X25519:
    __slots__ = ("_key", "public")
    length = 32

    def __init__(self, random: Random) -> None:
        self._key = x25519.X25519PrivateKey.from_private_bytes(random(32))
        self.public = self._key.public_key().public_bytes_raw()

    def agree(self, peer: bytes) -> bytes:
        # The all-zero result of a point of small order raises ValueError (RFC 9846 7.4.2).
        return self._key.exchange(x25519.X25519PublicKey.from_public_bytes(peer))


class _X448:
    __slots__ = ("_key", "public")
    length = 56

    def __init__(self, random: Random) -> None:
        self._key = x448.X448PrivateKey.from_private_bytes(random(56))
        self.public = self._key.public_key().public_bytes_raw()

    def agree(self, peer: bytes) -> bytes:
        return self._key.exchange(x448.X448PublicKey.from_public_bytes(peer))


class _NistCurve:
    __slots__ = ("_key", "public")
    curve: ec.EllipticCurve
    order: int
    length: int

    def __init__(self, random: Random) -> None:
        size = (self.order.bit_length() + 7) // 8
        surplus = 8 * size - self.order.bit_length()
        while True:  # a scalar is drawn again until it lies in [1, n-1], so that none is likelier than another
            scalar = int.from_bytes(random(size), "big") >> surplus
            if 0 < scalar < self.order:
                break
        self._key = ec.derive_private_key(scalar, self.curve)
        self.public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def agree(self, peer: bytes) -> bytes:
        if peer[:1] != b"\x04":  # RFC 9846 4.3.8.2: uncompressed points only
            raise ValueError("the point is not in uncompressed form")
        return self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(self.curve, peer))


class _P256(_NistCurve):
    __slots__ = ()
    curve = ec.SECP256R1()
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    length = 65


class _P384(_NistCurve):
    __slots__ = ()
    curve = ec.SECP384R1()
    order = int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16)
    length = 97


class _P521(_NistCurve):
    __slots__ = ()
    curve = ec.SECP521R1()
    order = (1 << 521) - int("5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7", 16)
    length = 133


class _MLKEM768:
    private = mlkem.MLKEM768PrivateKey
    public = mlkem.MLKEM768PublicKey
    key_length = 1184
    ciphertext_length = 1088


class _MLKEM1024:
    private = mlkem.MLKEM1024PrivateKey
    public = mlkem.MLKEM1024PublicKey
    key_length = 1568
    ciphertext_length = 1568


_CURVES: dict[NamedGroup, type[_X25519 | _X448 | _NistCurve]] = {
    NamedGroup.x25519: _X25519,
    NamedGroup.secp256r1: _P256,
    NamedGroup.secp384r1: _P384,
    NamedGroup.secp521r1: _P521,
    NamedGroup.x448: _X448,
}

# Curve, KEM, and whether ML-KEM's part comes first: it does in X25519MLKEM768 only, in the shares and in the secret.
_HYBRIDS: dict[NamedGroup, tuple[NamedGroup, type[_MLKEM768 | _MLKEM1024], bool]] = {
    NamedGroup.X25519MLKEM768: (NamedGroup.x25519, _MLKEM768, True),
    NamedGroup.SecP256r1MLKEM768: (NamedGroup.secp256r1, _MLKEM768, False),
    NamedGroup.SecP384r1MLKEM1024: (NamedGroup.secp384r1, _MLKEM1024, False),
}


def is_post_quantum(group: NamedGroup) -> bool:
    """Whether a quantum computer could not find the secret from the shares, as far as is known."""
    return group in _HYBRIDS


GROUPS: frozenset[NamedGroup] = frozenset(_CURVES) | frozenset(_HYBRIDS)
"""The groups that can be used."""

GROUPS12: frozenset[NamedGroup] = frozenset(_CURVES)
"""Those that can be used in TLS 1.2, whose ECPoint has no room for a hybrid share."""


class KeyShare(Protocol):
    """A client's share: ``public`` goes to the server, whose answer goes to :meth:`complete`."""

    group: NamedGroup
    public: bytes

    def complete(self, share: bytes) -> bytes:
        """The shared secret. Raises :class:`BadKeyShare`."""
        ...


class _CurveShare:
    __slots__ = ("_exchange", "_length", "group", "public")

    def __init__(self, group: NamedGroup, random: Random) -> None:
        curve = _CURVES[group]
        exchange = curve(random)
        self.group = group
        self._exchange: _Exchange = exchange
        self._length = curve.length
        self.public = exchange.public

    def complete(self, share: bytes) -> bytes:
        if len(share) != self._length:
            raise BadKeyShare(f"a share of {self.group} has {self._length} bytes, not {len(share)}")
        try:
            return self._exchange.agree(share)
        except ValueError as error:
            raise BadKeyShare(f"the share is no valid point of {self.group}") from error


class _HybridShare:
    __slots__ = ("_curve", "_kem", "_private", "group", "public")

    def __init__(self, group: NamedGroup, random: Random) -> None:
        curve, self._kem, kem_first = _HYBRIDS[group]
        self.group = group
        self._private = self._kem.private.from_seed_bytes(random(64))
        self._curve = _CurveShare(curve, random)
        kem_public = self._private.public_key().public_bytes_raw()
        self.public = kem_public + self._curve.public if kem_first else self._curve.public + kem_public

    def complete(self, share: bytes) -> bytes:
        ciphertext, point = _split(self.group, share, self._kem.ciphertext_length)
        curve_secret = self._curve.complete(point)
        kem_secret = self._private.decapsulate(ciphertext)
        return kem_secret + curve_secret if _HYBRIDS[self.group][2] else curve_secret + kem_secret


def _split(group: NamedGroup, share: bytes, kem_length: int) -> tuple[bytes, bytes]:
    """A hybrid share's ML-KEM part and its curve part."""
    curve, _, kem_first = _HYBRIDS[group]
    expected = kem_length + _CURVES[curve].length
    if len(share) != expected:
        raise BadKeyShare(f"a share of {group} has {expected} bytes here, not {len(share)}")
    if kem_first:
        return share[:kem_length], share[kem_length:]
    return share[-kem_length:], share[:-kem_length]


def generate(group: NamedGroup, random: Random) -> KeyShare:
    """A fresh client share of ``group``."""
    return _HybridShare(group, random) if group in _HYBRIDS else _CurveShare(group, random)


def respond(group: NamedGroup, client_share: bytes, random: Random) -> tuple[bytes, bytes]:
    """The server's share in answer to a client's, and the shared secret. Raises :class:`BadKeyShare`."""
    if group not in _HYBRIDS:
        own = _CurveShare(group, random)
        return own.public, own.complete(client_share)
    curve, kem, kem_first = _HYBRIDS[group]
    encapsulation_key, point = _split(group, client_share, kem.key_length)
    own = _CurveShare(curve, random)
    curve_secret = own.complete(point)
    try:
        kem_secret, ciphertext = kem.public.from_public_bytes(encapsulation_key).encapsulate()
    except ValueError as error:  # FIPS 203 7.2: the modulus check
        raise BadKeyShare(f"the encapsulation key of the {group} share is not valid") from error
    if kem_first:
        return ciphertext + own.public, kem_secret + curve_secret
    return own.public + ciphertext, curve_secret + kem_secret
