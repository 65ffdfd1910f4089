"""The figures of a window that slides: which are held to an aim, and what misses it."""

from __future__ import annotations

from benchmarks.segmentation import figures


def test_throughput_and_memory_are_held_to_their_aims() -> None:
    row = {"patches": 12.0, "whole": 2.1, "window": 2.0, "bare": 1.96, "triton": 2.0}
    memory = {"peak": 2.2, "before": 0.6, "seconds": 30.0}
    assert [one.met for one in figures([row], memory) if one.met is not None] == [True, True]
    slow, large = row | {"window": 2.2}, memory | {"peak": 3.9}
    assert [one.met for one in figures([slow], large) if one.met is not None] == [False, False]
