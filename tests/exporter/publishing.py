"""A tiny model without weights to publish, and a client that never stops asking."""

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

from exporter.publishing import Release
from exporter.release import prepare
from exporter.triton import Triton
from tests.harness import ELLIPSOID_SPEC, write_ellipsoid_model

SPEC = ELLIPSOID_SPEC.model_copy(update={"roi": ELLIPSOID_SPEC.roi.model_copy(update={"size": (16, 16, 16)})})


def release(folder: Path, *, name: str = "tiny") -> Release:
    """The exported model, made ready to be published."""
    write_ellipsoid_model(folder / name, spec=SPEC)
    (folder / "work").mkdir()
    return prepare(
        folder / name, spec=None, name=name, image=None, max_batch_size=4, tolerance=0.01, folder=folder / "work"
    )


@dataclass
class Asked:
    """How many answers each version gave, and how many failures there were, by their text."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def asking(address: str, *, name: str = "tiny", by_version: bool) -> Iterator[Asked]:
    """Ask without a pause, from a thread, the newest version or (``by_version``) the one that last was seen ready."""
    asked, done = Asked(), threading.Event()
    given = np.zeros((1, *SPEC.input_shape), np.float16).tobytes()

    def ask(stub: Any, version: str) -> None:
        request = service_pb2.ModelInferRequest(model_name=name, model_version=version)
        request.inputs.add(name="INPUT", datatype="FP16", shape=[1, *SPEC.input_shape])
        request.raw_input_contents.append(given)
        try:
            asked.answers[stub.ModelInfer(request, timeout=30).model_version] += 1
        except grpc.RpcError as error:
            asked.failures[error.details()] += 1

    def run() -> None:
        with grpc.insecure_channel(address) as channel, Triton(address) as triton:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while not done.is_set():
                version = ""
                if by_version:
                    states = triton.states(name)
                    version = str(max(one for one, (state, _) in states.items() if state == "READY"))
                ask(stub, version)
                done.wait(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield asked
    finally:
        done.set()
        thread.join()
