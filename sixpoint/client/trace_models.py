"""What a gateway keeps of the images of a case or a patient, and what it removed, as the gateway describes them."""

from __future__ import annotations

from dataclasses import dataclass

from sixpoint.client.dataset_models import AnnotationInfo, DatasetImage, read_annotation, read_dataset_image
from sixpoint.v1 import dataset_service_pb2 as dataset_pb

__all__ = ["ImageTrace", "LearntVersion", "RemovedImage", "TracedSession", "read_removed", "read_trace"]


@dataclass(frozen=True)
class TracedSession:
    """A session on an image.

    Attributes:
        id: Id of the session.
        owner: Name of the person who opened it.
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


@dataclass(frozen=True)
class ImageTrace:
    """What a gateway keeps of an image.

    Attributes:
        image: The image.
        annotations: Its annotations in the dataset, the latest first.
        other_datasets: Names of the other datasets that have the image.
        sessions: Sessions on the image that are open, or whose steps are stored.
        learnt: Versions that Triton serves and that learnt from the annotations; not those on trial.
        models_known: Whether the gateway knows which models Triton serves.
    """

    image: DatasetImage
    annotations: tuple[AnnotationInfo, ...]
    other_datasets: tuple[str, ...]
    sessions: tuple[TracedSession, ...]
    learnt: tuple[LearntVersion, ...]
    models_known: bool


@dataclass(frozen=True)
class RemovedImage:
    """An image that was removed from a dataset.

    Attributes:
        image: The image.
        annotation_count: Number of annotations that were deleted.
        session_count: Number of sessions whose steps are deleted next.
        voxels_removed: Whether its voxels were deleted; they stay while another dataset or an open session has them.
    """

    image: DatasetImage
    annotation_count: int
    session_count: int
    voxels_removed: bool


def read_trace(message: dataset_pb.ImageTrace, *, models_known: bool) -> ImageTrace:
    """Convert a trace of a response."""
    return ImageTrace(
        image=read_dataset_image(message.image),
        annotations=tuple(map(read_annotation, message.annotations)),
        other_datasets=tuple(message.other_datasets),
        sessions=tuple(TracedSession(each.id, each.owner, each.open) for each in message.sessions),
        learnt=tuple(LearntVersion(each.model, each.version, tuple(each.annotation_ids)) for each in message.learnt),
        models_known=models_known,
    )


def read_removed(message: dataset_pb.RemovedImage) -> RemovedImage:
    """Convert a removed image of a response."""
    return RemovedImage(
        image=read_dataset_image(message.image),
        annotation_count=message.annotation_count,
        session_count=message.session_count,
        voxels_removed=message.voxels_removed,
    )
