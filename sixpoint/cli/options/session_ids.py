"""Commands whose argument is the id of a session."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

import typer
from typer.core import TyperCommand

from sixpoint.protocol import DEFAULT_SERVER, SERVER_VARIABLE

__all__ = ["SESSION_ID", "SessionCommand", "resume_command"]

SESSION_ID = "session_id"
"""Name of the parameter that takes the id, or several of them."""

# Gateways up to version 0.1 gave ids of 128 bits in base64url: one in 64 begins with a hyphen.
_HYPHENATED_ID = re.compile(r"-[A-Za-z0-9_-]{21}")

# UsageError of the click that typer brings along, or of the one beside it: that depends on typer's version.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]


class SessionCommand(TyperCommand):
    """A command that takes the id of a session, also an old one that begins with ``-`` and looks like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; an id that begins with ``-`` counts as the id if nothing else does."""
        several = next(parameter.nargs != 1 for parameter in self.params if parameter.name == SESSION_ID)
        end = args.index("--") if "--" in args else len(args)
        positions = [index for index, text in enumerate(args[:end]) if _HYPHENATED_ID.fullmatch(text)]
        # Of several ids, one that also reads as an option counts as an id: "-s" has a space before its value.
        if positions and (several or not self._has_id(ctx, args)):
            ids = positions if several else positions[:1]
            options = [text for index, text in enumerate(args[:end]) if index not in ids]
            args = [*options, "--", *(args[index] for index in ids), *args[end + 1 :]]
        return super().parse_args(ctx, args)

    def _has_id(self, ctx: Any, args: list[str]) -> bool:
        """Whether the arguments contain an id, with all that begin with ``-`` taken for options."""
        try:
            values, *_ = self.make_parser(ctx).parse_args(list(args))
        except _USAGE_ERROR:
            return False
        # Text, or a tuple of texts; without any, what stands for a value that is missing.
        return bool(values.get(SESSION_ID)) and isinstance(values[SESSION_ID], str | tuple | list)


def resume_command(session_id: str, *, server: str) -> str:
    """The command that continues a session, as it is typed into the shell of this process.

    Args:
        session_id: Id of the session.
        server: Address of its gateway; left out where the command finds it without.
    """
    default = os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
    return shlex.join(["sixpoint", "resume", session_id, *([] if server == default else ["--server", server])])
