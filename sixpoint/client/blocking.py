"""The blocking client."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self, TypeVar

import grpc

from sixpoint.client.base import DEFAULT_TARGET, OPTIONS, BaseClient, Image, Opened, Progress, Timeout
from sixpoint.client.driver import Driver
from sixpoint.client.infos import ModelInfo, SessionInfo, StepInfo
from sixpoint.client.interaction import Interaction
from sixpoint.client.plan import Plan
from sixpoint.client.retry import Retry
from sixpoint.client.session import BaseSession
from sixpoint.errors import SixpointError
from sixpoint.mask import Mask
from sixpoint.prompts import Click, Frame, Point, Prompt

__all__ = ["Client", "Session"]

_Result = TypeVar("_Result")


class Client(BaseClient):
    """A blocking client of a sixpoint gateway. A context manager; safe to share among threads.

    Args:
        target: host:port of the gateway.
        timeout: How long to wait for what.
        retry: How patient to be while a part of the service is away.
        owner: A name for quotas and lists of sessions; by default what SIXPOINT_OWNER says.
        channel: A gRPC channel to use instead of making one from ``target``: TLS, a proxy, a test.

    Example::

        with sixpoint.Client("127.0.0.1:50051") as client:
            with client.open_session("ct.nii.gz", model="annotation") as session:
                mask = session.annotate(sixpoint.ExtremePoints(points, frame="voxel"))
                mask = session.click((52, 60, 10), positive=False)
                mask = session.undo()
                session.save("spleen.nii.gz")
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: Timeout = Timeout(),
        retry: Retry = Retry(),
        owner: str | None = None,
        channel: grpc.Channel | None = None,
    ) -> None:
        super().__init__(target, timeout=timeout, retry=retry, owner=owner)
        self.channel = channel or grpc.insecure_channel(target, options=OPTIONS)
        self.driver = Driver(self.channel, target=target, retry=retry, metadata=self.metadata)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()

    def run(self, plan: Plan[_Result]) -> _Result:
        """Carry a plan out."""
        return self.driver.run(plan)

    def models(self, *, label: str = "", task: str = "", modality: str = "", prompt: str = "") -> list[ModelInfo]:
        """The models that can be used now and match every filter that is given, by name.

        Raises:
            TritonUnavailable: When Triton is away.
            Unavailable: When the gateway is.
        """
        return self.run(self.models_plan(label, task, modality, prompt))

    def upload(self, image: Image, *, progress: Progress | None = None) -> str:
        """Bring an image to the gateway, unless it is there; its digest. An upload that broke off is gone on with.

        Raises:
            VolumeError: When it is no usable volume.
            ResourceExhausted: When it is too large.
        """
        return self.run(self.upload_plan(image, progress))

    def open_session(
        self, image: Image, *, model: str = "annotation", progress: Progress | None = None, keep: bool = False
    ) -> Session:
        """Upload an image, unless it is there, and open a session on it: a context manager that closes it again.

        Args:
            image: A file (NIfTI, NRRD, MetaImage), a folder with a DICOM series, or a Volume.
            model: Name of the model.
            progress: Told how far an upload is.
            keep: Whether the session outlives the ``with`` block, to be resumed by its id.

        Raises:
            VolumeError: When the image is no usable volume.
            ModelNotFound: When there is no such model.
        """
        return Session(self, self.run(self.open_plan(image, model, progress)), keep=keep)

    def resume(self, session_id: str, image: Image | None = None) -> Session:
        """Go on with a session, from wherever it was opened; leaving the ``with`` block does not close it.

        Args:
            session_id: Its id.
            image: Its image, if it is to be at hand; masks do without.

        Raises:
            SessionNotFound: When there is none, or it was closed.
            SessionExpired: When it was idle for too long.
            InvalidArgument: When the image is another one.
        """
        return Session(self, self.run(self.resume_plan(session_id, image)), keep=True)

    def sessions(self) -> list[SessionInfo]:
        """The open sessions of this client's owner, the last used first."""
        return self.run(self.sessions_plan())

    def close_session(self, session_id: str) -> None:
        """Close a session by its id; one that is closed already is no error."""
        self.run(self.close_plan(session_id))


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
            PromptError: When a prompt makes no sense in this image: outside, flat, too few points.
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
