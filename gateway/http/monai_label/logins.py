"""``/auth/``: MONAI Label's clients ask for a name and a password, and send a token. Here the password is the token."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Authenticator, Credentials, Method, Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call
from gateway.http.door import HttpRoute
from gateway.http.identity import credentials_of, peer_of
from gateway.http.monai_label.fields import read_fields
from gateway.http.path_tokens import principal_in
from gateway.http.requests.spool import Spool
from sixpoint.errors import InvalidArgument, NotFound

__all__ = ["Logins"]

_NO_LOGIN = "this gateway knows its callers by other means than tokens, or asks nobody; there is no login"
_NO_PASSWORD = "the form has no password: type your token there (gateway token add, or sixpoint login), with any name"
# Who has one of ours has those before it, too: MONAI Label's roles do not include each other.
_ROLES = {
    Role.VIEWER: "monailabel-user",
    Role.ANNOTATOR: "monailabel-annotator",
    Role.ENGINEER: "monailabel-reviewer",
    Role.ADMIN: "monailabel-admin",
}


class Logins:
    """Gives clients that ask for passwords the tokens that they have to send.

    Args:
        authenticator: Checks tokens.
        methods: How callers prove who they are.
        spool: Files of running calls.
    """

    def __init__(self, authenticator: Authenticator, methods: Collection[Method], spool: Spool) -> None:
        self._authenticator = authenticator
        self._takes_tokens = bool({"tokens", "oidc"} & set(methods))
        self._spool = spool

    def routes(self, deadlines: DeadlineLimits) -> list[HttpRoute]:
        """The routes; the first two are for clients that have no credentials yet.

        Args:
            deadlines: Deadline of the calls.
        """
        return [
            HttpRoute("GET", "/auth/", self._describe, None, deadlines),
            HttpRoute("POST", "/auth/token", self._give_token, None, deadlines),
            HttpRoute("GET", "/auth/token/valid", self._who, Role.VIEWER, deadlines, short=True),
        ]

    async def _describe(self, call: Call) -> Response:
        """``GET /auth/``: whether the client has to ask for a password, or has shown who it is by other means."""
        scope = call.request.scope
        known = principal_in(scope) is not None or bool(credentials_of(scope).certificate_names)
        return JSONResponse({"enabled": self._takes_tokens and not known, "client_id": "sixpoint", "realm": ""})

    async def _give_token(self, call: Call) -> Response:
        """``POST /auth/token``: the password comes back as a token, if it is one."""
        if not self._takes_tokens:
            raise NotFound(_NO_LOGIN)
        token = (await read_fields(call, self._spool)).get("password", "").strip()
        if not token:
            raise InvalidArgument(_NO_PASSWORD)
        # Nothing else of the request proves anything: a proxy's headers would vouch for any password.
        await self._authenticator.authenticate(
            Credentials(authorization=f"Bearer {token}", peer=peer_of(call.request.scope))
        )
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer"}, headers={"cache-control": "private, no-store"}
        )

    async def _who(self, call: Call) -> Response:
        """``GET /auth/token/valid``: who the caller is, in MONAI Label's terms."""
        principal = call.principal
        roles = [name for role, name in _ROLES.items() if principal.has(role)]
        return JSONResponse({"username": principal.subject, "email": None, "name": None, "roles": roles})
