"""Queries on datasets, in SQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, exists, func, or_, select

from gateway.core.datasets import (
    AnnotatedLabel,
    AnnotationCursor,
    AnnotationRow,
    AnnotationState,
    DatasetCounts,
    DatasetImageRow,
    DatasetLabel,
    DatasetRow,
    LabelMask,
    NextStrategy,
    Review,
    Split,
)
from gateway.core.images import ImageRecord
from gateway.storage.dataset_tables import (
    annotation_masks,
    assignments,
    dataset_images,
    datasets,
    reviews,
    saved_annotations,
)
from gateway.storage.geometries import geometry_from_json
from gateway.storage.image_records import SqlImageReader
from gateway.storage.schema import images
from gateway.storage.scopes import TenantScope
from sixpoint.mask import PackedMask

__all__ = ["SqlDatasetReader"]

_DATASET = [datasets.c[name] for name in DatasetRow.__dataclass_fields__]
_COMPUTED = {"dataset", "review"}
_ANNOTATION = [saved_annotations.c[name] for name in AnnotationRow.__dataclass_fields__ if name not in _COMPUTED]
_REVIEW = [reviews.c[name] for name in Review.__dataclass_fields__]


class SqlDatasetReader:
    """A :class:`gateway.core.datasets.repository.DatasetReader` in a tenant's scope."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope
        self._images = SqlImageReader(scope)

    def dataset(self, name: str) -> DatasetRow | None:
        """The dataset of this name."""
        query = select(*_DATASET).where(self._scope.of(datasets), datasets.c.name == name)
        row = self._scope.execute(query).one_or_none()
        return _dataset(row) if row else None

    def datasets(self, *, after: str, limit: int) -> list[DatasetRow]:
        """Datasets by name, behind a name."""
        query = select(*_DATASET).where(self._scope.of(datasets), datasets.c.name > after)
        return [_dataset(row) for row in self._scope.execute(query.order_by(datasets.c.name).limit(limit))]

    def count_datasets(self) -> int:
        """Number of datasets."""
        query = select(func.count()).select_from(datasets).where(self._scope.of(datasets))
        return int(self._scope.execute(query).scalar_one())

    def counts(self, dataset_ids: Collection[str]) -> dict[str, DatasetCounts]:
        """What datasets have, by their ids."""
        accepted = case((dataset_images.c.state == AnnotationState.ACCEPTED.value, 1), else_=0)
        query = select(dataset_images.c.dataset_id, func.count(), func.sum(accepted)).where(
            self._scope.of(dataset_images), dataset_images.c.dataset_id.in_(dataset_ids)
        )
        rows = self._scope.execute(query.group_by(dataset_images.c.dataset_id))
        found = {key: DatasetCounts(int(count), int(good)) for key, count, good in rows}
        return {key: found.get(key, DatasetCounts()) for key in dataset_ids}

    def image(self, digest: str) -> ImageRecord | None:
        """The record of an image."""
        return self._images.image(digest)

    def images_of(self, dataset_id: str, digests: Collection[str]) -> dict[str, DatasetImageRow]:
        """Those of some images that a dataset has, by digest."""
        query = self._images_query(dataset_id).where(dataset_images.c.image_digest.in_(digests))
        return {row.image_digest: _dataset_image(row) for row in self._scope.execute(query)}

    def taken_cases(self, dataset_id: str, case_names: Collection[str]) -> set[str]:
        """Those of some names of cases that a dataset has."""
        of_cases = (dataset_images.c.dataset_id == dataset_id, dataset_images.c.case_name.in_(case_names))
        return set(
            self._scope.scalars(select(dataset_images.c.case_name).where(self._scope.of(dataset_images), *of_cases))
        )

    def stored_images(self, digests: Collection[str]) -> set[str]:
        """Those of some digests that the gateway has an image of."""
        query = select(images.c.digest).where(self._scope.of(images), images.c.digest.in_(digests))
        return set(self._scope.scalars(query))

    def images(self, dataset_id: str, *, after: str, limit: int, split: Split | None) -> list[DatasetImageRow]:
        """Images of a dataset by the name of their case, behind a name."""
        query = self._images_query(dataset_id).where(dataset_images.c.case_name > after)
        if split is not None:
            query = query.where(dataset_images.c.split == split.value)
        rows = self._scope.execute(query.order_by(dataset_images.c.case_name).limit(limit))
        return [_dataset_image(row) for row in rows]

    def annotation(self, annotation_id: str) -> AnnotationRow | None:
        """The annotation of this id."""
        row = self._scope.execute(
            self._annotations_query().where(saved_annotations.c.id == annotation_id)
        ).one_or_none()
        return _annotation(row) if row else None

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
        query = self._annotations_query().where(saved_annotations.c.dataset_id == dataset_id)
        if digest is not None:
            query = query.where(saved_annotations.c.image_digest == digest)
        if state is not None:
            query = query.where(saved_annotations.c.state == state.value)
        if after is not None:
            created, annotation_id = after
            earlier = and_(saved_annotations.c.created == created, saved_annotations.c.id > annotation_id)
            query = query.where(or_(saved_annotations.c.created < created, earlier))
        order = (saved_annotations.c.created.desc(), saved_annotations.c.id)
        return [_annotation(row) for row in self._scope.execute(query.order_by(*order).limit(limit))]

    def latest_annotation(self, dataset_id: str, digest: str) -> AnnotationRow | None:
        """The annotation of an image with the highest version."""
        of_image = (saved_annotations.c.dataset_id == dataset_id, saved_annotations.c.image_digest == digest)
        query = self._annotations_query().where(*of_image).order_by(saved_annotations.c.version.desc())
        row = self._scope.execute(query.limit(1)).one_or_none()
        return _annotation(row) if row else None

    def masks(self, annotation_id: str) -> list[LabelMask]:
        """The masks of an annotation, by number."""
        of_annotation = annotation_masks.c.annotation_id == annotation_id
        query = select(annotation_masks).where(self._scope.of(annotation_masks), of_annotation)
        return [_mask(row) for row in self._scope.execute(query.order_by(annotation_masks.c.number))]

    def claimed_image(
        self, dataset_id: str, *, annotator: str, now: float, split: Split | None, readers: int
    ) -> DatasetImageRow | None:
        """The waiting image that an annotator has claimed; None without one."""
        waiting = self._waiting(dataset_id, split, readers, annotator=annotator)
        query = waiting.join(assignments, self._is_assigned(annotator=annotator))
        query = query.where(assignments.c.skipped == 0, assignments.c.until > now).order_by(assignments.c.until.desc())
        row = self._scope.execute(query.limit(1)).one_or_none()
        return _dataset_image(row) if row else None

    def next_image(
        self,
        dataset_id: str,
        *,
        annotator: str,
        now: float,
        strategy: NextStrategy,
        split: Split | None,
        readers: int,
    ) -> DatasetImageRow | None:
        """A waiting image that too few have claimed and the annotator did not skip; None if there is none."""
        claims = select(func.count()).select_from(assignments)
        claims = claims.where(self._is_assigned(), assignments.c.skipped == 0, assignments.c.until > now)
        taken: ColumnElement[int] = claims.correlate(dataset_images).scalar_subquery()
        if readers > 1:
            # Who saved an annotation and has claimed the image again is one person.
            saved = exists().where(*self._is_saved(), saved_annotations.c.annotator == assignments.c.annotator)
            claims = claims.where(~saved.correlate(dataset_images, assignments))
            taken = claims.correlate(dataset_images).scalar_subquery() + self._reader_count()
        skipped = exists().where(self._is_assigned(annotator=annotator), assignments.c.skipped == 1)
        query = self._waiting(dataset_id, split, readers, annotator=annotator).where(taken < readers, ~skipped)
        first = (dataset_images.c.added, dataset_images.c.case_name)
        query = query.order_by(*([func.random()] if strategy is NextStrategy.RANDOM else first))
        row = self._scope.execute(query.limit(1)).one_or_none()
        return _dataset_image(row) if row else None

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
            query = query.where(or_(dataset_images.c.state.is_(None), rejected))
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
        return (
            self._scope.of(saved_annotations),
            saved_annotations.c.dataset_id == dataset_images.c.dataset_id,
            saved_annotations.c.image_digest == dataset_images.c.image_digest,
            saved_annotations.c.state != AnnotationState.REJECTED.value,
        )

    def _is_assigned(self, *, annotator: str | None = None) -> ColumnElement[bool]:
        of_image = and_(
            self._scope.of(assignments),
            assignments.c.dataset_id == dataset_images.c.dataset_id,
            assignments.c.image_digest == dataset_images.c.image_digest,
        )
        return of_image if annotator is None else and_(of_image, assignments.c.annotator == annotator)

    def annotation_bytes(self, annotator: str) -> tuple[int, int]:
        """Bytes of the annotations of one person, and of all tenants."""
        total = select(func.coalesce(func.sum(saved_annotations.c.byte_count), 0))
        owned = total.where(self._scope.of(saved_annotations), saved_annotations.c.annotator == annotator)
        return int(self._scope.execute(owned).scalar_one()), int(self._scope.execute(total).scalar_one())

    def _images_query(self, dataset_id: str) -> Select[*tuple[Any, ...]]:
        stored = and_(images.c.tenant == dataset_images.c.tenant, images.c.digest == dataset_images.c.image_digest)
        return (
            select(*(dataset_images.c[name] for name in _IMAGE_COLUMNS), images.c.geometry)
            .select_from(dataset_images)
            .outerjoin(images, stored)
            .where(self._scope.of(dataset_images), dataset_images.c.dataset_id == dataset_id)
        )

    def _annotations_query(self) -> Select[*tuple[Any, ...]]:
        last = (
            select(reviews.c.annotation_id, func.max(reviews.c.number).label("number"))
            .where(self._scope.of(reviews))
            .group_by(reviews.c.annotation_id)
            .subquery()
        )
        return (
            select(
                *_ANNOTATION,
                datasets.c.name.label("dataset"),
                *(column.label(f"review_{column.name}") for column in _REVIEW),
            )
            .join(datasets, and_(self._scope.of(datasets), datasets.c.id == saved_annotations.c.dataset_id))
            .outerjoin(last, last.c.annotation_id == saved_annotations.c.id)
            .outerjoin(
                reviews, and_(reviews.c.annotation_id == saved_annotations.c.id, reviews.c.number == last.c.number)
            )
            .where(self._scope.of(saved_annotations))
        )


_IMAGE_COLUMNS = [name for name in DatasetImageRow.__dataclass_fields__ if name != "geometry"]


def _dataset(row: Row[Any]) -> DatasetRow:
    return DatasetRow(**{**row._mapping, "labels": tuple(DatasetLabel(**label) for label in row.labels)})


def _dataset_image(row: Row[Any]) -> DatasetImageRow:
    return DatasetImageRow(
        **{
            **row._mapping,
            "split": Split(row.split),
            "state": AnnotationState(row.state) if row.state else None,
            "geometry": geometry_from_json(row.geometry) if row.geometry else None,
        }
    )


def _annotation(row: Row[Any]) -> AnnotationRow:
    values = dict(row._mapping)
    review = {name: values.pop(f"review_{name}") for name in Review.__dataclass_fields__}
    return AnnotationRow(
        **values
        | {
            "labels": tuple(AnnotatedLabel(**label) for label in row.labels),
            "state": AnnotationState(row.state),
            "review": Review(**review | {"state": AnnotationState(review["state"])}) if review["state"] else None,
        }
    )


def _mask(row: Row[Any]) -> LabelMask:
    lower, upper = (tuple(row.box[name]) for name in ("lower", "upper"))
    return LabelMask(row.number, row.name, PackedMask(lower, upper, row.bits, row.sha256, row.voxel_count))
