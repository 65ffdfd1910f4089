"""The gRPC edge: messages in, core called, messages out. No decisions are made here."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core.catalog import Catalog
from gateway.core.deadline import Deadline
from gateway.core.engine import Engine
from gateway.core.images import Images
from gateway.core.sessions import Session, SessionStore
from gateway.core.shown import check_count
from sixpoint.converters import (
    mask_to_message,
    model_to_message,
    prompt_from_message,
    timings_to_message,
)
from sixpoint.errors import PromptError
from sixpoint.prompts import Prompt
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import model_service_pb2 as models
from sixpoint.v1 import model_service_pb2_grpc as models_grpc
from sixpoint.v1 import session_service_pb2 as sessions
from sixpoint.v1 import session_service_pb2_grpc as sessions_grpc

__all__ = ["AnnotationServicer", "ModelServicer", "SessionServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(models_grpc.ModelServiceServicer):
    """``sixpoint.v1.ModelService`` over a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def ListModels(self, request: models.ListModelsRequest, context: _Context) -> models.ListModelsResponse:
        """Lists the models that match every filter that is set."""
        found = [model_to_message(model.name, model.version, model.spec) for model in self._catalog.list()]
        return models.ListModelsResponse(
            models=[
                model
                for model in found
                if (not request.label or request.label in model.labels)
                and (not request.task or request.task == model.task)
                and (not request.modality or not model.modalities or request.modality in model.modalities)
                and (not request.prompt_kind or request.prompt_kind in model.prompt_kinds)
            ]
        )

    async def GetModel(self, request: models.GetModelRequest, context: _Context) -> models.GetModelResponse:
        """Describes one model."""
        model = self._catalog.get(request.name)
        return models.GetModelResponse(model=model_to_message(model.name, model.version, model.spec))


class SessionServicer(sessions_grpc.SessionServiceServicer):
    """``sixpoint.v1.SessionService`` over a session store."""

    def __init__(self, *, sessions: SessionStore, images: Images, catalog: Catalog) -> None:
        self._sessions = sessions
        self._images = images
        self._catalog = catalog

    async def CreateSession(
        self, request: sessions.CreateSessionRequest, context: _Context
    ) -> sessions.CreateSessionResponse:
        """Opens a session on an uploaded image."""
        image = await self._images.open(request.image_digest)
        model = self._catalog.get(request.model)
        return sessions.CreateSessionResponse(session=_session_message(self._sessions.create(image, model.name)))

    async def GetSession(self, request: sessions.GetSessionRequest, context: _Context) -> sessions.GetSessionResponse:
        """Describes a session."""
        return sessions.GetSessionResponse(session=_session_message(self._sessions.get(request.session_id)))

    async def CloseSession(
        self, request: sessions.CloseSessionRequest, context: _Context
    ) -> sessions.CloseSessionResponse:
        """Closes a session."""
        self._sessions.close(request.session_id)
        return sessions.CloseSessionResponse()


class AnnotationServicer(annotation_grpc.AnnotationServiceServicer):
    """``sixpoint.v1.AnnotationService`` over an engine."""

    def __init__(self, *, sessions: SessionStore, engine: Engine, call_seconds: float) -> None:
        self._sessions = sessions
        self._engine = engine
        self._call_seconds = call_seconds

    async def Annotate(self, request: annotation.AnnotateRequest, context: _Context) -> annotation.AnnotateResponse:
        """Answers prompts with a mask."""
        session = self._sessions.get(request.session_id)
        prompts = _prompts(request)
        remaining = context.time_remaining()
        deadline = Deadline.after(self._call_seconds if remaining is None else remaining)
        answer = await self._engine.annotate(session, prompts, deadline=deadline)
        return annotation.AnnotateResponse(
            answer=annotation.Answer(
                revision=answer.revision,
                mask=mask_to_message(answer.mask),
                model=answer.model,
                model_version=answer.version,
                timings=timings_to_message(answer.timings),
            )
        )


def _prompts(request: annotation.AnnotateRequest) -> list[Prompt]:
    # Before any is read: a message holds a hundred times as many as are answered. One may be points or a box.
    check_count(len(request.prompts) - 1)
    prompts = []
    for number, message in enumerate(request.prompts):
        try:
            prompts.append(prompt_from_message(message))
        except PromptError as error:
            raise error.under(f"prompts[{number}]") from None
    return prompts


def _session_message(session: Session) -> sessions.Session:
    created, expires = Timestamp(), Timestamp()
    created.FromDatetime(session.created)
    expires.FromDatetime(session.expires)
    return sessions.Session(
        id=session.id,
        image_digest=session.image.digest,
        model=session.model,
        revision=session.revision,
        create_time=created,
        expire_time=expires,
    )
