"""Pieces of work that do not touch each other: one after the other, or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

__all__ = ["Spread", "in_turn", "on"]

Spread = Callable[[Callable[[int], None], Iterable[int]], None]
"""Calls a function with each number, and returns when all calls have; NumPy frees the interpreter in most of them."""


def in_turn(work: Callable[[int], None], numbers: Iterable[int]) -> None:
    """One after the other, here."""
    for number in numbers:
        work(number)


def on(executor: Executor) -> Spread:
    """Side by side on an executor's threads, which must not be those that wait for it."""

    def spread(work: Callable[[int], None], numbers: Iterable[int]) -> None:
        for _ in executor.map(work, numbers):
            pass

    return spread
