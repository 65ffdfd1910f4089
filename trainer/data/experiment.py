"""What a training run on labelled images is about: dataset, split by case and spec, settled before the first step."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec.spec import ModelSpec
from trainer.data.atomic_files import write_atomically
from trainer.data.datasets import Dataset, Split, read_dataset, split_cases
from trainer.data.fingerprint import Fingerprint, complete_spec, compute_fingerprint

__all__ = ["Experiment", "check_identity", "prepare_experiment", "write_split"]

_FINGERPRINT = "fingerprint.json"
_SPLIT = "split.json"


@dataclass(frozen=True)
class Experiment:
    """The same after a restart.

    Attributes:
        dataset: What is learnt.
        fingerprint: What it is like.
        parts: Which cases are learnt from, and which held out.
        spec: What is trained, every open place of its template filled.
    """

    dataset: Dataset
    fingerprint: Fingerprint
    split: Split
    spec: ModelSpec


def check_identity(saved: Mapping[str, Any], wanted: Mapping[str, Any], *, out: Path) -> None:
    """Refuse to go on with another run.

    Args:
        saved: What the folder's run was about, by what to call it; what an older trainer did not keep is not compared.
        wanted: What this one is about, likewise.
        out: The folder, for the error.

    Raises:
        FailedPrecondition: They differ.
    """
    for what, value in wanted.items():
        if what in saved and saved[what] != value:
            raise FailedPrecondition(f"{out} holds a run with another {what}: give this one another folder")


def write_split(split: Split, *, out: Path) -> None:
    """Write ``split.json``, for people; give it the folder of a run that is known to be this one."""
    write_atomically(out / _SPLIT, json.dumps(asdict(split), indent=1).encode())


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
    """Read a dataset, split it, and fill the template; what took long is kept in the run's folder.

    Args:
        data: Folder of the dataset.
        template: A segmentation spec as a YAML reader returns it, perhaps incomplete.
        out: Folder of the run: ``fingerprint.json`` is written there.
        seed: Of the split.
        fraction: Share of the cases to hold out.
        held_out: File with the names of the cases to hold out, in place of a draw.
        workers: Threads that read.
        report: Called with the part that is read, 0 to 1.

    Raises:
        DatasetError: The dataset cannot be used.
        ModelSpecError: The template is wrong.
        FailedPrecondition: The folder's run was on other cases.
    """
    dataset = read_dataset(data)
    parts = split_cases(dataset, seed=seed, held_out_fraction=held_out_fraction, held_out=held_out)
    path = out / _FINGERPRINT
    if path.exists():
        fingerprint = Fingerprint.read(path)
        if fingerprint.cases != tuple(case.name for case in dataset.cases):
            raise FailedPrecondition(f"{out} holds a run on other cases: give this one another folder")
    else:
        fingerprint = compute_fingerprint(dataset, workers=workers, report=report)
        fingerprint.write(path)
    spec = complete_spec(template, dataset, fingerprint)
    return Experiment(dataset, fingerprint, parts, spec)
