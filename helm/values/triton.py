"""Values of Triton."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from helm.values.common import DisruptionBudget, Image, Pod, SecretKey, ServiceAccount, ValuesModel

__all__ = ["Triton"]


class External(ValuesModel):
    """A Triton that somebody else runs."""

    url: str = ""
    """Its gRPC address, host:port, several with commas, or dns:///name:port; only without `triton.enabled`."""


class Gpu(ValuesModel):
    """GPUs of each Triton."""

    enabled: bool = False
    """Whether Triton asks for GPUs."""
    count: int = Field(default=1, ge=1)
    """GPUs, or parts of one, for each Triton."""
    resource: str = "nvidia.com/gpu"
    """Name of the resource; with MIG, such as nvidia.com/mig-1g.10gb."""
    runtime_class_name: str = ""
    """Runtime class of the pods, such as nvidia, where the cluster asks for one."""


class Claim(ValuesModel):
    """The volume of a repository of the kind pvc."""

    existing_claim: str = ""
    """Claim to use in place of one that the chart makes."""
    size: str = "20Gi"
    """Size of the claim that the chart makes."""
    storage_class_name: str = ""
    """Storage class; the cluster's default if empty."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"] = "ReadWriteOnce"
    """Access mode; several Tritons need ReadWriteMany, or an existing claim that is ReadOnlyMany."""
    seed: bool = True
    """Whether the shipped models, and later their new versions, are copied to it before Triton starts."""


class S3(ValuesModel):
    """The bucket of a repository of the kind s3."""

    uri: str = ""
    """s3://bucket/prefix, or s3://https://host:port/bucket/prefix for a store that is not Amazon's."""
    existing_secret: str = ""
    """Secret whose keys are environment variables of Triton, such as AWS_ACCESS_KEY_ID; none for a cloud identity."""
    env: dict[str, str] = {}
    """Environment variables of Triton that are no secret, such as AWS_DEFAULT_REGION."""


class ModelRepository(ValuesModel):
    """Where Triton's models are."""

    kind: Literal["image", "pvc", "s3"] = "image"
    """image (the shipped models alone, copied from the gateway's image at each start), pvc or s3."""
    pvc: Claim = Claim()
    """The volume of the kind pvc."""
    s3: S3 = S3()
    """The bucket of the kind s3."""


class TritonDrain(ValuesModel):
    """How a Triton ends. The pods' terminationGracePeriodSeconds follow from it."""

    notice_seconds: int = Field(default=10, ge=0)
    """Seconds before SIGTERM in which the gateways notice that the pod has left the Service."""
    seconds: int = Field(default=60, ge=1)
    """Seconds after that for which running inferences may finish."""


class Keda(ValuesModel):
    """Where KEDA reads how many requests wait."""

    server_address: str = ""
    """Address of Prometheus, such as http://prometheus.monitoring.svc:9090."""
    query: str = ""
    """PromQL of one number; by default the sum of the metric over this release's Tritons."""


class TritonAutoscaling(ValuesModel):
    """Tritons by the requests that wait in them."""

    kind: Literal["none", "hpa", "keda"] = "none"
    """none, hpa (needs an adapter that offers the metric as a custom metric of pods) or keda."""
    min_replicas: int = Field(default=1, ge=1)
    """Fewest Tritons."""
    max_replicas: int = Field(default=4, ge=1)
    """Most Tritons."""
    metric: str = "nv_inference_pending_request_count"
    """Metric of Triton."""
    target: int = Field(default=4, ge=1)
    """Value for each Triton to aim at."""
    keda: Keda = Keda()
    """Where KEDA reads the metric."""


class TritonProbes(ValuesModel):
    """When Kubernetes takes a Triton for started, dead, or unable to answer."""

    startup_seconds: int = Field(default=900, ge=10)
    """Seconds that a start may take, with all models loaded."""
    period_seconds: int = Field(default=5, ge=1)
    """Seconds between two probes."""
    failure_threshold: int = Field(default=3, ge=1)
    """Failed probes after which a Triton leaves the Service. It is restarted after four times as many."""


class TensorRtJob(ValuesModel):
    """A Job that builds a TensorRT engine on the node that will serve it."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")
    """Name of the Job, such as liver-3."""
    gpu_product: str
    """Value of the node's label nvidia.com/gpu.product."""
    args: list[str]
    """Arguments of trtexec, as `exporter tensorrt-job` prints them."""
    engines_claim: str
    """Claim of the volume that the engine is written to."""


class TensorRt(ValuesModel):
    """Jobs that build TensorRT engines."""

    jobs: list[TensorRtJob] = []
    """The Jobs; they need `modelRepository.kind: pvc` and `gpu.enabled`."""


class Triton(ValuesModel):
    """NVIDIA Triton, which runs the models."""

    enabled: bool = True
    """Whether the chart runs Triton; otherwise `external.url` names one."""
    external: External = External()
    """A Triton that somebody else runs."""
    replicas: int = Field(default=1, ge=0)
    """Number of Tritons."""
    image: Image = Image(registry="nvcr.io", repository="nvidia/tritonserver", tag="24.10-py3")
    """NVIDIA's image as it is; the same one with and without GPUs."""
    gpu: Gpu = Gpu()
    """GPUs of each Triton."""
    shared_memory: str = "1Gi"
    """Size of /dev/shm, which is memory, and counts towards the limit of the container."""
    control_key: SecretKey = SecretKey(key="key")
    """Key without which nobody loads models, registers shared memory or changes traces; gateways present it."""
    extra_args: list[str] = []
    """More arguments of tritonserver."""
    model_repository: ModelRepository = ModelRepository()
    """Where the models are."""
    drain: TritonDrain = TritonDrain()
    """How a Triton ends."""
    max_surge: int | str = 1
    """Tritons that an update starts before it stops any; 0 where there is no spare GPU."""
    max_unavailable: int | str = 0
    """Tritons that an update may stop before others are ready; 1 where `maxSurge` is 0."""
    autoscaling: TritonAutoscaling = TritonAutoscaling()
    """Tritons by the requests that wait."""
    pdb: DisruptionBudget = DisruptionBudget()
    """Tritons that a node's drain must leave running."""
    probes: TritonProbes = TritonProbes()
    """When Kubernetes restarts a Triton, or takes it out of the Service."""
    tensor_rt: TensorRt = TensorRt()
    """Jobs that build TensorRT engines."""
    service_account: ServiceAccount = ServiceAccount()
    """Service account of the Tritons."""
    pod: Pod = Pod(resources={"requests": {"cpu": "2", "memory": "3Gi"}, "limits": {"memory": "8Gi"}})
    """What the pods are given."""
