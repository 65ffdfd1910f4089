"""The gRPC edge: messages in, core called, messages out. No decisions are made here."""

from gateway.grpc.servicers.annotation import AnnotationServicer
from gateway.grpc.servicers.images import ImageServicer
from gateway.grpc.servicers.models import ModelServicer
from gateway.grpc.servicers.sessions import SessionServicer

__all__ = ["AnnotationServicer", "ImageServicer", "ModelServicer", "SessionServicer"]
