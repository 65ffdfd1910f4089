"""The models that can be used now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sixpoint.errors import ModelNotFound, TritonUnavailable
from sixpoint.model_spec import Candidate, ModelSpec

__all__ = ["Candidate", "Catalog", "Model"]

_RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Model:
    """A model that Triton serves.

    Attributes:
        name: Its name in Triton.
        version: The newest version that is not on trial, as of the last look.
        spec: What it says of itself.
        candidate: The version that is on trial, and for which share of the sessions or images; None: there is none.
    """

    name: str
    version: str
    spec: ModelSpec
    candidate: Candidate | None = None

    def version_for(self, key: str) -> str:
        """The version that a session (its id), or an image to segment (its digest), is given: see
        :meth:`sixpoint.model_spec.rollout.Candidate.takes`.
        """
        candidate = self.candidate
        return candidate.version if candidate is not None and candidate.serves(key) else self.version


class Catalog:
    """Models by name, as last seen; kept up to date by whoever watches Triton."""

    def __init__(self) -> None:
        self._models: Mapping[str, Model] = {}
        self._reachable = False

    @property
    def ready(self) -> bool:
        """Whether Triton was there at the last look, with at least one model."""
        return self._reachable and bool(self._models)

    def update(self, models: Mapping[str, Model]) -> None:
        """What Triton serves now."""
        self._models = dict(models)
        self._reachable = True

    def mark_unreachable(self) -> None:
        """Triton cannot be reached; what it served is remembered, since it will most likely be back."""
        self._reachable = False

    def list(self) -> list[Model]:
        """All models, by name.

        Raises:
            TritonUnavailable: When Triton cannot be reached.
        """
        self._check_reachable()
        return [self._models[name] for name in sorted(self._models)]

    def get(self, name: str) -> Model:
        """The model of this name.

        Raises:
            TritonUnavailable: When Triton cannot be reached.
            ModelNotFound: Naming those that there are.
        """
        self._check_reachable()
        if name not in self._models:
            known = ", ".join(sorted(self._models)) or "none"
            raise ModelNotFound(f"no model is called {name!r}; there are: {known}")
        return self._models[name]

    def _check_reachable(self) -> None:
        if not self._reachable:
            raise TritonUnavailable("Triton cannot be reached just now; try again", retry_after=_RETRY_SECONDS)
