"""Key exchange groups: both ways, repeatable, and nothing but BadKeyShare for whatever a peer sends."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from sanstls.crypto.groups import GROUPS, GROUPS12, BadKeyShare, generate, respond
from sanstls.wire.registries import NamedGroup as G

each_group = pytest.mark.parametrize("group", sorted(GROUPS), ids=str)
slowly = settings(max_examples=max(settings.default.max_examples // 5, 20))

# RFC 9846 4.3.8.2 and 7.4, and sections 4.1 to 4.3 of draft-ietf-tls-ecdhe-mlkem, in bytes.
SIZES = {
    G.x25519: (32, 32, 32),
    G.x448: (56, 56, 56),
    G.secp256r1: (65, 65, 32),
    G.secp384r1: (97, 97, 48),
    G.secp521r1: (133, 133, 66),
    G.X25519MLKEM768: (1216, 1120, 64),
    G.SecP256r1MLKEM768: (1249, 1153, 64),
    G.SecP384r1MLKEM1024: (1665, 1665, 80),
}
CURVES: dict[G, ec.EllipticCurve] = {
    G.secp256r1: ec.SECP256R1(),
    G.secp384r1: ec.SECP384R1(),
    G.secp521r1: ec.SECP521R1(),
}
MONTGOMERY: dict[G, Any] = {G.x25519: x25519.X25519PrivateKey, G.x448: x448.X448PrivateKey}
MONTGOMERY_PUBLIC: dict[G, Any] = {G.x25519: x25519.X25519PublicKey, G.x448: x448.X448PublicKey}
# The curve, the KEM, the length of its ciphertext, and whether the KEM's part comes first.
HYBRIDS: dict[G, tuple[G, Any, int, bool]] = {
    G.X25519MLKEM768: (G.x25519, mlkem.MLKEM768PrivateKey, 1088, True),
    G.SecP256r1MLKEM768: (G.secp256r1, mlkem.MLKEM768PrivateKey, 1088, False),
    G.SecP384r1MLKEM1024: (G.secp384r1, mlkem.MLKEM1024PrivateKey, 1568, False),
}
KEM_KEY_SIZES = {G.X25519MLKEM768: 1184, G.SecP256r1MLKEM768: 1184, G.SecP384r1MLKEM1024: 1568}


def repeatable(seed: str = "") -> Callable[[int], bytes]:
    """A source of randomness that gives the same each time."""
    numbers = count()

    def random(size: int) -> bytes:
        return hashlib.shake_256(f"{seed} {next(numbers)}".encode()).digest(size)

    return random


class Curve:
    """Diffie-Hellman on one curve, straight from ``cryptography``."""

    def __init__(self, group: G) -> None:
        self.group = group
        self.key: Any = ec.generate_private_key(CURVES[group]) if group in CURVES else MONTGOMERY[group].generate()
        public = self.key.public_key()
        if group in CURVES:
            self.public: bytes = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        else:
            self.public = public.public_bytes_raw()

    def agree(self, peer: bytes) -> bytes:
        secret: bytes
        if self.group in CURVES:
            secret = self.key.exchange(
                ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVES[self.group], peer)
            )
        else:
            secret = self.key.exchange(MONTGOMERY_PUBLIC[self.group].from_public_bytes(peer))
        return secret


def test_the_groups() -> None:
    assert set(SIZES) == GROUPS
    # RFC 8422 5.4: ECPoint is opaque<1..2^8-1>.
    assert {group for group, (share, answer, _) in SIZES.items() if max(share, answer) <= 255} == GROUPS12


@each_group
def test_both_ways(group: G) -> None:
    share = generate(group, repeatable("client"))
    answer, secret = respond(group, share.public, repeatable("server"))
    assert share.group == group
    assert (len(share.public), len(answer), len(secret)) == SIZES[group]
    assert share.complete(answer) == secret
    assert share.complete(answer) == secret
    other = generate(group, repeatable("another client"))
    assert other.public != share.public
    assert other.complete(answer) != secret


@each_group
def test_shares_come_from_the_random_handed_in(group: G) -> None:
    assert generate(group, repeatable()).public == generate(group, repeatable()).public
    assert generate(group, repeatable()).public != generate(group, repeatable("other")).public
    share = generate(group, repeatable())
    first, second = (respond(group, share.public, repeatable("server")) for _ in range(2))
    if group in HYBRIDS:  # encapsulation draws from elsewhere; the curve's part does not
        curve, _, size, kem_first = HYBRIDS[group]
        assert len(first[0]) == size + SIZES[curve][1]
        part = slice(size, None) if kem_first else slice(0, SIZES[curve][1])
        assert first[0][part] == second[0][part]
    else:
        assert first == second


@pytest.mark.parametrize("group", [*CURVES, *MONTGOMERY], ids=str)
def test_curves_with_another_implementation(group: G) -> None:
    theirs = Curve(group)
    share = generate(group, repeatable())
    assert share.complete(theirs.public) == theirs.agree(share.public)
    answer, secret = respond(group, theirs.public, repeatable())
    assert theirs.agree(answer) == secret


@pytest.mark.parametrize("group", HYBRIDS, ids=str)
def test_the_order_of_a_hybrid_when_we_are_the_client(group: G) -> None:
    curve, kem, _, kem_first = HYBRIDS[group]
    share = generate(group, repeatable())
    theirs = Curve(curve)
    key_size, point_size = KEM_KEY_SIZES[group], SIZES[curve][0]
    if kem_first:
        key, point = share.public[:key_size], share.public[key_size:]
    else:
        point, key = share.public[:point_size], share.public[point_size:]
    kem_public = mlkem.MLKEM768PublicKey if kem is mlkem.MLKEM768PrivateKey else mlkem.MLKEM1024PublicKey
    kem_secret, ciphertext = kem_public.from_public_bytes(key).encapsulate()
    curve_secret = theirs.agree(point)
    if kem_first:
        assert share.complete(ciphertext + theirs.public) == kem_secret + curve_secret
    else:
        assert share.complete(theirs.public + ciphertext) == curve_secret + kem_secret


@pytest.mark.parametrize("group", HYBRIDS, ids=str)
def test_the_order_of_a_hybrid_when_we_are_the_server(group: G) -> None:
    curve, kem, size, kem_first = HYBRIDS[group]
    private, theirs = kem.generate(), Curve(curve)
    key = private.public_key().public_bytes_raw()
    answer, secret = respond(group, key + theirs.public if kem_first else theirs.public + key, repeatable())
    if kem_first:
        assert secret == private.decapsulate(answer[:size]) + theirs.agree(answer[size:])
    else:
        assert secret == theirs.agree(answer[:-size]) + private.decapsulate(answer[-size:])


# Bad shares -------------------------------------------------------------------------------------------------------


def refused(group: G, client_share: bytes | None = None, server_share: bytes | None = None) -> None:
    if client_share is not None:
        with pytest.raises(BadKeyShare):
            respond(group, client_share, repeatable())
    if server_share is not None:
        with pytest.raises(BadKeyShare):
            generate(group, repeatable()).complete(server_share)


@each_group
def test_wrong_lengths(group: G) -> None:
    share = generate(group, repeatable())
    answer, _ = respond(group, share.public, repeatable())
    for change in (
        lambda b: b[:-1],
        lambda b: b[1:],
        lambda b: b + b"\0",
        lambda b: b"\0" + b,
        lambda b: b"",
        lambda b: b * 2,
    ):
        refused(group, change(share.public), change(answer))


def bad_points(group: G) -> Iterator[bytes]:
    """Points that are none, of the right length."""
    good = Curve(group).public
    if group in MONTGOMERY:
        yield bytes(len(good))  # RFC 7748: the result would be all zeros
        yield b"\x01" + bytes(len(good) - 1)
        return
    size = (len(good) - 1) // 2
    yield good[:-1] + bytes([good[-1] ^ 1])  # not on the curve
    yield b"\x04" + bytes(2 * size)
    yield b"\x04" + b"\xff" * 2 * size  # not in the field
    yield bytes(len(good))
    odd = good[-1] & 1
    yield bytes([2 + odd]) + good[1:]  # said to be compressed
    yield bytes([6 + odd]) + good[1:]  # the hybrid form of X9.62: on the curve, and not allowed
    yield b"\x05" + good[1:]


@pytest.mark.parametrize("group", [*CURVES, *MONTGOMERY], ids=str)
def test_points_that_are_none(group: G) -> None:
    for point in bad_points(group):
        refused(group, point, point)


@pytest.mark.parametrize("group", CURVES, ids=str)
def test_compressed_points_and_the_point_at_infinity(group: G) -> None:
    compressed = Curve(group).key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    for point in (compressed, b"\x00"):
        refused(group, point, point)


@pytest.mark.parametrize("group", HYBRIDS, ids=str)
def test_the_curve_part_of_a_hybrid_is_checked(group: G) -> None:
    curve, _, size, kem_first = HYBRIDS[group]
    key_size = KEM_KEY_SIZES[group]
    share = generate(group, repeatable())
    answer, _ = respond(group, share.public, repeatable())
    for point in bad_points(curve):
        if kem_first:
            refused(group, share.public[:key_size] + point, answer[:size] + point)
        else:
            refused(group, point + share.public[-key_size:], point + answer[-size:])


@pytest.mark.parametrize("group", HYBRIDS, ids=str)
@pytest.mark.parametrize("bad", [b"\xff\xff\xff", b"\x01\x0d\x00", b"\xff\x0f\x00"], ids=["all ones", "q", "4095"])
def test_the_modulus_check_of_a_kem_key(group: G, bad: bytes) -> None:
    # FIPS 203 7.2: three bytes hold two coefficients of 12 bits, which must be below q = 3329.
    key_size, kem_first = KEM_KEY_SIZES[group], HYBRIDS[group][3]
    share = generate(group, repeatable()).public
    start = 0 if kem_first else len(share) - key_size
    refused(group, share[:start] + bad + share[start + 3 :])


@pytest.mark.parametrize("group", HYBRIDS, ids=str)
def test_a_changed_ciphertext_gives_another_secret(group: G) -> None:
    # FIPS 203 rejects implicitly: it is the Finished that fails then.
    share = generate(group, repeatable())
    answer, secret = respond(group, share.public, repeatable())
    position = 100 if HYBRIDS[group][3] else len(answer) - 100
    changed = answer[:position] + bytes([answer[position] ^ 1]) + answer[position + 1 :]
    assert share.complete(changed) != secret


@each_group
@given(data=st.data())
@slowly
def test_any_bytes_are_a_share_or_a_bad_share(group: G, data: st.DataObject) -> None:
    client_size, server_size, secret_size = SIZES[group]
    share = generate(group, repeatable())
    raw = hashlib.shake_256(data.draw(st.binary(max_size=8))).digest(max(client_size, server_size))
    prefix = data.draw(st.sampled_from([b"", b"\x04"]))
    with suppress(BadKeyShare):
        assert len(respond(group, (prefix + raw)[:client_size], repeatable())[1]) == secret_size
    with suppress(BadKeyShare):
        assert len(share.complete((prefix + raw)[:server_size])) == secret_size


# Scalars ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", CURVES, ids=str)
def test_scalars_out_of_range_are_drawn_again(group: G) -> None:
    size = (CURVES[group].key_size + 7) // 8
    good = repeatable()(size)[1:]
    draws = iter([bytes(size), b"\xff" * size, b"\x01" + good])
    asked: list[int] = []

    def random(wanted: int) -> bytes:
        asked.append(wanted)
        return next(draws)

    share = generate(group, random)
    assert asked == [size] * 3
    assert share.public == generate(group, lambda _: b"\x01" + good).public


def test_x25519_of_rfc7748() -> None:
    # RFC 7748 6.1
    peer = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    assert generate(G.x25519, lambda _: bob).public == peer
