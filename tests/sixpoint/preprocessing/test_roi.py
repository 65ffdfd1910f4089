from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sixpoint.model_spec import (
    RoiSpec,
)
from sixpoint.preprocessing import Roi, block_means, linear_taps

# The farthest that the widened triangle, sampled at whole samples, moves a ramp: 0.086 of them, at steps of 1.2.
_JITTER = 0.09
SLOPE = np.array([3.0, -5.0, 11.0])


def ramp(size: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    """An image [z, y, x] that rises by SLOPE per voxel along x, y, z."""
    z, y, x = np.ogrid[: size[2], : size[1], : size[0]]
    return 7.0 + SLOPE[0] * x + SLOPE[1] * y + SLOPE[2] * z


def cell_centres(roi: Roi) -> list[npt.NDArray[np.float64]]:
    """Continuous voxel indices of the grid's cells, along x, y, z."""
    return [
        lower + (np.arange(n) + 0.5) * (upper - lower) / n
        for lower, upper, n in zip(roi.lower, roi.upper, roi.size, strict=True)
    ]


def on_ramp(roi: Roi) -> npt.NDArray[np.float64]:
    """What the ramp is at the centres of the ROI's cells."""
    x, y, z = cell_centres(roi)
    return 7.0 + SLOPE[0] * x + SLOPE[1] * y[:, None] + SLOPE[2] * z[:, None, None]


# Where a ROI lies


def test_the_roi_reaches_from_face_to_face_and_then_the_margins() -> None:
    points = [(2.0, 10.0, 3.0), (5.0, 12.0, 3.5)]
    spec = RoiSpec(size=(16, 8, 32), margin_mm=3, margin_fraction=0.25)
    roi = Roi.from_points(points, spacing=(1.5, 3, 6), spec=spec)
    # x: faces 1.5 to 5.5, a quarter of 4 is 1, 3 mm are 2 voxels. y: 9.5 to 12.5, 0.75 + 1. z: 2.5 to 4, 0.375 + 0.5.
    assert roi.lower == pytest.approx((-1.5, 7.75, 1.625))
    assert roi.upper == pytest.approx((8.5, 14.25, 4.875))
    assert roi.size == (16, 8, 32)


def test_without_margins_the_box_of_one_voxel_is_that_voxel() -> None:
    roi = Roi.from_points([(4.0, 5.0, 6.0)], spacing=(1, 1, 1), spec=RoiSpec(size=(8, 8, 8), margin_fraction=0))
    assert (roi.lower, roi.upper) == ((3.5, 4.5, 5.5), (4.5, 5.5, 6.5))
    assert roi.cell_size == (1 / 8,) * 3


def test_clicks_inside_the_roi_change_nothing() -> None:
    spec = RoiSpec(size=(8, 8, 8), margin_fraction=0.25)
    box = [(10, 10, 10), (19, 19, 19)]
    roi = Roi.from_points(box, spacing=(1, 1, 1), spec=spec)
    # From 9.5 - 2.5 to 19.5 + 2.5: clicks on its very faces are in it.
    assert Roi.from_points(box, clicks=[(7, 7, 7), (22, 22, 22), (15, 8, 21)], spacing=(1, 1, 1), spec=spec) == roi


def test_the_roi_grows_for_clicks_outside_as_if_they_had_been_points() -> None:
    spec = RoiSpec(size=(8, 8, 8), margin_fraction=0.25, margin_mm=2)
    box, outside = [(10, 10, 10), (19, 19, 19)], [(40, 15, 15), (15, 1, 15)]
    grown = Roi.from_points(box, clicks=[(15, 15, 15), *outside], spacing=(1, 1, 1), spec=spec)
    assert grown == Roi.from_points(box + outside, spacing=(1, 1, 1), spec=spec)
    # x: faces 9.5 to 40.5, a quarter of 31, and 2. y: 0.5 to 19.5. z: as it was.
    assert grown.lower == pytest.approx((9.5 - 7.75 - 2, 0.5 - 4.75 - 2, 5))
    assert grown.upper == pytest.approx((40.5 + 7.75 + 2, 19.5 + 4.75 + 2, 24))


def test_an_answer_comes_back_from_a_larger_roi_as_it_was() -> None:
    z, y, x = np.ogrid[:32, :32, :32]
    answer = (1 / (1 + np.exp((np.sqrt((x - 15) ** 2 + (y - 17) ** 2 + (z - 16) ** 2) - 9) / 2))).astype(np.float32)
    roi, larger = Roi((2, 3, 4), (34, 35, 36), (32, 32, 32)), Roi((-10, -7, 1), (46, 40, 50), (64, 64, 64))
    back = larger.transfer(roi.transfer(answer, larger), roi)
    assert np.abs(back - answer).max() < 0.06
    assert np.count_nonzero((back >= 0.5) != (answer >= 0.5)) < 0.05 * np.count_nonzero(answer >= 0.5)


def test_an_answer_brought_to_its_own_roi_is_itself() -> None:
    answer = np.random.default_rng(0).random((9, 10, 8), np.float32)
    roi = Roi((2.25, 3.5, -4), (18.25, 13.5, 5), (8, 10, 9))
    np.testing.assert_allclose(roi.transfer(answer, roi), answer, rtol=0, atol=1e-6)


def test_where_the_old_roi_does_not_reach_nothing_was_answered() -> None:
    roi, other = Roi((0, 0, 0), (8, 8, 8), (8, 8, 8)), Roi((-8, 0, 0), (24, 8, 8), (32, 8, 8))
    there = roi.transfer(np.ones((8, 8, 8), np.float32), other)
    assert there[4, 4].tolist() == [0] * 8 + [1] * 8 + [0] * 16
    assert not roi.transfer(np.ones((8, 8, 8)), Roi((50, 0, 0), (60, 8, 8), (8, 8, 8))).any()


@pytest.mark.parametrize(
    "other", [Roi((-3, 1, 2), (30, 27, 31), (16, 20, 24)), Roi((4, 5, 6), (14, 13, 12), (40, 40, 40))]
)
def test_an_answer_lies_at_the_same_place_of_the_patient_on_another_grid(other: Roi) -> None:
    roi = Roi((0.5, 1.5, 2.5), (24.5, 25.5, 26.5), (24, 24, 24))
    z, y, x = (np.arange(24.0) + low + 0.5 for low in (2.5, 1.5, 0.5))

    def smooth(x: Any, y: Any, z: Any) -> Any:
        return np.exp(-((x - 9) ** 2 + (y[:, None] - 10) ** 2 + (z[:, None, None] - 11) ** 2) / 50)

    difference = roi.transfer(smooth(x, y, z), other) - smooth(*cell_centres(other))
    # Within a kernel's reach of its border the old answer fades.
    inner = np.ix_(
        *[(c > low + 2.5) & (c < low + 21.5) for c, low in zip(cell_centres(other), roi.lower, strict=True)][::-1]
    )
    assert np.abs(difference[inner]).max() < 0.03


def test_the_whole_image_on_its_own_spacing_is_the_image_and_on_another_fewer_cells() -> None:
    image = ramp((6, 8, 10))
    same = Roi.from_image((6, 8, 10), spacing=(1.0, 0.5, 2.0), target_spacing=(1.0, 0.5, 2.0))
    assert np.array_equal(same.extract(image), image.astype(np.float32))
    assert np.array_equal(same.restore(image, image_size=(6, 8, 10))[0], image.astype(np.float32))
    other = Roi.from_image((6, 8, 10), spacing=(1.0, 0.5, 2.0), target_spacing=(1.0, 1.0, 1.0))
    assert other.size == (6, 4, 20)
    assert other.extract(image).mean() == pytest.approx(image.mean(), rel=1e-6)
    assert Roi.from_image((1, 1, 1), spacing=(1.0, 1.0, 1.0), target_spacing=(9.0, 9.0, 9.0)).size == (1, 1, 1)


def test_the_rois_faces_are_at_minus_one_and_one() -> None:
    roi = Roi((1.5, -2, 3), (5.5, 6, 4), (8, 8, 8))
    assert roi.normalise([roi.lower, roi.upper, (3.5, 2, 3.5)]).tolist() == [[-1] * 3, [1] * 3, [0] * 3]


@given(st.data())
def test_the_bounds_are_the_voxels_whose_centres_lie_in_the_box(data: st.DataObject) -> None:
    # Quarters, so that faces often fall on centres.
    edge = st.integers(-20, 60).map(lambda n: n / 4)
    edges = [sorted((data.draw(edge), data.draw(edge))) for _ in range(3)]
    roi = Roi(tuple(e[0] for e in edges), tuple(e[1] for e in edges), (8, 8, 8))  # type: ignore[arg-type]
    lower, upper = roi.voxel_bounds((10, 9, 8))
    for axis, n in enumerate((10, 9, 8)):
        inside = [i for i in range(n) if edges[axis][0] <= i <= edges[axis][1]]
        assert list(range(lower[axis], upper[axis])) == inside


# Resampling


def test_a_grid_on_the_voxels_is_the_voxels() -> None:
    image = np.random.default_rng(0).normal(size=(9, 8, 11)).astype(np.float32)
    roi = Roi((-0.5, -0.5, -0.5), (10.5, 7.5, 8.5), (11, 8, 9))
    assert np.array_equal(roi.extract(image), image)
    values, first = roi.restore(image, image_size=(11, 8, 9))
    assert first == (0, 0, 0)
    assert np.array_equal(values, image)


def test_a_grid_on_some_voxels_is_those_voxels() -> None:
    image = np.random.default_rng(0).integers(-1000, 1000, (9, 10, 11)).astype(np.int16)
    roi = Roi((1.5, 2.5, 0.5), (9.5, 8.5, 5.5), (8, 6, 5))
    assert np.array_equal(roi.extract(image), image[1:6, 3:9, 2:10])
    values, first = roi.restore(image[1:6, 3:9, 2:10], image_size=(11, 10, 9))
    assert first == (2, 3, 1)
    assert np.array_equal(values, image[1:6, 3:9, 2:10])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32"])
def test_voxels_of_any_type_are_resampled_as_their_numbers(dtype: str) -> None:
    image = np.random.default_rng(0).integers(0, 100, (9, 10, 11)).astype(dtype)
    roi = Roi((1.2, 2.1, 0.7), (8.6, 8.3, 6.4), (16, 8, 9))
    assert np.array_equal(roi.extract(image), roi.extract(image.astype(np.float64)))


@given(st.lists(st.sampled_from((1 / 3, 0.4, 0.77, 1.0, 2.0, 4.0)), min_size=3, max_size=3), st.floats(0, 1))
def test_a_ramp_is_reproduced_by_finer_grids_and_by_steps_of_whole_blocks(steps: list[float], shift: float) -> None:
    size = (60, 60, 60)
    cells = (9, 8, 11)
    lower = tuple(3.0 + shift for _ in range(3))
    roi = Roi(lower, tuple(a + n * step for a, n, step in zip(lower, cells, steps, strict=True)), cells)  # type: ignore[arg-type]
    np.testing.assert_allclose(roi.extract(ramp(size)), on_ramp(roi), rtol=0, atol=2e-4)


@given(st.lists(st.floats(1, 4), min_size=3, max_size=3), st.floats(0, 1))
def test_a_ramp_is_moved_by_less_than_a_tenth_of_a_sample_by_coarser_grids(steps: list[float], shift: float) -> None:
    size = (52, 52, 52)
    cells = (8, 8, 9)
    lower = tuple(4.0 + shift for _ in range(3))
    roi = Roi(lower, tuple(a + n * step for a, n, step in zip(lower, cells, steps, strict=True)), cells)  # type: ignore[arg-type]
    most = _JITTER * np.abs(SLOPE * roi.reduction_factors).sum()
    np.testing.assert_allclose(roi.extract(ramp(size)), on_ramp(roi), rtol=0, atol=most)


@given(st.lists(st.sampled_from((0.5, 1 / 3, 1.0, 1.3, 2.7)), min_size=3, max_size=3), st.floats(0, 1))
def test_a_ramp_on_the_grid_is_restored_on_the_voxels(steps: list[float], shift: float) -> None:
    """At steps of a half and a third the grid is finer than the voxels, by a whole number."""
    cells = (23, 25, 28)
    lower = tuple(2.0 + shift for _ in range(3))
    roi = Roi(lower, tuple(a + n * step for a, n, step in zip(lower, cells, steps, strict=True)), cells)  # type: ignore[arg-type]
    size = (90, 90, 90)
    values, first = roi.restore(on_ramp(roi), image_size=size)

    # Within a kernel's reach of the grid's border the border repeats.
    reach = [max(step, 1.0) for step in steps]
    upper = [first[a] + values.shape[2 - a] for a in range(3)]
    keep = [
        [
            i
            for i in range(first[a], upper[a])
            if roi.lower[a] + reach[a] + step / 2 <= i <= roi.upper[a] - reach[a] - step / 2
        ]
        for a, step in enumerate(steps)
    ]
    assert all(keep)
    inner = values[np.ix_(*[np.array(keep[a]) - first[a] for a in (2, 1, 0)])]
    np.testing.assert_allclose(inner, ramp(size)[np.ix_(keep[2], keep[1], keep[0])], rtol=0, atol=1e-3)


@given(st.data())
def test_an_even_image_stays_even(data: st.DataObject) -> None:
    lower = data.draw(st.tuples(*[st.floats(-20, 8)] * 3))
    extent = data.draw(st.tuples(*[st.floats(1, 60)] * 3))
    roi = Roi(
        lower, tuple(a + b for a, b in zip(lower, extent, strict=True)), data.draw(st.tuples(*[st.integers(8, 20)] * 3))
    )
    np.testing.assert_allclose(roi.extract(np.full((9, 10, 11), -731, np.int16)), -731, rtol=1e-5)
    values, _ = roi.restore(np.full(roi.size[::-1], 0.7, np.float32), image_size=(11, 10, 9))
    np.testing.assert_allclose(values, 0.7, rtol=1e-5)


@given(st.floats(-30, 30), st.floats(0.05, 6), st.integers(1, 30), st.integers(1, 20))
def test_the_weights_of_each_sample_sum_to_one_and_none_is_negative(
    start: float, width: float, samples: int, extent: int
) -> None:
    cells, weights = linear_taps(start + np.arange(samples) * width, source_size=extent, target_step=width)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-5)
    assert weights.min() >= 0
    assert 0 <= cells.min() <= cells.max() < extent


@pytest.mark.parametrize("step", [0.3, 0.77, 1.0, 1.5, 1.9])
def test_inside_the_image_the_kernel_is_pillows(step: float) -> None:
    # Pillow drops what lies beyond the border where sixpoint repeats it: so only the inside is compared.
    row = np.random.default_rng(0).normal(size=60).astype(np.float32)
    start, cells = 14.3, 8
    box = (start, 0, start + cells * step, 1)
    picture = Image.fromarray(np.tile(row, (1, 1)))
    expected = np.asarray(picture.resize((cells, 1), Image.Resampling.BILINEAR, box=box))[0]
    # Pillow counts from a pixel's face, sixpoint from its centre.
    roi = Roi((start - 0.5, -0.5, -0.5), (start + cells * step - 0.5, 0.5, 0.5), (cells, 1, 1))
    np.testing.assert_allclose(roi.extract(row[None, None])[0, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cells", [(5, 6, 7), (40, 30, 50)], ids=["coarser", "finer"])
def test_beyond_the_border_the_nearest_voxel_repeats(cells: tuple[int, int, int]) -> None:
    # Even blocks: of others the mean would repeat, where here the last voxel does.
    blocks = np.random.default_rng(0).normal(size=(5, 5, 3)).astype(np.float32)
    image = np.kron(blocks, np.ones((2, 2, 4), np.float32))
    pad = 20
    roi = Roi((-7.3, -6.1, -9.9), (17.2, 15.5, 12.8), cells)
    inside = Roi(tuple(a + pad for a in roi.lower), tuple(b + pad for b in roi.upper), cells)  # type: ignore[arg-type]
    np.testing.assert_allclose(roi.extract(image), inside.extract(np.pad(image, pad, mode="edge")), rtol=0, atol=1e-5)


def test_a_box_wholly_beyond_the_image_repeats_its_border() -> None:
    image = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    roi = Roi((10, 10, 10), (18, 18, 18), (8, 8, 8))
    assert np.unique(roi.extract(image)).tolist() == [7]
    values, _ = roi.restore(np.ones((8, 8, 8)), image_size=(2, 2, 2))
    assert values.size == 0


def test_only_voxels_near_the_box_are_read() -> None:
    image = np.full((40, 40, 40), np.nan, np.float32)
    image[8:22, 8:22, 8:22] = 5
    assert np.unique(Roi((10, 10, 10), (20, 20, 20), (8, 8, 8)).extract(image)).tolist() == [5]


@pytest.mark.parametrize(
    ("step", "factor"), [(0.5, 1), (1.999, 1), (2.0, 2), (3.999, 2), (4.0, 4), (7.9, 4), (8.0, 8), (20.0, 16)]
)
def test_blocks_are_the_largest_power_of_two_within_the_step(step: float, factor: int) -> None:
    roi = Roi((0, 0, 0), (8 * step, 9, 10 * step), (8, 9, 10))
    assert roi.reduction_factors == (factor, 1, factor)


@given(st.lists(st.floats(0.4, 9), min_size=3, max_size=3), st.floats(-20, 30))
def test_a_reduced_image_is_sampled_as_the_image_itself_bit_for_bit(steps: list[float], lower: float) -> None:
    image = np.random.default_rng(0).integers(-1000, 3000, (29, 35, 41)).astype(np.int16)
    cells = (6, 5, 4)
    upper = [lower + n * step for n, step in zip(cells, steps, strict=True)]
    roi = Roi((lower, lower, lower), (upper[0], upper[1], upper[2]), cells)
    assert np.array_equal(roi.resample(block_means(image, roi.reduction_factors)), roi.extract(image))


@pytest.mark.parametrize("dtype", ["i2", "f8", ">f4", "f4"])
def test_samples_of_any_type_and_layout_are_the_same(dtype: str) -> None:
    roi = Roi((1.2, 2.3, -3.1), (20.4, 17.6, 12.2), (12, 11, 10))
    image = np.random.default_rng(0).integers(-1000, 1000, (19, 20, 21))
    plain = np.ascontiguousarray(image, np.float32)
    for view in (image.astype(dtype), image[::-1, :, ::-1].astype(dtype)[::-1, :, ::-1], image.T.astype(dtype, "C").T):
        assert np.array_equal(roi.resample(view), roi.resample(plain))


def test_a_coarse_grid_is_the_kernel_on_block_means() -> None:
    image = np.random.default_rng(0).normal(size=(48, 40, 64))
    means = image.reshape(24, 2, 40, 16, 4).mean(axis=(1, 4))
    roi = Roi((3.2, 4.1, 5.3), (57.7, 20.3, 30.9), (10, 12, 9))
    assert roi.reduction_factors == (4, 1, 2)
    among = Roi((1.7 / 4, 4.1, 4.8 / 2), (56.2 / 4, 20.3, 30.4 / 2), (10, 12, 9))
    np.testing.assert_allclose(roi.extract(image), among.extract(means), rtol=0, atol=1e-5)


def test_a_coarse_grid_reads_only_the_blocks_near_the_box() -> None:
    image = np.full((64, 64, 64), np.nan, np.float32)
    image[4:44, 4:44, 4:44] = 5
    np.testing.assert_allclose(Roi((10, 10, 10), (38, 38, 38), (8, 8, 8)).extract(image), 5, rtol=1e-6)


def test_a_coarse_grid_averages_what_lies_between_its_cells() -> None:
    # A checkerboard of -1 and 1 has no mean; without anti-aliasing every cell would be one of the two.
    checkers = (np.indices((32, 32, 32)).sum(axis=0) % 2 * 2 - 1).astype(np.float32)
    small = Roi((3.5, 3.5, 3.5), (27.5, 27.5, 27.5), (8, 8, 8)).extract(checkers)
    assert np.abs(small).max() < 0.01


def test_a_smooth_image_survives_the_way_to_the_grid_and_back() -> None:
    z, y, x = np.ogrid[:40, :44, :48]
    image = np.sin(x / 6) + np.cos(y / 7) * np.sin(z / 8)
    roi = Roi((5.2, 4.7, 6.1), (38.9, 37.2, 33.3), (47, 50, 42))
    values, (i, j, k) = roi.restore(roi.extract(image), image_size=(48, 44, 40))
    there = image[k : k + values.shape[0], j : j + values.shape[1], i : i + values.shape[2]]
    inner = (slice(2, -2),) * 3
    assert np.abs(values - there)[inner].max() < 0.02


def test_an_object_keeps_its_place_on_the_way_to_the_grid_and_back() -> None:
    z, y, x = np.ogrid[:40, :44, :48]
    ball = (((x - 21.3) / 12) ** 2 + ((y - 20.6) / 11) ** 2 + ((z - 18.4) / 10) ** 2 < 1).astype(np.float32)
    roi = Roi((4.0, 4.0, 3.0), (39.0, 37.0, 34.0), (32, 32, 32))
    values, (i, j, k) = roi.restore(roi.extract(ball), image_size=(48, 44, 40))
    back = np.zeros_like(ball)
    back[k : k + values.shape[0], j : j + values.shape[1], i : i + values.shape[2]] = values
    centre = [(back * axis).sum() / back.sum() for axis in (x, y, z)]
    expected = [(ball * axis).sum() / ball.sum() for axis in (x, y, z)]
    np.testing.assert_allclose(centre, expected, rtol=0, atol=0.01)
    assert back.sum() == pytest.approx(ball.sum(), rel=0.01)


def test_a_model_that_sees_the_whole_image_sees_it_whatever_is_shown() -> None:
    spec = RoiSpec(size=(8, 16, 8), margin_mm=50, whole=True)
    roi = Roi.from_points([(4, 5, 6)], clicks=[(90, 90, 90)], spacing=(1, 1, 2), spec=spec, image_size=(20, 30, 40))
    assert roi == Roi((-0.5, -0.5, -0.5), (19.5, 29.5, 39.5), (8, 16, 8))
    with pytest.raises(ValueError, match="expected image_size"):
        Roi.from_points([(4, 5, 6)], spacing=(1, 1, 2), spec=spec)
