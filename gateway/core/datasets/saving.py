"""Save annotations: the segments of a session, or masks that were made elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.core.access import Action, AuditEntry, Principal, check_may_change
from gateway.core.datasets.activity import Activity, summarise
from gateway.core.datasets.datasets import require_dataset
from gateway.core.datasets.masks import digest_of, empty_mask, label_names, label_numbers, repack
from gateway.core.datasets.records import (
    AnnotatedLabel,
    AnnotationRow,
    AnnotationState,
    DatasetRow,
    LabelMask,
)
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.validation import check_save_state
from gateway.core.runtime import Admission
from gateway.core.runtime.fairness import leaves_room
from gateway.core.runtime.ids import new_id
from gateway.core.sessions import AnnotationRequest, Engine, Session, Sessions, StepRow
from gateway.core.sessions.validation import check_revision
from sixpoint.errors import (
    DatasetError,
    NothingToSave,
    ResourceExhausted,
    StaleRevision,
    StorageFull,
    Violation,
)
from sixpoint.errors.shortening import quoted
from sixpoint.mask import PackedMask

__all__ = ["AnnotationSaver", "check_room"]

_MAX_VERSIONS = 1000
# A session that changes while its masks are collected is collected again.
_ATTEMPTS = 3
_NO_ACTIVITY = Activity(0, "", "", 0.0)


class AnnotationSaver:
    """Saves annotations.

    Args:
        repository: Transactions of datasets.
        sessions: All sessions.
        engine: Renders the masks of sessions.
        admission: Limits how much memory masks take at once.
        limit: Bytes that the masks of all annotations may take in the database.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: DatasetRepository,
        sessions: Sessions,
        engine: Engine,
        admission: Admission,
        limit: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._sessions = sessions
        self._engine = engine
        self._admission = admission
        self._limit = limit
        self._now = now

    async def save(
        self,
        dataset: str,
        session_id: str,
        *,
        principal: Principal,
        revision: int | None = None,
        absent: Sequence[str] = (),
        state: AnnotationState | None = None,
    ) -> AnnotationRow:
        """Save the segments of a session; saving again what the last annotation has returns that one.

        Args:
            dataset: Name of the dataset.
            session_id: Id of the session.
            principal: Who saves it.
            revision: Revision of the session that is meant; None for any.
            absent: Names of labels that the image has no voxel of.
            state: State; None for submitted.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset lacks the session's image, or a label.
            SessionNotFound: There is no such session.
            PermissionDenied: The session belongs to somebody else.
            StaleRevision: The session is at another revision, or changes all the time.
            NothingToSave: No segment has a mask, and no label is absent.
            StorageFull: The annotations take too many bytes.
        """
        state = check_save_state(state)
        row = await self._dataset(dataset, principal)
        for _ in range(_ATTEMPTS):
            session = await self._sessions.get(session_id, principal=principal)
            check_may_change(principal, owner=session.row.owner)
            check_revision(session.row, revision)
            masks = await self._masks_of(session, row, absent, principal=principal)
            if masks is not None:
                break
        else:
            raise StaleRevision("the session changes while it is saved; save it again when nobody works in it")
        activity = summarise(await self._steps(session_id, principal), end=self._now())
        return await self._store(
            row, session.row.image_digest, masks, activity, state, session_id=session_id, principal=principal
        )

    async def add(
        self,
        dataset: str,
        digest: str,
        masks: Sequence[tuple[str, PackedMask]],
        *,
        principal: Principal,
        state: AnnotationState | None = None,
    ) -> AnnotationRow:
        """Save masks that were made elsewhere.

        Args:
            dataset: Name of the dataset.
            digest: SHA-256 of the image.
            masks: Name and mask of each label.
            principal: Who saves them.
            state: State; None for submitted.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: The dataset lacks the image or a label, or a mask is damaged or exceeds the image.
            NothingToSave: There are no masks.
            StorageFull: The annotations take too many bytes.
        """
        state = check_save_state(state)
        row = await self._dataset(dataset, principal)
        record = await self._repository.read(lambda records: records.image(digest), tenant=principal.tenant)
        if record is None:
            raise _not_in_dataset(dataset)
        numbers = label_numbers(row, [name for name, _ in masks])
        checked = [
            LabelMask(numbers[name], name, await repack(mask, record.geometry, name, admission=self._admission))
            for name, mask in masks
        ]
        return await self._store(row, digest, checked, _NO_ACTIVITY, state, session_id="", principal=principal)

    async def _dataset(self, name: str, principal: Principal) -> DatasetRow:
        return await self._repository.read(
            lambda records: require_dataset(records.dataset(name), name), tenant=principal.tenant
        )

    async def _steps(self, session_id: str, principal: Principal) -> list[tuple[StepRow, bool]]:
        steps: list[tuple[StepRow, bool]] = []
        token = ""
        while True:
            page = await self._sessions.steps(session_id, principal=principal, token=token)
            # Their prompts are counted only, and may hold masks.
            steps += page.steps
            token = page.next_token
            if not token:
                return steps

    async def _masks_of(
        self, session: Session, dataset: DatasetRow, absent: Sequence[str], *, principal: Principal
    ) -> list[LabelMask] | None:
        """The masks of a session's segments; None if it changed meanwhile."""
        segments = [segment for segment in session.segments if segment.head]
        for segment in segments:
            if not segment.name:
                raise DatasetError(
                    f"segment {segment.number} has no name, so it is not known which label it is; name it (sixpoint "
                    f"resume ID --name LABEL, session.rename) after a label of the dataset: {label_names(dataset)}",
                    violations=(Violation("session_id", "a session whose segments have names"),),
                )
        numbers = label_numbers(dataset, [*(segment.name for segment in segments), *absent])
        masks = [LabelMask(numbers[name], name, empty_mask()) for name in absent]
        for segment in segments:
            request = AnnotationRequest(principal, session.row.id, segment=segment.number)
            result = await self._engine.mask(request)
            if result.revision != session.row.revision:
                return None
            masks.append(LabelMask(numbers[segment.name], segment.name, result.mask))
        return masks

    async def _store(
        self,
        dataset: DatasetRow,
        digest: str,
        masks: Sequence[LabelMask],
        activity: Activity,
        state: AnnotationState,
        *,
        session_id: str,
        principal: Principal,
    ) -> AnnotationRow:
        if not masks:
            raise NothingToSave("there is no mask to save: set prompts first, or name the labels that are absent")
        masks = sorted(masks, key=lambda mask: mask.number)
        row = AnnotationRow(
            id=new_id(),
            dataset_id=dataset.id,
            dataset=dataset.name,
            image_digest=digest,
            version=0,
            annotator=principal.subject,
            created=self._now(),
            labels=tuple(AnnotatedLabel(each.number, each.name, each.mask.voxel_count) for each in masks),
            session_id=session_id,
            model=activity.model,
            model_version=activity.model_version,
            prompt_count=activity.prompt_count,
            active_seconds=activity.seconds,
            digest=digest_of(masks),
            byte_count=sum(len(each.mask.bits) for each in masks),
            state=state,
        )

        def work(records: DatasetWriter) -> AnnotationRow:
            locked = require_dataset(records.lock_dataset(dataset.name), dataset.name)
            if digest not in records.images_of(locked.id, [digest]):
                raise _not_in_dataset(dataset.name)
            latest = records.latest_annotation(locked.id, digest)
            if latest and _is_repeated(latest, row):
                return latest
            count = latest.version if latest else 0
            check_room(records, row, count, limit=self._limit)
            # Clocks may go back; versions do not.
            stored = replace(row, version=count + 1, created=max(row.created, latest.created if latest else 0.0))
            records.insert_annotation(stored, masks)
            records.end_assignment(locked.id, digest, annotator=principal.subject)
            records.audit(AuditEntry(principal, Action.SAVE_ANNOTATION, stored.id, source=session_id))
            return stored

        return await self._repository.write(work, tenant=principal.tenant)


def check_room(records: DatasetReader, row: AnnotationRow, count: int, *, limit: int) -> None:
    """Refuse an annotation for which there is no room.

    Args:
        records: Queries on datasets.
        row: The annotation.
        count: Number of annotations that its image has.
        limit: Bytes that the masks of all annotations may take in the database.

    Raises:
        ResourceExhausted: The image has too many annotations.
        StorageFull: The annotations take too many bytes.
    """
    if count >= _MAX_VERSIONS:
        raise ResourceExhausted(f"the image has {_MAX_VERSIONS} annotations, which is the limit")
    owned, total = records.annotation_bytes(row.annotator)
    if not leaves_room(owned, total=total + row.byte_count, limit=limit):
        raise StorageFull(
            f"the saved masks take {total} bytes, yours {owned} of them, and the limit for all is {limit} "
            "(SIXPOINT_ANNOTATION_BYTES); ask whoever manages the gateway for more"
        )


def _is_repeated(latest: AnnotationRow, row: AnnotationRow) -> bool:
    """Whether an annotation says what the last one says: a call that is repeated, or a second click on "save"."""
    fields = ("annotator", "session_id", "digest", "labels", "state")
    return all(getattr(latest, name) == getattr(row, name) for name in fields)


def _not_in_dataset(name: str) -> DatasetError:
    return DatasetError(
        f"the image is not in the dataset {quoted(name)}; add it first (AddImages, sixpoint dataset add)",
        violations=(Violation("image_digest", "an image of the dataset"),),
    )
