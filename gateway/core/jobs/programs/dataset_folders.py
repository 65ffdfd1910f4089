"""Datasets as folders on the disk of a worker, for the programs that jobs run."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.core.access import Principal
from gateway.core.datasets import Annotations, Datasets, Split
from gateway.core.images import ImageSource
from gateway.core.jobs.blocking import BlockingDatasets, LoopCalls, run_in_thread
from sixpoint.datasets import MANIFEST, DatasetSource, export_dataset, verify_manifest

__all__ = ["DatasetFolders"]


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

        def work(calls: LoopCalls) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            source = self._source(principal, calls, split)
            export_dataset(
                source, name, folder, modality=modality, progress=lambda *counts: calls.later(progress, *counts)
            )

        await run_in_thread(work)
        return folder

    def source(self, principal: Principal, stopped: threading.Event, *, split: Split | None = None) -> DatasetSource:
        """Datasets for a thread beside the running event loop.

        Args:
            principal: For whom they are read.
            stopped: Once it is set, nothing more is read.
            split: Only images of this split; None for all.
        """
        return self._source(principal, LoopCalls(asyncio.get_running_loop(), stopped), split)

    def _source(self, principal: Principal, calls: LoopCalls, split: Split | None) -> _Source:
        return _Source(BlockingDatasets(self.datasets, self.annotations, self.images, principal, calls, split))


def _is_whole(folder: Path) -> bool:
    # It is the last file that an export writes: without it, the export was interrupted.
    return (folder / MANIFEST).is_file() and not verify_manifest(folder)


@dataclass(frozen=True)
class _Source:
    """A :class:`sixpoint.datasets.DatasetSource`."""

    datasets: BlockingDatasets
