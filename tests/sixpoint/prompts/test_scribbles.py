"""Scribbles: points or a mask, in any frame, on the grid of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sixpoint.errors import PromptError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.prompts import Frame, Scribble
from sixpoint.volume import Volume
from tests.sixpoint.geometries import AXIS_ORDERS, reordered

GEOMETRY = Geometry((40, 36, 32), spacing=(0.5, 1.0, 2.0), origin=(10, -20, 30))
LINE = [(8.0, 10.0, 12.0), (9.0, 10.0, 12.0), (10.0, 11.0, 12.0)]


def test_points_mean_the_voxels_they_lie_in() -> None:
    voxels = Scribble([(10.4, 11.4, 12.0), *LINE]).voxels(GEOMETRY)
    assert voxels.tolist() == [[8, 10, 12], [9, 10, 12], [10, 11, 12]]


@pytest.mark.parametrize("frame", [Frame.LPS, Frame.RAS])
def test_points_in_mm_become_the_same_scribble(frame: Frame) -> None:
    sign = np.array([-1, -1, 1]) if frame is Frame.RAS else 1
    placed = Scribble(GEOMETRY.index_to_point(LINE) * sign, False, frame).on_grid(GEOMETRY)
    assert placed == Scribble(LINE, False)


def test_a_mask_is_the_voxels_that_are_not_0() -> None:
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[12, 10, 8:10] = 3
    mask[12, 11, 10] = 1
    assert Scribble(mask) == Scribble(LINE)
    assert Scribble(np.where(mask, 1.0, np.nan)) == Scribble(LINE)
    assert Scribble(mask).to_index(GEOMETRY).tolist() == [[8, 10, 12], [10, 11, 12]]


def test_a_label_map_in_another_order_of_axes_is_the_same_scribble(tmp_path: Path) -> None:
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[12, 10, 8:10], mask[12, 11, 10], mask[0, 0, 0] = 2, 2, 1
    for axes, flips in AXIS_ORDERS[::7]:
        Volume(*reordered(mask, GEOMETRY, axes, flips)).write(tmp_path / "drawn.nii.gz")
        assert Scribble.read(tmp_path / "drawn.nii.gz", label=2).on_grid(GEOMETRY) == Scribble(LINE)


def test_a_label_map_on_another_grid_is_refused(tmp_path: Path) -> None:
    Volume(np.ones((4, 4, 4), np.uint8), Geometry((4, 4, 4), spacing=(0.7, 1, 2))).write(tmp_path / "drawn.nii.gz")
    drawn = Scribble.read(tmp_path / "drawn.nii.gz")
    with pytest.raises(PromptError, match="another grid than the image"):
        drawn.voxels(GEOMETRY)
    Volume(np.zeros((4, 4, 4), np.uint8), Geometry((4, 4, 4))).write(tmp_path / "drawn.nii.gz")
    with pytest.raises(VolumeError, match="no voxel"):
        Scribble.read(tmp_path / "drawn.nii.gz")


def test_points_outside_the_image_are_refused_in_words() -> None:
    with pytest.raises(PromptError, match=r"1 of 2 points lie outside .*points\[1\]"):
        Scribble([*GEOMETRY.index_to_point(LINE)[:1], (900.0, 0, 0)], frame="lps").on_grid(GEOMETRY)
    with pytest.raises(PromptError, match=r"voxel \(40, 10, 12\) lies outside the image"):
        Scribble([(40.0, 10, 12)]).voxels(GEOMETRY)
    with pytest.raises(PromptError, match="outside the image"):
        Scribble([(-1.0, 10, 12)])


def test_an_error_names_some_of_many_points() -> None:
    with pytest.raises(PromptError, match="and 480 more") as caught:
        Scribble([(9000.0, 0, 0)] * 500, frame="lps").on_grid(GEOMETRY)
    assert len(caught.value.violations) == 20


@pytest.mark.parametrize(
    "wrong", [[], np.zeros((3, 4, 5)), np.ones((3, 4)), [(1, 2)], [(1, 2, float("nan"))], "a text", [[1, 2, 3], [4]]]
)
def test_what_is_no_scribble_is_refused(wrong: object) -> None:
    with pytest.raises(PromptError, match="scribble"):
        Scribble(wrong)  # type: ignore[arg-type]


def test_a_sign_is_true_or_false() -> None:
    with pytest.raises(PromptError, match="positive must be True or False"):
        Scribble(LINE, "no")  # type: ignore[arg-type]
