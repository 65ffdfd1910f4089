"""Threads that owners share: waiting work is run in turns by owner."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from gateway.core.runtime.fairness.owner import current_owner

__all__ = ["FairExecutor"]

_Result = TypeVar("_Result")


@dataclass(eq=False)
class _Account:
    """Work of an owner.

    Attributes:
        turn: Number of the owner's last piece of work; at first, one that is right before the last one of all.
        running: Number of threads that work for the owner.
        waiting: Work that waits, in order.
    """

    turn: int
    running: int = 0
    waiting: deque[tuple[Future[Any], Callable[[], Any]]] = field(default_factory=deque)


class FairExecutor(Executor):
    """Threads for blocking work.

    The next piece of work is that of the owner with the fewest threads, and among equals of the one served longest
    ago. A piece of work belongs to the owner of the task that submits it.

    Args:
        max_workers: Number of threads.
        thread_name_prefix: First part of the threads' names.
    """

    def __init__(self, max_workers: int, *, thread_name_prefix: str = "") -> None:
        self.max_workers = max_workers
        """Number of threads."""
        self._threads = ThreadPoolExecutor(max_workers, thread_name_prefix=thread_name_prefix)
        self._lock = threading.Lock()
        # Even numbers, so that a newcomer comes between the last owner served and all that were served before.
        self._turn = 0
        self._accounts: dict[str, _Account] = {}

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """Run a function on a thread once it is its owner's turn."""
        future: Future[_Result] = Future()
        with self._lock:
            # Within the lock, since a thread that is free at once must find the work. It raises after shutdown.
            self._threads.submit(self._run_next)
            account = self._accounts.setdefault(current_owner(), _Account(self._turn - 1))
            account.waiting.append((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further work, and wait for what was submitted.

        Args:
            wait: Whether to wait.
            cancel_futures: Whether to cancel what has not begun.
        """
        if cancel_futures:
            with self._lock:
                for account in self._accounts.values():
                    for future, _ in account.waiting:
                        future.cancel()
        self._threads.shutdown(wait=wait)

    def _run_next(self) -> None:
        with self._lock:
            queued = ((owner, account) for owner, account in self._accounts.items() if account.waiting)
            owner, account = min(queued, key=lambda item: (item[1].running, item[1].turn))
            future, work = account.waiting.popleft()
            self._turn += 2
            account.turn = self._turn
            account.running += 1
        try:
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
        finally:
            # The frame of an exception refers to them, and the future to the exception.
            del future, work
            with self._lock:
                account.running -= 1
                if not account.running and not account.waiting:
                    del self._accounts[owner]
