"""Jobs that carry out rounds of learning, and let versions serve."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from gateway.core.access import Principal
from gateway.core.datasets.datasets import require_dataset
from gateway.core.jobs import JobContext, JobParameters, JobRow, ProgramPlace, check_may_publish
from gateway.core.jobs.programs.names import DatasetName
from gateway.core.learning.learning import KIND, require_rules
from gateway.core.learning.repository import LearningReader, LearningRepository, LearningWriter
from sixpoint.datasets import DatasetSource
from sixpoint.errors import Aborted, FailedPrecondition, InvalidArgument, SixpointError, Unavailable
from sixpoint.loop import Decision, Learning, Programs, Rules, Task, parse_rules

__all__ = ["LearnJobs", "LearnParameters", "StartJob"]

_Result = TypeVar("_Result")
_TRITON = "SIXPOINT_TRITON_"
# The gateway asks Triton for its models every few seconds.
_WAIT_SECONDS = 60.0
_TICK_SECONDS = 0.5

StartJob = Callable[[str, Mapping[str, Any], Principal], Coroutine[Any, Any, JobRow]]
"""Makes a job of a kind, with its parameters, for a principal."""


class LearnParameters(JobParameters, frozen=True):
    """What is done about the learning of a dataset."""

    dataset: DatasetName
    """Name of the dataset."""
    action: Literal["round", "promote", "roll_back"] = "round"
    """What is done: a round by the rules, or another version serves."""
    by_hand: bool = False
    """Whether a round trains whatever the rules say about when."""
    task: Task = "annotation"
    """Task of the model whose version serves, or does not."""
    version: int | None = Field(default=None, ge=1, le=10**9)
    """The version; without one, a rollback goes to the one that served before."""
    share: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of the sessions that a version gets which is promoted; 0 ends its trial."""


class LearnJobs:
    """Jobs that carry out a round of learning. Only those start them who may publish the models.

    Args:
        place: Where programs run.
        repository: Transactions of learning.
        start_job: Makes the job that segments images with a new version.
    """

    name = KIND
    parameters = LearnParameters

    def __init__(self, place: ProgramPlace, repository: LearningRepository, *, start_job: StartJob) -> None:
        self._place = place
        self._repository = repository
        self._start_job = start_job

    async def check(self, parameters: LearnParameters, *, principal: Principal) -> None:
        """Refuse what cannot or may not be done.

        Raises:
            DatasetNotFound: There is no such dataset.
            FailedPrecondition: It has no rules.
            InvalidArgument: No version is named to promote.
            PermissionDenied: The caller may not publish a model of the rules.
        """
        _, rules = await self._rules(parameters.dataset, principal)
        for task in rules.tasks:
            check_may_publish(self._place.catalog, rules.model_of(task), principal)
        if parameters.action != "round" and parameters.task not in rules.tasks:
            raise InvalidArgument(f"the rules name no model for {parameters.task}; expected {' or '.join(rules.tasks)}")
        if parameters.action == "promote" and parameters.version is None:
            raise InvalidArgument("version is needed: the number of the version to promote")

    async def run(self, parameters: LearnParameters, context: JobContext) -> None:
        """Carry it out. What was done when a worker was killed is not done again.

        Raises:
            FailedPrecondition: A program failed, or this worker has no folder for programs.
            Unavailable: A program was killed: it may do better the next time.
        """
        await self.check(parameters, principal=context.principal)
        dataset_id, rules = await self._rules(parameters.dataset, context.principal)
        if "://" in self._place.repository:
            raise FailedPrecondition(
                "the model repository of this worker is an object store, from which a training cannot start; name a "
                "folder by SIXPOINT_TRITON_MODEL_REPOSITORY"
            )
        work = _Work(self, parameters, rules, dataset_id, context)
        thread = asyncio.create_task(asyncio.to_thread(work.carry_out))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            # Its programs end within a second; nobody else may write there before.
            work.stopped.set()
            await asyncio.wait({thread})
            raise
        except Aborted as error:
            raise Unavailable(work.without_paths(error.message)) from None
        except SixpointError as error:
            raise type(error)(work.without_paths(error.message)) from None
        context.progress(1.0, 1.0)

    async def _rules(self, name: str, principal: Principal) -> tuple[str, Rules]:
        def work(records: LearningReader) -> tuple[str, Rules]:
            row = require_dataset(records.dataset(name), name)
            return row.id, parse_rules(require_rules(records.rules(row.id), name).content)

        return await self._repository.read(work, tenant=principal.tenant)


@dataclass
class _Work:
    """The work of one job on a thread beside the event loop."""

    jobs: LearnJobs
    parameters: LearnParameters
    rules: Rules
    dataset_id: str
    context: JobContext
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    stopped: threading.Event = field(default_factory=threading.Event)
    source: DatasetSource = field(init=False)

    def __post_init__(self) -> None:
        # Made on the event loop, which it comes back to from the thread.
        self.source = self.jobs._place.data.source(self.context.principal, self.stopped)

    def carry_out(self) -> None:
        """Do it, and say what came of it."""
        place, parameters = self.jobs._place, self.parameters
        programs = Programs(
            python=place.python, environment=place.environment((_TRITON,)), is_stopped=self.stopped.is_set
        )
        if parameters.action != "round":
            self.say(self._switch(programs))
            return
        learning = Learning(
            source=self.source,
            segment=self._segment,
            dataset=parameters.dataset,
            rules=self.rules,
            folder=self._folder(),
            repository=Path(place.repository),
            triton=[place.triton] if place.triton else [],
            record=_Record(self),
            programs=programs,
            say=self.say,
        )
        # It says what it decides.
        learning.run_once(by_hand=parameters.by_hand)

    def say(self, line: str) -> None:
        """Write a line to the log of the job."""
        text = self.without_paths(line)
        self.loop.call_soon_threadsafe(self.context.log, text)
        self.loop.call_soon_threadsafe(self.context.progress, 0.0, 1.0, text)

    def without_paths(self, text: str) -> str:
        """A text without the folders of the worker, which concern nobody but the operator."""
        place = self.jobs._place
        for path in (f"{self._folder().parents[1]}/", f"{place.repository}/"):
            text = text.replace(path, "")
        # The exporter also says where a version is not.
        return text.replace(place.repository, "the model repository")

    def call(self, work: Awaitable[_Result]) -> _Result:
        """Await something on the event loop."""

        async def awaiting() -> _Result:
            return await work

        return asyncio.run_coroutine_threadsafe(awaiting(), self.loop).result()

    def read(self, work: Callable[[LearningReader], _Result]) -> _Result:
        """Run queries."""
        return self.call(self.jobs._repository.read(work, tenant=self.context.principal.tenant))

    def write(self, work: Callable[[LearningWriter], _Result]) -> _Result:
        """Run a transaction."""
        return self.call(self.jobs._repository.write(work, tenant=self.context.principal.tenant))

    def _folder(self) -> Path:
        return self.jobs._place.within(self.context.principal, "loops", self.dataset_id)

    def _switch(self, programs: Programs) -> str:
        place, parameters = self.jobs._place, self.parameters
        model = self.rules.model_of(parameters.task)
        others = ["--repository", place.repository, *(["--triton", place.triton] if place.triton else []), "--json"]
        if parameters.action == "promote":
            share = ["--share", f"{parameters.share:g}"]
            programs.run_json("exporter", ["promote", model, str(parameters.version), *share, "--force", *others])
            return f"version {parameters.version} of {model} gets {parameters.share:.0%} of the sessions"
        wanted = [] if parameters.version is None else ["--to", str(parameters.version)]
        switched = programs.run_json("exporter", ["rollback", model, *wanted, *others])
        return f"version {switched['version']} of {model} serves"

    def _segment(self, model: str, version: str, say: Callable[[str], None]) -> None:
        """Begin a job of the kind ``segment``, once this gateway knows the version. A refusal ends nothing."""
        principal = self.context.principal
        end = time.monotonic() + _WAIT_SECONDS
        while not any(
            (each.name, each.version) == (model, version)
            for each in self.jobs._place.catalog.list(tenant=principal.tenant)
        ):
            if self.stopped.is_set():
                raise Aborted("the round was stopped: the next one goes on with it")
            if time.monotonic() > end:
                say(f"no job segments the rest: version {version} of {model} is not served")
                return
            time.sleep(_TICK_SECONDS)
        parameters = {"dataset": self.parameters.dataset, "model": model}
        try:
            job = self.call(self.jobs._start_job("segment", parameters, principal))
        except SixpointError as error:
            say(f"no job segments the rest: {error.message}")
            return
        say(f"job {job.id} segments the images that nobody has annotated")


@dataclass
class _Record:
    """A :class:`sixpoint.loop.Record` in the database."""

    work: _Work
    count: int = 0

    def read(self) -> list[Decision]:
        """The decisions in their order."""
        stored = self.work.read(lambda records: records.decisions(self.work.dataset_id, after=0, limit=None))
        self.count = len(stored)
        return [each.decision for each in stored]

    def append(self, decision: Decision) -> None:
        """Add a decision, unless another worker has added one since they were read."""
        dataset_id, number = self.work.dataset_id, self.count + 1

        def work(records: LearningWriter) -> None:
            records.lock_dataset(self.work.parameters.dataset)
            if records.count_decisions(dataset_id) != number - 1:
                raise Aborted("another worker has decided about this dataset meanwhile")
            records.append_decision(dataset_id, number, decision)

        self.work.write(work)
        self.count = number
