"""Convert the messages of ``sixpoint.v1.AnnotationService``, for single calls and for streams."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.access import Principal
from gateway.core.annotation.clicks import check_click_count
from gateway.core.runtime import Stage
from gateway.core.segmentation.events import LabelMask, SegmentationEvent, SegmentationProgress, SegmentationSummary
from gateway.core.sessions import AnnotationRequest, AnnotationResult, check_request_id
from sixpoint.errors import PromptError
from sixpoint.masks.labels import check_segment_number
from sixpoint.prompts import Prompt
from sixpoint.protocol import mask_to_message, prompt_from_message, timings_to_message, write_mask
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = ["PHASES", "event_to_message", "read_change", "read_mask_request", "read_prompts", "write_result"]

PHASES = {
    Stage.WAITING: annotation_pb.PHASE_WAITING,
    Stage.PREPROCESSING: annotation_pb.PHASE_PREPROCESSING,
    Stage.INFERENCE: annotation_pb.PHASE_INFERENCE,
    Stage.POSTPROCESSING: annotation_pb.PHASE_POSTPROCESSING,
}
"""Phase of the contract for each stage."""

_Change = (
    annotation_pb.AnnotateRequest | annotation_pb.UndoRequest | annotation_pb.RedoRequest | annotation_pb.ResetRequest
)


def read_change(request: _Change, principal: Principal) -> AnnotationRequest:
    """Read the segment and the conditions of a call that changes a segment.

    Args:
        request: Message of the call.
        principal: Who makes the call.

    Raises:
        InvalidArgument: When the segment's number or the request id is not valid.
    """
    check_request_id(request.request_id)
    segment = request.segment or 1
    check_segment_number(segment)
    return AnnotationRequest(
        principal=principal,
        session_id=request.session_id,
        segment=segment,
        revision=request.revision if request.HasField("revision") else None,
        request_ids=(request.request_id,) if request.request_id else (),
        base_revision=request.base_revision,
    )


def read_mask_request(request: annotation_pb.GetMaskRequest, principal: Principal) -> AnnotationRequest:
    """Read the segment of a call that returns its mask.

    Args:
        request: Message of the call.
        principal: Who makes the call.

    Raises:
        InvalidArgument: When the segment's number is not valid.
    """
    segment = request.segment or 1
    check_segment_number(segment)
    return AnnotationRequest(
        principal=principal, session_id=request.session_id, segment=segment, base_revision=request.base_revision
    )


def read_prompts(messages: Sequence[annotation_pb.Prompt]) -> list[Prompt]:
    """Read the prompts of a call.

    Args:
        messages: The prompts, in their order.

    Raises:
        PromptError: When a prompt cannot be read; the error names it.
        ResourceExhausted: When there are too many prompts.
    """
    # Checked before reading: a message can hold a hundred times as many. One prompt may be other than a click.
    check_click_count(len(messages) - 1)
    prompts = []
    for number, message in enumerate(messages):
        try:
            prompts.append(prompt_from_message(message))
        except PromptError as error:
            raise error.under(f"prompts[{number}]") from None
    return prompts


def write_result(result: AnnotationResult, answer: annotation_pb.Answer) -> None:
    """Write the result of a call into the answer of a message, which copies a mask of megabytes only once."""
    answer.revision = result.revision
    answer.segment = result.segment.number
    answer.step = result.segment.head
    answer.step_count = result.segment.length
    answer.model = result.model
    answer.model_version = result.version
    answer.timings.CopyFrom(timings_to_message(result.timings))
    write_mask(result.mask, answer.mask)


def event_to_message(event: SegmentationEvent) -> annotation_pb.SegmentResponse:
    """Convert an event of a segmentation to a message."""
    match event:
        case SegmentationProgress(stage, done, count):
            progress = annotation_pb.SegmentProgress(phase=PHASES[stage], patches_done=done, patch_count=count)
            return annotation_pb.SegmentResponse(progress=progress)
        case LabelMask(number, name, mask, extremes):
            label = annotation_pb.SegmentLabel(number=number, name=name, mask=mask_to_message(mask))
            if extremes:
                label.extreme_points.frame = volume_pb.FRAME_VOXEL
                label.extreme_points.points.extend(volume_pb.Point(x=x, y=y, z=z) for x, y, z in extremes)
            return annotation_pb.SegmentResponse(label=label)
        case SegmentationSummary(model, version, timings):
            summary = annotation_pb.SegmentSummary(
                model=model, model_version=version, timings=timings_to_message(timings)
            )
            return annotation_pb.SegmentResponse(summary=summary)
