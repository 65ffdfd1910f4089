"""The phases of a running call, told to whoever traces it. Nothing is traced by default."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, Protocol

__all__ = ["Phase", "PhaseTracer", "action", "note_wait", "phase", "traced_by"]

Phase = Literal["queue", "preprocess", "inference", "postprocess", "encode", "store"]
"""A phase: as in :class:`~sixpoint.mask.Timings`."""

# A shorter wait is none: the next phase begins at once.
_MIN_WAIT_S = 0.001


class PhaseTracer(Protocol):
    """Told of the phases of calls, on the event loop and on threads: its methods must return at once and not raise."""

    def trace(self, phase: Phase) -> AbstractContextManager[object]:
        """Return a context that is a phase."""

    def action(self, kind: str) -> AbstractContextManager[object]:
        """Return a context that is an action of a stream: the phases within are its."""

    def note(self, phase: Phase, *, seconds: float) -> None:
        """Note a phase that ends now.

        Args:
            phase: The phase.
            seconds: Seconds that it took.
        """


_tracer: ContextVar[PhaseTracer | None] = ContextVar("phase_tracer", default=None)
_UNTRACED = nullcontext()


@contextmanager
def traced_by(tracer: PhaseTracer) -> Iterator[None]:
    """Tell a tracer of the phases of the block, and of what it starts."""
    token = _tracer.set(tracer)
    try:
        yield
    finally:
        _tracer.reset(token)


def phase(name: Phase) -> AbstractContextManager[object]:
    """Return a context that is a phase of the running call."""
    tracer = _tracer.get()
    return tracer.trace(name) if tracer else _UNTRACED


def action(kind: str) -> AbstractContextManager[object]:
    """Return a context that is an action of the running stream.

    Args:
        kind: Kind of the action, one of the contract's.
    """
    tracer = _tracer.get()
    return tracer.action(kind) if tracer else _UNTRACED


def note_wait(started: float, *, always: bool = False) -> None:
    """Note that the running call has waited until now.

    Args:
        started: Time when it began to wait, of ``time.perf_counter``.
        always: Whether to note a wait of less than a millisecond, too.
    """
    if tracer := _tracer.get():
        seconds = time.perf_counter() - started
        if always or seconds >= _MIN_WAIT_S:
            tracer.note("queue", seconds=seconds)
