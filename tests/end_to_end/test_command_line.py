"""``sixpoint annotate``, ``models`` and ``segment`` against a real gateway."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import sixpoint
from tests.end_to_end.command_line import run
from tests.support.ports import free_port


def points_of(phantom: Path, organ: str) -> list[list[float]]:
    points: list[list[float]] = json.loads((phantom / f"{organ}.json").read_text())["points"]
    return points


def test_models_are_listed(server: str) -> None:
    done = run("sixpoint", "models", server=server)
    assert done.returncode == 0, done.stderr
    assert "annotation" in done.stdout
    names = [model["name"] for model in json.loads(run("sixpoint", "models", "--json", server=server).stdout)]
    assert {"annotation", "ellipsoid"} <= set(names)


def test_points_in_every_format_give_the_same_mask(server: str, phantom: Path, tmp_path: Path) -> None:
    voxel = points_of(phantom, "liver")
    geometry = sixpoint.Volume.read(phantom / "image.nii.gz").geometry
    lps = geometry.index_to_point(voxel)
    markup = {
        "markups": [
            {
                "type": "Fiducial",
                "coordinateSystem": "LPS",
                "controlPoints": [{"position": list(point), "positionStatus": "defined"} for point in lps],
            }
        ]
    }
    (tmp_path / "points.mrk.json").write_text(json.dumps(markup))
    (tmp_path / "points.csv").write_text("x,y,z\n" + "\n".join(",".join(map(str, point)) for point in voxel))
    (tmp_path / "points.json").write_text(json.dumps({"frame": "lps", "points": lps.tolist()}))
    forms: dict[str, list[object]] = {
        "typed.nii.gz": ["--points", " ".join(",".join(map(str, point)) for point in voxel)],
        "lps.nrrd": ["--frame", "lps", "--points", " ".join(",".join(map(str, point)) for point in lps)],
        "ras.mha": ["--frame", "ras", "--points", " ".join(",".join(map(str, p)) for p in lps * [-1, -1, 1])],
        "markup.nii": ["--points-file", tmp_path / "points.mrk.json"],
        "table.nii.gz": ["--points-file", tmp_path / "points.csv"],
        "plain.nii.gz": ["--points-file", tmp_path / "points.json"],
    }
    masks = []
    for name, options in forms.items():
        done = run("sixpoint", "annotate", phantom / "image.nii.gz", *options, "-o", tmp_path / name, server=server)
        assert done.returncode == 0, done.stderr
        masks.append(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))))
    assert masks[0].sum() > 1000
    assert all(np.array_equal(masks[0], mask) for mask in masks[1:])


def test_json_and_a_preview_are_written(server: str, phantom: Path, tmp_path: Path) -> None:
    options = ["-f", phantom / "spleen.json", "-o", tmp_path / "s.nii.gz", "--preview", tmp_path / "s.png", "--json"]
    done = run("sixpoint", "annotate", phantom / "image.nii.gz", *options, server=server)
    facts = json.loads(done.stdout)
    assert facts["model"] == "annotation"
    assert facts["points"] == 6
    assert facts["volume_ml"] > 10
    assert {"upload_ms", "preprocess_ms", "inference_ms", "postprocess_ms", "reply_ms"} <= set(facts)
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_the_files_are_named_and_times_only_where_asked_for(server: str, phantom: Path, tmp_path: Path) -> None:
    mask, picture = tmp_path / "s [1].nrrd", tmp_path / "s.png"
    given = ("sixpoint", "annotate", phantom / "image.nii.gz", "-f", phantom / "spleen.json", "-o", mask)
    done = run(*given, "--preview", picture, "--name", "spleen", "--keep", server=server)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"wrote {mask} and {picture}"
    assert not re.search(r"\d (ms|bytes)\b", done.stdout)
    command = re.search(r"to continue +(.+)", done.stdout)
    assert command
    program, *arguments = shlex.split(command[1].strip())
    resumed = json.loads(run(program, *arguments, "--json", server=server).stdout)
    assert [segment["name"] for segment in resumed["segments"]] == ["spleen"]
    # The default of the shell is another gateway here: the command that is printed says which.
    done = run(*given, "--keep", "--verbose", "--server", server)
    assert len(re.findall(r"\d (?:ms|bytes)\b", done.stdout)) == 6
    command = re.search(r"to continue +(.+)", done.stdout)
    assert command
    program, *arguments = shlex.split(command[1].strip())
    assert run(program, *arguments).returncode == 0


def test_clicks_correct_the_mask_in_order(server: str, phantom: Path, tmp_path: Path) -> None:
    volume = sixpoint.Volume.read(phantom / "image.nii.gz")
    liver = sixpoint.Volume.read(phantom / "labels.nii.gz").array == 1
    added, taken = (tuple(np.argwhere(where)[0, ::-1].tolist()) for where in (~liver, liver))
    lps = volume.geometry.index_to_point([added, taken]).tolist()
    corners = sixpoint.ExtremePoints.of_mask(liver).points
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    box = " ".join(",".join(map(str, corner)) for corner in volume.geometry.index_to_point([low, high]).tolist())
    masks = []
    forms: dict[str, list[object]] = {
        "voxel": [
            "-f",
            phantom / "liver.json",
            "-c",
            f"+{added[0]},{added[1]},{added[2]}",
            "-c",
            "-{},{},{}".format(*taken),
        ],
        "lps": ["-b", box, "--frame", "lps", "-c", "+{},{},{}".format(*lps[0]), "-c", "-{},{},{}".format(*lps[1])],
    }
    for name, options in forms.items():
        output = tmp_path / f"{name}.nii.gz"
        more = ["-m", "clicks", "-o", output, "--preview", tmp_path / "p.png", "--json"]
        done = run("sixpoint", "annotate", phantom / "image.nii.gz", *options, *more, server=server)
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert [answer["prompt"] for answer in facts["answers"][1:]] == ["positive click", "negative click"]
        assert facts["clicks"] == 2
        masks.append(sixpoint.Volume.read(output).array)
        assert (masks[-1][added[::-1]], masks[-1][taken[::-1]]) == (1, 0)
    # The points and their box give the same ellipsoid.
    assert np.array_equal(masks[0], masks[1])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--points", "1,2,3 4,5,6"], 3, "got 2"),
        (["--points", "900,1,1 " * 6], 3, "outside the image"),
        (["--points", "1,2 3,4"], 3, "three numbers"),
        (["--points", "1,2,3 " * 6, "--frame", "mm"], 3, "unknown frame"),
        (["--points", "1,1,5 9,1,5 1,9,5 9,9,5 5,5,5 6,6,5"], 3, "in one plane"),
        (["--points-file", "missing.mrk.json"], 3, "cannot read points"),
        (["-f", "LIVER", "--model", "liver"], 4, "there are: "),
        (["-f", "LIVER", "--model", "ellipsoid", "-c", "+1,2,3"], 5, "takes extreme_points; not clicks"),
        (["-f", "LIVER", "-c", "1,2,3"], 3, "expected + (positive click)"),
        (["-f", "LIVER", "-c", "+900,2,3"], 3, "the click lies outside the image"),
        (["-f", "LIVER", "-o", "mask.png"], 3, "its suffix must be one of"),
        ([], 2, "--points"),
    ],
)
def test_a_mistake_gives_one_line_and_an_exit_code(
    server: str, phantom: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    given = [phantom / "liver.json" if argument == "LIVER" else argument for argument in arguments]
    output = ["-o", tmp_path / "mask.nii.gz"] if "-o" not in given else []
    done = run("sixpoint", "annotate", phantom / "image.nii.gz", *given, *output, server=server)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.nii.gz", b"", "is empty"),
        ("broken.nii.gz", b"not an image", "is truncated"),
        ("image.jpg", b"x", "of no known kind"),
    ],
)
def test_files_that_are_not_images_are_refused(
    server: str, phantom: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = run("sixpoint", "annotate", tmp_path / name, "-f", phantom / "liver.json", "-o", "m.nii.gz", server=server)
    assert done.returncode == 3
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30, 25)])
def test_images_of_two_or_four_dimensions_are_refused(
    server: str, phantom: Path, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.int16), isVector=False), str(tmp_path / "odd.nii.gz"))
    done = run(
        "sixpoint", "annotate", tmp_path / "odd.nii.gz", "-f", phantom / "liver.json", "-o", "m.nii", server=server
    )
    assert done.returncode == 3
    assert f"{len(shape)}D" in done.stderr


def test_without_a_gateway_the_message_says_what_to_do() -> None:
    done = run("sixpoint", "models", server=f"127.0.0.1:{free_port()}")
    assert done.returncode == 7
    assert "make serve" in done.stderr


def test_a_segmentation_is_written_and_one_label_corrected(server: str, phantom: Path, tmp_path: Path) -> None:
    labels, picture = tmp_path / "labels.nii.gz", tmp_path / "labels.png"
    # Made for brains, the model sees something in a part of the phantom, too.
    whole = sixpoint.Volume.read(phantom / "image.nii.gz")
    array = np.ascontiguousarray(whole.array[:30, 20:60, 20:60])
    sixpoint.Volume(array, sixpoint.Geometry(size=(40, 40, 30))).write(tmp_path / "part.nii.gz")
    given = ("sixpoint", "segment", tmp_path / "part.nii.gz", "-m", "segmentation_hippocampus", "-o", labels)
    done = run(*given, "--preview", picture, "--json", server=server)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    (doubt,) = facts["warnings"]
    assert "as CT in HU has them, and the model is made for MR" in doubt
    assert done.stderr.splitlines()[0] == f"warning: {doubt}"
    assert [(one["number"], one["name"]) for one in facts["labels"]] == [(1, "anterior"), (2, "posterior")]
    written = sixpoint.Volume.read(labels)
    for one in facts["labels"]:
        assert one["volume_ml"] == pytest.approx((written.array == one["number"]).sum() / 1000, abs=0.006)
        assert len(one["extreme_points"]) == (6 if (written.array == one["number"]).any() else 0)
    assert picture.stat().st_size > 1000
    assert "anterior" in run(*given, server=server).stdout

    number = next(one["number"] for one in facts["labels"] if one["extreme_points"])
    corrected = tmp_path / "corrected.nii.gz"
    begun = ("sixpoint", "annotate", tmp_path / "part.nii.gz", "--mask", f"{labels}:{number}", "-o", corrected)
    assert run(*begun, server=server).returncode == 0
    np.testing.assert_array_equal(sixpoint.Volume.read(corrected).array, written.array == number)

    refused = run("sixpoint", "segment", tmp_path / "part.nii.gz", "-m", "annotation", "-o", labels, server=server)
    assert refused.returncode == 5
    assert "takes extreme_points" in refused.stderr
