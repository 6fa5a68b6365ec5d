"""Datagrams in a stream of bytes: however it is cut, they come out as they went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.engine.traffic import Transmit
from jsp.errors import BadPacket
from jsp.net.framing import FRAMED_MAX, FRAMED_MIN, Deframer, frame
from jsp.wire.buffer import DATAGRAM_MAX

SIZES = st.one_of(st.integers(FRAMED_MIN, 60), st.sampled_from((1200, 16_000, FRAMED_MAX)))


def taken(deframer: Deframer) -> list[bytes]:
    """The datagrams that are there now."""
    found = []
    target = bytearray(DATAGRAM_MAX)
    while True:
        size, segment = deframer.take(target)
        if not size:
            return found
        assert size <= DATAGRAM_MAX
        found += [bytes(target[at : min(at + segment, size)]) for at in range(0, size, segment)]


@given(st.lists(st.tuples(SIZES, st.integers(1, 8)), max_size=12), st.lists(st.integers(1, 20_000), max_size=40))
def test_any_cut_gives_the_same_datagrams(trains: list[tuple[int, int]], cuts: list[int]) -> None:
    data = b""
    sent = []
    for number, (size, count) in enumerate(trains):
        # The last one of a train is shorter.
        train = bytes([number]) * (size * count - (size - FRAMED_MIN) // 2)
        data += frame(Transmit(("127.0.0.1", 1), memoryview(train), size))
        sent += [train[at : at + size] for at in range(0, len(train), size)]
    deframer = Deframer()
    got = []
    at = 0
    for cut in [*cuts, len(data)]:
        deframer.feed(data[at : at + cut])
        got += taken(deframer)
        at += cut
    assert got == sent


def test_datagrams_of_one_size_come_together() -> None:
    deframer = Deframer()
    target = bytearray(DATAGRAM_MAX)
    deframer.feed(
        frame(Transmit(("127.0.0.1", 1), bytes(4100), 1000)) + frame(Transmit(("127.0.0.1", 1), bytes(2000), 2000))
    )
    assert [deframer.take(target) for _ in range(3)] == [(4100, 1000), (2000, 2000), (0, 0)]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", bytes(2), b"\x00\x05hello", b"\xff\xff"])
def test_what_cannot_be_a_datagram_ends_it(data: bytes) -> None:
    deframer = Deframer()
    deframer.feed(data)
    with pytest.raises(BadPacket, match="a datagram of"):
        deframer.take(bytearray(DATAGRAM_MAX))
    with pytest.raises(BadPacket, match="a datagram of"):
        deframer.first()


def test_the_first_one_can_be_looked_at() -> None:
    deframer = Deframer()
    data = frame(Transmit(("127.0.0.1", 1), b"a" * 100 + b"b" * 100, 100))
    for end in range(102):
        deframer.feed(data[end : end + 1])
        assert deframer.first() == (b"a" * 100 if end == 101 else b"")
    deframer.feed(data[102:])
    assert deframer.first() == b"a" * 100 and deframer.rest() == data
    assert taken(deframer) == [b"a" * 100, b"b" * 100] and deframer.first() == deframer.rest() == b""


@given(st.binary(max_size=200))
def test_garbage_is_datagrams_or_the_end(data: bytes) -> None:
    deframer = Deframer()
    deframer.feed(data)
    try:
        assert all(FRAMED_MIN <= len(datagram) <= FRAMED_MAX for datagram in taken(deframer))
    except BadPacket:
        pass
