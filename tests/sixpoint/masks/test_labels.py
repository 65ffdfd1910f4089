"""The numbers in masks: what is the object, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sixpoint.errors import InvalidArgument, PromptError
from sixpoint.masks.labels import object_of, whole_labels
from sixpoint.prompts import ExtremePoints, InitialMask

BLOCK = np.zeros((6, 7, 8), np.float32)
BLOCK[1:4, 2:5, 3:7] = 1


def with_value(value: float, dtype: str = "f4") -> npt.NDArray[Any]:
    """The block, with another number in one voxel outside it."""
    result = BLOCK.astype(dtype)
    result[5, 6, 7] = value
    return result


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "u4", "i8", "f2", "f4", "f8"])
def test_a_mask_of_any_type_is_its_object(dtype: str) -> None:
    assert np.array_equal(object_of(BLOCK.astype(dtype)), BLOCK > 0)
    assert np.array_equal(object_of(BLOCK.astype(dtype), 1), BLOCK > 0)


def test_nan_is_not_the_object() -> None:
    mask = np.where(BLOCK > 0, np.float32(1), np.float32(np.nan))
    assert np.array_equal(object_of(mask), BLOCK > 0)
    assert InitialMask.of(mask).packed.voxel_count == 36
    assert ExtremePoints.of_mask(mask) == ExtremePoints.of_mask(BLOCK)


@pytest.mark.parametrize("near", [3.0000458, 2.9999, 3.0009])
def test_labels_that_are_nearly_whole_are_rounded(near: float) -> None:
    labels = BLOCK * 3
    labels[2] *= near / 3
    assert np.array_equal(object_of(labels), BLOCK > 0)
    assert np.array_equal(object_of(labels, 3), BLOCK > 0)


@pytest.mark.parametrize(
    ("mask", "label", "complaint"),
    [
        (BLOCK * 0.7, None, r"36 voxels with fractions, such as 0\.7.* Threshold it first"),
        (with_value(2.01), None, "1 voxels with fractions"),
        (with_value(np.inf), None, "infinite"),
        (with_value(-1), None, "label -1, expected whole numbers from 0 on"),
        (with_value(-1, "i2"), None, "label -1, expected whole numbers from 0 on"),
        (with_value(2), None, r"several labels \(1, 2\), expected one object; choose one"),
        (with_value(7, "u1"), None, r"several labels \(1, 7\)"),
        (BLOCK, 0, "label 0, which is the background"),
        (BLOCK * 2, 1, "no voxel of label 1; it has 2"),
        (BLOCK * 0, 1, "it has only voxels of value 0"),
        (BLOCK.astype(np.complex64), None, "expected whole numbers"),
    ],
)
def test_what_is_no_object_is_refused(mask: npt.NDArray[Any], label: int | None, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        object_of(mask, label)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_probabilities_are_cut_at_a_threshold(dtype: str) -> None:
    probabilities = np.where(BLOCK > 0, 0.6, 0.4).astype(dtype)
    probabilities[0] = np.nan
    assert np.array_equal(object_of(probabilities, threshold=0.5), BLOCK > 0)
    assert np.array_equal(object_of(probabilities, threshold=0.4) | np.isnan(probabilities), BLOCK >= 0)
    assert not object_of(probabilities, threshold=1).any()
    assert np.array_equal(object_of(BLOCK.astype(bool), threshold=0.5), BLOCK > 0)
    assert InitialMask.of(probabilities, threshold=0.5).packed.voxel_count == 36


@pytest.mark.parametrize(
    ("mask", "label", "complaint"),
    [
        (with_value(255), None, "numbers from 0 to 255, expected probabilities from 0 to 1"),
        (with_value(-0.1), None, "numbers from -0.1 to 1, expected probabilities"),
        (with_value(np.inf), None, "numbers from 0 to inf, expected probabilities"),
        (BLOCK, 1, "label 1 and for a threshold"),
        (BLOCK.astype(np.complex64), None, "expected probabilities"),
    ],
)
def test_what_is_no_probability_is_not_cut(mask: npt.NDArray[Any], label: int | None, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        object_of(mask, label, threshold=0.5)


@pytest.mark.parametrize("threshold", [0, -0.5, 1.1, 128, float("nan")])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(InvalidArgument, match="expected a probability above 0, at most 1"):
        object_of(BLOCK, threshold=threshold)


def test_an_array_of_several_labels_needs_a_choice() -> None:
    labels = with_value(2, "u2")
    assert InitialMask.of(labels, label=1).packed.voxel_count == 36
    assert InitialMask.of(labels, label=2).packed.voxel_count == 1
    assert InitialMask.of(BLOCK * np.float32(0.9999999)).packed.voxel_count == 36


@pytest.mark.parametrize("mask", [BLOCK * 0.7, with_value(2), with_value(-1), with_value(np.inf)])
def test_an_initial_mask_is_one_object(mask: npt.NDArray[Any]) -> None:
    with pytest.raises(PromptError, match="mask: it has "):
        InitialMask.of(mask)


def test_a_message_names_a_few_of_many_labels() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more\)"):
        object_of(np.arange(31).reshape(1, 1, 31))


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float64])
def test_labels_that_would_wrap_to_others_are_refused(dtype: npt.DTypeLike) -> None:
    with pytest.raises(ValueError, match="expected labels up to 2147483647"):
        whole_labels(np.array([[[0, 2**31 + 1]]], dtype))
    assert whole_labels(np.array([[[0, 2**31 - 1]]], np.uint32)).max() == 2**31 - 1


def test_label_maps_keep_their_labels() -> None:
    labels = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    assert np.array_equal(whole_labels(labels), np.arange(30).reshape(2, 3, 5))
    assert whole_labels(np.zeros((0, 2, 2), np.int16)).size == 0
