"""Threads that owners share."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from functools import partial

import pytest

from gateway.core.runtime.fairness import FairExecutor, acting_for


def submit(executor: FairExecutor, owner: str, done: list[str]) -> Future[None]:
    with acting_for(owner):
        return executor.submit(done.append, owner)


def test_work_of_owners_takes_turns_however_much_of_it_waits() -> None:
    executor, done, go_on = FairExecutor(1), list[str](), threading.Event()
    executor.submit(go_on.wait)
    for owner, count in (("greedy", 50), ("polite", 2)):
        for _ in range(count):
            submit(executor, owner, done)
    go_on.set()
    executor.shutdown()
    assert done[:4].count("polite") == 2
    assert len(done) == 52


def test_an_owner_without_a_thread_is_before_one_served_earlier_that_has_some() -> None:
    executor, done = FairExecutor(2), list[str]()
    first, second, started = threading.Event(), threading.Event(), threading.Barrier(3)

    def work(go_on: threading.Event) -> None:
        started.wait(10)
        go_on.wait(10)

    for owner, go_on in (("greedy", first), ("polite", second)):
        with acting_for(owner):
            executor.submit(work, go_on)
    started.wait(10)
    waiting = [submit(executor, owner, done) for owner in ("greedy", "greedy", "polite")]
    second.set()
    for future in waiting:
        future.result(10)
    assert done[0] == "polite"
    first.set()
    executor.shutdown()


def test_work_that_is_cancelled_before_it_begins_is_not_run() -> None:
    executor, done, go_on = FairExecutor(1), list[str](), threading.Event()
    executor.submit(go_on.wait)
    assert submit(executor, "a", done).cancel()
    following = submit(executor, "a", done)
    go_on.set()
    following.result(10)
    assert done == ["a"]
    later = [executor.submit(go_on.wait) for _ in range(3)]
    executor.shutdown(cancel_futures=True)
    assert all(future.done() for future in later)
    with pytest.raises(RuntimeError):
        executor.submit(go_on.wait)


async def test_errors_and_results_reach_the_caller() -> None:
    executor = FairExecutor(2)
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(executor, partial(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(executor, divmod, 1, 0)
    executor.shutdown()
