"""The plans of the twin clients: what they ask of the gateway, in which order, and what they make of the answers."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from sixpoint.client._operations.segment import PatchProgress, segment_plan
from sixpoint.client._retry import Attempts, Retry
from sixpoint.client._sansio import Call, Pause, Plan, Work
from sixpoint.client.models import ModelInfo, SessionInfo, read_model, read_session
from sixpoint.errors import FailedPrecondition, ImageNotFound, InvalidArgument, SixpointError, UploadError
from sixpoint.geometry import Geometry
from sixpoint.protocol.converters import geometry_from_message, geometry_to_message
from sixpoint.protocol.identity import owner_to_metadata
from sixpoint.segmentation import Segmentation
from sixpoint.v1 import image_service_pb2 as images
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import session_service_pb2 as sessions
from sixpoint.v1 import volume_pb2 as volumes
from sixpoint.volume import Volume, voxel_type_number

__all__ = ["DEFAULT_TARGET", "OPTIONS", "BaseClient", "Image", "Opened", "Progress", "Timeout"]

Image = str | os.PathLike[str] | Volume
Progress = Callable[[int, int], None]
"""Called during an upload with the bytes that are there so far, and all there are: by a thread of gRPC's in
:class:`Client`, which goes on sending once it returns; on the event loop in :class:`AsyncClient`. What it raises ends
the upload, and is raised to whoever began it; what has arrived by then stays, to be gone on with."""

# Measured best for Python's gRPC: smaller ones cost calls, larger ones copies.
_CHUNK_BYTES = 2**20
_PAGE = 1000
DEFAULT_TARGET = "127.0.0.1:50051"
OPTIONS = (
    # A mask compresses to a few percent, but nothing promises it.
    ("grpc.max_receive_message_length", 256 * 2**20),
    # Quick to notice that a gateway is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A network that forgot a connection says nothing: after 30 s without a word the gateway is pinged, and who does not
    # answer within 20 s is given up; the next attempt connects anew. Without calls, too: a click after a pause finds a
    # connection that works. The gateway must permit pings as often.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # gRPC 1.85 goes by the second, which is a minute if left alone; the first is what is documented, and TCP's limit.
    # Not less: behind an upload, on a slow line with a tunnel that holds back some MB, a ping waits as well.
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    # gRPC else sends two, and no more until there is data again: a viewer who looks at a mask sends none.
    ("grpc.http2.max_pings_without_data", 0),
    # Nor pings in the middle of a transfer, to measure the network: behind much data on a slow line they would be late.
    # In place of what they find out, so many bytes may be on their way to the client.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 * 2**20),
)


@dataclass(frozen=True)
class Timeout:
    """How long to wait, in seconds.

    Attributes:
        call: For one call.
        upload: For an upload.
        segment: For a segmentation.
    """

    call: float = 60.0
    upload: float = 600.0
    segment: float = 1800.0


@dataclass(frozen=True)
class Opened:
    """A session, where its image's voxels lie, and the image itself if the client holds it."""

    info: SessionInfo
    geometry: Geometry
    volume: Volume | None


class BaseClient:
    """What both clients are made of.

    Args:
        target: host:port of the gateway.
        timeout: How long to wait for what.
        retry: How patient to be while a part of the service is away.
        owner: A name for quotas and lists of sessions.

    Raises:
        InvalidArgument: When it is too long for one, or has control characters.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: Timeout = Timeout(),
        retry: Retry = Retry(),
        owner: str | None = None,
    ) -> None:
        self.target = target
        self.timeout = timeout
        self.retry = retry
        named = os.environ.get("SIXPOINT_OWNER", "") if owner is None else owner
        self.metadata = owner_to_metadata(named)

    def models_plan(self, label: str, task: str, modality: str, prompt: str) -> Plan[list[ModelInfo]]:
        """The models that match the filters that are not empty."""
        try:
            request = models.ListModelsRequest(
                label=label,
                task=models.Task.Value(f"TASK_{task.upper() or 'UNSPECIFIED'}"),
                modality=modality,
                prompt_kind=models.PromptKind.Value(f"PROMPT_KIND_{prompt.upper() or 'UNSPECIFIED'}"),
            )
        except ValueError as error:
            raise InvalidArgument(f"no such task or kind of prompt: {error}") from error
        response = yield Call("ListModels", request, self.timeout.call)
        return [read_model(message) for message in response.models]

    def upload_plan(self, image: Image, progress: Progress | None) -> Plan[str]:
        """Bring an image to the gateway unless it is there, going on where an earlier upload ended; its digest."""
        volume = yield from read_plan(image)
        digest: str = yield Work(lambda: volume.digest)
        try:
            yield Call("GetImage", images.GetImageRequest(digest=digest), self.timeout.call)
        except ImageNotFound:
            yield from self._send_plan(volume, digest, progress)
        return digest

    def open_plan(self, image: Image, model: str, progress: Progress | None) -> Plan[Opened]:
        """Upload an image, unless it is there, and open a session on it."""
        volume = yield from read_plan(image)
        digest = yield from self.upload_plan(volume, progress)
        request = sessions.CreateSessionRequest(image_digest=digest, model=model, request_id=uuid.uuid4().hex)
        response = yield Call("CreateSession", request, self.timeout.call)
        return Opened(read_session(response.session), volume.geometry, volume)

    def segment_plan(
        self,
        image: Image,
        model: str,
        labels: Sequence[str],
        progress: PatchProgress | None,
        upload_progress: Progress | None,
    ) -> Plan[Segmentation]:
        """Upload an image, unless it is there, and segment it."""
        volume = yield from read_plan(image)
        digest = yield from self.upload_plan(volume, upload_progress)
        return (
            yield from segment_plan(
                digest, volume.geometry, model=model, labels=labels, progress=progress, timeout=self.timeout.segment
            )
        )

    def resume_plan(self, session_id: str, image: Image | None) -> Plan[Opened]:
        """Go on with a session; with its image at hand, if one is given."""
        response = yield Call("GetSession", sessions.GetSessionRequest(session_id=session_id), self.timeout.call)
        info = read_session(response.session)
        if image is not None:
            volume = yield from read_plan(image)
            digest = yield Work(lambda: volume.digest)
            if digest != info.image_digest:
                raise InvalidArgument(
                    "this is another image than the session's; resume it with its own, or without one"
                )
            return Opened(info, volume.geometry, volume)
        found = yield Call("GetImage", images.GetImageRequest(digest=info.image_digest), self.timeout.call)
        return Opened(info, geometry_from_message(found.image.geometry), None)

    def sessions_plan(self, model: str, version: str) -> Plan[list[SessionInfo]]:
        """The open sessions of this client's owner that match the filters that are not empty, the last used first."""
        listed: list[SessionInfo] = []
        token = ""
        while True:
            request = sessions.ListSessionsRequest(
                page_size=_PAGE, page_token=token, model=model, model_version=version
            )
            response = yield Call("ListSessions", request, self.timeout.call)
            if model or version:
                _check_filters(response)
            listed += map(read_session, response.sessions)
            token = response.next_page_token
            if not token:
                return listed

    def count_sessions_plan(self, model: str, version: str) -> Plan[int]:
        """How many open sessions of all owners match the filters that are not empty."""
        request = sessions.ListSessionsRequest(page_size=1, model=model, model_version=version)
        response = yield Call("ListSessions", request, self.timeout.call)
        _check_filters(response)
        return int(response.all_owners_size)

    def close_plan(self, session_id: str) -> Plan[None]:
        """Close a session; closing it again is no error."""
        yield Call("CloseSession", sessions.CloseSessionRequest(session_id=session_id), self.timeout.call)

    def _send_plan(self, volume: Volume, digest: str, progress: Progress | None) -> Plan[None]:
        attempts = Attempts(self.retry, timeout=self.timeout.upload, now=time.monotonic())
        raised: list[BaseException] = []
        while True:
            there = yield Call("GetUpload", images.GetUploadRequest(digest=digest), self.timeout.call)
            offset: int = there.received_byte_count

            def stream(offset: int = offset) -> Iterator[images.UploadImageRequest]:
                return _ended_by(upload_messages(volume, digest, offset=offset, progress=progress), raised)

            left = attempts.remaining(time.monotonic())
            refusal: SixpointError | None = None
            try:
                yield Call("UploadImage", None, left, stream=stream, safe=False)
            except SixpointError as error:
                refusal = error
            if raised:
                raise raised[0]
            if refusal is None:
                return
            # Another client may have sent the same image meanwhile: then the offset is another one.
            moved = isinstance(refusal, UploadError) and offset > 0
            pause = attempts.pause(refusal, now=time.monotonic(), again=moved)
            if pause is None:
                raise refusal
            yield Pause(pause)


def _ended_by(
    messages: Iterator[images.UploadImageRequest], raised: list[BaseException]
) -> Iterator[images.UploadImageRequest]:
    """The messages, up to where ``progress`` raises: what it raised goes into ``raised``, since gRPC would lose it."""
    while True:
        try:
            message = next(messages)
        except StopIteration:
            return
        except BaseException as error:
            raised.append(error)
            return
        yield message


def _check_filters(response: sessions.ListSessionsResponse) -> None:
    """Refuse the answer of a gateway that ignored the filters, since it does not know them.

    Raises:
        FailedPrecondition: It is one.
    """
    if not response.HasField("all_owners_size"):
        raise FailedPrecondition("the gateway is older than this client, and cannot say which sessions use a model")


def read_plan(image: Image) -> Plan[Volume]:
    """The image itself, read when it is a path."""
    if isinstance(image, Volume):
        return image
    volume: Volume = yield Work(lambda: Volume.read(image))
    return volume


def upload_messages(
    volume: Volume, digest: str, *, offset: int = 0, progress: Progress | None
) -> Iterator[images.UploadImageRequest]:
    """The messages of an upload: its header, then its voxels from ``offset`` bytes on, in chunks of 1 MiB."""
    data = volume.array.reshape(-1).view(np.uint8)
    yield images.UploadImageRequest(
        header=images.Image(
            digest=digest,
            geometry=geometry_to_message(volume.geometry),
            voxel_type=cast("volumes.VoxelType.ValueType", voxel_type_number(volume.array.dtype)),
            byte_count=len(data),
        ),
        offset=offset,
    )
    if progress and offset:
        progress(offset, len(data))
    for start in range(offset, len(data), _CHUNK_BYTES):
        yield images.UploadImageRequest(chunk=data[start : start + _CHUNK_BYTES].tobytes())
        if progress:
            progress(min(start + _CHUNK_BYTES, len(data)), len(data))
