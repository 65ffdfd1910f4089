"""What belongs to a label: what its numbers mean, its tag, and what a reviewer says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from gateway.core.datasets import AnnotationRow, AnnotationState
from sixpoint.errors import InvalidArgument, NotFound
from sixpoint.errors.shortening import quoted
from sixpoint.masks.labels import MAX_SEGMENTS

__all__ = [
    "FINAL",
    "ORIGINAL",
    "check_new_tag",
    "check_tag",
    "choose_label",
    "describe_label",
    "label_file_name",
    "read_label_names",
    "read_review",
    "read_segment_names",
    "tag_of",
    "version_tag",
]

FINAL, ORIGINAL = "final", "original"
"""Tags of labels: what counts of what people saved, or accepted, and what a model made."""
# What 3D Slicer's reviewers call the versions of a label, which are numbered here, too.
_VERSION = re.compile(r"version_([1-9][0-9]{0,5})")
_TAGS = "final (what people saved), original (what a model made) and version_1, version_2, ..."

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
    """Return the tag of an annotation, by who made it."""
    return ORIGINAL if row.is_of_model else FINAL


def version_tag(version: int) -> str:
    """Return the tag of a version of an image's label."""
    return f"version_{version}"


def choose_label(rows: Sequence[AnnotationRow], tag: str) -> AnnotationRow | None:
    """Return the annotation that stands for a tag; None if there is none.

    The final label is that of a decision between people who disagreed, else the latest one that is not rejected. Only
    where a reviewer flagged all, it is the latest of those, with the reason; never one that a decision was against.

    Args:
        rows: All annotations of an image, the latest first.
        tag: The tag; empty for the final label, or that of a model where people have none that counts.
    """
    if tag not in ("", FINAL):
        return next((row for row in rows if tag in (tag_of(row), version_tag(row.version))), None)
    people = [row for row in rows if tag_of(row) == FINAL]
    accepted = [row for row in people if row.state is AnnotationState.ACCEPTED]
    if {row.adjudicated_by for row in rows}.intersection(row.id for row in accepted):
        # What was accepted before the decision, of whomever, does not count any more.
        return max(accepted, key=lambda row: row.review.time if row.review else row.created)
    counting = [row for row in people if row.state is not AnnotationState.REJECTED]
    drafts = [row for row in rows if not tag and tag_of(row) == ORIGINAL]
    flagged = [row for row in people if not row.adjudicated_by]
    return next(iter([*counting, *drafts, *flagged]), None)


def check_tag(tag: str) -> None:
    """Refuse a tag that no label has.

    Raises:
        NotFound: It is none.
    """
    if tag not in ("", FINAL, ORIGINAL) and not _VERSION.fullmatch(tag):
        raise NotFound(f"no label has the tag {quoted(tag)}; tags are {_TAGS}")


def check_new_tag(tag: str, latest: int) -> None:
    """Refuse a tag under which nobody can save a label.

    Args:
        tag: The tag; empty for that of what people save.
        latest: Version of the image's latest label; 0 without one.

    Raises:
        InvalidArgument: It is no tag, that of what models make, or that of another version than the next one.
    """
    if tag in ("", FINAL):
        return
    if tag == ORIGINAL:
        raise InvalidArgument(
            "the tag original is that of what a model made, which the gateway saves itself (POST "
            "/batch/infer/{model}); save what a person drew as final, or leave the tag out"
        )
    match = _VERSION.fullmatch(tag)
    if match is None:
        raise InvalidArgument(f"a label cannot be saved with the tag {quoted(tag)}; tags are {_TAGS}")
    if int(match[1]) <= latest:
        raise InvalidArgument(
            f"{tag} is saved already, and saved labels do not change; save this one as {version_tag(latest + 1)}"
        )
    if int(match[1]) > latest + 1:
        raise InvalidArgument(f"the next version of this label is {version_tag(latest + 1)}, not {tag}; save it so")


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
