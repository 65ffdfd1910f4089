"""What pods of the manifests run, as processes of this machine: commands, variables, files and ports as written there.

This is no kubelet: nothing is isolated. Pods have loopback addresses, and listen there on the manifests' ports.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.triton.local.install import TritonEnvironment
from gateway.triton.local.surroundings import assemble_backends, triton_variables
from tests.helm.support.charts import Document, Pod, environment
from tests.support.paths import ROOT, TRITON_ENVIRONMENT

__all__ = ["LocalPods", "loopback_network"]

_SERVICE = re.compile(r"[\w-]+\.imaging\.svc")
_VARIABLE = re.compile(r"\$\((\w+)\)")
_SECONDS = 60
_CLIENT_PACKAGES = ["SimpleITK", "nibabel", "pydicom", "highdicom", "PIL"]
# Variables of ours, for which Triton has others.
_OURS = {"PATH", "PYTHONPATH"}
# The cluster's DNS for names of headless Services: they change while a program runs.
_RESOLVER = """
import json, socket
_resolve = socket.getaddrinfo
def getaddrinfo(host, *args, **kwargs):
    if not str(host).endswith(".svc"):
        return _resolve(host, *args, **kwargs)
    addresses = json.load(open(HOSTS)).get(host, [])
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "no pod is ready")
    return [found for address in addresses for found in _resolve(address, *args, **kwargs)]
socket.getaddrinfo = getaddrinfo
"""


def loopback_network() -> str:
    """Three numbers of loopback addresses that hardly anybody else uses now, such as 127.77.12."""
    return f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"


class LocalPods:
    """Processes in place of pods.

    Args:
        documents: The manifests.
        folder: Folder for the volumes.
        secrets: For each Secret, its contents by key.
        address: Loopback address of the pods; a new one by default.
        services: Addresses of Services by name; those of all others are looked up in ``hosts``, or are ``address``.
        hosts: JSON file with the addresses that a name stands for at the time.
    """

    def __init__(
        self,
        documents: list[Document],
        folder: Path,
        *,
        secrets: Mapping[str, Mapping[str, str]],
        address: str = "",
        services: Mapping[str, str] | None = None,
        hosts: Path | None = None,
    ) -> None:
        self.address = address or f"{loopback_network()}.1"
        self._documents = documents
        self._folder = folder
        self._secrets = secrets
        self._services = services or {}
        self._hosts = hosts
        self._starts = itertools.count()
        self._shared_memory = f"sixpoint-{os.getpid()}-{self.address}-"

    def run(self, pod: Pod, container: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run a container that ends by itself."""
        command, variables = self.process(pod, container)
        return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS)

    @contextlib.contextmanager
    def running(self, pod: Pod) -> Iterator[subprocess.Popen[bytes]]:
        """Run a pod's main container until the context ends."""
        container = pod.spec["containers"][0]
        command, variables = self.process(pod, container)
        with (self._folder / f"{container['name']}.log").open("wb") as log:
            process = subprocess.Popen(command, env=variables, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, pod: Pod) -> str:
        """What a pod's main container has written."""
        return (self._folder / f"{pod.spec['containers'][0]['name']}.log").read_text()

    def ask(self, pod: Pod, probe: str) -> bool:
        """Whether a probe of the main container succeeds now."""
        action = pod.spec["containers"][0][probe]["grpc"]
        with grpc.insecure_channel(f"{self.address}:{action['port']}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(service=action.get("service", "")), timeout=3)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def wait_for(self, pod: Pod, probe: str, *, answer: bool = True) -> None:
        """Wait until a probe succeeds, or fails.

        Raises:
            TimeoutError: It does not.
        """
        end = time.monotonic() + _SECONDS
        while self.ask(pod, probe) != answer:
            if time.monotonic() > end:
                raise TimeoutError(f"{pod.name}: {probe} is not {answer}\n{self.log(pod)}")
            time.sleep(0.05)

    def volume(self, pod: Pod, name: str) -> Path:
        """The folder for a volume of a pod; Secrets are written to it."""
        folder = self._folder / pod.labels["app.kubernetes.io/component"] / name
        if not folder.exists():
            folder.mkdir(parents=True)
            for volume in pod.spec["volumes"]:
                if volume["name"] == name:
                    self._fill(folder, volume)
        return folder

    def _fill(self, folder: Path, volume: dict[str, Any]) -> None:
        mode = volume.get("secret", volume.get("projected", {})).get("defaultMode", 0o644)
        parts = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        for part in [*parts, *([volume["secret"]] if "secret" in volume else [])]:
            contents = self._secrets[part.get("name") or part["secretName"]]
            for item in part.get("items", [{"key": key, "path": key} for key in contents]):
                (folder / item["path"]).write_text(contents[item["key"]])
                (folder / item["path"]).chmod(mode)

    def process(self, pod: Pod, container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        """The command of a container, and its environment."""
        places = {place["mountPath"]: str(self.volume(pod, place["name"])) for place in container["volumeMounts"]}
        variables = environment(self._documents, pod) if container in pod.spec["containers"] else {}
        for source in container.get("envFrom", []):
            variables |= self._secrets[source["secretRef"]["name"]] if "secretRef" in source else {}
        for entry in container["env"]:
            source = entry.get("valueFrom", {})
            if reference := source.get("secretKeyRef"):
                variables[entry["name"]] = self._secrets[reference["name"]][reference["key"]]
            elif reference := source.get("resourceFieldRef"):
                kind, _, resource = reference["resource"].partition(".")
                variables[entry["name"]] = str(container["resources"][kind][resource])
        local = {name: self._local(value, places) for name, value in variables.items()}
        local |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{self._python_like_the_image()}{os.pathsep}{ROOT}",
        }
        words = [*container["command"], *container.get("args", [])]
        command = [_VARIABLE.sub(lambda match: local[match[1]], self._local(word, places)) for word in words]
        if command[0] == "tritonserver":
            command, local = self._triton(command, local)
        return command, local

    def clean(self) -> None:
        """Remove the shared memory of a Triton that was killed."""
        for left in Path("/dev/shm").glob(f"{self._shared_memory}*"):
            left.unlink(missing_ok=True)

    def _python_like_the_image(self) -> Path:
        """A folder for Python's path with which packages are missing that the gateway's image has not."""
        folder = self._folder / "image"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"import sys\nsys.modules |= dict.fromkeys({_CLIENT_PACKAGES})\n"
        text += f"HOSTS = {str(self._hosts)!r}\n{_RESOLVER}" if self._hosts else ""
        (folder / "sitecustomize.py").write_text(text)
        return folder

    def _local(self, text: str, places: Mapping[str, str]) -> str:
        others = {} if self._hosts else dict.fromkeys(_SERVICE.findall(text), self.address)
        for name, address in (others | dict(self._services) | {"0.0.0.0": self.address}).items():
            text = text.replace(name, address)
        prefix, _, path = text.rpartition("=") if text.startswith("-") else ("", "", text)
        for place, folder in places.items():
            if path == place or path.startswith(f"{place}/"):
                path = folder + path.removeprefix(place)
        return f"{prefix}={path}" if prefix else path

    def _triton(self, command: list[str], variables: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The Triton from pip, with the backend that NVIDIA's image has of its own, on the pod's address alone."""
        made = TritonEnvironment.locate(TRITON_ENVIRONMENT)
        backends = self._folder / "backends"
        if not backends.exists():
            assemble_backends(made, self._folder)
        shared_memory = f"{self._shared_memory}{next(self._starts)}-"
        command = [
            str(made.server),
            *command[1:],
            f"--grpc-address={self.address}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={shared_memory}",
        ]
        # Where it puts models of a bucket, in place of /tmp, which is not the pod's here.
        temporary = {"TRITON_AWS_MOUNT_DIRECTORY": variables["HOME"]}
        own = {key: variables[key] for key in variables.keys() - _OURS}
        return command, {**triton_variables(made), **temporary, **own}
