"""Which tenants of a gateway see a model: a parameter of its config, beside the spec."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError

from sixpoint.errors import ModelSpecError

__all__ = ["TENANTS_PARAMETER", "tenants_from_json", "tenants_to_json"]

TENANTS_PARAMETER = "sixpoint_tenants"
"""Name of the parameter of ``config.pbtxt`` with the names of the tenants, as JSON: ``["north", "south"]``. Without it
every tenant sees the model."""

_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
_NAMES = TypeAdapter(frozenset[_Name])


def tenants_to_json(tenants: Iterable[str]) -> str:
    """Text of the parameter.

    Raises:
        ModelSpecError: A name is no tenant's name.
    """
    return json.dumps(sorted(_checked(tenants)))


def tenants_from_json(text: str) -> frozenset[str]:
    """Parse the text of the parameter.

    Raises:
        ModelSpecError: The text is no list of tenants.
    """
    try:
        names = json.loads(text)
    except ValueError:
        names = text
    return _checked(names)


def _checked(names: object) -> frozenset[str]:
    try:
        return _NAMES.validate_python(names)
    except ValidationError:
        raise ModelSpecError(
            f"parameter {TENANTS_PARAMETER}: expected a list of names of tenants, each of 1 to 63 lower-case letters, "
            "digits and hyphens"
        ) from None
