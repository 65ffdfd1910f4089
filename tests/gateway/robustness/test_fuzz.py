"""Every call, with thousands of requests that no client should send: no crash, no hang, no stall, no fault of its own.

GATEWAY_FUZZ sets the number of requests, GATEWAY_FUZZ_SEED the seed that they are drawn from.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

import sixpoint
from benchmarks.servers.watched_gateway import longest_stall
from gateway.triton.local.server import LocalTriton
from sixpoint.protocol import geometry_to_message, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.process import GatewayProcess, gateway_process
from tests.gateway.prompts import SIX
from tests.gateway.robustness.fuzzing import FAULTS, GROWTH_BYTES, LARGEST, STALL_S, Maker, damaged
from tests.support.images import noisy_volume

CASES = int(os.environ.get("GATEWAY_FUZZ", "2500"))
SEED = int(os.environ.get("GATEWAY_FUZZ_SEED", "20261124"))
ATTEMPTS = 6
METHODS = {
    method.name: f"/{service.full_name}/{method.name}"
    for file in (annotation_pb, image_pb, model_pb, session_pb)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True)
class Case:
    """A call: its method, its messages as bytes, and the seconds after which its caller leaves."""

    method: str
    parts: tuple[bytes, ...]
    seconds: float = 60.0

    def code(self, channel: grpc.Channel) -> grpc.StatusCode:
        """Send it; the code that it ended with, CANCELLED if its caller left early."""
        # The client does not mind what kind of method it is.
        method: Any = channel.stream_stream(METHODS[self.method])
        try:
            list(method(iter(self.parts), timeout=self.seconds))
        except grpc.RpcError as error:
            left = self.seconds < 1 and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return grpc.StatusCode.CANCELLED if left else error.code()
        return grpc.StatusCode.OK


class Cases:
    """Makes calls on a gateway that has an image and a session."""

    def __init__(self, client: sixpoint.Client, rng: random.Random) -> None:
        volume = noisy_volume()
        self.rng = rng
        self.session = client.open_session(volume, model="clicks")
        self.voxels = volume.array.tobytes()
        self.header = image_pb.Image(
            digest=volume.digest,
            geometry=geometry_to_message(volume.geometry),
            voxel_type=volume_pb.VOXEL_TYPE_INT16,
            byte_count=volume.array.nbytes,
        )
        self.maker = Maker(rng, [self.session.id, volume.digest, "clicks", "ellipsoid", "deaf", "p", "r1", "r2"])
        place: dict[str, Any] = {"session_id": self.session.id, "segment": 1}
        corners = [(15, 12, 16), (25, 12, 16), (20, 22, 16)]
        drawn: list[sixpoint.Prompt] = [sixpoint.Scribble(corners), sixpoint.Lasso(corners, False)]
        prompts = [*map(prompt_to_message, [SIX, sixpoint.Click((20, 17, 15)), *drawn])]
        self.annotate = annotation_pb.AnnotateRequest(prompts=prompts, **place)
        opened: dict[str, Any] = {"session_id": self.session.id}
        digest, image = {"digest": volume.digest}, {"image_digest": volume.digest}
        self.unary: dict[str, Any] = {
            "Annotate": self.annotate,
            "Undo": annotation_pb.UndoRequest(**place),
            "Redo": annotation_pb.RedoRequest(**place),
            "Reset": annotation_pb.ResetRequest(**place),
            "GetMask": annotation_pb.GetMaskRequest(**place),
            "Segment": annotation_pb.SegmentRequest(model="segmentation_hippocampus", **image),
            "GetImage": image_pb.GetImageRequest(**digest),
            "GetUpload": image_pb.GetUploadRequest(**digest),
            "DownloadImage": image_pb.DownloadImageRequest(**digest),
            "ListModels": model_pb.ListModelsRequest(label="object"),
            "GetModel": model_pb.GetModelRequest(name="clicks"),
            "CreateSession": session_pb.CreateSessionRequest(model="clicks", request_id="r", **image),
            "GetSession": session_pb.GetSessionRequest(**opened),
            "ListSessions": session_pb.ListSessionsRequest(page_size=3),
            "UpdateSession": session_pb.UpdateSessionRequest(model="clicks", **opened),
            "ListSteps": session_pb.ListStepsRequest(**opened),
            "ForkSession": session_pb.ForkSessionRequest(segment=1, step=1, **opened),
            "CloseSession": session_pb.CloseSessionRequest(session_id="x"),
        }

    def draw(self) -> Case:
        """Draw the next call; in one of three, bytes are damaged, and one caller of twenty leaves within 20 ms."""
        kind, parts = self.rng.random(), list[Any]()
        if kind < 0.08:
            name, parts = "UploadImage", self._upload()
        elif kind < 0.14:
            name, parts = "Interact", self._actions()
        else:
            name, valid = self.rng.choice(list(self.unary.items()))
            parts = [self.maker.message(type(valid)) if self.rng.random() < 0.4 else self.maker.mutated(valid)]
            if name == "CloseSession" and parts[0].session_id == self.session.id:
                parts[0].session_id = ""
        data = [part.SerializeToString()[:LARGEST] for part in parts]
        if data and self.rng.random() < 1 / 3:
            place = self.rng.randrange(len(data))
            data[place] = damaged(self.rng, data[place])
        hasty = self.rng.random() < 0.05
        return Case(name, tuple(data), seconds=self.rng.uniform(0.001, 0.02) if hasty else 60.0)

    def _upload(self) -> list[Any]:
        rng = self.rng
        if rng.random() < 0.1:
            return [image_pb.UploadImageRequest(header=self.header), image_pb.UploadImageRequest(chunk=self.voxels)]
        first = image_pb.UploadImageRequest(header=self.maker.mutated(self.header), offset=rng.choice((0, 0, 0, 5, -1)))
        parts = [first] if rng.random() < 0.8 else []
        return parts + [self.maker.message(image_pb.UploadImageRequest) for _ in range(rng.randrange(4))]

    def _actions(self) -> list[Any]:
        actions = []
        for number in range(self.rng.randrange(1, 6)):
            if self.rng.random() < 0.3:
                actions.append(self.maker.message(annotation_pb.InteractRequest))
            else:
                actions.append(annotation_pb.InteractRequest(id=number, annotate=self.maker.mutated(self.annotate)))
        return actions


def smallest_stall(stalls: Path, work: Callable[[], object], *, attempts: int) -> float:
    """Repeat a call that stalled the loop until it does not; the seconds of the smallest stall.

    A busy machine stalls every thread now and then, and not all of that is known to be other programs'; what the call
    itself causes comes each time.
    """
    seconds = [float("inf")]
    while len(seconds) <= attempts and min(seconds) >= STALL_S:
        started = time.time()
        work()
        time.sleep(0.01)
        seconds.append(longest_stall(stalls, since=started, measure="own"))
    return min(seconds)


@pytest.fixture
def process(triton: LocalTriton, tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway_process(triton.address, tmp_path, stalls=tmp_path / "stalls", max_sessions=100_000) as running:
        yield running


@pytest.mark.no_cover  # The gateway is another process; tracing slows the messages down.
@pytest.mark.slow
@pytest.mark.timeout(max(300, CASES // 10))
def test_nothing_that_is_sent_makes_the_gateway_fail(process: GatewayProcess) -> None:
    stalls = process.stalls
    assert stalls is not None
    # The largest messages arrive whole, and longer answers than gRPC takes by default come back.
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with sixpoint.Client(process.address) as client, grpc.insecure_channel(process.address, options) as channel:
        cases = Cases(client, random.Random(SEED))
        for _ in range(CASES // 10):
            cases.draw().code(channel)
        before, seen, late = process.memory, Counter[tuple[str, str]](), 0
        for number in range(CASES):
            case, started = cases.draw(), time.time()
            code = case.code(channel)
            seen[case.method, code.name] += 1
            assert code not in FAULTS, f"case {number}: {case.method} ended with {code.name}"
            if longest_stall(stalls, since=started, measure="own") >= STALL_S:
                late += 1
                stall = smallest_stall(stalls, partial(case.code, channel), attempts=ATTEMPTS)
                assert stall < STALL_S, f"case {number}: {case.method} kept the loop from its work for {stall} s"
        codes = Counter(code for _, code in seen.elements())
        growth = (process.memory - before) / 2**20
        print(f"{dict(codes)}; {growth:+.1f} MiB; {late} cases beside a stall, which did not come again")  # noqa: T201
        # Each call was made, and some of each were good ones: what lies behind the first check was reached.
        assert {name for name, code in seen if code == "OK"} == METHODS.keys()
        assert process.memory - before < GROWTH_BYTES
        assert process.running.poll() is None
        assert client.open_session(noisy_volume(), model="clicks").annotate(SIX).array.any()
