"""What a chain of MONAI intensity transforms comes to: a window of the spec, and numbers that the graph makes.

Semantics of each transform: MONAI 1.6, ``monai.transforms.intensity.array``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sixpoint.model_spec import Intensity

__all__ = ["INTENSITY_TRANSFORMS", "LinearScaling", "ScalingError", "apply"]

_WIDTH = 32.0
_UNITS = 8192.0
"""A window that must not clip reaches so many standard deviations, or units of the image, either way."""


class ScalingError(Exception):
    """The chain cannot be said in a spec."""


@dataclass(frozen=True)
class LinearScaling:
    """The network's numbers: the window's -1 to 1, times ``scale``, plus ``offset``.

    Attributes:
        intensity: The window; None: the image's own units, so far.
        scale: Positive.
        offset: Added.
        clipped: Whether voxels beyond the window were cut off, so that what follows does not see them.
    """

    intensity: Intensity | None = None
    scale: float = 1.0
    offset: float = 0.0
    clipped: bool = False

    @property
    def nonzero(self) -> bool:
        """Whether voxels of 0 were taken for background."""
        return self.intensity is not None and self.intensity.nonzero


def apply(name: str, arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    """The numbers after one more transform.

    Args:
        name: Of the transform, without the ``d`` of those for dictionaries; one of :data:`INTENSITY_TRANSFORMS`.
        arguments: Its keyword arguments.
        before: What it is applied to.

    Raises:
        ScalingError: A spec has no words for it, saying why.
    """
    try:
        return INTENSITY_TRANSFORMS[name](arguments, before)
    except (TypeError, ValueError, ZeroDivisionError, KeyError) as error:
        raise ScalingError(f"its arguments {_few(arguments)} are not plain numbers") from error


def _scale_range(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    if before.intensity is not None:
        raise ScalingError("it follows another intensity transform")
    low, high = float(arguments["a_min"]), float(arguments["a_max"])
    least, most = _ends(arguments)
    clipped = bool(arguments.get("clip", False)) and arguments.get("b_min") is not None
    middle, half = (low + high) / 2, (high - low) / 2
    if half <= 0 or most <= least:
        raise ScalingError(f"its range {low:g} to {high:g}, to {least:g} to {most:g}, is none")
    width = 1.0 if clipped else max(_WIDTH, _UNITS / half)
    return LinearScaling(
        Intensity(method="range", low=middle - width * half, high=middle + width * half),
        scale=width * (most - least) / 2,
        offset=(most + least) / 2,
        clipped=clipped,
    )


def _scale_percentiles(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    _require_whole(before)
    if arguments.get("relative") or not arguments.get("clip"):
        raise ScalingError("percentiles are understood with clip: true and relative: false")
    least, most = _ends(arguments)
    low, high = float(arguments["lower"]), float(arguments["upper"])
    intensity = Intensity(method="percentile", low=low, high=high, nonzero=before.nonzero)
    return LinearScaling(intensity, scale=(most - least) / 2, offset=(most + least) / 2, clipped=True)


def _scale(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    least, most = arguments.get("minv", 0.0), arguments.get("maxv", 1.0)
    if least is None or most is None:
        if before.intensity is None:
            raise ScalingError("a factor on the image's own units needs a window")
        factor = 1.0 + float(arguments["factor"])
        return replace(before, scale=before.scale * factor, offset=before.offset * factor)
    _require_whole(before)
    least, most = float(least), float(most)
    # Neither the least nor the largest voxel is another one after a shift and a positive factor.
    intensity = Intensity(method="percentile", low=0, high=100, nonzero=before.nonzero)
    return LinearScaling(intensity, scale=(most - least) / 2, offset=(most + least) / 2)


def _normalise(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    subtrahend, divisor = arguments.get("subtrahend"), arguments.get("divisor")
    nonzero = bool(arguments.get("nonzero", False))
    if subtrahend is None and divisor is None:
        _require_whole(before)
        if nonzero and before.intensity is not None:
            raise ScalingError("nonzero is understood in the first intensity transform only")
        # Nor does a z-score change with them.
        nonzero = nonzero or before.nonzero
        return LinearScaling(Intensity(method="zscore", width=_WIDTH, nonzero=nonzero), scale=_WIDTH)
    if nonzero or subtrahend is None or divisor is None:
        raise ScalingError("subtrahend and divisor are understood together, and without nonzero")
    middle, half = _one(subtrahend), _one(divisor)
    if half <= 0:
        raise ScalingError(f"its divisor is {half:g}, expected a positive number")
    if before.intensity is not None:
        return replace(before, scale=before.scale / half, offset=(before.offset - middle) / half)
    width = max(_WIDTH, _UNITS / half)
    return LinearScaling(Intensity(method="range", low=middle - width * half, high=middle + width * half), scale=width)


INTENSITY_TRANSFORMS: dict[str, Callable[[Mapping[str, Any], LinearScaling], LinearScaling]] = {
    "ScaleIntensityRange": _scale_range,
    "ScaleIntensityRangePercentiles": _scale_percentiles,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalise,
}
"""The transforms that are understood, by name."""


def _require_whole(before: LinearScaling) -> None:
    if before.clipped:
        raise ScalingError("it takes statistics of an image that was clipped before")


def _ends(arguments: Mapping[str, Any]) -> tuple[float, float]:
    least, most = arguments.get("b_min"), arguments.get("b_max")
    return (0.0, 1.0) if least is None or most is None else (float(least), float(most))


def _one(value: Any) -> float:
    """A number, or the one number of a list: one channel has one."""
    if isinstance(value, list | tuple):
        (value,) = value
    return float(value)


def _few(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in arguments.items() if key not in {"keys", "_target_"})[:120]
