"""The client for asyncio: the names of the blocking one, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from types import TracebackType
from typing import Self, TypeVar

import grpc
import grpc.aio

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

__all__ = ["AsyncClient", "AsyncSession"]

_Result = TypeVar("_Result")


class AsyncClient(BaseClient):
    """:class:`Client` for asyncio: the same names, awaited."""

    def __init__(
        self, target: str = DEFAULT_TARGET, *, timeout: Timeout = Timeout(), channel: grpc.aio.Channel | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._channel = channel or grpc.aio.insecure_channel(target, options=OPTIONS)
        self._models = models_grpc.ModelServiceStub(self._channel)
        self._images = images_grpc.ImageServiceStub(self._channel)
        self._sessions = sessions_grpc.SessionServiceStub(self._channel)
        self._annotation = annotation_grpc.AnnotationServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def call(self, work: Awaitable[_Result]) -> _Result:
        """As :meth:`Client.call`, of what can be awaited."""
        try:
            return await work
        except grpc.RpcError as failure:
            raise explain(failure, self.target) from failure

    async def models(self, *, label: str = "", task: str = "", modality: str = "", prompt: str = "") -> list[ModelInfo]:
        """As :meth:`Client.models`."""
        request = self.list_request(label, task, modality, prompt)
        return read_models(await self.call(self._models.ListModels(request, timeout=self.timeout.call)))

    async def upload(self, image: Image, *, progress: Progress | None = None) -> str:
        """As :meth:`Client.upload`."""
        # Reading and hashing take seconds for a large image: off the event loop.
        volume = await asyncio.to_thread(self.read, image)
        digest = await asyncio.to_thread(lambda: volume.digest)
        try:
            await self.call(self._images.GetImage(images.GetImageRequest(digest=digest), timeout=self.timeout.call))
        except ImageNotFound:

            async def stream() -> AsyncIterator[images.UploadImageRequest]:
                for message in self.upload_messages(volume, digest, progress):
                    yield message

            await self.call(self._images.UploadImage(stream(), timeout=self.timeout.upload))
        return digest

    async def open_session(
        self, image: Image, *, model: str = "annotation", progress: Progress | None = None
    ) -> AsyncSession:
        """As :meth:`Client.open_session`."""
        volume = await asyncio.to_thread(self.read, image)
        digest = await self.upload(volume, progress=progress)
        request = sessions.CreateSessionRequest(image_digest=digest, model=model)
        response = await self.call(self._sessions.CreateSession(request, timeout=self.timeout.call))
        return AsyncSession(self, response.session, volume)


class AsyncSession(BaseSession):
    """:class:`Session` for asyncio: the same names, awaited."""

    def __init__(self, client: AsyncClient, message: sessions.Session, volume: Volume) -> None:
        super().__init__(message, volume)
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def annotate(self, *prompts: Prompt) -> Mask:
        """As :meth:`Session.annotate`."""
        client, request = self._client, self._client.annotate_request(self.id, prompts)
        response = await client.call(client._annotation.Annotate(request, timeout=client.timeout.call))
        return self.read_mask(response.answer)

    async def click(self, point: Point, *, positive: bool = True, frame: Frame | str = Frame.VOXEL) -> Mask:
        """As :meth:`Session.click`."""
        return await self.annotate(Click(point, positive, Frame.parse(frame)))

    async def close(self) -> None:
        """As :meth:`Session.close`."""
        client, request = self._client, sessions.CloseSessionRequest(session_id=self.id)
        try:
            await client._sessions.CloseSession(request, timeout=client.timeout.call)
        except (grpc.RpcError, grpc.aio.UsageError):  # gRPC's word for a channel that is closed
            return
