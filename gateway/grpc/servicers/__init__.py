"""The gRPC services: read messages, call the core, convert its results to messages."""

from gateway.grpc.servicers.annotation import AnnotationServicer
from gateway.grpc.servicers.datasets import DatasetServicer
from gateway.grpc.servicers.images import ImageServicer
from gateway.grpc.servicers.jobs import JobServicer
from gateway.grpc.servicers.learning import LearningServicer
from gateway.grpc.servicers.models import ModelServicer
from gateway.grpc.servicers.sessions import SessionServicer

__all__ = [
    "AnnotationServicer",
    "DatasetServicer",
    "ImageServicer",
    "JobServicer",
    "LearningServicer",
    "ModelServicer",
    "SessionServicer",
]
