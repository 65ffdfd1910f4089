"""Jobs of kind "export": they write a dataset to a folder of the operator's."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.core.access import Principal
from gateway.core.datasets import Annotations, Datasets, Split
from gateway.core.images import ImageStore
from gateway.core.jobs.blocking import BlockingDatasets, LoopCalls, run_in_thread
from gateway.core.jobs.kinds import JobContext, JobParameters
from gateway.core.jobs.programs.names import DatasetName, FileName, Modality
from gateway.core.jobs.records import ENDED, JobRow, Request
from gateway.core.jobs.repository import JobRepository
from gateway.core.jobs.transfers.export_folders import ExportFolder, unfinished_jobs
from gateway.core.jobs.transfers.files import hiding, require_folder, tenant_folder, writing
from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint.datasets import ExportResult, Layout, check_contrast, export_dataset
from sixpoint.errors import Aborted, DeadlineExceeded, ResourceExhausted, SixpointError, Unavailable
from sixpoint.volume import Volume

__all__ = ["ExportJobs", "ExportParameters"]

_SETTING = "SIXPOINT_EXPORT_FOLDER"
# After these, this worker or another one goes on with what is written.
_GOES_ON = (Unavailable, ResourceExhausted, DeadlineExceeded, Aborted)
_MAX_LINES = 200


class ExportParameters(JobParameters, frozen=True):
    """What is exported, and how."""

    dataset: DatasetName
    """Name of the dataset."""
    name: FileName
    """Name of the export: a folder of the tenant."""
    modality: Modality
    """Modality of the images, such as "CT"; for BIDS "CT", "PET", or the contrast of MR images, such as "T1w"."""
    layout: Literal["nnunet", "msd", "bids"] = "nnunet"
    """Layout of the folder."""
    split: Split | None = None
    """Only images of this split."""
    labels: tuple[str, ...] = Field(default=(), max_length=255)
    """Labels to write; empty for all."""
    state: Literal["accepted", "submitted", "draft"] = "accepted"
    """State of the annotations."""


class ExportJobs:
    """Jobs that write the images of a dataset, and the latest annotation of each, to FOLDER/TENANT/NAME.

    Args:
        folder: Folder of the exports of all tenants; None if exports are off.
        datasets: All datasets.
        annotations: All annotations.
        images: Stored images.
        jobs: Transactions of jobs.
    """

    name = "export"
    parameters = ExportParameters

    def __init__(
        self,
        *,
        folder: Path | None,
        datasets: Datasets,
        annotations: Annotations,
        images: ImageStore,
        jobs: JobRepository,
    ) -> None:
        self._folder = folder
        self._datasets = datasets
        self._annotations = annotations
        self._images = images
        self._jobs = jobs

    async def check(self, parameters: ExportParameters, *, principal: Principal) -> None:
        """Refuse what cannot be exported.

        Raises:
            FailedPrecondition: Exports are off.
            DatasetNotFound: There is no such dataset.
            DatasetError: BIDS has no suffix for the modality.
        """
        require_folder(self._folder, kind=self.name, setting=_SETTING)
        await self._datasets.get(parameters.dataset, principal=principal)
        if Layout(parameters.layout) is Layout.BIDS:
            check_contrast(parameters.modality)

    async def run(self, parameters: ExportParameters, context: JobContext) -> None:
        """Write the dataset; a job that was interrupted goes on with the first image that is not written.

        Raises:
            FailedPrecondition: There is another export of this name, or this worker has no folder.
            DatasetError: No image can be exported.
            StorageFull: The disk is full.
            StorageUnavailable: The folder cannot be written.
        """
        root = require_folder(self._folder, kind=self.name, setting=_SETTING)
        principal = context.principal
        place = ExportFolder(await asyncio.to_thread(_open, root, principal, parameters.name), job_id=context.job_id)
        await self._tidy(place.target.parent, context)

        @disk_errors()
        def work(calls: LoopCalls) -> tuple[ExportResult, bool]:
            place.check(
                parameters.dataset, layout=parameters.layout, modality=parameters.modality, state=parameters.state
            )
            folder = place.take()
            with hiding(folder, name=parameters.name):
                result = writing(lambda: self._export(parameters, folder, context, calls))
                return result, place.finish(folder)

        try:
            with hiding(place.target, name=parameters.name):
                result, is_new = await run_in_thread(work)
        except asyncio.CancelledError:
            if await self._is_cancelled(context):
                await asyncio.to_thread(place.drop)
            raise
        except SixpointError as error:
            if not isinstance(error, _GOES_ON):
                await asyncio.to_thread(place.drop)
            raise
        _tell(result, context, name=parameters.name, is_new=is_new)

    def _export(
        self, parameters: ExportParameters, folder: Path, context: JobContext, calls: LoopCalls
    ) -> ExportResult:
        def progress(done: int, total: int) -> None:
            calls.later(context.progress, done, total, f"image {done} of {total}")

        datasets = _AuditedDatasets(
            self._datasets, self._annotations, self._images, context.principal, calls, parameters.split
        )
        return export_dataset(
            _Source(datasets),
            parameters.dataset,
            folder,
            modality=parameters.modality,
            layout=Layout(parameters.layout),
            labels=parameters.labels,
            state=parameters.state,
            resume=True,
            progress=progress,
        )

    async def _tidy(self, folder: Path, context: JobContext) -> None:
        """Remove what other jobs have left that do not go on: cancelled while they were paused, or failed."""
        with disk_errors():
            for path, job_id in await asyncio.to_thread(unfinished_jobs, folder):
                if job_id == context.job_id:
                    continue
                row = await self._row(job_id, context.principal)
                if row is None or row.state in ENDED:
                    await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def _is_cancelled(self, context: JobContext) -> bool:
        with contextlib.suppress(SixpointError):
            row = await self._row(context.job_id, context.principal)
            return row is not None and row.request is Request.CANCEL
        return False

    async def _row(self, job_id: str, principal: Principal) -> JobRow | None:
        return await self._jobs.read(lambda records: records.job(job_id), tenant=principal.tenant)


@dataclass(frozen=True)
class _AuditedDatasets(BlockingDatasets):
    """Datasets of which each image that leaves the gateway is noted."""

    stored_images: ImageStore

    def download(self, digest: str) -> Volume:
        """Read an image."""
        self.calls.run(self.stored_images.describe(digest, principal=self.principal))
        return super().download(digest)


@dataclass(frozen=True)
class _Source:
    """A :class:`sixpoint.datasets.DatasetSource`."""

    datasets: BlockingDatasets


def _open(root: Path, principal: Principal, name: str) -> Path:
    """The path of an export, in a folder that is there."""
    path = tenant_folder(root, principal, name, setting=_SETTING)
    with disk_errors():
        path.parent.mkdir(exist_ok=True, mode=0o700)
    return path


def _tell(result: ExportResult, context: JobContext, *, name: str, is_new: bool) -> None:
    left_out = list(result.left_out.items())
    for case, reason in left_out[:_MAX_LINES]:
        context.log(f"left out {case}: {reason}")
    if len(left_out) > _MAX_LINES:
        context.log(f"left out {len(left_out) - _MAX_LINES} more")
    counts = Counter(case.split for case in result.cases)
    listed = ", ".join(f"{count} for {split}" for split, count in sorted(counts.items()))
    context.log(f"{'wrote' if is_new else 'there already:'} {listed} to {name}, left out {len(left_out)}")
