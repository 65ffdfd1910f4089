"""Assemble the gateway from core, storage, Triton and the gRPC edge; start it, and drain it in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Self

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gateway.add_servicers import add_servicers
from gateway.core.access import Authenticator
from gateway.core.runtime import Catalog, CorePool, FairInference
from gateway.core.runtime.fairness import FairExecutor
from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.core.runtime.process.interpreter import tune_interpreter
from gateway.core.runtime.process.malloc import FreedMemory
from gateway.core.runtime.process.private_files import restrict
from gateway.core.runtime.reachability import Reachability
from gateway.edges import Services, Workers, http_ports, make_services
from gateway.from_settings import (
    authenticator,
    call_deadlines,
    certificate,
    connection_limits,
    prompt_admission,
    segmentation_admission,
    stream_places,
    sweep_interval,
    upload_places,
)
from gateway.grpc.interceptors import CallInterceptor
from gateway.grpc.running_calls import RunningCalls
from gateway.grpc.server import create_server
from gateway.grpc.servicers.health import SERVICES, HealthServicer
from gateway.grpc.tls.port import listen
from gateway.job_workers import JobWorkers
from gateway.live_gauges import live_gauges
from gateway.observability.metrics import Metrics
from gateway.observing import Observation, observing
from gateway.settings import Settings
from gateway.status_ports import status_ports
from gateway.stores import Stores
from gateway.triton.pool import TritonPool
from sixpoint.errors import TritonUnavailable
from sixpoint.preprocessing import _native
from sixpoint.protocol import Address

__all__ = ["Gateway"]

_log = logging.getLogger(__name__)
_READY_POLL_SECONDS = 0.05


class Gateway:
    """One gateway process.

    Health: ``""`` and each service are SERVING while Triton serves a model and database and blob store can be reached,
    except ``sixpoint.v1.ImageService``, which is SERVING from start to drain.

    Args:
        settings: Settings of the gateway.
        runs_workers: Whether it starts the workers that the settings name; they read the same environment.
    """

    def __init__(self, settings: Settings, *, runs_workers: bool = False) -> None:
        self._settings = settings
        self._runs_workers = runs_workers
        self._catalog = Catalog()
        self._stores = Stores(settings)
        self._executor = FairExecutor(settings.workers, thread_name_prefix="sixpoint")
        # Segmentations have threads of their own, so that prompts do not wait behind work on whole images.
        self._segmenting = FairExecutor(settings.workers, thread_name_prefix="segmenting")
        self._admission = prompt_admission(settings)
        self._cores = CorePool(active=lambda: self._admission.active)
        self._health = HealthServicer()
        self._metrics = Metrics()
        self._segmentations = segmentation_admission(settings)
        self._uploads, self._streams = upload_places(settings), stream_places(settings)
        self._calls = RunningCalls()
        self._reachability = Reachability(
            {"database": self._stores.database.check, "blob store": self._stores.blobs.check},
            interval=settings.storage_poll_seconds,
            changed=self._publish_health,
        )
        self.port = settings.port
        """Port on which the running gateway listens."""
        self.status_ports: Mapping[str, int] = {}
        """Ports of health and status, by name, while the gateway runs."""
        self.http_ports: Mapping[str, int] = {}
        """Ports of HTTP and HTTPS, by name, while the gateway runs."""

    async def serve(self, *, announce: Callable[[str], None] = lambda _: None) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Args:
            announce: Function called with the address once the gateway listens.

        Raises:
            Unavailable: When the port is taken.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with self.running():
            tune_interpreter()
            scheme = "https://" if self._settings.tls_cert_file else ""
            announce(f"{scheme}{Address(self._settings.host, self.port)}")
            await stop.wait()

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait until Triton serves a model.

        Args:
            seconds: Seconds to wait at most.

        Raises:
            TritonUnavailable: When no model is served in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self._catalog.ready:
                    await asyncio.sleep(_READY_POLL_SECONDS)
        except TimeoutError:
            raise TritonUnavailable(
                f"Triton serves no model for sixpoint after {seconds:g} s; its log says why"
            ) from None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve within the context; at its end, drain: health first, then the server.

        Raises:
            Unavailable: When the port is taken.
            InvalidArgument: When the files for TLS or tokens cannot be used, or anybody could reach the port.
            StorageUnavailable: When the database or the folder of images cannot be used.
            FailedPrecondition: When sixpoint was installed without its compiled kernels.
        """
        _native.require_kernels()
        settings = self._settings
        # Before the database is migrated: a gateway that cannot serve changes nothing.
        identity = authenticator(settings, on_failure=self._metrics.authentication_failed)
        tls, tritons = certificate(settings), self._tritons()
        async with observing(settings, self._metrics) as observation, self._storage(), tritons as triton:
            inference = FairInference(triton)
            services = make_services(
                settings,
                self._stores,
                catalog=self._catalog,
                inference=inference,
                observer=observation.observer,
                workers=Workers(self._executor, self._segmenting, self._cores),
                admissions=(self._admission, self._segmentations),
                uploads=self._uploads,
            )
            server = self._server(services, observation, identity)
            self.port = listen(server, host=settings.host, port=settings.port, certificate=tls, setting="SIXPOINT_PORT")
            sweeper = self._stores.sweeper(interval=sweep_interval(settings))
            workers = JobWorkers(
                settings, self._stores.job_upkeep, prompts=self._admission, at_most=self._at_most_workers
            )
            gauges = live_gauges(
                catalog=self._catalog,
                admissions={"prompt": self._admission, "segmentation": self._segmentations},
                places={"upload": self._uploads, "stream": self._streams},
                inference=inference,
                triton=triton,
                stores=lambda: self._reachability.states,
                stored=lambda: sweeper.stored,
                limits={"open_sessions": settings.max_sessions, "image_bytes": settings.disk_bytes},
                jobs=lambda: workers.jobs,
                certificate=tls,
            )
            self._metrics.watch(gauges)
            status = status_ports(settings, health=self._health, metrics=self._metrics, parts=self._parts)
            http = http_ports(settings, services, authenticator=identity, observer=observation.http)
            # Around the drain, of which they tell.
            async with status as self.status_ports, contextlib.AsyncExitStack() as doors:
                self.http_ports = await doors.enter_async_context(http)
                runs = [
                    triton.run,
                    workers.run,
                    self._reachability.run,
                    sweeper.run,
                    FreedMemory().run,
                    self._stores.images.report_unrecorded,
                    *([tls.watch] if tls else []),
                    *([self._stores.audit.run] if self._stores.audit else []),
                ]
                background = [asyncio.create_task(run()) for run in runs]
                await server.start()
                _log.info("gateway listening", extra={"host": settings.host, "port": self.port})
                try:
                    yield self
                finally:
                    await self._drain(server, doors, background)

    async def _drain(
        self, server: grpc.aio.Server, doors: contextlib.AsyncExitStack, background: Sequence[asyncio.Task[None]]
    ) -> None:
        _log.info("gateway draining")
        # Health first: load balancers stop sending calls while the running ones finish.
        self._health.stop()
        await asyncio.sleep(self._settings.drain_notice_seconds)
        await asyncio.gather(self._calls.stop(server, seconds=self._settings.drain_seconds), doors.aclose())
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        self._executor.shutdown()
        self._segmenting.shutdown()
        self._cores.close()
        _log.info("gateway stopped")

    @contextlib.asynccontextmanager
    async def _storage(self) -> AsyncIterator[None]:
        # Folders of older versions; new ones are made private.
        with disk_errors():
            restrict(self._settings.state_folder)
        async with contextlib.AsyncExitStack() as stack:
            for part in (self._stores.database, self._stores.job_queue, self._stores.images):
                stack.push_async_callback(part.stop)
                await part.start()
            yield

    @property
    def _at_most_workers(self) -> int:
        return self._settings.job_workers if self._runs_workers else 0

    def _tritons(self) -> TritonPool:
        settings = self._settings
        return TritonPool(
            settings.triton_url,
            catalog=self._catalog,
            interval=settings.triton_poll_seconds,
            changed=self._publish_health,
            shared_memory=settings.triton_shared_memory == "auto",
            key=settings.triton_key.get_secret_value(),
            tls=settings.triton_tls,
        )

    def _server(self, services: Services, observation: Observation, identity: Authenticator) -> grpc.aio.Server:
        settings = self._settings
        server = create_server(
            CallInterceptor(
                self._calls,
                call_deadlines(settings),
                authenticator=identity,
                limits=services.limits,
                auditor=self._stores.auditor,
                turns=services.turns,
                on_end=self._metrics.called,
            ),
            connection_limits(settings),
            observation=observation.interceptor,
        )
        add_servicers(server, settings, services, streams=self._streams, stopping=self._calls.stopping)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if settings.reflects:
            reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    def _parts(self) -> dict[str, bool]:
        """For each part that prompts need, whether it can be used now."""
        return {**self._reachability.states, "Triton": self._catalog.ready, "gateway": not self._health.stopping}

    def _publish_health(self) -> None:
        self._health.set_ready(self._catalog.ready and self._reachability.reachable)
