"""Channels of a network's input: image windows and guidance maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "VOXEL_METHODS",
    "Channel",
    "ClickChannel",
    "EllipsoidChannel",
    "FieldOfViewChannel",
    "HeatmapChannel",
    "HullChannel",
    "ImageChannel",
    "Intensity",
    "PreviousChannel",
    "SpecModel",
    "StrokeChannel",
    "check_click_only_channels",
]

VOXEL_METHODS = ("percentile", "range", "zscore")
"""Methods of :class:`Intensity` that depend on the voxels only, not on prompts."""


class SpecModel(BaseModel):
    """Base of a spec and its parts: frozen, without unknown fields."""

    # JSON has no NaN and no infinity: a spec with one could not be read back from Triton.
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Intensity(SpecModel):
    """Intensity window that maps voxel values to [-1, 1], clipped.

    ``percentile``: low and high percentiles of the ROI become -1 and 1.
    ``range``: the values low and high (in the image's own units, HU for CT) become -1 and 1.
    ``ellipsoid``: the median of the inner half of the points' ellipsoid becomes 0, values ``width`` robust standard
    deviations below and above it -1 and 1.
    ``points``: the same, with voxels just inside each extreme point; for a box, the same as ``ellipsoid``.
    ``zscore``: the mean of the ROI or volume becomes 0, values ``width`` standard deviations below and above it -1
    and 1.

    With ``nonzero``, for ``percentile`` and ``zscore``, voxels of exactly 0 are removed background: statistics leave
    them out, and they get the mean of the others. With ``exact``, percentiles are those of every voxel; otherwise a
    sample of them is enough.
    """

    method: Literal["percentile", "range", "ellipsoid", "points", "zscore"]
    low: float = 1.0
    high: float = 99.0
    width: float = Field(default=4.0, gt=0)
    nonzero: bool = False
    exact: bool = False

    @model_validator(mode="after")
    def _check_limits(self) -> Intensity:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.method != "range" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"low and high are percentiles, between 0 and 100; got {self.low} and {self.high}")
        if self.nonzero and self.method not in ("percentile", "zscore"):
            raise ValueError(f"nonzero is for percentile and zscore, not for {self.method}")
        return self


class ImageChannel(SpecModel):
    """The image under one intensity window."""

    kind: Literal["image"] = "image"
    intensity: Intensity


class HeatmapChannel(SpecModel):
    """Maximum of Gaussians at the extreme points, in [0, 1]; ``sigma`` is a fraction of the ROI's edge."""

    kind: Literal["heatmap"] = "heatmap"
    sigma: float = Field(default=0.04, gt=0)


class ClickChannel(SpecModel):
    """Maximum of Gaussians at the positive or the negative clicks, in [0, 1]; ``sigma`` as in a heat map."""

    kind: Literal["clicks"] = "clicks"
    sign: Literal["positive", "negative"]
    sigma: float = Field(default=0.03, gt=0)


class StrokeChannel(SpecModel):
    """Cells that the positive or the negative scribbles take up, or lassos: 1 there, 0 elsewhere."""

    kind: Literal["strokes"] = "strokes"
    prompt: Literal["scribbles", "lasso"]
    sign: Literal["positive", "negative"]


class PreviousChannel(SpecModel):
    """Previous answer, which clicks correct, as probabilities in [0, 1]; 0 everywhere before the first answer."""

    kind: Literal["previous"] = "previous"


class FieldOfViewChannel(SpecModel):
    """Share of each cell that lies in the image; outside, the ROI repeats the voxels at the border."""

    kind: Literal["field_of_view"] = "field_of_view"


class EllipsoidChannel(SpecModel):
    """1 - r of the axis-aligned ellipsoid in the points' box, clipped to [-1, 1]: 1 at its centre, 0 on its surface."""

    kind: Literal["ellipsoid"] = "ellipsoid"


class HullChannel(SpecModel):
    """Signed distance to the extreme points' convex hull, or to the box; positive inside, in half ROI edges, clipped to
    [-1, 1].
    """

    kind: Literal["hull"] = "hull"


Channel = Annotated[
    ImageChannel
    | HeatmapChannel
    | ClickChannel
    | StrokeChannel
    | PreviousChannel
    | FieldOfViewChannel
    | EllipsoidChannel
    | HullChannel,
    Field(discriminator="kind"),
]


def check_click_only_channels(channels: Sequence[Channel], *, whole: bool) -> None:
    """Refuse channels that a model accepting clicks only cannot have: clicks do not tell the object's extent.

    Args:
        channels: All channels of the network.
        whole: Whether the ROI is the whole image.

    Raises:
        ValueError: The ROI or a channel needs points or a box; the message says what to write.
    """
    if not whole:
        raise ValueError("clicks alone do not tell the object's extent: write roi: {whole: true}")
    for channel in channels:
        refused = f"channel {channel.kind}" if channel.kind in ("heatmap", "ellipsoid", "hull") else ""
        if channel.kind == "image" and channel.intensity.method not in VOXEL_METHODS:
            refused = f"intensity by {channel.intensity.method}"
        if refused:
            raise ValueError(f"{refused} needs more than clicks: add extreme_points or box to prompts, or remove it")
