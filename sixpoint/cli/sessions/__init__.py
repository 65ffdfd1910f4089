"""The commands that list, resume and close sessions."""

from sixpoint.cli.sessions.close import close
from sixpoint.cli.sessions.commands import resume, sessions

__all__ = ["close", "resume", "sessions"]
