"""What datasets need of the database, as interfaces that the storage implements.

Readers and writers see the records of one tenant; another tenant's dataset is none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeAlias

from gateway.core.access import AuditEntry
from gateway.core.datasets.records import (
    AnnotationCursor,
    AnnotationRow,
    AnnotationState,
    Assignment,
    DatasetCounts,
    DatasetImageRow,
    DatasetLabel,
    DatasetRow,
    LabelMask,
    NextStrategy,
    Review,
    Split,
    TracedSession,
)
from gateway.core.datasets.scores import EmbeddedImage, ImageScore, ModelVersion
from gateway.core.images import ImageRecord
from gateway.core.runtime.transactions import Repository

__all__ = ["DatasetReader", "DatasetRepository", "DatasetWriter"]


class DatasetReader(Protocol):
    """Queries on the datasets of one tenant, within one transaction."""

    def dataset(self, name: str) -> DatasetRow | None:
        """The dataset of this name."""
        ...

    def datasets(self, *, after: str, limit: int) -> list[DatasetRow]:
        """Datasets by name, behind a name."""
        ...

    def count_datasets(self) -> int:
        """Number of datasets."""
        ...

    def counts(self, dataset_ids: Collection[str]) -> dict[str, DatasetCounts]:
        """What datasets have, by their ids."""
        ...

    def image(self, digest: str) -> ImageRecord | None:
        """The record of an image."""
        ...

    def images_of(self, dataset_id: str, digests: Collection[str]) -> dict[str, DatasetImageRow]:
        """Those of some images that a dataset has, by digest."""
        ...

    def taken_cases(self, dataset_id: str, case_names: Collection[str]) -> set[str]:
        """Those of some names of cases that a dataset has."""
        ...

    def stored_images(self, digests: Collection[str]) -> set[str]:
        """Those of some digests that the gateway has an image of."""
        ...

    def images(self, dataset_id: str, *, after: str, limit: int, split: Split | None) -> list[DatasetImageRow]:
        """Images of a dataset by the name of their case, behind a name."""
        ...

    def images_of_case(self, dataset_id: str, case_name: str) -> list[DatasetImageRow]:
        """The image of a case, if there is one."""
        ...

    def images_of_patient(self, dataset_id: str, patient: str, *, after: str, limit: int) -> list[DatasetImageRow]:
        """Images of a patient, by the keyed hash of the patient, by the name of their case, behind a name."""
        ...

    def datasets_with(self, digest: str, *, besides: str) -> list[str]:
        """Names of the datasets that have an image, besides the one of an id."""
        ...

    def sessions_on(self, digest: str, *, limit: int) -> list[TracedSession]:
        """Sessions on an image that are open, or whose steps are stored; those opened first come first."""
        ...

    def annotation(self, annotation_id: str) -> AnnotationRow | None:
        """The annotation of this id."""
        ...

    def annotations(
        self,
        dataset_id: str,
        *,
        digest: str | None,
        state: AnnotationState | None,
        after: AnnotationCursor | None,
        limit: int,
    ) -> list[AnnotationRow]:
        """Annotations of a dataset, the latest first, behind a place."""
        ...

    def latest_annotation(self, dataset_id: str, digest: str) -> AnnotationRow | None:
        """The annotation of an image with the highest version."""
        ...

    def has_model_annotation(self, dataset_id: str, digest: str, *, model: str, version: str) -> bool:
        """Whether an image has an annotation that a version of a model made alone."""
        ...

    def masks(self, annotation_id: str) -> list[LabelMask]:
        """The masks of an annotation, by number."""
        ...

    def claimed_image(
        self, dataset_id: str, *, annotator: str, now: float, split: Split | None, readers: int
    ) -> DatasetImageRow | None:
        """The waiting image that an annotator has claimed; None without one."""
        ...

    def next_image(
        self,
        dataset_id: str,
        *,
        annotator: str,
        now: float,
        strategy: NextStrategy,
        split: Split | None,
        readers: int,
        rare_labels: Sequence[int] = (),
        scored_by: ModelVersion | None = None,
        compared_by: ModelVersion | None = None,
        digests: Sequence[str] | None = None,
        after: str = "",
    ) -> DatasetImageRow | None:
        """A waiting image that too few have claimed and the annotator did not skip; None if there is none.

        For one reader, an image waits for an annotation while it has none, or the latest is rejected, or a draft of a
        model; for several, while fewer people than that saved one that is not rejected. By label, images come first
        whose latest annotation has the first of ``rare_labels``, then the second, and so on; by uncertainty, those of
        which the model of ``scored_by`` is least certain, and those that it did not score come last; by disagreement,
        those on which its draft and ``compared_by`` differ most. With ``digests`` only these images are given, in their
        order. The image ``after`` is never given.
        """
        ...

    def last_scored_by(self, dataset_id: str) -> ModelVersion | None:
        """The version of a model by which an image of a dataset was scored last; None without scores."""
        ...

    def last_compared_by(self, dataset_id: str) -> tuple[ModelVersion, ModelVersion] | None:
        """The versions of a model and of an annotation model that were compared last; None without a comparison."""
        ...

    def image_score(self, dataset_id: str, digest: str, scored_by: ModelVersion) -> ImageScore | None:
        """The score of an image by a version of a model; None without one."""
        ...

    def embedded_images(
        self,
        dataset_id: str,
        scored_by: ModelVersion,
        *,
        annotator: str,
        now: float,
        split: Split | None,
        readers: int,
        limit: int,
    ) -> list[EmbeddedImage]:
        """Embeddings of images that are free for an annotator, and of those that people have annotated or keep.

        At most ``limit`` of either are given, those added first.
        """
        ...

    def accepted_counts(self, dataset_id: str) -> dict[int, int]:
        """Number of images with an accepted annotation that has voxels of a label, by the number of the label."""
        ...

    def count_waiting(self, dataset_id: str, *, split: Split | None, readers: int) -> int:
        """Number of images that wait for an annotation."""
        ...

    def annotation_bytes(self, annotator: str) -> tuple[int, int]:
        """Bytes of the annotations of one person, and of all tenants."""
        ...


class DatasetWriter(DatasetReader, Protocol):
    """Queries and changes of the datasets of one tenant, within one transaction."""

    def audit(self, entry: AuditEntry) -> None:
        """Write an entry to the audit log, as the last change of the transaction."""
        ...

    def lock_dataset(self, name: str) -> DatasetRow | None:
        """The dataset of this name; until this transaction ends, no other one locks the name."""
        ...

    def insert_dataset(self, row: DatasetRow) -> None:
        """Add a dataset."""
        ...

    def set_labels(self, dataset_id: str, labels: Sequence[DatasetLabel]) -> None:
        """Set the labels of a dataset."""
        ...

    def lock_images(self, digests: Collection[str]) -> None:
        """Block other transactions that lock one of these digests, such as its removal, until this one ends."""
        ...

    def insert_images(self, rows: Sequence[DatasetImageRow]) -> None:
        """Add images to a dataset."""
        ...

    def set_assignment(self, assignment: Assignment) -> None:
        """Set what an annotator does with an image."""
        ...

    def end_assignment(self, dataset_id: str, digest: str, *, annotator: str) -> None:
        """End an annotator's claim to an image; a skipped one stays skipped."""
        ...

    def set_score(self, score: ImageScore) -> None:
        """Set the score of an image by a version of a model."""
        ...

    def insert_annotation(self, row: AnnotationRow, masks: Sequence[LabelMask]) -> None:
        """Add an annotation with its masks."""
        ...

    def remove_image(self, dataset_id: str, digest: str, *, end_sessions: bool, now: float) -> tuple[int, list[str]]:
        """Remove an image from a dataset, with its annotations; end the sessions that these were saved from.

        Args:
            dataset_id: Id of the dataset.
            digest: SHA-256 of the image.
            end_sessions: Whether to end all other sessions on the image, too.
            now: Time when the sessions end, seconds since 1970.

        Returns:
            Number of annotations that were deleted, and the ids of sessions whose steps nothing keeps any more.
        """
        ...

    def review(self, annotation_id: str, review: Review, *, adjudicated_by: str = "") -> None:
        """Set the state of an annotation, and keep the review.

        The image's state follows that of its latest annotation, or of the one that decided between that and others.

        Args:
            annotation_id: Id of the annotation.
            review: The review.
            adjudicated_by: Id of the annotation that decided between this one and others; empty without a decision.
        """
        ...


DatasetRepository: TypeAlias = Repository[DatasetReader, DatasetWriter]
"""The transactions of datasets."""
