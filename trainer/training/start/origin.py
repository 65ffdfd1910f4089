"""What a network's licence and provenance owe to the weights and the data that it was made of."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from sixpoint.model_spec import LICENCE_NOTE, ModelSpec, Task
from trainer.data.datasets import Dataset, dataset_digest
from trainer.training.start.find import StartFile

__all__ = ["combine_licences", "describe_origin"]

_EARLIER = "earlier_datasets"
_ANNOTATIONS = "annotations"
_DIGEST_LENGTH = 16
"""Hexadecimal digits of each annotation's SHA-256 in a spec: enough to find it, and short for thousands."""
_OF_ONE_RUN = {
    LICENCE_NOTE,
    "started_from",
    "started_from_sha256",
    "started_at_random",
    "weights_licence",
    "dataset",
    "dataset_sha256",
    "data_licence",
}
"""Facts that do not hold for a network which is trained on from its weights, or anew from its spec."""
_UNKNOWN = "unknown"
_UNSTATED = {"", "unknown", "none", "n/a", "na", "tbd", "?"}
_COMBINED = re.compile(r"weights: (?P<weights>.*); data: (?P<data>.*)")


def describe_origin(
    spec: ModelSpec,
    *,
    start: StartFile | None,
    dataset: Dataset | None,
    licence: str = "",
    annotations: Collection[str] = (),
) -> dict[str, Any]:
    """Describe what a network is made of, in fields of its spec.

    The licence is that of the start weights and the data: the one where they agree or where only one of them is used,
    both where they differ, ``unknown`` where one is not stated. Made of neither, it is the spec's.

    Args:
        spec: Spec of the network.
        start: Weights that it starts from; None: random ones.
        dataset: Labelled images that it learns from; None: synthetic scenes only. All their files are read.
        licence: Licence of the data as the user states it; empty: the one that the dataset names.
        annotations: SHA-256 of the saved annotations that the dataset has, to train on and to choose the best by.

    Returns:
        Values for the fields ``licence`` and ``provenance``.
    """
    inherited = {name: value for name, value in spec.provenance.items() if name != _EARLIER}
    provenance = {
        name: value for name, value in {**_provenance_of(start), **inherited}.items() if name not in _OF_ONE_RUN
    }
    # Those of the start weights, too: a network has seen whatever they have seen.
    seen = {*provenance.get(_ANNOTATIONS, "").split(), *(digest[:_DIGEST_LENGTH] for digest in annotations)}
    if seen:
        provenance[_ANNOTATIONS] = " ".join(sorted(seen))
    weights = data = None
    notes = []
    if start is not None:
        weights = _licence_of_weights(start.spec)
        provenance |= {"started_from": start.name, "started_from_sha256": start.sha256, "weights_licence": weights}
        if weights == _UNKNOWN:
            notes.append(
                f"the licence of the weights to start from ({start.name}) is not stated: state it as licence in the "
                "spec beside them"
            )
    if dataset is not None:
        data = _stated(licence or dataset.licence)
        provenance |= {"dataset": dataset.name, "dataset_sha256": dataset_digest(dataset), "data_licence": data}
        if data == _UNKNOWN:
            notes.append(
                f"the licence of the data ({dataset.name}) is not stated: state it as licence in dataset.json, or with "
                "--licence"
            )
    if notes:
        provenance[LICENCE_NOTE] = "; ".join(notes)
    made_of_neither = start is None and dataset is None
    return {"licence": spec.licence if made_of_neither else combine_licences(weights, data), "provenance": provenance}


def combine_licences(weights: str | None, data: str | None) -> str:
    """Return the licence of a network made of start weights and data.

    Args:
        weights: Licence of the start weights, which may name several; None: random weights.
        data: Licence of the data; None: no data.

    Returns:
        The one licence, both in words, or ``unknown``.
    """
    stated = [_stated(licence) for licence in (weights, data) if licence is not None]
    if not stated or _UNKNOWN in stated:
        return _UNKNOWN
    if len(stated) == 1 or _key(stated[0]) == _key(stated[1]):
        return stated[0]
    earlier = _COMBINED.fullmatch(stated[0])
    if earlier is None:
        return f"weights: {stated[0]}; data: {stated[1]}"
    names = [*earlier["weights"].split(", "), earlier["data"]]
    if _key(stated[1]) in map(_key, names):
        return stated[0]
    return f"weights: {', '.join(names)}; data: {stated[1]}"


def _licence_of_weights(spec: ModelSpec | None) -> str:
    if spec is None:
        return _UNKNOWN
    provenance = spec.provenance
    if spec.task is Task.ANNOTATION and "data_licence" in provenance and "dataset_sha256" not in provenance:
        # Older trainers named the licence of the data here, and left the template's Apache-2.0 as it was.
        return combine_licences(spec.licence, provenance["data_licence"])
    return _stated(spec.licence)


def _provenance_of(start: StartFile | None) -> dict[str, str]:
    """Return what the start weights were made of: their licences may ask that it is named."""
    if start is None or start.spec is None:
        return {}
    provenance = dict(start.spec.provenance)
    if dataset := provenance.pop("dataset", ""):
        named = f"{dataset} ({provenance.get('data_licence', _UNKNOWN)})"
        provenance[_EARLIER] = "; ".join(filter(None, [provenance.get(_EARLIER), named]))
    return provenance


def _stated(licence: str) -> str:
    text = " ".join(licence.split())
    return _UNKNOWN if text.casefold() in _UNSTATED else text


def _key(licence: str) -> str:
    """Return a licence's name without regard to case, spaces and hyphens: CC BY-SA 4.0 is CC-BY-SA-4.0."""
    return re.sub(r"[\s_-]+", "-", licence.casefold())
