"""The labelled images beside the project, as the structures that models are measured on."""

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

__all__ = ["LEARNT", "MODALITIES", "learnt_hippocampi", "shared_images", "to_sitk"]

LEARNT = frozenset(f"STS_{number:03d}" for number in range(4, 49, 4))
"""Patients whose sarcomas the shipped annotation model learnt from: never evaluated on."""
MODALITIES = ("MR_T1", "PET")


def shared_images(data: Path) -> list[LabelledImage]:
    """The shared images: each of the volumes is a group, the sarcomas of each modality, the hippocampi.

    The patients in :data:`LEARNT` and those of :func:`learnt_hippocampi` are left out.
    """
    volumes, learnt = data / "volumes", set(learnt_hippocampi(data))
    entries = json.loads((volumes / "manifest.json").read_text())
    return [
        *(LabelledImage(entry["id"], (entry["id"],), partial(_volume, volumes, entry)) for entry in entries),
        *(
            LabelledImage(patient.name, (f"sarcoma {modality}",), partial(_sarcoma, patient, modality))
            for patient in sorted((data / "sarcoma").glob("STS_*"))
            for modality in MODALITIES
            if patient.name not in LEARNT and (patient / f"{modality}_image.nii.gz").exists()
        ),
        *(
            LabelledImage(path.name, ("hippocampus MR",), partial(_hippocampus, path))
            for path in _hippocampi(data)
            if path not in learnt
        ),
    ]


def learnt_hippocampi(data: Path) -> list[Path]:
    """Images of the hippocampi that the shipped annotation model learnt from, every fourth: never evaluated on."""
    return _hippocampi(data)[::4]


def _hippocampi(data: Path) -> list[Path]:
    return sorted((data / "hippocampus" / "images").glob("*.nii.gz"))


def to_sitk(volume: Volume) -> sitk.Image:
    """A volume as SimpleITK has it."""
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction)
    return image


def _volume(folder: Path, entry: dict[str, Any]) -> list[Structure]:
    image = Volume.read(folder / entry["image"])
    labels = _labels(folder / entry["label"], folder / entry["image"])
    found = []
    for number, label in entry["labels"].items():
        name = label["name"] if label["name"] != "?" else f"label {number}"
        found += _structure(entry["id"], name, image, labels == int(number))
    return found


def _sarcoma(patient: Path, modality: str) -> list[Structure]:
    path = patient / f"{modality}_image.nii.gz"
    truth = _labels(patient / f"{modality}_mask.nii.gz", path) > 0
    return _structure(f"sarcoma {modality}", patient.name, Volume.read(path), truth)


def _hippocampus(path: Path) -> list[Structure]:
    # Anterior and posterior together: one body, as a person would outline it.
    truth = Volume.read(path.parent.parent / "labels" / path.name).array > 0
    return _structure("hippocampus MR", path.name.removesuffix(".nii.gz"), Volume.read(path), truth)


def _structure(group: str, name: str, image: Volume, truth: npt.NDArray[np.bool_]) -> list[Structure]:
    return [Structure(group, name, image, truth)] if np.count_nonzero(truth) >= MIN_VOXELS else []


def _labels(path: Path, image: Path) -> npt.NDArray[Any]:
    """Labels [z, y, x] on the image's grid; some segmentations are stored cropped to what they hold."""
    labels, grid = sitk.ReadImage(str(path)), sitk.ReadImage(str(image))
    return sitk.GetArrayFromImage(sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor))
