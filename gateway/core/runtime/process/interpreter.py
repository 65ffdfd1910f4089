"""Python's interpreter, as a server needs it that works on an event loop and on threads."""

from __future__ import annotations

import gc
import sys

__all__ = ["tune_interpreter"]

# A thread waits so long for one that runs Python code: by default 5 ms, each time that it was at the disk or computed
# outside Python. While the event loop was busy with one caller's short calls, another's took three times as long.
_SWITCH_S = 0.0005


def tune_interpreter() -> None:
    """Keep threads and the event loop from waiting for each other, once a server has started.

    Objects that live now are exempt from garbage collection: modules, classes and tables live until the end. To look at
    them took 0.1 s, in which no thread runs, each time that many calls had come.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_S)
