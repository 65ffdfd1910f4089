"""Agreement of the people who annotated one image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sixpoint.client import AnnotationInfo, Client
from sixpoint.datasets.readers import reader_annotations
from sixpoint.errors import DatasetError, InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.metrics import dice, presence_kappa, surface_dice
from sixpoint.segmentation import Segmentation

__all__ = ["DatasetAgreement", "LabelAgreement", "PairAgreement", "dataset_agreement"]


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two annotations of one image on one label.

    Attributes:
        case_name: Name of the case.
        label: Name of the label.
        annotators: The two people, by name.
        annotations: Ids of their annotations.
        present: Whether the first and the second say that the image has the label.
        dice: Dice; None where both say that it is absent.
        nsd: Normalised surface Dice at the tolerance; None where both say that it is absent.
    """

    case_name: str
    label: str
    annotators: tuple[str, str]
    annotations: tuple[str, str]
    present: tuple[bool, bool]
    dice: float | None
    nsd: float | None


@dataclass(frozen=True)
class LabelAgreement:
    """Agreement on one label, over all pairs.

    Attributes:
        label: Name of the label.
        pair_count: Number of pairs of annotations that both say something of it.
        dice: Mean Dice of the pairs of which at least one has the label; None without one.
        nsd: Mean normalised surface Dice of these.
        kappa: Kappa of presence; None where all say the same of all images.
        worst: Pair with the smallest Dice; None without one.
    """

    label: str
    pair_count: int
    dice: float | None
    nsd: float | None
    kappa: float | None
    worst: PairAgreement | None


@dataclass(frozen=True)
class DatasetAgreement:
    """Agreement within a dataset.

    Attributes:
        tolerance_mm: Tolerance of the surface Dice.
        labels: Agreement on each label of which a pair says something, in the dataset's order.
        pairs: Each pair, by case.
        case_count: Number of cases that several people annotated.
    """

    tolerance_mm: float
    labels: tuple[LabelAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    case_count: int


def dataset_agreement(
    client: Client,
    name: str,
    *,
    tolerance_mm: float = 2.0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> DatasetAgreement:
    """Compare what several people said of the same images.

    Of each person the latest annotation of an image counts that is submitted or accepted, or was so when somebody
    decided between it and others. Labels that one of two does not know are not compared.

    Args:
        client: Client of the gateway.
        name: Name of the dataset.
        tolerance_mm: Tolerance of the surface Dice.
        progress: Called with the number of cases so far and in all.

    Raises:
        DatasetNotFound: There is no such dataset.
        DatasetError: No image has annotations of two people.
        InvalidArgument: The tolerance is no distance.
    """
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise InvalidArgument(f"tolerance {tolerance_mm:g} mm; expected a distance of 0 or more")
    dataset = client.datasets.get(name)
    by_image = reader_annotations(client.datasets.annotations(name))
    images = [image for image in client.datasets.images(name) if len(by_image.get(image.digest, ())) > 1]
    if not images:
        raise DatasetError(
            f"no image of {quoted(name)} has annotations of two people that are submitted or accepted; ask several for "
            "the same images first"
        )
    pairs: list[PairAgreement] = []
    for number, image in enumerate(images, 1):
        infos = [info for _, info in sorted(by_image[image.digest].items())]
        pairs += _compare(client, image.case_name, infos, tolerance_mm)
        progress(number, len(images))
    labels = [_summary(label.name, [pair for pair in pairs if pair.label == label.name]) for label in dataset.labels]
    return DatasetAgreement(
        tolerance_mm, tuple(label for label in labels if label.pair_count), tuple(pairs), len(images)
    )


def _compare(
    client: Client, case_name: str, infos: Sequence[AnnotationInfo], tolerance_mm: float
) -> list[PairAgreement]:
    """Compare the annotations of one image, each with each."""
    masks = {info.id: client.datasets.masks(info.id) for info in infos}
    return [
        _pair(case_name, label, (first, second), (masks[first.id], masks[second.id]), tolerance_mm)
        for first, second in itertools.combinations(infos, 2)
        for label in first.labels
        if label in second.labels
    ]


def _pair(
    case_name: str,
    label: str,
    infos: tuple[AnnotationInfo, AnnotationInfo],
    masks: tuple[Segmentation, Segmentation],
    tolerance_mm: float,
) -> PairAgreement:
    first, second = infos
    present = (first.voxel_counts[label] > 0, second.voxel_counts[label] > 0)
    overlap = near = None
    if any(present):
        a, b = (each.mask(label).array for each in masks)
        overlap, near = dice(a, b), surface_dice(a, b, masks[0].geometry.spacing, tolerance_mm=tolerance_mm)
    annotators = (first.annotator, second.annotator)
    return PairAgreement(case_name, label, annotators, (first.id, second.id), present, overlap, near)


def _summary(label: str, pairs: Sequence[PairAgreement]) -> LabelAgreement:
    measured = [pair for pair in pairs if pair.dice is not None]
    return LabelAgreement(
        label=label,
        pair_count=len(pairs),
        dice=_mean([pair.dice for pair in measured]),
        nsd=_mean([pair.nsd for pair in measured]),
        kappa=presence_kappa([pair.present for pair in pairs]),
        worst=min(measured, key=lambda pair: pair.dice or 0.0, default=None),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
