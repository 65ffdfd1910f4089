"""What pods of the manifests run, as processes of this machine: commands, variables, files and ports as written there.

This is no kubelet: nothing is isolated, and names of Services stand for this machine.
"""

from __future__ import annotations

import contextlib
import os
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
from tests.support.ports import free_port

__all__ = ["LocalPods"]

_SERVICE = re.compile(r"(?:dns:///)?[\w-]+\.imaging\.svc:(\d+)")
_VARIABLE = re.compile(r"\$\((\w+)\)")
_SECONDS = 60
_CLIENT_PACKAGES = ["SimpleITK", "nibabel", "pydicom", "highdicom", "PIL"]
# Variables of ours, for which Triton has others.
_OURS = {"PATH", "PYTHONPATH"}


class LocalPods:
    """Processes in place of pods.

    Args:
        documents: The manifests.
        folder: Folder for the volumes.
        secrets: For each Secret, its contents by key.
    """

    def __init__(self, documents: list[Document], folder: Path, *, secrets: Mapping[str, Mapping[str, str]]) -> None:
        self._documents = documents
        self._folder = folder
        self._secrets = secrets
        self._ports: dict[str, str] = {}

    def run(self, pod: Pod, container: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run a container that ends by itself."""
        command, variables = self._process(pod, container)
        return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS)

    @contextlib.contextmanager
    def running(self, pod: Pod) -> Iterator[subprocess.Popen[bytes]]:
        """Run a pod's main container until the context ends."""
        container = pod.spec["containers"][0]
        command, variables = self._process(pod, container)
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

    def port(self, number: int | str) -> str:
        """The port of this machine for a port of the manifests."""
        return self._ports.setdefault(str(number), str(free_port()))

    def ask(self, pod: Pod, probe: str) -> bool:
        """Whether a probe of the main container succeeds now."""
        action = pod.spec["containers"][0][probe]["grpc"]
        with grpc.insecure_channel(f"127.0.0.1:{self.port(action['port'])}") as channel:
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
        parts = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
        for part in [*parts, *([volume["secret"]] if "secret" in volume else [])]:
            contents = self._secrets[part.get("name") or part["secretName"]]
            for item in part.get("items", [{"key": key, "path": key} for key in contents]):
                (folder / item["path"]).write_text(contents[item["key"]])

    def _process(self, pod: Pod, container: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        places = {place["mountPath"]: str(self.volume(pod, place["name"])) for place in container["volumeMounts"]}
        variables = environment(self._documents, pod) if container in pod.spec["containers"] else {}
        for entry in container["env"]:
            if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                variables[entry["name"]] = self._secrets[reference["name"]][reference["key"]]
        local = {
            name: self.port(value) if name.endswith("_PORT") else self._local(value, places)
            for name, value in variables.items()
        }
        local |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{self._without_client_packages()}{os.pathsep}{ROOT}",
        }
        words = [*container["command"], *container.get("args", [])]
        command = [_VARIABLE.sub(lambda match: local[match[1]], self._local(word, places)) for word in words]
        if command[0] == "tritonserver":
            command, local = self._triton(command, local)
        return command, local

    def _without_client_packages(self) -> Path:
        """A folder for Python's path with which packages are missing that the gateway's image has not."""
        folder = self._folder / "image"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"import sys\nsys.modules |= dict.fromkeys({_CLIENT_PACKAGES})\n"
        (folder / "sitecustomize.py").write_text(text)
        return folder

    def _local(self, text: str, places: Mapping[str, str]) -> str:
        text = _SERVICE.sub(lambda match: f"127.0.0.1:{self.port(match[1])}", text)
        if port := re.fullmatch(r"(--\w+-port=)(\d+)", text):
            return port[1] + self.port(port[2])
        prefix, _, path = text.rpartition("=") if text.startswith("-") else ("", "", text)
        for place, folder in places.items():
            if path == place or path.startswith(f"{place}/"):
                path = folder + path.removeprefix(place)
        return f"{prefix}={path}" if prefix else path

    def _triton(self, command: list[str], variables: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The Triton from pip, with the backend that NVIDIA's image has of its own."""
        made = TritonEnvironment.locate(TRITON_ENVIRONMENT)
        command = [str(made.server), *command[1:], f"--backend-directory={assemble_backends(made, self._folder)}"]
        return command, {**triton_variables(made), **{key: variables[key] for key in variables.keys() - _OURS}}
