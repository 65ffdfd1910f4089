"""Storage: records in a database, and blobs in a folder or an object store."""

from gateway.storage.blobs import Blobs
from gateway.storage.database import Database
from gateway.storage.jobs import DbosQueue, taking_runs
from gateway.storage.repository import (
    dataset_repository,
    image_maintenance,
    image_repository,
    job_maintenance,
    job_repository,
    learning_repository,
    session_maintenance,
    session_repository,
)

__all__ = [
    "Blobs",
    "Database",
    "DbosQueue",
    "dataset_repository",
    "image_maintenance",
    "image_repository",
    "job_maintenance",
    "job_repository",
    "learning_repository",
    "session_maintenance",
    "session_repository",
    "taking_runs",
]
