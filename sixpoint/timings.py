"""The time that the server spent on an answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Timings"]


@dataclass(frozen=True)
class Timings:
    """Time that each phase of an answer took on the server."""

    queue: timedelta = timedelta()
    preprocess: timedelta = timedelta()
    inference: timedelta = timedelta()
    postprocess: timedelta = timedelta()
    encode: timedelta = timedelta()
    store: timedelta = timedelta()

    @property
    def total(self) -> timedelta:
        """Sum of all phases."""
        return self.queue + self.preprocess + self.inference + self.postprocess + self.encode + self.store

    def __add__(self, other: Timings) -> Timings:
        """Add phase by phase."""
        names = self.__dataclass_fields__
        return Timings(**{name: getattr(self, name) + getattr(other, name) for name in names})
