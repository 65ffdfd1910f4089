"""Wrap the handler of each method once, not for each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["HandlerCache"]


class HandlerCache:
    """Handlers that an interceptor has wrapped.

    gRPC asks for the handler of every call. The wrappers' objects lived as long as the call: garbage collections that
    went through those of a thousand calls kept the event loop waiting.

    Args:
        wrap: Function of a method's full name and its handler that returns the wrapped handler.
    """

    def __init__(self, wrap: Callable[[str, Any], Any]) -> None:
        self._wrap = wrap
        # Only of methods that exist; names that callers make up have no handler.
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def get(self, method: str, handler: Any) -> Any:
        """Return the wrapped handler.

        Args:
            method: Full name of the method.
            handler: Its handler, as gRPC or the next interceptor returns it.
        """
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = handler, self._wrap(method, handler)
        return known[1]
