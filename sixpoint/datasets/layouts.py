"""Layouts of folders with labelled images: where the files lie, and what ``dataset.json`` says.

Sources: nnU-Net v2's documentation/dataset_format.md, and the ``dataset.json`` of the Medical Segmentation Decathlon
(medicaldecathlon.com).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

__all__ = ["Layout", "dataset_json", "image_path", "label_path", "splits_json"]

_ENDING = ".nii.gz"


class Layout(enum.StrEnum):
    """A layout of a folder."""

    NNUNET = "nnunet"
    MSD = "msd"
    BIDS = "bids"
    DICOM_SEG = "dicom-seg"


def image_path(layout: Layout, case: str, *, test: bool) -> PurePosixPath:
    """Return where the image of a case lies, from the folder of the dataset."""
    channel = "_0000" if layout is Layout.NNUNET else ""
    return PurePosixPath("imagesTs" if test else "imagesTr", f"{case}{channel}{_ENDING}")


def label_path(case: str, *, test: bool) -> PurePosixPath:
    """Return where the label map of a case lies."""
    return PurePosixPath("labelsTs" if test else "labelsTr", f"{case}{_ENDING}")


def dataset_json(
    layout: Layout, *, name: str, modality: str, labels: Mapping[str, int], cases: Sequence[str], tests: Sequence[str]
) -> dict[str, Any]:
    """Return what ``dataset.json`` says, which BIDS does not have.

    Args:
        layout: The layout.
        name: Name of the dataset.
        modality: Modality of the images, such as "CT"; nnU-Net normalises by it.
        labels: Number of each label by its name, without the background.
        cases: Names of the cases for training and validation.
        tests: Names of the cases for the test.
    """
    if layout is Layout.NNUNET:
        return {
            "name": name,
            "channel_names": {"0": modality},
            "labels": {"background": 0, **labels},
            "numTraining": len(cases),
            "file_ending": _ENDING,
        }
    return {
        "name": name,
        "tensorImageSize": "3D",
        "modality": {"0": modality},
        "labels": {"0": "background", **{str(number): label for label, number in labels.items()}},
        "numTraining": len(cases),
        "numTest": len(tests),
        "training": [
            {
                "image": f"./{image_path(layout, case, test=False)}",
                "label": f"./{label_path(case, test=False)}",
            }
            for case in cases
        ],
        "test": [f"./{image_path(layout, case, test=True)}" for case in tests],
    }


def splits_json(training: Sequence[str], validation: Sequence[str]) -> list[dict[str, list[str]]]:
    """Return nnU-Net's ``splits_final.json`` with one fold."""
    return [{"train": sorted(training), "val": sorted(validation)}]
