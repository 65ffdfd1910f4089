"""What belongs to a label: what its numbers mean, its tag, and what a reviewer says of it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.datasets import AnnotationRow, AnnotationState
from sixpoint.errors import InvalidArgument
from sixpoint.masks.labels import MAX_SEGMENTS

__all__ = [
    "TAGS",
    "describe_label",
    "label_file_name",
    "read_label_names",
    "read_review",
    "read_segment_names",
    "tag_of",
]

FINAL, ORIGINAL = TAGS = ("final", "original")
"""Tags of labels: what people saved, or accepted, and what a model made."""

_STATUS = {AnnotationState.ACCEPTED: "approved", AnnotationState.REJECTED: "flagged"}
_FLAGGED = "flagged in a viewer"


def read_label_names(params: Mapping[str, object]) -> dict[int, str]:
    """Return the name of each number, as a client says it; nothing if it does not say.

    Args:
        params: Parameters of the call; 3D Slicer calls the number ``idx`` where it saves, and ``id`` beside scribbles.

    Raises:
        InvalidArgument: It says something else.
    """
    info = params.get("label_info") or []
    wrong = InvalidArgument('params.label_info is no list of {"name": text, "idx": number}, one for each label')
    if not isinstance(info, list) or len(info) > MAX_SEGMENTS:
        raise wrong
    names: dict[int, str] = {}
    for each in info:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise wrong
        number = each.get("idx", each.get("id"))
        if type(number) is not int:
            raise wrong
        if names.setdefault(number, each["name"]) != each["name"]:
            raise InvalidArgument(f"params.label_info names the number {number} twice")
    return names


def read_segment_names(params: Mapping[str, object], own: Mapping[str, int]) -> dict[int, str]:
    """Return the name of each number of a result: what ``label_info`` says, else the model's own.

    Args:
        params: Parameters of the call. Clients that ask for a DICOM SEG list names without numbers: the first is that
            of number 1.
        own: Number of each label by the model's own name.

    Raises:
        InvalidArgument: ``label_info`` is something else.
    """
    info = params.get("label_info")
    if isinstance(info, list) and all(isinstance(each, dict) and not {"idx", "id"} & {*each} for each in info):
        params = {"label_info": [{**each, "idx": number} for number, each in enumerate(info, start=1)]}
    return {number: name for name, number in own.items()} | {
        number: name for number, name in read_label_names(params).items() if name
    }


def tag_of(row: AnnotationRow) -> str:
    """Return the tag of an annotation."""
    return ORIGINAL if row.is_of_model else FINAL


def label_file_name(digest: str) -> str:
    """Return a name for the file of a label."""
    return f"{digest[:12]}.label.nrrd"


def describe_label(row: AnnotationRow) -> dict[str, object]:
    """Return what belongs to a label, as 3D Slicer's reviewers read it."""
    described: dict[str, object] = {
        "ts": int(row.created),
        "name": label_file_name(row.image_digest),
        "label_info": [{"name": label.name, "idx": label.number} for label in row.labels],
        "client_id": row.annotator,
    }
    if row.model:
        described["params"] = {"model": row.model, "model_version": row.model_version}
    if row.review:
        described["segmentationMeta"] = {
            "status": _STATUS.get(row.review.state, ""),
            "approvedBy": row.review.reviewer if row.review.state is AnnotationState.ACCEPTED else "",
            "level": "",
            "comment": row.review.reason,
            "editTime": int(row.review.time),
        }
    return described


def read_review(info: Mapping[str, object]) -> tuple[AnnotationState, str]:
    """Read what a reviewer says of a label: the state that follows, and why.

    Args:
        info: What the client wants to belong to the label.

    Raises:
        InvalidArgument: It is no review, and nothing else is stored.
    """
    review = info.get("segmentationMeta")
    status = review.get("status") if isinstance(review, Mapping) else None
    state = next((state for state, name in _STATUS.items() if name == status), None)
    if state is None or not isinstance(review, Mapping):
        raise InvalidArgument(
            "of what belongs to a label only a review is stored: segmentationMeta with status approved or flagged, and "
            "a comment that says why"
        )
    comment = review.get("comment") or ""
    if not isinstance(comment, str):
        raise InvalidArgument("segmentationMeta.comment is no text; expected why the label is approved or flagged")
    return state, comment.strip() or (_FLAGGED if state is AnnotationState.REJECTED else "")
