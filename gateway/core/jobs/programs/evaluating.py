"""Jobs that measure an annotation model on a dataset."""

from __future__ import annotations

import asyncio
import shutil
from typing import Literal

from pydantic import Field

from gateway.core.access import Principal
from gateway.core.datasets import Split
from gateway.core.jobs.kinds import JobContext, JobParameters
from gateway.core.jobs.programs.names import DatasetName, FileName, Modality
from gateway.core.jobs.programs.place import PART_OF_DATA, ProgramPlace
from sixpoint.errors import FailedPrecondition

__all__ = ["EvaluateJobs", "EvaluateParameters"]


class EvaluateParameters(JobParameters, frozen=True):
    """What is measured, and on what."""

    name: FileName
    """Name of the report: a folder of the tenant."""
    dataset: DatasetName
    """Name of the dataset; its accepted annotations are the truth."""
    modality: Modality
    """Modality of its images."""
    model: FileName
    """Annotation model to measure."""
    split: Literal["training", "validation"] = "validation"
    """Split of the images."""
    limit: int | None = Field(default=None, ge=1, le=100_000)
    """Structures for each label; all without."""


class EvaluateJobs:
    """Jobs that measure an annotation model on the accepted annotations of a dataset.

    Args:
        place: Where programs run.
    """

    name = "evaluate"
    parameters = EvaluateParameters

    def __init__(self, place: ProgramPlace) -> None:
        self._place = place

    async def check(self, parameters: EvaluateParameters, *, principal: Principal) -> None:
        """Refuse what cannot be measured.

        Raises:
            DatasetNotFound: There is no such dataset.
            ModelNotFound: There is no such model.
        """
        await self._place.data.datasets.get(parameters.dataset, principal=principal)
        self._place.catalog.get(parameters.model, tenant=principal.tenant)

    async def run(self, parameters: EvaluateParameters, context: JobContext) -> None:
        """Write the data, and measure; the report is in the log, and in the folder.

        Raises:
            FailedPrecondition: The trainer failed, or this worker knows no gateway to measure on.
        """
        place, principal = self._place, context.principal
        if not place.server:
            raise FailedPrecondition(
                "this worker knows no gateway to measure a model on; set SIXPOINT_JOBS_SERVER, and resume the job"
            )
        data = await place.write_data(
            parameters.dataset,
            name=context.job_id,
            modality=parameters.modality,
            split=Split(parameters.split),
            context=context,
        )
        context.progress(PART_OF_DATA, 1.0, f"measuring {parameters.model}")
        out = place.within(principal, "evaluations", parameters.name)
        arguments = ["evaluate", str(data), "--output", str(out), "--server", place.server]
        arguments += ["--model", parameters.model, "--no-baselines"]
        arguments += ["--limit", str(parameters.limit)] if parameters.limit else []
        variables = ("SIXPOINT_TOKEN", "SIXPOINT_CA_FILE", "SIXPOINT_CLIENT_")
        await place.run("trainer", arguments, context=context, variables=variables)
        await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)
        context.progress(1.0, 1.0)
