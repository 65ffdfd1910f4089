"""``sixpoint jobs``: list, watch, pause, resume and cancel jobs; ``sixpoint dataset segment`` makes one."""

from sixpoint.cli.jobs import commands, segment
from sixpoint.cli.jobs.group import jobs

__all__ = ["commands", "jobs", "segment"]
