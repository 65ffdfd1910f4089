"""How masks, sessions and clients look at a prompt and in a notebook."""

from __future__ import annotations

import base64
import copy
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sixpoint import AsyncSession, Client, Geometry, InitialMask, Mask, Retry, Segmentation, Session, Volume
from sixpoint.mask import pack
from sixpoint.segmentation import LabelledMask
from tests.sixpoint.client.fake_gateway import EACH_CLIENT, POINTS, ball, settled
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume

GEOMETRY = Geometry((122, 101, 30), (0.75, 0.75, 5.0))


def blocks(*, voxels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    array = np.zeros(GEOMETRY.shape, np.uint8)
    array.reshape(-1)[:voxels] = 1
    return array


def picture(html: str) -> Image.Image:
    """The picture in the HTML of an object."""
    match = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert match
    return Image.open(io.BytesIO(base64.b64decode(match[1])))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Mask(blocks(voxels=99_769), GEOMETRY, "annotation", "5"), "Mask(280.6 ml, 122x101x30, annotation v5)"),
        (Mask(blocks(voxels=0), GEOMETRY), "Mask(0.0 ml, 122x101x30)"),
        (Mask(blocks(voxels=0), GEOMETRY, "annotation"), "Mask(0.0 ml, 122x101x30, annotation)"),
        (Volume(blocks(voxels=1), GEOMETRY), "Volume(122x101x30, 0.75x0.75x5 mm, uint8)"),
        (Client("gpu1", owner="Dr Who"), "Client('gpu1:50051')"),
    ],
    ids=str,
)
def test_an_object_is_one_line(value: object, text: str) -> None:
    assert repr(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "Segmentation(122x101x30, organs v1)"),
        (2, "Segmentation(a 28.1 ml, b 28.1 ml, 122x101x30, organs v1)"),
        (7, "Segmentation(a 28.1 ml, b 28.1 ml, c 28.1 ml, 4 more, 122x101x30, organs v1)"),
    ],
)
def test_a_segmentation_names_its_first_labels(count: int, text: str) -> None:
    packed = pack(blocks(voxels=10_000) > 0, (0, 0, 0))
    found = {name: LabelledMask(number, packed, None) for number, name in enumerate("abcdefg"[:count], 1)}
    segmentation = Segmentation(found, GEOMETRY, "organs", "1")
    assert repr(segmentation) == text
    assert text in segmentation._repr_html_()
    assert picture(segmentation._repr_html_()).size == (416, 144)


def test_a_prompt_does_not_show_its_bits() -> None:
    assert "bits" not in repr(InitialMask.of(blocks(voxels=99)))


@EACH_CLIENT
async def test_a_session_is_one_line_and_its_answers_too(stepping: SessionGateway, kind: Any) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    name = "AsyncSession" if isinstance(session, AsyncSession) else "Session"
    assert repr(client) == f"{name.replace('Session', 'Client')}('{stepping.address}')"
    assert repr(session) == f"{name}(s1, annotation, 40x36x32, 0 segments, revision 0)"
    mask = await settled(session.annotate(POINTS))
    count = np.count_nonzero(ball(4))
    assert repr(mask) == f"Mask({count / 1000:.1f} ml, 40x36x32)"
    assert mask.volume_ml == count / 1000
    assert "array" not in vars(mask), "the array is not built for this"
    assert repr(copy.copy(mask)) == repr(mask)
    mask.array[:] = 0
    assert mask.volume_ml == 0
    await settled(client.close())


@EACH_CLIENT
async def test_a_notebook_shows_the_last_mask_over_the_image_without_a_call(
    stepping: SessionGateway, kind: Any
) -> None:
    client = kind(stepping.address, retry=Retry.none())
    session: Session | AsyncSession = await settled(client.open_session(noisy_volume()))
    assert session._repr_html_() == f"<code>{session!r}</code>"
    await settled(session.annotate(POINTS))
    calls = len(stepping.calls)
    html = session._repr_html_()
    assert repr(session) in html
    assert len(html) < 400_000
    pixels = np.asarray(picture(html).convert("RGB")).astype(int)
    yellow = (pixels[..., 0] > 200) & (pixels[..., 2] < 120)
    thirds = np.array_split(yellow, 3, axis=1)
    assert all(third.sum() > 50 for third in thirds), "an outline in each plane"
    resumed = await settled(client.resume("s1"))
    await settled(resumed.mask())
    assert picture(resumed._repr_html_()).mode == "L"
    assert len(stepping.calls) == calls + 3, "the calls of resume and mask alone"
    await settled(client.close())


def test_a_mask_shows_its_silhouette_in_proportion() -> None:
    geometry = Geometry((40, 40, 40), (1.0, 1.0, 2.0))
    array = np.zeros(geometry.shape, np.uint8)
    # 20 mm to the left, 10 mm to the back, 40 mm up; one end is half as thick.
    array[10:30, 15:25, 10:30] = 1
    array[10:20, 15:20, 10:30] = 0
    shown = picture(Mask(array, geometry)._repr_html_())
    panels = [np.asarray(shown)[8:136, left : left + 128] for left in (8, 144, 280)]
    for pixels, (across, down) in zip(panels, ((20, 10), (20, 40), (10, 40)), strict=True):
        rows, columns = np.flatnonzero(pixels.max(axis=1) > 60), np.flatnonzero(pixels.max(axis=0) > 60)
        assert (np.ptp(columns) / np.ptp(rows)) == pytest.approx(across / down, rel=0.1)
    coronal = panels[1].max(axis=1)
    inside = np.flatnonzero(coronal > 60)
    assert coronal[inside[2]] > coronal[inside[-3]] + 20, "the upper half is thicker, and above"


@pytest.mark.parametrize("voxels", [0, 1])
def test_a_mask_of_nothing_has_a_picture(voxels: int) -> None:
    assert picture(Mask(blocks(voxels=voxels), GEOMETRY)._repr_html_()).size == (416, 144)
