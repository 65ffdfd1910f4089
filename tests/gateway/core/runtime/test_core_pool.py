from __future__ import annotations

import threading

import pytest

from gateway.core.runtime import CorePool
from sixpoint.concurrency import PairRunner, run_serially


@pytest.mark.parametrize("both", [run_serially, CorePool(1).run_pair, CorePool(2).run_pair])
def test_both_results_come_in_their_order(both: PairRunner) -> None:
    assert both(lambda: 1, lambda: "other") == (1, "other")


def test_idle_cores_work_side_by_side() -> None:
    cores, meeting = CorePool(2), threading.Barrier(2, timeout=10)
    # Each waits for the other.
    assert sorted(cores.run_pair(meeting.wait, meeting.wait)) == [0, 1]
    cores.close()


def test_where_no_core_is_idle_one_thread_does_both() -> None:
    cores, mine = CorePool(2), threading.get_ident()
    (inner, other), _ = cores.run_pair(lambda: cores.run_pair(threading.get_ident, threading.get_ident), lambda: None)
    assert inner == other == mine
    assert cores.run_pair(threading.get_ident, threading.get_ident)[1] != mine  # they are idle again


def test_where_prompts_share_the_cores_one_thread_does_both() -> None:
    mine = threading.get_ident()
    assert CorePool(4, active=lambda: 3).run_pair(threading.get_ident, threading.get_ident) == (mine, mine)
    assert CorePool(4, active=lambda: 2).run_pair(threading.get_ident, threading.get_ident)[1] != mine


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_either_is_raised_and_the_cores_are_idle_again(count: int) -> None:
    cores = CorePool(count)

    def fails() -> None:
        raise MemoryError

    for one, other in ((fails, lambda: None), (lambda: None, fails), (fails, fails)):
        with pytest.raises(MemoryError):
            cores.run_pair(one, other)
    assert cores.run_pair(lambda: 1, lambda: 2) == (1, 2)
