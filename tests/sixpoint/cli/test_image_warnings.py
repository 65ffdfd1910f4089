"""Images that a model is hardly made for: the commands say so before the upload, and go on."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixpoint import ImplausibleImageWarning
from sixpoint.cli.image_warnings import warnings_as_sentences
from sixpoint.v1 import model_service_pb2 as model_pb
from tests.sixpoint.cli.command_line import SIX_POINTS, Run
from tests.sixpoint.client.fake_gateway import serving
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume


@pytest.fixture
def gateway() -> Iterator[SessionGateway]:
    """A gateway with a model of CT."""
    made = SessionGateway()
    made.served_model = model_pb.Model(name="organs", task=model_pb.TASK_SEGMENTATION, modalities=["CT"])
    with serving(made):
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image whose values are no HU."""
    path = tmp_path / "image.nii.gz"
    noisy_volume().write(path)
    return path


@pytest.mark.parametrize("command", ["segment", "annotate"])
def test_a_doubtful_image_is_warned_about_on_stderr_and_in_json(
    gateway: SessionGateway, image: Path, run: Run, command: str
) -> None:
    output = image.with_name("out.nii.gz")
    prompt = ("--points", SIX_POINTS) if command == "annotate" else ()
    code, out, err = run(command, image, "-m", "organs", *prompt, "-o", output, "--json", "-s", gateway.address)
    assert code == 0, err
    (doubt,) = json.loads(out)["warnings"]
    assert doubt.startswith("no voxel of the image is below")
    assert err == f"warning: {doubt}\n"
    assert output.exists()


def test_a_plausible_image_has_no_warnings(gateway: SessionGateway, image: Path, run: Run) -> None:
    gateway.served_model = model_pb.Model(name="organs", task=model_pb.TASK_SEGMENTATION, modalities=["MR"])
    output = image.with_name("out.nii.gz")
    code, out, err = run("segment", image, "-m", "organs", "-o", output, "--json", "-s", gateway.address)
    assert (code, err, json.loads(out)["warnings"]) == (0, "", [])


def test_other_programs_print_sentences_without_their_source(capsys: pytest.CaptureFixture[str]) -> None:
    others = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: others.append(str(message))
        with warnings_as_sentences():
            warnings.warn("no voxel is below 0", ImplausibleImageWarning, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr() == ("", "warning: no voxel is below 0\n")
    assert others == ["old"]
