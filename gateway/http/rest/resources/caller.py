"""``GET /me``: who the caller is here."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Response
from pydantic import BaseModel, Field

from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call
from gateway.http.rest.messages import NO_STORE
from gateway.http.rest.operations import Operation

__all__ = ["me_operation"]


class Caller(BaseModel):
    """Who makes a call."""

    subject: str = Field(description="Name of the caller, to whom sessions and images belong; empty for nobody's.")
    tenant: str = Field(description="Tenant of the caller.")
    roles: list[str] = Field(description="Roles of the caller: viewer, annotator, engineer, admin.")
    method: str = Field(description="How the caller proved who it is: none, tokens, oidc, mtls, proxy or path.")
    expire_time: str | None = Field(default=None, description="Time when the proof ends, if it does.")


def me_operation(deadlines: DeadlineLimits) -> Operation:
    """The operation."""
    return Operation(
        "GET", "/me", "getCaller", "Say who you are here", _show, Role.VIEWER, deadlines, short=True, answer=Caller
    )


async def _show(call: Call) -> Response:
    principal = call.principal
    caller = Caller(
        subject=principal.subject,
        tenant=principal.tenant,
        roles=sorted(role.name.lower() for role in principal.roles),
        method=principal.method,
        expire_time=datetime.fromtimestamp(principal.expires, UTC).isoformat() if principal.expires else None,
    )
    return Response(caller.model_dump_json(exclude_none=True), media_type="application/json", headers=dict(NO_STORE))
