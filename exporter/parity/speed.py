"""How long Triton takes for a version, beside the version that serves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["Speed", "measure_speed", "require_as_fast"]

_RUNS = 7
_MM3_PER_LITRE = 1e6


class Speed(BaseModel):
    """Seconds that two versions take in the same Triton: for an answer, or for a litre of an image by patches.

    Attributes:
        new: Seconds of the new version.
        serving: Seconds of the version that serves.
    """

    model_config = ConfigDict(frozen=True)

    new: float
    serving: float


def measure_speed(
    new: Callable[[], object], serving: Callable[[], object], *, specs: tuple[ModelSpec, ModelSpec]
) -> Speed:
    """Run two versions in turns. The shortest run counts: whatever else the machine does makes runs longer only.

    Args:
        new: Runs the new version once.
        serving: Runs the version that serves once.
        specs: Spec of the new version, and that of the version that serves.
    """
    shortest = [math.inf, math.inf]
    for number in range(1 + _RUNS):
        for index, run in enumerate((new, serving)):
            began = time.perf_counter()
            run()
            # The first run of a version allocates its memory.
            if number:
                shortest[index] = min(shortest[index], time.perf_counter() - began)
    first, second = (seconds / _litres(spec) for seconds, spec in zip(shortest, specs, strict=True))
    return Speed(new=_rounded(first), serving=_rounded(second))


def require_as_fast(speed: Speed, *, name: str, serving: int, max_slowdown: float) -> None:
    """Refuse a version that takes longer than is allowed.

    Args:
        speed: What both versions take.
        name: Name of the model.
        serving: Number of the version that serves.
        max_slowdown: Factor by which the time may grow.

    Raises:
        FailedPrecondition: It takes longer.
    """
    if speed.new > max_slowdown * speed.serving:
        raise FailedPrecondition(
            f"{name} takes {speed.new:.4g} s, {speed.new / speed.serving:.2f} times the {speed.serving:.4g} s of "
            f"version {serving}, which serves; {max_slowdown:g} times is allowed (--max-slowdown): take a smaller "
            "network or a coarser spacing, or allow more"
        )


def _litres(spec: ModelSpec) -> float:
    """Litres of an image that one run moves forward; 1 for a network that sees a region of its own choice."""
    if spec.patch is None or spec.patch.spacing is None:
        return 1.0
    step = 1.0 - spec.patch.overlap
    volume = math.prod(size * step * spacing for size, spacing in zip(spec.patch.size, spec.patch.spacing, strict=True))
    return volume / _MM3_PER_LITRE


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.4g}")
