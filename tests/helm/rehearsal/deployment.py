"""The controller of a Deployment: as many pods as it says, and updates by its own strategy."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from tests.helm.rehearsal.running_pod import Ended, RunningPod
from tests.helm.support.charts import Document, Pod, pods

__all__ = ["Deployment"]


class Deployment:
    """The pods of one Deployment.

    Args:
        start: Starts a pod of a template.

    Attributes:
        pods: Pods that were not told to end.
        ended: How the others ended.
        most: Most pods at once that were not told to end, since :meth:`watch_again`.
        fewest: Fewest ready pods since then.
    """

    def __init__(self, start: Callable[[Pod], RunningPod]) -> None:
        self.pods: list[RunningPod] = []
        self.ended: list[Ended] = []
        self._start = start
        self._ending: dict[asyncio.Task[Ended], RunningPod] = {}
        self.watch_again()

    def watch_again(self) -> None:
        """Count the most and the fewest pods from now on."""
        self.most = len(self.pods)
        self.fewest = sum(pod.ready for pod in self.pods)

    def apply(self, document: Document) -> None:
        """Take a new version of the object."""
        (self._template,) = pods([document])
        self._spec = document["spec"]
        # A Deployment with an autoscaler has no number of its own.
        self._replicas = self._spec.get("replicas", 1)

    @property
    def settled(self) -> bool:
        """Whether all pods are of the last version, ready, and as many as asked for, and the others have ended."""
        current = [pod for pod in self.pods if pod.ready and self._is_current(pod)]
        return len(current) == len(self.pods) == self._replicas and not self._ending

    def reconcile(self) -> None:
        """Start and end pods as far as the strategy allows now."""
        for task in [task for task in self._ending if task.done()]:
            self.ended.append(task.result())
            del self._ending[task]
        for pod in self.pods:
            pod.check()
        current = [pod for pod in self.pods if self._is_current(pod)]
        old = [pod for pod in self.pods if not self._is_current(pod)]
        surge, unavailable = self._limits()
        room = self._replicas + (surge if old else 0) - len(self.pods)
        if self._spec["strategy"]["type"] == "Recreate" and (old or self._ending):
            room = 0
        for _ in range(min(room, self._replicas - len(current))):
            self.pods.append(self._start(self._template))
        ready = sum(pod.ready for pod in self.pods)
        # Those that are not ready first, then the youngest, as a ReplicaSet does.
        surplus = sorted(current, key=lambda pod: (not pod.ready, current.index(pod)), reverse=True)
        for pod in [*sorted(old, key=lambda pod: pod.ready), *surplus[: max(0, len(current) - self._replicas)]]:
            if pod.ready and ready <= self._replicas - unavailable:
                continue
            ready -= pod.ready
            self.pods.remove(pod)
            self._ending[asyncio.create_task(pod.terminate())] = pod
        self.most = max(self.most, len(self.pods))
        self.fewest = min(self.fewest, sum(pod.ready for pod in self.pods))

    def delete(self) -> None:
        """End all pods, as far as the grace period lets them."""
        self._replicas = 0

    async def end(self) -> None:
        """End all pods now."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*(pod.end() for pod in [*self.pods, *self._ending.values()]), return_exceptions=True)

    def _is_current(self, pod: RunningPod) -> bool:
        template = pod.template
        return (template.spec, template.labels, template.annotations) == (
            self._template.spec,
            self._template.labels,
            self._template.annotations,
        )

    def _limits(self) -> tuple[int, int]:
        """Pods beyond the number, and pods below it, that an update may have."""
        rolling: dict[str, Any] = self._spec["strategy"].get("rollingUpdate", {})
        if self._spec["strategy"]["type"] == "Recreate":
            return 0, self._replicas
        return (
            _count(rolling.get("maxSurge", "25%"), self._replicas, math.ceil),
            _count(rolling.get("maxUnavailable", "25%"), self._replicas, math.floor),
        )


def _count(value: int | str, replicas: int, rounded: Callable[[float], int]) -> int:
    if isinstance(value, int):
        return value
    return rounded(int(value.removesuffix("%")) * replicas / 100)
