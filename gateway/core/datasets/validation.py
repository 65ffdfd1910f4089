"""Checks of what calls on datasets ask for."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from gateway.core.datasets.records import AnnotationState, DatasetLabel
from sixpoint.errors import DatasetError, InvalidArgument, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.masks.labels import MAX_SEGMENTS

__all__ = [
    "add_labels",
    "check_case_name",
    "check_name",
    "check_reason",
    "check_reason_length",
    "check_save_state",
    "check_shares",
]

_MAX_NAME = 100
_MAX_REASON = 500
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_CODE = re.compile(r"[0-9]{6,18}")


def check_name(name: str, *, field: str) -> None:
    """Refuse a name of a dataset, label or case that people could not use.

    Raises:
        DatasetError: It is empty, too long, has spaces at an end, or characters that cannot be printed.
    """
    if not 0 < len(name) <= _MAX_NAME or name != name.strip() or not name.isprintable():
        raise DatasetError(
            f"the name {quoted(name)} cannot be used; expected 1 to {_MAX_NAME} printable characters, without spaces "
            "at the ends",
            violations=(Violation(field, f"1 to {_MAX_NAME} characters"),),
        )


def check_case_name(name: str) -> None:
    """Refuse the name of a case that could not be the name of a file, since exports use it as one.

    Raises:
        DatasetError: It is no such name.
    """
    check_name(name, field="case_name")
    if name.startswith((".", "-")) or any(character in '/\\:*?"<>|' for character in name):
        raise DatasetError(
            f'the name of a case, {quoted(name)}, cannot be the name of a file; leave out / \\ : * ? " < > | and a dot '
            "or hyphen at the beginning",
            violations=(Violation("case_name", "a name of a file"),),
        )


def check_shares(validation: float, test: float) -> None:
    """Refuse shares that leave nothing for training.

    Raises:
        DatasetError: A share is none, or both together are 1 or more.
    """
    if not (math.isfinite(validation) and math.isfinite(test) and validation >= 0 and 0 <= test < 1 - validation):
        raise DatasetError(
            f"the shares of validation ({validation:g}) and test ({test:g}) leave no case for training; expected two "
            "numbers from 0 to 1 whose sum is below 1",
            violations=(Violation("validation_share", "below 1, together with test_share"),),
        )


def add_labels(labels: Sequence[DatasetLabel], added: Sequence[DatasetLabel]) -> tuple[DatasetLabel, ...]:
    """Return the labels of a dataset with some more, by number. Adding one that is there as it is changes nothing.

    Args:
        labels: Labels that are there.
        added: Labels to add; a number of 0 means the next free one.

    Raises:
        DatasetError: A name or number is another label's, or a label cannot be used.
    """
    if len(added) > MAX_SEGMENTS:
        raise DatasetError(f"{len(added)} labels in one call; expected at most {MAX_SEGMENTS}")
    result = {label.number: label for label in labels}
    for label in added:
        check_name(label.name, field="labels")
        _check_label(label)
        names = {each.name: each for each in result.values()}
        if (known := names.get(label.name)) is not None:
            given = replace(
                known,
                number=label.number or known.number,
                colour=label.colour or known.colour,
                snomed_code=label.snomed_code or known.snomed_code,
            )
            if given != known:
                raise DatasetError(
                    f"the dataset has a label {quoted(label.name)} already, with the number {known.number}; saved "
                    "annotations use it, so it cannot be changed",
                    violations=(Violation("labels", "a name of its own"),),
                )
            continue
        number = label.number or next((n for n in range(1, MAX_SEGMENTS + 1) if n not in result), 0)
        if not number:
            raise DatasetError(f"the dataset has {MAX_SEGMENTS} labels, which is the limit")
        if number in result:
            raise DatasetError(
                f"the number {number} is that of the label {quoted(result[number].name)}; choose another one, or 0 for "
                "the next free one",
                violations=(Violation("labels", "a number of its own"),),
            )
        result[number] = replace(label, number=number)
    return tuple(result[number] for number in sorted(result))


def check_save_state(state: AnnotationState | None) -> AnnotationState:
    """Return the state in which an annotation is saved.

    Raises:
        InvalidArgument: Only a review leads to that state.
    """
    if state not in (None, AnnotationState.DRAFT, AnnotationState.SUBMITTED):
        raise InvalidArgument(
            f"an annotation cannot be saved as {state}; save it as draft or submitted, and review it then",
            violations=(Violation("state", "DRAFT or SUBMITTED"),),
        )
    return state or AnnotationState.SUBMITTED


def check_reason(state: AnnotationState, reason: str, *, allowed: Collection[AnnotationState]) -> None:
    """Refuse a review that says too little or too much.

    Raises:
        InvalidArgument: The state is none of a review, a rejection has no reason, or the reason is too long.
    """
    if state not in allowed:
        raise InvalidArgument(
            "a review ends in submitted, accepted or rejected",
            violations=(Violation("state", "SUBMITTED, ACCEPTED or REJECTED"),),
        )
    if state is AnnotationState.REJECTED and not reason.strip():
        raise InvalidArgument(
            "a rejection needs a reason, so that the annotator knows what to do",
            violations=(Violation("reason", "a reason"),),
        )
    check_reason_length(reason)


def check_reason_length(reason: str) -> None:
    """Refuse a reason that is too long to be stored.

    Raises:
        InvalidArgument: It is.
    """
    if len(reason) > _MAX_REASON:
        raise InvalidArgument(
            f"the reason has {len(reason)} characters; expected at most {_MAX_REASON}",
            violations=(Violation("reason", f"at most {_MAX_REASON} characters"),),
        )


def _check_label(label: DatasetLabel) -> None:
    if not 0 <= label.number <= MAX_SEGMENTS:
        raise DatasetError(
            f"label {quoted(label.name)} has the number {label.number}; expected 1 to {MAX_SEGMENTS}, or 0 for the "
            "next free one",
            violations=(Violation("labels", f"0 to {MAX_SEGMENTS}"),),
        )
    if label.colour and not _COLOUR.fullmatch(label.colour):
        raise DatasetError(
            f"label {quoted(label.name)} has the colour {quoted(label.colour)}; expected #rrggbb, such as #ff8800",
            violations=(Violation("labels", "a colour as #rrggbb"),),
        )
    if label.snomed_code and not _CODE.fullmatch(label.snomed_code):
        raise DatasetError(
            f"label {quoted(label.name)} has the code {quoted(label.snomed_code)}; expected a SNOMED CT code: digits "
            "only",
            violations=(Violation("labels", "a SNOMED CT code"),),
        )
