"""Options of the command line about DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer

from sixpoint.cli.common import read_image
from tests.sixpoint.cli.command_line import BOX, Run, plain
from tests.sixpoint.io.dicom.dicom_files import ORIGIN, SPACING, VOXELS, write_series


def test_a_spacing_is_asked_for_and_taken(tmp_path: Path, run: Run) -> None:
    folder = write_series(tmp_path / "series", VOXELS[:1])
    code, _, err = run("annotate", folder, "-b", BOX, "-o", tmp_path / "mask.nii.gz")
    assert code == 3
    assert "--spacing X,Y,Z" in plain(err)
    volume = read_image(folder, spacing="0.8, 1.1,5", series=None)
    assert (volume.geometry.spacing, volume.geometry.origin) == ((0.8, 1.1, 5), ORIGIN)


@pytest.mark.parametrize("spacing", ["1 1 1", "a,b,c", ","])
def test_a_spacing_that_is_no_numbers_is_a_usage_error(tmp_path: Path, spacing: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected X,Y,Z in mm"):
        read_image(tmp_path, spacing=spacing, series=None)


def test_a_series_is_chosen(tmp_path: Path, run: Run) -> None:
    folder = write_series(tmp_path / "series", series=1)
    write_series(folder, VOXELS[:5], series=2)
    code, _, err = run("annotate", folder, "-b", BOX, "-o", tmp_path / "mask.nii.gz")
    assert code == 3
    assert "2: CT, series number 2, 5 slices" in plain(err)
    volume = read_image(folder, spacing="", series=2)
    assert np.array_equal(volume.array, VOXELS[:5])
    assert volume.geometry.spacing == SPACING
