"""A session of the client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
from types import TracebackType
from typing import Self, TypeVar

import grpc.aio

from sixpoint._typing import PointLike
from sixpoint.client._base import BaseSession
from sixpoint.client._operations.client import ClientOperations, OpenedSession
from sixpoint.client._sansio import Operation
from sixpoint.client._transport.driver import AsyncDriver
from sixpoint.client.interaction import AsyncInteraction
from sixpoint.client.models import SessionInfo, StepInfo
from sixpoint.errors import PermissionDenied, SixpointError, Unauthenticated
from sixpoint.mask import Mask
from sixpoint.mask_files.dicom import DicomKind, dicom_target, save_dicom
from sixpoint.mask_files.labels import check_labels_file
from sixpoint.prompts import Click, Frame, Prompt

__all__ = ["AsyncSession"]

_Result = TypeVar("_Result")


class AsyncSession(BaseSession):
    """The work on one image, segment by segment: an asynchronous context manager.

    :meth:`AsyncClient.open_session` creates it.

    If another client changed the session meanwhile, a change is refused with :class:`~sixpoint.errors.StaleRevision`:
    call :meth:`refresh`, look at the session, and go on. Tasks may share a session; they take turns.

    Attributes:
        id: Id of the session on the gateway.
        geometry: Geometry of the image.
        volume: The image; None in a session that was resumed without it.
        keep: Whether the session stays open when the ``async with`` block ends.
    """

    def __init__(
        self, driver: AsyncDriver, client: ClientOperations, opened: OpenedSession, *, keep: bool = False
    ) -> None:
        super().__init__(client, opened, keep=keep)
        self._driver = driver
        self._client = client
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep:
            # Whoever may not close a session leaves it.
            with contextlib.suppress(PermissionDenied, Unauthenticated):
                await self.close()

    async def annotate(self, *prompts: Prompt, segment: int = 1) -> Mask:
        """Outline an object from prompts. Extreme points, a box or a mask begin an object; clicks correct its mask.

        Args:
            prompts: One prompt or more, answered together with one mask. A prompt that begins an object comes first. Of
                two clicks in one voxel, the later one counts.
            segment: Number of the object, 1 to 255, which is its label. A new number is a new object.

        Returns:
            The object's new mask.

        Raises:
            PromptError: It is no prompt, or does not fit the image: outside it, flat, too few points, another grid.
            PromptNotSupported: The model does not take this kind of prompt.
            NothingToCorrect: The prompts are clicks, and there is no mask to correct.
            StaleRevision: Another client changed the session.
            ResourceExhausted: The object has too many clicks, or the server is busy.
            TritonUnavailable: Triton was unavailable for longer than the client waits. The session is unchanged.
            SessionExpired: The session was idle for too long.
        """
        return await self._run(self._operations.annotate(prompts, segment))

    async def click(
        self, point: PointLike, *, positive: bool = True, frame: Frame | str = Frame.VOXEL, segment: int = 1
    ) -> Mask:
        """Correct an object's mask with one click.

        Args:
            point: Position of the click, (x, y, z) in ``frame``.
            positive: Whether the object covers this position.
            frame: Coordinate frame of ``point``: "voxel", "lps" or "ras".
            segment: Number of the object.

        Returns:
            The object's new mask.

        Raises:
            SixpointError: Any error of :meth:`annotate`.
        """
        return await self.annotate(Click(point, positive, Frame.parse(frame)), segment=segment)

    async def undo(self, *, segment: int = 1) -> Mask:
        """Undo the last step of a segment, and return its mask.

        Args:
            segment: Number of the segment.

        Raises:
            NothingToUndo: The segment has no step to undo.
            StaleRevision: Another client changed the session.
        """
        return await self._run(self._operations.undo(segment))

    async def redo(self, *, segment: int = 1) -> Mask:
        """Redo the next step of a segment, and return its mask.

        Args:
            segment: Number of the segment.

        Raises:
            NothingToRedo: The segment has no step to redo.
            StaleRevision: Another client changed the session.
        """
        return await self._run(self._operations.redo(segment))

    async def reset(self, *, segment: int = 1) -> Mask:
        """Undo all steps of a segment, and return its empty mask. The steps can be redone one by one.

        Args:
            segment: Number of the segment.

        Raises:
            StaleRevision: Another client changed the session.
        """
        return await self._run(self._operations.reset(segment))

    def interact(self) -> AsyncInteraction:
        """Return a stream of prompts and answers, for viewers: a context manager, see :class:`AsyncInteraction`."""
        return AsyncInteraction(self._driver, self._operations)

    async def mask(self, *, segment: int = 1) -> Mask:
        """Return the present mask of a segment; it is empty for one without steps.

        Args:
            segment: Number of the segment.
        """
        return await self._run(self._operations.mask(segment))

    async def labels(self) -> Mask:
        """Return all segments as one array of their numbers. Where two overlap, the larger number wins."""
        return await self._run(self._operations.labels())

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        segment: int | None = None,
        names: bool = False,
        dicom: DicomKind | None = None,
        source: str | os.PathLike[str] | None = None,
        creator: str = "",
    ) -> None:
        """Write a segment's mask, or the labels of all segments, to a file on the image's own grid.

        Args:
            path: File to write; its suffix selects NIfTI, NRRD, MetaImage or DICOM. A ``.seg.nrrd`` file has the names
                and colours of the segments, for 3D Slicer. A ``.dcm`` file belongs to the DICOM image, has the names,
                and needs the image's files; in it, segments may overlap.
            segment: Number of the segment to write as 0 and 1; None for all, as labels.
            names: Whether the names of the segments are written to a JSON file beside another file: ``labels.json``
                beside ``labels.nii.gz``.
            dicom: Kind of a ``.dcm`` file: "seg", "labelmap" or "rtstruct"; None for "seg".
            source: Folder or file with the DICOM image; None for that which the session was opened with.
            creator: Name of the person who made the masks, for a ``.dcm`` file; empty to say nobody.

        Raises:
            InvalidArgument: Names are asked for, and no segment has one; the image's DICOM files are not known; or
                nothing is outlined, and it is to be written as DICOM.
            VolumeError: The suffix is unknown, a file cannot be written, the JSON file is there with other content, or
                the DICOM files are not the image's.
        """
        target = dicom_target(path, self.geometry, kind=dicom, source=source, creator=creator)
        check_labels_file(path, with_names=names)
        if target and segment is None:
            objects = await self._run(self._operations.objects())
            digest = self._operations.image_digest
            await asyncio.to_thread(save_dicom, objects, self.geometry, target, digest=digest)
            return
        mask = await (self.labels() if segment is None else self.mask(segment=segment))
        await asyncio.to_thread(mask.save, path, names=names, dicom=dicom, source=source, creator=creator)

    async def steps(self, *, segment: int | None = None) -> list[StepInfo]:
        """List the steps by segment, in order, including those that were undone and can be redone.

        Args:
            segment: Number of a segment; None for all.
        """
        return await self._run(self._operations.steps(segment))

    async def fork(self, *, segment: int | None = None, step: int = 0) -> AsyncSession:
        """Open a new session as a copy of this one; one segment of it may stand at an earlier step.

        Args:
            segment: Number of the segment that stands at another step; None to copy all segments as they are.
            step: Number of the last step to keep of that segment; 0 to keep none.

        Raises:
            InvalidArgument: There is no such segment or step.
        """
        opened = await self._run(self._operations.fork(segment, step))
        return AsyncSession(self._driver, self._client, opened, keep=self.keep)

    async def rename(self, segment: int, name: str) -> None:
        """Name a segment.

        Args:
            segment: Number of the segment.
            name: Name of the object.

        Raises:
            StaleRevision: Another client changed the session.
        """
        await self._run(self._operations.update(names=[(segment, name)]))

    async def use_model(self, name: str) -> None:
        """Choose another model for the prompts to come.

        Args:
            name: Name of the model.

        Raises:
            ModelNotFound: No model has this name.
            StaleRevision: Another client changed the session.
        """
        await self._run(self._operations.update(model=name))

    async def refresh(self) -> SessionInfo:
        """Ask the gateway for the session's present state, for example after another client changed it."""
        return await self._run(self._operations.refresh())

    async def close(self) -> None:
        """Close the session on the gateway.

        It is no error if the session no longer exists, if the client is closed, or if the gateway does not answer: a
        session that is not closed expires.

        Raises:
            PermissionDenied: The session belongs to somebody else.
            Unauthenticated: The gateway asks who calls, and the credentials are not valid.
        """
        try:
            await self._run(self._operations.close())
        except (PermissionDenied, Unauthenticated):
            raise
        except (SixpointError, grpc.aio.UsageError):  # gRPC raises UsageError on a closed channel.
            return

    async def _run(self, operation: Operation[_Result]) -> _Result:
        async with self._lock:
            return await self._driver.run(operation)
