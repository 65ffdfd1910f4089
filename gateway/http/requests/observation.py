"""Observe HTTP calls from outside: their time and bytes by route, and, where calls are traced, a span for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from gateway.http.requests.bodies import AnswerSender, RequestBody
from gateway.observability.tracing import TRACE_KEY, CallTracer

__all__ = ["CallObserver", "Outcome"]


@dataclass
class Outcome:
    """How a call ends.

    Attributes:
        code: Name of gRPC's status code for it.
        status: HTTP's status code.
        reason: Reason of the error; empty without one.
        seconds: Seconds that the call took.
    """

    code: str = "OK"
    status: int = 200
    reason: str = ""
    seconds: float = 0.0


class CallObserver:
    """Observes calls.

    Args:
        on_end: Function called with route, name of the status code and seconds of each call that ended.
        on_bytes: Function called with route, bytes of the body received, and bytes sent, of each call that ended.
        tracer: Makes the spans; None to trace nothing.
    """

    def __init__(
        self,
        *,
        on_end: Callable[[str, str, float], None] = lambda *_: None,
        on_bytes: Callable[[str, int, int], None] = lambda *_: None,
        tracer: CallTracer | None = None,
    ) -> None:
        self._on_end = on_end
        self._on_bytes = on_bytes
        self._tracer = tracer

    @contextmanager
    def call(
        self, route: str, scope: MutableMapping[str, Any], *, body: RequestBody, answer: AnswerSender
    ) -> Iterator[Outcome]:
        """Observe the block as a call.

        Args:
            route: Method and template of the path.
            scope: ASGI scope of the request.
            body: Its body.
            answer: Its answer.
        """
        outcome, started = Outcome(), time.perf_counter()
        tracer = self._tracer
        traced = tracer.http_call(route, parent=_parent(scope)) if tracer else nullcontext()
        with traced as span:
            try:
                yield outcome
            finally:
                # What the application itself answered, such as 404 for a file that is not there.
                outcome.status = answer.status or outcome.status
                outcome.seconds = time.perf_counter() - started
                if span is not None:
                    span.code, span.status = outcome.code, outcome.status
                self._on_end(route, outcome.code, outcome.seconds)
                for received, sent in ((body.nbytes, 0), (0, answer.nbytes)):
                    if received or sent:
                        self._on_bytes(route, received, sent)


def _parent(scope: MutableMapping[str, Any]) -> str:
    """The caller's span; empty without one."""
    values = [value for name, value in scope.get("headers", ()) if name.lower() == TRACE_KEY.encode()]
    return values[0].decode("latin-1") if len(values) == 1 else ""
