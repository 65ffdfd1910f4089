"""Masks over AIAA's dialect: those of gRPC, to the bit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import sixpoint
from gateway.http.windows.beginning import begin_at
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.http.objects import masks_step_by_step
from tests.gateway.http.sites import read_mask
from tests.gateway.prompts import POINTS
from tests.support.images import noisy_volume
from tests.support.models import DEAF_SPEC

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


def over_grpc(gateway: Gateway, image: Volume, *steps: Sequence[Click | ExtremePoints]) -> list[Array]:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(image) as session:
        return [session.annotate(*prompts).array for prompts in steps]


@pytest.mark.parametrize("image", [noisy_volume(), OBLIQUE], ids=["plain", "oblique"])
def test_boundary_points_give_the_mask_of_grpc(
    http_gateway: Gateway, aiaa: AiaaSite, tmp_path: Path, image: Volume
) -> None:
    file = tmp_path / "a.nii.gz"
    image.write(file)
    (expected,) = over_grpc(http_gateway, Volume.read(file), [ExtremePoints(SIX)])
    session = aiaa.open_session(file)
    path, by_session = "/v1/dextr3d?model=annotation", f"/v1/dextr3d?model=annotation&session_id={session}"
    for answer in (
        aiaa.python("POST", path, params={"points": SIX}, image=file),
        aiaa.python("POST", by_session, params={"points": SIX}),
        # As every client before 2021 sent them, MITK among them.
        aiaa.cpp("POST", path, params={"points": json.dumps(SIX), "sigma": 3.0}, image=file),
        aiaa.cpp("POST", by_session, params={"points": [[x + 0.2, y - 0.2, z] for x, y, z in SIX]}),
    ):
        params, content = answer.parts()
        assert params["points"] == SIX
        assert np.array_equal(read_mask(content, tmp_path / "mask.nii.gz", image), expected)


def test_more_points_are_all_of_the_boundary(
    http_gateway: Gateway, aiaa: AiaaSite, image_file: Path, tmp_path: Path
) -> None:
    eight = [*SIX, [9, 16, 15], [30, 17, 16]]
    (expected,) = over_grpc(http_gateway, Volume.read(image_file), [ExtremePoints(eight)])
    _, content = aiaa.python("POST", "/v1/dextr3d?model=annotation", params={"points": eight}, image=image_file).parts()
    assert np.array_equal(read_mask(content, tmp_path / "mask.nii.gz", noisy_volume()), expected)


def test_a_point_behind_the_end_of_a_cut_image_is_on_its_last_voxel(
    http_gateway: Gateway, aiaa: AiaaSite, image_file: Path, tmp_path: Path
) -> None:
    # Clients leave the last voxel of their margin out, where the image ends with the object.
    last = [[39, 18, 15] if point[0] == 31 else point for point in SIX]
    behind = [[40, *point[1:]] if point[0] == 39 else point for point in last]
    (expected,) = over_grpc(http_gateway, Volume.read(image_file), [ExtremePoints(last)])
    path = "/v1/dextr3d?model=annotation"
    _, content = aiaa.python("POST", path, params={"points": behind}, image=image_file).parts()
    assert np.array_equal(read_mask(content, tmp_path / "mask.nii.gz", noisy_volume()), expected)
    session = aiaa.open_session(image_file)
    refused = aiaa.python("POST", f"{path}&session_id={session}", params={"points": behind})
    assert (refused.status, "outside the image" in refused.message) == (400, True)


def test_calls_with_an_image_leave_no_session(http_gateway: Gateway, aiaa: AiaaSite, tmp_path: Path) -> None:
    # Clients cut the image round the points, and send another one each time.
    image = noisy_volume((40, 36, 37))
    image.write(tmp_path / "a.nii.gz")
    for _ in range(2):
        aiaa.python("POST", "/v1/dextr3d?model=annotation", params={"points": SIX}, image=tmp_path / "a.nii.gz").parts()
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client:
        digest = Volume.read(tmp_path / "a.nii.gz").digest
        assert not [session for session in client.sessions() if session.image_digest == digest]


@pytest.mark.parametrize(
    ("kind", "model"), [("deepgrow", "annotation"), ("inference", "annotation"), ("inference", "clicks")]
)
def test_clicks_begin_an_object_and_correct_it(
    http_gateway: Gateway, aiaa: AiaaSite, image_file: Path, tmp_path: Path, kind: str, model: str
) -> None:
    path, image = f"/v1/{kind}?model={model}&session_id={aiaa.open_session(image_file)}", Volume.read(image_file)
    first, more, less = Click((20, 17, 16)), Click((12, 17, 16)), Click((14, 9, 16), False)
    begin = begin_at(first, image.geometry, DEAF_SPEC)
    with (
        sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client,
        client.open_session(image, model=model) as session,
    ):
        expected = [session.annotate(*prompts).array for prompts in ([*begin, first], [more], [less])]
    for foreground, background, step in (
        ([[20, 17, 16]], [], 0),
        ([[20, 17, 16], [12, 17, 16]], [], 1),
        # One point that is no list of points, and one as a text.
        ([[20, 17, 16], [12, 17, 16]], [14, 9, 16], 2),
        ("[[20, 17, 16], [12, 17, 16]]", "[]", 1),
    ):
        sent = {
            "foreground": foreground,
            "background": background,
            "current_point": [12, 17, 16],
            "spatial_size": [128],
        }
        _, content = aiaa.python("POST", path, params=sent).parts()
        mask = read_mask(content, tmp_path / "mask.nii.gz", noisy_volume())
        assert np.array_equal(mask, expected[step])
        assert mask[16, 17, 20] == 1


def test_a_click_outside_begins_a_larger_object_from_the_mask_so_far(
    http_gateway: Gateway, aiaa: AiaaSite, image_file: Path, tmp_path: Path
) -> None:
    image, first, far, less = (
        Volume.read(image_file),
        Click((20, 17, 16)),
        Click((4, 17, 16)),
        Click((14, 9, 16), False),
    )
    _, *expected = masks_step_by_step(http_gateway, image, [first, far, less])
    path = f"/v1/deepgrow?model=annotation&session_id={aiaa.open_session(image_file)}"
    # The last call comes with all three at once: what was answered before is not asked again, and equals it.
    for foreground, background, step in (
        ([first], [], None),
        ([first, far], [], 0),
        ([first, far], [less], 1),
        ([first, far], [less], 1),
        # Taken back, and set again.
        ([first], [], None),
        ([first, far], [less], 1),
    ):
        sent = {"foreground": [each.point for each in foreground], "background": [each.point for each in background]}
        _, content = aiaa.python("POST", path, params=sent).parts()
        if step is not None:
            assert np.array_equal(read_mask(content, tmp_path / "mask.nii.gz", noisy_volume()), expected[step])


@pytest.mark.parametrize("kind", ["deepgrow", "inference"])
def test_clicks_on_a_slice_give_the_mask_of_that_slice(
    aiaa: AiaaSite, image_file: Path, tmp_path: Path, kind: str
) -> None:
    session = aiaa.open_session(image_file)

    def mask(model: str, points: object) -> Array:
        path = f"/v1/{kind}?model={model}&session_id={session}"
        _, content = aiaa.python("POST", path, params={"foreground": points, "background": []}).parts()
        return read_mask(content, tmp_path / "mask.nii.gz", noisy_volume())

    # MITK adds the answer to what it has: other slices must be empty. Slices come in any order.
    for number in (16, 13, 16):
        points = [[20, 17, number], [16, 17, number]]
        whole, alone = mask("annotation_deepgrow_3d", points), mask("annotation_deepgrow_2d", points)
        assert alone.any()
        assert np.array_equal(alone[number], whole[number])
        assert np.count_nonzero(whole) > np.count_nonzero(alone) == np.count_nonzero(alone[number])
    path = f"/v1/{kind}?model=annotation_deepgrow_2d&session_id={session}"
    refused = aiaa.python("POST", path, params={"foreground": [[20, 17, 16]], "background": [[20, 17, 15]]})
    assert (refused.status, "on 2 slices" in refused.message) == (400, True)


@pytest.mark.parametrize("kind", ["segmentation", "inference"])
def test_a_segmentation_comes_with_its_extreme_points(
    http_gateway: Gateway, aiaa: AiaaSite, tmp_path: Path, kind: str
) -> None:
    image = noisy_volume((48, 56, 48))
    image.write(tmp_path / "a.nii.gz")
    path = f"/v1/{kind}?model=segmentation_hippocampus"
    params, content = aiaa.python("POST", path, params={}, image=tmp_path / "a.nii.gz").parts()
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client:
        expected = client.segment(Volume.read(tmp_path / "a.nii.gz"), model="segmentation_hippocampus").labels
    labels = read_mask(content, tmp_path / "labels.nii.gz", image)
    assert np.array_equal(labels, expected)
    assert params["label_names"] == {"anterior": 1, "posterior": 2}
    points = np.array(params["points"])
    assert points.shape == (6, 3)
    assert all(labels[z, y, x] for x, y, z in points)
    inside = np.argwhere(labels)[:, ::-1]
    assert [points[2 * axis][axis] for axis in range(3)] == inside.min(axis=0).tolist()
    assert [points[2 * axis + 1][axis] for axis in range(3)] == inside.max(axis=0).tolist()
    assert params["bbox"] == [inside.min(axis=0).tolist(), inside.max(axis=0).tolist()]


def test_dextr3d_through_inference(http_gateway: Gateway, aiaa: AiaaSite, image_file: Path, tmp_path: Path) -> None:
    (expected,) = over_grpc(http_gateway, Volume.read(image_file), [ExtremePoints(SIX)])
    answer = aiaa.cpp("POST", "/v1/inference?model=annotation", params={"points": SIX}, image=image_file)
    assert np.array_equal(read_mask(answer.parts()[1], tmp_path / "mask.nii.gz", noisy_volume()), expected)


def test_ohif_gets_the_bare_file(aiaa: AiaaSite, image_file: Path, tmp_path: Path) -> None:
    params = {"points": SIX, "result_extension": ".nrrd", "result_dtype": "uint16", "result_compress": True}
    path = "/v1/dextr3d?model=annotation&output=image"
    answer = aiaa.python("POST", path, params=params, image=image_file, field="image0")
    head, _, voxels = answer.body.partition(b"\n\n")
    assert b"type: uint16" in head
    assert b"encoding: gzip" in head
    mask = read_mask(answer.body, tmp_path / "mask.nrrd", noisy_volume())
    assert np.array_equal(np.frombuffer(gzip.decompress(voxels), "<u2"), mask.ravel())
    assert mask.max() == 1
    json_only = aiaa.python("POST", path.replace("image", "json"), params=params, image=image_file)
    assert json_only.json()["points"] == SIX


def test_masks_are_scalar_volumes_that_the_cpp_client_loads(aiaa: AiaaSite, image_file: Path, tmp_path: Path) -> None:
    answer = aiaa.cpp("POST", "/v1/dextr3d?model=annotation", params={"points": SIX}, image=image_file)
    (tmp_path / "mask.nii.gz").write_bytes(answer.parts()[1])
    header = sitk.ImageFileReader()
    header.SetFileName(str(tmp_path / "mask.nii.gz"))
    header.ReadImageInformation()
    assert (header.GetDimension(), header.GetPixelID()) == (3, sitk.sitkUInt8)
