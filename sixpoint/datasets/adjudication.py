"""Where annotators disagree, and what most of them say: for whoever decides between their annotations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Array
from sixpoint.client import AnnotationInfo, Client
from sixpoint.datasets.agreement import dataset_agreement
from sixpoint.datasets.readers import open_annotations
from sixpoint.errors import DatasetError, InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.segmentation import Segmentation

__all__ = ["Disagreement", "annotations_to_decide", "find_disagreements", "majority_masks"]


@dataclass(frozen=True)
class Disagreement:
    """A case on which annotators disagree, and nobody has decided.

    Attributes:
        case_name: Name of the case.
        label: Name of the label on which two of them agree least.
        dice: Dice of these two; 0 where one of them says that the label is absent.
        annotations: The annotation of each person that counts.
    """

    case_name: str
    label: str
    dice: float
    annotations: tuple[AnnotationInfo, ...]


def find_disagreements(
    client: Client, name: str, *, below: float = 0.8, progress: Callable[[int, int], None] = lambda *_: None
) -> list[Disagreement]:
    """List the cases on which two annotators agree too little, those first on which they agree least.

    Args:
        client: Client of the gateway.
        name: Name of the dataset.
        below: Dice below which two masks of a label disagree.
        progress: Called with the number of cases so far and in all.

    Raises:
        DatasetNotFound: There is no such dataset.
        DatasetError: No image has annotations of two people.
        InvalidArgument: The limit is no Dice.
    """
    if not (math.isfinite(below) and 0 < below <= 1):
        raise InvalidArgument(f"the limit of Dice is {below:g}; expected a number above 0, up to 1")
    pairs = dataset_agreement(client, name, progress=progress).pairs
    waiting = open_annotations(client.datasets.annotations(name))
    disagreements: list[Disagreement] = []
    for image in client.datasets.images(name):
        annotations = tuple(waiting.get(image.digest, {}).values())
        ids = {info.id for info in annotations}
        measured = [
            (pair.dice, pair.label)
            for pair in pairs
            if pair.case_name == image.case_name and pair.dice is not None and ids.issuperset(pair.annotations)
        ]
        if measured and (worst := min(measured))[0] < below:
            disagreements.append(Disagreement(image.case_name, worst[1], worst[0], annotations))
    return sorted(disagreements, key=lambda each: each.dice)


def annotations_to_decide(
    client: Client, name: str, case_name: str, *, without_session: str = ""
) -> tuple[AnnotationInfo, ...]:
    """Return the annotation of each person that counts for a case, and between which nobody has decided.

    Args:
        client: Client of the gateway.
        name: Name of the dataset.
        case_name: Name of the case.
        without_session: Id of a session whose annotations are none of these: the one of whoever decides.

    Raises:
        DatasetError: The dataset has no such case, or the case has fewer than two such annotations.
    """
    digest = next((image.digest for image in client.datasets.images(name) if image.case_name == case_name), None)
    if digest is None:
        raise DatasetError(f"the dataset {quoted(name)} has no case {quoted(case_name)}")
    infos = client.datasets.annotations(name, digest=digest)
    infos = [info for info in infos if not without_session or info.session_id != without_session]
    waiting = tuple(open_annotations(infos).get(digest, {}).values())
    if len(waiting) < 2:
        raise DatasetError(
            f"there is nothing to decide for {quoted(case_name)}: {len(waiting)} people have an annotation of it "
            "that is submitted or accepted and was not decided on; expected 2 or more"
        )
    return waiting


def majority_masks(client: Client, annotations: Sequence[AnnotationInfo]) -> dict[str, Array]:
    """Return what most annotators say of an image: per label the voxels that more than half of the masks have.

    Only those count who know a label: of two, both must say that a voxel is of it.

    Args:
        client: Client of the gateway.
        annotations: Annotations of one image.

    Returns:
        Mask of each label that one of them knows, 0 and 1, [z, y, x], by the name of the label.
    """
    masks: Mapping[str, Segmentation] = {info.id: client.datasets.masks(info.id) for info in annotations}
    numbers = {label: number for info in annotations for label, number in info.labels.items()}
    result = {}
    for label in sorted(numbers, key=lambda label: numbers[label]):
        votes = [masks[info.id].mask(label).array > 0 for info in annotations if label in info.labels]
        counted = np.add.reduce(votes, dtype=np.int32)
        result[label] = (2 * counted > len(votes)).astype(np.uint8)
    return result
