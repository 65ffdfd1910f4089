"""A dataset as DICOM SEG: each refers to the series that its image came from, and comes back as it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

import sixpoint
from sixpoint import errors
from sixpoint._typing import Array
from sixpoint.client import DatasetLabel
from sixpoint.datasets import (
    ImportOptions,
    Layout,
    export_dataset,
    import_dataset,
    read_manifest,
    read_source,
    verify_manifest,
)
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.sixpoint.io.dicom.dicom_files import VOXELS, write_series
from tests.support.data import shared
from tests.support.orthanc import Orthanc, store_files, write_ct_series

SPLEEN = "78961009"


@pytest.fixture
def client(address: str) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(address) as client:
        yield client


def _boxes(shape: tuple[int, ...]) -> dict[str, Array]:
    """Masks of two labels that overlap, and of one that is absent."""
    masks = {name: np.zeros(shape, np.uint8) for name in ("milz", "my lesion", "kidney_left")}
    masks["milz"][2:-1, 3:9, 1:-2] = 1
    masks["my lesion"][1:4, 5:12, 2:-1] = 1
    return masks


def _save(client: sixpoint.Client, name: str, series: dict[str, Path]) -> None:
    labels = [DatasetLabel("milz", snomed_code=SPLEEN), DatasetLabel("my lesion"), DatasetLabel("kidney_left")]
    client.datasets.create(name, labels=labels)
    for case, folder in series.items():
        volume = Volume.read(folder)
        digest = client.datasets.add_image(name, volume, case_name=case).digest
        saved = client.datasets.add_masks(name, digest, _boxes(volume.array.shape))
        client.datasets.review(saved.id, "accepted")


def test_what_is_exported_comes_back_to_the_voxel(client: sixpoint.Client, tmp_path: Path, address: str) -> None:
    # A real series, another one that no SEG can refer to, and two of one geometry: the voxels say which is which.
    scans = tmp_path / "scans"
    series = {name: scans / name for name in ("ct_head_series", "ct_tiny_series")}
    for name, folder in series.items():
        shutil.copytree(shared(f"dicom/{name}"), folder)
    series |= {
        "deep": write_series(scans / "ct_tiny_series" / "deep"),
        "lost": write_series(tmp_path / "x", VOXELS + 1),
    }
    write_series(scans / "other", VOXELS + 2)
    name = "as seg"
    _save(client, name, series)
    folder = tmp_path / "out"
    command = ("sixpoint", "dataset", "export", name, folder, "--layout", "dicom-seg", "--source", scans)
    done = run(*command, server=address)
    wrote, head, lost = done.stdout.splitlines()
    assert wrote == f"wrote 2 for training to {folder}"
    assert head.startswith("left out ct_head_series: ")
    assert "FrameOfReferenceUID is missing" in head
    assert lost == "left out lost: no source has the DICOM series that its image came from, with the same voxels"
    assert verify_manifest(folder) == []
    manifest = read_manifest(folder)
    assert {case.case_name: list(case.files) for case in manifest.cases} == {
        case: [f"{case}/seg.dcm"] for case in ("ct_tiny_series", "deep")
    }
    written = pydicom.dcmread(folder / "deep" / "seg.dcm")
    image = pydicom.dcmread(next(series["deep"].iterdir()))
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID
    milz, lesion = written.SegmentSequence
    kind = milz.SegmentedPropertyTypeCodeSequence[0]
    assert (milz.SegmentLabel, kind.CodeValue, kind.CodingSchemeDesignator) == ("milz", SPLEEN, "SCT")
    assert kind.CodeMeaning == "Spleen"
    assert lesion.SegmentLabel == "my lesion"

    back = tmp_path / "back"
    for case in ("ct_tiny_series", "deep"):
        (back / case).mkdir(parents=True)
        for file in series[case].iterdir():
            if file.is_file():
                shutil.copy(file, back / case)
        shutil.copy(folder / case / "seg.dcm", back / case)
    client.datasets.create("from seg", labels=["milz", "my lesion"])
    result = import_dataset(client, "from seg", read_source(back), ImportOptions(accept=True))
    assert not result.left_out
    cases = {image.digest: image.case_name for image in client.datasets.images("from seg")}
    assert cases == {Volume.read(series[case]).digest: case for case in ("ct_tiny_series", "deep")}
    infos = client.datasets.annotations("from seg")
    assert len(infos) == 2
    for info in infos:
        masks = client.datasets.masks(info.id)
        boxes = _boxes(masks.geometry.shape)
        # What has no voxel is not in a SEG.
        assert list(info.labels) == ["milz", "my lesion"]
        assert all(np.array_equal(masks.mask(label).array, boxes[label]) for label in info.labels)


def test_the_series_may_lie_on_a_server(client: sixpoint.Client, orthanc: Orthanc, tmp_path: Path) -> None:
    pytest.importorskip("dicomweb_client")
    volume = Volume.read(write_series(tmp_path / "series"))
    written = write_ct_series(tmp_path / "sent", volume)
    store_files(orthanc, tmp_path / "sent")
    _save(client, "on a server", {"a": tmp_path / "sent"})
    source = f"dicomweb:{orthanc.url}#{written.study}"
    result = export_dataset(
        client, "on a server", tmp_path / "out", modality="", layout=Layout.DICOM_SEG, sources=[source]
    )
    assert [case.case_name for case in result.cases] == ["a"]
    made = pydicom.dcmread(tmp_path / "out" / "a" / "seg.dcm")
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == written.series


def test_what_cannot_be_written_is_refused(client: sixpoint.Client, tmp_path: Path) -> None:
    _save(client, "refused seg", {"a": write_series(tmp_path / "series")})
    (tmp_path / "empty").mkdir()
    for sources, message in (
        ([], "name the folders"),
        ([tmp_path / "nothing"], "is no folder"),
        ([tmp_path / "empty"], "no source has the DICOM series"),
    ):
        with pytest.raises(errors.DatasetError, match=message):
            export_dataset(
                client, "refused seg", tmp_path / "out", modality="", layout=Layout.DICOM_SEG, sources=sources
            )
    wrong = ("sixpoint", "dataset", "export", "refused seg", tmp_path / "out", "--modality", "CT", "--source", "x")
    assert run(*wrong).returncode == 2
