"""Queries on datasets, in SQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select

from gateway.core.datasets import (
    AnnotationCursor,
    AnnotationRow,
    AnnotationState,
    DatasetCounts,
    DatasetImageRow,
    DatasetRow,
    LabelMask,
    Review,
    Split,
)
from gateway.core.images import ImageRecord
from gateway.storage.dataset_tables import (
    annotation_masks,
    dataset_images,
    datasets,
    reviews,
    saved_annotations,
)
from gateway.storage.datasets.dataset_rows import read_annotation, read_dataset, read_dataset_image, read_mask
from gateway.storage.image_records import SqlImageReader
from gateway.storage.schema import images
from gateway.storage.scopes import TenantScope

__all__ = ["SqlDatasetReader"]

_DATASET = [datasets.c[name] for name in DatasetRow.__dataclass_fields__]
_COMPUTED = {"dataset", "review"}
_ANNOTATION = [saved_annotations.c[name] for name in AnnotationRow.__dataclass_fields__ if name not in _COMPUTED]
_REVIEW = [reviews.c[name] for name in Review.__dataclass_fields__]


class SqlDatasetReader:
    """The queries of a :class:`gateway.core.datasets.repository.DatasetReader` but for traces and what waits."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope
        self._images = SqlImageReader(scope)

    def dataset(self, name: str) -> DatasetRow | None:
        """The dataset of this name."""
        query = select(*_DATASET).where(self._scope.of(datasets), datasets.c.name == name)
        row = self._scope.execute(query).one_or_none()
        return read_dataset(row) if row else None

    def datasets(self, *, after: str, limit: int) -> list[DatasetRow]:
        """Datasets by name, behind a name."""
        query = select(*_DATASET).where(self._scope.of(datasets), datasets.c.name > after)
        return [read_dataset(row) for row in self._scope.execute(query.order_by(datasets.c.name).limit(limit))]

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
        return {row.image_digest: read_dataset_image(row) for row in self._scope.execute(query)}

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
        return [read_dataset_image(row) for row in rows]

    def annotation(self, annotation_id: str) -> AnnotationRow | None:
        """The annotation of this id."""
        row = self._scope.execute(
            self._annotations_query().where(saved_annotations.c.id == annotation_id)
        ).one_or_none()
        return read_annotation(row) if row else None

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
        return [read_annotation(row) for row in self._scope.execute(query.order_by(*order).limit(limit))]

    def latest_annotation(self, dataset_id: str, digest: str) -> AnnotationRow | None:
        """The annotation of an image with the highest version."""
        of_image = (saved_annotations.c.dataset_id == dataset_id, saved_annotations.c.image_digest == digest)
        query = self._annotations_query().where(*of_image).order_by(saved_annotations.c.version.desc())
        row = self._scope.execute(query.limit(1)).one_or_none()
        return read_annotation(row) if row else None

    def has_model_annotation(self, dataset_id: str, digest: str, *, model: str, version: str) -> bool:
        """Whether an image has an annotation that a version of a model made alone."""
        columns = saved_annotations.c
        query = select(columns.id).where(
            self._scope.of(saved_annotations),
            columns.dataset_id == dataset_id,
            columns.image_digest == digest,
            columns.session_id == "",
            columns.model == model,
            columns.model_version == version,
        )
        return self._scope.execute(query.limit(1)).one_or_none() is not None

    def masks(self, annotation_id: str) -> list[LabelMask]:
        """The masks of an annotation, by number."""
        of_annotation = annotation_masks.c.annotation_id == annotation_id
        query = select(annotation_masks).where(self._scope.of(annotation_masks), of_annotation)
        return [read_mask(row) for row in self._scope.execute(query.order_by(annotation_masks.c.number))]

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
