"""Scenes and samples: repeatable, true to their targets, and the very tensors that serving makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import trainer
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import PromptGuidance, Roi, network_input
from trainer.data import samples
from trainer.data.crop_pool import CropPool, CropSource, generate_crops
from trainer.data.spec_files import read_spec
from trainer.simulation import simulated_user
from trainer.synthesis.intensity_synthesis import simulate_scan
from trainer.synthesis.label_synthesis import AIR, compose_scene
from trainer.synthesis.random_fields import resample, smooth_noise
from trainer.synthesis.random_shapes import FAMILIES, GROUP_PROBABILITIES, random_body

EDGE = 56


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return read_spec(Path(trainer.__file__).with_name("annotation.yaml"))


@pytest.fixture(scope="module")
def crops() -> list[samples.Crop]:
    return generate_crops(3, 0, edge=EDGE)


def test_a_scene_is_its_seed() -> None:
    one, same, other = (compose_scene(np.random.default_rng(seed), (EDGE, EDGE, EDGE)) for seed in (7, 7, 8))
    assert np.array_equal(one.labels, same.labels)
    assert np.array_equal(one.twin, same.twin)
    assert not np.array_equal(one.labels, other.labels)
    first, second = (simulate_scan(np.random.default_rng(1), scene).image for scene in (one, same))
    assert np.array_equal(first, second)


def test_parts_belong_to_whole_bodies() -> None:
    scene = compose_scene(np.random.default_rng(5), (EDGE, EDGE, EDGE))
    assert np.array_equal(scene.parent[scene.parent], scene.parent)
    assert scene.labels.max() < scene.count
    assert scene.parent[AIR] == AIR


def test_a_row_of_like_bodies_is_one_target_in_pieces() -> None:
    rng = np.random.default_rng(1)
    scene = compose_scene(rng, (EDGE, EDGE, EDGE))
    labels = np.arange(scene.count)
    further = np.flatnonzero((scene.parent != labels) & (scene.twin == scene.parent))
    assert len(further)
    found = [
        crop for _ in range(6) for crop in samples.extract_targets(rng, scene, simulate_scan(rng, scene), limit=40)
    ]
    pieces = np.array([ndimage.label(crop.mask)[1] for crop in found])
    assert 0.05 < (pieces > 1).mean() < 0.6


def test_sparse_targets_are_not_drowned_by_compact_ones() -> None:
    rng = np.random.default_rng(0)
    fills = []
    for _ in range(4):
        scene = compose_scene(rng, (EDGE, EDGE, EDGE))
        for crop in samples.extract_targets(rng, scene, simulate_scan(rng, scene), limit=40):
            box = ndimage.find_objects(crop.mask.astype(np.uint8))[0]
            fills.append(crop.mask[box].mean())
    assert min(fills) >= 0.01
    assert np.mean(np.array(fills) < 0.2) > 0.2


def test_families_make_bodies_that_fill_their_box() -> None:
    assert sum(GROUP_PROBABILITIES.values()) == pytest.approx(1.0)
    assert set(GROUP_PROBABILITIES) == set(FAMILIES)
    rng = np.random.default_rng(0)
    fills = [random_body(rng, (24, 20, 28)) for _ in range(60)]
    spans = [np.ptp(np.argwhere(mask), axis=0) + 1 for mask in fills]
    assert np.median([(span / (24, 20, 28)).min() for span in spans]) > 0.9
    shares = np.array([mask.mean() for mask in fills])
    assert shares.min() > 0.01
    # Sparse and compact bodies alike.
    assert (shares < 0.25).any()
    assert (shares > 0.5).any()


def test_smooth_noise_has_unit_variance_and_resampling_keeps_the_mean() -> None:
    noise = smooth_noise(np.random.default_rng(0), (60, 50, 40), 4.0)
    assert noise.std() == pytest.approx(1.0, abs=0.15)
    ramp = np.arange(24, dtype=np.float32).reshape(1, 1, 24).repeat(6, 0).repeat(6, 1)
    assert resample(ramp, (3, 6, 12)).mean() == pytest.approx(ramp.mean(), abs=0.1)


def test_extreme_points_are_extreme_and_on_the_target(crops: list[samples.Crop]) -> None:
    rng = np.random.default_rng(0)
    for crop in crops:
        points = simulated_user.extreme_points(rng, crop.mask).astype(int)
        voxels = np.argwhere(crop.mask)[:, ::-1]
        assert crop.mask[points[:, 2], points[:, 1], points[:, 0]].all()
        for axis in range(3):
            assert points[2 * axis, axis] == voxels[:, axis].min()
            assert points[2 * axis + 1, axis] == voxels[:, axis].max()


def test_extreme_points_vary_over_a_flat_side() -> None:
    rng = np.random.default_rng(0)
    cube = np.pad(np.ones((6, 6, 6), np.bool_), 2)
    assert len({tuple(simulated_user.extreme_points(rng, cube)[0]) for _ in range(40)}) > 10


def test_jitter_is_symmetric_and_scales_with_the_object() -> None:
    rng = np.random.default_rng(0)
    for extent, most in ((5.0, 1.5), (200.0, 3.0)):
        points = np.array([[0, 1, 1], [extent, 1, 1], [1, 0, 1], [1, extent, 1], [1, 1, 0], [1, 1, extent]])
        moves = np.stack([simulated_user.jitter(rng, points) - points for _ in range(3000)])
        assert np.abs(moves).max() <= most
        assert np.abs(moves).max() > 0.9 * most
        assert np.abs(moves.mean(axis=0)).max() < 0.05 * most
        assert np.abs(np.median(moves, axis=0)).max() < 0.08 * most


def test_a_sample_is_what_serving_sees(crops: list[samples.Crop], spec: ModelSpec) -> None:
    crop = crops[0]
    points = simulated_user.extreme_points(np.random.default_rng(0), crop.mask)
    one = samples.sample_from_points(crop, points, spec, edge=64)
    roi = Roi.from_points(points, spacing=(1.0, 1.0, 1.0), spec=spec.roi)
    z, y, x = crop.image.shape
    guide = PromptGuidance.in_roi(
        roi, box=(points.min(axis=0), points.max(axis=0)), extremes=points, image_size=(x, y, z)
    )
    served = network_input(roi.extract(crop.image.astype(np.float32)), guide, spec.input)
    assert one.channels.shape == spec.input_shape
    assert one.channels.dtype == np.float16
    assert np.array_equal(one.channels, served)
    assert np.array_equal(one.target, roi.extract(crop.mask))
    # The ROI's box is the target's own, grown: the target touches no face of it unless the scan's border cuts it.
    assert 0.0 <= one.target.min() <= one.target.max() <= 1.0


def test_a_crop_is_as_good_as_its_scan(spec: ModelSpec) -> None:
    """Where a crop ends inside the scan, no ROI of its target reads beyond it."""
    rng = np.random.default_rng(2)
    scene = compose_scene(rng, (EDGE, EDGE, EDGE))
    painting = simulate_scan(rng, scene)
    for crop in samples.extract_targets(rng, scene, painting, limit=10):
        shown = crop.image.astype(np.float32)
        places = [
            place
            for place in np.ndindex(*(1 + n - m for n, m in zip(painting.image.shape, shown.shape, strict=True)))
            if np.float16(painting.image[place]) == crop.image[0, 0, 0]
            and np.array_equal(_at(painting.image, place, shown.shape).astype(np.float16), crop.image)
        ]
        points = simulated_user.jitter(rng, simulated_user.extreme_points(rng, crop.mask))
        small = samples.sample_from_points(crop, points, spec, edge=48)
        whole = np.zeros(painting.image.shape, np.bool_)
        _at(whole, places[0], shown.shape)[...] = crop.mask
        scan = samples.Crop(image=painting.image.astype(np.float16), mask=whole)
        large = samples.sample_from_points(scan, points + np.array(places[0][::-1]), spec, edge=48)
        np.testing.assert_allclose(small.target, large.target, atol=1e-4)
        np.testing.assert_allclose(small.channels[0].astype(float), large.channels[0].astype(float), atol=5e-3)


def _at(array: np.ndarray, place: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    return array[tuple(slice(a, a + n) for a, n in zip(place, shape, strict=True))]


def test_augmenting_keeps_the_target(crops: list[samples.Crop]) -> None:
    rng = np.random.default_rng(0)
    turned = samples.augment(rng, crops[0], samples.Augmentation())
    assert turned.mask.sum() == crops[0].mask.sum()
    assert sorted(turned.mask.shape) == sorted(crops[0].mask.shape)
    assert np.isfinite(turned.image).all()


def test_a_scan_may_end_within_the_target() -> None:
    rng = np.random.default_rng(0)
    ball = np.linalg.norm(np.indices((26, 26, 26)) - 12.5, axis=0) < 8
    crop = samples.Crop(image=ball.astype(np.float16), mask=ball)
    parts = [samples.truncate_scan(rng, crop) for _ in range(60)]
    shares = [part.mask.sum() / ball.sum() for part in parts]
    assert 0.1 < min(shares) < 0.4
    assert 0.8 < max(shares) < 1.0
    for part in parts:
        assert np.array_equal(part.image, part.mask)
        touched = [np.asarray(part.mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        assert sum(lines[0] + lines[-1] for lines in touched) in (1, 2)


def test_a_flat_target_is_not_cut_short() -> None:
    flat = np.pad(np.ones((3, 3, 3), np.bool_), 2)
    crop = samples.Crop(image=flat.astype(np.float16), mask=flat)
    assert samples.truncate_scan(np.random.default_rng(0), crop) is crop


def test_a_pool_shows_each_crop_some_times(crops: list[samples.Crop]) -> None:
    numbered = (samples.Crop(image=np.full((1, 1, 1), n, np.float16), mask=crops[0].mask) for n in range(2000))
    pool = iter(CropPool(source=numbered, size=10, crop_uses=2.0, rng=np.random.default_rng(0)))
    shown = [int(next(pool).image[0, 0, 0]) for _ in range(1000)]
    # 10 are in it at the end.
    assert len(set(shown)) == pytest.approx(1000 / 2.0, rel=0.1)
    assert shown != sorted(shown)


def test_a_pool_grows_while_it_is_used(crops: list[samples.Crop]) -> None:
    made = []

    def source() -> Iterator[samples.Crop]:
        while True:
            made.append(crops[0])
            yield crops[0]

    pool = iter(CropPool(source=source(), size=300, crop_uses=1e9, rng=np.random.default_rng(0)))
    counts = []
    for _ in range(400):
        next(pool)
        counts.append(len(made))
    assert counts[0] < 100
    assert counts[-1] == 300


@pytest.mark.slow
def test_scenes_are_shared_out_and_real_crops_are_mixed_in(crops: list[samples.Crop]) -> None:
    odd = iter(CropSource(seed=1, first_scene=1, scene_step=2, scene_edge=EDGE))
    expected = [crop for index in (1, 3) for crop in generate_crops(1, index, edge=EDGE)]
    for crop in expected:
        assert np.array_equal(next(odd).image, crop.image)
    real = samples.Crop(image=np.full((20, 20, 20), 7, np.float16), mask=np.pad(np.ones((8, 8, 8), np.bool_), 6))
    mixed = iter(CropSource(seed=1, scene_edge=EDGE, real_crops=(real,), real_fraction=0.5))
    kinds = [bool((next(mixed).image == 7).all()) for _ in range(300)]
    assert any(kinds)
    assert not all(kinds)


def test_samples_of_one_kind_keep_their_axes_and_their_contrast() -> None:
    rng = np.random.default_rng(3)
    z, y, x = np.indices((20, 24, 28))
    image = (z + 2 * y).astype(np.float16)
    crop = samples.Crop(image=image, mask=(abs(z - 10) < 5) & (abs(y - 12) < 6) & (abs(x - 14) < 7))
    for _ in range(20):
        changed = samples.augment(rng, crop, samples.OF_ONE_KIND)
        assert changed.image.shape == crop.image.shape
        # Brighter towards the end of z and y, as before: neither mirrored nor inverted.
        assert changed.image[-1].mean() > changed.image[0].mean()
        assert changed.image[:, -1].mean() > changed.image[:, 0].mean()
    shapes = {samples.augment(rng, crop, samples.OF_EVERY_KIND).image.shape for _ in range(20)}
    assert len(shapes) > 1


def test_compact_scenes_have_whole_bodies_that_fill_their_box() -> None:
    compact, same = (generate_crops(4, 0, edge=EDGE, compact=True) for _ in range(2))
    assert len(compact) > 5
    assert all(np.array_equal(one.image, other.image) for one, other in zip(compact, same, strict=True))

    def fill(crop: samples.Crop) -> float:
        return float(crop.mask[ndimage.find_objects(crop.mask.astype(np.uint8))[0]].mean())

    assert min(map(fill, compact)) >= 0.35
    # Among the usual targets, as few are so compact that the network forgets them.
    assert np.mean([fill(crop) > 0.35 for crop in generate_crops(4, 0, edge=EDGE)]) < 0.7


def test_bodies_of_compact_scenes_are_uneven_inside() -> None:
    def unevenness(crops: list[samples.Crop]) -> float:
        spreads = []
        for crop in crops:
            inside = crop.image[ndimage.binary_erosion(crop.mask, iterations=2)].astype(np.float32)
            if len(inside) > 50:
                low, high = np.percentile(crop.image.astype(np.float32), [1, 99])
                spreads.append(float(np.std(inside)) / max(float(high - low), 1e-3))
        return float(np.mean(spreads))

    compact = [crop for index in range(3) for crop in generate_crops(4, index, edge=EDGE, compact=True)]
    usual = [crop for index in range(3) for crop in generate_crops(4, index, edge=EDGE)]
    assert unevenness(compact) > 1.2 * unevenness(usual)


def test_a_share_of_the_scenes_is_compact_and_none_where_none_is_wanted() -> None:
    usual, all_compact = (generate_crops(3, 0, edge=EDGE, compact=compact) for compact in (False, True))
    for fraction, expected in ((0.0, usual), (1.0, all_compact)):
        first = next(iter(CropSource(seed=3, scene_edge=EDGE, compact_fraction=fraction)))
        assert np.array_equal(first.image, expected[0].image)


def test_the_points_of_thin_objects_miss_by_more_where_it_is_wanted() -> None:
    points = np.array([[0, 2, 2], [30, 2, 2], [15, 0, 2], [15, 5, 2], [15, 2, 0], [15, 2, 5]], np.float64)

    def largest(fraction: float) -> np.ndarray:
        rng = np.random.default_rng(0)
        moved = [simulated_user.jitter(rng, points, fraction=fraction) - points for _ in range(300)]
        return np.abs(moved).max(axis=(0, 1))

    few, more = largest(simulated_user.MAX_JITTER_FRACTION), largest(0.5)
    assert few[0] == pytest.approx(more[0]) == pytest.approx(3, abs=0.2), "long axes miss by three voxels anyhow"
    assert few[1] < 1.5 < 2.5 < more[1] <= 3
