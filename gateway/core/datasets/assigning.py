"""Which image an annotator gets next: two never get the same one, unless the first takes too long."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.core.access import Action, AuditEntry, Principal
from gateway.core.datasets.choosing import Choice, Ranking, Wanted, choose, rank, read_embedded
from gateway.core.datasets.datasets import require_dataset
from gateway.core.datasets.records import Assignment, DatasetImageRow, NextStrategy, Split
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.scores import EmbeddedImage, ImageScore
from gateway.core.datasets.validation import check_reason_length
from sixpoint.errors import DatasetError, InvalidArgument, Violation

__all__ = ["Assignments", "NextImage"]

_KEEP_S, _MAX_KEEP_S = 3600.0, 86400.0
_MAX_READERS = 20
_KEPT = "you have it since an earlier call, and neither saved nor skipped it"


@dataclass(frozen=True)
class NextImage:
    """What an annotator does next.

    Attributes:
        image: The image; None if there is none now.
        until: Time until which nobody else gets it, seconds since 1970; 0 without an image, or if it is not kept.
        waiting: Number of images that wait for an annotation, those included that others have claimed.
        reason: Why this image; empty without one.
        score: Score of the image; None: it is unscored, or was given before.
    """

    image: DatasetImageRow | None
    until: float
    waiting: int
    reason: str = ""
    score: ImageScore | None = None


def _none(waiting: int) -> NextImage:
    return NextImage(None, 0.0, waiting)


class Assignments:
    """Gives images to annotators.

    Args:
        repository: Transactions of datasets.
        now: Clock, in seconds since 1970.
    """

    def __init__(self, *, repository: DatasetRepository, now: Callable[[], float] = time.time) -> None:
        self._repository = repository
        self._now = now

    async def next(
        self,
        dataset: str,
        *,
        principal: Principal,
        strategy: NextStrategy = NextStrategy.FIRST,
        keep: float = 0.0,
        split: Split | None = None,
        readers: int = 1,
        peek: bool = False,
    ) -> NextImage:
        """Give an image that waits for an annotation, and keep it from others; while it is kept, the same again.

        Args:
            dataset: Name of the dataset.
            principal: Who wants it.
            strategy: Which one.
            keep: Seconds for which nobody else gets it; 0 for an hour.
            split: Only images of this split; None for all.
            readers: Number of people who annotate each image.
            peek: Whether to say only which image would come after the one that the annotator has, and to keep nothing.

        Raises:
            DatasetNotFound: There is no such dataset.
            InvalidArgument: The seconds or the number of people are out of range.
        """
        if not (math.isfinite(keep) and 0 <= keep <= _MAX_KEEP_S):
            raise InvalidArgument(
                f"an image cannot be kept for {keep:g} s; expected up to {_MAX_KEEP_S:g}, or 0 for {_KEEP_S:g}",
                violations=(Violation("keep_seconds", f"0 to {_MAX_KEEP_S:g}"),),
            )
        if not 1 <= readers <= _MAX_READERS:
            raise InvalidArgument(
                f"an image cannot be annotated by {readers} people; expected 1 to {_MAX_READERS}",
                violations=(Violation("readers", f"1 to {_MAX_READERS}"),),
            )
        annotator, now = principal.subject, self._now()
        until = now + (keep or _KEEP_S)
        wanted = Wanted(annotator, now, strategy, split, readers)
        ranking = await self._rank(dataset, wanted, principal) if strategy is NextStrategy.DIFFERENT else None

        def look(records: DatasetReader) -> NextImage:
            row = require_dataset(records.dataset(dataset), dataset)
            waiting = records.count_waiting(row.id, split=split, readers=readers)
            claimed = records.claimed_image(row.id, annotator=annotator, now=now, split=split, readers=readers)
            after = replace(wanted, after=claimed.image_digest if claimed else "")
            choice = choose(records, row, after, ranking=ranking)
            return NextImage(choice.image, 0.0, waiting, choice.reason, choice.score) if choice else _none(waiting)

        if peek:
            # Its name is read, not its voxels: the download of those is audited.
            return await self._repository.read(look, tenant=principal.tenant)

        def work(records: DatasetWriter) -> NextImage:
            # One after another: two that ask at once do not get one image.
            row = require_dataset(records.lock_dataset(dataset), dataset)
            waiting = records.count_waiting(row.id, split=split, readers=readers)
            claimed = records.claimed_image(row.id, annotator=annotator, now=now, split=split, readers=readers)
            choice = Choice(claimed, _KEPT) if claimed else choose(records, row, wanted, ranking=ranking)
            if choice is None:
                return _none(waiting)
            records.set_assignment(Assignment(row.id, choice.image.image_digest, annotator, until))
            records.audit(AuditEntry(principal, Action.READ_DATASET, row.id))
            return NextImage(choice.image, until, waiting, choice.reason, choice.score)

        return await self._repository.write(work, tenant=principal.tenant)

    async def _rank(self, dataset: str, wanted: Wanted, principal: Principal) -> Ranking:
        """Rank images by difference, before the transaction that gives one: nobody else waits for it."""

        def work(records: DatasetReader) -> list[EmbeddedImage]:
            return read_embedded(records, require_dataset(records.dataset(dataset), dataset), wanted)

        embedded = await self._repository.read(work, tenant=principal.tenant)
        return await asyncio.to_thread(rank, embedded)

    async def skip(self, dataset: str, digest: str, *, reason: str, principal: Principal) -> None:
        """Give an image back; the annotator does not get it again.

        Args:
            dataset: Name of the dataset.
            digest: SHA-256 of the image.
            reason: Reason, for whoever looks after the dataset; may be empty.
            principal: Who skips it.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset does not have the image.
            InvalidArgument: The reason is too long.
        """
        check_reason_length(reason)

        def work(records: DatasetWriter) -> None:
            row = require_dataset(records.lock_dataset(dataset), dataset)
            if digest not in records.images_of(row.id, [digest]):
                raise DatasetError(
                    "the image is not in the dataset", violations=(Violation("image_digest", "its own"),)
                )
            records.set_assignment(
                Assignment(row.id, digest, principal.subject, self._now(), skipped=True, reason=reason.strip())
            )
            records.audit(AuditEntry(principal, Action.CHANGE_DATASET, row.id))

        await self._repository.write(work, tenant=principal.tenant)
