"""The gRPC channel of a client: options, and the stubs of all services."""

from __future__ import annotations

from contextlib import AbstractContextManager

import grpc
import grpc.aio

from sixpoint.client._transport.tls import TlsFiles
from sixpoint.client._transport.tracing import Metadata, call_span
from sixpoint.protocol import Target
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import dataset_service_pb2_grpc as dataset_grpc
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import job_service_pb2_grpc as job_grpc
from sixpoint.v1 import learning_service_pb2_grpc as learning_grpc
from sixpoint.v1 import model_service_pb2_grpc as model_grpc
from sixpoint.v1 import session_service_pb2_grpc as session_grpc

__all__ = ["CHANNEL_OPTIONS", "Stubs", "open_async_channel", "open_channel"]

CHANNEL_OPTIONS = (
    # A mask usually compresses to a few percent of its size, but that is not guaranteed.
    ("grpc.max_receive_message_length", 256 * 2**20),
    # Notice soon that a gateway is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A laptop that slept, or a router that dropped the connection, gives no sign. After 30 s of silence the client
    # pings the gateway, and after 20 s without an answer it drops the connection; the next attempt opens another. It
    # pings between calls too, so that a click after a pause finds a working connection. The gateway must permit pings
    # this often.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # gRPC 1.85 obeys the second option, whose default is a minute. The first is the documented one and sets TCP's
    # limit. Less than 20 s is too short: on a slow line whose tunnel buffers some MB, a ping waits behind an upload.
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    # By default gRPC sends only two pings until there is data again, and a viewer may look at a mask for long.
    ("grpc.http2.max_pings_without_data", 0),
    # No bandwidth probes: these pings would be late behind much data on a slow line. The fixed window replaces what
    # they measure.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 * 2**20),
)


def open_channel(target: Target, *, tls: TlsFiles | None) -> grpc.Channel:
    """Open a blocking channel to a gateway.

    Args:
        target: What to connect to.
        tls: Files for TLS; None for those of the environment.

    Raises:
        InvalidArgument: A file for TLS cannot be used.
    """
    if not target.tls:
        return grpc.insecure_channel(target.name, options=_plain_options(target))
    credentials = (tls or TlsFiles.from_environment()).credentials()
    return grpc.secure_channel(target.name, credentials, options=CHANNEL_OPTIONS)


def open_async_channel(target: Target, *, tls: TlsFiles | None) -> grpc.aio.Channel:
    """Open a channel for asyncio to a gateway.

    Args:
        target: What to connect to.
        tls: Files for TLS; None for those of the environment.

    Raises:
        InvalidArgument: A file for TLS cannot be used.
    """
    if not target.tls:
        return grpc.aio.insecure_channel(target.name, options=_plain_options(target))
    credentials = (tls or TlsFiles.from_environment()).credentials()
    return grpc.aio.secure_channel(target.name, credentials, options=CHANNEL_OPTIONS)


def _plain_options(target: Target) -> tuple[tuple[str, int], ...]:
    """The options of a channel without TLS."""
    # gRPC asks the proxy of http_proxy even for localhost, which then is the proxy's machine; a token would go there.
    return (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)) if target.is_private else CHANNEL_OPTIONS


class Stubs:
    """The RPC methods of all services over one channel.

    The methods of a ``grpc.aio.Channel`` return awaitables, which the driver for asyncio awaits.

    Args:
        channel: Channel to the gateway.

    Attributes:
        models: Methods of the model service.
        images: Methods of the image service.
        sessions: Methods of the session service.
        annotation: Methods of the annotation service.
        datasets: Methods of the dataset service.
        jobs: Methods of the job service.
        learning: Methods of the learning service.
    """

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        self.models: model_grpc.ModelServiceStub = model_grpc.ModelServiceStub(channel)
        self.images: image_grpc.ImageServiceStub = image_grpc.ImageServiceStub(channel)
        self.sessions: session_grpc.SessionServiceStub = session_grpc.SessionServiceStub(channel)
        self.annotation: annotation_grpc.AnnotationServiceStub = annotation_grpc.AnnotationServiceStub(channel)
        self.datasets: dataset_grpc.DatasetServiceStub = dataset_grpc.DatasetServiceStub(channel)
        self.jobs: job_grpc.JobServiceStub = job_grpc.JobServiceStub(channel)
        self.learning: learning_grpc.LearningServiceStub = learning_grpc.LearningServiceStub(channel)
        services = {
            "ModelService": self.models,
            "ImageService": self.images,
            "SessionService": self.sessions,
            "AnnotationService": self.annotation,
            "DatasetService": self.datasets,
            "JobService": self.jobs,
            "LearningService": self.learning,
        }
        self._names = {
            id(method): f"sixpoint.v1.{service}/{name}"
            for service, stub in services.items()
            for name, method in vars(stub).items()
        }

    def span(self, method: object, metadata: Metadata) -> AbstractContextManager[Metadata]:
        """Make the block the span of a call where calls are traced; yields the metadata to send.

        Args:
            method: One of the methods.
            metadata: Metadata of the call.
        """
        return call_span(self._names[id(method)], metadata)
