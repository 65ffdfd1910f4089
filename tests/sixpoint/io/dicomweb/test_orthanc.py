"""Images from a real Orthanc, and files stored there."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("dicomweb_client")

from sixpoint.errors import NotFound, ResourceExhausted, SixpointError, Unauthenticated, Unavailable, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.dicomweb.connection import connect
from sixpoint.io.dicomweb.server import DicomwebLimits, DicomwebServer
from sixpoint.mask import Mask, unpack
from sixpoint.prompts import InitialMask
from sixpoint.volume import Volume
from tests.support.images import noisy_volume
from tests.support.orthanc import PATIENT, Orthanc, StoredSeries, running_orthanc, store_files, write_ct_series

OBLIQUE = Volume(
    noisy_volume((12, 10, 8)).array,
    Geometry(
        size=(12, 10, 8),
        spacing=(0.7, 0.9, 2.5),
        origin=(12.5, -80, 33),
        direction=(0, 0.6, 0.8, -1, 0, 0, 0, -0.8, 0.6),
    ),
)


@pytest.fixture(scope="module")
def stored(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> dict[str, StoredSeries]:
    """A study with two series, one of them compressed, and a study with one."""
    folder = tmp_path_factory.mktemp("series")
    first = write_ct_series(folder / "first", OBLIQUE)
    second = write_ct_series(folder / "second", OBLIQUE, study=first.study, number=2, jpeg2000=True)
    alone = write_ct_series(folder / "alone", OBLIQUE)
    for name in ("first", "second", "alone"):
        store_files(orthanc, folder / name)
    return {"plain": first, "JPEG 2000": second, "alone": alone}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files; nothing may be left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["plain", "JPEG 2000"])
def test_a_series_is_read_as_its_files_are(
    orthanc: Orthanc, stored: dict[str, StoredSeries], temporary: Path, name: str
) -> None:
    calls = list[tuple[int, int]]()
    volume = Volume.read(orthanc.address(stored[name]), progress=lambda *each: calls.append(each))
    assert volume.array.tolist() == OBLIQUE.array.tolist()
    for name in ("spacing", "origin", "direction"):
        assert getattr(volume.geometry, name) == pytest.approx(getattr(OBLIQUE.geometry, name))
    assert volume.modality == "CT"
    assert calls == [(count, 8) for count in range(1, 9)]


def test_a_study_lists_its_series(orthanc: Orthanc, stored: dict[str, StoredSeries], temporary: Path) -> None:
    study = f"dicomweb:{orthanc.url}#{stored['plain'].study}"
    with pytest.raises(VolumeError) as failure:
        Volume.read(study)
    listed = "1: CT, series number 1, 8 files; 2: CT, series number 2, 8 files"
    assert failure.value.message.startswith("the study has 2 series; choose one with --series N (series=N), ")
    assert failure.value.message.endswith(listed)
    assert Volume.read(study, series=2).digest == Volume.read(Path(orthanc.address(stored["JPEG 2000"]))).digest
    Volume.read(f"dicomweb:{orthanc.url}#{stored['alone'].study}")
    with pytest.raises(VolumeError, match="no series 3"):
        Volume.read(study, series=3)


def test_what_is_not_there_is_said_without_uids_and_names(
    orthanc: Orthanc, stored: dict[str, StoredSeries], temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    study = stored["plain"].study
    for place, kind in (
        (f"{orthanc.url}#1.2.3", NotFound),
        (f"{orthanc.url}#{study}/1.2.3", VolumeError),
        (f"{orthanc.url}#{study}", VolumeError),
        (f"{orthanc.rest}/instances#{study}", SixpointError),
        (f"{orthanc.rest}/system#{study}", SixpointError),
        (f"http://127.0.0.1:1#{study}", Unavailable),
    ):
        with pytest.raises(kind) as failure:
            Volume.read(f"dicomweb:{place}")
        assert study not in failure.value.message
        assert "1.2.3" not in failure.value.message
    Volume.read(orthanc.address(stored["plain"]))
    for secret in (study, stored["plain"].series, PATIENT, "1.2.3"):
        assert secret not in caplog.text


def test_errors_of_the_reader_name_the_series(orthanc: Orthanc, tmp_path: Path, temporary: Path) -> None:
    place = write_ct_series(tmp_path / "gap", OBLIQUE)
    (tmp_path / "gap" / "0004.dcm").unlink()
    store_files(orthanc, tmp_path / "gap")
    with pytest.raises(VolumeError, match=r"^the DICOMweb series: .* unevenly spaced"):
        Volume.read(orthanc.address(place))


def test_what_is_taken_is_bounded(orthanc: Orthanc, stored: dict[str, StoredSeries], tmp_path: Path) -> None:
    place = stored["plain"]
    for limits, words in (
        (DicomwebLimits(instances=7), "7 files"),
        (DicomwebLimits(max_bytes=2000), "more than 0 MiB"),
    ):
        with DicomwebServer(orthanc.url, limits=limits) as server, pytest.raises(ResourceExhausted, match=words):
            server.download(place.study, place.series, tmp_path)


def test_a_server_asks_who_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place = write_ct_series(tmp_path / "series", OBLIQUE)
    with running_orthanc(tmp_path / "orthanc", credentials="ada:s3cret") as guarded:
        store_files(guarded, tmp_path / "series")
        with pytest.raises(Unauthenticated, match="SIXPOINT_DICOMWEB_TOKEN_FILE"):
            Volume.read(guarded.address(place))
        monkeypatch.setenv("SIXPOINT_DICOMWEB_TOKEN", "ada:wrong")
        with pytest.raises(Unauthenticated) as failure:
            Volume.read(guarded.address(place))
        assert "wrong" not in failure.value.message
        monkeypatch.setenv("SIXPOINT_DICOMWEB_TOKEN", "ada:s3cret")
        assert Volume.read(guarded.address(place)).geometry.size == OBLIQUE.geometry.size
        monkeypatch.delenv("SIXPOINT_DICOMWEB_TOKEN")
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password s3cret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert Volume.read(guarded.address(place)).geometry.size == OBLIQUE.geometry.size
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_a_mask_of_a_stored_series_is_saved_as_dicom_and_stored_beside_it(
    orthanc: Orthanc, stored: dict[str, StoredSeries], temporary: Path, tmp_path: Path, kind: Any
) -> None:
    volume = Volume.read(orthanc.address(stored["JPEG 2000"]))
    mask = Mask((volume.array > 0).astype(np.uint8), volume.geometry, image_digest=volume.digest)
    mask.save(tmp_path / "mask.dcm", dicom=kind)
    saved = InitialMask.read(tmp_path / "mask.dcm").on_grid(volume.geometry)
    assert np.array_equal(unpack(saved.packed, volume.geometry.size), mask.array)
    with connect(orthanc.url) as server:
        server.store(tmp_path / "mask.dcm")
        modality = "SEG" if kind == "seg" else "RTSTRUCT"
        assert f"{modality}, " in " ".join(entry.describe() for entry in server.series(stored["JPEG 2000"].study))
    mask.save(tmp_path / "again.dcm", source=orthanc.address(stored["JPEG 2000"]))
    with pytest.raises(VolumeError, match="the DICOMweb series does not hold the image"):
        Mask(mask.array, volume.geometry, image_digest="0" * 64).save(
            tmp_path / "other.dcm", source=orthanc.address(stored["JPEG 2000"])
        )
