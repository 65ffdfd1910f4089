"""A session of the blocking client."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from sixpoint.client._operations.client import Opened
from sixpoint.client._operations.session import BaseSession
from sixpoint.client._sansio import Plan
from sixpoint.client.interaction import Interaction
from sixpoint.client.models import SessionInfo, StepInfo
from sixpoint.errors import SixpointError
from sixpoint.mask import Mask
from sixpoint.prompts import Click, Frame, Point, Prompt

if TYPE_CHECKING:
    from sixpoint.client.blocking import Client

__all__ = ["Session"]

_Result = TypeVar("_Result")


class Session(BaseSession):
    """Work on one image, segment by segment. A context manager; made by :meth:`Client.open_session`.

    A change to what another client changed meanwhile is refused with :class:`~sixpoint.errors.StaleRevision`:
    :meth:`refresh`, look, and go on. Safe to share among threads, which then take turns.

    Attributes:
        id: Its id on the gateway.
        geometry: Where the image's voxels lie.
        volume: The image; None in a session that was resumed without it.
        keep: Whether it stays open when the ``with`` block ends.
    """

    def __init__(self, client: Client, opened: Opened, *, keep: bool = False) -> None:
        super().__init__(client, opened, keep=keep)
        self._client = client
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep:
            self.close()

    def _run(self, plan: Plan[_Result]) -> _Result:
        with self._lock:
            return self._client.run(plan)

    def annotate(self, *prompts: Prompt, segment: int = 1) -> Mask:
        """Outline what prompts show: extreme points, a box or a mask begin an object, clicks correct the answer so far.

        Args:
            prompts: One or more, answered together with one mask. What begins an object comes first; of two clicks in
                one voxel the later one holds.
            segment: Number of the object, 1 to 255: its label. A new number is a new object.

        Raises:
            PromptError: When a prompt makes no sense in this image: outside, flat, too few points, another grid.
            PromptNotSupported: When the model does not take such a prompt.
            NothingToCorrect: When clicks come before anything to correct.
            StaleRevision: When another client was faster.
            ResourceExhausted: When the object has too many clicks, or the server is full.
            TritonUnavailable: When Triton is away for longer than the client waits; the session is as it was.
            SessionExpired: When it was idle for too long.
        """
        return self._run(self.annotate_plan(prompts, segment))

    def click(self, point: Point, *, positive: bool = True, frame: Frame | str = Frame.VOXEL, segment: int = 1) -> Mask:
        """Correct the answer so far: :meth:`annotate` with one :class:`Click`.

        Args:
            point: (x, y, z) in ``frame``.
            positive: Whether the object is there.
            frame: What the numbers mean.
            segment: Number of the object.

        Raises:
            SixpointError: What :meth:`annotate` raises.
        """
        return self.annotate(Click(point, positive, Frame.parse(frame)), segment=segment)

    def undo(self, *, segment: int = 1) -> Mask:
        """Take back the last step of a segment.

        Raises:
            NothingToUndo: Before its first.
            StaleRevision: When another client was faster.
        """
        return self._run(self.step_plan("Undo", segment))

    def redo(self, *, segment: int = 1) -> Mask:
        """Take the next step of a segment again.

        Raises:
            NothingToRedo: After its last.
            StaleRevision: When another client was faster.
        """
        return self._run(self.step_plan("Redo", segment))

    def reset(self, *, segment: int = 1) -> Mask:
        """Take back all steps of a segment; they can be redone one by one.

        Raises:
            StaleRevision: When another client was faster.
        """
        return self._run(self.step_plan("Reset", segment))

    def interact(self) -> Interaction:
        """A stream of prompts and answers, for viewers: a context manager; see :class:`Interaction`."""
        return Interaction(self, self._client.driver)

    def mask(self, *, segment: int = 1) -> Mask:
        """The mask of a segment as it stands; empty for one without steps."""
        return self._run(self.mask_plan(segment))

    def labels(self) -> Mask:
        """All segments as one array of labels, their numbers; where two overlap, the larger number wins."""
        return self._run(self.labels_plan())

    def save(self, path: str | os.PathLike[str], *, segment: int | None = None) -> None:
        """Write one segment's mask, or the labels of all, to NIfTI, NRRD or MetaImage, as the suffix says.

        Raises:
            VolumeError: When the suffix is unknown or the file cannot be written.
        """
        self._run(self.save_plan(path, segment))

    def steps(self, *, segment: int | None = None) -> list[StepInfo]:
        """What was shown, by segment and in order; also what was taken back and can be redone."""
        return self._run(self.steps_plan(segment))

    def fork(self, *, segment: int | None = None, step: int = 0) -> Session:
        """A new session that stands where this one stands; or, for one segment, after an earlier step of it.

        Raises:
            InvalidArgument: When there is no such segment or step.
        """
        return Session(self._client, self._run(self.fork_plan(segment, step)), keep=self.keep)

    def rename(self, segment: int, name: str) -> None:
        """Say what an object is.

        Raises:
            StaleRevision: When another client was faster.
        """
        self._run(self.update_plan(names=[(segment, name)]))

    def use_model(self, name: str) -> None:
        """Have another model answer the prompts to come.

        Raises:
            ModelNotFound: When there is no such model.
            StaleRevision: When another client was faster.
        """
        self._run(self.update_plan(model=name))

    def refresh(self) -> SessionInfo:
        """Look at the session anew, after another client changed it."""
        return self._run(self.refresh_plan())

    def close(self) -> None:
        """Close the session on the gateway; one that is gone, or a closed client, is no error: sessions end anyway."""
        try:
            self._run(self.close_plan())
        except (SixpointError, ValueError):  # gRPC's word for a channel that is closed
            return
