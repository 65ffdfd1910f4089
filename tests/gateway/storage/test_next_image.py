"""Which image comes next, and why, as the database says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from sqlalchemy import insert

from gateway.core.access import Principal
from gateway.core.datasets import (
    Annotations,
    AnnotationState,
    Assignments,
    DatasetLabel,
    Datasets,
    DraftComparison,
    ModelDrafts,
    ModelVersion,
    NewImage,
    NextImage,
    NextStrategy,
    NoDraft,
)
from gateway.core.segmentation import SegmentationScore
from gateway.storage import Database, dataset_repository
from gateway.storage.geometries import geometry_to_json
from gateway.storage.schema import images
from sixpoint.mask import PackedMask, pack
from tests.gateway.core.sessions.session_process import GEOMETRY, Clock
from tests.support.callers import caller

ADA, BEN = caller("ada"), caller("ben")
NAME = "abdomen"
FULL = pack(np.ones((2, 3, 4), np.bool_), (1, 2, 3))
EMPTY = pack(np.zeros((1, 1, 1), np.bool_), (0, 0, 0))
DIGESTS = [f"{number:064x}" for number in range(5)]


class Desk:
    """A dataset of five images with the labels spleen and liver, and its annotators."""

    def __init__(self, database: Database) -> None:
        repository = self.repository = dataset_repository(database)
        self.clock = Clock()
        self.datasets = Datasets(repository=repository)
        self.drafts = ModelDrafts(repository=repository, limit=2**20, now=self.clock)
        self.annotations = Annotations(repository=repository)
        self.assignments = Assignments(repository=repository, now=self.clock)

    async def draft(
        self,
        number: int,
        labels: dict[str, PackedMask],
        *,
        version: str = "1",
        entropies: dict[str, float] | None = None,
        place: float | None = None,
        comparison: DraftComparison | None = None,
    ) -> None:
        """Save a draft of a model of an image, with a score if there are entropies or a place."""
        score = None
        if entropies is not None or place is not None:
            embedding = np.array([place or 0.0, 1.0], np.float32)
            score = SegmentationScore(entropies or dict.fromkeys(labels, 0.5), embedding)
        self.clock.seconds += 1
        reason = await self.drafts.save(
            NAME,
            DIGESTS[number],
            list(labels.items()),
            model="m",
            version=version,
            principal=ADA,
            score=score,
            comparison=comparison,
        )
        assert reason is None

    async def accept(self, number: int) -> None:
        """Accept the latest annotation of an image."""
        page = await self.annotations.page(NAME, principal=ADA, digest=DIGESTS[number])
        await self.annotations.review(page.entries[0].id, AnnotationState.ACCEPTED, principal=ADA)

    async def next(self, strategy: NextStrategy, *, who: object = ADA) -> NextImage:
        """The next image of an annotator."""
        principal = BEN if who is BEN else ADA
        return await self.assignments.next(NAME, principal=principal, strategy=strategy)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    database = Database(database_url)
    await database.start()
    row = {"geometry": geometry_to_json(GEOMETRY), "voxel_type": 3, "byte_count": 1, "owner": "", "created": 0}
    await database.write(lambda conn: conn.execute(insert(images), [{**row, "used": 0, "digest": d} for d in DIGESTS]))
    desk = Desk(database)
    labels = [DatasetLabel(0, "spleen"), DatasetLabel(0, "liver")]
    await desk.datasets.create(NAME, labels=labels, validation_share=0, test_share=0, principal=ADA)
    new = [NewImage(digest, f"case {number}") for number, digest in enumerate(DIGESTS)]
    await desk.datasets.add_images(NAME, new, principal=ADA)
    yield desk
    await database.stop()


def case_of(following: NextImage) -> str:
    assert following.image is not None
    return following.image.case_name


async def test_the_image_with_the_rarest_label_comes_next(desk: Desk) -> None:
    for number, labels in enumerate(({"spleen": FULL}, {"spleen": FULL}, {"spleen": FULL, "liver": EMPTY})):
        await desk.draft(number, labels)
    await desk.draft(4, {"spleen": FULL, "liver": FULL})
    await desk.accept(0)
    following = await desk.next(NextStrategy.LABEL)
    assert case_of(following) == "case 4"
    assert following.reason == "the draft of m 1 has 'liver', of which the dataset has 0 accepted masks"
    # No other waiting image has the liver: the next label, not the image that no draft tells of.
    other = await desk.next(NextStrategy.LABEL, who=BEN)
    assert case_of(other) == "case 1"
    assert other.reason == "the draft of m 1 has 'spleen', of which the dataset has 1 accepted masks"
    # While it is kept, it comes again, whatever is asked for.
    again = await desk.next(NextStrategy.RANDOM)
    assert (case_of(again), again.reason) == (
        "case 4",
        "you have it since an earlier call, and neither saved nor skipped it",
    )


async def test_counts_of_accepted_masks_decide_which_label_is_rare(desk: Desk) -> None:
    await desk.draft(0, {"liver": FULL})
    await desk.accept(0)
    for number, label in ((1, "liver"), (2, "spleen")):
        await desk.draft(number, {label: FULL})
    assert case_of(await desk.next(NextStrategy.LABEL)) == "case 2"


async def test_without_drafts_the_label_does_not_count_and_the_answer_says_so(desk: Desk) -> None:
    following = await desk.next(NextStrategy.LABEL)
    assert case_of(following) == "case 0"
    assert following.reason.startswith("no draft or rejected annotation says which labels the waiting images have")


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (NextStrategy.FIRST, "of the images that wait, it was added first"),
        (NextStrategy.RANDOM, "it was drawn at random"),
    ],
)
async def test_every_strategy_says_why(desk: Desk, strategy: NextStrategy, reason: str) -> None:
    assert (await desk.next(strategy)).reason == reason


async def test_without_a_waiting_image_there_is_no_reason(desk: Desk) -> None:
    given: Sequence[NextImage] = [
        await desk.assignments.next(NAME, principal=caller(f"annotator {number}"), strategy=NextStrategy.LABEL)
        for number in range(6)
    ]
    assert len({case_of(each) for each in given[:5]}) == 5
    assert (given[5].image, given[5].reason, given[5].waiting) == (None, "", 5)


async def test_the_image_that_a_model_is_least_certain_of_comes_next(desk: Desk) -> None:
    for number, entropies in ((0, (0.1, 0.3)), (1, (0.6, 0.2)), (2, (0.3, 0.3))):
        scores = dict(zip(("spleen", "liver"), entropies, strict=True))
        await desk.draft(number, {"spleen": FULL, "liver": FULL}, entropies=scores)
    following = await desk.next(NextStrategy.UNCERTAIN)
    assert case_of(following) == "case 1"
    assert following.reason == (
        "of the images that wait and have a score, m 1 is least certain of it: mean entropy 0.400 bits, most for "
        "'spleen' (0.600)"
    )
    assert following.score is not None
    assert (following.score.model, following.score.entropies) == ("m", {"spleen": 0.6, "liver": 0.2})
    assert case_of(await desk.next(NextStrategy.UNCERTAIN, who=BEN)) == "case 2"
    # All scored ones are given: what is left has no score, and gets none.
    for who in ("cleo", "dan"):
        last = await desk.assignments.next(NAME, principal=caller(who), strategy=NextStrategy.UNCERTAIN)
    assert (case_of(last), last.score) == ("case 3", None)
    assert last.reason.startswith("no image that waits has a score")


async def test_scores_of_the_version_that_scored_last_count(desk: Desk) -> None:
    await desk.draft(0, {"spleen": FULL}, entropies={"spleen": 0.9})
    await desk.draft(1, {"spleen": FULL}, entropies={"spleen": 0.1}, version="2")
    following = await desk.next(NextStrategy.UNCERTAIN)
    assert case_of(following) == "case 1"
    assert following.reason.startswith("of the images that wait and have a score, m 2 is least certain")


async def test_the_image_on_which_draft_and_annotation_model_differ_most_comes_next(desk: Desk) -> None:
    first, second = ModelVersion("a", "1"), ModelVersion("a", "2")
    both, scores = {"spleen": FULL, "liver": FULL}, {"spleen": 0.5, "liver": 0.5}
    await desk.draft(0, both, entropies=scores, comparison=DraftComparison(first, {"spleen": 0.0, "liver": 0.0}))
    await desk.draft(1, both, entropies=scores, comparison=DraftComparison(second, {"spleen": 0.9, "liver": 0.7}))
    await desk.draft(2, both, entropies=scores, comparison=DraftComparison(second, {"spleen": 0.4, "liver": 0.6}))
    # Nothing could be compared on case 3.
    await desk.draft(3, {"spleen": EMPTY}, entropies=scores, comparison=DraftComparison(second, {}))
    following = await desk.next(NextStrategy.DISAGREEMENT)
    assert case_of(following) == "case 2"
    assert following.reason == (
        "of the images that wait and were compared, m 1 and a 2 differ most on it: mean Dice 0.500, least for "
        "'spleen' (0.400)"
    )
    assert following.score is not None
    assert (following.score.annotation_model, following.score.annotation_version) == ("a", "2")
    assert (following.score.disagreement, following.score.dice) == (0.5, {"spleen": 0.4, "liver": 0.6})
    assert case_of(await desk.next(NextStrategy.DISAGREEMENT, who=BEN)) == "case 1"
    last = await desk.assignments.next(NAME, principal=caller("cleo"), strategy=NextStrategy.DISAGREEMENT)
    # Another version's comparison does not count.
    assert case_of(last) == "case 0"
    assert last.reason.startswith("no image that waits was compared with an annotation model")


async def test_a_score_without_a_comparison_keeps_the_earlier_one(desk: Desk) -> None:
    version = ModelVersion("a", "1")
    await desk.draft(0, {"spleen": FULL}, entropies={"spleen": 0.5}, comparison=DraftComparison(version, {"spleen": 1}))
    score = SegmentationScore({"spleen": 0.7}, np.zeros(2, np.float32))
    await desk.drafts.save(NAME, DIGESTS[0], [("spleen", FULL)], model="m", version="1", principal=ADA, score=score)

    async def is_compared(by: ModelVersion) -> bool:
        return await desk.drafts.is_scored(NAME, DIGESTS[0], model="m", version="1", principal=ADA, compared_by=by)

    assert await is_compared(version)
    assert not await is_compared(ModelVersion("a", "2"))
    following = await desk.next(NextStrategy.DISAGREEMENT)
    assert following.score is not None
    assert (following.score.uncertainty, following.score.disagreement) == (0.7, 0)


@pytest.mark.parametrize(
    ("strategy", "what"), [(NextStrategy.UNCERTAIN, "uncertainty"), (NextStrategy.DIFFERENT, "difference")]
)
async def test_without_scores_the_answer_says_so(desk: Desk, strategy: NextStrategy, what: str) -> None:
    following = await desk.next(strategy)
    assert (case_of(following), following.score) == ("case 0", None)
    assert following.reason.startswith("no image that waits has a score")
    assert f"so {what} did not count" in following.reason


async def test_the_image_that_differs_most_comes_next(desk: Desk) -> None:
    for number, place in enumerate((0.0, 0.2, 0.9, 1.0)):
        await desk.draft(number, {"spleen": FULL}, place=place)
    # Nobody has annotated anything: the most usual image.
    first = await desk.next(NextStrategy.DIFFERENT)
    assert case_of(first) == "case 1"
    assert first.reason.startswith("nobody has annotated an image that m 1 scored")
    # What somebody keeps is a centre as what somebody annotated.
    second = await desk.next(NextStrategy.DIFFERENT, who=BEN)
    assert case_of(second) == "case 3"
    assert second.reason.startswith("of the images that m 1 scored, it differs most from the 1 that people have")
    third = await desk.assignments.next(NAME, principal=caller("cleo"), strategy=NextStrategy.DIFFERENT)
    assert case_of(third) == "case 0"


async def test_an_image_that_gets_no_draft_is_scored_once_and_its_score_goes_with_it(desk: Desk) -> None:
    await desk.draft(0, {"spleen": FULL})
    await desk.accept(0)
    score = SegmentationScore({"spleen": 0.5}, np.zeros(2, np.float32))
    masks = [("spleen", FULL)]
    reason = await desk.drafts.save(NAME, DIGESTS[0], masks, model="m", version="2", principal=ADA, score=score)
    assert reason is NoDraft.ANNOTATED
    assert await desk.drafts.is_scored(NAME, DIGESTS[0], model="m", version="2", principal=ADA)
    assert not await desk.drafts.is_scored(NAME, DIGESTS[1], model="m", version="2", principal=ADA)
    dataset = (await desk.datasets.get(NAME, principal=ADA)).row.id
    await desk.repository.write(
        lambda records: records.remove_image(dataset, DIGESTS[0], end_sessions=False, now=1.0), tenant="default"
    )
    again = await desk.drafts.save(NAME, DIGESTS[0], masks, model="m", version="2", principal=ADA, score=score)
    assert again is NoDraft.REMOVED
    assert not await desk.drafts.is_scored(NAME, DIGESTS[0], model="m", version="2", principal=ADA)


@pytest.mark.parametrize("readers", [1, 2])
async def test_whoever_peeks_learns_what_comes_next_and_keeps_nothing(desk: Desk, readers: int) -> None:
    async def ask(who: Principal, *, peek: bool) -> NextImage:
        return await desk.assignments.next(NAME, principal=who, readers=readers, peek=peek)

    # Without an image of one's own, the first that waits.
    assert case_of(await ask(ADA, peek=True)) == "case 0"
    assert case_of(await ask(ADA, peek=False)) == "case 0"
    ahead = await ask(ADA, peek=True)
    assert (case_of(ahead), ahead.until) == ("case 1", 0)
    # What she has stays hers, and what she saw is free for others.
    assert case_of(await ask(ADA, peek=False)) == "case 0"
    assert case_of(await ask(BEN, peek=False)) == ("case 1" if readers == 1 else "case 0")
    assert case_of(await ask(ADA, peek=True)) == ("case 2" if readers == 1 else "case 1")
    await desk.assignments.skip(NAME, DIGESTS[0], reason="", principal=ADA)
    assert case_of(await ask(ADA, peek=False)) == ("case 2" if readers == 1 else "case 1")


async def test_behind_the_last_image_nothing_comes(desk: Desk) -> None:
    for number in range(1, 5):
        await desk.assignments.skip(NAME, DIGESTS[number], reason="", principal=ADA)
    assert case_of(await desk.next(NextStrategy.FIRST)) == "case 0"
    ahead = await desk.assignments.next(NAME, principal=ADA, peek=True)
    assert (ahead.image, ahead.reason) == (None, "")
