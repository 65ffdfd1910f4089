"""The gateway's command line, with its event loop watched: stalls are written to a file as they end.

GATEWAY_STALLS names the file. Each line holds the time at which a stall ended (``time.time()``), its seconds, the CPU
seconds of the loop's thread meanwhile, and its seconds without those in which other programs had the processor.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Literal

from benchmarks.servers.processor_waits import ProcessorWaits

__all__ = ["STALLS_VARIABLE", "StallMeasure", "longest_stall", "main"]

StallMeasure = Literal["late", "worked", "own"]
"""How a stall is measured: how much later than planned a timer ran; only the CPU time of the event loop's thread; or
how much later, without the time in which the process could have run and other programs had the processor."""

STALLS_VARIABLE = "GATEWAY_STALLS"
"""Environment variable that names the file."""
_TICK_S = 0.002
# Shorter ones are not worth a line.
_NOTED_S = 0.01


class WatchedPolicy(asyncio.DefaultEventLoopPolicy):
    """Policy whose event loops note how much later than planned a timer runs.

    Args:
        stalls: File to append to.
    """

    def __init__(self, stalls: Path) -> None:
        super().__init__()
        self._stalls = stalls

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Create an event loop that is watched from its start."""
        loop = super().new_event_loop()
        file = self._stalls.open("a", buffering=1)
        waits = ProcessorWaits()

        def tick(due: float, worked: float) -> None:
            late = loop.time() - due
            if late >= _NOTED_S:
                own = max(min(late, time.thread_time() - worked), late - waits.seconds())
                file.write(f"{time.time():.3f} {late:.4f} {time.thread_time() - worked:.4f} {own:.4f}\n")
            plan()

        def plan() -> None:
            waits.refresh()
            due = loop.time() + _TICK_S
            loop.call_at(due, tick, due, time.thread_time())

        plan()
        return loop


def longest_stall(stalls: Path, *, since: float, measure: StallMeasure = "late") -> float:
    """Return the seconds of the longest stall that ended after a time; 0 if none was long enough to be noted.

    Args:
        stalls: File of the stalls.
        since: Time in seconds since 1970.
        measure: How a stall is measured.
    """
    # The last line may be incomplete.
    lines = [line.split() for line in stalls.read_text().splitlines(keepends=True) if line.endswith("\n")]
    column = {"late": 1, "worked": 2, "own": 3}[measure]
    return max((float(line[column]) for line in lines if float(line[0]) >= since), default=0.0)


def main() -> None:
    """Run the gateway's command line."""
    # Imported after the policy is set: gRPC must not create a loop before.
    asyncio.set_event_loop_policy(WatchedPolicy(Path(os.environ[STALLS_VARIABLE])))
    from gateway.cli import main as run

    run()


if __name__ == "__main__":
    main()
