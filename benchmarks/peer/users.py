"""Simulated users who outline and correct an object, alone or several at once, and the speed of the answers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks.images.examples import Example
from benchmarks.peer.monai_label import MonaiLabel
from sixpoint.client import Client, Session
from sixpoint.errors import SixpointError
from sixpoint.prompts import Click, ExtremePoints

__all__ = ["CLICKS", "Ask", "Clicks", "alone", "ask_peer", "open_by_dialect", "open_by_sdk", "rate", "turns"]

CLICKS = 5
"""Corrections of an object before the next one is started."""
# TorchScript optimises a network in its first runs, which are many times slower.
_WARM_UP = 4

Clicks = tuple[Click, ...]
Ask = Callable[[Clicks], float]
"""A request of one user: correct the object with these clicks, of which the last is new; without clicks, start it.
Returns the duration of the network in seconds, as the server reports it.
"""


def turns(clicks: Clicks, *, user: int) -> Iterator[Clicks]:
    """Generate the clicks of a user's requests, one request after the other, without end; the same for both servers."""
    for start in itertools.count(user * CLICKS, CLICKS):
        window = tuple(clicks[number % len(clicks)] for number in range(start, start + CLICKS))
        yield from (window[:count] for count in range(CLICKS + 1))


def open_by_sdk(server: str, stack: ExitStack, example: Example, model: str, prompt: ExtremePoints) -> Ask:
    """Open a session of sixpoint by its SDK; returns how it is asked."""
    client = stack.enter_context(Client(server))
    return _ask_sixpoint(stack.enter_context(client.open_session(example.volume, model=model)), prompt)


def open_by_dialect(url: str, stack: ExitStack, example: Example, model: str, prompt: ExtremePoints) -> Ask:
    """Open a session of sixpoint as MONAI Label's clients do; returns how it is asked."""
    client = MonaiLabel(url)
    session = client.upload(example.volume)
    stack.callback(lambda: client.close_session(session))
    return ask_peer(client, model, session, prompt)


def _ask_sixpoint(session: Session, prompt: ExtremePoints) -> Ask:
    def ask(clicks: Clicks) -> float:
        mask = session.annotate(clicks[-1] if clicks else prompt)
        # The SDK decodes the array on first access. MONAI Label's client has decoded it already.
        assert mask.array.any()
        return mask.timings.inference.total_seconds()

    return ask


def ask_peer(client: MonaiLabel, model: str, session: str, prompt: ExtremePoints) -> Ask:
    """How a session of a server that speaks MONAI Label's dialect is asked."""

    def ask(clicks: Clicks) -> float:
        # MONAI Label stores nothing between requests: each one carries all clicks.
        positive = [click.point for click in clicks if click.positive]
        negative = [click.point for click in clicks if not click.positive]
        points = [*prompt.points, *positive]
        return client.infer(model, session, foreground=points, background=negative).latencies["infer"]

    return ask


def alone(asks: tuple[Ask, Ask], asked: Iterator[Clicks], corrections: int) -> list[list[tuple[float, float]]]:
    """Send the same requests to both servers alternately.

    Returns:
        Seconds of every correction, and of the network in it, for each server.
    """
    measured: list[list[tuple[float, float]]] = [[], []]
    for number, clicks in enumerate(asked):
        if len(measured[0]) == corrections:
            break
        for ask, durations in zip(asks, measured, strict=True):
            started = time.perf_counter()
            network = ask(clicks)
            if clicks and number >= _WARM_UP:
                durations.append((time.perf_counter() - started, network))
    return measured


def rate(work: Sequence[tuple[Ask, Iterator[Clicks]]], seconds: float) -> tuple[float, int]:
    """Measure the requests answered per second for users who each send requests without a pause.

    Returns:
        Answered requests per second, and the number of failed ones.
    """
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
        counts = list(pool.map(lambda user: use(*user), work))
    duration = time.perf_counter() - started
    return sum(answered for answered, _ in counts) / duration, sum(failed for _, failed in counts)
