"""Commands whose argument is the id of a session."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["SESSION_ID", "SessionCommand"]

SESSION_ID = "session_id"
"""Name of the parameter that takes the id."""

# Gateways up to version 0.1 gave ids of 128 bits in base64url: one in 64 begins with a hyphen.
_HYPHENATED_ID = re.compile(r"-[A-Za-z0-9_-]{21}")

# UsageError of the click that typer brings along, or of the one beside it: that depends on typer's version.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]


class SessionCommand(TyperCommand):
    """A command that takes the id of a session, also an old one that begins with ``-`` and looks like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; an id that begins with ``-`` counts as the id if nothing else does."""
        position = next((index for index, text in enumerate(args) if _HYPHENATED_ID.fullmatch(text)), None)
        if position is not None and not self._has_id(ctx, args):
            args = [*args[:position], *args[position + 1 :], "--", args[position]]
        return super().parse_args(ctx, args)

    def _has_id(self, ctx: Any, args: list[str]) -> bool:
        """Whether the arguments contain an id, with all that begin with ``-`` taken for options."""
        try:
            values, *_ = self.make_parser(ctx).parse_args(list(args))
        except _USAGE_ERROR:
            return False
        return isinstance(values.get(SESSION_ID), str)
