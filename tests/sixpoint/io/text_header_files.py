"""Damaged NRRD and MetaImage files. As a program, it reads hundreds of them, so that a test can look at its stderr."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixpoint.errors import VolumeError
from sixpoint.volume import Volume

__all__ = ["VOXELS", "text_header_files"]

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",
    "space directions": "(1,0,0) (0,2,0) (0,0,3)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(1,2,3)",
}
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "1 2 3",
    "ElementSpacing": "1 2 3",
    "DimSize": "4 3 2",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
WORDS = [
    *("", "0", "-1", "1", "2", "3", "4", "nan", "inf", "1e400", "none", "time", "vector", "gzip", "raw", "hex", "LIST"),
    *("(1,0,0) (0,1,0) (0,0,0)", "(1,0,0) (0,1,0)", "none (1,0,0) (0,1,0) (0,0,1)", "(nan,0,0)", "1 1 1", "0 0 0"),
    *(
        "99999999999 3 2",
        "4 3 2 1",
        "4 3",
        "left-posterior-superior-time",
        "scanner-xyz",
        "double",
        "block",
        "MET_DOUBLE",
    ),
    *("MET_OTHER", "True", "%03d.raw 1 2 1", "missing.raw", "\0", '"um" "um" "um"', '"cm"', "µm", "((("),
]
NRRD_FIELDS = [
    *NRRD,
    "space units",
    "units",
    "spacings",
    "thicknesses",
    "centers",
    "data file",
    "byte skip",
    "line skip",
]
META_FIELDS = [*META, "DistanceUnits", "ElementNumberOfChannels", "HeaderSize", "ElementSize", "CenterOfRotation"]


@st.composite
def text_header_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Name and content of a file with up to three odd fields, in any order, and some odd bytes in its header."""
    name = draw(st.sampled_from(["image.nrrd", "image.nhdr", "image.mha", "image.mhd"]))
    nrrd = name.startswith("image.n")
    fields = dict(NRRD if nrrd else META)
    for field in draw(st.lists(st.sampled_from(NRRD_FIELDS if nrrd else META_FIELDS), min_size=1, max_size=3)):
        value = draw(st.none() | st.sampled_from(WORDS) | st.text(max_size=12))
        fields.pop(field, None)
        if value is not None:
            fields[field] = value
    ordered = draw(st.just([*fields.items()]) | st.permutations([*fields.items()]))
    if not nrrd and draw(st.integers(0, 9)):
        # MetaImage's header ends with the name of its data.
        ordered = sorted(ordered, key=lambda item: item[0] == "ElementDataFile")
    text = "".join(f"{key}: {value}\n" if nrrd else f"{key} = {value}\n" for key, value in ordered)
    content = bytearray((f"NRRD0005\n{text}\n" if nrrd else text).encode("utf-8", "replace"))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=2)):
        content[place % len(content)] = byte
    return name, bytes(content) + VOXELS.tobytes()


@settings(max_examples=1500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(text_header_files())
def _read(file: tuple[str, bytes]) -> None:
    name, content = file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        counts["read"] += 1
        try:
            Volume.read(path)
        except VolumeError:
            return


counts = {"read": 0}

if __name__ == "__main__":
    _read()
    sys.stdout.write(f"{counts['read']}\n")
