"""Names as long as the wire allows: the error about one arrives, and is short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

import sixpoint
from sixpoint.protocol import error_from_rpc
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.support.images import noisy_volume

# In the trailers of HTTP/2 a character that is not ASCII takes nine bytes, and gRPC allows 8 KiB for all of them.
LONG = "\N{LATIN SMALL LETTER E WITH ACUTE}\n" * 4096


def _sessions(channel: grpc.Channel) -> Any:
    return session_grpc.SessionServiceStub(channel)


def _annotation(channel: grpc.Channel) -> Any:
    return annotation_grpc.AnnotationServiceStub(channel)


def _images(channel: grpc.Channel) -> Any:
    return image_grpc.ImageServiceStub(channel)


CALLS: dict[str, Callable[[grpc.Channel, str, str], Any]] = {
    "model of a session": lambda channel, digest, _: _sessions(channel).CreateSession(
        session_pb.CreateSessionRequest(image_digest=digest, model=LONG)
    ),
    "digest of a session": lambda channel, _, __: _sessions(channel).CreateSession(
        session_pb.CreateSessionRequest(image_digest=LONG, model="ellipsoid")
    ),
    "request id": lambda channel, digest, _: _sessions(channel).CreateSession(
        session_pb.CreateSessionRequest(image_digest=digest, model="ellipsoid", request_id=LONG)
    ),
    "version without a model": lambda channel, _, __: _sessions(channel).ListSessions(
        session_pb.ListSessionsRequest(model_version=LONG)
    ),
    "page token": lambda channel, _, __: _sessions(channel).ListSessions(
        session_pb.ListSessionsRequest(page_token=LONG)
    ),
    "name of a segment": lambda channel, _, session: _sessions(channel).UpdateSession(
        session_pb.UpdateSessionRequest(session_id=session, segments=[session_pb.Segment(number=1, name=LONG)])
    ),
    "session id": lambda channel, _, __: _annotation(channel).Undo(annotation_pb.UndoRequest(session_id=LONG)),
    "model of a segmentation": lambda channel, digest, _: list(
        _annotation(channel).Segment(annotation_pb.SegmentRequest(image_digest=digest, model=LONG))
    ),
    "digest of an image": lambda channel, _, __: _images(channel).GetImage(image_pb.GetImageRequest(digest=LONG)),
    "digest of an upload": lambda channel, _, __: _images(channel).UploadImage(
        iter([image_pb.UploadImageRequest(header=image_pb.Image(digest=LONG))])
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_error_about_a_long_name_is_short(
    channel: grpc.Channel, client: sixpoint.Client, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with client.open_session(noisy_volume(), model="ellipsoid") as session, pytest.raises(grpc.RpcError) as caught:
        CALLS[name](channel, noisy_volume().digest, session.id)
    error = error_from_rpc(caught.value)
    assert type(error) is not sixpoint.SixpointError
    assert error.reason not in ("UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED")
    assert len(error.message) < 500
    assert all(len(f"{violation.field}{violation.description}") < 500 for violation in error.violations)
    assert caplog.records
    assert not [record for record in caplog.records if len(str(vars(record))) > 3000]
