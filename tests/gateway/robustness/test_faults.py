"""Killed processes, a database that goes away, a full disk: no acknowledged prompt is lost.

GATEWAY_KILLS sets how often the gateway is killed; the moments are drawn from a seed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.protocol import error_from_rpc, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.gateway.process import gateway_process
from tests.gateway.prompts import SIX
from tests.gateway.triton.local.local_triton import processes
from tests.support.disks import small_disk
from tests.support.images import noisy_volume
from tests.support.models import write_clicks_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.postgresql import PostgreSQL
from tests.support.servers import running_triton

KILLS = int(os.environ.get("GATEWAY_KILLS", "8"))
SEED = 7
SESSIONS = 4


class Person:
    """Somebody who clicks on and on, repeats what got no answer, and remembers what was acknowledged."""

    def __init__(self, session_id: str, rng: random.Random) -> None:
        self.session_id = session_id
        self.rng = rng
        self.acknowledged: dict[int, list[annotation_pb.Prompt]] = {}
        self.unexpected: list[grpc.RpcError] = []

    def work(self, address: str, stop: threading.Event) -> None:
        prompt = prompt_to_message(SIX)
        request_id = uuid.uuid4().hex
        with grpc.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            stub = annotation_grpc.AnnotationServiceStub(channel)
            while not stop.is_set():
                request = annotation_pb.AnnotateRequest(
                    session_id=self.session_id, prompts=[prompt], request_id=request_id
                )
                try:
                    answer = stub.Annotate(request, timeout=10).answer
                except grpc.RpcError as error:
                    if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        self.unexpected.append(error)
                    time.sleep(0.02)
                    continue
                self.acknowledged[answer.revision] = [prompt]
                x, y, z = (float(self.rng.randrange(5, 30)) for _ in range(3))
                prompt = prompt_to_message(sixpoint.Click((x, y, z), positive=self.rng.random() < 0.5))
                request_id = uuid.uuid4().hex

    def check(self, channel: grpc.Channel) -> int:
        """The log holds every acknowledged prompt, once, at its revision; how many it holds."""
        listed = session_grpc.SessionServiceStub(channel).ListSteps(
            session_pb.ListStepsRequest(session_id=self.session_id)
        )
        found = {step.revision: list(step.prompts) for step in listed.steps}
        assert not self.unexpected
        for revision, prompts in self.acknowledged.items():
            assert found.get(revision) == prompts, f"revision {revision} is lost"
        # At most the one whose answer nobody saw.
        assert len(self.acknowledged) <= len(found) <= len(self.acknowledged) + 1
        assert sorted(found) == list(range(1, len(found) + 1))
        return len(found)


@contextlib.contextmanager
def people(address: str, rng: random.Random) -> Iterator[list[Person]]:
    """Several people at work on sessions of their own; at the end they stop."""
    with sixpoint.Client(address) as client:
        opened = [client.open_session(noisy_volume(), model="clicks").id for _ in range(SESSIONS)]
    crowd = [Person(one, random.Random(rng.random())) for one in opened]
    stop = threading.Event()
    with ThreadPoolExecutor(SESSIONS) as threads:
        running = [threads.submit(one.work, address, stop) for one in crowd]
        try:
            yield crowd
        finally:
            stop.set()
        for one in running:
            one.result(60)


@pytest.mark.timeout(1200)
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_gateway_that_is_killed_again_and_again_loses_no_acknowledged_prompt(
    triton: LocalTriton, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    rng = random.Random(SEED)
    kills = KILLS if kind == "sqlite" else max(1, KILLS // 4)
    settings = {} if kind == "sqlite" else {"database_url": request.getfixturevalue("postgresql").database()}
    with gateway_process(triton.address, tmp_path, **settings) as process:
        with people(process.address, rng) as crowd:
            for _ in range(kills):
                time.sleep(rng.uniform(0.05, 1.0))
                process.kill()
                process.start(wait=rng.random() < 0.7)
            process.wait()
            before = [len(one.acknowledged) for one in crowd]
            time.sleep(2.0)
        assert all(len(one.acknowledged) > n for one, n in zip(crowd, before, strict=True)), "all of them go on"
        with grpc.insecure_channel(process.address) as channel:
            assert sum(one.check(channel) for one in crowd) > KILLS
            acknowledged = sum(len(one.acknowledged) for one in crowd)
            print(f"{kind}: {kills} kills, {acknowledged} prompts acknowledged, none lost")  # noqa: T201
            # What is replayed from the log is what was answered.
            stub = annotation_grpc.AnnotationServiceStub(channel)
            kept = stub.GetMask(annotation_pb.GetMaskRequest(session_id=crowd[0].session_id)).answer.mask
            with sixpoint.Client(process.address) as client:
                again = client.open_session(noisy_volume(), model="clicks")
            listed = session_grpc.SessionServiceStub(channel).ListSteps(
                session_pb.ListStepsRequest(session_id=crowd[0].session_id)
            )
            for step in listed.steps:
                call = annotation_pb.AnnotateRequest(session_id=again.id, prompts=step.prompts)
                replayed = stub.Annotate(call).answer.mask
            assert replayed.SerializeToString() == kept.SerializeToString()


def test_two_gateways_on_one_state_serve_one_session(triton: LocalTriton, tmp_path: Path) -> None:
    with gateway_process(triton.address, tmp_path) as one, gateway_process(triton.address, tmp_path) as two:
        with sixpoint.Client(one.address) as client:
            session = client.open_session(noisy_volume(), model="clicks").id
        with grpc.insecure_channel(one.address) as first, grpc.insecure_channel(two.address) as second:
            stubs = [annotation_grpc.AnnotationServiceStub(channel) for channel in (first, second)]
            begun = annotation_pb.AnnotateRequest(session_id=session, prompts=[prompt_to_message(SIX)])
            assert stubs[0].Annotate(begun).answer.revision == 1
            for number in range(6):
                click = prompt_to_message(sixpoint.Click((10.0 + number, 17, 16), positive=False))
                call = annotation_pb.AnnotateRequest(session_id=session, prompts=[click], revision=1 + number)
                assert stubs[number % 2].Annotate(call).answer.revision == 2 + number
            with pytest.raises(grpc.RpcError) as caught:
                stubs[0].Annotate(call)
            assert isinstance(error_from_rpc(caught.value), errors.StaleRevision)
            masks = [stub.GetMask(annotation_pb.GetMaskRequest(session_id=session)).answer.mask for stub in stubs]
            assert masks[0].sha256 == masks[1].sha256
            two.kill()
            assert stubs[0].Undo(annotation_pb.UndoRequest(session_id=session)).answer.step == 6


@pytest.mark.triton
def test_a_triton_that_is_killed_costs_no_prompt(tmp_path: Path) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    write_clicks_model(tmp_path / "models" / "clicks")
    rng = random.Random(SEED)
    with running_triton(tmp_path / "models") as triton:
        port = int(triton.address.rpartition(":")[2])
        with gateway_process(triton.address, tmp_path / "state") as process:
            with people(process.address, rng) as crowd:
                time.sleep(rng.uniform(0.5, 1.0))
                commands = processes(tmp_path / "models").items()
                os.kill(
                    next(pid for pid, text in commands if text.split()[0].endswith("/tritonserver")), signal.SIGKILL
                )
                time.sleep(0.5)
                impatient = sixpoint.Client(process.address, retry=sixpoint.Retry.none())
                with impatient as client, pytest.raises(errors.TritonUnavailable) as caught:
                    client.models()
                assert caught.value.retry_after
                with running_triton(tmp_path / "models", port=port):
                    process.wait()
                    before = [len(one.acknowledged) for one in crowd]
                    time.sleep(2.0)
                    with grpc.insecure_channel(process.address) as channel:
                        assert all(len(one.acknowledged) > n for one, n in zip(crowd, before, strict=True))
                        time.sleep(0.2)
            with grpc.insecure_channel(process.address) as channel:
                for one in crowd:
                    one.check(channel)


def test_a_database_that_goes_away_and_comes_back(triton: LocalTriton, tmp_path: Path, postgresql: PostgreSQL) -> None:
    rng = random.Random(SEED)
    url = postgresql.database()
    with gateway_process(triton.address, tmp_path, database_url=url) as process:
        with people(process.address, rng) as crowd:
            time.sleep(1.0)
            postgresql.stop()
            try:
                impatient = sixpoint.Client(process.address, retry=sixpoint.Retry.none())
                with impatient as client, pytest.raises(errors.StorageUnavailable) as caught:
                    client.open_session(noisy_volume(), model="clicks")
                assert caught.value.retry_after
                assert url not in str(caught.value)
                time.sleep(1.0)
            finally:
                postgresql.start()
            time.sleep(1.0)
            before = [len(one.acknowledged) for one in crowd]
            time.sleep(3.0)
            assert all(len(one.acknowledged) > n for one, n in zip(crowd, before, strict=True))
        with grpc.insecure_channel(process.address) as channel:
            for one in crowd:
                one.check(channel)


def test_a_full_disk_refuses_prompts_and_loses_none(triton: LocalTriton, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=24) as disk, gateway_process(triton.address, disk) as process:
        with sixpoint.Client(process.address) as client:
            session = client.open_session(noisy_volume(), model="clicks")
            session.annotate(SIX)
            filler = disk / "filler"
            fill(filler)
            acknowledged = 1
            refused = False
            for number in range(500):
                try:
                    session.click((5.0 + number % 30, 17, 16))
                except errors.StorageFull:
                    refused = True
                    break
                acknowledged += 1
            assert refused
            with pytest.raises(errors.StorageFull):
                client.open_session(noisy_volume((60, 61, 62)), model="clicks")
            filler.unlink()
            session.click((20, 17, 16), positive=False)
        with grpc.insecure_channel(process.address) as channel:
            listed = session_grpc.SessionServiceStub(channel).ListSteps(
                session_pb.ListStepsRequest(session_id=session.id)
            )
        assert len(listed.steps) == acknowledged + 1


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(2**14))
