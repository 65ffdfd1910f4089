"""Polite callers beside an attack: one who prompts, one who writes, one who uploads, and a health probe."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.attacks.callers import CHANNEL_OPTIONS
from sixpoint._typing import Size
from sixpoint.client._operations.upload import upload_messages
from sixpoint.geometry import Geometry
from sixpoint.prompts import ExtremePoints
from sixpoint.protocol import owner_to_metadata, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from sixpoint.volume import Volume

__all__ = ["Witness", "health_probe", "prompter", "uploader", "writer"]

_SECONDS, _PATIENCE_S = 60.0, 3.0
_HEALTH_PAUSE_S, _WRITE_PAUSE_S, _UPLOAD_PAUSE_S, _REFUSED_PAUSE_S = 0.02, 0.1, 0.5, 0.05
_UPLOAD_SIZE: Size = (64, 64, 64)
# Alive even when Triton is not.
_LIVENESS = "sixpoint.v1.ImageService"


@dataclass
class Witness:
    """Repeats a call on a thread of its own, and notes what it took.

    Attributes:
        call: The call; raises RpcError when it is refused.
        pause: Seconds between two calls.
        seconds: Durations of the calls that were answered.
        codes: Number of refused calls, by name of the status code.
    """

    call: Callable[[], object]
    pause: float = 0.0
    seconds: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _started: float = 0.0
    _unanswered_since: float = 0.0
    _silence: float = 0.0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # A call that waits for the attacked gateway ends with its deadline.
        self._thread.join(_PATIENCE_S)

    def restart(self) -> None:
        """Forget what was noted; a call that runs now counts from its start."""
        self.seconds, self.codes, self._silence = [], Counter(), 0.0

    def longest(self) -> float:
        """Return the seconds of the longest call, one that is not answered yet included."""
        return max([*self.seconds, _since(self._started)])

    def silence(self) -> float:
        """Return the longest time in seconds from a call to the next answer; a refusal is no answer."""
        return max(self._silence, _since(self._unanswered_since))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._started = time.perf_counter()
            self._unanswered_since = self._unanswered_since or self._started
            try:
                self.call()
            except grpc.RpcError as error:
                self.codes[error.code().name] += 1
                self._stop.wait(_REFUSED_PAUSE_S)
            else:
                self.seconds.append(_since(self._started))
                self._silence = max(self._silence, _since(self._unanswered_since))
                self._unanswered_since = 0.0
            self._started = 0.0
            self._stop.wait(self.pause)


def _since(started: float) -> float:
    return time.perf_counter() - started if started else 0.0


def health_probe(server: str) -> Witness:
    """Ask for the gateway's health, 50 times a second."""
    stub = health_pb2_grpc.HealthStub(_channel(server))
    request = health_pb2.HealthCheckRequest(service=_LIVENESS)
    return Witness(lambda: stub.Check(request, timeout=_SECONDS), _HEALTH_PAUSE_S)


def prompter(server: str, digest: str, prompts: list[ExtremePoints]) -> Witness:
    """Outline one structure after the other, without a pause."""
    channel, metadata = _channel(server), owner_to_metadata("polite")
    session_id = _open_session(channel, digest, metadata)
    stub, number = annotation_grpc.AnnotationServiceStub(channel), 0

    def prompt() -> None:
        nonlocal number
        number += 1
        message = prompt_to_message(prompts[number % len(prompts)])
        request = annotation_pb.AnnotateRequest(session_id=session_id, prompts=[message])
        stub.Annotate(request, timeout=_SECONDS, metadata=metadata)

    return Witness(prompt)


def writer(server: str, digest: str) -> Witness:
    """Rename a segment, ten times a second: one small transaction each."""
    channel, metadata = _channel(server), owner_to_metadata("writer")
    session_id = _open_session(channel, digest, metadata)
    stub, number = session_grpc.SessionServiceStub(channel), 0

    def rename() -> None:
        nonlocal number
        number += 1
        segments = [session_pb.Segment(number=1, name=f"name {number}")]
        request = session_pb.UpdateSessionRequest(session_id=session_id, segments=segments)
        stub.UpdateSession(request, timeout=_SECONDS, metadata=metadata)

    return Witness(rename, _WRITE_PAUSE_S)


def uploader(server: str) -> Witness:
    """Upload a new image of 512 KiB, twice a second."""
    stub, metadata = image_grpc.ImageServiceStub(_channel(server)), owner_to_metadata("uploader")
    random = np.random.default_rng()

    def upload() -> None:
        voxels = random.integers(-1000, 1000, _UPLOAD_SIZE[::-1], np.int16)
        volume = Volume(voxels, Geometry(_UPLOAD_SIZE))
        messages = upload_messages(volume, volume.digest, progress=None)
        stub.UploadImage(messages, timeout=_SECONDS, metadata=metadata)

    return Witness(upload, _UPLOAD_PAUSE_S)


def _channel(server: str) -> grpc.Channel:
    return grpc.insecure_channel(server, CHANNEL_OPTIONS)


def _open_session(channel: grpc.Channel, digest: str, metadata: Any) -> str:
    request = session_pb.CreateSessionRequest(image_digest=digest, model="annotation")
    stub = session_grpc.SessionServiceStub(channel)
    return stub.CreateSession(request, timeout=_SECONDS, metadata=metadata).session.id
