"""The layout of BIDS: images of subjects, and label maps as derivatives.

Source: https://bids-specification.readthedocs.io (1.10: anatomy, PET; derivatives: segmentations). CT follows the draft
of BIDS's extension for it (BEP024).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from sixpoint.errors import DatasetError
from sixpoint.errors.shortening import quoted

__all__ = ["DERIVED", "bids_paths", "bids_texts", "check_contrast"]

DERIVED = PurePosixPath("derivatives", "sixpoint")
"""Folder of the label maps."""

_VERSION = "1.10.0"
_ANATOMY = ("T1w", "T2w", "PDw", "T2starw", "FLAIR", "inplaneT1", "inplaneT2", "PDT2", "angio")
_FOLDERS = {"ct": ("ct", "ct"), "pet": ("pet", "pet"), "pt": ("pet", "pet")}
_FOLDERS |= {contrast.lower(): ("anat", contrast) for contrast in _ANATOMY}


def check_contrast(modality: str) -> tuple[str, str]:
    """Return the folder and the suffix of images of a modality.

    Args:
        modality: CT, PET, or what BIDS calls the contrast of an MR image.

    Raises:
        DatasetError: BIDS has no suffix for it, as for MR, of which it names the contrast.
    """
    if (place := _FOLDERS.get(modality.strip().lower())) is None:
        raise DatasetError(
            f"BIDS has no suffix for images of the modality {quoted(modality)}; say what it calls them: CT, PET, or "
            f"for MR the contrast ({', '.join(_ANATOMY)})"
        )
    return place


def bids_paths(cases: Sequence[str], modality: str) -> dict[str, tuple[PurePosixPath, PurePosixPath]]:
    """Return where the image and the label map of each case lie. Each case is a subject.

    Args:
        cases: Names of the cases.
        modality: As :func:`check_contrast` takes it.

    Raises:
        DatasetError: BIDS has no suffix for it.
    """
    folder, suffix = check_contrast(modality)
    taken: set[str] = set()
    paths = {}
    for case in cases:
        # Labels of BIDS have letters and digits only, and file systems may not tell cases apart.
        wanted = re.sub("[^a-zA-Z0-9]", "", case) or "case"
        names = (f"{wanted}x{number}" if number else wanted for number in range(len(cases) + 1))
        subject = next(f"sub-{name}" for name in names if f"sub-{name}".lower() not in taken)
        taken.add(subject.lower())
        image = PurePosixPath(subject, folder, f"{subject}_{suffix}.nii.gz")
        paths[case] = image, DERIVED / subject / folder / f"{subject}_dseg.nii.gz"
    return paths


def bids_texts(
    name: str,
    labels: Mapping[str, int],
    splits: Mapping[str, str],
    paths: Mapping[str, tuple[PurePosixPath, PurePosixPath]],
) -> dict[PurePosixPath, str | dict[str, Any]]:
    """Return the other files of the layout: texts, and what is written as JSON.

    Args:
        name: Name of the dataset.
        labels: Number of each label by its name.
        splits: Split of each case by its name.
        paths: As :func:`bids_paths` returns them.
    """
    rows = [f"{paths[case][0].parts[0]}\t{case}\t{split}\n" for case, split in splits.items()]
    described = {"Name": name, "BIDSVersion": _VERSION}
    derived = {**described, "DatasetType": "derivative", "GeneratedBy": [{"Name": "sixpoint"}]}
    table = "".join(f"{number}\t{label}\n" for label, number in {"background": 0, **labels}.items())
    return {
        PurePosixPath("dataset_description.json"): {**described, "DatasetType": "raw"},
        PurePosixPath("README"): f"Images of the dataset {name}, with label maps in {DERIVED}.\n",
        PurePosixPath("participants.tsv"): "participant_id\tcase\tsplit\n" + "".join(rows),
        DERIVED / "dataset_description.json": derived,
        DERIVED / "dseg.tsv": "index\tname\n" + table,
    }
