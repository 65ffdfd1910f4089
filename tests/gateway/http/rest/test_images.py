"""Images over the API: files, voxels, and uploads that are continued."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gateway.server import Gateway
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api, image_header, upload
from tests.support.images import noisy_volume
from tests.support.orthanc import write_ct_series

SIZE = (24, 20, 16)


def volume(seed: int) -> Volume:
    values = np.random.default_rng(seed).normal(100, 20, SIZE[::-1]).astype(np.int16)
    return Volume(values, Geometry(SIZE, spacing=(0.7, 0.8, 2.5), origin=(0.1, -3, 7)))


def headers(image: Volume, **more: str) -> dict[str, str]:
    return {"sixpoint-image": image_header(image), **{name.replace("_", "-"): value for name, value in more.items()}}


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha"])
def test_files_are_read_as_the_sdk_reads_them(api: Api, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Erika Mustermann.{suffix}"
    noisy_volume().write(path)
    expected = Volume.read(path)
    made = upload(api, path)
    assert (made["digest"], made["geometry"]["size"]) == (expected.digest, list(expected.geometry.size))
    in_form = api.request("POST", "/images", files={"file": (path.name, path.read_bytes())})
    assert (in_form.status_code, in_form.json()) == (201, made)
    assert in_form.headers["location"] == f"images/{expected.digest}"
    assert api.json("GET", f"/images/{expected.digest}") == made


def test_voxels_come_in_one_body(api: Api) -> None:
    image = volume(1)
    path = f"/images/{image.digest}"
    assert api.problem("GET", path, status=404)["reason"] == "IMAGE_NOT_FOUND"
    made = api.request("PUT", path, content=image.array.tobytes(), headers=headers(image))
    assert (made.status_code, made.json()["voxel_type"]) == (201, "VOXEL_TYPE_INT16"), made.text
    assert api.json("GET", path)["byte_count"] == image.array.nbytes
    assert api.json("GET", f"{path}/upload") == {"received_byte_count": image.array.nbytes}


def test_an_upload_is_continued(api: Api) -> None:
    image = volume(2)
    path, voxels = f"/images/{image.digest}", image.array.tobytes()
    total = len(voxels)
    for begin, end in itertools.pairwise([0, 1000, 5001, total]):
        assert api.json("GET", f"{path}/upload") == {"received_byte_count": begin}
        named = headers(image, content_range=f"bytes {begin}-{end - 1}/{total}")
        answer = api.request("PUT", path, content=voxels[begin:end], headers=named)
        if end < total:
            assert (answer.status_code, answer.json()) == (202, {"received_byte_count": end})
    assert (answer.status_code, answer.json()["digest"]) == (201, image.digest)


def test_a_chunk_in_the_wrong_place_is_refused(api: Api) -> None:
    image = volume(3)
    path, voxels = f"/images/{image.digest}", image.array.tobytes()
    total = len(voxels)
    for text in ("bytes 0-9", "bytes 9-0/*", f"bytes 0-{total}/*", f"bytes 0-9/{total + 1}", "items 0-9/10", "x" * 99):
        given = headers(image, content_range=text)
        problem = api.problem("PUT", path, status=400, content=voxels[:10], headers=given)
        assert problem["violations"][0]["field"] == "Content-Range"
    after = headers(image, content_range=f"bytes 100-109/{total}")
    assert api.problem("PUT", path, status=400, content=voxels[:10], headers=after)["reason"] == "INVALID_UPLOAD"
    short = headers(image, content_range=f"bytes 0-99/{total}")
    assert "announced 100" in api.problem("PUT", path, status=400, content=voxels[:10], headers=short)["detail"]


def test_voxels_that_are_not_those_announced_are_refused(api: Api) -> None:
    image, other = volume(4), volume(5)
    path = f"/images/{image.digest}"
    voxels = other.array.tobytes()
    assert api.problem("PUT", path, status=400, content=voxels, headers=headers(image))["reason"] == "CHECKSUM_MISMATCH"
    for content in (voxels[:-1], voxels + b"x"):
        problem = api.problem("PUT", path, status=400, content=content, headers=headers(image))
        assert problem["reason"] == "INVALID_UPLOAD"


@pytest.mark.parametrize("form", ["raw", "nii.gz", "nii", "nrrd"])
@pytest.mark.parametrize("kind", ["i1", "u2", "i2", "f4"])
def test_images_are_downloaded(api: Api, tmp_path: Path, form: str, kind: str) -> None:
    values = np.random.default_rng(9).integers(0, 100, (70, 90, 110)).astype(kind)
    image = Volume(values, Geometry((110, 90, 70), spacing=(0.5, 0.75, 2.5), origin=(0.5, -3, 7)))
    path = f"/images/{image.digest}"
    made = api.request("PUT", path, content=image.array.tobytes(), headers=headers(image))
    assert made.status_code == 201
    answer = api.get(f"{path}/voxels?format={form}")
    assert (answer.status_code, json.loads(answer.headers["sixpoint-image"])) == (200, made.json())
    assert ("content-length" in answer.headers) == (form != "nii.gz")
    if form == "raw":
        assert answer.content == image.array.tobytes()
        return
    file = tmp_path / f"image.{form}"
    file.write_bytes(answer.content)
    back = Volume.read(file)
    # All numbers of this geometry are exact in single precision.
    assert (back.digest, back.array.dtype) == (image.digest, image.array.dtype)


def test_what_cannot_be_downloaded_is_said(api: Api, image: Volume) -> None:
    assert api.problem("GET", f"/images/{'0' * 64}/voxels", status=404)["reason"] == "IMAGE_NOT_FOUND"
    for query in ("format=dcm", "frob=1", "format=raw&format=nii"):
        assert api.problem("GET", f"/images/{image.digest}/voxels?{query}", status=400)["violations"]
    json_only = {"accept": "application/json"}
    assert api.problem("GET", f"/images/{image.digest}/voxels", status=406, headers=json_only)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        (None, "Sixpoint-Image"),
        ("{", ""),
        ('{"voxel_type": "VOXEL_TYPE_INT16"}', "header"),
        ('{"geometry": {"size": [1, 1]}, "voxel_type": "VOXEL_TYPE_INT16"}', "header"),
        ('{"digest": "x"}', "digest"),
    ],
)
def test_a_wrong_header_is_refused(api: Api, header: str | None, field: str) -> None:
    given = {} if header is None else {"sixpoint-image": header}
    problem = api.problem("PUT", f"/images/{'0' * 64}", status=400, content=b"", headers=given)
    assert problem["violations"][0]["field"].startswith(field)


def test_what_is_no_image_is_refused_in_words(api: Api) -> None:
    assert api.problem("POST", "/images", status=400, content=b"x")["violations"][0]["field"] == "format"
    assert api.problem("POST", "/images?format=exe", status=400, content=b"x")["violations"][0]["field"] == "format"
    for content in (b"", b"not an image", b"\x1f\x8b\x08\x00"):
        problem = api.problem("POST", "/images?format=nii.gz", status=400, content=content)
        assert (problem["reason"], "/tmp" in problem["detail"]) == ("INVALID_VOLUME", False)
    two = [("file", ("a.nii", b"x")), ("file", ("b.nii", b"x"))]
    problem = api.problem("POST", "/images", status=400, files=two)
    assert "no DICOM image" in problem["detail"]
    assert "no file" in api.problem("POST", "/images", status=400, files={"file": (None, "x")})["detail"]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a DICOM series, with the name of a patient in their names."""
    folder = tmp_path_factory.mktemp("series")
    write_ct_series(folder, volume(9))
    for path in list(folder.iterdir()):
        path.rename(folder / f"Mustermann {path.name}")
    return folder


def packed(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in entries.items():
            target.writestr(name, data)
    return content.getvalue()


def test_a_dicom_series_comes_as_a_zip_or_as_files(api: Api, series: Path) -> None:
    expected = Volume.read(series)
    entries = {f"a/b/../{path.name}": path.read_bytes() for path in series.iterdir()}
    extra = {"__MACOSX/._x": b"x", ".DS_Store": b"x", "DICOMDIR": b"x", "../../x/": b""}
    made = api.request("POST", "/images?format=zip", content=packed({**entries, **extra}))
    assert (made.status_code, made.json()["digest"]) == (201, expected.digest), made.text
    files = [("files", (name, content)) for name, content in entries.items()]
    in_form = api.request("POST", "/images", files=files)
    assert (in_form.status_code, in_form.json()) == (201, made.json()), in_form.text


def test_hostile_zips_are_refused_in_words(api: Api, http_gateway: Gateway, series: Path) -> None:
    name, content = next((path.name, path.read_bytes()) for path in series.iterdir())
    whole = packed({name: content})
    for hostile, words in (
        (b"", "zip cannot be read"),
        (b"PK\x03\x04", "zip cannot be read"),
        (whole[: len(whole) // 2], "zip cannot be read"),
        (whole[:60] + bytes(40) + whole[100:], "cannot be read"),
        (packed({}), "no DICOM image"),
        (packed({"a.zip": whole}), "no DICOM image"),
        # A bomb: 100 MiB of zeros in 100 KiB.
        (packed({"a.dcm": content + bytes(100 * 2**20)}), "more bytes"),
        (packed({f"{number}": b"" for number in range(20_001)}), "20001 files"),
    ):
        problem = api.problem("POST", "/images?format=zip", status=400, content=hostile)
        assert (problem["reason"], words in problem["detail"]) == ("INVALID_VOLUME", True), problem
        assert "/" not in problem["detail"]
    assert not list((http_gateway._settings.cache_folder / "http").iterdir())
