"""A real PACS for tests: Debian's Orthanc with its DICOMweb plug-in."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from sixpoint._typing import Array
from sixpoint.volume import Volume
from tests.support.ports import free_port

__all__ = ["PATIENT", "Orthanc", "StoredSeries", "running_orthanc", "store_files", "write_ct_series"]

_PROGRAM, _PLUGIN = Path("/usr/sbin/Orthanc"), Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

PATIENT = "Mustermann^Erika"
"""Name of the patient in files that tests write: it must appear nowhere else."""


@dataclass(frozen=True)
class StoredSeries:
    """UIDs of a series."""

    study: str
    series: str


@dataclass(frozen=True)
class Orthanc:
    """A running server.

    Attributes:
        url: Base URL of its DICOMweb.
        rest: Base URL of its own interface.
        credentials: ``user:password``; empty if it asks for none.
    """

    url: str
    rest: str
    credentials: str = ""

    def address(self, place: StoredSeries) -> str:
        """What a person types for a series."""
        return f"dicomweb:{self.url}#{place.study}/{place.series}"

    def count(self) -> int:
        """The number of instances that it has."""
        return int(json.loads(self.request("/statistics"))["CountInstances"])

    def upload(self, content: bytes) -> None:
        """Store a file, past DICOMweb."""
        self.request("/instances", content)

    def request(self, path: str, body: bytes | None = None) -> bytes:
        """Ask its own interface: GET, or POST with a body."""
        headers = {"Authorization": f"Basic {base64.b64encode(self.credentials.encode()).decode()}"}
        request = urllib.request.Request(f"{self.rest}{path}", body, headers if self.credentials else {})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def running_orthanc(folder: Path, *, credentials: str = "") -> Iterator[Orthanc]:
    """Orthanc on free ports, with an empty database in the folder. Skips the test where it is not installed.

    Args:
        folder: Folder for the database, the settings and the log.
        credentials: ``user:password`` that it asks for; empty for none.
    """
    if not _PROGRAM.exists() or not _PLUGIN.exists():
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    user, _, password = credentials.partition(":")
    settings = {
        "Name": "tests",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": bool(user),
        "RegisteredUsers": {user: password} if user else {},
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    orthanc = Orthanc(f"http://127.0.0.1:{port}/dicom-web", f"http://127.0.0.1:{port}", credentials)
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([_PROGRAM, folder / "orthanc.json"], stdout=log, stderr=log, cwd=folder)
        try:
            _wait(orthanc, server)
            yield orthanc
        finally:
            server.terminate()
            server.wait(30)


def _wait(orthanc: Orthanc, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "Orthanc ended; its log is in its folder"
        with contextlib.suppress(urllib.error.URLError):
            orthanc.request("/dicom-web/studies")
            return
        time.sleep(0.1)
    raise AssertionError("Orthanc does not answer")


def store_files(orthanc: Orthanc, folder: Path) -> None:
    """Store the files of a folder."""
    for path in sorted(folder.iterdir()):
        orthanc.upload(path.read_bytes())


def write_ct_series(
    folder: Path, volume: Volume, *, study: str = "", number: int = 1, jpeg2000: bool = False
) -> StoredSeries:
    """Write a volume of whole numbers as a classic CT series, its files in an order of their own.

    Args:
        folder: Folder for the files.
        volume: The image.
        study: UID of the study; empty for a new one.
        number: Series number.
        jpeg2000: Whether the pixels are compressed, without loss.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = StoredSeries(study or generate_uid(), generate_uid())
    frame = generate_uid()
    matrix = np.array(volume.geometry.direction).reshape(3, 3)
    for index, plane in enumerate(volume.array):
        header = Dataset()
        header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, generate_uid()
        header.StudyInstanceUID, header.SeriesInstanceUID = place.study, place.series
        header.FrameOfReferenceUID = frame
        header.PatientName, header.PatientID, header.PatientBirthDate, header.PatientSex = PATIENT, "4711", "", ""
        header.StudyDate, header.StudyTime, header.StudyID, header.AccessionNumber = "20260101", "120000", "1", ""
        header.ReferringPhysicianName, header.Modality = "", "CT"
        header.SeriesNumber, header.InstanceNumber = number, len(volume.array) - index
        position = volume.geometry.index_to_point([(0, 0, index)])[0]
        header.ImagePositionPatient = [f"{value:.10g}" for value in position]
        header.ImageOrientationPatient = [f"{value:.10g}" for value in [*matrix[:, 0], *matrix[:, 1]]]
        x, y, z = volume.geometry.spacing
        header.PixelSpacing, header.SliceThickness = [y, x], z
        header.Rows, header.Columns = plane.shape
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
        header.RescaleSlope, header.RescaleIntercept = 1, 0
        header.WindowCenter, header.WindowWidth = 40, 400
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, header.SOPInstanceUID
        meta.TransferSyntaxUID = JPEG2000Lossless if jpeg2000 else ExplicitVRLittleEndian
        header.PixelData = _compressed(plane) if jpeg2000 else plane.astype("<i2").tobytes()
        header["PixelData"].VR = "OB" if jpeg2000 else "OW"
        path = folder / f"{len(volume.array) - index:04}.dcm"
        FileDataset(str(path), header, file_meta=meta, preamble=b"\0" * 128).save_as(path, enforce_file_format=True)
    return place


def _compressed(plane: Array) -> bytes:
    """Pixels as JPEG 2000, by GDCM."""
    with tempfile.TemporaryDirectory() as folder:
        writer = sitk.ImageFileWriter()
        writer.SetFileName(f"{folder}/slice.dcm")
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.Execute(sitk.GetImageFromArray(plane.astype(np.int16)))
        written = pydicom.dcmread(f"{folder}/slice.dcm")
    assert written.file_meta.TransferSyntaxUID == JPEG2000Lossless
    return bytes(written.PixelData)
