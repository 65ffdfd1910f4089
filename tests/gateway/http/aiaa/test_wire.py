"""What decides whether AIAA's clients can be used at all: requests and answers, byte by byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.core.runtime import Model
from gateway.http.aiaa.models import filter_models, offered_models
from gateway.server import Gateway
from sixpoint.model_spec import PromptKind
from tests.gateway.http.aiaa.clients import AiaaSite
from tests.gateway.prompts import POINTS
from tests.support.models import DEAF_SPEC, ELLIPSOID_SPEC

SIX = POINTS.astype(int).tolist()
SHIPPED = ("annotation", "segmentation_hippocampus")
PREFIXES = ("/aiaa", "", "/aiaa/v1", "/v1", "/aiaa/v1/models", "/v1/models")


def test_answers_have_a_length_and_are_not_compressed(aiaa: AiaaSite, image_file: Path) -> None:
    headers = {"Accept-Encoding": "gzip, deflate", "TE": "chunked"}
    answer = aiaa.python(
        "POST", "/v1/dextr3d?model=annotation", params={"points": SIX}, image=image_file, headers=headers
    )
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert "transfer-encoding" not in answer.headers
    assert "content-encoding" not in answer.headers
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert (kind, answer.body.startswith(f"--{boundary}\r\n".encode())) == ("multipart/form-data", True)
    assert len(answer.parts()) == 2


@pytest.mark.parametrize("prefix", PREFIXES)
def test_addresses_are_served_as_they_are_typed(http_gateway: Gateway, image_file: Path, prefix: str) -> None:
    site = AiaaSite.of(http_gateway, prefix)
    for path in ("/v1/models", "/v1/models/", "/v1/models?label=spleen", "/docs/", "/docs", "/logs/?lines=100"):
        assert site.call("GET", path).status == 200
    session = site.open_session(image_file)
    assert site.call("GET", f"/session/{session}?update_ts=true").status == 200
    path = f"/v1/dextr3d/?model=annotation&session_id={session}"
    assert site.python("POST", path, params={"points": SIX}).status == 200


@pytest.mark.parametrize("field", ["datapoint", "image", "image0", "file"])
def test_the_image_has_one_of_several_names(aiaa: AiaaSite, image_file: Path, field: str) -> None:
    path = "/v1/dextr3d?model=annotation&output=json"
    answer = aiaa.python("POST", path, params={"points": SIX}, image=image_file, field=field)
    assert answer.status == 200


def test_clients_of_http_1_0_get_the_end_of_the_connection(aiaa: AiaaSite, image_file: Path) -> None:
    session = aiaa.cpp("PUT", "/session/", params={}, image=image_file)
    assert (session.status, session.headers["connection"]) == (200, "close")
    path = f"/v1/dextr3d?model=annotation&session_id={session.json()['session_id']}"
    answer = aiaa.cpp("POST", path, params={"points": SIX})
    assert (answer.status, int(answer.headers["content-length"])) == (200, len(answer.body))
    assert answer.parts()[0]["points"] == SIX


def test_models_have_the_types_that_the_cpp_client_reads(aiaa: AiaaSite) -> None:
    models = json.loads(aiaa.call("GET", "/v1/models").body)
    for model in models:
        assert all(isinstance(model[name], str) for name in ("name", "type", "description", "version"))
        assert all(isinstance(label, str) for label in model["labels"])
        assert aiaa.call("GET", f"/v1/models?model={model['name']}").json() == model
    annotation, segmentation = (model for model in models if model["name"] in SHIPPED)
    assert (annotation["type"], annotation["padding"], annotation["roi"]) == ("annotation", 20.0, [128, 128, 128])
    assert (segmentation["type"], segmentation["labels"]) == ("segmentation", ["anterior", "posterior"])
    assert aiaa.call("GET", "/v1/models?model=none").status == 404


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("label=spleen", ["annotation"]),
        ("label=Anterior", ["annotation", "segmentation_hippocampus"]),
        ("label=%20left+anterior%20hippocampus", ["annotation", "segmentation_hippocampus"]),
        ("label=hippocampus&type=segmentation", ["segmentation_hippocampus"]),
        ("label=spleen&type=segmentation", []),
        ("type=annotation", ["annotation"]),
        ("type=deepgrow", []),
        ("label=", ["annotation", "segmentation_hippocampus"]),
    ],
)
def test_the_name_of_a_label_finds_its_models(aiaa: AiaaSite, query: str, names: list[str]) -> None:
    models = json.loads(aiaa.call("GET", f"/v1/models?{query}").body)
    assert [model["name"] for model in models if model["name"] in SHIPPED] == names


def test_models_that_take_clicks_are_offered_for_slices_and_for_volumes() -> None:
    spec = ELLIPSOID_SPEC.model_copy(update={"prompts": (PromptKind.CLICKS,)})
    clicks, deaf = Model("clicks", "1", spec), Model("deaf", "2", DEAF_SPEC)
    offered = filter_models(offered_models([clicks, deaf]), label="spleen", kind="deepgrow")
    assert [(each.name, each.describe()["deepgrow"]) for each in offered] == [
        ("clicks", "3d"),
        ("clicks_deepgrow_2d", "2d"),
        ("deaf_deepgrow_2d", "2d"),
        ("deaf_deepgrow_3d", "3d"),
    ]
    # A model of the repository keeps its name.
    taken = Model("deaf_deepgrow_2d", "7", ELLIPSOID_SPEC)
    names = [(each.name, each.kind) for each in offered_models([deaf, taken])]
    assert names == [("deaf", "annotation"), ("deaf_deepgrow_2d", "annotation"), ("deaf_deepgrow_3d", "deepgrow")]


def test_clients_that_look_for_clicks_find_the_shipped_model(aiaa: AiaaSite) -> None:
    models = json.loads(aiaa.call("GET", "/v1/models?type=deepgrow&label=spleen").body)
    shipped = [(model["name"], model["deepgrow"]) for model in models if model["name"].startswith("annotation")]
    assert shipped == [("annotation_deepgrow_2d", "2d"), ("annotation_deepgrow_3d", "3d")]
    assert aiaa.call("GET", "/v1/models?model=segmentation_hippocampus_deepgrow_2d").status == 404


def test_an_admin_sees_the_description_of_a_model_and_changes_none(aiaa: AiaaSite) -> None:
    config = aiaa.call("GET", "/admin/model/annotation").json()
    assert (config["type"], isinstance(config["sixpoint"], dict)) == ("annotation", True)
    refusals = {
        ("PATCH", "annotation"): (409, "publish a new version"),
        ("DELETE", "annotation"): (409, "exporter remove annotation 5"),
        ("DELETE", "annotation_deepgrow_2d"): (409, "exporter remove annotation 5"),
        ("PATCH", "none"): (404, "no model is called"),
        ("DELETE", "none"): (404, "no model is called"),
        ("PUT", "new"): (409, "exporter pull ngc:"),
    }
    for (method, name), (code, words) in refusals.items():
        answer = aiaa.call(method, f"/admin/model/{name}", body=b'{"path": "nvidia/med/x", "version": "1"}')
        assert (answer.status, words in answer.message) == (code, True), answer.body


def test_nobody_sends_a_program_as_a_model(aiaa: AiaaSite, tmp_path: Path) -> None:
    (tmp_path / "model.ts").write_bytes(b"PK" + bytes(2**20))
    answer = aiaa.python("PUT", "/admin/model/new", params={}, image=tmp_path / "model.ts", field="data")
    assert (answer.status, "are programs" in answer.message) == (403, True)
    assert aiaa.call("GET", "/admin/model/new").status == 404


def test_all_of_the_output_is_what_comes_without_saying(aiaa: AiaaSite, image_file: Path) -> None:
    session = aiaa.open_session(image_file)
    path = f"/v1/dextr3d?model=annotation&session_id={session}"
    whole, said = (
        aiaa.python("POST", f"{path}{output}", params={"points": SIX}).parts() for output in ("", "&output=all")
    )
    assert whole == said
    refused = aiaa.python("POST", f"{path}&output=dicom_seg", params={"points": SIX})
    assert (refused.status, "expected image" in refused.message) == (400, True)
