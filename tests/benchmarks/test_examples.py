from pathlib import Path

import numpy as np
import pytest

from benchmarks.images.examples import Example, network_tensor, read_example, resized
from sixpoint.errors import InvalidArgument
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.support.models import ELLIPSOID_SPEC


@pytest.fixture(scope="module")
def small() -> Example:
    """A block of label 3 in noise, in a tilted image of anisotropic voxels."""
    labels = np.zeros((10, 24, 20), np.uint8)
    labels[2:8, 6:18, 4:16] = 3
    image = np.random.default_rng(0).normal(0, 20, labels.shape) + 500.0 * labels
    geometry = Geometry(
        size=(20, 24, 10), spacing=(1.0, 1.5, 4.0), origin=(5, -7, 30), direction=(0, 1, 0, -1, 0, 0, 0, 0, 1)
    )
    return Example(Volume(image.astype(np.float32), geometry), labels)


def test_a_resized_example_covers_the_same_space(small: Example) -> None:
    large = resized(small, size=(60, 48, 30))
    assert large.volume.array.dtype == np.int16
    assert large.volume.geometry.size == (60, 48, 30)
    assert large.labels.shape == (30, 48, 60)
    faces = [
        one.volume.geometry.index_to_point([(-0.5,) * 3, tuple(n - 0.5 for n in one.volume.geometry.size)])
        for one in (small, large)
    ]
    np.testing.assert_allclose(faces[1], faces[0], atol=1e-4)


def test_image_and_labels_of_a_resized_example_stay_together(small: Example) -> None:
    large = resized(small, size=(60, 48, 30))
    assert large.numbers == [3]
    assert (large.labels == 3).mean() == pytest.approx((small.labels == 3).mean(), rel=0.02)
    inside = large.labels == 3
    assert large.volume.array[inside].mean() > 1200
    assert large.volume.array[~inside].mean() < 150


def test_clicks_are_by_turns_on_the_structure_and_in_its_box_off_it(phantom: Example) -> None:
    truth = phantom.labels == 2
    where = np.argwhere(truth)[:, ::-1]
    clicks = [click for click, _ in zip(phantom.clicks(2), range(20), strict=False)]
    for number, click in enumerate(clicks):
        x, y, z = map(int, click.point)
        assert click.positive == (number % 2 == 0)
        assert truth[z, y, x] == click.positive
        assert ((click.point >= where.min(axis=0)) & (click.point <= where.max(axis=0))).all()
    assert len({click.point for click in clicks}) > 15
    assert clicks == [click for click, _ in zip(phantom.clicks(2), range(20), strict=False)]


def test_a_structure_that_is_not_there_is_named(small: Example) -> None:
    with pytest.raises(InvalidArgument, match=r"no voxel has label 4; there are \[3\]"):
        small.prompt(4)


def test_an_image_needs_labels_of_its_own_size(small: Example, tmp_path: Path) -> None:
    image, labels = tmp_path / "image.nrrd", tmp_path / "labels.nrrd"
    small.volume.write(image)
    Volume(np.zeros((4, 4, 4), np.uint8), Geometry(size=(4, 4, 4))).write(labels)
    with pytest.raises(InvalidArgument, match="only one was given"):
        read_example(image)
    with pytest.raises(InvalidArgument, match=r"shape \(10, 24, 20\).*\(4, 4, 4\)"):
        read_example(image, labels)


def test_a_tensor_is_of_the_roi_round_the_points(small: Example) -> None:
    found = network_tensor(small.volume, small.prompt(3), ELLIPSOID_SPEC)
    assert found.shape == ELLIPSOID_SPEC.input_shape
    assert found.dtype == np.float16
    ellipsoid = found[2]
    assert ellipsoid[32, 32, 32] > 0.9
    # Six slices, whose box to the voxels' faces was grown by 0.225 of its edge on every side.
    assert (ellipsoid > 0).any(axis=(1, 2)).mean() == pytest.approx(5 / 6 / 1.45, abs=0.03)
