"""The split that an exported dataset states: by sixpoint's ``manifest.json``, or by nnU-Net's ``splits_final.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sixpoint.datasets.manifest import MANIFEST, read_manifest
from sixpoint.errors import DatasetError
from trainer.data.layouts import read_text

__all__ = ["SPLITS", "StatedSplit", "annotation_digests", "read_stated_split"]

SPLITS = "splits_final.json"
"""nnU-Net's name of the file with the folds."""


@dataclass(frozen=True)
class StatedSplit:
    """What a dataset's folder says about its cases.

    Attributes:
        file: Name of the file that says it.
        training: Names of the cases to train on.
        validation: Names of the held-out cases to validate on.
        test: Names of the cases for the final test, which no training may read.
    """

    file: str
    training: frozenset[str]
    validation: frozenset[str]
    test: frozenset[str] = frozenset()

    def check(self, cases: Sequence[str]) -> None:
        """Check that the file says of each case which part it is in, and names no others to train on or hold out.

        Raises:
            DatasetError: It does not.
        """
        stated = self.training | self.validation | self.test
        if missing := sorted(set(cases) - stated):
            raise DatasetError(
                f"{self.file} does not say whether {missing[0]} is for training or validation: add it there, or name "
                "the cases to hold out by --held-out"
            )
        if unknown := sorted((self.training | self.validation) - set(cases)):
            raise DatasetError(f"{self.file} names {unknown[0]}, which is not a case of the folder")


def annotation_digests(folder: Path) -> tuple[str, ...]:
    """Return the SHA-256 of the annotations that an export has to train on and to validate on; none without a manifest.

    Raises:
        DatasetError: The manifest is damaged.
    """
    if not (folder / MANIFEST).is_file():
        return ()
    return tuple(case.annotation_digest for case in read_manifest(folder).cases if case.split != "test")


def read_stated_split(folder: Path) -> StatedSplit | None:
    """Read the split that a folder states; None if it states none.

    Of several folds of nnU-Net, the first is taken.

    Raises:
        DatasetError: A file is damaged, or a case is in two parts.
    """
    if (folder / MANIFEST).is_file():
        by_split: dict[str, set[str]] = {"training": set(), "validation": set(), "test": set()}
        for case in read_manifest(folder).cases:
            if case.split not in by_split:
                raise DatasetError(
                    f"{folder / MANIFEST}: the split of {case.case_name} is {case.split!r}, expected one of "
                    f"{', '.join(by_split)}"
                )
            by_split[case.split].add(case.case_name)
        parts = {split: frozenset(names) for split, names in by_split.items()}
        return _checked(StatedSplit(MANIFEST, **parts))
    if (folder / SPLITS).is_file():
        return _checked(_read_folds(folder / SPLITS))
    return None


def _read_folds(path: Path) -> StatedSplit:
    try:
        fold = json.loads(read_text(path))[0]
        parts = [fold[part] for part in ("train", "val")]
        if not all(isinstance(name, str) for names in parts for name in names):
            raise TypeError
    except (ValueError, LookupError, TypeError):
        raise DatasetError(
            f'{path} has no split, expected [{{"train": ["CASE", ...], "val": ["CASE", ...]}}]: correct it or take it '
            "away"
        ) from None
    return StatedSplit(path.name, frozenset(parts[0]), frozenset(parts[1]))


def _checked(split: StatedSplit) -> StatedSplit:
    twice = (split.training & split.validation) | (split.training & split.test) | (split.validation & split.test)
    if twice:
        raise DatasetError(f"{split.file} has {min(twice)} in two parts: a case is in one")
    return split
