"""The unary calls of the contract over Connect: as gRPC carries them out, and refused in its words."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2

import sixpoint
from gateway.grpc.permissions import ROLES
from gateway.server import Gateway
from sixpoint.prompts import ExtremePoints
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import volume_pb2 as volume_pb
from sixpoint.volume import Volume
from tests.gateway.http.sites import HttpSite
from tests.gateway.prompts import POINTS
from tests.support.images import noisy_volume

SIX: list[list[int]] = POINTS.astype(int).tolist()
STREAMS = {"UploadImage", "DownloadImage", "Interact", "Segment", "GetAnnotation", "WatchJob"}


@pytest.fixture
def root(http_gateway: Gateway) -> HttpSite:
    return HttpSite.of(http_gateway, "")


@pytest.fixture(scope="module")
def image(http_gateway: Gateway) -> Volume:
    volume = noisy_volume()
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client:
        client.open_session(volume).close()
    return volume


def send(site: HttpSite, call: str, request: Message, *, prefix: str = "") -> httpx.Response:
    headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
    return site.request("POST", f"{prefix}/sixpoint.v1.{call}", content=request.SerializeToString(), headers=headers)


def refusal(answer: httpx.Response, status: int, code: str) -> Any:
    """What Connect's clients read of an error."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    content = answer.json()
    assert (content["code"], bool(content["message"])) == (code, True)
    info = next(each for each in content["details"] if each["type"] == "google.rpc.ErrorInfo")
    value = base64.b64decode(info["value"] + "=" * (-len(info["value"]) % 4))
    return content["message"], error_details_pb2.ErrorInfo.FromString(value).reason


@pytest.mark.parametrize("prefix", ["", "/connect"])
def test_masks_are_those_of_grpc(http_gateway: Gateway, root: HttpSite, image: Volume, prefix: str) -> None:
    opened = send(
        root,
        "SessionService/CreateSession",
        session_pb.CreateSessionRequest(image_digest=image.digest, model="annotation"),
        prefix=prefix,
    )
    session = session_pb.CreateSessionResponse.FromString(opened.content).session
    points = [volume_pb.Point(x=x, y=y, z=z) for x, y, z in SIX]
    extreme = annotation_pb.ExtremePoints(frame=volume_pb.FRAME_VOXEL, points=points)
    request = annotation_pb.AnnotateRequest(
        session_id=session.id, segment=1, prompts=[annotation_pb.Prompt(extreme_points=extreme)]
    )
    answer = send(root, "AnnotationService/Annotate", request, prefix=prefix)
    assert answer.headers["content-type"] == "application/proto"
    mask = annotation_pb.AnnotateResponse.FromString(answer.content).answer.mask
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(image) as other:
        expected = other.annotate(ExtremePoints(SIX))
    assert mask.voxel_count == expected.array.sum() > 0
    again = send(
        root, "AnnotationService/GetMask", annotation_pb.GetMaskRequest(session_id=session.id, segment=1), prefix=prefix
    )
    assert annotation_pb.GetMaskResponse.FromString(again.content).answer.mask.sha256 == mask.sha256


def test_every_unary_call_is_there(root: HttpSite) -> None:
    for path in ROLES:
        answer = root.request("POST", path, content=b"\xff", headers={"content-type": "application/proto"})
        if path.rpartition("/")[2] in STREAMS:
            assert answer.status_code == 404
        else:
            assert "no message of sixpoint.v1." in refusal(answer, 400, "invalid_argument")[0]


def test_json_is_read_and_written(root: HttpSite, image: Volume) -> None:
    listed = root.request("POST", "/sixpoint.v1.ModelService/ListModels", json={"task": "TASK_ANNOTATION"})
    response = json_format.Parse(listed.content, model_pb.ListModelsResponse())
    assert (listed.headers["content-type"], listed.headers["cache-control"]) == ("application/json", "no-store")
    assert "annotation" in {model.name for model in response.models}
    body = {"imageDigest": image.digest, "model": "annotation", "requestId": "connect-1"}
    made = [root.request("POST", "/sixpoint.v1.SessionService/CreateSession", json=body).json() for _ in range(2)]
    assert made[0]["session"]["id"] == made[1]["session"]["id"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"frob": "patient-x"}',
        b'{"pageSize": 1e999}',
        b'{"page_size": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 40_000,
        b"\xff\xfe\x00",
        b'{"pageToken": "\\ud800"}',
    ],
)
def test_json_that_is_none_is_refused(root: HttpSite, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = root.request("POST", "/sixpoint.v1.SessionService/ListSessions", content=body, headers=headers)
    assert "patient-x" not in refusal(answer, 400, "invalid_argument")[0]


def test_errors_have_the_code_and_details_of_grpc(root: HttpSite) -> None:
    answer = send(root, "ModelService/GetModel", model_pb.GetModelRequest(name="none"))
    assert refusal(answer, 404, "not_found")[1] == "MODEL_NOT_FOUND"
    path = "/sixpoint.v1.ModelService/ListModels"
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/grpc-web+proto"},
        {"content-type": "application/proto", "content-encoding": "gzip"},
    ):
        refusal(root.request("POST", path, content=b"", headers=headers), 415, "invalid_argument")
    for timeout in ("x", "-1", "1.5", "9" * 11, "\u0663".encode()):
        given: Any = {"content-type": "application/proto", "connect-timeout-ms": timeout}
        assert "Timeout" in refusal(root.request("POST", path, headers=given), 400, "invalid_argument")[0]
    late = {"content-type": "application/proto", "connect-timeout-ms": "0"}
    assert "took longer" in refusal(root.request("POST", path, headers=late), 504, "deadline_exceeded")[0]
    large = root.request("POST", path, content=b"\0" * 2**19, headers={"content-type": "application/proto"})
    refusal(large, 413, "invalid_argument")
    refusal(root.request("POST", "/connect/sixpoint.v1.ModelService/Frob", json={}), 404, "not_found")
