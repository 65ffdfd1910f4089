"""Programs that read images have them in memory once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.http.decoding.packed import pack_array
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.support.paths import ROOT

SMALL, LARGE = (16, 16, 16), (224, 224, 224)
_SAY = """
sys.stderr.write(Path("/proc/self/status").read_text())
"""
_DECODE = """
import sys
from pathlib import Path
from gateway.http.decode_image import main
assert "digest" in main(Path(sys.argv[1]), Path(sys.argv[2]), 2**30)
"""
_SNAP = """
import sys
from pathlib import Path
from types import SimpleNamespace
from gateway.http.itksnap.images import _describe
from sixpoint.geometry import Geometry
source = Path(sys.argv[1])
side = round((source.stat().st_size / 4) ** (1 / 3))
_describe(source, Geometry((side, side, side)), SimpleNamespace(path=source.parent))
"""

_PACKED = """
import sys
from pathlib import Path
from gateway.http.decoding.arrays import main
source = Path(sys.argv[1])
assert "digest" in main("image", str(source), "[1, 1, 1]", str(source.with_suffix(".voxels")), str(2**30))
"""


def peak(program: str, *arguments: str) -> int:
    """Bytes of memory of a Python program at its peak, as it says itself: a process inherits what others say of it."""
    done = subprocess.run(
        [sys.executable, "-c", program + _SAY, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
    )
    return 1024 * int(done.stderr.rpartition("VmHWM:")[2].split()[0])


def noise(size: tuple[int, int, int]) -> Volume:
    values = np.random.default_rng(0).integers(-20, 20, size[::-1], dtype=np.int16)
    return Volume(values, Geometry(size))


@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "nrrd", "mha"])
def test_files_are_in_memory_once(tmp_path: Path, suffix: str) -> None:
    peaks = []
    for size in (SMALL, LARGE):
        path = tmp_path / f"{size[0]}.{suffix}"
        noise(size).write(path)
        peaks.append(peak(_DECODE, str(path), str(tmp_path / "voxels")))
    assert (peaks[1] - peaks[0]) / noise(LARGE).array.nbytes < 1.3


def test_images_of_itk_snap_are_read_in_pieces(tmp_path: Path) -> None:
    peaks = []
    for size in (SMALL, LARGE):
        path = tmp_path / f"sent{size[0]}"
        noise(size).array.astype("<f4").tofile(path)
        peaks.append(peak(_SNAP, str(path)))
    assert (peaks[1] - peaks[0]) / noise(LARGE).array.nbytes < 1.3


def test_arrays_of_nninteractive_are_unpacked_in_pieces(tmp_path: Path) -> None:
    peaks = []
    for size in (SMALL, LARGE):
        path = tmp_path / f"{size[0]}.packed"
        # One chunk, as clients send images of up to 1 GiB.
        path.write_bytes(pack_array(noise(size).array[None]))
        peaks.append(peak(_PACKED, str(path)))
    assert (peaks[1] - peaks[0]) / noise(LARGE).array.nbytes < 1.3
