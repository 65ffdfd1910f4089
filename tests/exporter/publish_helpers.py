"""A tiny model without weights to publish, and a client that sends requests without a pause."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from exporter.publishing.prepare import prepare
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.status import list_versions
from exporter.publishing.triton import Triton
from exporter.repository.folder import FolderRepository
from exporter.sources.options import ExportOptions
from sixpoint.model_spec import CANDIDATE_PARAMETER, Candidate
from tests.support.models import ELLIPSOID_SPEC, write_ellipsoid_model

SPEC = ELLIPSOID_SPEC.model_copy(update={"roi": ELLIPSOID_SPEC.roi.model_copy(update={"size": (16, 16, 16)})})


def prepared_model(folder: Path, *, name: str = "tiny") -> PreparedModel:
    """Return an exported model, prepared for publishing."""
    write_ellipsoid_model(folder / name, spec=SPEC)
    (folder / "work").mkdir()
    return prepare(folder / name, ExportOptions(tolerance=0.01), name=name, folder=folder / "work")


def states(models: FolderRepository) -> dict[int, tuple[str, float]]:
    """Return the state and the share of every version of the model."""
    return {one.version: (one.state, one.share) for one in list_versions(models, "tiny")}


@dataclass
class Requests:
    """Numbers of answers by version, and of failures by their text."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


def _serving(stub: Any, triton: Triton, name: str) -> str:
    """Return the newest ready version that is not on trial.

    Versions and config take two calls: repeated until nothing changed in between.
    """
    while True:
        before = _ready(triton, name)
        parameters = stub.ModelConfig(service_pb2.ModelConfigRequest(name=name)).config.parameters
        text = parameters[CANDIDATE_PARAMETER].string_value if CANDIDATE_PARAMETER in parameters else ""
        candidates = {int(Candidate.from_json(text).version)} if text else set()
        if before == _ready(triton, name):
            return str(max(before - candidates))


def _ready(triton: Triton, name: str) -> set[int]:
    return {version for version, (state, _) in triton.version_states(name).items() if state == "READY"}


@contextlib.contextmanager
def asking(address: str, *, name: str = "tiny", by_version: bool) -> Iterator[Requests]:
    """Send requests without a pause, from a thread.

    Args:
        address: Address of Triton.
        name: Name of the model.
        by_version: Whether to name the serving version, as the gateway does: the newest that is ready and not on trial.
    """
    requests, done = Requests(), threading.Event()
    image = np.zeros((1, *SPEC.input_shape), np.float16).tobytes()

    def ask(stub: Any, version: str) -> None:
        request = service_pb2.ModelInferRequest(model_name=name, model_version=version)
        request.inputs.add(name="INPUT", datatype="FP16", shape=[1, *SPEC.input_shape])
        request.raw_input_contents.append(image)
        try:
            requests.answers[str(stub.ModelInfer(request, timeout=30).model_version)] += 1
        except grpc.RpcError as error:
            requests.failures[str(error.details())] += 1

    def run() -> None:
        with grpc.insecure_channel(address) as channel, Triton(address) as triton:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while not done.is_set():
                version = ""
                if by_version:
                    version = _serving(stub, triton, name)
                ask(stub, version)
                done.wait(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield requests
    finally:
        done.set()
        thread.join()
