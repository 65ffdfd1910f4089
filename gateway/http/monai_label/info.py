"""What this gateway says about itself in MONAI Label's terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sixpoint
from gateway.core.runtime import Model
from gateway.http.monai_label.scribbles import SCRIBBLES_SUFFIX, takes_scribbles
from sixpoint.model_spec import ModelSpec, Task

__all__ = ["describe", "model_type"]


def describe(
    models: Iterable[Model],
    *,
    labels: Iterable[str] = (),
    strategies: Mapping[str, str],
    trainers: Mapping[str, object],
    trainings: Mapping[str, object],
    total: int,
    completed: int,
) -> dict[str, object]:
    """Return the answer to ``GET /info/``. It must have no ``config``: 3D Slicer refuses such servers as too old.

    Args:
        models: Models that can be used now.
        labels: Names of labels that people save, before those of models.
        strategies: Strategies of active learning, and what they choose.
        trainers: What can be trained.
        trainings: How far trainings are.
        total: Number of images.
        completed: Number of those with annotations.
    """
    chosen = list(models)
    return {
        "name": "sixpoint",
        "description": "sixpoint: outline organs in 3D images",
        "version": sixpoint.__version__,
        "labels": list(dict.fromkeys((*labels, *(label for model in chosen for label in model.spec.labels)))),
        "models": {
            **{
                f"{model.name}{SCRIBBLES_SUFFIX}": _describe_scribbles(model)
                for model in chosen
                if takes_scribbles(model.spec)
            },
            **{model.name: _describe(model) for model in chosen},
        },
        "trainers": dict(trainers),
        "strategies": {name: {"description": text} for name, text in strategies.items()},
        "scoring": {},
        "train_stats": dict(trainings),
        "datastore": {"total": total, "completed": completed, "label_tags": {}},
    }


def model_type(spec: ModelSpec) -> str:
    """Return MONAI Label's kind of a model: it says on which tab a viewer offers it, and how it sends points."""
    return "segmentation" if spec.task is Task.SEGMENTATION else "deepgrow"


def _describe(model: Model) -> dict[str, object]:
    spec = model.spec
    text = (spec.description or spec.title or model.name).rstrip(". ")
    if model_type(spec) == "deepgrow" and not spec.begun_by_clicks:
        text += ". Set six points on the object's extremes (left, right, front, back, top, bottom), then correct"
    return {
        "type": model_type(spec),
        "labels": {label: number for number, label in enumerate(spec.labels, start=1)},
        "dimension": 3,
        "description": text,
        "config": {},
        "version": model.version,
    }


def _describe_scribbles(model: Model) -> dict[str, object]:
    text = f"{model.spec.title or model.name}: draw scribbles on the object and beside it, and update"
    return _describe(model) | {"type": "scribbles", "description": text}
