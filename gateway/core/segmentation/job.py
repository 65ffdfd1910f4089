"""A model that needs no prompts on a whole image: the grid, the windows, the memory that it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gateway.core.images.stored_image import StoredImage
from gateway.core.runtime.catalog import Model
from gateway.core.runtime.deadline import Deadline
from gateway.core.segmentation.sliding_window import SlidingWindow
from sixpoint._typing import Shape, Size
from sixpoint.errors import InvalidArgument, TaskNotSupported, Violation
from sixpoint.model_spec import PatchSpec, SegmentationSpec
from sixpoint.preprocessing import Roi

__all__ = ["SegmentationJob", "estimate_segmentation_memory", "segmentation_spec", "select_labels"]


@dataclass(frozen=True, eq=False)
class SegmentationJob:
    """A model on an image.

    Attributes:
        image: The image.
        model: For segmentation.
        version: Which of the model's versions is to answer.
        roi: The whole image, on the model's spacing.
        windows: The windows over that.
        deadline: Until when the labels are wanted.
    """

    image: StoredImage
    model: Model
    version: str
    roi: Roi
    window: SlidingWindow
    deadline: Deadline

    @classmethod
    def plan(cls, image: StoredImage, model: Model, *, version: str, deadline: Deadline) -> Self:
        """A version of a model on an image."""
        spec = segmentation_spec(model)
        roi = _roi(image, spec)
        return cls(image, model, version, roi, SlidingWindow.over(_shape(roi.size), spec.patch), deadline)

    @property
    def spec(self) -> SegmentationSpec:
        """Spec of the model."""
        return segmentation_spec(self.model)

    @property
    def patch(self) -> PatchSpec:
        """Patch of the model's spec."""
        return self.spec.patch


def estimate_segmentation_memory(image: StoredImage, spec: SegmentationSpec, *, in_flight: int) -> int:
    """About how much memory a segmentation takes: the volume and what the network sees of it; then that, and answers.

    Args:
        image: The image.
        spec: Of a model for segmentation.
        in_flight: Patches with Triton at once.
    """
    roi = _roi(image, spec)
    cells = math.prod(roi.size)
    channels = len(spec.input.channels) * (2 if spec.input.dtype == "FP16" else 4)
    thick, height, width = SlidingWindow.over(_shape(roi.size), spec.patch).padded_shape
    thick = min(thick, spec.patch.size[2])
    ring = 4 * (spec.output_shape[0] + 1) * thick * height * width
    voxels = math.prod(image.volume.geometry.size)
    labels = voxels if spec.output.exclusive else voxels * len(spec.labels) // 8
    # Of a patch: numbers as they come, decoded, and weighted.
    patches = (in_flight * 2 + 2) * 4 * math.prod(spec.output_shape)
    # A label's mask, and statistics of the voxels that are not 0, take one array more.
    return cells * channels + max(2 * 4 * cells, ring + patches + labels + voxels)


def segmentation_spec(model: Model) -> SegmentationSpec:
    """The spec of a model for segmentation.

    Raises:
        TaskNotSupported: The model needs prompts.
    """
    spec = model.spec
    if not isinstance(spec, SegmentationSpec):
        raise TaskNotSupported(
            f"model {model.name!r} takes {', '.join(spec.prompts) or 'prompts'}: open a session with it, and annotate; "
            "to segment without prompts takes a model of TASK_SEGMENTATION"
        )
    return spec


def select_labels(model: Model, labels: Sequence[str]) -> list[int]:
    """The numbers of the labels that are wanted.

    Raises:
        TaskNotSupported: When the model needs prompts.
        InvalidArgument: When it has not all of them.
    """
    spec = segmentation_spec(model)
    for index, label in enumerate(labels):
        if label not in spec.labels:
            raise InvalidArgument(
                f"model {model.name!r} has no label {label!r}; it has: {', '.join(spec.labels)}",
                violations=(Violation(f"labels[{index}]", "a label of the model"),),
            )
    return [number for number, name in enumerate(spec.labels, start=1) if not labels or name in labels]


def _roi(image: StoredImage, spec: SegmentationSpec) -> Roi:
    geometry = image.canonical_geometry
    return Roi.from_image(geometry.size, spacing=geometry.spacing, target_spacing=spec.patch.spacing)


def _shape(size: Size) -> Shape:
    x, y, z = size
    return z, y, x
