"""Kinds of jobs: what a job of each kind takes, and what a worker does for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.core.access import Principal
from sixpoint.errors import FailedPrecondition, InvalidArgument, Violation
from sixpoint.errors.shortening import quoted

__all__ = ["JobContext", "JobKind", "JobKinds", "JobParameters"]


_BY_HAND = {
    "segment": "segment single images",
    "export": "use sixpoint dataset export; a worker also needs SIXPOINT_EXPORT_FOLDER",
    "import": "use sixpoint dataset import; a worker also needs SIXPOINT_IMPORT_FOLDER",
}


class JobParameters(BaseModel, extra="forbid", frozen=True):
    """Parameters of a kind of job. Others than those of the kind are refused."""


_Parameters = TypeVar("_Parameters", bound=JobParameters)


class JobContext(Protocol):
    """What a running job tells, and for whom it works."""

    @property
    def job_id(self) -> str:
        """Id of the job."""
        ...

    @property
    def principal(self) -> Principal:
        """Who started the job: it does what that principal may do."""
        ...

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Say how far the job is; it is stored soon.

        Args:
            done: Units of work that are done, parts of units included.
            total: Units of work in all; 0 while unknown.
            note: What it does now, without names of patients.
        """
        ...

    def log(self, text: str) -> None:
        """Add a line to the log of the job, which people of the tenant read; it is stored soon."""
        ...


class JobKind(Protocol, Generic[_Parameters]):
    """A kind of job.

    A job may be carried out more than once: its worker may be killed at any moment, and another one begins anew. So
    whatever :meth:`run` does must be harmless when it is done already.
    """

    name: str
    """Name of the kind."""
    parameters: type[_Parameters]
    """Model of the parameters."""

    async def check(self, parameters: _Parameters, *, principal: Principal) -> None:
        """Refuse parameters that cannot be carried out, before a job is made of them.

        Raises:
            SixpointError: Saying what is wrong.
        """
        ...

    async def run(self, parameters: _Parameters, context: JobContext) -> None:
        """Carry out a job. A pause or a cancellation cancels the task.

        Raises:
            SixpointError: The job failed. If a part of the service is unavailable or busy, it is tried again later.
        """
        ...


class JobKinds:
    """All kinds of jobs, by name.

    Args:
        kinds: The kinds.
        run_here: Names of those that workers with these settings run; None for all.
    """

    def __init__(self, kinds: Sequence[JobKind[Any]], *, run_here: Collection[str] | None = None) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self.run_here = frozenset(self._kinds if run_here is None else run_here)
        """Names of the kinds that workers with these settings run."""

    def get(self, name: str) -> JobKind[Any]:
        """The kind of a name.

        Raises:
            InvalidArgument: There is none.
        """
        kind = self._kinds.get(name)
        if kind is None:
            raise InvalidArgument(
                f"no kind of job is called {quoted(name)}; there are: {', '.join(sorted(self._kinds))}",
                violations=(Violation("kind", "a kind of job"),),
            )
        return kind

    def parse(self, name: str, parameters: Mapping[str, Any]) -> tuple[JobKind[Any], JobParameters]:
        """The kind of a name, and its parameters.

        Raises:
            InvalidArgument: There is no such kind, or a parameter is missing, unknown or wrong.
            FailedPrecondition: The settings leave the kind out.
        """
        kind = self.get(name)
        if name not in self.run_here:
            raise FailedPrecondition(
                f"jobs of kind {name} are off: SIXPOINT_WORKER_KINDS names the kinds that the workers run "
                f"({', '.join(sorted(self.run_here)) or 'none'}); ask whoever manages the gateway for a worker that "
                f"does, or {_BY_HAND.get(name, 'run trainer and exporter by hand')}"
            )
        try:
            return kind, kind.parameters.model_validate(parameters)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = quoted(".".join(map(str, first["loc"])) or "parameters")
            expected = ", ".join(kind.parameters.model_fields)
            raise InvalidArgument(
                f"parameter {place} of a job of kind {name}: {first['msg']}; the parameters are: {expected}",
                violations=(Violation("parameters", "the parameters of the kind"),),
            ) from None
