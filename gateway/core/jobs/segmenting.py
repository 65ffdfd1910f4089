"""Jobs of kind "segment": a model without prompts makes drafts of the annotations of a dataset's images."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing

from pydantic import Field

from gateway.core.access import Principal
from gateway.core.datasets import (
    DatasetImageRow,
    Datasets,
    DraftComparison,
    ModelDrafts,
    ModelVersion,
    NoDraft,
    Split,
)
from gateway.core.jobs.comparing import DraftComparer
from gateway.core.jobs.kinds import JobContext, JobParameters
from gateway.core.runtime import Catalog, Deadline, Model
from gateway.core.segmentation import LabelMask, SegmentationProgress, SegmentationScore, SegmentationSummary, Segmenter
from gateway.core.segmentation.job import segmentation_spec, select_labels
from sixpoint.errors import (
    DatasetError,
    DatasetNotFound,
    FailedPrecondition,
    InternalError,
    InvalidArgument,
    ModelNotFound,
    NotFound,
    ResourceExhausted,
    SixpointError,
    StorageFull,
    Violation,
)

__all__ = ["SegmentJobs", "SegmentParameters"]

_MAX_DIGESTS = 10_000
# Faults of one image: the others are segmented.
_OF_IMAGE = (InvalidArgument, NotFound, FailedPrecondition, InternalError, ResourceExhausted)
_OF_JOB = (DatasetNotFound, ModelNotFound, StorageFull)


class SegmentParameters(JobParameters, frozen=True):
    """What is segmented, and by which model."""

    dataset: str = Field(max_length=100)
    """Name of the dataset."""
    model: str = Field(max_length=200)
    """Name of a model that needs no prompts."""
    labels: tuple[str, ...] = Field(default=(), max_length=255)
    """Labels of the drafts; empty for all that the model and the dataset have."""
    digests: tuple[str, ...] = Field(default=(), max_length=_MAX_DIGESTS)
    """Only these images of the dataset; empty for all."""
    split: Split | None = None
    """Only images of this split."""
    score_all: bool = False
    """Whether images that get no draft are segmented, too, if they lack a score: those that people have annotated."""
    compare_with: str = Field(default="", max_length=200)
    """Name of a model that takes extreme points, with which each draft is compared; empty for none. Images that have a
    draft are segmented again if it was not compared."""


class SegmentJobs:
    """Jobs that segment the images of a dataset, and save the masks as drafts.

    An image that has a draft of the model's version is skipped, and so is one that somebody has annotated. With each
    draft is kept how uncertain the model was, and where it is asked for, how far an annotation model disagrees.

    Args:
        datasets: All datasets.
        drafts: Saves drafts of models.
        segmenter: Segments images.
        comparer: Compares drafts with what an annotation model makes of them.
        catalog: Models that can be used now.
        seconds: Seconds that one image may take.
    """

    name = "segment"
    parameters = SegmentParameters

    def __init__(
        self,
        *,
        datasets: Datasets,
        drafts: ModelDrafts,
        segmenter: Segmenter,
        comparer: DraftComparer,
        catalog: Catalog,
        seconds: float,
    ) -> None:
        self._comparer = comparer
        self._datasets = datasets
        self._drafts = drafts
        self._segmenter = segmenter
        self._catalog = catalog
        self._seconds = seconds

    async def check(self, parameters: SegmentParameters, *, principal: Principal) -> None:
        """Refuse what cannot be segmented.

        Raises:
            DatasetNotFound: There is no such dataset.
            ModelNotFound: There is no such model.
            TaskNotSupported: The model needs prompts, or the one to compare with takes no extreme points.
            DatasetError: Model and dataset have no label in common, or the dataset does not have an image.
        """
        await self._labels(parameters, principal)
        if parameters.compare_with:
            self._comparer.check(parameters.compare_with, principal=principal)
        if parameters.digests:
            await self._images(parameters, principal)

    async def run(self, parameters: SegmentParameters, context: JobContext) -> None:
        """Segment one image after the other.

        Raises:
            FailedPrecondition: Some images could not be segmented; the log of the job says why.
        """
        principal = context.principal
        model, labels = await self._labels(parameters, principal)
        images = await self._images(parameters, principal)
        outcomes: Counter[str] = Counter()
        for number, image in enumerate(images):
            context.progress(number, len(images), f"image {number + 1} of {len(images)}")
            try:
                reason = await self._segment(parameters, image, labels, context, place=(number, len(images)))
                outcome = reason.value if isinstance(reason, NoDraft) else reason
            except _OF_JOB:
                raise
            except _OF_IMAGE as error:
                if _passes(error):
                    raise
                context.log(f"{image.case_name}: {error.message}")
                outcome = _FAILED
            outcomes[outcome] += 1
        context.progress(len(images), len(images))
        failed = outcomes.pop(_FAILED, 0)
        summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        context.log(f"{len(images)} images by {model.name}: {summary or 'none'}")
        if failed:
            raise FailedPrecondition(
                f"{failed} of {len(images)} images could not be segmented; the log of the job says why (sixpoint jobs "
                "logs). Resume the job to try these again"
            )

    async def _segment(
        self,
        parameters: SegmentParameters,
        image: DatasetImageRow,
        labels: list[str],
        context: JobContext,
        *,
        place: tuple[int, int],
    ) -> NoDraft | str:
        """Segment an image, save draft and score; return what was done."""
        principal, digest = context.principal, image.image_digest
        # Which version is used may change while a job runs.
        version = self._catalog.get(parameters.model, tenant=principal.tenant).version_for(digest)
        reason = await self._drafts.reason_against(
            parameters.dataset, digest, model=parameters.model, version=version, principal=principal
        )
        compare_with, compared_by = parameters.compare_with, None
        if compare_with:
            compared_by = self._comparer.version(compare_with, digest, principal=principal)
        if reason is not None:
            again = parameters.score_all or (compared_by is not None and reason is NoDraft.DRAFTED)
            scored = not again or await self._drafts.is_scored(
                parameters.dataset,
                digest,
                model=parameters.model,
                version=version,
                principal=principal,
                compared_by=compared_by,
            )
            if scored or reason is NoDraft.REMOVED:
                return reason
        masks: list[LabelMask] = []
        score: SegmentationScore | None = None
        deadline = Deadline.after(self._seconds)
        events = self._segmenter.segment(
            digest,
            parameters.model,
            principal=principal,
            labels=labels,
            deadline=deadline,
            scored=True,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, SegmentationProgress) and event.count:
                    number, total = place
                    note = f"image {number + 1} of {total}, patch {event.done} of {event.count}"
                    context.progress(number + event.done / event.count, total, note)
                elif isinstance(event, LabelMask):
                    masks.append(event)
                elif isinstance(event, SegmentationSummary):
                    version, score = event.version, event.score
        comparison = None
        if compared_by is not None:
            comparison = await self._compare(image, masks, compared_by, context, deadline=deadline)
        against = await self._drafts.save(
            parameters.dataset,
            digest,
            [(each.name, each.mask) for each in masks],
            model=parameters.model,
            version=version,
            principal=principal,
            score=score,
            comparison=comparison,
        )
        if against is NoDraft.REMOVED or (against and reason is None):
            return against
        return _SCORED if against else _SEGMENTED

    async def _compare(
        self,
        image: DatasetImageRow,
        masks: list[LabelMask],
        by: ModelVersion,
        context: JobContext,
        *,
        deadline: Deadline,
    ) -> DraftComparison | None:
        """Compare a draft with an annotation model; None if that fails: the draft is saved without."""
        try:
            return await self._comparer.compare(
                image.image_digest, masks, by, principal=context.principal, deadline=deadline
            )
        except _OF_JOB:
            raise
        except _OF_IMAGE as error:
            if _passes(error):
                raise
            context.log(f"{image.case_name}: not compared with {by}: {error.message}")
            return None

    async def _labels(self, parameters: SegmentParameters, principal: Principal) -> tuple[Model, list[str]]:
        dataset = await self._datasets.get(parameters.dataset, principal=principal)
        model = self._catalog.get(parameters.model, tenant=principal.tenant)
        names = segmentation_spec(model).labels
        select_labels(model, parameters.labels)
        known = {label.name for label in dataset.row.labels}
        labels = [name for name in names if (not parameters.labels or name in parameters.labels) and name in known]
        missing = [name for name in parameters.labels if name not in known]
        if missing or not labels:
            raise DatasetError(
                f"the dataset has none of the labels {', '.join(missing or names)} of model {model.name!r}; add them "
                "(AddLabels, sixpoint dataset labels NAME -l LABEL)",
                violations=(Violation("parameters", "labels of the model and of the dataset"),),
            )
        return model, labels

    async def _images(self, parameters: SegmentParameters, principal: Principal) -> list[DatasetImageRow]:
        images = await self._drafts.images(parameters.dataset, principal=principal)
        wanted = set(parameters.digests)
        missing = wanted - {image.image_digest for image in images}
        if missing:
            raise DatasetError(
                f"{len(missing)} of the images are not in the dataset, {min(missing)[:12]} among them; add them first "
                "(AddImages, sixpoint dataset add)",
                violations=(Violation("parameters", "images of the dataset"),),
            )
        return [
            image
            for image in images
            if (not wanted or image.image_digest in wanted) and parameters.split in (None, image.split)
        ]


_SEGMENTED, _SCORED, _FAILED = "segmented", "scored only", "failed"


def _passes(error: SixpointError) -> bool:
    """Whether an error passes by itself, so that the job goes on later."""
    return isinstance(error, ResourceExhausted) and error.retry_after is not None
