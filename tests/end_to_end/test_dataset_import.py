"""Folders into a dataset: masks are those of the files; what is there is not sent again; nothing is guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint._typing import Array
from sixpoint.datasets import (
    ImportOptions,
    LabelNaming,
    Layout,
    export_dataset,
    import_dataset,
    read_source,
    verify_manifest,
)
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume, write_image
from tests.end_to_end.command_line import run
from tests.sixpoint.io.dicom.dicom_files import VOXELS, write_series
from tests.sixpoint.io.dicom.test_segmentations import KIDNEY, LIVER, write_segmentation
from tests.support.images import noisy_volume
from tests.support.orthanc import Orthanc, store_files, write_ct_series

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


def _volume(number: int) -> Volume:
    volume = noisy_volume((20, 18, 16))
    return Volume(volume.array + np.int16(number), volume.geometry)


def _labels(*numbers: int) -> Array:
    """A label map with a box of each number, [z, y, x]."""
    result = np.zeros((16, 18, 20), np.uint8)
    for place, number in enumerate(numbers):
        result[3:9, 2:9, 4 * place + 1 : 4 * place + 4] = number
    return result


def _write(folder: Path, case: str, number: int, labels: Array | None) -> None:
    _volume(number).write(folder / "images" / f"{case}.nii.gz")
    if labels is not None:
        write_image(labels, _volume(number).geometry, folder / "labels" / f"{case}.nii.gz")


@pytest.fixture
def client(address: str) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(address) as client:
        yield client


@pytest.fixture
def name(client: sixpoint.Client, request: pytest.FixtureRequest) -> str:
    name = f"import {request.node.name}"
    client.datasets.create(name, labels=["spleen", "liver"], validation_share=0.3, test_share=0.3)
    return name


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    _write(folder, "p1_a", 0, _labels(1, 2))
    _write(folder, "p1_b", 1, _labels(1))
    _write(folder, "p2_a", 2, None)
    return folder


NAMING = LabelNaming({1: "liver", 2: "spleen"})


def test_masks_are_imported_by_name_and_once(client: sixpoint.Client, name: str, pairs: Path) -> None:
    source = read_source(pairs)
    options = ImportOptions(NAMING, patient=re.compile("^[^_]+"))
    dry = import_dataset(client, name, source, ImportOptions(NAMING, dry_run=True))
    assert [case.voxel_counts for case in dry.cases] == [{"liver": 126, "spleen": 126}, {"liver": 126}, {}]
    assert client.datasets.get(name).image_count == 0
    steps: list[tuple[int, int]] = []
    result = import_dataset(client, name, source, options, progress=lambda *step: steps.append(step))
    assert steps == [(step, 6) for step in range(1, 7)]
    assert all(case.is_new for case in result.cases)
    images = {image.case_name: image for image in client.datasets.images(name)}
    assert images["p1_a"].split == images["p1_b"].split
    assert [images[case].annotation_count for case in ("p1_a", "p1_b", "p2_a")] == [1, 1, 0]
    (annotation,) = client.datasets.annotations(name, digest=images["p1_a"].digest)
    masks = client.datasets.masks(annotation.id)
    assert np.array_equal(masks.mask("liver").array, _labels(1, 2) == 1)
    assert np.array_equal(masks.mask("spleen").array, _labels(1, 2) == 2)
    # A correction in the meantime stays the latest.
    later = client.datasets.add_masks(name, images["p1_a"].digest, {"liver": _labels(1)})
    again = import_dataset(client, name, source, options)
    assert not any(case.is_new for case in again.cases)
    assert client.datasets.annotations(name, digest=images["p1_a"].digest)[0].id == later.id


def test_what_is_not_said_is_asked_for(client: sixpoint.Client, name: str, pairs: Path) -> None:
    source = read_source(pairs)
    with pytest.raises(errors.DatasetError, match=r"labels have no name: 1 \(in p1_a, p1_b\); 2 \(in p1_a\)"):
        import_dataset(client, name, source)
    other = LabelNaming({1: "liver", 2: "kidney"})
    with pytest.raises(errors.DatasetError, match="lacks 1 labels of the source: 'kidney'"):
        import_dataset(client, name, source, ImportOptions(other))
    assert client.datasets.get(name).image_count == 0
    result = import_dataset(client, name, source, ImportOptions(other, add_labels=True, accept=True))
    assert result.new_labels == ("kidney",)
    assert [label.name for label in client.datasets.get(name).labels] == ["spleen", "liver", "kidney"]
    assert client.datasets.get(name).accepted_count == 2


def test_a_label_without_voxels_is_absent_only_if_somebody_says_so(
    client: sixpoint.Client, name: str, pairs: Path
) -> None:
    _write(pairs, "nothing", 3, _labels())
    source = read_source(pairs)
    result = import_dataset(client, name, source, ImportOptions(NAMING))
    assert "no voxel of a label" in result.left_out["nothing"]
    assert result.cases[1].voxel_counts == {"liver": 126}
    complete = LabelNaming(NAMING.names, complete=True)
    result = import_dataset(client, name, source, ImportOptions(complete))
    assert not result.left_out
    counts = {case.case_name: case.voxel_counts for case in result.cases}
    assert counts["nothing"] == {"liver": 0, "spleen": 0}
    assert counts["p1_b"] == {"liver": 126, "spleen": 0}
    assert not any(case.is_new for case in import_dataset(client, name, source, ImportOptions(complete)).cases)
    left_out = import_dataset(client, name, source, ImportOptions(LabelNaming(NAMING.names, {2}), dry_run=True))
    assert left_out.cases[0].voxel_counts == {"liver": 126}
    assert not left_out.labels_left


def test_with_names_only_these_labels_are_imported(client: sixpoint.Client, name: str, pairs: Path) -> None:
    (pairs / "labels.json").write_text('{"2": "vessel"}')
    source, liver = read_source(pairs), LabelNaming({1: "liver"})
    result = import_dataset(client, name, source, ImportOptions(liver))
    assert [case.voxel_counts for case in result.cases] == [{"liver": 126}, {"liver": 126}, {}]
    assert result.labels_left == {2: "vessel"}
    # Nothing is said about the others, also where labels without voxels are absent.
    complete = import_dataset(client, name, source, ImportOptions(LabelNaming({1: "liver"}, complete=True)))
    assert [case.voxel_counts for case in complete.cases] == [{"liver": 126}, {"liver": 126}, {}]


def test_a_case_that_cannot_be_is_left_out_and_named(client: sixpoint.Client, name: str, pairs: Path) -> None:
    moved = _volume(3).geometry
    smaller = Geometry(size=(20, 17, 16), spacing=moved.spacing)
    write_image(_labels(1)[:, :-1], smaller, pairs / "x.nii.gz")
    _write(pairs, "grid", 3, None)
    (pairs / "x.nii.gz").rename(pairs / "labels" / "grid.nii.gz")
    _write(pairs, "fractions", 4, (_labels(1) * 0.5).astype(np.float32))
    (pairs / "images" / "broken.nii.gz").write_bytes(b"nothing")
    _write(pairs, "twin", 0, None)
    _write(pairs, "none_of_the_pattern", 5, None)
    result = import_dataset(
        client, name, read_source(pairs), ImportOptions(NAMING, patient=re.compile("^([pgfbt][^_]*)"))
    )
    assert {case.case_name for case in result.cases} == {"p1_a", "p1_b", "p2_a"}
    for case, reason in {
        "grid": "lies on another grid",
        "fractions": "fractions",
        "broken": "broken.nii.gz",
        "twin": "has its image already, as 'p1_a'",
        "none_of_the_pattern": "does not match --patient",
    }.items():
        assert reason in result.left_out[case]
    _write(pairs, "p2_a", 9, None)
    result = import_dataset(client, name, read_source(pairs), ImportOptions(NAMING))
    assert "another image of this name" in result.left_out["p2_a"]


# test_dicom_seg_export does the same for DICOM SEG, which refers to the series of its images.
@pytest.mark.parametrize("layout", [each for each in Layout if each is not Layout.DICOM_SEG])
def test_an_export_comes_back_as_it_was(client: sixpoint.Client, name: str, tmp_path: Path, layout: Layout) -> None:
    for number, labels in enumerate((_labels(1, 2), _labels(2), _labels())):
        image = client.datasets.add_image(name, _volume(number), case_name=f"case {number}")
        masks = {"spleen": labels == 1, "liver": labels == 2}
        client.datasets.review(client.datasets.add_masks(name, image.digest, masks).id, "accepted")
    export_dataset(client, name, tmp_path / "out", modality="CT", layout=layout)
    copy = f"{name} copy"
    client.datasets.create(copy)
    assert verify_manifest(tmp_path / "out") == []
    # BIDS does not say that a label without voxels is absent.
    naming = LabelNaming({}, complete=True)
    source = read_source(tmp_path / "out")
    assert source.layout == layout.value
    result = import_dataset(client, copy, source, ImportOptions(naming, add_labels=True, accept=True))
    assert not result.left_out
    digests = [
        {each.image_digest: each.digest for each in client.datasets.annotations(each, state="accepted")}
        for each in (name, copy)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3


def test_series_with_segmentations_beside_them(client: sixpoint.Client, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    write_series(folder / "one")
    write_segmentation(tmp_path / "one.dcm", folder / "one", [LIVER, KIDNEY])
    (tmp_path / "one.dcm").rename(folder / "one" / "seg.dcm")
    write_series(folder / "two", VOXELS + 1)
    (folder / "notes").mkdir()
    source = read_source(folder)
    assert source.left_out == {"notes": "it holds no DICOM series; expected one for each case, in a folder of its own"}
    result = import_dataset(client, name, source, ImportOptions(add_labels=True))
    assert result.new_labels == ("Liver", "Left kidney")
    images = {image.case_name: image for image in client.datasets.images(name)}
    assert images.keys() == {"one", "two"}
    assert images["one"].digest == Volume.read(folder / "one").digest
    (annotation,) = client.datasets.annotations(name)
    masks = client.datasets.masks(annotation.id)
    assert np.array_equal(masks.mask("Liver").array, LIVER)
    assert np.array_equal(masks.mask("Left kidney").array, KIDNEY)


@pytest.mark.slow
def test_the_command_line(client: sixpoint.Client, name: str, pairs: Path, address: str) -> None:
    done = run("sixpoint", "dataset", "import", name, pairs, server=address)
    assert (done.returncode, "--label 1=NAME" in done.stderr) == (3, True)
    arguments = ("sixpoint", "dataset", "import", name, pairs, "-l", "1=liver", "-l", "2=spleen")
    done = run(*arguments, "--dry-run", server=address)
    assert done.stdout.splitlines() == [
        "layout: pairs",
        "would import p1_a: liver 126 voxels, spleen 126 voxels",
        "would import p1_b: liver 126 voxels",
        "would import p2_a: no masks",
        "would import 3, there already 0, left out 0",
    ]
    done = run(*arguments, "--json", server=address)
    assert [case["case_name"] for case in json.loads(done.stdout)["cases"]] == ["p1_a", "p1_b", "p2_a"]
    done = run(*arguments, server=address)
    assert done.stdout.splitlines()[-1] == "imported 0, there already 3, left out 0"
    for wrong in (("-l", "liver"), ("--patient", "("), ("--accept", "--draft")):
        assert run(*arguments, *wrong, server=address).returncode == 2


def test_a_study_of_a_server(client: sixpoint.Client, name: str, orthanc: Orthanc, tmp_path: Path) -> None:
    pytest.importorskip("dicomweb_client")
    first = write_ct_series(tmp_path / "first", _volume(0))
    write_ct_series(tmp_path / "second", _volume(1), study=first.study, number=2)
    for folder in ("first", "second"):
        store_files(orthanc, tmp_path / folder)
    study = f"dicomweb:{orthanc.url}#{first.study}"
    for is_new in (True, False):
        result = import_dataset(client, name, read_source(study))
        assert [case.is_new for case in result.cases] == [is_new, is_new]
    images = client.datasets.images(name)
    assert {image.digest for image in images} == {Volume.read(tmp_path / each).digest for each in ("first", "second")}
    # Neither UIDs nor the patient.
    assert {image.case_name for image in images} == {image.digest[:12] for image in images}
    one = read_source(f"{study}/{first.series}")
    assert [case.image for case in one.cases] == [f"{study}/{first.series}"]


def test_an_interrupted_import_goes_on(client: sixpoint.Client, name: str, pairs: Path) -> None:
    source = read_source(pairs)

    def interrupt(step: int, total: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dataset(client, name, source, ImportOptions(NAMING), progress=interrupt)
    assert [image.case_name for image in client.datasets.images(name)] == ["p1_a"]
    result = import_dataset(client, name, source, ImportOptions(NAMING))
    assert [case.is_new for case in result.cases] == [False, True, True]
    assert len(client.datasets.annotations(name)) == 2


def test_images_of_one_subject_are_not_spread_over_splits(client: sixpoint.Client, name: str, tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("{}")
    for number in range(6):
        session = f"sub-1_ses-{number}"
        _volume(number).write(tmp_path / "sub-1" / f"ses-{number}" / "anat" / f"{session}_T1w.nii.gz")
    source = read_source(tmp_path)
    with pytest.raises(errors.DatasetError, match="say which part of a case's name is the patient's"):
        import_dataset(client, name, source)
    assert client.datasets.get(name).image_count == 0
    result = import_dataset(client, name, source, ImportOptions(patient=re.compile("sub-[^_]+")))
    assert (len(result.cases), len({case.split for case in result.cases})) == (6, 1)


def test_voxels_to_ignore_are_not_taken_for_background(client: sixpoint.Client, name: str, tmp_path: Path) -> None:
    for number, (case, labels) in enumerate({"all": _labels(1), "some": _labels(1, 2)}.items()):
        _volume(number).write(tmp_path / "imagesTr" / f"{case}_0000.nii.gz")
        write_image(labels, _volume(number).geometry, tmp_path / "labelsTr" / f"{case}.nii.gz")
    numbers = {"background": 0, "liver": 1, "ignore": 2}
    described = {"channel_names": {"0": "CT"}, "labels": numbers, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    result = import_dataset(client, name, read_source(tmp_path))
    assert [case.case_name for case in result.cases] == ["all"]
    assert "voxels of label 2, of which nothing is known" in result.left_out["some"]


def test_a_series_whose_segmentation_is_not_clear_is_left_out(tmp_path: Path) -> None:
    for case in ("series", "masks", "fine"):
        write_series(tmp_path / case)
    write_series(tmp_path / "series", VOXELS + 1, series=2)
    for number in (1, 2):
        write_segmentation(tmp_path / "seg.dcm", tmp_path / "fine", [LIVER])
        (tmp_path / "seg.dcm").rename(tmp_path / "masks" / f"seg-{number}.dcm")
    source = read_source(tmp_path)
    assert [case.name for case in source.cases] == ["fine"]
    assert {case: reason.split(";")[0] for case, reason in source.left_out.items()} == {
        "series": "it holds 2 DICOM series",
        "masks": "it holds 2 DICOM segmentations",
    }
