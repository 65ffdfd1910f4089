"""What the headers of a request ask for: a revision, safe repetition, and the form of the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request

from gateway.http.errors import HttpRefusal
from sixpoint.errors import InvalidArgument, Violation
from sixpoint.errors.shortening import quoted

__all__ = ["choose_form", "entity_tag", "expected_revision", "is_current", "repetition_key"]

_TAG = re.compile(r'"(\d{1,18})"')
_MAX_RANGES = 50


def entity_tag(revision: int) -> str:
    """Return the ETag of a session, or of what depends on it, at a revision."""
    return f'"{revision}"'


def expected_revision(request: Request) -> int | None:
    """Return the revision that ``If-Match`` asks for; None if any will do.

    Raises:
        InvalidArgument: It is none.
    """
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    match = _TAG.fullmatch(text)
    if match is None:
        raise InvalidArgument(
            'If-Match is no revision: expected the ETag of the session, such as "3"',
            violations=(Violation("If-Match", 'an ETag such as "3"'),),
        )
    return int(match[1])


def is_current(request: Request, revision: int) -> bool:
    """Whether the client has what ``If-None-Match`` names already."""
    tags = request.headers.get("if-none-match", "").split(",")
    return any(tag.strip().removeprefix("W/") == entity_tag(revision) for tag in tags)


def repetition_key(request: Request) -> str:
    """Return the request id in the header ``Idempotency-Key``; empty without one."""
    return request.headers.get("idempotency-key", "").strip().strip('"')


def choose_form(request: Request, forms: Sequence[tuple[str, str]]) -> str:
    """Return the name of the form in which to answer: what the query asks for (``format``), else what ``Accept`` does.

    Args:
        request: The request.
        forms: Name and media type of each form, the one for those who do not ask first.

    Raises:
        InvalidArgument: There is no such form.
        HttpRefusal: None of the media types will do.
    """
    names = [name for name, _ in forms]
    chosen = request.query_params.get("format")
    if chosen is not None:
        if chosen not in names:
            raise InvalidArgument(
                f"format is {quoted(chosen)}; expected one of {', '.join(names)}",
                violations=(Violation("format", f"one of {', '.join(names)}"),),
            )
        return chosen
    best, best_quality = "", 0.0
    ranges = _media_ranges(request.headers.get("accept", "") or "*/*")
    for name, media_type in forms:
        # The most specific range that fits says how welcome a form is.
        fitting = [(len(pattern), quality) for pattern, quality in ranges if _fits(media_type, pattern)]
        quality = max(fitting)[1] if fitting else 0.0
        if quality > best_quality:
            best, best_quality = name, quality
    if not best:
        kinds = ", ".join(dict.fromkeys(media_type for _, media_type in forms))
        error = InvalidArgument(f"none of the media types in Accept is sent here; expected one of {kinds}")
        raise HttpRefusal(HTTPStatus.NOT_ACCEPTABLE, error)
    return best


def _media_ranges(text: str) -> list[tuple[str, float]]:
    ranges = []
    for part in text.split(",")[:_MAX_RANGES]:
        pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                quality = _quality(parameter[2:])
        ranges.append((pattern, quality))
    return ranges


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text) else 0.0


def _fits(media_type: str, pattern: str) -> bool:
    return pattern in ("*/*", media_type, f"{media_type.partition('/')[0]}/*")
