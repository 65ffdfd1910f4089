"""Structures of labelled images, on which annotation models are evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sixpoint._typing import Bools
from sixpoint.volume import Volume
from trainer.data.datasets import Case, Dataset, read_case, read_dataset

__all__ = ["MIN_VOXELS", "LabelledImage", "Structure", "choose_structures", "list_images"]

MIN_VOXELS = 300
"""Structures with fewer voxels are skipped: their labels are as uncertain as any method's error."""


@dataclass(frozen=True, eq=False)
class Structure:
    """One structure in one image.

    Attributes:
        group: Name of the kind of structure that means are computed over.
        name: Name of the structure or its image, unique in the group.
        image: Image that contains the structure.
        truth: Voxels of the structure, bool [z, y, x].
    """

    group: str
    name: str
    image: Volume
    truth: Bools


@dataclass(frozen=True)
class LabelledImage:
    """An image that is read only when it is needed.

    Attributes:
        name: Name to display.
        groups: Groups that its structures can belong to; empty: unknown until it is read.
        read: Function that reads its structures of at least :data:`MIN_VOXELS` voxels.
    """

    name: str
    groups: tuple[str, ...]
    read: Callable[[], list[Structure]]


def list_images(folder: Path, *, merge: bool = False) -> list[LabelledImage]:
    """List the labelled images of a dataset (Decathlon layout or folder pair). Every label is a group.

    Args:
        folder: Folder of the dataset.
        merge: Whether all labels of an image together are one structure, in a group named after the dataset.

    Raises:
        DatasetError: The folder is not a dataset.
    """
    dataset = read_dataset(folder)
    groups = (dataset.name,) if merge else tuple(dataset.labels.values())
    read = _read_merged if merge else _read_structures
    return [LabelledImage(case.name, groups, partial(read, case, dataset)) for case in dataset.cases]


def choose_structures(
    images: Sequence[LabelledImage], *, groups: Collection[str] = (), limit: int | None = None, seed: int = 0
) -> Iterator[tuple[LabelledImage, list[Structure]]]:
    """Read images one after another and choose their structures to evaluate on.

    Args:
        images: Images to choose from.
        groups: Groups to choose from; empty: all.
        limit: Maximum number of structures per group, drawn by the seed; None: all.
        seed: Seed of the draw.

    Yields:
        Each image with its chosen structures, which may be none.
    """
    rng = np.random.default_rng(seed)
    taken: Counter[str] = Counter()

    def wanted(group: str) -> bool:
        return (not groups or group in groups) and (limit is None or taken[group] < limit)

    order = range(len(images)) if limit is None else rng.permutation(len(images)).tolist()
    for index in order:
        image = images[index]
        if image.groups and not any(map(wanted, image.groups)):
            yield image, []
            continue
        structures = image.read()
        chosen = []
        for place in range(len(structures)) if limit is None else rng.permutation(len(structures)).tolist():
            if wanted(structures[place].group):
                taken[structures[place].group] += 1
                chosen.append(structures[place])
        yield image, chosen


def _read_structures(case: Case, dataset: Dataset) -> list[Structure]:
    volume = read_case(case, dataset.labels)
    image = Volume(volume.image, volume.geometry)
    structures = []
    for number, voxels in enumerate(np.bincount(volume.labels.reshape(-1))):
        if number and voxels >= MIN_VOXELS:
            group = dataset.labels.get(number, f"label {number}")
            structures.append(Structure(group, case.name, image, volume.labels == number))
    return structures


def _read_merged(case: Case, dataset: Dataset) -> list[Structure]:
    volume = read_case(case, dataset.labels)
    truth = volume.labels > 0
    if np.count_nonzero(truth) < MIN_VOXELS:
        return []
    return [Structure(dataset.name, case.name, Volume(volume.image, volume.geometry), truth)]
