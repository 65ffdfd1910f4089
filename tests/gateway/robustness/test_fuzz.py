"""Every call, with thousands of requests that no client should send: no crash, no hang, no fault of its own."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint.protocol import geometry_to_message, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import model_service_pb2_grpc as model_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.process import GatewayProcess, gateway_process
from tests.gateway.prompts import SIX
from tests.gateway.robustness.fuzzing import Maker
from tests.support.images import noisy_volume

CASES = int(os.environ.get("GATEWAY_FUZZ", "10000"))
SEED = 20261124
FAULTS = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
}
# Python's allocator keeps some of what it was once given.
GROWTH_BYTES = 64 * 2**20


class Target:
    """A gateway process, what it knows, and its calls."""

    def __init__(self, address: str, rng: random.Random) -> None:
        self.channel = grpc.insecure_channel(address)
        volume = noisy_volume()
        self.client = sixpoint.Client(address)
        self.session = self.client.open_session(volume, model="clicks")
        self.voxels = volume.array.tobytes()
        self.header = image_pb.Image(
            digest=volume.digest,
            geometry=geometry_to_message(volume.geometry),
            voxel_type=volume_pb.VOXEL_TYPE_INT16,
            byte_count=volume.array.nbytes,
        )
        known = [self.session.id, volume.digest, "clicks", "ellipsoid", "deaf", "p", "r1", "r2"]
        self.maker = Maker(rng, known)
        prompts = [
            prompt_to_message(SIX),
            prompt_to_message(sixpoint.Click((20, 17, 15))),
        ]
        place: dict[str, Any] = {"session_id": self.session.id, "segment": 1}
        self.annotate = annotation_pb.AnnotateRequest(prompts=prompts, **place)
        stubs: dict[str, Any] = {
            "a": annotation_grpc.AnnotationServiceStub(self.channel),
            "i": image_grpc.ImageServiceStub(self.channel),
            "m": model_grpc.ModelServiceStub(self.channel),
            "s": session_grpc.SessionServiceStub(self.channel),
        }
        self.interact = stubs["a"].Interact
        self.upload = stubs["i"].UploadImage
        self.unary: list[tuple[Any, Any]] = [
            (stubs["a"].Annotate, self.annotate),
            (stubs["a"].Undo, annotation_pb.UndoRequest(**place)),
            (stubs["a"].Redo, annotation_pb.RedoRequest(**place)),
            (stubs["a"].Reset, annotation_pb.ResetRequest(**place)),
            (stubs["a"].GetMask, annotation_pb.GetMaskRequest(**place)),
            (
                lambda request, timeout: list(stubs["a"].Segment(request, timeout=timeout)),
                annotation_pb.SegmentRequest(image_digest=volume.digest, model="segmentation_hippocampus"),
            ),
            (stubs["i"].GetImage, image_pb.GetImageRequest(digest=volume.digest)),
            (stubs["i"].GetUpload, image_pb.GetUploadRequest(digest=volume.digest)),
            (stubs["m"].ListModels, model_pb.ListModelsRequest(label="object")),
            (stubs["m"].GetModel, model_pb.GetModelRequest(name="clicks")),
            (
                stubs["s"].CreateSession,
                session_pb.CreateSessionRequest(image_digest=volume.digest, model="clicks", request_id="r"),
            ),
            (stubs["s"].GetSession, session_pb.GetSessionRequest(session_id=self.session.id)),
            (stubs["s"].ListSessions, session_pb.ListSessionsRequest(page_size=3)),
            (stubs["s"].UpdateSession, session_pb.UpdateSessionRequest(session_id=self.session.id, model="clicks")),
            (stubs["s"].ListSteps, session_pb.ListStepsRequest(session_id=self.session.id)),
            (stubs["s"].ForkSession, session_pb.ForkSessionRequest(session_id=self.session.id, segment=1, step=1)),
            (stubs["s"].CloseSession, session_pb.CloseSessionRequest(session_id="x")),
        ]

    def one(self, rng: random.Random) -> tuple[str, grpc.StatusCode]:
        """One call: its name, and the code that it ended with."""
        kind = rng.random()
        if kind < 0.08:
            return "UploadImage", _code(lambda: self.upload(iter(self._parts(rng)), timeout=20))
        if kind < 0.14:
            return "Interact", _code(lambda: list(self.interact(iter(self._actions(rng)), timeout=60)))
        call, valid = rng.choice(self.unary)
        request = self.maker.message(type(valid)) if rng.random() < 0.4 else self.maker.mutated(valid)
        if getattr(request, "session_id", "") == self.session.id and isinstance(
            request, session_pb.CloseSessionRequest
        ):
            request.session_id = ""
        return type(valid).__name__, _code(lambda: call(request, timeout=20))

    def _parts(self, rng: random.Random) -> list[image_pb.UploadImageRequest]:
        if rng.random() < 0.1:
            return [image_pb.UploadImageRequest(header=self.header), image_pb.UploadImageRequest(chunk=self.voxels)]
        first = image_pb.UploadImageRequest(header=self.maker.mutated(self.header), offset=rng.choice((0, 0, 0, 5, -1)))
        parts = [first] if rng.random() < 0.8 else []
        return parts + [self.maker.message(image_pb.UploadImageRequest) for _ in range(rng.randrange(4))]

    def _actions(self, rng: random.Random) -> list[annotation_pb.InteractRequest]:
        actions = []
        for number in range(rng.randrange(1, 6)):
            if rng.random() < 0.3:
                actions.append(self.maker.message(annotation_pb.InteractRequest))
            else:
                actions.append(annotation_pb.InteractRequest(id=number, annotate=self.maker.mutated(self.annotate)))
        return actions


def _code(call: Any) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.fixture
def process(triton: LocalTriton, tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway_process(triton.address, tmp_path, max_sessions=100_000) as running:
        yield running


@pytest.mark.no_cover  # The gateway is another process; tracing slows the messages down.
@pytest.mark.timeout(900)
def test_nothing_that_is_sent_makes_the_gateway_fail(process: GatewayProcess) -> None:
    rng = random.Random(SEED)
    target = Target(process.address, rng)
    for _ in range(CASES // 10):
        target.one(rng)
    before, seen = process.memory, Counter[tuple[str, str]]()
    for number in range(CASES):
        name, code = target.one(rng)
        seen[name, code.name] += 1
        assert code not in FAULTS, f"case {number}: {name} ended with {code.name}"
    files = (annotation_pb, image_pb, model_pb, session_pb)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    offered = {method.name for service in services for method in service.methods}
    # Each call was made, and some of each were good ones: what lies behind the first check was reached.
    assert {name.removesuffix("Request") for name, code in seen if code == "OK"} == offered
    assert process.memory - before < GROWTH_BYTES
    assert process.running.poll() is None
    fresh = target.client.open_session(noisy_volume(), model="clicks")
    assert fresh.annotate(SIX).array.any()
