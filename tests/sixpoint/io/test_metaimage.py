"""MetaImage as other programs write it: what ITK reads is read alike, bit for bit."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from sixpoint.errors import VolumeError
from sixpoint.volume import Volume
from tests.sixpoint.geometries import rotation

VOXELS = np.random.default_rng(7).integers(0, 100, (4, 3, 5)).astype(np.int16)
RAW = VOXELS.tobytes()
HEADER = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": " ".join(f"{number:.12g}" for number in rotation(0.8, 0.2, -0.5, 0.1).reshape(-1)),
    "Offset": "-17.123456789012345 1e2 .5",
    "ElementSpacing": "0.7 0.333333333333333333 2",
    "DimSize": "5 3 4",
    "ElementType": "MET_SHORT",
}


def written(path: Path, payload: bytes, **fields: str | None) -> Path:
    """A MetaImage file with these fields; None leaves one out."""
    merged = HEADER | {"ElementDataFile": "LOCAL"} | fields
    ordered = sorted(merged.items(), key=lambda item: item[0] == "ElementDataFile")
    path.write_bytes("".join(f"{key} = {value}\n" for key, value in ordered if value is not None).encode() + payload)
    return path


TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_what_itk_reads_is_read_alike(tmp_path: Path, kind: str, order: str, packed: bool) -> None:
    payload = VOXELS.astype(f"{order}{TYPES[kind]}").tobytes()
    payload = zlib.compress(payload) if packed else payload
    fields = {"CompressedData": "True", "CompressedDataSize": str(len(payload))} if packed else {}
    path = written(tmp_path / "x.mha", payload, ElementType=kind, BinaryDataByteOrderMSB=str(order == ">"), **fields)
    volume, expected = Volume.read(path), Volume.from_sitk(sitk.ReadImage(str(path)))
    assert volume.digest == expected.digest
    assert np.array_equal(volume.array, VOXELS)


@pytest.mark.parametrize(
    "fields",
    [
        {"TransformMatrix": None, "Offset": None},
        {"TransformMatrix": None, "Rotation": "0 1 0 1 0 0 0 0 -1", "Offset": None, "Origin": "1 2 3"},
        {"TransformMatrix": None, "Orientation": "0 1 0 0 0 1 1 0 0", "Offset": None, "Position": "1 2 3"},
        {"BinaryData": None, "BinaryDataByteOrderMSB": None},
        {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "False"},
        {"BinaryDataByteOrderMSB": "False", "ElementByteOrderMSB": "false"},
        {"Comment": "ElementSpacing = 9 9 9", "AnatomicalOrientation": "RAI", "CenterOfRotation": "0 0 0"},
        {
            "NDims": "4",
            "DimSize": "5 3 4 1",
            "TransformMatrix": "0 1 0 0 1 0 0 0 0 0 1 0 0 0 0 1",
            "Offset": "1 2 3 4",
            "ElementSpacing": "1 2 3 4",
        },
    ],
)
def test_a_place_that_itk_reads_is_read_alike(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = written(tmp_path / "x.mha", RAW, **fields)
    assert Volume.read(path).digest == Volume.from_sitk(sitk.ReadImage(str(path))).digest


@pytest.mark.parametrize("separator", [":", " : ", "=", " =\t"])
@pytest.mark.parametrize("name", ["Offset", "TransformMatrix", "ElementDataFile"])
def test_separators_that_itk_knows_are_known(tmp_path: Path, name: str, separator: str) -> None:
    path = written(tmp_path / "x.mha", RAW)
    expected = Volume.read(path).digest
    path.write_bytes(path.read_bytes().replace(f"{name} = ".encode(), f"{name}{separator}".encode()))
    assert Volume.read(path).digest == expected == Volume.from_sitk(sitk.ReadImage(str(path))).digest


@pytest.mark.parametrize("name", ["Offset", "TransformMatrix", "elementspacing"])
@pytest.mark.parametrize("separator", [" ", "\t", "\n"])
def test_a_field_without_a_separator_is_not_overlooked(tmp_path: Path, name: str, separator: str) -> None:
    path = written(tmp_path / "x.mha", RAW)
    old = next(line for line in path.read_bytes().splitlines() if line.lower().startswith(name.lower().encode()))
    path.write_bytes(path.read_bytes().replace(old, old.replace(b" = ", separator.encode())))
    with pytest.raises(VolumeError, match=f"(?i)its header gives {name} without an equals sign"):
        Volume.read(path)


def test_tags_of_dicom_with_texts_of_several_lines_do_not_matter(tmp_path: Path) -> None:
    text = "first\nThe patient: said so\nThe patient: said more\n0008|103e = Chest"
    path = written(tmp_path / "x.mha", RAW, Comment=text)
    assert Volume.read(path).digest == Volume.read(written(tmp_path / "y.mha", RAW)).digest


def test_names_in_another_case_count(tmp_path: Path) -> None:
    # ITK ignores them, and takes 1 mm.
    path = written(tmp_path / "x.mha", RAW, ElementSpacing=None, elementspacing="3 4 5")
    assert Volume.read(path).geometry.spacing == (3, 4, 5)


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ({"v.raw": RAW}, {"ElementDataFile": "v.raw"}),
        ({"v.raw": b"12345" + RAW}, {"ElementDataFile": "v.raw", "HeaderSize": "5"}),
        ({"v.raw": b"1234567" + RAW}, {"ElementDataFile": "v.raw", "HeaderSize": "-1"}),
        ({"v 1.zraw": zlib.compress(RAW)}, {"ElementDataFile": "v 1.zraw", "CompressedData": "True"}),
        ({f"s{z:02d}.raw": VOXELS[z].tobytes() for z in range(4)}, {"ElementDataFile": "s%02d.raw 0 3 1"}),
        ({f"s{z}": VOXELS[z].tobytes() for z in range(4)}, {"ElementDataFile": "LIST\ns0\ns1\ns2\ns3"}),
        (
            {f"s{z}": b"HEAD" + VOXELS[z].tobytes() for z in range(4)},
            {"ElementDataFile": "LIST\ns0\ns1\ns2\ns3", "HeaderSize": "4"},
        ),
        (
            {"v.txt": " ".join(map(str, VOXELS.reshape(-1))).encode()},
            {"ElementDataFile": "v.txt", "BinaryData": "False"},
        ),
    ],
)
def test_voxels_beside_the_header_are_read(tmp_path: Path, files: dict[str, bytes], fields: dict[str, str]) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert np.array_equal(Volume.read(written(tmp_path / "x.mhd", b"", **fields)).array, VOXELS)


@pytest.mark.parametrize(
    ("payload", "fields", "complaint"),
    [
        (RAW[:-1], {}, "announces 60 voxels, but the data are fewer"),
        (zlib.compress(RAW[:-1]), {"CompressedData": "True"}, "announces 60 voxels, but the data are fewer"),
        (b"1 2 3", {"BinaryData": "False"}, "announces 60 voxels, but the data are fewer"),
        (b"1 " * 59 + b"x", {"BinaryData": "False"}, "its voxels, in text, are no numbers of its voxel type"),
        (b"1 " * 59 + b"1.5", {"BinaryData": "False"}, "its voxels, in text, are no numbers of its voxel type"),
        (b"1 " * 59 + b"99999", {"BinaryData": "False"}, "its voxels, in text, are no numbers of its voxel type"),
        (RAW, {"ElementDataFile": "s%d.raw 0 3"}, "its voxels are in 's0.raw', which is missing"),
        (RAW, {"ElementDataFile": "s%d.raw"}, "names the files with the voxels by"),
        (RAW, {"ElementDataFile": "s%q.raw 1 2 1"}, "names the files with the voxels by"),
        (RAW, {"ElementDataFile": "LIST"}, "missing|does not name the file"),
        (RAW, {"ElementDataFile": ""}, "does not name the file with the voxels"),
        (RAW, {"ElementDataFile": "s%999999999d.raw 1 2 1"}, "names the files with the voxels by"),
        (
            RAW,
            {"ElementDataFile": "s%d.raw 0 0 1 3"},
            "lists files of 3 axes each, expected a file of 2",
        ),
        (
            b"",
            {"ElementDataFile": "LIST 3D\nx.raw"},
            "lists files of 3 axes each, expected a file of 2",
        ),
        (b"", {"ElementDataFile": "LIST\nx.raw\nx.raw"}, "lists 2 files of voxels for 4 slices, expected one file, or"),
        (RAW, {"ElementByteOrderMSB": "True"}, "gives two byte orders"),
        (RAW, {"HeaderSize": "-2"}, "gives -2 as HeaderSize"),
        (RAW, {"HeaderSize": "1e3"}, "gives 1e3 as HeaderSize"),
        (RAW, {"HeaderSize": "-1", "CompressedData": "True"}, "gives -1 as HeaderSize of compressed voxels"),
        (RAW, {"ElementType": "MET_STRING"}, r"voxels of type MET_STRING \(ElementType\), expected one of MET_CHAR"),
        (RAW, {"ElementType": None}, "voxels of type nothing"),
        (RAW, {"ElementToIntensityFunctionSlope": "2"}, "scales the voxels by elementtointensityfunctionslope 2"),
        (RAW, {"ElementToIntensityFunctionOffset": "-1024"}, "scales the voxels by"),
        (RAW, {"Offset": "1 2"}, "gives 1 2 as offset, expected 3 numbers"),
        (RAW, {"Offset": "1 nan 2"}, "gives 1 nan 2 as offset, expected 3 numbers"),
        (RAW, {"Position": "1 2 3"}, "gives two positions, by offset and position; remove one"),
        (RAW, {"TransformMatrix": "1 0 0"}, "expected 9 numbers"),
        (RAW, {"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "its header is damaged|orthogonal unit vectors"),
        (RAW, {"Offset": "1 2 3\nOffset = 1 2 4"}, "gives Offset twice, 1 2 3 and 1 2 4; remove one"),
        (RAW, {"ObjectType": "Mesh"}, "holds a MetaIO object of type Mesh, expected an image"),
    ],
)
def test_a_header_that_cannot_be_relied_on_is_refused(
    tmp_path: Path, payload: bytes, fields: dict[str, Any], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(VolumeError, match=rf"x\.mha.*({complaint})"):
        Volume.read(written(tmp_path / "x.mha", payload, **fields))
    assert capfd.readouterr().err == ""


def test_a_scaling_that_changes_nothing_is_accepted(tmp_path: Path) -> None:
    fields = {"ElementToIntensityFunctionSlope": "1.0", "ElementToIntensityFunctionOffset": "0"}
    assert np.array_equal(Volume.read(written(tmp_path / "x.mha", RAW, **fields)).array, VOXELS)


def test_a_file_that_inflates_to_more_than_it_announces_is_read_as_it_announces(tmp_path: Path) -> None:
    payload = zlib.compress(RAW + bytes(2**28))
    volume = Volume.read(written(tmp_path / "x.mha", payload, CompressedData="True"))
    assert np.array_equal(volume.array, VOXELS)
