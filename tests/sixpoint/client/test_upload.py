"""Uploads: what is sent, and when."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from sixpoint import errors
from sixpoint.client._operations.upload import upload_messages
from sixpoint.protocol import geometry_to_message
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.sixpoint.client.fake_gateway import (
    LARGE,
    MIB,
    FakeGateway,
    settled,
)
from tests.support.images import noisy_volume


async def test_an_upload_sends_a_header_and_then_the_voxels_in_order(server: FakeGateway, client: Any) -> None:
    volume = noisy_volume(LARGE)
    digest = await settled(client.upload(volume))
    ((first, *chunks),) = server.uploads
    assert first.WhichOneof("part") == "header"
    assert first.header == image_pb.Image(
        digest=digest,
        geometry=geometry_to_message(volume.geometry),
        voxel_type=volume_pb.VOXEL_TYPE_INT16,
        byte_count=volume.array.nbytes,
    )
    assert [part.WhichOneof("part") for part in chunks] == ["chunk"] * 3
    assert [len(part.chunk) for part in chunks] == [MIB, MIB, MIB // 2]
    assert b"".join(part.chunk for part in chunks) == volume.array.tobytes()


async def test_the_digest_covers_geometry_type_and_voxels(server: FakeGateway, client: Any) -> None:
    volume = noisy_volume()
    expected = hashlib.sha256(volume.geometry.packed() + bytes([3]) + volume.array.tobytes()).hexdigest()
    assert await settled(client.upload(volume)) == expected
    assert server.requests["GetImage"].digest == expected


async def test_an_image_that_the_gateway_has_is_not_sent(server: FakeGateway, client: Any) -> None:
    volume = noisy_volume()
    server.images.add(volume.digest)
    progress: list[tuple[int, int]] = []
    assert await settled(client.upload(volume, progress=lambda *sent: progress.append(sent))) == volume.digest
    assert (server.calls, server.uploads, progress) == (["GetImage"], [], [])


async def test_the_same_image_is_sent_once(server: FakeGateway, client: Any) -> None:
    assert await settled(client.upload(noisy_volume())) == await settled(client.upload(noisy_volume()))
    assert len(server.uploads) == 1


async def test_progress_rises_to_all_bytes(server: FakeGateway, client: Any) -> None:
    volume = noisy_volume(LARGE)
    progress: list[tuple[int, int]] = []
    await settled(client.upload(volume, progress=lambda *sent: progress.append(sent)))
    total = volume.array.nbytes
    assert progress == [(MIB, total), (2 * MIB, total), (total, total)]


async def test_a_file_is_read_and_sent(server: FakeGateway, client: Any, tmp_path: Path) -> None:
    volume = noisy_volume()
    volume.write(tmp_path / "ct.nrrd")
    assert await settled(client.upload(tmp_path / "ct.nrrd")) == volume.digest
    assert await settled(client.upload(str(tmp_path / "ct.nrrd"))) == volume.digest


async def test_a_missing_file_fails_before_any_call(server: FakeGateway, client: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.VolumeError, match="no such file"):
        await settled(client.open_session(tmp_path / "ct.nii.gz"))
    assert server.calls == []


async def test_an_error_of_get_image_starts_no_upload(server: FakeGateway, client: Any) -> None:
    server.failures["GetImage"] = errors.InvalidArgument("odd digest")
    with pytest.raises(errors.InvalidArgument, match="odd digest"):
        await settled(client.upload(noisy_volume()))
    assert server.calls == ["GetImage"]


async def test_a_refused_upload_raises_the_error_of_the_gateway(server: FakeGateway, client: Any) -> None:
    server.failures["UploadImage"] = errors.ResourceExhausted("too large", retry_after=3)
    with pytest.raises(errors.ResourceExhausted, match="too large") as caught:
        await settled(client.upload(noisy_volume(LARGE)))
    assert caught.value.retry_after == 3


@pytest.mark.parametrize("voxels", [1, MIB - 1, MIB, MIB + 1])
def test_chunks_are_one_mebibyte_and_the_last_is_the_rest(voxels: int) -> None:
    volume = noisy_volume((voxels, 1, 1), dtype="uint8", spacing=0.5)
    header, *chunks = upload_messages(volume, "d", progress=None)
    assert header.header.byte_count == voxels
    assert [len(part.chunk) for part in chunks] == ([MIB] * (voxels // MIB) + [voxels % MIB] * (voxels % MIB > 0))
