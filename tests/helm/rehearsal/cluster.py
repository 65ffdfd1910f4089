"""The cluster: controllers, Services and pods of what was applied to it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from tests.helm.rehearsal.deployment import Deployment
from tests.helm.rehearsal.running_pod import RunningPod
from tests.helm.rehearsal.services import Services
from tests.helm.support.charts import Document, Pod, of_kind, pods
from tests.helm.support.local_pods import LocalPods

__all__ = ["Cluster", "running_cluster"]

_PERIOD_SECONDS = 0.1


class Cluster:
    """What a cluster makes of the manifests. It is no kubelet, and schedules nothing: all is on this machine.

    Args:
        folder: Folder for volumes and logs.
        network: First three numbers of the pods' loopback addresses.
        services: The Services.
        secrets: For each Secret, its contents by key.

    Attributes:
        deployments: Deployments by name.
        became_ready: Pods in the order in which they became ready, also repeatedly.
        before_ready: Called with a pod that is ready, before its Services know.
    """

    def __init__(
        self, folder: Path, *, network: str, services: Services, secrets: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.became_ready: list[RunningPod] = []
        self.before_ready: Callable[[RunningPod], None] = lambda pod: None
        self._folder = folder
        self._network = network
        self._services = services
        self._secrets = secrets
        self._documents: list[Document] = []
        self._numbers = itertools.count(1)

    def apply(self, documents: list[Document]) -> None:
        """Apply manifests, as ``helm upgrade --install`` does."""
        self._documents = documents
        for document in of_kind(documents, "Deployment"):
            name = document["metadata"]["name"]
            deployment = self.deployments.setdefault(name, Deployment(self._start))
            deployment.apply(document)

    async def reconcile(self) -> None:
        """Bring pods towards what was applied, for ever."""
        while True:
            for deployment in self.deployments.values():
                deployment.reconcile()
            await asyncio.sleep(_PERIOD_SECONDS)

    async def settled(self) -> float:
        """Wait until all is as applied, and return the seconds that took."""
        began = time.monotonic()
        await self.until(lambda: all(deployment.settled for deployment in self.deployments.values()))
        return time.monotonic() - began

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        while not condition():
            await asyncio.sleep(_PERIOD_SECONDS)

    async def ready_again(self, pod: RunningPod) -> None:
        """Wait until a pod becomes ready the next time."""
        before = len(self.became_ready)
        await self.until(lambda: pod in self.became_ready[before:])

    async def run_test(self) -> tuple[int, str]:
        """Run the pod of ``helm test``; return its exit code and what it wrote."""
        (template,) = (pod for pod in pods(self._documents) if "helm.sh/hook" in pod.annotations)
        pod = self._pod(template)
        try:
            return await pod.run_to_end(), pod.log.read_text()
        finally:
            await pod.end()

    async def end(self) -> None:
        """End all pods now."""
        await asyncio.gather(*(deployment.end() for deployment in self.deployments.values()))

    def _start(self, template: Pod) -> RunningPod:
        pod = self._pod(template)
        pod.start()
        return pod

    def _pod(self, template: Pod) -> RunningPod:
        number = next(self._numbers)
        name = f"{template.owner['metadata']['name']}-{number}"
        folder = self._folder / name
        folder.mkdir()
        local = LocalPods(
            self._documents,
            folder,
            secrets=self._secrets,
            address=f"{self._network}.{number}",
            services=self._services.addresses,
            hosts=self._services.hosts,
        )
        return RunningPod(template, name=name, local=local, log=folder / "log", changed=self._changed)

    def _changed(self, pod: RunningPod) -> None:
        if pod.ready:
            self.before_ready(pod)
            self.became_ready.append(pod)
        self._services.update([pod for deployment in self.deployments.values() for pod in deployment.pods])


@contextlib.asynccontextmanager
async def running_cluster(cluster: Cluster) -> AsyncIterator[None]:
    """Reconcile a cluster until the context ends; an error of the cluster ends the context."""
    task = asyncio.current_task()
    assert task is not None
    reconciling = asyncio.create_task(cluster.reconcile())
    reconciling.add_done_callback(lambda done: None if done.cancelled() else task.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if reconciling.done():
            reconciling.result()
        raise
    finally:
        reconciling.cancel()
        await asyncio.shield(cluster.end())
