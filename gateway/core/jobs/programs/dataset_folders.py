"""Datasets as folders on the disk of a worker, for the programs that jobs run."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from gateway.core.access import Principal
from gateway.core.datasets import AnnotationRow, Annotations, AnnotationState, DatasetImageRow, Datasets, Split
from gateway.core.images import ImageSource
from sixpoint.client import AnnotationInfo, DatasetImage, DatasetInfo, DatasetLabel
from sixpoint.datasets import MANIFEST, DatasetSource, export_dataset, verify_manifest
from sixpoint.errors import Aborted
from sixpoint.segmentation import LabelledMask, Segmentation
from sixpoint.volume import Volume

__all__ = ["DatasetFolders"]

_Result = TypeVar("_Result")
_PAGE = 1000


@dataclass(frozen=True)
class DatasetFolders:
    """Writes datasets to folders.

    Attributes:
        datasets: All datasets.
        annotations: All annotations.
        images: Stored images.
    """

    datasets: Datasets
    annotations: Annotations
    images: ImageSource

    async def write(
        self,
        name: str,
        folder: Path,
        *,
        modality: str,
        split: Split | None = None,
        principal: Principal,
        progress: Callable[[int, int], None],
    ) -> Path:
        """Write the accepted annotations of a dataset with their images, unless the folder has them; see
        :func:`sixpoint.datasets.export_dataset`.

        Args:
            name: Name of the dataset.
            folder: Folder to write.
            modality: Modality of the images, such as "CT".
            split: Only images of this split; None for all.
            principal: For whom it is read.
            progress: Called with the number of cases so far and in all.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: No case can be written.
        """
        if await asyncio.to_thread(_is_whole, folder):
            return folder
        stopped = threading.Event()
        source = self.source(principal, stopped, split=split)
        thread = asyncio.create_task(
            asyncio.to_thread(_write, source, name, folder, modality=modality, progress=progress)
        )
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            # It ends at the next thing that it reads: nobody else may write there before.
            stopped.set()
            await asyncio.wait({thread})
            raise
        return folder

    def source(self, principal: Principal, stopped: threading.Event, *, split: Split | None = None) -> DatasetSource:
        """Datasets for a thread beside the running event loop.

        Args:
            principal: For whom they are read.
            stopped: Once it is set, nothing more is read.
            split: Only images of this split; None for all.
        """
        return _Source(_Reader(self, principal, split, asyncio.get_running_loop(), stopped))


def _is_whole(folder: Path) -> bool:
    # It is the last file that an export writes: without it, the export was interrupted.
    return (folder / MANIFEST).is_file() and not verify_manifest(folder)


def _write(
    source: DatasetSource, name: str, folder: Path, *, modality: str, progress: Callable[[int, int], None]
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    export_dataset(source, name, folder, modality=modality, progress=progress)


@dataclass(frozen=True)
class _Source:
    """A :class:`sixpoint.datasets.DatasetSource`."""

    datasets: _Reader


@dataclass(frozen=True)
class _Reader:
    """A :class:`sixpoint.datasets.DatasetReader` for a thread beside the event loop."""

    folders: DatasetFolders
    principal: Principal
    split: Split | None
    loop: asyncio.AbstractEventLoop
    stopped: threading.Event

    def get(self, name: str) -> DatasetInfo:
        """Describe a dataset."""
        found = self._run(self.folders.datasets.get(name, principal=self.principal))
        row = found.row
        return DatasetInfo(
            name=row.name,
            owner=row.owner,
            created=_time(row.created),
            labels=tuple(DatasetLabel(each.name, each.number, each.colour, each.snomed_code) for each in row.labels),
            validation_share=row.validation_share,
            test_share=row.test_share,
            image_count=found.counts.images,
            accepted_count=found.counts.accepted,
        )

    def images(self, name: str) -> list[DatasetImage]:
        """List the images by the name of their case."""
        found: list[DatasetImageRow] = []
        token = ""
        while True:
            page = self._run(
                self.folders.datasets.images(name, principal=self.principal, split=self.split, size=_PAGE, token=token)
            )
            found += page.entries
            token = page.next_token
            if not token:
                return [_image(row) for row in found]

    def annotations(self, name: str, *, state: str) -> list[AnnotationInfo]:
        """List the annotations in a state, the latest first."""
        found: list[AnnotationRow] = []
        token = ""
        while True:
            page = self._run(
                self.folders.annotations.page(
                    name, principal=self.principal, state=AnnotationState(state), size=_PAGE, token=token
                )
            )
            found += page.entries
            token = page.next_token
            if not token:
                return [_annotation(row) for row in found]

    def masks(self, annotation_id: str) -> Segmentation:
        """Read the masks of an annotation."""
        row = self._run(self.folders.annotations.get(annotation_id, principal=self.principal))
        masks = self._run(self.folders.annotations.masks(annotation_id, principal=self.principal))
        geometry = self.download(row.image_digest).geometry
        return Segmentation({each.name: LabelledMask(each.number, each.mask, None) for each in masks}, geometry)

    def download(self, digest: str) -> Volume:
        """Read an image."""
        return self._run(self.folders.images.open(digest, tenant=self.principal.tenant)).volume

    def _run(self, call: Coroutine[Any, Any, _Result]) -> _Result:
        if self.stopped.is_set():
            call.close()
            raise Aborted("the job was stopped")
        return asyncio.run_coroutine_threadsafe(call, self.loop).result()


def _image(row: DatasetImageRow) -> DatasetImage:
    return DatasetImage(
        digest=row.image_digest,
        case_name=row.case_name,
        split=row.split.value,
        added=_time(row.added),
        annotation_count=row.annotation_count,
        state=row.state.value if row.state else "",
        geometry=row.geometry,
    )


def _annotation(row: AnnotationRow) -> AnnotationInfo:
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
