"""Take credentials out of what is logged, wherever they got into it."""

from __future__ import annotations

import re

__all__ = ["redact"]

_CREDENTIALS = re.compile(
    r"""
    (?P<token>sxp_)[A-Za-z0-9_-]+           # a token of the file of tokens
    | (?P<jwt>eyJ)[\w-]+\.[\w-]+\.[\w-]*    # an access token
    | (?<!\S)(?P<quote>["']?)(?P<path>/t/)[^/\s?"']+  # whatever stands where a path has its token
    """,
    re.VERBOSE,
)


def redact(text: str) -> str:
    """Return a text without the tokens that it has; what they begin with stays, to be searched for."""
    return _CREDENTIALS.sub(_shortened, text)


def _shortened(match: re.Match[str]) -> str:
    return f"{match['quote'] or ''}{match['token'] or match['jwt'] or match['path']}..."
