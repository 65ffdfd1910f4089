"""What a dataset.json states beside its cases is either held to or refused by the field's name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from sixpoint.errors import DatasetError
from tests.trainer.conftest import Maker
from trainer.data.datasets import read_dataset


def state(root: Path, **fields: object) -> None:
    """Set fields of a dataset's file."""
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**content, **fields}))


@pytest.mark.parametrize("number", [1, 3, "x", [2]])
def test_a_number_of_cases_that_is_wrong_is_refused(number: object, make_decathlon: Maker) -> None:
    root = make_decathlon(cases=2)
    state(root, numTraining=number)
    with pytest.raises(DatasetError, match=r'"numTraining" is .*, and 2 cases are there'):
        read_dataset(root)


@pytest.mark.parametrize("number", [2, "2", None])
def test_a_number_of_cases_that_is_right_or_absent_is_read(number: object, make_decathlon: Maker) -> None:
    root = make_decathlon(cases=2)
    state(root, numTraining=number)
    assert len(read_dataset(root).cases) == 2


def test_regions_are_refused_by_their_order_alone(make_decathlon: Maker) -> None:
    root = make_decathlon(cases=1)
    state(root, regions_class_order=[2, 1])
    with pytest.raises(DatasetError, match='"regions_class_order" is for regions that overlap, expected one label'):
        read_dataset(root)


@pytest.mark.parametrize("ending", [".png", ".bmp"])
def test_a_dataset_of_flat_images_is_refused_by_its_ending(ending: str, tmp_path: Path) -> None:
    for part, channel in (("imagesTr", "_0000"), ("labelsTr", "")):
        (tmp_path / part).mkdir()
        image = sitk.GetImageFromArray(np.ones((20, 22), np.uint8))
        sitk.WriteImage(image, str(tmp_path / part / f"cell{channel}{ending}"))
    content = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "cell": 1},
        "numTraining": 1,
        "file_ending": ending,
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=rf'"file_ending" is "{ending}", .* expected 3D images, such as "\.nii'):
        read_dataset(tmp_path)


def test_an_ending_that_no_image_has_is_refused(make_decathlon: Maker) -> None:
    root = make_decathlon(cases=1)
    content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "shell": 1}, "file_ending": ".nrrd"}
    (root / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r'"file_ending" is "\.nrrd", and no file in imagesTr ends with _0000\.nrrd'):
        read_dataset(root)
