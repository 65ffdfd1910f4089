"""A DeepEdit bundle, which takes clicks only: published, served and used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from typer.testing import CliRunner

import sixpoint
from gateway.server import Gateway
from sixpoint import errors
from sixpoint.cli import app
from sixpoint.geometry import Geometry
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume, write_image
from tests.exporter.bundles import deep_edit, write_bundle
from tests.exporter.command_line import run
from tests.exporter.deep_edit import by_monai
from tests.exporter.pipelines import dice
from tests.support.models import write_clicks_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton

# Two flipped axes, anisotropic voxels, and another size than the network's 32 x 32 x 32.
GEOMETRY = Geometry((40, 36, 20), spacing=(0.9, 1.0, 2.5), direction=(-1, 0, 0, 0, 1, 0, 0, 0, -1))
ADD, TAKE = (20, 17, 9), (28, 9, 12)


pytestmark = [pytest.mark.triton, pytest.mark.slow]


@dataclass
class Served:
    """A gateway that serves the bundle."""

    gateway: Gateway
    network: torch.nn.Module
    bundle: Path
    triton: str
    state: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.gateway.port}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    folder = tmp_path_factory.mktemp("deepedit")
    network = write_bundle(folder / "bundle", deep_edit())
    done = run("export", folder / "bundle", "--name", "deepedit", "--repository", folder / "exported")
    assert done.exit_code == 0, done.stderr
    repository, state = folder / "repository", folder / "state"
    write_clicks_model(repository / "clicks")
    with running_triton(repository) as triton:
        where = ("--repository", repository, "--triton", triton.address)
        done = run("publish", folder / "exported" / "deepedit", *where)
        assert done.exit_code == 0, done.stderr
        with running_gateway(triton_url=triton.address, state_folder=state) as gateway:
            yield Served(gateway, network, folder / "bundle", triton.address, state)


@pytest.fixture
def client(served: Served) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(served.address) as client:
        yield client


def noise(size: tuple[int, int, int], geometry: Geometry | None = None) -> Volume:
    """Make an image of smooth noise in Hounsfield units."""
    x, y, z = size
    values = ndimage.gaussian_filter(np.random.default_rng(3).normal(0, 1, (z, y, x)), 1.5)
    return Volume((50 + 80 * values / values.std()).astype(np.int16), geometry or Geometry(size=size))


@pytest.fixture(scope="module")
def image() -> Volume:
    return noise(GEOMETRY.size, GEOMETRY)


def test_the_mask_of_a_click_equals_that_of_deep_edit_in_monai(
    served: Served, client: sixpoint.Client, image: Volume, tmp_path: Path
) -> None:
    write_image(image.array, image.geometry, tmp_path / "image.nii.gz")
    click = (23, 14, 12)
    _, probabilities = by_monai(served.bundle, tmp_path / "image.nii.gz", served.network, [(click, True)])
    _, without = by_monai(served.bundle, tmp_path / "image.nii.gz", served.network, [])
    expected, alone = probabilities.transpose(2, 1, 0), without.transpose(2, 1, 0)
    with client.open_session(image, model="deepedit") as session:
        found = session.click(click).array > 0
    # Probabilities are stored in 255ths; the input is in half precision, which random weights amplify.
    sure = np.abs(expected - 0.5) > 0.008
    assert sure.mean() > 0.95
    assert ((alone >= 0.5) != (expected >= 0.5))[sure].mean() > 0.01, "the click matters"
    inside, _ = ndimage.label(expected >= 0.5, np.ones((3, 3, 3)))
    largest = inside == np.bincount(inside.ravel())[1:].argmax() + 1
    assert 0.1 < largest.mean() < 0.9
    # The click is obeyed, and with it the voxels of its cells.
    near = tuple(slice(index - 1, index + 2) for index in click[::-1])
    found[near] = largest[near]
    assert found[largest & sure].all()
    assert not found[(expected < 0.5) & sure].any()
    assert dice(found[largest | (expected < 0.5)], largest[largest | (expected < 0.5)]) >= 0.998


def test_clicks_are_undone_redone_and_saved(client: sixpoint.Client, image: Volume, tmp_path: Path) -> None:
    with client.open_session(image, model="deepedit") as session:
        with pytest.raises(errors.PromptNotSupported, match="'deepedit' takes clicks, scribbles, lasso; not"):
            session.annotate(
                ExtremePoints([(8, 17, 9), (31, 18, 9), (20, 7, 9), (19, 28, 9), (20, 18, 3), (21, 17, 15)])
            )
        with pytest.raises(errors.NothingToCorrect, match="start with a positive click"):
            session.click(TAKE, positive=False)
        first = session.click(ADD).array
        assert first[ADD[::-1]]
        taken = next(tuple(at) for at in np.argwhere(first)[::-1].tolist() if tuple(at) != ADD[::-1])
        second = session.click(taken[::-1], positive=False).array
        assert second[ADD[::-1]]
        assert not second[taken]
        assert np.array_equal(session.undo().array, first)
        assert np.array_equal(session.redo().array, second)
        session.undo()
        assert not session.undo().array.any()
        assert np.array_equal(session.redo().array, first)
        assert np.array_equal(session.redo().array, second)
        # Another object from two clicks in one call.
        mask = session.annotate(Click(TAKE), Click(ADD, positive=False), segment=2).array
        assert mask[TAKE[::-1]]
        assert not mask[ADD[::-1]]
        session.save(tmp_path / "labels.nii.gz")
        labels = Volume.read(tmp_path / "labels.nii.gz").array
        assert (labels[ADD[::-1]], labels[TAKE[::-1]]) == (1, 2)
        assert np.array_equal(session.reset().array, np.zeros_like(first))
        assert np.array_equal(session.click(ADD).array, first)
        # A model that needs points or a box cannot continue this object, but can begin another.
        session.use_model("clicks")
        with pytest.raises(errors.NothingToCorrect, match="a click started this object, and model 'clicks' needs"):
            session.click(TAKE)
        session.annotate(sixpoint.Box((8, 7, 3), (31, 28, 15)))
        # Clicks correct an object that a box began.
        session.use_model("deepedit")
        assert session.click(ADD).array[ADD[::-1]]


def test_another_gateway_continues_an_object_that_a_click_began(
    served: Served, client: sixpoint.Client, image: Volume
) -> None:
    clicks = [Click(ADD), Click((30, 30, 4)), Click(TAKE, positive=False), Click((5, 20, 16))]
    with client.open_session(image, model="deepedit") as straight:
        expected = [straight.annotate(click).array for click in clicks]
    begun = client.open_session(image, model="deepedit", keep=True)
    for click in clicks[:2]:
        begun.annotate(click)
    with (
        running_gateway(triton_url=served.triton, state_folder=served.state) as another,
        sixpoint.Client(f"127.0.0.1:{another.port}") as other,
    ):
        resumed = other.resume(begun.id)
        masks = [resumed.annotate(click).array for click in clicks[2:]]
        undone = [resumed.undo().array for _ in range(3)]
        branch = resumed.fork(segment=1, step=1)
        branched = branch.annotate(clicks[1]).array
    assert all(map(np.array_equal, [*masks, *undone, branched], [*expected[2:], *expected[2::-1], expected[1]]))
    begun.close()


def test_the_command_line_begins_with_a_click(served: Served, image: Volume, tmp_path: Path) -> None:
    write_image(image.array, image.geometry, tmp_path / "image.nii.gz")
    command = [
        "annotate",
        str(tmp_path / "image.nii.gz"),
        "-o",
        str(tmp_path / "mask.nii.gz"),
        "--server",
        served.address,
    ]
    clicks = ["--click", "+20,17,9", "--click", "-28,9,12"]
    done = CliRunner().invoke(app, [*command, "--model", "deepedit", *clicks, "--preview", str(tmp_path / "p.png")])
    assert done.exit_code == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("click")] == [
        ["click", "1"],
        ["click", "2"],
    ]
    mask = Volume.read(tmp_path / "mask.nii.gz").array
    assert (mask[9, 17, 20], mask[12, 9, 28]) == (1, 0)
    done = CliRunner().invoke(app, [*command, "--model", "deepedit", *clicks, "--json"])
    facts = json.loads(done.stdout)
    assert (facts["points"], facts["clicks"]) == (0, 2)
    assert [one["prompt"] for one in facts["answers"]] == ["positive click", "negative click"]
    # Without a click nothing begins the object. A model that needs points or a box refuses clicks.
    assert CliRunner().invoke(app, [*command, "--model", "deepedit"]).exit_code == 2
    with pytest.raises(errors.NothingToCorrect, match="start with extreme points"):
        CliRunner().invoke(app, [*command, "--model", "clicks", *clicks], catch_exceptions=False)
