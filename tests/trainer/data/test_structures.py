"""Datasets as structures, and the choice among them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tests.trainer.conftest import SIZE, Maker
from trainer.data.structures import LabelledImage, Structure, choose_structures, list_images


def chosen(images: list[LabelledImage], **options: object) -> list[Structure]:
    return [one for _, found in choose_structures(images, **options) for one in found]  # type: ignore[arg-type]


def test_every_label_with_voxels_enough_is_a_group(make_pairs: Maker) -> None:
    found = chosen(list_images(make_pairs(cases=3)))
    # The cores are of fewer than 300 voxels.
    assert [(one.group, one.name) for one in found] == [("shell", f"ball_{n}") for n in range(3)]
    for one in found:
        assert one.truth.shape == one.image.array.shape
        assert one.image.geometry.size == SIZE
        assert np.count_nonzero(one.truth) >= 300


def test_labels_without_names_are_known_by_their_numbers(make_pairs: Maker) -> None:
    images = list_images(make_pairs(cases=2, named=False))
    assert images[0].groups == ()
    assert [one.group for one in chosen(images)] == ["label 1"] * 2


def test_merged_labels_are_one_structure(make_pairs: Maker) -> None:
    folder = make_pairs(cases=2)
    whole, shell = chosen(list_images(folder, merge=True)), chosen(list_images(folder))
    assert [one.group for one in whole] == ["balls"] * 2
    assert all((one.truth >= part.truth).all() for one, part in zip(whole, shell, strict=True))
    assert np.count_nonzero(whole[0].truth) > np.count_nonzero(shell[0].truth)


def test_a_limit_draws_of_every_group_by_the_seed(make_pairs: Maker) -> None:
    images = list_images(make_pairs(cases=5))
    one, same, other = (chosen(images, limit=2, seed=seed) for seed in (1, 1, 4))
    assert Counter(structure.group for structure in one) == {"shell": 2}
    assert [structure.name for structure in one] == [structure.name for structure in same]
    assert {structure.name for structure in one} != {structure.name for structure in other}


def test_images_without_a_wanted_group_are_not_even_read() -> None:
    def read() -> list[Structure]:
        raise AssertionError

    images = [LabelledImage("one", ("liver",), read), LabelledImage("two", (), list)]
    assert [(image.name, found) for image, found in choose_structures(images, groups=["spleen"])] == [
        ("one", []),
        ("two", []),
    ]
