from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from sixpoint._typing import Array
from sixpoint.model_spec import (
    ClickChannel,
    EllipsoidChannel,
    FieldOfViewChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    InputSpec,
    Intensity,
    PreviousChannel,
)
from sixpoint.preprocessing import (
    PromptGuidance,
    Roi,
    network_input,
    update_input,
    volume_input,
)
from sixpoint.preprocessing.guidance_maps import ellipsoid_map, field_of_view_map, heatmap, hull_map
from tests.sixpoint.preprocessing.prompts import SHAPE, SIX, WHOLE, apply_window, cells, guide, image


def shrunk(large: Array) -> Array:
    """Half the size: the mean of eight cells."""
    z, y, x = (n // 2 for n in large.shape)
    return large.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5))


@st.composite
def octahedra(draw: st.DrawFn) -> Array:
    """One point on every side of a box, as a person clicks them."""
    part = st.floats(-0.3, 0.3)
    reach = st.floats(0.4, 0.8)
    points = []
    for axis in range(3):
        for sign in (-1, 1):
            point = list(draw(st.tuples(part, part, part)))
            point[axis] = sign * draw(reach)
            points.append(point)
    return np.array(points)


# Maps


@pytest.mark.parametrize("sigma", [0.02, 0.04, 0.1])
def test_the_heatmap_is_the_largest_of_one_gaussian_per_point(sigma: float) -> None:
    squares = np.square(cells(SHAPE)[..., None, :] - SIX).sum(axis=-1)
    # sigma is a fraction of the edge, and an edge is 2 long.
    expected = np.exp(-squares / (2 * (2 * sigma) ** 2)).max(axis=-1)
    found = heatmap(SIX, shape=SHAPE, sigma=sigma)
    near = expected > 1.01e-4
    np.testing.assert_allclose(found[near], expected[near], rtol=0, atol=1e-6)
    assert not found[expected < 0.99e-4].any()


def test_the_heatmap_is_one_where_a_point_is_and_less_elsewhere() -> None:
    centre = cells(SHAPE)[3, 4, 5]
    result = heatmap(centre[None], shape=SHAPE, sigma=0.04)
    assert result[3, 4, 5] == 1
    assert np.count_nonzero(result == result.max()) == 1
    assert result.min() >= 0


def test_one_sigma_off_a_point_the_heatmap_is_down_to_its_known_height() -> None:
    centre = cells((20, 20, 20))[10, 10, 10]
    # Cells are 0.05 edges apart: the next but one is 0.1 edges off.
    result = heatmap(centre[None], shape=(20, 20, 20), sigma=0.1)
    assert result[10, 10, 12] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert result[10, 12, 10] == pytest.approx(np.exp(-0.5), abs=1e-6)
    assert result[12, 10, 10] == pytest.approx(np.exp(-0.5), abs=1e-6)


def test_the_ellipsoid_is_one_less_the_normalised_radius() -> None:
    low, high = SIX.min(axis=0), SIX.max(axis=0)
    radius = np.sqrt((((cells(SHAPE) - (low + high) / 2) / ((high - low) / 2)) ** 2).sum(axis=-1))
    np.testing.assert_allclose(ellipsoid_map(SIX, shape=SHAPE), np.maximum(1 - radius, -1), rtol=0, atol=1e-6)


def test_the_ellipsoid_is_one_at_its_centre_and_nothing_on_its_surface() -> None:
    # In a grid of 9, cells 2, 4 and 6 are at -4/9, 0 and 4/9.
    points = 4 / 9 * np.array([(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)])
    result = ellipsoid_map(points, shape=(9, 9, 9))
    assert result[4, 4, 4] == pytest.approx(1)
    assert [result[2, 4, 4], result[4, 6, 4], result[4, 4, 2]] == pytest.approx([0] * 3, abs=1e-6)
    assert result[0, 0, 0] == -1


@given(octahedra())
def test_the_hull_map_is_the_signed_distance_to_the_facets_planes(points: Array) -> None:
    hull = ConvexHull(points)
    heights = cells(SHAPE) @ hull.equations[:, :3].T + hull.equations[:, 3]
    expected = np.clip(-heights.max(axis=-1), -1, 1)
    np.testing.assert_allclose(hull_map(points, shape=SHAPE), expected, rtol=0, atol=1e-5)


@given(octahedra())
def test_inside_the_hull_map_is_the_distance_to_its_surface(points: Array) -> None:
    # Rays from a cell in every direction: none leaves the hull sooner than the map says, and one does just then.
    hull = ConvexHull(points)
    result = hull_map(points, shape=SHAPE)
    directions = np.concatenate([hull.equations[:, :3], np.random.default_rng(0).normal(size=(50, 3))])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for cell in np.argwhere(result > 0.05)[::17]:
        heights = hull.equations[:, :3] @ cells(SHAPE)[tuple(cell)] + hull.equations[:, 3]
        speeds = directions @ hull.equations[:, :3].T
        with np.errstate(divide="ignore"):
            exits = np.where(speeds > 1e-12, -heights / speeds, np.inf).min(axis=1)
        assert exits.min() == pytest.approx(result[tuple(cell)], abs=1e-5)


def test_more_points_inside_the_hull_change_nothing_and_in_a_facet_neither() -> None:
    inner = SIX.mean(axis=0)
    facet = SIX[[1, 3, 5]].mean(axis=0)
    more = np.concatenate([SIX, [inner, facet, SIX[0]]])
    np.testing.assert_allclose(hull_map(more, shape=SHAPE), hull_map(SIX, shape=SHAPE), rtol=0, atol=1e-6)


def test_the_hull_of_a_cubes_corners_is_the_cube() -> None:
    corners = 0.5 * np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    expected = np.maximum(0.5 - np.abs(cells(SHAPE)).max(axis=-1), -1)
    np.testing.assert_allclose(hull_map(corners, shape=SHAPE), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("draw", "tolerance"),
    [
        (lambda shape: heatmap(SIX, shape=shape, sigma=0.06), 0.05),
        (lambda shape: ellipsoid_map(SIX, shape=shape), 0.05),
        (lambda shape: hull_map(SIX, shape=shape), 0.02),
    ],
    ids=["heatmap", "ellipsoid", "hull"],
)
def test_a_map_does_not_depend_on_the_grids_size(draw: Any, tolerance: float) -> None:
    assert np.abs(shrunk(draw((64, 64, 64))) - draw((32, 32, 32))).max() < tolerance


# The network's input

CHANNELS = (
    HullChannel(),
    ImageChannel(intensity=Intensity(method="range", low=0, high=200)),
    HeatmapChannel(sigma=0.05),
    EllipsoidChannel(),
)


@pytest.mark.parametrize(("dtype", "numpy"), [("FP16", np.float16), ("FP32", np.float32)])
def test_the_channels_come_in_the_order_and_type_of_the_spec(dtype: Any, numpy: type) -> None:
    picture = image(SHAPE)
    tensor = network_input(picture, guide(), InputSpec(dtype=dtype, channels=CHANNELS))
    assert tensor.dtype == numpy
    assert tensor.shape == (4, *SHAPE)
    expected = [
        hull_map(SIX, shape=SHAPE),
        apply_window(picture, guide(), CHANNELS[1].intensity),
        heatmap(SIX, shape=SHAPE, sigma=0.05),
        ellipsoid_map(SIX, shape=SHAPE),
    ]
    np.testing.assert_allclose(tensor, np.stack(expected), rtol=2**-11 if numpy is np.float16 else 0, atol=2**-14)
    assert tensor.dtype == numpy


def test_the_order_of_the_points_does_not_matter() -> None:
    channels = (*CHANNELS, ImageChannel(intensity=Intensity(method="points")))
    spec = InputSpec(dtype="FP32", channels=channels)
    picture = image(SHAPE)
    other = SIX[[3, 1, 5, 0, 2, 4]]
    np.testing.assert_allclose(
        network_input(picture, guide(), spec), network_input(picture, guide(other), spec), atol=1e-6
    )


BOX = np.array([[-0.6, -0.5, -0.65], [0.7, 0.6, 0.55]])
CORNERS = np.array([(x, y, z) for x in BOX[:, 0] for y in BOX[:, 1] for z in BOX[:, 2]])


def channel(kind: Any, shown: PromptGuidance, *, picture: Array | None = None) -> Array:
    values = image(SHAPE) if picture is None else picture
    return network_input(values, shown, InputSpec(dtype="FP32", channels=(kind,)))[0]


@pytest.mark.parametrize("sign", ["positive", "negative"])
def test_clicks_are_a_heatmap_of_their_own_sign(sign: Any) -> None:
    other = {"positive": "negative", "negative": "positive"}[sign]
    shown = guide(**{sign: SIX[:2], other: SIX[3:4]})
    expected = heatmap(SIX[:2], shape=SHAPE, sigma=0.07)
    assert np.array_equal(channel(ClickChannel(sign=sign, sigma=0.07), shown), expected)
    assert not channel(ClickChannel(sign=sign), guide()).any()


def test_the_previous_answer_is_a_channel_and_nothing_before_the_first() -> None:
    previous = np.random.default_rng(0).random(SHAPE, np.float32)
    assert np.array_equal(channel(PreviousChannel(), guide(previous=previous)), previous)
    assert not channel(PreviousChannel(), guide()).any()


def test_a_box_has_no_heatmap_and_is_its_own_hull() -> None:
    shown = PromptGuidance(box=BOX, image_bounds=WHOLE)
    assert not channel(HeatmapChannel(), shown).any()
    np.testing.assert_allclose(channel(HullChannel(), shown), hull_map(CORNERS, shape=SHAPE), rtol=0, atol=1e-6)
    assert np.array_equal(channel(EllipsoidChannel(), shown), channel(EllipsoidChannel(), guide(box=BOX)))


def test_a_box_is_windowed_by_its_ellipsoid_where_points_would_be_asked() -> None:
    shown, picture = PromptGuidance(box=BOX, image_bounds=WHOLE), image()
    expected = apply_window(picture, shown, Intensity(method="ellipsoid"))
    assert np.array_equal(apply_window(picture, shown, Intensity(method="points")), expected)


def test_clicks_and_the_previous_answer_change_no_other_channel() -> None:
    spec = InputSpec(dtype="FP32", channels=(*CHANNELS, ImageChannel(intensity=Intensity(method="points"))))
    corrected = guide(positive=SIX[:1] / 2, negative=SIX[1:2], previous=np.ones(SHAPE, np.float32))
    picture = image(SHAPE)
    assert np.array_equal(network_input(picture, corrected, spec), network_input(picture, guide(), spec))


def test_the_field_of_view_is_the_share_of_each_cell_in_the_image() -> None:
    # Along x the image ends a quarter into the second of four cells, along y it reaches beyond, along z it is inside.
    scan = np.array([[-0.375, -3.0, -1.0], [1.0, 3.0, 0.75]])
    result = field_of_view_map(scan, shape=(4, 2, 4))
    assert result[0, 0].tolist() == [0, 0.75, 1, 1]
    assert result[:, 0, 2].tolist() == [1, 1, 1, 0.5]
    assert result[3, 1, 1] == pytest.approx(0.375)
    assert np.array_equal(channel(FieldOfViewChannel(), guide(image_bounds=scan)), field_of_view_map(scan, shape=SHAPE))


def test_an_image_that_holds_the_whole_roi_has_a_field_of_view_of_one() -> None:
    np.testing.assert_allclose(field_of_view_map(2 * WHOLE, shape=SHAPE), 1, rtol=0, atol=1e-6)


def test_a_guide_within_a_roi_is_in_its_frame_and_knows_the_scans_faces() -> None:
    roi = Roi((-4, 0, 2), (16, 40, 12), (8, 8, 8))
    shown = PromptGuidance.in_roi(
        roi, box=[(1, 10, 4), (11, 30, 10)], positive=[(6, 20, 7)], negative=[(-4, 0, 2)], image_size=(10, 50, 9)
    )
    np.testing.assert_allclose(shown.box, [[-0.5, -0.5, -0.6], [0.5, 0.5, 0.6]])
    assert shown.positive.tolist() == [[0, 0, 0]]
    assert shown.negative.tolist() == [[-1, -1, -1]]
    assert shown.extremes.shape == (0, 3)
    assert shown.previous is None
    # x: faces at -0.5 and 9.5, of -4 to 16; y: beyond; z: from before the ROI to 8.5 of 2 to 12.
    assert shown.image_bounds[:, 0].tolist() == pytest.approx([-0.65, 0.35])
    assert shown.image_bounds[1].tolist() == pytest.approx([0.35, 1.475, 0.3])
    assert (shown.image_bounds[0, 1:] < -1).all()


def test_a_volume_without_points_is_windowed_as_a_whole() -> None:
    voxels = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    windows = (Intensity(method="percentile", low=0, high=100), Intensity(method="range", low=0, high=200))
    spec = InputSpec(dtype="FP32", channels=tuple(ImageChannel(intensity=one) for one in windows))
    result = volume_input(voxels, spec)
    assert result.shape == (2, *SHAPE)
    for found, one in zip(result, windows, strict=True):
        assert np.array_equal(found, apply_window(voxels, guide(), one))


def test_a_zscore_goes_to_minus_one_and_one_at_its_width() -> None:
    voxels = np.random.default_rng(0).normal(300, 40, (16, 16, 16)).astype(np.float32)
    found = apply_window(voxels, guide(), Intensity(method="zscore", width=8))
    assert np.allclose(found * 8, (voxels - voxels.mean()) / voxels.std(), atol=1e-4)


@pytest.mark.parametrize("method", ["zscore", "percentile"])
def test_background_that_was_cut_out_does_not_count(method: Any) -> None:
    body = np.random.default_rng(0).normal(300, 40, (16, 16, 8)).astype(np.float32)
    voxels = np.concatenate([np.zeros_like(body), body], axis=2)
    intensity = Intensity(method=method, low=0, high=100, width=8, nonzero=True)
    alone = apply_window(body, guide(), intensity.model_copy(update={"nonzero": False}))
    found = apply_window(voxels, guide(), intensity)
    assert np.allclose(found[:, :, 8:], alone, atol=1e-4)
    assert np.allclose(found[:, :, :8], alone.mean(), atol=1e-4)
    assert np.isfinite(apply_window(np.zeros((8, 8, 8), np.float32), guide(), intensity)).all()


def test_the_least_and_the_largest_voxel_count_wherever_they_are() -> None:
    voxels = np.zeros((16, 16, 16), np.float32)
    voxels[1, 1, 1], voxels[3, 3, 3] = -7, 9
    found = apply_window(voxels, guide(), Intensity(method="percentile", low=0, high=100))
    assert (found.min(), found.max()) == (-1, 1)
    assert found[0, 0, 0] == pytest.approx(2 * 7 / 16 - 1)


def test_however_the_image_lies_in_memory_the_input_is_the_same() -> None:
    spec = InputSpec(channels=(ImageChannel(intensity=Intensity(method="percentile")), HullChannel()))
    image = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    shown = PromptGuidance(
        box=np.array([[-0.5] * 3, [0.5] * 3]), extremes=SIX, image_bounds=np.array([[-1.0] * 3, [1.0] * 3])
    )
    turned = np.ascontiguousarray(image.transpose(2, 1, 0)).transpose(2, 1, 0)
    assert np.array_equal(network_input(turned, shown, spec), network_input(image, shown, spec))


@pytest.mark.parametrize("dtype", ["FP16", "FP32"])
def test_after_other_clicks_only_their_channels_are_drawn_anew(dtype: Any) -> None:
    spec = InputSpec(
        dtype=dtype,
        channels=(
            ImageChannel(intensity=Intensity(method="points")),
            HeatmapChannel(sigma=0.1),
            ClickChannel(sign="positive", sigma=0.1),
            ClickChannel(sign="negative", sigma=0.1),
            PreviousChannel(),
        ),
    )
    rng = np.random.default_rng(0)
    image, answer = rng.normal(size=SHAPE).astype(np.float32), rng.random(SHAPE, np.float32)
    first = network_input(image, guide(positive=np.array([(0.1, 0.2, 0.3)])), spec)
    kept = first.copy()
    now = guide(negative=np.array([(-0.3, 0.0, 0.2)]), previous=answer)
    assert np.array_equal(update_input(first, now, spec), network_input(image, now, spec))
    assert np.array_equal(first, kept)
