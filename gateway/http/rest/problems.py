"""Errors as Problem Details (RFC 9457): ``application/problem+json``, with the reasons of the error tree."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.http.errors import HttpRefusal, with_frame_advice
from sixpoint.errors import SixpointError

__all__ = ["Problem", "problem_content", "problem_response"]

_MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:sixpoint:error:"


class WrongField(BaseModel):
    """A wrong field of a request."""

    field: str = Field(description="Its path, such as prompts[0].click.frame.")
    description: str = Field(description="What was expected.")


class Problem(BaseModel):
    """Why a call was refused (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:sixpoint:error:IMAGE_NOT_FOUND",
                    "title": "No image with this digest was uploaded, or it was removed",
                    "status": 404,
                    "detail": "no image has this digest; upload it first",
                    "reason": "IMAGE_NOT_FOUND",
                }
            ]
        }
    )

    type: str = Field(description="Name of the kind of error: urn:sixpoint:error: and the reason.")
    title: str = Field(description="What the reason means.")
    status: int = Field(description="HTTP's status code.")
    detail: str = Field(description="What is wrong, what was expected, and what to do next.")
    reason: str = Field(description="Reason of the error, as gRPC has it: see the documentation's page on errors.")
    violations: list[WrongField] = Field(default_factory=list, description="Wrong fields of the request, if any.")
    retry_after: float | None = Field(default=None, description="Seconds after which a retry may succeed.")


def problem_content(refusal: HttpRefusal) -> dict[str, Any]:
    """Return the members of the problem that an error is."""
    error = refusal.error
    return {
        "type": _TYPE + error.reason,
        "title": _title(type(error)),
        "status": int(refusal.code),
        "detail": with_frame_advice(error.message, named=True),
        "reason": error.reason,
        **(
            {"violations": [{"field": each.field, "description": each.description} for each in error.violations]}
            if error.violations
            else {}
        ),
        **({"retry_after": error.retry_after} if error.retry_after is not None else {}),
    }


def problem_response(refusal: HttpRefusal) -> Response:
    """Return the answer for an error."""
    headers = {}
    if refusal.error.retry_after:
        headers["retry-after"] = str(math.ceil(refusal.error.retry_after))
    if refusal.code == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(problem_content(refusal), status_code=refusal.code, headers=headers, media_type=_MEDIA_TYPE)


def _title(kind: type[SixpointError]) -> str:
    """The first sentence of what the class of an error says about itself."""
    return " ".join((kind.__doc__ or kind.reason).split()).partition(". ")[0].rstrip(".")
