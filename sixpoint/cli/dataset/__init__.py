"""``sixpoint dataset``: make datasets, save sessions in them, review, import and export."""

from sixpoint.cli.dataset import (
    adjudication,
    agreement,
    commands,
    export,
    forgetting,
    importing,
    next_image,
    report,
    review,
)
from sixpoint.cli.dataset.group import dataset

__all__ = [
    "adjudication",
    "agreement",
    "commands",
    "dataset",
    "export",
    "forgetting",
    "importing",
    "next_image",
    "report",
    "review",
]
