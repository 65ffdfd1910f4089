"""Drafts that models make: at most one of each version of a model for an image, and none over what people saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum

from gateway.core.access import Action, AuditEntry, Principal
from gateway.core.datasets.datasets import require_dataset
from gateway.core.datasets.masks import digest_of, label_numbers
from gateway.core.datasets.records import (
    AnnotatedLabel,
    AnnotationRow,
    AnnotationState,
    DatasetImageRow,
    DatasetRow,
    LabelMask,
)
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.saving import check_room
from gateway.core.datasets.scores import DraftComparison, ImageScore, ModelVersion
from gateway.core.runtime.ids import new_id
from gateway.core.segmentation import SegmentationScore
from sixpoint.mask import PackedMask

__all__ = ["ModelDrafts", "NoDraft"]


class NoDraft(Enum):
    """Why an image gets no draft, in words that follow a number of images."""

    DRAFTED = "left alone, with a draft of this version"
    ANNOTATED = "left alone, annotated by somebody"
    REMOVED = "removed meanwhile"


class ModelDrafts:
    """Saves drafts of models.

    Args:
        repository: Transactions of datasets.
        limit: Bytes that the masks of all annotations may take in the database.
        now: Clock, in seconds since 1970.
    """

    def __init__(self, *, repository: DatasetRepository, limit: int, now: Callable[[], float] = time.time) -> None:
        self._repository = repository
        self._limit = limit
        self._now = now

    async def reason_against(
        self, dataset: str, digest: str, *, model: str, version: str, principal: Principal
    ) -> NoDraft | None:
        """Why an image gets no draft of a version of a model; None if it does.

        Raises:
            DatasetNotFound: There is no such dataset.
        """

        def work(records: DatasetReader) -> NoDraft | None:
            row = require_dataset(records.dataset(dataset), dataset)
            return _reason(records, row.id, digest, model=model, version=version)

        return await self._repository.read(work, tenant=principal.tenant)

    async def save(
        self,
        dataset: str,
        digest: str,
        masks: Sequence[tuple[str, PackedMask]],
        *,
        model: str,
        version: str,
        principal: Principal,
        score: SegmentationScore | None = None,
        comparison: DraftComparison | None = None,
    ) -> NoDraft | None:
        """Save the masks of a model as a draft, unless there is a reason against it; return that reason.

        The score is kept in any case, while the dataset has the image.

        Args:
            dataset: Name of the dataset.
            digest: SHA-256 of the image.
            masks: Name and mask of each label.
            model: Name of the model.
            version: Version of the model.
            principal: For whom it was run.
            score: How uncertain the model was.
            comparison: How far an annotation model agrees; it is kept with the score. None: an earlier one stays.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset lacks a label.
            StorageFull: The annotations take too many bytes.
        """
        names = [name for name, _ in masks]
        created = self._now()

        def work(records: DatasetWriter) -> NoDraft | None:
            locked = require_dataset(records.lock_dataset(dataset), dataset)
            # Another worker may have been faster, or a person.
            reason = _reason(records, locked.id, digest, model=model, version=version)
            if score is not None and reason is not NoDraft.REMOVED:
                entropies = {name: score.entropies[name] for name in names}
                embedding = score.embedding.astype("<f4").tobytes()
                kept = ImageScore(locked.id, digest, model, version, created, entropies, embedding)
                records.set_score(_compared(records, kept, comparison))
            if reason:
                return reason
            numbers = label_numbers(locked, names)
            labels = sorted(
                (LabelMask(numbers[name], name, mask) for name, mask in masks), key=lambda each: each.number
            )
            latest = records.latest_annotation(locked.id, digest)
            row = _row(
                locked, digest, labels, latest, ModelVersion(model, version), principal=principal, created=created
            )
            check_room(records, row, row.version - 1, limit=self._limit)
            records.insert_annotation(row, labels)
            records.audit(AuditEntry(principal, Action.SAVE_ANNOTATION, row.id))
            return None

        return await self._repository.write(work, tenant=principal.tenant)

    async def is_scored(
        self,
        dataset: str,
        digest: str,
        *,
        model: str,
        version: str,
        principal: Principal,
        compared_by: ModelVersion | None = None,
    ) -> bool:
        """Whether an image of a dataset has a score by a version of a model.

        Args:
            dataset: Name of the dataset.
            digest: SHA-256 of the image.
            model: Name of the model.
            version: Version of the model.
            principal: Who asks.
            compared_by: Version of an annotation model, with which the draft must be compared; None for none.

        Raises:
            DatasetNotFound: There is no such dataset.
        """

        def work(records: DatasetReader) -> bool:
            row = require_dataset(records.dataset(dataset), dataset)
            score = records.image_score(row.id, digest, ModelVersion(model, version))
            return score is not None and (compared_by is None or score.is_compared_by(compared_by))

        return await self._repository.read(work, tenant=principal.tenant)

    async def images(self, dataset: str, *, principal: Principal) -> list[DatasetImageRow]:
        """All images of a dataset by the name of their case.

        Raises:
            DatasetNotFound: There is no such dataset.
        """
        found: list[DatasetImageRow] = []
        while True:
            after = found[-1].case_name if found else ""

            def work(records: DatasetReader, after: str = after) -> list[DatasetImageRow]:
                row = require_dataset(records.dataset(dataset), dataset)
                return records.images(row.id, after=after, limit=_PAGE, split=None)

            page = await self._repository.read(work, tenant=principal.tenant)
            found += page
            if len(page) < _PAGE:
                return found


_PAGE = 1000


def _compared(records: DatasetReader, score: ImageScore, comparison: DraftComparison | None) -> ImageScore:
    """A score with a comparison, or with that of the score that it replaces."""
    if comparison is None:
        earlier = records.image_score(
            score.dataset_id, score.image_digest, ModelVersion(score.model, score.model_version)
        )
        if earlier is None:
            return score
        comparison = DraftComparison(ModelVersion(earlier.annotation_model, earlier.annotation_version), earlier.dice)
    by = comparison.by
    return replace(score, annotation_model=by.model, annotation_version=by.version, dice=comparison.dice)


def _row(
    dataset: DatasetRow,
    digest: str,
    labels: Sequence[LabelMask],
    latest: AnnotationRow | None,
    source: ModelVersion,
    *,
    principal: Principal,
    created: float,
) -> AnnotationRow:
    """The record of a draft, after the latest annotation of the image."""
    return AnnotationRow(
        id=new_id(),
        dataset_id=dataset.id,
        dataset=dataset.name,
        image_digest=digest,
        version=latest.version + 1 if latest else 1,
        annotator=principal.subject,
        created=max(created, latest.created if latest else 0.0),
        labels=tuple(AnnotatedLabel(each.number, each.name, each.mask.voxel_count) for each in labels),
        session_id="",
        model=source.model,
        model_version=source.version,
        prompt_count=0,
        active_seconds=0.0,
        digest=digest_of(labels),
        byte_count=sum(len(each.mask.bits) for each in labels),
        state=AnnotationState.DRAFT,
    )


def _reason(records: DatasetReader, dataset_id: str, digest: str, *, model: str, version: str) -> NoDraft | None:
    if digest not in records.images_of(dataset_id, [digest]):
        return NoDraft.REMOVED
    if records.has_model_annotation(dataset_id, digest, model=model, version=version):
        return NoDraft.DRAFTED
    latest = records.latest_annotation(dataset_id, digest)
    if latest is None or latest.is_of_model:
        return None
    if latest.state is not AnnotationState.REJECTED or latest.adjudicated_by:
        return NoDraft.ANNOTATED
    return None
