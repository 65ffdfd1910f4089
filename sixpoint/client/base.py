"""What the twin clients do alike: requests made, responses read, failures explained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import grpc
import numpy as np

from sixpoint.converters import geometry_to_message, mask_from_message, prompt_to_message, timings_from_message
from sixpoint.errors import InvalidArgument, SixpointError, Unavailable
from sixpoint.mask import Mask, unpack
from sixpoint.prompts import Prompt
from sixpoint.status import from_rpc, is_ours
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import image_service_pb2 as images
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import session_service_pb2 as sessions
from sixpoint.v1 import volume_pb2 as volumes
from sixpoint.volume import Volume, voxel_type_number

Image = str | os.PathLike[str] | Volume
Progress = Callable[[int, int], None]
"""Called during an upload with the bytes sent so far, and all there are."""

# Measured best for Python's gRPC: smaller ones cost calls, larger ones copies.
_CHUNK_BYTES = 2**20
DEFAULT_TARGET = "127.0.0.1:50051"
OPTIONS = (
    # A mask compresses to a few percent, but nothing promises it.
    ("grpc.max_receive_message_length", 256 * 2**20),
)


@dataclass(frozen=True)
class Timeout:
    """How long to wait, in seconds.

    Attributes:
        call: For one call.
        upload: For an upload.
    """

    call: float = 60.0
    upload: float = 600.0


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be used.

    Attributes:
        name: To open sessions with.
        version: The version that answers now.
        title: For people.
        description: What it does.
        task: What it is for, e.g. "annotation".
        modalities: In DICOM's terms; empty means any.
        labels: Names of the labels 1, 2, ... of its masks.
        prompts: What it takes: "extreme_points", "box", "clicks".
        licence: Its licence.
        metrics: Measured figures by name.
    """

    name: str
    version: str
    title: str
    description: str
    task: str
    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    licence: str
    metrics: dict[str, float]


class BaseClient:
    """What both clients do alike: requests made, responses read."""

    def __init__(self, target: str = DEFAULT_TARGET, *, timeout: Timeout = Timeout()) -> None:
        self.target = target
        self.timeout = timeout

    @staticmethod
    def read(image: Image) -> Volume:
        """The image itself, read when it is a path."""
        return image if isinstance(image, Volume) else Volume.read(image)

    @staticmethod
    def upload_messages(volume: Volume, digest: str, progress: Progress | None) -> Iterator[images.UploadImageRequest]:
        """The messages of an upload: its header, then its voxels in chunks of 1 MiB."""
        data = volume.array.reshape(-1).view(np.uint8)
        yield images.UploadImageRequest(
            header=images.Image(
                digest=digest,
                geometry=geometry_to_message(volume.geometry),
                voxel_type=cast("volumes.VoxelType.ValueType", voxel_type_number(volume.array.dtype)),
                byte_count=len(data),
            )
        )
        for start in range(0, len(data), _CHUNK_BYTES):
            yield images.UploadImageRequest(chunk=data[start : start + _CHUNK_BYTES].tobytes())
            if progress:
                progress(min(start + _CHUNK_BYTES, len(data)), len(data))

    @staticmethod
    def list_request(label: str, task: str, modality: str, prompt: str) -> models.ListModelsRequest:
        """A request for the models that match the filters that are not empty.

        Raises:
            InvalidArgument: When there is no such task or kind of prompt.
        """
        try:
            return models.ListModelsRequest(
                label=label,
                task=models.Task.Value(f"TASK_{task.upper() or 'UNSPECIFIED'}"),
                modality=modality,
                prompt_kind=models.PromptKind.Value(f"PROMPT_KIND_{prompt.upper() or 'UNSPECIFIED'}"),
            )
        except ValueError as error:
            raise InvalidArgument(f"no such task or kind of prompt: {error}") from error

    @staticmethod
    def annotate_request(session_id: str, prompts: Sequence[Prompt]) -> annotation.AnnotateRequest:
        """A request that answers prompts."""
        return annotation.AnnotateRequest(session_id=session_id, prompts=map(prompt_to_message, prompts))


class BaseSession:
    """What both sessions hold."""

    def __init__(self, message: sessions.Session, volume: Volume) -> None:
        self.id = message.id
        self.model = message.model
        self.volume = volume
        self.revision = message.revision

    def read_mask(self, answer: annotation.Answer) -> Mask:
        """The mask of an answer, on the image's grid.

        Raises:
            InternalError: When it arrived damaged.
        """
        self.revision = answer.revision
        packed = mask_from_message(answer.mask)
        return Mask(
            array=unpack(packed, self.volume.geometry.size),
            geometry=self.volume.geometry,
            model=answer.model,
            model_version=answer.model_version,
            revision=answer.revision,
            timings=timings_from_message(answer.timings),
            reply_bytes=len(packed.bits),
        )


def explain(failure: grpc.RpcError, target: str) -> SixpointError:
    """The error that a failed call stands for; when nothing answered at all, one that says what to do."""
    error = from_rpc(failure)
    if type(error) is Unavailable and not is_ours(failure):
        return Unavailable(
            f"no gateway answers at {target} ({error.message}); start one with `make serve`, or name another with "
            "SIXPOINT_SERVER or --server"
        )
    return error


def read_models(response: models.ListModelsResponse) -> list[ModelInfo]:
    """The models of a response."""
    return [_model(message) for message in response.models]


def _model(message: models.Model) -> ModelInfo:
    return ModelInfo(
        name=message.name,
        version=message.version,
        title=message.title,
        description=message.description,
        task=models.Task.Name(message.task).removeprefix("TASK_").lower(),
        modalities=tuple(message.modalities),
        labels=tuple(message.labels),
        prompts=tuple(
            models.PromptKind.Name(kind).removeprefix("PROMPT_KIND_").lower() for kind in message.prompt_kinds
        ),
        licence=message.licence,
        metrics=dict(message.metrics),
    )
