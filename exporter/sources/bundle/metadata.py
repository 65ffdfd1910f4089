"""Read a bundle's ``metadata.json``: its tensors, labels and texts for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.sources.bundle.source import Bundle

__all__ = ["TensorFormat", "descriptive_fields", "labels_of", "licence_of", "network_format"]

_MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PT", "PT": "PT", "US": "US", "ULTRASOUND": "US"}
_LICENCES = {
    "Apache-2.0": r"Apache License\s+Version 2\.0",
    "MIT": r"MIT License|Permission is hereby granted, free of charge",
    "BSD-3-Clause": r"BSD 3-Clause|Redistribution and use in source and binary forms.*Neither the name",
    "CC-BY-NC-SA-4.0": r"Attribution-NonCommercial-ShareAlike 4\.0|CC[ -]BY[ -]NC[ -]SA[ -]4\.0",
    "CC-BY-NC-4.0": r"Attribution-NonCommercial 4\.0|CC[ -]BY[ -]NC[ -]4\.0",
    "CC-BY-SA-4.0": r"Attribution-ShareAlike 4\.0|CC[ -]BY[ -]SA[ -]4\.0",
    "CC-BY-4.0": r"Attribution 4\.0|CC[ -]BY[ -]4\.0",
}
_PROVENANCE = ("version", "monai_version", "authors", "copyright", "data_source", "intended_use")


@dataclass(frozen=True)
class TensorFormat:
    """A tensor of ``network_data_format``.

    Attributes:
        key: Name of the tensor in the pre- and postprocessing.
        content: Its entry in the metadata.
    """

    key: str
    content: Mapping[str, Any] = field(default_factory=dict)


def network_format(metadata: Mapping[str, Any], side: str, usual: str) -> TensorFormat:
    """Return the network's first input or output.

    Args:
        metadata: The bundle's metadata.
        side: "inputs" or "outputs".
        usual: Name that is preferred, and assumed if the metadata has none.
    """
    tensors = metadata.get("network_data_format")
    tensors = tensors.get(side) if isinstance(tensors, Mapping) else None
    if not isinstance(tensors, Mapping) or not tensors:
        return TensorFormat(usual)
    key = usual if usual in tensors else str(next(iter(tensors)))
    content = tensors[key]
    return TensorFormat(key, content if isinstance(content, Mapping) else {})


def labels_of(output: TensorFormat) -> dict[int, str]:
    """Return the names of the labels by their channel, without background."""
    names = output.content.get("channel_def", output.content.get("label_def"))
    if not isinstance(names, Mapping) or not all(str(index).isdigit() for index in names):
        return {}
    pairs = sorted((int(index), str(name).strip()) for index, name in names.items())
    return {index: name for index, name in pairs if name.lower() not in {"background", "others", "other"}}


def licence_of(text: str) -> str:
    """Return the SPDX name of a licence text; its first line if the licence is unknown; empty for an empty text."""
    for name, pattern in _LICENCES.items():
        if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            return name
    return next((line.strip()[:80] for line in text.splitlines() if line.strip()), "")


def descriptive_fields(bundle: Bundle) -> dict[str, Any]:
    """Return the fields of a spec that are for people: title, description, licence, metrics, provenance."""
    metadata = bundle.metadata
    modality = str(network_format(metadata, "inputs", "image").content.get("modality", "")).upper()
    measured = metadata.get("eval_metrics")
    measured = measured if isinstance(measured, Mapping) else {}
    stated = {key: str(metadata[key]) for key in _PROVENANCE if metadata.get(key)}
    return {
        "title": str(metadata.get("name") or bundle.name),
        "description": str(metadata.get("description", "")),
        "modalities": [_MODALITIES[modality]] if modality in _MODALITIES else [],
        "licence": licence_of(bundle.licence) or "unknown",
        "metrics": {
            str(key): float(value)
            for key, value in measured.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
        "provenance": {"bundle": bundle.name, **{f"bundle_{key}": value for key, value in stated.items()}},
    }
