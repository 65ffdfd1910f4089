"""``grpc.health.v1.Health``: whether the gateway serves, asked once or watched."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import dataset_service_pb2 as dataset_pb
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import job_service_pb2 as job_pb
from sixpoint.v1 import learning_service_pb2 as learning_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import session_service_pb2 as session_pb

__all__ = ["SERVICES", "HealthServicer"]

SERVICES = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (model_pb.DESCRIPTOR, "ModelService"),
        (image_pb.DESCRIPTOR, "ImageService"),
        (session_pb.DESCRIPTOR, "SessionService"),
        (annotation_pb.DESCRIPTOR, "AnnotationService"),
        (dataset_pb.DESCRIPTOR, "DatasetService"),
        (job_pb.DESCRIPTOR, "JobService"),
        (learning_pb.DESCRIPTOR, "LearningService"),
    )
)
"""Full names of sixpoint's services."""

# The service for liveness probes: it does not depend on Triton, the database or the blob store.
_LIVENESS = image_pb.DESCRIPTOR.services_by_name["ImageService"].full_name

_MAX_WATCHERS = 64

_Context = grpc.aio.ServicerContext[Any, Any]
_Status = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc_health has no types
    """Health of the gateway (name ``""``) and of each service.

    Not grpcio-health-checking's servicer: with that one a watcher that does not read blocks every change of a status,
    and the watchers of a service hear nothing more once one of them has left.
    """

    def __init__(self) -> None:
        self._statuses = dict.fromkeys(("", *SERVICES), _Status.NOT_SERVING) | {_LIVENESS: _Status.SERVING}
        self._changed = asyncio.Event()
        self._stopping = False
        self._watchers = 0

    def set_ready(self, ready: bool) -> None:
        """Set whether the gateway can answer prompts; the service for liveness probes stays SERVING."""
        if not self._stopping:
            changed = _Status.SERVING if ready else _Status.NOT_SERVING
            self._set({name: _Status.SERVING if name == _LIVENESS else changed for name in self._statuses})

    @property
    def stopping(self) -> bool:
        """Whether the gateway is shutting down."""
        return self._stopping

    def stop(self) -> None:
        """Set all to NOT_SERVING, for good."""
        self._stopping = True
        self._set(dict.fromkeys(self._statuses, _Status.NOT_SERVING))

    def _set(self, statuses: dict[str, int]) -> None:
        if statuses != self._statuses:
            self._statuses = statuses
            self._changed.set()
            self._changed = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> health_pb2.HealthCheckResponse:
        """Return the status of a service."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no service has this name")
        return _Status(status=status)

    async def Watch(  # type: ignore[override, unused-ignore]  # statuses are written to the context, not yielded
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> None:
        """Write the status of a service now and at each change, until the watcher leaves or the gateway stops."""
        if self._watchers >= _MAX_WATCHERS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{_MAX_WATCHERS} watch the health of this gateway, which is the limit; call Check instead",
            )
        self._watchers += 1
        try:
            await self._write_changes(request.service, context)
        finally:
            self._watchers -= 1

    async def _write_changes(self, service: str, context: _Context) -> None:
        written: int | None = None
        while True:
            changed = self._changed
            status = self._statuses.get(service, _Status.SERVICE_UNKNOWN)
            if status == written:
                await changed.wait()
            else:
                await context.write(_Status(status=status))
                written = status
