"""The fixed inputs of a training run on labelled images: dataset, split by case, and spec."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sixpoint.errors import FailedPrecondition
from sixpoint.io.atomic_files import write_file
from sixpoint.model_spec import SegmentationSpec
from trainer.data.datasets import Dataset, Split, read_dataset, split_cases
from trainer.data.fingerprint import Fingerprint, complete_spec, compute_fingerprint
from trainer.data.stated_split import read_stated_split

__all__ = ["Experiment", "check_identity", "prepare_experiment", "write_split"]

_FINGERPRINT = "fingerprint.json"
_SPLIT = "split.json"


@dataclass(frozen=True)
class Experiment:
    """Inputs of a run, the same whenever it is resumed.

    Attributes:
        dataset: Dataset to train on.
        fingerprint: Properties of the dataset.
        split: Training and validation cases.
        spec: Spec to train, with every field that its template leaves open filled in.
    """

    dataset: Dataset
    fingerprint: Fingerprint
    split: Split
    spec: SegmentationSpec


def check_identity(saved: Mapping[str, Any], wanted: Mapping[str, Any], *, out: Path) -> None:
    """Check that a folder's run is the one to resume.

    Args:
        saved: Identity of the run in the folder: values by the name used in errors. Names that an older trainer did
            not store are not compared.
        wanted: Identity of the run to resume, in the same form.
        out: Folder of the run, for the error.

    Raises:
        FailedPrecondition: The identities differ.
    """
    for name, value in wanted.items():
        if name in saved and saved[name] != value:
            raise FailedPrecondition(f"{out} holds a run with another {name}: choose another folder")


def write_split(split: Split, *, out: Path) -> None:
    """Write ``split.json`` for people to read. Check the identity of the folder's run first."""
    write_file(out / _SPLIT, json.dumps(asdict(split), indent=1).encode())


def prepare_experiment(
    data: Path,
    template: Mapping[str, Any],
    *,
    out: Path,
    seed: int,
    held_out_fraction: float,
    held_out: Path | None,
    workers: int,
    report: Callable[[float], None] = lambda _: None,
) -> Experiment:
    """Read a dataset, split it, and complete the template. The fingerprint is stored in the run's folder.

    Args:
        data: Folder of the dataset.
        template: Segmentation spec as a YAML reader returns it. It may be incomplete.
        out: Folder of the run, for ``fingerprint.json``.
        seed: Seed of the split.
        held_out_fraction: Fraction of the cases to hold out when they are drawn.
        held_out: File with the names of the cases to hold out; None: those that the folder states, else they are drawn
            by the seed.
        workers: Number of threads that read.
        report: Callback with the fraction that is read, 0 to 1.

    Raises:
        DatasetError: The dataset is unusable.
        ModelSpecError: The template is not a valid segmentation spec.
        FailedPrecondition: The folder's run used other cases or names of labels.
    """
    dataset = read_dataset(data)
    parts = split_cases(
        dataset,
        seed=seed,
        held_out_fraction=held_out_fraction,
        held_out=held_out,
        stated=read_stated_split(data),
    )
    path = out / _FINGERPRINT
    if path.exists():
        fingerprint = Fingerprint.read(path)
        if fingerprint.cases != tuple(case.name for case in dataset.cases):
            raise FailedPrecondition(f"{out} holds a run on other cases: choose another folder")
        if dataset.labels and dataset.labels != fingerprint.labels:
            raise FailedPrecondition(f"{out} holds a run with other names of the labels: choose another folder")
    else:
        fingerprint = compute_fingerprint(dataset, workers=workers, report=report)
        fingerprint.write(path)
    spec = complete_spec(template, dataset, fingerprint)
    return Experiment(dataset, fingerprint, parts, spec)
