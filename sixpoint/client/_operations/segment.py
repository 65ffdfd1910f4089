"""The segmentation of an image that the gateway has: progress and labels are read as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sixpoint.client._sansio import Operation, ServerStreamingCall
from sixpoint.client._transport.channel import Stubs
from sixpoint.errors import InternalError
from sixpoint.geometry import Geometry
from sixpoint.prompts import ExtremePoints, Frame
from sixpoint.protocol import mask_from_message, timings_from_message
from sixpoint.segmentation import LabelledMask, Segmentation
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["PatchProgressCallback", "segment"]

PatchProgressCallback = Callable[[int, int], None]
"""Called during a segmentation with the patches that the network has answered so far and the patches in all."""


def segment(
    stubs: Stubs,
    digest: str,
    geometry: Geometry,
    *,
    model: str,
    labels: Sequence[str],
    progress: PatchProgressCallback | None,
    timeout: float,
) -> Operation[Segmentation]:
    """Segment an image that the gateway has.

    Args:
        stubs: RPC methods of the gateway.
        digest: SHA-256 of the image.
        geometry: Geometry of the image.
        model: Name of the model.
        labels: Names of the labels to return; empty for all of the model's.
        progress: Called with the patches answered so far and the patches in all.
        timeout: Seconds for all attempts together.
    """
    masks: dict[str, LabelledMask] = {}
    summaries: list[annotation_pb.SegmentSummary] = []

    def receive(response: annotation_pb.SegmentResponse) -> None:
        match response.WhichOneof("event"):
            case "progress" if progress and response.progress.patch_count:
                progress(response.progress.patches_done, response.progress.patch_count)
            case "label":
                # A retry delivers the labels again.
                masks[response.label.name] = _read(response.label)
            case "summary":
                summaries.append(response.summary)

    request = annotation_pb.SegmentRequest(image_digest=digest, model=model, labels=labels)
    yield from ServerStreamingCall(stubs.annotation.Segment, request, receive, timeout)
    if not summaries:
        raise InternalError("the segmentation ended without a summary")
    summary = summaries[-1]
    timings = timings_from_message(summary.timings)
    return Segmentation(masks, geometry, summary.model, summary.model_version, timings, digest)


def _read(label: annotation_pb.SegmentLabel) -> LabelledMask:
    points = [(point.x, point.y, point.z) for point in label.extreme_points.points]
    extreme_points = ExtremePoints(points, Frame.VOXEL) if points else None
    return LabelledMask(label.number, mask_from_message(label.mask), extreme_points)
