"""What is rehearsed, in turn, and what of it is measured."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.figures import Figure, p50
from benchmarks.scale.load import Attempts
from sixpoint.errors import SixpointError
from tests.helm.rehearsal.cluster import Cluster
from tests.helm.rehearsal.deployment import Deployment
from tests.helm.rehearsal.load import People, connected, prompting
from tests.helm.rehearsal.running_pod import RunningPod
from tests.helm.rehearsal.setting import Release
from tests.helm.support.charts import Values

__all__ = ["Rehearsal"]

_GATEWAY, _TRITON = "demo-sixpoint-gateway", "demo-sixpoint-triton"
_CALLS = re.compile(r"^sixpoint_calls_total\{.*\} (\S+)$", re.MULTILINE)
_STATUS_PORT = 9090
_UPDATE: Values = {"gateway": {"settings": {"max_sessions": 500}}}
# Long enough for a gateway to start, and to fail.
_BROKEN_SECONDS = 20
# Half of them would meet a gateway that is not ready, and wait.
_NEW_CLIENTS, _NEW_SECONDS = 10, 3
# Prompts under way when a pod is killed, and the time until the next one is.
_BUSY, _PAUSE_SECONDS = 2, 4


class Rehearsal:
    """One rehearsal.

    Args:
        cluster: Cluster in which nothing was installed yet.
        release: The release.
        say: Where to tell what is happening.

    Attributes:
        figures: What was measured so far.
    """

    def __init__(self, cluster: Cluster, release: Release, *, say: Callable[[str], None]) -> None:
        self.figures: list[Figure] = []
        self._cluster = cluster
        self._release = release
        self._say = say
        self._early = 0.0
        cluster.before_ready = self._note_calls

    async def run(self, *, people: int) -> None:
        """Install, test, update, kill, scale and uninstall; all between the test and the end while people prompt."""
        await self._install()
        await self._test()
        async with prompting(self._release, count=people) as crowd:
            with self._part(crowd, "rolling update of the gateways"):
                await self._update()
            with self._part(crowd, "an update that cannot start"):
                await self._break()
            with self._part(crowd, "a gateway that hangs"):
                await self._hang()
            for kind, deployment in (("Triton", self._tritons), ("gateway", self._gateways)):
                with self._part(crowd, f"each {kind} killed"):
                    await self._kill(crowd, kind, deployment)
            with self._part(crowd, "3 gateways and 3 Tritons, and back to 2"):
                await self._scale()
            answered = sum(map(_calls, self._gateways.pods))
        async with connected(self._release, Attempts()) as client:
            missing, different = await crowd.compare(client)
        self._add(f"acknowledged prompts that are lost, of {len(crowd.answers)}", missing, most=0)
        self._add("sessions with another mask than the last one answered", different, most=0)
        await self._uninstall()
        self._add(f"calls to gateways before they were ready; later {answered:.0f}", self._early, most=0)

    @property
    def _gateways(self) -> Deployment:
        return self._cluster.deployments[_GATEWAY]

    @property
    def _tritons(self) -> Deployment:
        return self._cluster.deployments[_TRITON]

    async def _install(self) -> None:
        self._say("helm install: 2 gateways, 2 Tritons ...")
        self._cluster.apply(self._release.manifests())
        self._add("install: until all pods are ready", await self._cluster.settled(), unit="s")
        first = {_owner(pod): order for order, pod in reversed(list(enumerate(self._cluster.became_ready)))}
        self._add("install: gateways ready before a Triton was", first[_GATEWAY] < first[_TRITON], most=0)

    async def _test(self) -> None:
        self._say("helm test ...")
        code, log = await self._cluster.run_test()
        self._say(log)
        self._add("helm test: exit code", code, most=0)

    async def _update(self) -> None:
        old, deployment = set(self._gateways.pods), self._gateways
        deployment.watch_again()
        self._apply(_UPDATE)
        self._add("rolling update: until it is done", await self._cluster.settled(), unit="s")
        self._add("rolling update: gateways that are still old", len(old & set(deployment.pods)), most=0)
        self._add("rolling update: fewest ready gateways", deployment.fewest, least=2)
        self._add("rolling update: most gateways, without those that end", deployment.most, most=3)

    async def _break(self) -> None:
        old, deployment = set(self._gateways.pods), self._gateways
        deployment.watch_again()
        self._apply({"blobs": {"url": "s3://there-is-no-such-bucket"}})
        await asyncio.sleep(_BROKEN_SECONDS)
        new = set(deployment.pods) - old
        self._add("an update that cannot start: new gateways that are ready", sum(pod.ready for pod in new), most=0)
        self._add("an update that cannot start: gateways that are still old", len(old & set(deployment.pods)), least=2)
        self._apply(_UPDATE)
        self._add("an update that cannot start: until it is rolled back", await self._cluster.settled(), unit="s")
        self._add("an update that cannot start: fewest ready gateways", deployment.fewest, least=2)

    async def _hang(self) -> None:
        """Stop a gateway without ending it: it leaves the Service, new clients do not meet it, and it is restarted."""
        pod, began, failed = self._gateways.pods[0], time.monotonic(), 0
        with pod.hanging():
            await self._cluster.until(lambda: not pod.ready)
            self._add("a gateway that hangs: until it is not ready", time.monotonic() - began, unit="s")
            await asyncio.sleep(1)
            for _ in range(_NEW_CLIENTS):
                async with connected(self._release, Attempts()) as client:
                    try:
                        await asyncio.wait_for(client.models(), _NEW_SECONDS)
                    except (TimeoutError, SixpointError):
                        failed += 1
            await self._cluster.ready_again(pod)
        self._add("a gateway that hangs: until it was started again", time.monotonic() - began, unit="s")
        self._add(f"a gateway that hangs: new clients without an answer, of {_NEW_CLIENTS}", failed, most=0)
        self._add("a gateway that hangs: restarts", pod.restarts, least=1, most=1)

    async def _kill(self, people: People, kind: str, deployment: Deployment) -> None:
        """Kill the pods of a Deployment, one after the other, while they work."""
        waited = []
        before = sum(pod.restarts for pod in deployment.pods)
        for pod in deployment.pods:
            await self._cluster.until(lambda: people.under_way >= _BUSY)
            began = time.monotonic()
            pod.kill()
            await self._cluster.ready_again(pod)
            waited.append(time.monotonic() - began)
            await asyncio.sleep(_PAUSE_SECONDS)
        self._add(f"each {kind} killed: until it is ready again, at most", max(waited), unit="s")
        restarts = sum(pod.restarts for pod in deployment.pods) - before
        self._add(f"each {kind} killed: restarts", restarts, least=len(waited), most=len(waited))

    async def _scale(self) -> None:
        self._apply(_UPDATE, {"gateway": {"replicas": 3}, "triton": {"replicas": 3}})
        self._add("3 gateways and 3 Tritons: until they are ready", await self._cluster.settled(), unit="s")
        self._apply(_UPDATE)
        self._add("back to 2: until the others have ended", await self._cluster.settled(), unit="s")

    async def _uninstall(self) -> None:
        self._say("helm uninstall ...")
        for deployment in self._cluster.deployments.values():
            deployment.delete()
        await self._cluster.settled()
        for name, deployment in self._cluster.deployments.items():
            kind = name.rpartition("-")[2]
            prefix = f"{len(deployment.ended)} {kind} pods deleted"
            failed = sum(ended.code != 0 for ended in deployment.ended)
            grace = max(ended.grace for ended in deployment.ended)
            longest = max(ended.seconds for ended in deployment.ended)
            self._add(f"{prefix}: not ended with code 0", failed, most=0)
            self._add(f"{prefix}: longest end, within the grace period", longest, unit="s", most=grace)

    def _apply(self, *changes: Values) -> None:
        self._cluster.apply(self._release.manifests(*changes))

    @contextlib.contextmanager
    def _part(self, people: People, name: str) -> Iterator[None]:
        self._say(f"{name}, while people prompt ...")
        answers, errors, repeated = len(people.answers), len(people.errors), people.attempts.failed.total()
        yield
        seconds = [answer.seconds for answer in people.answers[answers:]]
        failed = people.errors[errors:]
        for error in failed:
            self._say(f"a prompt failed: {error}")
        self._add(f"{name}: failed prompts, of {len(seconds) + len(failed)}", len(failed), most=0)
        self._add(f"{name}: calls that the SDK repeated", people.attempts.failed.total() - repeated)
        if seconds:
            self._add(f"{name}: median prompt", p50(seconds), unit="s")
            self._add(f"{name}: longest prompt", max(seconds), unit="s")

    def _note_calls(self, pod: RunningPod) -> None:
        """Count what a gateway was asked before it was ready for the first time."""
        if _owner(pod) == _GATEWAY and pod not in self._cluster.became_ready:
            self._early += _calls(pod)

    def _add(self, name: str, value: float, *, unit: str = "", least: Any = None, most: Any = None) -> None:
        self.figures.append(Figure(name=name, value=float(value), unit=unit, minimum=least, maximum=most))


def _owner(pod: RunningPod) -> str:
    return str(pod.template.owner["metadata"]["name"])


def _calls(pod: RunningPod) -> float:
    """Calls that a gateway ended; those for health and metrics do not count."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{pod.address}:{_STATUS_PORT}/metrics", timeout=10) as answer:
        return sum(map(float, _CALLS.findall(answer.read().decode())))
