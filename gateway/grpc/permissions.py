"""Which role each call of the contract needs. A call that is not in the table is refused."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.access import Role
from sixpoint.errors import PermissionDenied

__all__ = ["PUBLIC_SERVICES", "ROLES", "role_for"]

_BY_SERVICE: Mapping[str, Mapping[str, Role]] = {
    "ModelService": {"ListModels": Role.VIEWER, "GetModel": Role.VIEWER},
    "ImageService": {
        "GetImage": Role.VIEWER,
        "GetUpload": Role.ANNOTATOR,
        "UploadImage": Role.ANNOTATOR,
        "DownloadImage": Role.VIEWER,
    },
    "SessionService": {
        "CreateSession": Role.ANNOTATOR,
        "GetSession": Role.VIEWER,
        "ListSessions": Role.VIEWER,
        "UpdateSession": Role.ANNOTATOR,
        "ListSteps": Role.VIEWER,
        "ForkSession": Role.ANNOTATOR,
        "CloseSession": Role.ANNOTATOR,
    },
    "AnnotationService": {
        "Annotate": Role.ANNOTATOR,
        "Undo": Role.ANNOTATOR,
        "Redo": Role.ANNOTATOR,
        "Reset": Role.ANNOTATOR,
        "GetMask": Role.VIEWER,
        "Interact": Role.ANNOTATOR,
        "Segment": Role.ANNOTATOR,
    },
    "DatasetService": {
        "CreateDataset": Role.ENGINEER,
        "GetDataset": Role.VIEWER,
        "ListDatasets": Role.VIEWER,
        "AddLabels": Role.ENGINEER,
        "AddImages": Role.ANNOTATOR,
        "ListDatasetImages": Role.VIEWER,
        "NextImage": Role.ANNOTATOR,
        "SkipImage": Role.ANNOTATOR,
        "SaveAnnotation": Role.ANNOTATOR,
        "ImportAnnotation": Role.ANNOTATOR,
        "ListAnnotations": Role.VIEWER,
        "GetAnnotation": Role.VIEWER,
        "ReviewAnnotation": Role.ENGINEER,
        "AdjudicateAnnotations": Role.ENGINEER,
        "TraceImages": Role.ENGINEER,
        # It also ends the sessions of others.
        "RemoveImages": Role.ADMIN,
    },
    "JobService": {
        "CreateJob": Role.ENGINEER,
        "GetJob": Role.VIEWER,
        "ListJobs": Role.VIEWER,
        "WatchJob": Role.VIEWER,
        "CancelJob": Role.ENGINEER,
        "PauseJob": Role.ENGINEER,
        "ResumeJob": Role.ENGINEER,
        "ListJobLines": Role.VIEWER,
    },
    "LearningService": {
        # Everybody of the tenant gets what rounds publish.
        "SetLearningRules": Role.ADMIN,
        "GetLearning": Role.VIEWER,
        "ListDecisions": Role.VIEWER,
        "StartRound": Role.ADMIN,
        "PromoteVersion": Role.ADMIN,
        "RollBackVersion": Role.ADMIN,
    },
}
ROLES: Mapping[str, Role] = {
    f"/sixpoint.v1.{service}/{call}": role for service, calls in _BY_SERVICE.items() for call, role in calls.items()
}
"""Least role for each call, by its full name."""

PUBLIC_SERVICES = frozenset(
    {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"}
)
"""Services for everybody: they tell nothing about images, people or models."""


def role_for(method: str) -> Role:
    """Return the role that a call needs.

    Args:
        method: Full name of the call, ``/package.Service/Call``.

    Raises:
        PermissionDenied: The call is not in the table.
    """
    role = ROLES.get(method)
    if role is None:
        raise PermissionDenied("no role may make this call")
    return role
