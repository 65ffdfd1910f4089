"""ModelSpec: what one model needs and yields, in a form that travels with it.

The exporter writes it as JSON into Triton's ``config.pbtxt`` (parameter ``sixpoint``); the gateway reads it back from
Triton. Nothing else describes a model.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec.channels import (
    VOXEL_METHODS,
    Channel,
    ClickChannel,
    EllipsoidChannel,
    FieldOfViewChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    Intensity,
    PreviousChannel,
    SpecModel,
    check_click_only_channels,
)

__all__ = [
    "SPEC_PARAMETER",
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

_COMPLETE_AXES = [[side, 2 + front, 4 + top] for side in (0, 1) for front in (0, 1) for top in (0, 1)]

SPEC_PARAMETER = "sixpoint"
"""Name of the parameter of ``config.pbtxt`` that holds the spec's JSON."""


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
    """Corrections: positive clicks where the object was missed, negative ones where the answer went too far; a model
    that takes nothing else lets them begin the object."""
    MASK = "mask"
    """A mask that a person brings along, to correct it."""


class RoiSpec(SpecModel):
    """The region of interest: the points' box (to the voxels' faces), grown, on the network's grid.

    Attributes:
        size: Voxels of the network's grid along (x, y, z).
        margin_mm: Millimetres added on every side.
        margin_voxels: Voxels of the image added on every side, on top: clicks miss small objects by some, too.
        margin_fraction: Fraction of the box's own edge added on every side, on top.
        whole: The region is the whole image, whatever is shown, and the margins mean nothing (as DeepEdit sees it).
    """

    size: tuple[int, int, int] = (64, 64, 64)
    margin_mm: float = Field(default=0.0, ge=0)
    margin_voxels: float = Field(default=0.0, ge=0)
    margin_fraction: float = Field(default=0.225, ge=0)
    whole: bool = False

    @model_validator(mode="after")
    def _bounded(self) -> RoiSpec:
        if not all(8 <= edge <= 512 for edge in self.size):
            raise ValueError(f"every edge of the ROI must be between 8 and 512 voxels, got {self.size}")
        return self


class PatchSpec(SpecModel):
    """What a network without prompts sees at once; windows of this size, sliding, cover the whole volume.

    Attributes:
        size: Voxels of the network's grid along (x, y, z).
        spacing: Millimetres between voxels along (x, y, z), to which canonical volumes are resampled.
        overlap: Fraction of its edge that a window shares with the next one.
        blend: Weight of a window's voxels where windows overlap: a Gaussian round its centre, or all alike.
        padding: What a window sees beyond a volume that is smaller: ``padding_value``, or the last voxel again.
        padding_value: In the numbers of the input tensor.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    overlap: float = Field(default=0.5, ge=0, lt=1)
    blend: Literal["gaussian", "constant"] = "gaussian"
    padding: Literal["constant", "replicate"] = "constant"
    padding_value: float = Field(default=-1.0, ge=-1, le=1)

    @model_validator(mode="after")
    def _bounded(self) -> PatchSpec:
        if not all(8 <= edge <= 512 for edge in self.size):
            raise ValueError(f"every edge of the patch must be between 8 and 512 voxels, got {self.size}")
        if not all(edge > 0 for edge in self.spacing):
            raise ValueError(f"spacing must be positive, got {self.spacing} mm")
        return self


class InputSpec(SpecModel):
    """The network's one input tensor, [channel, z, y, x]."""

    name: str = "INPUT"
    dtype: Literal["FP16", "FP32"] = "FP16"
    channels: tuple[Channel, ...] = Field(min_length=1)


class OutputSpec(SpecModel):
    """The network's one output tensor, probabilities [channel, z, y, x]: 0..255 as UINT8, 0..1 as FP16 or FP32.

    Annotation: one channel, cut at ``threshold``. Segmentation: background and every label, and the largest wins; or,
    where labels do not exclude each other (``exclusive`` false), every label by itself, cut at ``threshold``.
    """

    name: str = "PROBABILITY"
    dtype: Literal["UINT8", "FP16", "FP32"] = "UINT8"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    exclusive: bool = True


class NetworkSpec(SpecModel):
    """The network inside the model, and what is between its tensors and the model's; only for exporter and trainer.

    What differs is folded into the exported graph: the gateway sends and gets the same tensors for every network.

    Attributes:
        name: Its class in ``monai.networks.nets``, or what kind of file it came in: ``ONNX``, ``TorchScript``.
        arguments: The class's keyword arguments.
        axes: Where the network's own spatial axes lead in the patient, in their order, one letter of each of L/R, P/A
            and S/I, as in MONAI's ``Orientation``; ``SPL`` is the model's tensor [z, y, x] itself.
        scale: By channel (or one for all), what the input is multiplied with before the network sees it.
        offset: By channel (or one for all), what is added after that.
        activation: What makes probabilities of the network's output; None: softmax where labels exclude each other,
            sigmoid otherwise; ``none``: they are probabilities already.
        channels: Channels of the network's output that the model's output consists of, after the activation, in this
            order; empty: all of them.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    axes: str = "SPL"
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    activation: Literal["softmax", "sigmoid", "none"] | None = None
    channels: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> NetworkSpec:
        if sorted(map("LRPASI".find, self.axes)) not in _COMPLETE_AXES:
            raise ValueError(f"axes needs one letter of each of L/R, P/A and S/I, as RAS; got {self.axes!r}")
        if not all(self.scale):
            raise ValueError("scale must not be 0: the network would not see the image")
        return self


class ModelSpec(SpecModel):
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
            raise ValueError("to correct a mask, a network needs channels clicks and previous: take mask off prompts")
        if self.task is not Task.SEGMENTATION:
            if self.patch is not None:
                raise ValueError(f"a patch is for segmentation; {self.task.value} has a roi")
            if not self.output.exclusive:
                raise ValueError(f"exclusive is for segmentation; {self.task.value} has one label")
            if self.takes_clicks_only:
                check_click_only_channels(self.input.channels, whole=self.roi.whole)
            return self
        if self.patch is None:
            raise ValueError("segmentation needs a patch: {size, spacing}")
        if self.prompts:
            raise ValueError("segmentation takes no prompts: write prompts: []")
        if not self.labels:
            raise ValueError("segmentation needs at least one label")
        if twice := sorted({name for name in self.labels if self.labels.count(name) > 1}):
            # Masks are asked for, and told apart, by name.
            raise ValueError(f"several labels are called {twice[0]!r}: give each a name of its own")
        for channel in self.input.channels:
            if channel.kind != "image" or channel.intensity.method not in VOXEL_METHODS:
                known = ", ".join(VOXEL_METHODS)
                raise ValueError(f"segmentation sees image channels only, by {known}: it has no points")
        return self

    @model_validator(mode="after")
    def _ends_fit(self) -> ModelSpec:
        if self.network is not None:
            for name, values in (("scale", self.network.scale), ("offset", self.network.offset)):
                if len(values) not in {0, 1, len(self.input.channels)}:
                    raise ValueError(
                        f"network.{name} has {len(values)} numbers, expected 1 or one for each of the "
                        f"{len(self.input.channels)} channels"
                    )
        return self

    @property
    def takes_clicks_only(self) -> bool:
        """Whether the first click begins an object, anywhere in the image: nothing else is taken (as DeepEdit)."""
        return set(self.prompts) == {PromptKind.CLICKS}

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of one input without its batch axis, [channel, z, y, x]."""
        x, y, z = self._grid
        return len(self.input.channels), z, y, x

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Shape of one output without batch axis, [channel, z, y, x]: 1 channel, or every label (after background)."""
        x, y, z = self._grid
        return 1 if self.patch is None else self.output.exclusive + len(self.labels), z, y, x

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
