"""The values of the Helm chart: the one source of values.yaml, values.schema.json and the chart's README."""

from __future__ import annotations

from pydantic import Field

from helm.values.common import SecretKey, ValuesModel
from helm.values.gateway import Gateway, Worker
from helm.values.platform import Auth, Blobs, Expose, GlobalValues, Monitoring, NetworkPolicy, Test, Tls, Viewers
from helm.values.triton import Triton

__all__ = ["Values", "ValuesModel"]


class Values(ValuesModel):
    """All values of the chart."""

    global_: GlobalValues = Field(default=GlobalValues(), alias="global")
    """Values for all images and pods."""
    name_override: str = ""
    """Name in place of the chart's."""
    fullname_override: str = ""
    """Name of all objects in place of the release's with the chart's."""
    common_labels: dict[str, str] = {}
    """Labels of all objects."""
    gateway: Gateway = Gateway()
    """The gateway: what clients talk to."""
    triton: Triton = Triton()
    """NVIDIA Triton, which runs the models."""
    worker: Worker = Worker()
    """A place for programs that a later version brings."""
    database: SecretKey = SecretKey(key="url")
    """PostgreSQL: a Secret with postgresql+psycopg://user:password@host/name. Without it, there is SQLite."""
    blobs: Blobs = Blobs()
    """The object store for voxels. Without it, they are in the state folder."""
    auth: Auth = Auth()
    """How clients prove who they are."""
    tls: Tls = Tls()
    """The certificate of the gateway's port."""
    expose: Expose = Expose()
    """The way in from outside of the cluster."""
    viewers: Viewers = Viewers()
    """The doors for viewers that speak HTTP."""
    network_policy: NetworkPolicy = NetworkPolicy()
    """Who may reach whom."""
    monitoring: Monitoring = Monitoring()
    """What Prometheus and Grafana need."""
    test: Test = Test()
    """`helm test`."""
