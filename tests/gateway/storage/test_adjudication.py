"""Decisions between annotations of one image, in the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.core.access import AuditEntry
from gateway.core.datasets import (
    AnnotatedLabel,
    AnnotationRow,
    Annotations,
    AnnotationState,
    Assignments,
    DatasetCounts,
    DatasetLabel,
    Datasets,
    LabelMask,
    NewImage,
)
from gateway.storage import Database, dataset_repository
from gateway.storage.datasets import SqlDatasetWriter
from sixpoint.errors import AnnotationNotFound, FailedPrecondition, InvalidArgument
from tests.gateway.core.sessions.session_process import DIGEST, OTHER, add_images
from tests.gateway.storage.tenant_rows import statements, unscoped
from tests.gateway.storage.test_next_image import FULL
from tests.support.callers import caller

ADA, EVE = caller("ada"), caller("eve", tenant="other")
FIRST, SECOND, THIRD, ELSEWHERE = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)


class Desk:
    """A dataset of two images with annotations of three people, and what decides."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.repository = dataset_repository(database, audited=True)
        self.datasets = Datasets(repository=self.repository)
        self.annotations = Annotations(repository=self.repository)
        self.assignments = Assignments(repository=self.repository)

    async def save(self, annotation_id: str, annotator: str, version: int, *, digest: str = DIGEST) -> None:
        """Save an annotation."""
        dataset = await self.datasets.get("abdomen", principal=ADA)
        row = AnnotationRow(
            id=annotation_id,
            dataset_id=dataset.row.id,
            dataset="abdomen",
            image_digest=digest,
            version=version,
            annotator=annotator,
            created=1e9 + version,
            labels=(AnnotatedLabel(1, "liver", 24),),
            session_id="",
            model="",
            model_version="",
            prompt_count=0,
            active_seconds=0.0,
            digest="d" * 64,
            byte_count=1,
            state=AnnotationState.SUBMITTED,
        )
        masks = [LabelMask(1, "liver", FULL)]
        await self.repository.write(lambda records: records.insert_annotation(row, masks), tenant="default")

    async def rows(self) -> dict[str, tuple[str, str]]:
        """State and deciding annotation of each annotation of the first image."""
        page = await self.annotations.page("abdomen", principal=ADA, digest=DIGEST)
        return {row.id[0]: (row.state.value, row.adjudicated_by[:1]) for row in page.entries}

    async def image_state(self) -> AnnotationState | None:
        """State of the first image."""
        images = (await self.datasets.images("abdomen", principal=ADA)).entries
        return next(image.state for image in images if image.image_digest == DIGEST)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    database = Database(database_url)
    await database.start()
    await add_images(database)
    desk = Desk(database)
    labels = [DatasetLabel(0, "liver")]
    await desk.datasets.create("abdomen", labels=labels, validation_share=0, test_share=0, principal=ADA)
    await desk.datasets.add_images("abdomen", [NewImage(DIGEST, "1"), NewImage(OTHER, "2")], principal=ADA)
    await desk.save(FIRST, "ada", 1)
    await desk.save(SECOND, "ben", 2)
    await desk.save(ELSEWHERE, "ben", 1, digest=OTHER)
    yield desk
    await database.stop()


async def test_one_of_the_readers_decides(desk: Desk) -> None:
    row = await desk.annotations.adjudicate(FIRST, [FIRST, SECOND], reason=" has the tip ", principal=ADA)
    assert (row.state, row.adjudicated_by) == (AnnotationState.ACCEPTED, FIRST)
    assert await desk.rows() == {"a": ("accepted", "a"), "b": ("rejected", "a")}
    stored = await desk.annotations.get(FIRST, principal=ADA)
    assert stored == row
    assert stored.review is not None
    assert (stored.review.reason, stored.review.reviewer) == ("has the tip", "ada")
    other = await desk.annotations.get(SECOND, principal=ADA)
    assert other.review is not None
    assert other.review.reason == "adjudicated"
    # The latest annotation is rejected; what decided is the image's state.
    assert await desk.image_state() is AnnotationState.ACCEPTED
    assert (await desk.datasets.get("abdomen", principal=ADA)).counts == DatasetCounts(2, 1)


@pytest.mark.parametrize("readers", [1, 2])
async def test_what_was_decided_does_not_wait_again(desk: Desk, readers: int) -> None:
    await desk.annotations.adjudicate(FIRST, [FIRST, SECOND], principal=ADA)
    given = await desk.assignments.next("abdomen", principal=caller("cleo"), readers=readers)
    assert given.waiting == (0 if readers == 1 else 1)
    assert given.image is None or given.image.image_digest == OTHER


async def test_another_annotation_decides(desk: Desk) -> None:
    await desk.save(THIRD, "cleo", 3)
    row = await desk.annotations.adjudicate(THIRD, [FIRST, SECOND], principal=ADA)
    # It is accepted, and no reader's.
    assert row.adjudicated_by == ""
    assert await desk.rows() == {"a": ("rejected", "c"), "b": ("rejected", "c"), "c": ("accepted", "")}


async def test_the_same_decision_changes_nothing_and_another_one_is_refused(desk: Desk) -> None:
    first = await desk.annotations.adjudicate(FIRST, [SECOND, FIRST], principal=ADA)
    assert await desk.annotations.adjudicate(FIRST, [FIRST, SECOND], reason="again", principal=ADA) == first
    with pytest.raises(FailedPrecondition, match="somebody has decided"):
        await desk.annotations.adjudicate(SECOND, [FIRST, SECOND], principal=ADA)
    # A review takes it back.
    for each in (FIRST, SECOND):
        await desk.annotations.review(each, AnnotationState.SUBMITTED, principal=ADA)
    assert await desk.rows() == {"a": ("submitted", ""), "b": ("submitted", "")}
    await desk.annotations.adjudicate(SECOND, [FIRST, SECOND], principal=ADA)
    assert await desk.rows() == {"a": ("rejected", "b"), "b": ("accepted", "b")}


async def test_of_two_decisions_at_once_one_is_refused(desk: Desk) -> None:
    decisions = [desk.annotations.adjudicate(each, [FIRST, SECOND], principal=ADA) for each in (FIRST, SECOND)]
    answers = await asyncio.gather(*decisions, return_exceptions=True)
    assert sorted(isinstance(answer, FailedPrecondition) for answer in answers) == [False, True]
    states = [state for state, _ in (await desk.rows()).values()]
    assert sorted(states) == ["accepted", "rejected"]


async def test_the_state_of_the_image_follows_what_decided(desk: Desk) -> None:
    await desk.annotations.adjudicate(FIRST, [FIRST, SECOND], principal=ADA)
    await desk.annotations.review(FIRST, AnnotationState.REJECTED, reason="a mistake", principal=ADA)
    assert await desk.image_state() is AnnotationState.REJECTED


async def test_what_cannot_be_decided_changes_nothing(desk: Desk) -> None:
    before = await desk.rows()
    for among, error in (
        ([FIRST], InvalidArgument),
        ([FIRST, FIRST], InvalidArgument),
        ([FIRST, ELSEWHERE], InvalidArgument),
        ([FIRST, "e" * 32], AnnotationNotFound),
        ([f"{number:032x}" for number in range(21)], InvalidArgument),
    ):
        with pytest.raises(error):
            await desk.annotations.adjudicate(FIRST, among, principal=ADA)
    with pytest.raises(AnnotationNotFound):
        await desk.annotations.adjudicate(FIRST, [FIRST, SECOND], principal=EVE)
    assert await desk.rows() == before
    await desk.annotations.review(SECOND, AnnotationState.REJECTED, reason="empty", principal=ADA)
    with pytest.raises(FailedPrecondition, match="version 2 is rejected"):
        await desk.annotations.adjudicate(FIRST, [FIRST, SECOND], principal=ADA)
    assert (await desk.rows())["a"] == ("submitted", "")


async def test_a_decision_is_audited_with_each_annotation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    entries: list[AuditEntry] = []
    monkeypatch.setattr(SqlDatasetWriter, "audit", lambda _, entry: entries.append(replace(entry)))
    with statements(desk.database) as seen:
        await desk.annotations.adjudicate(FIRST, [FIRST, SECOND], principal=ADA)
    assert {(entry.action.value, entry.object) for entry in entries} == {
        ("review annotation", FIRST),
        ("review annotation", SECOND),
    }
    assert {statement: unscoped(statement) for statement in seen if unscoped(statement)} == {}
