"""Segmentation: label a whole image with a network that needs no prompts."""

from gateway.core.segmentation.events import LabelMask, SegmentationEvent, SegmentationProgress, SegmentationSummary
from gateway.core.segmentation.scoring import SegmentationScore
from gateway.core.segmentation.segmenter import Segmenter

__all__ = [
    "LabelMask",
    "SegmentationEvent",
    "SegmentationProgress",
    "SegmentationScore",
    "SegmentationSummary",
    "Segmenter",
]
