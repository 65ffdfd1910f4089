"""What people give by mistake: pipes, devices, folders, files that were cut off. Refused in words about their path."""

from __future__ import annotations

import errno
import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sixpoint.errors import VolumeError
from sixpoint.io import IMAGE_SUFFIXES, is_dicom
from sixpoint.volume import Volume
from tests.sixpoint.io.dicom.dicom_files import write_series
from tests.sixpoint.volumes import OBLIQUE, noise, on_unit_grid

# Parts of messages that a person cannot use.
FOREIGN = re.compile(r"itk|gdcm|pydicom|/sixpoint-|not a gzipped file|end-of-stream|Errno|Exception", re.IGNORECASE)


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "x.nii")
    return folder / "x.nii"


def loop(folder: Path) -> Path:
    (folder / "x.nii").symlink_to("x.nii")
    return folder / "x.nii"


def empty_folder(folder: Path) -> Path:
    (folder / "x").mkdir()
    return folder / "x"


def folder_of_other_files(folder: Path) -> Path:
    (folder / "x").mkdir()
    (folder / "x" / "notes.txt").write_text("no image")
    os.mkfifo(folder / "x" / "pipe.dcm")
    (folder / "x" / "loop.dcm").symlink_to("loop.dcm")
    on_unit_grid(noise(OBLIQUE)).write(folder / "x" / "image.nii.gz")
    return folder / "x"


def folder_named_like_a_file(folder: Path) -> Path:
    (folder / "x.nii.gz").mkdir()
    return folder / "x.nii.gz"


def picture(folder: Path) -> Path:
    (folder / "x.nii.gz").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    return folder / "x.nii.gz"


def packed_picture(folder: Path) -> Path:
    (folder / "x.nii.gz").write_bytes(gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(500)))
    return folder / "x.nii.gz"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (fifo, "is a device or a pipe, expected a file"),
        (lambda folder: Path("/dev/null"), "is a device or a pipe, expected a file"),
        (lambda folder: Path("/dev/zero"), "is a device or a pipe, expected a file"),
        (loop, "no such file or folder"),
        (lambda folder: folder / "a\0b.nii", "no such file or folder"),
        (lambda folder: folder / f"{'x' * 300}.nii", "cannot be read: File name too long"),
        (empty_folder, "holds no DICOM image"),
        (folder_of_other_files, "holds no DICOM image"),
        (folder_named_like_a_file, "holds no DICOM image"),
        (picture, "its header is that of another format or damaged"),
        (packed_picture, "its header is that of another format or damaged"),
    ],
)
def test_a_path_to_no_image_is_refused(tmp_path: Path, make: Callable[[Path], Path], complaint: str) -> None:
    path = make(tmp_path)
    with pytest.raises(VolumeError, match=complaint) as caught:
        Volume.read(path)
    assert str(path) in caught.value.message
    assert not FOREIGN.search(caught.value.message)


def test_a_path_that_may_not_be_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "stat", stat)
    for read in (Volume.read, is_dicom):
        with pytest.raises(VolumeError, match=r"x\.nii cannot be read: Permission denied"):
            read(tmp_path / "x.nii")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_file_that_was_cut_anywhere_is_read_whole_or_refused(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    volume = on_unit_grid(noise(OBLIQUE))
    volume.write(tmp_path / f"image{suffix}")
    content = (tmp_path / f"image{suffix}").read_bytes()
    for length in range(0, len(content), 1 + len(content) // 400):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content[:length])
        try:
            read = Volume.read(path)
        except VolumeError as error:
            message = error.message.replace(str(tmp_path), "")
            assert message.startswith(f"/cut{suffix}")
            assert not FOREIGN.search(message)
        else:
            # The line end of a header with voxels beside it.
            assert read.digest == volume.digest
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("error")
def test_a_dicom_file_that_was_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = sorted(write_series(tmp_path / "series").iterdir())[0].read_bytes()
    path = tmp_path / "cut.dcm"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(VolumeError) as caught:
            Volume.read(path, spacing=(0.8, 1.1, 5))
        assert caught.value.message.startswith(str(path))
        assert not FOREIGN.search(caught.value.message.replace(str(tmp_path), ""))


def test_a_pipe_among_the_slices_is_left_out(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    expected = Volume.read(folder)
    os.mkfifo(folder / "pipe.dcm")
    assert np.array_equal(Volume.read(folder).array, expected.array)
