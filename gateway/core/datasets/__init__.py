"""Datasets: images with labels, and the annotations that people saved."""

from gateway.core.datasets.annotations import Annotations
from gateway.core.datasets.assigning import Assignments, NextImage
from gateway.core.datasets.datasets import Dataset, Datasets, NewImage, Page
from gateway.core.datasets.drafts import ModelDrafts, NoDraft
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
    LearntVersion,
    NextStrategy,
    Review,
    Split,
    TracedSession,
)
from gateway.core.datasets.removing import ImageRemoval, ImageTrace, Removed, RemovedImage, Subject
from gateway.core.datasets.repository import DatasetReader, DatasetRepository, DatasetWriter
from gateway.core.datasets.saving import AnnotationSaver
from gateway.core.datasets.scores import DraftComparison, EmbeddedImage, ImageScore, ModelVersion

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
    "DraftComparison",
    "EmbeddedImage",
    "ImageRemoval",
    "ImageScore",
    "ImageTrace",
    "LabelMask",
    "LearntVersion",
    "ModelDrafts",
    "ModelVersion",
    "NewImage",
    "NextImage",
    "NextStrategy",
    "NoDraft",
    "Page",
    "Removed",
    "RemovedImage",
    "Review",
    "Split",
    "Subject",
    "TracedSession",
]
