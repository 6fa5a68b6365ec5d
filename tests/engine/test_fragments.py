"""How a message is cut: packets are filled, unless repairs want pieces of one size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.engine.builder import Train
from jsp.engine.fragments import write_piece
from jsp.engine.modes import PartiallyReliable
from jsp.engine.out_message import OutMessage
from jsp.engine.pieces import PIECES_MAX
from jsp.engine.scheduler import DEFAULT_URGENCY
from tests.sim.world import World, connected

_, _, CORE, _ = connected(World())
DATAGRAM = 1452


def message_of(size: int, ordered: bool = False) -> OutMessage:
    return CORE.send_messages.send(bytes(size), PartiallyReliable(ttl=1.0), ordered, 0.0, DEFAULT_URGENCY)


def cut(
    message: OutMessage, loss: float = 0.1, start: int = 0, stop: int = -1, before: int = 0, datagram: int = DATAGRAM
) -> list[int]:
    """Sizes of the frames that `message` goes in, where so much is lost. `before`: bytes of other frames in the first
    packet."""
    repair = CORE.send_messages.repair
    assert repair is not None
    repair.loss.value = loss
    repair.path.recovery.controller.window = 1_000_000
    keys = CORE.keys.seal
    assert keys is not None
    train = Train()
    sizes: list[int] = []
    stop = message.size if stop < 0 else stop
    while start < stop:
        train.begin(keys, b"abcd", 5, 2, datagram, datagram, 0.0)
        train.push_bytes(b"\1" * before)
        before = 0
        while start < stop:
            end = write_piece(train, message, 7, start, stop, stop - start, repair)
            if end < 0:
                break
            sizes.append(end - start)
            start = end
    return sizes


def test_what_fits_a_packet_is_not_cut() -> None:
    message = message_of(1000)
    assert cut(message, before=800) == [1000]
    assert message.acked is None and not message.piece


def test_without_repairs_packets_are_filled() -> None:
    message = message_of(4000)
    sizes = cut(message, loss=0.0, before=600)
    assert len(sizes) == 4 and sizes[0] < 900 and sizes[1] > 1400
    assert not message.piece


@given(st.integers(1500, 60_000), st.integers(0, 1400), st.booleans())
def test_with_repairs_all_pieces_are_of_one_size(size: int, before: int, ordered: bool) -> None:
    message = message_of(size, ordered)
    sizes = cut(message, before=before)
    assert set(sizes[:-1]) == {message.piece} and 0 < sizes[-1] <= message.piece
    assert message.piece <= DATAGRAM - 64
    assert len(sizes) == -(-size // message.piece) <= PIECES_MAX


def test_too_large_a_message_fills_packets() -> None:
    message = message_of(100_000)
    cut(message)
    assert not message.piece


@pytest.mark.parametrize(("start", "stop", "sizes"), [(0, 1000, [1000]), (500, 3000, [500, 1000, 1000])])
def test_what_is_sent_again_falls_into_the_same_pieces(start: int, stop: int, sizes: list[int]) -> None:
    message = message_of(3000)
    assert cut(message) == [1000, 1000, 1000]
    assert cut(message, start=start, stop=stop) == sizes


def test_pieces_that_no_packet_takes_any_more_are_cut_anew() -> None:
    message = message_of(5600)
    assert max(cut(message, datagram=3000)) == 2800
    assert sum(cut(message, datagram=1200)) == 5600
