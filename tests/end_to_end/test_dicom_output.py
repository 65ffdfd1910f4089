"""A DICOM image is outlined and saved as DICOM: the mask is that of other formats, and the patient stays at home."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint.mask import unpack
from sixpoint.phantom import make_phantom
from tests.sixpoint.io.dicom.dicom_files import write_series
from tests.support.servers import running_gateway

pytestmark = [pytest.mark.triton, pytest.mark.slow]

SECRETS = ("SECRETNAME", "SECRETID", "19510203", "SECRETACC", "SECRETDOCTOR", "SECRETSTUDY")


def planted(dataset: Dataset, z: int) -> None:
    """Write a patient into a header."""
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = SECRETS[:3]
    dataset.AccessionNumber, dataset.ReferringPhysicianName, dataset.StudyDescription = SECRETS[3:]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def own_gateway(triton: LocalTriton, state: Path) -> Iterator[Gateway]:
    with running_gateway(triton_url=triton.address, state_folder=str(state)) as running:
        yield running


def test_a_patient_is_in_the_header_of_the_mask_and_nowhere_else(
    tmp_path: Path,
    own_gateway: Gateway,
    state: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    phantom = make_phantom()
    series = write_series(tmp_path / "series", phantom.image.array, edit=planted)
    uids = {str(pydicom.dcmread(file).SOPInstanceUID) for file in series.iterdir()}
    hidden = {*SECRETS, *uids, str(pydicom.dcmread(next(series.iterdir())).StudyInstanceUID)}
    with (
        caplog.at_level(logging.DEBUG),
        sixpoint.Client(f"127.0.0.1:{own_gateway.port}") as client,
        client.open_session(series) as session,
    ):
        inside = np.argwhere(phantom.mask("spleen"))[:, ::-1]
        mask = session.annotate(sixpoint.Box(inside.min(axis=0), inside.max(axis=0)))
        session.rename(1, "Spleen")
        for kind in ("seg", "labelmap", "rtstruct"):
            path = tmp_path / f"{kind}.dcm"
            session.save(path, dicom=kind)
            saved = sixpoint.InitialMask.read(path, label="Spleen").on_grid(session.geometry)
            assert np.array_equal(unpack(saved.packed, session.geometry.size), mask.array)
            assert all(secret.encode() in path.read_bytes() for secret in SECRETS)
        with pytest.raises(sixpoint.SixpointError) as caught:
            session.save(series / "1-001.dcm")
        files = [path for path in state.rglob("*") if path.is_file()]
        assert files
        for path in files:
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in hidden), path
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err, str(caught.value)):
        assert not any(secret in text for secret in hidden)
