"""One hostile caller: its connection, and the account of what it sent and what it was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio

from sixpoint.protocol import owner_to_metadata
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc

__all__ = ["CHANNEL_OPTIONS", "Account", "HostileCaller", "Images"]

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A connection of its own for each caller.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_metadata_size", 2**20),
)
_SECONDS = 120.0


@dataclass
class Account:
    """What hostile callers sent and were told.

    Attributes:
        codes: Number of calls by the name of the status code that they ended with.
        request_bytes: Bytes of all messages sent.
    """

    codes: Counter[str] = field(default_factory=Counter)
    request_bytes: int = 0


@dataclass(frozen=True)
class Images:
    """Digests of the stored images.

    Attributes:
        small: A CT that prompts are made on.
        large: An image of 268 million voxels, all zero; empty if this attack does not need it.
    """

    small: str
    large: str


class HostileCaller:
    """One caller with an owner and a connection of its own.

    Args:
        server: Address of the gateway, host:port.
        http: Address of its HTTP port, host:port.
        number: Number of the caller.
        callers: Number of callers in all.
        images: Stored images.
        account: What all callers sent and were told.
    """

    def __init__(self, server: str, *, http: str, number: int, callers: int, images: Images, account: Account) -> None:
        self.server, self.http, self.number, self.callers = server, http, number, callers
        self.images, self.account = images, account
        self.owner = f"hostile-{number}"
        self.metadata = owner_to_metadata(self.owner)
        self.session_id = ""
        self._channel = grpc.aio.insecure_channel(server, CHANNEL_OPTIONS)

    async def __aenter__(self) -> Self:
        self.annotation: Any = annotation_grpc.AnnotationServiceStub(self._channel)
        self.image: Any = image_grpc.ImageServiceStub(self._channel)
        self.sessions: Any = session_grpc.SessionServiceStub(self._channel)
        self.channel: Any = self._channel
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def open_session(self, digest: str) -> str:
        """Open a session for :attr:`session_id`."""
        request = session_pb.CreateSessionRequest(image_digest=digest, model="annotation")
        created = await self.sessions.CreateSession(request, timeout=_SECONDS, metadata=self.metadata)
        self.session_id = created.session.id
        return self.session_id

    async def unary(self, method: Any, request: Any) -> None:
        """Make one call and note how it ended."""
        self.account.request_bytes += len(request) if isinstance(request, bytes) else request.ByteSize()
        await self._note(method(request, timeout=_SECONDS, metadata=self.metadata))

    async def upload(self, messages: AsyncIterator[Any]) -> None:
        """Make one client stream and note how it ended."""
        await self._note(self.image.UploadImage(self._counted(messages), timeout=_SECONDS, metadata=self.metadata))

    async def download(self, digest: str) -> None:
        """Read an image whole and note how it ended."""
        request = image_pb.DownloadImageRequest(digest=digest)
        call = self.image.DownloadImage(request, timeout=_SECONDS, metadata=self.metadata)

        async def read() -> None:
            async for _ in call:
                pass

        await self._note(read())

    async def interact(self, messages: AsyncIterator[Any]) -> None:
        """Make one stream in both directions, read all answers, and note how it ended."""
        call = self.annotation.Interact(self._counted(messages), metadata=self.metadata)

        async def read() -> None:
            async for _ in call:
                pass

        await self._note(read())

    async def _counted(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for message in messages:
            self.account.request_bytes += message.ByteSize()
            yield message

    async def _note(self, call: Awaitable[object]) -> None:
        try:
            await call
        except grpc.RpcError as error:
            self.account.codes[error.code().name] += 1
        else:
            self.account.codes["OK"] += 1
