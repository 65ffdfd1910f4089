"""Outputs that cannot be written are refused before the image is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sixpoint.cli.common import check_outputs
from sixpoint.errors import InvalidArgument
from sixpoint.volume import Volume
from tests.sixpoint.cli.command_line import SIX_POINTS, Run
from tests.sixpoint.client.session_gateway import SessionGateway
from tests.support.images import noisy_volume


@pytest.mark.parametrize(
    ("output", "preview", "message"),
    [
        ("mask.png", "picture.png", "its suffix must be one of"),
        ("file/mask.nii.gz", "picture.png", "Not a directory"),
        ("folder.nii.gz", "picture.png", "Is a directory"),
        ("mask.nii.gz", "file/new/picture.png", "Not a directory"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [("annotate", "absent.nii.gz", "-p", SIX_POINTS), ("segment", "absent.nii.gz", "-m", "any"), ("resume", "any")],
)
def test_outputs_that_cannot_be_written_are_refused_at_once(
    command: tuple[str, ...], output: str, preview: str, message: str, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.nii.gz").mkdir()
    image = ("--image", tmp_path / "absent.nii.gz") if command[0] == "resume" else ()
    code, _, err = run(*command, "-o", tmp_path / output, "--preview", tmp_path / preview, *image)
    assert code == 3
    assert f"cannot write {tmp_path}" in err
    assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.nii.gz"]


@pytest.mark.parametrize(
    ("output", "message"),
    [("x" * 300 + "/mask.nii.gz", "File name too long"), ("mask.nii.gz", "Permission denied")],
    ids=["a name that is too long", "a picture that is read-only"],
)
def test_an_error_of_the_file_system_is_one_line(
    output: str, message: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "picture.png"
    picture.touch()
    # Of root, whom nothing is refused, this would not be said.
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (picture, os.W_OK))
    code, _, err = run("annotate", "absent.nii.gz", "-p", SIX_POINTS, "-o", tmp_path / output, "--preview", picture)
    assert code == 3
    assert message in err


def test_a_preview_may_be_a_device(tmp_path: Path, run: Run) -> None:
    code, _, err = run(
        "annotate",
        tmp_path / "absent.nii.gz",
        "-p",
        SIX_POINTS,
        "-o",
        tmp_path / "mask.nii.gz",
        "--preview",
        "/dev/null",
    )
    assert code == 3
    assert "absent.nii.gz" in err


@pytest.mark.parametrize(
    ("command", "inputs"),
    [
        (["annotate", "ct.nii.gz", "-p", SIX_POINTS], ["ct.nii.gz"]),
        (["annotate", "ct.nii.gz", "-f", "points.json"], ["ct.nii.gz", "points.json"]),
        (["annotate", "ct.nii.gz", "--mask", "old.nii.gz:3"], ["ct.nii.gz", "old.nii.gz"]),
        (["annotate", "ct.nii.gz", "--mask", "old.nii.gz"], ["ct.nii.gz", "old.nii.gz"]),
        (["segment", "ct.nii.gz", "-m", "any"], ["ct.nii.gz"]),
        (["resume", "any", "--image", "ct.nii.gz", "-f", "points.json"], ["ct.nii.gz", "points.json"]),
        (["resume", "any", "--image", "ct.nii.gz", "--mask", "old.nii.gz:3"], ["ct.nii.gz", "old.nii.gz"]),
    ],
)
def test_an_output_that_is_an_input_is_refused_and_the_input_stays(
    command: list[str], inputs: list[str], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    volume = noisy_volume()
    volume.write("ct.nii.gz")
    Volume((volume.array > 0).astype("uint8") * 3, volume.geometry).write("old.nii.gz")
    Path("points.json").write_text(json.dumps({"points": [list(map(int, p.split(","))) for p in SIX_POINTS.split()]}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in inputs:
        for options in (["-o", name], ["-o", "mask.nii.gz", "--preview", name]):
            code, _, err = run(*command, *options)
            assert code == 3
            assert f"cannot write {name}: it would overwrite the input {name}" in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "command", [["segment", "ct.nii.gz", "-m", "m"], ["resume", "s", "--image", "ct.nii.gz", "--preview", "p.png"]]
)
def test_names_do_not_replace_another_file(
    command: list[str], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    noisy_volume().write("ct.nii.gz")
    Path("ct_mask.json").write_text('{"EchoTime": 3}')
    code, _, err = run(*command, "-o", "ct_mask.nii.gz", "--names")
    assert code == 3
    assert "cannot write the names of the labels to ct_mask.json: it is there, and holds something else" in err
    assert Path("ct_mask.json").read_text() == '{"EchoTime": 3}'


def test_names_do_not_replace_an_input(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"points": [1, 2, 3]}')
    check_outputs(tmp_path / "labels.nii.gz", None, inputs=(path,))
    path.write_text('{"1": "liver"}')
    check_outputs(tmp_path / "labels.seg.nrrd", None, inputs=(path,), names=True)
    with pytest.raises(InvalidArgument, match=r"cannot write .*labels\.json: it would overwrite the input"):
        check_outputs(tmp_path / "labels.nii.gz", None, inputs=(path,), names=True)


def test_the_name_of_the_object_is_given_before_its_prompts_and_is_in_the_file(
    gateway: SessionGateway, tmp_path: Path, run: Run
) -> None:
    image, output = tmp_path / "ct.nii.gz", tmp_path / "out.seg.nrrd"
    noisy_volume().write(image)
    given = ("annotate", image, "-p", SIX_POINTS, "-o", output, "--name", "spleen", "-s", gateway.address)
    assert run(*given)[0] == 0
    assert gateway.calls.index("UpdateSession") < gateway.calls.index("Annotate")
    assert b"Segment0_Name:=spleen" in output.read_bytes()
    gateway.calls.clear()
    gateway.failures["UpdateSession"] = InvalidArgument("too long a name")
    assert run(*given)[0] == 3
    assert "Annotate" not in gateway.calls


def test_a_report_replaces_no_image(tmp_path: Path, run: Run) -> None:
    image = tmp_path / "ct.nii.gz"
    image.write_bytes(b"voxels")
    code, out, err = run("dataset", "report", "abdomen", "-o", image)
    assert (code, out, "ends in .html" in err) == (3, "", True)
    assert image.read_bytes() == b"voxels"
