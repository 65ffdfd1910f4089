"""``sixpoint dataset``: make datasets, save sessions in them, review, and export."""

from sixpoint.cli.dataset import commands, export, review
from sixpoint.cli.dataset.group import dataset

__all__ = ["commands", "dataset", "export", "review"]
