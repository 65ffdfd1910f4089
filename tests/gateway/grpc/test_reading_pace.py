"""How fast the large messages of streams are read: at a rate that owners share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.core.runtime.fairness import acting_for
from gateway.grpc.servicers.reading_pace import ReadingPace


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
def pace(clock: Clock) -> Iterator[ReadingPace]:
    with acting_for("anna"):
        yield ReadingPace(10_000, burst=20_000, now=clock)


def test_an_owner_may_send_some_bytes_at_once_and_then_at_the_rate(pace: ReadingPace, clock: Clock) -> None:
    # Of three streams, one after the other.
    assert [pace.received(10_000) for _ in range(4)] == [0, 0, 1, 2]
    clock.seconds += 2
    assert pace.received(10_000) == pytest.approx(1)
    clock.seconds += 9
    assert [pace.received(10_000) for _ in range(3)] == pytest.approx([0, 0, 1])


def test_clicks_are_never_held_up(pace: ReadingPace) -> None:
    assert pace.received(100_000) > 0
    assert [pace.received(4096) for _ in range(100)] == [0] * 100


def test_owners_share_the_rate_and_none_waits_for_what_another_sent(pace: ReadingPace, clock: Clock) -> None:
    assert pace.received(100_000) == 8
    with acting_for("bert"):
        assert [pace.received(10_000) for _ in range(3)] == [0, 0, pytest.approx(2)]
        assert pace.opened() > 0
    with acting_for("carl"):
        assert pace.opened() == 0
    clock.seconds += 1000
    assert pace.received(30_000) == pytest.approx(1)


def test_streams_opened_while_their_owner_is_held_up_begin_one_after_the_other(pace: ReadingPace, clock: Clock) -> None:
    assert pace.opened() == 0
    held = pace.received(30_000)
    first, second = pace.opened(), pace.opened()
    assert held < first < second
    clock.seconds += 1000
    assert pace.opened() == 0


def test_nobody_is_held_up_and_nothing_is_counted_while_it_is_not_needed(clock: Clock) -> None:
    needed = False
    pace = ReadingPace(10_000, burst=20_000, needed=lambda: needed, now=clock)
    assert [pace.received(1_000_000) for _ in range(3)] == [0, 0, 0]
    needed = True
    assert [pace.received(10_000) for _ in range(3)] == [0, 0, pytest.approx(1)]
