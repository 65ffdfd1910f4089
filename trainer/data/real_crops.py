"""Crops of labelled images: one of every structure, deformed anew for every use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sixpoint._typing import Bools, Float, Rng, Shape
from trainer.data.samples import MAX_EXTENT, Crop, context_margin
from trainer.synthesis.random_fields import log_uniform, resample, smooth_noise

__all__ = ["deform_crops", "extract_crops"]

_MIN_VOXELS = 100
# After resampling to a coarser grid or deformation.
_MIN_VOXELS_CHANGED = 50
# Larger objects are resampled to this extent: the network's grid has fewer cells anyway.
_MAX_OBJECT_EXTENT = 88


def extract_crops(image: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> list[Crop]:
    """Crop every structure of a labelled image that is large enough to be outlined, also after resampling.

    Args:
        image: Voxels in canonical orientation, [z, y, x], in the image's own units.
        labels: Labels on the same grid, [z, y, x]; 0 is background.
    """
    whole = labels.astype(np.int64)
    crops = []
    for index, box in enumerate(ndimage.find_objects(whole), start=1):
        if box is None:
            continue
        mask = whole[box] == index
        extent = np.array(mask.shape)
        if mask.sum() < _MIN_VOXELS or extent.min() < 3:
            continue
        reach = [context_margin(int(n)) for n in extent]
        outer = tuple(
            slice(max(0, part.start - margin), min(n, part.stop + margin))
            for part, margin, n in zip(box, reach, labels.shape, strict=True)
        )
        crop = _limit_extent(image[outer].astype(np.float32), whole[outer] == index, extent)
        # Thin or scattered structures may vanish on a coarser grid.
        if crop.mask.sum() >= _MIN_VOXELS_CHANGED:
            crops.append(replace(crop, label=index))
    return crops


def _limit_extent(image: Float, mask: Bools, extent: npt.NDArray[np.intp]) -> Crop:
    sides = [round(n / max(1.0, length / _MAX_OBJECT_EXTENT)) for n, length in zip(image.shape, extent, strict=True)]
    shape: Shape = (sides[0], sides[1], sides[2])
    if shape != image.shape:
        image, mask = resample(image, shape), resample(mask, shape) >= 0.5
    return Crop(image=_to_synthetic_range(image), mask=mask)


def _to_synthetic_range(image: Float) -> npt.NDArray[np.float16]:
    """Scale voxels to the range of synthetic scans, so that the same augmentation suits both; float16."""
    low, high = np.percentile(image, [1, 99])
    return ((image - low) / max(float(high - low), 1e-6)).clip(-8, 8).astype(np.float16)


def deform_crops(rng: Rng, crops: Sequence[Crop], *, count: int, coarse: float) -> Iterator[Crop]:
    """Draw ``count`` crops and deform each when its turn comes; a share is resampled to a coarser grid along an axis.

    Args:
        rng: Generator that draws crops and deformations.
        crops: Crops to draw from.
        count: Number of crops to draw.
        coarse: Share that is resampled.
    """
    for choice in rng.integers(len(crops), size=count):
        crop = _warp(rng, crops[int(choice)], coarse=coarse)
        if crop.mask.sum() >= _MIN_VOXELS_CHANGED:
            yield crop


def _warp(rng: Rng, crop: Crop, *, coarse: float) -> Crop:
    shape: Shape = (crop.image.shape[0], crop.image.shape[1], crop.image.shape[2])
    inside = ndimage.find_objects(crop.mask.astype(np.uint8))[0]
    extent = np.array([part.stop - part.start for part in inside])
    centre = np.array([(part.start + part.stop - 1) / 2 for part in inside]).reshape(3, 1, 1, 1)
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
    # A little shear and scaling about the centre of the object, then a smooth displacement.
    matrix = np.eye(3) + rng.normal(0, 0.08, (3, 3)) * (extent[:, None] / extent[None, :]).clip(0.25, 4)
    places = np.tensordot(matrix.astype(np.float32), grid - centre, axes=1) + centre
    if rng.random() < 0.8:
        strength = rng.uniform(0.0, 0.06)
        for axis in range(3):
            scale = rng.uniform(0.2, 0.5) * max(shape)
            places[axis] += np.float32(strength * extent[axis]) * smooth_noise(rng, shape, scale)
    image = ndimage.map_coordinates(crop.image.astype(np.float32), places, order=1, mode="nearest")
    mask = ndimage.map_coordinates(crop.mask.astype(np.float32), places, order=1, mode="nearest")
    if rng.random() < coarse:
        axis = int(rng.integers(3))
        sides = list(shape)
        sides[axis] = max(14, round(sides[axis] / log_uniform(rng, 1.2, 4)))
        target: Shape = (sides[0], sides[1], sides[2])
        image, mask = resample(image, target), resample(mask, target)
    whole = mask >= 0.5
    if not whole.any() or max(np.ptp(axis) for axis in np.nonzero(whole)) >= MAX_EXTENT:
        return crop
    return Crop(image=image.astype(np.float16), mask=whole)
