"""Two layouts are read alike; what is wrong with a dataset is said, with the case that is at fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sixpoint._typing import Float
from sixpoint.datasets.manifest import Manifest, ManifestCase, write_manifest
from sixpoint.errors import DatasetError
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume, write_image
from tests.trainer.conftest import SIZE, Maker
from trainer.data.datasets import Split, read_case, read_dataset, split_cases
from trainer.data.fingerprint import compute_fingerprint
from trainer.data.stated_split import annotation_digests, read_stated_split


def test_a_decathlon_says_what_it_is(make_decathlon: Maker) -> None:
    dataset = read_dataset(make_decathlon())
    assert (dataset.name, dataset.modality, dataset.licence) == ("Balls", "MR", "CC0-1.0")
    assert dataset.labels == {1: "shell", 2: "core"}
    assert [case.name for case in dataset.cases] == [f"ball_{n}" for n in range(5)]


def test_a_pair_of_folders_is_named_after_its_folder(make_pairs: Maker) -> None:
    dataset = read_dataset(make_pairs())
    assert (dataset.name, dataset.modality, dataset.licence) == ("balls", "", "")
    assert dataset.labels == {1: "shell", 2: "core"}
    assert [case.name for case in dataset.cases] == [f"ball_{n}" for n in range(5)]


def test_both_layouts_hold_the_same_voxels_whatever_the_files_axes(make_pairs: Maker, make_decathlon: Maker) -> None:
    here, there = read_dataset(make_pairs(cases=2)), read_dataset(make_decathlon(cases=2))
    for a, b in zip(here.cases, there.cases, strict=True):
        mine, other = read_case(a, here.labels), read_case(b, there.labels)
        # The pair's files run from left to right and from top to bottom.
        assert np.array_equal(mine.labels[::-1, :, ::-1], other.labels)
        assert np.array_equal(mine.image[::-1, :, ::-1], other.image)
        assert np.allclose(mine.geometry.direction, np.eye(3).reshape(-1))
        assert set(np.unique(mine.labels)) == {0, 1, 2}


def test_labels_may_be_stored_with_other_axes_than_their_image(make_pairs: Maker) -> None:
    root = make_pairs(cases=1)
    case = read_dataset(root).cases[0]
    before = read_case(case, {})
    geometry = before.geometry
    write_image(before.labels.astype(np.uint8), geometry, case.label)
    assert Volume.read(case.image).geometry.direction != Volume.read(case.label).geometry.direction
    assert np.array_equal(read_case(case, {}).labels, before.labels)


def test_labels_without_names_are_found(make_pairs: Maker) -> None:
    dataset = read_dataset(make_pairs(named=False, cases=2))
    assert dataset.labels == {}
    assert compute_fingerprint(dataset).labels == {1: "label 1", 2: "label 2"}


def test_a_split_is_by_case_and_its_seed_s(make_pairs: Maker) -> None:
    dataset = read_dataset(make_pairs(cases=10))
    parts = split_cases(dataset, seed=3)
    assert parts == split_cases(dataset, seed=3)
    assert len(parts.validation) == 2
    assert sorted(parts.training + parts.validation) == [case.name for case in dataset.cases]
    assert any(split_cases(dataset, seed=seed) != parts for seed in range(4, 8))
    assert len(split_cases(dataset, seed=3, held_out_fraction=0.0).validation) == 1


def test_a_split_may_be_given(make_pairs: Maker, tmp_path: Path) -> None:
    dataset = read_dataset(make_pairs(cases=3))
    names = tmp_path / "held_out.txt"
    names.write_text("ball_1\n\n")
    assert split_cases(dataset, seed=1, held_out=names).validation == ("ball_1",)
    names.write_text("ball_9\n")
    with pytest.raises(DatasetError, match="names ball_9, which is not a case of balls"):
        split_cases(dataset, seed=1, held_out=names)
    names.write_text("ball_0\nball_1\nball_2\n")
    with pytest.raises(DatasetError, match="expected at least one to train on"):
        split_cases(dataset, seed=1, held_out=names)
    with pytest.raises(DatasetError, match="cannot be read"):
        split_cases(dataset, seed=1, held_out=tmp_path / "none.txt")


def test_a_split_that_the_folder_states_is_followed(make_pairs: Maker, tmp_path: Path) -> None:
    root = make_pairs(cases=5)
    dataset = read_dataset(root)
    (root / "splits_final.json").write_text(
        json.dumps([{"train": ["ball_0", "ball_2", "ball_4"], "val": ["ball_1", "ball_3"]}])
    )
    assert split_cases(dataset, seed=1, stated=read_stated_split(root)).validation == ("ball_1", "ball_3")
    names = tmp_path / "held_out.txt"
    names.write_text("ball_0")
    assert split_cases(dataset, seed=1, held_out=names, stated=read_stated_split(root)).validation == ("ball_0",)

    # The manifest of an export says more: which cases are for the final test.
    def manifest(*splits: str) -> None:
        cases = [
            ManifestCase(f"ball_{number}", split, "", f"id{number}", 1, f"{number}" * 64, {})
            for number, split in enumerate(splits)
        ]
        write_manifest(Manifest("balls", "nnunet", "CT", {"shell": 1}, "accepted", cases), root)

    manifest("training", "training", "validation", "test", "test")
    parts = split_cases(dataset, seed=1, stated=read_stated_split(root))
    assert parts == Split(training=("ball_0", "ball_1"), validation=("ball_2",))
    assert split_cases(dataset, seed=1, held_out=names, stated=read_stated_split(root)).training == ("ball_1", "ball_2")
    assert annotation_digests(root) == ("0" * 64, "1" * 64, "2" * 64)
    manifest("training", "training", "training", "test", "test")
    drawn = split_cases(dataset, seed=1, stated=read_stated_split(root))
    assert len(drawn.validation) == 1
    assert "ball_3" not in drawn.training + drawn.validation


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "has no split"),
        ("[]", "has no split"),
        ('[{"train": ["ball_0"]}]', "has no split"),
        ('[{"train": ["ball_0"], "val": [1]}]', "has no split"),
        ('[{"train": ["ball_0", "ball_1"], "val": ["ball_1"]}]', "has ball_1 in two parts"),
        ('[{"train": ["ball_0"], "val": ["ball_2"]}]', "does not say whether ball_1 is for training"),
        ('[{"train": ["ball_0", "ball_1"], "val": ["ball_9"]}]', "names ball_9, which is not a case"),
    ],
)
def test_a_stated_split_that_cannot_be_followed(make_pairs: Maker, text: str, error: str) -> None:
    root = make_pairs(cases=2)
    (root / "splits_final.json").write_text(text)
    with pytest.raises(DatasetError, match=error):
        split_cases(read_dataset(root), seed=1, stated=read_stated_split(root))


# Each of these functions damages a good dataset.


def remove(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def write(path: str, text: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / path).write_text(text)

    return damage


def stated(**fields: object) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        content = json.loads((root / "dataset.json").read_text())
        (root / "dataset.json").write_text(json.dumps({**content, **fields}))

    return damage


def without_training(root: Path) -> None:
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**content, "training": []}))


def list_twice(root: Path) -> None:
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**content, "training": content["training"] * 2}))


def no_labels(root: Path) -> None:
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**content, "labels": {"0": "background"}}))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (remove("labels/ball_0.nii.gz"), r"images/ball_0\.nii\.gz has no file of the same name in labels"),
        (remove("images/ball_1.nii.gz"), r"labels/ball_1\.nii\.gz has no file of the same name in images"),
        (write("labels.json", "[1]"), "does not name labels: expected"),
        (write("labels.json", '{"one": "a"}'), "does not name labels: expected"),
        (write("labels.json", "{"), "is not JSON"),
        (write("labels.json", '{"1": "a", "2": "ignore"}'), r"labels\.json has 2 for voxels to ignore"),
        (write("images/ball_0_0000.nii.gz", ""), r"ball_0\.nii\.gz and .*ball_0_0000\.nii\.gz are images of the same"),
    ],
    ids=["no label", "no image", "list", "words", "syntax", "ignore", "two images"],
)
def test_a_damaged_pair_of_folders(damage: Callable[[Path], None], expected: str, make_pairs: Maker) -> None:
    root = make_pairs(cases=2)
    damage(root)
    with pytest.raises(DatasetError, match=expected):
        read_dataset(root)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (remove("labelsTr/ball_0.nii.gz"), "case ball_0: file .* does not exist"),
        (write("dataset.json", "{}"), r'"labels" is missing, expected \{"0": "background"'),
        (write("dataset.json", '{"labels": ["a"], "training": []}'), r'"labels" is a list, expected'),
        (write("dataset.json", "[]"), "holds a list, expected a mapping"),
        (stated(labels={"0": "background", "1": "a", "255": "ignore"}), r'"labels" has 255 for voxels to ignore'),
        (stated(labels={"background": 0, "whole": [1, 2]}), r'"labels" has .whole.: \[1, 2\], expected'),
        (stated(modality=["CT"]), r'"modality" is a list, expected \{"0": "CT"\}'),
        (stated(modality="CT"), r'"modality" is a text, expected'),
        (stated(modality={"0": "T2", "1": "ADC"}), r'"modality" names 2 channels, and only images of one'),
        (stated(training={"a": "b"}), r'"training" is a mapping, expected'),
        (stated(training=[{"image": ["a", "b"], "label": "c"}]), r'"training"\[0\] has a list as image'),
        (without_training, "has no labelled image"),
        (list_twice, "several cases named ball_0"),
        (no_labels, "names no label"),
    ],
    ids=[
        *("no label", "empty", "list of labels", "list", "ignore", "regions", "modality as a list"),
        *("modality as a text", "modalities", "training as a mapping", "list of images"),
        *("no training", "twice", "background alone"),
    ],
)
def test_a_damaged_decathlon(damage: Callable[[Path], None], expected: str, make_decathlon: Maker) -> None:
    root = make_decathlon(cases=2)
    damage(root)
    with pytest.raises(DatasetError, match=expected):
        read_dataset(root)


def as_nnunet(root: Path, *, channels: object) -> None:
    """Turn a dataset of the Decathlon into one of nnU-Net v2."""
    for image in list((root / "imagesTr").iterdir()):
        image.rename(image.with_name(image.name.replace(".nii.gz", "_0000.nii.gz")))
    content = {
        "channel_names": channels,
        "labels": {"background": 0, "shell": 1, "core": 2},
        "numTraining": len(list((root / "labelsTr").iterdir())),
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("channel", "modality"), [("CT", "CT"), ("MRI", "MR"), ("noNorm", "")])
def test_a_dataset_of_nnunet_v2_is_read(channel: str, modality: str, make_decathlon: Maker) -> None:
    root = make_decathlon(cases=2)
    expected = read_dataset(root)
    as_nnunet(root, channels={"0": channel})
    dataset = read_dataset(root)
    assert [case.name for case in dataset.cases] == [case.name for case in expected.cases]
    assert (dataset.labels, dataset.modality) == (expected.labels, modality)
    assert read_case(dataset.cases[0], dataset.labels).labels.any()


def test_several_channels_of_nnunet_are_refused(make_decathlon: Maker) -> None:
    root = make_decathlon(cases=2)
    as_nnunet(root, channels={"0": "T2", "1": "ADC"})
    with pytest.raises(DatasetError, match='"channel_names" has 2 channels'):
        read_dataset(root)
    as_nnunet(root, channels=["CT"])
    with pytest.raises(DatasetError, match='"channel_names" is a list'):
        read_dataset(root)


def test_names_with_a_channel_are_read_in_every_layout(make_decathlon: Maker, make_pairs: Maker) -> None:
    decathlon, pairs = make_decathlon(cases=2), make_pairs(cases=2)
    for folder in (decathlon / "imagesTr", pairs / "images"):
        for image in list(folder.iterdir()):
            image.rename(image.with_name(image.name.replace(".nii.gz", "_0000.nii.gz")))
    for root in (decathlon, pairs):
        assert [case.name for case in read_dataset(root).cases] == ["ball_0", "ball_1"]
    (decathlon / "imagesTr" / "ball_0_0001.nii.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"ball_0_0001\.nii\.gz is a second channel"):
        read_dataset(decathlon)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"background": 0, "2": 1, "1": 2}, {1: "2", 2: "1"}),
        ({"0": "background", "1": "2", "2": "1"}, {1: "2", 2: "1"}),
        ({"background": "0", "shell": "1", "core": "2"}, {1: "shell", 2: "core"}),
    ],
    ids=["nnU-Net v2", "Decathlon", "numbers as texts"],
)
def test_names_of_digits_are_no_numbers(
    labels: dict[str, object], names: dict[int, str], make_decathlon: Maker
) -> None:
    root = make_decathlon(cases=1)
    stated(labels=labels)(root)
    assert read_dataset(root).labels == names


def test_no_case_of_nnunet_is_left_out_or_made_up(make_decathlon: Maker) -> None:
    root = make_decathlon(cases=2)
    as_nnunet(root, channels={"0": "CT"})
    for part in ("imagesTr/._ball_0_0000.nii.gz", "labelsTr/._ball_0.nii.gz"):
        (root / part).write_bytes(b"of macOS")
    assert [case.name for case in read_dataset(root).cases] == ["ball_0", "ball_1"]
    image = root / "imagesTr" / "ball_1_0000.nii.gz"
    image.rename(root / "imagesTr" / "ball_1.nii.gz")
    with pytest.raises(DatasetError, match=r"labelsTr/ball_1\.nii\.gz has no image: expected .*/ball_1_0000\.nii\.gz"):
        read_dataset(root)
    stated(dataset={"ball_0": {"images": ["elsewhere/ball_0.nii.gz"], "label": "elsewhere/label.nii.gz"}})(root)
    with pytest.raises(DatasetError, match='"dataset" lists files that lie elsewhere'):
        read_dataset(root)


def test_channel_names_beside_a_list_of_pairs_give_the_modality(make_decathlon: Maker) -> None:
    root = make_decathlon(cases=1)
    stated(channel_names={"0": "CT"})(root)
    assert read_dataset(root).modality == "CT"
    stated(channel_names={"0": "T2", "1": "ADC"})(root)
    with pytest.raises(DatasetError, match='"channel_names" has 2 channels'):
        read_dataset(root)


def test_a_second_channel_is_found_beside_an_image_whose_case_ends_with_zeros(make_decathlon: Maker) -> None:
    root = make_decathlon(cases=1)
    as_nnunet(root, channels={"0": "CT"})
    (root / "imagesTr" / "ball_0_0000.nii.gz").rename(root / "imagesTr" / "ball_0000_0000.nii.gz")
    (root / "labelsTr" / "ball_0.nii.gz").rename(root / "labelsTr" / "ball_0000.nii.gz")
    assert [case.name for case in read_dataset(root).cases] == ["ball_0000"]
    (root / "imagesTr" / "ball_0000_0001.nii.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"ball_0000_0001\.nii\.gz is a second channel"):
        read_dataset(root)


def test_a_byte_order_mark_is_read_over(make_decathlon: Maker) -> None:
    root = make_decathlon(cases=2)
    (root / "dataset.json").write_bytes(b"\xef\xbb\xbf" + (root / "dataset.json").read_bytes())
    assert read_dataset(root).labels == {1: "shell", 2: "core"}


def test_a_folder_of_neither_layout(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected dataset\.json, or the folders images and labels"):
        read_dataset(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        read_dataset(tmp_path / "none")
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(DatasetError, match="has no labelled image"):
        read_dataset(tmp_path)


GRID = Geometry(size=SIZE)
PLAIN = np.zeros(GRID.shape, np.float32)


def with_nan() -> Float:
    array = PLAIN.copy()
    array[0, 0, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("image", "label", "geometry", "expected"),
    [
        (with_nan(), PLAIN, GRID, "1 voxels that are NaN"),
        (PLAIN, PLAIN + 0.5, GRID, "whole numbers"),
        (PLAIN, PLAIN - 1, GRID, "whole numbers"),
        (PLAIN, PLAIN + 7, GRID, "label 7 is not among those of the dataset: 1 shell, 2 core"),
        (PLAIN, PLAIN[1:], Geometry(size=(20, 22, 17)), r"lies on another grid .*size \(20, 22, 17\)"),
        (PLAIN, PLAIN, Geometry(size=SIZE, origin=(0, 0, 3)), "3.00 mm off at a corner"),
        (PLAIN, PLAIN, Geometry(size=SIZE, origin=(0, 0.3, 0)), "0.30 mm off at a corner"),
        (PLAIN, PLAIN, Geometry(size=SIZE, spacing=(1, 1, 1.2)), "3.40 mm off at a corner"),
    ],
    ids=["NaN", "fraction", "negative", "unknown", "size", "place", "a third of a voxel", "spacing"],
)
def test_a_case_that_cannot_be_used(
    image: Float, label: Float, geometry: Geometry, expected: str, tmp_path: Path
) -> None:
    write_image(image, GRID, tmp_path / "images" / "ball_0.mha")
    write_image(label, geometry, tmp_path / "labels" / "ball_0.mha")
    case = read_dataset(tmp_path).cases[0]
    with pytest.raises(DatasetError, match=f"case ball_0: .*{expected}"):
        read_case(case, {1: "shell", 2: "core"})


def test_an_image_of_one_slice_is_refused_as_the_gateway_does(tmp_path: Path) -> None:
    grid = Geometry(size=(20, 22, 1))
    for part in ("images", "labels"):
        write_image(np.zeros(grid.shape, np.float32), grid, tmp_path / part / "ball_0.mha")
    with pytest.raises(DatasetError, match="case ball_0: a 3D image is needed, at least two voxels along each axis"):
        read_case(read_dataset(tmp_path).cases[0], {})


def test_labels_are_read_as_masks_are(tmp_path: Path) -> None:
    labels = with_nan()
    labels[1, 1, 1], labels[1, 1, 2] = 1, 2.00005
    write_image(PLAIN, GRID, tmp_path / "images" / "ball_0.mha")
    write_image(labels, GRID, tmp_path / "labels" / "ball_0.mha")
    numbers = read_case(read_dataset(tmp_path).cases[0], {1: "shell", 2: "core"}).labels
    assert (numbers[0, 0, 0], numbers[1, 1, 1], numbers[1, 1, 2]) == (0, 1, 2)
    assert np.count_nonzero(numbers) == 2


def test_a_file_that_is_no_image(make_pairs: Maker) -> None:
    case = read_dataset(make_pairs(cases=1)).cases[0]
    case.image.write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"case ball_0: .*is truncated"):
        read_case(case, {})


def test_a_dataset_whose_labels_are_all_empty(make_pairs: Maker) -> None:
    dataset = read_dataset(make_pairs(cases=1))
    write_image(PLAIN, Volume.read(dataset.cases[0].image).geometry, dataset.cases[0].label)
    with pytest.raises(DatasetError, match="all label files are empty"):
        compute_fingerprint(dataset)
