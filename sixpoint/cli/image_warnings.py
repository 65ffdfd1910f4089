"""What the commands say about an image: that a model is hardly made for it, or that it is not at hand."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from sixpoint.client import Client
from sixpoint.model_spec import ImplausibleImageWarning
from sixpoint.volume import ImageWarning, Volume

__all__ = ["image_warnings", "notes_without_image", "warnings_as_sentences"]


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


def notes_without_image(output: Path | None) -> tuple[str, ...]:
    """Say what a NIfTI file lacks where the image is not at hand: the gateway does not store the image's header."""
    if output is None or not output.name.endswith((".nii", ".nii.gz")):
        return ()
    return (
        f"{output} has the position that the gateway stores, not the fields of the image's own header (qform, sform, "
        "codes), by which other programs may place it elsewhere; --image FILE copies them",
    )
