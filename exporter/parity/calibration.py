"""Inputs made from a folder of real images, on which int8 is calibrated and judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from exporter.parity.inputs import ParityInputs, network_inputs
from sixpoint._typing import Points
from sixpoint.errors import InvalidArgument, PromptError
from sixpoint.masks.labels import whole_labels
from sixpoint.masks.regridding import reorder
from sixpoint.model_spec import ModelSpec, Task
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume, check_voxels

__all__ = ["calibration_inputs"]

# Enough to see the ranges of a network's activations; more only takes longer.
_MAX_IMAGES = 32


def calibration_inputs(folder: Path, spec: ModelSpec) -> ParityInputs:
    """Make inputs from at most 32 images of a folder, evenly spread over their names.

    Args:
        folder: Folder of images; or of ``images/`` and, for a model with prompts, ``labels/`` with the same file names.
            Every label gives the six extreme points of one input.
        spec: Description of the model.

    Raises:
        InvalidArgument: The folder is missing or has no image; an image has no labels where they are needed, or labels
            on another grid; or no label gives extreme points.
        VolumeError: A file cannot be read.
    """
    images = _files(folder / "images" if (folder / "images").is_dir() else folder)
    if not images:
        raise InvalidArgument(f"--calibrate {folder} has no images: expected image files, or images/ and labels/")
    chosen = [images[index] for index in np.unique(np.linspace(0, len(images) - 1, _MAX_IMAGES).round().astype(int))]
    batches = []
    for path in chosen:
        image = Volume.read(path)
        check_voxels(image.array)
        prompts = [] if spec.task is Task.SEGMENTATION else list(_prompts(image, folder / "labels" / path.name))
        if prompts or spec.task is Task.SEGMENTATION:
            batches.append(network_inputs(image, prompts, spec))
    if not batches:
        raise InvalidArgument(f"--calibrate {folder} has no label that spans three voxels along every axis")
    return ParityInputs("calibration", np.concatenate(batches))


def _files(folder: Path) -> list[Path]:
    """Return the visible files and DICOM folders in a folder, sorted by name."""
    if not folder.is_dir():
        raise InvalidArgument(f"--calibrate: there is no folder {folder}")
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != ".json")


def _prompts(image: Volume, path: Path) -> Iterator[Points]:
    """Yield the extreme points (x, y, z), shape [6, 3], of every label, as indices of the canonical image."""
    if not path.exists():
        raise InvalidArgument(
            f"--calibrate: {path} is missing; a model with prompts needs labels for every image in images/"
        )
    label = Volume.read(path)
    try:
        # Another program may have saved the labels with other axes.
        own = reorder(whole_labels(label.array), label.geometry, image.geometry)
    except ValueError as error:
        raise InvalidArgument(f"--calibrate: {path} {error}") from error
    numbers = image.geometry.orientation.to_canonical(own)
    for number in np.unique(numbers):
        if number > 0:
            try:
                yield ExtremePoints.of_mask(numbers == number).to_index(image.geometry.canonical())
            except PromptError:  # flat, or a single voxel
                continue
