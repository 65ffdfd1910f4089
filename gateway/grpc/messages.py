"""Requests of ``sixpoint.v1.AnnotationService`` read, and its answers made; for single calls and streams alike."""

from __future__ import annotations

from gateway.core.annotation.prompt_state import check_click_count
from gateway.core.runtime.stage import Stage
from gateway.core.segmentation.events import LabelMask, SegmentationEvent, SegmentationProgress, SegmentationSummary
from gateway.core.sessions.request import AnnotationRequest, AnnotationResult
from gateway.core.sessions.validation import check_request_id, check_segment
from sixpoint.errors import PromptError
from sixpoint.prompts import Prompt
from sixpoint.protocol import mask_to_message, prompt_from_message, timings_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = ["PHASES", "event_to_message", "read_change", "read_mask_request", "read_prompts", "result_to_message"]

PHASES = {
    Stage.WAITING: annotation_pb.PHASE_WAITING,
    Stage.PREPROCESSING: annotation_pb.PHASE_PREPROCESSING,
    Stage.INFERENCE: annotation_pb.PHASE_INFERENCE,
    Stage.POSTPROCESSING: annotation_pb.PHASE_POSTPROCESSING,
}
"""The contract's number of each phase."""

Change = (
    annotation_pb.AnnotateRequest | annotation_pb.UndoRequest | annotation_pb.RedoRequest | annotation_pb.ResetRequest
)


def read_change(request: Change) -> AnnotationRequest:
    """What a change is about.

    Raises:
        InvalidArgument: When the segment's number or the id of the call is none.
    """
    check_request_id(request.request_id)
    segment = request.segment or 1
    check_segment(segment)
    return AnnotationRequest(
        session_id=request.session_id,
        segment=segment,
        revision=request.revision if request.HasField("revision") else None,
        request_ids=(request.request_id,) if request.request_id else (),
        base_revision=request.base_revision,
    )


def read_mask_request(request: annotation_pb.GetMaskRequest) -> AnnotationRequest:
    """Which segment is asked for.

    Raises:
        InvalidArgument: When the segment's number is none.
    """
    segment = request.segment or 1
    check_segment(segment)
    return AnnotationRequest(session_id=request.session_id, segment=segment, base_revision=request.base_revision)


def read_prompts(request: annotation_pb.AnnotateRequest) -> list[Prompt]:
    """The prompts of a call.

    Raises:
        PromptError: When one cannot be read, naming it.
        ResourceExhausted: When they are too many.
    """
    # Before any is read: a message holds a hundred times as many as are answered. One may be points or a box.
    check_click_count(len(request.prompts) - 1)
    prompts = []
    for number, message in enumerate(request.prompts):
        try:
            prompts.append(prompt_from_message(message))
        except PromptError as error:
            raise error.under(f"prompts[{number}]") from None
    return prompts


def result_to_message(answer: AnnotationResult) -> annotation_pb.Answer:
    """An answer as a message."""
    return annotation_pb.Answer(
        revision=answer.revision,
        segment=answer.segment.number,
        step=answer.segment.head,
        step_count=answer.segment.length,
        mask=mask_to_message(answer.mask),
        model=answer.model,
        model_version=answer.version,
        timings=timings_to_message(answer.timings),
    )


def event_to_message(event: SegmentationEvent) -> annotation_pb.SegmentResponse:
    """What a segmentation tells, as a message."""
    match event:
        case SegmentationProgress(phase, done, count):
            progress = annotation_pb.SegmentProgress(phase=PHASES[phase], patches_done=done, patch_count=count)
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
