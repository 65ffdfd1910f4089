"""Values of what surrounds gateway and Triton: stores, identity, the way in, network, monitoring."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from helm.values.common import KubernetesObject, Pod, SecretKey, ValuesModel

__all__ = ["Auth", "Blobs", "Expose", "GlobalValues", "Monitoring", "NetworkPolicy", "Test", "Tls", "Viewers"]


class GlobalValues(ValuesModel):
    """Values for all images and pods."""

    image_registry: str = ""
    """Registry of all images, such as a mirror within the hospital."""
    image_pull_secrets: list[str] = []
    """Names of Secrets to pull images with."""
    openshift: bool = False
    """Leave user and group of the pods to OpenShift, which gives each namespace its own."""


class Blobs(ValuesModel):
    """The object store for voxels; without it they are in the state folder."""

    url: str = Field(default="", pattern=r"^((s3|gs|az)://.+)?$")
    """s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."""
    existing_secret: str = ""
    """Secret with the credentials; none where the pods have a cloud identity."""
    secret_keys: list[str] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    """Keys of that Secret, named like the variables of the store; each is mounted as a file."""
    env: dict[str, str] = {}
    """Environment variables that are no secret, such as AWS_REGION and AWS_ENDPOINT."""


class Oidc(ValuesModel):
    """Tokens of an OpenID Connect provider."""

    issuer: str = ""
    """Address of the provider, as its tokens state it."""
    audience: str = ""
    """Audience that its tokens must be for."""
    roles_claim: str = ""
    """Path of the roles within a token; the gateway's default if empty."""
    tenant_claim: str = ""
    """Path of the tenant within a token; the gateway's default if empty."""


class Auth(ValuesModel):
    """How clients prove who they are."""

    mode: str = Field(default="none", pattern=r"^(none|(tokens|oidc|mtls|proxy)(,(tokens|oidc|mtls|proxy))*)$")
    """none, or tokens, oidc, mtls, proxy, several with commas."""
    insecure: bool = False
    """Say aloud that whoever reaches an exposed gateway may use it without identity, or read tokens on the way."""
    tokens: SecretKey = SecretKey(key="tokens")
    """File of tokens and of admitted certificates, as `gateway token new` writes it; for tokens and mtls."""
    oidc: Oidc = Oidc()
    """Tokens of an OpenID Connect provider."""
    proxy_names: list[str] = []
    """Names in the certificates of proxies whose identity headers are believed."""


class IssuerRef(ValuesModel):
    """An issuer of cert-manager."""

    name: str = ""
    """Name of the issuer."""
    kind: Literal["Issuer", "ClusterIssuer"] = "ClusterIssuer"
    """Kind of the issuer."""
    group: str = "cert-manager.io"
    """API group of the issuer."""


class Tls(ValuesModel):
    """The certificate of the gateway's port."""

    mode: Literal["none", "secret", "certManager"] = "none"
    """none, secret (a Secret with tls.crt and tls.key) or certManager."""
    secret_name: str = ""
    """Name of that Secret; cert-manager writes it, by default under the name of the gateway with -tls."""
    issuer_ref: IssuerRef = IssuerRef()
    """Issuer of cert-manager."""
    dns_names: list[str] = []
    """More names for cert-manager's certificate; those of the Service, and `expose.host`, are in it."""
    client_ca: SecretKey = SecretKey(key="ca.crt")
    """Authorities of clients' certificates; a client without one is then refused."""


class GatewayRef(ValuesModel):
    """A Gateway of the Gateway API."""

    name: str = ""
    """Name of the Gateway."""
    namespace: str = ""
    """Its namespace; that of the release if empty."""
    section_name: str = ""
    """Listener of the Gateway; any if empty."""


class Expose(ValuesModel):
    """The way in from outside of the cluster."""

    kind: Literal["none", "ingress", "grpcRoute", "loadBalancer"] = "none"
    """none, ingress (ingress-nginx), grpcRoute (Gateway API) or loadBalancer."""
    host: str = ""
    """Name under which clients reach the gateway."""
    class_name: str = ""
    """Ingress class, or class of the load balancer."""
    annotations: dict[str, str] = {}
    """Annotations of the Ingress, the GRPCRoute or the load balancer's Service, over the chart's own."""
    tls_secret_name: str = ""
    """Secret with the certificate of the Ingress."""
    gateway_ref: GatewayRef = GatewayRef()
    """Gateway of the GRPCRoute."""
    source_ranges: list[str] = []
    """Networks that may use the load balancer."""


class Dicomweb(ValuesModel):
    """The DICOMweb server (PACS) that viewers find images on, through the gateway."""

    url: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Its address, such as https://pacs.hospital.example/dicom-web; none if empty."""
    token: SecretKey = SecretKey(key="token")
    """Token that the gateway sends to it."""


class Viewers(ValuesModel):
    """The doors for viewers such as 3D Slicer: over HTTPS where `tls.mode` gives a certificate, else over HTTP."""

    enabled: bool = False
    """Whether there are doors. 3D Slicer, MITK and OHIF need a gateway's image that reads image files."""
    port: int = Field(default=8443, ge=1, le=65535)
    """Port of the Service."""
    path_tokens: bool = False
    """Whether tokens in addresses are taken, for viewers that have no field for them; with `auth.mode` tokens."""
    host: str = ""
    """Name under which viewers reach the doors through an Ingress or a Gateway; another one than `expose.host`."""
    tls_secret_name: str = ""
    """Secret with the certificate of that name in the Ingress; that of `expose.tlsSecretName` by default."""
    annotations: dict[str, str] = {}
    """Annotations of the viewers' Ingress or HTTPRoute, over the chart's own."""
    dicomweb: Dicomweb = Dicomweb()
    """The DICOMweb server that viewers find images on."""


class Egress(ValuesModel):
    """What the pods may reach."""

    mode: Literal["restricted", "open"] = "restricted"
    """restricted, or open for anything."""
    ports: list[int] = [443, 5432]
    """TCP ports of gateways and Tritons to any address, if a database, a bucket or OIDC is set; restricted only."""
    rules: list[KubernetesObject] = []
    """More egress rules of the gateways, as in Kubernetes; restricted only."""


class NetworkPolicy(ValuesModel):
    """Who may reach whom. Without it, whoever is in the cluster reaches Triton."""

    enabled: bool = True
    """Whether there are NetworkPolicies: all is denied that they do not allow."""
    from_: list[KubernetesObject] = Field(default=[], alias="from")
    """Peers that may call the gateway besides the pods of its namespace: the ingress controller, networks."""
    monitoring: list[KubernetesObject] = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    """Peers that may read metrics."""
    egress: Egress = Egress()
    """What the pods may reach."""


class ServiceMonitor(ValuesModel):
    """ServiceMonitors of Prometheus' operator, for gateways and Tritons."""

    enabled: bool = False
    """Whether there are ServiceMonitors."""
    labels: dict[str, str] = {}
    """Labels by which Prometheus finds them."""
    interval: str = "15s"
    """Time between two scrapes."""


class Rules(ValuesModel):
    """Alerts, as `gateway monitoring` writes them."""

    enabled: bool = False
    """Whether there is a PrometheusRule."""
    labels: dict[str, str] = {}
    """Labels by which Prometheus finds it."""


class Dashboard(ValuesModel):
    """Grafana's dashboard, as `gateway monitoring` writes it."""

    enabled: bool = False
    """Whether there is a ConfigMap with the dashboard."""
    labels: dict[str, str] = {"grafana_dashboard": "1"}
    """Labels by which Grafana's sidecar finds it."""


class Monitoring(ValuesModel):
    """What Prometheus and Grafana need."""

    service_monitor: ServiceMonitor = ServiceMonitor()
    """ServiceMonitors."""
    rules: Rules = Rules()
    """Alerts."""
    dashboard: Dashboard = Dashboard()
    """Dashboard."""
    traces_url: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Collector for traces of gateways and Tritons, OTLP over HTTP, such as http://collector.monitoring.svc:4318."""


class Test(ValuesModel):
    """`helm test`: a pod that outlines the phantom's liver through the gateway."""

    enabled: bool = True
    """Whether there is the pod."""
    address: str = ""
    """Gateway to ask; by default the Service, or https://`expose.host` where TLS ends before the gateway."""
    ca: SecretKey = SecretKey(key="ca.crt")
    """Authorities to trust for the gateway's certificate; by default ca.crt of that certificate's Secret. An empty key
    stands for those of the system."""
    token: SecretKey = SecretKey(key="token")
    """Token of the pod; needed where `auth.mode` asks for tokens."""
    client_certificate: str = ""
    """Secret with tls.crt and tls.key of the pod; needed where `tls.clientCa` asks for it."""
    pod: Pod = Pod(resources={"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}})
    """What the pod is given."""
