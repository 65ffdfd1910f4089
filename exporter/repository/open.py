"""Open a model repository by its address."""

from __future__ import annotations

from pathlib import Path

from exporter.repository.folder import FolderRepository
from exporter.repository.object_store import ObjectStoreRepository
from exporter.repository.protocol import ModelRepository
from sixpoint.errors import InvalidArgument

__all__ = ["open_repository"]


def open_repository(where: str) -> ModelRepository:
    """The repository at a path, or at ``s3://bucket/prefix`` (``gs://``, ``az://``).

    Raises:
        InvalidArgument: The address is of no known kind.
    """
    if "://" not in where:
        return FolderRepository(Path(where))
    if where.startswith("file://"):
        return FolderRepository(Path(where.removeprefix("file://")))
    if where.partition("://")[0] in {"s3", "s3a", "gs", "az", "azure", "abfs", "abfss"}:
        return ObjectStoreRepository(where)
    raise InvalidArgument("the repository must be a folder, s3://bucket/prefix, gs://... or az://...")
