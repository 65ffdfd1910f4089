"""A zip of DICOM files is read as the folder that it was packed from."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sixpoint.errors import VolumeError
from sixpoint.io.dicom import zips
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import write_series
from tests.support.data import shared


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    write_series(folder)
    return folder


def _pack(target: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return target


def test_a_zip_is_the_series_in_it(series: Path, tmp_path: Path) -> None:
    whole = Volume.read(series)
    files = {f"study/{path.name}": path.read_bytes() for path in series.iterdir()}
    # What programs add, and names that lead elsewhere.
    extra = {"__MACOSX/._x": b"\0\5", "readme.txt": b"a scan", "../../outside": b"text"}
    volume = Volume.read(_pack(tmp_path / "scan.zip", files | extra))
    assert volume.digest == whole.digest
    assert not (tmp_path.parent / "outside").exists()
    assert not (tmp_path / "outside").exists()


def test_a_real_series_in_a_zip(tmp_path: Path) -> None:
    folder = shared("dicom/ct_tiny_series")
    packed = Path(shutil.make_archive(str(tmp_path / "scan"), "zip", folder))
    assert np.array_equal(Volume.read(packed).array, Volume.read(folder).array)


def test_what_is_no_zip_of_a_series_is_refused_by_the_name_of_the_zip(series: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in series.iterdir()}
    whole = _pack(tmp_path / "whole.zip", files).read_bytes()
    for content, words in (
        (whole[: len(whole) // 2], "is damaged"),
        (b"PK\x03\x04", "is damaged"),
        (_bytes({"a.txt": b"text"}), "no DICOM"),
        (_bytes({"a.zip": whole}), "no DICOM"),
    ):
        path = tmp_path / "scan.zip"
        path.write_bytes(content)
        with pytest.raises(VolumeError, match=words) as failure:
            Volume.read(path)
        assert str(path) in failure.value.message
        assert "sixpoint-" not in failure.value.message


def test_a_zip_fills_no_disk(series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = next(series.iterdir()).read_bytes()
    bomb = _pack(tmp_path / "bomb.zip", {"a.dcm": file + bytes(2**26)})
    monkeypatch.setattr(zips, "_MAX_BYTES", 2**24)
    with pytest.raises(VolumeError, match="more bytes"):
        Volume.read(bomb)
    many = _pack(tmp_path / "many.zip", {str(number): b"" for number in range(20_001)})
    with pytest.raises(VolumeError, match="20001 files"):
        Volume.read(many)


def _bytes(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, each in files.items():
            packed.writestr(name, each)
    return content.getvalue()
