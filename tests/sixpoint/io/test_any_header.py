"""Any header is read or refused, in words about the person's file: never a crash, never ITK's text."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import VolumeError
from sixpoint.volume import Volume
from tests.sixpoint.io.text_header_files import VOXELS, text_header_files

# Parts of messages that a person cannot use.
FOREIGN = re.compile(r"itk|sitk|gdcm|/sixpoint-|not a gzipped file|end-of-stream|Errno|Exception|0x[0-9a-f]{6}", re.I)
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


@given(text_header_files())
def test_any_text_header(file: tuple[str, bytes]) -> None:
    name, content = file
    check(read(content, name))


def test_no_text_header_makes_a_library_print_to_stderr() -> None:
    # In a process of its own: C++ writes to the file descriptor.
    command = [sys.executable, "-m", "tests.sixpoint.io.text_header_files"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert int(run.stdout) > 100
