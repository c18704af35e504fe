"""LRU caches bounded by entries and bytes, with hit counts."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import LRUCache

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """Counts of one cache. `max_entries` 0: the cache is off. `hit_rate` is 0 before the first lookup."""

    entries: int
    size_bytes: int
    max_entries: int
    max_bytes: int
    hits: int
    misses: int
    hit_rate: float


class BoundedCache(Generic[Value]):
    """An LRU cache of at most `max_entries` values and `max_bytes` in total. Thread-safe."""

    def __init__(self, max_entries: int, max_bytes: int, size_of: Callable[[Value], int]):
        if max_entries < 0 or max_bytes < 0:
            raise ValueError(f"a cache cannot hold {max_entries} entries in {max_bytes} bytes")
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self._size_of = size_of
        self._values: LRUCache[Hashable, Value] = LRUCache(max_bytes, getsizeof=size_of)
        self._lock = threading.Lock()
        self._hits = self._misses = 0

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            value = self._values.get(key)
            if value is None:
                self._misses += 1
            else:
                self._hits += 1
            return value

    def put(self, key: Hashable, value: Value) -> None:
        """Store `value`, evicting the least recently used. A value larger than `max_bytes` is not stored."""
        if not self.max_entries or self._size_of(value) > self.max_bytes:
            return
        with self._lock:
            self._values[key] = value
            while len(self._values) > self.max_entries:
                self._values.popitem()

    def clear(self) -> int:
        """Remove all entries and return their number."""
        with self._lock:
            n_entries = len(self._values)
            self._values.clear()
            return n_entries

    @property
    def counts(self) -> CacheCounts:
        with self._lock:
            return CacheCounts(
                len(self._values), int(self._values.currsize), self.max_entries, self.max_bytes,
                self._hits, self._misses, self._hits / max(1, self._hits + self._misses),
            )  # fmt: skip


def content_key(*parts: bytes | str | int | float | bool | None) -> str:
    """Return the SHA-256 of typed, length-prefixed parts, so that different lists of parts give different keys."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(f"{type(part).__name__}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()
