"""The parts of Kubernetes that the rehearsal stands in for do what the manifests say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.helm.rehearsal.cluster import Cluster, running_cluster
from tests.helm.rehearsal.deployment import Deployment
from tests.helm.rehearsal.services import Services
from tests.helm.support.charts import Document
from tests.helm.support.local_pods import loopback_network

SERVES = """
import grpc, sys, time
from concurrent.futures import ThreadPoolExecutor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pathlib import Path
server = grpc.server(ThreadPoolExecutor())
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port("0.0.0.0:8001")
server.start()
while True:
    ready = not Path("UNREADY").exists()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING)
    time.sleep(0.02)
"""
PROBE = {"grpc": {"port": 8001}, "periodSeconds": 0.1, "failureThreshold": 2, "timeoutSeconds": 5}


def manifests(
    *command: str, replicas: int = 1, label: str = "first", grace: int = 10, **container: Any
) -> list[Document]:
    """A Deployment of a container, and its headless Service."""
    main = {
        "name": "main",
        "command": [*command],
        "env": [],
        "volumeMounts": [],
        "ports": [{"name": "grpc", "containerPort": 8001}],
        **container,
    }
    pod = {"containers": [main], "volumes": [], "terminationGracePeriodSeconds": grace}
    metadata = {"name": "demo", "namespace": "imaging"}
    spec = {
        "replicas": replicas,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": {"app": "demo", "version": label}}, "spec": pod},
    }
    ports = [{"name": "grpc", "port": 8001, "targetPort": "grpc"}]
    service = {"clusterIP": "None", "selector": {"app": "demo"}, "ports": ports}
    return [
        {"kind": "Deployment", "metadata": metadata, "spec": spec},
        {"kind": "Service", "metadata": metadata, "spec": service},
    ]


@contextlib.asynccontextmanager
async def running(folder: Path, documents: list[Document]) -> AsyncIterator[tuple[Cluster, Deployment, Services]]:
    """A cluster with manifests, whose pods are all ready."""
    network = loopback_network()
    services = Services(documents, network=network, folder=folder)
    cluster = Cluster(folder, network=network, services=services, secrets={})
    async with asyncio.timeout(60), running_cluster(cluster):
        cluster.apply(documents)
        await cluster.settled()
        yield cluster, cluster.deployments["demo"], services


def addresses(services: Services) -> list[str]:
    """What the Service's name stands for now."""
    return list(json.loads(services.hosts.read_text())["demo.imaging.svc"])


def test_an_update_starts_a_pod_before_it_ends_one(tmp_path: Path) -> None:
    async def update() -> None:
        async with running(tmp_path, manifests("sleep", "60", replicas=2)) as (cluster, deployment, services):
            old = set(deployment.pods)
            deployment.watch_again()
            cluster.apply(manifests("sleep", "60", replicas=2, label="second"))
            await cluster.settled()
            assert not old & set(deployment.pods)
            assert (deployment.fewest, deployment.most) == (2, 3)
            assert sorted(addresses(services)) == sorted(pod.address for pod in deployment.pods)
            assert [ended.code for ended in deployment.ended] == [-15, -15]

    asyncio.run(update())


def test_an_update_that_never_gets_ready_leaves_the_old_pods(tmp_path: Path) -> None:
    async def update() -> None:
        async with running(tmp_path, manifests("sleep", "60")) as (cluster, deployment, services):
            (old,) = deployment.pods
            cluster.apply(manifests("sleep", "60", label="second", readinessProbe=PROBE))
            await cluster.until(lambda: len(deployment.pods) == 2)
            await asyncio.sleep(0.5)
            assert addresses(services) == [old.address]
            cluster.apply(manifests("sleep", "60"))
            await cluster.settled()
            assert deployment.pods == [old]

    asyncio.run(update())


def test_a_pod_is_in_its_service_while_its_probe_says_so(tmp_path: Path) -> None:
    unready = tmp_path / "unready"
    unready.touch()
    command = (sys.executable, "-c", SERVES.replace("UNREADY", str(unready)))

    async def probe() -> None:
        network = loopback_network()
        documents = manifests(*command, startupProbe=PROBE | {"failureThreshold": 500}, readinessProbe=PROBE)
        services = Services(documents, network=network, folder=tmp_path)
        cluster = Cluster(tmp_path, network=network, services=services, secrets={})
        async with asyncio.timeout(60), running_cluster(cluster):
            cluster.apply(documents)
            await asyncio.sleep(1)
            assert addresses(services) == []
            unready.unlink()
            await cluster.settled()
            (pod,) = cluster.deployments["demo"].pods
            assert addresses(services) == [pod.address]
            unready.touch()
            await cluster.until(lambda: not addresses(services))
            assert pod.restarts == 0

    asyncio.run(probe())


def test_a_container_that_ends_is_started_again(tmp_path: Path) -> None:
    async def kill() -> None:
        async with running(tmp_path, manifests("sleep", "60")) as (cluster, deployment, services):
            (pod,) = deployment.pods
            pod.kill()
            await cluster.until(lambda: pod.restarts == 1 and pod.ready)
            assert deployment.pods == [pod]
            assert addresses(services) == [pod.address]

    asyncio.run(kill())


def test_a_container_that_fails_its_liveness_probe_is_started_again(tmp_path: Path) -> None:
    hangs = ("sh", "-c", "trap '' TERM; sleep 60")
    probe = PROBE | {"terminationGracePeriodSeconds": 1}

    async def fail() -> None:
        async with running(tmp_path, manifests(*hangs, grace=50, livenessProbe=probe)) as (cluster, deployment, _):
            async with asyncio.timeout(20):
                await cluster.until(lambda: deployment.pods[0].restarts == 1)

    asyncio.run(fail())


def test_pre_stop_comes_before_the_signal_and_the_grace_period_ends_both(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = f"trap 'echo signal >> {order}' TERM; echo started >> {order}; while true; do sleep 0.05; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", f"echo hook >> {order}"]}}}

    async def end() -> None:
        documents = manifests("sh", "-c", script, grace=1, lifecycle=hook)
        async with running(tmp_path, documents) as (cluster, deployment, services):
            await cluster.until(lambda: order.exists())
            deployment.delete()
            await cluster.until(lambda: "hook" in order.read_text())
            assert addresses(services) == []
            await cluster.settled()
            assert order.read_text().split() == ["started", "hook", "signal"]
            (ended,) = deployment.ended
            assert ended.code == -9
            assert ended.seconds >= 1

    asyncio.run(end())
