"""The search for the size of datagrams by itself: which sizes are tried, and what becomes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.engine.mtu_search import BASE, MAX_PROBES, RAISE_S, STEP_DIVISOR, MtuSearch, header_bytes

ROOM = 1 << 20


class Tries:
    """Drives a search over a path that takes `mtu` bytes; `sizes` are the probes."""

    def __init__(self, mtu: int, most: int = 65_507, headers: int = 28) -> None:
        self.search = MtuSearch(most, headers)
        self.mtu = mtu
        self.sizes: list[int] = []
        self.now = 1.0

    def probe(self, room: int = ROOM, lost: bool = False) -> bool:
        """One probe, if one is wanted, and what becomes of it."""
        search = self.search
        if not search.due:
            search.plan(room, self.now)
        size = search.due
        if not size:
            return False
        number = len(self.sizes)
        self.sizes.append(size)
        search.on_sent(number)
        assert search.due == 0
        if size > self.mtu or lost:
            search.on_lost(number, True)
        else:
            assert search.on_acked(number) == (search.passed == size)
        return True

    def run(self) -> int:
        """Search to the end; the size found."""
        for _ in range(500):
            if not self.probe():
                assert self.search.is_complete()
                return self.search.passed
        raise AssertionError(f"no end: {self.sizes}")


# --- the search ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mtu", "headers", "sizes"),
    [
        (65_507, 28, [65_507]),
        (65_488, 48, [65_488]),
        (8_972, 28, [65_507] * 3 + [8_972]),
        (1_472, 28, [65_507] * 3 + [8_972] * 3 + [1_472]),
        (1_452, 48, [65_488] * 3 + [8_952] * 3 + [1_452]),
    ],
)
def test_sizes_of_usual_links_come_first(mtu: int, headers: int, sizes: list[int]) -> None:
    tries = Tries(mtu, headers=headers)
    for _ in sizes:
        assert tries.probe()
    assert tries.sizes == sizes
    assert tries.search.passed == mtu
    assert tries.run() == mtu


def test_a_size_that_the_window_has_no_room_for_waits() -> None:
    tries = Tries(65_507)
    assert not tries.probe(room=1_400)
    assert not tries.search.is_complete()
    assert tries.probe(room=3_000)
    assert not tries.probe(room=3_000)
    assert tries.probe(room=9_000)
    assert not tries.probe(room=9_000)
    assert tries.probe(room=70_000)
    assert tries.sizes == [1_472, 8_972, 65_507]


def test_what_the_peer_takes_bounds_the_search() -> None:
    tries = Tries(65_507, most=4_000)
    assert tries.run() == 4_000
    assert tries.sizes == [4_000]


def test_a_size_has_three_tries_and_one_is_enough() -> None:
    tries = Tries(65_507)
    tries.probe(lost=True)
    tries.probe(lost=True)
    tries.probe()
    assert tries.sizes == [65_507] * 3
    assert tries.search.passed == 65_507


def test_a_probe_lost_among_others_counts_a_quarter() -> None:
    tries = Tries(1_472, most=1_472)
    for number in range(4 * MAX_PROBES - 1):
        tries.search.plan(ROOM, 1.0)
        assert tries.search.due == 1_472
        tries.search.on_sent(number)
        tries.search.on_lost(number, False)
    tries.probe()
    assert tries.search.passed == 1_472


def test_one_probe_at_a_time() -> None:
    search = MtuSearch(65_507, 28)
    search.plan(ROOM, 1.0)
    search.on_sent(7)
    search.plan(ROOM, 1.0)
    assert search.due == 0
    assert not search.on_acked(6)
    search.on_lost(6, True)
    assert search.on_acked(7)
    assert not search.on_acked(7)


def test_the_search_begins_again_after_ten_minutes() -> None:
    tries = Tries(1_472)
    found = tries.run()
    assert found == 1_472
    tries.mtu = 8_972
    tries.now += RAISE_S - 1
    assert not tries.probe()
    tries.now += 2
    assert tries.run() == 8_972


@given(
    mtu=st.integers(BASE, 65_507),
    most=st.integers(BASE, 65_507),
    headers=st.sampled_from((28, 48)),
    luck=st.randoms(use_true_random=False),
    loss=st.sampled_from((0.0, 0.1, 0.4)),
)
def test_what_is_found_passes_and_little_more_would(mtu: int, most: int, headers: int, luck, loss: float) -> None:  # type: ignore[no-untyped-def]
    tries = Tries(mtu, most, headers)
    unlucky = 0
    for _ in range(500):
        # Bad luck as often as a size has tries but one: with more, the size cannot be told from one that fails.
        lost = luck.random() < loss and unlucky < MAX_PROBES - 1
        unlucky = unlucky + 1 if lost else 0
        if not tries.probe(lost=lost):
            break
    found, best = tries.search.passed, min(mtu, most)
    assert found <= best
    assert best - found <= found // STEP_DIVISOR
    assert len(tries.sizes) <= MAX_PROBES * 20


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 70_000)), max_size=60))
def test_whatever_comes_in_whatever_order_bounds_hold(steps: list[tuple[int, int]]) -> None:
    search = MtuSearch(65_507, 28)
    now, number = 1.0, 0
    for step, size in steps:
        before = search.passed
        if step == 0:
            search.plan(size, now)
        elif step == 1 and search.due:
            number += 1
            search.on_sent(number)
        elif step == 2:
            assert search.on_acked(number - size % 2) == (search.passed > before)
        elif step == 3:
            search.on_lost(number - size % 2, size % 3 == 0)
        elif step == 4:
            search.on_hint(size)
        elif step == 5:
            search.on_too_large(size)
        elif step == 6:
            now += size
            if size % 5 == 0:
                search.fall()
                assert search.passed == BASE
                before = BASE
        assert BASE <= before <= search.passed <= 65_507
        assert search.due == 0 or BASE <= search.due <= 65_507


def test_headers_by_address() -> None:
    assert header_bytes(("192.0.2.1", 1)) == header_bytes(("::ffff:192.0.2.1", 1, 0, 0)) == 28
    assert header_bytes(("2001:db8::1", 1, 0, 0)) == 48


# --- what others say -----------------------------------------------------------------------------------------------


def test_icmp_makes_one_lost_probe_enough_and_names_the_next_size() -> None:
    tries = Tries(1_400)
    tries.search.plan(2_000, 1.0)
    tries.search.on_sent(0)
    tries.search.on_hint(1_400)
    tries.search.on_lost(0, True)
    tries.sizes.append(1_472)
    tries.probe(room=2_000)
    tries.probe(room=2_000)
    assert tries.sizes[:2] == [1_472, 1_400]
    assert tries.search.passed == 1_400


def test_icmp_alone_changes_nothing() -> None:
    tries = Tries(1_472, most=1_472)
    assert tries.run() == 1_472
    search = tries.search
    for told in (0, 68, BASE - 1, 1_473, 70_000):
        search.on_hint(told)
        assert search.due == 0
    search.on_hint(1_300)
    assert search.due == 1_300  # to see whether what is larger still arrives
    assert tries.probe()
    assert search.passed == 1_472
    search.on_hint(BASE)
    assert search.due == BASE


def test_a_size_that_our_host_refuses_fails_at_once() -> None:
    tries = Tries(1_472)
    tries.search.plan(ROOM, 1.0)
    tries.search.on_sent(0)
    tries.search.on_too_large(1_473)
    assert tries.run() == 1_472
    assert tries.sizes == [1_472]
    tries.search.on_too_large(500)
    tries.search.fall()
    assert tries.run() == BASE


def test_after_a_fall_the_likeliest_size_comes_first_and_has_one_try() -> None:
    tries = Tries(1_466)
    assert 1_444 <= tries.run() <= 1_466
    last, tries.sizes = tries.search.passed, []
    tries.search.fall()
    tries.probe()
    assert (tries.sizes, tries.search.passed) == ([last], last)
    tries.search.fall()
    tries.mtu = 1_300
    tries.probe()
    tries.probe()
    assert tries.sizes[1] == last != tries.sizes[2]


def test_after_a_fall_that_icmp_foretold_its_size_comes_first() -> None:
    tries = Tries(1_472, most=1_472)
    tries.run()
    tries.search.on_hint(1_252)
    tries.search.fall()
    tries.mtu = 1_252
    tries.sizes = []
    assert 1_234 <= tries.run() <= 1_252
    assert tries.sizes[0] == 1_252
    assert len(tries.sizes) == len(set(tries.sizes))
