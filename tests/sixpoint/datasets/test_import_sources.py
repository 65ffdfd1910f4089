"""Folders are read as what they say they are, and what cannot be is refused, or left out and named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sixpoint.datasets import SourceLayout, read_source
from sixpoint.errors import DatasetError, InvalidArgument


def _files(folder: Path, *names: str) -> Path:
    """Files that are never opened."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def _cases(folder: Path, layout: SourceLayout | None = None) -> dict[str, str]:
    source = read_source(folder, layout=layout)
    return {case.name: case.labels.relative_to(folder).as_posix() if case.labels else "" for case in source.cases}


def _dataset_json(folder: Path, **fields: object) -> None:
    (folder / "dataset.json").write_text(json.dumps(fields))


def test_images_alone(tmp_path: Path) -> None:
    _files(tmp_path, "a.nii.gz", "b.nrrd", "notes.txt", "._a.nii.gz")
    source = read_source(tmp_path)
    assert (source.layout, [case.name for case in source.cases]) == (SourceLayout.IMAGES, ["a", "b"])
    assert source.left_out.keys() == {"notes.txt"}


def test_pairs(tmp_path: Path) -> None:
    _files(tmp_path, "images/a_0000.nii.gz", "images/b.nrrd", "labels/a.nii.gz", "labels/b.seg.nrrd", "labels/c.nii.gz")
    (tmp_path / "labels.json").write_text('{"1": "liver"}')
    assert _cases(tmp_path) == {"a": "labels/a.nii.gz", "b": "labels/b.seg.nrrd"}
    source = read_source(tmp_path)
    assert source.names == {1: "liver"}
    assert not source.complete
    assert source.left_out == {"labels/c.nii.gz": "there is no image of this name"}


def test_msd(tmp_path: Path) -> None:
    _files(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "imagesTs/c.nii.gz")
    pairs = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in "abx"]
    _dataset_json(tmp_path, labels={"0": "background", "1": "liver"}, training=pairs, test=["./imagesTs/c.nii.gz"])
    assert _cases(tmp_path) == {"a": "labelsTr/a.nii.gz", "c": ""}
    source = read_source(tmp_path)
    assert (source.layout, source.names, source.complete) == (SourceLayout.MSD, {1: "liver"}, True)
    assert source.left_out == {"b": "its label map is missing", "x": "its image is missing"}
    pairs = [{"image": "../a.nii.gz", "label": "labelsTr/a.nii.gz"}]
    _dataset_json(tmp_path, labels={"1": "liver"}, training=pairs)
    with pytest.raises(DatasetError, match="outside"):
        read_source(tmp_path)


def test_nnunet(tmp_path: Path) -> None:
    two = ("imagesTr/two_0000.nii.gz", "imagesTr/two_0001.nii.gz", "labelsTr/two.nii.gz")
    _files(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTs/c_0000.nii.gz", "labelsTr/d.nii.gz", *two)
    labels = {"background": 0, "liver": 1, "ignore": 2}
    _dataset_json(tmp_path, channel_names={"0": "CT"}, labels=labels, file_ending=".nii.gz", numTraining=1)
    assert _cases(tmp_path) == {"a": "labelsTr/a.nii.gz", "c": ""}
    source = read_source(tmp_path)
    assert (source.layout, source.names, source.ignored) == (SourceLayout.NNUNET, {1: "liver"}, frozenset({2}))
    assert source.left_out == {
        "two": "its image has several channels, and images of one are supported",
        "labelsTr/d.nii.gz": "there is no image of this name",
    }
    _dataset_json(tmp_path, channel_names={"0": "CT"}, labels={"whole": [1, 2]}, file_ending=".nii.gz")
    with pytest.raises(DatasetError, match="region of several numbers"):
        read_source(tmp_path)


def test_bids(tmp_path: Path) -> None:
    images = ("sub-1/ses-a/anat/sub-1_ses-a_T1w.nii.gz", "sub-1/ses-b/anat/sub-1_ses-b_T1w.nii.gz")
    rivals = ("sub-2/anat/sub-2_T1w.nii.gz", "sub-2/anat/sub-2_T2w.nii.gz")
    derived = "derivatives/us"
    masks = (
        f"{derived}/sub-1/ses-a/anat/sub-1_ses-a_desc-us_dseg.nii.gz",
        f"{derived}/sub-2/anat/sub-2_dseg.nii.gz",
        f"{derived}/sub-3/anat/sub-3_dseg.nii.gz",
        f"{derived}/sub-1/ses-a/anat/sub-1_ses-a_mask.nii.gz",
    )
    _files(tmp_path, "dataset_description.json", *images, *rivals, *masks)
    table = tmp_path / derived / "desc-us_dseg.tsv"
    table.write_text("index\tname\n0\tbackground\n1\tliver\n")
    assert _cases(tmp_path) == {"sub-1_ses-a_T1w": masks[0], "sub-1_ses-b_T1w": ""}
    source = read_source(tmp_path)
    assert source.names == {1: "liver"}
    assert {case.subject for case in source.cases} == {"sub-1"}
    assert source.left_out.keys() == {"sub-2_T1w", "sub-2_T2w", masks[2], masks[3]}
    (tmp_path / derived / "sub-1" / "dseg.tsv").write_text("index\tname\n1\tspleen\n")
    with pytest.raises(DatasetError, match="one name for each number"):
        read_source(tmp_path)
    table.write_text("number\tname\n")
    (tmp_path / derived / "sub-1" / "dseg.tsv").write_text("one\tname\n1\tspleen\n")
    with pytest.raises(DatasetError, match="columns index and name"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("notes.txt",), "has no layout that is known"),
        (("a/b/c.txt",), "has no layout that is known"),
        (("dataset.json",), "cannot be read as JSON"),
        (("images/a.txt", "labels/b.txt"), "has no image to import"),
        (("a.nii", "a.nrrd"), "several images of the name 'a'"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, names: Sequence[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_source(_files(tmp_path, *names))


def test_a_layout_is_asked_for_where_two_fit(tmp_path: Path) -> None:
    _files(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz")
    _dataset_json(tmp_path, channel_names={"0": "CT"}, labels={"liver": 1}, file_ending=".nii.gz")
    with pytest.raises(DatasetError, match="may be read as nnunet or pairs"):
        read_source(tmp_path)
    assert _cases(tmp_path, SourceLayout.PAIRS) == {"a": "labels/a.nii.gz"}
    assert _cases(tmp_path, SourceLayout.NNUNET) == {"b": "labelsTr/b.nii.gz"}


@pytest.mark.parametrize("name", ["ct_label.nii.gz", "a.seg.nrrd", "Mask-3.nii", "liver_gt.mha"])
def test_label_maps_are_no_images(tmp_path: Path, name: str) -> None:
    _files(tmp_path, "ct_image.nii.gz", "unlabelled.nii.gz", "segovia.nrrd", name)
    with pytest.raises(DatasetError, match="called as a label map"):
        read_source(tmp_path)
    assert len(_cases(tmp_path, SourceLayout.IMAGES)) == 4
    (tmp_path / name).unlink()
    assert len(_cases(tmp_path)) == 3


def test_addresses_and_folders_are_not_mixed_up(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no folder"):
        read_source(tmp_path / "missing")
    with pytest.raises(DatasetError, match="is for addresses"):
        read_source(tmp_path, layout=SourceLayout.DICOMWEB)
    with pytest.raises(DatasetError, match="has no layout msd"):
        read_source("dicomweb:http://localhost/x#1.2", layout=SourceLayout.MSD)
    with pytest.raises(InvalidArgument):
        read_source("dicomweb:nowhere#1.2")
    with pytest.raises(DatasetError, match="names no study"):
        read_source("dicomweb:http://localhost:1/x")
