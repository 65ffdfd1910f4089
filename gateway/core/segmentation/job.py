"""Plan the segmentation of an image: grid, patches and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from gateway.core.images import StoredImage
from gateway.core.runtime import Deadline, Model
from gateway.core.segmentation.foreground import Box
from gateway.core.segmentation.sliding_window import SlidingWindow
from sixpoint._typing import Shape, Size
from sixpoint.errors import InvalidArgument, TaskNotSupported, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import PatchSpec, SegmentationSpec
from sixpoint.preprocessing import Roi

__all__ = ["SegmentationJob", "estimate_segmentation_memory", "segmentation_spec", "select_labels"]


@dataclass(frozen=True, eq=False)
class SegmentationJob:
    """The segmentation of one image with one model.

    Attributes:
        image: Image to segment.
        model: Segmentation model.
        version: Version of the model to run.
        roi: Grid of the model's spacing over the whole image.
        window: Sliding window over that grid.
        deadline: Moment by which the labels are needed.
    """

    image: StoredImage
    model: Model
    version: str
    roi: Roi
    window: SlidingWindow
    deadline: Deadline

    @classmethod
    def plan(cls, image: StoredImage, model: Model, *, version: str, deadline: Deadline) -> Self:
        """Plan the segmentation of an image with a version of a model."""
        spec = segmentation_spec(model)
        roi = _roi(image, spec)
        return cls(
            image, model, version, roi, SlidingWindow.over(_shape(roi.size), spec.patch, axes=_axes(spec)), deadline
        )

    def within(self, box: Box) -> Self:
        """Return the same job with a sliding window over a box (z, y, x) of the grid."""
        z, y, x = (side.stop - side.start for side in box)
        return replace(self, window=SlidingWindow.over((z, y, x), self.patch, axes=_axes(self.spec)))

    @property
    def spec(self) -> SegmentationSpec:
        """Spec of the model."""
        return segmentation_spec(self.model)

    @property
    def patch(self) -> PatchSpec:
        """Patch of the model's spec."""
        return self.spec.patch


def estimate_segmentation_memory(image: StoredImage, spec: SegmentationSpec, *, in_flight: int) -> int:
    """Estimate the bytes that a segmentation needs at its peak.

    First the resampled volume and the channels made of it are in memory, then the channels and the outputs.

    Args:
        image: Image to segment.
        spec: Spec of a segmentation model.
        in_flight: Number of patches in Triton at once.
    """
    roi = _roi(image, spec)
    cells = math.prod(roi.size)
    channels = len(spec.input.channels) * (2 if spec.input.dtype == "FP16" else 4)
    thick, height, width = SlidingWindow.over(_shape(roi.size), spec.patch).padded_shape
    thick = min(thick, spec.patch.size[2])
    ring = 4 * (spec.output_shape[0] + 1) * thick * height * width
    voxels = math.prod(image.volume.geometry.size)
    labels = voxels if spec.output.exclusive else voxels * len(spec.labels) // 8
    # Each patch's output is in memory as received, decoded, and weighted.
    patches = (in_flight * 2 + 2) * 4 * math.prod(spec.output_shape)
    # The image's own voxels, as numbers and windowed.
    stored = voxels * (4 + channels) if spec.patch.windowed_first else 0
    # Statistics of the voxels other than 0 copy the volume once; in the end one label's mask is made at a time.
    return stored + cells * channels + max(2 * 4 * cells, ring + patches + labels + voxels)


def segmentation_spec(model: Model) -> SegmentationSpec:
    """Return the spec of a segmentation model.

    Raises:
        TaskNotSupported: When the model needs prompts.
    """
    spec = model.spec
    if not isinstance(spec, SegmentationSpec):
        raise TaskNotSupported(
            f"model {model.name!r} takes {', '.join(spec.prompts) or 'prompts'}: open a session with it, and annotate; "
            "to segment without prompts, choose a model of TASK_SEGMENTATION"
        )
    return spec


def select_labels(model: Model, labels: Sequence[str]) -> list[int]:
    """Return the numbers of labels.

    Args:
        model: Segmentation model.
        labels: Names of the labels; empty for all labels of the model.

    Raises:
        TaskNotSupported: When the model needs prompts.
        InvalidArgument: When the model does not have a label, or there are more labels than it has.
    """
    spec = segmentation_spec(model)
    if len(labels) > len(spec.labels):
        raise InvalidArgument(
            f"{len(labels)} labels; model {model.name!r} has {len(spec.labels)}: name each once, or none for all",
            violations=(Violation("labels", f"at most {len(spec.labels)}"),),
        )
    for index, label in enumerate(labels):
        if label not in spec.labels:
            raise InvalidArgument(
                f"model {model.name!r} has no label {quoted(label)}; it has: {', '.join(spec.labels)}",
                violations=(Violation(f"labels[{index}]", "a label of the model"),),
            )
    return [number for number, name in enumerate(spec.labels, start=1) if not labels or name in labels]


def _roi(image: StoredImage, spec: SegmentationSpec) -> Roi:
    geometry = image.canonical_geometry
    return Roi.for_segmentation(geometry.size, spacing=geometry.spacing, spec=spec)


def _axes(spec: SegmentationSpec) -> str:
    # MONAI's corner goes with MONAI's grid: models that were published before it have to answer as they did.
    return spec.network.axes if spec.network and spec.patch.grid == "centres" else "SPL"


def _shape(size: Size) -> Shape:
    x, y, z = size
    return z, y, x
