"""Jobs that publish the model of a run."""

from __future__ import annotations

from pydantic import Field

from gateway.core.access import DEFAULT_TENANT, Principal, Role, check_role
from gateway.core.jobs.kinds import JobContext, JobParameters
from gateway.core.jobs.programs.names import FileName
from gateway.core.jobs.programs.place import ProgramPlace
from gateway.core.runtime import Catalog
from sixpoint.errors import FailedPrecondition, ModelNotFound, PermissionDenied

__all__ = ["PublishJobs", "PublishParameters", "check_may_publish"]

_CHECKPOINT = "checkpoint.pt"
_TRITON = "SIXPOINT_TRITON_"


class PublishParameters(JobParameters, frozen=True):
    """What is published, and to whom."""

    run: FileName
    """Name of a run whose training has ended."""
    model: FileName
    """Name of the model in Triton; a model of this name gets a new version."""
    share: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the sessions that get the new version; below 1 it is on trial."""
    force: bool = False
    """Whether to publish it although its figures are worse."""


class PublishJobs:
    """Jobs that publish the model of a run. Only admins start them: everybody of the tenant gets the model.

    Args:
        place: Where programs run.
    """

    name = "publish"
    parameters = PublishParameters

    def __init__(self, place: ProgramPlace) -> None:
        self._place = place

    async def check(self, parameters: PublishParameters, *, principal: Principal) -> None:
        """Refuse what may not be published.

        Raises:
            PermissionDenied: The caller is no admin, or other tenants use the model, too.
        """
        check_may_publish(self._place.catalog, parameters.model, principal)

    async def run(self, parameters: PublishParameters, context: JobContext) -> None:
        """Publish, unless that was done before this worker took the job.

        Raises:
            FailedPrecondition: The exporter refused, or the run has no model.
        """
        place = self._place
        await self.check(parameters, principal=context.principal)
        checkpoint = place.within(context.principal, "runs", parameters.run) / _CHECKPOINT
        if not checkpoint.is_file():
            raise FailedPrecondition(f"run {parameters.run} has no model: train it first, to its end")
        context.progress(0.0, 1.0, "exporting, and comparing with the original")
        # A worker that was killed may have published it, and not have said so.
        arguments = [
            "publish",
            str(checkpoint),
            "--name",
            parameters.model,
            "--share",
            f"{parameters.share:g}",
            "--once",
        ]
        arguments += ["--repository", place.repository, *(["--triton", place.triton] if place.triton else [])]
        arguments += ["--force"] if parameters.force else []
        await place.run("exporter", arguments, context=context, variables=(_TRITON,))
        context.progress(1.0, 1.0)


def check_may_publish(catalog: Catalog, model: str, principal: Principal) -> None:
    """Refuse a caller who may not publish versions of a model.

    Raises:
        PermissionDenied: The caller is no admin, or other tenants use the model, too.
    """
    check_role(principal, Role.ADMIN)
    if principal.tenant == DEFAULT_TENANT:
        return
    try:
        served = catalog.get(model, tenant=principal.tenant)
    except ModelNotFound:
        served = None
    if served is None or served.tenants != frozenset({principal.tenant}):
        raise PermissionDenied(
            "a tenant publishes versions of its own models only; ask whoever manages the model repository to "
            "publish the first version, and to give it to your tenant alone (exporter tenants)"
        )
