"""Annotations: list, read and review them, and decide between those that disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal
from gateway.core.datasets.adjudication import ADJUDICATED, check_among, check_one_image, check_open, is_decided
from gateway.core.datasets.datasets import Page, require_dataset
from gateway.core.datasets.records import (
    AnnotationCursor,
    AnnotationRow,
    AnnotationState,
    LabelMask,
    Review,
)
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.validation import check_reason, check_reason_length
from gateway.core.sessions.listing import check_page_size
from sixpoint.errors import (
    AnnotationNotFound,
    InvalidArgument,
)

__all__ = ["Annotations"]

_REVIEWED = frozenset({AnnotationState.SUBMITTED, AnnotationState.ACCEPTED, AnnotationState.REJECTED})


class Annotations:
    """All annotations of a gateway.

    Args:
        repository: Transactions of datasets.
        auditor: Takes notes of annotations that are read.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self, *, repository: DatasetRepository, auditor: Auditor = NO_AUDIT, now: Callable[[], float] = time.time
    ) -> None:
        self._repository = repository
        self._auditor = auditor
        self._now = now

    async def get(self, annotation_id: str, *, principal: Principal) -> AnnotationRow:
        """Return an annotation.

        Raises:
            AnnotationNotFound: There is none of this id.
        """
        row = await self._repository.read(
            lambda records: _require_annotation(records, annotation_id), tenant=principal.tenant
        )
        self._auditor.note(AuditEntry(principal, Action.READ_ANNOTATION, annotation_id))
        return row

    async def masks(self, annotation_id: str, *, principal: Principal) -> list[LabelMask]:
        """Return the masks of an annotation, by number."""
        return await self._repository.read(lambda records: records.masks(annotation_id), tenant=principal.tenant)

    async def page(
        self,
        dataset: str,
        *,
        principal: Principal,
        digest: str = "",
        state: AnnotationState | None = None,
        size: int = 0,
        token: str = "",
    ) -> Page[AnnotationRow]:
        """List annotations of a dataset, the latest first.

        Raises:
            DatasetNotFound: There is no such dataset.
            InvalidArgument: The size is out of range, or the token is unknown.
        """
        limit, after = check_page_size(size), _parse_token(token)

        def work(records: DatasetReader) -> list[AnnotationRow]:
            row = require_dataset(records.dataset(dataset), dataset)
            return records.annotations(row.id, digest=digest or None, state=state, after=after, limit=limit + 1)

        rows = await self._repository.read(work, tenant=principal.tenant)
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(tuple(rows[:limit]), f"{last.created!r} {last.id}" if last else "")

    async def review(
        self, annotation_id: str, state: AnnotationState, *, reason: str = "", principal: Principal
    ) -> AnnotationRow:
        """Accept or reject an annotation, or take that back.

        Raises:
            AnnotationNotFound: There is none of this id.
            InvalidArgument: The state is none of a review, or a rejection has no reason.
        """
        check_reason(state, reason, allowed=_REVIEWED)
        review = Review(state, principal.subject, reason.strip(), self._now())

        def work(records: DatasetWriter) -> AnnotationRow:
            row = _require_annotation(records, annotation_id)
            records.review(annotation_id, review)
            records.audit(AuditEntry(principal, Action.REVIEW_ANNOTATION, annotation_id))
            return replace(row, state=state, review=review, adjudicated_by="")

        return await self._repository.write(work, tenant=principal.tenant)

    async def adjudicate(
        self, annotation_id: str, among: Collection[str], *, reason: str = "", principal: Principal
    ) -> AnnotationRow:
        """Decide between annotations of one image: accept one, and reject the others, all or nothing.

        Args:
            annotation_id: Id of the annotation that decides: one of those, or another one of the image.
            among: Ids of the annotations that disagree.
            reason: Reason of the decision; may be empty.
            principal: Who decides.

        Returns:
            The annotation that decides. Deciding again the same changes nothing.

        Raises:
            AnnotationNotFound: There is none of an id.
            InvalidArgument: There are too few or too many ids, they are of different images, or the reason is too long.
            FailedPrecondition: One of them is not submitted or accepted any more.
        """
        check_among(among)
        check_reason_length(reason)

        def work(records: DatasetWriter) -> AnnotationRow:
            deciding = _require_annotation(records, annotation_id)
            # One after another: of two decisions at once, the second sees the first.
            records.lock_dataset(deciding.dataset)
            deciding = _require_annotation(records, annotation_id)
            others = [_require_annotation(records, each) for each in sorted(set(among) - {annotation_id})]
            check_one_image([deciding, *others])
            is_reader = annotation_id in among
            if is_decided(deciding, others, is_reader=is_reader):
                return deciding
            check_open([*others, deciding] if is_reader else others)
            now = self._now()
            rejection = Review(AnnotationState.REJECTED, principal.subject, ADJUDICATED, now)
            acceptance = Review(AnnotationState.ACCEPTED, principal.subject, reason.strip(), now)
            for row in others:
                records.review(row.id, rejection, adjudicated_by=annotation_id)
            # Last: the state of the image is that of the annotation that decides.
            own = annotation_id if is_reader else ""
            records.review(annotation_id, acceptance, adjudicated_by=own)
            for row in (*others, deciding):
                records.audit(AuditEntry(principal, Action.REVIEW_ANNOTATION, row.id))
            return replace(deciding, state=AnnotationState.ACCEPTED, review=acceptance, adjudicated_by=own)

        return await self._repository.write(work, tenant=principal.tenant)


def _require_annotation(records: DatasetReader, annotation_id: str) -> AnnotationRow:
    row = records.annotation(annotation_id)
    if row is None:
        raise AnnotationNotFound("there is no annotation of this id")
    return row


def _parse_token(token: str) -> AnnotationCursor | None:
    if not token:
        return None
    created, _, annotation_id = token.partition(" ")
    try:
        return float(created), annotation_id
    except ValueError:
        raise InvalidArgument("unknown page token; expected next_page_token of the last response") from None
