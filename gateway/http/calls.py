"""Carry out HTTP calls: each gets a principal, a deadline and a log line, and errors become JSON."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from gateway.core.access import (
    NO_AUDIT,
    NOBODY,
    Activity,
    Auditor,
    Authenticator,
    CallLimits,
    Principal,
    Role,
    Unlimited,
    check_role,
    note_refusal,
)
from gateway.core.runtime import Deadline, DeadlineLimits
from gateway.core.runtime.fairness import Transfers, Turns, acting_for, refusal_pause
from gateway.http.errors import ErrorForm, HttpRefusal, as_refusal, error_response
from gateway.http.identity import credentials_of, peer_of
from gateway.http.origins import OriginPolicy
from gateway.http.path_tokens import principal_in
from gateway.http.requests.bodies import AnswerSender, RequestBody, announces_body
from gateway.http.requests.call import Call
from gateway.http.requests.observation import CallObserver, Outcome
from gateway.observability.pseudonyms import pseudonym
from sixpoint.errors import ResourceExhausted, Unauthenticated
from sixpoint.protocol import status_code

__all__ = ["Call", "CallRules", "CallRunner", "Handler"]

_log = logging.getLogger(__name__)

_Scope = MutableMapping[str, Any]
_MIN_DISCARD_BYTES, _DISCARD_BYTES = 2**16, 64 * 2**20


Handler = Callable[[Call], Awaitable[Response]]
"""Function that carries out a call."""


@dataclass(frozen=True)
class CallRules:
    """What holds for the calls of a route.

    Attributes:
        route: Method and template of the path.
        role: Least role of their callers; None for everybody, if they tell nothing of images or people.
        deadlines: Their deadline.
        short: Whether they take turns, as calls of gRPC that neither annotate nor upload.
        error_form: Function that returns the answer for an error.
    """

    route: str
    role: Role | None
    deadlines: DeadlineLimits
    short: bool = False
    error_form: ErrorForm = error_response


class CallRunner:
    """Carries out calls of routes, as the interceptor does those of gRPC.

    Args:
        authenticator: Turns credentials into principals.
        origins: Says which web pages may call.
        limits: Limits of what one principal may do in a time.
        auditor: Takes notes of calls that are refused.
        turns: Turns of short calls, which are those of gRPC, too.
        transfers: Turns and pace of bodies and answers, which are those of gRPC, too.
        idle: Seconds within which the next part of a body must come, or of an answer be taken.
        observer: Observes the calls.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        origins: OriginPolicy,
        limits: CallLimits | None = None,
        auditor: Auditor = NO_AUDIT,
        turns: Turns,
        transfers: Transfers,
        idle: float,
        observer: CallObserver | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._origins = origins
        self._limits = limits or Unlimited()
        self._auditor = auditor
        self._turns = turns
        self._transfers = transfers
        self._idle = idle
        self._observer = observer or CallObserver()

    def endpoint(self, handle: Handler, rules: CallRules) -> CallEndpoint:
        """Return the ASGI application of a route.

        Args:
            handle: Function that carries out a call.
            rules: What holds for its calls.
        """
        return CallEndpoint(self, handle, rules)

    async def run(self, handle: Handler, rules: CallRules, scope: _Scope, receive: Any, send: Any) -> None:
        """Carry out one call, and send its answer."""
        guarded = AnswerSender(send, idle=self._idle, transfers=self._transfers)
        body = RequestBody(receive, self._transfers)
        with self._observer.call(rules.route, scope, body=body, answer=guarded) as outcome:
            await self._run(handle, rules, scope, receive, guarded, body, outcome)

    async def _run(
        self,
        handle: Handler,
        rules: CallRules,
        scope: _Scope,
        receive: Any,
        guarded: AnswerSender,
        body: RequestBody,
        outcome: Outcome,
    ) -> None:
        route, role, deadlines = rules.route, rules.role, rules.deadlines
        started = time.perf_counter()
        principal: Principal | None = None
        refusal: HttpRefusal | None = None
        level = logging.INFO
        limit = asyncio.timeout(deadlines.seconds(None))
        try:
            try:
                async with limit:
                    self._origins.check(scope)
                    principal = await self._identify(scope) if role else replace(NOBODY, peer=peer_of(scope))
                    if role:
                        check_role(principal, role)
                        self._limits.check(principal, Activity.CALL)
                    else:
                        # Strangers have no allowance that one could use up for all, and do not fill the log.
                        level = logging.DEBUG
                    await self._answer(handle, rules, principal, Request(scope, body), body, receive, guarded)
            except Exception as failure:
                refusal = as_refusal(deadlines.error(None) if limit.expired() else failure)
                # It is held back: without what it came through, hundreds of them are little to collect.
                refusal.with_traceback(None)
                refusal.error.with_traceback(None)
            if refusal:
                error = refusal.error
                outcome.status, outcome.code, outcome.reason = refusal.code, status_code(error).name, error.reason
                if principal is None and isinstance(error, Unauthenticated | ResourceExhausted):
                    # The authenticator logs them at a bounded rate: anyone who reaches the port could fill the log.
                    level = logging.DEBUG
                note_refusal(self._auditor, principal or replace(NOBODY, peer=peer_of(scope)), route, error)
                if not guarded.started:
                    response = await self._refuse(refusal, rules, principal, body)
                    await response(scope, receive, guarded)
        except asyncio.CancelledError:
            outcome.code = "CANCELLED"
            raise
        finally:
            _log.log(
                level,
                "call",
                extra={
                    "call": secrets.token_hex(8),
                    "caller": pseudonym(principal) if principal else "",
                    "method": route,
                    "code": outcome.code,
                    "http": guarded.status or outcome.status,
                    "reason": outcome.reason,
                    "seconds": round(time.perf_counter() - started, 4),
                },
            )

    @staticmethod
    async def _refuse(
        refusal: HttpRefusal, rules: CallRules, principal: Principal | None, body: RequestBody
    ) -> Response:
        """Hold a refusal back, read what is left of the request, and return the answer."""
        if principal is not None:
            # Strangers are throttled by the authenticator, and wait for nothing here.
            await asyncio.sleep(refusal_pause(refusal.error))
        if refusal.code != HTTPStatus.REQUEST_TIMEOUT:
            with acting_for(principal.account if principal else ""):
                await body.discard(_DISCARD_BYTES if principal else _MIN_DISCARD_BYTES)
        response = (refusal.form or rules.error_form)(refusal)
        if not body.complete:
            # What is still to come would be taken for the next request.
            response.headers["connection"] = "close"
        return response

    async def _answer(
        self,
        handle: Handler,
        rules: CallRules,
        principal: Principal,
        request: Request,
        body: RequestBody,
        receive: Any,
        guarded: AnswerSender,
    ) -> None:
        deadline = Deadline.after(rules.deadlines.seconds(None))
        with acting_for(principal.account):
            async with contextlib.AsyncExitStack() as stack:
                call = Call(
                    request,
                    body,
                    principal,
                    deadline,
                    rules.route,
                    idle=self._idle,
                    limits=self._limits,
                    auditor=self._auditor,
                    stack=stack,
                )
                async with self._turns.take() if rules.short else contextlib.nullcontext():
                    response = await handle(call)
                if not body.complete and announces_body(request.scope):
                    # Nobody read it: one that never ends would keep the connection after the answer.
                    await body.discard(_DISCARD_BYTES if rules.role else _MIN_DISCARD_BYTES)
                    if not body.complete:
                        response.headers["connection"] = "close"
                await response(request.scope, receive, guarded)

    async def _identify(self, scope: _Scope) -> Principal:
        found = principal_in(scope) or await self._authenticator.authenticate(credentials_of(scope))
        return replace(found, peer=peer_of(scope))


class CallEndpoint:
    """The ASGI application of one route."""

    def __init__(self, runner: CallRunner, handle: Handler, rules: CallRules) -> None:
        self._runner = runner
        self._handle = handle
        self._rules = rules

    async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
        """Handle a request."""
        await self._runner.run(self._handle, self._rules, scope, receive, send)
