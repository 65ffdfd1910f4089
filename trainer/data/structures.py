"""Labelled images as the structures that an annotation model is measured on."""

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
"""Structures with fewer voxels are left out: their own labels are uncertain by as much as any method's error."""


@dataclass(frozen=True, eq=False)
class Structure:
    """One structure in one image.

    Attributes:
        group: What means are taken over: structures of one kind.
        name: Of the structure or its image, unlike any other in the group.
        image: The image.
        truth: Its voxels, bool [z, y, x].
    """

    group: str
    name: str
    image: Volume
    truth: Bools


@dataclass(frozen=True)
class LabelledImage:
    """An image that is read when its turn comes.

    Attributes:
        name: For people.
        groups: Those that its structures can be of; empty: not known before it is read.
        read: Reads its structures of at least :data:`MIN_VOXELS` voxels, all in one image.
    """

    name: str
    groups: tuple[str, ...]
    read: Callable[[], list[Structure]]


def list_images(folder: Path, *, merge: bool = False) -> list[LabelledImage]:
    """The labelled images of a dataset (Decathlon layout or folder pair); every label is a group.

    Args:
        folder: The dataset.
        merge: Whether all labels of an image together are one structure, in a group of the dataset's name.

    Raises:
        DatasetError: When it is no dataset.
    """
    dataset = read_dataset(folder)
    groups = (dataset.name,) if merge else tuple(dataset.labels.values())
    read = _read_merged if merge else _read_structures
    return [LabelledImage(case.name, groups, partial(read, case, dataset)) for case in dataset.cases]


def choose_structures(
    images: Sequence[LabelledImage], *, groups: Collection[str] = (), limit: int | None = None, seed: int = 0
) -> Iterator[tuple[LabelledImage, list[Structure]]]:
    """Read the images one after another, each with its structures that are to be measured; those may be none.

    Args:
        images: All there are.
        groups: Only structures of these; empty: of all.
        limit: At most so many structures of each group, drawn by the seed.
        seed: Of the draw.
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
        found = image.read()
        chosen = []
        for place in range(len(found)) if limit is None else rng.permutation(len(found)).tolist():
            if wanted(found[place].group):
                taken[found[place].group] += 1
                chosen.append(found[place])
        yield image, chosen


def _read_structures(case: Case, dataset: Dataset) -> list[Structure]:
    volume = read_case(case, dataset.labels)
    image = Volume(volume.image, volume.geometry)
    found = []
    for number, voxels in enumerate(np.bincount(volume.labels.reshape(-1))):
        if number and voxels >= MIN_VOXELS:
            group = dataset.labels.get(number, f"label {number}")
            found.append(Structure(group, case.name, image, volume.labels == number))
    return found


def _read_merged(case: Case, dataset: Dataset) -> list[Structure]:
    volume = read_case(case, dataset.labels)
    truth = volume.labels > 0
    if np.count_nonzero(truth) < MIN_VOXELS:
        return []
    return [Structure(dataset.name, case.name, Volume(volume.image, volume.geometry), truth)]
