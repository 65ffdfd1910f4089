"""Two pieces of work whose order does not matter: whoever calls says whether they are done side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["PairRunner", "run_serially"]

_One = TypeVar("_One")
_Other = TypeVar("_Other")


class PairRunner(Protocol):
    """Does two pieces of work, neither of which needs the other's result."""

    def __call__(self, one: Callable[[], _One], other: Callable[[], _Other], /) -> tuple[_One, _Other]:
        """The results of both."""
        ...


def run_serially(one: Callable[[], _One], other: Callable[[], _Other], /) -> tuple[_One, _Other]:
    """First one, then the other."""
    return one(), other()
