"""The operations of a client: models, uploads, sessions and segmentations."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from sixpoint.client._operations.segment import PatchProgressCallback, segment
from sixpoint.client._operations.upload import ProgressCallback, upload
from sixpoint.client._retry import Retry, Timeout
from sixpoint.client._sansio import Call, Operation, Work
from sixpoint.client._transport.channel import Stubs
from sixpoint.client.models import ModelInfo, SessionInfo, read_model, read_session
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ImplausibleImageWarning, find_doubts
from sixpoint.protocol import geometry_from_message
from sixpoint.segmentation import Segmentation
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.volume import Volume

__all__ = ["ClientOperations", "OpenedSession"]

_PAGE_SIZE = 1000


@dataclass(frozen=True)
class OpenedSession:
    """A session that was opened, resumed or forked.

    Attributes:
        info: Session as the gateway describes it.
        geometry: Geometry of the session's image.
        volume: The session's image, if the client has it in memory.
    """

    info: SessionInfo
    geometry: Geometry
    volume: Volume | None


class ClientOperations:
    """The operations of a client, the same for both drivers.

    Args:
        stubs: RPC methods of the gateway.
        timeout: Seconds to wait for each kind of call.
        retry: Policy for repeated attempts.
    """

    def __init__(self, stubs: Stubs, *, timeout: Timeout, retry: Retry) -> None:
        self.stubs = stubs
        self.timeout = timeout
        self.retry = retry

    def models(self, *, label: str, task: str, modality: str, prompt: str) -> Operation[list[ModelInfo]]:
        """List the models that match every filter that is not empty."""
        try:
            request = model_pb.ListModelsRequest(
                label=label,
                task=model_pb.Task.Value(f"TASK_{task.upper() or 'UNSPECIFIED'}"),
                modality=modality,
                prompt_kind=model_pb.PromptKind.Value(f"PROMPT_KIND_{prompt.upper() or 'UNSPECIFIED'}"),
            )
        except ValueError as error:
            raise InvalidArgument(f"no such task or kind of prompt: {error}") from error
        response = yield from Call(self.stubs.models.ListModels, request, self.timeout.call)
        return [read_model(message) for message in response.models]

    def upload(self, image: Work[Volume], progress: ProgressCallback | None = None) -> Operation[str]:
        """Upload an image unless the gateway has it, and return its digest."""
        volume = yield from image
        return (yield from self.upload_volume(volume, progress))

    def upload_volume(self, volume: Volume, progress: ProgressCallback | None = None) -> Operation[str]:
        """Upload a volume unless the gateway has it, and return its digest."""
        return upload(self.stubs, volume, timeout=self.timeout, retry=self.retry, progress=progress)

    def check_image(self, image: Work[Volume], *, model: str) -> Operation[tuple[str, ...]]:
        """Find what speaks against using a model on an image; nothing is uploaded."""
        volume = yield from image
        return (yield from self._find_doubts(volume, model=model))

    def open_session(
        self, image: Work[Volume], *, model: str, progress: ProgressCallback | None
    ) -> Operation[OpenedSession]:
        """Upload an image unless the gateway has it, and open a session on it."""
        volume = yield from image
        _warn((yield from self._find_doubts(volume, model=model)))
        digest = yield from self.upload_volume(volume, progress)
        request = session_pb.CreateSessionRequest(image_digest=digest, model=model, request_id=uuid.uuid4().hex)
        response = yield from Call(self.stubs.sessions.CreateSession, request, self.timeout.call)
        return OpenedSession(read_session(response.session), volume.geometry, volume)

    def segment(
        self,
        image: Work[Volume],
        *,
        model: str,
        labels: Sequence[str],
        progress: PatchProgressCallback | None,
        upload_progress: ProgressCallback | None,
    ) -> Operation[Segmentation]:
        """Upload an image unless the gateway has it, and segment it."""
        volume = yield from image
        _warn((yield from self._find_doubts(volume, model=model)))
        digest = yield from self.upload_volume(volume, upload_progress)
        return (
            yield from segment(
                self.stubs,
                digest,
                volume.geometry,
                model=model,
                labels=labels,
                progress=progress,
                timeout=self.timeout.segment,
            )
        )

    def resume(self, session_id: str, image: Work[Volume] | None) -> Operation[OpenedSession]:
        """Look up an open session; check that ``image``, where it is given, is the session's."""
        request = session_pb.GetSessionRequest(session_id=session_id)
        response = yield from Call(self.stubs.sessions.GetSession, request, self.timeout.call)
        info = read_session(response.session)
        if image is not None:
            volume = yield from image
            digest = yield from Work(lambda: volume.digest)
            if digest != info.image_digest:
                raise InvalidArgument(
                    "this is not the session's image; resume the session with its own image, or without one"
                )
            return OpenedSession(info, volume.geometry, volume)
        image_request = image_pb.GetImageRequest(digest=info.image_digest)
        image_response = yield from Call(self.stubs.images.GetImage, image_request, self.timeout.call)
        return OpenedSession(info, geometry_from_message(image_response.image.geometry), None)

    def sessions(self, *, model: str, version: str) -> Operation[list[SessionInfo]]:
        """List the owner's open sessions that match every filter that is not empty, the last used first."""
        infos: list[SessionInfo] = []
        page_token = ""
        while True:
            request = session_pb.ListSessionsRequest(
                page_size=_PAGE_SIZE, page_token=page_token, model=model, model_version=version
            )
            response = yield from Call(self.stubs.sessions.ListSessions, request, self.timeout.call)
            if model or version:
                _check_filters(response)
            infos += map(read_session, response.sessions)
            page_token = response.next_page_token
            if not page_token:
                return infos

    def count_sessions(self, *, model: str, version: str) -> Operation[int]:
        """Count the open sessions of all owners that match every filter that is not empty."""
        request = session_pb.ListSessionsRequest(page_size=1, model=model, model_version=version)
        response = yield from Call(self.stubs.sessions.ListSessions, request, self.timeout.call)
        _check_filters(response)
        return response.all_owners_size

    def close_session(self, session_id: str, *, repeatable: bool = True) -> Operation[None]:
        """Close a session; closing it again is no error."""
        request = session_pb.CloseSessionRequest(session_id=session_id)
        yield from Call(self.stubs.sessions.CloseSession, request, self.timeout.call, repeatable=repeatable)

    def _find_doubts(self, volume: Volume, *, model: str) -> Operation[tuple[str, ...]]:
        request = model_pb.GetModelRequest(name=model)
        response = yield from Call(self.stubs.models.GetModel, request, self.timeout.call)
        expected = read_model(response.model).expected_image
        return (yield from Work(lambda: find_doubts(volume, expected)))


def _warn(doubts: Sequence[str]) -> None:
    """Warn the caller of a client's method, who is four frames up: operation, driver, method."""
    for doubt in doubts:
        warnings.warn(doubt, ImplausibleImageWarning, stacklevel=5)


def _check_filters(response: session_pb.ListSessionsResponse) -> None:
    """Refuse the response of an old gateway, which ignores the filters.

    Raises:
        FailedPrecondition: The gateway is older than the filters.
    """
    if not response.HasField("all_owners_size"):
        raise FailedPrecondition(
            "the gateway is older than this client and cannot filter sessions by model; update the gateway"
        )
