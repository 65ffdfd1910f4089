"""The labelled images beside the project, as structures to evaluate models on."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from sixpoint.volume import Volume
from trainer.data.structures import MIN_VOXELS, LabelledImage, Structure

__all__ = ["MODALITIES", "TRAINING_PATIENTS", "shared_images", "to_sitk", "training_hippocampi"]

TRAINING_PATIENTS = frozenset(f"STS_{number:03d}" for number in range(4, 49, 4))
"""Patients whose sarcomas the shipped annotation model was trained on: excluded from evaluation."""
MODALITIES = ("MR_T1", "PET")


def shared_images(data: Path) -> list[LabelledImage]:
    """List the shared images. Groups are each of the volumes, the sarcomas of each modality, and the hippocampi.

    The patients in :data:`TRAINING_PATIENTS` and the images of :func:`training_hippocampi` are excluded.
    """
    volumes, training = data / "volumes", set(training_hippocampi(data))
    entries = json.loads((volumes / "manifest.json").read_text())
    return [
        *(LabelledImage(entry["id"], (entry["id"],), partial(_volume, volumes, entry)) for entry in entries),
        *(
            LabelledImage(patient.name, (f"sarcoma {modality}",), partial(_sarcoma, patient, modality))
            for patient in sorted((data / "sarcoma").glob("STS_*"))
            for modality in MODALITIES
            if patient.name not in TRAINING_PATIENTS and (patient / f"{modality}_image.nii.gz").exists()
        ),
        *(
            LabelledImage(path.name, ("hippocampus MR",), partial(_hippocampus, path))
            for path in _hippocampi(data)
            if path not in training
        ),
    ]


def training_hippocampi(data: Path) -> list[Path]:
    """List the hippocampi that the shipped annotation model was trained on, every fourth: excluded from evaluation."""
    return _hippocampi(data)[::4]


def _hippocampi(data: Path) -> list[Path]:
    return sorted((data / "hippocampus" / "images").glob("*.nii.gz"))


def to_sitk(volume: Volume) -> sitk.Image:
    """Convert a volume to a SimpleITK image."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def _volume(folder: Path, entry: dict[str, Any]) -> list[Structure]:
    image = Volume.read(folder / entry["image"])
    labels = _labels(folder / entry["label"], folder / entry["image"])
    structures = []
    for number, label in entry["labels"].items():
        name = label["name"] if label["name"] != "?" else f"label {number}"
        structures += _structure(entry["id"], name, image, labels == int(number))
    return structures


def _sarcoma(patient: Path, modality: str) -> list[Structure]:
    path = patient / f"{modality}_image.nii.gz"
    truth = _labels(patient / f"{modality}_mask.nii.gz", path) > 0
    return _structure(f"sarcoma {modality}", patient.name, Volume.read(path), truth)


def _hippocampus(path: Path) -> list[Structure]:
    # Anterior and posterior are one object, as a person would outline it.
    truth = Volume.read(path.parent.parent / "labels" / path.name).array > 0
    return _structure("hippocampus MR", path.name.removesuffix(".nii.gz"), Volume.read(path), truth)


def _structure(group: str, name: str, image: Volume, truth: npt.NDArray[np.bool_]) -> list[Structure]:
    return [Structure(group, name, image, truth)] if np.count_nonzero(truth) >= MIN_VOXELS else []


def _labels(path: Path, image: Path) -> npt.NDArray[Any]:
    """Read labels [z, y, x] on the grid of an image. Some label files are cropped to their labels."""
    labels, grid = sitk.ReadImage(str(path)), sitk.ReadImage(str(image))
    return sitk.GetArrayFromImage(sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor))
