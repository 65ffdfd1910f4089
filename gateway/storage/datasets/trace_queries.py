"""Queries on what is kept of a case or a patient, in SQL."""

from __future__ import annotations

from sqlalchemy import exists, or_, select

from gateway.core.datasets import DatasetImageRow, TracedSession
from gateway.storage.dataset_tables import dataset_images, datasets
from gateway.storage.datasets.dataset_rows import read_dataset_image
from gateway.storage.datasets.waiting_queries import SqlWaitingReader
from gateway.storage.schema import sessions

__all__ = ["SqlTraceReader"]


class SqlTraceReader(SqlWaitingReader):
    """A :class:`gateway.core.datasets.repository.DatasetReader` in a tenant's scope."""

    def images_of_case(self, dataset_id: str, case_name: str) -> list[DatasetImageRow]:
        """The image of a case, if there is one."""
        query = self._images_query(dataset_id).where(dataset_images.c.case_name == case_name)
        return [read_dataset_image(row) for row in self._scope.execute(query)]

    def images_of_patient(self, dataset_id: str, patient: str, *, after: str, limit: int) -> list[DatasetImageRow]:
        """Images of a patient, by the keyed hash of the patient, by the name of their case, behind a name."""
        of_patient = (dataset_images.c.patient == patient, dataset_images.c.case_name > after)
        query = self._images_query(dataset_id).where(*of_patient).order_by(dataset_images.c.case_name)
        return [read_dataset_image(row) for row in self._scope.execute(query.limit(limit))]

    def datasets_with(self, digest: str, *, besides: str) -> list[str]:
        """Names of the datasets that have an image, besides the one of an id."""
        has_image = exists().where(
            self._scope.of(dataset_images),
            dataset_images.c.dataset_id == datasets.c.id,
            dataset_images.c.image_digest == digest,
        )
        query = select(datasets.c.name).where(self._scope.of(datasets), datasets.c.id != besides, has_image)
        return list(self._scope.scalars(query.order_by(datasets.c.name)))

    def sessions_on(self, digest: str, *, limit: int) -> list[TracedSession]:
        """Sessions on an image that are open, or whose steps are stored; those opened first come first."""
        is_open = sessions.c.ended.is_(None)
        query = select(sessions.c.id, sessions.c.owner, is_open).where(
            self._scope.of(sessions), sessions.c.image_digest == digest, or_(is_open, sessions.c.step_count > 0)
        )
        rows = self._scope.execute(query.order_by(sessions.c.created, sessions.c.id).limit(limit))
        return [TracedSession(id_, owner, bool(still_open)) for id_, owner, still_open in rows]
