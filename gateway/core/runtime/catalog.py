"""The catalog: models that can be used now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sixpoint.errors import ModelNotFound, TritonUnavailable
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import Candidate, ModelSpec

__all__ = ["Candidate", "Catalog", "Model"]

_RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Model:
    """A model that Triton serves.

    Attributes:
        name: Name of the model in Triton.
        version: Newest version that is not the candidate, as of the last check.
        spec: Description that the model carries.
        candidate: Version on trial, and its share of the sessions or images; None without one.
        in_flight: Number of calls at once with which Triton is never idle; more would only wait in it.
        tenants: Names of the tenants that see it; None for all.
    """

    name: str
    version: str
    spec: ModelSpec
    candidate: Candidate | None = None
    in_flight: int = 2
    tenants: frozenset[str] | None = None

    def seen_by(self, tenant: str) -> bool:
        """Whether a tenant sees the model."""
        return self.tenants is None or tenant in self.tenants

    def version_for(self, key: str) -> str:
        """Choose the version for a session or a segmentation.

        Args:
            key: Id of the session, or digest of the image to segment.
        """
        candidate = self.candidate
        return candidate.version if candidate is not None and candidate.serves(key) else self.version


class Catalog:
    """Models by name, as Triton served them at the last check."""

    def __init__(self) -> None:
        self._models: Mapping[str, Model] = {}
        self._away: Mapping[str, Model] = {}
        self._reachable = False

    @property
    def models(self) -> Mapping[str, Model]:
        """Models by name, as of the last check at which Triton was reachable."""
        return self._models

    @property
    def reachable(self) -> bool:
        """Whether Triton was reachable at the last check."""
        return self._reachable

    @property
    def ready(self) -> bool:
        """Whether Triton was reachable at the last check and served at least one model."""
        return self._reachable and bool(self._models)

    def update(self, models: Mapping[str, Model], *, away: Mapping[str, Model] | None = None) -> None:
        """Replace the models by those that Triton serves now.

        Args:
            models: Models by name.
            away: Further models by name, served by a Triton that cannot be reached now; None without any.
        """
        self._models = dict(models)
        self._away = dict(away or {})
        self._reachable = True

    def mark_unreachable(self) -> None:
        """Note that Triton cannot be reached; its models stay, since it will most likely come back."""
        self._reachable = False

    def list(self, *, tenant: str) -> list[Model]:
        """Return the models that a tenant sees, sorted by name.

        Args:
            tenant: Name of the tenant.

        Raises:
            TritonUnavailable: When Triton cannot be reached.
        """
        self._check_reachable()
        return [model for _, model in sorted(self._models.items()) if model.seen_by(tenant)]

    def get(self, name: str, *, tenant: str) -> Model:
        """Return the model of a name.

        Args:
            name: Name of the model.
            tenant: Name of the tenant that asks. A model that it does not see is none.

        Raises:
            TritonUnavailable: When Triton cannot be reached, or none of those that serve the model.
            ModelNotFound: When there is no such model, naming the others.
        """
        self._check_reachable()
        model = self._models.get(name)
        if model is None or not model.seen_by(tenant):
            away = self._away.get(name)
            if away is not None and away.seen_by(tenant):
                raise TritonUnavailable(
                    f"no Triton that serves model {name!r} can be reached just now; try again",
                    retry_after=_RETRY_SECONDS,
                )
            names = ", ".join(each.name for each in self.list(tenant=tenant)) or "none"
            raise ModelNotFound(f"no model is called {quoted(name)}; there are: {names}")
        return model

    def _check_reachable(self) -> None:
        if not self._reachable:
            raise TritonUnavailable("Triton cannot be reached just now; try again", retry_after=_RETRY_SECONDS)
