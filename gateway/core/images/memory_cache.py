"""The images that this process used last, with what was computed of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.images.stored_image import StoredImage

__all__ = ["ImagesAtHand"]

_MOST = 64
_NOTED_S = 60.0


@dataclass
class _Entry:
    image: StoredImage
    noted: float


class ImagesAtHand:
    """Mapped images by digest, least recently used first. One that is dropped stays usable for whoever holds it.

    Args:
        budget: Bytes of memory for what was computed of them; their voxels are the system's to keep or drop.
        now: The clock, seconds since 1970.
    """

    def __init__(self, *, budget: int, now: Callable[[], float]) -> None:
        self._budget = budget
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def get(self, digest: str) -> tuple[StoredImage, bool] | None:
        """The image, used now, and whether it is a while ago that somebody noted so; None when it is not at hand."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        self._entries.move_to_end(digest)
        self._trim()
        due = self._now() - entry.noted > _NOTED_S
        if due:
            entry.noted = self._now()
        return entry.image, due

    def put(self, image: StoredImage) -> None:
        """Keep an image at hand."""
        self._entries[image.digest] = _Entry(image, self._now())
        self._entries.move_to_end(image.digest)
        self._trim()

    def drop(self, digest: str) -> None:
        """Let go of an image, if it is at hand."""
        self._entries.pop(digest, None)

    def digests(self) -> list[str]:
        """Those at hand."""
        return list(self._entries)

    def _trim(self) -> None:
        held = sum(entry.image.reduced.nbytes for entry in self._entries.values())
        # The last one is being used now, whatever it holds.
        while len(self._entries) > 1 and (held > self._budget or len(self._entries) > _MOST):
            _, entry = self._entries.popitem(last=False)
            held -= entry.image.reduced.nbytes
