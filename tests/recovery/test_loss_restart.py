"""What holds no longer when a path leads elsewhere, when something else carries it, or after an outage."""

from __future__ import annotations

from jsp.recovery.carried import Carried
from jsp.recovery.newreno import NewReno
from jsp.recovery.resume import CarefulResume, Known
from tests.recovery.test_loss import SIZE, confirmed, long_outage


def test_what_left_over_tcp_is_no_debt_of_the_pacer() -> None:
    story = confirmed()
    assert story.path.allowance(SIZE, story.now) >= SIZE
    story.path.reliable = True
    for _ in range(100):
        story.send(100)
        story.ack(*range(story.space.next_number - 100, story.space.next_number), at=story.now + 0.1)
    story.path.reliable = False
    story.path.restart(NewReno(SIZE))
    assert story.path.allowance(SIZE, story.now + 0.1) >= SIZE


def test_after_a_restart_nothing_is_known() -> None:
    story = confirmed()
    story.send(10)
    story.path.rate.on_app_limited(story.path.in_flight)
    story.path.restart(NewReno(SIZE))
    assert not story.path.rate.is_app_limited()
    assert story.path.rtt.smoothed != 0.1
    assert story.path.in_flight == 10 * SIZE
    # The eleventh uses less than half of another window: what the old path had under way does not count.
    story.path.give_up()
    story.send()
    window = story.path.controller.window
    story.ack(11)
    assert story.path.controller.window == window


def test_nobody_goes_back_to_an_old_window_after_that() -> None:
    story = confirmed(0.1)
    known = Known()
    known.rtt = known.minimum = 0.1
    known.window = 1_000_000
    story.path.resume = CarefulResume(known)
    long_outage(story, 0.3)
    assert story.path.resume is None


def test_marks_of_what_left_by_udp_are_no_congestion_of_tcp() -> None:
    story = confirmed()
    story.space.sent.runs.clear()
    story.send(3)
    for run in story.space.sent.runs:
        run.marked = True
    story.path.ecn.on_sent(3)
    story.path.reliable = True
    story.path.controller = Carried(SIZE)
    story.path.on_ack(story.space, [1], [4], 0.0, story.now + 0.1, (2, 0, 1))
    assert story.path.ecn.ce == 1
