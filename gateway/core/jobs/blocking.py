"""Threads beside the event loop, in which jobs do what blocks; datasets as such threads read and write them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from gateway.core.access import Principal
from gateway.core.datasets import AnnotationRow, Annotations, AnnotationState, DatasetImageRow, Datasets, Split
from gateway.core.datasets import Dataset as StoredDataset
from gateway.core.images import ImageSource
from sixpoint.client import AnnotationInfo, DatasetImage, DatasetInfo, DatasetLabel
from sixpoint.errors import Aborted
from sixpoint.segmentation import LabelledMask, Segmentation
from sixpoint.volume import Volume

__all__ = [
    "BlockingDatasets",
    "LoopCalls",
    "describe_annotation",
    "describe_dataset",
    "describe_image",
    "run_in_thread",
]

_Result = TypeVar("_Result")
_PAGE = 1000


@dataclass(frozen=True)
class LoopCalls:
    """What a thread has done by the event loop.

    Attributes:
        loop: The event loop.
        stopped: Set once the thread shall end.
    """

    loop: asyncio.AbstractEventLoop
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, call: Coroutine[Any, Any, _Result]) -> _Result:
        """Wait for a coroutine.

        Raises:
            Aborted: The thread shall end.
        """
        if self.stopped.is_set():
            call.close()
            raise Aborted("the job was stopped")
        return asyncio.run_coroutine_threadsafe(call, self.loop).result()

    def later(self, call: Callable[..., object], *given: object) -> None:
        """Have something called soon, such as what tells the progress of a job."""
        self.loop.call_soon_threadsafe(call, *given)


async def run_in_thread(work: Callable[[LoopCalls], _Result]) -> _Result:
    """Run what blocks in a thread. At a cancellation it ends with its next call, and is waited for: nobody else may
    work on the same files before.

    Args:
        work: Called in the thread, with what it reaches the event loop by.
    """
    calls = LoopCalls(asyncio.get_running_loop())
    thread = asyncio.create_task(asyncio.to_thread(work, calls))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        calls.stopped.set()
        await asyncio.wait({thread})
        if not thread.cancelled():
            # Retrieved, or asyncio would log it.
            thread.exception()
        raise


@dataclass(frozen=True)
class BlockingDatasets:
    """A :class:`sixpoint.datasets.DatasetReader` for a thread.

    Attributes:
        stored: All datasets.
        saved: All annotations.
        stored_images: Stored images.
        principal: For whom it reads.
        calls: What the thread reaches the event loop by.
        split: Only images of this split; None for all.
    """

    stored: Datasets
    saved: Annotations
    stored_images: ImageSource
    principal: Principal
    calls: LoopCalls
    split: Split | None = None

    def get(self, name: str) -> DatasetInfo:
        """Describe a dataset."""
        return describe_dataset(self.calls.run(self.stored.get(name, principal=self.principal)))

    def images(self, name: str) -> list[DatasetImage]:
        """List the images by the name of their case."""
        found: list[DatasetImageRow] = []
        token = ""
        while True:
            page = self.calls.run(
                self.stored.images(name, principal=self.principal, split=self.split, size=_PAGE, token=token)
            )
            found += page.entries
            token = page.next_token
            if not token:
                return [describe_image(row) for row in found]

    def annotations(self, name: str, *, state: str = "") -> list[AnnotationInfo]:
        """List the annotations, or those in a state, the latest first."""
        found: list[AnnotationRow] = []
        token = ""
        wanted = AnnotationState(state) if state else None
        while True:
            page = self.calls.run(
                self.saved.page(name, principal=self.principal, state=wanted, size=_PAGE, token=token)
            )
            found += page.entries
            token = page.next_token
            if not token:
                return [describe_annotation(row) for row in found]

    def masks(self, annotation_id: str) -> Segmentation:
        """Read the masks of an annotation."""
        row = self.calls.run(self.saved.get(annotation_id, principal=self.principal))
        masks = self.calls.run(self.saved.masks(annotation_id, principal=self.principal))
        geometry = self._open(row.image_digest).geometry
        return Segmentation({each.name: LabelledMask(each.number, each.mask, None) for each in masks}, geometry)

    def download(self, digest: str) -> Volume:
        """Read an image."""
        return self._open(digest)

    def _open(self, digest: str) -> Volume:
        return self.calls.run(self.stored_images.open(digest, tenant=self.principal.tenant)).volume


def describe_dataset(dataset: StoredDataset) -> DatasetInfo:
    """A dataset as clients see it."""
    row = dataset.row
    return DatasetInfo(
        name=row.name,
        owner=row.owner,
        created=_time(row.created),
        labels=tuple(DatasetLabel(each.name, each.number, each.colour, each.snomed_code) for each in row.labels),
        validation_share=row.validation_share,
        test_share=row.test_share,
        image_count=dataset.counts.images,
        accepted_count=dataset.counts.accepted,
    )


def describe_image(row: DatasetImageRow) -> DatasetImage:
    """An image of a dataset as clients see it."""
    return DatasetImage(
        digest=row.image_digest,
        case_name=row.case_name,
        split=row.split.value,
        added=_time(row.added),
        annotation_count=row.annotation_count,
        state=row.state.value if row.state else "",
        geometry=row.geometry,
    )


def describe_annotation(row: AnnotationRow) -> AnnotationInfo:
    """An annotation as clients see it."""
    return AnnotationInfo(
        id=row.id,
        dataset=row.dataset,
        image_digest=row.image_digest,
        version=row.version,
        annotator=row.annotator,
        created=_time(row.created),
        labels={label.name: label.number for label in row.labels},
        voxel_counts={label.name: label.voxel_count for label in row.labels},
        session_id=row.session_id,
        model=row.model,
        model_version=row.model_version,
        prompt_count=row.prompt_count,
        active_seconds=row.active_seconds,
        state=row.state.value,
        reviewer=row.review.reviewer if row.review else "",
        reason=row.review.reason if row.review else "",
        digest=row.digest,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
