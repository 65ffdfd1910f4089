"""What the SDK says about a file that it reads itself, and which images it does not send."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sixpoint import ImageWarning, Retry, Volume
from sixpoint.errors import VolumeError
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, FakeGateway, settled
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume, write_without_position

NO_PLACE = "its header gives no position in the patient"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file without a position in the patient."""
    return write_without_position(tmp_path / "image.nii.gz")


async def test_a_session_on_a_file_warns_of_what_the_file_lacks(server: FakeGateway, client: Any, image: Path) -> None:
    with pytest.warns(ImageWarning, match=f"image.nii.gz: {NO_PLACE}") as caught:
        session = await settled(client.open_session(image))
    assert len(caught) == 1
    assert session.volume.notes == (str(caught[0].message),)


async def test_a_file_is_warned_of_once(server: FakeGateway, client: Any, image: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            await settled(client.upload(image))
        await settled(client.open_session(image))
    assert [warning.category for warning in caught] == [ImageWarning]


async def test_who_reads_the_file_is_not_told_again(server: FakeGateway, client: Any, image: Path) -> None:
    volume = Volume.read(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await settled(client.open_session(volume))
    assert volume.notes


@EACH_CLIENT
async def test_a_segmentation_of_a_file_warns(stepping: SessionGateway, kind: Any, image: Path) -> None:
    client = kind(stepping.address, retry=Retry.none())
    with pytest.warns(ImageWarning, match=NO_PLACE):
        await settled(client.segment(image, model="organs"))
    await settled(client.close())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ""])
@pytest.mark.parametrize(
    ("part", "complaint"), [(slice(0, 2), "the image has 2880 voxels"), (slice(None), "all voxels")]
)
async def test_voxels_that_are_no_numbers_are_refused_before_anything_is_sent(
    server: FakeGateway, client: Any, tmp_path: Path, suffix: str, part: slice, complaint: str
) -> None:
    volume = noisy_volume(dtype="float32")
    volume.array[part] = np.nan
    source: Any = volume
    if suffix:
        source = tmp_path / f"image{suffix}"
        volume.write(source)
    with pytest.raises(VolumeError, match=f"{complaint}.* NaN or infinite"):
        await settled(client.open_session(source))
    with pytest.raises(VolumeError, match=f"{complaint}.* NaN or infinite"):
        await settled(client.upload(source))
    assert set(server.calls) <= {"GetModel"}
