"""The images that this process used last, with what was computed of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.images.records import ImageKey
from gateway.core.images.stored_image import StoredImage
from gateway.core.runtime.byte_lru import ByteLru

__all__ = ["MemoryCache"]

_MAX_IMAGES = 64
_NOTE_USE_S = 60.0


@dataclass
class _Entry:
    image: StoredImage
    use_noted: float


class MemoryCache:
    """Mapped images by key. An image that is dropped stays usable for whoever holds it.

    Args:
        budget: Bytes of memory for what was computed of the images; the system manages the memory of mapped voxels.
        now: Clock, in seconds since 1970.
    """

    def __init__(self, *, budget: int, now: Callable[[], float]) -> None:
        self._now = now
        # The image used last is in use now, whatever its size.
        self._entries: ByteLru[ImageKey, _Entry] = ByteLru(
            budget, size=lambda entry: entry.image.reduced.nbytes, max_entries=_MAX_IMAGES, spare_last=True
        )

    def get(self, key: ImageKey) -> tuple[StoredImage, bool] | None:
        """Look an image up, which counts as use.

        Returns:
            The image, and whether its use should be stored now, which is so once a minute; None if it is not cached.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        # What is computed of images grows as they are used.
        self._entries.measure()
        due = self._now() - entry.use_noted > _NOTE_USE_S
        if due:
            entry.use_noted = self._now()
        return entry.image, due

    def put(self, key: ImageKey, image: StoredImage) -> None:
        """Cache an image."""
        self._entries.measure()
        self._entries.put(key, _Entry(image, self._now()))

    def drop(self, key: ImageKey) -> None:
        """Drop an image, if it is cached."""
        self._entries.pop(key)

    def images(self) -> list[ImageKey]:
        """The keys of the cached images."""
        return list(self._entries)
