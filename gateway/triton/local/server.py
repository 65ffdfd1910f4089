"""Run the Triton from pip on this machine, and keep it running.

:mod:`gateway.triton.local.install` installs it. In production, Triton runs in a container of its own instead.

    settings = LocalTritonSettings(model_repository=Path("model_repository"))
    async with LocalTriton(settings) as triton:
        watching = asyncio.create_task(triton.watch())  # restarts Triton if it dies
        ...

Triton is started by :mod:`gateway.triton.local.guard`, which stops all of Triton when this process ends in any way, or
when a process in which Triton runs a model is killed. This module watches the guard, which lives as long as Triton. It
needs Linux.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.triton.local.guard import KEY_MARK
from gateway.triton.local.install import TritonEnvironment
from gateway.triton.local.log import excerpt
from gateway.triton.local.settings import LocalTritonSettings
from gateway.triton.local.surroundings import assemble_backends, triton_variables
from sixpoint.errors import FailedPrecondition, Unavailable
from sixpoint.io.triton_key import KEY_NAME, RESTRICTED_PROTOCOLS, control_metadata, remove_key, store_key

__all__ = ["LocalTriton", "LocalTritonSettings"]

_GUARD = Path(__file__).parent / "guard.py"
_POLL = 0.1  # seconds
_FIRST_PAUSE, _MAX_PAUSE = 0.5, 30.0  # seconds before a restart
_STEADY = 60.0  # seconds after which a run counts as stable, so that the next restart is quick again
# A proxy set in the environment is not for this machine; connecting is retried quickly while Triton starts.
_CHANNEL = [("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100)]

_log = logging.getLogger(__name__)


class LocalTriton:
    """Triton on this machine: starts, watches and stops it. Works in any event loop, for one user at a time."""

    def __init__(self, settings: LocalTritonSettings) -> None:
        self.settings = settings
        self._guard: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._log_start = 0  # where the log of the current run begins
        self._started = 0.0
        self._wanted = False
        self._folder: Path | None = None
        self.key = secrets.token_hex(16)
        """Key of its control API."""
        self.shared_memory_prefix = ""
        """Begin of the names of its files in /dev/shm; empty before the first start."""

    @property
    def address(self) -> str:
        """Host and port of the inference service, as reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.host, self.settings.host)
        return f"[{host}]:{self.settings.grpc_port}" if ":" in host else f"{host}:{self.settings.grpc_port}"

    @property
    def running(self) -> bool:
        """Whether Triton is running; it may still be loading models."""
        return self._guard is not None and self._guard.poll() is None

    async def __aenter__(self) -> Self:
        """Start Triton and wait until it is ready."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop Triton."""
        await self.stop()

    async def start(self) -> None:
        """Start Triton and wait until it is ready. Models that cannot be loaded are logged; the others are served.

        Raises:
            FailedPrecondition: When Triton is not installed, or the model repository does not exist.
            Unavailable: When a port is taken, the disk is full, memory is short, Triton ends or takes too long, or no
                model can be loaded.
        """
        self._wanted = True
        if not self.running:
            await self._start()

    async def stop(self) -> None:
        """Stop Triton, by force after ``stop_timeout`` seconds; return when none of its processes is left."""
        self._wanted = False
        await self._end()
        remove_key(self.settings.grpc_port, self.key)

    async def watch(self) -> None:
        """Restart Triton whenever it dies, after growing pauses; return after :meth:`stop`."""
        pause = _FIRST_PAUSE
        while self._wanted:
            if self.running:
                await asyncio.sleep(_POLL)
                continue
            if self._guard is not None:
                _log.error("Triton ended (exit code %s): %s", self._guard.returncode, self._excerpt())
                pause = _FIRST_PAUSE if time.monotonic() - self._started > _STEADY else pause
                await self._end()
            _log.info("restarting Triton in %.1f s", pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)
            if self._wanted:
                try:
                    await self._start()
                except (FailedPrecondition, Unavailable) as error:
                    _log.error("Triton did not restart: %s", error.message)

    async def _start(self) -> None:
        try:
            environment = TritonEnvironment.locate(self.settings.environment)
            self.settings.check()
            self._launch(environment)
            await self._wait_until_ready()
            self._tell(b"ready")
            self._store_key()
        except BaseException as error:
            await self._end()
            if isinstance(error, OSError):
                # shutil.Error, of a folder that could not be copied, has no strerror but a list of all files.
                raise Unavailable(
                    f"Triton cannot be started: {error.strerror or 'its backends cannot be copied'}. Check that there "
                    "is space for temporary files (TMPDIR), free memory, and a writable log (SIXPOINT_TRITON_LOG)"
                ) from error
            raise
        _log.info("Triton is ready at %s", self.address)

    def _tell(self, what: bytes) -> None:
        """Write to the guard's standard input; see there."""
        if self._guard is not None and self._guard.stdin is not None:
            # If it has ended, that is noticed elsewhere.
            with contextlib.suppress(OSError):
                self._guard.stdin.write(what)
                self._guard.stdin.flush()

    def _store_key(self) -> None:
        try:
            store_key(self.settings.grpc_port, self.key)
        except OSError as error:
            _log.warning(
                "exporter publish cannot reach this Triton, as the key of its control API cannot be stored: %s "
                "(XDG_RUNTIME_DIR, TMPDIR)",
                error.strerror,
            )

    async def _end(self) -> None:
        guard, self._guard = self._guard, None
        log, self._log = self._log, None
        if log is not None:
            log.close()
        if guard is not None:
            await self._end_guard(guard)
        folder, self._folder = self._folder, None
        if folder is not None:  # the guard removes it as well, unless it was killed or did not start
            shutil.rmtree(folder, ignore_errors=True)

    async def _end_guard(self, guard: subprocess.Popen[bytes]) -> None:
        if guard.stdin is not None:
            guard.stdin.close()  # makes the guard stop Triton
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * self.settings.stop_timeout + 5):
                while guard.poll() is None:
                    await asyncio.sleep(_POLL)
        if guard.poll() is None:  # should not happen; killing the guard also ends Triton
            guard.kill()
            guard.wait()

    def _launch(self, environment: TritonEnvironment) -> None:
        folder = self._folder = Path(tempfile.mkdtemp(prefix="sixpoint-triton-"))
        backends = assemble_backends(environment, folder)
        prefix = self.shared_memory_prefix = f"sixpoint-{uuid.uuid4().hex[:12]}-"
        log = self.settings.log
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        self._log = tempfile.TemporaryFile() if log is None else log.open("ab+")  # noqa: SIM115 (closed in _end)
        self._log_start = self._log.seek(0, os.SEEK_END)
        grace = f"--grace={self.settings.stop_timeout}"
        guard = [sys.executable, "-IS", str(_GUARD), grace, f"--folder={folder}", f"--shared-memory={prefix}"]
        self._guard = subprocess.Popen(
            [*guard, str(environment.server), *self._arguments(backends, prefix)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
            env=triton_variables(environment),
            start_new_session=True,  # so that Ctrl-C reaches only this process, which then stops Triton in order
        )
        self._tell(f"{self.key}\n".encode())
        self._started = time.monotonic()

    def _arguments(self, backends: Path, prefix: str) -> list[str]:
        settings = self.settings
        return [
            f"--model-repository={settings.model_repository.absolute()}",
            "--model-control-mode=explicit",
            "--load-model=*",
            # A model that cannot be loaded, or a stray folder, must not prevent serving the others.
            "--exit-on-error=false",
            "--strict-readiness=false",
            "--disable-auto-complete-config",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--grpc-address={settings.host}",
            f"--grpc-port={settings.grpc_port}",
            # Without it, whoever reaches the port runs code: models may be Python.
            f"--grpc-restricted-protocol={RESTRICTED_PROTOCOLS}:{KEY_NAME}={KEY_MARK}",
            "--allow-http=false",  # nothing needs it, and it would take one more port
            f"--metrics-address={settings.host}",
            f"--metrics-port={settings.metrics_port}",
            f"--exit-timeout-secs={max(1, int(settings.stop_timeout))}",
            "--log-format=ISO8601",
            *settings.trace_arguments(),
        ]

    async def _wait_until_ready(self) -> None:
        async with grpc.aio.insecure_channel(self.address, _CHANNEL) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            deadline = time.monotonic() + self.settings.ready_timeout
            while not await _is_ready(stub):
                if not self.running:
                    raise Unavailable(f"Triton ended while starting: {self._excerpt()}")
                if time.monotonic() > deadline:
                    raise Unavailable(f"Triton was not ready in {self.settings.ready_timeout:g} s: {self._excerpt()}")
                await asyncio.sleep(_POLL)
            await _check_models(stub, control_metadata(self.address, key=self.key))

    def _excerpt(self) -> str:
        if self._log is None:
            return "its log is gone"
        # Triton shares the position of this file, so reading must not move it.
        size = os.fstat(self._log.fileno()).st_size - self._log_start
        return excerpt(os.pread(self._log.fileno(), size, self._log_start).decode(errors="replace"))


async def _is_ready(stub: service_pb2_grpc.GRPCInferenceServiceStub) -> bool:
    try:
        reply = await stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=2)
    except grpc.aio.AioRpcError:
        return False
    return bool(reply.ready)


async def _check_models(stub: service_pb2_grpc.GRPCInferenceServiceStub, metadata: tuple[tuple[str, str], ...]) -> None:
    """Log the models that cannot be loaded; raise an error if no other model is ready."""
    try:
        index = await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=10, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raise Unavailable(f"Triton started, but stopped answering: {error.details()}") from error
    failures = [
        f"{model.name}:{model.version}: {model.reason}" for model in index.models if model.state == "UNAVAILABLE"
    ]
    for failure in failures:
        _log.warning("Triton cannot serve %s", failure)
    if failures and not any(model.state == "READY" for model in index.models):
        raise Unavailable(f"Triton cannot serve any model: {'; '.join(failures)}")
