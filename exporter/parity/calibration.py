"""Real inputs of a network, made of a folder of images: what int8 is calibrated and judged on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from exporter.parity.inputs import ParityInputs, network_inputs
from sixpoint._typing import Points
from sixpoint.errors import InvalidArgument, PromptError
from sixpoint.model_spec import ModelSpec, Task
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume, check_voxels

__all__ = ["calibration_inputs"]

# So many show a network's ranges; more would only take longer.
_MOST_IMAGES = 32


def calibration_inputs(folder: Path, spec: ModelSpec) -> ParityInputs:
    """Inputs made of the images in a folder, of at most 32 of them, evenly spread over their names.

    Args:
        folder: Images; or ``images/`` and, for a model with prompts, ``labels/`` of the same file names, of which every
            label gives the six extreme points of one input.
        spec: Of the model.

    Raises:
        InvalidArgument: There is no such folder, no image, an image without labels where they are needed, labels on
            another grid, or not a single label to show.
        VolumeError: A file cannot be read.
    """
    images = _files(folder / "images" if (folder / "images").is_dir() else folder)
    if not images:
        raise InvalidArgument(f"--calibrate {folder} has no images: expected files, or images/ and labels/")
    chosen = [images[index] for index in np.unique(np.linspace(0, len(images) - 1, _MOST_IMAGES).round().astype(int))]
    batches = []
    for path in chosen:
        image = Volume.read(path)
        check_voxels(image.array)
        shown = [] if spec.task is Task.SEGMENTATION else list(_shown(image, folder / "labels" / path.name))
        if shown or spec.task is Task.SEGMENTATION:
            batches.append(network_inputs(image, shown, spec))
    if not batches:
        raise InvalidArgument(f"--calibrate {folder} has no label that reaches over three voxels along every axis")
    return ParityInputs("calibration", np.concatenate(batches))


def _files(folder: Path) -> list[Path]:
    """The visible files and DICOM folders in a folder, by name."""
    if not folder.is_dir():
        raise InvalidArgument(f"--calibrate: there is no folder {folder}")
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != ".json")


def _shown(image: Volume, path: Path) -> Iterator[Points]:
    """The extreme points (x, y, z), shape [6, 3], of every label that has some, as indices of the canonical image."""
    if not path.exists():
        raise InvalidArgument(
            f"--calibrate: {path} is not there, and a model with prompts needs the labels of every image in images/"
        )
    label = Volume.read(path)
    # Each in its own orientation: labels are often saved by another program, with other axes.
    mine, theirs = image.geometry.canonical(), label.geometry.canonical()
    corners = np.array([[0, 0, 0], mine.size], np.float64)
    off = np.linalg.norm(mine.index_to_point(corners) - theirs.index_to_point(corners), axis=1).max()
    if mine.size != theirs.size or off > 0.5 * min(mine.spacing):
        raise InvalidArgument(f"--calibrate: {path} has another grid than its image")
    numbers = label.geometry.orientation.to_canonical(label.array)
    for number in np.unique(numbers):
        if number > 0:
            try:
                yield ExtremePoints.of_mask(numbers == number).to_index(theirs)
            except PromptError:  # flat, or a single voxel
                continue
