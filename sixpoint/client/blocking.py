"""The blocking client."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import grpc

from sixpoint.client.base import (
    DEFAULT_TARGET,
    OPTIONS,
    BaseClient,
    BaseSession,
    Image,
    ModelInfo,
    Progress,
    Timeout,
    explain,
    read_models,
)
from sixpoint.errors import ImageNotFound
from sixpoint.mask import Mask
from sixpoint.prompts import Click, Frame, Point, Prompt
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as images
from sixpoint.v1 import image_service_pb2_grpc as images_grpc
from sixpoint.v1 import model_service_pb2_grpc as models_grpc
from sixpoint.v1 import session_service_pb2 as sessions
from sixpoint.v1 import session_service_pb2_grpc as sessions_grpc
from sixpoint.volume import Volume

__all__ = ["Client", "Session"]

_Result = TypeVar("_Result")


class Client(BaseClient):
    """A blocking client of a sixpoint gateway. A context manager; safe to share among threads.

    Args:
        target: host:port of the gateway.
        timeout: How long to wait for what.
        channel: A gRPC channel to use instead of making one from ``target``: TLS, a proxy, a test.

    Example::

        with sixpoint.Client("127.0.0.1:50051") as client:
            with client.open_session("ct.nii.gz", model="annotation") as session:
                mask = session.annotate(sixpoint.ExtremePoints(points, frame="voxel"))
                mask = session.click((52, 60, 10), positive=False)
                mask.save("spleen.nii.gz")
    """

    def __init__(
        self, target: str = DEFAULT_TARGET, *, timeout: Timeout = Timeout(), channel: grpc.Channel | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._channel = channel or grpc.insecure_channel(target, options=OPTIONS)
        self._models = models_grpc.ModelServiceStub(self._channel)
        self._images = images_grpc.ImageServiceStub(self._channel)
        self._sessions = sessions_grpc.SessionServiceStub(self._channel)
        self._annotation = annotation_grpc.AnnotationServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Make one call; what fails in it is raised as a :class:`SixpointError`."""
        try:
            return work()
        except grpc.RpcError as failure:
            raise explain(failure, self.target) from failure

    def models(self, *, label: str = "", task: str = "", modality: str = "", prompt: str = "") -> list[ModelInfo]:
        """The models that can be used now and match every filter that is given, by name.

        Raises:
            TritonUnavailable: When Triton is away.
            Unavailable: When the gateway is.
        """
        request = self.list_request(label, task, modality, prompt)
        return read_models(self.call(lambda: self._models.ListModels(request, timeout=self.timeout.call)))

    def upload(self, image: Image, *, progress: Progress | None = None) -> str:
        """Bring an image to the gateway, unless it is there; its digest.

        Raises:
            VolumeError: When it is no usable volume.
            ResourceExhausted: When it is too large.
        """
        volume = self.read(image)
        digest = volume.digest
        try:
            self.call(lambda: self._images.GetImage(images.GetImageRequest(digest=digest), timeout=self.timeout.call))
        except ImageNotFound:
            self.call(
                lambda: self._images.UploadImage(
                    self.upload_messages(volume, digest, progress), timeout=self.timeout.upload
                )
            )
        return digest

    def open_session(self, image: Image, *, model: str = "annotation", progress: Progress | None = None) -> Session:
        """Upload an image, unless it is there, and open a session on it: a context manager that closes it again.

        Args:
            image: A file (NIfTI, NRRD, MetaImage), a folder with a DICOM series, or a Volume.
            model: Name of the model.
            progress: Told how far an upload is.

        Raises:
            VolumeError: When the image is no usable volume.
            ModelNotFound: When there is no such model.
        """
        volume = self.read(image)
        request = sessions.CreateSessionRequest(image_digest=self.upload(volume, progress=progress), model=model)
        response = self.call(lambda: self._sessions.CreateSession(request, timeout=self.timeout.call))
        return Session(self, response.session, volume)


class Session(BaseSession):
    """Work on one image with one model. A context manager; made by :meth:`Client.open_session`.

    Attributes:
        id: Its id on the gateway.
        model: Name of the model.
        volume: The image.
        revision: Number of calls of :meth:`annotate` answered.
    """

    def __init__(self, client: Client, message: sessions.Session, volume: Volume) -> None:
        super().__init__(message, volume)
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def annotate(self, *prompts: Prompt) -> Mask:
        """Outline what prompts show: extreme points or a box begin an object, clicks correct the answer so far.

        Args:
            prompts: One or more, answered together with one mask. Extreme points or a box come first; of two clicks in
                one voxel the later one holds.

        Raises:
            PromptError: When a prompt makes no sense in this image: outside, flat, too few points.
            PromptNotSupported: When the model does not take such a prompt.
            NothingToCorrect: When clicks come before extreme points or a box.
            ResourceExhausted: When the object has too many clicks.
            TritonUnavailable: When Triton is away; the session is as it was.
            SessionExpired: When it was idle for too long.
        """
        client, request = self._client, self._client.annotate_request(self.id, prompts)
        response = client.call(lambda: client._annotation.Annotate(request, timeout=client.timeout.call))
        return self.read_mask(response.answer)

    def click(self, point: Point, *, positive: bool = True, frame: Frame | str = Frame.VOXEL) -> Mask:
        """Correct the answer so far: :meth:`annotate` with one :class:`Click`.

        Args:
            point: (x, y, z) in ``frame``.
            positive: Whether the object is there.
            frame: What the numbers mean.

        Raises:
            SixpointError: What :meth:`annotate` raises.
        """
        return self.annotate(Click(point, positive, Frame.parse(frame)))

    def close(self) -> None:
        """Close the session on the gateway; one that is gone, or a closed client, is no error: sessions end anyway."""
        client, request = self._client, sessions.CloseSessionRequest(session_id=self.id)
        try:
            client._sessions.CloseSession(request, timeout=client.timeout.call)
        except (grpc.RpcError, ValueError):  # gRPC's word for a channel that is closed
            return
