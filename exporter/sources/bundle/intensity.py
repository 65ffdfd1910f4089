"""Convert a chain of MONAI intensity transforms to a window of the spec and a linear scaling in the graph.

Semantics of each transform: MONAI 1.6, ``monai.transforms.intensity.array``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from exporter.sources.bundle.data.expression import UnknownValueError
from exporter.sources.bundle.data.transforms import Step
from sixpoint.model_spec import Intensity

__all__ = ["INTENSITY_TRANSFORMS", "LinearScaling", "ScalingError", "apply_transform", "takes_statistics"]

_WIDTH = 65536.0
"""Half-width of a window that must not clip, in half-ranges or standard deviations of the transform. A power of two, so
that the graph undoes it exactly; the tensor is float32, whose precision does not depend on it."""
_READ: dict[str, tuple[str, ...]] = {
    "ScaleIntensityRange": ("a_min", "a_max", "b_min", "b_max", "clip"),
    "ScaleIntensityRangePercentiles": ("lower", "upper", "b_min", "b_max", "clip", "relative"),
    "ScaleIntensity": ("minv", "maxv", "factor"),
    "NormalizeIntensity": ("subtrahend", "divisor", "nonzero"),
}
_FLOATS = (None, "float", "float32", "float64", "double")


class ScalingError(ValueError):
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
    def wide(self) -> bool:
        """Whether the window is far wider than the image's range, because nothing may be clipped."""
        return self.intensity is None or (self.intensity.method in ("range", "zscore") and not self.clipped)

    @property
    def nonzero(self) -> bool:
        """Whether voxels of value 0 count as background."""
        return self.intensity is not None and self.intensity.nonzero


def apply_transform(step: Step, before: LinearScaling) -> LinearScaling:
    """Return the scaling after one more transform.

    Args:
        step: The transform; its name is a key of :data:`INTENSITY_TRANSFORMS`.
        before: The scaling before it.

    Raises:
        ScalingError: A spec cannot express the result.
        UnknownValueError: An argument can be computed by running code only.
    """
    unread = step.unread((*_READ[step.name], "channel_wise", "dtype"))
    if unread:
        raise ScalingError(f"{unread} is not supported")
    if step.get("dtype") not in _FLOATS:
        raise ScalingError(f"it casts the image to {step.get('dtype')}, expected float32")
    try:
        return INTENSITY_TRANSFORMS[step.name](step, before)
    except ScalingError:
        raise
    except (UnknownValueError, TypeError, ValueError, ZeroDivisionError, KeyError) as error:
        raise ScalingError(f"its arguments {_excerpt(step)} are not plain numbers") from error


def takes_statistics(step: Step) -> bool:
    """Whether a transform depends on all voxels of the image, not only on its arguments.

    Raises:
        UnknownValueError: An argument can be computed by running code only.
    """
    if step.name == "ScaleIntensity":
        return step.get("minv", 0.0) is not None or step.get("maxv", 1.0) is not None
    if step.name == "NormalizeIntensity":
        return step.get("subtrahend") is None or step.get("divisor") is None
    return step.name == "ScaleIntensityRangePercentiles"


def _scale_range(step: Step, before: LinearScaling) -> LinearScaling:
    if before.intensity is not None:
        raise ScalingError("it follows another intensity transform")
    low, high = float(step.get("a_min")), float(step.get("a_max"))
    bottom, top = _target_range(step)
    clipped = bool(step.get("clip", False)) and None not in (step.get("b_min"), step.get("b_max"))
    middle, half = (low + high) / 2, (high - low) / 2
    if half <= 0 or top <= bottom:
        raise ScalingError(f"its range {low:g} to {high:g}, to {bottom:g} to {top:g}, is empty")
    width = 1.0 if clipped else _WIDTH
    return LinearScaling(
        Intensity(method="range", low=middle - width * half, high=middle + width * half),
        scale=width * (top - bottom) / 2,
        offset=(top + bottom) / 2,
        clipped=clipped,
    )


def _scale_percentiles(step: Step, before: LinearScaling) -> LinearScaling:
    _require_unclipped(before)
    if bool(step.get("relative", False)) or not bool(step.get("clip", False)):
        raise ScalingError("percentiles are supported with clip: true and relative: false only")
    if before.nonzero:
        raise ScalingError("percentiles are not supported after a z-score with nonzero")
    bottom, top = _target_range(step)
    low, high = float(step.get("lower")), float(step.get("upper"))
    intensity = Intensity(method="percentile", low=low, high=high, exact=True)
    return LinearScaling(intensity, scale=(top - bottom) / 2, offset=(top + bottom) / 2, clipped=True)


def _scale(step: Step, before: LinearScaling) -> LinearScaling:
    bottom, top = step.get("minv", 0.0), step.get("maxv", 1.0)
    if not takes_statistics(step):
        if before.intensity is None:
            raise ScalingError("a factor on the image's own units needs a window")
        factor = 1.0 + float(step.get("factor"))
        if factor <= 0:
            raise ScalingError(f"its factor {factor - 1:g} does not keep the order of intensities")
        return replace(before, scale=before.scale * factor, offset=before.offset * factor)
    _require_unclipped(before)
    # MONAI scales to 0..1 if one of the two is missing.
    bottom, top = (0.0, 1.0) if bottom is None or top is None else (float(bottom), float(top))
    if top <= bottom:
        raise ScalingError(f"its range {bottom:g} to {top:g} is empty")
    # A shift and a positive factor before this do not change which voxels are the smallest and the largest.
    intensity = Intensity(method="percentile", low=0, high=100, nonzero=before.nonzero)
    return LinearScaling(intensity, scale=(top - bottom) / 2, offset=(top + bottom) / 2)


def _normalise(step: Step, before: LinearScaling) -> LinearScaling:
    subtrahend, divisor = step.get("subtrahend"), step.get("divisor")
    nonzero = bool(step.get("nonzero", False))
    if subtrahend is None and divisor is None:
        _require_unclipped(before)
        if before.nonzero or (nonzero and before.intensity is not None):
            raise ScalingError("nonzero is supported in the first intensity transform only, and no z-score after it")
        # A z-score is invariant to a shift and a positive factor before it, too.
        return LinearScaling(Intensity(method="zscore", width=_WIDTH, nonzero=nonzero), scale=_WIDTH)
    if nonzero or subtrahend is None or divisor is None:
        raise ScalingError("subtrahend and divisor are supported together and without nonzero only")
    middle, half = _single(subtrahend), _single(divisor)
    if half <= 0:
        raise ScalingError(f"its divisor is {half:g}, expected a positive number")
    if before.intensity is not None:
        return replace(before, scale=before.scale / half, offset=(before.offset - middle) / half)
    low, high = middle - _WIDTH * half, middle + _WIDTH * half
    return LinearScaling(Intensity(method="range", low=low, high=high), scale=_WIDTH)


INTENSITY_TRANSFORMS: dict[str, Callable[[Step, LinearScaling], LinearScaling]] = {
    "ScaleIntensityRange": _scale_range,
    "ScaleIntensityRangePercentiles": _scale_percentiles,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalise,
}
"""The supported transforms, by name."""


def _require_unclipped(before: LinearScaling) -> None:
    if before.clipped:
        raise ScalingError("it takes statistics of an image that was clipped before")


def _target_range(step: Step) -> tuple[float, float]:
    bottom, top = step.get("b_min"), step.get("b_max")
    if (bottom is None) != (top is None) and bool(step.get("clip", False)):
        raise ScalingError("it clips on one side only, as it has b_min or b_max but not both")
    return (0.0, 1.0) if bottom is None or top is None else (float(bottom), float(top))


def _single(value: Any) -> float:
    """Return a number, or the only number of a list: these images have one channel."""
    if isinstance(value, list | tuple):
        (value,) = value
    return float(value)


def _excerpt(step: Step) -> str:
    texts = (f"{key}: {value}" for key, value in step.arguments.items() if key not in {"keys", "_target_"})
    return ", ".join(texts)[:120]
