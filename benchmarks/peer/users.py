"""People who outline and correct an object, alone or several at once: what they ask, and how fast it is answered."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from sixpoint.errors import SixpointError
from sixpoint.prompts import Click

__all__ = ["CLICKS", "Ask", "Clicks", "alone", "rate", "turns"]

CLICKS = 5
"""Corrections of an object before it is begun anew."""
# TorchScript optimises a network in its first runs, which are many times slower.
_WARM_UP = 4

Clicks = tuple[Click, ...]
Ask = Callable[[Clicks], float]
"""One request of one user: outline the object, corrected by these clicks, of which the last one is new; without any,
begin it. Answers the seconds of the network, as the server says.
"""


def turns(clicks: Clicks, *, user: int) -> Iterator[Clicks]:
    """What one user asks, one request after the other, without end; the same for both servers."""
    for start in itertools.count(user * CLICKS, CLICKS):
        shown = tuple(clicks[number % len(clicks)] for number in range(start, start + CLICKS))
        yield from (shown[:count] for count in range(CLICKS + 1))


def alone(asks: tuple[Ask, Ask], asked: Iterator[Clicks], corrections: int) -> list[list[tuple[float, float]]]:
    """Both asked the same in turn: for each, seconds of every correction, and of the network in it."""
    measured: list[list[tuple[float, float]]] = [[], []]
    for number, clicks in enumerate(asked):
        if len(measured[0]) == corrections:
            break
        for ask, found in zip(asks, measured, strict=True):
            started = time.perf_counter()
            network = ask(clicks)
            if clicks and number >= _WARM_UP:
                found.append((time.perf_counter() - started, network))
    return measured


def rate(work: Sequence[tuple[Ask, Iterator[Clicks]]], seconds: float) -> tuple[float, int]:
    """Requests answered per second by users who ask without a pause, each for itself; and how many failed."""
    started = time.perf_counter()

    def use(ask: Ask, asked: Iterator[Clicks]) -> tuple[int, int]:
        answered = failed = 0
        for clicks in asked:
            try:
                ask(clicks)
                answered += 1
            except SixpointError:
                failed += 1
            if time.perf_counter() - started > seconds:
                break
        return answered, failed

    with ThreadPoolExecutor(len(work)) as pool:
        counts = list(pool.map(lambda one: use(*one), work))
    duration = time.perf_counter() - started
    return sum(answered for answered, _ in counts) / duration, sum(failed for _, failed in counts)
