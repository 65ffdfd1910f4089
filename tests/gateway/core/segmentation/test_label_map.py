"""Averaged outputs become labels: logits after their activation, and on whichever grid the model decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gateway.core.segmentation.label_map import LabelMap
from sixpoint._typing import Float
from sixpoint.model_spec import NetworkSpec, PatchSpec, SegmentationSpec
from sixpoint.preprocessing import Roi
from tests.gateway.core.segmentation.sliding import segmentation_spec

SIZE = (33, 26, 21)


def spec_of(activation: Any, *, exclusive: bool = True, **patch: Any) -> SegmentationSpec:
    spec = segmentation_spec(3, exclusive=exclusive, spacing=(1.7, 2.3, 0.77), grid="centres", **patch)
    return spec.model_copy(update={"network": NetworkSpec(name="UNet", activation=activation)})


def labels_of(spec: SegmentationSpec, cells: Float, roi: Roi) -> np.ndarray:
    """Labels as bits [z, y, x], of slices that arrive in two parts."""
    label_map = LabelMap(roi, size=SIZE, spec=spec)
    label_map.add_slices(0, cells[:, :7].copy())
    label_map.add_slices(7, cells[:, 7:].copy())
    return np.asarray(sum(label_map.mask(number) << number for number in range(1, 4)))


def grid_of(spec: SegmentationSpec, *, gain: float) -> tuple[Roi, Float]:
    """The network's grid and random logits on it."""
    roi = Roi.for_segmentation(SIZE, spacing=(1.0, 1.0, 1.0), spec=spec)
    return roi, np.random.default_rng(0).normal(0, gain, (spec.output_shape[0], *roi.size[::-1])).astype(np.float32)


@pytest.mark.parametrize(("activation", "exclusive"), [("softmax", True), ("sigmoid", True), ("sigmoid", False)])
def test_logits_become_probabilities_before_they_are_resampled(activation: str, exclusive: bool) -> None:
    spec = spec_of(activation, exclusive=exclusive, average="logits")
    roi, logits = grid_of(spec, gain=60)  # the exponential of many overflows
    values = torch.from_numpy(logits)
    probabilities = (torch.softmax(values, dim=0) if activation == "softmax" else torch.sigmoid(values)).numpy()
    expected = labels_of(spec_of(activation, exclusive=exclusive), probabilities, roi)
    labels = labels_of(spec, logits, roi)
    assert len(np.unique(labels)) >= 4
    assert (labels != expected).mean() < 1e-3  # where the last bit decides
    assert (labels_of(spec_of("none", exclusive=exclusive, average="logits"), logits, roi) != expected).mean() > 0.01


@pytest.mark.parametrize("exclusive", [True, False])
def test_labels_decided_on_the_grid_go_to_the_nearest_voxels(exclusive: bool) -> None:
    spec = spec_of("sigmoid", exclusive=exclusive, average="logits", labelled="grid")
    roi, logits = grid_of(spec, gain=2)
    chosen = logits.argmax(axis=0) if exclusive else None
    bits = [logits[n] >= 0 if chosen is None else chosen == n + 1 for n in range(3)]
    decided = sum(bit << number for number, bit in enumerate(bits, start=1))
    index = [
        np.abs(np.arange(n)[:, None] - (low + (np.arange(cells) + 0.5) * step)).argmin(axis=1)
        for n, low, cells, step in zip(SIZE, roi.lower, roi.size, roi.cell_size, strict=True)
    ]
    expected = np.asarray(decided)[np.ix_(*index[::-1])]
    np.testing.assert_array_equal(labels_of(spec, logits, roi), expected)


def test_slices_may_arrive_one_by_one_on_a_grid_much_finer_than_the_image() -> None:
    spec = spec_of("softmax").model_copy(
        update={"patch": PatchSpec(size=(8, 8, 8), spacing=(1, 1, 0.3), grid="centres")}
    )
    roi, logits = grid_of(spec, gain=1)
    whole, sliced = (LabelMap(roi, size=SIZE, spec=spec) for _ in range(2))
    whole.add_slices(0, logits)
    for z in range(logits.shape[1]):
        sliced.add_slices(z, logits[:, z : z + 1])
    for number in range(1, 4):
        assert whole.mask(number).any()
        np.testing.assert_array_equal(sliced.mask(number), whole.mask(number))
