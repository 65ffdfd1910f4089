"""Series of a PACS as images: what OHIF asks for, and the masks of gRPC."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("dicomweb_client")

import sixpoint
from gateway.http.dicomweb.pacs import Pacs
from gateway.http.dicomweb.series import SeriesImages
from gateway.http.requests.spool import SpoolFolder
from gateway.server import Gateway
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.dicomweb.conftest import OBLIQUE, Hospital
from tests.gateway.http.sites import HttpSite
from tests.gateway.prompts import POINTS
from tests.support.orthanc import PATIENT, store_files, write_ct_series

SIX = POINTS.astype(int).tolist()
ADDED, TAKEN = [4, 17, 16], [20, 17, 16]


def ask(
    site: HttpSite, series: str, foreground: object, background: object = (), model: str = "annotation"
) -> httpx.Response:
    """Ask as OHIF does."""
    params = {
        "label": "liver",
        "foreground": foreground,
        "background": list(background),  # type: ignore[call-overload]
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
        "result_compress": False,
    }
    return site.request(
        "POST", f"/infer/{model}?image={series}&output=image", files={"params": (None, json.dumps(params))}
    )


def test_masks_are_those_of_grpc_slice_by_slice(ward: Gateway, ward_site: HttpSite, hospital: Hospital) -> None:
    stored = Volume.read(hospital.files)
    # Index 0 is the slice that lies lowest along the normal, as viewers order slices.
    assert np.array_equal(stored.array, OBLIQUE.array)
    with sixpoint.Client(f"127.0.0.1:{ward.port}") as client, client.open_session(stored) as session:
        expected = [
            session.annotate(ExtremePoints(SIX)).array,
            session.annotate(Click(tuple(ADDED))).array,
            session.annotate(Click(tuple(TAKEN), False)).array,
        ]
    for mask, points in zip(expected, ((SIX,), ([*SIX, ADDED],), ([*SIX, ADDED], [TAKEN])), strict=True):
        answer = ask(ward_site, hospital.place.series, *points)
        head, _, voxels = answer.content.partition(b"\n\n")
        assert answer.status_code == 200
        assert b"encoding: raw" in head
        assert np.array_equal(np.frombuffer(voxels, np.uint8), mask.ravel())


def test_a_series_is_fetched_once(
    ward_site: HttpSite, hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, runs, run = write_ct_series(tmp_path / "new", OBLIQUE), list[str](), SeriesImages._fetch_files

    async def counted(images: SeriesImages, order: dict[str, str], folder: SpoolFolder) -> bytes:
        runs.append(order["series"])
        return await run(images, order, folder)

    monkeypatch.setattr(SeriesImages, "_fetch_files", counted)
    store_files(hospital.orthanc, tmp_path / "new")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(ward_site, place.series, SIX), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert runs == [place.series]


def test_a_series_is_known_by_its_uid_afterwards(ward_site: HttpSite, hospital: Hospital) -> None:
    assert ask(ward_site, hospital.place.series, SIX).status_code == 200
    answer = ward_site.get(f"/datastore/image/info?image={hospital.place.series}")
    assert (answer.status_code, hospital.place.series in answer.text) == (200, False)


def test_a_fetch_that_is_given_up_keeps_nobody_waiting(ward_site: HttpSite, hospital: Hospital, tmp_path: Path) -> None:
    place = write_ct_series(tmp_path / "new", OBLIQUE)
    store_files(hospital.orthanc, tmp_path / "new")
    with pytest.raises(httpx.ReadTimeout), httpx.Client(trust_env=False, timeout=0.3) as impatient:
        impatient.post(
            f"{ward_site.url}/infer/annotation?image={place.series}&output=image",
            files={"params": (None, json.dumps({"label": "liver", "foreground": SIX, "background": []}))},
        )
    assert ask(ward_site, place.series, SIX).status_code == 200


def test_a_series_that_has_grown_is_fetched_anew(
    ward_site: HttpSite, hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.http.dicomweb.series._FRESH_S", 0.0)
    place = write_ct_series(tmp_path / "new", OBLIQUE)
    late = (tmp_path / "new" / "0001.dcm").rename(tmp_path / "late.dcm")
    store_files(hospital.orthanc, tmp_path / "new")
    sizes = []
    for more in (None, late):
        if more:
            hospital.orthanc.upload(more.read_bytes())
        sizes.append(len(ask(ward_site, place.series, SIX).content.partition(b"\n\n")[2]))
    assert sizes == [40 * 36 * 31, 40 * 36 * 32]


def test_what_is_no_series_is_refused_in_words(
    ward_site: HttpSite, hospital: Hospital, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gap = write_ct_series(tmp_path / "gap", OBLIQUE)
    (tmp_path / "gap" / "0004.dcm").unlink()
    store_files(hospital.orthanc, tmp_path / "gap")
    for series, code, words in (
        ("1.2.3", 404, "has no such series"),
        ("4711", 404, "no image has this id"),
        ("1.2.3&SeriesInstanceUID=1", 404, "has no such series"),
        ("../../system", 404, "no image has this id"),
        (gap.series, 400, "the series: the slice with instance number"),
        (hospital.place.study, 404, "has no such series"),
    ):
        answer = ask(ward_site, series, SIX)
        assert (answer.status_code, words in answer.json()["detail"]) == (code, True), answer.text
        assert series not in answer.json()["detail"]
    for secret in (gap.series, gap.study, hospital.place.study, PATIENT, "s3cret"):
        assert secret not in caplog.text


def test_a_pacs_that_is_gone_is_unavailable(
    ward_site: HttpSite, hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_ct_series(tmp_path / "new", OBLIQUE)
    store_files(hospital.orthanc, tmp_path / "new")
    find = Pacs.find_series

    async def find_and_lose(pacs: Pacs, uid: str) -> object:
        found = await find(pacs, uid)
        # The gateway is that of all tests: it finds its server again when this one ends.
        monkeypatch.setattr(pacs, "access", replace(pacs.access, url="http://127.0.0.1:1/dicom-web"))
        return found

    monkeypatch.setattr(Pacs, "find_series", find_and_lose)
    url = hospital.orthanc.url
    answer = ask(ward_site, place.series, SIX)
    assert (answer.status_code, answer.json()["reason"]) == (503, "UNAVAILABLE")
    assert url not in answer.text


def test_the_next_image_comes_with_its_series(
    ward: Gateway, ward_site: HttpSite, hospital: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(OBLIQUE.array + np.int16(7), OBLIQUE.geometry)
    place = write_ct_series(tmp_path / "next", volume)
    store_files(hospital.orthanc, tmp_path / "next")
    # Fewer than six points: the series is fetched, and no session is begun.
    assert ask(ward_site, place.series, SIX[:1]).status_code == 200

    def next_image() -> dict[str, object]:
        answer = ward_site.request("POST", "/activelearning/first", json={"client_id": "ohif"}, headers=OTHER)
        assert answer.status_code == 200
        return answer.json()

    with sixpoint.Client(f"127.0.0.1:{ward.port}", owner="radiologist") as client, client.open_session(volume):
        sample = next_image()
        assert sample["id"] == volume.digest
        assert {name: sample.get(name) for name in (*SERIES, "client_id")} == {**SERIES, "client_id": None} | {
            "StudyInstanceUID": place.study,
            "SeriesInstanceUID": place.series,
        }
        assert sample["strategy"]["first"]["client_id"] == "ohif"  # type: ignore[index]
        # Another series with the same voxels, maybe of another patient.
        twin = write_ct_series(tmp_path / "twin", volume)
        store_files(hospital.orthanc, tmp_path / "twin")
        assert ask(ward_site, twin.series, SIX[:1]).status_code == 200
        assert not set(SERIES) & set(next_image())
    assert place.series.encode() not in b"".join(path.read_bytes() for path in files_of(ward))


SERIES = {
    "PatientID": "4711",
    "Modality": "CT",
    "StudyDate": "20260101",
    "StudyTime": "120000",
    "StudyInstanceUID": "",
    "SeriesInstanceUID": "",
}
OTHER = {"sixpoint-owner": "radiologist"}


def files_of(ward: Gateway) -> list[Path]:
    """Return the files of a gateway's state: its database, images and logs."""
    return [path for path in ward._settings.state_folder.rglob("*") if path.is_file()]
