"""What all parts of the settings have in common."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["SettingsPart"]


class SettingsPart(BaseSettings):
    """A part of the settings: one subject. Each field is read from an environment variable."""

    model_config = SettingsConfigDict(
        env_prefix="SIXPOINT_",
        # Files for containers set variables to nothing to leave them out; the empty path would be the working folder.
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
    )
