"""A cache of the values used last, within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["ByteLru"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass
class _Entry(Generic[_Value]):
    value: _Value
    nbytes: int


class ByteLru(Generic[_Key, _Value]):
    """Values by key; the least recently used ones are evicted when the budget is exceeded.

    A value is measured when it is put, and again by :meth:`measure`: values that grow in use stay unnoticed until then.
    Not safe to use from several threads at once.

    Args:
        budget: Bytes of all values together.
        size: Function that measures a value, in bytes.
        max_entries: Largest number of values; None for no limit.
        spare_last: Whether the value used last stays, however large it is.

    Attributes:
        nbytes: Bytes of all values, as last measured.
    """

    def __init__(
        self,
        budget: int,
        *,
        size: Callable[[_Value], int],
        max_entries: int | None = None,
        spare_last: bool = False,
    ) -> None:
        self._budget = budget
        self._size = size
        self._max_entries = max_entries
        self._spared = 1 if spare_last else 0
        self._entries: OrderedDict[_Key, _Entry[_Value]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[_Key]:
        """The keys, least recently used first."""
        return iter(self._entries)

    def values(self) -> Iterator[_Value]:
        """The values, least recently used first."""
        return (entry.value for entry in self._entries.values())

    def peek(self, key: _Key) -> _Value | None:
        """The value of a key, if it is cached; that is no use of it."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def get(self, key: _Key) -> _Value | None:
        """The value of a key, if it is cached; it is the one used last then."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: _Key, value: _Value) -> list[tuple[_Key, _Value]]:
        """Cache a value, as the one used last, in place of the key's present one; return what was evicted."""
        self.pop(key)
        entry = _Entry(value, self._size(value))
        self._entries[key] = entry
        self.nbytes += entry.nbytes
        return self._evict()

    def pop(self, key: _Key) -> _Value | None:
        """Remove a key; return its value, if it was cached."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self.nbytes -= entry.nbytes
        return entry.value

    def measure(self, key: _Key | None = None) -> list[tuple[_Key, _Value]]:
        """Measure one value again, or all of them; return what was evicted."""
        for entry in self._entries.values() if key is None else [self._entries[key]]:
            nbytes = self._size(entry.value)
            self.nbytes += nbytes - entry.nbytes
            entry.nbytes = nbytes
        return self._evict()

    def _evict(self) -> list[tuple[_Key, _Value]]:
        evicted = []
        while len(self._entries) > self._spared and self._exceeded():
            key, entry = self._entries.popitem(last=False)
            self.nbytes -= entry.nbytes
            evicted.append((key, entry.value))
        return evicted

    def _exceeded(self) -> bool:
        too_many = self._max_entries is not None and len(self._entries) > self._max_entries
        return too_many or self.nbytes > self._budget
