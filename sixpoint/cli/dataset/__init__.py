"""``sixpoint dataset``: make datasets, save sessions in them, review, import and export."""

from sixpoint.cli.dataset import agreement, commands, export, importing, report, review
from sixpoint.cli.dataset.group import dataset

__all__ = ["agreement", "commands", "dataset", "export", "importing", "report", "review"]
