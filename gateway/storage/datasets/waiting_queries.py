"""Queries on the images of a dataset that wait for an annotation, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select

from gateway.core.datasets import AnnotationState, DatasetImageRow, NextStrategy, Split
from gateway.core.datasets.scores import EmbeddedImage, ImageScore, ModelVersion
from gateway.storage.dataset_tables import (
    annotation_masks,
    assignments,
    dataset_images,
    image_scores,
    saved_annotations,
)
from gateway.storage.datasets.dataset_queries import SqlDatasetReader
from gateway.storage.datasets.dataset_rows import read_dataset_image
from gateway.storage.schema import images

__all__ = ["SqlWaitingReader"]

_IS_DRAFT_OF_MODEL = and_(
    saved_annotations.c.state == AnnotationState.DRAFT.value,
    saved_annotations.c.session_id == "",
    saved_annotations.c.model != "",
)


def _is_compared(compared_by: ModelVersion) -> tuple[ColumnElement[bool], ...]:
    return (
        image_scores.c.annotation_model == compared_by.model,
        image_scores.c.annotation_version == compared_by.version,
    )


class SqlWaitingReader(SqlDatasetReader):
    """The queries of a :class:`gateway.core.datasets.repository.DatasetReader` on what waits, in a tenant's scope."""

    def claimed_image(
        self, dataset_id: str, *, annotator: str, now: float, split: Split | None, readers: int
    ) -> DatasetImageRow | None:
        """The waiting image that an annotator has claimed; None without one."""
        waiting = self._waiting(dataset_id, split, readers, annotator=annotator)
        query = waiting.join(assignments, self._is_assigned(annotator=annotator))
        query = query.where(assignments.c.skipped == 0, assignments.c.until > now).order_by(assignments.c.until.desc())
        row = self._scope.execute(query.limit(1)).one_or_none()
        return read_dataset_image(row) if row else None

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
        """A waiting image that too few have claimed and the annotator did not skip; None if there is none."""
        query = self._free(dataset_id, annotator=annotator, now=now, split=split, readers=readers)
        query = query.where(dataset_images.c.image_digest != after)
        order: list[ColumnElement[Any]] = []
        if strategy is NextStrategy.RANDOM:
            order = [func.random()]
        elif strategy is NextStrategy.LABEL and rare_labels:
            order = [func.coalesce(self._rarest_label(rare_labels), len(rare_labels))]
        elif strategy is NextStrategy.UNCERTAIN and scored_by is not None:
            uncertainty = select(image_scores.c.uncertainty).where(*self._is_scored(scored_by))
            order = [func.coalesce(uncertainty.correlate(dataset_images).scalar_subquery(), -1.0).desc()]
        elif strategy is NextStrategy.DISAGREEMENT and scored_by is not None and compared_by is not None:
            disagreement = select(image_scores.c.disagreement).where(
                *self._is_scored(scored_by), *_is_compared(compared_by)
            )
            order = [func.coalesce(disagreement.correlate(dataset_images).scalar_subquery(), -1.0).desc()]
        if digests is not None:
            query = query.where(dataset_images.c.image_digest.in_(digests))
            places = {digest: place for place, digest in enumerate(digests)}
            order = [case(places, value=dataset_images.c.image_digest)] if places else []
        query = query.order_by(*order, dataset_images.c.added, dataset_images.c.case_name)
        row = self._scope.execute(query.limit(1)).one_or_none()
        return read_dataset_image(row) if row else None

    def last_scored_by(self, dataset_id: str) -> ModelVersion | None:
        """The version of a model by which an image of a dataset was scored last; None without scores."""
        columns = image_scores.c
        query = select(columns.model, columns.model_version).where(
            self._scope.of(image_scores), columns.dataset_id == dataset_id
        )
        order = (columns.created.desc(), columns.model, columns.model_version)
        row = self._scope.execute(query.order_by(*order).limit(1)).one_or_none()
        return ModelVersion(*row) if row else None

    def last_compared_by(self, dataset_id: str) -> tuple[ModelVersion, ModelVersion] | None:
        """The versions of a model and of an annotation model that were compared last; None without a comparison."""
        columns = image_scores.c
        names = (columns.model, columns.model_version, columns.annotation_model, columns.annotation_version)
        query = select(*names).where(
            self._scope.of(image_scores), columns.dataset_id == dataset_id, columns.annotation_model != ""
        )
        row = self._scope.execute(query.order_by(columns.created.desc(), *names).limit(1)).one_or_none()
        return (ModelVersion(*row[:2]), ModelVersion(*row[2:])) if row else None

    def image_score(self, dataset_id: str, digest: str, scored_by: ModelVersion) -> ImageScore | None:
        """The score of an image by a version of a model; None without one."""
        columns = image_scores.c
        query = select(*(columns[name] for name in ImageScore.__dataclass_fields__)).where(
            self._scope.of(image_scores),
            columns.dataset_id == dataset_id,
            columns.image_digest == digest,
            columns.model == scored_by.model,
            columns.model_version == scored_by.version,
        )
        row = self._scope.execute(query).one_or_none()
        return ImageScore(**row._mapping) if row else None

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
        """Embeddings of images that are free for an annotator, and of those that people have annotated or keep."""
        free = self._free(dataset_id, annotator=annotator, now=now, split=split, readers=readers)
        claimed = exists().where(self._is_assigned(), assignments.c.skipped == 0, assignments.c.until > now)
        annotated = exists().where(*self._is_saved())
        busy = self._images_query(dataset_id).where(or_(claimed, annotated))
        embedded: dict[str, EmbeddedImage] = {}
        # With several readers, what one has annotated may wait for another: it is free then.
        for query, is_free in ((busy, False), (free, True)):
            query = query.join(image_scores, and_(*self._is_scored(scored_by)))
            query = query.with_only_columns(image_scores.c.image_digest, image_scores.c.embedding)
            first = (dataset_images.c.added, dataset_images.c.case_name)
            for digest, embedding in self._scope.execute(query.order_by(*first).limit(limit)):
                embedded[digest] = EmbeddedImage(digest, embedding, is_free)
        return list(embedded.values())

    def accepted_counts(self, dataset_id: str) -> dict[int, int]:
        """Number of images with an accepted annotation that has voxels of a label, by the number of the label."""
        columns = saved_annotations.c
        query = (
            select(annotation_masks.c.number, func.count(columns.image_digest.distinct()).label("images"))
            .join(saved_annotations, columns.id == annotation_masks.c.annotation_id)
            .where(
                self._scope.of(annotation_masks),
                self._scope.of(saved_annotations),
                columns.dataset_id == dataset_id,
                columns.state == AnnotationState.ACCEPTED.value,
                annotation_masks.c.voxel_count > 0,
            )
            .group_by(annotation_masks.c.number)
        )
        return {row.number: int(row.images) for row in self._scope.execute(query)}

    def _free(
        self, dataset_id: str, *, annotator: str, now: float, split: Split | None, readers: int
    ) -> Select[*tuple[Any, ...]]:
        """Images that wait for an annotation by somebody, and that too few others have claimed."""
        claims = select(func.count()).select_from(assignments)
        claims = claims.where(self._is_assigned(), assignments.c.skipped == 0, assignments.c.until > now)
        taken: ColumnElement[int] = claims.correlate(dataset_images).scalar_subquery()
        if readers > 1:
            # Who saved an annotation and has claimed the image again is one person.
            saved = exists().where(*self._is_saved(), saved_annotations.c.annotator == assignments.c.annotator)
            claims = claims.where(~saved.correlate(dataset_images, assignments))
            taken = claims.correlate(dataset_images).scalar_subquery() + self._reader_count()
        skipped = exists().where(self._is_assigned(annotator=annotator), assignments.c.skipped == 1)
        return self._waiting(dataset_id, split, readers, annotator=annotator).where(taken < readers, ~skipped)

    def _is_scored(self, scored_by: ModelVersion) -> tuple[ColumnElement[bool], ...]:
        return (
            self._scope.of(image_scores),
            image_scores.c.dataset_id == dataset_images.c.dataset_id,
            image_scores.c.image_digest == dataset_images.c.image_digest,
            image_scores.c.model == scored_by.model,
            image_scores.c.model_version == scored_by.version,
        )

    def _rarest_label(self, rare_labels: Sequence[int]) -> ColumnElement[int]:
        """Place in a list of labels of the first one that an image has, as its latest annotation says."""
        place = case({number: place for place, number in enumerate(rare_labels)}, value=annotation_masks.c.number)
        query = (
            select(func.min(place))
            .select_from(annotation_masks)
            .join(saved_annotations, saved_annotations.c.id == annotation_masks.c.annotation_id)
            .where(
                self._scope.of(annotation_masks),
                *self._of_image(),
                saved_annotations.c.version == dataset_images.c.annotation_count,
                annotation_masks.c.voxel_count > 0,
                annotation_masks.c.number.in_(rare_labels),
            )
        )
        return query.correlate(dataset_images).scalar_subquery()

    def count_waiting(self, dataset_id: str, *, split: Split | None, readers: int) -> int:
        """Number of images that wait for an annotation."""
        waiting = self._waiting(dataset_id, split, readers).subquery()
        return int(self._scope.execute(select(func.count()).select_from(waiting)).scalar_one())

    def _waiting(
        self, dataset_id: str, split: Split | None, readers: int, *, annotator: str | None = None
    ) -> Select[*tuple[Any, ...]]:
        """Images that the gateway has and that wait for an annotation; with an annotator, by that person."""
        query = self._images_query(dataset_id).where(images.c.digest.is_not(None))
        if readers == 1:
            rejected = dataset_images.c.state == AnnotationState.REJECTED.value
            latest = saved_annotations.c.version == dataset_images.c.annotation_count
            draft = exists().where(*self._of_image(), latest, _IS_DRAFT_OF_MODEL)
            query = query.where(or_(dataset_images.c.state.is_(None), rejected, draft))
        else:
            query = query.where(self._reader_count() < readers)
            if annotator is not None:
                query = query.where(self._reader_count(annotator=annotator) == 0)
        return query if split is None else query.where(dataset_images.c.split == split.value)

    def _reader_count(self, *, annotator: str | None = None) -> ColumnElement[int]:
        """Number of people who saved an annotation of an image that is not rejected; of one person, 0 or 1."""
        annotators = saved_annotations.c.annotator
        query = select(func.count(annotators.distinct())).where(*self._is_saved())
        if annotator is not None:
            query = query.where(annotators == annotator)
        return query.correlate(dataset_images).scalar_subquery()

    def _is_saved(self) -> tuple[ColumnElement[bool], ...]:
        # Between which somebody decided, they are opinions still.
        adjudicated = saved_annotations.c.adjudicated_by != ""
        kept = or_(saved_annotations.c.state != AnnotationState.REJECTED.value, adjudicated)
        return (*self._of_image(), kept, ~_IS_DRAFT_OF_MODEL)

    def _of_image(self) -> tuple[ColumnElement[bool], ...]:
        return (
            self._scope.of(saved_annotations),
            saved_annotations.c.dataset_id == dataset_images.c.dataset_id,
            saved_annotations.c.image_digest == dataset_images.c.image_digest,
        )

    def _is_assigned(self, *, annotator: str | None = None) -> ColumnElement[bool]:
        of_image = and_(
            self._scope.of(assignments),
            assignments.c.dataset_id == dataset_images.c.dataset_id,
            assignments.c.image_digest == dataset_images.c.image_digest,
        )
        return of_image if annotator is None else and_(of_image, assignments.c.annotator == annotator)
