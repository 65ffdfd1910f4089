"""Jobs that train a model on a dataset."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway.core.access import Principal
from gateway.core.jobs.kinds import JobContext, JobParameters
from gateway.core.jobs.programs.names import DatasetName, FileName, Modality
from gateway.core.jobs.programs.place import PART_OF_DATA, ProgramPlace
from sixpoint.errors import FailedPrecondition, InvalidArgument, Violation
from sixpoint.io.atomic_files import write_file

__all__ = ["TrainJobs", "TrainParameters"]

_Licence = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 .+()-]{0,99}$")]
# The trainer's lines, such as "   1.5 min  12.3 % step 40 loss 0.412".
_PROGRESS = re.compile(r"\s*[\d.]+ min\s+([\d.]+) %\s+(.*)")


class TrainParameters(JobParameters, frozen=True):
    """What is trained, and on what."""

    run: FileName
    """Name of the run: a folder of the tenant. A run that was interrupted goes on."""
    dataset: DatasetName
    """Name of the dataset; its accepted annotations are learnt from."""
    modality: Modality
    """Modality of its images, such as "CT" or "MRI"."""
    task: Literal["annotation", "segmentation"]
    """Task of the network."""
    start_model: FileName | None = None
    """Served model to start from; without it and without a run, the trainer starts from nothing."""
    start_run: FileName | None = None
    """Earlier run to start from."""
    minutes: float = Field(default=60.0, ge=0.01, le=7 * 24 * 60)
    """Minutes that the training takes at most."""
    steps: int | None = Field(default=None, ge=1, le=10_000_000)
    """Steps after which it ends; the trainer's own number without."""
    rate: float | None = Field(default=None, ge=1e-7, le=1.0)
    """Peak learning rate; the trainer's own without."""
    batch: int | None = Field(default=None, ge=1, le=1024)
    """Patches per step, for a segmentation model."""
    mirror: bool = False
    """Swap left and right in half of the patches, for a segmentation model: wrong for labels with a side."""
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    """Seed of patches and weights."""
    licence: _Licence | None = None
    """Licence of the data."""


class TrainJobs:
    """Jobs that train a model on the accepted annotations of a dataset.

    Args:
        place: Where programs run.
    """

    name = "train"
    parameters = TrainParameters

    def __init__(self, place: ProgramPlace) -> None:
        self._place = place

    async def check(self, parameters: TrainParameters, *, principal: Principal) -> None:
        """Refuse what cannot be trained.

        Raises:
            DatasetNotFound: There is no such dataset.
            ModelNotFound: There is no such model to start from.
            InvalidArgument: It shall start from two things, or from itself.
        """
        await self._place.data.datasets.get(parameters.dataset, principal=principal)
        if parameters.start_model is not None and parameters.start_run is not None:
            raise InvalidArgument(
                "start_model and start_run are both given; a training starts from one of them, or from neither",
                violations=(Violation("parameters", "start_model or start_run"),),
            )
        if parameters.start_run == parameters.run:
            raise InvalidArgument("a run cannot start from itself; it goes on by itself if it was interrupted")
        if parameters.start_model is not None:
            self._place.catalog.get(parameters.start_model, tenant=principal.tenant)

    async def run(self, parameters: TrainParameters, context: JobContext) -> None:
        """Write the data, and train.

        Raises:
            FailedPrecondition: The trainer failed, or this worker has no folder for programs.
        """
        place, principal = self._place, context.principal
        out = place.within(principal, "runs", parameters.run)
        _claim(out, context.job_id)
        data = await place.write_data(
            parameters.dataset, name=parameters.run, modality=parameters.modality, context=context
        )
        arguments = ["train", str(out), "--data", str(data), "--task", parameters.task]
        arguments += ["--minutes", f"{parameters.minutes:g}", "--seed", str(parameters.seed)]
        arguments += [
            part
            for option in ("steps", "rate", "batch", "licence")
            if (value := getattr(parameters, option)) is not None
            for part in (f"--{option}", str(value))
        ]
        arguments += ["--mirror"] if parameters.mirror else []
        arguments += self._start(parameters, principal)

        done = PART_OF_DATA

        def on_line(line: str) -> None:
            context.log(line)
            if found := _PROGRESS.fullmatch(line):
                nonlocal done
                # Other stages, such as reading, count from 0 to 100 for themselves.
                if found[2].startswith("step "):
                    done = PART_OF_DATA + (1 - PART_OF_DATA) * float(found[1]) / 100
                context.progress(done, 1.0, found[2])

        await place.run("trainer", arguments, context=context, on_line=on_line)
        context.progress(1.0, 1.0)

    def _start(self, parameters: TrainParameters, principal: Principal) -> list[str]:
        if parameters.start_run is not None:
            return ["--init", str(self._place.within(principal, "runs", parameters.start_run))]
        if parameters.start_model is None:
            return []
        model = self._place.catalog.get(parameters.start_model, tenant=principal.tenant)
        version = Path(self._place.repository) / model.name / model.version
        if not version.is_dir():
            raise FailedPrecondition(
                f"this worker has no files of model {model.name!r}; name its folder of the model repository by "
                "SIXPOINT_TRITON_MODEL_REPOSITORY"
            )
        return ["--init", str(version)]


def _claim(folder: Path, job_id: str) -> None:
    """Note whose a folder is, which a job that was interrupted finds again.

    Raises:
        FailedPrecondition: It is another job's.
    """
    note, own = (folder.with_name(f"{folder.name}.{end}") for end in ("job", f"{job_id}.job"))
    write_file(own, job_id.encode())
    try:
        # Whole or not at all: a worker that is killed here leaves no note that is nobody's.
        os.link(own, note)
    except FileExistsError:
        if note.read_text() != job_id:
            raise FailedPrecondition(f"there is a run {folder.name} already; choose another name") from None
    finally:
        own.unlink(missing_ok=True)
