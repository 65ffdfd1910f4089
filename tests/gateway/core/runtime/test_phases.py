"""Phases of calls: told to whoever traces the call, wherever its work runs, and free of cost for all others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

from gateway.core.runtime.phases import Phase, action, note_wait, phase, traced_by
from gateway.core.runtime.process.threads import run_to_end


class Tracer:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def trace(self, phase: Phase) -> AbstractContextManager[object]:
        self.told.append(phase)
        return nullcontext()

    def action(self, kind: str) -> AbstractContextManager[object]:
        self.told.append(kind)
        return nullcontext()

    def note(self, phase: Phase, *, seconds: float) -> None:
        self.told.append(f"{phase} {seconds:.0f} s")


def test_a_call_that_is_not_traced_makes_no_objects() -> None:
    assert phase("store") is phase("encode") is action("undo")
    note_wait(time.perf_counter() - 5)


async def test_work_on_a_thread_belongs_to_the_call_that_waits_for_it() -> None:
    def work() -> None:
        with phase("preprocess"):
            pass

    traced, other = Tracer(), Tracer()
    with ThreadPoolExecutor(1) as executor:
        with traced_by(other), traced_by(traced):
            await run_to_end(executor, work)
        await run_to_end(executor, work)
    assert (traced.told, other.told) == (["preprocess"], [])


def test_short_waits_are_told_only_if_they_are_wanted() -> None:
    tracer = Tracer()
    with traced_by(tracer):
        note_wait(time.perf_counter())
        note_wait(time.perf_counter(), always=True)
        note_wait(time.perf_counter() - 5)
    assert tracer.told == ["queue 0 s", "queue 5 s"]
