"""Networks that see the whole image: cells as means of what they touch, windows first, clicks in cells."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.model_spec import ModelSpec, RoiSpec
from sixpoint.preprocessing import (
    BlockMeans,
    IntensityWindow,
    PromptGuidance,
    Roi,
    allocate_input,
    block_means,
    restore_mask,
    roi,
    write_roi_channels,
)

Size = tuple[int, int, int]


def whole(size: Size, cells: Size, resampling: Literal["trilinear", "area"] = "area") -> Roi:
    spec = RoiSpec(size=(8, 8, 8), whole=True, resampling=resampling).model_copy(update={"size": cells})
    return Roi.from_points([], spacing=(1, 1, 1), spec=spec, image_size=size)


def means(array: npt.NDArray[Any], shape: Size) -> npt.NDArray[np.float64]:
    """Each cell by itself: the mean from floor(i * n / m) to below ceil((i + 1) * n / m), as PyTorch defines it."""
    result = np.empty(shape)
    for index in np.ndindex(*shape):
        part = [slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(index, array.shape, shape, strict=True)]
        result[index] = array[tuple(part)].mean()
    return result


@given(st.data())
def test_a_cell_is_the_mean_of_all_voxels_that_it_touches_and_a_voxel_of_all_cells(data: st.DataObject) -> None:
    size, cells = (data.draw(st.tuples(*[st.integers(1, 12)] * 3)) for _ in range(2))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = random.integers(-1000, 1000, size[::-1]).astype(np.int16)
    np.testing.assert_allclose(whole(size, cells).extract(image), means(image, cells[::-1]), rtol=0, atol=1e-3)
    grid = random.integers(0, 256, cells[::-1], np.uint8)
    values, first = whole(size, cells).restore(grid, image_size=size)
    assert first == (0, 0, 0)
    np.testing.assert_allclose(values, means(grid, size[::-1]), rtol=0, atol=1e-3)
    mask, (x, y, z) = restore_mask(grid, whole(size, cells), image_size=size, threshold=127.5)
    marked = np.zeros(size[::-1], np.bool_)
    marked[z : z + mask.shape[0], y : y + mask.shape[1], x : x + mask.shape[2]] = mask
    sure = np.abs(values - 127.5) > 1e-3
    assert np.array_equal(marked[sure], (values >= 127.5)[sure])


def test_mirrored_and_swapped_axes_give_mirrored_and_swapped_cells() -> None:
    image = np.random.default_rng(0).integers(-500, 500, (9, 23, 17)).astype(np.int16)
    cells = whole((17, 23, 9), (8, 10, 12)).extract(image)
    mirrored = whole((17, 23, 9), (8, 10, 12)).extract(image[::-1, :, ::-1])
    np.testing.assert_allclose(mirrored, cells[::-1, :, ::-1], rtol=0, atol=1e-3)
    turned = whole((9, 17, 23), (12, 8, 10)).extract(image.transpose(1, 2, 0))
    np.testing.assert_allclose(turned, cells.transpose(1, 2, 0), rtol=0, atol=1e-3)


@pytest.mark.parametrize("resampling", ["trilinear", "area"])
def test_a_large_image_is_read_some_slices_at_a_time(
    resampling: Literal["trilinear", "area"], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).integers(-500, 500, (61, 20, 30)).astype(np.int16)
    grid = whole((30, 20, 61), (8, 9, 27), resampling)
    expected = grid.extract(image)
    monkeypatch.setattr(roi, "_PIECE", 6000)
    largest = 0

    class Watched(BlockMeans):
        def __getitem__(self, window: tuple[slice, slice, slice]) -> npt.NDArray[np.float32]:
            nonlocal largest
            result = super().__getitem__(window)
            largest = max(largest, result.size)
            return result

    np.testing.assert_allclose(grid.resample(Watched(image, (1, 1, 1))), expected, rtol=0, atol=1e-3)
    assert largest <= 6000


@pytest.mark.parametrize(
    "intensity",
    [
        {"method": "range", "low": -100, "high": 200},
        {"method": "zscore", "width": 2.0},
        {"method": "percentile", "low": 5, "high": 95, "exact": True},
    ],
    ids=["range", "z-score", "percentiles"],
)
def test_windows_come_before_the_cells_where_the_spec_says_so(intensity: dict[str, Any]) -> None:
    image = np.random.default_rng(0).integers(-500, 500, (20, 22, 24)).astype(np.int16)
    grid = {"size": [8, 8, 8], "whole": True, "resampling": "area", "windowed_first": True}
    channels = [{"kind": "clicks", "sign": "positive"}, {"kind": "image", "intensity": intensity}]
    spec = ModelSpec.from_mapping(
        {"prompts": ["clicks"], "roi": grid, "input": {"dtype": "FP32", "channels": channels}}
    )
    box = Roi.from_points([], spacing=(1, 1, 1), spec=spec.roi, image_size=(24, 22, 20))
    guidance = PromptGuidance.in_roi(box, box=[(0, 0, 0), (23, 21, 19)], image_size=(24, 22, 20))
    found = allocate_input((8, 8, 8), spec.input)
    write_roi_channels(partial(BlockMeans, image), box, guidance, spec, out=found)
    low, high = {
        "range": (-100.0, 200.0),
        "zscore": (image.mean() - 2 * image.std(), image.mean() + 2 * image.std()),
        "percentile": tuple(np.percentile(image, [5, 95])),
    }[intensity["method"]]
    windowed = np.empty(image.shape, np.float32)
    IntensityWindow(low, high).apply(block_means(image, (1, 1, 1)), windowed)
    np.testing.assert_allclose(found[1], means(windowed, (8, 8, 8)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SLA"])
def test_clicks_are_drawn_in_the_middle_of_the_cell_of_their_voxels_first_corner(axes: str) -> None:
    size, cells = (20, 13, 5), (8, 8, 8)
    box = whole(size, cells)
    voxels = np.array([(0, 0, 0), (19, 12, 4), (7, 5, 2), (12, 11, 3)])
    guidance = PromptGuidance.in_roi(
        box, box=[(0, 0, 0), (19, 12, 4)], positive=voxels + 0.3, negative=voxels[:1], image_size=size
    )
    moved = guidance.with_clicks_in_cells(cells, image_size=size, axes=axes)
    for voxel, point in zip(voxels.tolist(), moved.positive.tolist(), strict=True):
        for axis, forward in enumerate("LPS"):
            n, m = size[axis], cells[axis]
            along = voxel[axis] if forward in axes else n - 1 - voxel[axis]
            cell = along * m // n  # MONAI: the index times the factor, cut to whole numbers
            cell = cell if forward in axes else m - 1 - cell
            assert point[axis] == pytest.approx((2 * cell + 1) / m - 1)
    assert np.array_equal(moved.negative, moved.positive[:1])
    assert np.array_equal(moved.box, guidance.box)
