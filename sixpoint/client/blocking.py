"""The blocking client."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc

from sixpoint.client._driver import Driver
from sixpoint.client._operations.client import DEFAULT_TARGET, OPTIONS, BaseClient, Image, Progress, Timeout
from sixpoint.client._operations.segment import PatchProgress
from sixpoint.client._retry import Retry
from sixpoint.client._sansio import Plan
from sixpoint.client.models import ModelInfo, SessionInfo
from sixpoint.client.session import Session
from sixpoint.segmentation import Segmentation

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

    Raises:
        InvalidArgument: When the owner's name is too long for one, or has control characters.

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

        Args:
            image: A file (NIfTI, NRRD, MetaImage), a folder with a DICOM series, or a Volume.
            progress: Told how far it is, by a thread of gRPC's; what it raises ends the upload and is raised here.

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
            progress: As of :meth:`upload`.
            keep: Whether the session outlives the ``with`` block, to be resumed by its id.

        Raises:
            VolumeError: When the image is no usable volume.
            ModelNotFound: When there is no such model.
        """
        return Session(self, self.run(self.open_plan(image, model, progress)), keep=keep)

    def segment(
        self,
        image: Image,
        *,
        model: str,
        labels: Sequence[str] = (),
        progress: PatchProgress | None = None,
        upload_progress: Progress | None = None,
    ) -> Segmentation:
        """Upload an image, unless it is there, and label all of it with a model that needs no prompts.

        Args:
            image: A file (NIfTI, NRRD, MetaImage), a folder with a DICOM series, or a Volume.
            model: Name of the model; those of task "segmentation".
            labels: Names of those that are wanted; none: all of the model's.
            progress: Told the patches that are done, and all there are.
            upload_progress: As ``progress`` of :meth:`upload`.

        Raises:
            TaskNotSupported: When the model needs prompts.
            InvalidArgument: When it has not all of the labels.
            ResourceExhausted: When the image is too large for it, or too many segmentations wait.
        """
        return self.run(self.segment_plan(image, model, labels, progress, upload_progress))

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

    def sessions(self, *, model: str = "", version: str = "") -> list[SessionInfo]:
        """The open sessions of this client's owner that match every filter that is given, the last used first.

        Args:
            model: Only those that use this model: its answer is the present one of a segment, or it would get the next
                prompt.
            version: Only those that use this version of the model, likewise.

        Raises:
            InvalidArgument: When a version is given, and no model.
            TritonUnavailable: When a version is given, and Triton is away.
        """
        return self.run(self.sessions_plan(model, version))

    def count_sessions(self, *, model: str = "", version: str = "") -> int:
        """How many open sessions match, of all owners.

        Args:
            model: As of :meth:`sessions`.
            version: As of :meth:`sessions`.
        """
        return self.run(self.count_sessions_plan(model, version))

    def close_session(self, session_id: str) -> None:
        """Close a session by its id; one that is closed already is no error."""
        self.run(self.close_plan(session_id))
