"""How many requests one caller may send: a bucket of tokens each."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from cachetools import LRUCache

# Of `RATE_LIMIT_PER_MIN=-1`. A player that fetches sentence by sentence needs fewer than thirty a minute.
PER_MIN_FROM_AFAR = 300
# Whoever was not seen for the longest time starts with a full bucket again.
MAX_CALLERS = 10_000


class RateLimit:
    """A caller may send `per_min` requests at once, and as many again over each minute. Not for several threads."""

    def __init__(self, per_min: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._wanted = per_min
        self._clock = clock
        # Caller -> tokens left, and when that was.
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_CALLERS)

    def wait_s(self, key_name: str | None, address: str | None) -> float:
        """Take a token of the caller's; 0 if there was one, else the seconds until there is.

        Callers with a key are told apart by it, others by address. `address` is None where there is no network in
        between.
        """
        per_min = self._wanted if self._wanted >= 0 else 0 if is_near(address) else PER_MIN_FROM_AFAR
        if per_min == 0:
            return 0.0
        caller = f"key {key_name}" if key_name else network_of(address)
        now_s = self._clock()
        tokens, seen_s = self._buckets.get(caller, (float(per_min), now_s))
        tokens = min(per_min, tokens + (now_s - seen_s) * per_min / 60)
        if tokens < 1:
            self._buckets[caller] = tokens, now_s
            return (1 - tokens) * 60 / per_min
        self._buckets[caller] = tokens - 1, now_s
        return 0.0


def is_near(address: str | None) -> bool:
    """Whether the caller is on this machine: by loopback, through a socket file, or in this process."""
    found = _parsed(address)
    return found is None or found.is_loopback


def network_of(address: str | None) -> str:
    """Who an address stands for: one subscriber holds a whole /64 of IPv6."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Address(int(found) >> 64 << 64))
    return str(found)


def _parsed(address: str | None) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
