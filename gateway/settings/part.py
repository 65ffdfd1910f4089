"""What all parts of the settings have in common."""

from __future__ import annotations

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.settings.secrets import SecretFiles

__all__ = ["SettingsPart"]


class SettingsPart(BaseSettings):
    """A part of the settings: one subject. Each field is read from an environment variable."""

    model_config = SettingsConfigDict(
        env_prefix="SIXPOINT_",
        # Files for containers set variables to nothing to leave them out; the empty path would be the working folder.
        env_ignore_empty=True,
        frozen=True,
        use_attribute_docstrings=True,
        # What is wrong with a secret is said without the secret.
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read secrets from files, too; see :class:`SecretFiles`."""
        del dotenv_settings, file_secret_settings
        return init_settings, SecretFiles(settings_cls), env_settings
