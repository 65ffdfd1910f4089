"""Convert a chain of MONAI intensity transforms to a window of the spec and a linear scaling in the graph.

Semantics of each transform: MONAI 1.6, ``monai.transforms.intensity.array``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sixpoint.model_spec import Intensity

__all__ = ["INTENSITY_TRANSFORMS", "LinearScaling", "ScalingError", "apply_transform"]

_WIDTH = 32.0
_UNITS = 8192.0
"""Half-width of a window that must not clip: so many standard deviations, or units of the image."""


class ScalingError(Exception):
    """The chain of transforms has no equivalent in a spec."""


@dataclass(frozen=True)
class LinearScaling:
    """The network's intensities: a window's -1 to 1, times ``scale``, plus ``offset``.

    Attributes:
        intensity: The window; None while the image is in its own units.
        scale: Positive factor.
        offset: Summand after the factor.
        clipped: Whether values outside the window are clipped, so that later transforms do not see them.
    """

    intensity: Intensity | None = None
    scale: float = 1.0
    offset: float = 0.0
    clipped: bool = False

    @property
    def nonzero(self) -> bool:
        """Whether voxels of value 0 count as background."""
        return self.intensity is not None and self.intensity.nonzero


def apply_transform(name: str, arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    """Return the scaling after one more transform.

    Args:
        name: Name of the transform without the ``d`` of dictionary transforms; a key of :data:`INTENSITY_TRANSFORMS`.
        arguments: Its keyword arguments.
        before: The scaling before it.

    Raises:
        ScalingError: A spec cannot express the result.
    """
    try:
        return INTENSITY_TRANSFORMS[name](arguments, before)
    except (TypeError, ValueError, ZeroDivisionError, KeyError) as error:
        raise ScalingError(f"its arguments {_excerpt(arguments)} are not plain numbers") from error


def _scale_range(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    if before.intensity is not None:
        raise ScalingError("it follows another intensity transform")
    low, high = float(arguments["a_min"]), float(arguments["a_max"])
    bottom, top = _target_range(arguments)
    clipped = bool(arguments.get("clip", False)) and arguments.get("b_min") is not None
    middle, half = (low + high) / 2, (high - low) / 2
    if half <= 0 or top <= bottom:
        raise ScalingError(f"its range {low:g} to {high:g}, to {bottom:g} to {top:g}, is empty")
    width = 1.0 if clipped else max(_WIDTH, _UNITS / half)
    return LinearScaling(
        Intensity(method="range", low=middle - width * half, high=middle + width * half),
        scale=width * (top - bottom) / 2,
        offset=(top + bottom) / 2,
        clipped=clipped,
    )


def _scale_percentiles(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    _require_unclipped(before)
    if arguments.get("relative") or not arguments.get("clip"):
        raise ScalingError("percentiles are supported with clip: true and relative: false only")
    bottom, top = _target_range(arguments)
    low, high = float(arguments["lower"]), float(arguments["upper"])
    intensity = Intensity(method="percentile", low=low, high=high, nonzero=before.nonzero)
    return LinearScaling(intensity, scale=(top - bottom) / 2, offset=(top + bottom) / 2, clipped=True)


def _scale(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    bottom, top = arguments.get("minv", 0.0), arguments.get("maxv", 1.0)
    if bottom is None or top is None:
        if before.intensity is None:
            raise ScalingError("a factor on the image's own units needs a window")
        factor = 1.0 + float(arguments["factor"])
        return replace(before, scale=before.scale * factor, offset=before.offset * factor)
    _require_unclipped(before)
    bottom, top = float(bottom), float(top)
    # A shift and a positive factor before this do not change which voxels are the smallest and the largest.
    intensity = Intensity(method="percentile", low=0, high=100, nonzero=before.nonzero)
    return LinearScaling(intensity, scale=(top - bottom) / 2, offset=(top + bottom) / 2)


def _normalise(arguments: Mapping[str, Any], before: LinearScaling) -> LinearScaling:
    subtrahend, divisor = arguments.get("subtrahend"), arguments.get("divisor")
    nonzero = bool(arguments.get("nonzero", False))
    if subtrahend is None and divisor is None:
        _require_unclipped(before)
        if nonzero and before.intensity is not None:
            raise ScalingError("nonzero is supported in the first intensity transform only")
        # A z-score is invariant to a shift and a positive factor before it, too.
        nonzero = nonzero or before.nonzero
        return LinearScaling(Intensity(method="zscore", width=_WIDTH, nonzero=nonzero), scale=_WIDTH)
    if nonzero or subtrahend is None or divisor is None:
        raise ScalingError("subtrahend and divisor are supported together and without nonzero only")
    middle, half = _single(subtrahend), _single(divisor)
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
"""The supported transforms, by name."""


def _require_unclipped(before: LinearScaling) -> None:
    if before.clipped:
        raise ScalingError("it takes statistics of an image that was clipped before")


def _target_range(arguments: Mapping[str, Any]) -> tuple[float, float]:
    bottom, top = arguments.get("b_min"), arguments.get("b_max")
    return (0.0, 1.0) if bottom is None or top is None else (float(bottom), float(top))


def _single(value: Any) -> float:
    """Return a number, or the only number of a list: these images have one channel."""
    if isinstance(value, list | tuple):
        (value,) = value
    return float(value)


def _excerpt(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in arguments.items() if key not in {"keys", "_target_"})[:120]
