"""Scores of segmentations: the entropy of what the network answered, and what they say of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gateway.core.segmentation import SegmentationScore, SegmentationSummary
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.core.segmentation.sliding import Network, by_monai, segment, segmentation_spec, softmax_of

SIZE = (27, 26, 21)


def noise(seed: int = 0) -> Volume:
    x, y, z = SIZE
    values = np.random.default_rng(seed).normal(0, 1000, (z, y, x))
    return Volume(values.astype(np.int16), Geometry(size=SIZE))


def score_of(volume: Volume, network: Network, **options: Any) -> SegmentationScore:
    summary = segment(volume, network, scored=True, **options)[-1]
    assert isinstance(summary, SegmentationSummary)
    assert summary.score is not None
    return summary.score


def entropy_of(probabilities: np.ndarray) -> float:
    near = np.clip(probabilities[probabilities >= 0.05].astype(np.float64), 1e-300, 1 - 1e-16)
    return float(-(near * np.log2(near) + (1 - near) * np.log2(1 - near)).mean()) if near.size else 0.0


@pytest.mark.parametrize(
    ("exclusive", "patch"),
    [
        (True, {}),
        (False, {}),
        (True, {"average": "logits"}),
        (True, {"average": "logits", "labelled": "grid"}),
    ],
)
def test_entropies_are_those_of_the_averaged_probabilities(exclusive: bool, patch: dict[str, Any]) -> None:
    volume, spec = noise(), segmentation_spec(3, exclusive=exclusive, **patch)
    logits = bool(patch)

    def predict(tensor: np.ndarray) -> np.ndarray:
        probabilities = softmax_of(tensor, spec)
        return 4 * np.log(probabilities) if logits else probabilities

    averaged = by_monai(volume, spec, lambda batch: torch.from_numpy(np.stack([predict(one) for one in batch.numpy()])))
    if logits:
        averaged = torch.from_numpy(averaged).softmax(dim=0).numpy()
    # The grid is the image's own: what was restored to the image are the network's cells.
    labels = averaged[1:] if exclusive else averaged
    score = score_of(volume, Network(spec, predict=predict))
    assert list(score.entropies) == list(spec.labels)
    for name, probabilities in zip(spec.labels, labels, strict=True):
        assert score.entropies[name] == pytest.approx(entropy_of(probabilities), abs=2e-3)
        assert 0.1 < score.entropies[name] < 1


def test_a_certain_network_has_no_entropy_and_a_guess_has_one_bit() -> None:
    spec = segmentation_spec(2, exclusive=False)

    def answer(tensor: np.ndarray) -> np.ndarray:
        result = np.zeros((2, *tensor.shape[1:]), np.float32)
        result[0] = 1.0
        result[1] = 0.5
        return result

    score = score_of(noise(), Network(spec, predict=answer))
    assert score.entropies["part 1"] == pytest.approx(0, abs=1e-6)
    assert score.entropies["part 2"] == pytest.approx(1, abs=1e-6)
    nothing = score_of(noise(), Network(spec, predict=lambda tensor: np.zeros((2, *tensor.shape[1:]), np.float32)))
    assert set(nothing.entropies.values()) == {0.0}


def test_a_score_is_computed_where_it_is_asked_for_only() -> None:
    summary = segment(noise(), Network(segmentation_spec(2)))[-1]
    assert isinstance(summary, SegmentationSummary)
    assert summary.score is None


def test_embeddings_tell_intensities_and_places_apart() -> None:
    spec = segmentation_spec(1, exclusive=False)

    def found(low: bool) -> Any:
        def answer(tensor: np.ndarray) -> np.ndarray:
            # Dark or bright voxels are the object.
            return (tensor < 0 if low else tensor > 0).astype(np.float32)[:1]

        return answer

    x, y, z = SIZE
    ramp = np.broadcast_to(np.linspace(-1000, 1000, z)[:, None, None], (z, y, x)).astype(np.int16)
    volume = Volume(np.ascontiguousarray(ramp), Geometry(size=SIZE))
    below, above = (score_of(volume, Network(spec, predict=found(low))).embedding for low in (True, False))
    assert np.isfinite(below).all()
    histogram, place = slice(0, 19), slice(20, 23)
    np.testing.assert_array_equal(below[histogram], above[histogram])
    assert below[place] == pytest.approx([0.25, 0.5, 0.5], abs=0.05)
    assert above[place] == pytest.approx([0.75, 0.5, 0.5], abs=0.05)
    other = score_of(noise(), Network(spec, predict=found(True))).embedding
    assert np.linalg.norm(other[:16] - below[:16]) > 0.2
