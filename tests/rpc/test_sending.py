"""Items sent one by one: as far as credit goes, giving way to others, and closed in any case."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gevent
import pytest

from jsp.net.waiting import Signal
from jsp.rpc.codec import ITEM, Encoder
from jsp.rpc.errors import TooLarge, Unserialisable
from jsp.rpc.lanes import Lanes
from jsp.rpc.sending import item_frame, send_items
from jsp.rpc.windows import ITEM_MAX, WINDOW, Credit


class FakeLanes(Lanes):
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, lane: int, frame: bytes) -> None:
        self.frames.append(frame)


def items(count: int, size: int, log: list[str]) -> Iterator[bytes]:
    try:
        for _ in range(count):
            yield bytes(size)
    finally:
        log.append("closed")


def sending(values: Iterator[Any], credit: Credit, news: Signal, lanes: FakeLanes) -> gevent.Greenlet[..., None]:
    greenlet = gevent.Greenlet(send_items, values, partial(item_frame, Encoder(), 1), credit, news, lanes)
    greenlet.start()
    gevent.sleep(0)
    return greenlet


def test_waits_for_credit() -> None:
    credit, news, lanes = Credit(), Signal(), FakeLanes()
    log: list[str] = []
    greenlet = sending(items(3, WINDOW // 2 - 100, log), credit, news, lanes)
    assert len(lanes.frames) == 2 and not greenlet.dead
    news.notify()
    gevent.sleep(0)
    assert len(lanes.frames) == 2
    credit.grant(WINDOW // 2)
    news.notify()
    greenlet.get(timeout=1)
    assert len(lanes.frames) == 3 and log == ["closed"]


def test_gives_way_to_others() -> None:
    lanes, turns = FakeLanes(), []

    def other() -> None:
        while True:
            turns.append(len(lanes.frames))
            gevent.sleep(0)

    watching = gevent.spawn(other)
    sending(items(1000, 1, []), Credit(), Signal(), lanes).get(timeout=1)
    watching.kill()
    assert len(turns) > 5 and turns == sorted(turns)


def test_stopped_while_waiting_closes_the_generator() -> None:
    log: list[str] = []
    greenlet = sending(items(5, ITEM_MAX - 100, log), Credit(), Signal(), FakeLanes())
    greenlet.kill()
    assert log == ["closed"]


def test_any_iterator_will_do() -> None:
    lanes = FakeLanes()
    sending(iter([1, 2]), Credit(), Signal(), lanes).get(timeout=1)
    assert lanes.frames == [Encoder().frame(ITEM, 1, 1), Encoder().frame(ITEM, 1, 2)]


def test_items_that_cannot_be_sent() -> None:
    assert len(item_frame(Encoder(), 1, bytes(ITEM_MAX - 5))) == ITEM_MAX + 9
    with pytest.raises(TooLarge):
        item_frame(Encoder(), 1, bytes(ITEM_MAX))
    with pytest.raises(Unserialisable):
        item_frame(Encoder(), 1, object())
