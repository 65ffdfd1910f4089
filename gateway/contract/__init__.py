"""The unary calls of the contract, carried out on the core: messages in, messages out, for every edge."""

from gateway.contract.annotation import AnnotationCalls
from gateway.contract.datasets import DatasetCalls
from gateway.contract.images import ImageCalls, header_from_message, image_to_message
from gateway.contract.jobs import JobCalls
from gateway.contract.learning import LearningCalls
from gateway.contract.messages import (
    PHASES,
    event_to_message,
    read_change,
    read_mask_request,
    read_prompts,
    write_result,
)
from gateway.contract.models import ModelCalls
from gateway.contract.sessions import SessionCalls

__all__ = [
    "PHASES",
    "AnnotationCalls",
    "DatasetCalls",
    "ImageCalls",
    "JobCalls",
    "LearningCalls",
    "ModelCalls",
    "SessionCalls",
    "event_to_message",
    "header_from_message",
    "image_to_message",
    "read_change",
    "read_mask_request",
    "read_prompts",
    "write_result",
]
