"""LRU cache bounds, eviction, counts and thread safety."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from backend.runtime.lru_cache import BoundedCache, content_key


@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=60)), max_size=60))
def test_cache_never_exceeds_its_bounds(puts):
    cache = BoundedCache(5, 100, len)
    for key, value in puts:
        cache.put(key, value)
        assert cache.counts.entries <= 5
        assert cache.counts.size_bytes <= 100


def test_least_recently_used_entry_is_evicted():
    cache = BoundedCache(2, 100, len)
    cache.put("a", b"1")
    cache.put("b", b"2")
    assert cache.get("a") == b"1"
    cache.put("c", b"3")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (b"1", None, b"3")
    assert (cache.counts.hits, cache.counts.misses, cache.counts.hit_rate) == (3, 1, 0.75)


def test_zero_entries_disables_the_cache():
    cache = BoundedCache(0, 100, len)
    cache.put("a", b"1")
    assert cache.get("a") is None


def test_clear_returns_the_number_of_entries():
    cache = BoundedCache(9, 100, len)
    for key in range(3):
        cache.put(key, b"1")
    assert (cache.clear(), cache.counts.entries, cache.counts.size_bytes) == (3, 0, 0)


def test_cache_is_thread_safe():
    cache = BoundedCache(50, 1000, len)

    def use(seed):
        for step in range(500):
            cache.put((seed * step) % 97, b"x" * (step % 30))
            cache.get(step % 97)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(1, 5)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    counts = cache.counts
    assert counts.hits + counts.misses == 2000 and counts.entries <= 50 and counts.size_bytes <= 1000


def test_different_parts_have_different_keys():
    keys = {
        content_key(*parts) for parts in [("ab", "c"), ("a", "bc"), (b"ab", "c"), (1,), (1.0,), ("1",), (None,), ()]
    }
    assert len(keys) == 8
