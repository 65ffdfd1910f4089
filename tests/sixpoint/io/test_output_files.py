"""Outputs that are inputs are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sixpoint.errors import InvalidArgument
from sixpoint.io.output_files import check_not_inputs


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(b"voxels")
    return path


def test_the_same_file_is_refused_by_any_path(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link.nii.gz").symlink_to(image)
    (tmp_path / "hard.nii.gz").hardlink_to(image)
    (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for name in (
        "ct.nii.gz",
        "./ct.nii.gz",
        f"../{tmp_path.name}/ct.nii.gz",
        "folder/ct.nii.gz",
        "link.nii.gz",
        "hard.nii.gz",
        "CT.NII.GZ",
        image,
    ):
        with pytest.raises(InvalidArgument, match=r"would overwrite the input .*choose another name"):
            check_not_inputs((None, Path(name)), (None, image))
        with pytest.raises(InvalidArgument, match="would overwrite the input"):
            check_not_inputs((image,), (Path(name),))


def test_other_files_are_allowed(image: Path, tmp_path: Path) -> None:
    (tmp_path / "old.nii.gz").write_bytes(b"mask")
    check_not_inputs((tmp_path / "old.nii.gz", tmp_path / "new.png"), (image, tmp_path / "absent.nii.gz"))
    check_not_inputs((Path("/dev/null"), Path("/dev/null")), (image,))
    check_not_inputs((), (image,))
    check_not_inputs((None, tmp_path / "mask.nii.gz"), (tmp_path, None))


def test_files_of_an_input_folder_are_inputs(image: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="would overwrite the input"):
        check_not_inputs((image,), (tmp_path,))


def test_detached_voxels_count_on_either_side(tmp_path: Path) -> None:
    (tmp_path / "ct.nhdr").write_text("NRRD0004\ntype: short\ndata file: voxels.raw\n\n")
    (tmp_path / "ct.mhd").write_text("ObjectType = Image\nElementDataFile = voxels.raw\n")
    (tmp_path / "voxels.raw").write_bytes(b"voxels")
    for header in ("ct.nhdr", "ct.mhd"):
        with pytest.raises(InvalidArgument, match="would overwrite the input"):
            check_not_inputs((tmp_path / "voxels.mhd",), (tmp_path / header,))


def test_two_outputs_in_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="the same file as the output"):
        check_not_inputs((tmp_path / "a.nii.gz", tmp_path / "A.nii.gz"), ())
