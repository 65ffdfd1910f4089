"""The client for asyncio: the names of the blocking one, awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
import grpc.aio

from sixpoint.client._driver import AsyncDriver
from sixpoint.client._operations.client import DEFAULT_TARGET, OPTIONS, BaseClient, Image, Opened, Progress, Timeout
from sixpoint.client._operations.segment import PatchProgress
from sixpoint.client._operations.session import BaseSession
from sixpoint.client._retry import Retry
from sixpoint.client._sansio import Plan
from sixpoint.client.interaction import AsyncInteraction
from sixpoint.client.models import ModelInfo, SessionInfo, StepInfo
from sixpoint.errors import SixpointError
from sixpoint.mask import Mask
from sixpoint.prompts import Click, Frame, Point, Prompt
from sixpoint.segmentation import Segmentation

__all__ = ["AsyncClient", "AsyncSession"]

_Result = TypeVar("_Result")


class AsyncClient(BaseClient):
    """:class:`Client` for asyncio: the same names, awaited."""

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: Timeout = Timeout(),
        retry: Retry = Retry(),
        owner: str | None = None,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        super().__init__(target, timeout=timeout, retry=retry, owner=owner)
        self.channel = channel or grpc.aio.insecure_channel(target, options=OPTIONS)
        self.driver = AsyncDriver(self.channel, target=target, retry=retry, metadata=self.metadata)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close()

    async def run(self, plan: Plan[_Result]) -> _Result:
        """Carry a plan out."""
        return await self.driver.run(plan)

    async def models(self, *, label: str = "", task: str = "", modality: str = "", prompt: str = "") -> list[ModelInfo]:
        """As :meth:`Client.models`."""
        return await self.run(self.models_plan(label, task, modality, prompt))

    async def upload(self, image: Image, *, progress: Progress | None = None) -> str:
        """As :meth:`Client.upload`; ``progress`` is told on the event loop."""
        return await self.run(self.upload_plan(image, progress))

    async def open_session(
        self, image: Image, *, model: str = "annotation", progress: Progress | None = None, keep: bool = False
    ) -> AsyncSession:
        """As :meth:`Client.open_session`."""
        return AsyncSession(self, await self.run(self.open_plan(image, model, progress)), keep=keep)

    async def segment(
        self,
        image: Image,
        *,
        model: str,
        labels: Sequence[str] = (),
        progress: PatchProgress | None = None,
        upload_progress: Progress | None = None,
    ) -> Segmentation:
        """As :meth:`Client.segment`."""
        return await self.run(self.segment_plan(image, model, labels, progress, upload_progress))

    async def resume(self, session_id: str, image: Image | None = None) -> AsyncSession:
        """As :meth:`Client.resume`."""
        return AsyncSession(self, await self.run(self.resume_plan(session_id, image)), keep=True)

    async def sessions(self, *, model: str = "", version: str = "") -> list[SessionInfo]:
        """As :meth:`Client.sessions`."""
        return await self.run(self.sessions_plan(model, version))

    async def count_sessions(self, *, model: str = "", version: str = "") -> int:
        """As :meth:`Client.count_sessions`."""
        return await self.run(self.count_sessions_plan(model, version))

    async def close_session(self, session_id: str) -> None:
        """As :meth:`Client.close_session`."""
        await self.run(self.close_plan(session_id))


class AsyncSession(BaseSession):
    """:class:`Session` for asyncio: the same names, awaited."""

    def __init__(self, client: AsyncClient, opened: Opened, *, keep: bool = False) -> None:
        super().__init__(client, opened, keep=keep)
        self._client = client
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep:
            await self.close()

    async def _run(self, plan: Plan[_Result]) -> _Result:
        async with self._lock:
            return await self._client.run(plan)

    async def annotate(self, *prompts: Prompt, segment: int = 1) -> Mask:
        """As :meth:`Session.annotate`."""
        return await self._run(self.annotate_plan(prompts, segment))

    async def click(
        self, point: Point, *, positive: bool = True, frame: Frame | str = Frame.VOXEL, segment: int = 1
    ) -> Mask:
        """As :meth:`Session.click`."""
        return await self.annotate(Click(point, positive, Frame.parse(frame)), segment=segment)

    async def undo(self, *, segment: int = 1) -> Mask:
        """As :meth:`Session.undo`."""
        return await self._run(self.step_plan("Undo", segment))

    async def redo(self, *, segment: int = 1) -> Mask:
        """As :meth:`Session.redo`."""
        return await self._run(self.step_plan("Redo", segment))

    async def reset(self, *, segment: int = 1) -> Mask:
        """As :meth:`Session.reset`."""
        return await self._run(self.step_plan("Reset", segment))

    def interact(self) -> AsyncInteraction:
        """As :meth:`Session.interact`."""
        return AsyncInteraction(self, self._client.driver)

    async def mask(self, *, segment: int = 1) -> Mask:
        """As :meth:`Session.mask`."""
        return await self._run(self.mask_plan(segment))

    async def labels(self) -> Mask:
        """As :meth:`Session.labels`."""
        return await self._run(self.labels_plan())

    async def save(self, path: str | os.PathLike[str], *, segment: int | None = None) -> None:
        """As :meth:`Session.save`."""
        await self._run(self.save_plan(path, segment))

    async def steps(self, *, segment: int | None = None) -> list[StepInfo]:
        """As :meth:`Session.steps`."""
        return await self._run(self.steps_plan(segment))

    async def fork(self, *, segment: int | None = None, step: int = 0) -> AsyncSession:
        """As :meth:`Session.fork`."""
        return AsyncSession(self._client, await self._run(self.fork_plan(segment, step)), keep=self.keep)

    async def rename(self, segment: int, name: str) -> None:
        """As :meth:`Session.rename`."""
        await self._run(self.update_plan(names=[(segment, name)]))

    async def use_model(self, name: str) -> None:
        """As :meth:`Session.use_model`."""
        await self._run(self.update_plan(model=name))

    async def refresh(self) -> SessionInfo:
        """As :meth:`Session.refresh`."""
        return await self._run(self.refresh_plan())

    async def close(self) -> None:
        """As :meth:`Session.close`."""
        try:
            await self._run(self.close_plan())
        except (SixpointError, grpc.aio.UsageError):  # gRPC's word for a channel that is closed
            return
