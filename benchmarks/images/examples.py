"""Images that speed is measured on: the phantom or a labelled image, in its own size or as a large CT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from benchmarks.images.shared_images import to_sitk
from sixpoint._typing import Size
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec
from sixpoint.phantom import make_phantom
from sixpoint.preprocessing import PromptGuidance, Roi, network_input
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume
from trainer.data.structures import MIN_VOXELS

__all__ = ["LARGE", "Example", "large_ct", "network_tensor", "read_example", "resized"]

LARGE: Size = (512, 512, 256)
"""Size (x, y, z) of a large CT: 128 MiB as int16."""


@dataclass(frozen=True, eq=False)
class Example:
    """An image with its label map.

    Attributes:
        volume: Image.
        labels: Label of each voxel, [z, y, x].
    """

    volume: Volume
    labels: npt.NDArray[Any]

    def prompt(self, label: int) -> ExtremePoints:
        """Return the exact extreme points of one structure.

        Raises:
            InvalidArgument: No voxel has this label.
        """
        truth = self.labels == label
        if not truth.any():
            raise InvalidArgument(f"no voxel has label {label}; there are {sorted(self.numbers)}")
        return ExtremePoints.of_mask(truth)

    @property
    def numbers(self) -> list[int]:
        """Labels of the structures of at least 300 voxels, the minimum in evaluations, too."""
        numbers, counts = np.unique(self.labels, return_counts=True)
        return [int(number) for number, count in zip(numbers, counts, strict=True) if number and count >= MIN_VOXELS]

    def clicks(self, label: int, *, seed: int = 0) -> Iterator[Click]:
        """Generate endless clicks: alternately on the structure, and in its box beside it."""
        random = np.random.default_rng(seed)
        truth = self.labels == label
        where = np.argwhere(truth)
        lower, upper = where.min(axis=0), where.max(axis=0) + 1
        inside = truth[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))]
        # Computed once: a large structure has millions of voxels.
        sides = {positive: np.argwhere(inside == positive)[:, ::-1] + lower[::-1] for positive in (True, False)}
        while True:
            for positive, voxels in sides.items():
                if len(voxels):
                    x, y, z = voxels[random.integers(len(voxels))].tolist()
                    yield Click((x, y, z), positive)


def read_example(image: Path | None = None, labels: Path | None = None) -> Example:
    """Read an image and its label map; without files, make the phantom CT.

    Raises:
        InvalidArgument: Only one file is given, or the sizes differ.
        VolumeError: A file is not a usable volume.
    """
    if image is None and labels is None:
        phantom = make_phantom()
        return Example(phantom.image, phantom.labels.array)
    if image is None or labels is None:
        raise InvalidArgument("expected an image and its label image, or neither: only one was given")
    example = Example(Volume.read(image), Volume.read(labels).array)
    if example.volume.array.shape != example.labels.shape:
        raise InvalidArgument(
            f"the image has shape {example.volume.array.shape} [z, y, x], its label image "
            f"{example.labels.shape}: expected the same"
        )
    return example


def large_ct(example: Example) -> Example:
    """Resample an example to the size of a large CT."""
    return resized(example, size=LARGE)


def resized(example: Example, *, size: Size) -> Example:
    """Resample an example to ``size`` (x, y, z) voxels in the same space: int16, linear; labels by nearest voxel."""
    source = to_sitk(example.volume)
    grid = sitk.Image(size, sitk.sitkInt16)
    spacing = [s * n / m for s, n, m in zip(source.GetSpacing(), source.GetSize(), size, strict=True)]
    # The faces of the volume stay in place, so the centre of the first voxel moves.
    first = [(m_s / s - 1) / 2 for m_s, s in zip(spacing, source.GetSpacing(), strict=True)]
    grid.SetSpacing(spacing)
    grid.SetDirection(source.GetDirection())
    grid.SetOrigin(source.TransformContinuousIndexToPhysicalPoint(first))
    border = float(example.volume.array.min())
    image = sitk.Resample(source, grid, sitk.Transform(), sitk.sitkLinear, border, sitk.sitkInt16)
    named = sitk.GetImageFromArray(example.labels.astype(np.uint8))
    named.CopyInformation(source)
    resampled = sitk.Resample(named, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return Example(Volume.from_sitk(image), sitk.GetArrayFromImage(resampled))


def network_tensor(volume: Volume, prompt: ExtremePoints, spec: ModelSpec) -> npt.NDArray[Any]:
    """Compute the network input [channel, z, y, x] that the gateway sends to Triton for extreme points."""
    geometry = volume.geometry
    orientation = geometry.orientation
    points = orientation.index_to_canonical(prompt.to_index(geometry), size=geometry.size)
    roi = Roi.from_points(points, spacing=geometry.canonical().spacing, spec=spec.roi)
    box = [points.min(axis=0), points.max(axis=0)]
    guide = PromptGuidance.in_roi(roi, box=box, extremes=points, image_size=geometry.canonical().size)
    return network_input(roi.extract(orientation.to_canonical(volume.array)), guide, spec.input)
