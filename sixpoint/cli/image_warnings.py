"""Warnings of the commands about an image that a model is hardly made for."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from sixpoint.client import Client
from sixpoint.model_spec import ImplausibleImageWarning
from sixpoint.volume import ImageWarning, Volume

__all__ = ["image_warnings", "warnings_as_sentences"]


@contextmanager
def image_warnings(client: Client, volume: Volume, *, model: str) -> Iterator[tuple[str, ...]]:
    """Print to stderr what speaks against using a model on an image, before it is uploaded.

    Args:
        client: Client of the gateway that has the model.
        volume: Image of the command.
        model: Name of the model.

    Yields:
        The sentences, for JSON. Inside the ``with`` block the client does not warn again.
    """
    doubts = client.check_image(volume, model=model)
    for doubt in doubts:
        sys.stderr.write(f"warning: {doubt}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplausibleImageWarning)
        yield doubts


@contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Print the client's warnings about images as a command does: Python would add a line of the program's source."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, ImageWarning | ImplausibleImageWarning):
                sys.stderr.write(f"warning: {message}\n")
            else:
                others(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield
