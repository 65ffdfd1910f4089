"""The images that a client of MONAI Label works on: those of a dataset, or those that the caller opened."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.access import Principal
from gateway.core.datasets import AnnotationState, Assignments, Datasets, NewImage, NextStrategy
from gateway.core.sessions import Session, Sessions

__all__ = ["Sample", "Samples"]

_PAGE = 1000
_STRATEGIES = {
    NextStrategy.FIRST: "The image without annotation that was sent first",
    NextStrategy.RANDOM: "A random image without annotation",
    NextStrategy.LABEL: "An image with the label that has the fewest accepted masks, as its draft says",
    NextStrategy.UNCERTAIN: "The image of which the model of the last segmentation job is least certain",
    NextStrategy.DISAGREEMENT: "The image on which the draft of a model and an annotation model differ most",
    NextStrategy.DIFFERENT: "The image that differs most from those that people have annotated or keep",
}
_OF_SESSIONS = (NextStrategy.FIRST, NextStrategy.RANDOM)


@dataclass(frozen=True)
class Sample:
    """An image to annotate.

    Attributes:
        digest: SHA-256 of the image.
        created: Time when it came, seconds since 1970.
        annotated: Whether it has an annotation; a rejected one is none.
        saved: Whether an annotation is stored.
        reason: Why it was chosen as the next one; may be empty.
    """

    digest: str
    created: float
    annotated: bool
    saved: bool = False
    reason: str = ""


class Samples:
    """Lists images to annotate.

    Args:
        sessions: All sessions.
        datasets: All datasets.
        assignments: Gives images to annotators.
        dataset: Name of the dataset whose images they are; empty for those that the caller opened.
    """

    def __init__(self, *, sessions: Sessions, datasets: Datasets, assignments: Assignments, dataset: str) -> None:
        self._sessions = sessions
        self._datasets = datasets
        self._assignments = assignments
        self._dataset = dataset

    async def all(self, principal: Principal) -> list[Sample]:
        """List the images.

        Raises:
            DatasetNotFound: The dataset is not there.
        """
        return await (self._of_dataset(principal) if self._dataset else self._of_sessions(principal))

    async def labels(self, principal: Principal) -> tuple[str, ...]:
        """Names of the dataset's labels; empty without a dataset."""
        if not self._dataset:
            return ()
        dataset = await self._datasets.get(self._dataset, principal=principal)
        return tuple(label.name for label in dataset.row.labels)

    @property
    def strategies(self) -> Mapping[str, str]:
        """Strategies of active learning, and what they choose: of images that sessions opened, no drafts are known."""
        return {
            strategy.value: text for strategy, text in _STRATEGIES.items() if self._dataset or strategy in _OF_SESSIONS
        }

    async def add(self, principal: Principal, digest: str) -> None:
        """Add an image to the dataset, if there is one; not the name that came with it, which may be a patient's."""
        if self._dataset:
            await self._datasets.add_images(self._dataset, [NewImage(digest)], principal=principal)

    async def next(self, principal: Principal, strategy: str) -> Sample | None:
        """Choose an image without annotation; of a dataset, one that nobody else has now. None if there is none."""
        if self._dataset:
            following = await self._assignments.next(
                self._dataset, principal=principal, strategy=NextStrategy(strategy)
            )
            image = following.image
            if image is None:
                return None
            return Sample(image.image_digest, image.added, annotated=False, reason=following.reason)
        waiting = [sample for sample in await self.all(principal) if not sample.annotated]
        if not waiting:
            return None
        return random.choice(waiting) if strategy == "random" else min(waiting, key=lambda sample: sample.created)

    async def _of_dataset(self, principal: Principal) -> list[Sample]:
        samples: list[Sample] = []
        token = ""
        while True:
            page = await self._datasets.images(self._dataset, principal=principal, size=_PAGE, token=token)
            for image in page.entries:
                if image.geometry is not None:
                    done = image.state not in (None, AnnotationState.REJECTED)
                    samples.append(Sample(image.image_digest, image.added, done, image.annotation_count > 0))
            token = page.next_token
            if not token:
                return samples

    async def _of_sessions(self, principal: Principal) -> list[Sample]:
        page = await self._sessions.page(principal, size=_PAGE)
        samples: dict[str, Sample] = {}
        for session in page.sessions:
            digest = session.row.image_digest
            known = samples.get(digest)
            created = min(session.row.created, known.created if known else session.row.created)
            samples[digest] = Sample(digest, created, _is_annotated(session) or bool(known and known.annotated))
        return list(samples.values())


def _is_annotated(session: Session) -> bool:
    return any(segment.head for segment in session.segments)
