"""What the commands say about an image's file: once, on stderr and in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.sixpoint.cli.command_line import SIX_POINTS, Run, plain
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume, write_without_position


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file without a position in the patient."""
    return write_without_position(tmp_path / "image.nii.gz")


@pytest.mark.parametrize("command", ["segment", "annotate"])
def test_a_note_is_printed_once_and_is_in_json(gateway: SessionGateway, image: Path, run: Run, command: str) -> None:
    prompt = ("--points", SIX_POINTS, "--click", "+20,18,16") if command == "annotate" else ()
    output = image.with_name("out.nii.gz")
    code, out, err = run(command, image, "-m", "organs", *prompt, "-o", output, "--json", "-s", gateway.address)
    assert code == 0, err
    (note,) = json.loads(out)["notes"]
    assert note.startswith(f"{image}: its header gives no position in the patient")
    assert err == f"note: {note}\n"


@pytest.mark.parametrize(("suffix", "noted"), [(".nii.gz", True), (".nii", True), (".nrrd", False)])
def test_a_nifti_mask_without_the_image_is_said_to_lack_the_header_of_the_image(
    gateway: SessionGateway, tmp_path: Path, run: Run, suffix: str, noted: bool
) -> None:
    gateway.images.add(noisy_volume().digest)
    output = tmp_path / f"out{suffix}"
    code, out, err = run("resume", "s1", "-o", output, "--json", "-s", gateway.address)
    assert code == 0, err
    notes = json.loads(out)["notes"]
    assert err == "".join(f"note: {note}\n" for note in notes)
    assert [note.startswith(f"{output} has the position that the gateway stores") for note in notes] == [True] * noted
    assert all("--image FILE copies them" in note for note in notes)


def test_a_nifti_mask_with_the_image_has_the_header_of_the_image(
    gateway: SessionGateway, tmp_path: Path, run: Run
) -> None:
    source, output = tmp_path / "image.nii", tmp_path / "out.nii"
    volume = noisy_volume()
    volume.write(source)
    content = bytearray(source.read_bytes())
    # qform_code and sform_code.
    content[252:256] = b"\x02\0\x04\0"
    source.write_bytes(content)
    code, out, err = run("resume", "s1", "--image", source, "-o", output, "--json", "-s", gateway.address)
    assert (code, err, json.loads(out)["notes"]) == (0, "", [])
    assert output.read_bytes()[252:328] == source.read_bytes()[252:328]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_an_image_of_nan_is_refused_by_name_before_the_gateway_is_asked(tmp_path: Path, run: Run, suffix: str) -> None:
    volume = noisy_volume(dtype="float32")
    volume.array[:] = np.nan
    image = tmp_path / f"image{suffix}"
    volume.write(image)
    code, _, err = run("segment", image, "-m", "organs", "-o", tmp_path / "out.nii.gz", "-s", "127.0.0.1:1")
    assert code == 3
    assert f"{image}: all voxels of the image are NaN or infinite" in plain(err)
