"""The document of the API: made of its operations, valid, and true."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from gateway.contract import DatasetCalls, JobCalls, LearningCalls
from gateway.grpc.permissions import ROLES
from gateway.http.rest import examples
from gateway.http.rest.door import make_operations
from gateway.http.rest.schemas import schema_of
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import Api, six_points


@pytest.fixture(scope="module")
def document(api: Api) -> Any:
    return api.json("GET", "/openapi.json")


def validate(document: Any, name: str, content: object) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(content)


def test_the_document_names_every_operation(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) > 20
    for operation in operations:
        assert operation["summary"]
        assert set(operation["responses"]["default"]["content"]) == {"application/problem+json"}
        assert bool(operation["security"]) == ("Role: " in operation.get("description", ""))
    codes = {name for operation in operations for name in operation["responses"]}
    assert codes == {"200", "201", "202", "204", "304", "default"}


def test_a_wrong_method_is_answered_with_all_that_there_are(api: Api, document: Any) -> None:
    for path, operations in document["paths"].items():
        answer = api.request("OPTIONS", re.sub(r"{\w+}", "1", path))
        allowed = {method.strip().lower() for method in answer.headers["allow"].split(",")}
        assert (answer.status_code, allowed - {"head"}) == (405, set(operations)), path


def test_roles_are_those_of_grpc() -> None:
    none: Any = None
    parts = ("images", "sessions", "catalog", "engine", "segmenter", "streams", "uploads", "files", "spool", "memory")
    calls = DatasetCalls(datasets=none, annotations=none, saver=none, assignments=none, removal=none)
    limits = (none, none, none)
    operations = make_operations(
        **dict.fromkeys(parts, none),
        datasets=calls,
        jobs=JobCalls(none),
        learning=LearningCalls(none),
        deadlines=limits,
    )
    roles = {method.rpartition("/")[2]: role for method, role in ROLES.items()}
    compared = 0
    for operation in operations:
        name = operation.message.DESCRIPTOR.name.removesuffix("Request") if operation.message else ""
        if name and operation.name not in ("saveMasks", "saveDicomMasks"):
            assert operation.role is roles[name], operation.name
            compared += 1
    assert compared > 25


def test_messages_are_described_by_the_comments_of_the_contract(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Click"]["description"] == "A correction of the current mask. The next mask satisfies it."
    assert schemas["Point"]["required"] == ["x", "y", "z"]
    fields = {field.name for field in annotation_pb.Prompt.DESCRIPTOR.fields}
    assert set(schemas["Prompt"]["properties"]) == fields
    for message in (image_pb.Image, session_pb.Session, annotation_pb.Answer):
        assert set(schema_of(message.DESCRIPTOR).model_fields) == set(message.DESCRIPTOR.fields_by_name)


def test_answers_and_examples_are_as_described(api: Api, image: Volume, document: Any) -> None:
    for name, content in (
        ("CreateSessionBody", examples.SESSION),
        ("UpdateSessionBody", examples.SESSION_CHANGE),
        ("ForkSessionBody", examples.FORK),
        ("AnnotateBody", examples.PROMPTS),
        ("SegmentBody", examples.SEGMENTATION),
        ("CreateDatasetBody", examples.DATASET),
        ("AddLabelsBody", examples.DATASET_LABELS),
        ("AddImagesBody", examples.DATASET_IMAGES),
        ("NextImageBody", examples.NEXT_IMAGE),
        ("SkipImageBody", examples.SKIP),
        ("SaveAnnotationBody", examples.ANNOTATION),
        ("ReviewAnnotationBody", examples.REVIEW),
        ("AdjudicateAnnotationsBody", examples.ADJUDICATION),
        ("TraceImagesBody", examples.SUBJECT),
        ("RemoveImagesBody", examples.SUBJECT),
        ("Image", examples.IMAGE_HEADER),
    ):
        validate(document, name, content)
    session = api.open(image)
    path = f"/sessions/{session}"
    validate(document, "Answer", api.json("POST", f"{path}/segments/1/prompts", {"prompts": [six_points()]}))
    validate(document, "Session", api.json("GET", path))
    validate(document, "ListStepsResponse", api.json("GET", f"{path}/steps"))
    validate(document, "ListModelsResponse", api.json("GET", "/models"))
    validate(document, "Caller", api.json("GET", "/me"))
    validate(document, "Problem", api.problem("GET", "/models/none", status=404))
    with pytest.raises(jsonschema.ValidationError):
        validate(document, "AnnotateBody", {"prompts": [{"clack": {}}]})
