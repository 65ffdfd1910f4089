from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sixpoint.errors import PromptError
from sixpoint.prompts import Box, Click, ExtremePoints, Frame, parse_box, parse_click, parse_points, read_points

POINTS = ((1.5, -2.0, 3.0), (4.0, 5.25, -6.0))


def file(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def markups(system: str | None = "LPS", **point: Any) -> dict[str, Any]:
    """As 3D Slicer writes it, shortened."""
    control = [{"id": str(n), "label": f"F-{n}", "position": list(p), **point} for n, p in enumerate(POINTS)]
    markup = {"type": "Fiducial", "coordinateUnits": "mm", "controlPoints": control}
    if system is not None:
        markup["coordinateSystem"] = system
    return {
        "@schema": "https://raw.githubusercontent.com/slicer/slicer/.../markups-schema-v1.0.3.json#",
        "markups": [markup],
    }


@pytest.mark.parametrize(
    "text", ["1.5,-2,3 4,5.25,-6", "1.5,-2,3;4,5.25,-6", " 1.5,-2,3 ;\n4,5.25,-6 ;", "1.5,-2,3\t4,5.25,-6"]
)
def test_points_on_the_command_line_are_separated_by_space_or_semicolon(text: str) -> None:
    assert parse_points(text, frame=Frame.RAS) == ExtremePoints(POINTS, Frame.RAS)


@pytest.mark.parametrize("text", ["1,2 4,5,6", "1,2,3 four,5,6", "1, 2, 3", "1,2,3,4", "1;2;3"])
def test_a_part_that_is_not_a_point_is_named(text: str) -> None:
    with pytest.raises(PromptError, match="expected three numbers x,y,z"):
        parse_points(text, frame=Frame.VOXEL)


def test_a_box_on_the_command_line_is_two_corners() -> None:
    assert parse_box("1.5,-2,3 4,5.25,-6", frame=Frame.LPS) == Box(*POINTS, Frame.LPS)
    for text in ("1,2,3", "1,2,3 4,5,6 7,8,9", ""):
        with pytest.raises(PromptError, match="two opposite corners"):
            parse_box(text, frame=Frame.VOXEL)
    with pytest.raises(PromptError, match="expected three numbers x,y,z"):
        parse_box("1,2,3 4,5", frame=Frame.VOXEL)


@pytest.mark.parametrize(
    ("text", "click"),
    [
        ("+1,2,3", Click((1, 2, 3))),
        ("-1,2,3", Click((1, 2, 3), False)),
        (" + 1, 2, 3 ", Click((1, 2, 3))),
        ("+-1.5,2,3", Click((-1.5, 2, 3))),
        ("--1.5,2,3", Click((-1.5, 2, 3), False)),
    ],
)
def test_the_sign_of_a_click_stands_before_its_point(text: str, click: Click) -> None:
    assert parse_click(text, frame=Frame.VOXEL) == click
    assert parse_click(text, frame=Frame.RAS).frame is Frame.RAS


@pytest.mark.parametrize(
    ("text", "complaint"), [("1,2,3", "positive click"), ("", "positive click"), ("+1,2", "three numbers")]
)
def test_a_click_without_a_sign_or_a_point_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(PromptError, match=complaint):
        parse_click(text, frame=Frame.VOXEL)


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_slicers_markups_name_their_own_frame(tmp_path: Path, system: str) -> None:
    points = read_points(file(tmp_path, "F.mrk.json", markups(system)))
    assert points == ExtremePoints(POINTS, Frame(system.lower()))


def test_slicers_markups_are_in_lps_when_they_do_not_say(tmp_path: Path) -> None:
    assert read_points(file(tmp_path, "F.mrk.json", markups(None))).frame is Frame.LPS


def test_only_placed_control_points_count(tmp_path: Path) -> None:
    data = markups(positionStatus="defined")
    data["markups"][0]["controlPoints"].append({"position": [0, 0, 0], "positionStatus": "undefined"})
    assert read_points(file(tmp_path, "F.mrk.json", data)).points == POINTS


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"markups": []},
        {"markups": [{"coordinateSystem": "IJK", "controlPoints": []}]},
        {"markups": [{}]},
        {"markups": 5},
    ],
    ids=json.dumps,
)
def test_what_is_no_markups_file_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(PromptError, match="is not a 3D Slicer markups file"):
        read_points(file(tmp_path, "F.mrk.json", content))


def test_markups_in_other_units_are_refused(tmp_path: Path) -> None:
    data = markups()
    data["markups"][0]["coordinateUnits"] = "um"
    with pytest.raises(PromptError, match="must be in mm, not um"):
        read_points(file(tmp_path, "F.mrk.json", data))


@pytest.mark.parametrize(
    ("said", "frame"),
    [("0", Frame.RAS), ("RAS", Frame.RAS), ("1", Frame.LPS), ("LPS", Frame.LPS), (None, Frame.RAS)],
)
def test_slicers_old_markups_name_their_frame_as_a_number_or_a_word(
    tmp_path: Path, said: str | None, frame: Frame
) -> None:
    header = "# Markups fiducial file version = 4.10\n"
    header += f"# CoordinateSystem = {said}\n" if said else ""
    header += "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    rows = "vtkMRMLMarkupsFiducialNode_0,1.5,-2,3,0,0,0,1,1,1,0,F-1,,\nid_1,4,5.25,-6,0,0,0,1,1,1,0,F-2,,\n\n"
    assert read_points(file(tmp_path, "F.fcsv", header + rows)) == ExtremePoints(POINTS, frame)


def test_only_placed_points_of_old_markups_count(tmp_path: Path) -> None:
    header = "# Markups fiducial file version = 5.10\n# CoordinateSystem = LPS\n"
    placed = (
        '1,1.5,-2,3,0,0,0,1,1,1,0,"liver, left",,,2,0\n2,4,5.25,-6,0,0,0,1,1,1,0,F-2,,vtkMRMLScalarVolumeNode1,2,0\n'
    )
    others = "".join(f"3,0,0,0,0,0,0,1,1,1,0,F-3,,,{status},0\n" for status in (0, 1, 3))
    assert read_points(file(tmp_path, "F.fcsv", header + placed + others)) == ExtremePoints(POINTS, Frame.LPS)


@pytest.mark.parametrize("said", ["2", "IJK", "scanner"])
def test_old_markups_in_another_frame_are_not_taken_for_ras(tmp_path: Path, said: str) -> None:
    with pytest.raises(PromptError, match=f"coordinate system '{said}' is not supported"):
        read_points(file(tmp_path, "F.fcsv", f"# CoordinateSystem = {said}\nid,1,2,3\n"))


def test_json_may_name_its_frame(tmp_path: Path) -> None:
    path = file(tmp_path, "p.json", {"frame": "RAS", "points": POINTS})
    assert read_points(path) == ExtremePoints(POINTS, Frame.RAS)


@pytest.mark.parametrize("content", [POINTS, {"points": POINTS}], ids=["list", "mapping"])
def test_json_without_a_frame_is_in_voxels_unless_told_otherwise(tmp_path: Path, content: Any) -> None:
    path = file(tmp_path, "p.json", content)
    assert read_points(path) == ExtremePoints(POINTS, Frame.VOXEL)
    assert read_points(path, frame=Frame.LPS) == ExtremePoints(POINTS, Frame.LPS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"pts": []}, "expected"),
        ({"points": 3}, "expected a list of points"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ([[1, 2]], "expected three numbers"),
        ([1, 2, 3], "expected three numbers"),
        ({"frame": "ijk", "points": []}, "unknown frame 'ijk'"),
        ("[[1, 2, NaN]]", "three finite numbers"),
    ],
    ids=str,
)
def test_json_that_holds_no_points_is_refused(tmp_path: Path, content: Any, expected: str) -> None:
    with pytest.raises(PromptError, match=expected):
        read_points(file(tmp_path, "p.json", content))


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2,3\n4,5.25,-6\n",
        "x,y,z\n1.5,-2,3\n4,5.25,-6",
        "X, Y, Z\r\n1.5, -2, 3\r\n\r\n4, 5.25, -6\r\n",
        "# six clicks\n1.5,-2,3\n4,5.25,-6\n",
        "\ufeffx,y,z\n1.5,-2,3\n4,5.25,-6\n",
    ],
    ids=["bare", "header", "windows", "comment", "byte order mark"],
)
def test_csv_holds_a_point_a_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode())
    assert read_points(path, frame=Frame.LPS) == ExtremePoints(POINTS, Frame.LPS)


@pytest.mark.parametrize("text", ["1,2\n", "1,2,3,4\n", "a,b,c\n", "1;2;3\n"])
def test_csv_with_another_line_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PromptError, match="expected three numbers"):
        read_points(file(tmp_path, "p.csv", text))


def test_a_frame_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path, "F.mrk.json", markups("LPS"))
    with pytest.raises(PromptError, match="gives its points in the frame lps, expected ras"):
        read_points(path, frame=Frame.RAS)
    assert read_points(path, frame=Frame.LPS).frame is Frame.LPS


def test_a_frame_may_be_given_by_name(tmp_path: Path) -> None:
    path = file(tmp_path, "F.mrk.json", markups("LPS"))
    assert read_points(path, frame="LPS").frame is Frame.LPS  # type: ignore[arg-type]


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"read from \.mrk\.json, \.fcsv, \.json and \.csv"):
        read_points(file(tmp_path, "p.txt", "1,2,3"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="cannot read points from"):
        read_points(tmp_path / "p.json")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(PromptError, match="cannot read points from"):
        read_points(tmp_path / "p.csv")


def several_lists(*lists: tuple[str, int]) -> dict[str, Any]:
    """Markups of several lists: name and number of points of each, its first coordinate being the list's number."""
    return {
        "markups": [
            {
                **({"name": name} if name else {}),
                "coordinateSystem": "LPS",
                "controlPoints": [{"position": [number, n, 0]} for n in range(count)],
            }
            for number, (name, count) in enumerate(lists, 1)
        ]
    }


def test_one_of_several_lists_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    path = file(tmp_path, "F.mrk.json", several_lists(("liver", 6), ("", 7)))
    with pytest.raises(PromptError, match=r"several lists of points, expected one: liver \(6 points\), 2 \(7 points\)"):
        read_points(path)
    assert read_points(path, list_name="liver").points[0][0] == 1
    assert len(read_points(path, list_name="2").points) == 7
    assert read_points(path, list_name="1").points[0][0] == 1
    with pytest.raises(PromptError, match=r"0 lists named spleen, expected one of: liver"):
        read_points(path, list_name="spleen")


def test_lists_without_points_are_no_choice(tmp_path: Path) -> None:
    path = file(tmp_path, "F.mrk.json", several_lists(("", 0), ("liver", 6), ("", 0)))
    assert len(read_points(path).points) == 6


@pytest.mark.parametrize(
    "row",
    [
        "id0,1,0,2,0,3,0,0,0,0,1,1,1,0,F-0,,",
        "id0,1,0,2,3,0,0,0,1,1,1,0,F-0,,",
        "id0,1,0,2,0,3,0,0,0,1,1,1,0,F-0,,",
        "id0,1,2,3,0,0,0,1,1,1,0,F-0,,,7,0",
        "id0,1,2,3",
    ],
    ids=["three commas", "one comma", "two commas", "unknown status", "short"],
)
def test_a_row_of_old_markups_of_another_width_is_refused(tmp_path: Path, row: str) -> None:
    good = "id1,4,5.25,-6,0,0,0,1,1,1,0,F-1,,\n"
    with pytest.raises(PromptError, match=r"F\.fcsv: expected rows of 14 or 16 columns, with decimal points, got"):
        read_points(file(tmp_path, "F.fcsv", f"# CoordinateSystem = LPS\n{good}{row}\n"))


def test_the_default_frame_is_that_of_files_without_one(tmp_path: Path) -> None:
    own = file(tmp_path, "F.mrk.json", markups("LPS"))
    assert read_points(own, default_frame=Frame.RAS).frame is Frame.LPS
    assert read_points(file(tmp_path, "p.json", POINTS), default_frame=Frame.RAS).frame is Frame.RAS
