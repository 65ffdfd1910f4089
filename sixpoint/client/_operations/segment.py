"""The plan of a segmentation: the image is brought to the gateway, and the labels are taken as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.message import Message

from sixpoint.client._sansio import Call, Plan
from sixpoint.errors import InternalError
from sixpoint.geometry import Geometry
from sixpoint.prompts import ExtremePoints, Frame
from sixpoint.protocol.converters import mask_from_message, timings_from_message
from sixpoint.segmentation import LabelledMask, Segmentation
from sixpoint.v1 import annotation_service_pb2 as annotation

__all__ = ["PatchProgress", "segment_plan"]

PatchProgress = Callable[[int, int], None]
"""Called during a segmentation with the patches that the network has answered so far, and all there are."""


def segment_plan(
    digest: str,
    geometry: Geometry,
    *,
    model: str,
    labels: Sequence[str],
    progress: PatchProgress | None,
    timeout: float,
) -> Plan[Segmentation]:
    """Segment an image that is there.

    Args:
        digest: The image's.
        geometry: Where its voxels lie.
        model: Name of the model.
        labels: Names of those that are wanted; none: all.
        progress: Told how far it is.
        timeout: Seconds that it may take.
    """
    found: dict[str, LabelledMask] = {}
    ends: list[annotation.SegmentSummary] = []

    def receive(message: Message) -> None:
        assert isinstance(message, annotation.SegmentResponse)
        match message.WhichOneof("event"):
            case "progress" if progress and message.progress.patch_count:
                progress(message.progress.patches_done, message.progress.patch_count)
            case "label":
                # Of a call that is made again, the labels come again.
                found[message.label.name] = _read(message.label)
            case "summary":
                ends.append(message.summary)

    request = annotation.SegmentRequest(image_digest=digest, model=model, labels=labels)
    yield Call("Segment", request, timeout, receive=receive)
    if not ends:
        raise InternalError("the segmentation ended without a summary")
    end = ends[-1]
    return Segmentation(found, geometry, end.model, end.model_version, timings_from_message(end.timings))


def _read(label: annotation.SegmentLabel) -> LabelledMask:
    points = [(point.x, point.y, point.z) for point in label.extreme_points.points]
    extremes = ExtremePoints(points, Frame.VOXEL) if points else None
    return LabelledMask(label.number, mask_from_message(label.mask), extremes)
