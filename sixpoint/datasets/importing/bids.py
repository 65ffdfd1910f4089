"""Folders in the layout of BIDS, whose derivatives hold label maps (``*_dseg``).

Source: https://bids-specification.readthedocs.io (derivatives: imaging data types; masks and segmentations).
"""

from __future__ import annotations

import csv
from pathlib import Path

from sixpoint.datasets.importing.source import Source, SourceCase, SourceLayout, stem
from sixpoint.errors import DatasetError

__all__ = ["is_bids", "read_bids"]

_DERIVATIVES = "derivatives"
_SEGMENTATION = "dseg"
# Entities that say how a derivative was made, not from which image.
_OWN_ENTITIES = frozenset({"atlas", "den", "desc", "label", "res", "seg", "space"})


def is_bids(folder: Path) -> bool:
    """Whether a folder says that it has the layout of BIDS."""
    return (folder / "dataset_description.json").is_file() and any(folder.glob("sub-*"))


def read_bids(folder: Path) -> Source:
    """List the images of a folder, each with the label map that its derivatives have of it.

    Raises:
        DatasetError: A table of labels cannot be read, or two tables disagree.
    """
    images = [path for path in _images(folder.glob("sub-*/**/*")) if _suffix(path) != _SEGMENTATION]
    derived = list(_images((folder / _DERIVATIVES).glob("**/*"))) if (folder / _DERIVATIVES).is_dir() else []
    segmentations = [path for path in derived if _suffix(path) == _SEGMENTATION]
    cases, left_out = [], {}
    used: set[Path] = set()
    for image in images:
        own = [path for path in segmentations if _belongs(path, image)]
        used.update(own)
        rivals = [other for other in images if _entities(other) == _entities(image)] if own else []
        if len(own) > 1:
            left_out[stem(image)] = f"it has {len(own)} label maps in {_DERIVATIVES}; leave one there"
        elif len(rivals) > 1:
            left_out[stem(image)] = (
                f"the label map {own[0].name} may belong to it or to {next(p.name for p in rivals if p != image)}; "
                "their names differ in the suffix only"
            )
        else:
            subject = f"sub-{_entities(image).get('sub', '')}"
            cases.append(SourceCase(stem(image), image, labels=own[0] if own else None, subject=subject))
    for path in derived:
        if path not in used:
            what = "there is no image that it belongs to" if path in segmentations else "it is no label map (*_dseg)"
            left_out[path.relative_to(folder).as_posix()] = what
    names = _names(folder, segmentations)
    return Source(SourceLayout.BIDS, tuple(cases), names, left_out=left_out)


def _images(paths: object) -> list[Path]:
    return sorted(
        path
        for path in paths  # type: ignore[attr-defined]  # an iterator of paths
        if path.name.startswith("sub-") and path.name.endswith((".nii", ".nii.gz"))
    )


def _suffix(path: Path) -> str:
    return stem(path).rpartition("_")[2]


def _entities(path: Path) -> dict[str, str]:
    """The entities of a file's name: ``sub-01_ses-2_T1w`` has sub and ses."""
    pairs = (part.partition("-") for part in stem(path).split("_")[:-1])
    return {key: value for key, _, value in pairs}


def _belongs(segmentation: Path, image: Path) -> bool:
    entities = _entities(segmentation)
    return {key: value for key, value in entities.items() if key not in _OWN_ENTITIES} == _entities(image)


def _names(folder: Path, segmentations: list[Path]) -> dict[int, str]:
    """The names of the labels, from the tables beside label maps or above them."""
    tables = (folder / _DERIVATIVES).glob("**/*dseg.tsv") if segmentations else ()
    names: dict[int, str] = {}
    for table in sorted(tables):
        for number, name in _read_table(table).items():
            if names.setdefault(number, name) != name:
                raise DatasetError(
                    f"{table} calls label {number} {name!r}, another table {names[number]!r}; expected one name for "
                    "each number"
                )
    return {number: name for number, name in names.items() if number}


def _read_table(path: Path) -> dict[int, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {
                int(row["index"]): row["name"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} names no labels; expected the columns index and name, apart by tabs") from error
