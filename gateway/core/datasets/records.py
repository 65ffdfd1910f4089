"""The records of datasets, their images and annotations, as the repository keeps them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask

__all__ = [
    "AnnotatedLabel",
    "AnnotationCursor",
    "AnnotationRow",
    "AnnotationState",
    "Assignment",
    "DatasetCounts",
    "DatasetImageRow",
    "DatasetLabel",
    "DatasetRow",
    "LabelMask",
    "LearntVersion",
    "NextStrategy",
    "Review",
    "Split",
    "TracedSession",
]

AnnotationCursor = tuple[float, str]
"""Position in a list of annotations: time and id of the last one of a page."""


class Split(enum.StrEnum):
    """Which part of training an image is for."""

    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"


class AnnotationState(enum.StrEnum):
    """What became of an annotation."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class NextStrategy(enum.StrEnum):
    """Which image an annotator gets next."""

    FIRST = "first"
    RANDOM = "random"
    LABEL = "label"
    UNCERTAIN = "uncertain"
    DIFFERENT = "different"
    DISAGREEMENT = "disagreement"


@dataclass(frozen=True)
class Assignment:
    """An annotator's claim to an image, or wish not to see it again.

    Attributes:
        dataset_id: Id of the dataset.
        image_digest: SHA-256 of the image.
        annotator: Subject of the annotator.
        until: Time until which others do not get the image, seconds since 1970.
        skipped: Whether the annotator does not get it again.
        reason: Why it was skipped; may be empty.
    """

    dataset_id: str
    image_digest: str
    annotator: str
    until: float
    skipped: bool = False
    reason: str = ""


@dataclass(frozen=True)
class DatasetLabel:
    """A label of a dataset.

    Attributes:
        number: Number in saved masks, 1 to 255; 0 in a request for the next free one.
        name: Name, unique within the dataset.
        colour: Colour, ``#rrggbb``; empty if none.
        snomed_code: SNOMED CT code of what is labelled; empty if none.
    """

    number: int
    name: str
    colour: str = ""
    snomed_code: str = ""


@dataclass(frozen=True)
class DatasetRow:
    """A dataset.

    Attributes:
        id: Random id.
        tenant: Name of the tenant.
        name: Name, unique within the tenant.
        owner: Subject that made it.
        created: Time when it was made, seconds since 1970, UTC.
        labels: Labels by number.
        validation_share: Share of the cases that are held out for validation, 0 to 1.
        test_share: Share of the cases that are held out for the final test, 0 to 1.
        salt: Random key of the hashes of patients, hex: without it nobody can try names.
    """

    id: str
    tenant: str
    name: str
    owner: str
    created: float
    labels: tuple[DatasetLabel, ...]
    validation_share: float
    test_share: float
    salt: str = field(repr=False)


@dataclass(frozen=True)
class DatasetCounts:
    """What a dataset has.

    Attributes:
        images: Number of images.
        accepted: Number of images whose latest annotation is accepted.
    """

    images: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class DatasetImageRow:
    """An image of a dataset.

    Attributes:
        dataset_id: Id of the dataset.
        image_digest: SHA-256 of the image.
        case_name: Name of the case, unique within the dataset.
        patient: Keyed hash of what all images of one patient share, hex.
        split: Which part of training it is for.
        added: Time when it was added.
        annotation_count: Number of annotations.
        state: State of the latest annotation; None without one.
        geometry: Geometry of the image; None if the image was damaged, and removed.
    """

    dataset_id: str
    image_digest: str
    case_name: str
    patient: str
    split: Split
    added: float
    annotation_count: int = 0
    state: AnnotationState | None = None
    geometry: Geometry | None = None


@dataclass(frozen=True)
class AnnotatedLabel:
    """A label of an annotation.

    Attributes:
        number: Number of the label.
        name: Name of the label.
        voxel_count: Number of its voxels; 0 says that the image has none of it.
    """

    number: int
    name: str
    voxel_count: int


@dataclass(frozen=True)
class LabelMask:
    """The mask of a label of an annotation.

    Attributes:
        number: Number of the label.
        name: Name of the label.
        mask: Mask on the image's grid; its ``base_revision`` is 0.
    """

    number: int
    name: str
    mask: PackedMask


@dataclass(frozen=True)
class Review:
    """A review of an annotation.

    Attributes:
        state: State from then on.
        reviewer: Subject of the reviewer.
        reason: Reason; may be empty.
        time: Time of the review, seconds since 1970, UTC.
    """

    state: AnnotationState
    reviewer: str
    reason: str
    time: float


@dataclass(frozen=True)
class AnnotationRow:
    """A saved annotation. It never changes, except for its state.

    Attributes:
        id: Random id.
        dataset_id: Id of the dataset.
        dataset: Name of the dataset.
        image_digest: SHA-256 of the image.
        version: Number among the annotations of the image, from 1.
        annotator: Subject that saved it.
        created: Time when it was saved.
        labels: Labels by number.
        session_id: Id of the session it was saved from; empty for imported ones.
        model: Name of the model that answered; empty for imported ones, or if several did.
        model_version: Version of that model.
        prompt_count: Number of prompts in force.
        active_seconds: Seconds of work: see :func:`gateway.core.datasets.activity.active_seconds`.
        digest: SHA-256 over number and mask of each label.
        byte_count: Bytes that the masks take in the database.
        state: What became of it.
        review: Last review; None before one.
        adjudicated_by: Id of the annotation that decided between this one and others, its own if it is this one; else
            empty.
    """

    id: str
    dataset_id: str
    dataset: str
    image_digest: str
    version: int
    annotator: str
    created: float
    labels: tuple[AnnotatedLabel, ...]
    session_id: str
    model: str
    model_version: str
    prompt_count: int
    active_seconds: float
    digest: str
    byte_count: int
    state: AnnotationState
    review: Review | None = None
    adjudicated_by: str = ""

    @property
    def is_of_model(self) -> bool:
        """Whether a model made it alone, and nobody has accepted it."""
        return bool(self.model) and not self.session_id and self.state is not AnnotationState.ACCEPTED


@dataclass(frozen=True)
class TracedSession:
    """A session on an image.

    Attributes:
        id: Id of the session.
        owner: Subject that opened it.
        open: Whether it is open.
    """

    id: str
    owner: str
    open: bool


@dataclass(frozen=True)
class LearntVersion:
    """A version of a model that learnt from annotations.

    Attributes:
        model: Name of the model.
        version: Version of the model.
        annotation_ids: Ids of the annotations.
    """

    model: str
    version: str
    annotation_ids: tuple[str, ...]
