"""The figures of a job in the background: which are held to an aim, and what misses it."""

from __future__ import annotations

from benchmarks.jobs.__main__ import figures
from benchmarks.jobs.background import Clicks, Throughput


def test_throughput_and_clicks_are_held_to_their_aims() -> None:
    good = figures(Throughput([2.0, 2.0], [1.96, 1.98]), Clicks([0.1, 0.1], [0.11, 0.14], 0.3))
    assert [one.met for one in good if one.met is not None] == [True, True]
    slow = figures(Throughput([2.2, 2.2], [1.96, 1.98]), Clicks([0.1, 0.1], [0.11, 0.2], 0.3))
    assert [one.met for one in slow if one.met is not None] == [False, False]
