"""The key schedule against the values of RFC 8448, and HKDF against another implementation of it."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from sanstls.schedule.key_schedule13 import (
    KeySchedule,
    _hkdf_expand,
    exporter,
    hkdf_expand_label,
    hkdf_extract,
    next_traffic_secret,
    traffic_key_and_iv,
    verify_data,
)
from vectors import Trace, load_rfc8448

HASHES = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
SIZES = {name: algorithm.digest_size for name, algorithm in HASHES.items()}

each_trace = pytest.mark.parametrize("trace", [load_rfc8448(s) for s in (3, 4, 5, 6, 7)], ids=lambda t: str(t.section))
each_hash = pytest.mark.parametrize("name", HASHES)


def label_info(label: bytes, context: bytes, length: int) -> bytes:
    """HkdfLabel of RFC 9846 7.1, written out once more."""
    full = b"tls13 " + label
    return length.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([len(context)]) + context


# RFC 8448 ---------------------------------------------------------------------------------------------------------


@each_trace
def test_extracts_of_rfc8448(trace: Trace) -> None:
    extracts = [step for step in trace.steps if step.action.startswith("extract secret") and step.values]
    assert extracts
    for step in extracts:
        # hmac takes an absent salt ("0 (all zero octets)") as zeros.
        assert hkdf_extract("sha256", step.values["salt"], step.values["IKM"]) == step.values["secret"], step.action


@each_trace
def test_derivations_of_rfc8448(trace: Trace) -> None:
    seen = 0
    for step in trace.steps:
        if not {"PRK", "info", "expanded"} <= set(step.values):
            continue
        info = step.values["info"]
        length = int.from_bytes(info[:2], "big")
        label_end = 3 + info[2]
        label, context = info[3:label_end].removeprefix(b"tls13 "), info[label_end + 1 :]
        assert len(context) == info[label_end]
        expanded = hkdf_expand_label("sha256", step.values["PRK"], label, context, length)
        assert expanded == step.values["expanded"], step.action
        seen += 1
    assert seen >= 5


@each_trace
def test_finished_of_rfc8448(trace: Trace) -> None:
    steps = [step for step in trace.steps if "finished" in step.values]
    assert steps
    for step in steps:
        # `expanded` is the finished key, so that what remains is one HMAC.
        base_key = step.values["PRK"]
        digest = hashlib.sha256(b"any transcript").digest()
        expected = hmac.digest(step.values["expanded"], digest, "sha256")
        assert verify_data("sha256", base_key, digest) == expected


@each_trace
def test_traffic_keys_of_rfc8448(trace: Trace) -> None:
    steps = [step for step in trace.steps if "key expanded" in step.values]
    assert steps
    for step in steps:
        pair = traffic_key_and_iv("sha256", step.values["PRK"], 16)
        assert pair == (step.values["key expanded"], step.values["iv expanded"]), step.action


@pytest.mark.parametrize("section", [3, 5, 7])
def test_the_ladder_of_rfc8448(section: int) -> None:
    trace = load_rfc8448(section)
    secrets = trace.secrets
    empty = hashlib.sha256().digest()
    schedule = KeySchedule("sha256")
    assert schedule._secret == secrets["early"]
    assert schedule.derive_secret(b"derived", empty) == secrets["derived for handshake"]
    schedule.extract(trace.shared_secret)
    assert schedule._secret == secrets["handshake"]
    assert schedule.derive_secret(b"derived", empty) == secrets["derived for master"]
    schedule.extract()
    assert schedule._secret == secrets["master"]


def test_the_early_secret_of_a_psk() -> None:
    trace = load_rfc8448(4)
    assert trace.psk is not None
    assert KeySchedule("sha256", trace.psk)._secret == trace.secrets["early"]
    assert KeySchedule("sha256", bytes(32))._secret == KeySchedule("sha256")._secret
    assert KeySchedule("sha256", trace.psk)._secret != KeySchedule("sha256")._secret


# HKDF -------------------------------------------------------------------------------------------------------------


@each_hash
@given(secret=st.binary(min_size=1, max_size=64), info=st.binary(max_size=300), length=st.integers(1, 400))
def test_expand(name: str, secret: bytes, info: bytes, length: int) -> None:
    theirs = HKDFExpand(HASHES[name], length, info).derive(secret)
    assert _hkdf_expand(name, secret, info, length) == theirs


@each_hash
def test_the_most_that_expand_gives(name: str) -> None:
    most = 255 * SIZES[name]
    theirs = HKDFExpand(HASHES[name], most, b"info").derive(bytes(32))
    assert _hkdf_expand(name, bytes(32), b"info", most) == theirs
    with pytest.raises(ValueError, match="HKDF"):
        _hkdf_expand(name, bytes(32), b"info", most + 1)


@each_hash
@given(
    secret=st.binary(min_size=1, max_size=64),
    label=st.sampled_from([b"key", b"iv", b"finished", b"traffic upd", b"c hs traffic", b"x"]),
    context=st.binary(max_size=64),
    length=st.integers(1, 64),
)
def test_expand_label(name: str, secret: bytes, label: bytes, context: bytes, length: int) -> None:
    theirs = HKDFExpand(HASHES[name], length, label_info(label, context, length)).derive(secret)
    assert hkdf_expand_label(name, secret, label, context, length) == theirs


def test_extract_of_rfc5869() -> None:
    # RFC 5869 A.1
    prk = hkdf_extract("sha256", bytes(range(13)), b"\x0b" * 22)
    assert prk.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    okm = _hkdf_expand("sha256", prk, bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )  # fmt: skip


# What hangs on the secrets ----------------------------------------------------------------------------------------


@each_hash
@given(data=st.data())
def test_what_is_derived_from_a_traffic_secret(name: str, data: st.DataObject) -> None:
    size = SIZES[name]
    secret, digest = (
        data.draw(st.binary(min_size=size, max_size=size)),
        data.draw(st.binary(min_size=size, max_size=size)),
    )
    key_size = data.draw(st.sampled_from([16, 32]))

    def expand(label: bytes, length: int) -> bytes:
        return HKDFExpand(HASHES[name], length, label_info(label, b"", length)).derive(secret)

    assert traffic_key_and_iv(name, secret, key_size) == (expand(b"key", key_size), expand(b"iv", 12))
    assert next_traffic_secret(name, secret) == expand(b"traffic upd", size)
    assert verify_data(name, secret, digest) == hmac.digest(expand(b"finished", size), digest, name)


@each_hash
@given(
    label=st.binary(min_size=1, max_size=249),
    context=st.binary(max_size=2000),
    length=st.integers(1, 300),
    data=st.data(),
)
def test_exporter(name: str, label: bytes, context: bytes, length: int, data: st.DataObject) -> None:
    size = SIZES[name]
    secret = data.draw(st.binary(min_size=size, max_size=size))
    empty, digest = hashlib.new(name).digest(), hashlib.new(name, context).digest()
    # RFC 9846 7.5
    derived = HKDFExpand(HASHES[name], size, label_info(label, empty, size)).derive(secret)
    expected = HKDFExpand(HASHES[name], length, label_info(b"exporter", digest, length)).derive(derived)
    assert exporter(name, secret, label, context, length) == expected
    assert exporter(name, secret, label + b"x", context, 32) != exporter(name, secret, label, context, 32)
    assert exporter(name, secret, label, context + b"x", 32) != exporter(name, secret, label, context, 32)


@each_hash
def test_secrets_depend_on_all_that_goes_in(name: str) -> None:
    size = SIZES[name]

    def secret(shared: bytes = b"s" * 32, label: bytes = b"c hs traffic", digest: bytes = bytes(size)) -> bytes:
        schedule = KeySchedule(name)
        schedule.extract(shared)
        return schedule.derive_secret(label, digest)

    assert secret() == secret()
    assert len(secret()) == size
    others = {secret(shared=b"t" * 32), secret(label=b"s hs traffic"), secret(digest=b"\x01" * size), secret()}
    assert len(others) == 4
