"""``label_info``: what the numbers of a client's label map mean."""

from __future__ import annotations

from collections.abc import Mapping

from sixpoint.errors import InvalidArgument
from sixpoint.masks.labels import MAX_SEGMENTS

__all__ = ["read_label_names"]


def read_label_names(params: Mapping[str, object]) -> dict[int, str]:
    """Return the name of each number, as a client says it; nothing if it does not say.

    Args:
        params: Parameters of the call; 3D Slicer calls the number ``idx`` where it saves, and ``id`` beside scribbles.

    Raises:
        InvalidArgument: It says something else.
    """
    info = params.get("label_info") or []
    wrong = InvalidArgument('params.label_info is no list of {"name": text, "idx": number}, one for each label')
    if not isinstance(info, list) or len(info) > MAX_SEGMENTS:
        raise wrong
    names: dict[int, str] = {}
    for each in info:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise wrong
        number = each.get("idx", each.get("id"))
        if type(number) is not int:
            raise wrong
        if names.setdefault(number, each["name"]) != each["name"]:
            raise InvalidArgument(f"params.label_info names the number {number} twice")
    return names
