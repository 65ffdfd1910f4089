"""Cases made ready for a segmentation network: on its spacing, under its windows, on disk and mapped into memory.

Reading is left to the operating system's cache: volumes small or large, many or few, take no more memory than there is.
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
from sixpoint.preprocessing import Roi, volume_input
from trainer.data.datasets import Case, read_case

__all__ = ["PreparedCase", "cases_folder", "prepare_cases"]

_VOXELS_PER_LABEL = 2000
"""Voxels of each label that are remembered, to cut patches round them."""


@dataclass(frozen=True)
class PreparedCase:
    """A case on disk.

    Attributes:
        folder: Where its arrays lie.
    """

    folder: Path

    @property
    def channels(self) -> Floating:
        """What the network sees of the whole volume, [channel, z, y, x]."""
        return self._map("channels")

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """The labels 0, 1, ... of the spec on the same grid, [z, y, x]."""
        return self._map("labels")

    @property
    def label_voxels(self) -> npt.NDArray[np.int32]:
        """Some voxels of every label there is: rows (label, z, y, x)."""
        return self._map("places")

    @property
    def truth(self) -> npt.NDArray[np.uint8]:
        """The labels 0, 1, ... of the spec on the canonical image's own grid, [z, y, x]."""
        return self._map("truth")

    def _map(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


def cases_folder(run: Path, spec: ModelSpec) -> Path:
    """Where a run keeps its cases; another spec that sees other arrays has another folder."""
    seen = json.dumps([spec.model_dump(mode="json")[part] for part in ("patch", "input", "labels")])
    return run / f"cases-{hashlib.sha256(seen.encode()).hexdigest()[:8]}"


def prepare_cases(
    cases: Sequence[Case],
    spec: SegmentationSpec,
    *,
    labels: Mapping[int, str],
    folder: Path,
    workers: int = 1,
    report: Callable[[float], None] = lambda _: None,
) -> dict[str, PreparedCase]:
    """Make cases ready, those left out that are ready already.

    Args:
        cases: Of a dataset.
        spec: For segmentation.
        labels: The dataset's, by the number in its files, in the order of the spec's.
        folder: To write into.
        workers: Threads.
        report: Called with the part that is done, 0 to 1.

    Returns:
        The cases by name.

    Raises:
        DatasetError: A case is not usable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, PreparedCase] = {}
    with ThreadPoolExecutor(workers) as pool:
        for case, done in zip(
            cases, pool.map(lambda case: _prepare_case(case, spec, labels, folder), cases), strict=True
        ):
            result[case.name] = done
            report(len(result) / len(cases))
    return result


def _prepare_case(case: Case, spec: ModelSpec, labels: Mapping[int, str], folder: Path) -> PreparedCase:
    place = folder / case.name
    if place.is_dir():
        return PreparedCase(place)
    volume = read_case(case, labels)
    truth = np.zeros(volume.labels.shape, np.uint8)
    for index, number in enumerate(labels, start=1):
        truth[volume.labels == number] = index
    roi = Roi.from_image(volume.geometry.size, spacing=volume.geometry.spacing, target_spacing=spec.patch.spacing)
    resampled = _resample_labels(truth, roi, len(labels))
    # Written aside and renamed: a case is whole or not there, whenever the trainer is killed.
    staging = folder / f".{case.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    np.save(staging / "channels.npy", volume_input(roi.extract(volume.image), spec.input))
    np.save(staging / "labels.npy", resampled)
    np.save(staging / "places.npy", _sample_label_voxels(resampled))
    np.save(staging / "truth.npy", truth)
    staging.rename(place)
    return PreparedCase(place)


def _resample_labels(truth: npt.NDArray[np.uint8], roi: Roi, count: int) -> npt.NDArray[np.uint8]:
    """Labels on the ROI's grid: in each cell the one that fills most of it."""
    if roi.size == truth.shape[::-1]:
        return truth
    labels = np.zeros(roi.size[::-1], np.uint8)
    most = roi.extract(truth == 0)
    for label in range(1, 1 + count):
        share = roi.extract(truth == label)
        labels[share > most] = label
        most = np.maximum(most, share)
    return labels


def _sample_label_voxels(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    rows = []
    for label in np.unique(labels[labels > 0]).tolist():
        found = np.flatnonzero(labels == label)
        some = found[np.linspace(0, found.size - 1, min(_VOXELS_PER_LABEL, found.size)).astype(np.int64)]
        where = np.stack(np.unravel_index(some, labels.shape), axis=1)
        rows.append(np.concatenate([np.full((len(where), 1), label), where], axis=1))
    return np.concatenate(rows).astype(np.int32) if rows else np.zeros((0, 4), np.int32)
