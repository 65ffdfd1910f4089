"""ModelSpec: what one model needs and yields, in a form that travels with it.

The exporter writes it as JSON into Triton's ``config.pbtxt`` (parameter ``sixpoint``); the gateway reads it back from
Triton. Nothing else describes a model.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sixpoint.errors import ModelSpecError

__all__ = [
    "PARAMETER",
    "Channel",
    "ClickChannel",
    "EllipsoidChannel",
    "FieldOfViewChannel",
    "HeatmapChannel",
    "HullChannel",
    "ImageChannel",
    "InputSpec",
    "Intensity",
    "ModelSpec",
    "NetworkSpec",
    "OutputSpec",
    "PatchSpec",
    "PreviousChannel",
    "PromptKind",
    "RoiSpec",
    "Task",
]

PARAMETER = "sixpoint"
"""Name of the parameter of ``config.pbtxt`` that holds the spec's JSON."""


class _Model(BaseModel):
    # JSON has no NaN and no infinity: a spec with one would not come back from Triton.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Task(StrEnum):
    """What a model is for."""

    ANNOTATION = "annotation"
    """Outlines what a person's prompts point at."""
    SEGMENTATION = "segmentation"
    """Labels every voxel of a volume, without prompts."""


class PromptKind(StrEnum):
    """What a person can give a model."""

    EXTREME_POINTS = "extreme_points"
    """Six or more points that touch the object's six extremes (DEXTR, Maninis et al. 2018)."""
    BOX = "box"
    """A box round the object."""
    CLICKS = "clicks"
    """Corrections: positive clicks where the object was missed, negative ones where the answer went too far."""
    MASK = "mask"
    """A mask that a person brings along, to correct it."""


class Intensity(_Model):
    """How voxel values become an image channel; results are clipped to [-1, 1].

    ``percentile``: low and high percentiles of the ROI go to -1 and 1.
    ``range``: the values low and high (in the image's own units, HU for CT) go to -1 and 1.
    ``ellipsoid``: the median of the inner half of the points' ellipsoid goes to 0, ``width`` robust standard deviations
    off it to -1 and 1.
    ``points``: the same, with voxels just inside each extreme point; a box has none, and gets what ``ellipsoid`` gives.
    """

    method: Literal["percentile", "range", "ellipsoid", "points"]
    low: float = 1.0
    high: float = 99.0
    width: float = Field(default=4.0, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Intensity:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.method != "range" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"low and high are percentiles, between 0 and 100; got {self.low} and {self.high}")
        return self


class ImageChannel(_Model):
    """The image itself, under one intensity window."""

    kind: Literal["image"] = "image"
    intensity: Intensity


class HeatmapChannel(_Model):
    """The largest of one Gaussian per extreme point, in [0, 1]; ``sigma`` is a fraction of the ROI's edge."""

    kind: Literal["heatmap"] = "heatmap"
    sigma: float = Field(default=0.04, gt=0)


class ClickChannel(_Model):
    """The largest of one Gaussian per positive (or negative) click, in [0, 1]; ``sigma`` as in a heat map."""

    kind: Literal["clicks"] = "clicks"
    sign: Literal["positive", "negative"]
    sigma: float = Field(default=0.03, gt=0)


class PreviousChannel(_Model):
    """The answer that the clicks correct, as probabilities in [0, 1]; 0 everywhere when there is none yet."""

    kind: Literal["previous"] = "previous"


class FieldOfViewChannel(_Model):
    """The share of each cell that lies in the image: beyond its border the ROI only repeats the last voxels."""

    kind: Literal["field_of_view"] = "field_of_view"


class EllipsoidChannel(_Model):
    """1 - r of the axis-aligned ellipsoid in the points' box, clipped to [-1, 1]: 1 at its centre, 0 on its surface."""

    kind: Literal["ellipsoid"] = "ellipsoid"


class HullChannel(_Model):
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


class RoiSpec(_Model):
    """The region of interest: the points' box (to the voxels' faces), grown, on the network's grid.

    Attributes:
        size: Voxels of the network's grid along (x, y, z).
        margin_mm: Millimetres added on every side.
        margin_voxels: Voxels of the image added on every side, on top: clicks miss small objects by some, too.
        margin_fraction: Fraction of the box's own edge added on every side, on top.
    """

    size: tuple[int, int, int] = (64, 64, 64)
    margin_mm: float = Field(default=0.0, ge=0)
    margin_voxels: float = Field(default=0.0, ge=0)
    margin_fraction: float = Field(default=0.225, ge=0)

    @model_validator(mode="after")
    def _bounded(self) -> RoiSpec:
        if not all(8 <= edge <= 512 for edge in self.size):
            raise ValueError(f"every edge of the ROI must be between 8 and 512 voxels, got {self.size}")
        return self


class PatchSpec(_Model):
    """What a network without prompts sees at once; windows of this size, sliding, cover the whole volume.

    Attributes:
        size: Voxels of the network's grid along (x, y, z).
        spacing: Millimetres between voxels along (x, y, z), to which canonical volumes are resampled.
        overlap: Fraction of its edge that a window shares with the next one.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    overlap: float = Field(default=0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _bounded(self) -> PatchSpec:
        if not all(8 <= edge <= 512 for edge in self.size):
            raise ValueError(f"every edge of the patch must be between 8 and 512 voxels, got {self.size}")
        if not all(edge > 0 for edge in self.spacing):
            raise ValueError(f"spacing must be positive, got {self.spacing} mm")
        return self


class InputSpec(_Model):
    """The network's one input tensor, [channel, z, y, x]."""

    name: str = "INPUT"
    dtype: Literal["FP16", "FP32"] = "FP16"
    channels: tuple[Channel, ...] = Field(min_length=1)


class OutputSpec(_Model):
    """The network's one output tensor, probabilities [channel, z, y, x]: 0..255 as UINT8, 0..1 as FP16 or FP32.

    Annotation: one channel, cut at ``threshold``. Segmentation: background and every label, and the largest wins.
    """

    name: str = "PROBABILITY"
    dtype: Literal["UINT8", "FP16", "FP32"] = "UINT8"
    threshold: float = Field(default=0.5, gt=0, lt=1)


class NetworkSpec(_Model):
    """A MONAI network: its class in ``monai.networks.nets`` and keyword arguments; only for exporter and trainer."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ModelSpec(_Model):
    """Everything that the gateway, the exporter and the trainer must agree on about one model."""

    version: Literal[1] = 1
    """Version of this description's own format."""
    title: str = ""
    description: str = ""
    task: Task = Task.ANNOTATION
    modalities: tuple[str, ...] = ()
    """Modalities (DICOM's terms: CT, MR, PT, US) that the model is meant for; empty: any."""
    labels: tuple[str, ...] = ("object",)
    """Names of the labels 1, 2, ... of the model's masks."""
    prompts: tuple[PromptKind, ...] = (PromptKind.EXTREME_POINTS,)
    roi: RoiSpec = RoiSpec()
    """Where prompts make the network look; of no meaning for segmentation."""
    patch: PatchSpec | None = None
    """What the network sees at once; for segmentation only."""
    input: InputSpec
    output: OutputSpec = OutputSpec()
    network: NetworkSpec | None = None
    licence: str = "unknown"
    metrics: dict[str, float] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_task(self) -> ModelSpec:
        kinds = {channel.kind for channel in self.input.channels}
        if PromptKind.MASK in self.prompts and not {"clicks", "previous"} <= kinds:
            raise ValueError(
                "to correct a mask, a network needs the channels clicks and previous: take mask off prompts"
            )
        if self.task is not Task.SEGMENTATION:
            if self.patch is not None:
                raise ValueError(f"a patch is for segmentation; {self.task.value} has a roi")
            return self
        if self.patch is None:
            raise ValueError("segmentation needs a patch: {size, spacing}")
        if self.prompts:
            raise ValueError("segmentation takes no prompts: write prompts: []")
        if not self.labels:
            raise ValueError("segmentation needs at least one label")
        for channel in self.input.channels:
            if channel.kind != "image" or channel.intensity.method not in ("percentile", "range"):
                raise ValueError("segmentation sees image channels only, by percentile or range: it has no points")
        return self

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of one input without its batch axis, [channel, z, y, x]."""
        x, y, z = self._grid
        return len(self.input.channels), z, y, x

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Shape of one output without its batch axis, [channel, z, y, x]: 1 channel, or background and every label."""
        x, y, z = self._grid
        return 1 if self.patch is None else 1 + len(self.labels), z, y, x

    @property
    def _grid(self) -> tuple[int, int, int]:
        return self.roi.size if self.patch is None else self.patch.size

    def to_json(self) -> str:
        """The spec as compact JSON, defaults included, so that a later default changes no published model."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelSpec:
        """Read a spec from JSON.

        Raises:
            ModelSpecError: Naming every field at fault.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ModelSpecError(f"model spec: {_describe(error)}") from error

    @classmethod
    def from_mapping(cls, data: object) -> ModelSpec:
        """Read a spec from what a YAML or JSON reader returned.

        Raises:
            ModelSpecError: Naming every field at fault.
        """
        try:
            return cls.model_validate(data, strict=False)
        except ValidationError as error:
            raise ModelSpecError(f"model spec: {_describe(error)}") from error


def _describe(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, part['loc'])) or 'spec'}: {part['msg']}" for part in error.errors())
