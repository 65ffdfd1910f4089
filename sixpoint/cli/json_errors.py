"""Errors as JSON on stdout, where the command line has ``--json``; the sentence for people stays on stderr."""

from __future__ import annotations

import json
import sys
from contextvars import ContextVar
from typing import Any

from typer.core import TyperGroup

from sixpoint.errors import SixpointError

__all__ = ["JsonErrors", "report_error"]

_requested: ContextVar[bool] = ContextVar("json", default=False)


class JsonErrors(TyperGroup):
    """Class of a typer application (``cls=``) whose errors are JSON, too, wrong command lines included."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the command line."""
        _requested.set("--json" in args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except Exception as error:
            report_error(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error is reported and raised again."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            report_error(error)
            raise


def report_error(error: Exception) -> None:
    """Print an error as JSON if the command line has ``--json``.

    It is ``{"error": {"type": CLASS, "reason": REASON, "message": SENTENCE}}``, with the reasons of the protocol,
    ``USAGE`` for a wrong command line, and ``UNKNOWN`` for an error of the operating system. Other errors are left out.

    Args:
        error: The error.
    """
    if not _requested.get():
        return
    if isinstance(error, SixpointError):
        reason, message = error.reason, error.message
    elif isinstance(error, OSError):
        reason, message = "UNKNOWN", str(error)
    elif callable(describe := getattr(error, "format_message", None)):  # a wrong command line: typer's click is private
        reason, message = "USAGE", describe()
    else:
        return
    content = {"type": type(error).__name__, "reason": reason, "message": message}
    sys.stdout.write(json.dumps({"error": content}, indent=2) + "\n")
