"""Where the programs that jobs run are, and where their files are.

Their files lie in a folder for each tenant: ``data/RUN`` what a run learns from, ``runs/RUN`` the trainer's files,
``evaluations/NAME`` reports. Callers name runs and evaluations, and never a path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.core.access import Principal
from gateway.core.datasets import Split
from gateway.core.jobs.kinds import JobContext
from gateway.core.jobs.programs.dataset_folders import DatasetFolders
from gateway.core.jobs.programs.processes import run_process
from gateway.core.jobs.tenant_folders import tenant_path
from gateway.core.runtime import Catalog
from sixpoint.errors import FailedPrecondition

__all__ = ["PART_OF_DATA", "ProgramPlace"]

PART_OF_DATA = 0.05
"""Part of a job's progress that stands for the writing of its data."""


@dataclass(frozen=True)
class ProgramPlace:
    """Where programs run, and where their files are.

    Attributes:
        folder: Folder of the files of all tenants; None if programs are off.
        python: Python in which trainer and exporter are installed; empty for that of the worker.
        repository: Folder or URL of the model repository.
        triton: Addresses of Triton, as the exporter takes them.
        server: Address of the gateway that models are measured on; empty for none.
        data: Writes datasets to folders.
        catalog: Models that can be used now.
    """

    folder: Path | None
    python: str
    repository: str
    triton: str
    server: str
    data: DatasetFolders
    catalog: Catalog

    def within(self, principal: Principal, part: str, name: str) -> Path:
        """The folder of a name, in the folder of the principal's tenant.

        Raises:
            FailedPrecondition: Programs are off, or somebody put a link there that leads elsewhere.
        """
        if self.folder is None:
            raise FailedPrecondition(
                "this worker has no folder for the files of programs; set SIXPOINT_JOBS_FOLDER, and resume the job"
            )
        path = tenant_path(self.folder, principal, part, name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    async def run(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        context: JobContext,
        on_line: Callable[[str], None] | None = None,
        variables: Sequence[str] = (),
    ) -> None:
        """Run a program of sixpoint.

        Args:
            program: "trainer" or "exporter".
            arguments: Its arguments.
            context: The job.
            on_line: Called with each line that it writes; None to log it.
            variables: Beginnings of the names of settings that it gets; others are the gateway's own.

        Raises:
            FailedPrecondition: It failed.
        """
        command = [self.python or sys.executable, "-m", program, *arguments]
        await run_process(
            command,
            on_line=on_line or context.log,
            environment=self.environment(variables),
            # Where they are concerns nobody but the operator.
            leave_out=[f"{self.within(context.principal, 'runs', 'any').parents[1]}/", f"{self.repository}/"],
        )

    def environment(self, variables: Sequence[str]) -> dict[str, str]:
        """The variables of a program.

        Args:
            variables: Beginnings of the names of settings that it gets; others are the gateway's own.
        """
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("SIXPOINT_") or name.startswith(tuple(variables))
        }
        # Lines arrive as they are written, and whole.
        return environment | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200", "NO_COLOR": "1"}

    async def write_data(
        self, dataset: str, *, name: str, modality: str, split: Split | None = None, context: JobContext
    ) -> Path:
        """Write the accepted annotations of a dataset to a folder of the tenant, the first part of a job.

        Args:
            dataset: Name of the dataset.
            name: Name of the folder.
            modality: Modality of the images.
            split: Only images of this split; None for all.
            context: The job.

        Raises:
            DatasetNotFound: There is no such dataset.
            DatasetError: No case can be written.
        """
        context.progress(0.0, 1.0, "writing the data")
        return await self.data.write(
            dataset,
            self.within(context.principal, "data", name),
            modality=modality,
            split=split,
            principal=context.principal,
            progress=lambda done, total: context.progress(PART_OF_DATA * done / total, 1.0, f"case {done} of {total}"),
        )
