"""How fast the large messages of streams are read: at a rate that owners share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.core.runtime.fairness import Pace, acting_for


class Clock:
    """Seconds that only pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Iterator[Pace]:
    with acting_for("anna"):
        yield Pace(10_000, burst=20_000, now=clock)


def test_an_owner_may_send_some_bytes_at_once_and_then_at_the_rate(pace: Pace, clock: Clock) -> None:
    # Of three streams, one after the other.
    assert [pace.count(10_000) for _ in range(4)] == [0, 0, 1, 2]
    clock.seconds += 2
    assert pace.count(10_000) == pytest.approx(1)
    clock.seconds += 9
    assert [pace.count(10_000) for _ in range(3)] == pytest.approx([0, 0, 1])


def test_clicks_are_never_held_up(pace: Pace) -> None:
    assert pace.count(100_000) > 0
    assert [pace.count(4096) for _ in range(100)] == [0] * 100


def test_owners_share_the_rate_and_none_waits_for_what_another_sent(pace: Pace, clock: Clock) -> None:
    assert pace.count(100_000) == 8
    with acting_for("bert"):
        assert [pace.count(10_000) for _ in range(3)] == [0, 0, pytest.approx(2)]
        assert pace.opened() > 0
    with acting_for("carl"):
        assert pace.opened() == 0
    clock.seconds += 1000
    assert pace.count(30_000) == pytest.approx(1)


def test_streams_opened_while_their_owner_is_held_up_begin_one_after_the_other(pace: Pace, clock: Clock) -> None:
    assert pace.opened() == 0
    held = pace.count(30_000)
    first, second = pace.opened(), pace.opened()
    assert held < first < second
    clock.seconds += 1000
    assert pace.opened() == 0


def test_nobody_is_held_up_and_nothing_is_counted_while_it_is_not_needed(clock: Clock) -> None:
    needed = False
    pace = Pace(10_000, burst=20_000, needed=lambda: needed, now=clock)
    assert [pace.count(1_000_000) for _ in range(3)] == [0, 0, 0]
    needed = True
    assert [pace.count(10_000) for _ in range(3)] == [0, 0, pytest.approx(1)]
