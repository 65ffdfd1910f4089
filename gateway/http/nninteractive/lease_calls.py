"""The calls of nnInteractive's remote protocol on leases, and the leases and models of all its calls."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Authenticator
from gateway.core.runtime import Catalog, Model
from gateway.core.sessions import check_model
from gateway.http.calls import Call
from gateway.http.errors import HttpRefusal
from gateway.http.forms import read_object
from gateway.http.identity import credentials_of
from gateway.http.nninteractive.capabilities import describe
from gateway.http.nninteractive.leases import Lease, Leases
from gateway.http.nninteractive.prompting import Prompting
from gateway.http.path_tokens import principal_in

__all__ = ["LeaseCalls"]

_LEASE = "x-lease-token"


class LeaseCalls:
    """Carries out calls on leases.

    Args:
        leases: Leases of clients.
        prompting: Closes the sessions of leases.
        catalog: Models that can be used now.
        anybody: Says who calls, where the gateway asks for no credentials; None where it does.
    """

    def __init__(
        self, leases: Leases, *, prompting: Prompting, catalog: Catalog, anybody: Authenticator | None
    ) -> None:
        self._leases = leases
        self._prompting = prompting
        self._catalog = catalog
        self._anybody = anybody

    def model(self, call: Call) -> Model:
        """Return the model of a call's address.

        Raises:
            ModelNotFound: There is none of this name.
            TaskNotSupported: It takes no prompts.
        """
        model = self._catalog.get(call.request.path_params["model"], tenant=call.principal.tenant)
        check_model(model)
        return model

    def of(self, call: Call) -> Lease:
        """Return the lease of a call.

        Raises:
            HttpRefusal: It has ended, or there is none (410).
        """
        token, model = call.request.headers.get(_LEASE, ""), call.request.path_params["model"]
        return self._leases.find(token, call.principal, model=model)

    def use(self, lease: Lease) -> contextlib.AbstractContextManager[None]:
        """Keep a lease from ending while a call on it runs."""
        return self._leases.use(lease)

    async def health(self, call: Call) -> Response:
        """``GET /healthz``: whether the address is good, as far as the caller may know; strangers learn no names."""
        scope = call.request.scope
        principal = principal_in(scope)
        if principal is None and self._anybody is not None:
            principal = await self._anybody.authenticate(credentials_of(scope))
        if principal is not None:
            self.model(replace(call, principal=principal))
        return JSONResponse({"ok": True})

    async def page(self, call: Call) -> Response:
        """``GET /``: what people see who open the address in a browser."""
        model = self.model(call)
        text = f"""\
{model.name} {model.version} for napari and 3D Slicer (nnInteractive): it works.

Type the address of this page into the field of the server in the viewer.
"""
        return Response(text, media_type="text/plain; charset=utf-8")

    async def claim(self, call: Call) -> Response:
        """``POST /claim``: give away a lease."""
        model = self.model(call)
        lease = self._leases.claim(call.principal, model=model.name)
        clocks = self._leases.clocks
        return JSONResponse(
            {
                "lease_token": lease.token,
                "idle_timeout_seconds": clocks.idle,
                "liveness_timeout_seconds": clocks.liveness,
                "max_sessions": self._leases.limit,
            }
        )

    async def capabilities(self, call: Call) -> Response:
        """``GET /capabilities``."""
        return JSONResponse(describe(self.model(call).spec))

    async def release(self, call: Call) -> Response:
        """``POST /release``: end a lease, and close its session. Clients do not look at the answer."""
        with contextlib.suppress(HttpRefusal):
            lease = self.of(call)
            async with lease.lock:
                self._leases.end(lease)
                await self._prompting.close(lease, principal=call.principal)
        return JSONResponse({"released": True})

    async def heartbeat(self, call: Call) -> Response:
        """``POST /heartbeat``: the client is there, though nobody may work with it."""
        await read_object(call)
        lease = self.of(call)
        self._leases.touch(lease, work=False)
        return JSONResponse({"remaining_seconds": self._leases.remaining(lease)})

    async def lease_status(self, call: Call) -> Response:
        """``GET /lease_status``."""
        remaining = self._leases.remaining(self.of(call))
        return JSONResponse({"remaining_seconds": remaining, "idle_timeout_seconds": self._leases.clocks.idle})
