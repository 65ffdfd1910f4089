"""Sessions over the API: opened, listed, changed, forked and closed; revisions and safe repetition."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http.rest import examples
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api, click, six_points
from tests.support.field_paths import is_field

SIX = {"prompts": [six_points()]}
POSITIVE = "CLICK_SIGN_POSITIVE"
WRONG_LASSO = {"lasso": {"sign": POSITIVE, "filled": {"runs": "AAAA", "voxel_count": 5}}}
ADA: dict[str, Any] = {"headers": {"sixpoint-owner": "ada"}}


def test_models_are_listed_and_filtered(api: Api) -> None:
    names = {model["name"] for model in api.json("GET", "/models")["models"]}
    assert "annotation" in names
    only = api.json("GET", "/models?task=TASK_ANNOTATION&prompt_kind=PROMPT_KIND_BOX")["models"]
    # Taken as clicks, which is as good to who asks for models.
    assert api.json("GET", "/models?prompt_kind=PROMPT_KIND_SCRIBBLES")["models"] == only
    assert {model["task"] for model in only} == {"TASK_ANNOTATION"}
    model = api.json("GET", "/models/annotation")
    assert (model["name"], "PROMPT_KIND_EXTREME_POINTS" in model["prompt_kinds"]) == ("annotation", True)
    assert api.problem("GET", "/models/none", status=404)["reason"] == "MODEL_NOT_FOUND"
    assert api.problem("GET", "/models?task=X", status=400)["violations"][0]["field"] == "task"
    assert api.problem("GET", "/models?taks=X", status=400)["violations"][0]["field"] == "taks"
    assert "twice" in api.problem("GET", "/models?label=a&label=b", status=400)["detail"]


def test_callers_learn_who_they_are(api: Api) -> None:
    caller = api.json("GET", "/me", **ADA)
    assert caller == {"subject": "ada", "tenant": "default", "roles": ["admin"], "method": "none"}


def test_a_session_lives_and_ends(api: Api, image: Volume) -> None:
    body = {"image_digest": image.digest, "model": "annotation"}
    made = api.request("POST", "/sessions", json=body, **ADA)
    session = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"sessions/{session['id']}")
    path = f"/sessions/{session['id']}"
    api.json("POST", f"{path}/segments/2/prompts", SIX, **ADA)
    named = api.json("PATCH", path, {"segments": [{"number": 2, "name": "liver"}]}, **ADA)
    assert named["segments"] == [{"number": 2, "name": "liver", "step": 1, "step_count": 1}]
    listed = api.json("GET", "/sessions?page_size=1", **ADA)
    assert ([each["id"] for each in listed["sessions"]], listed["total_size"]) == ([session["id"]], 1)
    steps = api.json("GET", f"{path}/steps?segment=2", **ADA)["steps"]
    assert (len(steps), steps[0]["prompts"][0].keys()) == (1, {"extreme_points"})
    forked = api.request("POST", f"{path}/fork", json={"segment": 2, "step": 0}, **ADA)
    assert forked.headers["location"] == f"../{forked.json()['id']}"
    assert forked.json()["segments"] == [{"number": 2, "name": "liver", "step": 0, "step_count": 0}]
    for _ in range(2):
        assert api.json("DELETE", path, status=204, **ADA) is None
    assert api.problem("GET", path, status=404, **ADA)["reason"].startswith("SESSION_")


def test_a_call_for_an_older_revision_changes_nothing(api: Api, image: Volume) -> None:
    path = f"/sessions/{api.open(image)}"
    tag = api.get(path).headers.get("etag", '"0"')
    first = api.request("POST", f"{path}/segments/1/prompts", json=SIX, headers={"if-match": tag})
    assert (first.status_code, first.headers["etag"] != tag) == (200, True)
    body = {"prompts": [click((4, 17, 16))]}
    stale = api.problem("POST", f"{path}/segments/1/prompts", body, status=412, headers={"if-match": tag})
    assert stale["reason"] == "STALE_REVISION"
    assert api.problem("POST", f"{path}/segments/1/undo", {"revision": 0}, status=409)["reason"] == "STALE_REVISION"
    assert api.get(path).headers["etag"] == first.headers["etag"]
    for value in ("x", '"7"'):
        again, headers = {**body, "revision": 9}, {"if-match": value}
        problem = api.problem("POST", f"{path}/segments/1/prompts", again, status=400, headers=headers)
        assert problem["violations"][0]["field"] in ("If-Match", "revision")
    problem = api.problem("DELETE", path, status=400, headers={"if-match": tag})
    assert problem["violations"] == [{"field": "If-Match", "description": "left out"}]


@pytest.mark.parametrize("in_header", [True, False])
def test_a_repeated_call_is_carried_out_once(api: Api, image: Volume, in_header: bool) -> None:
    path = f"/sessions/{api.open(image)}"
    body: dict[str, Any] = {**SIX, **({} if in_header else {"request_id": "r1"})}
    headers = {"idempotency-key": "r1"} if in_header else {}
    answers = [api.json("POST", f"{path}/segments/1/prompts", body, headers=headers) for _ in range(2)]
    assert [answer["step_count"] for answer in answers] == [1, 1]
    assert answers[0]["mask"] == answers[1]["mask"]


def test_the_documents_examples_work(api: Api, image: Volume) -> None:
    session = api.json("POST", "/sessions", {**examples.SESSION, "image_digest": image.digest}, status=201)["id"]
    answer = api.json("POST", f"/sessions/{session}/segments/1/prompts", examples.PROMPTS)
    assert answer["mask"]["voxel_count"] > 1000
    change = {**examples.SESSION_CHANGE, "revision": answer["revision"]}
    assert api.json("PATCH", f"/sessions/{session}", change)["segments"][0]["name"] == "liver"
    assert api.json("POST", f"/sessions/{session}/fork", examples.FORK, status=201)["id"] != session


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompts": [{"click": {"frame": "VOXEL"}}]}, "prompts[0].click.frame"),
        ({"prompts": [{"clack": {}}]}, "prompts[0].clack"),
        ({"prompts": [{"click": {"frame": "FRAME_VOXEL", "point": {"x": 1, "y": 2}}}]}, "prompts[0].click.point.z"),
        ({"prompts": [{**six_points(), **click((1, 2, 3))}]}, "prompts[0]"),
        ({"prompts": [{"mask": {"bits": "?"}}]}, "prompts[0].mask.bits"),
        ({"prompts": [click(("1", 2, 3))]}, "prompts[0].click.point.x"),
        ({"prompts": [six_points([(1, 2, 3)])]}, "prompts[0].extreme_points.points"),
        ({"prompts": [click((99, 2, 3))]}, "prompts[0].click.point"),
        ({"prompts": [{"click": {"point": {"x": 1, "y": 2, "z": 3}}}]}, "prompts[0].click."),
        ({"prompts": [{}]}, "prompts[0]"),
        ({"prompts": [WRONG_LASSO]}, "prompts[0].lasso.filled"),
        ({"prompts": [six_points(), {"scribble": {"sign": POSITIVE}}]}, "prompts[1].scribble.voxels"),
        ({"prompts": [{"mask": {"voxel_count": 1}}]}, "prompts[0].mask."),
        ({"prompts": {}}, "prompts"),
        ({"revision": 2**63}, "revision"),
        ({"request_id": 5}, "request_id"),
        ([], ""),
    ],
)
def test_a_wrong_field_is_named(api: Api, image: Volume, body: object, field: str) -> None:
    path = f"/sessions/{api.open(image)}/segments/1/prompts"
    problem = api.problem("POST", path, body, status=400)
    assert problem["detail"]
    assert any(violation["field"].startswith(field) for violation in problem["violations"]), problem
    for violation in problem["violations"]:
        known = is_field(violation["field"], annotation_pb.AnnotateRequest.DESCRIPTOR)
        assert known or violation["description"] == "there is no such field" or not field, problem


def test_what_is_no_json_and_other_segments_are_refused(api: Api, image: Volume) -> None:
    path = f"/sessions/{api.open(image)}/segments"
    for content in (b"{", b"\xff", b"{}x", b'{"prompts": [NaN]}', b"[" * 100_000):
        problem = api.problem("POST", f"{path}/1/prompts", status=400, content=content)
        assert problem["detail"].startswith("the request's body is not valid")
    for segment in ("0", "-1", "256", "x", "1e3", "9" * 30):
        assert api.problem("POST", f"{path}/{segment}/undo", {}, status=400)["detail"]
    large = b'{"request_id": "' + b"x" * 2**18 + b'"}'
    assert "too large" in api.problem("POST", f"{path}/1/prompts", status=413, content=large)["detail"]
    assert api.problem("POST", f"{path}/1/undo?revision=1", {}, status=400)["violations"][0]["field"] == "revision"


def test_of_many_wrong_prompts_the_first_is_named(api: Api, image: Volume) -> None:
    body = {"prompts": [{"a": 1}] * 20_000}
    problem = api.problem("POST", f"/sessions/{api.open(image)}/segments/1/prompts", body, status=400)
    assert problem["violations"] == [{"field": "prompts[0].a", "description": "there is no such field"}]


def test_what_is_not_there_is_a_problem_too(api: Api) -> None:
    assert api.problem("GET", "/nothing", status=404)["reason"] == "NOT_FOUND"
    assert api.problem("POST", "/sessions/a/b/c", {}, status=404)["reason"] == "NOT_FOUND"
    answer = api.request("PUT", "/sessions/x")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert set(answer.headers["allow"].split(", ")) & {"GET", "PATCH", "DELETE"}
