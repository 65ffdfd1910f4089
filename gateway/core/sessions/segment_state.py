"""The state of a segment: the prompts of its current object, and the answer to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.annotation.preprocess import NetworkInput, Prediction
from gateway.core.annotation.prompt_state import ObjectPrompts, accumulate, place_prompts, restart
from gateway.core.sessions.records import SegmentRow, SessionRow, StepRow
from gateway.core.sessions.repository import SessionReader
from sixpoint._typing import Bools
from sixpoint.geometry import Geometry
from sixpoint.prompts import Prompt

__all__ = ["SegmentState", "SentMask", "read_state", "record_step", "restore_state"]

# Estimate of what a state needs besides its arrays: prompts, objects, bookkeeping.
_OVERHEAD_BYTES = 4096


@dataclass(frozen=True, eq=False)
class SentMask:
    """The mask of a segment that was sent last.

    Attributes:
        mask: The part of the image's grid that contains the object, bool [z, y, x].
        offset: Index (x, y, z) of the first voxel of ``mask`` in the image.
        since: Revision of the session from which on it was the segment's mask.
    """

    mask: Bools
    offset: tuple[int, int, int]
    since: int


@dataclass(frozen=True, eq=False)
class SegmentState:
    """The state of a segment. A change makes a new one: a call that fails leaves the present one as it was.

    Attributes:
        start_step: Number of the step that started the current object; 0 if there is no object.
        prompts: Prompts of the object; None if there is no object.
        prediction: Answer of the model, which clicks correct; None if there is no object.
        model: Name of the model that answered.
        version: Version of that model.
        threshold: Probability from which a voxel belongs to the object.
        sent_mask: Mask that was sent last; None if it is not in memory.
        network_input: Input of the network for the last prediction; None if it is not in memory.
    """

    start_step: int = 0
    prompts: ObjectPrompts | None = None
    prediction: Prediction | None = None
    model: str = ""
    version: str = ""
    threshold: float = 0.5
    sent_mask: SentMask | None = None
    network_input: NetworkInput | None = None

    @property
    def nbytes(self) -> int:
        """Estimate of the bytes in memory."""
        prediction = self.prediction.probabilities.nbytes if self.prediction else 0
        network_input = self.network_input.nbytes if self.network_input else 0
        extent = self.prompts.extent if self.prompts else None
        initial_mask = extent.mask.nbytes if extent and extent.mask is not None else 0
        packed_mask = len(extent.packed_mask.packed.bits) if extent and extent.packed_mask else 0
        strokes = sum(stroke.voxels.nbytes for stroke in self.prompts.strokes) if self.prompts else 0
        masks = initial_mask + packed_mask + (self.sent_mask.mask.nbytes if self.sent_mask else 0)
        return prediction + network_input + masks + strokes + _OVERHEAD_BYTES


def restore_state(prompts: Sequence[Sequence[Prompt]], last: StepRow, *, geometry: Geometry) -> SegmentState:
    """Restore the state after the steps on one object; its initial mask is not unpacked.

    Args:
        prompts: Prompts of each step; those of the first started the object.
        last: The last step, with its prediction.
        geometry: Geometry of the image as uploaded.
    """
    object_prompts = None
    for step in prompts:
        batch = place_prompts(step, geometry=geometry)
        if object_prompts is None:
            batch = restart(batch, geometry=geometry)
        object_prompts = accumulate(object_prompts, batch)
    return SegmentState(
        last.start_step, object_prompts, last.prediction, last.model, last.model_version, last.threshold
    )


def read_state(records: SessionReader, row: SessionRow, segment: int, step: int) -> SegmentState:
    """The state after a step: from all prompts since the step that started the object, and the last prediction."""
    if not step:
        return SegmentState()
    last = records.steps(row.id, segment=segment, first=step, last=step)[0]
    steps = records.steps(row.id, segment=segment, first=last.start_step, last=step, answers=False)
    geometry = records.image_geometry(row.image_digest)
    return restore_state([each.prompts for each in steps], last, geometry=geometry)


def record_step(
    prompts: Sequence[Prompt], state: SegmentState, *, segment: SegmentRow, revision: int, now: float
) -> StepRow:
    """The record of the step that led to a state.

    Args:
        prompts: Prompts of the step.
        state: State after the step.
        segment: Record of the segment after the step.
        revision: Revision of the session after the step.
        now: Time of the step, seconds since 1970.
    """
    return StepRow(
        segment=segment.number,
        number=segment.head,
        start_step=state.start_step,
        revision=revision,
        prompts=tuple(prompts),
        model=state.model,
        model_version=state.version,
        created=now,
        threshold=state.threshold,
        prediction=state.prediction,
    )
