"""Masks over MONAI Label's dialect: those of gRPC, to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from gateway.triton.local.server import LocalTriton
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.sites import HttpSite, read_mask, split_form
from tests.gateway.prompts import POINTS
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

SIX = POINTS.astype(int).tolist()
ADDED, TAKEN = [4, 17, 16], [20, 17, 16]
# An oblique image whose axes run leftwards, downwards and backwards.
OBLIQUE = Volume(
    noisy_volume().array,
    Geometry(
        size=(40, 36, 32),
        spacing=(0.7, 0.9, 2.5),
        origin=(12.5, -80, 33),
        direction=(0, 0.6, 0.8, -1, 0, 0, 0, -0.8, 0.6),
    ),
)


def digest(mask: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(mask, np.uint8).tobytes()).hexdigest()


def over_grpc(gateway: Gateway, image: Volume, *steps: Sequence[sixpoint.Click | ExtremePoints]) -> list[str]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(image) as session:
        return [digest(session.annotate(*prompts).array) for prompts in steps]


@pytest.mark.parametrize(
    ("image", "suffix"), [(noisy_volume(), ".nii.gz"), (OBLIQUE, ".nrrd")], ids=["plain", "oblique"]
)
def test_clicks_give_the_masks_of_grpc(
    http_gateway: Gateway, site: HttpSite, tmp_path: Path, image: Volume, suffix: str
) -> None:
    file = tmp_path / f"Erika Mustermann{suffix}"
    image.write(file)
    session = site.open_session(file)

    def mask(foreground: list[list[int]], background: list[list[int]], result: str = ".nrrd") -> str:
        params = {"label": "liver", "foreground": foreground, "background": background, "result_extension": result}
        answer, content = split_form(site.infer("annotation", params, session_id=session))
        assert answer["label_names"] == {"liver": 1}
        return digest(read_mask(content, tmp_path / f"mask{result}", image))

    six, one_more, one_less = over_grpc(
        http_gateway, image, [ExtremePoints(SIX)], [Click(tuple(ADDED))], [Click(tuple(TAKEN), False)]
    )
    assert len({six, one_more, one_less}) == 3
    assert mask(SIX, []) == six
    assert mask([*SIX, ADDED], []) == one_more
    assert mask([*SIX, ADDED], [TAKEN], ".nii.gz") == one_less
    # Asked again, and after the last point was removed.
    assert mask([*SIX, ADDED], [TAKEN]) == one_less
    assert mask(SIX, []) == six


def test_a_mask_comes_with_the_sixth_point(site: HttpSite, tmp_path: Path) -> None:
    noisy_volume().write(tmp_path / "a.nrrd")
    session = site.open_session(tmp_path / "a.nrrd")
    for count in (1, 5):
        params = {"foreground": SIX[:count], "background": [], "result_extension": ".nrrd"}
        answer, content = split_form(site.infer("annotation", params, session_id=session))
        assert not read_mask(content, tmp_path / "mask.nrrd", noisy_volume()).any()
        assert answer["message"] == f"{count} of 6 extreme points are set; the mask comes with the last"


def test_each_label_is_a_segment_of_the_windows_session(http_gateway: Gateway, site: HttpSite, tmp_path: Path) -> None:
    image = noisy_volume((40, 36, 33))
    image.write(tmp_path / "a.nrrd")
    windows = [site.open_session(tmp_path / "a.nrrd") for _ in range(2)]
    for window, label in ((0, "liver"), (0, "spleen"), (0, "liver"), (1, "kidney")):
        params = {"label": label, label: SIX, "background": []}
        split_form(site.infer("annotation", params, session_id=windows[window]))
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client:
        sessions = [session for session in client.sessions() if session.image_digest == image.digest]
    segments = [[(segment.name, segment.steps) for segment in session.segments] for session in sessions]
    assert sorted(segments) == [[("kidney", 1)], [("liver", 1), ("spleen", 1)]]


def test_an_image_in_the_call_is_answered_in_its_own_kind(
    site: HttpSite, http_gateway: Gateway, tmp_path: Path
) -> None:
    # MITK sends the image with each click, and looks for these headers.
    noisy_volume().write(tmp_path / "post_from_mitk.nii.gz")
    files = {
        "params": (None, json.dumps({"foreground": SIX, "background": [], "reset_state": True})),
        "file": ("post_from_mitk.nii.gz", (tmp_path / "post_from_mitk.nii.gz").read_bytes()),
    }
    answer = site.request("POST", "/infer/annotation", files=files)
    _, content = split_form(answer)
    mask = read_mask(content, tmp_path / "mask.nii.gz", noisy_volume())
    assert [digest(mask)] == over_grpc(http_gateway, noisy_volume(), [ExtremePoints(SIX)])
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_only_the_file_or_only_the_parameters(site: HttpSite, tmp_path: Path) -> None:
    # OHIF asks for the bare file, not compressed, and copies its voxels.
    noisy_volume().write(tmp_path / "a.nrrd")
    session = site.open_session(tmp_path / "a.nrrd")
    params = {"label": "object", "object": SIX, "background": [], "result_extension": ".nrrd", "result_compress": False}
    answer = site.infer("annotation", params, session_id=session, query="&output=image")
    head, _, voxels = answer.content.partition(b"\n\n")
    assert b"encoding: raw" in head
    mask = read_mask(answer.content, tmp_path / "mask.nrrd", noisy_volume())
    assert np.array_equal(np.frombuffer(voxels, np.uint8), mask.ravel())
    larger = site.infer("annotation", {**params, "result_dtype": "uint16"}, session_id=session, query="&output=image")
    assert np.array_equal(np.frombuffer(larger.content.partition(b"\n\n")[2], "<u2"), mask.ravel())
    assert site.infer("annotation", params, session_id=session, query="&output=json").json()["label_names"] == {
        "object": 1
    }


def test_a_segmentation_is_that_of_grpc(http_gateway: Gateway, site: HttpSite, tmp_path: Path) -> None:
    image = noisy_volume((48, 56, 48))
    image.write(tmp_path / "a.nrrd")
    session = site.open_session(tmp_path / "a.nrrd")
    answer, content = split_form(
        site.infer("segmentation_hippocampus", {"result_extension": ".nrrd"}, session_id=session)
    )
    assert answer["label_names"] == {"anterior": 1, "posterior": 2}
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client:
        expected = client.segment(image, model="segmentation_hippocampus").labels
    assert np.array_equal(read_mask(content, tmp_path / "labels.nrrd", image), expected)


def test_a_window_goes_on_at_another_gateway(triton: LocalTriton, tmp_path: Path) -> None:
    image = noisy_volume()
    image.write(tmp_path / "a.nrrd")
    settings: dict[str, Any] = {"triton_url": triton.address, "http_port": 0, "state_folder": tmp_path / "state"}
    masks, session = list[str](), ""
    for foreground in (SIX, [*SIX, ADDED]):
        with running_gateway(**settings) as gateway:
            site = HttpSite.of(gateway)
            session = session or site.open_session(tmp_path / "a.nrrd")
            _, content = split_form(site.infer("annotation", {"foreground": foreground}, session_id=session))
            masks.append(digest(read_mask(content, tmp_path / "mask.nrrd", image)))
            with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
                steps = [segment.steps for each in client.sessions() for segment in each.segments]
    assert steps == [2]
    assert len(set(masks)) == 2
