"""When compressing stops, and when it is tried again."""

from __future__ import annotations

from jsp.coding.trial import Trial

KIB = 1024


def pass_by(trial: Trial) -> int:
    """How many KiB go by until it wants again."""
    count = 0
    while not trial.wants(KIB):
        count += 1
    return count


def test_stops_on_what_does_not_get_smaller_for_longer_and_longer() -> None:
    trial = Trial()
    pauses = []
    for _ in range(9):
        trial.tell(32 * KIB, 32 * KIB)
        pauses.append(pass_by(trial))
    assert pauses == [256, 512, 1024, 2048, 4096, 8192, 16384, 16384, 16384]


def test_goes_on_where_it_is_worth_it_and_forgets_that_it_was_not() -> None:
    trial = Trial()
    trial.tell(32 * KIB, 32 * KIB)
    assert pass_by(trial) == 256
    for _ in range(100):
        trial.tell(32 * KIB, 20 * KIB)
        assert trial.wants(KIB)
    trial.tell(32 * KIB, 32 * KIB)
    assert pass_by(trial) == 256


def test_does_not_judge_by_the_first_few_bytes() -> None:
    trial = Trial()
    for _ in range(100):
        trial.tell(100, 110)
    assert trial.wants(1)
    trial.tell(16 * KIB, 4 * KIB)
    assert trial.wants(1)
