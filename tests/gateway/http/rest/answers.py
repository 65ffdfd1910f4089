"""Check answers of the API against its document, and requests that it accepts: status, media type, what is in them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import jsonschema

from gateway.http.rest import api_document

__all__ = ["check_answer", "check_request"]


def check_answer(method: str, path: str, answer: httpx.Response) -> None:
    """Check an answer.

    Args:
        method: HTTP's method of the request.
        path: Its path within the API, maybe with a query.
        answer: The answer.

    Raises:
        AssertionError: The document says something else of it.
    """
    responses = _responses(method, urlsplit(path).path)
    if responses is None:
        # No operation: it is refused.
        assert answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED), answer.text
        return
    place = f"{method} {path.partition('?')[0]}: {answer.status_code}"
    described = responses.get(str(answer.status_code))
    if described is None:
        assert answer.status_code >= 400, f"{place} is not in the document"
        described = responses["default"]
    content = described.get("content", {})
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if not content:
        assert not answer.content, f"{place} has a body, and none in the document"
        return
    assert kind in content, f"{place} has a body of the type {kind!r}, and in the document {sorted(content)}"
    if kind == "text/event-stream":
        kinds = {each["properties"]["event"]["const"]: each for each in content[kind]["itemSchema"]["oneOf"]}
        for name, data in re.findall(r"^event: (.*)\ndata: (.*)$", answer.text, re.MULTILINE):
            schema = kinds[name]["properties"]["data"]["contentSchema"]
            _json_validator(json.dumps(schema)).validate(json.loads(data))
    if kind.endswith("json"):
        _validator(method, _template(urlsplit(path).path) or "", str(answer.status_code), kind).validate(answer.json())


def check_request(method: str, path: str, options: Mapping[str, Any]) -> None:
    """Check the JSON of a request that was accepted.

    Args:
        method: HTTP's method of the request.
        path: Its path within the API, maybe with a query.
        options: What httpx was told to send.

    Raises:
        AssertionError: The document says that the request has to have a body.
        ValidationError: The document does not allow what was sent.
    """
    template = _template(urlsplit(path).path)
    described = _document()["paths"][template][method.lower()].get("requestBody") if template else None
    if described is None or "application/json" not in described["content"]:
        return
    if "json" in options:
        _body_validator(method, template or "").validate(options["json"])
    else:
        assert "content" in options or not described["required"], f"{method} {path} without a body"


@functools.cache
def _document() -> dict[str, Any]:
    return api_document()


@functools.cache
def _templates() -> list[tuple[str, re.Pattern[str]]]:
    # Those without parameters first.
    paths = sorted(_document()["paths"], key=lambda path: path.count("{"))
    return [(path, re.compile(re.sub(r"{\w+}", "[^/]+", path))) for path in paths]


def _template(path: str) -> str | None:
    return next((template for template, pattern in _templates() if pattern.fullmatch(path)), None)


def _responses(method: str, path: str) -> dict[str, Any] | None:
    template = _template(path)
    operation = _document()["paths"][template].get(method.lower()) if template else None
    return operation["responses"] if operation else None


@functools.cache
def _json_validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**json.loads(schema), "components": _document()["components"]})


@functools.cache
def _body_validator(method: str, template: str) -> jsonschema.Draft202012Validator:
    schema = _document()["paths"][template][method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema.Draft202012Validator({**schema, "components": _document()["components"]})


@functools.cache
def _validator(method: str, template: str, status: str, kind: str) -> jsonschema.Draft202012Validator:
    responses = _document()["paths"][template][method.lower()]["responses"]
    schema = responses.get(status, responses["default"])["content"][kind]["schema"]
    schema = {**schema, "components": _document()["components"]}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(schema, format_checker=checker)
