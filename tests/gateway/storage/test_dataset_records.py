"""Datasets and annotations in the database: what is stored comes back, and a tenant sees its own only."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection

from gateway.core.datasets import (
    AnnotatedLabel,
    AnnotationRow,
    AnnotationState,
    Assignments,
    DatasetCounts,
    DatasetLabel,
    Datasets,
    LabelMask,
    ModelVersion,
    NewImage,
    NextStrategy,
    Review,
    Split,
)
from gateway.storage import Database, dataset_repository, image_maintenance, session_maintenance
from gateway.storage.datasets import SqlDatasetWriter
from gateway.storage.image_records import SqlImageWriter
from gateway.storage.scopes import TenantScope
from sixpoint.errors import DatasetError, DatasetExists, DatasetNotFound, ImageNotFound, InvalidArgument
from sixpoint.mask import pack
from tests.gateway.core.sessions.session_process import BOX, DIGEST, OTHER, Clock, SessionProcess, add_images
from tests.gateway.storage.tenant_rows import rows, statements, unscoped
from tests.support.callers import caller

ADA = caller("ada")
MASK = pack(np.ones((2, 3, 4), np.bool_), (1, 2, 3))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.start()
    await add_images(database)
    yield database
    await database.stop()


@pytest.fixture
def datasets(database: Database) -> Datasets:
    return Datasets(repository=dataset_repository(database, audited=True))


async def _annotation(database: Database, datasets: Datasets, **changes: Any) -> AnnotationRow:
    """Store an annotation of the first image."""
    dataset = await datasets.get("abdomen", principal=ADA)
    row = AnnotationRow(
        id="a" * 32,
        dataset_id=dataset.row.id,
        dataset="abdomen",
        image_digest=DIGEST,
        version=1,
        annotator="ada",
        created=1e9,
        labels=(AnnotatedLabel(1, "liver", 24),),
        session_id="",
        model="m",
        model_version="3",
        prompt_count=4,
        active_seconds=12.5,
        digest="d" * 64,
        byte_count=len(MASK.bits),
        state=AnnotationState.SUBMITTED,
    )
    row = replace(row, **changes)
    masks = [LabelMask(1, "liver", MASK)]
    await dataset_repository(database).write(lambda records: records.insert_annotation(row, masks), tenant="default")
    return row


def _review(records: SqlDatasetWriter, *, annotation_id: str, review: Review) -> None:
    records.review(annotation_id, review)


async def _make(datasets: Datasets) -> None:
    labels = [DatasetLabel(0, "liver", "#dd8855", "10200004")]
    await datasets.create("abdomen", labels=labels, validation_share=0.2, test_share=0.1, principal=ADA)
    await datasets.add_images("abdomen", [NewImage(DIGEST, "case 1", "MRN 5")], principal=ADA)


async def test_what_is_stored_comes_back(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    dataset = await datasets.get("abdomen", principal=ADA)
    assert dataset.row.labels == (DatasetLabel(1, "liver", "#dd8855", "10200004"),)
    assert (dataset.counts, dataset.row.owner) == (DatasetCounts(1, 0), "ada")
    row = await _annotation(database, datasets)
    repository = dataset_repository(database)
    assert await repository.read(lambda records: records.annotation(row.id), tenant="default") == row
    (mask,) = await repository.read(lambda records: records.masks(row.id), tenant="default")
    assert (mask.number, mask.name, mask.mask) == (1, "liver", MASK)
    for number, state in enumerate((AnnotationState.REJECTED, AnnotationState.ACCEPTED)):
        review = Review(state, "ben", f"reason {number}", 2e9 + number)
        await repository.write(partial(_review, annotation_id=row.id, review=review), tenant="default")
        changed = await repository.read(lambda records: records.annotation(row.id), tenant="default")
        assert changed == replace(row, state=state, review=review)
    (image,) = (await datasets.images("abdomen", principal=ADA)).entries
    assert (image.case_name, image.annotation_count, image.state) == ("case 1", 1, AnnotationState.ACCEPTED)
    assert image.geometry is not None
    assert (await datasets.get("abdomen", principal=ADA)).counts == DatasetCounts(1, 1)


async def test_the_latest_annotation_of_an_image_counts(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    await _annotation(database, datasets, state=AnnotationState.ACCEPTED)
    second = await _annotation(database, datasets, id="b" * 32, version=2, state=AnnotationState.DRAFT)
    assert (await datasets.get("abdomen", principal=ADA)).counts == DatasetCounts(1, 0)
    repository = dataset_repository(database)
    dataset_id = second.dataset_id
    latest = await repository.read(lambda records: records.latest_annotation(dataset_id, DIGEST), tenant="default")
    assert latest == second

    def page(records: Any) -> list[str]:
        first = records.annotations(dataset_id, digest=None, state=None, after=None, limit=1)
        cursor = (first[0].created, first[0].id)
        rest = records.annotations(dataset_id, digest=DIGEST, state=None, after=cursor, limit=9)
        return [row.id for row in (*first, *rest)]

    assert await repository.read(page, tenant="default") == ["a" * 32, "b" * 32]


async def test_the_patient_is_stored_as_a_hash(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    stored = repr(await database.read(lambda conn: rows(conn, "default")))
    assert "MRN 5" not in stored
    both = [NewImage(DIGEST, "case 1"), NewImage(OTHER, "case 2", "MRN 5")]
    first, second = await datasets.add_images("abdomen", both, principal=ADA)
    assert (first.patient, first.split) == (second.patient, second.split)


async def test_images_are_added_all_or_none(datasets: Datasets) -> None:
    await _make(datasets)
    with pytest.raises(ImageNotFound):
        await datasets.add_images("abdomen", [NewImage(OTHER), NewImage("0" * 64)], principal=ADA)
    with pytest.raises(DatasetError, match="case 1"):
        await datasets.add_images("abdomen", [NewImage(OTHER, "case 1")], principal=ADA)
    with pytest.raises(DatasetError, match="1 to 1000"):
        await datasets.add_images("abdomen", [], principal=ADA)
    assert len((await datasets.images("abdomen", principal=ADA)).entries) == 1


async def test_one_of_two_that_make_the_same_dataset_at_once_is_told(datasets: Datasets) -> None:
    made = await asyncio.gather(
        *(datasets.create("abdomen", labels=[], validation_share=0, test_share=0, principal=ADA) for _ in range(4)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in made) == ["Dataset", *["DatasetExists"] * 3]
    with pytest.raises(DatasetExists, match="abdomen"):
        await datasets.create("abdomen", labels=[], validation_share=0, test_share=0, principal=ADA)
    # Another tenant's name is free.
    await datasets.create(
        "abdomen", labels=[], validation_share=0, test_share=0, principal=caller("eve", tenant="south")
    )


async def test_images_of_datasets_are_not_removed_for_lack_of_use(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    unused = await image_maintenance(database).read(
        lambda records: records.list_unused(before=1e12, after=(0, "", ""), limit=9)
    )
    assert [digest for _, _, digest in unused] == [OTHER]
    removed = await database.write(
        lambda conn: [
            SqlImageWriter(TenantScope(conn, "default")).delete_if_unused(digest, before=1e12)
            for digest in (DIGEST, OTHER)
        ]
    )
    assert removed == [False, True]


async def test_the_steps_of_a_session_that_was_saved_stay(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    process = SessionProcess(database, Clock())
    saved, other = (await process.open()).row.id, (await process.open()).row.id
    for session_id in (saved, other):
        await process.annotate(session_id, BOX)
        await process.sessions.close(session_id, principal=caller())
    await _annotation(database, datasets, session_id=saved)
    maintenance = session_maintenance(database)
    while await maintenance.write(lambda records: records.delete_ended(before=1e12, tombstones_before=1e12, limit=9)):
        pass
    left = await database.read(lambda conn: rows(conn, "default"))
    assert ([saved in row for row in left["sessions"]], len(left["steps"])) == ([True], 1)
    assert saved in left["steps"][0]


CALLS: dict[str, Callable[[SqlDatasetWriter, AnnotationRow], Any]] = {
    "dataset": lambda records, _: records.dataset("abdomen"),
    "datasets": lambda records, _: records.datasets(after="", limit=9),
    "count_datasets": lambda records, _: records.count_datasets(),
    "counts": lambda records, row: records.counts([row.dataset_id])[row.dataset_id] != DatasetCounts(),
    "image": lambda records, _: records.image(DIGEST),
    "images_of": lambda records, row: records.images_of(row.dataset_id, [DIGEST]),
    "taken_cases": lambda records, row: records.taken_cases(row.dataset_id, ["case 1"]),
    "stored_images": lambda records, _: records.stored_images([DIGEST]),
    "images": lambda records, row: records.images(row.dataset_id, after="", limit=9, split=Split.TRAINING),
    "images_of_case": lambda records, row: records.images_of_case(row.dataset_id, "case 1"),
    "images_of_patient": lambda records, row: records.images_of_patient(row.dataset_id, "0" * 64, after="", limit=9),
    "datasets_with": lambda records, _: records.datasets_with(DIGEST, besides=""),
    "sessions_on": lambda records, _: records.sessions_on(DIGEST, limit=9),
    "remove_image": lambda records, row: records.remove_image(row.dataset_id, DIGEST, end_sessions=True, now=5.0)[1],
    "annotation": lambda records, row: records.annotation(row.id),
    "annotations": lambda records, row: records.annotations(
        row.dataset_id, digest=DIGEST, state=row.state, after=None, limit=9
    ),
    "has_model_annotation": lambda records, row: records.has_model_annotation(
        row.dataset_id, DIGEST, model="m", version="3"
    ),
    "latest_annotation": lambda records, row: records.latest_annotation(row.dataset_id, DIGEST),
    "claimed_image": lambda records, row: records.claimed_image(
        row.dataset_id, annotator="ada", now=0.0, split=None, readers=2
    ),
    "next_image": lambda records, row: records.next_image(
        row.dataset_id, annotator="ada", now=0.0, strategy=NextStrategy.RANDOM, split=Split.TRAINING, readers=2
    ),
    "last_scored_by": lambda records, row: records.last_scored_by(row.dataset_id),
    "last_compared_by": lambda records, row: records.last_compared_by(row.dataset_id),
    "image_score": lambda records, row: records.image_score(row.dataset_id, DIGEST, ModelVersion("m", "3")),
    "embedded_images": lambda records, row: records.embedded_images(
        row.dataset_id, ModelVersion("m", "3"), annotator="ada", now=0.0, split=None, readers=1, limit=9
    ),
    "accepted_counts": lambda records, row: records.accepted_counts(row.dataset_id),
    "count_waiting": lambda records, row: records.count_waiting(row.dataset_id, split=None, readers=2),
    "end_assignment": lambda records, row: records.end_assignment(row.dataset_id, DIGEST, annotator="ada"),
    "masks": lambda records, row: records.masks(row.id),
    "lock_dataset": lambda records, _: records.lock_dataset("abdomen"),
    "lock_images": lambda records, _: records.lock_images([DIGEST]),
    "set_labels": lambda records, row: records.set_labels(row.dataset_id, []),
}
# They add rows of the tenant itself, or count those of all.
OTHERS = {
    "audit",
    "insert_dataset",
    "insert_images",
    "insert_annotation",
    "set_assignment",
    "set_score",
    "review",
    "annotation_bytes",
}


async def test_another_tenant_reads_and_changes_nothing(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    row = await _annotation(database, datasets)
    before = await database.read(lambda conn: rows(conn, "default"))

    def run(conn: Connection) -> dict[str, Any]:
        records = SqlDatasetWriter(TenantScope(conn, "other"))
        return {name: call(records, row) for name, call in CALLS.items()}

    with statements(database) as seen:
        answers = await database.write(run)
    assert {name: answer for name, answer in answers.items() if answer} == {}
    assert await database.read(lambda conn: rows(conn, "default")) == before
    assert {statement: unscoped(statement) for statement in seen if unscoped(statement)} == {}
    methods = {name for name, _ in inspect.getmembers(SqlDatasetWriter, inspect.isfunction) if name[0] != "_"}
    assert methods == {*CALLS, *OTHERS}
    with pytest.raises(DatasetNotFound):
        await datasets.get("abdomen", principal=caller("eve", tenant="other"))


async def test_two_annotators_never_get_the_same_image(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    await datasets.add_images("abdomen", [NewImage(OTHER, "case 2")], principal=ADA)
    clock = Clock()
    assignments, ben = Assignments(repository=dataset_repository(database), now=clock), caller("ben")
    both = await asyncio.gather(
        *(assignments.next("abdomen", principal=who, strategy=NextStrategy.RANDOM) for who in (ADA, ben))
    )
    given = [next_image.image.image_digest for next_image in both if next_image.image]
    assert sorted(given) == sorted((DIGEST, OTHER))
    assert [next_image.waiting for next_image in both] == [2, 2]
    # The same again, also after a crash of the viewer; nothing is left for a third.
    again = await assignments.next("abdomen", principal=ADA)
    assert again.image is not None
    assert again.image.image_digest == given[0]
    third = await assignments.next("abdomen", principal=caller("cleo"))
    assert (third.image, third.waiting) == (None, 2)
    # Who takes too long loses it.
    clock.seconds += 3601
    late = await assignments.next("abdomen", principal=caller("cleo"))
    assert late.image is not None
    assert late.image.case_name == "case 1"


async def test_what_was_skipped_does_not_come_again(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    assignments = Assignments(repository=dataset_repository(database), now=Clock())
    assert (await assignments.next("abdomen", principal=ADA)).image is not None
    await assignments.skip("abdomen", DIGEST, reason="motion", principal=ADA)
    assert (await assignments.next("abdomen", principal=ADA)).image is None
    # Somebody else may want it.
    assert (await assignments.next("abdomen", principal=caller("ben"))).image is not None
    with pytest.raises(DatasetError):
        await assignments.skip("abdomen", OTHER, reason="", principal=ADA)
    with pytest.raises(InvalidArgument, match="500"):
        await assignments.skip("abdomen", DIGEST, reason="x" * 501, principal=ADA)
    for seconds in (-1.0, 86401.0, float("nan"), float("inf")):
        with pytest.raises(InvalidArgument, match="cannot be kept"):
            await assignments.next("abdomen", principal=ADA, keep=seconds)


async def test_an_image_waits_until_it_has_an_annotation_that_is_not_rejected(
    database: Database, datasets: Datasets
) -> None:
    await _make(datasets)
    assignments, repository = Assignments(repository=dataset_repository(database)), dataset_repository(database)
    row = await _annotation(database, datasets)
    assert (await assignments.next("abdomen", principal=ADA)).waiting == 0
    review = Review(AnnotationState.REJECTED, "ben", "again", 2e9)
    await repository.write(partial(_review, annotation_id=row.id, review=review), tenant="default")
    assert (await assignments.next("abdomen", principal=ADA)).image is not None


async def test_as_many_people_get_an_image_as_are_asked_for(database: Database, datasets: Datasets) -> None:
    await _make(datasets)
    clock, repository = Clock(), dataset_repository(database)
    assignments = Assignments(repository=repository, now=clock)

    async def given(name: str) -> tuple[bool, int]:
        result = await assignments.next("abdomen", principal=caller(name), readers=2)
        return result.image is not None, result.waiting

    # Two at once, and no third while they are at it.
    assert [await given(name) for name in ("ada", "ben", "cleo", "ada")] == [
        (True, 1),
        (True, 1),
        (False, 1),
        (True, 1),
    ]
    row = await _annotation(database, datasets)
    assert await given("ada") == (False, 1)
    # The claim of ada's ended with the saving, and ben took too long.
    clock.seconds += 3601
    assert await given("cleo") == (True, 1)
    assert await given("ben") == (False, 1)
    await _annotation(database, datasets, id="b" * 32, annotator="cleo", version=2)
    assert await given("ben") == (False, 0)
    review = Review(AnnotationState.REJECTED, "ben", "again", 2e9)
    await repository.write(partial(_review, annotation_id=row.id, review=review), tenant="default")
    assert await given("cleo") == (False, 1)
    assert await given("ada") == (True, 1)
    for readers in (0, -1, 21):
        with pytest.raises(InvalidArgument, match="cannot be annotated by"):
            await assignments.next("abdomen", principal=ADA, readers=readers)
