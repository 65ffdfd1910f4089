"""Values of the gateway, and of the workers beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from helm.values.common import DisruptionBudget, Image, KubernetesObject, Pod, ServiceAccount, ValuesModel

__all__ = ["Gateway", "Worker"]


class Drain(ValuesModel):
    """How a gateway ends. The pods' terminationGracePeriodSeconds follow from it."""

    notice_seconds: int = Field(default=5, ge=0)
    """Seconds after SIGTERM in which new calls are still accepted, until the Service has dropped the pod."""
    seconds: int = Field(default=60, ge=0)
    """Seconds after that for which running calls may finish."""


class Persistence(ValuesModel):
    """The volume of the state folder, while database or blobs are in it."""

    size: str = "150Gi"
    """Size of the volume: at least SIXPOINT_DISK_BYTES, _LOG_BYTES and _UNFINISHED_UPLOAD_BYTES together."""
    storage_class_name: str = ""
    """Storage class; the cluster's default if empty. SQLite needs a block volume, not NFS or SMB."""
    existing_claim: str = ""
    """Claim to use in place of one that the StatefulSet makes."""


class Cache(ValuesModel):
    """The volume of the image cache, once database and blobs are elsewhere; it is lost with the pod."""

    size: str = "20Gi"
    """Size of the volume: at least SIXPOINT_CACHE_BYTES and SIXPOINT_UNFINISHED_UPLOAD_BYTES together; the latter twice
    with `viewers.enabled`."""
    storage_class_name: str = ""
    """Storage class of a volume per pod; empty for the node's own disk (emptyDir)."""


class GatewayAutoscaling(ValuesModel):
    """Gateways by the CPU that they use (autoscaling/v2)."""

    enabled: bool = False
    """Whether there is a HorizontalPodAutoscaler; it needs `database` and `blobs`."""
    min_replicas: int = Field(default=2, ge=1)
    """Fewest gateways."""
    max_replicas: int = Field(default=6, ge=1)
    """Most gateways."""
    target_cpu: int = Field(default=70, ge=1, le=100, alias="targetCPU")
    """Percentage of the requested CPU to aim at."""
    behavior: KubernetesObject = {}
    """How fast to scale, as in Kubernetes."""


class Service(ValuesModel):
    """The Service for clients. `expose.kind: loadBalancer` makes it reachable from outside."""

    port: int = Field(default=50051, ge=1, le=65535)
    """Port of the Service."""
    annotations: dict[str, str] = {}
    """Annotations of the Service."""
    app_protocol: str | None = None
    """appProtocol of the port; by default kubernetes.io/h2c without TLS, and none with TLS."""


class GatewayProbes(ValuesModel):
    """When Kubernetes takes a gateway for started, dead, or unable to answer."""

    startup_seconds: int = Field(default=600, ge=10)
    """Seconds that a start may take; the database is migrated meanwhile."""
    period_seconds: int = Field(default=5, ge=1)
    """Seconds between two probes."""
    failure_threshold: int = Field(default=3, ge=1)
    """Failed probes after which a gateway gets no new calls. It is restarted after four times as many."""


class Gateway(ValuesModel):
    """The gateway: what clients talk to."""

    replicas: int = Field(default=1, ge=0)
    """Number of gateways; more than one needs `database` and `blobs`."""
    image: Image = Image(registry="registry.example.org", repository="sixpoint/gateway")
    """Image made of containers/gateway.Containerfile; most viewers need one that reads image files."""
    settings: dict[str, Any] = {}
    """Settings of the gateway by their names without the prefix: `max_sessions: 500` is SIXPOINT_MAX_SESSIONS=500."""
    drain: Drain = Drain()
    """How a gateway ends."""
    update_strategy: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    """How several gateways are updated; Recreate for a version that changes the database, see the upgrade notes."""
    max_surge: int | str = 1
    """Gateways, or their percentage, that an update starts before it stops any."""
    persistence: Persistence = Persistence()
    """The volume of the state folder."""
    cache: Cache = Cache()
    """The volume of the image cache."""
    autoscaling: GatewayAutoscaling = GatewayAutoscaling()
    """Gateways by the CPU that they use."""
    pdb: DisruptionBudget = DisruptionBudget()
    """Gateways that a node's drain must leave running."""
    service: Service = Service()
    """The Service for clients."""
    probes: GatewayProbes = GatewayProbes()
    """When Kubernetes restarts a gateway, or sends it no calls."""
    service_account: ServiceAccount = ServiceAccount()
    """Service account of the gateways."""
    pod: Pod = Pod(
        resources={"requests": {"cpu": "1", "memory": "3Gi"}, "limits": {"cpu": "4", "memory": "10Gi"}},
    )
    """What the pods are given. The memory limit must hold the budgets of the settings, 8.75 GiB by default."""


class WorkerJob(ValuesModel):
    """A template of Jobs: a suspended CronJob, from which `kubectl create job --from` makes one."""

    enabled: bool = False
    """Whether there is the template."""
    command: list[str] = []
    """Command of the container."""
    image: Image = Image(registry="registry.example.org", repository="sixpoint/trainer")
    """Image of the container."""
    active_deadline_seconds: int = Field(default=86400, ge=1)
    """Seconds after which a Job is ended."""
    pod: Pod = Pod(resources={"requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"memory": "16Gi"}})
    """What the pods are given."""


class Worker(ValuesModel):
    """Workers, which run jobs beside the gateways; a Deployment of its own."""

    enabled: bool = False
    """Whether there is a Deployment of workers."""
    replicas: int = Field(default=1, ge=0)
    """Number of workers."""
    command: list[str] = ["gateway", "worker"]
    """Command of the container, from the gateway's image."""
    pod: Pod = Pod(resources={"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}})
    """What the pods are given."""
    job: WorkerJob = WorkerJob()
    """A template of Jobs, such as trainings."""
