"""Datasets, their images and annotations, as the gateway describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from sixpoint.geometry import Geometry
from sixpoint.protocol import geometry_from_message
from sixpoint.v1 import dataset_service_pb2 as dataset_pb

__all__ = [
    "AnnotationInfo",
    "DatasetImage",
    "DatasetInfo",
    "DatasetLabel",
    "ImageScore",
    "NextImage",
    "read_annotation",
    "read_dataset",
    "read_dataset_image",
    "read_next_image",
]

_STATE, _SPLIT = "ANNOTATION_STATE_", "SPLIT_"


@dataclass(frozen=True)
class DatasetLabel:
    """A label of a dataset.

    Attributes:
        name: Name, unique within the dataset.
        number: Number in saved masks, 1 to 255; 0 for the next free one.
        colour: Colour, ``#rrggbb``; empty if none.
        snomed_code: SNOMED CT code of what is labelled; empty if none.
    """

    name: str
    number: int = 0
    colour: str = ""
    snomed_code: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset on the gateway.

    Attributes:
        name: Name of the dataset.
        owner: Name of the person who made it.
        created: Time when it was made.
        labels: Labels by number.
        validation_share: Share of the patients that are held out for validation.
        test_share: Share of the patients that are held out for the final test.
        image_count: Number of images.
        accepted_count: Number of images whose latest annotation is accepted.
    """

    name: str
    owner: str
    created: datetime
    labels: tuple[DatasetLabel, ...]
    validation_share: float
    test_share: float
    image_count: int
    accepted_count: int


@dataclass(frozen=True)
class DatasetImage:
    """An image of a dataset.

    Attributes:
        digest: SHA-256 of the image.
        case_name: Name of the case.
        split: "training", "validation" or "test".
        added: Time when it was added.
        annotation_count: Number of annotations.
        state: State of the latest annotation: "draft", "submitted", "accepted" or "rejected"; empty without one.
        geometry: Geometry of the image; None if the gateway lost the image: upload it again.
    """

    digest: str
    case_name: str
    split: str
    added: datetime
    annotation_count: int
    state: str
    geometry: Geometry | None


@dataclass(frozen=True)
class ImageScore:
    """What a segmentation by a job said of an image, besides its draft.

    Attributes:
        model: Name of the model.
        model_version: Version of that model.
        uncertainty: Mean of the labels' entropies.
        entropies: Mean entropy of each label by its name: 0 (certain) to 1 bit.
        annotation_model: Name of the annotation model that the draft was compared with; empty if it was not.
        annotation_version: Version of that model.
        disagreement: 1 - the mean of ``dice``; None without.
        dice: Dice of each label of the draft and of what the annotation model makes of its six extreme points, by name.
    """

    model: str
    model_version: str
    uncertainty: float
    entropies: Mapping[str, float]
    annotation_model: str = ""
    annotation_version: str = ""
    disagreement: float | None = None
    dice: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NextImage(DatasetImage):
    """An image to annotate.

    Attributes:
        reason: Why this image was chosen, for people.
        waiting_count: Number of images that wait for an annotation, this one and those that others keep included.
        score: What a segmentation by a job said of it; None: it is unscored, or was given before.
    """

    reason: str = ""
    waiting_count: int = 0
    score: ImageScore | None = None


@dataclass(frozen=True)
class AnnotationInfo:
    """A saved annotation.

    Attributes:
        id: Id of the annotation.
        dataset: Name of the dataset.
        image_digest: SHA-256 of the image.
        version: Number among the annotations of the image, from 1.
        annotator: Name of the person who saved it.
        created: Time when it was saved.
        labels: Number of each label by its name.
        voxel_counts: Number of voxels of each label by its name; 0 says that the image has none of it.
        session_id: Id of the session it was saved from; empty for imported ones.
        model: Name of the model that answered; empty for imported ones, or if several did.
        model_version: Version of that model.
        prompt_count: Number of prompts in force.
        active_seconds: Seconds of work in the session; a pause counts as at most a minute.
        state: "draft", "submitted", "accepted" or "rejected".
        reviewer: Name of the person who reviewed it last; empty before a review.
        reason: Reason of the reviewer; may be empty.
        digest: SHA-256 of the masks: equal masks have equal ones.
        adjudicated_by: Id of the annotation that decided between this one and others, its own if it is this one; else
            empty.
    """

    id: str
    dataset: str
    image_digest: str
    version: int
    annotator: str
    created: datetime
    labels: Mapping[str, int]
    voxel_counts: Mapping[str, int]
    session_id: str
    model: str
    model_version: str
    prompt_count: int
    active_seconds: float
    state: str
    reviewer: str
    reason: str
    digest: str
    adjudicated_by: str = ""


def read_dataset(message: dataset_pb.Dataset) -> DatasetInfo:
    """Convert a dataset of a response."""
    return DatasetInfo(
        name=message.name,
        owner=message.owner,
        created=_to_datetime(message.create_time),
        labels=tuple(
            DatasetLabel(label.name, label.number, label.colour, label.snomed_code) for label in message.labels
        ),
        validation_share=message.validation_share,
        test_share=message.test_share,
        image_count=message.image_count,
        accepted_count=message.accepted_count,
    )


def read_dataset_image(message: dataset_pb.DatasetImage) -> DatasetImage:
    """Convert an image of a dataset of a response."""
    return DatasetImage(
        digest=message.image_digest,
        case_name=message.case_name,
        split=_name(dataset_pb.Split.Name, message.split, _SPLIT),
        added=_to_datetime(message.add_time),
        annotation_count=message.annotation_count,
        state=_name(dataset_pb.AnnotationState.Name, message.state, _STATE) if message.state else "",
        geometry=geometry_from_message(message.geometry) if message.HasField("geometry") else None,
    )


def read_next_image(message: dataset_pb.NextImageResponse) -> NextImage | None:
    """Convert the image of a response; None if it has none."""
    if not message.HasField("image"):
        return None
    image = read_dataset_image(message.image)
    score = _read_score(message.score) if message.HasField("score") else None
    return NextImage(**vars(image), reason=message.reason, waiting_count=message.waiting_count, score=score)


def _read_score(message: dataset_pb.ImageScore) -> ImageScore:
    return ImageScore(
        model=message.model,
        model_version=message.model_version,
        uncertainty=message.uncertainty,
        entropies={each.label: each.entropy for each in message.entropies},
        annotation_model=message.annotation_model,
        annotation_version=message.annotation_version,
        disagreement=message.disagreement if message.HasField("disagreement") else None,
        dice={each.label: each.dice for each in message.dice},
    )


def read_annotation(message: dataset_pb.Annotation) -> AnnotationInfo:
    """Convert an annotation of a response."""
    return AnnotationInfo(
        id=message.id,
        dataset=message.dataset,
        image_digest=message.image_digest,
        version=message.version,
        annotator=message.annotator,
        created=_to_datetime(message.create_time),
        labels={label.name: label.number for label in message.labels},
        voxel_counts={label.name: label.voxel_count for label in message.labels},
        session_id=message.session_id,
        model=message.model,
        model_version=message.model_version,
        prompt_count=message.prompt_count,
        active_seconds=message.active_seconds,
        state=_name(dataset_pb.AnnotationState.Name, message.state, _STATE),
        reviewer=message.reviewer,
        reason=message.reason,
        digest=message.digest,
        adjudicated_by=message.adjudicated_by,
    )


def _name(names: object, number: int, prefix: str) -> str:
    try:
        return str(names(number)).removeprefix(prefix).lower()  # type: ignore[operator]
    except ValueError:
        # A later gateway may know others.
        return str(number)


def _to_datetime(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)
