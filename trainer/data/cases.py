"""Cases prepared for a segmentation network: resampled to its spacing, windowed, stored on disk.

A prepared case knows the SHA-256 of the files that it was made of, and is made again when they changed.
Files are mapped into memory, so that the operating system's cache bounds memory whatever the size of the dataset.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Floating
from sixpoint.model_spec import SegmentationSpec
from sixpoint.preprocessing import Roi, volume_channels
from trainer.data.datasets import Case, case_digest, read_case

__all__ = ["CASES_PREFIX", "PreparedCase", "cases_folder", "prepare_cases"]

CASES_PREFIX = "cases-"
"""Beginning of the name of a run's folders with prepared cases."""
_DIGEST = "sha256.txt"
_VOXELS_PER_LABEL = 2000
"""Number of voxels of each label that are stored as centres for patches."""


@dataclass(frozen=True)
class PreparedCase:
    """A prepared case on disk.

    Attributes:
        folder: Folder of its arrays.
    """

    folder: Path

    @property
    def channels(self) -> Floating:
        """Network input of the whole volume, [channel, z, y, x]."""
        return self._map("channels")

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Labels 0, 1, ... of the spec on the same grid, [z, y, x]."""
        return self._map("labels")

    @property
    def label_voxels(self) -> npt.NDArray[np.int32]:
        """Sample of the voxels of each label in the case, as rows (label, z, y, x)."""
        return self._map("places")

    @property
    def truth(self) -> npt.NDArray[np.uint8]:
        """Labels 0, 1, ... of the spec on the grid of the canonical image, [z, y, x]."""
        return self._map("truth")

    def _map(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


def cases_folder(run: Path, spec: SegmentationSpec) -> Path:
    """Return the folder of a run's prepared cases. Specs that need other arrays get other folders."""
    relevant = json.dumps([spec.model_dump(mode="json")[part] for part in ("patch", "input", "labels")])
    return run / f"{CASES_PREFIX}{hashlib.sha256(relevant.encode()).hexdigest()[:8]}"


def prepare_cases(
    cases: Sequence[Case],
    spec: SegmentationSpec,
    *,
    labels: Mapping[int, str],
    folder: Path,
    workers: int = 1,
    report: Callable[[float], None] = lambda _: None,
    changed: Callable[[str], None] = lambda _: None,
) -> dict[str, PreparedCase]:
    """Prepare cases that are not prepared yet, or whose files have changed since.

    Args:
        cases: Cases of a dataset.
        spec: Segmentation spec.
        labels: Names of the dataset's labels by their number in the label files, in the order of the spec's labels.
        folder: Folder to write into.
        workers: Number of threads.
        report: Callback with the finished fraction, 0 to 1.
        changed: Callback with the name of a case that is prepared again because its files have changed.

    Returns:
        Prepared cases by name.

    Raises:
        DatasetError: A case is unusable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, PreparedCase] = {}
    with ThreadPoolExecutor(workers) as pool:
        for case, prepared in zip(
            cases, pool.map(lambda case: _prepare_case(case, spec, labels, folder, changed), cases), strict=True
        ):
            result[case.name] = prepared
            report(len(result) / len(cases))
    return result


def _prepare_case(
    case: Case, spec: SegmentationSpec, labels: Mapping[int, str], folder: Path, changed: Callable[[str], None]
) -> PreparedCase:
    target, digest = folder / case.name, case_digest(case, labels)
    if target.is_dir():
        made_of = target / _DIGEST
        stored = made_of.read_text() if made_of.is_file() else ""  # older trainers stored none
        if stored == digest:
            return PreparedCase(target)
        if stored:
            changed(case.name)
        shutil.rmtree(target)
    volume = read_case(case, labels)
    truth = np.zeros(volume.labels.shape, np.uint8)
    for index, number in enumerate(labels, start=1):
        truth[volume.labels == number] = index
    roi = Roi.for_segmentation(volume.geometry.size, spacing=volume.geometry.spacing, spec=spec)
    resampled = _resample_labels(truth, roi, len(labels))
    # Written to a temporary folder and renamed: a kill leaves a whole case or none.
    staging = folder / f".{case.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    np.save(staging / "channels.npy", volume_channels(volume.image, roi, spec))
    np.save(staging / "labels.npy", resampled)
    np.save(staging / "places.npy", _sample_label_voxels(resampled))
    np.save(staging / "truth.npy", truth)
    (staging / _DIGEST).write_text(digest)
    staging.rename(target)
    return PreparedCase(target)


def _resample_labels(truth: npt.NDArray[np.uint8], roi: Roi, count: int) -> npt.NDArray[np.uint8]:
    """Resample labels to the ROI's grid: each cell gets the label that fills the largest part of it."""
    if roi.size == truth.shape[::-1]:
        return truth
    labels = np.zeros(roi.size[::-1], np.uint8)
    largest = roi.extract(truth == 0)
    for label in range(1, 1 + count):
        filled = roi.extract(truth == label)
        labels[filled > largest] = label
        largest = np.maximum(largest, filled)
    return labels


def _sample_label_voxels(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Take evenly spaced voxels of each label, as rows (label, z, y, x)."""
    rows = []
    for label in np.unique(labels[labels > 0]).tolist():
        voxels = np.flatnonzero(labels == label)
        sample = voxels[np.linspace(0, voxels.size - 1, min(_VOXELS_PER_LABEL, voxels.size)).astype(np.int64)]
        where = np.stack(np.unravel_index(sample, labels.shape), axis=1)
        rows.append(np.concatenate([np.full((len(where), 1), label), where], axis=1))
    return np.concatenate(rows).astype(np.int32) if rows else np.zeros((0, 4), np.int32)
