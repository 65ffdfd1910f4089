"""Read the messages of uploads: chunks stay where gRPC put them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.grpc.messages.decoding import decoder
from sixpoint.v1 import image_service_pb2 as image_pb

__all__ = ["UploadMessage", "upload_decoder"]

UploadMessage = image_pb.UploadImageRequest | memoryview
"""A message of an upload, or the bytes of a chunk."""

_CHUNK_TAG = image_pb.UploadImageRequest.CHUNK_FIELD_NUMBER << 3 | 2
# A length of at most 8 MiB takes four bytes.
_MAX_LENGTH_BYTES = 4


def upload_decoder(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], UploadMessage]:
    """Return a function that reads a message of an upload.

    Protobuf copies a chunk twice, which takes as long as gRPC needs to hand it over.

    Args:
        deserialize: Function of protobuf that reads it, ``UploadImageRequest.FromString``.

    Returns:
        The function; see :func:`~gateway.grpc.messages.decoding.decoder` for what it raises, and for messages of other
        types.
    """
    decode = decoder(deserialize)
    if getattr(deserialize, "__self__", None) is not image_pb.UploadImageRequest:
        return decode

    def decode_upload(data: bytes) -> UploadMessage:
        chunk = _chunk(data)
        return decode(data) if chunk is None else chunk

    return decode_upload


def _chunk(data: bytes) -> memoryview | None:
    """Return the chunk of a message that has nothing else; None for any other message."""
    if not data or data[0] != _CHUNK_TAG:
        return None
    length = 0
    for number, byte in enumerate(data[1 : 1 + _MAX_LENGTH_BYTES]):
        length |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            start = 2 + number
            return memoryview(data)[start:] if start + length == len(data) else None
    return None
