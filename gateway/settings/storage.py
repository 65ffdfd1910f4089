"""Settings of the database, the blob store and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr

from gateway.settings.part import SettingsPart

__all__ = ["StorageSettings"]


class StorageSettings(SettingsPart):
    """Where images and sessions are kept."""

    state_folder: Path = Path("state")
    """Folder for images and sessions, unless the next three settings say otherwise."""
    database_url: SecretStr = Field(
        default_factory=lambda values: SecretStr(f"sqlite:///{values['state_folder'].absolute()}/sixpoint.db")
    )
    """Database for records: sqlite:////folder/file.db, or postgresql+psycopg://user:password@host/name."""
    blobs_url: SecretStr = Field(default_factory=lambda values: SecretStr(f"{values['state_folder'].absolute()}/blobs"))
    """Store for voxels: a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."""
    cache_folder: Path = Field(default_factory=lambda values: values["state_folder"].absolute() / "cache")
    """Folder for images in use and uploads in progress; gateways on one machine may share it."""
    storage_poll_seconds: float = Field(default=5.0, gt=0)
    """Seconds between two checks of whether database and blob store can be reached; if not, health is NOT_SERVING."""

    def with_state_in(self, folder: Path) -> Self:
        """Return a copy of the settings that keeps all state in one folder."""
        urls = {
            "database_url": SecretStr(f"sqlite:///{folder}/sixpoint.db"),
            "blobs_url": SecretStr(f"{folder}/blobs"),
        }
        return self.model_copy(update={"state_folder": folder, "cache_folder": folder / "cache", **urls})
