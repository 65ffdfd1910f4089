"""A dataset from the gateway to the trainer: what is exported is what was saved, and what is not known is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint._typing import Array
from sixpoint.datasets import Layout, export_dataset, read_manifest, verify_manifest
from sixpoint.datasets.manifest import MANIFEST
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume
from trainer.data.datasets import read_dataset

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


def _volume(number: int) -> Volume:
    volume = noisy_volume((20, 18, 16))
    return Volume(volume.array + np.int16(number), volume.geometry)


def _box(z: slice, y: slice, x: slice) -> Array:
    mask = np.zeros((16, 18, 20), np.uint8)
    mask[z, y, x] = 1
    return mask


LIVER, SPLEEN = _box(slice(3, 9), slice(2, 9), slice(4, 12)), _box(slice(3, 9), slice(10, 15), slice(4, 12))
NOTHING = np.zeros_like(LIVER)


@pytest.fixture
def client(address: str) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(address) as client:
        yield client


@pytest.fixture
def saved(client: sixpoint.Client, request: pytest.FixtureRequest) -> str:
    """A dataset with cases of every kind; all but one are accepted."""
    name = f"export {request.node.name}"
    client.datasets.create(name, labels=["liver", "spleen"], test_share=0.4)
    for number, (case, masks) in enumerate(
        {
            "both": {"liver": LIVER, "spleen": SPLEEN},
            "no spleen": {"liver": LIVER, "spleen": NOTHING},
            "spleen unknown": {"liver": LIVER},
            "overlap": {"liver": LIVER, "spleen": LIVER},
            "later rejected": {"liver": LIVER, "spleen": SPLEEN},
            "submitted": {"liver": LIVER, "spleen": SPLEEN},
        }.items()
    ):
        image = client.datasets.add_image(name, _volume(number), case_name=case)
        annotation = client.datasets.add_masks(name, image.digest, masks)
        if case != "submitted":
            client.datasets.review(annotation.id, "accepted")
        if case == "later rejected":
            later = client.datasets.add_masks(name, image.digest, {"liver": SPLEEN, "spleen": LIVER})
            client.datasets.review(later.id, "rejected", reason="left is right")
    client.datasets.add_image(name, _volume(99), case_name="nothing saved")
    return name


@pytest.mark.parametrize("layout", [Layout.NNUNET, Layout.MSD])
def test_the_trainer_reads_what_people_saved(
    client: sixpoint.Client, saved: str, tmp_path: Path, layout: Layout
) -> None:
    folder = tmp_path / "out"
    result = export_dataset(client, saved, folder, modality="CT", layout=layout)
    assert {case.case_name for case in result.cases} == {"both", "no spleen", "later rejected"}
    assert {case: reason.split(";")[0] for case, reason in result.left_out.items()} == {
        "spleen unknown": "its annotation does not say where 'spleen' is, or that it is absent",
        "overlap": "its labels overlap, which a label map cannot hold",
        "submitted": "it has no annotation that is accepted",
        "nothing saved": "it has no annotation that is accepted",
    }
    splits = {image.case_name: image.split for image in client.datasets.images(saved)}
    suffix = "_0000" if layout is Layout.NNUNET else ""
    for number, case in ((0, "both"), (1, "no spleen"), (4, "later rejected")):
        place = "Ts" if splits[case] == "test" else "Tr"
        image = Volume.read(folder / f"images{place}" / f"{case}{suffix}.nii.gz")
        assert image.digest == _volume(number).digest
        labels = Volume.read(folder / f"labels{place}" / f"{case}.nii.gz")
        assert np.array_equal(labels.array, LIVER + (0 if case == "no spleen" else 2 * SPLEEN))
    trained = [case for case in ("both", "no spleen", "later rejected") if splits[case] != "test"]
    if trained:
        dataset = read_dataset(folder)
        assert (len(dataset.cases), dataset.labels, dataset.modality) == (len(trained), {1: "liver", 2: "spleen"}, "CT")
    assert verify_manifest(folder) == []
    manifest = read_manifest(folder)
    assert [case.annotation_digest for case in manifest.cases] == [case.annotation.digest for case in result.cases]


def test_chosen_labels_get_numbers_without_gaps(client: sixpoint.Client, saved: str, tmp_path: Path) -> None:
    result = export_dataset(client, saved, tmp_path / "out", modality="CT", labels=["spleen"])
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"] == {"background": 0, "spleen": 1}
    # Without the liver nothing overlaps.
    assert "overlap" in {case.case_name for case in result.cases}
    with pytest.raises(errors.DatasetError, match="no label 'lung'"):
        export_dataset(client, saved, tmp_path / "other", modality="CT", labels=["lung"])


def test_what_cannot_be_exported_is_refused_in_words(client: sixpoint.Client, saved: str, tmp_path: Path) -> None:
    with pytest.raises(errors.DatasetError, match="modality"):
        export_dataset(client, saved, tmp_path / "out", modality="")
    with pytest.raises(errors.DatasetError, match="no case of"):
        export_dataset(client, saved, tmp_path / "out", modality="CT", state="draft")
    (tmp_path / "mine").write_text("mine")
    for taken in (tmp_path, tmp_path / "mine"):
        with pytest.raises(errors.DatasetError, match="is not empty"):
            export_dataset(client, saved, taken, modality="CT")
    with pytest.raises(errors.DatasetNotFound):
        export_dataset(client, "other", tmp_path / "out", modality="CT")
    assert not (tmp_path / "out").exists()


def test_a_changed_export_is_noticed(client: sixpoint.Client, saved: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_dataset(client, saved, folder, modality="CT")
    images = sorted(folder.glob("images*/*"))
    images[0].write_bytes(images[0].read_bytes() + b"x")
    images[1].unlink()
    assert sorted(sentence.partition(" ")[2][:10] for sentence in verify_manifest(folder))
    assert len(verify_manifest(folder)) == 2
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace("imagesTr/", "../../imagesTr/").replace("imagesTs/", "../../imagesTs/"))
    with pytest.raises(errors.DatasetError, match="outside"):
        verify_manifest(folder)
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(errors.DatasetError, match="damaged"):
        verify_manifest(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(errors.DatasetError, match="has no manifest"):
        read_manifest(folder)


def test_the_next_image_is_written_to_a_new_file_only(client: sixpoint.Client, address: str, tmp_path: Path) -> None:
    client.datasets.create("next", labels=["liver"])
    client.datasets.add_image("next", _volume(0), case_name="case")
    output, mine = tmp_path / "next.nii.gz", tmp_path / "mine.nii.gz"
    for _ in range(2):
        assert run("sixpoint", "dataset", "next", "next", "-o", output, server=address).returncode == 0
        assert Volume.read(output).digest == _volume(0).digest
    _volume(1).write(mine)
    done = run("sixpoint", "dataset", "next", "next", "-o", mine, server=address)
    assert (done.returncode, "is there already" in done.stderr) == (3, True)
    assert Volume.read(mine).digest == _volume(1).digest
