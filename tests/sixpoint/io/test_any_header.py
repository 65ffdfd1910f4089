"""Any header is read or refused, in words about the person's file: never a crash, never ITK's text."""

from __future__ import annotations

import re
import struct
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import VolumeError
from sixpoint.volume import Volume

# Parts of messages that a person cannot use.
FOREIGN = re.compile(r"itk|sitk|gdcm|/sixpoint-|not a gzipped file|end-of-stream|Errno|Exception|0x[0-9a-f]{6}", re.I)
VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
FLOATS = [0.0, -1.0, 0.5, 1.0, 1e-30, 1e30, float("nan"), float("inf"), -float("inf")]
# Offset and form of the fields of a NIfTI header that a reader uses.
FIELDS = [
    (0, "i"),
    (344, "4B"),
    (123, "B"),
    *[(offset, "h") for offset in (40, 42, 44, 46, 48, 50, 68, 70, 72, 252, 254)],
]
FIELDS += [(offset, "f") for offset in (*range(76, 108, 4), 108, 112, 116, *range(256, 328, 4))]


def read(content: bytes, name: str) -> Volume | None:
    """The volume in a file, or None if it is refused in words that a person can use."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return Volume.read(path)
        except VolumeError as error:
            message = error.message.replace(str(path), name)
            assert message.startswith(name)
            assert not FOREIGN.search(message), message
            return None


def nifti_content() -> bytearray:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((4, 3, 2))
    header.set_qform(np.diag([1, 2, 3, 1]), 1)
    header.set_sform(np.diag([1, 2, 3, 1]), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return bytearray(bytes(header.binaryblock) + bytes(4) + VOXELS.tobytes())


def check(volume: Volume | None) -> None:
    """What was read can be placed."""
    if volume is not None:
        corners = volume.geometry.index_to_point([(0, 0, 0), volume.geometry.size])
        assert np.isfinite(corners).all()
        assert min(volume.geometry.spacing) > 0


@given(st.data())
def test_any_nifti_header(data: st.DataObject) -> None:
    content = nifti_content()
    for offset, form in data.draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4)):
        if form == "f":
            values = [data.draw(st.sampled_from(FLOATS) | st.floats(width=32))]
        elif form == "4B":
            values = list(data.draw(st.sampled_from([b"ni1\0", b"n+2\0", bytes(4)])))
        else:
            limit = 2 ** (8 * struct.calcsize(form))
            low = 0 if form == "B" else -limit // 2
            values = [data.draw(st.integers(0, 8) | st.integers(low, low + limit - 1))]
        struct.pack_into(f"<{form}", content, offset, *values)
    check(read(bytes(content), "image.nii"))


@given(st.binary(max_size=600), st.sampled_from(["image.nii", "image.nii.gz", "image.nrrd", "image.mha", "image.mhd"]))
def test_any_bytes(content: bytes, name: str) -> None:
    check(read(content, name))


@given(st.integers(0, 351), st.integers(0, 255))
def test_any_byte_of_a_nifti_header(offset: int, value: int) -> None:
    content = nifti_content()
    content[offset] = value
    check(read(bytes(content), "image.nii"))


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


@pytest.mark.parametrize("name", ["image.nrrd", "image.mha"])
@given(data=st.data())
def test_any_text_header(name: str, data: st.DataObject) -> None:
    nrrd = name == "image.nrrd"
    fields = dict(NRRD if nrrd else META)
    for field in data.draw(st.lists(st.sampled_from(NRRD_FIELDS if nrrd else META_FIELDS), min_size=1, max_size=3)):
        value = data.draw(st.none() | st.sampled_from(WORDS) | st.text(max_size=12))
        fields.pop(field, None)
        if value is not None:
            fields[field] = value
    # MetaImage's header ends with the name of its data.
    ordered = sorted(fields.items(), key=lambda item: item[0] == "ElementDataFile")
    text = "".join(f"{key}: {value}\n" if nrrd else f"{key} = {value}\n" for key, value in ordered)
    content = f"NRRD0005\n{text}\n" if nrrd else text
    check(read(content.encode("utf-8", "replace") + VOXELS.tobytes(), name))
