"""Labelled images on disk, in two layouts, and their split into training and validation cases.

Medical Segmentation Decathlon: a folder with ``dataset.json`` that lists the pairs and names the labels. Folder pair:
``images/`` and ``labels/`` with equal file names; ``labels.json`` (``{"1": "anterior"}``) may name the labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array
from sixpoint.errors import DatasetError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.masks.labels import whole_labels
from sixpoint.masks.regridding import reorder
from sixpoint.volume import Volume, check_voxels

__all__ = [
    "Case",
    "Dataset",
    "LabelledVolume",
    "Split",
    "dataset_digest",
    "read_case",
    "read_dataset",
    "split_cases",
]

_MODALITIES = {"MRI": "MR", "PET": "PT"}


@dataclass(frozen=True)
class Case:
    """An image and its labels.

    Attributes:
        name: Name of the image file without suffix.
        image: Image file.
        label: Label file, with a whole number per voxel.
    """

    name: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder.

    Attributes:
        name: Name in ``dataset.json``, or of the folder.
        cases: Cases, ordered by name.
        labels: Names of the labels by their number in the label files. Empty: every number is a label.
        modality: Modality in DICOM's terms (CT, MR, PT, US). Empty: unknown.
        licence: Licence of images and labels in ``dataset.json``. Empty: unknown.
    """

    name: str
    cases: tuple[Case, ...]
    labels: Mapping[int, str]
    modality: str = ""
    licence: str = ""


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
    dataset = _read_decathlon(folder) if (folder / "dataset.json").is_file() else _read_folder_pair(folder)
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
        DatasetError: A file cannot be read, image and labels have different grids, voxels are NaN, or labels are not
            whole numbers from 0 or not among those of the dataset.
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


def dataset_digest(dataset: Dataset) -> str:
    """Compute the SHA-256 of a dataset: of the names of its cases, in their order, and the bytes of their files.

    Raises:
        DatasetError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for case in dataset.cases:
        digest.update(f"{case.name}\n".encode())
        for path in (case.image, case.label):
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise DatasetError(f"case {case.name}: {path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def split_cases(dataset: Dataset, *, seed: int, held_out_fraction: float = 0.2, held_out: Path | None = None) -> Split:
    """Split a dataset by case.

    Args:
        dataset: Dataset to split.
        seed: Seed of the draw. The same seed and cases give the same split.
        held_out_fraction: Fraction of the cases to hold out; at least one case is held out.
        held_out: Text file with the names of the cases to hold out, one per line; None: they are drawn.

    Raises:
        DatasetError: The file names an unknown case, or either part is empty.
    """
    names = sorted(case.name for case in dataset.cases)
    if held_out is not None:
        chosen = {line.strip() for line in _read_text(held_out).splitlines() if line.strip()}
        if unknown := sorted(chosen - set(names)):
            raise DatasetError(f"{held_out} names {unknown[0]}, which is not a case of {dataset.name}")
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


def _read_decathlon(folder: Path) -> Dataset:
    path = folder / "dataset.json"
    data = _read_json(path)
    try:
        labels = {int(number): str(name) for number, name in data["labels"].items() if int(number) != 0}
        pairs = [(folder / pair["image"], folder / pair["label"]) for pair in data["training"]]
        modalities = [str(name) for name in data.get("modality", {}).values()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f'{path} does not have the layout of the Decathlon: expected "labels": {{"1": "name"}} and "training": '
            '[{"image": ..., "label": ...}]'
        ) from error
    if not labels:
        raise DatasetError(f"{path} names no label: expected at least one besides the background")
    return Dataset(
        name=str(data.get("name") or folder.resolve().name),
        cases=tuple(Case(_stem(image), image, label) for image, label in sorted(pairs)),
        labels=dict(sorted(labels.items())),
        modality=_MODALITIES.get(modalities[0], modalities[0]) if modalities else "",
        licence=str(data.get("licence") or data.get("license") or ""),
    )


def _read_folder_pair(folder: Path) -> Dataset:
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise DatasetError(f"{folder} is not a dataset: expected dataset.json, or the folders images and labels")
    names = {kind: {path.name for path in kind.iterdir() if not path.name.startswith(".")} for kind in (images, labels)}
    for kind, other in ((images, labels), (labels, images)):
        if unpaired := sorted(names[kind] - names[other]):
            raise DatasetError(f"{kind / unpaired[0]} has no file of the same name in {other.name}")
    label_names: dict[int, str] = {}
    if (folder / "labels.json").is_file():
        try:
            label_names = {int(number): str(name) for number, name in _read_json(folder / "labels.json").items()}
        except (ValueError, AttributeError) as error:
            raise DatasetError(f'{folder / "labels.json"} does not name labels: expected {{"1": "name"}}') from error
        label_names.pop(0, None)
    return Dataset(
        name=folder.resolve().name,
        cases=tuple(Case(_stem(images / name), images / name, labels / name) for name in sorted(names[images])),
        labels=dict(sorted(label_names.items())),
    )


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
