"""Learning rate over a run."""

from __future__ import annotations

import math

__all__ = ["cosine_schedule"]


def cosine_schedule(peak: float, *, step: int, warm_up_steps: int, fraction: float) -> float:
    """Compute the learning rate of a step: linear warm-up, then a cosine over the budget down to 1 % of the peak.

    Args:
        peak: Peak learning rate.
        step: Number of steps taken.
        warm_up_steps: Number of steps of the warm-up.
        fraction: Spent part of the budget, 0 to 1.
    """
    return peak * min(1.0, (step + 1) / warm_up_steps) * (0.01 + 0.99 * (1 + math.cos(math.pi * fraction)) / 2)
