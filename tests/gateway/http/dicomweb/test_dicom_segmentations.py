"""``output=dicom_seg``: a SEG of a series of the PACS, read back voxel by voxel."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import highdicom
import httpx
import numpy as np
import pydicom
import pytest

pytest.importorskip("dicomweb_client")

import sixpoint
from gateway.server import Gateway
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.dicomweb.conftest import Hospital
from tests.gateway.http.sites import HttpSite
from tests.gateway.prompts import POINTS
from tests.support.dicom_readers import read_by_highdicom
from tests.support.images import noisy_volume
from tests.support.orthanc import PATIENT, store_files, write_ct_series

SIX = POINTS.astype(int).tolist()


def ask(site: HttpSite, query: str, params: object, *, model: str = "annotation", **files: object) -> httpx.Response:
    form = {"params": (None, json.dumps(params)), **files}
    return site.request("POST", f"/infer/{model}?output=dicom_seg{query}", files=form)


def points(**more: object) -> dict[str, object]:
    return {"label": "liver", "foreground": SIX, "background": [], **more}


def test_highdicom_reads_an_object_back(
    ward: Gateway, ward_site: HttpSite, hospital: Hospital, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stored = Volume.read(hospital.files)
    with sixpoint.Client(f"127.0.0.1:{ward.port}") as client, client.open_session(stored) as session:
        expected = session.annotate(ExtremePoints(SIX)).array
    # As MONAI Label's clients name a segment: the first entry is that of the first label.
    for params, name in (
        (points(), "liver"),
        (points(label_info=[{"name": "Left kidney", "description": "seen by Ada", "color": [1, 2, 3]}]), "Left kidney"),
        (points(label_info=[{"name": "spleen", "idx": 1}]), "spleen"),
    ):
        answer = ask(ward_site, f"&image={hospital.place.series}", params)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom"), answer.text
        assert (answer.headers["cache-control"], "label.dcm" in answer.headers["content-disposition"]) == (
            "no-store",
            True,
        )
        path = tmp_path / "label.dcm"
        path.write_bytes(answer.content)
        segmentation = highdicom.seg.segread(path)
        source = pydicom.dcmread(next(hospital.files.iterdir()))
        assert segmentation.StudyInstanceUID == source.StudyInstanceUID
        referenced = segmentation.ReferencedSeriesSequence[0]
        assert referenced.SeriesInstanceUID == hospital.place.series
        (description,) = segmentation.SegmentSequence
        assert (description.SegmentLabel, description.SegmentAlgorithmType) == (name, "SEMIAUTOMATIC")
        assert np.array_equal(read_by_highdicom(path, stored.geometry)[name], expected > 0)
    for secret in (PATIENT, hospital.place.series, "s3cret"):
        assert secret not in caplog.text
    assert not list((ward._settings.cache_folder / "http").iterdir())


def test_a_model_without_prompts_writes_all_its_labels(
    ward: Gateway, ward_site: HttpSite, hospital: Hospital, tmp_path: Path
) -> None:
    image = noisy_volume((48, 56, 48))
    place = write_ct_series(tmp_path / "series", image)
    store_files(hospital.orthanc, tmp_path / "series")
    answer = ask(ward_site, f"&image={place.series}", {}, model="segmentation_hippocampus")
    assert answer.status_code == 200, answer.text
    (tmp_path / "label.dcm").write_bytes(answer.content)
    with sixpoint.Client(f"127.0.0.1:{ward.port}") as client:
        expected = client.segment(image, model="segmentation_hippocampus").labels
    read = read_by_highdicom(tmp_path / "label.dcm", image.geometry)
    assert read
    for number, name in enumerate(("anterior", "posterior"), start=1):
        assert np.array_equal(read.get(name, np.zeros(expected.shape, bool)), expected == number)
    kinds = {each.SegmentAlgorithmType for each in highdicom.seg.segread(tmp_path / "label.dcm").SegmentSequence}
    assert kinds == {"AUTOMATIC"}


def test_what_cannot_be_written_is_said(
    ward_site: HttpSite, site: HttpSite, hospital: Hospital, tmp_path: Path
) -> None:
    noisy_volume().write(tmp_path / "a.nrrd")
    file = ("a.nrrd", (tmp_path / "a.nrrd").read_bytes())
    session = HttpSite.open_session(ward_site, tmp_path / "a.nrrd")
    series = f"&image={hospital.place.series}"
    for answer, code, words in (
        (ask(ward_site, f"&session_id={session}", points()), 400, "image=SeriesInstanceUID"),
        (ask(ward_site, f"{series}&session_id={session}", points()), 400, "image=SeriesInstanceUID"),
        (ask(ward_site, series, points(), file=file), 400, "image=SeriesInstanceUID"),
        (ask(ward_site, "", points()), 400, "image=SeriesInstanceUID"),
        (ask(ward_site, f"&image={session.partition('.')[0]}", points()), 400, "image=SeriesInstanceUID"),
        (ask(ward_site, "&image=1.2.3", points()), 404, "has no such series"),
        (ask(ward_site, series, points(foreground=SIX[:2])), 409, "2 of 6 extreme points are set"),
        (ask(ward_site, series, points(label_info=[{"name": 5}])), 400, "label_info"),
        (ask(ward_site, series, points(label_info="liver")), 400, "label_info"),
        (ask(site, series, points()), 409, "SIXPOINT_DICOMWEB_URL"),
    ):
        assert (answer.status_code, words in answer.json()["detail"]) == (code, True), answer.text
    other = ask(ward_site, series, points()).request.url.copy_merge_params({"output": "nrrd"})
    wrong = httpx.post(other, files={"params": (None, json.dumps(points()))}, trust_env=False)
    assert "expected dicom_seg, image, json or all" in wrong.json()["detail"]
