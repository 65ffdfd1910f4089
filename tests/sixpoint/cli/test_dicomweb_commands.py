"""Commands with a DICOMweb server, which is a real Orthanc."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("dicomweb_client")

from sixpoint.volume import Volume
from tests.sixpoint.cli.command_line import BOX, Run, plain
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume
from tests.support.orthanc import Orthanc, store_files, write_ct_series


def test_a_command_takes_its_image_from_the_server(
    orthanc: Orthanc, gateway: SessionGateway, tmp_path: Path, run: Run
) -> None:
    place = write_ct_series(tmp_path / "series", noisy_volume())
    store_files(orthanc, tmp_path / "series")
    for image, mask in ((tmp_path / "series", "files.nrrd"), (orthanc.address(place), "server.nrrd")):
        code, out, err = run("annotate", image, "--box", BOX, "-o", tmp_path / mask, "-s", gateway.address)
        assert code == 0, err
    assert "a series of 127.0.0.1" in out
    assert place.series not in out + err
    assert gateway.images == {Volume.read(tmp_path / "series").digest}
    code, _, err = run("annotate", f"dicomweb:{orthanc.url}#1.2", "--box", BOX, "-o", tmp_path / "a.nrrd")
    assert (code, "has no such study" in plain(err)) == (4, True)


def test_stored_files_are_those_that_the_server_says(orthanc: Orthanc, tmp_path: Path, run: Run) -> None:
    write_ct_series(tmp_path / "series", noisy_volume((12, 10, 8)))
    before, server = orthanc.count(), f"dicomweb:{orthanc.url}"
    code, out, _ = run("store", tmp_path / "series", server, "--json")
    assert (code, json.loads(out)) == (0, {"stored": 8})
    assert orthanc.count() == before + 8
    # Orthanc answers 200 for a file without UIDs, and does not store it; nor is it sent.
    path = tmp_path / "series" / "0003.dcm"
    header = pydicom.dcmread(path)
    header.SeriesInstanceUID = ""
    header.save_as(path)
    code, _, err = run("store", path, server)
    assert (code, "has no SeriesInstanceUID" in plain(err)) == (3, True)
    code, _, err = run("store", tmp_path / "series", server)
    assert (code, "2 of 8 files were stored before" in plain(err)) == (3, True)
    (tmp_path / "text.dcm").write_text("no DICOM")
    code, _, err = run("store", tmp_path / "text.dcm", server)
    assert (code, "is no DICOM file" in plain(err)) == (3, True)
    code, out, _ = run("store", tmp_path / "text.dcm", server, "--json")
    assert (code, json.loads(out)["error"]["type"]) == (3, "VolumeError")
    assert run("store", tmp_path / "series", "https://pacs.example")[0] == 2
