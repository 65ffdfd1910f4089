"""A fake gateway whose session can be changed in every way, and that segments images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from sixpoint.mask import pack
from sixpoint.protocol import geometry_to_message, mask_to_message, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from tests.sixpoint.client.fake_gateway import POINTS, DrawingGateway, ball
from tests.support.images import noisy_volume

__all__ = ["SessionGateway"]


class SessionGateway(DrawingGateway):
    """Answers every call on a session.

    Attributes:
        names: Names of its segments, by number.
        model: Name of its model.
        sends_summary: Whether a segmentation ends with a summary.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = {1: "liver", 2: ""}
        self.model = "annotation"
        self.sends_summary = True

    def _session(self) -> session_pb.Session:
        segments = [session_pb.Segment(number=number, name=name) for number, name in self.names.items()]
        digest = noisy_volume().digest
        return session_pb.Session(
            id="s1", model=self.model, revision=self.revision, segments=segments, image_digest=digest
        )

    def GetSession(self, request: Any, context: grpc.ServicerContext) -> session_pb.GetSessionResponse:
        self._begin("GetSession", request, context)
        return session_pb.GetSessionResponse(session=self._session())

    def GetImage(self, request: Any, context: grpc.ServicerContext) -> image_pb.GetImageResponse:
        super().GetImage(request, context)
        image = image_pb.Image(digest=request.digest, geometry=geometry_to_message(noisy_volume().geometry))
        return image_pb.GetImageResponse(image=image)

    def DownloadImage(self, request: Any, context: grpc.ServicerContext) -> Iterator[image_pb.DownloadImageResponse]:
        self._begin("DownloadImage", request, context)
        volume = noisy_volume()
        voxels = volume.array.tobytes()
        geometry = geometry_to_message(volume.geometry)
        header = image_pb.Image(digest=request.digest, geometry=geometry, voxel_type=3, byte_count=len(voxels))  # type: ignore[arg-type]  # int16
        yield image_pb.DownloadImageResponse(header=header)
        for begin in range(0, len(voxels), 10_000):
            yield image_pb.DownloadImageResponse(chunk=voxels[begin : begin + 10_000])

    def Redo(self, request: Any, context: grpc.ServicerContext) -> annotation_pb.RedoResponse:
        self._begin("Redo", request, context)
        self.revision += 1
        return annotation_pb.RedoResponse(answer=self.answer("Redo", request))

    def Reset(self, request: Any, context: grpc.ServicerContext) -> annotation_pb.ResetResponse:
        self._begin("Reset", request, context)
        self.revision += 1
        return annotation_pb.ResetResponse(answer=self.answer("Reset", request))

    def UpdateSession(self, request: Any, context: grpc.ServicerContext) -> session_pb.UpdateSessionResponse:
        self._begin("UpdateSession", request, context)
        self.revision += 1
        self.model = request.model or self.model
        self.names |= {segment.number: segment.name for segment in request.segments}
        return session_pb.UpdateSessionResponse(session=self._session())

    def ListSteps(self, request: Any, context: grpc.ServicerContext) -> session_pb.ListStepsResponse:
        self._begin("ListSteps", request, context)
        last = bool(request.page_token)
        step = session_pb.Step(segment=1, number=1 + last, prompts=[prompt_to_message(POINTS)], in_force=True)
        return session_pb.ListStepsResponse(steps=[step], next_page_token="" if last else "1 1")

    def ForkSession(self, request: Any, context: grpc.ServicerContext) -> session_pb.ForkSessionResponse:
        self._begin("ForkSession", request, context)
        return session_pb.ForkSessionResponse(session=session_pb.Session(id="s2", model=self.model))

    def Interact(
        self, stream: Iterator[annotation_pb.InteractRequest], context: grpc.ServicerContext
    ) -> Iterator[annotation_pb.InteractResponse]:
        waiting: list[int] = []
        for action in stream:
            self.actions.append(action)
            kind = action.WhichOneof("action")
            assert kind
            yield annotation_pb.InteractResponse(id=action.id, phase=annotation_pb.PHASE_INFERENCE)
            if kind == "annotate" and len(action.annotate.prompts) == 2:
                # Joined to the next action.
                waiting.append(action.id)
                continue
            for joined in waiting:
                yield annotation_pb.InteractResponse(id=joined, superseded_by=action.id)
            waiting.clear()
            self.revision += kind != "get_mask"
            yield annotation_pb.InteractResponse(id=action.id, answer=self.answer(kind, getattr(action, kind)))

    def Segment(
        self, request: annotation_pb.SegmentRequest, context: grpc.ServicerContext
    ) -> Iterator[annotation_pb.SegmentResponse]:
        self._begin("Segment", request, context)
        for done in (0, 2, 4):
            progress = annotation_pb.SegmentProgress(patches_done=done, patch_count=4 if done else 0)
            yield annotation_pb.SegmentResponse(progress=progress)
        points = prompt_to_message(POINTS).extreme_points
        for number, name in enumerate(request.labels or ("anterior", "posterior"), 1):
            patch = mask_to_message(pack(ball(4.0 * number) if number == 1 else ball(0), (0, 0, 0)))
            label = annotation_pb.SegmentLabel(
                number=number, name=name, mask=patch, extreme_points=points if number == 1 else None
            )
            yield annotation_pb.SegmentResponse(label=label)
        if self.sends_summary:
            yield annotation_pb.SegmentResponse(summary=annotation_pb.SegmentSummary(model="m", model_version="3"))
