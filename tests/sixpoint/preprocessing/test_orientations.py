from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway.core.annotation.postprocess import render_mask
from gateway.core.annotation.preprocess import Prediction, prepare
from gateway.core.annotation.prompt_state import accumulate, read_prompts
from sixpoint.geometry import Geometry
from sixpoint.model_spec import (
    ClickChannel,
    EllipsoidChannel,
    FieldOfViewChannel,
    HeatmapChannel,
    HullChannel,
    ImageChannel,
    InputSpec,
    Intensity,
    ModelSpec,
    PreviousChannel,
    RoiSpec,
)
from sixpoint.preprocessing import BlockMeans, Roi
from sixpoint.prompts import Box, Click, ExtremePoints, Frame, Prompt
from tests.sixpoint.geometries import AXIS_ORDERS, reordered, rotation

# One image, stored in every order of axes

_SPEC = ModelSpec(
    roi=RoiSpec(size=(12, 13, 14)),
    input=InputSpec(
        channels=(
            ImageChannel(intensity=Intensity(method="percentile")),
            ImageChannel(intensity=Intensity(method="points")),
            HeatmapChannel(),
            ClickChannel(sign="positive"),
            ClickChannel(sign="negative"),
            PreviousChannel(),
            FieldOfViewChannel(),
            EllipsoidChannel(),
            HullChannel(),
        )
    ),
)


def _answer(
    array: npt.NDArray[Any], geometry: Geometry, *prompts: Prompt
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Roi]:
    """The network's input, the whole mask on the image's own grid, and the ROI."""
    random = np.random.default_rng(3)
    canonical, shown = (
        geometry.orientation.to_canonical(array),
        accumulate(None, read_prompts(prompts, geometry=geometry)),
    )
    answered = Prediction(random.integers(0, 256, (14, 13, 12), np.uint8), Roi((3, 2, 1), (27, 24, 20), (12, 13, 14)))
    prepared = prepare(
        lambda factors: BlockMeans(canonical, factors), shown, previous=answered, geometry=geometry, spec=_SPEC
    )
    grid = random.integers(0, 256, prepared.tensor.shape[1:], np.uint8)
    piece, (x, y, z) = render_mask(Prediction(grid, prepared.roi), shown, geometry=geometry, threshold=0.5)
    mask = np.zeros(geometry.shape, bool)
    mask[z : z + piece.shape[0], y : y + piece.shape[1], x : x + piece.shape[2]] = piece
    return prepared.tensor, mask, prepared.roi


@pytest.mark.parametrize("frame", [Frame.LPS, Frame.RAS])
@pytest.mark.parametrize(
    "direction", [np.eye(3), rotation(0.9, 0.1, -0.3, 0.2)], ids=["along the patient's axes", "oblique"]
)
@pytest.mark.parametrize("scatter", [0.0, 0.3], ids=["voxel centres", "anywhere"])
@pytest.mark.parametrize("kind", [ExtremePoints, Box])
def test_an_image_stored_in_any_order_gives_the_same_input_and_the_same_mask(
    direction: npt.NDArray[Any], frame: Frame, scatter: float, kind: type[ExtremePoints | Box]
) -> None:
    random = np.random.default_rng(5)
    first = Geometry((31, 27, 23), (0.7, 1.3, 2.9), (-120.3, 33.1, 812.7), tuple(direction.reshape(-1)))
    voxels = random.integers(-1000, 1000, first.shape).astype(np.int16)
    index = np.array([(7, 13, 11), (23, 14, 11), (15, 6, 11), (15, 20, 12), (16, 13, 5), (15, 13, 17)], float)
    corners, clicked = np.array([(7, 20, 17), (23, 6, 5)], float), np.array([(29, 13, 11), (15, 13, 11)], float)
    given = [
        (part + random.uniform(-scatter, scatter, part.shape) if scatter else part)
        for part in (index, corners, clicked)
    ]
    points, box, clicks = (
        (first.index_to_point(part) * ([-1, -1, 1] if frame is Frame.RAS else 1)).tolist() for part in given
    )
    begun = ExtremePoints(points, frame) if kind is ExtremePoints else Box(box[0], box[1], frame)
    prompts = (begun, Click(clicks[0], True, frame), Click(clicks[1], False, frame))
    tensor, mask, roi = _answer(voxels, first, *prompts)
    assert 0 < mask.sum() < math.prod(_SPEC.roi.size) * 4
    assert (tensor[3:6].reshape(3, -1).max(axis=1) > 0.2).all()

    for axes, flips in AXIS_ORDERS:
        stored, geometry = reordered(voxels, first, axes, flips)
        other_tensor, other_mask, other_roi = _answer(stored, geometry, *prompts)
        assert other_roi == roi
        assert np.array_equal(other_tensor, tensor)
        assert np.array_equal(other_mask, reordered(mask, first, axes, flips)[0])
