"""Datasets: images with labels, and the annotations that people saved."""

from gateway.core.datasets.annotations import Annotations
from gateway.core.datasets.assigning import Assignments, NextImage
from gateway.core.datasets.datasets import Dataset, Datasets, NewImage, Page
from gateway.core.datasets.records import (
    AnnotatedLabel,
    AnnotationCursor,
    AnnotationRow,
    AnnotationState,
    Assignment,
    DatasetCounts,
    DatasetImageRow,
    DatasetLabel,
    DatasetRow,
    LabelMask,
    NextStrategy,
    Review,
    Split,
)
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.saving import AnnotationSaver

__all__ = [
    "AnnotatedLabel",
    "AnnotationCursor",
    "AnnotationRow",
    "AnnotationSaver",
    "AnnotationState",
    "Annotations",
    "Assignment",
    "Assignments",
    "Dataset",
    "DatasetCounts",
    "DatasetImageRow",
    "DatasetLabel",
    "DatasetReader",
    "DatasetRepository",
    "DatasetRow",
    "DatasetWriter",
    "Datasets",
    "LabelMask",
    "NewImage",
    "NextImage",
    "NextStrategy",
    "Page",
    "Review",
    "Split",
]
