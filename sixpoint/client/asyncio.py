"""The client for asyncio."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc.aio

from sixpoint.client._base import BaseClient
from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._operations.images import ImageSource, load
from sixpoint.client._operations.segment import PatchProgressCallback
from sixpoint.client._operations.upload import ProgressCallback
from sixpoint.client._retry import Retry, Timeout
from sixpoint.client._transport.channel import Stubs, open_async_channel
from sixpoint.client._transport.driver import AsyncDriver
from sixpoint.client._transport.tls import TlsFiles
from sixpoint.client.async_session import AsyncSession
from sixpoint.client.datasets import AsyncDatasets
from sixpoint.client.jobs import AsyncJobs
from sixpoint.client.learning import AsyncLearning
from sixpoint.client.models import ModelInfo
from sixpoint.client.open_sessions import AsyncOpenSessions
from sixpoint.client.tokens import GivenToken, TokenCallback
from sixpoint.geometry import Geometry
from sixpoint.segmentation import Segmentation

__all__ = ["AsyncClient"]


class AsyncClient(BaseClient, AsyncOpenSessions):
    """A client of a sixpoint gateway for asyncio. It is an asynchronous context manager, and tasks may share it.

    Args:
        target: Address of the gateway: host:port, or a host alone for port 50051; for TLS with ``https://`` before it.
            By default the value of SIXPOINT_SERVER, and without it 127.0.0.1:50051.
        timeout: Seconds to wait for each kind of call.
        retry: Policy for repeating calls while the service is unavailable.
        owner: Name for quotas and lists of sessions; by default the value of SIXPOINT_OWNER.
        tls: Files for TLS; by default those of SIXPOINT_CA_FILE, SIXPOINT_CLIENT_CERT_FILE and
            SIXPOINT_CLIENT_KEY_FILE, and without them the authorities of the system.
        token: Token that tells the gateway who calls, or a function that returns one before each call; "" for none.
            By default that of SIXPOINT_TOKEN or SIXPOINT_TOKEN_FILE, and without them that of ``sixpoint login``.
        token_file: File with a token, in place of ``token``; it is read again when it changes.
        channel: gRPC channel to use instead of one made for ``target``. Only a token that is given here is sent over
            it: whether others can read it there is up to the channel.

    Attributes:
        datasets: Datasets, and what people saved in them.
        jobs: Work that takes long.
        learning: Models that learn from datasets.

    Raises:
        InvalidArgument: The address is none; the owner's name is too long or has control characters; a file for
            TLS cannot be used, or is given for an address without ``https://``; or a token cannot be sent, or only
            unencrypted.

    Example::

        async with sixpoint.AsyncClient("127.0.0.1:50051") as client:
            async with await client.open_session("ct.nii.gz", model="annotation") as session:
                mask = await session.annotate(sixpoint.ExtremePoints(points, frame="voxel"))
                mask = await session.click((52, 60, 10), positive=False)
                mask = await session.undo()
                await session.save("spleen.nii.gz")
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout: Timeout = Timeout(),
        retry: Retry = Retry(),
        owner: str | None = None,
        tls: TlsFiles | None = None,
        token: str | TokenCallback | None = None,
        token_file: str | os.PathLike[str] | None = None,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        given, own = GivenToken(token, token_file), channel is not None
        super().__init__(target, timeout=timeout, retry=retry, owner=owner, tls=tls, token=given, has_channel=own)
        self.channel: grpc.aio.Channel = channel or open_async_channel(self._address, tls=tls)
        stubs = Stubs(self.channel)
        self._operations = ClientOperations(stubs, timeout=timeout, retry=retry)
        self._driver = AsyncDriver(stubs, target=self.target, retry=retry, metadata=self.metadata, tokens=self._tokens)
        self.datasets: AsyncDatasets = AsyncDatasets(self._driver, self._operations)
        self.jobs: AsyncJobs = AsyncJobs(self._driver, self._operations)
        self.learning: AsyncLearning = AsyncLearning(self._driver, self._operations)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Open sessions stay open on the gateway until they expire."""
        await self.channel.close()

    async def models(self, *, label: str = "", task: str = "", modality: str = "", prompt: str = "") -> list[ModelInfo]:
        """List the models that the gateway serves, by name. A model must match every filter that is not empty.

        Args:
            label: Name of a label that the model outlines.
            task: Task of the model, "annotation" or "segmentation".
            modality: Modality that the model is made for, such as "CT".
            prompt: Kind of prompt that the model takes: "extreme_points", "box", "clicks", "mask",
                "scribbles" or "lasso".

        Raises:
            InvalidArgument: The task or the kind of prompt does not exist.
            TritonUnavailable: The gateway does not reach Triton.
            Unavailable: The gateway does not answer.
        """
        return await self._driver.run(self._operations.models(label=label, task=task, modality=modality, prompt=prompt))

    async def upload(
        self,
        image: ImageSource,
        *,
        spacing: Sequence[float] | None = None,
        geometry: Geometry | None = None,
        progress: ProgressCallback | None = None,
    ) -> str:
        """Upload an image unless the gateway has it, and return its digest. An interrupted upload is continued.

        Args:
            image: File (NIfTI, NRRD, MetaImage), folder with one DICOM series, Volume, image of SimpleITK or nibabel,
                or array [z, y, x] with its spacing or geometry.
            spacing: Spacing (x, y, z) in mm of an array, or of a file whose header lacks it.
            geometry: Geometry of an array: spacing, and where it lies in the patient.
            progress: Called with the bytes sent so far and the bytes in all, on the event loop. An exception that it
                raises ends the upload and is raised here.

        Raises:
            VolumeError: The image is not a usable volume.
            ResourceExhausted: The image is too large.
        """
        return await self._driver.run(
            self._operations.upload(load(image, spacing=spacing, geometry=geometry), progress)
        )

    async def check_image(
        self,
        image: ImageSource,
        *,
        model: str,
        spacing: Sequence[float] | None = None,
        geometry: Geometry | None = None,
    ) -> tuple[str, ...]:
        """Find what speaks against using a model on an image: modality, values, spacing, size. Nothing is uploaded.

        :meth:`open_session` and :meth:`segment` check it, too, and issue an
        :class:`~sixpoint.ImplausibleImageWarning` for each reason before they upload.

        Args:
            image: File (NIfTI, NRRD, MetaImage), folder with one DICOM series, Volume, image of SimpleITK or nibabel,
                or array [z, y, x] with its spacing or geometry.
            model: Name of the model.
            spacing: Spacing (x, y, z) in mm of an array, or of a file whose header lacks it.
            geometry: Geometry of an array: spacing, and where it lies in the patient.

        Returns:
            One sentence for each reason: what is odd, what the model expects, what to do. Empty for a plausible image.

        Raises:
            VolumeError: The image is not a usable volume.
            ModelNotFound: No model has this name.
        """
        volume = load(image, spacing=spacing, geometry=geometry)
        return await self._driver.run(self._operations.check_image(volume, model=model))

    async def open_session(
        self,
        image: ImageSource,
        *,
        model: str = "annotation",
        spacing: Sequence[float] | None = None,
        geometry: Geometry | None = None,
        progress: ProgressCallback | None = None,
        keep: bool = False,
    ) -> AsyncSession:
        """Upload an image unless the gateway has it, and open a session on it.

        Args:
            image: File (NIfTI, NRRD, MetaImage), folder with one DICOM series, Volume, image of SimpleITK or nibabel,
                or array [z, y, x] with its spacing or geometry.
            model: Name of the model that answers the prompts.
            spacing: Spacing (x, y, z) in mm of an array, or of a file whose header lacks it.
            geometry: Geometry of an array: spacing, and where it lies in the patient.
            progress: Called with the bytes sent so far and the bytes in all, on the event loop. An exception that it
                raises ends the upload and is raised here.
            keep: Whether the session stays open when the ``async with`` block ends, so that it can be resumed by its
                id.

        Returns:
            The session: a context manager that closes it.

        Raises:
            VolumeError: The image is not a usable volume.
            ModelNotFound: No model has this name.
        """
        volume = load(image, spacing=spacing, geometry=geometry)
        opened = await self._driver.run(self._operations.open_session(volume, model=model, progress=progress))
        return AsyncSession(self._driver, self._operations, opened, keep=keep)

    async def segment(
        self,
        image: ImageSource,
        *,
        model: str,
        labels: Sequence[str] = (),
        spacing: Sequence[float] | None = None,
        geometry: Geometry | None = None,
        progress: PatchProgressCallback | None = None,
        upload_progress: ProgressCallback | None = None,
    ) -> Segmentation:
        """Upload an image unless the gateway has it, and segment it with a model that needs no prompts.

        Args:
            image: File (NIfTI, NRRD, MetaImage), folder with one DICOM series, Volume, image of SimpleITK or nibabel,
                or array [z, y, x] with its spacing or geometry.
            model: Name of a model whose task is "segmentation".
            labels: Names of the labels to return; empty for all of the model's.
            spacing: Spacing (x, y, z) in mm of an array, or of a file whose header lacks it.
            geometry: Geometry of an array: spacing, and where it lies in the patient.
            progress: Called with the patches answered so far and the patches in all.
            upload_progress: Called with the bytes sent so far and the bytes in all, on the event loop.

        Raises:
            TaskNotSupported: The model needs prompts.
            InvalidArgument: The model does not have one of the labels.
            ResourceExhausted: The image is too large for the model, or too many segmentations wait.
        """
        operation = self._operations.segment(
            load(image, spacing=spacing, geometry=geometry),
            model=model,
            labels=labels,
            progress=progress,
            upload_progress=upload_progress,
        )
        return await self._driver.run(operation)
