"""Run work on threads, to its end."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

__all__ = ["run_to_end"]

_Result = TypeVar("_Result")


async def run_to_end(executor: Executor, work: Callable[[], _Result]) -> _Result:
    """Run work on a thread. A caller that is cancelled still waits for work that has begun.

    A thread cannot be stopped: what the caller releases when it is cancelled, such as reserved memory, would be in use.

    Args:
        executor: Threads for the work.
        work: Function to run.
    """
    # With the context of the caller, of which the phases of a call on the thread are.
    running = executor.submit(contextvars.copy_context().run, work)
    try:
        return await asyncio.wrap_future(running)
    except asyncio.CancelledError:
        if not running.cancel():
            await asyncio.gather(asyncio.wrap_future(running), return_exceptions=True)
        raise
