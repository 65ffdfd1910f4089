"""ModelSpec: the description that travels with a model.

The exporter writes it as JSON into Triton's ``config.pbtxt`` (parameter ``sixpoint``); the gateway reads it from
Triton. Nothing else describes a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, field_validator, model_validator

from sixpoint._typing import Size
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec.channels import VOXEL_METHODS, SpecModel, StrokeChannel, check_click_only_channels
from sixpoint.model_spec.parts import STROKES, InputSpec, NetworkSpec, OutputSpec, PatchSpec, PromptKind, RoiSpec, Task

__all__ = ["LICENCE_NOTE", "SPEC_PARAMETER", "AnnotationSpec", "ModelSpec", "SegmentationSpec"]

LICENCE_NOTE = "licence_note"
"""Name in the provenance of why the licence is unknown, and how to state it."""
SPEC_PARAMETER = "sixpoint"
"""Name of the parameter of ``config.pbtxt`` that holds the spec's JSON."""


class ModelSpec(SpecModel):
    """Everything that the gateway, the exporter and the trainer must agree on about one model.

    Every spec is an :class:`AnnotationSpec` or a :class:`SegmentationSpec`, as its ``task`` says: parsing and
    ``ModelSpec(...)`` return one of the two. Both have the same fields, so that the JSON of a model has one form.
    """

    version: Literal[1] = 1
    """Version of the spec's own format."""
    title: str = ""
    description: str = ""
    task: Task = Task.ANNOTATION
    modalities: tuple[str, ...] = ()
    """Modalities (DICOM's terms: CT, MR, PT, US) that the model is meant for; empty: any."""
    labels: tuple[str, ...] = ("object",)
    """Names of the labels 1, 2, ... of the model's masks."""
    prompts: tuple[PromptKind, ...] = (PromptKind.EXTREME_POINTS,)
    roi: RoiSpec = RoiSpec()
    """Region that the network sees round the prompts; ignored for segmentation."""
    patch: PatchSpec | None = None
    """Part of the volume that the network sees at once; for segmentation only."""
    input: InputSpec
    output: OutputSpec = OutputSpec()
    network: NetworkSpec | None = None
    licence: str = "unknown"
    metrics: dict[str, float] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)

    def __new__(cls, *_: Any, **fields: Any) -> Self:
        """Make ``ModelSpec(...)`` an instance of the class for its task."""
        return super().__new__(_class_for(fields) if cls is ModelSpec else cls)  # type: ignore[return-value]

    @model_validator(mode="wrap")
    @classmethod
    def _by_task(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> ModelSpec:
        """Parse as the class for the task; data with an unknown task stay here, to be refused with all its faults."""
        if cls is ModelSpec and isinstance(data, Mapping) and data.get("task", Task.ANNOTATION) in list(Task):
            return _class_for(data).model_validate(data)
        return handler(data)

    @model_validator(mode="after")
    def _check_mask_prompt(self) -> ModelSpec:
        kinds = {channel.kind for channel in self.input.channels}
        if PromptKind.MASK in self.prompts and not {"clicks", "previous"} <= kinds:
            raise ValueError("to correct a mask, a network needs channels clicks and previous: take mask off prompts")
        return self

    @model_validator(mode="after")
    def _check_stroke_prompts(self) -> ModelSpec:
        seen = {channel.prompt for channel in self.input.channels if isinstance(channel, StrokeChannel)}
        for kind in sorted(STROKES):
            if kind in self.prompts and kind not in seen:
                raise ValueError(
                    f"{kind} in prompts needs a channel strokes of {kind}: take it off prompts, and the network is "
                    "given a click in its place"
                )
            if kind in seen and kind not in self.prompts:
                raise ValueError(f"the channels strokes of {kind} would be empty: add {kind} to prompts")
        return self

    @model_validator(mode="after")
    def _check_network_channels(self) -> ModelSpec:
        if self.network is not None:
            for name, values in (("scale", self.network.scale), ("offset", self.network.offset)):
                if len(values) not in {0, 1, len(self.input.channels)}:
                    raise ValueError(
                        f"network.{name} has {len(values)} numbers, expected 1 or one for each of the "
                        f"{len(self.input.channels)} channels"
                    )
        return self

    @property
    def begun_by_clicks(self) -> bool:
        """Whether the model accepts clicks only, so that the first positive click starts an object (as DeepEdit)."""
        return set(self.prompts) - STROKES == {PromptKind.CLICKS}

    @property
    def prompts_as_clicks(self) -> tuple[PromptKind, ...]:
        """Kinds of prompts that the network has no channel for, and is given clicks for: those it does not announce."""
        if PromptKind.CLICKS not in self.prompts:
            return ()
        return tuple(kind for kind in PromptKind if kind in STROKES and kind not in self.prompts)

    @property
    def accepted_prompts(self) -> tuple[PromptKind, ...]:
        """All kinds of prompts that people can give: those the network has channels for, and those given as clicks."""
        return self.prompts + self.prompts_as_clicks

    @property
    def activation(self) -> Literal["softmax", "sigmoid", "none"]:
        """Function that turns the network's output into probabilities."""
        if self.network is not None and self.network.activation is not None:
            return self.network.activation
        return "softmax" if self.task is Task.SEGMENTATION and self.output.exclusive else "sigmoid"

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of one input without its batch axis, [channel, z, y, x]."""
        x, y, z = self._grid_size
        return len(self.input.channels), z, y, x

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """Shape of one output without its batch axis, [channel, z, y, x]."""
        x, y, z = self._grid_size
        return self._output_channels, z, y, x

    @property
    def _grid_size(self) -> Size:
        """Cells of the network's grid along (x, y, z)."""
        raise NotImplementedError

    @property
    def _output_channels(self) -> int:
        raise NotImplementedError

    def to_json(self) -> str:
        """The spec as compact JSON, defaults included, so that a later default changes no published model."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse a spec from JSON.

        Raises:
            ModelSpecError: The text is no valid spec; the message names every field at fault.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ModelSpecError(f"model spec: {_describe(error)}") from error

    @classmethod
    def from_mapping(cls, data: object) -> Self:
        """Parse a spec from the output of a YAML or JSON reader.

        Raises:
            ModelSpecError: The data are no valid spec; the message names every field at fault.
        """
        try:
            return cls.model_validate(data, strict=False)
        except ValidationError as error:
            raise ModelSpecError(f"model spec: {_describe(error)}") from error


class AnnotationSpec(ModelSpec):
    """A model that outlines the object that prompts point at, inside an ROI."""

    task: Literal[Task.ANNOTATION] = Task.ANNOTATION
    patch: None = None

    @field_validator("patch", mode="before")
    @classmethod
    def _check_patch(cls, value: object) -> object:
        if value is not None:
            raise ValueError("a patch is for segmentation; annotation has a roi")
        return value

    @model_validator(mode="after")
    def _check_annotation(self) -> AnnotationSpec:
        if not self.output.exclusive:
            raise ValueError("exclusive is for segmentation; annotation has one label")
        if self.begun_by_clicks:
            check_click_only_channels(self.input.channels, whole=self.roi.whole)
        methods = {channel.intensity.method for channel in self.input.channels if channel.kind == "image"}
        if self.roi.windowed_first and not methods <= set(VOXEL_METHODS):
            raise ValueError(f"roi.windowed_first is for windows by {', '.join(VOXEL_METHODS)}")
        return self

    @property
    def _grid_size(self) -> Size:
        return self.roi.size

    @property
    def _output_channels(self) -> int:
        return 1


class SegmentationSpec(ModelSpec):
    """A model that labels every voxel of a volume, patch by patch, without prompts."""

    task: Literal[Task.SEGMENTATION] = Task.SEGMENTATION
    patch: PatchSpec = Field(default=None, validate_default=True)

    @field_validator("patch", mode="before")
    @classmethod
    def _check_patch(cls, value: object) -> object:
        if value is None:
            raise ValueError("segmentation needs a patch: {size, spacing}")
        return value

    @model_validator(mode="after")
    def _check_segmentation(self) -> SegmentationSpec:
        if self.prompts:
            raise ValueError("segmentation takes no prompts: write prompts: []")
        if not self.labels:
            raise ValueError("segmentation needs at least one label")
        if repeated := sorted({name for name in self.labels if self.labels.count(name) > 1}):
            # Callers select masks by the label's name.
            raise ValueError(f"several labels are called {repeated[0]!r}: give each a name of its own")
        for channel in self.input.channels:
            if channel.kind != "image" or channel.intensity.method not in VOXEL_METHODS:
                methods = ", ".join(VOXEL_METHODS)
                raise ValueError(f"segmentation sees image channels only, by {methods}: it has no points")
        return self

    @model_validator(mode="after")
    def _check_logits(self) -> SegmentationSpec:
        if self.patch.average == "logits":
            if self.output.dtype == "UINT8":
                raise ValueError(
                    "logits do not fit into UINT8: with patch.average logits, write output.dtype FP16 or FP32"
                )
            if not self.output.exclusive and self.activation == "softmax":
                raise ValueError(
                    "a softmax needs the channels of all labels, and labels that may overlap have no background: write "
                    "patch.average probabilities"
                )
        return self

    @property
    def _grid_size(self) -> Size:
        return self.patch.size

    @property
    def _output_channels(self) -> int:
        """Every label; with exclusive labels the background before them."""
        return self.output.exclusive + len(self.labels)


def _class_for(fields: Mapping[str, Any]) -> type[ModelSpec]:
    """The class of a spec with these fields."""
    return SegmentationSpec if fields.get("task") == Task.SEGMENTATION else AnnotationSpec


def _describe(error: ValidationError) -> str:
    """Every field at fault, with its path and what is wrong with it."""
    return "; ".join(f"{'.'.join(map(str, part['loc'])) or 'spec'}: {part['msg']}" for part in error.errors())
