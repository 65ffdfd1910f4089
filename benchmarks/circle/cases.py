"""Labelled images that the simulated annotator works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.images.shared_images import training_hippocampi
from sixpoint._typing import Bools
from sixpoint.errors import InvalidArgument
from sixpoint.phantom.coil import COIL, make_coil
from sixpoint.volume import Volume
from trainer.data.datasets import Case, read_case, read_dataset

__all__ = ["LabelledCase", "coils", "hippocampi"]


@dataclass(frozen=True)
class LabelledCase:
    """An image whose structures are known; it is read when it is needed.

    Attributes:
        name: Name of the case.
        read: Function that reads the image, and the truth of each label [z, y, x].
    """

    name: str
    read: Callable[[], tuple[Volume, Mapping[str, Bools]]]


def coils(count: int) -> list[LabelledCase]:
    """Make cases of the phantom of a hollow organ, at which the shipped model is bad."""

    def read(seed: int) -> tuple[Volume, Mapping[str, Bools]]:
        phantom = make_coil(seed=seed)
        return phantom.image, {COIL: phantom.labels.array > 0}

    return [LabelledCase(f"coil-{seed:03d}", partial(read, seed)) for seed in range(count)]


def hippocampi(data: Path, count: int) -> list[LabelledCase]:
    """List hippocampi that the shipped annotation model was not trained on; the anterior and posterior part are labels.

    Args:
        data: Folder of the labelled images beside the project.
        count: Number of cases.

    Raises:
        InvalidArgument: There are fewer.
    """
    training = {path.name for path in training_hippocampi(data)}
    dataset = read_dataset(data / "hippocampus")
    names = dataset.labels if len(dataset.labels) == 2 else {1: "anterior", 2: "posterior"}
    usable = [case for case in dataset.cases if case.image.name not in training]
    if len(usable) < count:
        raise InvalidArgument(f"{data} has {len(usable)} hippocampi that the model was not trained on, not {count}")

    def read(case: Case) -> tuple[Volume, Mapping[str, Bools]]:
        volume = read_case(case, names)
        return Volume(volume.image, volume.geometry), {name: volume.labels == number for number, name in names.items()}

    return [
        LabelledCase(case.name, partial(read, case))
        # Evenly over the list, whose order may mean something.
        for case in (usable[round(index)] for index in np.linspace(0, len(usable) - 1, count))
    ]
