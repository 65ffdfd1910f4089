"""Channels of a network's input: what each shows of an image and of what a person showed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

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
    "check_click_only_channels",
]

VOXEL_METHODS = ("percentile", "range", "zscore")
"""Methods of :class:`Intensity` that look at the voxels alone."""


class SpecModel(BaseModel):
    """Base of the parts of a spec: frozen, and without fields that it does not know."""

    # JSON has no NaN and no infinity: a spec with one would not come back from Triton.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Intensity(SpecModel):
    """How voxel values become an image channel; results are clipped to [-1, 1].

    ``percentile``: low and high percentiles of the ROI go to -1 and 1.
    ``range``: the values low and high (in the image's own units, HU for CT) go to -1 and 1.
    ``ellipsoid``: the median of the inner half of the points' ellipsoid goes to 0, ``width`` robust standard deviations
    off it to -1 and 1.
    ``points``: the same, with voxels just inside each extreme point; a box has none, and gets what ``ellipsoid`` gives.
    ``zscore``: the mean of what is seen (ROI or volume) goes to 0, ``width`` standard deviations off it to -1 and 1.

    With ``nonzero``, for ``percentile`` and ``zscore``, voxels of exactly 0 are background that somebody cut out: the
    statistics leave them out, and they count as the mean of the others.
    """

    method: Literal["percentile", "range", "ellipsoid", "points", "zscore"]
    low: float = 1.0
    high: float = 99.0
    width: float = Field(default=4.0, gt=0)
    nonzero: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Intensity:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.method != "range" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"low and high are percentiles, between 0 and 100; got {self.low} and {self.high}")
        if self.nonzero and self.method not in ("percentile", "zscore"):
            raise ValueError(f"nonzero is for percentile and zscore, not for {self.method}")
        return self


class ImageChannel(SpecModel):
    """The image itself, under one intensity window."""

    kind: Literal["image"] = "image"
    intensity: Intensity


class HeatmapChannel(SpecModel):
    """The largest of one Gaussian per extreme point, in [0, 1]; ``sigma`` is a fraction of the ROI's edge."""

    kind: Literal["heatmap"] = "heatmap"
    sigma: float = Field(default=0.04, gt=0)


class ClickChannel(SpecModel):
    """The largest of one Gaussian per positive (or negative) click, in [0, 1]; ``sigma`` as in a heat map."""

    kind: Literal["clicks"] = "clicks"
    sign: Literal["positive", "negative"]
    sigma: float = Field(default=0.03, gt=0)


class PreviousChannel(SpecModel):
    """The answer that the clicks correct, as probabilities in [0, 1]; 0 everywhere when there is none yet."""

    kind: Literal["previous"] = "previous"


class FieldOfViewChannel(SpecModel):
    """The share of each cell that lies in the image: beyond its border the ROI only repeats the last voxels."""

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
    | PreviousChannel
    | FieldOfViewChannel
    | EllipsoidChannel
    | HullChannel,
    Field(discriminator="kind"),
]


def check_click_only_channels(channels: Sequence[Channel], *, whole: bool) -> None:
    """Refuse what clicks alone do not say: how far an object reaches.

    Args:
        channels: All of a network.
        whole: Whether it sees the whole image.

    Raises:
        ValueError: Saying what to write.
    """
    if not whole:
        raise ValueError("clicks alone do not say how far an object reaches: write roi: {whole: true}")
    for channel in channels:
        made = f"channel {channel.kind}" if channel.kind in ("heatmap", "ellipsoid", "hull") else ""
        if channel.kind == "image" and channel.intensity.method not in VOXEL_METHODS:
            made = f"intensity by {channel.intensity.method}"
        if made:
            raise ValueError(f"clicks alone make no {made}: take extreme points or a box, too")
