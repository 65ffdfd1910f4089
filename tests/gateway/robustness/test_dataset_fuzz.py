"""The calls of datasets and jobs, with requests that no client should send: no fault, no hang, no stall, flat memory.

GATEWAY_FUZZ sets the number of requests, GATEWAY_FUZZ_SEED the seed that they are drawn from.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.struct_pb2 import Struct

import sixpoint
from benchmarks.servers.watched_gateway import longest_stall
from gateway.triton.local.server import LocalTriton
from sixpoint.mask import pack
from sixpoint.protocol import mask_to_message
from sixpoint.v1 import dataset_service_pb2 as dataset_pb
from sixpoint.v1 import job_service_pb2 as job_pb
from sixpoint.v1 import learning_service_pb2 as learning_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from tests.gateway.process import GatewayProcess, gateway_process
from tests.gateway.prompts import SIX
from tests.gateway.robustness.fuzzing import FAULTS, GROWTH_BYTES, LARGEST, STALL_S, Maker, damaged
from tests.support.images import noisy_volume

CASES = int(os.environ.get("GATEWAY_FUZZ", "500"))
SEED = int(os.environ.get("GATEWAY_FUZZ_SEED", "20261202"))
# Nothing that a case may name: what a case removes would be missed by all that follow.
KEPT = "organs"
SERVICES = [
    dataset_pb.DESCRIPTOR.services_by_name["DatasetService"],
    job_pb.DESCRIPTOR.services_by_name["JobService"],
    learning_pb.DESCRIPTOR.services_by_name["LearningService"],
]
METHODS = {method.name: f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}


class Caller:
    """A client that has datasets with an image, an annotation and a job."""

    def __init__(self, client: sixpoint.Client, channel: grpc.Channel, rng: random.Random) -> None:
        volume = noisy_volume()
        self._channel, self._rng = channel, rng
        session = client.open_session(volume, model="clicks")
        session.annotate(SIX)
        session.rename(1, "object")
        for name in (KEPT, "spare"):
            client.datasets.create(name, labels=["object", "vessel", "anterior", "posterior"])
            client.datasets.add_image(name, volume, case_name="a", patient="p")
        array = np.zeros(volume.array.shape, np.bool_)
        array[3:9, 4:12, 5:20] = True
        saved = client.datasets.add_masks(KEPT, volume.digest, {"object": array})
        other = client.datasets.add_masks(KEPT, volume.digest, {"object": np.roll(array, 1, 2)})
        job = client.jobs.create("segment", {"dataset": KEPT, "model": "segmentation_hippocampus"})
        strings = [KEPT, "spare", volume.digest, session.id, saved.id, job.id, "a", "p", "object", "segment"]
        self._maker = Maker(rng, strings)
        place: dict[str, Any] = {"dataset": KEPT}
        image: dict[str, Any] = {**place, "image_digest": volume.digest}
        added = [dataset_pb.NewDatasetImage(image_digest=volume.digest, case_name="a", patient="p")]
        label = dataset_pb.LabelMask(name="object", mask=mask_to_message(pack(array, (0, 0, 0))))
        rules = Struct()
        rules.update({"modality": "CT", "train": {"minutes": 5}})
        client.learning.set_rules(KEPT, {"modality": "CT"})
        made = job_pb.CreateJobRequest(kind="segment", priority=1)
        made.parameters.update({"dataset": KEPT, "model": "segmentation_hippocampus", "split": "training"})
        self.valid: dict[str, Any] = {
            "CreateDataset": dataset_pb.CreateDatasetRequest(
                name="another", labels=[dataset_pb.DatasetLabel(name="x")], validation_share=0.2
            ),
            "GetDataset": dataset_pb.GetDatasetRequest(name=KEPT),
            "ListDatasets": dataset_pb.ListDatasetsRequest(page_size=3),
            "AddLabels": dataset_pb.AddLabelsRequest(labels=[dataset_pb.DatasetLabel(name="bone")], **place),
            "ListDatasetImages": dataset_pb.ListDatasetImagesRequest(page_size=3, **place),
            "NextImage": dataset_pb.NextImageRequest(
                strategy=dataset_pb.NEXT_STRATEGY_RANDOM, keep_seconds=1, readers=2, **place
            ),
            "SkipImage": dataset_pb.SkipImageRequest(reason="x", **image),
            "SaveAnnotation": dataset_pb.SaveAnnotationRequest(
                session_id=session.id, absent_labels=["vessel", "anterior", "posterior"], **place
            ),
            "ImportAnnotation": dataset_pb.ImportAnnotationRequest(labels=[label], **image),
            "ListAnnotations": dataset_pb.ListAnnotationsRequest(page_size=3, **image),
            "GetAnnotation": dataset_pb.GetAnnotationRequest(id=saved.id),
            "ReviewAnnotation": dataset_pb.ReviewAnnotationRequest(
                id=saved.id, state=dataset_pb.ANNOTATION_STATE_ACCEPTED, reason="x"
            ),
            "AdjudicateAnnotations": dataset_pb.AdjudicateAnnotationsRequest(
                id=saved.id, among_ids=[saved.id, other.id], reason="x"
            ),
            "TraceImages": dataset_pb.TraceImagesRequest(case_name="a", page_size=3, **place),
            "RemoveImages": dataset_pb.RemoveImagesRequest(dataset="spare", case_name="a"),
            "AddImages": dataset_pb.AddImagesRequest(dataset="spare", images=added),
            "CreateJob": made,
            "GetJob": job_pb.GetJobRequest(id=job.id),
            "ListJobs": job_pb.ListJobsRequest(page_size=3),
            "PauseJob": job_pb.PauseJobRequest(id=job.id),
            "WatchJob": job_pb.WatchJobRequest(id=job.id),
            "ResumeJob": job_pb.ResumeJobRequest(id=job.id),
            "ListJobLines": job_pb.ListJobLinesRequest(id=job.id, after=1),
            "CancelJob": job_pb.CancelJobRequest(id=job.id),
            "SetLearningRules": learning_pb.SetLearningRulesRequest(rules=rules, **place),
            "GetLearning": learning_pb.GetLearningRequest(**place),
            "ListDecisions": learning_pb.ListDecisionsRequest(page_size=3, **place),
            "StartRound": learning_pb.StartRoundRequest(by_hand=True, **place),
            "PromoteVersion": learning_pb.PromoteVersionRequest(
                task=model_pb.TASK_ANNOTATION, version="1", share=0.5, **place
            ),
            "RollBackVersion": learning_pb.RollBackVersionRequest(task=model_pb.TASK_ANNOTATION, **place),
        }

    def draw(self) -> tuple[str, bytes]:
        """Draw a call: its name, and its message, of which one in four is damaged."""
        name, valid = self._rng.choice(list(self.valid.items()))
        message = self._maker.message(type(valid)) if self._rng.random() < 0.4 else self._maker.mutated(valid)
        if name == "RemoveImages":
            message.dataset, message.end_sessions = "spare", False
        data = message.SerializeToString()[:LARGEST]
        return name, damaged(self._rng, data) if self._rng.random() < 0.25 and name != "RemoveImages" else data

    def code(self, name: str, data: bytes) -> grpc.StatusCode:
        """Send a call; the code that it ended with. Who watches a job that waits leaves again."""
        watches = name == "WatchJob"
        method: Any = self._channel.unary_stream(METHODS[name])
        try:
            list(method(data, timeout=0.2 if watches else 60.0))
        except grpc.RpcError as error:
            left = watches and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return grpc.StatusCode.CANCELLED if left else error.code()
        return grpc.StatusCode.OK


@pytest.fixture
def process(triton: LocalTriton, tmp_path: Path) -> Iterator[GatewayProcess]:
    # Jobs wait: another process would change what the gateway takes.
    settings: dict[str, Any] = {"max_sessions": 100_000, "job_workers": 0, "worker_kinds": "segment,learn"}
    with gateway_process(triton.address, tmp_path, stalls=tmp_path / "stalls", **settings) as running:
        yield running


@pytest.mark.no_cover  # The gateway is another process; tracing slows the messages down.
@pytest.mark.slow
@pytest.mark.triton
@pytest.mark.timeout(max(300, CASES // 5))
def test_nothing_that_is_sent_makes_the_gateway_fail(process: GatewayProcess) -> None:
    stalls, began = process.stalls, time.time()
    assert stalls is not None
    with sixpoint.Client(process.address) as client, grpc.insecure_channel(process.address) as channel:
        caller = Caller(client, channel, random.Random(SEED))
        for name, valid in caller.valid.items():
            assert caller.code(name, valid.SerializeToString()) is grpc.StatusCode.OK, name
        for _ in range(CASES // 5):
            caller.code(*caller.draw())
        before, seen = process.memory, Counter[tuple[str, str]]()
        for number in range(CASES):
            name, data = caller.draw()
            code = caller.code(name, data)
            seen[name, code.name] += 1
            assert code not in FAULTS, f"case {number}: {name} ended with {code.name}"
        # The time that the loop's own thread worked: other programs do not change it.
        stall = longest_stall(stalls, since=began, measure="worked")
        codes = Counter(code for _, code in seen.elements())
        growth = process.memory - before
        print(f"{dict(codes)}; {growth / 2**20:+.1f} MiB; {1000 * stall:.0f} ms")  # noqa: T201
        assert {name for name, _ in seen} == METHODS.keys() == caller.valid.keys()
        assert growth < GROWTH_BYTES
        assert stall < STALL_S
        assert process.running.poll() is None
        assert client.datasets.get(KEPT).image_count == 1
