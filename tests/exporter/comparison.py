"""Compare random bundles with their own run in MONAI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sixpoint.errors import InvalidArgument, ModelSpecError
from sixpoint.model_spec import SegmentationSpec
from tests.exporter.bundles import UNET, config, metadata, write_bundle
from tests.exporter.pipelines import Image, derive, dice, monai_input, monai_labels, our_input, our_labels
from tests.exporter.random_bundles import random_config

__all__ = ["Outcome", "RandomBundles"]

LABELS = {
    1: {"0": "spot"},
    2: {"0": "background", "1": "spot"},
    3: {"0": "background", "1": "spot", "2": "rim"},
}
CHANGES = (
    "Spacing",
    "CropForeground",
    "SpatialPad",
    "DivisiblePad",
    "BorderPad",
    "Resize",
    "Invert",
    "KeepLargest",
    "FillHoles",
)
CHANGES_LABELS = (
    "postprocessing",
    "where windows overlap",
    "RemoveSmall",
    "LabelFilter",
    "no postprocessing decides",
    "no AsDiscrete",
)
MAX_INPUT = 20.0
NONZERO = "which resampled voxels are exactly 0"


@dataclass(frozen=True)
class Outcome:
    """How the reading of a bundle compares with MONAI's.

    Attributes:
        kind: "equal", "gap named", "difference named", "refused by MONAI", or "different".
        text: The gap, the note, the error of MONAI, or the difference.
    """

    kind: str
    text: str = ""


class RandomBundles:
    """A bundle for each number of channels, whose config is written anew for every seed.

    Args:
        folder: Empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.networks = {}
        for channels, labels in LABELS.items():
            content = config(network_def={**UNET, "channels": [4, 8], "strides": [2], "out_channels": channels})
            self.networks[channels] = write_bundle(folder / str(channels), content, metadata(labels))

    def compare(self, seed: int, image: Path, *, middle: float, spread: float, labels: bool) -> Outcome:
        """Compare one bundle on an image, whose values have this mean and standard deviation."""
        channels = 1 + seed % 3
        bundle = self.folder / str(channels)
        content = random_config(seed, middle=middle, spread=spread, channels=channels)
        content["network_def"] |= {"channels": [4, 8], "strides": [2]}
        (bundle / "configs" / "inference.json").write_text(json.dumps(content))
        try:
            derived = derive(bundle)
            assert isinstance(derived.spec, SegmentationSpec)
            found = our_input(bundle, image, spec=derived.spec)
        except (InvalidArgument, ModelSpecError) as error:
            return Outcome("gap named", error.message)
        try:
            expected = monai_input(bundle, image)
        except Exception as error:  # MONAI has errors of any kind
            return Outcome("refused by MONAI", _cause(error))
        notes = [note for note in derived.notes if note.startswith(CHANGES) or NONZERO in note]
        problem = _input_difference(found, expected)
        if problem:
            return Outcome("difference named", "; ".join(notes)) if notes else Outcome("different", problem)
        # Of an image in its own units a random network makes logits so large that their softmax is 0 or 1.
        if not labels or np.abs(expected).max() > MAX_INPUT:
            return Outcome("equal", "input alone")
        notes += [note for note in derived.notes if note.startswith(CHANGES_LABELS)]
        self._save_weights(bundle, self.networks[channels], content["handlers"][0]["load_dict"])
        try:
            answer = monai_labels(bundle, image, self.networks[channels])
        except Exception as error:  # as above
            return Outcome("refused by MONAI", _cause(error))
        try:
            result = our_labels(bundle, image, self.folder)
        except ModelSpecError as error:  # a network that does not fit, which only building it tells
            return Outcome("gap named", error.message)
        problem = _label_difference(result, answer, derived.spec)
        if not problem:
            return Outcome("equal")
        return Outcome("difference named", "; ".join(notes)) if notes else Outcome("different", problem)

    @staticmethod
    def _save_weights(bundle: Path, network: torch.nn.Module, load_dict: Sequence[str]) -> None:
        """Save the weights where the config loads them, and zeros in the other place."""
        state = network.state_dict()
        zeros = {key: torch.zeros_like(value) for key, value in state.items()}
        entries = {key: state if key in load_dict else zeros for key in ("model", "ema")}
        torch.save(entries, bundle / "models" / "model.pt")


def _input_difference(found: Image, expected: Image) -> str:
    if found.shape != expected.shape:
        return f"input of shape {found.shape}, expected {expected.shape}"
    off = float(np.sqrt(np.mean((found - expected) ** 2)))
    deviation = max(float(expected.std()), 1e-6 * float(np.abs(expected).max()), 1e-9)
    return "" if off <= 1e-3 * deviation else f"input off by {off / deviation:.2g} of its deviation"


def _label_difference(found: Image, answer: Image, spec: SegmentationSpec) -> str:
    numbers = range(1, len(spec.labels) + 1)
    if spec.output.exclusive:
        whole = answer if answer.ndim == 3 else answer[0] if len(answer) == 1 else answer.argmax(axis=0)
        if (unknown := set(np.unique(whole)) - {0, *numbers}) != set():
            return f"labels {sorted(unknown)[:3]} in MONAI"
        pairs = [(found == number, whole == number) for number in numbers]
    else:
        answer = answer[len(answer) - len(spec.labels) :]
        if not set(np.unique(answer)) <= {0, 1}:
            return "fractions in MONAI"
        pairs = list(zip(found, answer, strict=True))
    for name, (ours, theirs) in zip(spec.labels, pairs, strict=True):
        if ours.shape != theirs.shape:
            return f"{name} of shape {ours.shape}, expected {theirs.shape}"
        differ = int((ours != theirs).sum())
        # A voxel of a small label is more than a thousandth of it.
        if differ > 2 and dice(ours, theirs) < 0.999:
            return f"{name}: Dice {dice(ours, theirs):.4f} ({differ} of {theirs.size} voxels)"
    return ""


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"[:200]
