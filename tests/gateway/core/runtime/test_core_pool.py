from __future__ import annotations

import threading

import pytest

from gateway.core.runtime.core_pool import Cores
from sixpoint.preprocessing.concurrency import Both, in_turn


@pytest.mark.parametrize("both", [in_turn, Cores(1).both, Cores(2).both])
def test_both_results_come_in_their_order(both: Both) -> None:
    assert both(lambda: 1, lambda: "other") == (1, "other")


def test_idle_cores_work_side_by_side() -> None:
    cores, meeting = Cores(2), threading.Barrier(2, timeout=10)
    # Each waits for the other.
    assert sorted(cores.both(meeting.wait, meeting.wait)) == [0, 1]
    cores.close()


def test_where_no_core_is_idle_one_thread_does_both() -> None:
    cores, mine = Cores(2), threading.get_ident()
    (inner, other), _ = cores.both(lambda: cores.both(threading.get_ident, threading.get_ident), lambda: None)
    assert inner == other == mine
    assert cores.both(threading.get_ident, threading.get_ident)[1] != mine  # they are idle again


def test_where_prompts_share_the_cores_one_thread_does_both() -> None:
    mine = threading.get_ident()
    assert Cores(4, inside=lambda: 3).both(threading.get_ident, threading.get_ident) == (mine, mine)
    assert Cores(4, inside=lambda: 2).both(threading.get_ident, threading.get_ident)[1] != mine


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_either_is_raised_and_the_cores_are_idle_again(count: int) -> None:
    cores = Cores(count)

    def fails() -> None:
        raise MemoryError

    for one, other in ((fails, lambda: None), (lambda: None, fails), (fails, fails)):
        with pytest.raises(MemoryError):
            cores.both(one, other)
    assert cores.both(lambda: 1, lambda: 2) == (1, 2)
