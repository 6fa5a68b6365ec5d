"""ECN validation against RFC 9000 section 13.4.2.1 and appendix A.4, and marks on a path."""

from __future__ import annotations

import pytest

from jsp.config import CONGESTION, Config
from jsp.recovery.ecn import CAPABLE, ECT0, FAILED, TEST_PACKETS, TESTING, UNKNOWN, Ecn
from tests.recovery.test_loss import SIZE, Story, confirmed
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import World, connected

Counts = tuple[int, int, int]


def probing(count: int = TEST_PACKETS) -> Ecn:
    ecn = Ecn()
    assert (ecn.state, ecn.mark()) == (TESTING, ECT0)
    ecn.on_sent(count)
    return ecn


# --- validation ----------------------------------------------------------------------------------------------------


def test_ten_packets_test_the_path_and_then_none_is_marked_until_something_is_heard() -> None:
    ecn = probing(TEST_PACKETS - 1)
    assert ecn.state == TESTING
    ecn.on_sent(1)
    assert (ecn.state, ecn.mark()) == (UNKNOWN, 0)
    assert not ecn.on_ack(4, (4, 0, 0))
    assert (ecn.state, ecn.mark()) == (CAPABLE, ECT0)


@pytest.mark.parametrize(
    "counts",
    [
        None,  # the peer, or the path, does not tell
        (0, 0, 0),  # the path clears the field
        (3, 0, 0),  # some of them
        (0, 4, 0),  # the path changes the mark
        (4, 1, 0),
        (11, 0, 0),  # more than were sent
        (8, 0, 3),
    ],
)
def test_counts_that_cannot_be_end_it(counts: Counts | None) -> None:
    ecn = probing()
    assert not ecn.on_ack(4, counts)
    assert (ecn.state, ecn.mark()) == (FAILED, 0)
    # For good.
    assert not ecn.on_ack(1, (4, 0, 6))
    assert ecn.state == FAILED


@pytest.mark.parametrize("counts", [(4, 0, 0), (1, 0, 3), (0, 0, 4), (10, 0, 0)])
def test_marks_may_be_congestion_marks_and_count_more_than_was_acknowledged(counts: Counts) -> None:
    ecn = probing()
    assert ecn.on_ack(4, counts) is (counts[2] > 0)
    assert ecn.state == CAPABLE


@pytest.mark.parametrize("counts", [(3, 0, 1), (5, 0, 0)])
def test_counts_never_fall(counts: Counts) -> None:
    ecn = probing()
    ecn.on_ack(5, (4, 0, 1))
    assert not ecn.on_ack(0, counts)
    assert ecn.state == FAILED


def test_each_congestion_mark_is_news_once() -> None:
    ecn = probing()
    assert ecn.on_ack(4, (3, 0, 1))
    assert not ecn.on_ack(1, (4, 0, 1))
    assert ecn.on_ack(1, (4, 0, 2))


def test_when_all_that_test_the_path_are_lost_none_is_marked_any_more() -> None:
    ecn = probing()
    ecn.on_lost(TEST_PACKETS - 1)
    assert ecn.state == UNKNOWN
    ecn.on_lost(1)
    assert ecn.state == FAILED


def test_another_network_is_tested_again_and_the_counts_go_on() -> None:
    ecn = probing()
    ecn.on_ack(10, (10, 0, 0))
    ecn.restart()
    assert ecn.state == TESTING
    ecn.on_sent(10)
    ecn.on_ack(2, (12, 0, 0))
    assert ecn.state == CAPABLE


# --- on a path -----------------------------------------------------------------------------------------------------


def marked(story: Story, count: int, at: float) -> None:
    story.send(count, at=at)
    story.space.sent.runs[-1].marked = True
    story.path.ecn.on_sent(count)


def ack(story: Story, start: int, stop: int, at: float, counts: Counts | None) -> None:
    story.path.on_ack(story.space, [start], [stop], 0.0, at, counts)


def test_a_congestion_mark_makes_the_window_smaller_once_a_round_trip() -> None:
    story = confirmed(0.1)
    story.path.controller.window = 100 * SIZE
    marked(story, 10, 1.0)
    ack(story, 1, 6, 1.1, (4, 0, 1))
    window = story.path.controller.window
    assert window == 50 * SIZE
    ack(story, 1, 11, 1.11, (7, 0, 3))
    assert story.path.controller.window == window
    marked(story, 10, 1.2)
    ack(story, 11, 21, 1.3, (16, 0, 4))
    assert story.path.controller.window == 25 * SIZE


def test_an_ack_that_was_overtaken_is_not_held_against_the_path() -> None:
    story = confirmed(0.1)
    marked(story, 10, 1.0)
    ack(story, 4, 8, 1.1, (4, 0, 0))
    ack(story, 1, 4, 1.1, (3, 0, 0))
    assert story.path.ecn.state == CAPABLE


def test_late_packets_do_not_take_back_what_a_mark_has_done() -> None:
    story = confirmed(0.1)
    story.path.controller.window = 100 * SIZE
    marked(story, 10, 1.0)
    ack(story, 5, 6, 1.1, (0, 0, 1))
    window = story.path.controller.window
    ack(story, 1, 6, 1.12, (4, 0, 1))
    assert story.path.reordering.late == 2
    assert story.path.controller.window == window


# --- end to end ----------------------------------------------------------------------------------------------------


def bulk(link: LinkSpec, size: int = 2_000_000, **config: str) -> tuple[int, int, int]:
    """Send `size` bytes over `link`: the state of ECN, packets lost, congestion marks seen."""
    world = World(4)
    client, server, c, s = connected(world, link, LinkSpec(delay=link.delay), client_config=Config(**config))
    plan = Plan(4)
    plan.streams = [[], [(size, True)]]
    run_plan(client, server, c, s, plan)
    recovery = c.paths[0].recovery
    return recovery.ecn.state, recovery.packets_lost, s.paths[0].space.acks.ce


@pytest.mark.parametrize("name", CONGESTION)
def test_a_queue_that_marks_is_obeyed(name: str) -> None:
    spec = LinkSpec(delay=0.02, rate=2_500_000, queue=100_000, mark=25_000, mtu=1_472)
    state, lost, ce = bulk(spec, congestion=name)
    assert state == CAPABLE
    assert ce > 0
    plain = bulk(LinkSpec(delay=0.02, rate=2_500_000, queue=100_000, mtu=1_472), congestion=name)
    assert plain[2] == 0
    assert lost <= plain[1]


@pytest.mark.parametrize("fault", ["bleach", "ecn_blackhole"])
def test_a_path_without_ecn_is_used_without(fault: str) -> None:
    spec = LinkSpec(delay=0.02, rate=2_500_000, queue=100_000)
    setattr(spec, fault, True)
    state, _, ce = bulk(spec)
    assert (state, ce) == (FAILED, 0)


def test_a_path_that_drops_marks_does_not_hold_up_a_single_packet_for_long() -> None:
    """Appendix A.4: three probe timeouts without a word are enough, however few packets tested the path."""
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    assert client.default_link is not None
    client.default_link.spec.ecn_blackhole = True
    c.paths[0].recovery.ecn.restart()
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    start, timeout = world.now, c.paths[0].probe_timeout()
    stream.send.write(b"request")
    client.flush(c)
    world.run_until(lambda: 0 in s.streams.streams and s.streams.streams[0].recv.readable() > 0)
    assert world.now - start < 3 * timeout + 0.021
