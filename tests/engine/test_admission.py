"""Who may start a handshake: bounds that hold whoever asks."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.config import LIMITS, Config
from jsp.engine.admission import Admission, prefix_of
from tests.profiles import examples

ADDRESS = ("192.0.2.1", 4433)


def start(admission: Admission, connection: object, address: tuple[str, int], proven: bool = True) -> bool:
    admitted = admission.admit(address, 0.0)
    if admitted:
        admission.on_handshake_started(connection, address)
        if proven:
            admission.on_address_proven(connection)
    return admitted


# --- prefixes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:ff:ffff::", True),
        ("2001:db8:0:1::1", "2001:db8:0:101::1", False),
        ("2001:db8::1", "2001:db9::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "2001:db8::1", False),
        ("not an address", "not an address", True),
        ("not an address", "another", False),
    ],
)
def test_a_prefix_is_what_one_person_holds(one: str, other: str, same: bool) -> None:
    assert (prefix_of((one, 1)) == prefix_of((other, 2, 0, 0))) is same


def test_people_behind_ipv4_are_told_apart_on_a_socket_for_both_families() -> None:
    """The server's IPv6 socket takes IPv4 too and shows such addresses as ::ffff:a.b.c.d."""
    assert prefix_of(("::ffff:192.0.2.1", 1, 0, 0)) != prefix_of(("::ffff:198.51.100.7", 1, 0, 0))
    assert prefix_of(("::ffff:192.0.2.1", 1, 0, 0)) == prefix_of(("192.0.2.1", 1))


@given(st.ip_addresses().map(str), st.ip_addresses().map(str))
def test_prefixes_have_a_bounded_size(one: str, other: str) -> None:
    for text in (one, other):
        assert len(prefix_of((text, 1))) in (4, 7)


# --- half-open handshakes ------------------------------------------------------------------------------------------


def test_half_open_handshakes_are_bounded() -> None:
    admission = Admission(Config(max_half_open=10))
    addresses = [(f"192.0.2.{i}", 1) for i in range(20)]
    admitted = [start(admission, i, address) for i, address in enumerate(addresses)]
    assert admitted == [True] * 10 + [False] * 10
    assert admission.refused == 10
    admission.on_handshake_over(3)
    assert start(admission, 20, addresses[0])
    assert not start(admission, 21, addresses[1])


def test_the_oldest_whose_address_is_not_proven_makes_room() -> None:
    admission = Admission(Config(max_half_open=3))
    for name, proven in (("a", True), ("b", False), ("c", False)):
        assert start(admission, name, ADDRESS, proven)
        assert admission.surplus() is None
    for newcomer, victim in (("d", "b"), ("e", "c")):
        assert start(admission, newcomer, ADDRESS, True)
        assert admission.surplus() == victim
        admission.on_handshake_over(victim)
        assert admission.surplus() is None
    # All that are left have shown where they are.
    assert not start(admission, "f", ADDRESS, False)
    admission.on_handshake_over("a")
    assert start(admission, "f", ADDRESS, False)


def test_one_address_takes_its_share_and_leaves_the_others_theirs() -> None:
    admission = Admission(Config())
    share = LIMITS.half_open_per_prefix
    for i in range(share):
        assert start(admission, i, ADDRESS)
    assert not start(admission, "more", ADDRESS)
    assert not start(admission, "port", (ADDRESS[0], 9999))
    assert start(admission, "other", ("198.51.100.1", 1))
    admission.on_handshake_over(0)
    assert start(admission, "again", ADDRESS)


def test_a_whole_v6_prefix_is_one_address() -> None:
    admission = Admission(Config())
    rng = random.Random(1)
    for i in range(LIMITS.half_open_per_prefix):
        assert start(admission, i, (f"2001:db8:0:{rng.randrange(256):x}::{i:x}", 1))
    assert not start(admission, "more", ("2001:db8:0:77::1", 1))
    assert start(admission, "other", ("2001:db8:1::1", 1))


def test_the_end_of_what_never_began_is_harmless() -> None:
    admission = Admission(Config(max_half_open=1))
    admission.on_handshake_over("nobody")
    assert start(admission, 1, ADDRESS)
    admission.on_handshake_over(1)
    admission.on_handshake_over(1)
    assert start(admission, 2, ADDRESS)
    assert not start(admission, 3, ADDRESS)


@examples(60)
@given(seed=st.integers(0, 1 << 40), bound=st.integers(1, 30))
def test_counts_stay_right_in_any_order(seed: int, bound: int) -> None:
    rng = random.Random(seed)
    admission = Admission(Config(max_half_open=bound))
    open_: list[int] = []
    for i in range(200):
        if rng.random() < 0.6:
            assert start(admission, i, (f"192.0.2.{rng.randrange(3)}", i)) is (len(open_) < bound)
            if len(open_) < bound:
                open_.append(i)
        elif open_:
            admission.on_handshake_over(open_.pop(rng.randrange(len(open_))))
    for connection in open_:
        admission.on_handshake_over(connection)
    assert sum(start(admission, f"end{i}", (f"198.51.100.{i}", 1)) for i in range(bound + 5)) == bound


# --- rates ---------------------------------------------------------------------------------------------------------


def test_without_a_rate_there_is_no_rate_limit() -> None:
    admission = Admission(Config())
    assert all(admission.admit(ADDRESS, 0.0) for _ in range(10_000))


@pytest.mark.parametrize(("rate", "burst"), [(10.0, 20), (0.1, 1), (1.0, 2)])
def test_a_rate_allows_a_burst_and_then_so_many_a_second(rate: float, burst: int) -> None:
    admission = Admission(Config(rate_limit=rate))
    assert sum(admission.admit(ADDRESS, 100.0) for _ in range(1000)) == burst
    assert admission.refused == 1000 - burst
    assert not admission.admit(ADDRESS, 100.0 + 0.5 / rate)
    # Being refused costs nothing.
    assert admission.admit(ADDRESS, 100.0 + 1.01 / rate)
    assert not admission.admit(ADDRESS, 100.0 + 1.02 / rate)
    assert sum(admission.admit(ADDRESS, 1e6) for _ in range(1000)) == burst


@examples(40)
@given(seed=st.integers(0, 1 << 40), rate=st.floats(0.5, 50))
def test_in_the_long_run_no_more_than_the_rate_and_one_burst(seed: int, rate: float) -> None:
    rng = random.Random(seed)
    admission = Admission(Config(rate_limit=rate))
    now = admitted = 0.0
    for _ in range(500):
        now += rng.choice((0.0, 0.001, 0.1))
        admitted += admission.admit(ADDRESS, now)
    assert admitted <= now * rate + max(1.0, 2 * rate)


def test_a_flood_of_addresses_takes_no_memory() -> None:
    admission = Admission(Config(rate_limit=5.0))
    rng = random.Random(1)

    def flood(count: int) -> int:
        for _ in range(count):
            admission.admit((f"2001:db8:{rng.randrange(65536):x}:{rng.randrange(65536):x}::1", 1), 0.0)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = flood(8000)
        # A table of every address seen would take a megabyte more.
        assert flood(8000) - before < 300_000
    finally:
        tracemalloc.stop()
