"""What this gateway says about its models in AIAA's terms, and which of them a label's name finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.core.runtime import Catalog, Model
from gateway.http.windows.beginning import can_begin_at
from sixpoint.model_spec import ModelSpec, Task

__all__ = ["MODEL_TYPES", "OfferedModel", "filter_models", "find_model", "model_type", "offered_models"]

MODEL_TYPES = ("segmentation", "annotation", "deepgrow")
"""Types of models that there are here; AIAA has others."""

# Clients cut the image round the points before they send it: so much leaves our own margin of an organ inside.
_PADDING_MM = 20.0
# Voxels that clients make of the part that they cut out.
_MIN_ROI = 128
# What follows the name of a model where it is offered for clicks: on one slice, first, since the clients that look no
# further than the type of a model are those of slices, and in the volume.
_BY_SLICE, _BY_VOLUME = "_deepgrow_2d", "_deepgrow_3d"


@dataclass(frozen=True)
class OfferedModel:
    """A model as AIAA's clients know it: they take each for one thing only, so that some are offered several times.

    Attributes:
        name: Its name for clients.
        model: The model.
        kind: One of :data:`MODEL_TYPES`; it says which call clients send to it.
        by_slice: Whether its mask lies on the slice of the clicks only.
    """

    name: str
    model: Model
    kind: str
    by_slice: bool = False

    def describe(self) -> dict[str, object]:
        """Return it as clients read it; the C++ client loses the whole list over a number that should be text."""
        spec = self.model.spec
        text = spec.description or spec.title or self.model.name
        description: dict[str, object] = {
            "name": self.name,
            "type": self.kind,
            "labels": list(spec.labels),
            "description": f"On the slice that is clicked on: {text}" if self.by_slice else text,
            "version": str(self.model.version),
        }
        if self.kind == "annotation":
            return description | {"padding": _PADDING_MM, "roi": [max(_MIN_ROI, edge) for edge in spec.roi.size]}
        return description | ({"deepgrow": "2d" if self.by_slice else "3d"} if self.kind == "deepgrow" else {})


def model_type(spec: ModelSpec) -> str:
    """Return AIAA's kind of a model under its own name."""
    if spec.task is Task.SEGMENTATION:
        return "segmentation"
    return "deepgrow" if spec.begun_by_clicks else "annotation"


def offered_models(models: Iterable[Model]) -> list[OfferedModel]:
    """Return what clients are offered: all models, then those that take clicks for each kind of clicks.

    3D Slicer and MITK list only models of type ``deepgrow`` for clicks, and only others for points on a boundary.
    """
    models = list(models)
    own = [OfferedModel(model.name, model, model_type(model.spec)) for model in models]
    names = {each.name for each in own}
    clicked = [each for model in models for each in _clicked(model)]
    return own + [each for each in clicked if each.name not in names]


def find_model(name: str, catalog: Catalog, *, tenant: str) -> OfferedModel:
    """Return the model of a name.

    Raises:
        ModelNotFound: There is none.
    """
    for suffix in (_BY_SLICE, _BY_VOLUME):
        if name.endswith(suffix):
            for each in offered_models(catalog.list(tenant=tenant)):
                if each.name == name:
                    return each
    model = catalog.get(name, tenant=tenant)
    return OfferedModel(model.name, model, model_type(model.spec))


def filter_models(models: Iterable[OfferedModel], *, label: str = "", kind: str = "") -> list[OfferedModel]:
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
        each
        for each in models
        if (not kind or each.kind == kind.strip().lower())
        and (not asked or each.kind != "segmentation" or _knows(each.model, asked))
    ]


def _clicked(model: Model) -> list[OfferedModel]:
    spec = model.spec
    if spec.task is Task.SEGMENTATION or not can_begin_at(spec):
        return []
    by_slice = OfferedModel(f"{model.name}{_BY_SLICE}", model, "deepgrow", by_slice=True)
    by_volume = OfferedModel(f"{model.name}{_BY_VOLUME}", model, "deepgrow")
    # Under its own name it is one for the volume.
    return [by_slice] if spec.begun_by_clicks else [by_slice, by_volume]


def _knows(model: Model, asked: str) -> bool:
    names = [_words(name) for name in (*model.spec.labels, model.name)]
    return any(name in asked or asked in name for name in names if name)


def _words(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
