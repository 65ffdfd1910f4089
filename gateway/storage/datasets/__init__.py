"""Datasets and annotations in SQL."""

from gateway.storage.datasets.dataset_changes import SqlDatasetWriter
from gateway.storage.datasets.learning_records import SqlLearningReader, SqlLearningWriter
from gateway.storage.datasets.trace_queries import SqlTraceReader

__all__ = ["SqlDatasetWriter", "SqlLearningReader", "SqlLearningWriter", "SqlTraceReader"]
