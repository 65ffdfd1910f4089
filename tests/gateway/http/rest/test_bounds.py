"""Bounds in the API's document: what lies beyond is refused, in words, and what lies within is not."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from typing import Any, cast

import pytest
from google.protobuf.descriptor import Descriptor

from gateway.http.rest import api_document, examples
from gateway.http.rest.bounds import BOUNDS, bounds_of, required_fields
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import dataset_service_pb2 as dataset_pb
from sixpoint.v1 import job_service_pb2 as job_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api, six_points

_MESSAGES = {
    message.name: message
    for module in (annotation_pb, dataset_pb, job_pb, session_pb)
    for message in module.DESCRIPTOR.message_types_by_name.values()
}
BOX = {"frame": "FRAME_VOXEL", "lower": {"x": 4, "y": 5, "z": 4}, "upper": {"x": 33, "y": 30, "z": 28}}
RUNS = {"runs": "KLUv/SAQgQAAAQAAAAIAAAADAAAABAAAAA==", "voxel_count": 4}
CASE = {"name": "bounded", "labels": [{"number": 1, "name": "liver", "colour": "#dd8265", "snomed_code": "10200004"}]}


def wrong_values(rules: Any, value: Any) -> Iterator[Any]:
    """Values beyond the bounds of a field, made of one within."""
    if "minimum" in rules:
        yield rules["minimum"] - 1
    if "maximum" in rules or "exclusiveMaximum" in rules:
        yield rules.get("maximum", rules.get("exclusiveMaximum", 0) - 1) + 1
    if "maxLength" in rules:
        yield "x" * (rules["maxLength"] + 1)
    if "minLength" in rules:
        yield ""
    if "pattern" in rules:
        yield "x"
    if "minItems" in rules:
        yield value[: rules["minItems"] - 1]
    if "maxItems" in rules:
        yield value * (rules["maxItems"] + 1)
    if "enum" in rules:
        yield "UNKNOWN"


def wrongs(message: Descriptor, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Bodies in which one field is beyond its bounds, or missing, each with what is wrong."""
    for field in message.fields:
        if field.name not in body:
            continue
        value = body[field.name]
        for wrong in wrong_values(bounds_of(field), value):
            yield f"{field.name} = {str(wrong)[:20]}", {**body, field.name: wrong}
        if field.name in required_fields(message):
            yield f"no {field.name}", {name: each for name, each in body.items() if name != field.name}
        for inner in value if isinstance(value, list) else [value]:
            if field.message_type is not None and isinstance(inner, dict):
                for what, changed in wrongs(field.message_type, inner):
                    made = (
                        [changed if each is inner else each for each in value] if isinstance(value, list) else changed
                    )
                    yield f"{field.name}.{what}", {**body, field.name: made}


def test_bounds_are_of_fields_that_there_are() -> None:
    for name in BOUNDS:
        message, _, field = name.partition(".")
        assert field in _MESSAGES[message].fields_by_name, name


@pytest.fixture(scope="module")
def places(api: Api, image: Volume) -> dict[str, str]:
    """What the addresses below need: a session, and a dataset with the image and an annotation."""
    api.json("POST", "/datasets", {**CASE, "name": "places"}, status=201)
    api.json("POST", "/datasets/places/images", {"images": [{"image_digest": image.digest}]})
    session = api.open(image)
    api.json("PATCH", f"/sessions/{session}", {"segments": [{"number": 1, "name": "liver"}]})
    api.json("POST", f"/sessions/{session}/segments/1/prompts", {"prompts": [six_points()]})
    saved = api.json("POST", "/datasets/places/annotations", {"session_id": session}, status=201)
    work = api.open(image)
    api.json("POST", f"/sessions/{work}/segments/1/prompts", {"prompts": [six_points()]})
    return {"session": session, "work": work, "image": image.digest, "annotation": str(saved["id"])}


REQUESTS: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "CreateSessionRequest",
        "POST",
        "/sessions",
        {"image_digest": "{image}", "model": "annotation", "request_id": "1"},
    ),
    ("ForkSessionRequest", "POST", "/sessions/{work}/fork", {"segment": 1, "step": 1, "request_id": "2"}),
    ("UpdateSessionRequest", "PATCH", "/sessions/{work}", {"segments": [{"number": 2, "name": "x"}]}),
    ("AnnotateRequest", "POST", "/sessions/{session}/segments/1/prompts", {**examples.PROMPTS, "request_id": "3"}),
    ("AnnotateRequest", "POST", "/sessions/{work}/segments/3/prompts", {"prompts": [{"box": BOX}]}),
    ("CreateDatasetRequest", "POST", "/datasets", {**CASE, "validation_share": 0.1, "test_share": 0.2}),
    ("AddLabelsRequest", "POST", "/datasets/places/labels", {"labels": CASE["labels"]}),
    ("AddImagesRequest", "POST", "/datasets/places/images", {"images": [{"image_digest": "{image}", "case_name": ""}]}),
    ("NextImageRequest", "POST", "/datasets/places/next", {"keep_seconds": 9.0, "readers": 1, "peek": True}),
    ("SkipImageRequest", "POST", "/datasets/places/images/{image}/skip", {"reason": "x"}),
    (
        "SaveAnnotationRequest",
        "POST",
        "/datasets/places/annotations",
        {"session_id": "{session}", "state": "ANNOTATION_STATE_SUBMITTED"},
    ),
    (
        "ReviewAnnotationRequest",
        "POST",
        "/annotations/{annotation}/review",
        {"state": "ANNOTATION_STATE_ACCEPTED", "reason": "good"},
    ),
]


def fill(content: Any, places: dict[str, str]) -> Any:
    """Put ids into the places of a body or an address."""
    if isinstance(content, dict):
        return {name: fill(each, places) for name, each in content.items()}
    if isinstance(content, list):
        return [fill(each, places) for each in content]
    return content.format(**places) if isinstance(content, str) else content


@pytest.mark.parametrize(("name", "method", "path", "body"), REQUESTS, ids=[request[2] for request in REQUESTS])
def test_what_is_beyond_the_bounds_is_refused(
    api: Api, places: dict[str, str], name: str, method: str, path: str, body: dict[str, Any]
) -> None:
    address, valid = fill(path, places), fill(copy.deepcopy(body), places)
    # What tests send with success is valid by the document: see Api.
    assert api.request(method, address, json=valid).status_code < 300
    tried = 0
    for what, wrong in wrongs(_MESSAGES[name], valid):
        if "request_id" in wrong and not what.startswith("request_id"):
            # Not the call before, again.
            wrong = {**wrong, "request_id": secrets.token_hex(8)}
        answer = api.request(method, address, json=wrong)
        # 404: an id that is missing; 413 and 429: too much of something.
        assert answer.status_code in (400, 404, 409, 413, 429), (what, answer.status_code, answer.text)
        assert any(word in answer.text for word in ("violations", "expected", "limit", "NOT_FOUND")), (
            what,
            answer.text,
        )
        tried += 1
    assert tried


def test_pages_have_bounds(api: Api, places: dict[str, str]) -> None:
    listing = [
        (path, each["schema"])
        for path, operations in api_document()["paths"].items()
        for each in operations.get("get", {}).get("parameters", [])
        if each["name"] == "page_size"
    ]
    assert len(listing) > 5
    for path, schema in listing:
        address = fill(path.replace("{session_id}", "{session}").replace("{dataset}", "places"), {**places, "id": "x"})
        for size, code in ((schema["minimum"] - 1, 400), (schema["maximum"] + 1, 400), (schema["maximum"], 200)):
            answer = api.request("GET", f"{address}?page_size={size}")
            assert answer.status_code == code or "/x/" in address, (address, size, answer.text)


def test_bodies_are_required_where_a_field_is(api: Api, places: dict[str, str]) -> None:
    document = api_document()
    for name, path in (("undo", "undo"), ("redo", "redo"), ("reset", "reset")):
        described = document["paths"][f"/sessions/{{session_id}}/segments/{{segment}}/{path}"]["post"]
        assert (described["operationId"], described["requestBody"]["required"]) == (name, False)
    session = places["session"]
    assert api.request("POST", f"/sessions/{session}/segments/1/undo").status_code == 200
    assert api.request("POST", f"/sessions/{session}/segments/1/prompts").status_code == 400


def test_headers_are_texts_of_a_form(api: Api, places: dict[str, str]) -> None:
    for operations in api_document()["paths"].values():
        for operation in operations.values():
            for header in operation.get("parameters", []):
                if header["in"] == "header":
                    assert header["schema"]["type"] == "string", (operation["operationId"], header)
    answer = api.request("PATCH", f"/sessions/{places['session']}", json={"segments": []}, headers={"if-match": "null"})
    assert (answer.status_code, cast("Any", answer.json())["violations"][0]["field"]) == (400, "If-Match")
