"""The role that each call needs."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FileDescriptor

from gateway.core.access import Role
from gateway.grpc.permissions import PUBLIC_SERVICES, ROLES, role_for
from gateway.grpc.servicers.health import SERVICES
from sixpoint.errors import PermissionDenied
from sixpoint.v1 import (
    annotation_service_pb2,
    dataset_service_pb2,
    image_service_pb2,
    job_service_pb2,
    learning_service_pb2,
    model_service_pb2,
    session_service_pb2,
)

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        annotation_service_pb2,
        dataset_service_pb2,
        image_service_pb2,
        job_service_pb2,
        learning_service_pb2,
        model_service_pb2,
        session_service_pb2,
    )
]


def test_every_call_of_the_contract_has_a_role_and_no_other_call_has() -> None:
    calls = {
        f"/{service.full_name}/{method.name}"
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert set(ROLES) == calls
    assert {name for file in FILES for name in (s.full_name for s in file.services_by_name.values())} == {
        name for name in SERVICES if name.startswith("sixpoint.")
    }


def test_viewers_only_read() -> None:
    changes = [
        "Create",
        "Update",
        "Fork",
        "Close",
        "Annotate",
        "Undo",
        "Redo",
        "Reset",
        "Interact",
        "Segment",
        "Upload",
        "Add",
        "Save",
        "Import",
        "Review",
        "Adjudicate",
        "Cancel",
        "Pause",
        "Resume",
        "NextImage",
        "Skip",
        "SetLearning",
        "StartRound",
        "Promote",
        "RollBack",
        "Remove",
        # It says whether somebody is a patient.
        "Trace",
    ]
    for method, role in ROLES.items():
        assert (role >= Role.ANNOTATOR) == any(word in method.rpartition("/")[2] for word in changes), method


def test_a_call_outside_the_table_is_refused() -> None:
    with pytest.raises(PermissionDenied, match="no role may make this call"):
        role_for("/sixpoint.v1.SessionService/DropEverything")
    assert not any(name.startswith("sixpoint.") for name in PUBLIC_SERVICES)
