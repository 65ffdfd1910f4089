"""Paths of wrong fields, looked up in the contract's messages."""

from __future__ import annotations

import re

from google.protobuf.descriptor import Descriptor

__all__ = ["is_field"]

_PART = re.compile(r"(\w+)(\[\d+\])?")


def is_field(path: str, message: Descriptor) -> bool:
    """Whether a path such as ``prompts[0].click.point`` leads to a field of a message.

    Args:
        path: The path.
        message: Descriptor of the message.
    """
    place: Descriptor | None = message
    for part in path.split("."):
        match = _PART.fullmatch(part)
        field = place.fields_by_name.get(match[1]) if match and place else None
        if match is None or field is None or (match[2] and not field.is_repeated):
            return False
        place = field.message_type
    return True
