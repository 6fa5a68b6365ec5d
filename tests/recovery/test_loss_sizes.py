"""Packets of other sizes: probes for larger datagrams take part in nothing, and large ones that all get lost show."""

from __future__ import annotations

import math

from jsp.recovery.acks import NEVER
from jsp.recovery.controller import AckSample, Controller
from jsp.recovery.loss import LossDetector
from jsp.recovery.newreno import NewReno
from jsp.recovery.sent import make_run
from tests.recovery.test_loss import SIZE, Story, confirmed


class Probe:
    """The owner of a probe: what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []

    def on_acked(self, a: int, b: int) -> None:
        self.heard.append(("acked", a, b))

    def on_lost(self, a: int, b: int) -> None:
        self.heard.append(("lost", a, b))


def send_probe(story: Story, size: int = 9000) -> Probe:
    owner = Probe()
    number = story.space.next_number
    story.space.next_number += 1
    run = make_run(number, 1, size, size, story.now, [(owner, number, 7)])
    story.path.on_probe_sent(story.space, run)
    story.update()
    return owner


def send_large(story: Story, count: int, size: int = 9000) -> None:
    first = story.space.next_number
    story.space.next_number += count
    story.path.on_sent(story.space, make_run(first, count, size, size * count, story.now))
    story.update()


def test_a_probe_uses_no_window_and_makes_no_timeout() -> None:
    story = confirmed()
    send_probe(story)
    assert (story.path.in_flight, story.path.deadline) == (0, NEVER)
    story.send(at=1.0)
    deadline = story.path.deadline
    story.now = 1.1
    send_probe(story)
    assert story.path.deadline == deadline
    story.assert_books_balance()


def test_a_lost_probe_is_told_to_its_owner_and_to_nobody_else() -> None:
    story = confirmed()
    window = story.path.controller.window
    story.now = 1.0
    owner = send_probe(story)
    story.send(3)
    story.ack(2, 3, 4, at=1.1)
    assert owner.heard == [("lost", 1, 7)]
    path = story.path
    assert (path.packets_lost, path.rate.lost, path.large_lost) == (0, 0, 0)
    assert path.controller.recovery_start == -math.inf
    assert path.controller.window >= window
    assert not path.reordering.waits()
    story.ack(1, at=1.2)
    assert owner.heard == [("lost", 1, 7)]
    story.assert_books_balance()


def test_the_owner_hears_of_the_loss_of_a_probe_after_that_of_the_others() -> None:
    story = confirmed()
    story.now = 1.0
    owner = send_probe(story)
    story.send(6)
    seen: list[int] = []
    owner.on_lost = lambda a, b: seen.append(story.path.packets_lost)  # type: ignore[method-assign]
    story.ack(7, at=1.1)
    assert seen == [3]


class Told(NewReno):
    """Counts the ACKs it hears of."""

    acks = 0

    def on_ack(self, sample: AckSample) -> None:
        self.acks += 1
        super().on_ack(sample)


def test_an_acknowledged_probe_is_no_sample_of_anything() -> None:
    story = confirmed(0.1)
    controller = story.path.controller = Told(SIZE)
    story.send(at=1.0)
    owner = send_probe(story)
    assert story.ack(2, at=1.05) == 0
    assert owner.heard == [("acked", 2, 7)]
    assert story.path.rtt.latest == story.path.rtt.smoothed == 0.1
    assert controller.acks == 0
    story.ack(1, 2, at=1.1)
    assert controller.acks == 1
    story.assert_books_balance()


def test_a_probe_is_not_offered_again_by_a_timeout() -> None:
    story = confirmed()
    owner = send_probe(story)
    story.send(4)
    story.timeout()
    assert owner.heard == []
    assert story.lost == [2, 3]


def test_large_packets_lost_in_a_row_are_counted() -> None:
    story = confirmed()
    story.now = 1.0
    send_large(story, 5)
    story.send(4)
    story.ack(6, 7, 8, 9, at=1.1)
    assert story.path.large_lost == 5
    send_large(story, 2)
    story.ack(11, at=1.2)
    assert story.path.large_lost == 0


def test_smaller_ones_that_arrive_do_not_speak_for_larger_ones() -> None:
    story = confirmed()
    story.now = 1.0
    send_large(story, 3)
    send_large(story, 4, size=1400)
    story.ack(*range(4, 8), at=1.1)
    assert story.path.large_lost == 3
    send_large(story, 1, size=9000)
    story.ack(8, at=1.2)
    assert story.path.large_lost == 0


def test_packets_of_the_base_size_are_not_counted_and_another_size_begins_anew() -> None:
    story = confirmed()
    story.now = 1.0
    story.send(3)
    send_large(story, 3)
    story.send(4)
    story.ack(*range(7, 11), at=1.1)
    assert (story.path.packets_lost, story.path.large_lost) == (6, 3)
    story.path.on_datagram_size(1452)
    assert story.path.large_lost == 0
    assert story.path.controller.datagram == 1452


def test_controllers_are_told_the_size_and_keep_a_window_that_they_have_found() -> None:
    class Own(Controller):
        def on_ack(self, sample: AckSample) -> None:
            pass

    path = LossDetector(Own(1200))
    path.controller.window = 13_200
    path.on_datagram_size(5000)
    assert (path.controller.datagram, path.controller.window) == (5000, 13_200)
    path.on_datagram_size(8000)
    assert path.controller.window == path.controller.minimum_window() == 16_000
    path.controller.window = 17_000
    path.on_datagram_size(1200)
    assert (path.controller.datagram, path.controller.window) == (1200, 17_000)
