from __future__ import annotations

from gateway.core.runtime.byte_lru import ByteLru


def cache_of(*sizes: int, budget: int, max_entries: int | None = None, spare_last: bool = False) -> ByteLru[str, bytes]:
    """A cache of values of these sizes under the keys a, b, c, ... that were put in this order."""
    cache: ByteLru[str, bytes] = ByteLru(budget, size=len, max_entries=max_entries, spare_last=spare_last)
    for key, size in zip("abcdef", sizes, strict=False):
        cache.put(key, bytes(size))
    return cache


def test_the_least_recently_used_values_are_evicted_first() -> None:
    cache = cache_of(4, 4, budget=10)
    assert cache.get("a") == bytes(4)
    assert cache.put("c", bytes(6)) == [("b", bytes(4))]
    assert list(cache) == ["a", "c"]
    assert cache.nbytes == 10


def test_peeking_is_no_use() -> None:
    cache = cache_of(4, 4, budget=10)
    assert cache.peek("a") == bytes(4)
    assert cache.peek("z") is None
    assert cache.get("z") is None
    cache.put("c", bytes(4))
    assert list(cache) == ["b", "c"]


def test_a_value_replaces_the_one_of_the_same_key() -> None:
    cache = cache_of(4, 4, budget=10)
    assert cache.put("a", bytes(6)) == []
    assert (cache.nbytes, len(cache)) == (10, 2)
    assert cache.get("a") == bytes(6)


def test_a_value_over_the_budget_is_evicted_at_once_unless_the_last_one_is_spared() -> None:
    assert list(cache_of(4, 11, budget=10)) == []
    assert list(cache_of(4, 11, budget=10, spare_last=True)) == ["b"]


def test_a_removed_value_frees_its_bytes() -> None:
    cache = cache_of(4, 4, budget=10)
    assert cache.pop("a") == bytes(4)
    assert cache.pop("a") is None
    assert cache.nbytes == 4


def test_the_number_of_values_can_be_bounded_too() -> None:
    assert list(cache_of(1, 1, 1, budget=10, max_entries=2)) == ["b", "c"]


def test_values_that_grew_count_once_they_are_measured_again() -> None:
    values = {"a": bytearray(4), "b": bytearray(4), "c": bytearray(1)}
    cache: ByteLru[str, bytearray] = ByteLru(10, size=len)
    for key, value in values.items():
        cache.put(key, value)
    values["b"].extend(bytes(4))
    assert cache.nbytes == 9
    assert cache.measure() == [("a", values["a"])]
    assert cache.nbytes == 9


def test_a_single_value_can_be_measured_again() -> None:
    first, second = bytearray(4), bytearray(4)
    cache: ByteLru[str, bytearray] = ByteLru(10, size=len)
    cache.put("a", first)
    cache.put("b", second)
    first.clear()
    second.clear()
    assert cache.measure("a") == []
    assert cache.nbytes == 4
