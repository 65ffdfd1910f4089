"""Chunks of uploads as they are on the wire: read as protobuf reads them, and not copied."""

from __future__ import annotations

import random

import pytest

from gateway.grpc.messages.uploads import upload_decoder
from sixpoint.errors import InvalidArgument
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import image_service_pb2 as image_pb

decode = upload_decoder(image_pb.UploadImageRequest.FromString)


@pytest.mark.parametrize("nbytes", [0, 1, 127, 128, 2**14, 2**20, 2**21, 8 * 2**20 - 5])
def test_a_chunk_is_the_bytes_of_the_message_themselves(nbytes: int) -> None:
    data = image_pb.UploadImageRequest(chunk=random.Random(1).randbytes(nbytes)).SerializeToString()
    chunk = decode(data)
    assert isinstance(chunk, memoryview)
    assert chunk.obj is data
    assert chunk == image_pb.UploadImageRequest.FromString(data).chunk


def test_whatever_the_bytes_they_mean_what_they_mean_to_protobuf() -> None:
    rng = random.Random(20261202)
    seeds = [
        image_pb.UploadImageRequest(chunk=b"x" * 20).SerializeToString(),
        image_pb.UploadImageRequest(chunk=b"x" * 200, offset=7).SerializeToString(),
        image_pb.UploadImageRequest(header=image_pb.Image(digest="a" * 64, byte_count=3), offset=1).SerializeToString(),
        b"\x12\x80\x80\x80\x80\x00",
        b"\x12\x83\x80\x00abc",
    ]
    chunks = 0
    for _ in range(20_000):
        data = bytearray(rng.choice(seeds) + rng.choice([b"", b"", *seeds]))
        for _ in range(rng.randrange(3)):
            data[rng.randrange(min(6, len(data)))] = rng.randrange(256)
        message = bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data)
        try:
            expected = image_pb.UploadImageRequest.FromString(message)
        except Exception:
            with pytest.raises(InvalidArgument):
                decode(message)
            continue
        got = decode(message)
        if isinstance(got, memoryview):
            chunks += 1
            assert expected == image_pb.UploadImageRequest(chunk=bytes(got))
        else:
            assert got == expected
    assert chunks > 500


def test_messages_of_other_types_are_read_by_protobuf() -> None:
    # Its second field has the tag of a chunk.
    request = annotation_pb.AnnotateRequest(session_id="s", request_id="r")
    read = upload_decoder(annotation_pb.AnnotateRequest.FromString)
    assert read(request.SerializeToString()) == request
    assert upload_decoder(bytes)(b"\x12\x01x") == b"\x12\x01x"
