"""Read the settings from the environment, with errors for people."""

from __future__ import annotations

from pydantic import ValidationError

from gateway.settings import Settings
from sixpoint.errors import InvalidArgument

__all__ = ["read_settings"]


def read_settings() -> Settings:
    """Return the settings of the environment.

    Raises:
        InvalidArgument: They are wrong; the message names each variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = []
        # Defaults that depend on a setting that is wrong are no faults of their own.
        for part in (each for each in error.errors() if each["type"] != "default_factory_not_called"):
            # A problem of several settings together has no location.
            place = f"SIXPOINT_{str(part['loc'][0]).upper()}: " if part["loc"] else ""
            problems.append(place + part["msg"].removeprefix("Value error, "))
        raise InvalidArgument(f"settings: {'; '.join(problems)}") from None
