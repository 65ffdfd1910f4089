"""Changes of datasets, in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, text, tuple_, update

from gateway.core.datasets import (
    AnnotationRow,
    Assignment,
    DatasetImageRow,
    DatasetLabel,
    DatasetRow,
    LabelMask,
    Review,
)
from gateway.core.datasets.scores import ImageScore
from gateway.storage.audited import AuditedWriter
from gateway.storage.dataset_tables import (
    annotation_masks,
    assignments,
    dataset_images,
    datasets,
    image_scores,
    reviews,
    saved_annotations,
)
from gateway.storage.datasets.trace_queries import SqlTraceReader
from gateway.storage.image_records import SqlImageWriter
from gateway.storage.schema import sessions

__all__ = ["SqlDatasetWriter"]


class SqlDatasetWriter(AuditedWriter, SqlTraceReader):
    """A :class:`gateway.core.datasets.repository.DatasetWriter` in a tenant's scope.

    Args:
        scope: The scope.
        audited: Whether entries are written to the audit log.
    """

    def lock_dataset(self, name: str) -> DatasetRow | None:
        """The dataset of this name; until this transaction ends, no other one locks the name."""
        if self._scope.dialect == "postgresql":
            # SQLite has one writer at a time anyway.
            hashed = hashlib.sha256(f"dataset/{self._scope.tenant}/{name}".encode()).hexdigest()
            self._scope.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(hashed[:15], 16)})
        return self.dataset(name)

    def insert_dataset(self, row: DatasetRow) -> None:
        """Add a dataset."""
        self._scope.execute(insert(datasets).values(**vars(row) | {"labels": [asdict(each) for each in row.labels]}))

    def set_labels(self, dataset_id: str, labels: Sequence[DatasetLabel]) -> None:
        """Set the labels of a dataset."""
        where = (self._scope.of(datasets), datasets.c.id == dataset_id)
        self._scope.execute(update(datasets).where(*where).values(labels=[asdict(label) for label in labels]))

    def lock_images(self, digests: Collection[str]) -> None:
        """Block other transactions that lock one of these digests, such as its removal, until this one ends."""
        images = SqlImageWriter(self._scope)
        # In one order, so that two transactions do not wait for each other.
        for digest in sorted(digests):
            images.lock_image(digest)

    def insert_images(self, rows: Sequence[DatasetImageRow]) -> None:
        """Add images to a dataset."""
        names = ("dataset_id", "image_digest", "case_name", "patient", "split", "added")
        if rows:
            values = [{name: getattr(row, name) for name in names} | {"split": row.split.value} for row in rows]
            self._scope.execute(insert(dataset_images), values)

    def set_assignment(self, assignment: Assignment) -> None:
        """Set what an annotator does with an image."""
        self._scope.execute(delete(assignments).where(*self._of_assignment(assignment)))
        values = vars(assignment) | {"skipped": int(assignment.skipped)}
        self._scope.execute(insert(assignments).values(**values))

    def end_assignment(self, dataset_id: str, digest: str, *, annotator: str) -> None:
        """End an annotator's claim to an image; a skipped one stays skipped."""
        claim = self._of_assignment(Assignment(dataset_id, digest, annotator, 0.0))
        self._scope.execute(delete(assignments).where(*claim, assignments.c.skipped == 0))

    def _of_assignment(self, assignment: Assignment) -> tuple[ColumnElement[bool], ...]:
        return (
            self._scope.of(assignments),
            assignments.c.dataset_id == assignment.dataset_id,
            assignments.c.image_digest == assignment.image_digest,
            assignments.c.annotator == assignment.annotator,
        )

    def set_score(self, score: ImageScore) -> None:
        """Set the score of an image by a version of a model."""
        place = {name: getattr(score, name) for name in ("dataset_id", "image_digest", "model", "model_version")}
        columns = [image_scores.c[name] == value for name, value in place.items()]
        self._scope.execute(delete(image_scores).where(self._scope.of(image_scores), *columns))
        values = vars(score) | {"entropies": dict(score.entropies), "dice": dict(score.dice)}
        values |= {"uncertainty": score.uncertainty, "disagreement": score.disagreement}
        self._scope.execute(insert(image_scores).values(**values))

    def insert_annotation(self, row: AnnotationRow, masks: Sequence[LabelMask]) -> None:
        """Add an annotation with its masks."""
        values = vars(row) | {"labels": [asdict(label) for label in row.labels], "state": row.state.value}
        for name in ("dataset", "review"):
            del values[name]
        self._scope.execute(insert(saved_annotations).values(**values))
        of_image = (
            self._scope.of(dataset_images),
            dataset_images.c.dataset_id == row.dataset_id,
            dataset_images.c.image_digest == row.image_digest,
        )
        counted = update(dataset_images).where(*of_image)
        self._scope.execute(counted.values(annotation_count=row.version, state=row.state.value))
        for each in masks:
            packed = each.mask
            self._scope.execute(
                insert(annotation_masks).values(
                    annotation_id=row.id,
                    number=each.number,
                    name=each.name,
                    box={"lower": list(packed.lower), "upper": list(packed.upper)},
                    bits=packed.bits,
                    sha256=packed.sha256,
                    voxel_count=packed.voxel_count,
                )
            )

    def remove_image(self, dataset_id: str, digest: str, *, end_sessions: bool, now: float) -> tuple[int, list[str]]:
        """Remove an image from a dataset, with its annotations; end the sessions that these were saved from."""
        scope = self._scope
        columns = saved_annotations.c
        of_image = (scope.of(saved_annotations), columns.dataset_id == dataset_id, columns.image_digest == digest)
        rows = scope.execute(select(columns.id, columns.session_id).where(*of_image)).all()
        ids, saved_from = [row.id for row in rows], {row.session_id for row in rows} - {""}
        for table in (annotation_masks, reviews):
            scope.execute(delete(table).where(scope.of(table), table.c.annotation_id.in_(ids)))
        scope.execute(delete(saved_annotations).where(*of_image))
        for table in (assignments, image_scores, dataset_images):
            here = (table.c.dataset_id == dataset_id, table.c.image_digest == digest)
            scope.execute(delete(table).where(scope.of(table), *here))
        # Another dataset may have an annotation from the same session: its steps stay then.
        saved = exists().where(scope.of(saved_annotations), columns.session_id == sessions.c.id)
        source = sessions.c.id.in_(saved_from) & ~saved
        meant = or_(source, sessions.c.image_digest == digest) if end_sessions else source
        ended = update(sessions).where(scope.of(sessions), meant, sessions.c.ended.is_(None))
        scope.execute(ended.values(ended=now))
        released = select(sessions.c.id).where(scope.of(sessions), meant, ~saved, sessions.c.step_count > 0)
        return len(ids), list(scope.scalars(released.order_by(sessions.c.id)))

    def review(self, annotation_id: str, review: Review, *, adjudicated_by: str = "") -> None:
        """Set the state of an annotation, and keep the review."""
        columns = saved_annotations.c
        where = (self._scope.of(saved_annotations), columns.id == annotation_id)
        # Until the transaction ends, other reviews of it wait for this change.
        values = {"state": review.state.value, "adjudicated_by": adjudicated_by}
        self._scope.execute(update(saved_annotations).where(*where).values(**values))
        counts = or_(columns.id == annotation_id, columns.adjudicated_by == annotation_id)
        reviewed = select(columns.dataset_id, columns.image_digest, columns.version).where(where[0], counts)
        place = (dataset_images.c.dataset_id, dataset_images.c.image_digest, dataset_images.c.annotation_count)
        latest = update(dataset_images).where(self._scope.of(dataset_images), tuple_(*place).in_(reviewed))
        self._scope.execute(latest.values(state=review.state.value))
        of_annotation = (self._scope.of(reviews), reviews.c.annotation_id == annotation_id)
        number = select(func.coalesce(func.max(reviews.c.number), 0) + 1).where(*of_annotation)
        values = vars(review) | {"state": review.state.value}
        self._scope.execute(
            insert(reviews).values(
                annotation_id=annotation_id, number=self._scope.execute(number).scalar_one(), **values
            )
        )
