"""What is kept of a case or a patient, and its removal for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal
from gateway.core.datasets.datasets import Page, require_dataset
from gateway.core.datasets.records import AnnotationRow, DatasetImageRow, DatasetRow, LearntVersion, TracedSession
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.splits import hash_patient
from gateway.core.images import ImageStore
from gateway.core.runtime import Catalog
from sixpoint.errors import DatasetError, InvalidArgument, Unavailable, Violation
from sixpoint.errors.shortening import quoted

__all__ = ["ImageRemoval", "ImageTrace", "Removed", "RemovedImage", "Subject"]

_MAX_PAGE, _PAGE = 100, 10
# Each image is removed in a transaction of its own: on SQLite, all other writers wait for it.
_MAX_REMOVED = 100
_MAX_SESSIONS = 1000
_ANNOTATIONS = "annotations"
"""Name in a model's provenance of the annotations that it learnt from: the beginnings of their digests."""


@dataclass(frozen=True)
class Subject:
    """Whose images are meant.

    Attributes:
        case_name: Name of a case; empty for a patient's.
        patient: What all images of one patient share, as it was given when they were added; empty for a case.
        whole_patient: Whether all images of the case's patient are meant.
    """

    case_name: str = ""
    patient: str = ""
    whole_patient: bool = False

    def __post_init__(self) -> None:
        if bool(self.case_name) == bool(self.patient):
            raise InvalidArgument(
                "it is not said whose images are meant; expected either the name of a case, or a patient",
                violations=(Violation("case_name", "a case's name, or else a patient"),),
            )


@dataclass(frozen=True)
class ImageTrace:
    """What is kept of an image.

    Attributes:
        image: The image.
        annotations: Its annotations in the dataset, the latest first.
        other_datasets: Names of the other datasets that have the image.
        sessions: Sessions on the image that are open, or whose steps are stored.
        learnt: Versions that are served and learnt from the annotations.
    """

    image: DatasetImageRow
    annotations: tuple[AnnotationRow, ...]
    other_datasets: tuple[str, ...]
    sessions: tuple[TracedSession, ...]
    learnt: tuple[LearntVersion, ...]


@dataclass(frozen=True)
class RemovedImage:
    """An image that was removed.

    Attributes:
        image: The image.
        annotation_count: Number of annotations that were deleted.
        session_ids: Ids of the sessions whose steps are deleted next.
        voxels_removed: Whether its voxels were deleted.
    """

    image: DatasetImageRow
    annotation_count: int
    session_ids: tuple[str, ...]
    voxels_removed: bool


@dataclass(frozen=True)
class Removed:
    """What a call removed.

    Attributes:
        images: The images.
        more: Whether there are more.
    """

    images: tuple[RemovedImage, ...]
    more: bool


class ImageRemoval:
    """Traces and removes the images of datasets.

    Args:
        repository: Transactions of datasets.
        images: All images.
        catalog: Models that are served.
        drop_session: Function that drops a session from memory, by its id.
        auditor: Takes notes of what is read.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: DatasetRepository,
        images: ImageStore,
        catalog: Catalog,
        drop_session: Callable[[str], None],
        auditor: Auditor = NO_AUDIT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._images = images
        self._catalog = catalog
        self._drop_session = drop_session
        self._auditor = auditor
        self._now = now

    @property
    def models_known(self) -> bool:
        """Whether it is known which models are served."""
        return self._catalog.ready

    async def trace(
        self, dataset: str, subject: Subject, *, principal: Principal, size: int = 0, token: str = ""
    ) -> Page[ImageTrace]:
        """List what is kept of some images, by the name of their case.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset has no such image.
            InvalidArgument: The size is out of range.
        """
        if not 0 <= size <= _MAX_PAGE:
            raise InvalidArgument(
                f"the page size is {size}; expected 1 to {_MAX_PAGE}, or 0 for {_PAGE}",
                violations=(Violation("page_size", f"0 to {_MAX_PAGE}"),),
            )
        limit = size or _PAGE
        learnt_from = self._learnt_from(principal.tenant)

        def work(records: DatasetReader) -> tuple[str, Page[ImageTrace]]:
            row = require_dataset(records.dataset(dataset), dataset)
            images = _find(records, row, subject, after=token, limit=limit + 1)
            traces = tuple(_trace(records, row, image, learnt_from) for image in images[:limit])
            return row.id, Page(traces, images[limit - 1].case_name if len(images) > limit else "")

        dataset_id, page = await self._repository.read(work, tenant=principal.tenant)
        self._auditor.note(AuditEntry(principal, Action.READ_DATASET, dataset_id))
        return page

    async def remove(
        self, dataset: str, subject: Subject, *, principal: Principal, end_sessions: bool = False
    ) -> Removed:
        """Remove some images from a dataset, with their annotations, their sessions, and voxels that nobody uses.

        Args:
            dataset: Name of the dataset.
            subject: Whose images.
            principal: Who removes them.
            end_sessions: Whether to end all sessions on the images, not only those that annotations were saved from.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset has no such image.
        """

        def select(records: DatasetReader) -> list[DatasetImageRow]:
            row = require_dataset(records.dataset(dataset), dataset)
            return _find(records, row, subject, after="", limit=_MAX_REMOVED + 1)

        images = await self._repository.read(select, tenant=principal.tenant)
        removed = [
            await self._remove(dataset, image, principal=principal, end_sessions=end_sessions)
            for image in images[:_MAX_REMOVED]
        ]
        return Removed(tuple(removed), len(images) > _MAX_REMOVED)

    async def _remove(
        self, dataset: str, image: DatasetImageRow, *, principal: Principal, end_sessions: bool
    ) -> RemovedImage:
        digest = image.image_digest

        def work(records: DatasetWriter) -> tuple[int, list[str]]:
            row = require_dataset(records.lock_dataset(dataset), dataset)
            records.lock_images([digest])
            if digest not in records.images_of(row.id, [digest]):
                # Somebody else was faster.
                return 0, []
            count, sessions = records.remove_image(row.id, digest, end_sessions=end_sessions, now=self._now())
            records.audit(AuditEntry(principal, Action.REMOVE_DATASET_IMAGE, digest, source=row.id))
            return count, sessions

        count, sessions = await self._repository.write(work, tenant=principal.tenant)
        for session_id in sessions:
            self._drop_session(session_id)
        try:
            voxels_removed = await self._images.remove_unused(digest, principal=principal)
        except Unavailable:
            # No dataset has the image any more: it is removed later, like every image that nobody uses.
            voxels_removed = False
        return RemovedImage(image, count, tuple(sessions), voxels_removed)

    def _learnt_from(self, tenant: str) -> list[tuple[LearntVersion, frozenset[str]]]:
        """The served versions that state from which annotations they learnt, with the beginnings of the digests."""
        return [
            (LearntVersion(model.name, model.version, ()), frozenset(stated.split()))
            for model in self._catalog.models.values()
            if model.seen_by(tenant) and (stated := model.spec.provenance.get(_ANNOTATIONS, ""))
        ]


def _find(
    records: DatasetReader, dataset: DatasetRow, subject: Subject, *, after: str, limit: int
) -> list[DatasetImageRow]:
    """Images that are meant, by the name of their case, behind a name."""
    if subject.patient:
        patient = hash_patient(subject.patient, salt=dataset.salt)
        images = records.images_of_patient(dataset.id, patient, after=after, limit=limit)
    else:
        images = records.images_of_case(dataset.id, subject.case_name)
        if images and subject.whole_patient:
            images = records.images_of_patient(dataset.id, images[0].patient, after=after, limit=limit)
        elif after:
            return []
    if not images and not after:
        # The error does not repeat a patient: it may be a name.
        meant = f"case {quoted(subject.case_name)}" if subject.case_name else "image of this patient"
        raise DatasetError(
            f"the dataset has no {meant}; list its images (ListDatasetImages, sixpoint dataset images)",
            violations=(Violation("case_name" if subject.case_name else "patient", "one of the dataset's"),),
        )
    return images


def _trace(
    records: DatasetReader,
    dataset: DatasetRow,
    image: DatasetImageRow,
    learnt_from: list[tuple[LearntVersion, frozenset[str]]],
) -> ImageTrace:
    digest = image.image_digest
    annotations = records.annotations(dataset.id, digest=digest, state=None, after=None, limit=_MAX_SESSIONS)
    learnt = []
    for version, beginnings in learnt_from:
        lengths = {len(beginning) for beginning in beginnings}
        ids = [each.id for each in annotations if any(each.digest[:length] in beginnings for length in lengths)]
        if ids:
            learnt.append(LearntVersion(version.model, version.version, tuple(ids)))
    return ImageTrace(
        image,
        tuple(annotations),
        tuple(records.datasets_with(digest, besides=dataset.id)),
        tuple(records.sessions_on(digest, limit=_MAX_SESSIONS)),
        tuple(learnt),
    )
