"""What this gateway says about its models in AIAA's terms, and which of them a label's name finds."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.runtime import Model
from sixpoint.model_spec import ModelSpec, Task

__all__ = ["MODEL_TYPES", "describe_model", "filter_models", "model_type"]

MODEL_TYPES = ("segmentation", "annotation", "deepgrow")
"""Types of models that there are here; AIAA has others."""

# Clients cut the image round the points before they send it: so much leaves our own margin of an organ inside.
_PADDING_MM = 20.0
# Voxels that clients make of the part that they cut out.
_MIN_ROI = 128


def model_type(spec: ModelSpec) -> str:
    """Return AIAA's kind of a model: it says which call clients send to it."""
    if spec.task is Task.SEGMENTATION:
        return "segmentation"
    return "deepgrow" if spec.begun_by_clicks else "annotation"


def describe_model(model: Model) -> dict[str, object]:
    """Return a model as clients read it; the C++ client loses the whole list over a number that should be text."""
    spec, kind = model.spec, model_type(model.spec)
    description: dict[str, object] = {
        "name": model.name,
        "type": kind,
        "labels": list(spec.labels),
        "description": spec.description or spec.title or model.name,
        "version": str(model.version),
    }
    if kind == "annotation":
        return description | {"padding": _PADDING_MM, "roi": [max(_MIN_ROI, edge) for edge in spec.roi.size]}
    return description | ({"deepgrow": "3d"} if kind == "deepgrow" else {})


def filter_models(models: Iterable[Model], *, label: str = "", kind: str = "") -> list[Model]:
    """Return the models that a client may use for a label.

    MITK asks for the models of the name of a label, and offers no others. A model that outlines what points show fits
    any label; one that segments has to know it, by a name that is part of the other.

    Args:
        models: The models.
        label: Name of the label; empty for any.
        kind: Type of the models; empty for any.
    """
    asked = _words(label)
    return [
        model
        for model in models
        if (not kind or model_type(model.spec) == kind.strip().lower())
        and (not asked or model_type(model.spec) != "segmentation" or _knows(model, asked))
    ]


def _knows(model: Model, asked: str) -> bool:
    names = [_words(name) for name in (*model.spec.labels, model.name)]
    return any(name in asked or asked in name for name in names if name)


def _words(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
