"""Jobs of kind "import": they add the images and label maps of a folder of the operator's to a dataset."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.core.access import Principal, Role, check_role
from gateway.core.datasets import Annotations, AnnotationSaver, Datasets
from gateway.core.images import ImageStore
from gateway.core.jobs.blocking import LoopCalls, run_in_thread
from gateway.core.jobs.kinds import JobContext, JobParameters
from gateway.core.jobs.programs.names import DatasetName, FileName
from gateway.core.jobs.transfers.dataset_writer import WritableDatasets
from gateway.core.jobs.transfers.files import hide, hiding, require_folder, tenant_folder
from gateway.core.jobs.transfers.import_files import check_subjects, check_tree, readable_cases
from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint.datasets import ImportOptions, ImportResult, LabelNaming, SourceLayout, import_dataset, read_source
from sixpoint.errors import DatasetError, InvalidArgument, Violation

__all__ = ["ImportJobs", "ImportParameters"]

_SETTING = "SIXPOINT_IMPORT_FOLDER"
_MAX_LINES = 200

_Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
_LabelName = Annotated[str, Field(min_length=1, max_length=200)]


class ImportParameters(JobParameters, frozen=True):
    """What is imported, and how."""

    dataset: DatasetName
    """Name of the dataset."""
    name: FileName
    """Name of the folder to import, in the folder of the tenant."""
    layout: Literal["nnunet", "msd", "bids", "pairs", "images"] | None = None
    """Layout of the folder; without it, it is recognised."""
    labels: dict[_Number, _LabelName] = Field(default={}, max_length=255)
    """Labels to import, and their names, by number in the label maps; the others are left then."""
    leave_out: tuple[_Number, ...] = Field(default=(), max_length=255)
    """Numbers of labels that are not imported."""
    complete: bool | None = None
    """Whether a label without voxels is absent; without it as the layout says."""
    patient_before: str = Field(default="", max_length=20)
    """Text that ends the part of a case's name which all images of one patient share."""
    add_labels: bool = False
    """Whether labels that the dataset lacks are added."""
    accept: bool = False
    """Whether the masks are accepted at once."""
    draft: bool = False
    """Whether the masks are saved as drafts."""
    dry_run: bool = False
    """Whether nothing is stored, and only said what would be."""


class ImportJobs:
    """Jobs that add the images of FOLDER/TENANT/NAME to a dataset, and save their masks as annotations.

    Args:
        folder: Folder of the imports of all tenants; None if imports are off.
        datasets: All datasets.
        annotations: All annotations.
        images: Stored images.
        saver: Saves annotations.
        limit: Bytes of the largest image that is stored.
    """

    name = "import"
    parameters = ImportParameters

    def __init__(
        self,
        *,
        folder: Path | None,
        datasets: Datasets,
        annotations: Annotations,
        images: ImageStore,
        saver: AnnotationSaver,
        limit: int,
    ) -> None:
        self._folder = folder
        self._datasets = datasets
        self._annotations = annotations
        self._images = images
        self._saver = saver
        self._limit = limit

    async def check(self, parameters: ImportParameters, *, principal: Principal) -> None:
        """Refuse what cannot be imported.

        Raises:
            FailedPrecondition: Imports are off.
            DatasetNotFound: There is no such dataset.
            InvalidArgument: The masks shall be drafts, and accepted.
            PermissionDenied: The masks shall be accepted, and the caller is no engineer.
        """
        require_folder(self._folder, kind=self.name, setting=_SETTING)
        if parameters.accept and parameters.draft:
            raise InvalidArgument(
                "accept and draft contradict each other; leave one out",
                violations=(Violation("parameters", "accept or draft"),),
            )
        if parameters.accept:
            check_role(principal, Role.ENGINEER)
        await self._datasets.get(parameters.dataset, principal=principal)

    async def run(self, parameters: ImportParameters, context: JobContext) -> None:
        """Import the folder; images and masks that the dataset has are not stored again.

        Raises:
            FailedPrecondition: The folder is missing, or has links.
            DatasetError: The folder contradicts itself or the dataset, or no case can be imported.
            StorageFull: The disk is full.
        """
        root = require_folder(self._folder, kind=self.name, setting=_SETTING)
        name = parameters.name
        folder = await asyncio.to_thread(tenant_folder, root, context.principal, name, setting=_SETTING)
        with hiding(folder, name=name):
            result = await run_in_thread(lambda calls: self._import(parameters, folder, context, calls))
        _tell(result, context, folder, dry_run=parameters.dry_run)
        if not result.cases:
            raise DatasetError(f"no case of {name} can be imported; the log of the job says why (sixpoint jobs logs)")

    def _import(
        self, parameters: ImportParameters, folder: Path, context: JobContext, calls: LoopCalls
    ) -> ImportResult:
        with disk_errors():
            check_tree(folder)
            found = read_source(folder, layout=SourceLayout(parameters.layout) if parameters.layout else None)
            check_subjects(found, has_patients=bool(parameters.patient_before))
            source = readable_cases(found, limit=self._limit)
        datasets = WritableDatasets(
            stored=self._datasets,
            saved=self._annotations,
            stored_images=self._images,
            principal=context.principal,
            calls=calls,
            saver=self._saver,
        )

        def progress(step: int, steps: int) -> None:
            done, total = step / 2, steps // 2
            calls.later(context.progress, done, total, f"image {max(1, step - total)} of {total}")

        with disk_errors():
            return import_dataset(
                _Target(datasets), parameters.dataset, source, _options(parameters), progress=progress
            )


@dataclass(frozen=True)
class _Target:
    """A :class:`sixpoint.datasets.DatasetTarget`."""

    datasets: WritableDatasets


def _options(parameters: ImportParameters) -> ImportOptions:
    # No pattern of the caller's: some take forever.
    end = parameters.patient_before
    return ImportOptions(
        naming=LabelNaming(parameters.labels, frozenset(parameters.leave_out), parameters.complete),
        patient=re.compile(rf"\A(.+?){re.escape(end)}") if end else None,
        add_labels=parameters.add_labels,
        accept=parameters.accept,
        draft=parameters.draft,
        dry_run=parameters.dry_run,
    )


def _tell(result: ImportResult, context: JobContext, folder: Path, *, dry_run: bool) -> None:
    verb = "would import" if dry_run else "imported"
    if result.new_labels:
        context.log(f"{'would add' if dry_run else 'added'} labels: {', '.join(result.new_labels)}")
    if result.labels_left:
        left = ", ".join(f"{number} {label}".strip() for number, label in result.labels_left.items())
        context.log(f"labels left, since others are named: {left}")
    left_out = list(result.left_out.items())
    for case, reason in left_out[:_MAX_LINES]:
        context.log(f"left out {case}: {hide(reason, folder, name=folder.name)}")
    if len(left_out) > _MAX_LINES:
        context.log(f"left out {len(left_out) - _MAX_LINES} more")
    new = sum(case.is_new for case in result.cases)
    context.log(f"{verb} {new}, there already {len(result.cases) - new}, left out {len(left_out)}")
