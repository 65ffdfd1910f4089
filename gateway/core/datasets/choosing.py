"""Choose which of the waiting images an annotator gets, and say why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.datasets.records import DatasetImageRow, DatasetRow, NextStrategy, Split
from gateway.core.datasets.repository import DatasetReader
from gateway.core.datasets.scores import EmbeddedImage, ImageScore, ModelVersion, rank_by_distance
from sixpoint.errors.shortening import quoted

__all__ = ["Choice", "Ranking", "Wanted", "choose", "rank", "read_embedded"]

_ADDED_FIRST = "of the images that wait, it was added first"
_UNSCORED = f"no image that waits has a score (a job of kind segment makes them), so {{}} did not count: {_ADDED_FIRST}"
_UNCOMPARED = (
    "no image that waits was compared with an annotation model (a job of kind segment with compare_with does), so "
    f"disagreement did not count: {_ADDED_FIRST}"
)
# Of more images, those are compared that were added first; the time grows with the square.
_MAX_EMBEDDED = 10_000
# While these were ranked, others may have claimed some.
_MAX_RANKED = 200


@dataclass(frozen=True)
class Wanted:
    """What an annotator asks for.

    Attributes:
        annotator: Subject of the annotator.
        now: Time, seconds since 1970.
        strategy: Which image.
        split: Only images of this split; None for all.
        readers: Number of people who annotate each image.
        after: Digest of an image that is not meant; empty for none.
    """

    annotator: str
    now: float
    strategy: NextStrategy = NextStrategy.FIRST
    split: Split | None = None
    readers: int = 1
    after: str = ""


@dataclass(frozen=True)
class Choice:
    """An image that was chosen.

    Attributes:
        image: The image.
        reason: Why it was chosen, as a sentence without a full stop.
        score: Its score by the model that scored images of the dataset last; None: it is unscored.
    """

    image: DatasetImageRow
    reason: str
    score: ImageScore | None = None


@dataclass(frozen=True)
class Ranking:
    """Free images by their distance from those that people have annotated or keep.

    Attributes:
        places: Digest and distance of each, the farthest first; without others, those first that are near the mean.
        others: Number of images that people have annotated or keep.
    """

    places: tuple[tuple[str, float], ...]
    others: int


def read_embedded(records: DatasetReader, dataset: DatasetRow, wanted: Wanted) -> list[EmbeddedImage]:
    """Embeddings of the images that are free for an annotator, and of those that people have annotated or keep."""
    scored_by = records.last_scored_by(dataset.id)
    if scored_by is None:
        return []
    return records.embedded_images(
        dataset.id,
        scored_by,
        annotator=wanted.annotator,
        now=wanted.now,
        split=wanted.split,
        readers=wanted.readers,
        limit=_MAX_EMBEDDED,
    )


def rank(images: Sequence[EmbeddedImage]) -> Ranking:
    """Rank free images by what they add to those that people have annotated or keep. It may take a second."""
    return Ranking(tuple(rank_by_distance(images)[:_MAX_RANKED]), sum(not image.free for image in images))


def choose(
    records: DatasetReader, dataset: DatasetRow, wanted: Wanted, *, ranking: Ranking | None = None
) -> Choice | None:
    """Choose an image that is free for an annotator; None if there is none.

    Args:
        records: Queries on datasets.
        dataset: The dataset.
        wanted: What the annotator asks for.
        ranking: Images by their distance; only for the strategy that needs it.
    """
    counts = _accepted_counts(records, dataset) if wanted.strategy is NextStrategy.LABEL else {}
    scored_by, compared_by = _scorers(records, dataset, wanted.strategy)
    ranked = dict(ranking.places) if ranking else {}
    image = None
    for digests in (tuple(ranked), None) if ranked else (None,):
        image = image or records.next_image(
            dataset.id,
            annotator=wanted.annotator,
            now=wanted.now,
            strategy=wanted.strategy,
            split=wanted.split,
            readers=wanted.readers,
            rare_labels=tuple(counts),
            scored_by=scored_by,
            compared_by=compared_by,
            digests=digests,
            after=wanted.after,
        )
    if image is None:
        return None
    score = records.image_score(dataset.id, image.image_digest, scored_by) if scored_by else None
    if wanted.strategy is NextStrategy.RANDOM:
        reason = "it was drawn at random"
    elif wanted.strategy is NextStrategy.LABEL:
        reason = _label_reason(records, dataset, image, counts)
    elif wanted.strategy is NextStrategy.UNCERTAIN:
        reason = _uncertain_reason(score)
    elif wanted.strategy is NextStrategy.DISAGREEMENT:
        reason = _disagreement_reason(score, compared_by)
    elif wanted.strategy is NextStrategy.DIFFERENT:
        reason = _different_reason(ranking, ranked.get(image.image_digest), scored_by)
    else:
        reason = _ADDED_FIRST
    return Choice(image, reason, score)


def _scorers(
    records: DatasetReader, dataset: DatasetRow, strategy: NextStrategy
) -> tuple[ModelVersion | None, ModelVersion | None]:
    """The version of a model whose scores count, and that of the annotation model that it is compared with."""
    compared = records.last_compared_by(dataset.id) if strategy is NextStrategy.DISAGREEMENT else None
    return compared or (records.last_scored_by(dataset.id), None)


def _accepted_counts(records: DatasetReader, dataset: DatasetRow) -> dict[int, int]:
    """Number of images with an accepted mask, by the number of the label; the rarest label comes first."""
    counts = records.accepted_counts(dataset.id)
    numbers = sorted((label.number for label in dataset.labels), key=lambda number: (counts.get(number, 0), number))
    return {number: counts.get(number, 0) for number in numbers}


def _label_reason(records: DatasetReader, dataset: DatasetRow, image: DatasetImageRow, counts: dict[int, int]) -> str:
    latest = records.latest_annotation(dataset.id, image.image_digest)
    present = {label.number for label in latest.labels if label.voxel_count} if latest else set()
    label = next((number for number in counts if number in present), None)
    if label is None or latest is None:
        return (
            "no draft or rejected annotation says which labels the waiting images have (a job of kind segment makes "
            f"drafts), so the label did not count: {_ADDED_FIRST}"
        )
    name = next(each.name for each in dataset.labels if each.number == label)
    source = f"the draft of {latest.model} {latest.model_version}" if latest.is_of_model else "its latest annotation"
    return f"{source} has {quoted(name)}, of which the dataset has {counts[label]} accepted masks"


def _uncertain_reason(score: ImageScore | None) -> str:
    if score is None:
        return _UNSCORED.format("uncertainty")
    text = (
        f"of the images that wait and have a score, {score.model} {score.model_version} is least certain of it: mean "
        f"entropy {score.uncertainty:.3f} bits"
    )
    if len(score.entropies) < 2:
        return text
    label, entropy = max(score.entropies.items(), key=lambda item: item[1])
    return f"{text}, most for {quoted(label)} ({entropy:.3f})"


def _disagreement_reason(score: ImageScore | None, compared_by: ModelVersion | None) -> str:
    if score is None or compared_by is None or score.disagreement is None or not score.is_compared_by(compared_by):
        return _UNCOMPARED
    text = (
        f"of the images that wait and were compared, {score.model} {score.model_version} and {compared_by} differ most "
        f"on it: mean Dice {1 - score.disagreement:.3f}"
    )
    if len(score.dice) < 2:
        return text
    label, dice = min(score.dice.items(), key=lambda item: item[1])
    return f"{text}, least for {quoted(label)} ({dice:.3f})"


def _different_reason(ranking: Ranking | None, distance: float | None, scored_by: ModelVersion | None) -> str:
    if ranking is None or distance is None:
        return _UNSCORED.format("difference")
    if not ranking.others:
        return f"nobody has annotated an image that {scored_by} scored, and this is nearest to the mean of all"
    return (
        f"of the images that {scored_by} scored, it differs most from the {ranking.others} that people have annotated "
        f"or keep: distance {distance:.2f}"
    )
