"""What an import may read: files within its folder, of one kind, and no larger than the gateway stores."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sixpoint.datasets import Source, SourceCase
from sixpoint.errors import DatasetError, FailedPrecondition, VolumeError
from sixpoint.io import nifti_byte_count

__all__ = ["check_subjects", "check_tree", "readable_cases"]

_IMAGES = (".nii", ".nii.gz")
_MAX_FILES = 1_000_000
# dataset.json of 100 000 cases has some 20 MB.
_MAX_TEXT_BYTES = 64 * 2**20


def check_tree(folder: Path) -> None:
    """Refuse a folder that leads out of itself, or that is larger than any dataset.

    Raises:
        FailedPrecondition: It is missing, has links or too many files, or a text that is too long.
        OSError: It cannot be looked at.
    """
    if not folder.is_dir():
        raise FailedPrecondition(f"there is no folder {folder.name} to import from; put it there, and resume the job")
    count = 0
    for place, folders, files in os.walk(folder, onerror=_refuse):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink():
                raise FailedPrecondition(
                    f"{folder.name} holds a link, {path.relative_to(folder)}; an import follows no links: put the file "
                    "itself there"
                )
            count += 1
        for name in files:
            path = Path(place, name)
            if not _is_image(path) and path.suffix.lower() in (".json", ".tsv") and _nbytes(path) > _MAX_TEXT_BYTES:
                raise FailedPrecondition(
                    f"{path.relative_to(folder)} has more than {_MAX_TEXT_BYTES >> 20} MiB, which no dataset needs"
                )
        if count > _MAX_FILES:
            raise FailedPrecondition(f"{folder.name} holds more than {_MAX_FILES} files; import it in parts")


def check_subjects(source: Source, *, has_patients: bool) -> None:
    """Refuse images of one subject that would be in different splits.

    Raises:
        DatasetError: It is not known which images are one patient's.
    """
    subjects = [case.subject for case in source.cases if case.subject]
    if not has_patients and len(set(subjects)) < len(subjects):
        raise DatasetError(
            "a subject has several images, which would be in different splits; say which text ends the patient's part "
            'of a case\'s name, such as patient_before=_ for "sub-01_ses-1_T1w"'
        )


def readable_cases(source: Source, *, limit: int) -> Source:
    """Leave out the cases whose files are of another kind than NIfTI, or too large to be stored.

    Args:
        source: What is to be imported.
        limit: Bytes of the largest image that is stored.
    """
    reasons = {case.shown_name: _reason(case, limit) for case in source.cases}
    left_out: Mapping[str, str] = {name: reason for name, reason in reasons.items() if reason}
    cases = tuple(case for case in source.cases if case.shown_name not in left_out)
    return replace(source, cases=cases, left_out={**source.left_out, **left_out})


def _reason(case: SourceCase, limit: int) -> str:
    for path, what in ((case.image, "image"), (case.labels, "label map")):
        if path is None:
            continue
        if not isinstance(path, Path) or not _is_image(path):
            return f"its {what} is no NIfTI file, and jobs read no others; sixpoint dataset import does"
        try:
            byte_count = nifti_byte_count(path)
        except VolumeError as error:
            return error.message
        except (OSError, zlib.error):
            return f"its {what} cannot be read; put it there anew"
        if byte_count > limit or _nbytes(path) > limit:
            return f"its {what} has {byte_count} bytes; at most {limit} are accepted (SIXPOINT_MAX_IMAGE_BYTES)"
    return ""


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(_IMAGES)


def _nbytes(path: Path) -> int:
    return path.stat().st_size


def _refuse(error: OSError) -> None:
    raise error
