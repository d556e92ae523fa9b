"""The window in which hellos with early data are remembered (RFC 9846 8)."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanstls import LocalError, ReplayWindow

AT = 1_000_000.0


def test_each_hello_once() -> None:
    window = ReplayWindow()
    assert window.admit(b"one", AT, AT)
    assert window.admit(b"another", AT, AT)
    for later in (0, 1, 9.9):
        assert not window.admit(b"one", AT, AT + later)


@pytest.mark.parametrize(
    ("off", "is_fresh"), [(0, True), (5, True), (-5, True), (5.1, False), (-5.1, False), (1e9, False)]
)
def test_only_while_it_is_fresh(off: float, is_fresh: bool) -> None:
    assert ReplayWindow(5).admit(b"one", AT, AT + off) is is_fresh


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 60), st.floats(-15, 15)), max_size=60))
def test_nothing_is_admitted_twice(hellos: list[tuple[int, float, float]]) -> None:
    """However its arrivals and the clock's steps lie: a hello says itself when it should arrive."""
    window = ReplayWindow(10)
    expected = {number: AT + number * 7 for number in range(6)}
    admitted: set[int] = set()
    at = AT
    for number, step, jitter in hellos:
        at += step
        if window.admit(b"%d" % number, expected[number], at + jitter):
            assert number not in admitted
            assert abs(at + jitter - expected[number]) <= 10
            admitted.add(number)


def test_what_is_old_is_forgotten() -> None:
    window = ReplayWindow(10)
    for number in range(1000):
        assert window.admit(b"%d" % number, AT + number, AT + number)
    assert sum(map(len, window._seen.values())) <= 50
    assert "hellos" in repr(window)


def test_it_does_not_grow_without_end() -> None:
    window = ReplayWindow(10, capacity=100)
    assert [window.admit(b"%d" % number, AT, AT) for number in range(150)] == [True] * 100 + [False] * 50
    assert window.admit(b"later", AT + 25, AT + 25)


def test_threads_may_share_it() -> None:
    window = ReplayWindow()
    admitted: list[bytes] = []
    barrier = threading.Barrier(8)

    def offer() -> None:
        barrier.wait(10)
        admitted.extend(key for key in map(b"%d".__mod__, range(500)) if window.admit(key, AT, AT))

    threads = [threading.Thread(target=offer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(admitted) == sorted(map(b"%d".__mod__, range(500)))


@pytest.mark.parametrize("make", [lambda: ReplayWindow(0), lambda: ReplayWindow(-1), lambda: ReplayWindow(capacity=0)])
def test_windows_that_are_none(make: object) -> None:
    with pytest.raises(LocalError):
        make()  # type: ignore[operator]
