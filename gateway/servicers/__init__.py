"""The gRPC edge: messages in, core called, messages out. No decisions are made here."""

from gateway.servicers.annotation import AnnotationServicer
from gateway.servicers.images import ImageServicer
from gateway.servicers.models import ModelServicer
from gateway.servicers.sessions import SessionServicer

__all__ = ["AnnotationServicer", "ImageServicer", "ModelServicer", "SessionServicer"]
