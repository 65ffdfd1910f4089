"""Datasets and annotations in SQL."""

from gateway.storage.datasets.dataset_changes import SqlDatasetWriter
from gateway.storage.datasets.dataset_queries import SqlDatasetReader

__all__ = ["SqlDatasetReader", "SqlDatasetWriter"]
