"""The command line ``trainer``."""

from trainer.cli.commands import app, main

__all__ = ["app", "main"]
