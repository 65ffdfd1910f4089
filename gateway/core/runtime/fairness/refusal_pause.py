"""For how long refusals are held back: whoever is refused at once asks again at once."""

from __future__ import annotations

import random

from sixpoint.errors import ResourceExhausted, SixpointError, StorageFull

__all__ = ["refusal_pause"]

_MAX_PAUSE_S, _MIN_PART = 2.0, 0.5


def refusal_pause(error: SixpointError) -> float:
    """Return the seconds for which to hold an error back: part of those after which to try again if a limit is reached.

    A caller that sends again at once would keep the gateway busy with refusing it. Those that were refused together
    are not told, and do not come back, at the same moment.
    """
    limited = isinstance(error, ResourceExhausted) and not isinstance(error, StorageFull)
    return min((error.retry_after or 0.0) / 2, _MAX_PAUSE_S) * random.uniform(_MIN_PART, 1.0) if limited else 0.0
