"""Labelled images on disk, and their split into training and validation cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array
from sixpoint.errors import DatasetError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.masks.labels import whole_labels
from sixpoint.masks.regridding import reorder
from sixpoint.volume import Volume, check_voxels
from trainer.data.layouts import Case, Dataset, read_dataset_json, read_folder_pair, read_text
from trainer.data.stated_split import StatedSplit

__all__ = [
    "Case",
    "Dataset",
    "LabelledVolume",
    "Split",
    "case_digest",
    "dataset_digest",
    "read_case",
    "read_dataset",
    "split_cases",
]


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A case in memory, in canonical orientation.

    Attributes:
        image: Voxels [z, y, x] in the image's own units.
        labels: Numbers of the label file, [z, y, x]; 0 is background.
        geometry: Geometry of both arrays.
    """

    image: Array
    labels: npt.NDArray[np.int32]
    geometry: Geometry


@dataclass(frozen=True)
class Split:
    """Split of a dataset.

    Attributes:
        training: Names of the cases to train on.
        validation: Names of the held-out cases to validate on.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]


def read_dataset(folder: Path) -> Dataset:
    """List the cases of a dataset's folder. No image is opened.

    Raises:
        DatasetError: The folder has neither layout, a file is missing, or there is no pair.
    """
    if not folder.is_dir():
        raise DatasetError(f"dataset folder {folder} does not exist")
    dataset = read_dataset_json(folder) if (folder / "dataset.json").is_file() else read_folder_pair(folder)
    if not dataset.cases:
        raise DatasetError(f"{folder} has no labelled image: expected at least one pair of image and labels")
    names = [case.name for case in dataset.cases]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(f"{folder} has several cases named {duplicates[0]}: names must be unique")
    for case in dataset.cases:
        for path in (case.image, case.label):
            if not path.is_file():
                raise DatasetError(f"case {case.name}: file {path} does not exist")
    return dataset


def read_case(case: Case, labels: Mapping[int, str]) -> LabelledVolume:
    """Read and check one case.

    Args:
        case: Case of a dataset.
        labels: Names of the dataset's labels by number; empty: any number is a label.

    Raises:
        DatasetError: A file cannot be read, the image is one slice, image and labels have different grids, voxels are
            NaN, or labels are not whole numbers from 0 or not among those of the dataset.
    """
    try:
        image, label = Volume.read(case.image), Volume.read(case.label)
        check_voxels(image.array)
        numbers = whole_labels(label.array).astype(np.int32)
        # Labels are often saved by another program, with other axes.
        numbers = reorder(numbers, label.geometry, image.geometry)
    except VolumeError as error:
        raise DatasetError(f"case {case.name}: {error.message}") from error
    except ValueError as error:
        raise DatasetError(f"case {case.name}: {case.label} {error}") from error
    if min(image.geometry.size) < 2:  # as the gateway
        raise DatasetError(
            f"case {case.name}: a 3D image is needed, at least two voxels along each axis; got size "
            f"{image.geometry.size}"
        )
    if labels:
        unknown = sorted(set(np.unique(numbers).tolist()) - {0, *labels})
        if unknown:
            expected = ", ".join(f"{number} {name}" for number, name in labels.items())
            raise DatasetError(f"case {case.name}: label {unknown[0]} is not among those of the dataset: {expected}")
    return LabelledVolume(
        image=image.geometry.orientation.to_canonical(image.array),
        labels=image.geometry.orientation.to_canonical(numbers),
        geometry=image.geometry.canonical(),
    )


def case_digest(case: Case, labels: Mapping[int, str]) -> str:
    """Compute the SHA-256 of a case: of the bytes of its files and the names of the labels by number.

    Raises:
        DatasetError: A file cannot be read.
    """
    digest = hashlib.sha256(json.dumps(sorted(labels.items())).encode())
    for path in (case.image, case.label):
        digest.update(_file_digest(case, path))
    return digest.hexdigest()


def dataset_digest(dataset: Dataset) -> str:
    """Compute the SHA-256 of a dataset: of the names of its cases, in their order, and the bytes of their files.

    Raises:
        DatasetError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for case in dataset.cases:
        digest.update(f"{case.name}\n".encode())
        for path in (case.image, case.label):
            digest.update(_file_digest(case, path))
    return digest.hexdigest()


def _file_digest(case: Case, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DatasetError(f"case {case.name}: {path} cannot be read: {error.strerror}") from error


def split_cases(
    dataset: Dataset,
    *,
    seed: int,
    held_out_fraction: float = 0.2,
    held_out: Path | None = None,
    stated: StatedSplit | None = None,
) -> Split:
    """Split a dataset by case. Cases that the dataset keeps for its final test are in neither part.

    Args:
        dataset: Dataset to split.
        seed: Seed of the draw. The same seed and cases give the same split.
        held_out_fraction: Fraction of the cases to hold out; at least one case is held out.
        held_out: Text file with the names of the cases to hold out, one per line; None: those that ``stated`` holds
            out, and if it holds out none, they are drawn.
        stated: Split that the dataset's folder states; None: it states none.

    Raises:
        DatasetError: The file names an unknown case, either part is empty, or ``stated`` is of other cases.
    """
    names = sorted(case.name for case in dataset.cases)
    if stated is not None:
        if held_out is None:
            stated.check(names)
        names = [name for name in names if name not in stated.test]
    if held_out is not None:
        chosen = {line.strip() for line in read_text(held_out).splitlines() if line.strip()}
        if unknown := sorted(chosen - set(names)):
            raise DatasetError(f"{held_out} names {unknown[0]}, which is not a case of {dataset.name}")
    elif stated is not None and stated.validation:
        chosen = set(stated.validation)
    else:
        count = max(1, round(held_out_fraction * len(names)))
        chosen = set(np.random.default_rng(seed).permutation(names)[:count].tolist())
    result = Split(
        training=tuple(name for name in names if name not in chosen),
        validation=tuple(name for name in names if name in chosen),
    )
    if not result.training or not result.validation:
        raise DatasetError(
            f"{dataset.name} has {len(names)} cases, {len(chosen)} of them held out: expected at least one to train on "
            "and one to hold out"
        )
    return result
