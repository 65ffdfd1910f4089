"""Parts of a ModelSpec: task, prompt kinds, ROI, patch, and the tensors at both ends of the network."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sixpoint._typing import Size, Vector
from sixpoint.model_spec.channels import Channel, SpecModel

__all__ = ["STROKES", "InputSpec", "NetworkSpec", "OutputSpec", "PatchSpec", "PromptKind", "RoiSpec", "Task"]

_COMPLETE_AXES = [[side, 2 + front, 4 + top] for side in (0, 1) for front in (0, 1) for top in (0, 1)]


class Task(StrEnum):
    """What a model does."""

    ANNOTATION = "annotation"
    """Outlines the object that a person's prompts point at."""
    SEGMENTATION = "segmentation"
    """Labels every voxel of a volume, without prompts."""


class PromptKind(StrEnum):
    """A kind of prompt that a model accepts."""

    EXTREME_POINTS = "extreme_points"
    """Six or more points on the object's six extremes (DEXTR, Maninis et al. 2018)."""
    BOX = "box"
    """A box round the object."""
    CLICKS = "clicks"
    """Corrections: positive clicks on voxels that the mask lacks, negative clicks on voxels that it should not have. A
    model that accepts clicks only lets a positive click start the object."""
    MASK = "mask"
    """An initial mask to correct."""
    SCRIBBLES = "scribbles"
    """Voxels that a person draws over, in a channel of their own. A model that accepts clicks is given a click for each
    scribble, without announcing this."""
    LASSO = "lasso"
    """Closed contours on one slice, in a channel of their own; or as clicks, as scribbles are."""


STROKES = frozenset({PromptKind.SCRIBBLES, PromptKind.LASSO})
"""Kinds of prompts that consist of voxels which a person draws over or round."""


class RoiSpec(SpecModel):
    """The region of interest: the points' box (to the faces of its voxels) plus margins, on the network's grid.

    Attributes:
        size: Cells of the network's grid along (x, y, z).
        margin_mm: Millimetres added on every side.
        margin_voxels: Voxels of the image added on every side, on top of ``margin_mm``: on small objects too, clicks
            are a few voxels off.
        margin_fraction: Fraction of the box's own edge added on every side, on top of both.
        whole: Whether the ROI is the whole image, whatever the prompts (as for DeepEdit); the margins are then ignored.
        resampling: How voxels become cells, and cells voxels: linearly, averaged where the grid is coarser; or, for the
            whole image, as MONAI's ``Resize`` of mode ``trilinear`` or ``area`` (each cell is the mean of all voxels
            that it touches).
        windowed_first: Whether windows are fitted and applied to the image's own voxels, before they are resampled as
            ``trilinear`` or ``area``.
        click_placement: Where clicks are drawn: exactly where they are; or, on the whole image, in the middle of the
            cell that has the clicked voxel's first corner along the network's own axes, as MONAI's DeepEdit does.
    """

    size: Size = (64, 64, 64)
    margin_mm: float = Field(default=0.0, ge=0)
    margin_voxels: float = Field(default=0.0, ge=0)
    margin_fraction: float = Field(default=0.225, ge=0)
    whole: bool = False
    # The defaults stay out of the JSON: gateways that do not know these fields take models that do not need them.
    resampling: Literal["smoothed", "trilinear", "area"] = Field(
        default="smoothed", exclude_if=lambda value: value == "smoothed"
    )
    windowed_first: bool = Field(default=False, exclude_if=lambda value: not value)
    click_placement: Literal["exact", "cells"] = Field(default="exact", exclude_if=lambda value: value == "exact")

    @model_validator(mode="after")
    def _check_resampling(self) -> RoiSpec:
        if self.resampling != "smoothed" and not self.whole:
            raise ValueError(f"resampling {self.resampling} is for the whole image: write whole: true")
        if self.click_placement != "exact" and not self.whole:
            raise ValueError("click_placement cells is for the whole image: write whole: true")
        if self.windowed_first and self.resampling == "smoothed":
            raise ValueError("windowed_first needs resampling: area or trilinear")
        return self

    @model_validator(mode="after")
    def _check_size(self) -> RoiSpec:
        if not all(8 <= edge <= 512 for edge in self.size):
            raise ValueError(f"every edge of the ROI must be between 8 and 512 voxels, got {self.size}")
        return self


class PatchSpec(SpecModel):
    """The part of a volume that a segmentation network sees at once; sliding windows of this size cover the volume.

    Attributes:
        size: Voxels of the network's grid along (x, y, z).
        spacing: Millimetres between voxels along (x, y, z), to which canonical volumes are resampled.
        overlap: Fraction of its edge that a window shares with the next one.
        blend: Weights of a window's voxels where windows overlap: a Gaussian round its centre, or all equal.
        padding: Voxels beyond a volume that is smaller than the patch: ``padding_value``, or the last voxel repeated.
        padding_value: Value of constant padding, in the units of the input tensor; it may lie outside -1 to 1.
        sigma: Standard deviation of Gaussian weights, as a fraction of the edge.
        grid: Cells that fill the image from face to face, averaged where they are larger than voxels; or samples
            exactly ``spacing`` apart from the centre of the first voxel along the network's own axes, interpolated
            linearly, as MONAI's ``Spacing`` takes them.
        windowed_first: Whether windows are fitted and applied to the image's own voxels, before the grid is sampled.
        average: What the output tensor holds, and what is averaged where windows overlap: probabilities, or logits, of
            which the gateway makes probabilities (``network.activation``) after it has averaged them, as MONAI does.
        labelled: Where labels are decided: on the voxels of the image, to which probabilities are resampled linearly;
            or on the network's grid, of which each voxel of the image takes the nearest label.
        foreground: Value of the first channel above which voxels are foreground: the network sees the box round them
            alone, and beyond it is background, as after MONAI's ``CropForeground``. None: it sees the whole volume.
    """

    size: Size
    spacing: Vector
    overlap: float = Field(default=0.5, ge=0, lt=1)
    blend: Literal["gaussian", "constant"] = "gaussian"
    padding: Literal["constant", "replicate"] = "constant"
    padding_value: float = Field(default=-1.0, ge=-65504, le=65504)
    sigma: float = Field(default=0.125, gt=0)
    grid: Literal["faces", "centres"] = "faces"
    windowed_first: bool = False
    average: Literal["probabilities", "logits"] = "probabilities"
    labelled: Literal["image", "grid"] = "image"
    foreground: float | None = Field(default=None, ge=-1, lt=1)

    @model_validator(mode="after")
    def _check_size_and_spacing(self) -> PatchSpec:
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

    With ``patch.average: logits`` it holds logits, as FP16 or FP32; those of exclusive labels may be shifted, at every
    voxel by a number of its own, which changes no label.

    Annotation: one channel, cut at ``threshold``. Segmentation: background and every label, of which the largest wins;
    or, where labels may overlap (``exclusive`` false), every label by itself, cut at ``threshold``.
    """

    name: str = "PROBABILITY"
    dtype: Literal["UINT8", "FP16", "FP32"] = "UINT8"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    exclusive: bool = True


class NetworkSpec(SpecModel):
    """The network inside the model, and the steps between its tensors and the model's.

    The exporter folds these steps into the graph: the gateway exchanges the same tensors with every network. Only the
    activation of a model whose logits are averaged (``patch.average``) is the gateway's.

    Attributes:
        name: Class in ``monai.networks.nets``, or the kind of file that the network came in: ``ONNX``, ``TorchScript``.
        arguments: Keyword arguments of the class.
        axes: Directions in the patient of the network's own spatial axes, in their order, one letter of each of L/R,
            P/A and S/I, as in MONAI's ``Orientation``; ``SPL`` is the model's tensor [z, y, x] itself.
        scale: Factors that the input is multiplied by before the network sees it: one for all channels, or one each.
        offset: Numbers that are added after ``scale``: one for all channels, or one each.
        activation: Function that turns the network's output into probabilities. None: softmax where labels are
            exclusive, sigmoid otherwise; ``none``: the output is probabilities already.
        channels: Channels of the network's output that make the model's output, after the activation, in this order;
            empty: all of them.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    axes: str = "SPL"
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    activation: Literal["softmax", "sigmoid", "none"] | None = None
    channels: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @model_validator(mode="after")
    def _check_axes_and_scale(self) -> NetworkSpec:
        if sorted(map("LRPASI".find, self.axes)) not in _COMPLETE_AXES:
            raise ValueError(f"axes needs one letter of each of L/R, P/A and S/I, as RAS; got {self.axes!r}")
        if not all(self.scale):
            raise ValueError("scale must not be 0: the network would not see the image")
        return self
