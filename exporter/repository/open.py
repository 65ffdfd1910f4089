"""Open a model repository by its address."""

from __future__ import annotations

from pathlib import Path

from exporter.repository.folder import FolderRepository
from exporter.repository.object_store import ObjectStoreRepository
from exporter.repository.protocol import ModelRepository
from sixpoint.errors import InvalidArgument

__all__ = ["open_repository"]


def open_repository(address: str) -> ModelRepository:
    """Open the repository at a path, or at ``s3://bucket/prefix`` (``gs://``, ``az://``).

    Raises:
        InvalidArgument: The address has an unknown scheme.
    """
    if "://" not in address:
        return FolderRepository(Path(address))
    if address.startswith("file://"):
        return FolderRepository(Path(address.removeprefix("file://")))
    if address.partition("://")[0] in {"s3", "s3a", "gs", "az", "azure", "abfs", "abfss"}:
        return ObjectStoreRepository(address)
    raise InvalidArgument("the repository must be a folder, s3://bucket/prefix, gs://... or az://...")
