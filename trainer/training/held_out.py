"""Dice on held-out cases: of the network in training, and of the model that it is to be better than."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from sixpoint._typing import Counts
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import SegmentationSpec
from trainer.data.cases import PreparedCase, cases_folder, prepare_cases
from trainer.data.datasets import Case
from trainer.training.figure_names import figure_names
from trainer.training.network import build_network
from trainer.training.sliding_window import dice_per_label, segment_case
from trainer.training.start import StartFile, load_matching

__all__ = ["HeldOutCases", "channels_last", "measure_dice"]


@dataclass(frozen=True)
class HeldOutCases:
    """The held-out cases of a run, for models that see images in other ways than the run's own.

    Attributes:
        cases: The cases.
        labels: Names of the dataset's labels by their number in the label files.
        out: Folder of the run, for the prepared cases.
        workers: Number of threads that prepare cases.
    """

    cases: Sequence[Case]
    labels: Mapping[int, str]
    out: Path
    workers: int

    def measure(self, model: StartFile, spec: SegmentationSpec, *, fabric: Fabric) -> dict[str, float]:
        """Compute the Dice of another model than the one in training.

        Args:
            model: Its weights.
            spec: Spec of the run, for weights that nothing describes.
            fabric: The processes that train together.

        Returns:
            ``dice``, the mean over the labels, and that of each label. A label that the model does not have counts 0.

        Raises:
            InvalidArgument: The model labels no voxels, or lets labels overlap; or its weights do not fit its spec.
        """
        described = model.spec or spec
        if not isinstance(described, SegmentationSpec) or not described.output.exclusive:
            raise InvalidArgument(
                f"{model.name} cannot be measured beside a segmentation network: expected a model of task segmentation "
                "whose labels exclude each other"
            )
        network = channels_last(build_network(described))
        load_matching(network, model.read(described), source=model.file)
        # The folder is named after what the arrays depend on: here, the labels are those of the dataset.
        own_labels = described.model_copy(update={"labels": tuple(self.labels.values())})
        with fabric.rank_zero_first():
            prepared = prepare_cases(
                self.cases,
                described,
                labels=self.labels,
                folder=cases_folder(self.out, own_labels),
                workers=self.workers,
            )
        network = network.to(fabric.device)
        names = tuple(self.labels.values())
        return measure_dice(network, described, [prepared[case.name] for case in self.cases], names, fabric=fabric)


def measure_dice(
    network: nn.Module, spec: SegmentationSpec, cases: Sequence[PreparedCase], labels: Sequence[str], *, fabric: Fabric
) -> dict[str, float]:
    """Compute the Dice of a network on cases, divided among the processes.

    Args:
        network: The network, on the device of the process.
        spec: Its spec.
        cases: The cases.
        labels: Names of the labels in the cases, in the order of their numbers.
        fabric: The processes that train together.

    Returns:
        ``dice``, the mean over the labels, and that of each label. A label that is in no case has no figure.
    """
    network.eval()
    numbers = _numbers(spec.labels, labels)
    sums = torch.zeros(2, len(labels))
    for case in cases[fabric.global_rank :: fabric.world_size]:
        with fabric.autocast():
            predicted = segment_case(network, case, spec, device=fabric.device)
        dice = torch.tensor(dice_per_label(numbers[predicted], case.truth, count=len(labels)))
        sums += torch.stack([dice.nan_to_num(0.0), (~dice.isnan()).float()])
    total, counts = cast(torch.Tensor, fabric.all_reduce(sums.to(fabric.device), reduce_op="sum")).tolist()
    means = {name: t / n for name, t, n in zip(figure_names(labels), total, counts, strict=True) if n}
    return {"dice": sum(means.values()) / len(means) if means else 0.0, **means}


def channels_last(network: nn.Module) -> nn.Module:
    """Store a network's weights as its convolutions read them fastest."""
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def _numbers(predicted: Sequence[str], wanted: Sequence[str]) -> Counts:
    """The wanted number of each predicted one, 0 of the background and of a label that is not wanted."""
    known = {name: number for number, name in enumerate(wanted, start=1)}
    return np.array([0, *(known.get(name, 0) for name in predicted)], np.uint8)
