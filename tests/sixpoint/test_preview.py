from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sixpoint._typing import Array
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.preview import render_preview, save_preview
from sixpoint.volume import Volume
from tests.sixpoint.geometries import AXIS_ORDERS, Axes, Flips, reordered, rotation
from tests.support.images import noisy_volume

PANEL, GAP, CAPTION = 360, 8, 22
TOP = GAP + CAPTION
SIZE = (3 * PANEL + 4 * GAP, PANEL + CAPTION + 2 * GAP)
OUTLINE, TRUTH, POINT = (255, 196, 0), (70, 220, 90), (0, 230, 255)
# The view of BOX: 25 mm to every side of its middle (49.5), in whole voxels.
BOX, FIRST, LAST = slice(40, 60), 24, 76
SCALE = PANEL / (LAST - FIRST)


def cube() -> tuple[Volume, Array]:
    """A black cube of 100 mm, and a mask of 20 mm in its middle."""
    mask = np.zeros((100, 100, 100), np.uint8)
    mask[BOX, BOX, BOX] = 1
    return Volume(np.zeros((100, 100, 100), np.uint8), Geometry((100, 100, 100))), mask


def panel(picture: Image.Image, number: int) -> Array:
    """The pixels of the axial (0), coronal (1) or sagittal (2) panel."""
    left = GAP + number * (PANEL + GAP)
    return np.asarray(picture)[TOP : TOP + PANEL, left : left + PANEL]


def coloured(pixels: Array, colour: tuple[int, int, int]) -> Array:
    return (pixels == colour).all(axis=-1)


def place(index: float, *, up: bool = False) -> int:
    """Where a voxel index lies in a panel of the cube."""
    pixel = (index - FIRST + 0.5) * SCALE
    return round(PANEL - pixel if up else pixel)


def lopsided() -> tuple[Array, Geometry, Array, Array]:
    """An image that no flip and no swap leaves alike: voxels, geometry, mask, points."""
    geometry = Geometry((40, 36, 32), (1.0, 1.5, 2.0), (-10.0, 20.0, 30.0))
    mask = np.zeros(geometry.shape, np.uint8)
    mask[6:15, 10:22, 8:17] = 1
    mask[6:9, 10:13, 17:24] = 1
    points = np.array([[8.0, 15.0, 10.0], [23.0, 11.0, 7.0], [12.0, 10.0, 9.0], [12.25, 21.5, 11.0]])
    return noisy_volume(geometry.size).array, geometry, mask, points


# The picture


def test_the_picture_is_three_panels_in_colour() -> None:
    picture = render_preview(*cube())
    assert (picture.size, picture.mode) == (SIZE, "RGB")


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 200, 2), (2, 3, 150)])
def test_images_of_odd_shapes_have_pictures_of_the_same_size(size: tuple[int, int, int]) -> None:
    volume = noisy_volume(size)
    assert render_preview(volume, np.ones_like(volume.array, np.uint8)).size == SIZE


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
def test_voxels_of_any_type_are_drawn_in_all_greys(dtype: str) -> None:
    volume = noisy_volume(dtype=dtype)
    mask = np.zeros_like(volume.array, np.uint8)
    mask[16, 18, 20] = 1
    greys = panel(render_preview(volume, mask), 0)[40:-40, 40:-40]
    assert greys.min() == 0
    assert greys.max() == 255


def test_one_odd_voxel_does_not_darken_all_others() -> None:
    volume = noisy_volume()
    mask = np.zeros_like(volume.array, np.uint8)
    mask[10:20, 10:20, 10:20] = 1
    volume.array[0, 0, 0] = 32767
    assert panel(render_preview(volume, mask), 0).mean() > 60


def test_an_image_whose_display_is_inverted_is_drawn_like_its_negative() -> None:
    volume = noisy_volume()
    mask = np.zeros_like(volume.array, np.uint8)
    mask[10:20, 10:20, 10:20] = 1
    negative = Volume(-volume.array, volume.geometry)
    inverted = Volume(volume.array, volume.geometry, inverted_display=True)
    difference = np.asarray(render_preview(inverted, mask), int) - np.asarray(render_preview(negative, mask), int)
    assert np.abs(difference).max() <= 1
    assert np.abs(np.asarray(render_preview(inverted, mask), int) - render_preview(volume, mask)).max() > 100


def test_planes_keep_the_patients_proportions() -> None:
    mask = np.zeros((20, 100, 100), np.uint8)
    mask[8:12, 40:60, 40:60] = 1
    volume = Volume(np.zeros(mask.shape, np.uint8), Geometry((100, 100, 20), (1, 1, 5)))
    rows, columns = np.nonzero(coloured(panel(render_preview(volume, mask), 1), OUTLINE))
    # Four slices of 5 mm are as high as twenty voxels of 1 mm are wide.
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=4)


# The outline


@pytest.mark.parametrize("number", range(3), ids=["axial", "coronal", "sagittal"])
def test_the_outline_is_at_the_masks_edge_and_nowhere_else(number: int) -> None:
    volume, mask = cube()
    rows, columns = np.nonzero(coloured(panel(render_preview(volume, mask), number), OUTLINE))
    start, end = (BOX.start - FIRST) * SCALE, (BOX.stop - FIRST) * SCALE
    if number:  # z runs up
        rows = PANEL - 1 - rows
    inside = np.minimum.reduce([rows - start, end - rows, columns - start, end - columns])
    assert inside.min() > -2
    assert inside.max() < 5
    for values in (rows, columns):
        assert values.min() == pytest.approx(start, abs=2)
        assert values.max() == pytest.approx(end, abs=2)


def test_the_outline_is_on_all_sides_and_the_inside_stays_free() -> None:
    volume, mask = cube()
    edge = coloured(panel(render_preview(volume, mask), 0), OUTLINE)
    start, end, middle = place(40 - 0.5), place(60 - 0.5), place(49.5)
    for low in (start, end):
        assert edge[low - 4 : low + 4, middle].any()
        assert edge[middle, low - 4 : low + 4].any()
    assert not edge[start + 6 : end - 6, start + 6 : end - 6].any()


def test_an_empty_mask_has_no_outline() -> None:
    volume = noisy_volume()
    picture = render_preview(volume, np.zeros_like(volume.array, np.uint8))
    assert picture.size == SIZE
    assert not coloured(np.asarray(picture), OUTLINE).any()


def test_an_empty_mask_is_shown_where_the_points_are() -> None:
    volume, mask = cube()
    points = [(40, 49, 49), (59, 49, 49), (49, 40, 49), (49, 59, 49), (49, 49, 40), (49, 49, 59)]
    pixels = np.asarray(render_preview(volume, mask * 0, points))
    assert coloured(pixels, POINT).any()
    assert not coloured(pixels, OUTLINE).any()


def test_the_truth_is_outlined_in_another_colour_where_the_mask_leaves_it_free() -> None:
    volume, mask = cube()
    truth = np.zeros_like(mask)
    truth[BOX, BOX, 45:65] = 1
    axial = panel(render_preview(volume, mask, truth=truth), 0)
    middle = place(49.5)
    assert coloured(axial, TRUTH)[middle, place(65 - 0.5) - 4 : place(65 - 0.5) + 4].any()
    assert coloured(axial, OUTLINE)[middle, place(40 - 0.5) - 4 : place(40 - 0.5) + 4].any()
    assert not coloured(np.asarray(render_preview(volume, mask)), TRUTH).any()


# Points


def test_without_points_none_are_drawn() -> None:
    assert not coloured(np.asarray(render_preview(*cube())), POINT).any()


@pytest.mark.parametrize(
    ("number", "across", "down"), [(0, 0, 1), (1, 0, 2), (2, 1, 2)], ids=["axial", "coronal", "sagittal"]
)
def test_a_point_is_drawn_where_it_lies(number: int, across: int, down: int) -> None:
    volume, mask = cube()
    point = (52.0, 47.0, 50.0)
    pixels = coloured(panel(render_preview(volume, mask, [point]), number), POINT)
    rows, columns = np.nonzero(pixels)
    assert columns.mean() == pytest.approx(place(point[across]), abs=1)
    assert rows.mean() == pytest.approx(place(point[down], up=down == 2), abs=1)
    assert np.ptp(rows) <= 11
    assert np.ptp(columns) <= 11


def test_points_near_the_plane_are_full_and_others_hollow() -> None:
    volume, mask = cube()
    axial = coloured(panel(render_preview(volume, mask, [(45, 45, 52), (55, 55, 59)]), 0), POINT)
    assert axial[place(45), place(45)]
    assert not axial[place(55), place(55)]
    assert axial[place(55), place(55) - 5 : place(55)].any()


# Orientation


@pytest.mark.parametrize(("axes", "flips"), AXIS_ORDERS[5::6])
def test_one_image_stored_in_any_way_is_one_picture(axes: Axes, flips: Flips) -> None:
    array, geometry, mask, points = lopsided()
    stored, its_geometry = reordered(array, geometry, axes, flips)
    its_points = its_geometry.point_to_index(geometry.index_to_point(points))
    its_mask = reordered(mask, geometry, axes, flips)[0]
    expected = render_preview(Volume(array, geometry), mask, points)
    found = render_preview(Volume(stored, its_geometry), its_mask, its_points)
    # Captions count slices in the image's own axes, so that they differ.
    for number in range(3):
        assert np.array_equal(panel(found, number), panel(expected, number))


def test_captions_count_slices_in_the_images_own_axes() -> None:
    volume, mask = cube()[0], np.zeros((100, 100, 100), np.uint8)
    mask[64, 30, 20] = 1
    expected = Image.new("RGB", SIZE, (18, 18, 20))
    for number, words in enumerate(("axial, z = 64", "coronal, y = 30", "sagittal, x = 20")):
        left = GAP + number * (PANEL + GAP)
        font = ImageFont.load_default(size=14)
        ImageDraw.Draw(expected).text((left, GAP), words, fill=(225, 225, 225), font=font)
    for flips in ((False, False, False), (True, True, True)):
        stored = Volume(*reordered(volume.array, volume.geometry, (0, 1, 2), flips))
        assert np.array_equal(np.asarray(render_preview(stored, mask))[:TOP], np.asarray(expected)[:TOP])


def test_mirrored_images_have_different_pictures() -> None:
    array, geometry, mask, points = lopsided()
    expected = render_preview(Volume(array, geometry), mask, points)
    for axis in range(3):
        mirrored = Volume(np.flip(array, axis), geometry)
        found = render_preview(mirrored, np.flip(mask, axis), points)
        assert any(not np.array_equal(panel(found, number), panel(expected, number)) for number in range(3))


def test_the_patients_right_is_on_the_left_and_the_head_is_up() -> None:
    volume, mask = cube()
    volume.array[:, :, :45] = 100  # lower x: the patient's right
    volume.array[55:] = 200  # higher z: towards the head
    axial, coronal = (panel(render_preview(volume, mask), number).astype(int) for number in (0, 1))
    assert axial[60, 60].sum() > axial[60, 300].sum()
    assert coronal[60, 300].sum() > coronal[300, 300].sum()


def test_an_oblique_image_is_drawn_too() -> None:
    volume, mask = cube()
    turned = Geometry(volume.geometry.size, direction=tuple(rotation(0.9, 0.2, -0.3, 0.1).reshape(-1)))
    picture = render_preview(Volume(volume.array, turned), mask)
    assert coloured(np.asarray(picture), OUTLINE).any()


def test_what_is_given_is_left_as_it_was() -> None:
    array, geometry, mask, points = lopsided()
    before = array.copy(), mask.copy(), points.copy()
    render_preview(Volume(array, geometry), mask, points)
    assert all(np.array_equal(old, new) for old, new in zip(before, (array, mask, points), strict=True))


# Files


def test_a_picture_is_saved_as_png_into_a_folder_that_is_made(tmp_path: Path) -> None:
    picture = render_preview(*cube())
    path = tmp_path / "new" / "preview.of.any.suffix"
    save_preview(picture, path)
    with Image.open(path) as back:
        assert back.format == "PNG"
        assert np.array_equal(np.asarray(back), np.asarray(picture))


@pytest.mark.parametrize("name", ["file/preview.png", "folder"])
def test_a_picture_that_cannot_be_written_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(VolumeError, match="cannot write .*" + name):
        save_preview(Image.new("RGB", (4, 4)), tmp_path / name)


def test_negative_clicks_are_red() -> None:
    volume, mask = cube()
    axial = panel(render_preview(volume, mask, [(45, 50, 50)], excluded=[(65, 50, 50)]), 0)
    red, cyan = (np.argwhere(coloured(axial, colour)).mean(axis=0) for colour in ((255, 64, 64), POINT))
    assert red == pytest.approx([place(50), place(65)], abs=1)
    assert cyan == pytest.approx([place(50), place(45)], abs=1)
