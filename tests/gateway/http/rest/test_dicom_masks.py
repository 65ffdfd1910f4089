"""Masks as DICOM over the API: the series is sent again, and what comes back refers to it, voxel by voxel."""

from __future__ import annotations

import contextlib
import http.client
import io
import zipfile
from pathlib import Path
from typing import Any

import highdicom
import httpx
import numpy as np
import pydicom
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Bools
from sixpoint.geometry import Geometry
from sixpoint.prompts import InitialMask
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api, click, read_box, six_points
from tests.support.dicom_readers import read_by_dcmqi, read_by_highdicom
from tests.support.images import noisy_volume
from tests.support.orthanc import PATIENT, write_ct_series

NAMES = {1: "liver", 3: "Left kidney"}


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    write_ct_series(folder, noisy_volume())
    return folder


@pytest.fixture(scope="module")
def image(series: Path) -> Volume:
    return Volume.read(series)


@pytest.fixture(scope="module")
def session(api: Api, image: Volume, series: Path) -> str:
    """A session with two objects that overlap, and an empty segment."""
    made = api.request("POST", "/images?format=zip", content=zipped(series))
    assert (made.status_code, made.json()["digest"]) == (201, image.digest), made.text
    opened = api.open(image)
    for number in NAMES:
        api.json("POST", f"/sessions/{opened}/segments/{number}/prompts", {"prompts": [six_points()]})
    inside = [x // 2 for x in image.geometry.size]
    api.json("POST", f"/sessions/{opened}/segments/3/prompts", {"prompts": [click(inside, positive=False)]})
    api.json("POST", f"/sessions/{opened}/segments/7/prompts", {"prompts": [six_points()]})
    api.json("POST", f"/sessions/{opened}/segments/7/undo")
    names = [{"number": number, "name": name} for number, name in NAMES.items()]
    api.json("PATCH", f"/sessions/{opened}", {"segments": names})
    return opened


def zipped(folder: Path, *, leave_out: int = 0) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for path in sorted(folder.iterdir())[leave_out:]:
            target.write(path, f"{PATIENT}/{path.name}")
    return content.getvalue()


def save(api: Api, session: str, series: Path, query: str = "", **options: Any) -> httpx.Response:
    given = options or {"content": zipped(series)}
    return api.request("POST", f"/sessions/{session}/mask{query}", **given)


def masks_of(api: Api, session: str, image: Volume) -> dict[int, Bools]:
    masks = {
        number: read_box(api.get(f"/sessions/{session}/segments/{number}/mask?format=box"), image).view(np.bool_)
        for number in NAMES
    }
    assert all(mask.any() for mask in masks.values())
    return masks


def test_highdicom_reads_the_voxels_back(api: Api, session: str, series: Path, image: Volume, tmp_path: Path) -> None:
    answer = save(api, session, series, "?creator=Doe^John")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom"), answer.text
    assert (answer.headers["cache-control"], answer.headers["etag"][0]) == ("no-store", '"')
    path = tmp_path / "mask.dcm"
    path.write_bytes(answer.content)
    segmentation = highdicom.seg.segread(path)
    source = pydicom.dcmread(next(series.iterdir()))
    assert segmentation.StudyInstanceUID == source.StudyInstanceUID
    assert (segmentation.PatientName, segmentation.ContentCreatorName) == (PATIENT, "Doe^John")
    assert [each.SegmentLabel for each in segmentation.SegmentSequence] == list(NAMES.values())
    kind = segmentation.SegmentSequence[0].SegmentAlgorithmType
    assert (kind, segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName) == (
        "SEMIAUTOMATIC",
        "annotation",
    )
    read = read_by_highdicom(path, image.geometry)
    assert all(np.array_equal(read[NAMES[number]], mask) for number, mask in masks_of(api, session, image).items())


def test_dcmqi_reads_the_voxels_back(api: Api, session: str, series: Path, image: Volume, tmp_path: Path) -> None:
    path = tmp_path / "mask.dcm"
    path.write_bytes(save(api, session, series).content)
    read = read_by_dcmqi(path, image.geometry, folder=tmp_path)
    assert all(np.array_equal(read[NAMES[number]], mask) for number, mask in masks_of(api, session, image).items())


@pytest.mark.parametrize(("kind", "way"), [("seg", "form"), ("labelmap", "zip"), ("rtstruct", "zip")])
def test_every_kind_is_read_back(
    api: Api, session: str, series: Path, image: Volume, tmp_path: Path, kind: str, way: str
) -> None:
    files = [("files", (path.name, path.read_bytes())) for path in series.iterdir()]
    given = {"files": files} if way == "form" else {"content": zipped(series)}
    answer = save(api, session, series, f"?format={kind}&segment=3", **given)
    assert answer.status_code == 200, answer.text
    path = tmp_path / "mask.dcm"
    path.write_bytes(answer.content)
    mask = InitialMask.read(path, label="Left kidney").on_grid(image.geometry)
    got = np.zeros(image.geometry.shape, bool)
    (x0, y0, z0), (x1, y1, z1) = mask.packed.lower, mask.packed.upper
    got[z0:z1, y0:y1, x0:x1] = sixpoint.mask.voxels_of(mask.packed)
    assert np.array_equal(got, masks_of(api, session, image)[3])


def test_other_series_are_refused_in_words(
    api: Api, http_gateway: Gateway, session: str, series: Path, tmp_path: Path
) -> None:
    other, moved, nameless = tmp_path / "other", tmp_path / "moved", tmp_path / "nameless"
    volume = noisy_volume()
    changed = volume.array.copy()
    changed[0, 0, 0] += 1
    write_ct_series(other, Volume(changed, volume.geometry))
    shifted = Geometry(volume.geometry.size, volume.geometry.spacing, (1, 2, 3), volume.geometry.direction)
    write_ct_series(moved, Volume(volume.array, shifted))
    write_ct_series(nameless, volume)
    for path in nameless.iterdir():
        header = pydicom.dcmread(path)
        header.SOPInstanceUID = ""
        header.save_as(path)
    whole = zipped(series)
    for content, words in (
        (zipped(other), "does not hold the image"),
        (zipped(moved), "does not hold the image"),
        (zipped(nameless), "SOPInstanceUID is missing or empty"),
        (whole[: len(whole) // 2], "cannot be read"),
        (b"not DICOM", "neither a zip of DICOM files nor a DICOM file"),
        (b"", "neither a zip of DICOM files nor a DICOM file"),
    ):
        problem = api.problem("POST", f"/sessions/{session}/mask", status=400, content=content)
        assert (problem["reason"], words in problem["detail"]) == ("INVALID_VOLUME", True), problem
        assert not {"/", "Mustermann"} & set(problem["detail"].split()), problem
        assert str(http_gateway._settings.cache_folder) not in problem["detail"]
    assert not list((http_gateway._settings.cache_folder / "http").iterdir())


def test_what_cannot_be_saved_is_said(api: Api, session: str, series: Path, image: Volume) -> None:
    content = zipped(series)
    path = f"/sessions/{session}/mask"
    problem = api.problem("POST", f"{path}?format=labelmap", status=400, content=content)
    assert "overlaps" in problem["detail"]
    for query, field in (
        ("format=nrrd", "format"),
        ("segment=0", "segment"),
        ("segment=256", "segment"),
        ("segment=x", "segment"),
        ("segment=%C2%B2", "segment"),
        ("creator=a%5Cb", "creator"),
        (f"creator={'x' * 65}", "creator"),
        ("frob=1", "frob"),
        ("segment=1&segment=3", "segment"),
    ):
        problem = api.problem("POST", f"{path}?{query}", status=400, content=content)
        assert problem["violations"][0]["field"] == field
    assert "nothing to write" in api.problem("POST", f"{path}?segment=7", status=409, content=content)["detail"]
    assert api.problem("POST", f"/sessions/{'x' * 26}/mask", status=404, content=content)["reason"]
    assert "no file" in api.problem("POST", path, status=400, files={"file": (None, "x")})["detail"]


def test_a_body_of_10_gib_is_refused_by_its_announced_size(api: Api, session: str) -> None:
    address = httpx.URL(api.url)
    connection = http.client.HTTPConnection(address.host, address.port, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest("POST", f"{address.path}/sessions/{session}/mask")
        connection.putheader("Content-Length", str(10 * 2**30))
        connection.endheaders()
        # Nothing of it is sent.
        assert connection.getresponse().status == 413
