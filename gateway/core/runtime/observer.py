"""What the core tells whoever counts: answers and segmentations that were finished."""

from __future__ import annotations

from typing import Protocol

from sixpoint.mask import Timings

__all__ = ["NO_OBSERVER", "Observer", "Observers"]


class Observer(Protocol):
    """Told of finished work, on the event loop: its methods must return at once and not raise."""

    def answered(self, *, model: str, version: str, timings: Timings) -> None:
        """Note that prompts were answered.

        Args:
            model: Name of the model.
            version: Version that answered; empty if no network was asked.
            timings: Time that each phase took.
        """

    def segmented(self, *, model: str, version: str, timings: Timings) -> None:
        """Note that a whole image was segmented.

        Args:
            model: Name of the model.
            version: Version that answered.
            timings: Time that each phase took.
        """


class Observers:
    """Several observers as one.

    Args:
        *observers: The observers.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def answered(self, *, model: str, version: str, timings: Timings) -> None:
        """Note that prompts were answered."""
        for observer in self._observers:
            observer.answered(model=model, version=version, timings=timings)

    def segmented(self, *, model: str, version: str, timings: Timings) -> None:
        """Note that a whole image was segmented."""
        for observer in self._observers:
            observer.segmented(model=model, version=version, timings=timings)


class _NoObserver:
    def answered(self, *, model: str, version: str, timings: Timings) -> None:
        pass

    def segmented(self, *, model: str, version: str, timings: Timings) -> None:
        pass


NO_OBSERVER: Observer = _NoObserver()
"""Counts nothing."""
