"""Windows and their importance are MONAI's, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import compute_importance_map, dense_patch_slices

from gateway.core.segmentation.sliding_window import SlidingWindow, importance_map
from sixpoint.model_spec import PatchSpec

EDGES = st.tuples(*[st.integers(8, 20)] * 3)


def spec_of(size: tuple[int, int, int], **more: object) -> PatchSpec:
    return PatchSpec.model_validate({"size": size, "spacing": (1.0, 1.0, 1.0)} | more)


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 3), EDGES, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.625, 0.9]))
def test_windows_begin_where_those_of_monai_do(
    shape: tuple[int, int, int], size: tuple[int, int, int], overlap: float
) -> None:
    windows = SlidingWindow.over(shape, spec_of(size, overlap=overlap))
    patch = size[::-1]
    padded = tuple(max(n, edge) for n, edge in zip(shape, patch, strict=True))
    steps = [n if n == edge else max(1, int(edge * (1 - overlap))) for n, edge in zip(padded, patch, strict=True)]
    expected = [tuple(int(part.start) for part in window) for window in dense_patch_slices(padded, patch, steps)]
    assert list(windows) == expected
    assert len(windows) == len(expected)


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 3), EDGES, st.sampled_from([0.0, 0.25, 0.625]))
def test_windows_begin_in_the_corner_of_the_networks_own_axes(
    shape: tuple[int, int, int], size: tuple[int, int, int], overlap: float
) -> None:
    spec = spec_of(size, overlap=overlap)
    own, mirrored = SlidingWindow.over(shape, spec), SlidingWindow.over(shape, spec, axes="RAI")
    for axis, (edge, n, total) in enumerate(zip(size[::-1], shape, own.padded_shape, strict=True)):
        assert mirrored.starts[axis] == tuple(sorted(total - edge - start for start in own.starts[axis]))
        assert own.padding_before[axis] + mirrored.padding_before[axis] == total - n
    assert SlidingWindow.over(shape, spec, axes="LPS") == own
    assert SlidingWindow.over(shape, spec, axes="RPS").starts[:2] == own.starts[:2]


@pytest.mark.parametrize(("blend", "sigma"), [("gaussian", 0.125), ("gaussian", 0.3), ("constant", 0.125)])
@pytest.mark.parametrize("size", [(16, 12, 8), (9, 31, 17), (40, 56, 40)])
def test_the_importance_of_a_voxel_is_that_of_monai(size: tuple[int, int, int], blend: str, sigma: float) -> None:
    expected = compute_importance_map(size[::-1], mode=blend, sigma_scale=sigma).numpy()
    np.testing.assert_allclose(importance_map(spec_of(size, blend=blend, sigma=sigma)), expected, rtol=1e-5)


def test_beyond_a_small_volume_a_window_sees_what_the_spec_says() -> None:
    channels = np.arange(2 * 9 * 5 * 20, dtype=np.float16).reshape(2, 9, 5, 20)
    for more, mode in (
        ({"padding_value": -0.5}, {"constant_values": -0.5}),
        ({"padding": "replicate"}, {"mode": "edge"}),
    ):
        spec = spec_of((8, 8, 12), **more)
        windows = SlidingWindow.over((9, 5, 20), spec)
        padded = np.pad(channels, [(0, 0), (1, 2), (1, 2), (0, 0)], **mode)
        for z, y, x in windows:
            seen = windows.extract(channels, (z, y, x), spec)
            np.testing.assert_array_equal(seen, padded[:, z : z + 12, y : y + 8, x : x + 8])
            assert seen.flags.c_contiguous
