"""What the release needs around it: values, Secrets, a database, a bucket with models, and Envoy."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import obstore
import obstore.store

from benchmarks.scale.programs import Programs
from benchmarks.scale.servers import Server, running_stores
from tests.helm.rehearsal.services import Services
from tests.helm.support.charts import CHART, Document, Values, merged, read_values, render
from tests.support.certificates import write_certificates
from tests.support.paths import ROOT

__all__ = ["Release", "prepared", "running_envoy"]

_MODEL = "annotation"
_TLS_SECRET = "demo-sixpoint-gateway-tls"


@dataclass(frozen=True)
class Release:
    """A release of the chart.

    Attributes:
        values: Its values.
        secrets: The Secrets that it names, by name and key.
        services: Its Services.
        authority: PEM file of the authority of its certificate.
        token: Token of an annotator.
    """

    values: Values
    secrets: Mapping[str, Mapping[str, str]]
    services: Services
    authority: Path
    token: str

    @property
    def address(self) -> str:
        """Address for clients, host:port."""
        (address,) = self.services.addresses.values()
        return f"{address}:50051"

    def manifests(self, *changes: Values) -> list[Document]:
        """The manifests of the release with other values."""
        return render(merged(self.values, *changes))


@contextlib.contextmanager
def prepared(folder: Path, programs: Programs, *, network: str) -> Iterator[Release]:
    """Start the stores, copy a model to the bucket, and make the Secrets; stop the stores at the end.

    Raises:
        Unavailable: A store does not start.
    """
    with running_stores(_made(folder / "stores"), programs) as stores:
        values = _values(stores)
        services = Services(render(values), network=network, folder=_made(folder / "services"))
        _copy_model(stores)
        (address,) = services.addresses.values()
        files = write_certificates(folder / "certificates", address, *services.addresses)
        token = _new_token(folder / "tokens.toml")
        keys = {name: stores[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        secrets = {
            "sixpoint-database": {"url": stores["SIXPOINT_DATABASE_URL"]},
            "sixpoint-images": keys,
            "sixpoint-models": keys,
            "sixpoint-triton": {"key": "0123456789abcdef"},
            "sixpoint-tokens": {"tokens": (folder / "tokens.toml").read_text()},
            "sixpoint-test-token": {"token": token},
            _TLS_SECRET: {
                "tls.crt": files.certificate.read_text(),
                "tls.key": files.key.read_text(),
                "ca.crt": files.authority.read_text(),
            },
        }
        yield Release(values, secrets, services, files.authority, token)


@contextlib.contextmanager
def running_envoy(services: Services, programs: Programs, *, folder: Path) -> Iterator[Server]:
    """Run Envoy for the Services until the context ends."""
    command = [str(programs.envoy), "-c", str(services.envoy_config()), "--disable-hot-restart", "-l", "warn"]
    envoy = Server("Envoy", [*command, "--concurrency", "1"], port=50051, folder=folder)
    envoy.start()
    try:
        yield envoy
    finally:
        envoy.stop()


def _values(stores: Mapping[str, str]) -> Values:
    """The chart's own example for several of everything, but for what this machine has not."""
    endpoint = stores["AWS_ENDPOINT_URL"]
    changes: Values = {
        "gateway": {
            # There are no metrics of CPUs to scale by.
            "autoscaling": {"enabled": False},
            "replicas": 2,
            "pdb": {"minAvailable": 1},
            # Pods of a cluster share no memory, and these would.
            "settings": {"triton_shared_memory": "off"},
        },
        "triton": {
            "gpu": {"enabled": False},
            "autoscaling": {"kind": "none"},
            "replicas": 2,
            "modelRepository": {"s3": {"uri": f"s3://{endpoint}/sixpoint/models", "existingSecret": "sixpoint-models"}},
        },
        "blobs": {
            "url": stores["SIXPOINT_BLOBS_URL"],
            "existingSecret": "sixpoint-images",
            "env": {"AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true"},
        },
        "auth": {"mode": "tokens", "tokens": {"existingSecret": "sixpoint-tokens"}},
        "monitoring": {"tracesUrl": ""},
    }
    return merged(read_values(CHART / "ci" / "ha-values.yaml"), changes)


def _copy_model(stores: Mapping[str, str]) -> None:
    store = obstore.store.S3Store(
        "sixpoint",
        endpoint=stores["AWS_ENDPOINT_URL"],
        access_key_id=stores["AWS_ACCESS_KEY_ID"],
        secret_access_key=stores["AWS_SECRET_ACCESS_KEY"],
        region=stores["AWS_REGION"],
        client_options={"allow_http": True},
    )
    repository = ROOT / "model_repository"
    for path in sorted((repository / _MODEL).rglob("*")):
        if path.is_file():
            obstore.put(store, f"models/{path.relative_to(repository)}", path)


def _new_token(file: Path) -> str:
    """A token of an annotator, as an operator makes it."""
    command = [sys.executable, "-m", "gateway", "token", "new", "helm-test", "--file", str(file), "--json"]
    made = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT)
    return str(json.loads(made.stdout)["token"])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
