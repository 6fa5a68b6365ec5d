"""Bytes on their way out against a plain array and three sets."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.engine.send_buffer import SendBuffer
from tests.profiles import examples
from tests.wire.test_ranges import ranges_of


def read(buffer: SendBuffer, start: int, stop: int) -> bytes:
    """What a packet would carry."""
    out = bytearray(b"\xee" * (stop - start + 6))
    buffer.copy_to(out, 3, start, stop - start)
    assert out[:3] + out[stop - start + 3 :] == b"\xee" * 6
    return bytes(out[3:-3])


@dataclass
class World:
    """A buffer, and what is known about each of its bytes."""

    rng: random.Random
    buffer: SendBuffer = field(default_factory=SendBuffer)
    written: bytearray = field(default_factory=bytearray)
    acked: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)

    def write(self) -> None:
        data = self.rng.randbytes(self.rng.choice((0, 1, 10, 10, 500, 4095, 4096, 9000)))
        self.buffer.write(data)
        self.written += data

    def send(self) -> None:
        stop = min(self.buffer.end, self.buffer.sent + self.rng.choice((1, 100, 1200, 5000)))
        assert read(self.buffer, self.buffer.sent, stop) == self.written[self.buffer.sent : stop]
        self.buffer.sent = stop

    def _some_range(self) -> tuple[int, int]:
        a = self.rng.randint(0, self.buffer.sent)
        return a, min(self.buffer.sent, a + self.rng.choice((0, 1, 50, 1200, 9000)))

    def ack(self) -> None:
        a, b = self._some_range()
        self.buffer.on_acked(a, b)
        self.acked |= set(range(a, b))
        self.lost -= self.acked

    def lose(self) -> None:
        a, b = self._some_range()
        self.buffer.on_lost(a, b)
        self.lost |= set(range(a, b)) - self.acked

    def resend(self) -> None:
        if not self.lost:
            return
        limit = self.rng.choice((1, 100, 1200))
        start, stop = self.buffer.take_lost(limit)
        first = ranges_of(self.lost)[0]
        assert (start, stop) == (first[0], min(first[1], first[0] + limit))
        assert read(self.buffer, start, stop) == self.written[start:stop]
        self.lost -= set(range(start, stop))

    def check(self) -> None:
        buffer = self.buffer
        assert buffer.end == len(self.written)
        assert buffer.base == next(n for n in range(buffer.end + 1) if n not in self.acked)
        assert list(buffer.lost or ()) == ranges_of(self.lost)
        assert bool(buffer.lost) is bool(self.lost)
        if buffer.base < buffer.end:
            a = self.rng.randint(buffer.base, buffer.end - 1)
            b = min(buffer.end, a + self.rng.randint(1, 3000))
            assert read(buffer, a, b) == self.written[a:b]


STEPS = st.lists(st.sampled_from(["write", "write", "send", "send", "ack", "lose", "resend"]), min_size=5, max_size=50)


@examples(40)
@given(st.integers(0, 1 << 40), STEPS)
def test_no_byte_is_forgotten_or_changed(seed: int, steps: list[str]) -> None:
    world = World(random.Random(seed))
    for step in steps:
        getattr(world, step)()
        world.check()
    # The end: all of it arrives.
    world.buffer.sent = world.buffer.end
    world.buffer.on_acked(0, world.buffer.end)
    assert world.buffer.base == world.buffer.end
    assert not world.buffer.lost


def test_small_writes_gather_and_large_ones_are_kept_as_they_are() -> None:
    buffer = SendBuffer()
    large = bytes(range(256)) * 16
    expected = b""
    for data in (b"a", b"bc", large, b"d", large[:4095], b"e" * 70_000, b"", b"f"):
        buffer.write(data)
        expected += data
    assert buffer.end == len(expected)
    assert read(buffer, 0, buffer.end) == expected
    for cut in (0, 1, 3, 4098, 4099, 4100, 8194, 8195):
        assert read(buffer, cut, buffer.end) == expected[cut:]
        assert read(buffer, 0, cut) == expected[:cut]


def test_acknowledged_bytes_are_let_go() -> None:
    buffer = SendBuffer()
    data = bytes(5000)
    held_by_us = sys.getrefcount(data)
    buffer.write(data)
    buffer.write(b"more")
    buffer.sent = buffer.end
    buffer.on_acked(1, 5000)
    assert sys.getrefcount(data) > held_by_us
    buffer.on_acked(0, 1)
    assert sys.getrefcount(data) == held_by_us
    assert read(buffer, 5000, 5004) == b"more"


def test_writing_goes_on_after_everything_arrived() -> None:
    buffer = SendBuffer()
    for i in range(5):
        text = b"part %d" % i
        start = buffer.end
        buffer.write(text)
        buffer.sent = buffer.end
        assert read(buffer, start, buffer.end) == text
        buffer.on_acked(start, buffer.end)
        assert buffer.base == buffer.end


@pytest.mark.parametrize("lost", [(0, 100), (0, 10), (90, 100), (40, 60)])
def test_bytes_that_arrived_after_all_are_not_sent_again(lost: tuple[int, int]) -> None:
    buffer = SendBuffer()
    buffer.write(bytes(100))
    buffer.sent = 100
    buffer.on_lost(*lost)
    buffer.on_acked(5, 95)
    assert list(buffer.lost or ()) == ranges_of(set(range(*lost)) - set(range(5, 95)))
    buffer.on_acked(0, 100)
    assert not buffer.lost
    buffer.on_lost(0, 100)
    assert not buffer.lost


def test_clear_forgets_what_is_not_acknowledged() -> None:
    buffer = SendBuffer()
    buffer.write(bytes(100))
    buffer.sent = 100
    buffer.on_lost(0, 50)
    buffer.on_acked(60, 70)
    buffer.clear()
    assert not buffer.lost
    assert (buffer.end, buffer.sent) == (100, 100)
