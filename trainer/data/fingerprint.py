"""Properties of a dataset, and the segmentation spec that follows from them: a small form of nnU-Net's rules."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sixpoint._typing import Points, Vector
from sixpoint.errors import DatasetError, ModelSpecError
from sixpoint.io.atomic_files import write_file
from sixpoint.model_spec import SegmentationSpec, Task
from trainer.data.datasets import Case, Dataset, read_case

__all__ = ["MAX_PATCH_VOXELS", "Fingerprint", "complete_spec", "compute_fingerprint"]

MAX_PATCH_VOXELS = 96**3
"""Maximum number of voxels of a patch: they fit into memory with their gradients."""
_MIN_CELLS = 4
"""An axis is halved while this many cells are left."""
_ANISOTROPY = 2.0
"""An axis is not halved or convolved yet while its voxels are longer than this factor times the shortest."""
_INTENSITIES_PER_CASE = 2000
_MIN_HU_RANGE = 10.0
"""Range of a CT window from which on its ends are rounded."""


@dataclass(frozen=True)
class Fingerprint:
    """Properties of a dataset.

    Attributes:
        cases: Names of its cases.
        size: Median size along canonical (x, y, z), on the median spacing, voxels.
        spacing: Median spacing along canonical (x, y, z), mm.
        labels: Names of the labels by their number in the label files.
        low: 0.5th percentile of the intensities of labelled voxels, in the images' own units.
        high: 99.5th percentile of the same intensities.
    """

    cases: tuple[str, ...]
    size: tuple[int, int, int]
    spacing: Vector
    labels: Mapping[int, str]
    low: float
    high: float

    def write(self, path: Path) -> None:
        """Write the fingerprint as JSON."""
        write_file(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> Fingerprint:
        """Read a file written by :meth:`write`."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            cases=tuple(data["cases"]),
            size=tuple(data["size"]),
            spacing=tuple(data["spacing"]),
            labels={int(number): name for number, name in data["labels"].items()},
            low=data["low"],
            high=data["high"],
        )


@dataclass(frozen=True)
class _CaseFacts:
    size: tuple[int, int, int]
    spacing: Vector
    labels: frozenset[int]
    intensities: tuple[float, ...]


def compute_fingerprint(
    dataset: Dataset, *, workers: int = 1, report: Callable[[float], None] = lambda _: None
) -> Fingerprint:
    """Read and check every case of a dataset once, and summarise it.

    Args:
        dataset: Dataset to read.
        workers: Number of threads that read.
        report: Callback with the finished fraction, 0 to 1.

    Raises:
        DatasetError: A case is unusable, or no case has a label.
    """
    facts: list[_CaseFacts] = []
    with ThreadPoolExecutor(workers) as pool:
        for case_facts in pool.map(lambda case: _read_facts(case, dataset.labels), dataset.cases):
            facts.append(case_facts)
            report(len(facts) / len(dataset.cases))
    numbers = sorted(set().union(*(case.labels for case in facts)))
    if not numbers:
        raise DatasetError(f"{dataset.name}: all label files are empty; expected at least one labelled voxel")
    spacing = np.median([case.spacing for case in facts], axis=0)
    size = np.median([np.array(case.size) * case.spacing / spacing for case in facts], axis=0)
    low, high = np.percentile(np.concatenate([case.intensities for case in facts]), [0.5, 99.5])
    return Fingerprint(
        cases=tuple(case.name for case in dataset.cases),
        size=_triple([int(n) for n in np.rint(size)]),
        spacing=_triple([round(float(edge), 4) for edge in spacing]),
        labels=dataset.labels or {number: f"label {number}" for number in numbers},
        low=float(low),
        high=float(high),
    )


def _read_facts(case: Case, labels: Mapping[int, str]) -> _CaseFacts:
    volume = read_case(case, labels)
    inside = volume.image[volume.labels > 0]
    return _CaseFacts(
        size=volume.geometry.size,
        spacing=volume.geometry.spacing,
        labels=frozenset(np.unique(volume.labels).tolist()) - {0},
        intensities=tuple(inside[:: max(1, inside.size // _INTENSITIES_PER_CASE)].astype(np.float64).tolist()),
    )


def complete_spec(template: Mapping[str, Any], dataset: Dataset, fingerprint: Fingerprint) -> SegmentationSpec:
    """Complete a spec with what follows from a dataset.

    Labels, modality, title, patch, channels, and the depth and input and output channels of the network are filled in
    where the template leaves them open.

    Args:
        template: Segmentation spec as a YAML reader returns it. It may be incomplete.
        dataset: Dataset to train on.
        fingerprint: Fingerprint of the dataset.

    Raises:
        ModelSpecError: The template is not for segmentation, has other labels than the dataset, or is invalid.
    """
    data = copy.deepcopy(dict(template))
    if data.get("task") != Task.SEGMENTATION.value:
        raise ModelSpecError("the spec is not for segmentation: expected task: segmentation")
    names = list(fingerprint.labels.values())
    if list(data.setdefault("labels", names)) != names:
        raise ModelSpecError(f"the spec's labels are {data['labels']}, the dataset's {names}")
    data.setdefault("title", f"Segmentation: {dataset.name}")
    data.setdefault("description", f"Labels {', '.join(names)} without prompts.")
    if dataset.modality:
        data.setdefault("modalities", [dataset.modality])
    window = {"method": "percentile", "low": 0.5, "high": 99.5}
    if dataset.modality == "CT":
        low, high = fingerprint.low, fingerprint.high
        if low >= high and "channels" not in data.get("input", {}):
            raise ModelSpecError(
                f"all labelled voxels of {dataset.name} have the intensity {low:g}, which gives no window for CT: "
                "write one into --spec (input.channels)"
            )
        # Values brought to 0..1 are no HU: rounded to whole numbers their window would be empty.
        if high - low >= _MIN_HU_RANGE:
            low, high = round(low), round(high)
        window = {"method": "range", "low": low, "high": high}
    channels = data.setdefault("input", {}).setdefault("channels", [{"kind": "image", "intensity": window}])
    patch = data.setdefault("patch", {})
    patch.setdefault("spacing", list(fingerprint.spacing))
    size = patch.get("size") or _limit_patch(
        np.array(fingerprint.size) * fingerprint.spacing / np.array(patch["spacing"])
    )
    network, stride = data.get("network") or {}, [16, 16, 16]
    if network.get("name") == "DynUNet":
        arguments = network.setdefault("arguments", {})
        _complete_network(arguments, size, patch["spacing"])
        stride = np.prod(arguments["strides"], axis=0)[::-1].tolist()
        arguments.setdefault("in_channels", len(channels))
        arguments.setdefault("out_channels", 1 + len(names))
    patch.setdefault("size", _round_to_stride(size, stride))
    return SegmentationSpec.from_mapping(data)


def _limit_patch(extent: Points) -> list[float]:
    """Shrink the size of a median volume, cells along (x, y, z), to that of a patch: the longest axis first."""
    size = [max(8.0, float(n)) for n in extent]
    while math.prod(size) > MAX_PATCH_VOXELS:
        size[int(np.argmax(size))] *= 0.95
    return size


def _round_to_stride(size: list[float], stride: list[int]) -> list[int]:
    """Round a size to whole strides: up while the maximum allows it."""
    whole = [math.ceil(n / s) * s for n, s in zip(size, stride, strict=True)]
    while math.prod(whole) > MAX_PATCH_VOXELS:
        longest = int(np.argmax(whole))
        whole[longest] -= stride[longest]
    return whole


def _complete_network(arguments: dict[str, Any], size: list[float], spacing: list[float]) -> None:
    """Fill in DynUNet's strides and kernels [z, y, x]: axes that are fine and large enough are halved at each level."""
    cells, edges = np.array(size[::-1], np.float64), np.array(spacing[::-1], np.float64)
    max_levels = len(arguments.get("filters", range(6)))
    strides, kernels = [[1, 1, 1]], [[3, 3, 3]]
    while len(strides) < max_levels:
        fine = edges <= _ANISOTROPY * edges.min()
        halved = fine & (cells / 2 >= _MIN_CELLS)
        kernels[-1] = [3 if convolved else 1 for convolved in fine]
        if not halved.any():
            break
        strides.append([2 if halve else 1 for halve in halved])
        kernels.append([3, 3, 3])
        cells, edges = cells / strides[-1], edges * strides[-1]
    if "strides" not in arguments:
        arguments["strides"] = strides
    arguments.setdefault("kernel_size", kernels[: len(arguments["strides"])])
    arguments.setdefault("upsample_kernel_size", arguments["strides"][1:])
    if "filters" in arguments:
        arguments["filters"] = arguments["filters"][: len(arguments["strides"])]


def _triple(values: list[Any]) -> Any:
    x, y, z = values
    return x, y, z
