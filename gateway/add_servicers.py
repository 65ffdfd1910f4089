"""Add the services of the contract to a gRPC server."""

from __future__ import annotations

import asyncio

import grpc.aio

from gateway.contract import ModelCalls, SessionCalls
from gateway.core.runtime.fairness import Places
from gateway.edges import Services
from gateway.from_settings import call_deadlines, upload_memory
from gateway.grpc.servicers import (
    AnnotationServicer,
    DatasetServicer,
    ImageServicer,
    JobServicer,
    LearningServicer,
    ModelServicer,
    SessionServicer,
)
from gateway.grpc.servicers.stream_memory import StreamMemory
from gateway.settings import Settings
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import dataset_service_pb2_grpc as dataset_grpc
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import job_service_pb2_grpc as job_grpc
from sixpoint.v1 import learning_service_pb2_grpc as learning_grpc
from sixpoint.v1 import model_service_pb2_grpc as model_grpc
from sixpoint.v1 import session_service_pb2_grpc as session_grpc

__all__ = ["add_servicers"]


def add_servicers(
    server: grpc.aio.Server, settings: Settings, services: Services, *, streams: Places, stopping: asyncio.Event
) -> None:
    """Add all services of the contract.

    Args:
        server: The server.
        settings: Settings of the gateway.
        services: What they call.
        streams: Places of streams that stay open.
        stopping: Set once the gateway stops.
    """
    model_grpc.add_ModelServiceServicer_to_server(ModelServicer(ModelCalls(services.catalog)), server)
    images = ImageServicer(
        services.images,
        places=services.uploads,
        memory=upload_memory(settings),
        transfers=services.transfers,
        idle_seconds=settings.upload_idle_seconds,
    )
    image_grpc.add_ImageServiceServicer_to_server(images, server)
    session_grpc.add_SessionServiceServicer_to_server(
        SessionServicer(SessionCalls(sessions=services.sessions, catalog=services.catalog)), server
    )
    datasets = DatasetServicer(services.dataset_calls(), transfers=services.transfers)
    dataset_grpc.add_DatasetServiceServicer_to_server(datasets, server)
    job_grpc.add_JobServiceServicer_to_server(
        JobServicer(services.job_calls(), streams=streams, stopping=stopping), server
    )
    learning_grpc.add_LearningServiceServicer_to_server(LearningServicer(services.learning_calls()), server)
    annotation = AnnotationServicer(
        engine=services.engine,
        segmenter=services.segmenter,
        stopping=stopping,
        stream_memory=StreamMemory(settings.stream_memory_bytes),
        deadlines=call_deadlines(settings),
        idle_seconds=settings.stream_idle_seconds,
        streams=streams,
        auditor=services.auditor,
    )
    annotation_grpc.add_AnnotationServiceServicer_to_server(annotation, server)
