"""A gateway for tests of the client: it runs in this process, without Triton, and fails on request."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import grpc
import numpy as np
import pytest

from sixpoint import errors
from sixpoint._typing import Bools
from sixpoint.client import AsyncClient, Client
from sixpoint.errors import SixpointError
from sixpoint.mask import PackedMask, Timings, pack, pack_change
from sixpoint.prompts import ExtremePoints
from sixpoint.protocol import (
    DETAILS_KEY,
    error_to_status,
    mask_to_message,
    owner_from_metadata,
    status_code,
    timings_to_message,
)
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import model_service_pb2_grpc as model_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.support.images import noisy_volume

__all__ = [
    "EACH_CLIENT",
    "LARGE",
    "MIB",
    "POINTS",
    "TIMINGS",
    "DrawingGateway",
    "FakeGateway",
    "FlakyGateway",
    "ball",
    "serving",
    "settled",
]

MIB = 2**20
POINTS = ExtremePoints([(5, 18, 16), (35, 18, 16), (20, 5, 16), (20, 31, 16), (20, 18, 4), (20, 18, 28)])
TIMINGS = Timings(*(timedelta(milliseconds=n) for n in (1, 2, 3, 4, 5)))
LARGE = (128, 128, 80)
"""Size of an image of 2.5 MiB: two whole chunks and a half."""

EACH_CLIENT = pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])


def patch() -> PackedMask:
    return pack(np.random.default_rng(1).random((6, 5, 4)) > 0.5, (10, 11, 12))


class FakeGateway(
    model_grpc.ModelServiceServicer,
    image_grpc.ImageServiceServicer,
    session_grpc.SessionServiceServicer,
    annotation_grpc.AnnotationServiceServicer,
):
    """Answers calls, records them, and fails those that a test names.

    Attributes:
        images: Digests of the images that it has.
        calls: Names of the calls, in order.
        requests: Last request of each call.
        uploads: Messages of each upload.
        failures: Error to fail a call with, by name.
        served_model: Its only model.
        mask: Mask of its answers.
        revision: Revision of its only session.
        received_bytes: Bytes that it claims to have of an image.
        session_count: Number of all owners' sessions; None if it is too old to count them.
        may_answer: Lets ListModels answer.
        address: Address, host:port.
        stop: Stops it.
    """

    def __init__(self) -> None:
        self.images: set[str] = set()
        self.calls: list[str] = []
        self.requests: dict[str, Any] = {}
        self.uploads: list[list[image_pb.UploadImageRequest]] = []
        self.failures: dict[str, SixpointError] = {}
        self.served_model = model_pb.Model(name="annotation", version="1")
        self.mask = mask_to_message(patch())
        self.revision = 0
        self.received_bytes = 0
        self.session_count: int | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.address = ""
        self.stop: Callable[[], object] = lambda: None

    def _begin(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        self.calls.append(name)
        self.requests[name] = request
        if name in self.failures:
            self._abort(self.failures[name], context)

    @staticmethod
    def _abort(error: SixpointError, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(((DETAILS_KEY, error_to_status(error).SerializeToString()),))
        context.abort(status_code(error), error.message)

    def ListModels(self, request: Any, context: grpc.ServicerContext) -> model_pb.ListModelsResponse:
        self._begin("ListModels", request, context)
        self.may_answer.wait(10)
        return model_pb.ListModelsResponse(models=[self.served_model])

    def GetModel(self, request: Any, context: grpc.ServicerContext) -> model_pb.GetModelResponse:
        self._begin("GetModel", request, context)
        return model_pb.GetModelResponse(model=self.served_model)

    def GetImage(self, request: Any, context: grpc.ServicerContext) -> image_pb.GetImageResponse:
        self._begin("GetImage", request, context)
        if request.digest not in self.images:
            self._abort(errors.ImageNotFound("no such image"), context)
        return image_pb.GetImageResponse(image=image_pb.Image(digest=request.digest))

    def GetUpload(self, request: Any, context: grpc.ServicerContext) -> image_pb.GetUploadResponse:
        self._begin("GetUpload", request, context)
        return image_pb.GetUploadResponse(received_byte_count=self.received_bytes)

    def UploadImage(self, stream: Any, context: grpc.ServicerContext) -> image_pb.UploadImageResponse:
        self._begin("UploadImage", None, context)
        parts = list(stream)
        self.uploads.append(parts)
        self.images.add(parts[0].header.digest)
        return image_pb.UploadImageResponse(image=parts[0].header)

    def CreateSession(self, request: Any, context: grpc.ServicerContext) -> session_pb.CreateSessionResponse:
        self._begin("CreateSession", request, context)
        session = session_pb.Session(id="s1", model=request.model, image_digest=request.image_digest)
        return session_pb.CreateSessionResponse(session=session)

    def ListSessions(self, request: Any, context: grpc.ServicerContext) -> session_pb.ListSessionsResponse:
        self._begin("ListSessions", request, context)
        return session_pb.ListSessionsResponse(
            sessions=[session_pb.Session(id="s1")], all_owners_size=self.session_count
        )

    def CloseSession(self, request: Any, context: grpc.ServicerContext) -> session_pb.CloseSessionResponse:
        self._begin("CloseSession", request, context)
        return session_pb.CloseSessionResponse()

    def Annotate(self, request: Any, context: grpc.ServicerContext) -> annotation_pb.AnnotateResponse:
        self._begin("Annotate", request, context)
        self.revision += 1
        return annotation_pb.AnnotateResponse(
            answer=annotation_pb.Answer(
                revision=self.revision,
                mask=self.mask,
                model="annotation",
                model_version="7",
                timings=timings_to_message(TIMINGS),
            )
        )


def ball(radius: float) -> Bools:
    """A ball in the middle of ``noisy_volume()``."""
    z, y, x = np.indices(noisy_volume().array.shape)
    return np.asarray((z - 16) ** 2 + (y - 18) ** 2 + (x - 20) ** 2 < radius**2)


class DrawingGateway(FakeGateway):
    """Answers with what changed since the client's mask. Its masks are balls, larger with each revision.

    Attributes:
        masks_asked: Call, segment and base revision of each request for a mask.
        damaged: Number of answers to damage, by call.
        actions: Actions of all streams.
    """

    def __init__(self) -> None:
        super().__init__()
        self.masks_asked: list[tuple[str, int, int]] = []
        self.damaged: dict[str, int] = {}
        self.actions: list[annotation_pb.InteractRequest] = []

    def answer(self, name: str, request: Any) -> annotation_pb.Answer:
        segment, base = request.segment, request.base_revision
        self.masks_asked.append((name, segment, base))
        mask = ball(3 + self.revision)
        whole = pack(mask, (0, 0, 0))
        packed = whole
        if base:
            packed = pack_change(mask, (0, 0, 0), before=(ball(3 + base), (0, 0, 0)), revision=base)
        message = mask_to_message(packed)
        if self.damaged.get(name):
            self.damaged[name] -= 1
            message.voxel_count += 1
        return annotation_pb.Answer(revision=self.revision, segment=segment, mask=message, step=1, step_count=1)

    def Annotate(self, request: Any, context: grpc.ServicerContext) -> annotation_pb.AnnotateResponse:
        self._begin("Annotate", request, context)
        self.revision += 1
        return annotation_pb.AnnotateResponse(answer=self.answer("Annotate", request))

    def Undo(self, request: Any, context: grpc.ServicerContext) -> annotation_pb.UndoResponse:
        self._begin("Undo", request, context)
        self.revision += 1
        return annotation_pb.UndoResponse(answer=self.answer("Undo", request))

    def Interact(
        self, stream: Iterator[annotation_pb.InteractRequest], context: grpc.ServicerContext
    ) -> Iterator[annotation_pb.InteractResponse]:
        for action in stream:
            self.actions.append(action)
            if "Interact" in self.failures:
                status = error_to_status(self.failures["Interact"]).SerializeToString()
                yield annotation_pb.InteractResponse(id=action.id, failure=status)
                continue
            yield annotation_pb.InteractResponse(id=action.id)
            self.revision += 1
            yield annotation_pb.InteractResponse(id=action.id, answer=self.answer("Interact", action.annotate))

    def GetSession(self, request: Any, context: grpc.ServicerContext) -> session_pb.GetSessionResponse:
        self._begin("GetSession", request, context)
        return session_pb.GetSessionResponse(session=session_pb.Session(id="s1", revision=self.revision))

    def GetMask(self, request: Any, context: grpc.ServicerContext) -> annotation_pb.GetMaskResponse:
        self._begin("GetMask", request, context)
        return annotation_pb.GetMaskResponse(answer=self.answer("GetMask", request))


class FlakyGateway(FakeGateway):
    """Fails a call a given number of times.

    Attributes:
        failures_left: Number of times to fail, by call.
        received: Requests by call.
        owners: Owner of each call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures_left: dict[str, int] = {}
        self.received: dict[str, list[Any]] = {}
        self.owners: list[Any] = []

    def _begin(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        self.received.setdefault(name, []).append(request)
        self.owners.append(owner_from_metadata(context.invocation_metadata()))
        if self.failures_left.get(name, 0) == 0:
            self.failures.pop(name, None)
        else:
            self.failures_left[name] -= 1
        super()._begin(name, request, context)

    def GetSession(self, request: Any, context: grpc.ServicerContext) -> session_pb.GetSessionResponse:
        self._begin("GetSession", request, context)
        return session_pb.GetSessionResponse(session=session_pb.Session(id="s1", revision=self.revision))


class _Health(grpc.GenericRpcHandler):
    """gRPC's health service, by hand: the client's tests need no package for it."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if handler_call_details.method != "/grpc.health.v1.Health/Check":
            return None
        # A HealthCheckResponse with the status SERVING.
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")


@contextmanager
def serving(gateway: FakeGateway) -> Iterator[None]:
    """Serve a gateway on a free port."""
    server = grpc.server(ThreadPoolExecutor(4))
    model_grpc.add_ModelServiceServicer_to_server(gateway, server)
    image_grpc.add_ImageServiceServicer_to_server(gateway, server)
    session_grpc.add_SessionServiceServicer_to_server(gateway, server)
    annotation_grpc.add_AnnotationServiceServicer_to_server(gateway, server)
    server.add_generic_rpc_handlers((_Health(),))
    gateway.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    gateway.stop = lambda: server.stop(None).wait()
    server.start()
    try:
        yield
    finally:
        gateway.may_answer.set()
        gateway.stop()


async def settled(result: Any) -> Any:
    """Return the result of a method of either client."""
    return await result if inspect.isawaitable(result) else result
