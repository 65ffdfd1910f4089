"""Services: names, addresses, and the ready pods behind them; Envoy carries their connections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.helm.rehearsal.running_pod import RunningPod
from tests.helm.support.charts import Document, of_kind

__all__ = ["Services"]

_TYPE = "type.googleapis.com/envoy"
_PROXY = f"{_TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy"


class Services:
    """The Services of the manifests.

    Those with an address of their own are listeners of Envoy, which passes connections on, as kube-proxy and a load
    balancer do: TLS ends in the pods. Headless ones are names in a file.

    Args:
        documents: The manifests.
        network: First three numbers of loopback addresses.
        folder: Folder for the files, which must exist.
    """

    def __init__(self, documents: list[Document], *, network: str, folder: Path) -> None:
        self._documents = of_kind(documents, "Service")
        self._folder = folder
        self.hosts = folder / "hosts.json"
        own = [document for document in self._documents if document["spec"].get("clusterIP") != "None"]
        self.addresses = {_host(document): f"{network}.{number}" for number, document in enumerate(own, start=240)}
        self.update([])

    def update(self, pods: Sequence[RunningPod]) -> None:
        """Let the Services lead to those of the pods that are ready."""
        hosts = {}
        for document in self._documents:
            selector = document["spec"]["selector"].items()
            chosen = [pod for pod in pods if pod.ready and selector <= pod.template.labels.items()]
            hosts[_host(document)] = [pod.address for pod in chosen]
            if _host(document) in self.addresses:
                for port in document["spec"]["ports"]:
                    self._write_endpoints(f"{_host(document)}-{port['name']}", port, chosen)
        self._replace(self.hosts, hosts)

    def envoy_config(self) -> Path:
        """Write Envoy's configuration; it follows the files of the endpoints by itself."""
        listeners, clusters = [], []
        for document in self._documents:
            if (address := self.addresses.get(_host(document))) is None:
                continue
            for port in document["spec"]["ports"]:
                name = f"{_host(document)}-{port['name']}"
                proxy = {"@type": _PROXY, "stat_prefix": name, "cluster": name, "idle_timeout": "0s"}
                chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
                listeners.append({"name": name, "address": _socket(address, port["port"]), "filter_chains": [chain]})
                source = {"path": str(self._endpoints(name)), "watched_directory": {"path": str(self._folder)}}
                clusters.append(
                    {
                        "name": name,
                        "type": "EDS",
                        "lb_policy": "RANDOM",
                        "connect_timeout": "1s",
                        "eds_cluster_config": {"eds_config": {"path_config_source": source}},
                    }
                )
        config = self._folder / "envoy.json"
        node = {"id": "rehearsal", "cluster": "rehearsal"}
        config.write_text(
            json.dumps({"node": node, "static_resources": {"listeners": listeners, "clusters": clusters}})
        )
        return config

    def _write_endpoints(self, name: str, port: dict[str, Any], pods: Sequence[RunningPod]) -> None:
        places = [_socket(pod.address, _container_port(pod, port["targetPort"])) for pod in pods]
        assignment = {
            "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place}} for place in places]}],
        }
        self._replace(self._endpoints(name), {"resources": [assignment]})

    def _endpoints(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _replace(self, file: Path, content: object) -> None:
        # Renamed into its place: nobody reads half a file.
        new = file.with_suffix(".new")
        new.write_text(json.dumps(content))
        new.rename(file)


def _host(document: Document) -> str:
    return f"{document['metadata']['name']}.{document['metadata']['namespace']}.svc"


def _container_port(pod: RunningPod, target: int | str) -> int:
    ports = {port["name"]: port["containerPort"] for port in pod.template.spec["containers"][0]["ports"]}
    return int(ports[target] if isinstance(target, str) else target)


def _socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
