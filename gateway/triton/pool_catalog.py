"""What the Tritons of a pool serve together, and which of them serve a version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from gateway.core.runtime import Model
from sixpoint.model_spec import ModelSpec

__all__ = ["ServedModels", "merge"]

_Triton = TypeVar("_Triton")

# What a spec says about a model, but not how it is run: versions of one model differ in it.
_NO_DESCRIPTION = {"title": "", "description": "", "modalities": (), "licence": "", "metrics": {}, "provenance": {}}


@dataclass(frozen=True)
class ServedModels(Generic[_Triton]):
    """The models of all Tritons.

    Attributes:
        models: Model by name, as the Triton with its newest serving version describes it.
        versions: Tritons by name and version of a model; each has answered a trial of that version.
        different: Name and Triton of each model that takes other tensors than ``models`` says; it is not used.
    """

    models: dict[str, Model] = field(default_factory=dict)
    versions: dict[tuple[str, str], list[_Triton]] = field(default_factory=dict)
    different: set[tuple[str, _Triton]] = field(default_factory=set)

    def serving(self, name: str, version: str) -> list[_Triton]:
        """Return the Tritons that serve a version of a model; without one, those that serve the model at all."""
        exact = self.versions.get((name, version))
        if exact:
            return exact
        others = [endpoints for (model, _), endpoints in self.versions.items() if model == name]
        return list(dict.fromkeys(endpoint for endpoints in others for endpoint in endpoints))


def merge(served: Mapping[_Triton, Mapping[str, Model]]) -> ServedModels[_Triton]:
    """Join what each Triton serves.

    While a version is published or rolled back, Tritons differ for a moment. Then the newest serving version counts,
    and for one version a trial counts more than none, so that the choice does not depend on their order.

    Args:
        served: Models by name, for each Triton that can be reached.
    """
    together: ServedModels[_Triton] = ServedModels()
    for models in served.values():
        for name, model in models.items():
            present = together.models.get(name)
            if present is None or _rank(model) > _rank(present):
                together.models[name] = model
    in_flight = Counter[str]()
    tenants: dict[str, frozenset[str] | None] = {}
    for endpoint, models in served.items():
        for name, model in models.items():
            chosen = together.models[name]
            if model.spec != chosen.spec and _tensors(model.spec) != _tensors(chosen.spec):
                together.different.add((name, endpoint))
                continue
            in_flight[name] += model.in_flight
            # While they differ, whoever is left out by one Triton does not see the model.
            tenants[name] = _common(tenants.get(name), model.tenants)
            tried = {model.version, *([model.candidate.version] if model.candidate is not None else [])}
            for version in tried:
                together.versions.setdefault((name, version), []).append(endpoint)
    for name, calls in in_flight.items():
        together.models[name] = replace(together.models[name], in_flight=calls, tenants=tenants[name])
    return together


def _common(first: frozenset[str] | None, second: frozenset[str] | None) -> frozenset[str] | None:
    """Return the tenants in both sets, of which None is the set of all."""
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _rank(model: Model) -> tuple[int, int, float]:
    candidate = model.candidate
    return (int(model.version), *((int(candidate.version), candidate.share) if candidate is not None else (0, 0.0)))


def _tensors(spec: ModelSpec) -> ModelSpec:
    """Return the part of a spec that decides about the network's tensors and what they mean."""
    return spec.model_copy(update=_NO_DESCRIPTION)
