"""Options that give prompts: frames, masks, and what a picture marks. No gateway is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import typer
from PIL import Image

from sixpoint.cli.annotate import draw_preview
from sixpoint.cli.common import read_image
from sixpoint.cli.prompts import drawn_files, place_masks, read_prompts
from sixpoint.errors import PromptError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, unpack
from sixpoint.prompts import Box, Click, ExtremePoints, Frame, InitialMask, Lasso, Prompt, Scribble
from sixpoint.volume import Volume
from tests.sixpoint.cli.command_line import Run
from tests.support.images import noisy_volume

POINTS = [[5, 18, 16], [35, 18, 16], [20, 5, 16], [20, 31, 16], [20, 18, 4], [20, 18, 28]]
GRID = Geometry((8, 7, 6))
OBJECT = np.zeros(GRID.shape, np.uint8)
OBJECT[2:4, 2:5, 3:6] = 1


def prompts(**options: Any) -> tuple[Prompt, ...]:
    nothing: dict[str, Any] = {"points": "", "points_file": None, "box": "", "mask": "", "clicks": None, "frame": ""}
    return read_prompts(**nothing | options)


@pytest.fixture
def markups(tmp_path: Path) -> Path:
    """Points as 3D Slicer saves them, in LPS."""
    path = tmp_path / "F.mrk.json"
    points = [{"position": point} for point in POINTS]
    path.write_text(json.dumps({"markups": [{"coordinateSystem": "LPS", "controlPoints": points}]}))
    return path


@pytest.mark.parametrize("frame", ["ras", "lps", "voxel"])
def test_the_frame_is_that_of_the_click_and_the_file_keeps_its_own(markups: Path, frame: str) -> None:
    start, click = prompts(points_file=markups, clicks=["+1,2,3"], frame=frame)
    assert isinstance(start, ExtremePoints)
    assert start.frame is Frame.LPS
    assert click == Click((1, 2, 3), True, Frame(frame))


def test_a_click_beside_points_in_mm_needs_a_frame(markups: Path) -> None:
    with pytest.raises(typer.BadParameter, match="are in the frame lps; give the frame of --click: --frame"):
        prompts(points_file=markups, clicks=["+1,2,3"])
    assert prompts(points_file=markups)[0] == ExtremePoints([(x, y, z) for x, y, z in POINTS], Frame.LPS)


def test_the_frame_is_that_of_a_file_without_one(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(POINTS))
    start, click = prompts(points_file=tmp_path / "p.json", clicks=["-1,2,3"])
    assert (start.frame, click.frame) == (Frame.VOXEL, Frame.VOXEL)  # type: ignore[union-attr]
    start, click = prompts(points_file=tmp_path / "p.json", clicks=["-1,2,3"], frame="ras")
    assert (start.frame, click.frame) == (Frame.RAS, Frame.RAS)  # type: ignore[union-attr]


def given_mask(path: Path, array: Any, label: str = "") -> InitialMask:
    Volume(array, GRID).write(path)
    (mask,) = prompts(mask=f"{path}{label}")
    assert isinstance(mask, InitialMask)
    return mask


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_nan_is_not_the_object_in_any_format(tmp_path: Path, suffix: str) -> None:
    mask = given_mask(tmp_path / f"mask{suffix}", np.where(OBJECT > 0, 1, np.nan).astype(np.float32))
    assert np.array_equal(unpack(mask.packed, GRID.size), OBJECT)


@pytest.mark.parametrize("label", ["", ":6"])
def test_a_label_that_was_resampled_is_whole(tmp_path: Path, label: str) -> None:
    mask = given_mask(tmp_path / "mask.nii.gz", (OBJECT * 5.999999).astype(np.float32), label)
    assert np.array_equal(unpack(mask.packed, GRID.size), OBJECT)


@pytest.mark.parametrize(
    ("array", "label", "complaint"),
    [
        (
            OBJECT * np.float32(0.4),
            "",
            r"mask\.nii\.gz has 18 voxels with fractions.* probability map\? Threshold it first, or give the threshold",
        ),
        (OBJECT, ":0", r"mask\.nii\.gz is asked for label 0, which is the background"),
        (OBJECT, ":3", r"mask\.nii\.gz has no voxel of label 3; it has 1"),
        (OBJECT * 0, "", r"mask\.nii\.gz has no voxel above 0, so there is no object in it"),
        (OBJECT + 1, "", r"several labels \(1, 2\), expected one object; choose one: .*mask\.nii\.gz:LABEL"),
    ],
    ids=["probabilities", "label 0", "absent label", "empty", "several labels"],
)
def test_a_file_that_is_no_mask_is_refused(tmp_path: Path, array: Any, label: str, complaint: str) -> None:
    with pytest.raises(VolumeError, match=complaint):
        given_mask(tmp_path / "mask.nii.gz", array, label)


def test_the_file_of_a_mask_may_have_colons_and_the_label_may_be_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a:2.seg.nrrd"
    Mask(OBJECT, GRID, names={1: "x:y"}).save(path)
    for text in (str(path), f"{path}:1", f"{path}:x:y", f"{path}:"):
        (mask,) = prompts(mask=text)
        assert mask == InitialMask.read(path)
        assert drawn_files(text, (), ()) == [path]
    with pytest.raises(VolumeError, match=r"no such file or folder: .*absent\.nii$"):
        prompts(mask=str(tmp_path / "absent.nii:2"))
    with pytest.raises(VolumeError, match="no such file or folder"):
        prompts(mask=str(tmp_path / "absent.nii:liver"))


def test_a_probability_map_is_cut_at_the_threshold(tmp_path: Path) -> None:
    Volume(np.where(OBJECT > 0, 0.7, 0.4).astype(np.float32), GRID).write(tmp_path / "p.nii.gz")
    (mask,) = prompts(mask=str(tmp_path / "p.nii.gz"), threshold=0.5)
    assert isinstance(mask, InitialMask)
    assert np.array_equal(unpack(mask.packed, GRID.size), OBJECT)
    with pytest.raises(VolumeError, match=r"has no voxel from 0\.8 on"):
        prompts(mask=str(tmp_path / "p.nii.gz"), threshold=0.8)
    with pytest.raises(typer.BadParameter, match="--threshold needs --mask"):
        prompts(box="1,1,1 5,5,5", threshold=0.5)


def test_a_mask_on_another_grid_is_refused_before_the_upload(tmp_path: Path, run: Run) -> None:
    noisy_volume().write(tmp_path / "ct.nii.gz")
    Volume(OBJECT, Geometry(GRID.size, (1.5, 1.5, 1.5))).write(tmp_path / "mask.nii.gz")
    code, _, err = run(
        "annotate", tmp_path / "ct.nii.gz", "--mask", tmp_path / "mask.nii.gz", "-o", tmp_path / "m.nrrd"
    )
    assert code == 3
    assert "another grid than the image (size (8, 7, 6)" in err
    assert "--resample" in err


def test_a_picture_marks_only_what_was_clicked() -> None:
    volume = noisy_volume()
    array = np.zeros(volume.array.shape, np.uint8)
    array[10:20, 10:20, 10:20] = 1
    mask = Mask(array, volume.geometry)
    bare = pixels(draw_preview(volume, mask, []))
    assert np.array_equal(
        pixels(draw_preview(volume, mask, [InitialMask.of(mask), Box((5, 5, 5), (15, 15, 15))])), bare
    )
    assert not np.array_equal(pixels(draw_preview(volume, mask, [Click((15, 15, 15))])), bare)


def test_a_picture_marks_only_the_prompts_of_its_object() -> None:
    volume = noisy_volume()
    array = np.zeros(volume.array.shape, np.uint8)
    array[10:20, 10:20, 10:20] = 1
    mask = Mask(array, volume.geometry)
    points = ExtremePoints([(x, y, z) for x, y, z in POINTS])
    earlier, click = Click((15, 15, 15)), Click((12, 12, 12), False)
    for begin in (points, Box((5, 5, 5), (15, 15, 15)), InitialMask.of(mask)):
        alone = pixels(draw_preview(volume, mask, [begin, click]))
        assert np.array_equal(pixels(draw_preview(volume, mask, [points, earlier, begin, click])), alone)
    assert not np.array_equal(pixels(draw_preview(volume, mask, [earlier, click])), alone)


def pixels(picture: Image.Image) -> Any:
    return np.asarray(picture)


def test_notes_are_printed_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.nii"
    nibabel.save(nibabel.Nifti1Image(OBJECT, None), path)
    assert read_image(path, spacing="", series=None).array.shape == (6, 7, 8)[::-1]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"note: {path}: its header gives no position in the patient")


def test_scribbles_are_label_maps_with_a_sign(tmp_path: Path) -> None:
    Volume(OBJECT * 2, GRID).write(tmp_path / "drawn.nii.gz")
    one, two = prompts(scribbles=[f"+{tmp_path}/drawn.nii.gz", f"-{tmp_path}/drawn.nii.gz:2"])
    assert place_masks((one, two), GRID) == (Scribble(OBJECT), Scribble(OBJECT, False))
    with pytest.raises(PromptError, match=r"expected \+ \(positive scribble\) or - \(negative scribble\)"):
        prompts(scribbles=["drawn.nii.gz"])
    with pytest.raises(VolumeError, match="has no voxel of label 1"):
        prompts(scribbles=[f"+{tmp_path}/drawn.nii.gz:1"])
    with pytest.raises(PromptError, match="another grid than the image"):
        place_masks((one,), Geometry((8, 7, 6), spacing=(2, 1, 1)))


def test_lassos_are_contours_or_label_maps_with_a_sign(tmp_path: Path) -> None:
    corners = [[2.0, 1.0, 3.0], [5.0, 1.0, 3.0], [5.0, 4.0, 3.0]]
    curve = {"type": "ClosedCurve", "coordinateSystem": "RAS", "controlPoints": [{"position": p} for p in corners]}
    (tmp_path / "c.mrk.json").write_text(json.dumps({"markups": [curve]}))
    (tmp_path / "c.json").write_text(json.dumps({"points": corners}))
    Volume(OBJECT * (np.arange(6) == 2)[:, None, None].astype(np.uint8), GRID).write(tmp_path / "c.nii.gz")
    Volume(OBJECT, GRID).write(tmp_path / "thick.nii.gz")
    names = ("+c.mrk.json", "-c.json", "+c.nii.gz", "-thick.nii.gz")
    given = prompts(lassos=[f"{name[0]}{tmp_path}/{name[1:]}" for name in names], frame="lps")
    assert given[:2] == (Lasso(corners, frame="ras"), Lasso(corners, False, "lps"))
    (filled,) = place_masks(given[2:3], GRID)
    assert isinstance(filled, Lasso)
    assert filled.voxels(GRID).tolist() == [[x, y, 2] for y in (2, 3, 4) for x in (3, 4, 5)]
    with pytest.raises(PromptError, match="lies on several slices"):
        place_masks(given[3:], GRID)


def test_corrections_come_after_what_begins_an_object_and_clicks_last(tmp_path: Path) -> None:
    Volume(OBJECT, GRID).write(tmp_path / "drawn.nii.gz")
    (tmp_path / "c.csv").write_text("2,1,3\n5,1,3\n5,4,3\n")
    drawn = {"scribbles": [f"+{tmp_path}/drawn.nii.gz"], "lassos": [f"-{tmp_path}/c.csv"]}
    given = prompts(box="1,1,1 5,5,5", clicks=["+1,2,3"], **drawn)
    assert [type(prompt) for prompt in given] == [Box, Lasso, Scribble, Click]
