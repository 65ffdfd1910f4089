"""``sixpoint phantom``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sixpoint.cli import app
from sixpoint.errors import InvalidArgument
from sixpoint.phantom import ORGANS, Phantom, make_phantom
from sixpoint.phantom.coil import COIL
from sixpoint.prompts import read_points
from sixpoint.volume import Volume
from tests.sixpoint.cli.command_line import plain


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``sixpoint phantom`` writes, into a folder that it makes."""
    target = tmp_path_factory.mktemp("phantom") / "new" / "ct"
    result = CliRunner().invoke(app, ["phantom", str(target)])
    assert result.exit_code == 0, result.output
    assert "wrote image.nii.gz, labels.nii.gz" in plain(result.output)
    return target


@pytest.fixture(scope="module")
def made() -> Phantom:
    return make_phantom(seed=6)


def test_the_files_of_the_phantom_hold_the_phantom(folder: Path, made: Phantom) -> None:
    for name, volume in (("image", made.image), ("labels", made.labels)):
        back = Volume.read(folder / f"{name}.nii.gz")
        assert back.array.dtype == volume.array.dtype
        assert np.array_equal(back.array, volume.array)
        assert back.geometry.same_grid(volume.geometry)


def test_the_phantom_has_one_points_file_per_organ(folder: Path) -> None:
    expected = {"image.nii.gz", "labels.nii.gz", *(f"{organ}.json" for organ in ORGANS)}
    assert {path.name for path in folder.iterdir()} == expected


@pytest.mark.parametrize("organ", ORGANS)
def test_the_points_of_the_phantom_are_extremes_of_its_organs(folder: Path, organ: str) -> None:
    labels = Volume.read(folder / "labels.nii.gz")
    index = read_points(folder / f"{organ}.json").to_index(labels.geometry)
    assert index.shape == (6, 3)
    inside = np.argwhere(labels.array == ORGANS[organ])[:, ::-1]
    assert all(labels.array[z, y, x] == ORGANS[organ] for x, y, z in index.astype(int))
    assert np.array_equal(index.min(axis=0), inside.min(axis=0))
    assert np.array_equal(index.max(axis=0), inside.max(axis=0))


def test_a_phantom_is_a_function_of_its_seed(made: Phantom) -> None:
    again, other = make_phantom(seed=6), make_phantom(seed=7)
    assert (again.image.digest, again.labels.digest) == (made.image.digest, made.labels.digest)
    assert other.image.digest != made.image.digest


@pytest.mark.parametrize("coils", [0, 1])
def test_a_file_that_is_there_is_not_replaced(tmp_path: Path, coils: int) -> None:
    target, arguments = tmp_path / "ct", ["--seed", "3", "--coils", "1"] if coils else []
    mine = (target / f"{COIL}-003" if coils else target) / "image.nii.gz"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"a scan of mine")
    refused = CliRunner().invoke(app, ["phantom", str(target), *arguments])
    assert isinstance(refused.exception, InvalidArgument)
    assert "image.nii.gz" in refused.exception.message
    assert "--force" in refused.exception.message
    # All or nothing.
    assert [path.read_bytes() for path in target.rglob("*") if path.is_file()] == [b"a scan of mine"]
    assert CliRunner().invoke(app, ["phantom", str(target), *arguments, "--force"]).exit_code == 0
    Volume.read(mine)
    # What is there already is no other file.
    assert CliRunner().invoke(app, ["phantom", str(target), *arguments]).exit_code == 0
