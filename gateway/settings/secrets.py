"""Secrets among the settings: each may also be in a file, whose path is the setting with ``_FILE`` at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from sixpoint.io.secret_files import SUFFIX, secret_from_environment

__all__ = ["SecretFiles", "secret_fields", "secret_files"]


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the secrets that are in files, for pydantic-settings."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the secret of a field; None if it is in no file.

        Raises:
            InvalidArgument: The file cannot be used, or the variable for the secret itself is set, too.
        """
        variables = _variables()
        variable = _variable(self.settings_cls, field_name)
        # Without a file, the environment's own source reads the variable.
        named = _is_secret(field) and variables.get(f"{variable}{SUFFIX}")
        return (secret_from_environment(variable, variables) if named else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that are in files, by field."""
        fields = self.settings_cls.model_fields
        values = {name: self.get_field_value(field, name)[0] for name, field in fields.items()}
        return {name: value for name, value in values.items() if value is not None}


def secret_fields(settings: type[BaseSettings]) -> list[str]:
    """Return the names of the settings that are secret: those of the type SecretStr."""
    return [name for name, field in settings.model_fields.items() if _is_secret(field)]


def secret_files(settings: type[BaseSettings]) -> Iterator[tuple[str, Path]]:
    """Yield the variable and the path of each file that holds a secret setting."""
    variables = _variables()
    for name in secret_fields(settings):
        variable = f"{_variable(settings, name)}{SUFFIX}"
        if path := variables.get(variable):
            yield variable, Path(path)


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _variable(settings: type[BaseSettings], name: str) -> str:
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _variables() -> Mapping[str, str]:
    """The environment; names of settings may be written in any case."""
    return {name.upper(): value for name, value in os.environ.items()}
