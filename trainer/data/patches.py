"""Training patches of prepared cases: random positions, some of them on labels, with MONAI's augmentations.

The batch of a step is a function of the seed and the step, so that an interrupted run continues with the batches that
it would have seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import (
    RandAdjustContrastd,
    RandBiasFieldd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
)
from monai.transforms.smooth_field.dictionary import RandSmoothDeformd
from monai.transforms.spatial.dictionary import RandAffined, RandFlipd, RandSimulateLowResolutiond
from torch.utils.data import DataLoader, Dataset

from sixpoint._typing import Float, Rng, Shape
from sixpoint.model_spec import PatchSpec, SegmentationSpec
from trainer.data.cases import PreparedCase

__all__ = ["PatchBatch", "PatchDataset", "augmentation", "cut_patch", "iterate_patches"]

_LABELLED_FRACTION = 1 / 3
"""Fraction of the patches that are centred on a labelled voxel, as in nnU-Net."""
_CUT_SCALE = 1.2
"""Factor by which patches are cut larger, so that rotation and deformation bring in real surroundings."""

PatchBatch = tuple[torch.Tensor, torch.Tensor]
"""Channels [batch, channel, z, y, x], float32, and labels [batch, 1, z, y, x], int64."""


def cut_patch(
    case: PreparedCase, centre: Sequence[int], shape: Shape, *, spec: PatchSpec
) -> tuple[Float, npt.NDArray[np.uint8]]:
    """Cut a patch out of a case. Outside the volume, it is padded as in the gateway, and its labels are background.

    Args:
        case: Case to cut from.
        centre: Voxel [z, y, x] of the volume at the centre of the patch.
        shape: Shape of the patch, [z, y, x].
        spec: Padding of the model.

    Returns:
        Channels [channel, z, y, x] and labels [1, z, y, x].
    """
    channels, labels = case.channels, case.labels
    reads, puts = [], []
    for middle, size, extent in zip(centre, shape, labels.shape, strict=True):
        first = middle - size // 2
        low, high = max(0, first), min(extent, first + size)
        reads.append(slice(low, high))
        puts.append(slice(low - first, high - first))
    padding = [(0, 0), *((put.start, size - put.stop) for put, size in zip(puts, shape, strict=True))]
    inside = channels[:, reads[0], reads[1], reads[2]].astype(np.float32)
    if spec.padding == "replicate":
        image = np.pad(inside, padding, mode="edge")
    else:
        image = np.pad(inside, padding, constant_values=spec.padding_value)
    return image, np.pad(labels[reads[0], reads[1], reads[2]][None], padding)


def augmentation(spec: SegmentationSpec, *, mirror: bool) -> Compose:
    """Make the random transform of ``{"image": [channel, z, y, x], "label": [1, z, y, x]}`` to a patch of the spec.

    Args:
        spec: Spec of the network.
        mirror: Whether to swap left and right in half of the patches. Labels keep their numbers.
    """
    z, y, x = spec.input_shape[1:]
    # Volumes with thick slices are rotated only slightly out of the slice plane.
    spacing = spec.patch.spacing
    tilt = 0.35 if max(spacing) <= 2 * min(spacing) else 0.1
    return Compose(
        [
            RandAffined(
                ("image", "label"),
                prob=0.7,
                rotate_range=(0.35, tilt, tilt),
                scale_range=(0.2, 0.2, 0.2),
                spatial_size=(z, y, x),
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            RandSmoothDeformd(
                ("image", "label"),
                spatial_size=(z, y, x),
                rand_size=(5, 5, 5),
                prob=0.3,
                def_range=0.08,
                field_mode="trilinear",
                grid_mode=("bilinear", "nearest"),
                grid_padding_mode="border",
            ),
            *([RandFlipd(("image", "label"), prob=0.5, spatial_axis=2)] if mirror else []),
            RandGaussianNoised("image", prob=0.2, std=0.1),
            RandGaussianSmoothd("image", prob=0.15, sigma_x=(0.4, 1), sigma_y=(0.4, 1), sigma_z=(0.4, 1)),
            RandScaleIntensityd("image", prob=0.2, factors=0.25),
            RandBiasFieldd("image", prob=0.15, degree=2, coeff_range=(0, 0.2)),
            RandSimulateLowResolutiond("image", prob=0.2, zoom_range=(0.5, 1.0)),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        ]
    )


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Keep MONAI's transforms from wrapping tensors in metadata, which nobody reads here; later calls do as before."""
    tracked = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(tracked)


@dataclass(frozen=True)
class PatchDataset(Dataset[PatchBatch]):
    """Batches of patches by step.

    Attributes:
        cases: Cases to cut from.
        spec: Spec of the network.
        seed: Seed of all draws.
        batch_size: Number of patches in a batch.
        mirror: Whether to swap left and right in half of the patches.
        rank: Number of the training process. Each process draws its own patches.
    """

    cases: tuple[PreparedCase, ...]
    spec: SegmentationSpec
    seed: int
    batch_size: int
    mirror: bool
    rank: int = 0

    def __getitem__(self, step: int) -> PatchBatch:
        rng = np.random.default_rng((self.seed, self.rank, step))
        change = augmentation(self.spec, mirror=self.mirror)
        images, labels = [], []
        with _plain_tensors():
            for _ in range(self.batch_size):
                image, label = self._draw(rng)
                change.set_random_state(seed=int(rng.integers(2**32)))
                changed = change({"image": torch.from_numpy(image), "label": torch.from_numpy(label)})
                images.append(changed["image"].clamp(-1.0, 1.0))
                labels.append(changed["label"].long())
        return torch.stack(images), torch.stack(labels)

    def _draw(self, rng: Rng) -> tuple[Float, npt.NDArray[np.uint8]]:
        case = self.cases[int(rng.integers(len(self.cases)))]
        shape = self.spec.input_shape[1:]
        z, y, x = (int(np.ceil(_CUT_SCALE * n)) for n in shape)
        places = case.label_voxels
        if len(places) and rng.random() < _LABELLED_FRACTION:
            present = np.unique(places[:, 0])
            rows = places[places[:, 0] == present[int(rng.integers(len(present)))]]
            wanted = rows[int(rng.integers(len(rows))), 1:].tolist()
        else:
            wanted = [int(rng.integers(extent)) for extent in case.labels.shape]
        centre = [
            _centre_inside(at, extent, size) for at, extent, size in zip(wanted, case.labels.shape, shape, strict=True)
        ]
        return cut_patch(case, centre, (z, y, x), spec=self.spec.patch)


def _centre_inside(wanted: int, extent: int, size: int) -> int:
    """Return the centre nearest to ``wanted`` along an axis for which the patch lies in the volume, or contains it."""
    first, last = sorted((size // 2, extent - (size - size // 2)))
    return min(max(wanted, first), last)


def iterate_patches(patches: PatchDataset, *, first: int, last: int, workers: int) -> Iterator[PatchBatch]:
    """Iterate over the batches of steps.

    Args:
        patches: Batches by step.
        first: First step.
        last: Step after the last one.
        workers: Number of worker processes; 0 makes the batches in this process.
    """
    steps = range(first, last)
    if not workers:
        return (patches[step] for step in steps)
    loader = DataLoader(
        patches,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=4,
        multiprocessing_context="spawn",
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
    os.nice(5)
